//! `avocet bench stock`: a data folder as a broker leaves it, with what its clients would have
//! brought about. To fill one through a broker takes longer than to see how it starts.

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, mpsc},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{anyhow, bail, ensure};
use avocet_mqtt::{ProtocolVersion, Publish, encode_publish};
use avocet_storage::{
    command::{Claim, Command, Message, SessionNumber, Standing, Terms, Time},
    disk::Folder,
    log::Durability,
    store::{Batch, EmbeddedStore, Options, Store},
};
use clap::{Args, ValueEnum};

use super::broker::up_to;
use crate::{cli::print, data_dir::DataDir};

/// Commands of a batch.
const BATCH: u64 = 1000;
/// How long sessions live, in seconds.
const EXPIRY: u32 = 3600;

/// What may be over when the broker starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Over {
    /// Queued messages have expired.
    Messages,
    /// Sessions have.
    Sessions,
}

#[derive(Args, Debug)]
pub(crate) struct StockArgs {
    /// The data folder (node.data_dir); it is made, and must not have a store yet.
    folder: PathBuf,
    /// Retained messages, each of another topic.
    #[arg(long, default_value_t = 1_000_000, value_parser = up_to(100_000_000))]
    retained: u64,
    /// Sessions with a subscription each.
    #[arg(long, default_value_t = 100_000, value_parser = up_to(100_000_000))]
    sessions: u64,
    /// Messages that wait for them, for each as many.
    #[arg(long, default_value_t = 1_000_000, value_parser = up_to(100_000_000))]
    queued: u64,
    /// Bytes of a payload.
    #[arg(long, default_value_t = 256, value_parser = up_to(1 << 20))]
    size: u64,
    /// What of it is over when the broker starts, and is to leave the disk.
    #[arg(long)]
    over: Option<Over>,
}

/// Fills it.
pub(super) fn run(args: &StockArgs) -> anyhow::Result<ExitCode> {
    let _data_dir = DataDir::open(&args.folder)?;
    let path = args.folder.join("store");
    ensure!(!path.exists(), "{} is there already", path.display());
    let begun = Instant::now();
    let options = Options { durability: Durability::Os, ..Options::default() };
    let (store, losses) = EmbeddedStore::open(Arc::new(Folder::open(&path)?), options)?;
    ensure!(losses.is_empty(), "{losses:?}");
    let stock = Stock::new(args);
    let sessions = args.sessions;
    fill(&store, sessions, |number, batch| stock.stand(number, batch))?;
    fill(&store, args.retained, |number, batch| stock.retain(number, batch))?;
    fill(&store, args.queued, |number, batch| stock.publish(number % sessions, batch))?;
    drop(store);
    Ok(print(&format!("filled in {:.2} s\n", begun.elapsed().as_secs_f64())))
}

/// What is stored.
struct Stock {
    now: Time,
    payload: Vec<u8>,
    over: Option<Over>,
}

impl Stock {
    fn new(args: &StockArgs) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let payload = vec![b'.'; args.size as usize];
        Self { now: Time(now.as_millis() as u64), payload, over: args.over }
    }

    /// A client has come, subscribed, and gone.
    fn stand(&self, number: u64, batch: &mut Batch) {
        let session = SessionNumber(number + 1);
        let expiry = if self.over == Some(Over::Sessions) { 0 } else { EXPIRY };
        let client_id = format!("stock-{number}");
        let standing = Box::new(Standing { client_id, expiry, ..Standing::default() });
        batch.push(&Command::Stand { session, standing });
        let terms = Terms { options: 1, identifier: 0 };
        batch.push(&Command::Subscribe { session, filter: &command_topic(number), terms });
        let left_at = Some(self.now);
        batch.push(&Command::Leave { session, expiry, left_at, was_cut: false });
    }

    fn retain(&self, number: u64, batch: &mut Batch) {
        let (topic, mut packet) = (format!("plant/line/{number}/state"), Vec::new());
        let message = self.message(&topic, 0b101, &mut packet);
        batch.push(&Command::Retain { topic: &topic, message });
    }

    fn publish(&self, session: u64, batch: &mut Batch) {
        let (topic, mut packet) = (command_topic(session), Vec::new());
        let mut message = self.message(&topic, 1, &mut packet);
        message.expires_at = Some(self.now).filter(|_| self.over == Some(Over::Messages));
        let session = SessionNumber(session + 1);
        let claims = vec![Claim { session, flags: 1, identifiers: Vec::new(), shared: None }];
        batch.push(&Command::Publish { message, claims, from: None });
    }

    fn message<'p>(&self, topic: &str, flags: u8, packet: &'p mut Vec<u8>) -> Message<'p> {
        encode_publish(ProtocolVersion::V5, &Publish::new(topic, &self.payload), packet);
        Message { received_at: self.now, expires_at: None, flags, packet }
    }
}

/// Where a session gets its messages.
fn command_topic(number: u64) -> String {
    format!("plant/line/{number}/command")
}

/// Stores `count` things in batches.
fn fill(store: &EmbeddedStore, count: u64, push: impl Fn(u64, &mut Batch)) -> anyhow::Result<()> {
    for first in (0..count).step_by(BATCH as usize) {
        let mut batch = Batch::refusable();
        (first..count.min(first + BATCH)).for_each(|number| push(number, &mut batch));
        let (sender, receiver) = mpsc::sync_channel(1);
        let done = Box::new(move |outcome| drop(sender.send(outcome)));
        let submitted = store.submit(batch, done);
        submitted.map_err(|refusal| anyhow!("the store takes nothing: {refusal:?}"))?;
        if let Err(refusal) = receiver.recv()? {
            bail!("the store has refused: {refusal:?}");
        }
    }
    Ok(())
}
