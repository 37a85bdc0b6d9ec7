//! Manifests: who may use whom.

use toml::{Table, Value};

use super::{File, Finding};

/// Of our crates, what each may use; a crate that is not here has no place in the design.
const MAY_USE: [(&str, &[&str]); 15] = [
    ("avocet-mqtt", &[]),
    ("avocet-session", &["mqtt"]),
    ("avocet-router", &["mqtt"]),
    ("avocet-plugin", &["mqtt"]),
    ("avocet-storage", &["mqtt", "plugin"]),
    ("avocet-auth", &["mqtt", "plugin"]),
    ("avocet-connectors", &["mqtt", "plugin", "auth", "storage"]),
    ("avocet-rules", &["mqtt", "plugin"]),
    ("avocet-config", &[]),
    ("avocet-net", &[]),
    ("avocet-broker", &["mqtt", "session", "router", "plugin", "net"]),
    ("avocet-gateway", &["mqtt", "session", "plugin", "net", "broker"]),
    ("avocet-cluster", &["mqtt", "router", "storage", "plugin", "net", "broker"]),
    ("avocet-http", &["mqtt", "plugin", "net", "broker"]),
    ("xtask", &[]),
];

/// Settings as documented types: a vocabulary for every crate that has settings, so all but the
/// pure ones, whose settings are plain arguments.
const SETTINGS: &str = "avocet-config";

/// Crates on top, which may use all others.
const MAY_USE_ALL: [&str; 4] = ["avocet", "avocet-fuzz", "avocet-instructions", "avocet-tests"];

/// Crates that decide and know no socket, clock or dice.
const PURE: [&str; 3] = ["avocet-mqtt", "avocet-session", "avocet-router"];

const NOT_IN_PURE: [&str; 14] = [
    "async-io",
    "async-std",
    "fastrand",
    "futures",
    "getrandom",
    "libc",
    "mio",
    "nix",
    "polling",
    "rand",
    "rustix",
    "smol",
    "socket2",
    "tokio",
];

pub(super) fn findings(files: &[File]) -> Vec<Finding> {
    let manifests = files.iter().filter(|file| {
        let parts: Vec<&str> = file.path.split('/').collect();
        matches!(parts[..], ["crates", _, "Cargo.toml"] | ["xtask", "Cargo.toml"])
    });
    manifests.flat_map(|file| manifest(file, files)).collect()
}

fn manifest(file: &File, files: &[File]) -> Vec<Finding> {
    let table: Table = match file.text.parse() {
        Ok(table) => table,
        Err(error) => return vec![finding(file, 0, format!("is no TOML: {error}"))],
    };
    let folder = file.path.trim_end_matches("/Cargo.toml");
    let name = table.get("package").and_then(|package| package.get("name"));
    let name = name.and_then(Value::as_str).unwrap_or_default();
    let mut findings = Vec::new();
    if folder.rsplit('/').next() != Some(name) {
        findings.push(finding(
            file,
            0,
            format!("the folder is not called {name}, as the crate is"),
        ));
    }
    let lints = table.get("lints").and_then(|lints| lints.get("workspace"));
    if lints.and_then(Value::as_bool) != Some(true) {
        findings.push(finding(file, 0, "lacks `[lints] workspace = true`".to_owned()));
    }
    let clippy = format!("{folder}/clippy.toml");
    if PURE.contains(&name) && !files.iter().any(|other| other.path == clippy) {
        findings.push(finding(file, 0, "a pure crate has its own clippy.toml".to_owned()));
    }
    for (kind, dependency, value) in dependencies(&table) {
        let line = line_of(&file.text, dependency);
        let complaint = ours(name, dependency).or_else(|| foreign(name, kind, dependency, value));
        findings.extend(complaint.map(|message| finding(file, line, message)));
    }
    findings
}

/// Kind, name and value of every dependency, those for one platform included.
fn dependencies(table: &Table) -> Vec<(&'static str, &str, &Value)> {
    let platforms = table.get("target").and_then(Value::as_table);
    let platforms = platforms.into_iter().flat_map(Table::values).filter_map(Value::as_table);
    let mut found = Vec::new();
    for place in std::iter::once(table).chain(platforms) {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let listed = place.get(kind).and_then(Value::as_table);
            let listed = listed.into_iter().flatten();
            found.extend(listed.map(|(name, value)| (kind, name.as_str(), value)));
        }
    }
    found
}

/// What is wrong with using one of our own crates.
fn ours(name: &str, dependency: &str) -> Option<String> {
    if dependency != "avocet" && !dependency.starts_with("avocet-") {
        return None;
    }
    if MAY_USE_ALL.contains(&name) || (dependency == SETTINGS && !PURE.contains(&name)) {
        return None;
    }
    let Some((_, allowed)) = MAY_USE.iter().find(|(row, _)| *row == name) else {
        return Some(format!("{name} has no row in the dependency table of xtask"));
    };
    let short = dependency.trim_start_matches("avocet-");
    let list = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
    (!allowed.contains(&short))
        .then(|| format!("{name} must not use {dependency}; of ours it may use: {list}"))
}

/// What is wrong with using a crate of others.
fn foreign(name: &str, kind: &str, dependency: &str, value: &Value) -> Option<String> {
    let is_ours = dependency == "avocet" || dependency.starts_with("avocet-");
    let from_workspace = value.get("workspace").and_then(Value::as_bool) == Some(true);
    if is_ours {
        return (!from_workspace).then(|| format!("{dependency} is not `workspace = true`"));
    }
    if PURE.contains(&name) && kind == "dependencies" && NOT_IN_PURE.contains(&dependency) {
        return Some(format!("{name} is pure: no socket, clock or dice, so no {dependency}"));
    }
    let has_version = value.is_str() || value.get("version").is_some();
    let elsewhere = value.get("path").is_some() || value.get("git").is_some();
    (elsewhere || !(from_workspace || has_version))
        .then(|| format!("{dependency} has neither a version nor `workspace = true`"))
}

fn line_of(text: &str, dependency: &str) -> usize {
    let begins = |line: &str| {
        let rest = line.trim_start().strip_prefix(dependency);
        rest.is_some_and(|rest| rest.starts_with([' ', '.', '=']))
    };
    text.lines().position(begins).map_or(0, |index| index + 1)
}

fn finding(file: &File, line: usize, message: String) -> Finding {
    Finding { path: file.path.clone(), line, message }
}
