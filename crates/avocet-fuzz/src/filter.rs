//! Subscriptions: a filter prints as what it was read from, and the index with its caches finds
//! what a comparison of every filter with the topic finds.

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Arbitrary, Unstructured};
use avocet_mqtt::topic;
use avocet_router::{
    Config, Destinations, Entry, Filter, Inserted, Position, RetainedIndex, RouteCache, Router,
    Subscriber, SubscriberId,
};

/// Steps with short texts of few letters, so that filters and topics meet.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let mut model = Model::default();
    for _ in 0..256 {
        let Ok(step) = Step::arbitrary(&mut input) else { return };
        model.take(step);
        if input.is_empty() {
            return;
        }
    }
}

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    Subscribe { client: u8, filter: Words },
    Unsubscribe { client: u8, filter: Words },
    Ask { topic: Words },
    Retain { topic: Words },
    Forget { topic: Words },
    AskRetained { filter: Words, page: u8 },
    Parse { text: &'a str },
    SubscribeMany { filter: Words },
    UnsubscribeMany { filter: Words },
}

/// A text of what filters are made of.
#[derive(Debug)]
struct Words(String);

/// Receivers asked for at a time, when they are few.
const SLICE: usize = 3;
/// So many clients that the index shares the list of a filter that they subscribe to, besides those
/// that do so one by one.
const CROWD: std::ops::Range<u64> = 2..300;
const WORDS: [&str; 16] = [
    "/",
    "a",
    "b",
    "+",
    "#",
    "$",
    "aa",
    "/a/",
    "$share/g/",
    "$queue/",
    "$local/",
    "$fastlane/",
    "$exclusive/",
    "$SYS",
    "é",
    "/+/",
];

impl<'a> Arbitrary<'a> for Words {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let mut text = String::new();
        loop {
            let byte = u8::arbitrary(input)?;
            text.push_str(WORDS[usize::from(byte & 15)]);
            if byte & 0xC0 == 0 || text.len() > 64 {
                return Ok(Self(text));
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Client(u64);

impl Subscriber for Client {
    fn id(&self) -> SubscriberId {
        SubscriberId(self.0)
    }
}

#[derive(Debug)]
struct Model {
    router: Router<Client>,
    caches: [RouteCache<Client>; 2],
    subscriptions: BTreeMap<(u64, String), Filter>,
    retained: RetainedIndex<String>,
    topics: BTreeSet<String>,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            router: Router::new(Config::default()),
            caches: [RouteCache::new(1), RouteCache::new(64)],
            subscriptions: BTreeMap::new(),
            retained: RetainedIndex::new(),
            topics: BTreeSet::new(),
        }
    }
}

impl Model {
    fn take(&mut self, step: Step<'_>) {
        match step {
            Step::Subscribe { client, filter } => self.subscribe(u64::from(client % 4), &filter.0),
            Step::Unsubscribe { client, filter } => {
                self.unsubscribe(u64::from(client % 4), &filter.0);
            }
            Step::SubscribeMany { filter } => {
                CROWD.for_each(|client| self.subscribe(client, &filter.0));
            }
            Step::UnsubscribeMany { filter } => {
                CROWD.for_each(|client| self.unsubscribe(client, &filter.0));
            }
            Step::Ask { topic } if topic::check_name(&topic.0).is_ok() => self.ask(&topic.0),
            Step::Retain { topic } if topic::check_name(&topic.0).is_ok() => {
                let was = !self.topics.insert(topic.0.clone());
                assert_eq!(self.retained.insert(&topic.0, topic.0.clone()).is_some(), was);
            }
            Step::Forget { topic } if topic::check_name(&topic.0).is_ok() => {
                let was = self.topics.remove(&topic.0);
                assert_eq!(self.retained.remove(&topic.0).is_some(), was);
            }
            Step::AskRetained { filter, page } if topic::check_filter(&filter.0).is_ok() => {
                self.ask_retained(&filter.0, usize::from(page % 8) + 1);
            }
            Step::Parse { text } => drop(parse(text)),
            Step::Ask { .. }
            | Step::Retain { .. }
            | Step::Forget { .. }
            | Step::AskRetained { .. } => {}
        }
    }

