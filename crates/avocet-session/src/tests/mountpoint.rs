//! A client whose listener has a mountpoint.

use std::{num::NonZeroU32, sync::LazyLock};

use avocet_mqtt::{
    Codec, Connect, OwnedProperties, Packet, ProtocolVersion, Publish, QoS, ReasonCode, Run, Will,
    codec,
};

use super::{
    message::{Q0, Q1, Q2, aliased, message, publish, pubrec},
    script::{Script, origin},
    wire::{Wire, action_lines},
};
use crate::{
    Actions, Delivery, Limits, Messages, MountpointTemplate, QueueFull, Session, Terms, handshake,
};

fn responding(topic: &str) -> OwnedProperties {
    let builder = OwnedProperties::builder().content_type("text").response_topic(topic);
    builder.user_property("k", "v").build().unwrap()
}

fn will(topic: &str) -> Will {
    Will {
        topic: topic.to_owned(),
        payload: b"x".to_vec(),
        qos: Q0,
        retain: false,
        delay_interval: 0,
        message_expiry_interval: None,
        properties: responding("r"),
    }
}

fn retained(mut publish: Publish<'static>) -> Packet<'static> {
    publish.retain = true;
    Packet::Publish(publish)
}

#[test]
fn published_topics_are_mounted() {
    Script::each(|s| {
        s.mounted("m/${clientid}/").open();
        for (qos, number) in [(Q0, 0), (Q1, 1), (Q2, 2)] {
            s.sends(Packet::Publish(publish(qos, number, "a")));
        }
        s.gives(&[
            "route q0 t=m/c/a p=x",
            "route q1 id=1 t=m/c/a p=x",
            "route q2 id=2 t=m/c/a p=x",
        ]);
        s.routed(Q1, 1, ReasonCode::Success).routed(Q2, 2, ReasonCode::Success);
        s.gives(&["PUBACK 1", "PUBREC 2"]);
        s.sends(retained(publish(Q0, 0, "a"))).gives(&["route q0 retain t=m/c/a p=x"]);
        s.sends(Packet::Publish(publish(Q0, 0, "$delayed/5/a")));
        s.gives(&["route q0 t=$delayed/5/m/c/a p=x"]);
    });
}

#[test]
fn alias_stands_for_a_topic_under_the_mountpoint() {
    Script::v5(|s| {
        s.mounted("m/").limits(|l| l.topic_alias_maximum = 2).open();
        for topic in ["a", "", "b", ""] {
            s.sends(Packet::Publish(aliased(publish(Q0, 0, topic), 1)));
        }
        s.gives(&[
            "route q0 t=m/a p=x",
            "route q0 t=m/a p=x",
            "route q0 t=m/b p=x",
            "route q0 t=m/b p=x",
        ]);
    });
}

#[test]
fn response_topic_is_mounted_among_its_properties() {
    static PROPERTIES: LazyLock<OwnedProperties> = LazyLock::new(|| responding("r"));
    Script::v5(|s| {
        let mut request = publish(Q0, 0, "a");
        request.properties = PROPERTIES.borrow();
        s.mounted("m/").open().sends(Packet::Publish(request));
        let words = "ContentType(\"text\") ResponseTopic(\"m/r\") UserProperty(\"k\", \"v\")";
        s.gives(&[&format!("route q0 {words} t=m/a p=x")]);
    });
}

#[test]
fn messages_are_told_without_the_mountpoint() {
    Script::each(|s| {
        s.mounted("m/").open().brings(message(Q0, "m/a", "1")).brings(message(Q1, "m/b", "2"));
        s.brings(message(Q2, "m/c", "3")).brings(message(Q0, "m/d", "4").retained());
        s.brings(message(Q0, "n/m/e", "5")).brings(message(Q0, "$SYS/e", "6"));
        s.gives(&[
            "PUBLISH q0 t=a p=1",
            "PUBLISH q1 id=1 t=b p=2",
            "PUBLISH q2 id=2 t=c p=3",
            "PUBLISH q0 retain t=d p=4",
            "PUBLISH q0 t=n/m/e p=5",
            "PUBLISH q0 t=$SYS/e p=6",
        ]);
    });
}

#[test]
fn response_topic_is_told_without_the_mountpoint_or_whole() {
    static INSIDE: LazyLock<OwnedProperties> = LazyLock::new(|| responding("m/r"));
    static DELAYED: LazyLock<OwnedProperties> = LazyLock::new(|| responding("$delayed/1/m/r"));
    static OUTSIDE: LazyLock<OwnedProperties> = LazyLock::new(|| responding("n/r"));
    Script::v5(|s| {
        s.mounted("m/").open();
        for (properties, told) in [(&INSIDE, "r"), (&DELAYED, "$delayed/1/r"), (&OUTSIDE, "n/r")] {
            s.brings(message(Q0, "m/a", "1").properties(properties));
            let words = format!("ContentType(\"text\") ResponseTopic({told:?})");
            s.gives(&[&format!("PUBLISH q0 {words} UserProperty(\"k\", \"v\") t=a p=1")]);
        }
    });
}

#[test]
fn what_waits_and_what_is_sent_again_is_told_by_the_connection_that_sends_it() {
    Script::each(|s| {
        s.mounted("m/").open().has_room(1);
        s.brings(message(Q1, "m/a", "1")).brings(message(Q2, "m/b", "2"));
        s.gives(&["PUBLISH q1 id=1 t=a p=1", "queued"]);
        s.has_room(9).gives(&["PUBLISH q2 id=2 t=b p=2"]);
        s.sends(pubrec(2)).gives(&["PUBREL 2"]);
        s.cut().brings(message(Q1, "m/c", "3")).gives(&["queued"]);
        s.open().gives(&["PUBLISH q1 id=1 dup t=a p=1", "PUBREL 2", "PUBLISH q1 id=3 t=c p=3"]);
        // Another listener has another mountpoint, or none.
        s.cut().mounted("m/c/").open().gives(&[
            "PUBLISH q1 id=1 dup t=m/a p=1",
            "PUBREL 2",
            "PUBLISH q1 id=3 dup t=m/c p=3",
        ]);
        s.cut().unmounted().open().gives(&[
            "PUBLISH q1 id=1 dup t=m/a p=1",
            "PUBREL 2",
            "PUBLISH q1 id=3 dup t=m/c p=3",
        ]);
    });
}

#[test]
fn alias_is_given_to_the_topic_as_it_is_told() {
    Script::v5(|s| {
        s.mounted("m/").connecting(|c| c.topic_alias_maximum = 1).open();
        s.brings(message(Q0, "m/a", "1")).brings(message(Q0, "m/a", "2"));
        s.gives(&["PUBLISH q0 alias=1 t=a p=1", "PUBLISH q0 alias=1 t= p=2"]);
    });
}

#[test]
fn size_of_the_packet_is_that_of_what_is_sent() {
    Script::v5(|s| {
        let size = NonZeroU32::new(40);
        let mountpoint = format!("{}/", "m".repeat(50));
        let topic = |rest: &str| -> &'static str { format!("{mountpoint}{rest}").leak() };
        s.mounted(&mountpoint).connecting(|c| c.maximum_packet_size = size).open();
        let fits = "a".repeat(34);
        s.brings(message(Q0, topic(&fits), "1"));
        s.brings(message(Q0, topic(&format!("{fits}a")), "1"));
        s.gives(&[
            &format!("PUBLISH q0 t={fits} p=1"),
            &format!("drop packet_too_large t={mountpoint}{fits}a"),
        ]);
    });
}

#[test]
fn topic_that_becomes_too_long_is_refused() {
    Script::each(|s| {
        let fits: &'static str = "a".repeat(65_533).leak();
        let long: &'static str = "a".repeat(65_534).leak();
        s.mounted("m/").open();
        s.sends(Packet::Publish(publish(Q0, 0, fits)));
        s.gives(&[&format!("route q0 t=m/{fits} p=x")]);
        s.sends(Packet::Publish(publish(Q1, 1, "a"))).gives(&["route q1 id=1 t=m/a p=x"]);
        for (qos, number) in [(Q0, 0), (Q1, 2), (Q2, 3)] {
            s.sends(Packet::Publish(publish(qos, number, long)));
        }
        let drop = format!("drop topic_invalid t={long}");
        s.gives(&[&drop, &drop, &drop]);
        // The answers keep their order.
        s.routed(Q1, 1, ReasonCode::Success);
        s.gives(&[
            "PUBACK 1",
            "3: PUBACK 2",
            "3: PUBREC 3",
            "5: PUBACK 2 90 text",
            "5: PUBREC 3 90 text",
        ]);
        // Its exchange is over: the identifier is free.
        s.sends(Packet::Publish(publish(Q2, 3, "a"))).gives(&["route q2 id=3 t=m/a p=x"]);
    });
}

#[test]
fn response_topic_that_becomes_too_long_is_refused() {
    static LONG: LazyLock<OwnedProperties> = LazyLock::new(|| responding(&"r".repeat(65_534)));
    Script::v5(|s| {
        let mut request = publish(Q1, 1, "a");
        request.properties = LONG.borrow();
        s.mounted("m/").open().sends(Packet::Publish(request));
        s.gives(&["drop topic_invalid t=a", "PUBACK 1 90 text"]);
    });
}

#[test]
fn will_goes_under_the_mountpoint() {
    Script::each(|s| {
        s.mounted("m/").connecting(|c| c.will = Some(will("a"))).open();
        let will = s.detaches().will.unwrap();
        assert_eq!(will.topic, "m/a");
        assert_eq!(will.properties, responding("m/r"));
        s.connecting(|c| c.will = Some(self::will("$delayed/1/a"))).open();
        s.cut().gives(&["will t=$delayed/1/m/a"]);
        s.connecting(|c| c.will = Some(self::will(&"a".repeat(65_534)))).connects();
        s.gives(&["refused 90"]);
    });
}

#[test]
fn client_without_a_mountpoint_does_not_come_in() {
    Script::each(|s| {
        s.mounted("m/${username}/").connects().gives(&["refused 87"]);
        for name in ["", "a/b", "+", "#"] {
            s.connecting(|c| c.username = Some(name.to_owned())).connects();
            s.gives(&["refused 87"]);
        }
        s.mounted("m/${clientid}/").connecting(|c| c.client_id = "a/b".to_owned()).connects();
        s.gives(&["refused 85"]);
    });
}

/// The identifier that the server gives stands for the client's.
#[test]
fn assigned_identifier_is_put_into_the_mountpoint() {
    Script::v5(|s| {
        s.mounted("m/${clientid}/").connecting(|c| c.client_id = String::new()).open();
        s.sends(Packet::Publish(publish(Q0, 0, "a"))).gives(&["route q0 t=m/assigned/a p=x"]);
    });
}

/// What others send on as it came is looked at and written anew here, both ways.
#[test]
fn nothing_goes_on_as_it_came() {
    for version in [ProtocolVersion::V3_1_1, ProtocolVersion::V5] {
        for qos in [Q0, Q1, Q2] {
            for queue_full in [QueueFull::DropOldest, QueueFull::Refuse] {
                check_anew(version, qos, queue_full);
            }
        }
    }
}

fn check_anew(version: ProtocolVersion, qos: QoS, queue_full: QueueFull) {
    let limits = std::sync::Arc::new(Limits { queue_full, ..Limits::default() });
    let connect = Box::new(Connect::new(version, "c"));
    let mut admission = handshake::admit(connect, &limits, String::new).unwrap();
    admission.mount(&MountpointTemplate::parse("m/").unwrap()).unwrap();
    let mut wire = Wire::new(version, 100);
    let mut session = Session::new("c".into(), limits);
    session.attach(admission, false, origin(), &mut wire);
    wire.lines.clear();

    let mut bytes = Vec::new();
    for number in 1..=3 {
        let number = if qos == Q0 { 0 } else { number };
        codec::encode(version, &Packet::Publish(publish(qos, number, "m/a")), &mut bytes);
    }
    let mut codec = Codec::with_version(version, u32::MAX);
    let (mut actions, now) = (Actions::default(), origin());
    let handled = session.handle_bytes(&mut codec, &bytes, now, &mut actions, &mut wire, |_, _| {});
    assert_eq!(handled.used, bytes.len());
    let all = action_lines(&actions, now);
    assert_eq!(all.len(), 3);
    assert!(all.iter().all(|line| line.ends_with("t=m/m/a p=x")), "{all:?}");

    let (whole, _) = codec.decode(&bytes).unwrap().unwrap();
    let Packet::Publish(first) = whole else { panic!("no PUBLISH") };
    let run = Messages::Run(Run::of(&bytes, &first, version).unwrap());
    let terms = Terms {
        qos: Q2,
        retain_as_published: false,
        identifiers: &[],
        shared: None,
        retained: false,
        promised: false,
    };
    assert_eq!(session.handle_messages(&run, &terms, now, &mut wire), Delivery::Sent);
    assert!(wire.lines.iter().all(|line| line.ends_with(" t=a p=x")), "{:?}", wire.lines);
    assert_eq!(wire.lines.len(), 1);
}
