//! Who is let in where the configuration does not say so: those that come from this machine.

use std::process::Command;

use avocet_tests::{
    Authority, Broker, Connect, Version,
    broker::executable,
    deadline,
    foreign::{note, program, run},
    process::Folder,
    stream,
};

use super::{Bridge, NAME, V5, has_quic, secure, start, tls, try_enter};

const LET_IN: &str = "Listening; clients without credentials are let in.";
const LOOPBACK: &str = "127.0.0.1";
const NOT_LET_IN: &str = "Listening; clients without credentials are not let in.";

/// In a network of its own, where the usual ports are free whatever else runs. The broker's line is
/// waited for at the pipe; the sockets of the network are then the broker's.
const SCRIPT: &str = r#"
ip link set lo up || exit 77
mkfifo ready
"$0" start >ready 2>log &
read -r line <ready && echo "$line"
cat /proc/$!/net/tcp /proc/$!/net/tcp6 /proc/$!/net/udp /proc/$!/net/udp6 | sed 's/^/socket /'
"$0" pub -h 127.0.0.1 -i probe -q 1 -t a -m x && echo published
kill $!
wait $!
sed 's/^/log /' log
"#;

#[test]
fn broker_without_configuration_listens_on_loopback_alone_and_lets_anonymous_clients_in() {
    let scenario = "broker without configuration";
    let (Some(unshare), Some(_)) = (program("unshare", scenario), program("ip", scenario)) else {
        return;
    };
    let may = Command::new(&unshare).args(["-rn", "ip", "link", "set", "lo", "up"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        return note(&format!("{scenario}: the system gives it no network of its own"));
    }
    let folder = Folder::new();
    let mut command = Command::new(unshare);
    command.args(["-rn", "sh", "-c", SCRIPT]).arg(executable()).current_dir(folder.path());
    let variables = std::env::vars().filter(|(name, _)| name.starts_with("AVOCET_"));
    for (name, _) in variables {
        command.env_remove(name);
    }
    let printed = run(&mut command);
    let ready = printed.lines().next().unwrap_or_default();
    // As the documents have it.
    let expected = format!("ready tcp.default={LOOPBACK}:1883 http={LOOPBACK}:18083");
    assert_eq!(ready, expected, "{printed}");
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let sockets = printed.lines().filter(|line| line.starts_with("socket ")).map(fields);
    // Listening (0A), or a socket of UDP (07).
    let open = sockets.filter(|it| it[4] == "0A" || it[4] == "07").map(|it| it[2].clone());
    let mut open: Vec<String> = open.collect();
    open.sort();
    // 127.0.0.1, ports 1883 and 18083.
    assert_eq!(open, ["0100007F:075B", "0100007F:46A3"], "{printed}");
    assert!(printed.lines().any(|line| line == "published"), "{printed}");
    let told = |line: &str| line.contains(LET_IN) && line.contains("tcp.default");
    assert!(printed.lines().any(told), "{printed}");
    assert!(!printed.contains(NOT_LET_IN), "{printed}");
}

#[track_caller]
fn expect_log(broker: &Broker, listener: &str, words: &str) {
    let name = format!("listener={listener} ");
    // The log may come a little behind the line that says it is ready.
    let line = deadline::poll(deadline::ANSWER, || {
        let log = broker.log();
        let mut lines = log.lines().filter(|line| line.contains("Listening;"));
        lines.find(|line| line.contains(&name)).map(str::to_owned)
    });
    let line = line.unwrap_or_else(|| panic!("no {name}in\n{}", broker.log()));
    assert!(line.contains(words), "{line}");
}

#[test]
fn listener_that_others_can_reach_lets_anonymous_clients_in_only_if_told_so() {
    let there = [
        ("127.0.0.1:0", None, true),
        ("localhost:0", None, true),
        ("127.8.9.10:0", None, true),
        ("0.0.0.0:0", None, false),
        ("0.0.0.0:0", Some(false), false),
        ("0.0.0.0:0", Some(true), true),
        ("127.0.0.1:0", Some(false), false),
    ];
    for (bind, told, is_let_in) in there {
        let mut settings = vec![format!("listeners.tcp.a.bind={bind}")];
        settings.extend(told.map(|told| format!("listeners.tcp.a.allow_anonymous={told}")));
        let broker = start(&settings);
        expect_log(&broker, "tcp.a", if is_let_in { LET_IN } else { NOT_LET_IN });
        for (version, refusal) in [(Version::V31, 5), (Version::V311, 5), (V5, 0x87)] {
            let stream = stream::tcp(broker.listener("tcp.a"));
            let connect = Connect::new(version, "alice").user_name("al").password("secret");
            let (mut raw, connack) = try_enter(Box::new(stream), &connect);
            assert_eq!(connack.code, if is_let_in { 0 } else { refusal }, "{bind}, {told:?}");
            if !is_let_in {
                raw.expect_close();
            }
        }
        // The other listener is a matter of its own.
        expect_log(&broker, "tcp.default", LET_IN);
        broker.client(V5, "bob").disconnect();
    }
}

/// Their default is every address.
#[test]
fn other_kinds_of_listeners_keep_to_it_as_well() {
    let authority = Authority::new();
    let server = authority.server("server", &[NAME]);
    let mut settings = secure("tls.a", &server).to_vec();
    settings.push("listeners.tls.a.bind=0.0.0.0:0".to_owned());
    settings.push("listeners.ws.a.bind=0.0.0.0:0".to_owned());
    settings.extend(secure("wss.a", &server));
    settings.push("listeners.wss.a.bind=0.0.0.0:0".to_owned());
    settings.push("listeners.wss.a.allow_anonymous=true".to_owned());
    let quic = has_quic();
    if quic {
        settings.extend(secure("quic.a", &server));
        settings.push("listeners.quic.a.bind=0.0.0.0:0".to_owned());
    }
    let broker = start(&settings);
    let over_tls = || Box::new(tls(&broker, "tls.a", &authority, None));
    let (_, connack) = try_enter(over_tls(), &Connect::new(V5, "alice"));
    assert_eq!(connack.code, 0x87);
    let web = stream::Web::open(Box::new(stream::tcp(broker.listener("ws.a"))));
    let (mut raw, connack) = try_enter(Box::new(web), &Connect::new(V5, "alice"));
    assert_eq!(connack.code, 0x87);
    raw.expect_close();
    let web = stream::Web::open(Box::new(tls(&broker, "wss.a", &authority, None)));
    assert_eq!(try_enter(Box::new(web), &Connect::new(V5, "alice")).1.code, 0);
    let mut told = vec![("tls.a", NOT_LET_IN), ("ws.a", NOT_LET_IN), ("wss.a", LET_IN)];
    if quic {
        told.push(("quic.a", NOT_LET_IN));
    }
    for (listener, words) in told {
        expect_log(&broker, listener, words);
    }
    if let Some(bridge) = quic.then(|| Bridge::start(&broker, "quic.a", &authority, &[])).flatten()
    {
        assert_eq!(try_enter(bridge.stream(), &Connect::new(V5, "alice")).1.code, 0x87);
    }
}
