//! The rounds: a broker is started on the same folder, its clients do as they like, it is killed;
//! and now and then everything that is outstanding has to arrive.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use super::{
    Kills, Options, Summary,
    check::Deliveries,
    connection::Ended,
    dice::Dice,
    message::{Message, Number, Style},
    publisher::Publisher,
    round::{Ledger, Round},
    subscriber::{Subscriber, Terms},
    will::{self, Wills},
};
use crate::{Broker, Raw, Version, broker::Starting, deadline, packet};

/// Rounds between two that drain.
const DRAIN_EVERY: u32 = 10;

/// How likely the broker is killed while it starts, in percent.
const EARLY_KILL: u64 = 12;

/// How likely a round is over right after it has begun.
const SHORT_ROUND: u64 = 15;

/// Seconds that a session lives which is to end.
const SHORT_LIFE: u32 = 1;

/// What is due in a few seconds at most is done after this time: wills, and ends of sessions.
const ALL_DUE: Duration = Duration::from_secs(will::DELAY_MAX as u64 + 1);

/// Of rounds that drain one in so many lasts until the broker has looked for what has expired,
/// which it does every ten seconds.
const SWEEP_EVERY: u32 = 5;
const SWEPT: Duration = Duration::from_secs(11);

/// Nothing may be dropped because it has to wait.
const SETTINGS: [&str; 2] =
    ["session.max_queue_messages=10000000", "session.max_queue_bytes=512MiB"];

/// Each publisher's style, version and window.
const PUBLISHERS: [(Style, Version, usize); 8] = [
    (Style::Plain(1), Version::V311, 8),
    (Style::Plain(1), Version::V5, 32),
    (Style::Plain(2), Version::V311, 1),
    (Style::Plain(2), Version::V5, 32),
    (Style::Mixed, Version::V5, 8),
    (Style::Delayed, Version::V5, 4),
    (Style::Retained, Version::V5, 8),
    (Style::Expiring, Version::V5, 8),
];

const EVERYTHING: &[&str] = &["crash/#"];

const USUAL: Terms = Terms {
    version: Version::V311,
    qos: 2,
    filters: EVERYTHING,
    receive_maximum: None,
    presence: 70,
    roams: false,
    is_clean: false,
    expiry: None,
    renews: false,
    will: None,
    team: None,
};

const MODERN: Terms = Terms { version: Version::V5, ..USUAL };

const TEAM: Terms = Terms {
    version: Version::V5,
    filters: &["$share/team/crash/#"],
    presence: 50,
    team: Some("$share/team/"),
    ..USUAL
};

/// At QoS 1: what is in flight at QoS 2 to a member whose session ends is for nobody else.
const CREW: Terms = Terms {
    qos: 1,
    filters: &["$share/crew/crash/#"],
    presence: 50,
    team: Some("$share/crew/"),
    ..MODERN
};

const SUBSCRIBERS: [Terms; 17] = [
    USUAL,
    Terms { version: Version::V5, will: Some(2), ..USUAL },
    Terms { qos: 1, will: Some(1), ..USUAL },
    Terms { version: Version::V5, receive_maximum: Some(3), ..USUAL },
    Terms { qos: 1, filters: &["crash/p3/0", "crash/p1/2"], will: Some(1), ..MODERN },
    Terms { presence: 10, will: Some(2), ..MODERN },
    Terms { version: Version::V5, qos: 1, filters: &["crash/+/1"], roams: true, ..USUAL },
    Terms { qos: 1, is_clean: true, ..USUAL },
    TEAM,
    Terms { version: Version::V311, ..TEAM },
    Terms { receive_maximum: Some(5), presence: 20, ..TEAM },
    Terms { expiry: Some(SHORT_LIFE), will: Some(2), ..MODERN },
    CREW,
    Terms { presence: 20, ..CREW },
    Terms { expiry: Some(SHORT_LIFE), ..CREW },
    Terms { expiry: Some(SHORT_LIFE), receive_maximum: Some(5), presence: 20, ..CREW },
    Terms { renews: true, presence: 20, ..CREW },
];

/// Runs all rounds; `say` is told how it goes.
///
/// # Errors
///
/// What was broken, in which round, with the seed, and where the broker's files are.
pub fn run(options: &Options, mut say: impl FnMut(&str)) -> Result<Summary, String> {
    let folder = env::temp_dir().join(format!("avocet-crash-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut harness = Harness::new(options, folder.clone());
    let outcome = catch_unwind(AssertUnwindSafe(|| harness.all(&mut say)));
    harness.end_broker();
    let outcome = outcome.unwrap_or_else(|panic| Err(words(panic.as_ref())));
    let Harness { round, summary, .. } = harness;
    match outcome {
        Ok(()) => {
            // What stays behind is in the system's folder for such things.
            drop(fs::remove_dir_all(&folder));
            Ok(summary)
        }
        Err(fault) => Err(format!(
            "seed {}, round {round}: {fault}\nso far: {summary}\nfolder and log of the broker: {}",
            options.seed,
            folder.display()
        )),
    }
}

/// What a panic says.
fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "a panic without words".to_owned())
}

