//! What long work of the store does to others, of `cargo xtask bench --durable`: a steady stream
//! of QoS 1, alone and while a million messages leave the disk or are read from it. A table of its
//! own.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use super::{
    Options,
    peer::{self, Peer, Running},
    report::{self, median, shown},
    row::{CPU, OTHERS, number, said_of},
};
use crate::repository;

const BEGIN: &str = "<!-- written by `cargo xtask bench --durable`: work beside a stream -->";

/// Messages that wait for one session.
const QUEUED: u32 = 1_000_000;
const SESSION: &str = "stock-0";
/// Shorter than any of the work.
const SECONDS: &str = "1";
const PATIENCE: Duration = Duration::from_secs(60);
const ROUNDS_MAX: usize = 5;

const STREAM: [&str; 12] = [
    "latency",
    "--pairs",
    "1",
    "--rate",
    "1000",
    "--qos",
    "1",
    "--mqtt",
    "5.0",
    "--warm-up",
    "0.2",
    "--seconds",
];
/// Whose subscriber's session is stored, too.
const STREAMS: [(&str, &[&str]); 2] =
    [("not stored", &[]), ("stored before it is delivered", &["--lasting"])];

/// What is beside the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    None,
    Expiry,
    End,
    Drain,
}

impl Work {
    /// The metric that tells how far it is: how much is gone, or is left.
    fn metric(self) -> &'static str {
        match self {
            Self::None | Self::Drain => "avocet_store_messages",
            Self::Expiry => "avocet_messages_dropped_total{reason=\"expired\"}",
            // The store has all of them until nobody else gets any.
            Self::End => "avocet_messages_dropped_total{reason=\"session_ended\"}",
        }
    }

    /// How many messages it has done with.
    fn done(self, broker: &Running) -> Result<f64> {
        let told = metric(broker, self.metric())?;
        Ok(match self {
            Self::None | Self::Drain => f64::from(QUEUED) - told,
            Self::Expiry | Self::End => told,
        })
    }
}

const WORKS: [(Work, &str); 4] = [
    (Work::None, "nothing beside it"),
    (Work::Expiry, "1,000,000 messages expire"),
    (Work::End, "a session that 1,000,000 wait for is over"),
    (Work::Drain, "a slow client takes 1,000,000"),
];

const FIGURES: usize = 4;
const PATHS: [&str; FIGURES] = ["latency_us/median", "latency_us/p99", "latency_us/max", CPU];

/// One run: its [`PATHS`], and how many messages went a second meanwhile.
#[derive(Clone, Copy, Debug)]
struct Run {
    figures: [f64; FIGURES],
    gone_a_second: f64,
}

pub(super) fn run(options: &Options, tool: &Path) -> Result<()> {
    let rounds = options.rounds.min(ROUNDS_MAX);
    let peer = Peer::telling(tool);
    let version = peer.version()?.context("the tool does not tell its version")?;
    let mut broker = Running::start(peer, version)?;
    // By stream and work.
    let mut found: [[Vec<Run>; WORKS.len()]; STREAMS.len()] = Default::default();
    let mut others = Vec::new();
    for _ in 0..rounds {
        for ((_, words), found) in STREAMS.iter().zip(&mut found) {
            for ((work, _), found) in WORKS.iter().zip(found) {
                let (run, busy) = measure(tool, &mut broker, *work, words)?;
                println!("{work:?} {words:?}: {run:?}");
                found.push(run);
                others.push(busy);
            }
        }
    }
    let text = format!(
        "{}\nMedians of {rounds} rounds, each of {SECONDS} s; in brackets those of the rounds' \
         ratios to nothing beside it.\nEverything else on the machine, the slow client with it, \
         kept {} processors busy meanwhile (median), at most {}.\n",
        table(&found),
        shown(median(others.clone())),
        shown(others.iter().copied().fold(0.0, f64::max)),
    );
    println!("{text}");
    report::put(BEGIN, &text)
}

fn table(found: &[[Vec<Run>; WORKS.len()]; STREAMS.len()]) -> String {
    let mut text = "| 1,000 messages a second, and | median, us | p99, us | largest, us | \
                    us of processor time for a message | work: messages/s |\n|---|---|---|---|---|---|\n"
        .to_owned();
    for ((stream, _), works) in STREAMS.iter().zip(found) {
        for ((_, title), runs) in WORKS.iter().zip(works) {
            let cells = (0..FIGURES).map(|figure| {
                let value = shown(median(runs.iter().map(|run| run.figures[figure]).collect()));
                let pairs = runs.iter().zip(&works[0]);
                let ratio = pairs.map(|(run, alone)| run.figures[figure] / alone.figures[figure]);
                format!("{value} ({})", shown(median(ratio.collect())))
            });
            let cells: Vec<String> = cells.collect();
            let rate = median(runs.iter().map(|run| run.gone_a_second).collect());
            text.push_str(&format!("| {stream}: {title} | {} | {rate:.0} |\n", cells.join(" | ")));
        }
    }
    text
}

