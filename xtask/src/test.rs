//! `cargo xtask test`: everything CI checks, in order, stopping at the first failure.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{crash, docs, fuzz, instructions, repository, services, spec, tidy};

/// What a step that did not fail has to say: what of it was left out.
type Notes = Vec<String>;

/// Tests append a line here for each scenario whose foreign client is missing.
const NOT_RUN: &str = "not-run.txt";

/// The broker's feature for tests of its write path.
const INTERLEAVINGS: [&str; 2] = ["--features", "avocet-broker/interleavings"];

/// All features of the product: what tests have. That it builds without them clippy sees.
const FULL: [&str; 2] = ["--features", "avocet/full"];

/// How long each target is searched for bytes that break it.
const FUZZ_SECONDS: u64 = 8;

/// Seeds of the power cuts of the store, and of those of its log.
const POWER_CUTS: u32 = 10_000;

struct Steps {
    done: Vec<(&'static str, Duration)>,
    notes: Notes,
}

impl Steps {
    fn step(&mut self, name: &'static str, work: impl FnOnce() -> Result<Notes>) -> Result<()> {
        println!("\n=== {name}");
        let begun = Instant::now();
        let outcome = work();
        self.done.push((name, begun.elapsed()));
        match outcome {
            Ok(notes) => {
                repository::print_notes(&notes);
                self.notes.extend(notes);
                Ok(())
            }
            Err(error) => {
                self.summary();
                Err(error.context(format!("step `{name}` failed")))
            }
        }
    }

