//! TEMP
use crate::field::Field;
use crate::section::Section;
pub fn reference<R: Section + Field>() -> String {
    String::new()
}
pub fn example<R: Section + Field>() -> String {
    String::new()
}
pub fn to_toml<R: Section + Field>(_root: &R) -> String {
    String::new()
}
