//! Sources that nobody declares, and links of documents that lead nowhere.

use std::collections::{BTreeMap, BTreeSet};

use super::{File, Finding};

pub(super) fn findings(files: &[File]) -> Vec<Finding> {
    let mut findings = dead_sources(files);
    findings.extend(files.iter().flat_map(|file| dead_links(file, files)));
    findings
}

fn dead_sources(files: &[File]) -> Vec<Finding> {
    let sources: BTreeMap<&str, &str> = files
        .iter()
        .filter(|file| file.path.ends_with(".rs"))
        .map(|file| (file.path.as_str(), file.text.as_str()))
        .collect();
    let mut reached: BTreeSet<String> = BTreeSet::new();
    let mut open: Vec<String> =
        sources.keys().filter(|path| is_root(path, files)).map(|path| (*path).to_owned()).collect();
    while let Some(path) = open.pop() {
        if !reached.insert(path.clone()) {
            continue;
        }
        let text = sources.get(path.as_str()).copied().unwrap_or_default();
        let declared = modules(&path, text, is_root(&path, files));
        open.extend(declared.into_iter().filter(|module| sources.contains_key(module.as_str())));
    }
    let dead = sources.keys().filter(|path| !reached.contains(**path));
    let message = "no module declares this file";
    dead.map(|path| Finding { path: (*path).to_owned(), line: 0, message: message.to_owned() })
        .collect()
}

/// Whether cargo itself compiles this file, unasked or because a manifest names it.
fn is_root(path: &str, files: &[File]) -> bool {
    let manifests = files.iter().filter(|file| file.path.ends_with("Cargo.toml"));
    let mut inside = manifests.filter_map(|manifest| {
        let folder = manifest.path.trim_end_matches("Cargo.toml");
        Some((path.strip_prefix(folder)?, manifest.text.as_str()))
    });
    inside.any(|(inside, manifest)| {
        let parts: Vec<&str> = inside.split('/').collect();
        let by_custom = matches!(
            parts[..],
            ["build.rs"]
                | ["src", "lib.rs" | "main.rs"]
                | ["src", "bin", _]
                | ["src", "bin", _, "main.rs"]
                | ["tests" | "benches" | "examples", _]
                | ["tests" | "benches" | "examples", _, "main.rs"]
        );
        by_custom || manifest.contains(&format!("path = \"{inside}\""))
    })
}

/// Files that the `mod name;` lines of a file may mean.
fn modules(path: &str, text: &str, is_root: bool) -> Vec<String> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = name.trim_end_matches(".rs");
    let owns_folder = is_root || stem == "mod";
    let base = if owns_folder { folder.to_owned() } else { format!("{folder}/{stem}") };
    let mut found = Vec::new();
    let mut given_path = None;
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("#[path = \"") {
            given_path = rest.split('"').next();
            continue;
        }
        let words = line.strip_suffix(';').unwrap_or_default();
        let declared = words.rsplit_once("mod ").filter(|(before, _)| {
            ["", "pub ", "pub(crate) ", "pub(super) "].contains(before) || before.ends_with("] ")
        });
        if let Some((_, module)) = declared {
            match given_path.take() {
                Some(other) => found.push(format!("{folder}/{other}")),
                None => {
                    found.push(format!("{base}/{module}.rs"));
                    found.push(format!("{base}/{module}/mod.rs"));
                }
            }
        }
    }
    found
}

fn dead_links(file: &File, files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !file.path.ends_with(".md") {
        return findings;
    }
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut in_code = false;
    for (index, line) in file.text.lines().enumerate() {
        in_code ^= line.trim_start().starts_with("```");
        if in_code {
            continue;
        }
        let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets {
            let elsewhere = target.contains("://") || target.starts_with("mailto:");
            let target = target.split(['#', ' ']).next().unwrap_or_default();
            if elsewhere || target.is_empty() || exists(&join(folder, target), files) {
                continue;
            }
            let message = format!("the link to {target} leads nowhere");
            findings.push(Finding { path: file.path.clone(), line: index + 1, message });
        }
    }
    findings
}

fn exists(path: &str, files: &[File]) -> bool {
    let folder = format!("{path}/");
    path.is_empty()
        || files.iter().any(|file| file.path == path || file.path.starts_with(&folder))
        || crate::repository::root().join(path).exists()
}

/// A relative link seen from a folder, without `.` and `..`.
fn join(folder: &str, target: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}
