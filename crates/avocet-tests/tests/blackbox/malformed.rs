//! Packets that are none: the connection closes, with 5.0 and its reason, and nobody else notices.

use avocet_tests::{
    Broker, Connect, Properties, Publish, Version, each_version,
    packet::{disconnect_with, frame, pingreq},
    raw::from_hex,
};

/// [MQTT3-2.2.2-1] [MQTT3-2.2.2-2] [MQTT3-3.6.1-1] [MQTT3-3.14.1-1] [MQTT3-4.8.0-1] [MQTT5-2.1.3-1]
/// [MQTT5-3.6.1-1] [MQTT5-3.14.1-1] [MQTT5-3.15.1-1] [MQTT5-4.13.1-1]
#[test]
fn reserved_flags_of_any_packet_close() {
    let broker = Broker::start(&[]);
    for version in [Version::V311, Version::V5] {
        for packet in [
            "41 02 0001",
            "42 02 0001",
            "51 02 0001",
            "60 02 0001",
            "61 02 0001",
            "63 02 0001",
            "71 02 0001",
            "c1 00",
            "c8 00",
            "e1 00",
            "f1 00",
        ] {
            let mut raw = broker.client(version, "alice");
            raw.send_hex(packet);
            raw.expect_error(&[0x81, 0x82]);
        }
    }
}

/// [MQTT3-4.8.0-1] [MQTT5-4.13.1-1]
#[test]
fn packets_of_a_server_or_of_no_type_close() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        for packet in ["00 00", "20 02 0000", "90 03 0001 00", "b0 02 0001", "d0 00"] {
            let mut raw = broker.client(version, "alice");
            raw.send_hex(packet);
            raw.expect_error(&[0x81, 0x82]);
        }
    });
}

#[test]
fn auth_of_5_closes_in_older_versions() {
    let broker = Broker::start(&[]);
    for version in [Version::V31, Version::V311] {
        let mut raw = broker.client(version, "alice");
        raw.send_hex("f0 00");
        raw.expect_close();
    }
}

/// Connections that are cut off or broken at every place leave nothing: neither a connection nor
/// memory, beyond what the first ones taught the allocator.
#[test]
fn no_memory_stays_behind_after_bad_input() {
    const ROUNDS: usize = 60;
    const GROWTH_BYTES_MAX: u64 = 4 * 1024 * 1024;
    let broker = Broker::start(&["sys.interval=100ms"]);
    let large = Publish::new("a", vec![b'x'; 60_000]).qos(1, 1).bytes(Version::V5);
    let bad: Vec<Vec<u8>> = [
        from_hex("f1 00"),
        from_hex("c0 80 80 80 80 00"),
        from_hex("82 02 0001"),
        // Cut off: the length promises more than comes.
        from_hex("30 ff ff 3f 0001 61"),
        large[..large.len() - 1].to_vec(),
        large[..3].to_vec(),
    ]
    .into();
    let round = |number: usize| {
        each_version(|version| {
            for (index, bytes) in bad.iter().enumerate() {
                let mut raw = broker.client(version, &format!("{version}-{number}-{index}"));
                raw.send(bytes);
                let mut raw = broker.open(version);
                raw.send(bytes);
                let connect = Connect::new(version, "alice").bytes();
                let mut raw = broker.open(version);
                raw.send(&connect[..connect.len() - 1 - index]);
            }
        });
    };
    // The one connection that is left is the one that asks.
    let settle = || {
        let mut raw = broker.client(Version::V311, "watch");
        raw.subscribe("$SYS/brokers/+/stats/clients/count", 0);
        while raw.expect_publish().text() != "1" {}
    };
    (0..ROUNDS / 3).for_each(round);
    settle();
    let before = broker.resident_bytes();
    (0..ROUNDS).for_each(round);
    settle();
    let after = broker.resident_bytes();
    let grown = after.saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "from {before} to {after} bytes");
}

/// The fifth byte of a length is too much in every version.
#[test]
fn remaining_length_of_five_bytes_closes() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut raw = broker.client(version, "alice");
        raw.send_hex("c0 80 80 80 80 00");
        raw.expect_error(&[0x81]);
    });
}

/// [MQTT5-1.5.5-1]
#[test]
fn length_that_is_longer_than_need_be_closes_in_5() {
    let broker = Broker::start(&[]);
    for packet in ["c0 80 00", "30 85 80 00 0001 61 00 78", "30 06 0001 61 80 00 78"] {
        let mut raw = broker.client(Version::V5, "alice");
        raw.send_hex(packet);
        raw.expect_error(&[0x81]);
    }
}

#[test]
fn surplus_or_missing_bytes_close() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        for packet in ["40 00", "40 01 00", "62 01 00", "c0 01 00", "82 02 0001", "82 01 00"] {
            let mut raw = broker.client(version, "alice");
            raw.send_hex(packet);
            raw.expect_error(&[0x81, 0x82]);
        }
    });
    let broker = Broker::start(&[]);
    for packet in ["40 03 0001 00", "62 03 0001 00", "e0 01 00", "a2 06 0001 0001 61 00"] {
        let mut raw = broker.client(Version::V311, "alice");
        raw.send_hex(packet);
        raw.expect_close();
    }
}

