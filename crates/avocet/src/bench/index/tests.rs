use std::collections::BTreeSet;

use super::*;

#[test]
fn filters_differ_and_each_matches_its_topic() {
    for shape in [Shape::Exact, Shape::Plus, Shape::Hash, Shape::Mixed] {
        let fleet = Fleet { count: 120_000, shape };
        let filters: BTreeSet<_> = (0..fleet.count).map(|number| fleet.filter(number)).collect();
        assert_eq!(filters.len() as u64, fleet.count, "{shape:?}");
        let router = Router::new(Config::default());
        for number in (0..fleet.count).step_by(997) {
            let client = Client(Arc::new(number));
            let filter = Filter::parse(&fleet.filter(number)).unwrap();
            router.subscribe(&filter, client, Entry::default());
            assert!(!router.matches(&fleet.topic(number)).is_empty(), "{filter}");
        }
    }
}

#[test]
fn a_small_run_is_good_and_tells_so() {
    let (filters, lookups, retained, crowd) = (3_000, 500, 2_000, 1_000);
    let args = IndexArgs { filters, shape: Shape::Mixed, lookups, retained, crowd, json: true };
    let outcome = measure(&args).unwrap();
    assert!(outcome.is_good(), "{}", outcome.to_text(&args));
    let told = outcome.to_json(&args);
    assert_eq!(told["good"], true);
    assert_eq!(told["retained"]["fetched"][4]["found"], 10);
    assert_eq!(told["retained"]["fetched"][6]["pages"], 1);
}
