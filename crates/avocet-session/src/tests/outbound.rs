//! What the client is sent.

use std::num::{NonZeroU16, NonZeroU32};

use avocet_mqtt::{OwnedProperties, Packet, ReasonCode};

use super::{
    message::{Q0, Q1, Q2, ack, message, puback, pubcomp, pubrec},
    script::Script,
};

/// [MQTT3-4.3.1-1] [MQTT3-2.3.1-5] [MQTT5-4.3.1-1] [MQTT5-2.2.1-2]
#[test]
fn qos_0_is_sent_without_identifier() {
    Script::each(|s| {
        s.open().brings(message(Q0, "a/b", "1")).gives(&["PUBLISH q0 t=a/b p=1"]);
    });
}

/// [MQTT3-4.3.2-1] [MQTT3-2.3.1-4] [MQTT5-4.3.2-1] [MQTT5-4.3.2-2] [MQTT5-2.2.1-4]
#[test]
fn qos_1_gets_an_identifier_that_is_free() {
    Script::each(|s| {
        s.open().brings(message(Q1, "a", "1")).brings(message(Q1, "a", "2"));
        s.gives(&["PUBLISH q1 id=1 t=a p=1", "PUBLISH q1 id=2 t=a p=2"]);
        assert_eq!(s.session().inflight(), 2);
        s.sends(puback(2)).gives(&[]).brings(message(Q1, "a", "3"));
        s.gives(&["PUBLISH q1 id=3 t=a p=3"]);
        s.sends(puback(1)).sends(puback(3)).gives(&[]);
        assert_eq!(s.session().inflight(), 0);
    });
}

/// [MQTT3-4.3.3-1] [MQTT5-4.3.3-1] [MQTT5-4.3.3-2] [MQTT5-4.3.3-4] [MQTT3-2.3.1-6] [MQTT5-2.2.1-5]
#[test]
fn qos_2_is_published_released_and_complete() {
    Script::each(|s| {
        s.open().brings(message(Q2, "a", "1")).gives(&["PUBLISH q2 id=1 t=a p=1"]);
        s.sends(pubrec(1)).gives(&["PUBREL 1"]);
        assert_eq!(s.session().inflight(), 1);
        s.sends(pubcomp(1)).gives(&[]);
        assert_eq!(s.session().inflight(), 0);
    });
}

/// [MQTT3-3.8.4-6] [MQTT5-3.8.4-8] [MQTT5-4.8.2-3]
#[test]
fn qos_is_the_lower_of_published_and_granted() {
    Script::each(|s| {
        s.open();
        s.brings(message(Q2, "a", "1").granted(Q0)).gives(&["PUBLISH q0 t=a p=1"]);
        s.brings(message(Q2, "a", "1").granted(Q1)).gives(&["PUBLISH q1 id=1 t=a p=1"]);
        s.brings(message(Q1, "a", "1").granted(Q2)).gives(&["PUBLISH q1 id=2 t=a p=1"]);
        s.brings(message(Q0, "a", "1").granted(Q2)).gives(&["PUBLISH q0 t=a p=1"]);
    });
}

/// [MQTT3-3.3.1-9] [MQTT5-3.3.1-12] [MQTT5-3.3.1-13] [MQTT3-3.3.1-8]
#[test]
fn retain_is_for_retained_messages_and_who_asked_for_it() {
    Script::each(|s| {
        s.open().brings(message(Q0, "a", "1").published_retained());
        s.gives(&["PUBLISH q0 t=a p=1"]);
        s.brings(message(Q0, "a", "1").published_retained().retain_as_published());
        s.gives(&["PUBLISH q0 retain t=a p=1"]);
        s.brings(message(Q0, "a", "1").retain_as_published()).gives(&["PUBLISH q0 t=a p=1"]);
        s.brings(message(Q0, "a", "1").retained()).gives(&["PUBLISH q0 retain t=a p=1"]);
        s.cut().brings(message(Q1, "a", "1").retained()).gives(&["queued"]);
        s.open().gives(&["PUBLISH q1 id=1 retain t=a p=1"]);
        s.cut().open().gives(&["PUBLISH q1 id=1 dup retain t=a p=1"]);
    });
}

