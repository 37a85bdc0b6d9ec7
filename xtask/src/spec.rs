//! The numbered statements of MQTT: which code fulfils each and which test would notice.
//!
//! A mark is `MQTT3-` or `MQTT5-` and a number, in brackets. In the doc comment above a test, or
//! in the body of one, it says what the test proves; elsewhere in a source it says what the line
//! fulfils. Every statement that a server can be held to has a test, an exception with a reason,
//! or a place on the list of those not yet proven, which may only shrink.

mod mark;
mod report;
mod statement;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{docs, repository};
use mark::{Marks, TestName};
use statement::{Exceptions, Key, Statement};

pub(crate) const DOCUMENT: &str = "docs/reference/conformance.md";
const STATEMENTS: &str = "docs/reference/mqtt-statements.tsv";
const EXCEPTIONS: &str = "docs/internals/spec-exceptions.toml";
const MISSING: &str = "docs/internals/spec-missing.txt";
const RESULTS: &str = "test-results.txt";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Writes docs/reference/conformance.md.
    #[arg(long, conflicts_with = "check")]
    write: bool,
    /// Fails when docs/reference/conformance.md is stale.
    #[arg(long)]
    check: bool,
    /// Takes statements that have a test by now off docs/internals/spec-missing.txt.
    #[arg(long)]
    shrink: bool,
}

/// All that is known about the statements.
struct Spec {
    statements: Vec<Statement>,
    exceptions: Exceptions,
    missing: BTreeSet<Key>,
    marks: Marks,
}

impl Spec {
    fn read() -> Result<Self> {
        let statements = statement::parse(&repository::read(STATEMENTS)?)?;
        let exceptions = statement::exceptions(&repository::read(EXCEPTIONS)?)?;
        let missing = statement::missing(&repository::read(MISSING)?)?;
        let mut marks = Marks::default();
        for path in repository::files()?.iter().filter(|path| is_source(path)) {
            marks.scan(path, &repository::read(path)?);
        }
        Ok(Self { statements, exceptions, missing, marks })
    }

    /// Due statements that have neither test nor exception.
    fn unproven(&self) -> BTreeSet<Key> {
        let due = self.statements.iter().filter(|statement| statement.test_is_due());
        let keys = due.map(|statement| statement.key.clone());
        keys.filter(|key| !self.exceptions.contains_key(key) && !self.marks.tests.contains_key(key))
            .collect()
    }

    /// Everything that is wrong between statements, marks, exceptions and the list.
    fn problems(&self, results: &Results) -> Vec<String> {
        let mut problems = self.marks.problems.clone();
        let known: BTreeSet<&Key> = self.statements.iter().map(|row| &row.key).collect();
        let places = self.marks.code.iter().map(|(key, files)| (key, files.first()));
        let proofs = self.marks.tests.iter();
        let proofs = proofs.map(|(key, tests)| (key, tests.first().map(|test| &test.file)));
        for (key, file) in places.chain(proofs).filter(|(key, _)| !known.contains(key)) {
            let file = file.map_or("?", String::as_str);
            problems.push(format!("{file}: {key} is no statement of the standard"));
        }
        for key in self.exceptions.keys() {
            if !known.contains(key) {
                problems.push(format!("{EXCEPTIONS}: {key} is no statement of the standard"));
            }
            if self.marks.tests.contains_key(key) {
                problems.push(format!("{EXCEPTIONS}: {key} has a test, so it is no exception"));
            }
        }
        let unproven = self.unproven();
        for key in unproven.difference(&self.missing) {
            problems.push(format!("{key} has no test, no exception, and is not in {MISSING}"));
        }
        for key in self.missing.difference(&unproven) {
            let cure = "`cargo xtask spec --shrink` takes it off";
            problems.push(format!("{MISSING}: {key} is proven, excepted or not due: {cure}"));
        }
        for key in self.unmarked() {
            problems.push(format!("{key} has a test, but no mark in the code that fulfils it"));
        }
        for (key, tests) in &self.marks.tests {
            for test in tests.iter().filter(|test| results.of(test) == Outcome::Failed) {
                problems.push(format!("{key}: {test} failed in the last run"));
            }
        }
        problems
    }

    /// Due statements that are proven, and of which no line says that it fulfils them.
    fn unmarked(&self) -> Vec<&Key> {
        let due = self.statements.iter().filter(|statement| statement.test_is_due());
        let keys = due.map(|statement| &statement.key);
        keys.filter(|key| self.marks.tests.contains_key(key) && !self.marks.code.contains_key(key))
            .collect()
    }

