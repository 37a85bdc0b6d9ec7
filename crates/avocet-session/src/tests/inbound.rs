//! What the client publishes.

use std::num::NonZeroU16;

use avocet_mqtt::{Auth, Connect, OwnedProperties, Packet, ProtocolVersion, QoS, ReasonCode};
use avocet_mqtt::{Publish, UserProperties};

use super::{
    message::{Q0, Q1, Q2, message, puback, publish, pubrel, unsubscribe},
    script::Script,
};

fn p(qos: QoS, number: u16, topic: &'static str) -> Packet<'static> {
    Packet::Publish(publish(qos, number, topic))
}

fn repeated(number: u16) -> Packet<'static> {
    Packet::Publish(Publish { dup: true, ..publish(Q2, number, "a") })
}

/// [MQTT3-3.3.4-1] [MQTT5-3.3.4-1]
#[test]
fn qos_0_is_routed_and_not_answered() {
    Script::each(|s| {
        s.open().sends(p(Q0, 0, "a")).gives(&["route q0 t=a p=x"]);
    });
}

/// [MQTT3-3.3.4-1] [MQTT3-4.3.2-2] [MQTT3-2.3.1-6] [MQTT5-3.3.4-1] [MQTT5-4.3.2-4] [MQTT5-2.2.1-5]
#[test]
fn qos_1_is_acknowledged_once_it_is_routed() {
    Script::each(|s| {
        s.open().sends(p(Q1, 7, "a")).gives(&["route q1 id=7 t=a p=x"]);
        s.routed(Q1, 7, ReasonCode::Success).gives(&["PUBACK 7"]);
    });
}

/// [MQTT3-4.3.2-2] [MQTT5-4.3.2-5]
#[test]
fn qos_1_identifier_is_a_new_message_after_its_puback_whatever_dup_says() {
    Script::each(|s| {
        s.open().sends(p(Q1, 7, "a")).gives(&["route q1 id=7 t=a p=x"]);
        s.routed(Q1, 7, ReasonCode::Success).gives(&["PUBACK 7"]);
        s.sends(Packet::Publish(Publish { dup: true, ..publish(Q1, 7, "b") }));
        s.gives(&["route q1 id=7 t=b p=x"]);
        s.routed(Q1, 7, ReasonCode::Success).gives(&["PUBACK 7"]);
    });
}

/// [MQTT3-3.3.4-1] [MQTT3-4.3.3-2] [MQTT5-3.3.4-1] [MQTT5-4.3.3-8] [MQTT5-4.3.3-11]
#[test]
fn qos_2_is_received_released_and_complete() {
    Script::each(|s| {
        s.open().sends(p(Q2, 7, "a")).gives(&["route q2 id=7 t=a p=x"]);
        s.routed(Q2, 7, ReasonCode::Success).gives(&["PUBREC 7"]);
        s.sends(pubrel(7)).gives(&["PUBCOMP 7"]);
    });
}

/// [MQTT3-4.3.3-2] [MQTT5-4.3.3-10]
#[test]
fn qos_2_repeated_before_pubrel_is_answered_again_and_not_routed() {
    Script::each(|s| {
        s.open().sends(p(Q2, 7, "a")).gives(&["route q2 id=7 t=a p=x"]);
        s.sends(repeated(7)).gives(&[]); // The answer to the first answers both.
        s.routed(Q2, 7, ReasonCode::Success).gives(&["PUBREC 7"]);
        s.sends(repeated(7)).gives(&["PUBREC 7"]);
        s.sends(p(Q2, 7, "a")).gives(&["PUBREC 7"]);
    });
}

/// [MQTT3-4.3.3-2] [MQTT5-4.3.3-10] [MQTT3-4.1.0-1]
#[test]
fn qos_2_repeated_on_the_next_connection_is_not_routed() {
    Script::each(|s| {
        s.open().sends(p(Q2, 7, "a")).gives(&["route q2 id=7 t=a p=x"]);
        s.routed(Q2, 7, ReasonCode::Success).gives(&["PUBREC 7"]);
        s.cut().open().sends(repeated(7)).gives(&["PUBREC 7"]);
        s.sends(pubrel(7)).gives(&["PUBCOMP 7"]);
    });
}