struct Harness<'a> {
    options: &'a Options,
    folder: PathBuf,
    dice: Dice,
    ledger: Ledger,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    broker: Option<Broker>,
    last_start: Duration,
    round: u32,
    summary: Summary,
}

impl<'a> Harness<'a> {
    fn new(options: &'a Options, folder: PathBuf) -> Self {
        let seed = options.seed;
        let publishers = PUBLISHERS.iter().enumerate().map(|(index, (style, version, window))| {
            Publisher::new(index, *style, *version, *window, seed)
        });
        let mut styles: Vec<Style> = PUBLISHERS.iter().map(|(style, ..)| *style).collect();
        let wills: Vec<Option<Wills>> =
            SUBSCRIBERS.iter().map(|terms| wills_of(terms, &mut styles)).collect();
        let together =
            |terms: &Terms| Arc::new(Mutex::new(Deliveries::unordered(styles.len(), terms.qos)));
        let own = |terms: &Terms| Arc::new(Mutex::new(Deliveries::new(styles.len(), terms.qos)));
        let mut teams = BTreeMap::new();
        let subscribers =
            SUBSCRIBERS.iter().zip(wills).enumerate().map(|(index, (terms, wills))| {
                let its = match terms.team {
                    Some(team) => Arc::clone(teams.entry(team).or_insert_with(|| together(terms))),
                    None => own(terms),
                };
                let mut subscriber = Subscriber::new(index, *terms, its, seed);
                subscriber.wills = wills;
                subscriber
            });
        let subscribers = subscribers.collect();
        Self {
            options,
            folder,
            dice: Dice::new(seed, 0),
            ledger: Ledger::new(styles),
            publishers: publishers.collect(),
            subscribers,
            broker: None,
            last_start: Duration::ZERO,
            round: 0,
            summary: Summary::default(),
        }
    }

    fn all(&mut self, say: &mut impl FnMut(&str)) -> Result<(), String> {
        // Nothing is sent yet, so that every subscriber is owed everything.
        self.drain()?;
        for round in 1..=self.options.rounds {
            self.round = round;
            self.attack()?;
            self.summary.rounds = round;
            if round % DRAIN_EVERY == 0 || round == self.options.rounds {
                self.drain()?;
            }
            if round % (5 * DRAIN_EVERY) == 0 && round < self.options.rounds {
                say(&self.summary.to_string());
            }
        }
        Ok(())
    }

    /// A round in which everything may happen.
    fn attack(&mut self) -> Result<(), String> {
        if self.options.kills == Kills::Kill && self.dice.percent(EARLY_KILL) {
            // Nothing announces from outside how far it is.
            let time = self.last_start.mul_f64(self.dice.below(150) as f64 / 100.0);
            let starting = self.launch();
            deadline::let_pass(time);
            starting.kill();
            self.summary.kills += 1;
            self.summary.early_kills += 1;
            return Ok(());
        }
        let is_short = self.dice.percent(SHORT_ROUND);
        let time = if is_short { self.dice.below(15) } else { self.dice.between(20, 300) };
        self.start();
        if !is_short {
            self.look_at_retained()?;
        }
        let address = self.broker.as_ref().expect("it was just started").address();
        let round = Round::new(address, self.round, false, &self.ledger);
        let (publishers, subscribers) = (&mut self.publishers, &mut self.subscribers);
        let (kills, broker) = (self.options.kills, &mut self.broker);
        thread::scope(|scope| {
            let round = &round;
            for publisher in publishers {
                scope.spawn(move || guard(round, publisher.name(), || publisher.run(round)));
            }
            for subscriber in subscribers {
                scope.spawn(move || guard(round, subscriber.name(), || subscriber.run(round, &[])));
            }
            round.pause(Duration::from_millis(time));
            round.end();
            match (kills, broker) {
                (Kills::Kill, Some(broker)) => broker.kill(),
                (Kills::Stop, Some(broker)) => broker.terminate(),
                (Kills::None, _) | (_, None) => {}
            }
            round.cut();
        });
        let fault = round.fault();
        self.count();
        self.end_round(fault)
    }