    /// Tests that prove something and did not run: renamed, not built in, or filtered out.
    fn not_run(&self, results: &Results) -> Vec<String> {
        let tests = self.marks.tests.iter();
        let tests = tests.flat_map(|(key, tests)| tests.iter().map(move |test| (key, test)));
        let unseen = tests.filter(|(_, test)| results.of(test) == Outcome::Unknown);
        unseen.map(|(key, test)| format!("{key}: {test} was not seen in the last run")).collect()
    }
}

/// How a test ended in the last `cargo xtask test`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    Unknown,
}

/// Outcomes by the test's path of modules, as the test runners print it.
#[derive(Debug, Default)]
struct Results(BTreeMap<String, Outcome>);

impl Results {
    /// Reads lines of libtest (`test a::b ... ok`) and nextest (`PASS [..] crate a::b`).
    fn parse(text: &str) -> Self {
        let mut results = BTreeMap::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (name, outcome) = match words[..] {
                ["test", name, "...", "ok"] => (name, Outcome::Passed),
                ["test", name, "...", "FAILED"] => (name, Outcome::Failed),
                ["PASS", .., name] => (name, Outcome::Passed),
                ["FAIL", .., name] => (name, Outcome::Failed),
                _ => continue,
            };
            // Two crates may have a test of the same path: a failure outweighs.
            let kept = results.entry(name.to_owned()).or_insert(outcome);
            if outcome == Outcome::Failed {
                *kept = outcome;
            }
        }
        Self(results)
    }

    fn of(&self, test: &TestName) -> Outcome {
        let mut found = Outcome::Unknown;
        for (path, outcome) in self.0.iter().filter(|(path, _)| test.is_called(path)) {
            debug_assert!(!path.is_empty(), "a test has a name");
            if *outcome == Outcome::Failed {
                return Outcome::Failed;
            }
            found = *outcome;
        }
        found
    }
}

fn is_source(path: &str) -> bool {
    let in_crate = path.strip_prefix("crates/").and_then(|rest| rest.split_once('/'));
    let inside = in_crate.map_or("", |(_, inside)| inside);
    path.ends_with(".rs") && (inside.starts_with("src/") || inside.starts_with("tests/"))
}

/// `cargo xtask spec`.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.shrink {
        shrink()?;
    }
    if options.write || options.check {
        docs::bring_up_to_date(DOCUMENT, &document()?, options.check)?;
    }
    let spec = Spec::read()?;
    let results = last_results()?;
    println!("{}", report::table(&spec, &results));
    conclude(&spec, &spec.problems(&results)).map(|notes| repository::print_notes(&notes))
}

/// The last step of `cargo xtask test`: the verdict without the table. All tests have just run, so
/// one that was not seen proves nothing.
pub(crate) fn check() -> Result<Vec<String>> {
    let (spec, results) = (Spec::read()?, last_results()?);
    let mut problems = spec.problems(&results);
    problems.extend(spec.not_run(&results));
    conclude(&spec, &problems)
}

/// The text of the conformance table.
pub(crate) fn document() -> Result<String> {
    Ok(report::document(&Spec::read()?))
}

/// Keeps what the test runners printed for later calls.
pub(crate) fn keep_results(transcript: &str) -> Result<()> {
    let file = repository::scratch()?.join(RESULTS);
    fs::write(&file, transcript).with_context(|| format!("writing {}", file.display()))
}

fn last_results() -> Result<Results> {
    let file = repository::scratch()?.join(RESULTS);
    Ok(Results::parse(&fs::read_to_string(file).unwrap_or_default()))
}

fn conclude(spec: &Spec, problems: &[String]) -> Result<Vec<String>> {
    if !problems.is_empty() {
        bail!("{} problems with the statements:\n  {}", problems.len(), problems.join("\n  "));
    }
    let missing = spec.missing.len();
    let note = format!("{missing} statements not yet proven, see {MISSING}");
    Ok(if missing == 0 { Vec::new() } else { vec![note] })
}

fn shrink() -> Result<()> {
    let spec = Spec::read()?;
    let unproven = spec.unproven();
    let text = repository::read(MISSING)?;
    let stays = |line: &&str| match Key::parse_mark(line.trim()) {
        Some(key) => unproven.contains(&key),
        None => true,
    };
    let kept: String = text.lines().filter(stays).map(|line| format!("{line}\n")).collect();
    fs::write(repository::root().join(MISSING), kept).with_context(|| format!("writing {MISSING}"))
}
