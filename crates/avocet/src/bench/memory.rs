//! Memory: of a process, and what the kernel holds for everyone on the machine.

use std::fs;

use anyhow::Context;

/// Bytes of a page, which `/proc/net/sockstat` counts in.
const PAGE_BYTES: i64 = 4096;

/// What a process holds in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Pages it shares with others count in part.
    pub(super) pss: i64,
    pub(super) rss: i64,
}

impl Held {
    pub(super) fn of_process(pid: u32) -> anyhow::Result<Self> {
        let path = format!("/proc/{pid}/smaps_rollup");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        Self::parse(&text).with_context(|| format!("{path} has no Pss and Rss"))
    }

    fn parse(text: &str) -> Option<Self> {
        Some(Self { pss: kilobytes(text, "Pss")?, rss: kilobytes(text, "Rss")? })
    }

    pub(super) fn since(self, earlier: Self) -> Self {
        Self { pss: self.pss - earlier.pss, rss: self.rss - earlier.rss }
    }
}

/// What the kernel holds in bytes, for all processes together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kernel {
    pub(super) slab: i64,
    /// The part of it that cannot be given back.
    pub(super) slab_unreclaimable: i64,
    /// Buffers of TCP sockets.
    pub(super) tcp_buffers: i64,
    /// TCP sockets there are.
    pub(super) tcp_sockets: i64,
}

impl Kernel {
    pub(super) fn read() -> anyhow::Result<Self> {
        let meminfo = fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
        let sockstat = fs::read_to_string("/proc/net/sockstat");
        Self::parse(&meminfo, &sockstat.context("cannot read /proc/net/sockstat")?)
            .context("/proc/meminfo has no Slab and SUnreclaim, or /proc/net/sockstat no TCP")
    }

    fn parse(meminfo: &str, sockstat: &str) -> Option<Self> {
        let tcp = sockstat.lines().find_map(|line| line.strip_prefix("TCP: "))?;
        Some(Self {
            slab: kilobytes(meminfo, "Slab")?,
            slab_unreclaimable: kilobytes(meminfo, "SUnreclaim")?,
            tcp_buffers: PAGE_BYTES * number_after(tcp, "mem")?,
            tcp_sockets: number_after(tcp, "alloc")?,
        })
    }

    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            slab: self.slab - earlier.slab,
            slab_unreclaimable: self.slab_unreclaimable - earlier.slab_unreclaimable,
            tcp_buffers: self.tcp_buffers - earlier.tcp_buffers,
            tcp_sockets: self.tcp_sockets - earlier.tcp_sockets,
        }
    }
}

/// Bytes for each of `count`, whole ones; what has shrunk is negative.
pub(super) fn bytes_each(bytes: i64, count: u64) -> f64 {
    // Adding zero makes one of minus zero.
    (bytes as f64 / count.max(1) as f64).round() + 0.0
}

/// The line `NAME:   1234 kB`, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<i64> {
    let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let value = values.next()?.trim().strip_suffix("kB")?;
    value.trim().parse::<i64>().ok().map(|kilobytes| kilobytes * 1024)
}

/// The number behind a word in `inuse 5 orphan 0`.
fn number_after(line: &str, name: &str) -> Option<i64> {
    let mut words = line.split_ascii_whitespace();
    words.find(|word| *word == name)?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests;