/// [MQTT3-3.3.1-3] [MQTT5-3.3.1-3]
#[test]
fn dup_of_the_publisher_is_not_passed_on() {
    Script::each(|s| {
        s.open().brings(message(Q1, "a", "1").dup()).gives(&["PUBLISH q1 id=1 t=a p=1"]);
    });
}

/// [MQTT5-3.3.4-3] [MQTT5-3.3.4-4]
#[test]
fn all_subscription_identifiers_come_with_the_message() {
    Script::each(|s| {
        let message = message(Q1, "a", "1").identifiers(&[7, 300]);
        s.open().brings(message.clone());
        s.gives(&["3: PUBLISH q1 id=1 t=a p=1", "5: PUBLISH q1 id=1 sub=7 sub=300 t=a p=1"]);
        s.cut().brings(message).gives(&["queued"]).open();
        s.gives(&[
            "3: PUBLISH q1 id=1 dup t=a p=1",
            "5: PUBLISH q1 id=1 dup sub=7 sub=300 t=a p=1",
            "3: PUBLISH q1 id=2 t=a p=1",
            "5: PUBLISH q1 id=2 sub=7 sub=300 t=a p=1",
        ]);
    });
}

/// [MQTT5-3.3.2-4] [MQTT5-3.3.2-15] [MQTT5-3.3.2-16] [MQTT5-3.3.2-17] [MQTT5-3.3.2-18]
/// [MQTT5-3.3.2-20]
#[test]
fn properties_are_passed_on_as_they_came() {
    let properties = OwnedProperties::builder()
        .payload_format_indicator(1)
        .user_property("k", "1")
        .response_topic("r")
        .correlation_data(b"c")
        .user_property("k", "0")
        .content_type("t");
    let properties: &'static OwnedProperties = Box::leak(Box::new(properties.build().unwrap()));
    let words = "PayloadFormatIndicator(1) UserProperty(\"k\", \"1\") ResponseTopic(\"r\") \
         CorrelationData([99]) UserProperty(\"k\", \"0\") ContentType(\"t\") t=a p=1";
    Script::v5(|s| {
        s.open().brings(message(Q0, "a", "1").properties(properties));
        s.gives(&[&format!("PUBLISH q0 {words}")]);
        s.cut().brings(message(Q1, "a", "1").properties(properties)).gives(&["queued"]);
        s.open().gives(&[&format!("PUBLISH q1 id=1 {words}")]);
        s.cut().open().gives(&[&format!("PUBLISH q1 id=1 dup {words}")]);
    });
}

/// [MQTT5-3.3.4-9] [MQTT5-4.9.0-1] [MQTT5-4.9.0-2] [MQTT5-4.3.2-3]
#[test]
fn receive_maximum_of_the_client_is_kept() {
    Script::v5(|s| {
        s.connecting(|c| c.receive_maximum = NonZeroU16::new(2)).open();
        s.brings(message(Q1, "a", "1")).brings(message(Q2, "a", "2")).brings(message(Q1, "a", "3"));
        s.gives(&["PUBLISH q1 id=1 t=a p=1", "PUBLISH q2 id=2 t=a p=2", "queued"]);
        s.brings(message(Q2, "a", "4")).gives(&["queued"]);
        s.sends(puback(1)).gives(&["PUBLISH q1 id=3 t=a p=3"]);
        // PUBREC does not open the window, PUBCOMP does.
        s.sends(pubrec(2)).gives(&["PUBREL 2"]);
        s.sends(pubcomp(2)).gives(&["PUBLISH q2 id=4 t=a p=4"]);
    });
}