    fn summary(&self) {
        println!("\n=== summary");
        for (name, took) in &self.done {
            println!("{:>7.1} s  {name}", took.as_secs_f64());
        }
        repository::print_notes(&self.notes);
    }
}

pub(crate) fn run() -> Result<()> {
    let mut steps = Steps { done: Vec::new(), notes: Notes::new() };
    steps.step("format", format)?;
    steps.step("clippy", clippy)?;
    steps.step("tidy", || tidy::run().map(|()| Notes::new()))?;
    steps.step("documents", || docs::run(true))?;
    steps.step("clients", services::clients)?;
    steps.step("executable", executable)?;
    steps.step("tests", tests)?;
    steps.step("power cuts", power_cuts)?;
    steps.step("crash", crash::check)?;
    steps.step("interleavings", interleavings)?;
    steps.step("spec", spec::check)?;
    steps.step("instructions", instructions::check)?;
    steps.step("fuzz", || fuzz::search_all(FUZZ_SECONDS))?;
    steps.summary();
    println!("\nall steps passed");
    Ok(())
}

fn format() -> Result<Notes> {
    if !repository::works(&mut repository::cargo(&["fmt", "--version"])) {
        return Ok(vec!["not run: format, since rustfmt is not installed".to_owned()]);
    }
    repository::succeed(&mut repository::cargo(&["fmt", "--all", "--check"]))
        .context("`cargo fmt` puts it right")?;
    Ok(Notes::new())
}

fn clippy() -> Result<Notes> {
    if !repository::works(&mut repository::cargo(&["clippy", "--version"])) {
        return Ok(vec!["not run: clippy, which is not installed".to_owned()]);
    }
    let usual = ["clippy", "--quiet", "--workspace", "--all-targets"];
    let strict = ["--", "-D", "warnings"];
    repository::succeed(&mut repository::cargo(&[&usual[..], &strict].concat()))?;
    repository::succeed(&mut repository::cargo(&[&usual[..], &INTERLEAVINGS, &strict].concat()))?;
    repository::succeed(&mut repository::cargo(&[&usual[..], &FULL, &strict].concat()))?;
    Ok(Notes::new())
}

/// Unit tests of the broker with its locks and sockets replaced, so a build of its own. Of the
/// whole workspace, because the broker alone would have other crates built with other features.
fn interleavings() -> Result<Notes> {
    let usual = ["test", "--quiet", "--workspace", "--lib"];
    let test = [&usual[..], &INTERLEAVINGS, &["simulation::"]].concat();
    repository::succeed(&mut repository::cargo(&test))?;
    Ok(Notes::new())
}

/// Of the store and its log, in release: without optimisation they are tried with few seeds.
fn power_cuts() -> Result<Notes> {
    let arguments =
        "test --quiet --release --package avocet-storage --lib power_cut -- --nocapture";
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let mut cargo = repository::cargo(&arguments);
    let told = repository::output(cargo.env("AVOCET_SEEDS", POWER_CUTS.to_string()))?;
    let lines = told.lines().map(|line| line.trim_start_matches('.'));
    let counts: Vec<&str> = lines.filter(|line| line.ends_with(" seeds")).collect();
    println!("{}", counts.join("\n"));
    let all = format!(": {POWER_CUTS} seeds");
    if counts.iter().filter(|line| line.ends_with(&all)).count() < 2 {
        bail!("the store and its log have not been tried with {POWER_CUTS} seeds:\n{told}");
    }
    Ok(Notes::new())
}

fn executable() -> Result<Notes> {
    if !repository::root().join("crates/avocet/Cargo.toml").is_file() {
        return Ok(vec!["not built: crates/avocet is not there yet".to_owned()]);
    }
    let build = ["build", "--quiet", "--package", "avocet"];
    repository::succeed(&mut repository::cargo(&[&build[..], &FULL].concat()))?;
    Ok(Notes::new())
}

fn tests() -> Result<Notes> {
    let not_run = repository::scratch()?.join(NOT_RUN);
    if not_run.exists() {
        fs::remove_file(&not_run).context("removing the notes of the last run")?;
    }
    let mut notes = Notes::new();
    let nextest = repository::works(&mut repository::cargo(&["nextest", "--version"]));
    let mut transcript = String::new();
    let outcome = if nextest {
        let all = [&["nextest", "run", "--workspace", "--no-fail-fast"][..], &FULL].concat();
        let doc = [&["test", "--workspace", "--doc"][..], &FULL].concat();
        run_and_keep(&all, &mut transcript).and_then(|()| run_and_keep(&doc, &mut transcript))
    } else {
        notes.push("cargo-nextest is not installed: `cargo test` ran the tests".to_owned());
        let all = [&["test", "--workspace", "--no-fail-fast"][..], &FULL].concat();
        run_and_keep(&all, &mut transcript)
    };
    spec::keep_results(&transcript)?;
    outcome?;
    let skipped = fs::read_to_string(&not_run).unwrap_or_default();
    let mut skipped: Vec<&str> = skipped.lines().collect();
    skipped.sort_unstable();
    skipped.dedup();
    if !skipped.is_empty() {
        notes.push(format!("{} scenarios were not run:", skipped.len()));
        notes.extend(skipped.iter().map(|line| format!("not run: {line}")));
    }
    Ok(notes)
}

/// Runs cargo with its output on the terminal and, what tests print, in `transcript` as well.
fn run_and_keep(arguments: &[&str], transcript: &mut String) -> Result<()> {
    let mut cargo = repository::cargo(arguments);
    cargo.env("AVOCET_NOT_RUN", repository::scratch()?.join(NOT_RUN));
    // libtest reports on standard output, nextest on standard error.
    let nextest = arguments.first() == Some(&"nextest");
    if nextest {
        cargo.stderr(Stdio::piped())
    } else {
        cargo.stdout(Stdio::piped())
    };
    let mut child = cargo.spawn().context("starting cargo")?;
    let from_child: Box<dyn std::io::Read> = if nextest {
        Box::new(child.stderr.take().context("standard error is piped")?)
    } else {
        Box::new(child.stdout.take().context("standard output is piped")?)
    };
    let mut terminal = std::io::stdout();
    for line in BufReader::new(from_child).lines() {
        let line = line.context("reading the tests' output")?;
        writeln!(terminal, "{line}")?;
        transcript.push_str(&line);
        transcript.push('\n');
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("`cargo {}` failed with {status}", arguments.join(" "));
    }
    Ok(())
}
