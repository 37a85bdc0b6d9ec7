//! `avocet store`: what lies in the store, read from its files. A broker may go on meanwhile.

use std::{
    fmt::Write,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use avocet::config::Config;
use avocet_storage::{Report, disk::Folder, inspect, log::Loss};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::{ConfigArgs, complain, fail, print, read};

/// How often a store is looked at that changes meanwhile.
const LOOKS_MAX: usize = 10;

/// What can be looked at.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Say of each file whether it can be read.
    ///
    /// Nothing is changed. Exit code 0 if everything can be read; 1 if something is damaged, or
    /// lies in a file that the broker has set aside since it was damaged.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(StoreArgs),
    /// Say how much is stored.
    #[command(after_help = STATS_EXAMPLES)]
    Stats(StoreArgs),
}

/// Of `avocet store` as a whole.
pub(crate) const EXAMPLES: &str = "\
Examples:
  avocet store check -c /etc/avocet/avocet.toml    say which files are damaged
  avocet store stats                               say how much is stored";

const CHECK_EXAMPLES: &str = "\
Examples:
  avocet store check                               what a broker without configuration stores
  avocet store check -c /etc/avocet/avocet.toml    where this configuration says
  avocet store check --json | jq .is_sound         for scripts";

const STATS_EXAMPLES: &str = "\
Examples:
  avocet store stats                               what a broker without configuration stores
  avocet store stats -c /etc/avocet/avocet.toml    where this configuration says
  avocet store stats --json | jq .queued_messages  for scripts

Sizes are bytes. A message that waits for several sessions counts for each of them. What is not
needed leaves the disk when more than half of it is of no use.";

#[derive(Args, Debug)]
pub(crate) struct StoreArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs `avocet store`.
pub(crate) fn run(command: StoreCommand) -> ExitCode {
    let (StoreCommand::Check(args) | StoreCommand::Stats(args)) = &command;
    let is_json = args.json;
    let is_check = matches!(command, StoreCommand::Check(_));
    let (StoreCommand::Check(args) | StoreCommand::Stats(args)) = command;
    let path = match read(args.config) {
        Ok(config) => path(&config),
        Err(code) => return code,
    };
    let report = match look(&path) {
        Ok(report) => report,
        Err(error) => return fail(&error),
    };
    let text = match (is_check, is_json) {
        (true, true) => format!("{:#}\n", files_json(&path, &report)),
        (true, false) => files(&path, &report),
        (false, true) => format!("{:#}\n", stats_json(&report)),
        (false, false) => stats(&report),
    };
    let printed = print(&text);
    if is_whole(&report) {
        return printed;
    }
    if is_check {
        return ExitCode::FAILURE;
    }
    complain(&"avocet: the store is damaged; `avocet store check` says where");
    printed
}

/// Where the store of a node lies.
pub(crate) fn path(config: &Config) -> PathBuf {
    config.node.data_dir.join("store")
}

/// Looks at the store in a folder. What looks damaged may be what somebody just does, so it is
/// looked at again.
///
/// # Errors
///
/// It is not there, or cannot be read at all.
pub(crate) fn look(path: &Path) -> anyhow::Result<Report> {
    let folder = open(path)?;
    for _ in 1..LOOKS_MAX {
        match inspect(&folder) {
            Ok(report) if report.is_sound() => return Ok(report),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(_) => break,
        }
    }
    inspect(&folder).with_context(|| format!("cannot read the store in {}", path.display()))
}

