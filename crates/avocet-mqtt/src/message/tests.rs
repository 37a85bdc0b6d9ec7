use super::*;
use crate::{Codec, Packet, ProtocolVersion};

#[expect(clippy::disallowed_methods, reason = "a test needs some instant to start from")]
fn start() -> Instant {
    Instant::now()
}

fn expiring(seconds: u32) -> Publish<'static> {
    Publish { message_expiry_interval: Some(seconds), ..Publish::new("t", b"x") }
}

fn after(start: Instant, millis: u64) -> Instant {
    start + Duration::from_millis(millis)
}

#[test]
fn message_becomes_owned_once_and_keeps_all_that_is_passed_on() {
    // Content type, then a topic alias, then a user property.
    let bytes = [
        0x33, 23, 0, 1, b't', 0, 9, 14, 3, 0, 1, b'c', 0x23, 0, 7, 0x26, 0, 1, b'k', 0, 1, b'v',
        b'h', b'i', b'!',
    ];
    let mut codec = Codec::with_version(ProtocolVersion::V5, 100);
    let Ok(Some((Packet::Publish(publish), 25))) = codec.decode(&bytes) else {
        panic!("no PUBLISH")
    };
    let transit = Transit::new(&publish, start());
    let shared = Arc::clone(transit.share());
    assert!(Arc::ptr_eq(&shared, transit.share()));
    assert_eq!(shared.topic(), "t");
    assert_eq!(shared.payload(), b"hi!");
    assert_eq!(shared.properties(), publish.properties);
    assert_eq!((shared.qos, shared.retain), (QoS::AtLeastOnce, true));
    assert_eq!(shared.len(), 1 + 11 + 3);

    let again = Transit::from_shared(&shared);
    assert!(Arc::ptr_eq(again.share(), &shared));
    assert_eq!(again.to_publish(start()), transit.to_publish(start()));
    let sent = again.to_publish(start()).unwrap();
    assert_eq!((sent.qos, sent.retain, sent.dup), (QoS::AtLeastOnce, true, false));
    assert_eq!((sent.packet_id, sent.topic_alias), (None, None));
    assert_eq!(sent.properties.content_type(), Some("c"));
    assert_eq!(sent.properties.user_properties().collect::<Vec<_>>(), [("k", "v")]);
}

/// [MQTT5-3.3.2-6]
#[test]
fn expiry_interval_shrinks_by_the_time_spent_here() {
    let start = start();
    let transit = Transit::new(&expiring(10), start);
    for (millis, left) in [(0, 10), (1, 10), (749, 10), (750, 9), (1000, 9), (9000, 1), (9999, 1)] {
        let now = after(start, millis);
        assert_eq!(transit.remaining_expiry(now), Expiry::Seconds(left));
        assert_eq!(transit.share().remaining_expiry(now), Expiry::Seconds(left));
        assert_eq!(transit.to_publish(now).unwrap().message_expiry_interval, Some(left));
    }
    // Who sends it has looked at the clock before it came.
    let transit = Transit::new(&expiring(10), after(start, 249));
    assert_eq!(transit.remaining_expiry(start), Expiry::Seconds(10));
}

/// [MQTT5-3.3.2-5]
#[test]
fn message_is_not_sent_when_its_time_is_over() {
    let start = start();
    let transit = Transit::new(&expiring(10), start);
    for millis in [10_000, 10_001, 1_000_000] {
        assert_eq!(transit.remaining_expiry(after(start, millis)), Expiry::Expired);
        assert_eq!(transit.to_publish(after(start, millis)), None);
    }
    assert_eq!(Transit::new(&expiring(0), start).to_publish(start), None);
}

#[test]
fn message_without_expiry_interval_lives_for_ever() {
    let start = start();
    let transit = Transit::new(&Publish::new("t", b""), start);
    let later = after(start, u64::from(u32::MAX) * 1000);
    assert_eq!(transit.remaining_expiry(later), Expiry::Never);
    assert_eq!(transit.to_publish(later).unwrap().message_expiry_interval, None);
    assert_eq!(transit.share().payload(), b"");
}

#[test]
fn rewritten_message_goes_on_with_its_new_topic_and_properties() {
    let came = OwnedProperties::builder().response_topic("r").content_type("c");
    let came = came.user_property("k", "v").build().unwrap();
    let mut publish = Publish::new("t", b"hi!");
    publish.properties = came.borrow();
    let properties = publish.properties.with_response_topic("m/r");
    let expected = OwnedProperties::builder().response_topic("m/r").content_type("c");
    let expected = expected.user_property("k", "v").build().unwrap();
    assert_eq!(properties, expected);
    assert_eq!(publish.properties.with_response_topic("r"), came);
    let topic = TopicName::Rewritten(Box::new(Rewritten { topic: "m/t".into(), properties }));
    let transit = Transit::received(&publish, topic, start());
    let shared = Arc::clone(transit.share());
    let again = Transit::from_shared(&shared);
    for transit in [&transit, &again] {
        assert_eq!((transit.topic(), transit.payload()), ("m/t", &b"hi!"[..]));
        assert_eq!(transit.properties(), expected.borrow());
        assert_eq!(transit.to_publish(start()).unwrap().properties, expected.borrow());
        assert_eq!(transit.to_publish_again(start()).properties, expected.borrow());
    }
}
