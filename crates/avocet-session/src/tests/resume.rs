//! What is sent again when the client comes back, and what is forgotten.

use std::num::NonZeroU16;

use avocet_mqtt::{Packet, QoS, ReasonCode};

use super::{
    message::{Q0, Q1, Q2, message, puback, pubcomp, publish, pubrec, pubrel},
    script::Script,
};

/// [MQTT3-4.4.0-1] [MQTT3-3.3.1-1] [MQTT3-4.6.0-1] [MQTT5-4.4.0-1] [MQTT5-3.3.1-1] [MQTT5-4.6.0-1]
/// [MQTT3-4.1.0-1] [MQTT3-3.1.2-4] [MQTT5-3.1.2-5] [MQTT5-3.1.2-23]
#[test]
fn unacknowledged_messages_are_sent_again_in_order_with_dup() {
    Script::each(|s| {
        s.open();
        for (qos, payload) in [(Q1, "1"), (Q2, "2"), (Q1, "3"), (Q2, "4"), (Q0, "0")] {
            s.brings(message(qos, "a", payload));
        }
        s.sends(puback(1)).sends(pubrec(4));
        s.gives(&[
            "PUBLISH q1 id=1 t=a p=1",
            "PUBLISH q2 id=2 t=a p=2",
            "PUBLISH q1 id=3 t=a p=3",
            "PUBLISH q2 id=4 t=a p=4",
            "PUBLISH q0 t=a p=0",
            "PUBREL 4",
        ]);
        s.cut().brings(message(Q1, "a", "5")).gives(&["queued"]).open();
        s.gives(&[
            "PUBLISH q2 id=2 dup t=a p=2",
            "PUBLISH q1 id=3 dup t=a p=3",
            "PUBREL 4",
            "PUBLISH q1 id=5 t=a p=5",
        ]);
        s.sends(pubrec(2)).sends(puback(3)).sends(pubcomp(4)).gives(&["PUBREL 2"]);
        s.cut().open().gives(&["PUBREL 2", "PUBLISH q1 id=5 dup t=a p=5"]);
    });
}

/// [MQTT5-4.4.0-1]
#[test]
fn nothing_is_sent_again_while_the_connection_stands() {
    Script::each(|s| {
        s.open().brings(message(Q1, "a", "1")).gives(&["PUBLISH q1 id=1 t=a p=1"]);
        s.after(100_000).has_room(9).brings(message(Q0, "a", "0")).gives(&["PUBLISH q0 t=a p=0"]);
    });
}

/// [MQTT3-4.3.3-1] [MQTT5-4.3.3-3] [MQTT5-4.3.3-5] [MQTT5-4.3.3-6]
#[test]
fn publish_is_not_sent_again_once_it_was_released() {
    Script::each(|s| {
        s.open().brings(message(Q2, "a", "1")).gives(&["PUBLISH q2 id=1 t=a p=1"]);
        s.cut().open().gives(&["PUBLISH q2 id=1 dup t=a p=1"]);
        s.sends(pubrec(1)).gives(&["PUBREL 1"]);
        s.cut().open().gives(&["PUBREL 1"]).cut().open().gives(&["PUBREL 1"]);
        s.sends(pubcomp(1)).cut().open().gives(&[]);
    });
}

/// [MQTT5-3.3.4-9] [MQTT5-4.9.0-2]
#[test]
fn smaller_window_of_the_next_connection_is_kept() {
    Script::v5(|s| {
        s.open();
        for payload in ["1", "2", "3", "4"] {
            s.brings(message(Q2, "a", payload));
        }
        s.sends(pubrec(4)).cut().connecting(|c| c.receive_maximum = NonZeroU16::new(2));
        s.gives(&[
            "PUBLISH q2 id=1 t=a p=1",
            "PUBLISH q2 id=2 t=a p=2",
            "PUBLISH q2 id=3 t=a p=3",
            "PUBLISH q2 id=4 t=a p=4",
            "PUBREL 4",
        ]);
        s.open().gives(&["PUBLISH q2 id=1 dup t=a p=1", "PUBLISH q2 id=2 dup t=a p=2"]);
        assert!(s.session().has_waiting());
        // A new message waits behind the old ones.
        s.brings(message(Q1, "a", "5")).gives(&["queued"]);
        s.sends(pubrec(2)).gives(&["PUBREL 2"]);
        s.sends(pubcomp(2)).gives(&["PUBLISH q2 id=3 dup t=a p=3", "PUBREL 4"]);
        s.sends(pubrec(1)).sends(pubcomp(1)).gives(&["PUBREL 1"]);
        s.sends(pubcomp(4)).gives(&["PUBLISH q1 id=5 t=a p=5"]);
        assert!(!s.session().has_waiting());
    });
}