/// It says what `brings` then shows.
#[test]
fn how_many_would_be_sent_is_known_before() {
    Script::v5(|s| {
        s.connecting(|c| c.receive_maximum = NonZeroU16::new(2)).open();
        let would = |s: &Script| [Q0, Q1, Q2].map(|qos| s.session().would_send(qos));
        assert_eq!(would(s), [usize::MAX, 2, 2]);
        s.brings(message(Q1, "a", "1")).brings(message(Q2, "a", "2"));
        s.gives(&["PUBLISH q1 id=1 t=a p=1", "PUBLISH q2 id=2 t=a p=2"]);
        assert_eq!(would(s), [usize::MAX, 0, 0]);
        s.brings(message(Q1, "a", "3")).gives(&["queued"]);
        s.has_room(0).brings(message(Q0, "a", "4")).gives(&["queued"]);
        assert_eq!(would(s), [0, 0, 0], "others wait");
        s.has_room(9).gives(&["PUBLISH q0 t=a p=4"]);
        s.sends(puback(1)).gives(&["PUBLISH q1 id=3 t=a p=3"]);
        s.sends(puback(3)).gives(&[]);
        assert_eq!(would(s), [usize::MAX, 1, 1]);
        s.cut();
        assert_eq!(would(s), [0, 0, 0], "nobody is there");
    });
}

#[test]
fn inflight_max_bounds_clients_that_allow_more() {
    Script::each(|s| {
        s.limits(|l| l.inflight_max = NonZeroU16::MIN);
        s.open().brings(message(Q1, "a", "1")).brings(message(Q1, "a", "2"));
        s.gives(&["PUBLISH q1 id=1 t=a p=1", "queued"]);
        assert!(s.session().has_waiting());
        assert_eq!(s.session().queued().0, 1);
        s.sends(puback(1)).gives(&["PUBLISH q1 id=2 t=a p=2"]);
        assert!(!s.session().has_waiting());
        assert_eq!(s.session().queued(), (0, 0));
    });
}

/// [MQTT5-3.3.4-10] [MQTT5-4.9.0-3]
#[test]
fn closed_window_holds_nothing_else_back() {
    Script::each(|s| {
        s.limits(|l| l.inflight_max = NonZeroU16::MIN);
        s.open().brings(message(Q1, "a", "1")).brings(message(Q1, "a", "2"));
        s.gives(&["PUBLISH q1 id=1 t=a p=1", "queued"]);
        s.brings(message(Q0, "a", "0")).sends(Packet::Pingreq);
        s.gives(&["PUBLISH q0 t=a p=0", "PINGRESP"]);
    });
}

/// [MQTT5-4.3.3-4] [MQTT5-4.4.0-2]
#[test]
fn pubrec_that_refuses_ends_the_message() {
    Script::v5(|s| {
        s.limits(|l| l.inflight_max = NonZeroU16::MIN);
        s.open().brings(message(Q2, "a", "1")).brings(message(Q2, "a", "2"));
        s.gives(&["PUBLISH q2 id=1 t=a p=1", "queued"]);
        s.sends(Packet::Pubrec(ack(1, ReasonCode::QuotaExceeded)));
        s.gives(&["PUBLISH q2 id=2 t=a p=2"]);
        s.cut().open().gives(&["PUBLISH q2 id=2 dup t=a p=2"]);
    });
}

/// [MQTT5-4.4.0-2] [MQTT5-4.8.2-6]
#[test]
fn puback_that_refuses_ends_the_message() {
    Script::v5(|s| {
        s.open().brings(message(Q1, "a", "1").shared("$share/g/a"));
        s.gives(&["PUBLISH q1 id=1 t=a p=1"]);
        s.sends(Packet::Puback(ack(1, ReasonCode::UnspecifiedError))).gives(&[]);
        s.cut().gives(&[]).open().gives(&[]);
    });
}

#[test]
fn acknowledgement_of_the_wrong_kind_ends_the_connection() {
    for wrong in [puback(2), pubrec(1), pubcomp(1), pubcomp(2)] {
        Script::each(|s| {
            s.open().brings(message(Q1, "a", "1")).brings(message(Q2, "a", "2"));
            s.gives(&["PUBLISH q1 id=1 t=a p=1", "PUBLISH q2 id=2 t=a p=2"]);
            s.sends(wrong.clone()).gives(&["5: DISCONNECT 82 text", "close by server 82"]);
        });
    }
}

