//! Foreign clients that the black-box tests need: installed once, quickly found again.
//!
//! Everything that is not a Debian package lives under `$AVOCET_SERVICES`. What cannot be had on
//! a machine is said aloud and never counted as passed.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::Subcommand;

use crate::repository;

const CLIENTS: &str = "crates/avocet-tests/clients";
const POLICY: &str = "/usr/sbin/policy-rc.d";

#[derive(Debug, Subcommand)]
pub(crate) enum Services {
    /// Installs `mosquitto_pub`, the Python clients, MQTT.js and the programs they need.
    Clients,
    /// Installs brokers to measure Avocet beside: mosquitto, RabbitMQ, NATS, rumqttd and rmqttd.
    Peers,
}

pub(crate) fn run(what: &Services) -> Result<()> {
    match what {
        Services::Clients => clients().map(|notes| repository::print_notes(&notes)),
        Services::Peers => peers().map(|notes| repository::print_notes(&notes)),
    }
}

/// Where clients and servers are installed.
pub(crate) fn folder() -> Result<PathBuf> {
    if let Some(chosen) = env::var_os("AVOCET_SERVICES") {
        return Ok(PathBuf::from(chosen));
    }
    let home = env::var_os("HOME").context("neither AVOCET_SERVICES nor HOME is set")?;
    Ok(Path::new(&home).join(".cache/avocet-services"))
}

/// Installs what is missing; returns a note for each client that cannot be had.
pub(crate) fn clients() -> Result<Vec<String>> {
    let folder = folder()?;
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let mut notes = Vec::new();
    let parts = [
        ("mosquitto_pub and mosquitto_sub", mosquitto()),
        ("paho-mqtt, aiomqtt, gmqtt, aioquic and prometheus_client", python(&folder)),
        ("MQTT.js", node(&folder)),
        ("openssl", debian_program("openssl", "openssl")),
        ("ip and unshare", network()),
    ];
    for (name, outcome) in parts {
        match outcome {
            Ok(()) => println!("there: {name}"),
            Err(error) => notes.push(format!("not run: {name} cannot be had: {error:#}")),
        }
    }
    Ok(notes)
}

/// Installs what is missing; returns a note for each broker that cannot be had.
fn peers() -> Result<Vec<String>> {
    let folder = folder()?.join("peers");
    let mut notes = Vec::new();
    let parts = [
        ("mosquitto", debian_program("mosquitto", "mosquitto")),
        ("NATS", debian_program("nats-server", "nats-server")),
        ("RabbitMQ", debian_program("rabbitmqctl", "rabbitmq-server")),
        // What it was locked to does not compile any more.
        ("rumqttd", crate_program(&folder, "rumqttd", &[])),
        (
            "rmqttd",
            debian_program("protoc", "protobuf-compiler")
                .and_then(|()| crate_program(&folder, "rmqttd", &["--locked"])),
        ),
    ];
    for (name, outcome) in parts {
        match outcome {
            Ok(()) => println!("there: {name}"),
            Err(error) => notes.push(format!("not run: {name} cannot be had: {error:#}")),
        }
    }
    Ok(notes)
}

fn debian_program(program: &str, package: &str) -> Result<()> {
    if on_path(program) { Ok(()) } else { debian(package) }
}

/// Where programs of the crates registry are installed that help to build.
pub(crate) fn crate_program_folder() -> Result<PathBuf> {
    Ok(folder()?.join("tools"))
}

/// A program of the crates registry, built here.
pub(crate) fn crate_program(folder: &Path, name: &str, options: &[&str]) -> Result<()> {
    if folder.join("bin").join(name).is_file() {
        return Ok(());
    }
    let root = folder.display().to_string();
    let install = ["install", "--quiet", "--root", &root, name];
    let mut cargo = repository::cargo(&[&install[..], options].concat());
    // A folder of its own, which is of no use afterwards.
    let target = folder.join("target");
    repository::succeed(cargo.env("CARGO_TARGET_DIR", &target))?;
    fs::remove_dir_all(&target).with_context(|| format!("removing {}", target.display()))
}

fn mosquitto() -> Result<()> {
    if on_path("mosquitto_pub") && on_path("mosquitto_sub") {
        return Ok(());
    }
    debian("mosquitto-clients")
}

/// For a broker in a network of its own; `unshare` is on every Debian.
fn network() -> Result<()> {
    if on_path("ip") { Ok(()) } else { debian("iproute2") }
}

fn python(folder: &Path) -> Result<()> {
    let wanted = repository::read(&format!("{CLIENTS}/python/requirements.txt"))?;
    let venv = folder.join("python");
    let stamp = venv.join("installed-requirements.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    if !repository::works(&mut repository::command("python3", &["-m", "ensurepip", "--version"])) {
        debian("python3-venv")?;
    }
    let path = venv.display().to_string();
    repository::succeed(&mut repository::command("python3", &["-m", "venv", "--clear", &path]))?;
    let pip = venv.join("bin/pip").display().to_string();
    let requirements = format!("{CLIENTS}/python/requirements.txt");
    let arguments = ["install", "--quiet", "--disable-pip-version-check", "-r", &requirements];
    repository::succeed(&mut repository::command(&pip, &arguments))?;
    fs::write(&stamp, wanted).with_context(|| format!("writing {}", stamp.display()))
}

fn node(folder: &Path) -> Result<()> {
    let wanted = repository::read(&format!("{CLIENTS}/node/package-lock.json"))?;
    let modules = folder.join("node");
    let stamp = modules.join("installed-package-lock.json");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    if !on_path("npm") {
        debian("npm")?;
    }
    fs::create_dir_all(&modules)?;
    for file in ["package.json", "package-lock.json"] {
        fs::write(modules.join(file), repository::read(&format!("{CLIENTS}/node/{file}"))?)?;
    }
    let mut npm = repository::command("npm", &["ci", "--silent", "--no-audit", "--no-fund"]);
    repository::succeed(npm.current_dir(&modules))?;
    fs::write(&stamp, wanted).with_context(|| format!("writing {}", stamp.display()))
}

fn on_path(program: &str) -> bool {
    let folders = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&folders).any(|folder| folder.join(program).is_file())
}

/// Installs a Debian package without letting it start a service.
fn debian(package: &str) -> Result<()> {
    let no_autostart = !Path::new(POLICY).exists();
    if no_autostart {
        let script = format!("printf '#!/bin/sh\\nexit 101\\n' > {POLICY} && chmod 755 {POLICY}");
        repository::succeed(&mut as_root(&["sh", "-c", &script]))?;
    }
    let wait = "DPkg::Lock::Timeout=600";
    let install = ["apt-get", "-q", "-y", "-o", wait, "install", "--no-install-recommends"];
    let install = [&install[..], &[package]].concat();
    let outcome = repository::succeed(&mut as_root(&install)).or_else(|_| {
        repository::succeed(&mut as_root(&["apt-get", "-q", "-o", wait, "update"]))?;
        repository::succeed(&mut as_root(&install))
    });
    if no_autostart {
        repository::succeed(&mut as_root(&["rm", POLICY]))?;
    }
    outcome
}

/// The command as it is for root, by way of sudo (without asking) for others.
pub(crate) fn as_root(words: &[&str]) -> std::process::Command {
    let root = repository::output(&mut repository::command("id", &["-u"]));
    let mut words = words.to_vec();
    if root.is_ok_and(|id| id.trim() != "0") {
        words.splice(0..0, ["sudo", "-n"]);
    }
    let mut command = repository::command(words[0], &words[1..]);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}
