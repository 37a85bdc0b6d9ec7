//! Runs clients that are not ours. A client that is missing makes its scenario *not run*, which
//! is written down for `cargo xtask test` to say aloud, and fails where `CI=true`.

use std::{
    env,
    fs::OpenOptions,
    io::{BufRead, BufReader, Read, Write},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
};

use crate::deadline;

/// Where `cargo xtask services clients` installs.
fn services() -> PathBuf {
    let chosen = env::var_os("AVOCET_SERVICES").map(PathBuf::from);
    let home = || PathBuf::from(env::var_os("HOME").unwrap_or_default());
    chosen.unwrap_or_else(|| home().join(".cache/avocet-services"))
}

/// The repository: what cargo says at run time, since checkouts may share their output folder.
pub fn repository() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    package.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR"))).join("../..")
}

fn clients() -> PathBuf {
    repository().join("crates/avocet-tests/clients")
}

/// A program on the path, or a note that the scenario was not run.
pub fn program(name: &str, scenario: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    let found =
        env::split_paths(&folders).map(|folder| folder.join(name)).find(|file| file.is_file());
    if found.is_none() {
        not_run(scenario, name);
    }
    found
}

/// A script of `clients/python`, run by the interpreter that has the pinned clients.
pub fn python(script: &str) -> Option<Command> {
    let interpreter = services().join("python/bin/python");
    if !interpreter.is_file() {
        not_run(script, "the Python clients");
        return None;
    }
    let mut command = Command::new(interpreter);
    command.arg(clients().join("python").join(script)).env("PYTHONDONTWRITEBYTECODE", "1");
    Some(command)
}

/// A script of `clients/node`, with the pinned modules.
pub fn node(script: &str) -> Option<Command> {
    let modules = services().join("node/node_modules");
    if !modules.join("mqtt").is_dir() {
        not_run(script, "MQTT.js");
        return None;
    }
    let mut command = Command::new(program("node", script)?);
    command.arg(clients().join("node").join(script)).env("NODE_PATH", modules);
    Some(command)
}

fn not_run(scenario: &str, program: &str) {
    let line = format!("{scenario}: {program} is not installed");
    missing(&line, "`cargo xtask services clients` installs it");
}

/// As [`note`], for what can be had: a failure where `CI=true`.
pub fn missing(line: &str, remedy: &str) {
    let in_ci = env::var("CI").is_ok_and(|value| value == "true");
    assert!(!in_ci, "{line}; {remedy}");
    note(line);
}

/// Notes that a scenario was not run.
#[expect(clippy::print_stderr, reason = "what was not run is said aloud")]
pub fn note(line: &str) {
    eprintln!("!! not run: {line}");
    if let Some(file) = env::var_os("AVOCET_NOT_RUN") {
        let opened = OpenOptions::new().create(true).append(true).open(file);
        let written = opened.and_then(|mut file| writeln!(file, "{line}"));
        written.expect("the file of AVOCET_NOT_RUN is writable");
    }
}

/// A client in the background; killed when the test ends before it does.
#[derive(Debug)]
pub struct Running {
    child: Option<Child>,
    line: String,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let line = format!("{command:?}");
        let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = piped.spawn().unwrap_or_else(|error| panic!("starting {line}: {error}"));
        Self { child: Some(child), line }
    }

    /// The first line it prints. What it prints later is lost: it is to be killed then.
    #[track_caller]
    pub fn first_line(&mut self) -> String {
        let child = self.child.as_mut().expect("it runs until it is finished");
        let stdout = child.stdout.take().expect("its first line is asked for once");
        let (sender, receiver) = mpsc::sync_channel(1);
        thread::spawn(move || {
            let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
            // The receiver is gone only when the test has failed already.
            drop(sender.send(lines.next()));
            lines.for_each(drop);
        });
        let line = receiver.recv_timeout(deadline::ANSWER).ok().flatten();
        line.unwrap_or_else(|| panic!("{} prints nothing", self.line))
    }

    /// Waits for its end; it has to succeed. Returns what it printed.
    #[track_caller]
    pub fn finish(mut self) -> String {
        let mut child = self.child.take().expect("a running client is finished once");
        let stdout = child.stdout.take().map(read_in_background);
        let stderr = child.stderr.take().map(read_in_background);
        let ended = deadline::poll(deadline::SCENARIO, || child.try_wait().ok().flatten());
        let Some(status) = ended else {
            drop(child.kill());
            drop(child.wait());
            panic!("{} takes longer than {:?}", self.line, deadline::SCENARIO);
        };
        let text = |reader: Option<thread::JoinHandle<Vec<u8>>>| {
            reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
        };
        let output = Output { status, stdout: text(stdout), stderr: text(stderr) };
        let said = String::from_utf8_lossy(&output.stderr);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}: {status}\n{printed}\n{said}", self.line);
        printed
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn read_in_background(mut from: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What could be read before an error is all there is to show.
        drop(from.read_to_end(&mut bytes));
        bytes
    })
}

/// Runs a client to its end; it has to succeed. Returns what it printed.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    Running::start(command).finish()
}
