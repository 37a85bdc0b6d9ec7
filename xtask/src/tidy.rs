//! Invariants that no compiler checks, most of them the absence of something.
//!
//! - [`dependency`]: which of our crates may use which, and what pure crates must not use;
//! - [`text`]: what must not stand in a file, its name, its length;
//! - [`reach`]: sources that no crate declares, links of documents that lead nowhere.

mod dependency;
mod reach;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;

use anyhow::{Result, bail};

use crate::repository;

/// A file of the repository.
#[derive(Debug)]
struct File {
    path: String,
    text: String,
}

/// Something that is there and should not be.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// Counted from 1; 0 speaks of the whole file.
    line: usize,
    message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(formatter, "{}: {}", self.path, self.message),
            line => write!(formatter, "{}:{line}: {}", self.path, self.message),
        }
    }
}

pub(crate) fn run() -> Result<()> {
    let files = files()?;
    let findings = findings(&files);
    if findings.is_empty() {
        println!("tidy: {} files are in order", files.len());
        return Ok(());
    }
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    bail!("{} things are out of order:\n  {}", lines.len(), lines.join("\n  "));
}

fn findings(files: &[File]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = files.iter().flat_map(text::findings).collect();
    findings.extend(dependency::findings(files));
    findings.extend(reach::findings(files));
    findings
}

/// All text files of the repository; what is not UTF-8 is none.
fn files() -> Result<Vec<File>> {
    let mut files = Vec::new();
    for path in repository::files()? {
        if let Ok(text) = repository::read(&path) {
            files.push(File { path, text });
        }
    }
    Ok(files)
}