/// A broker that finds its work when it starts, and a stream beside it.
fn measure(tool: &Path, broker: &mut Running, work: Work, words: &[&str]) -> Result<(Run, f64)> {
    let program = tool.to_str().context("the path of the tool is not UTF-8")?;
    let queued = QUEUED.to_string();
    broker.restart_with(|folder| {
        let folder = folder.join("data").display().to_string();
        let stock = ["bench", "stock", "--retained", "1", "--sessions", "1", "--queued", &queued];
        let over: &[&str] = match work {
            Work::None | Work::Drain => &[],
            Work::Expiry => &["--over", "messages"],
            Work::End => &["--over", "sessions"],
        };
        let stock = [&stock[..], over, &[&folder]].concat();
        repository::output(&mut repository::command(program, &stock)).map(drop)
    })?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let (port, is_over) = (broker.port, &is_over);
        let reader = (work == Work::Drain).then(|| scope.spawn(move || take(port, is_over)));
        let run = beside(tool, broker, work, words);
        is_over.store(true, Ordering::Relaxed);
        if let Some(reader) = reader {
            reader.join().ok().context("the slow client has panicked")??;
        }
        run
    })
}

/// A stream once the work has begun. The work must outlast it.
fn beside(tool: &Path, broker: &Running, work: Work, words: &[&str]) -> Result<(Run, f64)> {
    let deadline = Instant::now() + PATIENCE;
    while work != Work::None && work.done(broker)? == 0.0 {
        ensure!(Instant::now() < deadline, "{work:?} does not begin");
        thread::sleep(Duration::from_millis(1));
    }
    let (before, begun) = (work.done(broker)?, Instant::now());
    let said = said_of(tool, broker, &[&STREAM[..], &[SECONDS], words].concat())?;
    let (after, took) = (work.done(broker)?, begun.elapsed());
    ensure!(after < f64::from(QUEUED), "{work:?} was over before the stream was");
    let mut figures = [0.0; FIGURES];
    for (figure, path) in figures.iter_mut().zip(PATHS) {
        *figure = number(&said, path)?;
    }
    // What the stream itself leaves in the store is none of the work.
    let gone_a_second = (after - before).max(0.0) / took.as_secs_f64();
    Ok((Run { figures, gone_a_second }, number(&said, OTHERS)?))
}

/// What the broker tells under a name.
fn metric(broker: &Running, name: &str) -> Result<f64> {
    let mut stream = TcpStream::connect(("127.0.0.1", broker.http_port)).context("no metrics")?;
    stream.set_read_timeout(Some(PATIENCE)).context("a socket takes its options")?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n").context("no metrics")?;
    let mut text = String::new();
    stream.read_to_string(&mut text).context("no metrics")?;
    let told = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    told.and_then(|it| it.trim().parse().ok()).with_context(|| format!("no metric {name}"))
}

/// Takes what waits until it is told to stop: a window of messages, then a millisecond of rest.
fn take(port: u16, is_over: &AtomicBool) -> Result<()> {
    let session = peer::connect(port, SESSION, false).filter(|(_, connack)| connack[2] == 1);
    let (mut stream, _) = session.context("the broker has not read what was stored")?;
    stream
        .set_read_timeout(Some(Duration::from_millis(50)))
        .context("a socket takes its options")?;
    let (mut unread, mut piece, mut answers) = (Vec::new(), vec![0; 64 << 10], Vec::new());
    while !is_over.load(Ordering::Relaxed) {
        match stream.read(&mut piece) {
            Ok(0) => bail!("the broker has closed the connection of the slow client"),
            Ok(count) => unread.extend_from_slice(&piece[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error).context("reading what waits"),
        }
        let mut at = 0;
        while let Some((packet, length)) = first_packet(&unread[at..]) {
            if let [0x30..=0x3f, ..] = unread[at..] {
                let topic_bytes = usize::from(u16::from_be_bytes([packet[0], packet[1]]));
                answers.extend([0x40, 2, packet[2 + topic_bytes], packet[3 + topic_bytes]]);
            }
            at += length;
        }
        unread.drain(..at);
        stream.write_all(&answers).context("acknowledging")?;
        answers.clear();
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// What follows the length of the first packet, if all of it is there, and the packet's length.
fn first_packet(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let (mut length, mut shift) = (0, 0);
    for (index, byte) in bytes.iter().enumerate().skip(1).take(4) {
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            let (begin, end) = (index + 1, index + 1 + length);
            return Some((bytes.get(begin..end)?, end));
        }
    }
    None
}
