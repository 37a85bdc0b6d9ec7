//! What is kept of the search, replayed; and short inputs without end, of which none may break a
//! target.

use std::{fs, path::Path};

use crate::TARGETS;

/// All inputs in a folder, by their names.
fn inputs(folder: &str, target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(target);
    let Ok(entries) = fs::read_dir(&folder) else { return Vec::new() };
    let mut inputs: Vec<(String, Vec<u8>)> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.display().to_string(), fs::read(&path).unwrap())
        })
        .collect();
    inputs.sort();
    inputs
}

fn replay(target: &str) {
    let run = crate::target(target).unwrap();
    let kept = inputs("corpus", target);
    assert!(kept.len() > 10, "the corpus of {target} is not there");
    for (path, data) in inputs("regressions", target).into_iter().chain(kept) {
        let outcome = std::panic::catch_unwind(|| run(&data));
        let steps =
            if target == "session" { crate::session::describe(&data) } else { String::new() };
        assert!(outcome.is_ok(), "{path} breaks {target}\n{steps}");
    }
}

#[test]
fn codec_holds_for_all_that_is_kept() {
    replay("codec");
}

#[test]
fn filter_holds_for_all_that_is_kept() {
    replay("filter");
}

#[test]
fn proxy_holds_for_all_that_is_kept() {
    replay("proxy");
}

#[test]
fn session_holds_for_all_that_is_kept() {
    replay("session");
}

#[test]
fn websocket_holds_for_all_that_is_kept() {
    replay("websocket");
}

/// A regression in a folder that belongs to no target would never be replayed.
#[test]
fn every_folder_of_inputs_belongs_to_a_target() {
    for folder in ["corpus", "regressions"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let name = entry.unwrap().file_name();
            assert!(TARGETS.iter().any(|(target, _)| name == *target), "{name:?} is no target");
        }
    }
}

/// By its corpus `cargo xtask fuzz` knows of a target.
#[test]
fn every_target_has_a_corpus() {
    for (target, _) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        assert!(folder.is_dir(), "{} is missing", folder.display());
    }
}

/// Bytes by chance, the same in every run: what a search without guidance finds at once.
#[test]
fn every_target_holds_for_bytes_by_chance() {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    for round in 0..300 {
        let data: Vec<u8> = (0..round).map(|_| byte()).collect();
        for (_, run) in TARGETS {
            run(&data);
        }
    }
}
