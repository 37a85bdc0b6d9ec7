//! Clients that nobody here wrote, over TLS, WebSocket and a Unix socket. For QUIC see
//! [`quic`](super::quic).

use std::{
    fs::File,
    path::Path,
    process::{Command, Stdio},
};

use avocet_tests::{
    Authority, Broker, Connect, Version,
    authority::{BOTH, Identity},
    foreign::{self, Running},
    packet,
    received::hex,
};
use rumqttc::{TlsConfiguration, Transport};

use super::{Everywhere, NAME, V5, expect_metric, secure, start};
use crate::client::rumqttc::{scenario_of_3_1_1, scenario_of_5};

/// Its certificate is for this name as well, which resolves to an address.
const HOST: &str = "localhost";

/// Runs a client's script over each of these; the script asserts, and ends with one OK line.
#[track_caller]
fn check_script(command: impl Fn() -> Option<Command>, transports: &[(&str, &str)]) {
    for (transport, listener) in transports {
        for version in ["3.1.1", "5"] {
            let Some(mut command) = command() else { return };
            // A fresh one each, for what is retained.
            let everywhere = Everywhere::start(&[]);
            let port = everywhere.broker.listener(listener).port().to_string();
            command.args([HOST, &port, version, transport, &everywhere.authority.file]);
            let printed = foreign::run(&mut command);
            let ending = format!("{version} {transport}");
            let is_ok = |line: &str| line.starts_with("OK ") && line.ends_with(&ending);
            assert!(printed.lines().any(is_ok), "no OK line: {printed}");
        }
    }
}

#[test]
fn paho_talks_to_the_broker_over_tls_and_websocket() {
    let transports = [("tls", "tls.a"), ("ws", "ws.a"), ("wss", "wss.a")];
    check_script(|| foreign::python("with_paho.py"), &transports);
}

#[test]
fn mqtt_js_talks_to_the_broker_over_tls_and_websocket() {
    let transports = [("mqtts", "tls.a"), ("ws", "ws.a"), ("wss", "wss.a")];
    check_script(|| foreign::node("mqttjs.js"), &transports);
}

#[test]
fn rumqttc_talks_to_the_broker_over_tls() {
    let everywhere = Everywhere::start(&[]);
    let port = everywhere.broker.listener("tls.a").port();
    let config = TlsConfiguration::Rustls(everywhere.authority.trust(&BOTH, None));
    let transport = Transport::tls_with_config(config);
    scenario_of_3_1_1(HOST, port, &transport);
    scenario_of_5(HOST, port, &transport);
}

/// A broker that asks for certificates, with a Unix socket beside.
struct Asking {
    broker: Broker,
    authority: Authority,
}

impl Asking {
    fn start(folder: &Path) -> Self {
        let authority = Authority::new();
        let server = authority.server("server", &[HOST, NAME]);
        let mut settings = secure("tls.a", &server).to_vec();
        settings.extend([
            "listeners.tls.a.client_certificate=required".to_owned(),
            format!("listeners.tls.a.client_ca={}", authority.file),
            format!("listeners.tls.a.crls=[\"{}\"]", authority.revoke(&[13])),
            "listeners.tls.a.allow_anonymous=false".to_owned(),
            format!("listeners.unix.a.path={}/broker.sock", folder.display()),
        ]);
        Self { broker: start(&settings), authority }
    }

    fn command(&self, program: &Path, version: Version, shown: Option<&Identity>) -> Command {
        let port = self.broker.listener("tls.a").port().to_string();
        let mut command = Command::new(program);
        command.args(["-h", HOST, "-p", &port, "-V", version.mosquitto()]);
        command.args(["--cafile", &self.authority.file]);
        if let Some(shown) = shown {
            command.args(["--cert", &shown.certificate, "--key", &shown.key]);
        }
        command
    }
}

