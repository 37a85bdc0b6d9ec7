//! Where the payloads of `avocet pub` come from.

use std::{
    io::{BufRead, Read},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    time::{Duration, Instant},
};

use anyhow::Context;

use super::publish::PubArgs;

/// Lines read ahead.
const LINES_AHEAD: usize = 64;

#[derive(Debug)]
pub(super) enum Source {
    /// The same payload so many times, with a pause between.
    Repeated { payload: Vec<u8>, left: u64, pause: Duration },
    /// Lines as they come; a thread waits for them.
    Lines(Receiver<std::io::Result<Vec<u8>>>),
}

/// What a source has to give.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Payload(Vec<u8>),
    /// Nothing before the time was over.
    Nothing,
    End,
}

impl Source {
    pub(super) fn open(args: &PubArgs) -> anyhow::Result<Self> {
        if args.stdin_line {
            let (sender, receiver) = sync_channel(LINES_AHEAD);
            std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
                for line in std::io::stdin().lock().split(b'\n') {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            })?;
            return Ok(Self::Lines(receiver));
        }
        let payload = if let Some(message) = &args.message {
            message.clone().into_bytes()
        } else if let Some(file) = &args.file {
            std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?
        } else if args.stdin_file {
            let mut payload = Vec::new();
            std::io::stdin().read_to_end(&mut payload).context("cannot read standard input")?;
            payload
        } else {
            Vec::new()
        };
        Ok(Self::Repeated { payload, left: args.repeat, pause: args.repeat_delay })
    }

    /// How long to wait before asking for the next.
    pub(super) fn pause(&self) -> Duration {
        match self {
            Self::Repeated { left, pause, .. } if *left > 0 => *pause,
            Self::Repeated { .. } | Self::Lines(_) => Duration::ZERO,
        }
    }

    /// The next payload, or nothing if there is none until then.
    pub(super) fn next(&mut self, until: Option<Instant>) -> anyhow::Result<Next> {
        match self {
            Self::Repeated { left: 0, .. } => Ok(Next::End),
            Self::Repeated { left: left @ 1, payload, .. } => {
                *left = 0;
                Ok(Next::Payload(std::mem::take(payload)))
            }
            Self::Repeated { payload, left, .. } => {
                *left -= 1;
                Ok(Next::Payload(payload.clone()))
            }
            Self::Lines(lines) => {
                let left = until.map(|until| until.saturating_duration_since(Instant::now()));
                let line = match left {
                    Some(left) => lines.recv_timeout(left),
                    None => lines.recv().map_err(|_| RecvTimeoutError::Disconnected),
                };
                match line {
                    Ok(line) => Ok(Next::Payload(line.context("cannot read standard input")?)),
                    Err(RecvTimeoutError::Timeout) => Ok(Next::Nothing),
                    Err(RecvTimeoutError::Disconnected) => Ok(Next::End),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
