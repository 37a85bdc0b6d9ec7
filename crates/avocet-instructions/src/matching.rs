//! Who gets a topic: an index of [`FILTERS`] filters, asked with and without the cache.

use std::hint::black_box;

use avocet_router::{Config, Entry, Filter, RouteCache, Router, Subscriber, SubscriberId};

use crate::Prepare;

const FILTERS: u64 = 10_000;

pub(crate) const PATHS: &[(&str, Prepare)] = &[
    ("match-exact", || ask("sites/77/exact")),
    ("match-exact-cached", || ask_cache("sites/77/exact")),
    ("match-wildcard", || ask("sites/78/lamps/4/state")),
    ("match-wildcard-cached", || ask_cache("sites/78/lamps/4/state")),
    ("match-nobody", || ask("elsewhere/1")),
    ("subscribe-and-unsubscribe", subscribe),
];

#[derive(Clone, Debug)]
struct Client(u64);

impl Subscriber for Client {
    fn id(&self) -> SubscriberId {
        SubscriberId(self.0)
    }
}

fn router() -> Router<Client> {
    let router = Router::new(Config::default());
    for number in 0..FILTERS / 2 {
        for text in [format!("sites/{number}/exact"), format!("sites/{number}/lamps/+/state")] {
            let filter = Filter::parse(&text).expect("a filter");
            router.subscribe(&filter, Client(number), Entry::default());
        }
    }
    router
}

fn ask(topic: &'static str) -> Box<dyn FnMut()> {
    let router = router();
    Box::new(move || {
        black_box(router.matches(black_box(topic)));
    })
}

fn ask_cache(topic: &'static str) -> Box<dyn FnMut()> {
    let router = router();
    let mut cache = RouteCache::new(4096);
    Box::new(move || {
        black_box(cache.lookup(&router, black_box(topic)));
    })
}

fn subscribe() -> Box<dyn FnMut()> {
    let router = router();
    let filter = Filter::parse("sites/+/lamps/4/#").expect("a filter");
    Box::new(move || {
        router.subscribe(black_box(&filter), Client(FILTERS), Entry::default());
        router.unsubscribe(black_box(&filter), SubscriberId(FILTERS));
    })
}
