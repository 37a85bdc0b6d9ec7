//! Random subscriptions and look-ups, compared with a map and the naive matcher.

use std::collections::BTreeMap;

use avocet_mqtt::QoS;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop};
use proptest::{prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::{
    Destinations, Entry, Filter, Inserted, Overlap, Stats, SubscriberId, check_is_empty, entry,
    identifiers, router, unsubscribe,
};
use crate::naive::{self, Client};
use crate::{Position, RouteCache};

#[derive(Clone, Debug)]
enum Act {
    Subscribe { client: u64, filter: String, entry: Entry },
    Unsubscribe { client: u64, filter: String },
    LookUp { topic: String },
    Sweep,
}

/// The whole subscription string is the key.
type Subscriptions = BTreeMap<(u64, String), Entry>;

/// One receiver: its id, its terms and those for its own messages.
type Found = (u64, Plain, Option<Plain>);
/// QoS, Retain As Published, identifiers.
type Plain = (u8, bool, Vec<u32>);
/// Plain destinations, those of the fastlane, groups with their members.
type Everyone = (Vec<Found>, Vec<Found>, Vec<(String, String, Vec<u64>)>);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn index_and_caches_agree_with_the_model(
        acts in prop::collection::vec(act(), 1..80),
        merge in any::<bool>(),
        crowd_min in 1_usize..6,
        limit in 1_usize..4,
    ) {
        let overlap = if merge { Overlap::Merge } else { Overlap::PerSubscription };
        let mut router = router(overlap);
        router.crowd_min = crowd_min;
        let mut caches = [RouteCache::new(1), RouteCache::new(256)];
        let mut model = Subscriptions::new();
        for act in acts {
            match act {
                Act::Subscribe { client, filter, entry } => {
                    let filter = Filter::parse(&filter).unwrap();
                    let before = model.insert((client, filter.to_string()), entry);
                    let was = before.is_some();
                    let expected = if was { Inserted::Replaced } else { Inserted::New };
                    prop_assert_eq!(router.subscribe(&filter, Client(client), entry), expected);
                }
                Act::Unsubscribe { client, filter } => {
                    let filter = Filter::parse(&filter).unwrap();
                    let expected = model.remove(&(client, filter.to_string())).is_some();
                    prop_assert_eq!(router.unsubscribe(&filter, SubscriberId(client)), expected);
                }
                Act::LookUp { topic } => {
                    let expected = expected(&model, &topic, overlap);
                    prop_assert_eq!(&everyone(&router.matches(&topic), limit), &expected);
                    for cache in &mut caches {
                        prop_assert_eq!(&everyone(cache.lookup(&router, &topic), limit), &expected);
                    }
                }
                Act::Sweep => caches[1].sweep(&router),
            }
            prop_assert_eq!(router.stats(), stats(&model));
        }
        for (client, filter) in model.into_keys() {
            prop_assert!(unsubscribe(&router, &filter, client));
        }
        check_is_empty(&router);
    }
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (0..4_u64, subscription(), entries())
            .prop_map(|(client, filter, entry)| Act::Subscribe { client, filter, entry }),
        4 => (0..4_u64, subscription())
            .prop_map(|(client, filter)| Act::Unsubscribe { client, filter }),
        8 => naive::topic().prop_map(|topic| Act::LookUp { topic }),
        1 => Just(Act::Sweep),
    ]
}

fn subscription() -> impl Strategy<Value = String> {
    let prefixes = vec![
        "",
        "",
        "",
        "$local/",
        "$fastlane/",
        "$local/$fastlane/",
        "$fastlane/$local/",
        "$share/g/",
        "$queue/",
        "$share/$queue/",
    ];
    let prefix = prop::sample::select(prefixes);
    (prefix, naive::topic_filter()).prop_map(|(prefix, filter)| format!("{prefix}{filter}"))
}

fn entries() -> impl Strategy<Value = Entry> {
    (0..3_u8, prop::option::of(1..4_u32), any::<bool>(), any::<bool>()).prop_map(
        |(qos, identifier, no_local, retain_as_published)| {
            let mut entry = entry(qos, identifier);
            entry.options.no_local = no_local;
            entry.options.retain_as_published = retain_as_published;
            entry
        },
    )
}

