use super::*;

#[test]
fn rarest_level_behind_a_wildcard_is_taken() {
    let mut levels = Levels::new();
    for number in 0..2_000 {
        levels.insert(&topic(number));
    }
    check(&levels, "+/5/state", &["site/5/state"]);
    check(&levels, "site/+/state/more/#", &[]);
    check(&levels, "+/+/nothing", &[]);
    assert!(levels.rarest("+/+/on").is_none(), "too many share it");
    assert!(levels.rarest("site/5/+").is_none(), "nothing behind the wildcard");
    assert!(levels.rarest("#").is_none());
    let few = levels.rarest("+/+/off").unwrap();
    assert_eq!(few.len(), 20);
}

#[test]
fn nothing_is_left_of_topics_that_are_gone() {
    let mut levels = Levels::new();
    for round in 0..2 {
        let topics: Vec<_> = (0..3_000).map(topic).collect();
        topics.iter().for_each(|topic| levels.insert(topic));
        for number in (0..3_000).rev() {
            levels.remove(&topics[number]);
        }
        assert_eq!(held(&levels), 0, "round {round}");
    }
    let room: usize = levels.parts.iter().map(HashTable::capacity).sum();
    assert!(room <= PARTS * 4, "{room}");
}

#[test]
fn levels_too_deep_are_not_kept() {
    let mut levels = Levels::new();
    let deep: Arc<str> = "a/".repeat(1_000).into();
    levels.insert(&deep);
    assert_eq!(held(&levels), DEPTH_MAX - 1);
    assert!(levels.rarest(&format!("{}b", "+/".repeat(DEPTH_MAX))).is_none());
}

fn held(levels: &Levels) -> usize {
    levels.parts.iter().flatten().map(|level| level.topics.len()).sum()
}

/// Every hundredth is off, and has another third level.
fn topic(number: usize) -> Arc<str> {
    match number % 100 {
        0 => format!("site/{number}/off").into(),
        5 => format!("site/{number}/state").into(),
        _ => format!("site/{number}/on").into(),
    }
}

#[track_caller]
fn check(levels: &Levels, filter: &str, expected: &[&str]) {
    let found: Vec<_> = levels.rarest(filter).unwrap().iter().map(|topic| &**topic).collect();
    assert!(found.len() <= FEW_MAX);
    let found: Vec<_> =
        found.into_iter().filter(|topic| crate::naive::is_match(filter, topic)).collect();
    assert_eq!(found, expected, "{filter}");
}