#[test]
fn mosquitto_talks_to_the_broker_with_a_certificate_and_by_a_unix_socket() {
    let scenario = "mosquitto over TLS";
    let Some(publish) = foreign::program("mosquitto_pub", scenario) else { return };
    let Some(subscribe) = foreign::program("mosquitto_sub", scenario) else { return };
    let folder = avocet_tests::process::Folder::new();
    let asking = Asking::start(folder.path());
    let good = asking.authority.client("good", 12);
    let by_file = |program: &Path, version: Version| {
        let mut command = Command::new(program);
        command.arg("--unix").arg(asking.broker.file("unix.a"));
        command.args(["-V", version.mosquitto()]);
        command
    };
    for version in [Version::V311, V5] {
        let over_tls = |program: &Path| asking.command(program, version, Some(&good));
        // What is retained is there whenever the subscriber comes.
        let large = "0123456789abcdef".repeat(6_400);
        let file = folder.write("large.txt", &large);
        foreign::run(over_tls(&publish).args(["-r", "-q", "2", "-t", "a", "-f", &file]));
        let take = ["-t", "a", "-C", "1", "-W", "20", "-N", "-q", "2"];
        assert_eq!(foreign::run(over_tls(&subscribe).args(take)), large);
        assert_eq!(foreign::run(by_file(&subscribe, version).args(take)), large);
        let mut live =
            Running::start(by_file(&subscribe, version).args(["-t", "b", "-t", "ready"]));
        foreign::run(by_file(&publish, version).args(["-r", "-t", "ready", "-m", "go"]));
        assert_eq!(live.first_line(), "go");
    }
}

#[test]
fn mosquitto_is_refused_without_a_certificate_and_with_one_that_was_taken_back() {
    let scenario = "mosquitto over TLS";
    let Some(publish) = foreign::program("mosquitto_pub", scenario) else { return };
    let folder = avocet_tests::process::Folder::new();
    let asking = Asking::start(folder.path());
    let lost = asking.authority.client("lost", 13);
    let ended = "avocet_connections_ended_total{reason=\"TLS failed\"}";
    for (shown, count) in [(None, 1), (Some(&lost), 2)] {
        let mut command = asking.command(&publish, V5, shown);
        let output = command.args(["-q", "1", "-t", "a", "-m", "x"]).output();
        let output = output.expect("mosquitto_pub is there");
        assert!(!output.status.success(), "{output:?}");
        expect_metric(&asking.broker, ended, count);
    }
}

#[test]
fn openssl_talks_to_the_broker_in_both_versions_of_tls() {
    let Some(openssl) = foreign::program("openssl", "openssl s_client") else { return };
    let everywhere = Everywhere::start(&[]);
    let connect = Connect::new(Version::V311, "openssl").bytes();
    let subscribe = packet::subscribe(Version::V311, 7, &[("a", 1)]);
    let file = std::path::PathBuf::from(everywhere.authority.write("packets", ""));
    let packets = [&connect[..], &subscribe, &packet::pingreq(), &packet::disconnect()].concat();
    std::fs::write(&file, packets).expect("the folder is writable");
    let address = everywhere.broker.listener("tls.a").to_string();
    for (version, cipher) in [
        ("-tls1_2", "ECDHE-ECDSA-AES128-GCM-SHA256"),
        ("-tls1_2", "ECDHE-ECDSA-CHACHA20-POLY1305"),
        ("-tls1_3", ""),
    ] {
        let mut command = Command::new(&openssl);
        command.args(["s_client", "-connect", &address, "-servername", NAME, "-quiet", version]);
        command.args(["-CAfile", &everywhere.authority.file, "-verify_hostname", NAME]);
        command.arg("-verify_return_error");
        if !cipher.is_empty() {
            command.args(["-cipher", cipher]);
        }
        let input = File::open(&file).expect("the file was just written");
        // With -quiet it goes on until the broker ends the connection.
        let output = command.stdin(input).stderr(Stdio::piped()).output().expect("it is there");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(hex(&output.stdout), hex(b"\x20\x02\0\0\x90\x03\0\x07\x01\xd0\0"), "{said}");
        assert!(output.status.success(), "{said}");
    }
}
