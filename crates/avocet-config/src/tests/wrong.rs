//! Texts of a file, and the exact mistakes in them.

use super::{mistakes, text};

const BIND: &str = "an address and port such as \"127.0.0.1:1883\", \"[::1]:1883\" or \
                    \"localhost:1883\"";

/// Each line of `expected` without the file's name.
#[track_caller]
fn check(toml: &str, expected: &[&str]) {
    let expected: String = expected.iter().map(|line| format!("a.toml:{line}\n")).collect();
    assert_eq!(mistakes(&text(toml)), expected, "in\n{toml}");
}

#[test]
fn unknown_keys_come_with_a_suggestion() {
    check(
        "mqtt.max_inflite = 5\nmqt.max_inflight = 5\n",
        &[
            "1: mqtt.max_inflite: unknown key; did you mean \"max_inflight\"?",
            "2: mqt: unknown key; did you mean \"mqtt\"?",
        ],
    );
    check(
        "[rpc]\nflavour = 1\n",
        &["2: rpc.flavour: unknown key; accepted: connect_timeout, socket_keepalive_idle, \
           tcp_client_port, tcp_server_port"],
    );
}

#[test]
fn every_wrong_value_is_told_with_what_is_accepted() {
    check(
        "[mqtt]\nmax_inflight = 0\nmax_packet_size = \"10B\"\nqueue_full = \"refused\"\n\
         max_topic_levels = 0\nsession_expiry_interval_max = 5\ntrace = \"no\"\n",
        &[
            "2: mqtt.max_inflight: 0 is out of range; accepted: an integer from 1 to 65535",
            "3: mqtt.max_packet_size: 10 is out of range; accepted: a size such as \"64KiB\" or \
             \"1MB\", or a number of bytes, at least 16 and at most \"256MiB\"",
            "4: mqtt.queue_full: found \"refused\"; did you mean \"refuse\"?; accepted: \
             \"drop_oldest\" | \"refuse\"",
            "5: mqtt.max_topic_levels: 0 is out of range; accepted: an integer from 1 to 65535",
            "6: mqtt.session_expiry_interval_max: found 5 without a unit; accepted: a duration \
             such as \"500ms\", \"30s\", \"1h30m\" or \"7d\"",
            "7: mqtt.trace: found \"no\"; accepted: a number",
        ],
    );
    check(
        "gateway.patience = '1ms'\n",
        &["1: gateway.patience: \"1ms\" is out of range; accepted: a duration such as \"500ms\", \
           \"30s\", \"1h30m\" or \"7d\", at least \"1s\""],
    );
    check(
        "mqtt.max_inflight = 70000\nmqtt.max_topic_levels = 99999999999999999999999999999999\n",
        &[
            "1: mqtt.max_inflight: 70000 is out of range; accepted: an integer from 1 to 65535",
            "2: mqtt.max_topic_levels: 99999999999999999999999999999999 is out of range; \
             accepted: an integer from 1 to 65535",
        ],
    );
}

#[test]
fn tables_and_values_are_not_mistaken_for_each_other() {
    check(
        "mqtt = 5\n[listeners.tcp]\ndefault = true\n[rpc.tcp_server_port]\nx = 1\n\
         [auth.authenticators]\ntype = 'x'\n[[gateway]]\n",
        &[
            "1: mqtt: found 5; accepted: a table",
            "3: listeners.tcp.default: found true; accepted: a table",
            "4: rpc.tcp_server_port: found a table; accepted: an integer from 0 to 65535",
            "6: auth.authenticators: found a table; accepted: a list of tables",
            "8: gateway: found a list; accepted: a table",
        ],
    );
}

#[test]
fn a_section_is_checked_as_a_whole_where_its_keys_are_right() {
    check(
        "[listeners.tls.one]\nbind = 'a:1'\ncertificate = 5\nkey = 'x'\n",
        &["3: listeners.tls.one.certificate: found 5; accepted: a path"],
    );
    // A mistake in one key hides none in another, and the same key is told once.
    check(
        "[listeners.tcp.one]\nenable = 5\nbind = 'nowhere:1'\n\
         [listeners.tcp.two]\nbind = 'nowhere'\nunknown = 1\n",
        &[
            "2: listeners.tcp.one.enable: found 5; accepted: true or false",
            "3: listeners.tcp.one.bind: is nowhere",
            &format!("5: listeners.tcp.two.bind: \"nowhere\" has no port; accepted: {BIND}"),
            "6: listeners.tcp.two.unknown: unknown key; accepted: bind, enable",
        ],
    );
    check(
        "[listeners.tls.\"my.one\"]\nbind = ':1'\ncertificate = 'x'\n\
         [listeners.tls.two]\nbind = 'a:1'\ncertificate = 'x'\n[listeners.tls.three]\n",
        &[
            "1: listeners.tls.\"my.one\".key: certificate and key belong together",
            &format!(
                "2: listeners.tls.\"my.one\".bind: \"\" is not an address or a host; accepted: {BIND}"
            ),
            "4: listeners.tls.two.key: certificate and key belong together",
            &format!("7: listeners.tls.three.bind: missing; accepted: {BIND}"),
        ],
    );
}

