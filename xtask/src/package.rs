//! `cargo xtask package`: the Debian package, and with `--check` whether it can be lived with.
//!
//! What the package has beside the program is made by the program itself: manual pages, completion
//! in shells. Its configuration is the example of the reference, with the place where a package
//! keeps its data.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::{repository, services};

const CARGO_DEB: &str = "3.8.0";
const EXAMPLE: &str = "docs/reference/avocet.toml";
const UNIT: &str = "/lib/systemd/system/avocet.service";
/// What is gone once the package is purged.
const PLACES: [&str; 7] = [
    "/etc/avocet",
    "/lib/systemd/system/avocet.service",
    "/usr/bin/avocet",
    "/usr/share/bash-completion/completions/avocet",
    "/usr/share/doc/avocet",
    "/usr/share/man/man1/avocet.1.gz",
    "/var/lib/avocet",
];

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Also install the package here, run the broker as its unit says, use it, and purge it. For
    /// machines that can be thrown away; needs root.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let package = build()?;
    println!("wrote {}", package.display());
    if options.check {
        let notes = check(&package)?;
        repository::print_notes(&notes);
    }
    Ok(())
}

fn build() -> Result<PathBuf> {
    let build = ["build", "--quiet", "--release", "--package", "avocet", "--features", "full"];
    repository::succeed(&mut repository::cargo(&build))?;
    let release = repository::target().join("release");
    let folder = release.join("package");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let program = release.join("avocet").display().to_string();
    for (shell, name) in [("bash", "avocet.bash"), ("fish", "avocet.fish"), ("zsh", "_avocet")] {
        let mut completions = repository::command(&program, &["completions", shell]);
        fs::write(folder.join(name), repository::output(&mut completions)?)?;
    }
    let manual = folder.join("man");
    if manual.exists() {
        fs::remove_dir_all(&manual)?;
    }
    let manual = manual.display().to_string();
    repository::succeed(&mut repository::command(&program, &["manual", &manual]))?;
    repository::succeed(&mut repository::command("gzip", &["-9", "-n", "--recursive", &manual]))?;
    let example = repository::read(EXAMPLE)?;
    let configuration = example.replace("\"./avocet-data\"", "\"/var/lib/avocet\"");
    ensure!(configuration != example, "{EXAMPLE} names no data directory");
    fs::write(folder.join("avocet.toml"), configuration)?;

    let tools = services::crate_program_folder()?;
    services::crate_program(&tools, "cargo-deb", &["--locked", "--version", CARGO_DEB])?;
    let cargo_deb = tools.join("bin/cargo-deb").display().to_string();
    let package = release.join("package/avocet.deb").display().to_string();
    let words = ["--quiet", "--no-build", "--strip", "--package", "avocet", "--output", &package];
    let mut deb = repository::command(&cargo_deb, &words);
    deb.env("CARGO_TARGET_DIR", repository::target());
    repository::succeed(&mut deb)?;
    Ok(PathBuf::from(package))
}

fn check(package: &Path) -> Result<Vec<String>> {
    ensure!(!Path::new(UNIT).exists(), "avocet is installed here already");
    let mut notes = Vec::new();
    let path = package.display().to_string();
    let deb = |words: &[&str]| repository::succeed(&mut services::as_root(words));
    if repository::works(&mut repository::command("lintian", &["--version"])) {
        // The changes are in a file of the repository, and nobody takes mail for us.
        let known = "no-changelog,bogus-mail-host";
        let words = ["--fail-on", "error,warning", "--suppress-tags", known, &path];
        repository::succeed(&mut repository::command("lintian", &words))?;
    } else {
        notes.push("not run: lintian, which is not installed".to_owned());
    }
    deb(&["dpkg", "--install", &path])?;
    let outcome = check_installed(&mut notes);
    deb(&["dpkg", "--purge", "avocet"])?;
    outcome?;
    let left: Vec<&str> = PLACES.into_iter().filter(|place| Path::new(place).exists()).collect();
    ensure!(left.is_empty(), "left behind by the purge: {}", left.join(", "));
    let known = repository::works(&mut repository::command("getent", &["passwd", "avocet"]));
    ensure!(!known, "the user avocet is left behind");
    println!("installed, used and purged");
    Ok(notes)
}

/// The broker as its unit would start it, with a client of others.
fn check_installed(notes: &mut Vec<String>) -> Result<()> {
    if repository::works(&mut repository::command("systemd-analyze", &["--version"])) {
        let verify = ["verify", "--man=no", UNIT];
        repository::succeed(&mut repository::command("systemd-analyze", &verify))?;
    } else {
        notes.push("not run: systemd-analyze verify, which is not installed".to_owned());
    }
    let unit = fs::read_to_string(UNIT)?;
    let line = |key: &str| {
        let value = unit.lines().find_map(|line| line.strip_prefix(key));
        value.with_context(|| format!("the unit has no `{key}`"))
    };
    let (user, start) = (line("User=")?, line("ExecStart=")?);
    let (folder, files) = (line("WorkingDirectory=")?, line("LimitNOFILE=")?);
    // What systemd makes of StateDirectory.
    let words = ["install", "--directory", "--owner", user, "--group", user, "/var/lib/avocet"];
    repository::succeed(&mut services::as_root(&words))?;
    let group = format!("--regid={user}");
    let user = format!("--reuid={user}");
    let limit = format!("--nofile={files}");
    let mut words = Vec::new();
    if repository::works(&mut services::as_root(&["prlimit", &limit, "true"])) {
        words.extend(["prlimit", &limit]);
    } else {
        notes.push(format!("not run: LimitNOFILE={files}, which this machine does not permit"));
    }
    words.extend(["setpriv", &user, &group, "--clear-groups", "--"]);
    words.extend(start.split(' '));
    words.extend(["--set", "listeners.tcp.default.bind=127.0.0.1:0"]);
    words.extend(["--set", "http.bind=127.0.0.1:0"]);
    let mut broker = services::as_root(&words);
    broker.current_dir(folder).stdout(Stdio::piped());
    let mut broker = Running(broker.spawn().context("starting the broker of the package")?);
    let ready = broker.first_line()?;
    let port = ready.split(' ').find_map(|word| word.strip_prefix("tcp.default=127.0.0.1:"));
    let port = port.with_context(|| format!("it said: {ready}"))?;
    let topic = ["-p", port, "-t", "package", "-q", "1", "-W", "10"];
    let send = [&topic[..6], &["-r", "-m", "it works"]].concat();
    repository::succeed(&mut repository::command("mosquitto_pub", &send))?;
    let receive = [&topic[..], &["-C", "1"]].concat();
    let received = repository::output(&mut repository::command("mosquitto_sub", &receive))?;
    ensure!(received == "it works\n", "mosquitto_sub received {received:?}");
    broker.stop()
}

/// A process that is ended with us.
struct Running(Child);

impl Running {
    fn first_line(&mut self) -> Result<String> {
        let stdout = self.0.stdout.take().context("standard output is piped")?;
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line)?;
        Ok(line.trim_end().to_owned())
    }

    /// Stops it as systemd does.
    fn stop(mut self) -> Result<()> {
        let id = self.0.id().to_string();
        repository::succeed(&mut services::as_root(&["kill", "-TERM", &id]))?;
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match self.0.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("the broker ended with {status}"),
                None if Instant::now() > deadline => bail!("the broker does not end"),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
