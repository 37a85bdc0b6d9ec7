//! Processor time: of a process, of this one, of the whole machine.

use std::{fs, time::Duration};

use anyhow::Context;
use rustix::time::{ClockId, clock_gettime};

/// Linux counts a machine's time in hundredths of a second, whatever its real tick.
const TICK_MILLISECONDS: u64 = 10;

/// What all threads of a process have used, to the nanosecond. A thread that ended is not counted.
pub(super) fn of_process(pid: u32) -> anyhow::Result<Duration> {
    of_threads(pid, "")
}

/// What those threads of a process have used whose names begin like this.
pub(super) fn of_threads(pid: u32, prefix: &str) -> anyhow::Result<Duration> {
    let folder = format!("/proc/{pid}/task");
    let mut nanoseconds = 0;
    for task in fs::read_dir(&folder).with_context(|| format!("cannot see process {pid}"))? {
        let task = task?;
        let is_meant = |name: String| name.starts_with(prefix);
        if !fs::read_to_string(task.path().join("comm")).is_ok_and(is_meant) {
            continue;
        }
        // A thread may have ended since.
        let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else { continue };
        nanoseconds += text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// What this process has used.
pub(super) fn own() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

/// What this thread has used.
pub(super) fn of_thread() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

/// What the machine has used, idle time and waiting for disks not counted.
pub(super) fn of_machine() -> anyhow::Result<Duration> {
    let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    Ok(Duration::from_millis(TICK_MILLISECONDS * busy_ticks(&text)))
}

/// User, nice, system, interrupts and soft interrupts from the line of all processors.
fn busy_ticks(stat: &str) -> u64 {
    let numbers = stat.lines().next().unwrap_or_default().split_ascii_whitespace().skip(1);
    let busy = numbers.take(7).enumerate().filter(|(index, _)| !matches!(index, 3 | 4));
    busy.filter_map(|(_, number)| number.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests;
