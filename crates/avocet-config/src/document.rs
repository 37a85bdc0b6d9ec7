//! The reference page, the example file and the effective configuration, written from the types.

mod example;
mod reference;
mod written;

pub use example::example;
pub use reference::reference;
pub use written::to_toml;

use crate::value::quote_key;

/// A path of keys as a header has it: `listeners.tcp."my listener"`.
fn join(path: &str, key: &str) -> String {
    // `NAME` stands for any name; it needs no quotes either.
    if path.is_empty() { quote_key(key) } else { format!("{path}.{}", quote_key(key)) }
}

/// The lines of a doc comment, without the space after the slashes.
fn doc_lines(doc: &str) -> impl Iterator<Item = &str> {
    doc.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end())
}

#[cfg(test)]
mod tests;
