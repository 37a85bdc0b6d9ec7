//! How long a store takes to fill and to open, and how much memory: `load DIR SHAPE`, where a shape
//! is `back` (a million retained and a million queued messages, 100,000 sessions), `one` (ten
//! million messages in one queue) or `spread` (100,000 queues of a hundred).

use std::{
    error::Error,
    fs,
    path::Path,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use avocet_storage::{
    command::{Claim, Command, Message, Place, SessionNumber, Standing, Terms, Time},
    disk::Folder,
    log::Durability,
    store::{Amount, Batch, EmbeddedStore, Options, Store},
};

type Outcome<T> = Result<T, Box<dyn Error>>;

const OPTIONS: Options = Options {
    segment_bytes: 64 << 20,
    waiting_bytes_max: 256 << 20,
    durability: Durability::Os,
    cleaned_from_bytes: 256 << 20,
    retry_after: Duration::from_millis(500),
    close_patience: Duration::from_secs(600),
};
/// Commands of a batch.
const BATCH: u64 = 1000;
const PACKET: [u8; 256] = [7; 256];

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, folder, shape] = &arguments[..] else {
        return Err("usage: load DIR back|one|spread".into());
    };
    let (retained, queued, sessions) = match &shape[..] {
        "back" => (1_000_000, 1_000_000, 100_000),
        "one" => (0, 10_000_000, 1),
        "spread" => (0, 10_000_000, 100_000),
        other => return Err(format!("no shape is called {other}").into()),
    };
    let folder = Path::new(folder);
    if folder.exists() {
        return Err("the folder is there already".into());
    }
    measure("filled", || {
        let store = open(folder)?;
        fill(&store, sessions, |number| stand(SessionNumber(number), number))?;
        fill(&store, retained, |number| {
            let topic = Box::leak(format!("plant/line/{number}/state").into_boxed_str());
            Command::Retain { topic, message: message() }
        })?;
        fill(&store, queued, |number| publish(SessionNumber(number % sessions)))?;
        say(&format!("memory when filled: {}", memory()?));
        Ok(())
    })?;
    let store = measure("opened", || open(folder))?;
    say(&format!("memory when opened: {}", memory()?));
    let session = SessionNumber(0);
    say(&format!("queue of the first session: {:?}", store.queued(session)));
    measure("1,000 messages read", || {
        let most = Amount { messages: 1000, bytes: u64::MAX };
        store.queue(session, Place(0), most, &mut |_, _, _| {})?;
        Ok(())
    })?;
    measure("all retained messages read", || Ok(store.retained(&mut |_, _| {})?))?;
    if sessions == 1 {
        release(&store, session)?;
    }
    measure("all sessions ended", || {
        fill(&store, sessions, |number| Command::End { session: SessionNumber(number) })
    })?;
    drop(store);
    fs::remove_dir_all(folder)?;
    Ok(())
}

fn release(store: &EmbeddedStore, session: SessionNumber) -> Outcome<()> {
    let mut places = Vec::new();
    let most = Amount { messages: 1_000_000, bytes: u64::MAX };
    store.queue(session, Place(0), most, &mut |place, _, _| places.push(place))?;
    measure("1,000 released, in one range", || {
        submit(store, &[Command::Release { session, from: places[0], to: places[999] }])
    })?;
    measure("1,000 released, one by one", || {
        let commands: Vec<Command<'_>> = places[1000..2000]
            .iter()
            .map(|place| Command::Release { session, from: *place, to: *place })
            .collect();
        submit(store, &commands)
    })?;
    measure("the rest of a million released, in one range", || {
        let (from, to) = (places[2000], places[places.len() - 1]);
        submit(store, &[Command::Release { session, from, to }])
    })
}

fn open(folder: &Path) -> Outcome<EmbeddedStore> {
    let (store, losses) = EmbeddedStore::open(Arc::new(Folder::open(folder)?), OPTIONS)?;
    if losses.is_empty() { Ok(store) } else { Err(format!("{losses:?}").into()) }
}

fn message() -> Message<'static> {
    Message { received_at: Time(0), expires_at: None, flags: 1, packet: &PACKET }
}

fn stand(session: SessionNumber, number: u64) -> Command<'static> {
    let mut standing =
        Standing { client_id: format!("client-{number}"), expiry: 3600, ..Standing::default() };
    let terms = Terms { options: 1, identifier: 0 };
    standing.subscriptions.insert(format!("plant/line/{number}/#"), terms);
    Command::Stand { session, standing: Box::new(standing) }
}

fn publish(session: SessionNumber) -> Command<'static> {
    let claims = vec![Claim { session, flags: 1, identifiers: Vec::new(), shared: None }];
    Command::Publish { message: message(), claims, from: None }
}

fn fill(
    store: &EmbeddedStore,
    count: u64,
    command: impl Fn(u64) -> Command<'static>,
) -> Outcome<()> {
    let batches = count.div_ceil(BATCH);
    for batch in 0..batches {
        let numbers = batch * BATCH..count.min((batch + 1) * BATCH);
        submit(store, &numbers.map(&command).collect::<Vec<_>>())?;
    }
    Ok(())
}

fn submit(store: &EmbeddedStore, commands: &[Command<'_>]) -> Outcome<()> {
    let mut batch = Batch::refusable();
    commands.iter().for_each(|command| batch.push(command));
    let (sender, receiver) = mpsc::sync_channel(1);
    let done = Box::new(move |outcome| drop(sender.send(outcome)));
    store.submit(batch, done).map_err(|refusal| format!("{refusal:?}"))?;
    receiver.recv()?.map_err(|refusal| format!("{refusal:?}"))?;
    Ok(())
}

fn measure<T>(what: &str, work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    let start = Instant::now();
    let result = work()?;
    let elapsed: Duration = start.elapsed();
    say(&format!("{what}: {elapsed:.2?}"));
    Ok(result)
}

/// What the process has in memory, as the system counts it.
fn memory() -> Outcome<String> {
    let status = fs::read_to_string("/proc/self/status")?;
    let lines =
        status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM"));
    Ok(lines.collect::<Vec<_>>().join(", "))
}

#[expect(clippy::print_stdout, reason = "it is what a measurement is for")]
fn say(line: &str) {
    println!("{line}");
}
