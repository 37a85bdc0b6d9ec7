//! SUBSCRIBE, UNSUBSCRIBE, and how long a session lives.

use std::{num::NonZeroU32, time::Duration};

use avocet_mqtt::{Connect, Disconnect, Packet, ReasonCode};

use super::{
    message::{Q0, Q1, Q2, pubrec, pubrel, subscribe, unsubscribe, with_identifier},
    script::Script,
};

/// [MQTT3-3.8.4-1] [MQTT3-3.8.4-2] [MQTT3-3.8.4-4] [MQTT3-3.8.4-5] [MQTT3-3.9.3-1] [MQTT3-2.3.1-7]
/// [MQTT5-3.8.4-1] [MQTT5-3.8.4-2] [MQTT5-3.8.4-5] [MQTT5-3.8.4-6] [MQTT5-3.9.3-1] [MQTT5-2.2.1-6]
#[test]
fn suback_answers_each_filter_in_order() {
    Script::each(|s| {
        let request = subscribe(9, &[("a", Q2), ("b/#", Q0), ("c", Q1)]);
        s.open().sends(Packet::Subscribe(request.clone()));
        s.gives(&["subscribe 9 a:q2 b/#:q0 c:q1"]);
        let granted = [ReasonCode::GrantedQoS2, ReasonCode::NotAuthorized, ReasonCode::GrantedQoS1];
        s.subscribed(&request, &granted)
            .gives(&["3: SUBACK 9 02 80 01", "5: SUBACK 9 02 87 01 text"]);
        assert!(s.session().is_subscribed("a") && s.session().is_subscribed("c"));
        assert!(!s.session().is_subscribed("b/#"));
    });
}

/// [MQTT3-3.10.4-4] [MQTT3-3.10.4-5] [MQTT3-3.10.4-6] [MQTT3-2.3.1-7]
/// [MQTT5-3.10.4-4] [MQTT5-3.10.4-5] [MQTT5-3.10.4-6] [MQTT5-3.11.3-1] [MQTT5-2.2.1-6]
#[test]
fn unsuback_answers_each_filter_in_order() {
    Script::each(|s| {
        s.open().sends(unsubscribe(9, &["a", "b"])).gives(&["unsubscribe 9 a b"]);
        s.unsubscribed(9, &[ReasonCode::NoSubscriptionExisted, ReasonCode::Success]);
        s.gives(&["3: UNSUBACK 9", "5: UNSUBACK 9 11 00"]);
    });
}

#[test]
fn subscriptions_are_kept_counted_and_forgotten() {
    Script::each(|s| {
        s.limits(|l| l.subscriptions_max = 40).open();
        for n in 0..40 {
            assert!(!s.session().subscriptions_full(0));
            let filter = format!("f/{n}");
            let request = subscribe(1, &[(&filter, Q0), (&filter, Q1)]);
            s.subscribed(&request, &[ReasonCode::Success; 2]).gives(&["SUBACK 1 00 00"]);
        }
        assert!(s.session().subscriptions_full(0));
        assert_eq!(s.session().filters().count(), 40);
        assert!(s.forgets("f/7") && !s.forgets("f/7") && !s.forgets("F/8"));
        assert!(!s.session().subscriptions_full(0) && !s.session().is_subscribed("f/7"));
        s.cut().open();
        assert_eq!(s.session().filters().count(), 39);
        s.ends();
        assert_eq!(s.session().filters().count(), 0);
    });
    Script::each(|s| {
        let request = subscribe(1, &[("a", Q0)]);
        s.open().subscribed(&request, &[ReasonCode::Success]).gives(&["SUBACK 1 00"]);
        assert!(s.forgets("a") && !s.forgets("a"));
    });
}

/// [MQTT5-3.8.3-4]
#[test]
fn no_local_on_a_shared_subscription_ends_the_connection() {
    Script::v5(|s| {
        let mut request = subscribe(1, &[("a", Q0), ("$share/g/a", Q0)]);
        request.subscriptions[0].options.no_local = true;
        s.open().sends(Packet::Subscribe(request.clone()));
        s.gives(&["subscribe 1 a:q0:no_local $share/g/a:q0"]);
        request.subscriptions[1].options.no_local = true;
        s.sends(Packet::Subscribe(request)).gives(&["DISCONNECT 82 text", "close by server 82"]);
    });
}

#[test]
fn identifier_ends_the_connection_where_there_are_none() {
    Script::v5(|s| {
        let request = || Packet::Subscribe(with_identifier(subscribe(1, &[("a", Q0)]), 5));
        s.open().sends(request()).gives(&["subscribe 1 sub=5 a:q0"]);
    });
    Script::v5(|s| {
        s.limits(|l| l.subscription_identifier_available = false).open();
        s.sends(Packet::Subscribe(with_identifier(subscribe(1, &[("a", Q0)]), 5)));
        s.gives(&["DISCONNECT A1 text", "close by server A1"]);
    });
}

/// [MQTT5-3.2.2-10]
#[test]
fn subscriptions_above_the_maximum_qos_are_taken() {
    Script::each(|s| {
        s.limits(|l| l.maximum_qos = Q0).open();
        s.sends(Packet::Subscribe(subscribe(1, &[("a", Q2)]))).gives(&["subscribe 1 a:q2"]);
    });
}