#[test]
fn qos_2_cut_off_while_routed_is_not_routed_again() {
    Script::each(|s| {
        s.open().sends(p(Q2, 7, "a")).gives(&["route q2 id=7 t=a p=x"]);
        s.cut().routed(Q2, 7, ReasonCode::Success).gives(&[]);
        s.open().sends(repeated(7)).gives(&["PUBREC 7"]);
    });
}

#[test]
fn qos_2_refused_after_the_cut_is_routed_when_it_comes_again() {
    Script::each(|s| {
        s.open().sends(p(Q2, 7, "a")).gives(&["route q2 id=7 t=a p=x"]);
        s.cut().routed(Q2, 7, ReasonCode::QuotaExceeded).gives(&[]);
        s.open().sends(repeated(7)).gives(&["route q2 id=7 t=a p=x"]);
    });
}

/// [MQTT3-4.3.3-2] [MQTT5-4.3.3-12]
#[test]
fn qos_2_identifier_is_a_new_message_after_pubcomp() {
    Script::each(|s| {
        s.open().sends(p(Q2, 7, "a")).gives(&["route q2 id=7 t=a p=x"]);
        s.routed(Q2, 7, ReasonCode::Success).sends(pubrel(7)).gives(&["PUBREC 7", "PUBCOMP 7"]);
        s.sends(p(Q2, 7, "b")).gives(&["route q2 id=7 t=b p=x"]);
    });
}

/// [MQTT5-4.3.3-9]
#[test]
fn qos_2_identifier_is_a_new_message_after_a_pubrec_that_refuses() {
    Script::each(|s| {
        s.open().sends(p(Q2, 7, "a")).gives(&["route q2 id=7 t=a p=x"]);
        s.routed(Q2, 7, ReasonCode::NotAuthorized);
        s.gives(&["3: PUBREC 7", "5: PUBREC 7 87 text"]);
        s.sends(p(Q2, 7, "b")).gives(&["route q2 id=7 t=b p=x"]);
    });
}

/// [MQTT3-4.3.3-2] [MQTT5-4.3.3-11] [MQTT5-2.2.1-5]
#[test]
fn pubrel_is_answered_though_nothing_is_known_of_it() {
    Script::each(|s| {
        s.open().sends(pubrel(9)).gives(&["3: PUBCOMP 9", "5: PUBCOMP 9 92 text"]);
    });
}

/// [MQTT3-4.3.3-2] [MQTT5-4.3.3-11]
#[test]
fn qos_2_released_before_it_is_routed_is_answered_by_pubcomp_alone() {
    for reason in [ReasonCode::Success, ReasonCode::NoMatchingSubscribers] {
        Script::each(|s| {
            s.open().sends(p(Q2, 7, "a")).sends(p(Q2, 8, "a"));
            s.gives(&["route q2 id=7 t=a p=x", "route q2 id=8 t=a p=x"]);
            s.sends(pubrel(7)).gives(&["PUBCOMP 7"]).routed(Q2, 7, reason).gives(&[]);
            s.routed(Q2, 8, ReasonCode::Success).gives(&["PUBREC 8"]);
        });
    }
}

/// [MQTT3-3.3.5-2] [MQTT5-3.1.2-29]
#[test]
fn refusal_has_a_reason_string_if_problem_information_is_wanted() {
    Script::each(|s| {
        s.open().sends(p(Q1, 1, "a")).gives(&["route q1 id=1 t=a p=x"]);
        s.routed(Q1, 1, ReasonCode::NotAuthorized);
        s.gives(&["3: PUBACK 1", "5: PUBACK 1 87 text"]).cut();
        s.connecting(|c| c.request_problem_information = false).open();
        s.sends(p(Q1, 1, "a")).gives(&["route q1 id=1 t=a p=x"]);
        s.routed(Q1, 1, ReasonCode::NotAuthorized).gives(&["3: PUBACK 1", "5: PUBACK 1 87"]);
        s.sends(p(Q2, 2, "a")).gives(&["route q2 id=2 t=a p=x"]);
        s.routed(Q2, 2, ReasonCode::NotAuthorized).gives(&["3: PUBREC 2", "5: PUBREC 2 87"]);
    });
}

