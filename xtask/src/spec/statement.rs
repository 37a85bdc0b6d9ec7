//! Rows of the list of statements, exceptions, and the list of what is not yet proven.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// The standard a statement stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standard {
    V311,
    V5,
}

/// A statement's standard and number; displayed as its mark.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) standard: Standard,
    number: Vec<u32>,
}

impl Key {
    /// From `3.1.1` and `MQTT-3.1.2-24`.
    fn parse(version: &str, id: &str) -> Option<Self> {
        let standard = match version {
            "3.1.1" => Standard::V311,
            "5.0" => Standard::V5,
            _ => return None,
        };
        Self::numbered(standard, id.strip_prefix("MQTT-")?)
    }

    /// From a mark, with or without its brackets.
    pub(super) fn parse_mark(mark: &str) -> Option<Self> {
        let mark = mark.trim_start_matches('[').trim_end_matches(']');
        let three = mark.strip_prefix("MQTT3-").map(|number| (Standard::V311, number));
        let five = mark.strip_prefix("MQTT5-").map(|number| (Standard::V5, number));
        let (standard, number) = three.or(five)?;
        Self::numbered(standard, number)
    }

    fn numbered(standard: Standard, text: &str) -> Option<Self> {
        let (section, statement) = text.split_once('-')?;
        let parts = section.split('.').chain([statement]);
        let number: Vec<u32> = parts.map(|part| part.parse().ok()).collect::<Option<_>>()?;
        (number.len() == 4).then_some(Self { standard, number })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = match self.standard {
            Standard::V311 => 3,
            Standard::V5 => 5,
        };
        let [a, b, c, n] = self.number[..] else { return Err(fmt::Error) };
        write!(formatter, "MQTT{family}-{a}.{b}.{c}-{n}")
    }
}

/// One row of the list.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) key: Key,
    pub(super) binds: String,
    pub(super) summary: String,
    note: String,
}

impl Statement {
    /// A server can be held to it: it binds one, or shows a reaction to a client that breaks it.
    pub(super) fn test_is_due(&self) -> bool {
        match self.binds.as_str() {
            "server" | "both" | "network" => true,
            _ => self.note.split(';').any(|tag| tag.trim_start().starts_with("neg:")),
        }
    }
}

pub(super) fn parse(text: &str) -> Result<Vec<Statement>> {
    let rows = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).skip(1);
    rows.map(row).collect()
}

fn row(line: &str) -> Result<Statement> {
    let columns: Vec<&str> = line.split('\t').collect();
    let [version, id, binds, summary, note] = columns[..] else {
        bail!("a row of the statements has five columns, not {}: {line}", columns.len());
    };
    let key = Key::parse(version, id).with_context(|| format!("no such statement: {line}"))?;
    Ok(Statement {
        key,
        binds: binds.to_owned(),
        summary: summary.to_owned(),
        note: note.to_owned(),
    })
}

/// Statements that no test can stand for, each with the reason.
pub(super) type Exceptions = BTreeMap<Key, String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExceptionFile {
    #[serde(default)]
    exception: Vec<Exception>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    version: String,
    id: String,
    reason: String,
}

pub(super) fn exceptions(text: &str) -> Result<Exceptions> {
    let file: ExceptionFile = toml::from_str(text).context("reading the exceptions")?;
    let mut exceptions = Exceptions::new();
    for Exception { version, id, reason } in file.exception {
        let key = Key::parse(&version, &id)
            .with_context(|| format!("exception for an unknown {version} {id}"))?;
        if reason.trim().len() < 10 {
            bail!("the exception for {key} has no reason");
        }
        if exceptions.insert(key.clone(), reason).is_some() {
            bail!("two exceptions for {key}");
        }
    }
    Ok(exceptions)
}

/// The list of what is not yet proven: a mark a line, `#` begins a comment.
pub(super) fn missing(text: &str) -> Result<BTreeSet<Key>> {
    let lines = text.lines().map(str::trim);
    let marks = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    marks.map(|mark| Key::parse_mark(mark).with_context(|| format!("no mark: {mark}"))).collect()
}
