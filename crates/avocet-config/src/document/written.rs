//! What holds, as TOML.

use super::join;
use crate::field::Field;
use crate::section::Section;
use crate::shape::Tree;

/// Every key with its effective value; secrets are masked, options that are not set are left out.
pub fn to_toml<R: Section + Field>(root: &R) -> String {
    let mut out = String::new();
    write_table(&mut out, "", None, &root.tree());
    out
}

/// Values first: what follows a header belongs to it.
fn write_table(out: &mut String, path: &str, header: Option<&str>, tree: &Tree) {
    let entries = entries(tree);
    let values: Vec<(&str, &String)> = entries
        .iter()
        .filter_map(|(key, tree)| if let Tree::Value(it) = tree { Some((*key, it)) } else { None })
        .collect();
    let tables = || entries.iter().filter(|(_, tree)| !matches!(tree, Tree::Value(_)));
    // A header that only holds further tables says nothing, unless it is all there is.
    let shown = !values.is_empty() || tables().next().is_none();
    if let Some(header) = header.filter(|_| shown) {
        let gap = if out.is_empty() { "" } else { "\n" };
        out.push_str(&format!("{gap}{header}\n"));
    }
    for (key, value) in values {
        out.push_str(&format!("{} = {value}\n", join("", key)));
    }
    for (key, tree) in tables() {
        let path = join(path, key);
        match tree {
            Tree::List(items) => {
                for item in items {
                    write_table(out, &path, Some(&format!("[[{path}]]")), item);
                }
            }
            Tree::Named(entries) if entries.is_empty() => {}
            Tree::Table(_) | Tree::Named(_) => {
                write_table(out, &path, Some(&format!("[{path}]")), tree);
            }
            Tree::Value(_) | Tree::Absent => {}
        }
    }
}

fn entries(tree: &Tree) -> Vec<(&str, &Tree)> {
    match tree {
        Tree::Table(entries) => entries.iter().map(|(key, tree)| (*key, tree)).collect(),
        Tree::Named(entries) => entries.iter().map(|(key, tree)| (key.as_str(), tree)).collect(),
        Tree::Value(_) | Tree::Absent | Tree::List(_) => Vec::new(),
    }
    .into_iter()
    .filter(|(_, tree)| *tree != &Tree::Absent)
    .collect()
}
