//! CONNECT and CONNACK.

use std::num::{NonZeroU16, NonZeroU32};

use avocet_mqtt::{Connect, OwnedProperties, ProtocolVersion, QoS, ReasonCode, Will};

use super::script::Script;
use crate::{
    Limits,
    handshake::{Refusal, admit},
};

const ALL_TERMS: &str = "CONNACK receive=1024 size=1048576 aliases=65535";

/// [MQTT3-3.1.4-4] [MQTT3-3.2.0-1] [MQTT5-3.1.4-5] [MQTT5-3.2.0-1] [MQTT5-3.2.0-2]
#[test]
fn connect_is_answered_with_one_connack_and_the_terms() {
    Script::v3(|s| {
        s.connects().gives(&["CONNACK"]);
    });
    Script::v5(|s| {
        s.connects().gives(&[ALL_TERMS]);
    });
}

/// [MQTT3-3.2.2-2] [MQTT3-3.2.2-3] [MQTT5-3.2.2-3]
#[test]
fn session_present_is_what_the_broker_says() {
    Script::each(|s| {
        let present = match s.version {
            ProtocolVersion::V3_1 => "CONNACK", // 3.1 has no such flag.
            ProtocolVersion::V3_1_1 => "CONNACK present",
            ProtocolVersion::V5 => "CONNACK present receive=1024 size=1048576 aliases=65535",
        };
        s.open().cut().connects().gives(&[present]);
    });
}

/// [MQTT3-3.1.3-6] [MQTT5-3.1.3-6] [MQTT5-3.1.3-7] [MQTT5-3.2.2-16]
#[test]
fn client_without_identifier_gets_one() {
    Script::each(|s| {
        s.connecting(|c| {
            c.client_id.clear();
            c.clean_start = true;
        });
        match s.version {
            ProtocolVersion::V3_1 => s.connects().gives(&["refused 85"]),
            ProtocolVersion::V3_1_1 => s.connects().gives(&["CONNACK"]),
            ProtocolVersion::V5 => {
                s.connects().gives(&["CONNACK receive=1024 size=1048576 id=assigned aliases=65535"])
            }
        };
        if s.version != ProtocolVersion::V3_1 {
            assert_eq!(&**s.session().client_id(), "assigned");
        }
    });
}

/// [MQTT3-3.1.3-7] [MQTT3-3.1.3-8]
#[test]
fn session_to_be_kept_needs_an_identifier_before_5() {
    Script::v3(|s| {
        s.connecting(|c| c.client_id.clear()).connects().gives(&["refused 85"]);
    });
    Script::v5(|s| {
        s.connecting(|c| c.client_id.clear()).open();
    });
}

/// [MQTT3-3.1.3-5] [MQTT5-3.1.3-5]
#[test]
fn identifier_of_23_letters_and_digits_is_taken() {
    Script::each(|s| {
        s.limits(|l| l.client_id_bytes_max = 23);
        s.connecting(|c| "0123456789abcdefgHIJKLZ".clone_into(&mut c.client_id)).open();
    });
}

/// [MQTT3-3.1.3-9] [MQTT5-3.1.3-8]
#[test]
fn identifier_longer_than_allowed_is_refused() {
    Script::each(|s| {
        s.limits(|l| l.client_id_bytes_max = 3);
        s.connecting(|c| "abcd".clone_into(&mut c.client_id)).connects().gives(&["refused 85"]);
        s.connecting(|c| "abc".clone_into(&mut c.client_id)).open();
    });
}

/// [MQTT5-3.2.2-12]
#[test]
fn will_above_the_maximum_qos_is_refused() {
    Script::each(|s| {
        s.limits(|l| l.maximum_qos = QoS::AtLeastOnce);
        s.connecting(|c| c.will = Some(Will { qos: QoS::ExactlyOnce, ..will("w") }));
        s.connects().gives(&["refused 9B"]);
        s.connecting(|c| c.will = Some(Will { qos: QoS::AtLeastOnce, ..will("w") })).open();
    });
}