#[test]
fn success_without_subscribers_is_said() {
    Script::each(|s| {
        s.open().sends(p(Q1, 1, "a")).sends(p(Q2, 2, "a"));
        s.gives(&["route q1 id=1 t=a p=x", "route q2 id=2 t=a p=x"]);
        s.routed(Q1, 1, ReasonCode::NoMatchingSubscribers);
        s.routed(Q2, 2, ReasonCode::NoMatchingSubscribers);
        s.gives(&["3: PUBACK 1", "5: PUBACK 1 10", "3: PUBREC 2", "5: PUBREC 2 10"]);
        s.sends(pubrel(2)).gives(&["PUBCOMP 2"]);
    });
}

/// [MQTT3-4.8.0-2]
#[test]
fn full_queue_ends_a_connection_that_cannot_be_told() {
    Script::each(|s| {
        s.open().sends(p(Q1, 1, "a")).gives(&["route q1 id=1 t=a p=x"]);
        s.routed(Q1, 1, ReasonCode::QuotaExceeded);
        s.gives(&["5: PUBACK 1 97 text", "3: close by server 97"]);
    });
    Script::each(|s| {
        s.open().sends(p(Q2, 1, "a")).gives(&["route q2 id=1 t=a p=x"]);
        s.routed(Q2, 1, ReasonCode::QuotaExceeded);
        s.gives(&["5: PUBREC 1 97 text", "3: close by server 97"]);
        s.cut().open().sends(repeated(1)).gives(&["route q2 id=1 t=a p=x"]);
    });
}

/// [MQTT5-3.3.4-7] [MQTT5-4.13.1-1]
#[test]
fn more_messages_at_once_than_the_receive_maximum_end_the_connection() {
    Script::v5(|s| {
        s.limits(|l| l.receive_maximum = NonZeroU16::new(2).unwrap()).open();
        s.sends(p(Q1, 1, "a")).sends(p(Q2, 2, "a")).sends(p(Q0, 0, "a"));
        s.gives(&["route q1 id=1 t=a p=x", "route q2 id=2 t=a p=x", "route q0 t=a p=x"]);
        s.sends(p(Q1, 3, "a")).gives(&["DISCONNECT 93 text", "close by server 93"]);
    });
    Script::v5(|s| {
        s.limits(|l| l.receive_maximum = NonZeroU16::new(2).unwrap()).open();
        s.sends(p(Q1, 1, "a")).sends(p(Q2, 2, "a"));
        s.gives(&["route q1 id=1 t=a p=x", "route q2 id=2 t=a p=x"]);
        // A message of QoS 2 is under way until it is released, one of QoS 1 until it is answered.
        s.routed(Q1, 1, ReasonCode::Success).routed(Q2, 2, ReasonCode::Success);
        s.gives(&["PUBACK 1", "PUBREC 2"]);
        s.sends(p(Q2, 3, "a")).gives(&["route q2 id=3 t=a p=x"]);
        s.sends(repeated(2)).gives(&[]).routed(Q2, 3, ReasonCode::Success);
        s.gives(&["PUBREC 3", "PUBREC 2"]);
        s.sends(p(Q2, 4, "a")).gives(&["DISCONNECT 93 text", "close by server 93"]);
        // It was not routed, so it is a new one when it comes again.
        s.cut().open().sends(repeated(4)).gives(&["route q2 id=4 t=a p=x"]);
    });
}

