//! SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK.

use super::*;
use crate::{
    QoS, RetainHandling, Suback, Subscribe, Subscription, SubscriptionIdentifier,
    SubscriptionOptions, Unsuback, Unsubscribe,
};

fn subscribe(subscriptions: &[(&str, SubscriptionOptions)]) -> Subscribe {
    Subscribe {
        packet_id: id(10),
        subscription_identifier: None,
        user_properties: UserProperties::default(),
        subscriptions: subscriptions
            .iter()
            .map(|(filter, options)| Subscription {
                filter: (*filter).to_owned(),
                options: *options,
            })
            .collect(),
    }
}

fn at(qos: QoS) -> SubscriptionOptions {
    SubscriptionOptions { qos, ..SubscriptionOptions::default() }
}

#[test]
fn subscribe_of_all_versions() {
    let plain = subscribe(&[("a/#", at(QoS::AtMostOnce)), ("+", at(QoS::ExactlyOnce))]);
    let wrong_filter = subscribe(&[("", at(QoS::AtLeastOnce)), ("a#", at(QoS::AtLeastOnce))]);
    for version in [V3_1, V3_1_1] {
        check(&[
            (
                "two",
                "82 _ 000A 0003'a/#'00 0001'+'02",
                version,
                Ok(Packet::Subscribe(plain.clone())),
            ),
            (
                "wrong filters",
                "82 _ 000A 0000 01 0002'a#'01",
                version,
                Ok(Packet::Subscribe(wrong_filter.clone())),
            ),
        ]);
    }
    check_accepted(&[(
        "DUP in 3.1",
        "8A _ 000A 0003'a/#'00 0001'+'02",
        V3_1,
        Ok(Packet::Subscribe(plain)),
    )]);
    let option = |no_local, retain_as_published, retain_handling| SubscriptionOptions {
        qos: QoS::AtLeastOnce,
        no_local,
        retain_as_published,
        retain_handling,
    };
    let mut full = subscribe(&[
        ("a", option(true, false, RetainHandling::Send)),
        ("b", option(false, true, RetainHandling::SendIfNew)),
        ("c", option(false, false, RetainHandling::DoNotSend)),
    ]);
    full.subscription_identifier = SubscriptionIdentifier::new(268_435_455);
    full.user_properties = pairs(&[("k", "v")]);
    check(&[(
        "all of 5",
        "82 _ 000A 0C 0BFFFFFF7F 26 0001'k'0001'v' 0001'a'05 0001'b'19 0001'c'21",
        V5,
        Ok(Packet::Subscribe(full)),
    )]);
}

/// [MQTT3-3.8.3-1] [MQTT5-3.8.3-1] [MQTT3-3.8.3-3] [MQTT5-3.8.3-2] [MQTT3-3.8.3-4] [MQTT5-3.8.3-5]
/// [MQTT3-2.3.1-1] [MQTT5-2.2.1-3]
#[test]
fn subscribe_that_does_not_fit() {
    check(&[
        ("no filter", "82 02 000A", V3_1_1, Err(DecodeError::NoTopicFilter)),
        ("no filter in 5", "82 03 000A 00", V5, Err(DecodeError::NoTopicFilter)),
        ("id 0", "82 _ 0000 0001'a'00", V3_1_1, Err(DecodeError::PacketIdZero)),
        ("id 0 in 5", "82 _ 0000 00 0001'a'00", V5, Err(DecodeError::PacketIdZero)),
        ("QoS 3", "82 _ 000A 0001'a'03", V3_1_1, Err(DecodeError::SubscriptionQoSInvalid)),
        ("QoS 3 in 5", "82 _ 000A 00 0001'a'03", V5, Err(DecodeError::SubscriptionQoSInvalid)),
        ("reserved", "82 _ 000A 0001'a'04", V3_1_1, Err(DecodeError::SubscriptionOptionsReserved)),
        (
            "reserved, highest",
            "82 _ 000A 0001'a'80",
            V3_1_1,
            Err(DecodeError::SubscriptionOptionsReserved),
        ),
        (
            "reserved in 5",
            "82 _ 000A 00 0001'a'40",
            V5,
            Err(DecodeError::SubscriptionOptionsReserved),
        ),
        (
            "highest in 5",
            "82 _ 000A 00 0001'a'80",
            V5,
            Err(DecodeError::SubscriptionOptionsReserved),
        ),
        (
            "retain handling 3",
            "82 _ 000A 00 0001'a'30",
            V5,
            Err(DecodeError::RetainHandlingInvalid),
        ),
        ("no options", "82 _ 000A 0001'a'", V3_1_1, Err(DecodeError::Truncated)),
        ("UTF-8", "82 _ 000A 0001FF 00", V3_1_1, Err(DecodeError::Utf8Invalid)),
        ("UTF-8 in 5", "82 _ 000A 00 0001FF 00", V5, Err(DecodeError::Utf8Invalid)),
        (
            "identifier 0",
            "82 _ 000A 02 0B00 0001'a'00",
            V5,
            Err(DecodeError::SubscriptionIdentifierZero),
        ),
        (
            "identifier twice",
            "82 _ 000A 04 0B01 0B02 0001'a'00",
            V5,
            Err(DecodeError::PropertyTwice),
        ),
        ("property", "82 _ 000A 04 1F 0001'x' 0001'a'00", V5, Err(DecodeError::PropertyNotAllowed)),
    ]);
}