#[test]
fn acknowledgement_of_nothing_is_a_straggler() {
    Script::each(|s| {
        s.open().brings(message(Q1, "a", "1")).gives(&["PUBLISH q1 id=1 t=a p=1"]);
        s.sends(puback(9)).sends(pubcomp(9)).gives(&[]);
        s.sends(pubrec(9)).gives(&["3: PUBREL 9", "5: PUBREL 9 92 text"]);
        s.sends(puback(1)).sends(puback(1)).gives(&[]);
    });
}

/// [MQTT3-4.3.3-1] [MQTT5-4.3.3-6]
#[test]
fn pubrec_repeated_is_answered_with_pubrel_again() {
    Script::each(|s| {
        s.open().brings(message(Q2, "a", "1")).gives(&["PUBLISH q2 id=1 t=a p=1"]);
        s.sends(pubrec(1)).sends(pubrec(1)).gives(&["PUBREL 1", "PUBREL 1"]);
        s.sends(pubcomp(1)).sends(pubcomp(1)).gives(&[]);
    });
}

/// [MQTT3-2.3.1-4] [MQTT5-2.2.1-4]
#[test]
fn identifiers_wrap_at_65535_and_skip_those_in_use() {
    Script::each(|s| {
        s.open().has_room(usize::MAX);
        for number in 1..=u16::MAX - 1 {
            s.brings(message(Q1, "a", "1")).gives(&[&format!("PUBLISH q1 id={number} t=a p=1")]);
            s.sends(puback(number));
        }
        s.brings(message(Q1, "a", "1")).gives(&["PUBLISH q1 id=65535 t=a p=1"]);
        s.brings(message(Q2, "a", "1")).gives(&["PUBLISH q2 id=1 t=a p=1"]);
        s.sends(pubrec(1)).sends(puback(u16::MAX)).gives(&["PUBREL 1"]).sends(pubcomp(1));
        assert_eq!(s.session().inflight(), 0);
    });
}

/// A client that leaves one message unanswered does not make the session grow without bound, and
/// no identifier is given twice.
#[test]
fn one_unanswered_message_stops_the_others_in_the_end() {
    Script::v5(|s| {
        s.limits(|l| l.inflight_max = NonZeroU16::new(2).unwrap());
        s.open().brings(message(Q1, "a", "1")).gives(&["PUBLISH q1 id=1 t=a p=1"]);
        for number in 2..=256 {
            s.brings(message(Q1, "a", "1")).gives(&[&format!("PUBLISH q1 id={number} t=a p=1")]);
            s.sends(puback(number));
        }
        s.brings(message(Q1, "a", "1")).gives(&["queued"]);
        s.sends(puback(1)).gives(&["PUBLISH q1 id=257 t=a p=1"]);
    });
}

/// [MQTT5-3.3.2-6]
#[test]
fn expiry_is_counted_down_while_a_message_waits() {
    Script::each(|s| {
        s.open().cut().brings(message(Q1, "a", "1").expires_after(10)).gives(&["queued"]);
        s.after(4).open();
        s.gives(&["3: PUBLISH q1 id=1 t=a p=1", "5: PUBLISH q1 id=1 expiry=6 t=a p=1"]);
    });
}

/// [MQTT5-3.3.2-5]
#[test]
fn message_that_expired_while_it_waited_is_dropped() {
    Script::each(|s| {
        s.open().cut();
        s.brings(message(Q1, "a", "1").expires_after(10)).brings(message(Q1, "a", "2"));
        s.brings(message(Q0, "b", "3").expires_after(10)).gives(&["queued", "queued", "queued"]);
        s.after(10).open();
        s.gives(&["drop expired t=a", "PUBLISH q1 id=1 t=a p=2", "drop expired t=b"]);
        s.brings(message(Q0, "c", "4").expires_after(0)).gives(&["drop expired t=c"]);
    });
}

