use super::*;

#[test]
fn ledger_keeps_the_latest_of_what_was_lost() {
    let drops = Drops::default();
    for number in 0..=LEDGER_MAX {
        drops.note("c", &number.to_string(), QoS::AtMostOnce, DropReason::QueueFull);
    }
    let latest = drops.latest();
    assert_eq!(latest.len(), LEDGER_MAX);
    assert_eq!((&*latest[0].topic, &*latest[LEDGER_MAX - 1].topic), ("1", "4096"));
    assert_eq!(drops.total(DropReason::QueueFull), 4097);
}

#[test]
fn what_nobody_wants_pushes_out_nothing_that_was_lost() {
    let drops = Drops::default();
    drops.note("alice", "a", QoS::ExactlyOnce, DropReason::Expired);
    for _ in 0..=LEDGER_MAX {
        drops.note_all("bob", "b", QoS::ExactlyOnce, DropReason::NoSubscribers, 3);
    }
    drops.note("alice", "c", QoS::AtMostOnce, DropReason::Offline);
    let latest = drops.latest();
    assert_eq!(latest.len(), UNWANTED_MAX + 2);
    let first = &latest[0];
    assert_eq!((&*first.client_id, &*first.topic, first.messages), ("alice", "a", 1));
    assert_eq!((&*latest[1].client_id, latest[1].messages), ("bob", 3));
    assert_eq!(latest.last().map(|dropped| dropped.reason), Some(DropReason::Offline));
    assert_eq!(drops.total(DropReason::NoSubscribers), 3 * (LEDGER_MAX as u64 + 1));
    assert_eq!(drops.total_with(QoS::ExactlyOnce), 1);
}

#[test]
fn long_topic_is_cut_between_characters() {
    let drops = Drops::default();
    let topic = format!("{}é", "x".repeat(TOPIC_BYTES_MAX - 1));
    drops.note("c", &topic, QoS::AtMostOnce, DropReason::QueueFull);
    assert_eq!(drops.latest()[0].topic.len(), TOPIC_BYTES_MAX - 1);
}
