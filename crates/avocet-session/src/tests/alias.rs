//! Topic aliases, both ways.

use std::num::NonZeroU32;

use avocet_mqtt::Packet;

use super::{
    message::{Q0, Q1, aliased, message, publish},
    script::Script,
};

fn alias(topic: &'static str, number: u16) -> Packet<'static> {
    Packet::Publish(aliased(publish(Q0, 0, topic), number))
}

/// [MQTT5-3.3.2-12]
#[test]
fn alias_of_the_client_stands_for_its_topic() {
    Script::v5(|s| {
        s.limits(|l| l.topic_alias_maximum = 2).open();
        s.sends(alias("a", 2)).sends(alias("", 2));
        s.gives(&["route q0 t=a p=x", "route q0 t=a p=x"]);
        s.sends(alias("b", 1)).sends(alias("", 2)).sends(alias("", 1));
        s.gives(&["route q0 t=b p=x", "route q0 t=a p=x", "route q0 t=b p=x"]);
        s.sends(alias("c", 2)).sends(alias("", 2));
        s.gives(&["route q0 t=c p=x", "route q0 t=c p=x"]);
    });
}

/// [MQTT5-3.3.2-9] [MQTT5-3.2.2-17] [MQTT5-3.2.2-18]
#[test]
fn alias_above_the_maximum_ends_the_connection() {
    for (maximum, topic) in [(0, "a"), (2, "a"), (2, "")] {
        Script::v5(|s| {
            s.limits(|l| l.topic_alias_maximum = maximum).open();
            s.sends(alias(topic, maximum + 1)).gives(&["DISCONNECT 94 text", "close by server 94"]);
        });
    }
}

/// Section 3.3.4 of 5.0: no topic, and no mapping either.
#[test]
fn alias_that_was_never_given_ends_the_connection() {
    Script::v5(|s| {
        s.open().sends(alias("", 1)).gives(&["DISCONNECT 82 text", "close by server 82"]);
    });
}

/// [MQTT5-3.3.2-7]
#[test]
fn aliases_end_with_the_connection() {
    Script::v5(|s| {
        s.connecting(|c| c.topic_alias_maximum = 9).open();
        s.sends(alias("a", 1)).gives(&["route q0 t=a p=x"]);
        s.brings(message(Q0, "t", "1")).gives(&["PUBLISH q0 alias=1 t=t p=1"]);
        s.cut().open().brings(message(Q0, "t", "1")).gives(&["PUBLISH q0 alias=1 t=t p=1"]);
        s.sends(alias("", 1)).gives(&["DISCONNECT 82 text", "close by server 82"]);
    });
}

/// [MQTT5-3.1.2-26] [MQTT5-3.3.2-8] [MQTT5-3.3.2-11]
#[test]
fn alias_is_given_with_its_topic_and_then_stands_for_it() {
    Script::v5(|s| {
        s.connecting(|c| c.topic_alias_maximum = 2).open();
        for topic in ["a", "b", "c", "a", "b", "c"] {
            s.brings(message(Q0, topic, "1"));
        }
        s.gives(&[
            "PUBLISH q0 alias=1 t=a p=1",
            "PUBLISH q0 alias=2 t=b p=1",
            "PUBLISH q0 t=c p=1",
            "PUBLISH q0 alias=1 t= p=1",
            "PUBLISH q0 alias=2 t= p=1",
            "PUBLISH q0 t=c p=1",
        ]);
    });
}

/// The message stays whole: on the next connection the alias is unknown.
#[test]
fn message_sent_by_alias_is_sent_again_with_its_topic() {
    Script::v5(|s| {
        s.connecting(|c| c.topic_alias_maximum = 2).open();
        s.brings(message(Q1, "a", "1")).brings(message(Q1, "a", "2"));
        s.gives(&["PUBLISH q1 id=1 alias=1 t=a p=1", "PUBLISH q1 id=2 alias=1 t= p=2"]);
        s.cut().open();
        s.gives(&["PUBLISH q1 id=1 dup alias=1 t=a p=1", "PUBLISH q1 id=2 dup alias=1 t= p=2"]);
        s.cut().connecting(|c| c.topic_alias_maximum = 0).open();
        s.gives(&["PUBLISH q1 id=1 dup t=a p=1", "PUBLISH q1 id=2 dup t=a p=2"]);
    });
}

/// [MQTT5-3.1.2-27]
#[test]
fn client_that_gives_no_maximum_gets_no_aliases() {
    Script::each(|s| {
        s.open().brings(message(Q0, "a", "1")).brings(message(Q0, "a", "2"));
        s.gives(&["PUBLISH q0 t=a p=1", "PUBLISH q0 t=a p=2"]);
    });
}

#[test]
fn operator_bounds_the_aliases_of_a_client_that_allows_more() {
    Script::v5(|s| {
        s.limits(|l| l.outbound_topic_alias_maximum = 1);
        s.connecting(|c| c.topic_alias_maximum = 9).open();
        s.brings(message(Q0, "a", "1")).brings(message(Q0, "b", "1"));
        s.gives(&["PUBLISH q0 alias=1 t=a p=1", "PUBLISH q0 t=b p=1"]);
    });
}

/// [MQTT5-3.1.2-24]
#[test]
fn alias_does_not_make_a_message_too_large() {
    // Without alias 2 + 3 + 1 + 4 = 10 bytes.
    Script::v5(|s| {
        for bytes in [17, 18, 19, 20, 21, 22, 23] {
            s.connecting(|c| {
                c.topic_alias_maximum = 9;
                c.maximum_packet_size = NonZeroU32::new(bytes);
            });
            s.open().brings(message(Q0, "a", "12345678901"));
            let sent = if bytes < 22 { "" } else { " alias=1" };
            s.gives(&[&format!("PUBLISH q0{sent} t=a p=12345678901")]).cut();
        }
        // A message that did not fit has introduced nothing.
        s.connecting(|c| c.maximum_packet_size = NonZeroU32::new(20)).open();
        s.brings(message(Q0, "a", "1234567890123456")).gives(&["drop packet_too_large t=a"]);
        s.brings(message(Q0, "a", "1")).gives(&["PUBLISH q0 alias=1 t=a p=1"]);
    });
}