    fn end_round(&mut self, fault: Option<String>) -> Result<(), String> {
        if let Some(fault) = fault {
            return Err(fault);
        }
        let broker = self.broker.as_mut().expect("it was started");
        match self.options.kills {
            Kills::None => return Ok(()),
            Kills::Kill => {}
            Kills::Stop => {
                let code = broker.exit_code();
                if code != Some(0) {
                    return Err(format!("SIGTERM ends the broker with {code:?}"));
                }
            }
        }
        self.summary.kills += 1;
        self.end_broker();
        Ok(())
    }

    /// Lets everything that is outstanding arrive, and settles it.
    fn drain(&mut self) -> Result<(), String> {
        self.start();
        let begun = Instant::now();
        self.look_at_retained()?;
        let address = self.broker.as_ref().expect("it was just started").address();
        let round = Round::new(address, self.round, true, &self.ledger);
        thread::scope(|scope| {
            let round = &round;
            for publisher in &mut self.publishers {
                scope.spawn(move || guard(round, publisher.name(), || publisher.run(round)));
            }
        });
        if self.round > 0 {
            let is_swept = self.round.is_multiple_of(DRAIN_EVERY * SWEEP_EVERY);
            let time = if is_swept { SWEPT } else { ALL_DUE };
            deadline::let_pass(time.saturating_sub(begun.elapsed()));
        }
        let owed: Vec<Vec<Number>> = self.subscribers.iter().map(|it| self.owed_to(it)).collect();
        if round.fault().is_none() {
            thread::scope(|scope| {
                let round = &round;
                for (subscriber, owed) in self.subscribers.iter_mut().zip(&owed) {
                    let name = subscriber.name();
                    scope.spawn(move || guard(round, name, || subscriber.run(round, owed)));
                }
            });
        }
        let fault = round.fault().map(|fault| fault + &self.story(&owed));
        let fault = fault.or_else(|| self.undue());
        self.count();
        if fault.is_none() {
            self.settle();
        }
        if self.options.kills == Kills::None || fault.is_some() {
            return fault.map_or(Ok(()), Err);
        }
        let broker = self.broker.as_mut().expect("it was started");
        if self.options.kills == Kills::Stop {
            broker.terminate();
        } else {
            broker.kill();
        }
        self.end_round(None)
    }

    fn settle(&mut self) {
        let next: Vec<u64> = self.publishers.iter().map(Publisher::next).collect();
        self.each_deliveries().for_each(|mut it| it.settle(&next));
        self.publishers.iter_mut().for_each(Publisher::settle);
        let summary = &mut self.summary;
        for wills in self.subscribers.iter_mut().filter_map(|it| it.wills.as_mut()) {
            summary.wills += wills.due().count() as u64;
            summary.void_wills += wills.void().count() as u64;
            wills.settle();
        }
    }

    /// A will that somebody got though it was taken back.
    fn undue(&self) -> Option<String> {
        let mut void = self.wills().flat_map(Wills::void);
        let undue = void.find(|number| self.each_deliveries().any(|it| it.has(*number)))?;
        let story = self.wills().find_map(|it| it.story(undue)).unwrap_or_default();
        Some(format!("UNDUE: {undue} was published though it was taken back: {story}"))
    }

    fn wills(&self) -> impl Iterator<Item = &Wills> {
        self.subscribers.iter().filter_map(|it| it.wills.as_ref())
    }

    /// Everything that was sent and not given up with its session has to arrive: all of it is
    /// acknowledged when publishers have drained.
    fn owed_to(&self, subscriber: &Subscriber) -> Vec<Number> {
        let mut owed = Vec::new();
        for publisher in &self.publishers {
            for sequence in publisher.base..publisher.next() {
                let number = Number { publisher: publisher.index, sequence };
                let message = Message::of(number, publisher.style);
                let is_sure = !publisher.record(sequence).is_lost && !message.may_expire();
                if is_sure && subscriber.is_owed(&message) {
                    owed.push(number);
                }
            }
        }
        let due = self.wills().flat_map(Wills::due);
        let style = |number: &Number| self.ledger.styles[number.publisher];
        owed.extend(due.filter(|it| subscriber.is_owed(&Message::of(*it, style(it)))));
        owed
    }

