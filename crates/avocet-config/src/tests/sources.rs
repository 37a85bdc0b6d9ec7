//! The file, the environment and the command line, laid over each other.

use std::time::Duration;

use super::{Authenticator, QueueFull, good, mistakes, text};
use crate::{Bind, Mistake, Size, Sources, load};

fn environment(variables: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
}

#[test]
fn nothing_gives_the_defaults() {
    let root = good(&Sources::new());
    assert_eq!(root, super::Root::default());
    assert_eq!(root.listeners.tcp["default"].bind, Bind::new("127.0.0.1", 1883));
}

#[test]
fn command_line_wins_over_environment_over_file() {
    let file = "mqtt.max_inflight = 1\nmqtt.trace = 0.5\nmqtt.queue_full = 'refuse'";
    let sources = text(file)
        .with_environment(environment(&[
            ("AVOCET__MQTT__MAX_INFLIGHT", "2"),
            ("AVOCET__MQTT__TRACE", "0.25"),
            ("AVOCET_SEEDS", "200"),
            ("PATH", "/bin"),
        ]))
        .with_set(["mqtt.max_inflight=3", "mqtt.max_inflight=4"]);
    let mqtt = good(&sources).mqtt;
    assert_eq!((mqtt.max_inflight, mqtt.trace), (4, 0.25));
    assert_eq!(mqtt.queue_full, QueueFull::Refuse);
}

#[test]
fn values_outside_the_file_need_no_quotes() {
    let sources = Sources::new().with_set([
        "listeners.tcp.default.bind=[::1]:0",
        "listeners.tls.x.bind=localhost:8883",
        "mqtt.session_expiry_interval_max=1h30m",
        "mqtt.max_packet_size=64KiB",
        "mqtt.queue_full=refuse",
        "auth.authenticators=[{type='http', password='a=b', servers=['a:1']}]",
    ]);
    let root = good(&sources);
    assert_eq!(root.listeners.tcp["default"].bind, Bind::new("::1", 0));
    assert_eq!(root.listeners.tls["x"].bind.to_string(), "localhost:8883");
    assert_eq!(root.mqtt.session_expiry_interval_max, Duration::from_secs(5400));
    assert_eq!(root.mqtt.max_packet_size, Size::kibibytes(64));
    let [Authenticator::Http(http)] = root.auth.authenticators.as_slice() else { panic!() };
    assert_eq!(http.password.as_ref().map(crate::Secret::expose), Some("a=b"));
}

#[test]
fn text_that_looks_like_a_number_stays_text_and_elements_are_reached() {
    let file = "[[auth.authenticators]]\ntype = 'http'\n";
    let sources = text(file).with_environment(environment(&[
        ("AVOCET__AUTH__AUTHENTICATORS__0__PASSWORD", "012345"),
        ("AVOCET__AUTH__AUTHENTICATORS__0__SERVERS", "a:1, b:2"),
    ]));
    let root = good(&sources);
    let [Authenticator::Http(http)] = root.auth.authenticators.as_slice() else { panic!() };
    assert_eq!(http.password.as_ref().map(crate::Secret::expose), Some("012345"));
    assert_eq!(http.servers, [Bind::new("a", 1), Bind::new("b", 2)]);
}

#[test]
fn environment_finds_names_in_other_letters() {
    let file = "[listeners.tcp.Inside-LAN]\nbind = 'a:1'\n";
    let sources = text(file)
        .with_environment(environment(&[("AVOCET__LISTENERS__TCP__INSIDE-LAN__BIND", "b:2")]));
    assert_eq!(good(&sources).listeners.tcp["Inside-LAN"].bind, Bind::new("b", 2));
}

