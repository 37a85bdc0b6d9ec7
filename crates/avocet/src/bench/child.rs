//! Processes that a comparison starts from this executable. However it ends, they end with it.

use std::{
    ffi::OsString,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, bail};

use crate::signals;

/// Holds the processes, and a directory for them to write to.
#[derive(Debug)]
pub(super) struct Children {
    kept: Arc<Kept>,
}

#[derive(Debug)]
struct Kept {
    directory: PathBuf,
    processes: Mutex<Vec<Child>>,
}

/// A process that serves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Serving {
    pub(super) pid: u32,
    pub(super) port: u16,
}

impl Children {
    pub(super) fn new() -> anyhow::Result<Self> {
        let name = format!("avocet-bench-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory)
            .with_context(|| format!("cannot make the directory {}", directory.display()))?;
        let kept = Arc::new(Kept { directory, processes: Mutex::default() });
        let on_signal = Arc::clone(&kept);
        signals::on_end(move || {
            on_signal.end();
            std::process::exit(1);
        })?;
        Ok(Self { kept })
    }

    /// Where the processes may write.
    pub(super) fn directory(&self) -> &Path {
        &self.kept.directory
    }

    /// Starts this executable with `arguments` and waits for its ready line.
    pub(super) fn start(&self, name: &str, arguments: &[String]) -> anyhow::Result<Serving> {
        let executable = std::env::current_exe().context("cannot find our own executable")?;
        let log_path = self.kept.directory.join(format!("{name}.log"));
        let log = fs::File::create(&log_path).context("cannot write to the directory")?;
        let mut child = Command::new(executable)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start the {name}"))?;
        let (pid, output) = (child.id(), child.stdout.take());
        self.kept.processes.lock().unwrap_or_else(PoisonError::into_inner).push(child);
        let mut line = String::new();
        if let Some(output) = output {
            BufReader::new(output).read_line(&mut line)?;
        }
        match ready_port(&line) {
            Some(port) => Ok(Serving { pid, port }),
            None => {
                let log = fs::read_to_string(&log_path).unwrap_or_default();
                bail!("the {name} does not serve: {}", log.trim())
            }
        }
    }

    /// Starts this executable with `arguments`; what it says on standard error, everyone sees.
    pub(super) fn start_part(
        &self,
        arguments: &[OsString],
    ) -> anyhow::Result<(ChildStdin, BufReader<ChildStdout>)> {
        let executable = std::env::current_exe().context("cannot find our own executable")?;
        let mut child = Command::new(executable)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a process to share the load")?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        self.kept.processes.lock().unwrap_or_else(PoisonError::into_inner).push(child);
        let (stdin, stdout) = pipes.context("a process has no pipes")?;
        Ok((stdin, BufReader::new(stdout)))
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.kept.end();
    }
}

impl Kept {
    fn end(&self) {
        let mut processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner);
        for child in processes.iter_mut() {
            // One that has ended already is as good.
            child.kill().ok();
            child.wait().ok();
        }
        processes.clear();
        fs::remove_dir_all(&self.directory).ok();
    }
}

/// The port in `ready tcp.default=127.0.0.1:1883 ...`.
fn ready_port(line: &str) -> Option<u16> {
    let mut words = line.strip_prefix("ready ")?.split_ascii_whitespace();
    let address = words.find_map(|word| word.strip_prefix("tcp.default="))?;
    address.rsplit(':').next()?.parse().ok()
}

#[cfg(test)]
mod tests;