    /// Of the first missing message of each subscriber, when it was sent and acknowledged.
    fn story(&self, owed: &[Vec<Number>]) -> String {
        let mut text = String::new();
        for (subscriber, owed) in self.subscribers.iter().zip(owed) {
            let deliveries = subscriber.deliveries();
            let missing = owed.iter().find(|number| deliveries.missing(&[**number]).is_some());
            let Some(number) = missing else { continue };
            let Some(publisher) = self.publishers.get(number.publisher) else {
                let story = self.wills().find_map(|it| it.story(*number)).unwrap_or_default();
                text.push_str(&format!("\n  {} has no {number}, {story}", subscriber.name()));
                continue;
            };
            let record = publisher.record(number.sequence);
            let message = Message::of(*number, publisher.style);
            text.push_str(&format!(
                "\n  {} has no {number} (QoS {}, {}), sent in round {}, acknowledged in round {:?}",
                subscriber.name(),
                message.qos,
                message.topic,
                record.sent_in,
                record.acknowledged_in,
            ));
        }
        text
    }

    /// A fresh client gets of each retained message what was acknowledged last, or a later one.
    fn look_at_retained(&mut self) -> Result<(), String> {
        let keeper = self.publishers.iter().find(|it| it.style == Style::Retained);
        let keeper = keeper.expect("there is one");
        let broker = self.broker.as_ref().expect("it was started");
        let mut fresh: Raw = broker.client(Version::V5, "crash-fresh");
        fresh.subscribe("kept/#", 0);
        let kept = fresh.messages_before_pong();
        fresh.send(&packet::disconnect());
        let topics = keeper.last_sent.iter().zip(&keeper.last_acknowledged).enumerate();
        for (branch, (sent, acknowledged)) in topics {
            let topic = format!("kept/p{}/{branch}", keeper.index);
            let got = kept.iter().find(|message| message.topic == topic);
            let value = got.and_then(|message| Message::number_in(&message.payload));
            let value = value.map(|number| number.sequence);
            if value < *acknowledged || value > *sent {
                return Err(format!(
                    "RETAINED: {topic} is {value:?}; acknowledged {acknowledged:?}, sent {sent:?}"
                ));
            }
            self.summary.retained += 1;
        }
        Ok(())
    }

    fn count(&mut self) {
        self.summary.sent = self.publishers.iter().map(Publisher::next).sum();
        self.summary.expired = self.subscribers.iter().map(|it| it.expired).sum();
        self.summary.acknowledged = self.publishers.iter().map(|it| it.acknowledged).sum();
        self.summary.delivered = self.each_deliveries().map(|it| it.delivered).sum();
        self.summary.repeated = self.each_deliveries().map(|it| it.repeated).sum();
    }

    /// Of each subscriber, and of each team once.
    fn each_deliveries(&self) -> impl Iterator<Item = MutexGuard<'_, Deliveries>> {
        let mut teams = BTreeSet::new();
        let its = self
            .subscribers
            .iter()
            .filter(move |it| it.terms.team.is_none_or(|team| teams.insert(team)));
        its.map(Subscriber::deliveries)
    }

    fn launch(&self) -> Starting {
        let given = self.options.settings.iter().map(String::as_str);
        let settings: Vec<&str> = SETTINGS.into_iter().chain(given).collect();
        Broker::launch_in(&self.data_dir(), &settings)
    }

    /// Starts the broker, if it does not run.
    fn start(&mut self) {
        if self.broker.is_none() {
            let begun = Instant::now();
            self.broker = Some(self.launch().ready());
            self.last_start = begun.elapsed();
            self.summary.slowest_start = self.summary.slowest_start.max(self.last_start);
        }
    }

    fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Ends the broker if it still runs, and keeps what it has logged.
    fn end_broker(&mut self) {
        let Some(mut broker) = self.broker.take() else { return };
        broker.kill();
        if let Err(error) = append(&self.folder.join("broker.log"), self.round, &broker.log()) {
            panic!("the broker's log cannot be written: {error}");
        }
    }
}

/// The wills of a subscriber that has them, beside what publishers send.
fn wills_of(terms: &Terms, styles: &mut Vec<Style>) -> Option<Wills> {
    let qos = terms.will?;
    styles.push(Style::Will(qos));
    Some(Wills::new(styles.len() - 1, terms.version.has_properties(), terms.expiry))
}

fn append(path: &Path, round: u32, log: &str) -> std::io::Result<()> {
    let mut file = fs::File::options().create(true).append(true).open(path)?;
    write!(file, "--- round {round}\n{log}")
}

/// Runs a client; what it finds, or why it panics, the round is told.
fn guard(round: &Round<'_>, name: String, run: impl FnOnce() -> Result<(), Ended>) {
    let fault = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(()) | Err(Ended::Over)) => return,
        Ok(Err(Ended::Fault(fault))) => fault,
        Err(panic) => words(panic.as_ref()),
    };
    round.accuse(format!("{name}: {fault}"));
}