fn suback(reasons: &[ReasonCode]) -> Suback {
    Suback {
        packet_id: id(10),
        reason_string: None,
        user_properties: UserProperties::default(),
        reasons: reasons.to_vec(),
    }
}

/// [MQTT3-3.9.3-2] [MQTT5-3.9.3-2]
#[test]
fn suback_of_all_versions() {
    use ReasonCode as R;
    let granted = [R::Success, R::GrantedQoS1, R::GrantedQoS2, R::UnspecifiedError];
    let mut full =
        suback(&[R::GrantedQoS1, R::NotAuthorized, R::WildcardSubscriptionsNotSupported]);
    full.reason_string = Some("s".to_owned());
    full.user_properties = pairs(&[("k", "v")]);
    check(&[
        ("3.1.1", "90 06 000A 00010280", V3_1_1, Ok(Packet::Suback(suback(&granted)))),
        ("3.1.1 QoS 3", "90 03 000A 03", V3_1_1, Err(DecodeError::ReasonCodeInvalid)),
        ("3.1.1 failure of 5", "90 03 000A 87", V3_1_1, Err(DecodeError::ReasonCodeInvalid)),
        (
            "5",
            "90 _ 000A 0B 1F 0001's' 26 0001'k'0001'v' 0187A2",
            V5,
            Ok(Packet::Suback(full.clone())),
        ),
        ("code of UNSUBACK", "90 04 000A 00 11", V5, Err(DecodeError::ReasonCodeInvalid)),
        ("no code", "90 03 000A 00", V5, Err(DecodeError::NoReasonCode)),
    ]);
    let mut out = Vec::new();
    encode(V3_1_1, &Packet::Suback(full), &mut out);
    assert_eq!(hex(&out), "9005000A018080");
}

/// [MQTT3-3.10.3-1] [MQTT5-3.10.3-1] [MQTT3-3.10.3-2] [MQTT5-3.10.3-2] [MQTT5-3.11.3-2]
#[test]
fn unsubscribe_and_unsuback_of_all_versions() {
    let unsubscribe = |user_properties| {
        let filters = vec!["a".to_owned(), "b/#".to_owned()];
        Ok(Packet::Unsubscribe(Unsubscribe { packet_id: id(10), user_properties, filters }))
    };
    let unsuback = |reason_string: Option<&str>, reasons: &[ReasonCode]| {
        let reason_string = reason_string.map(str::to_owned);
        let user_properties = UserProperties::default();
        let reasons = reasons.to_vec();
        Ok(Packet::Unsuback(Unsuback {
            packet_id: id(10),
            reason_string,
            user_properties,
            reasons,
        }))
    };
    let reasons = [ReasonCode::Success, ReasonCode::NoSubscriptionExisted];
    check(&[
        ("3.1.1", "A2 _ 000A 0001'a' 0003'b/#'", V3_1_1, unsubscribe(pairs(&[]))),
        (
            "5",
            "A2 _ 000A 07 26 0001'k'0001'v' 0001'a' 0003'b/#'",
            V5,
            unsubscribe(pairs(&[("k", "v")])),
        ),
        ("id 0", "A2 _ 0000 0001'a'", V3_1_1, Err(DecodeError::PacketIdZero)),
        ("no filter", "A2 02 000A", V3_1_1, Err(DecodeError::NoTopicFilter)),
        ("no filter in 5", "A2 03 000A 00", V5, Err(DecodeError::NoTopicFilter)),
        ("UTF-8", "A2 _ 000A 0001FF", V3_1_1, Err(DecodeError::Utf8Invalid)),
        ("UTF-8 in 5", "A2 _ 000A 00 0001FF", V5, Err(DecodeError::Utf8Invalid)),
        (
            "reason string",
            "A2 _ 000A 04 1F 0001'x' 0001'a'",
            V5,
            Err(DecodeError::PropertyNotAllowed),
        ),
        ("answer", "B0 02 000A", V3_1_1, unsuback(None, &[])),
        ("answer with codes", "B0 03 000A 00", V3_1_1, Err(DecodeError::TrailingBytes)),
        ("answer of 5", "B0 _ 000A 04 1F 0001's' 0011", V5, unsuback(Some("s"), &reasons)),
        ("code of SUBACK", "B0 _ 000A 00 01", V5, Err(DecodeError::ReasonCodeInvalid)),
    ]);
}
