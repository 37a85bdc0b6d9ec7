//! `cargo xtask instructions`: callgrind counts the instructions of the hot paths, and a path that
//! takes noticeably more than its baseline is a failure.
//!
//! Driven directly rather than through gungraun, which compares with the last run on the same
//! machine: the baseline is a file of the repository, and says for which compiler and C library it
//! holds. With others the counts are printed and nothing is compared.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::repository;

const BASELINE: &str = "crates/avocet-instructions/baseline.json";

/// How many percent more than its baseline a path may take.
const MORE_PERCENT_MAX: f64 = 5.0;

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Write the counts to the baseline instead of comparing them with it.
    #[arg(long)]
    renew: bool,
    /// Only paths whose names contain this.
    #[arg(conflicts_with = "renew")]
    name: Option<String>,
}

/// Instructions for going each path once, and what they depend on beside our code.
#[derive(Debug, Deserialize, Serialize)]
struct Counts {
    rustc: String,
    libc: String,
    machine: String,
    instructions: BTreeMap<String, u64>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let counts = count(options.name.as_deref())?;
    if options.renew {
        let text = serde_json::to_string_pretty(&counts)? + "\n";
        fs::write(repository::root().join(BASELINE), text)?;
        println!("wrote {BASELINE}");
        return Ok(());
    }
    let notes = compare(&baseline()?, &counts)?;
    repository::print_notes(&notes);
    Ok(())
}

/// Compares all paths; what could not be done is a note, or in CI an error.
pub(crate) fn check() -> Result<Vec<String>> {
    if !has_valgrind() && env::var_os("CI").is_none() {
        return Ok(vec!["not run: instructions, since valgrind is not installed".to_owned()]);
    }
    let counts = count(None)?;
    compare(&baseline()?, &counts)
}

fn has_valgrind() -> bool {
    repository::works(&mut repository::command("valgrind", &["--version"]))
}

fn baseline() -> Result<Counts> {
    let text = repository::read(BASELINE)?;
    serde_json::from_str(&text).with_context(|| format!("{BASELINE} is no baseline"))
}

fn count(name: Option<&str>) -> Result<Counts> {
    if !has_valgrind() {
        bail!("valgrind is not installed (Debian: valgrind)");
    }
    let program = build()?;
    let program = program.display().to_string();
    let listed = repository::output(&mut repository::command(&program, &[]))?;
    let mut lines = listed.lines();
    let rounds = lines.next().and_then(|line| line.strip_prefix("rounds "));
    let rounds: u64 = rounds.context("the program says how many rounds")?.parse()?;
    let mut instructions = BTreeMap::new();
    for path in lines.filter(|path| name.is_none_or(|name| path.contains(name))) {
        instructions.insert(path.to_owned(), callgrind(&program, path)? / rounds);
    }
    let about = |program: &str, arguments: &[&str]| -> Result<String> {
        let said = repository::output(&mut repository::command(program, arguments))?;
        Ok(said.lines().next().unwrap_or_default().trim().to_owned())
    };
    Ok(Counts {
        rustc: about("rustc", &["--version"])?,
        libc: about("getconf", &["GNU_LIBC_VERSION"])?,
        machine: about("uname", &["-m"])?,
        instructions,
    })
}

fn build() -> Result<PathBuf> {
    let build = ["build", "--quiet", "--release", "--package", "avocet-instructions"];
    repository::succeed(&mut repository::cargo(&build))?;
    Ok(repository::target().join("release/avocet-instructions"))
}

/// Instructions under `measured`, in all rounds.
fn callgrind(program: &str, path: &str) -> Result<u64> {
    let out = repository::scratch()?.join("callgrind.out");
    let out_file = format!("--callgrind-out-file={}", out.display());
    let what = ["--tool=callgrind", "--toggle-collect=*avocet_instructions::measured*"];
    let mut valgrind = repository::command("valgrind", &what);
    valgrind.arg(&out_file).args([program, path]);
    let output = valgrind.output().context("starting valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("valgrind failed for {path} with {}: {}", output.status, said.trim());
    }
    instructions(&out).with_context(|| format!("what callgrind counted of {path}"))
}

/// The total in a file of callgrind's.
fn instructions(out: &Path) -> Result<u64> {
    let text = fs::read_to_string(out)?;
    let totals = text.lines().find_map(|line| line.strip_prefix("totals:"));
    let total: u64 = totals.context("there are no totals")?.trim().parse()?;
    if total == 0 {
        bail!("nothing was counted: `measured` has another name");
    }
    Ok(total)
}

fn compare(baseline: &Counts, counts: &Counts) -> Result<Vec<String>> {
    let differences: Vec<String> = [
        ("rustc", &baseline.rustc, &counts.rustc),
        ("libc", &baseline.libc, &counts.libc),
        ("machine", &baseline.machine, &counts.machine),
    ]
    .into_iter()
    .filter(|(_, before, now)| before != now)
    .map(|(what, before, now)| format!("{what} is `{now}` and was `{before}`"))
    .collect();
    let mut worse = Vec::new();
    for (path, &now) in &counts.instructions {
        let Some(&before) = baseline.instructions.get(path) else {
            println!("{now:>9}               {path}");
            worse.push(format!("{path} has no baseline"));
            continue;
        };
        let percent = (now as f64 / before as f64 - 1.0) * 100.0;
        println!("{now:>9} ({percent:+6.1} %)    {path}");
        if percent > MORE_PERCENT_MAX {
            worse.push(format!("{path} takes {now} instructions, {percent:.1} % more than before"));
        }
    }
    if !differences.is_empty() {
        let differences = differences.join(", ");
        return Ok(vec![format!("not compared: instructions, since {differences}")]);
    }
    if !worse.is_empty() {
        bail!(
            "{}\nIf that is worth it, `cargo xtask instructions --renew` writes the baseline.",
            worse.join("\n")
        );
    }
    Ok(Vec::new())
}