/// Section 4.9 of 5.0: the quota is not preserved across connections.
#[test]
fn receive_maximum_counts_anew_on_each_connection() {
    Script::v5(|s| {
        s.limits(|l| l.receive_maximum = NonZeroU16::new(1).unwrap()).open();
        s.sends(p(Q2, 1, "a")).gives(&["route q2 id=1 t=a p=x"]);
        s.routed(Q2, 1, ReasonCode::Success).gives(&["PUBREC 1"]);
        s.cut().open().sends(p(Q2, 2, "a")).gives(&["route q2 id=2 t=a p=x"]);
        s.routed(Q2, 2, ReasonCode::Success).gives(&["PUBREC 2"]);
        s.sends(pubrel(1)).gives(&["PUBCOMP 1"]);
        // One that is repeated counts as well.
        s.sends(p(Q1, 3, "a")).gives(&["DISCONNECT 93 text", "close by server 93"]);
        s.cut().open().sends(repeated(2)).gives(&["PUBREC 2"]);
        s.sends(p(Q1, 3, "a")).gives(&["DISCONNECT 93 text", "close by server 93"]);
    });
}

#[test]
fn clients_before_5_have_no_receive_maximum() {
    Script::v3(|s| {
        s.limits(|l| l.receive_maximum = NonZeroU16::MIN).open();
        s.sends(p(Q2, 1, "a")).sends(p(Q2, 2, "a"));
        s.gives(&["route q2 id=1 t=a p=x", "route q2 id=2 t=a p=x"]);
    });
}

/// [MQTT5-3.2.2-11]
#[test]
fn qos_above_the_maximum_ends_the_connection() {
    Script::each(|s| {
        s.limits(|l| l.maximum_qos = Q1).open();
        s.sends(p(Q1, 1, "a")).gives(&["route q1 id=1 t=a p=x"]);
        s.sends(p(Q2, 2, "a")).gives(&["5: DISCONNECT 9B text", "close by server 9B"]);
    });
}

/// [MQTT5-3.2.2-14]
#[test]
fn retain_ends_the_connection_where_it_is_not_available() {
    Script::each(|s| {
        s.limits(|l| l.retain_available = false).open();
        s.sends(Packet::Publish(Publish { retain: true, ..publish(Q0, 0, "a") }));
        s.gives(&["5: DISCONNECT 9A text", "close by server 9A"]);
    });
}

#[test]
fn payload_that_is_not_the_text_it_claims_to_be_is_refused_if_looked_at() {
    let properties = OwnedProperties::builder().payload_format_indicator(1).build().unwrap();
    let properties: &'static OwnedProperties = Box::leak(Box::new(properties));
    let lying = |qos, number| {
        let mut publish = publish(qos, number, "a");
        publish.properties = properties.borrow();
        publish.payload = &[0xFF];
        Packet::Publish(publish)
    };
    Script::v5(|s| {
        s.limits(|l| l.check_payload_format = true).open();
        s.sends(lying(Q0, 0)).gives(&["drop payload_format_invalid t=a"]);
        s.sends(lying(Q1, 1)).gives(&["drop payload_format_invalid t=a", "PUBACK 1 99 text"]);
        s.sends(lying(Q2, 2)).gives(&["drop payload_format_invalid t=a", "PUBREC 2 99 text"]);
        s.sends(p(Q2, 2, "a")).gives(&["route q2 id=2 t=a p=x"]);
    });
    Script::v5(|s| {
        s.open().sends(lying(Q1, 1));
        s.gives(&["route q1 id=1 PayloadFormatIndicator(1) t=a p=\u{FFFD}"]);
    });
}

/// [MQTT3-4.6.0-2] [MQTT3-4.6.0-3] [MQTT3-4.6.0-6] [MQTT5-4.6.0-2] [MQTT5-4.6.0-3]
#[test]
fn answers_keep_the_order_of_the_messages() {
    let properties = OwnedProperties::builder().payload_format_indicator(1).build().unwrap();
    let properties: &'static OwnedProperties = Box::leak(Box::new(properties));
    Script::each(|s| {
        s.limits(|l| l.check_payload_format = true).open();
        s.sends(p(Q2, 1, "a")).routed(Q2, 1, ReasonCode::Success);
        s.gives(&["route q2 id=1 t=a p=x", "PUBREC 1"]);
        let mut lying = publish(Q1, 4, "a");
        lying.properties = properties.borrow();
        lying.payload = &[0xFF];
        s.sends(p(Q1, 2, "a")).sends(p(Q2, 3, "a")).sends(repeated(1));
        s.sends(Packet::Publish(lying)).sends(p(Q1, 5, "a"));
        s.gives(&[
            "route q1 id=2 t=a p=x",
            "route q2 id=3 t=a p=x",
            "drop payload_format_invalid t=a",
            "route q1 id=5 t=a p=x",
        ]);
        s.routed(Q1, 2, ReasonCode::Success).gives(&["PUBACK 2"]);
        s.routed(Q2, 3, ReasonCode::Success);
        s.gives(&["PUBREC 3", "PUBREC 1", "3: PUBACK 4", "5: PUBACK 4 99 text"]);
        s.routed(Q1, 5, ReasonCode::Success).gives(&["PUBACK 5"]);
    });
}

