//! Work that several processes share, each with descriptors and a processor of its own. They are
//! started with the same command line and told which part is theirs; each says `ready`, waits for a
//! line on its standard input, and prints one line of JSON for the process that merges: once, or
//! for each stretch of a course.

use std::{
    io::{self, BufRead, BufReader, Write},
    ops::Range,
    process::{ChildStdin, ChildStdout},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;

use super::{
    child::Children,
    crowd::{Crowd, Rest},
    link::Poller,
};
use crate::cli::print;

/// How long to wait for anything before looking again.
const WAIT: Duration = Duration::from_millis(50);

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct ProcessArgs {
    /// Processes that share the work; each does a part of it, with clients and topics of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    processes: u32,
    /// Which of them this one is.
    #[arg(long, hide = true)]
    part: Option<u32>,
}

/// What this process is among those that share a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Alone,
    /// It starts so many and merges what they find.
    Parent(u32),
    Part(Part),
}

/// One of several processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) index: u32,
    of: u32,
}

impl ProcessArgs {
    pub(super) fn role(self) -> Role {
        match self.part {
            Some(index) => Role::Part(Part { index, of: self.processes.max(index + 1) }),
            None if self.processes > 1 => Role::Parent(self.processes),
            None => Role::Alone,
        }
    }
}

impl Role {
    /// Which of `count` belong to this process; everyone has some.
    pub(super) fn share(self, count: u64) -> Result<Range<u64>, String> {
        let part = match self {
            Self::Alone => return Ok(0..count),
            Self::Parent(of) => Part { index: 0, of },
            Self::Part(part) => part,
        };
        if count < part.of.into() {
            return Err(format!("{count} cannot be shared by {} processes", part.of));
        }
        Ok(if matches!(self, Self::Parent(_)) { 0..count } else { part.share(count) })
    }

    /// How many of `count` belong to this process.
    pub(super) fn part_of(self, count: u64) -> Result<u64, String> {
        self.share(count).map(|share| share.end - share.start)
    }

    /// How much of the whole this process does.
    pub(super) fn fraction(self) -> f64 {
        if let Self::Part(part) = self { 1.0 / f64::from(part.of) } else { 1.0 }
    }

    pub(super) fn part(self) -> Option<Part> {
        if let Self::Part(part) = self { Some(part) } else { None }
    }

    /// Whether this process shows how far the run is.
    pub(super) fn shows_progress(self) -> bool {
        self.part().is_none_or(|part| part.index == 0)
    }

    /// How many loads this process tells of.
    pub(super) fn loads(self) -> u32 {
        if let Self::Parent(of) = self { of } else { 1 }
    }

    /// What is said of the processes, if there are several.
    pub(super) fn to_text(self) -> String {
        match self.processes() {
            1 => String::new(),
            several => format!(" of {several} processes"),
        }
    }

    /// How many processes share the load.
    pub(super) fn processes(self) -> u32 {
        match self {
            Self::Alone => 1,
            Self::Parent(of) | Self::Part(Part { of, .. }) => of,
        }
    }
}

impl Part {
    /// Parts that differ by one at most and have nothing in common.
    fn share(self, count: u64) -> Range<u64> {
        let edge = |index: u32| count * u64::from(index) / u64::from(self.of);
        edge(self.index)..edge(self.index + 1)
    }

    /// Says that we are ready and waits until all are.
    #[expect(clippy::unused_self, reason = "only a part has a gate")]
    pub(super) fn wait_for_all(self) -> anyhow::Result<()> {
        print("ready\n");
        begin()
    }

    /// The same, time after time, while the clients are kept connected; the crowd listens to our
    /// standard input.
    #[expect(clippy::unused_self, reason = "only a part has a gate")]
    pub(super) fn rest_until_all(self, crowd: &mut Crowd) -> anyhow::Result<()> {
        print("ready\n");
        rest_until_called(crowd)?;
        begin()
    }

    /// Keeps the clients connected until the process that started us ends our standard input.
    #[expect(clippy::unused_self, reason = "only a part waits for its end")]
    pub(super) fn wait_for_end(self, crowd: &mut Crowd) -> anyhow::Result<()> {
        crowd.listen_to(&io::stdin())?;
        rest_until_called(crowd)?;
        crowd.check()?;
        crowd.leave()
    }
}

/// Takes the word to begin.
fn begin() -> anyhow::Result<()> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    if line.is_empty() {
        bail!("the process that started us is gone");
    }
    Ok(())
}

fn rest_until_called(crowd: &mut Crowd) -> anyhow::Result<()> {
    while !crowd.take_call() {
        crowd.turn(WAIT, &mut Rest)?;
    }
    Ok(())
}

/// The processes that were started. They end with this.
#[derive(Debug)]
pub(super) struct Parts {
    pipes: Vec<(ChildStdin, BufReader<ChildStdout>)>,
    _children: Children,
}

impl Parts {
    /// Starts so many processes with our own arguments and waits until all are ready.
    pub(super) fn start(count: u32) -> anyhow::Result<Self> {
        let children = Children::new()?;
        let mut pipes = Vec::new();
        for index in 0..count {
            let mut arguments: Vec<_> = std::env::args_os().skip(1).collect();
            arguments.extend(["--part".into(), index.to_string().into()]);
            pipes.push(children.start_part(&arguments)?);
        }
        let mut parts = Self { pipes, _children: children };
        parts.wait_until_ready()?;
        Ok(parts)
    }

    /// Waits until all are ready, for what they do next if they have begun before.
    pub(super) fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        for line in self.lines()? {
            if line.trim() != "ready" {
                bail!("a process did not get ready");
            }
        }
        Ok(())
    }

    /// Lets all begin.
    pub(super) fn go(&mut self) -> anyhow::Result<()> {
        for (stdin, _) in &mut self.pipes {
            stdin.write_all(b"go\n").context("a process that shares the load has ended")?;
        }
        Ok(())
    }

    /// What each has found.
    pub(super) fn results(&mut self) -> anyhow::Result<Vec<Value>> {
        let lines = self.lines()?.into_iter();
        lines.map(|line| serde_json::from_str(&line).context("a process failed")).collect()
    }

    /// Waits so long while nothing happens; a process that ends is a failure.
    pub(super) fn rest(&self, duration: Duration) -> anyhow::Result<()> {
        let (mut poller, mut ready) = (Poller::new()?, Vec::new());
        for (_, stdout) in &self.pipes {
            poller.add(stdout.get_ref(), 0)?;
        }
        let end = Instant::now() + duration;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            poller.wait(Some(left), &mut ready)?;
            if !ready.is_empty() {
                bail!("a process that shares the load has ended");
            }
        }
    }

    /// Lets all end, and waits until they have.
    pub(super) fn end(self) -> anyhow::Result<()> {
        let (inputs, outputs): (Vec<_>, Vec<_>) = self.pipes.into_iter().unzip();
        drop(inputs);
        for mut output in outputs {
            io::copy(&mut output, &mut io::sink())?;
        }
        Ok(())
    }

    fn lines(&mut self) -> anyhow::Result<Vec<String>> {
        let pipes = self.pipes.iter_mut().enumerate();
        let lines = pipes.map(|(index, (_, stdout))| {
            let mut line = String::new();
            match stdout.read_line(&mut line)? {
                0 => bail!("process {index} of those that share the load has ended"),
                _ => Ok(line),
            }
        });
        lines.collect()
    }
}

#[cfg(test)]
mod tests;
