//! The floor of what is stored: bytes appended to one file, one sync for each group of records. A
//! store is judged by how near it comes to this.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::{args::seconds, broker::up_to, latency::Latencies, outcome::round, spread};
use crate::cli::print;

#[derive(Args, Debug)]
pub(crate) struct DiskArgs {
    /// Where to write: a folder on the disk in question.
    #[arg(long)]
    folder: PathBuf,
    /// Bytes of a record.
    #[arg(long, default_value_t = 256, value_parser = up_to(1 << 20))]
    size: u64,
    /// Records that are synced together.
    #[arg(long, default_value_t = 1, value_parser = up_to(10_000))]
    group: u64,
    /// Seconds to measure.
    #[arg(long, default_value = "1", value_parser = seconds)]
    seconds: Duration,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

/// Writes, tells how fast, and removes what was written.
pub(super) fn run(args: &DiskArgs) -> anyhow::Result<std::process::ExitCode> {
    let path = args.folder.join(format!("bench-disk-{}", std::process::id()));
    let appended = append(args, &path).with_context(|| format!("writing {}", path.display()));
    // What could not be made cannot be removed, and is told.
    fs::remove_file(&path).ok();
    let (groups, elapsed, latencies) = appended?;
    let records = groups * args.group;
    let rate = records as f64 / elapsed.as_secs_f64();
    let spread = latencies.spread();
    Ok(print(&if args.json {
        let told = json!({
            "scenario": "disk",
            "record_bytes": args.size,
            "group": args.group,
            "seconds": round(elapsed.as_secs_f64()),
            "records": records,
            "records_per_second": rate.round(),
            "group_us": spread.map(spread::to_json),
        });
        format!("{told}\n")
    } else {
        let (size, group) = (args.size, args.group);
        let latency = spread::to_text(spread);
        format!(
            "disk: records of {size} bytes, {group} synced together\n  written     {records}, \
             {rate:.0}/s\n  a group     {latency}\n"
        )
    }))
}

/// How many groups, in how long, and how long each took.
fn append(args: &DiskArgs, path: &Path) -> anyhow::Result<(u64, Duration, Latencies)> {
    let mut file = File::create_new(path)?;
    let bytes = vec![b'.'; (args.size * args.group) as usize];
    let (mut groups, mut latencies, start) = (0, Latencies::new(), Instant::now());
    let mut before = Duration::ZERO;
    while before < args.seconds {
        file.write_all(&bytes)?;
        file.sync_data()?;
        let now = start.elapsed();
        latencies.add((now - before).as_nanos() as u64);
        (groups, before) = (groups + 1, now);
    }
    Ok((groups, before, latencies))
}