    fn subscribe(&mut self, client: u64, text: &str) {
        let Some(filter) = parse(text) else { return };
        let before = self.subscriptions.insert((client, filter.to_string()), filter.clone());
        let expected = if before.is_some() { Inserted::Replaced } else { Inserted::New };
        let inserted = self.router.subscribe(&filter, Client(client), Entry::default());
        assert_eq!(inserted, expected, "{text}");
        let stats = self.router.stats();
        assert_eq!(stats.subscriptions, self.subscriptions.len());
    }

    fn unsubscribe(&mut self, client: u64, text: &str) {
        let Some(filter) = parse(text) else { return };
        let was = self.subscriptions.remove(&(client, filter.to_string())).is_some();
        assert_eq!(self.router.unsubscribe(&filter, SubscriberId(client)), was);
    }

    fn ask(&mut self, topic: &str) {
        let mut plain = BTreeSet::new();
        let mut groups = BTreeSet::new();
        for ((client, text), filter) in &self.subscriptions {
            if !topic::matches(filter.topic_filter(), topic) {
                continue;
            }
            match filter.group() {
                Some(group) => {
                    let members = (group.to_owned(), filter.topic_filter().to_owned());
                    groups.insert(members);
                }
                None => {
                    plain.insert((*client, filter.is_fastlane()));
                }
            }
            assert!(!text.is_empty());
        }
        assert_eq!(found(&self.router.matches(topic)), (plain.clone(), groups.clone()), "{topic}");
        for cache in &mut self.caches {
            let destinations = cache.lookup(&self.router, topic);
            assert_eq!(found(destinations), (plain.clone(), groups.clone()), "{topic}, cached");
        }
    }

    fn ask_retained(&self, filter: &str, page: usize) {
        let mut found = BTreeSet::new();
        let mut after = None;
        // A page may be cut short, but each has to bring the end nearer.
        for _ in 0..10_000 {
            let answer = self.retained.matching(filter, after.as_ref(), page);
            for topic in &answer.found {
                assert!(found.insert(topic.clone()), "{topic} twice for {filter}");
            }
            after = answer.next;
            if after.is_none() {
                break;
            }
        }
        assert!(after.is_none(), "no end of {filter}");
        let naive = self.topics.iter().filter(|topic| topic::matches(filter, topic));
        assert_eq!(found, naive.cloned().collect(), "{filter}");
    }
}

/// Receivers with whether they have it by the fastlane, and groups with their filters.
type Found = (BTreeSet<(u64, bool)>, BTreeSet<(String, String)>);

fn found(destinations: &Destinations<Client>) -> Found {
    let mut all = Vec::new();
    let mut from = Some(Position::default());
    while let Some(position) = from {
        let slice = destinations.slice(position, SLICE.max(all.len()));
        all.extend(slice.plain.iter().map(|it| (it.subscriber.0, false)));
        all.extend(slice.fastlane.iter().map(|it| (it.subscriber.0, true)));
        from = slice.next;
    }
    let receivers: BTreeSet<(u64, bool)> = all.iter().copied().collect();
    assert_eq!(receivers.len(), all.len(), "a receiver twice: {all:?}");
    let groups = destinations.groups.iter();
    let groups =
        groups.map(|group| (group.name().to_owned(), group.topic_filter().to_owned())).collect();
    (receivers, groups)
}

/// A filter that is valid prints as it was written, is what its text says, and its topic filter is
/// one by the rules of the codec, too.
fn parse(text: &str) -> Option<Filter> {
    let filter = Filter::parse(text).ok()?;
    assert_eq!(filter.to_string(), text);
    assert_eq!(topic::check_filter(filter.topic_filter()), Ok(()), "{text}");
    assert_eq!(filter.has_wildcard(), topic::has_wildcard(filter.topic_filter()));
    Some(filter)
}