/// [MQTT3-3.12.4-1] [MQTT5-3.12.4-1]
#[test]
fn pingreq_is_answered() {
    Script::each(|s| {
        s.open().sends(Packet::Pingreq).gives(&["PINGRESP"]);
    });
}

/// [MQTT3-3.1.0-2] [MQTT5-3.1.0-2] [MQTT3-4.8.0-1]
#[test]
fn second_connect_ends_the_connection() {
    Script::each(|s| {
        let connect = Connect::new(s.version, "c");
        s.open().sends(Packet::Connect(Box::new(connect)));
        s.gives(&["5: DISCONNECT 82 text", "close by server 82"]);
    });
}

/// [MQTT3-4.8.0-1] [MQTT5-4.13.1-1]
#[test]
fn packet_that_only_a_server_sends_ends_the_connection() {
    Script::each(|s| {
        s.open().sends(Packet::Pingresp);
        s.gives(&["5: DISCONNECT 82 text", "close by server 82"]);
    });
}

/// [MQTT5-4.12.0-6] [MQTT5-4.12.0-7]
#[test]
fn auth_without_a_method_in_connect_ends_the_connection() {
    Script::v5(|s| {
        let auth = Auth {
            reason: ReasonCode::Reauthenticate,
            authentication_method: Some("X".to_owned()),
            authentication_data: None,
            reason_string: None,
            user_properties: UserProperties::default(),
        };
        s.open().sends(Packet::Auth(Box::new(auth)));
        s.gives(&["DISCONNECT 82 text", "close by server 82"]);
    });
}

/// [MQTT5-3.14.4-1]
#[test]
fn nothing_is_taken_and_nothing_said_after_the_server_closed() {
    Script::each(|s| {
        s.open().sends(p(Q1, 1, "a")).gives(&["route q1 id=1 t=a p=x"]);
        s.closes(ReasonCode::SessionTakenOver);
        s.gives(&["5: DISCONNECT 8E text", "close by server 8E"]);
        s.routed(Q1, 1, ReasonCode::Success).gives(&[]);
        s.sends(p(Q1, 2, "a")).sends(Packet::Pingreq).sends(puback(1)).gives(&[]);
        s.sends(unsubscribe(3, &["a"])).unsubscribed(3, &[ReasonCode::Success]).gives(&[]);
        s.brings(message(Q0, "a", "0")).brings(message(Q1, "a", "1")).gives(&["queued", "queued"]);
        s.has_room(9).gives(&[]);
        s.closes(ReasonCode::ServerShuttingDown).gives(&[]);
        s.cut().open().gives(&["PUBLISH q0 t=a p=0", "PUBLISH q1 id=1 t=a p=1"]);
    });
}

/// [MQTT3-3.14.4-2] [MQTT5-3.14.4-1]
#[test]
fn nothing_is_taken_after_disconnect() {
    Script::each(|s| {
        s.open().sends(super::message::disconnect(ReasonCode::Success));
        s.gives(&["close by client 00"]);
        s.sends(p(Q1, 2, "a")).sends(Packet::Pingreq).gives(&[]);
        s.brings(message(Q1, "a", "1")).gives(&["queued"]);
        s.closes(ReasonCode::SessionTakenOver).gives(&[]);
    });
}

#[test]
fn version_is_that_of_the_connection() {
    Script::each(|s| {
        s.open();
        assert_eq!(s.session().version(), Some(s.version));
        s.cut();
        assert_eq!(s.session().version(), None::<ProtocolVersion>);
    });
}