/// A folder that has to be there.
///
/// # Errors
///
/// It is not, or cannot be read.
pub(crate) fn open(path: &Path) -> anyhow::Result<Folder> {
    match Folder::existing(path) {
        Ok(folder) => Ok(folder),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("there is no folder {}", path.display())
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Whether nothing was ever lost, as far as the files tell.
fn is_whole(report: &Report) -> bool {
    report.is_sound() && report.put_aside.is_empty()
}

/// What is stored, as a table.
pub(crate) fn stats(report: &Report) -> String {
    let (bytes, needed) = report.bytes();
    let rows = [
        ("segments", report.segments.len() as u64),
        ("bytes", bytes),
        ("needed bytes", needed),
        ("sessions", report.sessions as u64),
        ("queued messages", report.queued.messages as u64),
        ("queued bytes", report.queued.bytes),
        ("retained messages", report.retained as u64),
        ("planned messages", report.plans as u64),
    ];
    let mut text = String::new();
    for (name, figure) in rows {
        text.push_str(&format!("{name:<18} {figure}"));
        if name == "needed bytes" {
            text.push_str(&format!(" ({:.0} %)", share(report) * 100.0));
        }
        text.push('\n');
    }
    text
}

fn share(report: &Report) -> f64 {
    let (bytes, needed) = report.bytes();
    needed as f64 / bytes.max(1) as f64
}

fn stats_json(report: &Report) -> Value {
    let (bytes, needed) = report.bytes();
    json!({
        "segments": report.segments.len(),
        "bytes": bytes,
        "needed_bytes": needed,
        "needed_share": share(report),
        "sessions": report.sessions,
        "queued_messages": report.queued.messages,
        "queued_bytes": report.queued.bytes,
        "retained_messages": report.retained,
        "planned_messages": report.plans,
        "is_sound": report.is_sound(),
    })
}

/// How many records of a file cannot be read.
fn lost(report: &Report, name: &str) -> u64 {
    report.losses.iter().filter(|loss| loss.name() == Some(name)).map(Loss::records).sum()
}

fn is_damaged(report: &Report, name: &str) -> bool {
    report.losses.iter().any(|loss| loss.name() == Some(name))
}

/// What is lost beside the records of a file that is listed.
fn elsewhere(report: &Report) -> impl Iterator<Item = &Loss> {
    report.losses.iter().filter(|loss| !matches!(loss, Loss::Records { .. }))
}

/// What is known of each file, as lines.
fn files(path: &Path, report: &Report) -> String {
    let mut text = String::new();
    for segment in &report.segments {
        let (name, bytes) = (segment.name(), segment.bytes);
        let state = if is_damaged(report, &name) {
            format!("damaged: of its records {} cannot be read", lost(report, &name))
        } else {
            format!("sound, {bytes} bytes")
        };
        text.push_str(&format!("{name}: {state}\n"));
    }
    for loss in elsewhere(report) {
        text.push_str(&format!("{loss}\n"));
    }
    if report.unknown_records > 0 {
        let unknown = report.unknown_records;
        text.push_str(&format!("{unknown} records are not understood by this version\n"));
    }
    for name in &report.put_aside {
        text.push_str(&format!("{name}: set aside, since it was damaged\n"));
    }
    let verdict = if is_whole(report) { "all is well" } else { "something is lost" };
    // Writing to a string does not fail.
    writeln!(text, "{}: {} records, {verdict}", path.display(), report.records).ok();
    text
}

fn files_json(path: &Path, report: &Report) -> Value {
    let segments = report.segments.iter().map(|segment| {
        let name = segment.name();
        let state = if is_damaged(report, &name) { "damaged" } else { "sound" };
        let lost = lost(report, &name);
        json!({ "name": name, "state": state, "bytes": segment.bytes, "lost_records": lost })
    });
    let unread = elsewhere(report).filter_map(|loss| {
        let (name, lost) = (loss.name()?, loss.records());
        Some(json!({ "name": name, "state": "unreadable", "lost_records": lost }))
    });
    let aside = report.put_aside.iter().map(|name| json!({ "name": name, "state": "set_aside" }));
    let files: Vec<Value> = segments.chain(unread).chain(aside).collect();
    json!({
        "store": path.display().to_string(),
        "is_sound": is_whole(report),
        "records": report.records,
        "unknown_records": report.unknown_records,
        "files": files,
    })
}

#[cfg(test)]
mod tests {
    use avocet_storage::{SegmentReport, store::Amount};

    use super::*;

    fn report() -> Report {
        let segment = |number, needed_bytes| SegmentReport { number, bytes: 1000, needed_bytes };
        Report {
            segments: vec![segment(3, 200), segment(4, 1000)],
            records: 12,
            sessions: 2,
            queued: Amount { messages: 5, bytes: 500 },
            retained: 1,
            ..Report::default()
        }
    }

    #[test]
    fn figures_stand_below_each_other() {
        let text = stats(&report());
        assert!(text.starts_with("segments           2\nbytes              2000\n"), "{text}");
        assert!(text.contains("\nneeded bytes       1200 (60 %)\n"), "{text}");
        let json = stats_json(&report());
        assert_eq!((&json["needed_share"], &json["queued_bytes"]), (&json!(0.6), &json!(500)));
        assert_eq!(stats_json(&Report::default())["needed_share"], json!(0.0));
    }

    #[test]
    fn each_file_is_told_of() {
        let path = Path::new("/data/store");
        let text = files(path, &report());
        assert!(text.ends_with("\n/data/store: 12 records, all is well\n"), "{text}");
        let mut report = report();
        report.losses = vec![Loss::Records { name: "0000000004.log".to_owned(), records: 7 }];
        report.put_aside = vec!["0000000001.log.damaged".to_owned()];
        report.unknown_records = 2;
        let expected = "\
            0000000003.log: sound, 1000 bytes\n\
            0000000004.log: damaged: of its records 7 cannot be read\n\
            2 records are not understood by this version\n\
            0000000001.log.damaged: set aside, since it was damaged\n\
            /data/store: 12 records, something is lost\n";
        assert_eq!(files(path, &report), expected);
        let json = files_json(path, &report);
        assert_eq!(
            (&json["is_sound"], &json["files"][1]["lost_records"]),
            (&json!(false), &json!(7))
        );
        assert_eq!(json["files"][2]["state"], "set_aside");
    }
}
