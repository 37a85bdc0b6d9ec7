//! The same bytes through `mqtt-protocol-core`, which knows 3.1.1 and 5.0.

use mqtt_protocol_core::mqtt::packet::{v3_1_1, v5_0};
use proptest::prelude::*;

use super::*;

/// The bytes as the other codec writes them after reading them; `None` if it refuses them. It is
/// given the body: it looks at the fixed header elsewhere.
fn other(version: ProtocolVersion, bytes: &[u8]) -> Option<Vec<u8>> {
    let (first, body) = (bytes[0], &bytes[body_at(bytes)..]);
    macro_rules! parse {
        ($packet:ty) => {{
            let (packet, used) = <$packet>::parse(body).ok()?;
            (used == body.len()).then(|| packet.to_continuous_buffer())
        }};
        ($packet:ty, flags) => {{
            let (packet, _) = <$packet>::parse(first & 0x0F, body.into()).ok()?;
            Some(packet.to_continuous_buffer())
        }};
    }
    macro_rules! parse_any {
        ($version:ident, $($rest:tt)*) => {
            match first >> 4 {
                kind::CONNECT => parse!($version::Connect),
                kind::CONNACK => parse!($version::Connack),
                kind::PUBLISH => parse!($version::Publish, flags),
                kind::PUBACK => parse!($version::Puback),
                kind::PUBREC => parse!($version::Pubrec),
                kind::PUBREL => parse!($version::Pubrel),
                kind::PUBCOMP => parse!($version::Pubcomp),
                kind::SUBSCRIBE => parse!($version::Subscribe),
                kind::SUBACK => parse!($version::Suback),
                kind::UNSUBSCRIBE => parse!($version::Unsubscribe),
                kind::UNSUBACK => parse!($version::Unsuback),
                kind::PINGREQ => parse!($version::Pingreq),
                kind::PINGRESP => parse!($version::Pingresp),
                kind::DISCONNECT => parse!($version::Disconnect),
                $($rest)*
                _ => None,
            }
        };
    }
    if version == ProtocolVersion::V5 {
        parse_any!(v5_0, kind::AUTH => parse!(v5_0::Auth),)
    } else {
        parse_any!(v3_1_1,)
    }
}

fn version_and_packet() -> impl Strategy<Value = (ProtocolVersion, Packet<'static>)> {
    prop::sample::select(&VERSIONS[1..])
        .prop_flat_map(|version| (Just(version), arbitrary::packet(version)))
        .prop_filter(
            "bridges are not in the standard",
            |(_, packet)| !matches!(packet, Packet::Connect(connect) if connect.bridge),
        )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_other_codec_reads_and_writes_the_same((version, packet) in version_and_packet()) {
        let bytes = encoded(version, &packet);
        if !accepted_here_only(&packet) {
            prop_assert_eq!(other(version, &bytes), Some(bytes), "{:?}", packet);
        }
    }

    #[test]
    fn what_the_other_codec_refuses_is_refused(
        (version, packet) in version_and_packet(),
        changes in changes(),
    ) {
        let bytes = mutated(&encoded(version, &packet), &changes);
        let ours = codec_for(version, &bytes).decode(&bytes);
        if let Ok(Some((packet, _))) = ours && other(version, &bytes).is_none() {
            prop_assert!(accepted_here_only(&packet), "{:?} {:02X?}", packet, bytes);
        }
    }
}

/// The only difference: 5.0 section 3.1.2.9 allows a password without a user name.
fn accepted_here_only(packet: &Packet<'_>) -> bool {
    matches!(packet, Packet::Connect(connect)
        if connect.password.is_some() && connect.username.is_none())
}