/// [MQTT5-3.2.2-13]
#[test]
fn retained_will_is_refused_where_retain_is_not_available() {
    Script::each(|s| {
        s.limits(|l| l.retain_available = false);
        s.connecting(|c| c.will = Some(Will { retain: true, ..will("w") }));
        s.connects().gives(&["refused 9A"]);
        s.connecting(|c| c.will = Some(will("w"))).open();
    });
}

/// [MQTT5-3.1.4-1]
#[test]
fn will_topic_with_a_wildcard_is_refused() {
    Script::each(|s| {
        s.connecting(|c| c.will = Some(will("w/#"))).connects().gives(&["refused 90"]);
        s.connecting(|c| c.will = Some(will(""))).connects().gives(&["refused 90"]);
    });
}

/// Section 3.1.3.2.3 of 5.0: the server may look.
#[test]
fn will_that_is_not_the_text_it_claims_to_be_is_refused_if_looked_at() {
    let properties = OwnedProperties::builder().payload_format_indicator(1).build().unwrap();
    let lying = Will { payload: vec![0xFF], properties, ..will("w") };
    Script::v5(|s| {
        s.connecting(|c| c.will = Some(lying.clone())).open();
    });
    Script::v5(|s| {
        s.limits(|l| l.check_payload_format = true);
        s.connecting(|c| c.will = Some(lying.clone())).connects().gives(&["refused 99"]);
        s.connecting(|c| c.will.as_mut().unwrap().payload = "ä".into()).open();
    });
}

#[test]
fn redirected_clients_are_told_where() {
    Script::each(|s| {
        s.limits(|l| l.redirect = Some((ReasonCode::UseAnotherServer, "other:1883".to_owned())));
        s.connects().gives(&["refused 9C"]);
    });
}

/// [MQTT3-3.2.2-4] [MQTT5-3.2.2-6]
#[test]
fn refusal_says_why_and_has_no_session() {
    let mut refusal = Refusal::new(ReasonCode::UseAnotherServer, "gone");
    refusal.server_reference = Some("other:1883".to_owned());
    let connack = refusal.connack();
    assert!(!connack.session_present);
    assert_eq!(connack.reason, ReasonCode::UseAnotherServer);
    assert_eq!(connack.reason_string.as_deref(), Some("gone"));
    assert_eq!(connack.server_reference.as_deref(), Some("other:1883"));
}

/// [MQTT5-4.12.0-1]
#[test]
fn unknown_authentication_method_is_refused() {
    Script::v5(|s| {
        s.connecting(|c| c.authentication_method = Some("X".to_owned()));
        s.connects().gives(&["refused 8C"]);
    });
}

/// [MQTT5-3.2.2-22] [MQTT5-3.1.2-22] [MQTT3-3.1.2-24]
#[test]
fn client_may_be_silent_for_one_and_a_half_keep_alive() {
    let silence = |s: &Script| s.session().silence_max().map(|silence| silence.as_millis());
    Script::each(|s| {
        s.connecting(|c| c.keep_alive = 3).open();
        assert_eq!(silence(s), Some(4500));
        s.cut().connecting(|c| c.keep_alive = 0).open();
        assert_eq!(silence(s), None);
        s.cut().connecting(|c| c.keep_alive = u16::MAX).open();
        assert_eq!(silence(s), Some(98_302_500));
    });
}

/// [MQTT5-3.2.2-22]
#[test]
fn keep_alive_longer_than_allowed_is_replaced_and_said() {
    Script::v5(|s| {
        s.limits(|l| l.keep_alive_max = 60);
        for asked in [0, 61] {
            s.connecting(|c| c.keep_alive = asked).connects();
            let present = if asked == 0 { "" } else { " present" };
            let line =
                format!("CONNACK{present} receive=1024 size=1048576 aliases=65535 keep_alive=60");
            s.gives(&[&line]);
            assert_eq!(s.session().silence_max().unwrap().as_secs(), 90);
            s.cut();
        }
        s.connecting(|c| c.keep_alive = 60).connects();
        s.gives(&["CONNACK present receive=1024 size=1048576 aliases=65535"]);
    });
    // Before 5.0 it cannot be said, so the client's holds.
    Script::v3(|s| {
        s.limits(|l| l.keep_alive_max = 60);
        s.connecting(|c| c.keep_alive = 61).open();
        assert_eq!(s.session().silence_max().unwrap().as_millis(), 91_500);
    });
}

