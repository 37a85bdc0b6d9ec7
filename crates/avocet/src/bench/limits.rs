//! How many files may be open, told before they run out.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a process has open besides connections.
const OTHERS: u64 = 64;

/// Makes room for `count` connections, or says what to do.
pub(super) fn open_files(count: u64) -> Result<(), String> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = count + OTHERS;
    if current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    if maximum.is_none_or(|maximum| maximum >= wanted)
        && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok()
    {
        return Ok(());
    }
    Err(refusal(count, maximum.unwrap_or(0)))
}

fn refusal(count: u64, maximum: u64) -> String {
    let room = maximum.saturating_sub(OTHERS).max(1);
    format!(
        "{count} connections need as many open files, and a process may have {maximum} here: \
         --processes {} shares them out, `ulimit -n` raises the limit",
        count.div_ceil(room)
    )
}

/// Says so if the broker cannot have `count` more connections.
pub(super) fn open_files_of(pid: u32, count: u64) -> Result<(), String> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
    let open = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |files| files.count() as u64);
    match soft_limit(&limits) {
        Some(limit) if open + count > limit => Err(format!(
            "the broker (process {pid}) may have {limit} open files and has {open}: \
             there is no room for {count} connections"
        )),
        // Where it cannot be known, it will be seen.
        _ => Ok(()),
    }
}

/// The soft limit of open files in `/proc/PID/limits`.
fn soft_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests;