/// [MQTT5-3.4.2-1] [MQTT5-3.5.2-1] [MQTT5-3.6.2-1] [MQTT5-3.7.2-1] [MQTT5-3.14.2-1]
/// [MQTT5-3.15.2-1]
#[test]
fn reason_code_that_the_packet_does_not_have_closes() {
    let broker = Broker::start(&[]);
    for packet in [
        "40 03 0001 01",
        "40 03 0001 92",
        "50 03 0001 04",
        "62 03 0001 10",
        "70 03 0001 80",
        "e0 01 01",
        "e0 01 8e",
        "f0 01 01",
        "40 03 0001 ff",
    ] {
        let mut raw = broker.client(Version::V5, "alice");
        raw.send_hex(packet);
        raw.expect_error(&[0x81, 0x82]);
    }
}

/// What came before it in the same segment is routed and answered first.
#[test]
fn messages_before_a_malformed_packet_are_answered() {
    each_version(|version| {
        for packet in ["c1 00", "40 00", "32 05 0001 61 0000", "f1 00", "30 04 0001 23 78"] {
            let broker = Broker::start(&[]);
            let mut bob = broker.client(version, "bob");
            bob.subscribe("a", 0);
            let mut alice = broker.client(version, "alice");
            let publish = |qos, id| Publish::new("a", "x").qos(qos, id).bytes(version);
            let mut bytes = [publish(1, 7), publish(1, 8), publish(2, 9)].concat();
            bytes.extend(from_hex(packet));
            alice.send(&bytes);
            alice.expect_puback(7);
            alice.expect_puback(8);
            alice.expect_pubrec(9);
            alice.expect_error(&[0x81, 0x82, 0x90]);
            assert_eq!(bob.texts_before_pong(), ["x", "x", "x"]);
        }
    });
}

/// Property lengths that lie.
#[test]
fn property_length_beyond_the_packet_closes() {
    let broker = Broker::start(&[]);
    for packet in [
        "30 05 0001 61 7f 78",
        "30 07 0001 61 03 26 00 01",
        "30 06 0001 61 02 01 78",
        "82 07 0001 ff 0001 61 00",
        "40 05 0001 00 05 1f",
        "30 08 0001 61 04 02 00 00 00",
    ] {
        let mut raw = broker.client(Version::V5, "alice");
        raw.send_hex(packet);
        raw.expect_error(&[0x81, 0x82]);
    }
}

#[test]
fn disconnect_of_a_client_is_answered_by_the_end_alone() {
    let broker = Broker::start(&[]);
    for code in [0x00, 0x04, 0x80, 0x81, 0x97] {
        let mut raw = broker.client(Version::V5, "alice");
        raw.send(&disconnect_with(code, &Properties::new().user("why", "so")));
        raw.expect_close();
    }
}

#[test]
fn connect_in_pieces_of_nonsense_closes_and_others_do_not_notice() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.client(version, "alice");
        alice.subscribe("a", 0);
        let connect = Connect::new(version, "mallory").keep_alive(10).user_name("u").bytes();
        for at in 0..connect.len() {
            let mut broken = connect.clone();
            broken[at] ^= 0xff;
            let mut raw = broker.open(version);
            raw.send(&broken);
            // It may wait for bytes that a larger length promised: the end makes it give up.
            raw.cut();
        }
        for text in ["474554202f20485454502f312e310d0a0d0a", "1603010200010001fc0303", "10ffffffff"]
        {
            let mut raw = broker.open(version);
            raw.send(&from_hex(text));
            raw.cut();
        }
        alice.send(&Publish::new("a", "well").bytes(version));
        alice.expect_message("a", "well", 0);
    });
}

/// [MQTT5-3.1.4-1]
#[test]
fn connect_cut_at_every_length_is_refused() {
    let broker = Broker::start(&[]);
    for version in [Version::V311, Version::V5] {
        let whole = Connect::new(version, "alice").keep_alive(10).user_name("user").bytes();
        for length in 0..whole.len() - 2 {
            let mut raw = broker.open(version);
            raw.send(&frame(0x10, &whole[2..2 + length]));
            let mut older = raw.receive_bytes_to_the_end();
            // Before the level is read it cannot be known how a refusal would look.
            older.truncate(4);
            let refusals = [0x80, 0x81, 0x82, 0x84, 0x85, 1, 2];
            let refused = older.is_empty() || (older[0] == 0x20 && refusals.contains(&older[3]));
            assert!(refused, "{length} bytes of CONNECT are answered by {older:02x?}");
        }
    }
}

/// [MQTT5-3.2.2-15]
#[test]
fn packet_larger_than_the_brokers_maximum_closes() {
    each_version(|version| {
        let broker = Broker::start(&["mqtt.max_packet_size=1024"]);
        let (mut alice, connack) = broker.connect_with(&Connect::new(version, "alice"));
        let told = version.has_properties().then_some(1_024);
        assert_eq!(connack.properties.number(0x27), told);
        let head = Publish::new("a", "").bytes(version).len() + 1;
        alice.publish(&Publish::new("a", "x".repeat(1_024 - head)));
        alice.send(&Publish::new("a", "x".repeat(1_025 - head)).bytes(version));
        alice.expect_error(&[0x95]);
        // The length alone is enough: the broker does not wait for what it will not take.
        let mut alice = broker.client(version, "alice");
        alice.send_hex("30 ff ff ff 7f");
        alice.expect_error(&[0x95]);
    });
}

#[test]
fn ping_with_a_body_closes() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut raw = broker.client(version, "alice");
        raw.send(&[&pingreq()[..1], &[1, 0]].concat());
        raw.expect_error(&[0x81]);
    });
}
