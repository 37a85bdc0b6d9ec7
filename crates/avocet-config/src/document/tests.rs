//! What is written from the types of `crate::tests`.

use crate::tests::{Root, good, text};
use crate::{example, reference, to_toml};

#[test]
fn temp() {
    println!("{}", example::<Root>());
    println!("{}", reference::<Root>());
    println!("{}", to_toml(&Root::default()));
}