/// [MQTT5-3.1.2-23]
#[test]
fn session_expiry_longer_than_allowed_is_clamped_and_said() {
    Script::v5(|s| {
        s.limits(|l| l.session_expiry_interval_max = 100);
        s.connecting(|c| c.session_expiry_interval = Some(u32::MAX)).connects();
        s.gives(&["CONNACK expiry=100 receive=1024 size=1048576 aliases=65535"]);
        assert!(!s.session().is_clean());
        s.cut().connecting(|c| c.session_expiry_interval = Some(100)).connects();
        s.gives(&["CONNACK present receive=1024 size=1048576 aliases=65535"]);
        s.cut().connecting(|c| c.session_expiry_interval = None).connects();
        s.gives(&["CONNACK present receive=1024 size=1048576 aliases=65535"]);
        assert!(s.session().is_clean());
    });
}

/// [MQTT3-3.1.2-6]
#[test]
fn clean_session_before_5_ends_with_its_connection() {
    Script::v3(|s| {
        s.connecting(|c| c.clean_start = true).open();
        assert!(s.session().is_clean());
    });
    // [MQTT3-3.1.2-4]
    Script::v3(|s| {
        s.open();
        assert!(!s.session().is_clean());
    });
}

/// [MQTT5-3.2.2-9]
#[test]
fn connack_says_what_is_not_available() {
    Script::v5(|s| {
        s.limits(|l| {
            l.maximum_qos = QoS::AtMostOnce;
            l.retain_available = false;
            l.wildcard_subscription_available = false;
            l.subscription_identifier_available = false;
            l.shared_subscription_available = false;
            l.topic_alias_maximum = 0;
            l.receive_maximum = NonZeroU16::MAX;
            l.packet_bytes_max = NonZeroU32::new(99).unwrap();
        });
        s.connects();
        s.gives(&["CONNACK qos=0 retain=0 size=99 wildcard=0 identifiers=0 shared=0"]);
    });
}

/// [MQTT5-3.1.2-28]
#[test]
fn response_information_is_for_those_who_ask() {
    Script::v5(|s| {
        s.limits(|l| l.response_information = Some("r/".to_owned()));
        s.connects().gives(&[ALL_TERMS]).cut();
        s.connecting(|c| c.request_response_information = true).connects();
        s.gives(&["CONNACK present receive=1024 size=1048576 aliases=65535 response=r/"]);
    });
}

/// [MQTT5-3.1.2-24] [MQTT5-3.2.0-1]
#[test]
fn client_that_cannot_take_its_connack_is_refused() {
    // Two bytes of fixed header, flags, code, property length, and 3 + 5 + 3 bytes of terms.
    Script::v5(|s| {
        s.connecting(|c| c.maximum_packet_size = NonZeroU32::new(15)).connects();
        s.gives(&["refused 95"]);
        s.connecting(|c| c.maximum_packet_size = NonZeroU32::new(16)).open();
    });
}

/// [MQTT5-3.2.2-19]
#[test]
fn refusal_leaves_its_reason_string_out_where_it_would_be_too_large() {
    let mut connect = Connect::new(ProtocolVersion::V5, "c");
    let refusal = Refusal::new(ReasonCode::NotAuthorized, "why");
    let words = |connect: &Connect| refusal.clone().to(connect).connack().reason_string;
    assert_eq!(words(&connect).as_deref(), Some("why"));
    connect.maximum_packet_size = NonZeroU32::new(11);
    assert_eq!(words(&connect).as_deref(), Some("why"));
    connect.maximum_packet_size = NonZeroU32::new(10);
    assert_eq!(words(&connect), None);
    // What `admit` refuses keeps to it by itself.
    connect.authentication_method = Some("X".to_owned());
    let refusal = admit(Box::new(connect), &Limits::default(), String::new).unwrap_err();
    assert_eq!(refusal.connack().reason_string, None);
}

fn will(topic: &str) -> Will {
    Will {
        topic: topic.to_owned(),
        payload: Vec::new(),
        qos: QoS::AtMostOnce,
        retain: false,
        delay_interval: 0,
        message_expiry_interval: None,
        properties: OwnedProperties::default(),
    }
}