/// A client may answer what it got on the last connection before it is sent again.
#[test]
fn answer_to_the_last_connection_is_taken() {
    Script::v5(|s| {
        s.open().brings(message(Q1, "a", "1")).brings(message(Q2, "a", "2"));
        s.brings(message(Q1, "a", "3")).brings(message(Q2, "a", "4")).cut();
        s.gives(&[
            "PUBLISH q1 id=1 t=a p=1",
            "PUBLISH q2 id=2 t=a p=2",
            "PUBLISH q1 id=3 t=a p=3",
            "PUBLISH q2 id=4 t=a p=4",
        ]);
        s.connecting(|c| c.receive_maximum = NonZeroU16::new(1)).open();
        s.gives(&["PUBLISH q1 id=1 dup t=a p=1"]);
        s.sends(puback(3)).sends(pubrec(4)).gives(&["PUBREL 4"]);
        s.sends(puback(1)).gives(&[]);
        s.sends(pubcomp(4)).gives(&["PUBLISH q2 id=2 dup t=a p=2"]);
        s.sends(pubrec(2)).sends(pubcomp(2)).gives(&["PUBREL 2"]);
        assert_eq!(s.session().inflight(), 0);
    });
}

#[test]
fn connection_without_room_is_resumed_step_by_step() {
    Script::each(|s| {
        s.open().brings(message(Q1, "a", "1")).brings(message(Q1, "a", "2"));
        s.gives(&["PUBLISH q1 id=1 t=a p=1", "PUBLISH q1 id=2 t=a p=2"]);
        s.has_room(1).cut().open().gives(&["PUBLISH q1 id=1 dup t=a p=1"]);
        s.brings(message(Q1, "a", "3")).brings(message(Q0, "a", "0")).gives(&["queued", "queued"]);
        s.has_room(2).gives(&["PUBLISH q1 id=2 dup t=a p=2", "PUBLISH q1 id=3 t=a p=3"]);
        s.has_room(2).gives(&["PUBLISH q0 t=a p=0"]);
    });
}

/// Answers to the broker's side of an earlier connection do not reach the next.
#[test]
fn late_answer_of_the_broker_is_not_sent_on_the_next_connection() {
    Script::each(|s| {
        let first = |qos: QoS, number| Packet::Publish(publish(qos, number, "a"));
        s.open().sends(first(Q1, 1)).sends(first(Q2, 2));
        s.gives(&["route q1 id=1 t=a p=x", "route q2 id=2 t=a p=x"]);
        s.cut().open().routed(Q1, 1, ReasonCode::Success).gives(&[]);
        s.routed(Q2, 2, ReasonCode::Success).gives(&[]);
        s.sends(first(Q2, 2)).gives(&["PUBREC 2"]).sends(pubrel(2)).gives(&["PUBCOMP 2"]);
    });
}

/// A large window is resumed in one pass.
#[test]
fn large_window_is_resumed_at_once() {
    Script::v5(|s| {
        s.limits(|l| l.inflight_max = NonZeroU16::MAX).open().has_room(usize::MAX);
        let lines: Vec<String> =
            (1..=u16::MAX).map(|id| format!("PUBLISH q1 id={id} t=a p=1")).collect();
        for _ in &lines {
            s.brings(message(Q1, "a", "1"));
        }
        s.gives(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        s.brings(message(Q1, "a", "1")).gives(&["queued"]);
        let again = lines.iter().map(|line| line.replace(" t=a", " dup t=a"));
        let again: Vec<String> = again.collect();
        s.cut().open().gives(&again.iter().map(String::as_str).collect::<Vec<_>>());
        for id in 2..=u16::MAX {
            s.sends(puback(id));
        }
        s.gives(&[]).sends(puback(1)).gives(&["PUBLISH q1 id=1 t=a p=1"]);
    });
}

/// [MQTT3-3.14.4-3] [MQTT5-3.14.4-3] [MQTT3-3.1.2-10] [MQTT5-3.1.2-10] [MQTT3-3.1.2-12]
#[test]
fn disconnect_takes_the_will_away() {
    Script::each(|s| {
        s.connecting(|c| c.will = Some(will())).open();
        s.sends(super::message::disconnect(ReasonCode::Success));
        s.gives(&["close by client 00"]).cut().gives(&[]);
        s.connecting(|c| c.will = None).open().cut().gives(&[]);
    });
}

/// [MQTT3-3.1.2-8] [MQTT5-3.1.2-7] [MQTT5-3.1.2-8]
#[test]
fn cut_connection_leaves_its_will() {
    Script::each(|s| {
        s.connecting(|c| c.will = Some(will())).open().cut().gives(&["will t=w"]);
        s.open().sends(Packet::Pingresp);
        s.gives(&["5: DISCONNECT 82 text", "close by server 82"]).cut().gives(&["will t=w"]);
        s.open().closes(ReasonCode::KeepAliveTimeout);
        s.gives(&["5: DISCONNECT 8D text", "close by server 8D"]).cut().gives(&["will t=w"]);
    });
}

/// [MQTT5-3.1.2-8] [MQTT5-3.14.4-3]
#[test]
fn only_a_normal_disconnect_takes_the_will_away() {
    Script::v5(|s| {
        s.connecting(|c| c.will = Some(will())).open();
        s.sends(super::message::disconnect(ReasonCode::DisconnectWithWill));
        s.gives(&["close by client 04"]).cut().gives(&["will t=w"]);
        s.open().sends(super::message::disconnect(ReasonCode::UnspecifiedError));
        s.gives(&["close by client 80"]).cut().gives(&["will t=w"]);
    });
}

fn will() -> avocet_mqtt::Will {
    avocet_mqtt::Will {
        topic: "w".to_owned(),
        payload: Vec::new(),
        qos: Q0,
        retain: false,
        delay_interval: 0,
        message_expiry_interval: None,
        properties: avocet_mqtt::OwnedProperties::default(),
    }
}