#[test]
fn bridge_gets_nothing_back_and_keeps_retain() {
    Script::v3(|s| {
        s.connecting(|c| c.bridge = true).open();
        assert!(s.session().is_bridge());
        s.sends(Packet::Subscribe(subscribe(1, &[("a", Q1), ("$share/g/a", Q1)])));
        s.gives(&["subscribe 1 a:q1:no_local:as_published $share/g/a:q1:as_published"]);
    });
}

/// [MQTT5-3.1.2-24]
#[test]
fn answer_too_large_for_the_client_is_not_sent() {
    Script::v5(|s| {
        s.connecting(|c| c.maximum_packet_size = NonZeroU32::new(20)).open();
        let reasons = |count| vec![ReasonCode::Success; count];
        s.unsubscribed(1, &reasons(15)).gives(&[&format!("UNSUBACK 1{}", " 00".repeat(15))]);
        s.unsubscribed(1, &reasons(16)).gives(&[]);
    });
}

/// [MQTT3-3.1.2-4] [MQTT3-3.1.2-6] [MQTT5-3.1.2-23]
#[test]
fn session_lives_on_as_long_as_connect_said() {
    let clean = |connect: &mut Connect| connect.session_expiry_interval = None;
    Script::v3(|s| {
        s.open();
        assert_eq!(s.detaches().expires_after, None);
        s.connecting(|c| c.clean_start = true).open();
        assert_eq!(s.detaches().expires_after, Some(Duration::ZERO));
    });
    Script::v5(|s| {
        s.open();
        assert_eq!(s.detaches().expires_after, Some(Duration::from_secs(3600)));
        s.connecting(clean).open();
        assert_eq!(s.detaches().expires_after, Some(Duration::ZERO));
        s.connecting(|c| c.session_expiry_interval = Some(u32::MAX)).open();
        assert_eq!(s.detaches().expires_after, None);
    });
    Script::v3(|s| {
        s.limits(|l| l.session_expiry_interval_max = 7).open();
        assert_eq!(s.detaches().expires_after, Some(Duration::from_secs(7)));
    });
}

/// Section 3.14.2.2.2 of 5.0.
#[test]
fn disconnect_may_change_how_long_the_session_lives() {
    Script::v5(|s| {
        s.limits(|l| l.session_expiry_interval_max = 100).open();
        s.sends(expiring(50)).gives(&["close by client 00"]);
        assert_eq!(s.detaches().expires_after, Some(Duration::from_secs(50)));
        s.open().sends(expiring(200)).gives(&["close by client 00"]);
        assert_eq!(s.detaches().expires_after, Some(Duration::from_secs(100)));
        s.open().sends(expiring(0)).gives(&["close by client 00"]);
        assert_eq!(s.detaches().expires_after, Some(Duration::ZERO));
    });
}

/// Section 3.14.2.2.2 of 5.0: not if CONNECT said zero.
#[test]
fn disconnect_cannot_make_a_clean_session_live_on() {
    for said in [None, Some(0)] {
        Script::v5(|s| {
            s.connecting(|c| c.session_expiry_interval = said).open();
            s.sends(expiring(1)).gives(&["DISCONNECT 82 text", "close by server 82"]);
            assert_eq!(s.detaches().expires_after, Some(Duration::ZERO));
            s.open().sends(expiring(0)).gives(&["close by client 00"]);
        });
    }
    // What the server made of it is no mistake of the client.
    Script::v5(|s| {
        s.limits(|l| l.session_expiry_interval_max = 0).open();
        s.sends(expiring(1)).gives(&["close by client 00"]);
        assert_eq!(s.detaches().expires_after, Some(Duration::ZERO));
    });
}

fn expiring(seconds: u32) -> Packet<'static> {
    let mut disconnect = Disconnect::new(ReasonCode::Success);
    disconnect.session_expiry_interval = Some(seconds);
    Packet::Disconnect(Box::new(disconnect))
}

/// [MQTT5-3.1.2-29]
#[test]
fn answers_with_an_error_say_why_to_who_wants_to_know() {
    let request = subscribe(7, &[("a", Q1), ("b", Q1)]);
    let reasons = [ReasonCode::GrantedQoS1, ReasonCode::QuotaExceeded];
    let play = |s: &mut Script, text: &str| {
        s.open().subscribed(&request, &reasons).gives(&[&format!("SUBACK 7 01 97{text}")]);
        s.unsubscribed(8, &[ReasonCode::NotAuthorized]).gives(&[&format!("UNSUBACK 8 87{text}")]);
        s.sends(pubrel(9)).gives(&[&format!("PUBCOMP 9 92{text}")]);
        s.sends(pubrec(9)).gives(&[&format!("PUBREL 9 92{text}")]);
        s.subscribed(&request, &[ReasonCode::GrantedQoS1; 2]).gives(&["SUBACK 7 01 01"]);
    };
    Script::v5(|s| play(s, " text"));
    Script::v5(|s| play(s.connecting(|c| c.request_problem_information = false), ""));
}
