//! `cargo xtask fuzz`: libFuzzer on stable Rust searches for bytes that break a target of
//! `avocet-fuzz`.
//!
//! The compiler's own pass for coverage is asked for by its name, so neither nightly nor cargo-fuzz
//! is needed; what is lost is the sanitizers, which find mistakes in `unsafe` code, of which we
//! have none. What a search finds is kept for the next one; `--keep` makes the smallest set that
//! covers as much out of it, which is in the repository and replayed by the tests of the crate.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::repository;

/// What the compiler has to add, for libFuzzer to know which inputs are new.
const COVERAGE: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// Bytes of the longest input that is tried, and of the longest that is kept.
const INPUT_BYTES_MAX: usize = 4096;
const KEPT_BYTES_MAX: usize = 600;

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// A folder of crates/avocet-fuzz/corpus; all of them, if none is named.
    target: Option<String>,
    /// How long each target is searched.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The same in hours.
    #[arg(long, conflicts_with = "seconds")]
    hours: Option<u64>,
    /// Then write the smallest corpus that covers what was found to the repository.
    #[arg(long)]
    keep: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let seconds = options.hours.map_or(options.seconds, |hours| hours * 3600);
    let mut targets = targets()?;
    if let Some(chosen) = &options.target {
        ensure!(targets.contains(chosen), "no target {chosen}; there are {}", targets.join(", "));
        targets = vec![chosen.clone()];
    }
    let program = build()?;
    for target in targets {
        search(&program, &target, seconds)?;
        if options.keep {
            keep(&program, &target)?;
        }
    }
    Ok(())
}

/// Each has a corpus: a test of the crate sees to it.
fn targets() -> Result<Vec<String>> {
    let corpora = folder("corpus", "");
    let entries = fs::read_dir(&corpora).with_context(|| format!("{}", corpora.display()))?;
    let mut targets = Vec::new();
    for entry in entries {
        targets.push(entry?.file_name().to_string_lossy().into_owned());
    }
    targets.sort();
    Ok(targets)
}

/// Searches every target for so long; what could not be done is a note, or in CI an error.
pub(crate) fn search_all(seconds: u64) -> Result<Vec<String>> {
    if !has_compiler() && env::var_os("CI").is_none() {
        return Ok(vec!["not run: fuzz, since there is no C++ compiler `c++`".to_owned()]);
    }
    let program = build()?;
    for target in targets()? {
        search(&program, &target, seconds)?;
    }
    Ok(Vec::new())
}

fn has_compiler() -> bool {
    repository::works(&mut repository::command("c++", &["--version"]))
}

/// Builds libFuzzer and the targets, in a folder of their own: all of it is compiled otherwise.
fn build() -> Result<PathBuf> {
    if !has_compiler() {
        bail!("libFuzzer is C++, and there is no compiler `c++` (Debian: g++)");
    }
    let about = repository::output(&mut repository::command("rustc", &["-vV"]))?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("`rustc -vV` names no host")?;
    let folder = repository::target().join("fuzz");
    // With a target named, build scripts and macros are left without counters.
    let build = ["build", "--quiet", "--profile", "fuzz", "--target", host];
    let what = ["--package", "avocet-fuzz", "--features", "libfuzzer", "--bin", "fuzz"];
    let mut cargo = repository::cargo(&[&build[..], &what].concat());
    cargo.env("CARGO_TARGET_DIR", &folder).env("RUSTFLAGS", COVERAGE.join(" "));
    cargo.env_remove("CARGO_ENCODED_RUSTFLAGS");
    repository::succeed(&mut cargo)?;
    Ok(folder.join(host).join("fuzz/fuzz"))
}

/// A folder of a target in the repository.
fn folder(kind: &str, target: &str) -> PathBuf {
    repository::root().join("crates/avocet-fuzz").join(kind).join(target)
}

/// What earlier searches on this machine have found.
fn found(target: &str) -> Result<PathBuf> {
    let folder = repository::scratch()?.join("fuzz").join(target);
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    Ok(folder)
}

fn search(program: &Path, target: &str, seconds: u64) -> Result<()> {
    let found = found(target)?;
    let (corpus, regressions) = (folder("corpus", target), folder("regressions", target));
    for folder in [&corpus, &regressions] {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    let artifacts = format!("-artifact_prefix={}/", regressions.display());
    let time = format!("-max_total_time={seconds}");
    let length = format!("-max_len={INPUT_BYTES_MAX}");
    let bounds = ["-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1"];
    let folders = [&found, &corpus, &regressions].map(|folder| folder.display().to_string());
    let folders = folders.each_ref().map(String::as_str);
    let arguments = [&[&*artifacts, &time, &length][..], &bounds, &folders].concat();
    let said = libfuzzer(program, target, &arguments)?;
    let figure = |name: &str| {
        let value = said.lines().find_map(|line| line.strip_prefix(name));
        value.unwrap_or("?").trim().to_owned()
    };
    println!(
        "{target:>10}: {} inputs in {seconds} s, {} of them new, {} MB at most",
        figure("stat::number_of_executed_units:"),
        figure("stat::new_units_added:"),
        figure("stat::peak_rss_mb:"),
    );
    Ok(())
}

/// Runs libFuzzer; what it said, which an error shows the end of.
fn libfuzzer(program: &Path, target: &str, arguments: &[&str]) -> Result<String> {
    let log = repository::scratch()?.join("fuzz").join(format!("{target}.log"));
    let file = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
    let mut command = repository::command(&program.display().to_string(), arguments);
    command.env("AVOCET_FUZZ_TARGET", target).stdout(file.try_clone()?).stderr(file);
    let status = command.status().with_context(|| format!("starting {}", program.display()))?;
    let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    if status.success() {
        return Ok(said);
    }
    let from = said.find("panicked at").or_else(|| said.find("ERROR")).unwrap_or_default();
    let end: Vec<&str> = said[from..].lines().take(60).collect();
    let end = end.join("\n");
    bail!(
        "an input breaks `{target}`; it is in crates/avocet-fuzz/regressions/{target}, where the \
         tests find it. Name it after what it shows, and mend that.\n{end}"
    );
}

/// Writes the smallest corpus that covers what is known.
fn keep(program: &Path, target: &str) -> Result<()> {
    let (found, corpus) = (found(target)?, folder("corpus", target));
    let merged = repository::scratch()?.join("fuzz").join(format!("{target}.merged"));
    if merged.exists() {
        fs::remove_dir_all(&merged)?;
    }
    fs::create_dir_all(&merged)?;
    let length = format!("-max_len={KEPT_BYTES_MAX}");
    let folders = [&merged, &corpus, &found].map(|folder| folder.display().to_string());
    let folders = folders.each_ref().map(String::as_str);
    // Edges alone, not how often each was taken: that would keep several times as much.
    let arguments = [&["-merge=1", "-use_counters=0", &*length][..], &folders].concat();
    libfuzzer(program, target, &arguments)?;
    fs::remove_dir_all(&corpus)?;
    fs::create_dir_all(&corpus)?;
    let (mut count, mut bytes) = (0, 0);
    for entry in fs::read_dir(&merged)? {
        let entry = entry?;
        bytes += fs::copy(entry.path(), corpus.join(entry.file_name()))?;
        count += 1;
    }
    println!("{target:>10}: {count} inputs of {bytes} bytes are kept");
    Ok(())
}