/// [MQTT5-4.3.3-7]
#[test]
fn message_that_was_sent_does_not_expire() {
    Script::each(|s| {
        s.open().brings(message(Q2, "a", "1").expires_after(10));
        s.gives(&["3: PUBLISH q2 id=1 t=a p=1", "5: PUBLISH q2 id=1 expiry=10 t=a p=1"]);
        s.cut().after(11).open();
        s.gives(&["3: PUBLISH q2 id=1 dup t=a p=1", "5: PUBLISH q2 id=1 dup expiry=0 t=a p=1"]);
    });
}

/// [MQTT5-3.1.2-24] [MQTT5-3.1.2-25]
#[test]
fn message_larger_than_the_client_takes_is_dropped() {
    // 21 bytes: 2 of fixed header, 3 of topic, 1 of properties, 15 of payload; 23 with identifier.
    let (fifteen, thirteen) = ("123456789012345", "1234567890123");
    Script::v5(|s| {
        s.connecting(|c| c.maximum_packet_size = NonZeroU32::new(21)).open();
        s.brings(message(Q0, "a", fifteen)).gives(&["PUBLISH q0 t=a p=123456789012345"]);
        s.brings(message(Q1, "b", fifteen)).gives(&["drop packet_too_large t=b"]);
        s.brings(message(Q1, "a", thirteen)).gives(&["PUBLISH q1 id=1 t=a p=1234567890123"]);
        s.brings(message(Q1, "b", fifteen).identifiers(&[1])).gives(&["drop packet_too_large t=b"]);
        assert_eq!(s.session().inflight(), 1);
        s.cut().brings(message(Q2, "b", fifteen)).brings(message(Q2, "a", "1"));
        s.gives(&["queued", "queued"]).open();
        s.gives(&[
            "PUBLISH q1 id=1 dup t=a p=1234567890123",
            "drop packet_too_large t=b",
            "PUBLISH q2 id=2 t=a p=1",
        ]);
    });
}

/// [MQTT5-3.1.2-24] [MQTT5-3.1.2-25]
#[test]
fn message_too_large_for_the_next_connection_gives_its_place_back() {
    Script::v5(|s| {
        s.limits(|l| l.inflight_max = NonZeroU16::MIN).open();
        s.brings(message(Q1, "a", "123456789012345")).brings(message(Q1, "a", "2"));
        s.gives(&["PUBLISH q1 id=1 t=a p=123456789012345", "queued"]);
        s.cut().connecting(|c| c.maximum_packet_size = NonZeroU32::new(20)).open();
        s.gives(&["drop packet_too_large t=a", "PUBLISH q1 id=2 t=a p=2"]);
        s.cut().connecting(|c| c.maximum_packet_size = None).open();
        s.gives(&["PUBLISH q1 id=2 dup t=a p=2"]);
    });
}

/// [MQTT5-3.4.2-2] [MQTT5-3.5.2-2] [MQTT5-3.14.2-3] [MQTT5-3.1.2-24]
#[test]
fn reason_string_is_left_out_where_it_would_be_too_large() {
    Script::v5(|s| {
        s.connecting(|c| c.maximum_packet_size = NonZeroU32::new(22)).open();
        let publish = |qos, number| Packet::Publish(super::message::publish(qos, number, "a"));
        // 4 bytes, code, property length, and 3 + 14 of "not authorized" are 23.
        s.sends(publish(Q1, 1)).routed(Q1, 1, ReasonCode::NotAuthorized);
        s.gives(&["route q1 id=1 t=a p=x", "PUBACK 1 87"]);
        s.sends(publish(Q2, 2)).routed(Q2, 2, ReasonCode::NotAuthorized);
        s.gives(&["route q2 id=2 t=a p=x", "PUBREC 2 87"]);
        s.cut().connecting(|c| c.maximum_packet_size = NonZeroU32::new(23)).open();
        s.sends(publish(Q1, 3)).routed(Q1, 3, ReasonCode::NotAuthorized);
        s.gives(&["route q1 id=3 t=a p=x", "PUBACK 3 87 text"]);
        s.sends(Packet::Pingresp).gives(&["DISCONNECT 82", "close by server 82"]);
    });
}
