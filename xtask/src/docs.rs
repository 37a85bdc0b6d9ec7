//! Generated documents: the references of configuration and metrics and the example come from the
//! executable, the conformance table from [`crate::spec`].

use std::fs;

use anyhow::{Context, Result, bail};

use crate::{repository, spec};

/// Document and the words that make `avocet` print it.
const PRINTED: [(&str, &[&str]); 3] = [
    ("docs/reference/configuration.md", &["docs", "configuration"]),
    ("docs/reference/avocet.toml", &["docs", "example"]),
    ("docs/reference/metrics.md", &["docs", "metrics"]),
];

/// Writes or checks all generated documents; returns what could not be looked at.
pub(crate) fn run(check: bool) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for (path, words) in PRINTED {
        match printed(words)? {
            Some(text) => bring_up_to_date(path, &text, check)?,
            None => notes.push(format!(
                "not run: {path}, since there is no `avocet {}` yet",
                words.join(" ")
            )),
        }
    }
    bring_up_to_date(spec::DOCUMENT, &spec::document()?, check)?;
    Ok(notes)
}

/// Writes a generated document, or fails when the one in the repository is another.
pub(crate) fn bring_up_to_date(path: &str, text: &str, check: bool) -> Result<()> {
    let file = repository::root().join(path);
    let present = fs::read_to_string(&file).unwrap_or_default();
    if present == text {
        return Ok(());
    }
    if check {
        let lines = present.lines().zip(text.lines()).take_while(|(old, new)| old == new);
        let first = lines.count() + 1;
        bail!("{path} is stale from line {first} on; `cargo xtask docs` writes it");
    }
    let folder = file.parent().context("a document lies in a folder")?;
    fs::create_dir_all(folder)?;
    fs::write(&file, text).with_context(|| format!("writing {path}"))?;
    println!("wrote {path}");
    Ok(())
}

/// What the executable prints for these words, or nothing while it does not know them.
fn printed(words: &[&str]) -> Result<Option<String>> {
    if !repository::root().join("crates/avocet/Cargo.toml").is_file() {
        return Ok(None);
    }
    // With all features: the reference says of each what needs it.
    let mut arguments = vec!["run", "--quiet", "--package", "avocet", "--features", "full", "--"];
    arguments.extend(words);
    let output = repository::cargo(&arguments).output().context("starting cargo")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return Ok(Some(String::from_utf8(output.stdout).context("avocet did not print UTF-8")?));
    }
    if said.contains("unrecognized subcommand") {
        return Ok(None);
    }
    bail!("`avocet {}` failed with {}: {}", words.join(" "), output.status, said.trim());
}