#[test]
fn elements_of_lists_are_told_apart() {
    check(
        "[[auth.authenticators]]\ntype = 'http'\nservers = ['a:1', 'b', 3]\n\
         [[auth.authenticators]]\npassword = 5\n[[auth.authenticators]]\ntype = 'htp'\n",
        &[
            &format!("3: auth.authenticators[0].servers[1]: \"b\" has no port; accepted: {BIND}"),
            &format!("3: auth.authenticators[0].servers[2]: found 3; accepted: {BIND}"),
            "4: auth.authenticators[1].type: missing; accepted: \"http\" | \"file\"",
            "7: auth.authenticators[2].type: found \"htp\"; did you mean \"http\"?; accepted: \
             \"http\" | \"file\"",
        ],
    );
}

#[test]
fn a_wrong_secret_is_not_shown() {
    check(
        "[[auth.authenticators]]\ntype = 'http'\npassword = 5417\n",
        &["3: auth.authenticators[0].password: found an integer; accepted: a text, \
           { file = \"PATH\" } or { env = \"NAME\" }"],
    );
    let sources = crate::Sources::new().with_set(["gateway.password=hunter2"]);
    assert!(!mistakes(&sources).contains("hunter2"));
}

#[test]
fn what_is_not_built_in_is_known() {
    check(
        "[gateway.coap]\nbind = 'x:1'\n[[auth.authenticators]]\ntype = 'jwt'\n",
        &[
            "1: gateway.coap: this build has no feature \"unbuilt-example\"; build with \
             --features unbuilt-example",
            "4: auth.authenticators[0].type: this build cannot do \"jwt\", which needs the \
             feature \"unbuilt-example\"; build with --features unbuilt-example; accepted: \
             \"http\" | \"file\"",
        ],
    );
}

#[test]
fn what_this_executable_has_no_code_for_is_said_to_be_so() {
    check(
        "[cluster]\nname = 'x'\n[cluster.deep]\n[clusters]\n",
        &[
            "1: cluster: a cluster is not built into this executable",
            "4: clusters: unknown key; accepted: auth, gateway, listeners, mqtt, rpc",
        ],
    );
}

#[test]
fn keys_set_twice_are_named_whole() {
    check(
        "[mqtt]\nmax_inflight = 5\nmax_inflight = 6\n[mqtt]\n[rpc]\ntcp_server_port = 0x1\n\
         tcp_server_port = 2\nflavour = 1\n",
        &[
            "3: mqtt.max_inflight: set a second time",
            "4: mqtt: set a second time",
            "7: rpc.tcp_server_port: set a second time",
            "8: rpc.flavour: unknown key; accepted: connect_timeout, socket_keepalive_idle, \
             tcp_client_port, tcp_server_port",
        ],
    );
    check("rpc.tcp_server_port = 1\n[rpc]\n", &["2: rpc: set a second time"]);
}

#[test]
fn what_is_not_toml_is_told_with_the_mistakes_before_it() {
    check(
        "[mqtt]\nmax_inflite = 5\nmax_inflight =\n[rpc]\ntcp_server_port = 70000\n",
        &[
            "2: mqtt.max_inflite: unknown key; did you mean \"max_inflight\"?",
            "3: not TOML: string values must be quoted, expected literal string",
        ],
    );
    check("x = [1\n", &["1: not TOML: unclosed array, expected `]`"]);
    check(
        "= 5",
        &["1: not TOML: unquoted keys cannot be empty, expected letters, numbers, `-`, `_`"],
    );
}

#[test]
fn a_root_key_below_a_header_is_sent_above_it() {
    check(
        "[mqtt]\nrpc.tcp_server_port = 5369\n",
        &["2: mqtt.rpc: \"rpc\" does not belong here; write it above the first [section]"],
    );
}

#[test]
fn lines_end_as_on_windows_and_begin_with_a_byte_order_mark() {
    check(
        "\u{feff}[mqtt]\r\nmax_inflight = 1\r\nqueue_full = 3\r\n",
        &["3: mqtt.queue_full: found 3; accepted: \"drop_oldest\" | \"refuse\""],
    );
}
