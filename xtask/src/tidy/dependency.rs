//! Manifests: who may use whom.

use std::collections::{BTreeMap, BTreeSet};

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
    ("avocet-broker", &["mqtt", "session", "router", "storage", "plugin", "net"]),
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

/// The table of the crates of others, each with its users and a reason.
const REASONS: &str = "ARCHITECTURE.md";
const REASONS_HEAD: &str = "| crate | used by | why |";

pub(super) fn findings(files: &[File]) -> Vec<Finding> {
    let manifests = files.iter().filter(|file| {
        let parts: Vec<&str> = file.path.split('/').collect();
        matches!(parts[..], ["crates", _, "Cargo.toml"] | ["xtask", "Cargo.toml"])
    });
    let manifests: Vec<&File> = manifests.collect();
    let mut findings: Vec<Finding> =
        manifests.iter().flat_map(|file| manifest(file, files)).collect();
    let reasons = files.iter().find(|file| file.path == REASONS);
    findings.extend(reasons.into_iter().flat_map(|file| reasons_given(file, &manifests)));
    findings
}

/// Every crate of others stands in the table with whoever uses it, and nobody else.
fn reasons_given(file: &File, manifests: &[&File]) -> Vec<Finding> {
    let mut users: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut names = BTreeSet::new();
    for manifest in manifests {
        // That it is TOML is looked at elsewhere.
        let Ok(table) = manifest.text.parse::<Table>() else { continue };
        let folder = manifest.path.trim_end_matches("/Cargo.toml").rsplit('/').next();
        let folder = folder.unwrap_or_default();
        let short = if folder == "avocet-tests" { folder } else { short_name(folder) };
        names.insert(short.to_owned());
        for (_, dependency, _) in dependencies(&table).into_iter().filter(|it| !is_ours(it.1)) {
            users.entry(dependency.to_owned()).or_default().insert(short.to_owned());
        }
    }
    let mut findings = Vec::new();
    let rows = file.text.lines().enumerate().skip_while(|(_, line)| *line != REASONS_HEAD).skip(2);
    for (index, row) in rows.take_while(|(_, line)| line.starts_with('|')) {
        let mut cells = row.split('|').skip(1).map(str::trim);
        let (Some(dependencies), Some(said)) = (cells.next(), cells.next()) else { continue };
        let said: BTreeSet<&str> = said.split([' ', ',', ';']).collect();
        for dependency in dependencies.split(", ") {
            let using = users.remove(dependency).unwrap_or_default();
            for user in using.iter().filter(|user| !said.contains(user.as_str())) {
                findings.push(finding(file, index + 1, format!("{user} uses {dependency}, too")));
            }
            for name in names.iter().filter(|name| said.contains(name.as_str())) {
                if !using.contains(name) {
                    findings.push(finding(file, index + 1, format!("{name} has no {dependency}")));
                }
            }
        }
    }
    let missing = users
        .into_keys()
        .map(|dependency| finding(file, 0, format!("does not say what {dependency} is used for")));
    findings.extend(missing);
    findings
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

fn is_ours(name: &str) -> bool {
    name == "avocet" || name.starts_with("avocet-")
}

fn short_name(name: &str) -> &str {
    name.trim_start_matches("avocet-")
}

/// What is wrong with using one of our own crates.
fn ours(name: &str, dependency: &str) -> Option<String> {
    if !is_ours(dependency) {
        return None;
    }
    // Tests of a crate that need one of its own features.
    if name == dependency {
        return None;
    }
    if MAY_USE_ALL.contains(&name) || (dependency == SETTINGS && !PURE.contains(&name)) {
        return None;
    }
    let Some((_, allowed)) = MAY_USE.iter().find(|(row, _)| *row == name) else {
        return Some(format!("{name} has no row in the dependency table of xtask"));
    };
    let short = short_name(dependency);
    let list = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
    (!allowed.contains(&short))
        .then(|| format!("{name} must not use {dependency}; of ours it may use: {list}"))
}

/// What is wrong with using a crate of others.
fn foreign(name: &str, kind: &str, dependency: &str, value: &Value) -> Option<String> {
    let from_workspace = value.get("workspace").and_then(Value::as_bool) == Some(true);
    if is_ours(dependency) {
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
