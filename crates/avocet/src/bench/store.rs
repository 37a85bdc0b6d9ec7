//! `avocet bench store`: messages for sessions whose clients are away, what they take on the disk,
//! and how the clients then take them.

use std::{
    collections::BTreeMap,
    fs, io,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context;
use avocet_mqtt::{Disconnect, Packet, ReasonCode};
use serde_json::json;

use super::{
    args::StoreArgs,
    engine::Engine,
    fetch::{self, Fetched},
    load::{self, Load},
    outcome::{Outcome, round},
    setup,
};
use crate::{
    cli::{complain, print},
    client::Failure,
};

/// How long a broker may take to close the connection of a client that leaves.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes by the endings of the names of files.
type Sizes = BTreeMap<String, u64>;

pub(super) fn run(args: &StoreArgs) -> Result<ExitCode, Failure> {
    let load = args.load()?;
    let told = measure(args, &load);
    if let Err(error) = remove_sessions(&load) {
        complain(&format_args!("avocet: sessions stay with the broker: {error:#}"));
    }
    let (text, is_good) = told?;
    let shown = print(&text);
    Ok(if is_good { shown } else { ExitCode::FAILURE })
}

/// What is to be told, and whether all was as it should be.
fn measure(args: &StoreArgs, load: &Load) -> anyhow::Result<(String, bool)> {
    leave_sessions(load)?;
    let mut engine = Engine::open(load)?;
    let before = args.folder.as_deref().map(sizes).transpose()?;
    let found = load::measure(load, &mut engine)?;
    let sent = engine.sent();
    drop(engine);
    let after = args.folder.as_deref().map(sizes).transpose()?;
    let grown = before.zip(after).map(|(before, after)| grown(&before, &after, sent));
    let fetched =
        if args.drain { Some(fetch::run(load, args.receive_maximum, sent)?) } else { None };
    let outcome = Outcome { load: load.clone(), found };
    let is_good = outcome.is_good() && fetched.as_ref().is_none_or(Fetched::is_good);
    let text = if load.is_json {
        let mut told = outcome.to_json();
        told["disk_bytes_per_message"] = json!(grown);
        told["drain"] = json!(fetched.as_ref().map(Fetched::to_json));
        format!("{told}\n")
    } else {
        let mut text = outcome.to_string();
        for (ending, bytes) in grown.iter().flatten() {
            text.push_str(&format!("  disk        {bytes:.1} bytes a message in *.{ending}\n"));
        }
        text.push_str(&fetched.as_ref().map(ToString::to_string).unwrap_or_default());
        text
    };
    Ok((text, is_good))
}

/// The sessions come to be, subscribe, and are alone.
fn leave_sessions(load: &Load) -> anyhow::Result<()> {
    for index in 0..load.subscribers() {
        let connect = setup::connect_lasting(load, &client_id(index));
        let (connection, _) = setup::dial(load, index, connect)?;
        let mut connection = setup::subscribe(load, connection, index)?;
        connection.send(&Packet::Disconnect(Box::new(Disconnect::new(ReasonCode::Success))))?;
        // The end of the connection is what is waited for; it is told as an error.
        connection.receive(Some(Instant::now() + LEAVE_TIMEOUT)).ok();
    }
    Ok(())
}

/// Leaves nothing behind.
fn remove_sessions(load: &Load) -> anyhow::Result<()> {
    for index in 0..load.subscribers() {
        let connect = setup::connect(load, &client_id(index));
        let (mut connection, _) = setup::dial(load, index, connect)?;
        connection.send(&Packet::Disconnect(Box::new(Disconnect::new(ReasonCode::Success))))?;
    }
    Ok(())
}

/// Short enough for MQTT 3.1.
pub(super) fn client_id(index: u32) -> String {
    format!("st{:x}s{index}", std::process::id())
}

/// All files of a folder and those below it. What is being removed counts nothing.
fn sizes(folder: &Path) -> anyhow::Result<Sizes> {
    let mut sizes = Sizes::new();
    add_sizes(folder, &mut sizes).with_context(|| format!("looking at {}", folder.display()))?;
    Ok(sizes)
}

fn add_sizes(folder: &Path, sizes: &mut Sizes) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.metadata() {
            Ok(found) if found.is_dir() => add_sizes(&path, sizes)?,
            Ok(found) => {
                let ending = path.extension().unwrap_or_default().to_string_lossy().into_owned();
                *sizes.entry(ending).or_default() += found.len();
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Bytes for each of `count`.
fn grown(before: &Sizes, after: &Sizes, count: u64) -> BTreeMap<String, f64> {
    let each = |(ending, bytes): (&String, &u64)| {
        let grown = *bytes as f64 - before.get(ending).copied().unwrap_or_default() as f64;
        (ending.clone(), round(grown / count.max(1) as f64))
    };
    after.iter().map(each).filter(|(_, bytes)| *bytes != 0.0).collect()
}