fn expected(model: &Subscriptions, topic: &str, overlap: Overlap) -> Everyone {
    let (mut plain, mut fastlane, mut groups) = (Vec::new(), Vec::new(), BTreeMap::new());
    for ((client, text), &entry) in model {
        let filter = Filter::parse(text).unwrap();
        if !naive::is_match(filter.topic_filter(), topic) {
            continue;
        }
        if let Some(name) = filter.group() {
            let key = (name.to_owned(), filter.topic_filter().to_owned());
            groups.entry(key).or_insert_with(Vec::new).push(*client);
        } else if filter.is_fastlane() {
            let mut entry = entry;
            entry.options.qos = QoS::AtMostOnce;
            fastlane.push((*client, entry));
        } else {
            plain.push((*client, entry));
        }
    }
    let groups = groups.into_iter().map(|((name, filter), members)| (name, filter, members));
    (merged(&plain, overlap), merged(&fastlane, overlap), groups.collect())
}

/// `entries` lie in the order of their clients.
fn merged(entries: &[(u64, Entry)], overlap: Overlap) -> Vec<Found> {
    let mut found: Vec<Found> = entries
        .chunk_by(|left, right| overlap == Overlap::Merge && left.0 == right.0)
        .map(|chunk| {
            let all: Vec<_> = chunk.iter().map(|(_, entry)| *entry).collect();
            let foreign: Vec<_> = all.iter().copied().filter(|e| !e.options.no_local).collect();
            (chunk[0].0, terms(&all), (!foreign.is_empty()).then(|| terms(&foreign)))
        })
        .collect();
    found.sort();
    found
}

fn terms(entries: &[Entry]) -> Plain {
    let qos = entries.iter().map(|entry| entry.options.qos.bits()).max().unwrap();
    let retain_as_published = entries.iter().any(|entry| entry.options.retain_as_published);
    let mut identifiers: Vec<_> =
        entries.iter().filter_map(|entry| entry.identifier).map(|id| id.value()).collect();
    identifiers.sort_unstable();
    (qos, retain_as_published, identifiers)
}

fn everyone(answer: &Destinations<Client>, limit: usize) -> Everyone {
    let (mut plain, mut fastlane, mut next) = (Vec::new(), Vec::new(), Some(Position::default()));
    while let Some(position) = next {
        let slice = answer.slice(position, limit);
        assert!(slice.next.is_none_or(|next| next != position), "it gets on");
        plain.extend_from_slice(&slice.plain);
        fastlane.extend_from_slice(&slice.fastlane);
        next = slice.next;
    }
    assert!(answer.width() >= plain.len() + fastlane.len());
    assert_eq!(
        answer.is_empty(),
        plain.is_empty() && fastlane.is_empty() && answer.groups.is_empty()
    );
    let mut groups: Vec<_> = answer
        .groups
        .iter()
        .map(|group| {
            let mut members: Vec<_> = group.members().iter().map(|m| m.subscriber.0).collect();
            members.sort_unstable();
            (group.name().to_owned(), group.topic_filter().to_owned(), members)
        })
        .collect();
    groups.sort();
    (found(&plain), found(&fastlane), groups)
}

fn found(destinations: &[crate::Destination<Client>]) -> Vec<Found> {
    let plain =
        |terms: &crate::Terms| (terms.qos.bits(), terms.retain_as_published, identifiers(terms));
    let mut found: Vec<_> = destinations
        .iter()
        .map(|to| {
            let other = SubscriberId(u64::MAX);
            assert_eq!(to.for_publisher(None), to.for_publisher(Some(other)));
            let all = to.for_publisher(None).unwrap();
            (to.subscriber.0, plain(all), to.for_publisher(Some(to.id())).map(plain))
        })
        .collect();
    found.sort();
    found
}

fn stats(model: &Subscriptions) -> Stats {
    let parsed: Vec<_> = model.keys().map(|(_, text)| Filter::parse(text).unwrap()).collect();
    let mut filters: Vec<_> = parsed.iter().map(Filter::topic_filter).collect();
    let mut groups: Vec<_> =
        parsed.iter().filter_map(|filter| Some((filter.group()?, filter.topic_filter()))).collect();
    filters.sort_unstable();
    filters.dedup();
    groups.sort_unstable();
    groups.dedup();
    Stats { filters: filters.len(), subscriptions: model.len(), groups: groups.len() }
}
