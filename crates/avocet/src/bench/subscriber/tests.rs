use avocet_mqtt::topic::matches;

use super::*;

#[test]
fn each_filter_matches_its_topic_and_no_other() {
    for mix in [Mix::Exact, Mix::Plus, Mix::Hash, Mix::Mixed] {
        let filters = Filters::new(30, mix);
        for topic in 0..40 {
            let hits = (0..30).filter(|n| matches(&filters.filter(*n), &filters.topic(topic)));
            let expected = if topic < 30 { vec![topic] } else { vec![] };
            assert_eq!(hits.collect::<Vec<_>>(), expected, "{mix:?}");
        }
    }
}

#[test]
fn a_mix_has_its_shares() {
    let filters = Filters::new(100, Mix::Mixed);
    let ending = |end: char| (0..100).filter(|n| filters.filter(*n).ends_with(end)).count();
    assert_eq!((ending('t'), ending('+'), ending('#')), (80, 10, 10));
}

#[test]
fn everyone_asks_for_a_share_in_batches() {
    let filters = Filters::new(7, Mix::Exact);
    let mut subscriber = Subscriber::new(vec![4, 5], filters, 2, ProtocolVersion::V3_1_1);
    let mut out = Vec::new();
    subscriber.ask(0, &mut out, 10);
    subscriber.ask(1, &mut out, 10);
    for (member, codes, at) in
        [(4, &[0, 0][..], 20), (5, &[0, 0x80], 20), (4, &[0, 0], 30), (5, &[0], 40)]
    {
        assert!(!subscriber.is_over());
        let body = [&[0, 1], codes].concat();
        let frame = Frame { first: kind::SUBACK << 4, body: &body, len: body.len() + 2 };
        subscriber.handle_frame(member, &frame, &mut out, at).unwrap();
    }
    assert!(subscriber.is_over());
    assert_eq!((subscriber.done, subscriber.refused), (7, 1));
    assert_eq!(subscriber.latencies.min(), Some(10));
}

#[test]
fn packet_waits_until_all_of_its_filters_are_due() {
    let filters = Filters::new(7, Mix::Exact);
    let subscriber = Subscriber::new(vec![4, 5], filters, 2, ProtocolVersion::V3_1_1);
    let mut subscriber = subscriber.at(Tempo::new(Some(1000.0)));
    let (mut out, codes) = (Vec::new(), [0, 1, 0, 0]);
    let answer = Frame { first: kind::SUBACK << 4, body: &codes, len: codes.len() + 2 };
    assert!(!subscriber.is_due(0, 999_999) && subscriber.is_due(0, 1_000_001));
    subscriber.ask(0, &mut out, 1_000_001);
    out.clear();
    subscriber.handle_frame(4, &answer, &mut out, 2_000_001).unwrap();
    assert_eq!((out.len(), &subscriber.idle), (0, &VecDeque::from([0])));
    // Of the second packet the last filter is due three milliseconds after the first of all.
    assert_eq!(subscriber.wait(2_000_000), Duration::from_millis(1));
    assert!(subscriber.is_due(0, 3_000_000));
}
