use avocet_mqtt::Publish;

use super::*;

fn parse(line: &str) -> Result<Properties, String> {
    let words: Vec<String> = line.split_ascii_whitespace().map(str::to_owned).collect();
    Properties::parse(&words)
}

#[test]
fn user_property_has_a_word_more() {
    let properties = parse(
        "publish user-property a b PUBLISH content-type text connect receive-maximum 9 \
         PUBLISH user-property a c",
    );
    let properties = properties.unwrap();
    let forwarded = properties.forwarded().unwrap();
    let pairs: Vec<_> = forwarded.borrow().user_properties().collect();
    assert_eq!(pairs, [("a", "b"), ("a", "c")]);
    assert_eq!(forwarded.borrow().content_type(), Some("text"));
    let mut connect = Connect::new(avocet_mqtt::ProtocolVersion::V5, "");
    properties.apply_to_connect(&mut connect).unwrap();
    assert_eq!(connect.receive_maximum.map(|max| max.get()), Some(9));
}

#[test]
fn properties_of_one_hop_are_not_forwarded() {
    let properties = parse("publish topic-alias 3 publish message-expiry-interval 60").unwrap();
    assert_eq!(properties.forwarded(), Ok(OwnedProperties::default()));
    let mut publish = Publish::new("t", b"");
    properties.apply_to_publish(&mut publish).unwrap();
    assert_eq!(publish.topic_alias.map(|alias| alias.get()), Some(3));
    assert_eq!(publish.message_expiry_interval, Some(60));
}

#[test]
fn incomplete_ones_are_refused() {
    for line in ["publish", "publish content-type", "publish user-property a", "pingreq x 1"] {
        assert!(parse(line).is_err(), "{line}");
    }
    let wrong = ["publish receive-maximum 1", "publish payload-format-indicator 2"];
    for line in wrong {
        assert!(parse(line).unwrap().forwarded().is_err(), "{line}");
    }
}
