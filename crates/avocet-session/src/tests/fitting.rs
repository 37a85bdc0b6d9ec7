//! What is left out of a packet, and when, for a client whose Maximum Packet Size it exceeds.

use avocet_mqtt::{
    Ack, Auth, Connack, Disconnect, Packet, PacketId, ProtocolVersion, ReasonCode, Suback,
    Unsuback, UserProperties, codec,
};

use super::script::Script;

/// A packet with these extras: a function of them.
type Make = fn(Option<String>, UserProperties) -> Packet<'static>;

fn bytes(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(ProtocolVersion::V5, packet, &mut bytes);
    bytes
}

/// With room for all, all is sent; with one byte less no user properties, then no reason string,
/// then nothing.
#[track_caller]
fn check(make: Make) {
    let mut pairs = UserProperties::default();
    pairs.push("shelf".to_owned(), "seven".to_owned());
    let reason_string = || Some("because".to_owned());
    let whole = make(reason_string(), pairs);
    let without_pairs = bytes(&make(reason_string(), UserProperties::default()));
    let bare = bytes(&make(None, UserProperties::default()));
    let lens = [bytes(&whole).len(), without_pairs.len(), bare.len()];
    assert!(lens.is_sorted_by(|more, less| more > less), "{lens:?}: nothing to leave out");
    Script::v5(|s| {
        s.open();
        for room in 1..=lens[0] + 1 {
            let expected = match room {
                _ if room >= lens[0] => &bytes(&whole)[..],
                _ if room >= lens[1] => &without_pairs,
                _ if room >= lens[2] => &bare,
                _ => &[],
            };
            assert_eq!(s.sends_within(room, &whole), expected, "{room} bytes for {whole:?}");
        }
    });
}

fn ack(reason_string: Option<String>, user_properties: UserProperties) -> Ack {
    let reason_string = reason_string.map(String::into_boxed_str);
    let ack = Ack::new(PacketId::MIN, ReasonCode::PacketIdentifierNotFound);
    Ack { reason_string, user_properties, ..ack }
}

/// As PUBACK and PUBREC may have.
fn refusal(reason_string: Option<String>, user_properties: UserProperties) -> Ack {
    Ack { reason: ReasonCode::NotAuthorized, ..ack(reason_string, user_properties) }
}

/// [MQTT5-3.2.2-19] [MQTT5-3.2.2-20]
#[test]
fn connack_leaves_out_what_does_not_fit() {
    check(|reason_string, user_properties| {
        let connack = Connack::new(false, ReasonCode::NotAuthorized);
        Packet::Connack(Box::new(Connack { reason_string, user_properties, ..connack }))
    });
}

/// [MQTT5-3.4.2-2] [MQTT5-3.4.2-3]
#[test]
fn puback_leaves_out_what_does_not_fit() {
    check(|text, pairs| Packet::Puback(refusal(text, pairs)));
}

/// [MQTT5-3.5.2-2] [MQTT5-3.5.2-3]
#[test]
fn pubrec_leaves_out_what_does_not_fit() {
    check(|text, pairs| Packet::Pubrec(refusal(text, pairs)));
}

/// [MQTT5-3.6.2-2] [MQTT5-3.6.2-3]
#[test]
fn pubrel_leaves_out_what_does_not_fit() {
    check(|text, pairs| Packet::Pubrel(ack(text, pairs)));
}

/// [MQTT5-3.7.2-2] [MQTT5-3.7.2-3]
#[test]
fn pubcomp_leaves_out_what_does_not_fit() {
    check(|text, pairs| Packet::Pubcomp(ack(text, pairs)));
}

/// [MQTT5-3.9.2-1] [MQTT5-3.9.2-2]
#[test]
fn suback_leaves_out_what_does_not_fit() {
    check(|reason_string, user_properties| {
        let reasons = vec![ReasonCode::NotAuthorized];
        let packet_id = PacketId::MIN;
        Packet::Suback(Suback { packet_id, reason_string, user_properties, reasons })
    });
}

/// [MQTT5-3.11.2-1] [MQTT5-3.11.2-2]
#[test]
fn unsuback_leaves_out_what_does_not_fit() {
    check(|reason_string, user_properties| {
        let reasons = vec![ReasonCode::NotAuthorized];
        let packet_id = PacketId::MIN;
        Packet::Unsuback(Unsuback { packet_id, reason_string, user_properties, reasons })
    });
}

/// [MQTT5-3.14.2-3] [MQTT5-3.14.2-4]
#[test]
fn disconnect_leaves_out_what_does_not_fit() {
    check(|reason_string, user_properties| {
        let disconnect = Disconnect::new(ReasonCode::ProtocolError);
        Packet::Disconnect(Box::new(Disconnect { reason_string, user_properties, ..disconnect }))
    });
}

#[test]
fn auth_leaves_out_what_does_not_fit() {
    check(|reason_string, user_properties| {
        Packet::Auth(Box::new(Auth {
            reason: ReasonCode::ContinueAuthentication,
            authentication_method: Some("X".to_owned()),
            authentication_data: None,
            reason_string,
            user_properties,
        }))
    });
}