#[test]
fn names_may_have_dots_and_quotes() {
    let word = r#"listeners.tcp."a.b=\"c".bind=x:1"#;
    let root = good(&Sources::new().with_set([word]));
    assert_eq!(root.listeners.tcp["a.b=\"c"].bind, Bind::new("x", 1));
    let written = crate::to_toml(&root);
    assert!(written.contains(r#"[listeners.tcp."a.b=\"c"]"#), "{written}");
    assert_eq!(good(&text(&written)), root);
}

#[test]
fn mistakes_of_all_sources_come_together() {
    let sources = text("mqtt.max_inflight = 0\nmqtt.trace = 'x'\n")
        .with_environment(environment(&[
            ("AVOCET__MQTT__MAX_INFLITE", "2"),
            ("AVOCET__MQTT____TRACE", "2"),
        ]))
        .with_set(["mqtt.max_inflight=7", "mqtt.queue_full=drop", "mqtt.trace", "a b=1", "=1"]);
    let expected = "\
        a.toml:1: mqtt.max_inflight: 0 is out of range; accepted: an integer from 1 to 65535\n\
        a.toml:2: mqtt.trace: found \"x\"; accepted: a number\n\
        AVOCET__MQTT__MAX_INFLITE: mqtt.max_inflite: unknown key; did you mean \"max_inflight\"?\n\
        AVOCET__MQTT____TRACE: is not AVOCET__SECTION__KEY\n\
        --set : is not KEY=VALUE with a dotted key\n\
        --set a b: is not KEY=VALUE with a dotted key\n\
        --set mqtt.queue_full: mqtt.queue_full: found \"drop\"; accepted: \"drop_oldest\" | \
        \"refuse\"\n\
        --set mqtt.trace: is not KEY=VALUE with a dotted key\n";
    assert_eq!(mistakes(&sources), expected);
}

#[test]
fn a_value_given_for_a_section_is_a_mistake_everywhere() {
    let sources = text("mqtt = 5\n").with_set(["mqtt.max_inflight=7", "rpc=1"]);
    let expected = "a.toml:1: mqtt: found 5; accepted: a table\n\
                    --set rpc: rpc: found 1; accepted: a table\n";
    assert_eq!(mistakes(&sources), expected);
}

#[test]
fn a_file_that_is_not_there_is_one_mistake() {
    let found = load::<super::Root>(&Sources::new().with_file("/nowhere/a.toml"));
    let mistakes: Vec<Mistake> = found.expect_err("there is no file");
    let [mistake] = mistakes.as_slice() else { panic!("{mistakes:?}") };
    assert!(mistake.to_string().starts_with("/nowhere/a.toml: cannot be read: "), "{mistake}");
}

#[test]
fn secrets_come_from_files_and_environment_and_are_not_printed() {
    let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo runs the tests");
    let manifest = format!("{package}/Cargo.toml");
    let sources = text(&format!(
        "[[auth.authenticators]]\ntype = 'http'\npassword = {{ file = '{manifest}' }}\n\
         [[auth.authenticators]]\ntype = 'http'\npassword = {{ env = 'CARGO_MANIFEST_DIR' }}\n\
         [[auth.authenticators]]\ntype = 'http'\npassword = 'hunter2'\n"
    ));
    let root = good(&sources);
    let passwords: Vec<&str> = root.auth.authenticators.iter().map(password).collect();
    assert!(passwords[0].starts_with("[package]") && passwords[0].ends_with("true"));
    assert_eq!(passwords[1..], [package.as_str(), "hunter2"]);
    let shown = format!("{}{root:?}", crate::to_toml(&root));
    assert!(!shown.contains("hunter2") && shown.contains("password = \"******\""), "{shown}");
    assert!(shown.contains("password = { env = \"CARGO_MANIFEST_DIR\" }"), "{shown}");
    assert_eq!(
        mistakes(&text("[[auth.authenticators]]\ntype='http'\npassword.env = 'NO_SUCH_NAME'")),
        "a.toml:3: auth.authenticators[0].password: there is no environment variable \
         \"NO_SUCH_NAME\"; accepted: a text, { file = \"PATH\" } or { env = \"NAME\" }\n"
    );
}

#[test]
fn the_block_of_the_seed_loads_as_it_stands() {
    let root = good(&text(
        "    ## TCP server port.\n    rpc.tcp_server_port = 5370\n\n    \
         ## Default TCP port for outgoing connections\n    rpc.tcp_client_port = 5371\n\n    \
         ## Client connect timeout\n    rpc.connect_timeout = 4000\n\n    \
         ## Socket keepalive configuration\n    rpc.socket_keepalive_idle = 7201\n",
    ));
    assert_eq!((root.rpc.tcp_server_port, root.rpc.tcp_client_port), (5370, 5371));
    assert_eq!(root.rpc.connect_timeout.0, Duration::from_secs(4));
    assert_eq!(root.rpc.socket_keepalive_idle.0, Duration::from_secs(7201));
    let root = good(&text("[rpc]\nconnect_timeout = '5s'\nsocket_keepalive_idle = '15m'\n"));
    assert_eq!(root.rpc.connect_timeout.0, Duration::from_secs(5));
    assert_eq!(root.rpc.socket_keepalive_idle.0, Duration::from_secs(900));
}

fn password(authenticator: &Authenticator) -> &str {
    match authenticator {
        Authenticator::Http(http) => http.password.as_ref().map_or("", crate::Secret::expose),
        Authenticator::File(_) => "",
    }
}
