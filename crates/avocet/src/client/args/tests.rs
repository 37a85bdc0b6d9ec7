use clap::Parser;

use super::*;
use crate::client::transport::tests::AUTHORITY;

#[derive(Debug, Parser)]
#[command(disable_help_flag = true)]
struct Client {
    #[command(flatten)]
    args: ClientArgs,
}

fn connect(line: &str) -> Result<Connect, String> {
    let client = Client::try_parse_from(format!("client {line}").split_ascii_whitespace());
    let args = client.map_err(|error| error.kind().to_string())?.args;
    args.connect(&args.properties()?)
}

#[test]
fn letters_are_those_of_mosquitto() {
    let line = "-h host -p 1 -i me -u user -P secret -k 7 -c -V mqttv311 -d";
    let client = Client::try_parse_from(format!("client {line}").split(' ')).unwrap();
    assert_eq!(client.args.target().unwrap().place.to_string(), "host:1");
    assert!(client.args.debug);
    let connect = connect(line).unwrap();
    assert_eq!((connect.client_id.as_str(), connect.keep_alive), ("me", 7));
    assert_eq!(connect.username.as_deref(), Some("user"));
    assert_eq!(connect.password.as_deref(), Some(&b"secret"[..]));
    assert!(!connect.clean_start);
    assert_eq!(connect.session_expiry_interval, None);
}

#[test]
fn kept_session_of_5_lasts_for_ever_unless_told() {
    let expiry = |line| connect(line).unwrap().session_expiry_interval;
    assert_eq!(expiry("-V mqttv5 -c -i me"), Some(u32::MAX));
    assert_eq!(expiry("-V mqttv5 -c -i me -x 60"), Some(60));
    assert_eq!(expiry("-V mqttv5"), None);
}

#[test]
fn only_3_1_makes_up_a_client_id() {
    assert_eq!(connect("").unwrap().client_id, "");
    assert_ne!(connect("-V mqttv31").unwrap().client_id, "");
}

#[test]
fn url_stands_for_host_and_more() {
    let parse = |line: &str| Client::try_parse_from(format!("client {line}").split(' '));
    let args = parse("-L mqtt://me:secret@host:9/a/b").unwrap().args;
    assert_eq!(args.target().unwrap().place.to_string(), "host:9");
    assert_eq!(args.url_topic(), Some("a/b"));
    let sent = connect("-L mqtt://me:secret@host:9/a/b").unwrap();
    assert_eq!(
        (sent.username.as_deref(), sent.password.as_deref()),
        (Some("me"), Some(&b"secret"[..]))
    );
    assert_eq!(connect("-L mqtt://me@host -u you").unwrap().username.as_deref(), Some("you"));

    let wss = parse(&format!("-L wss://host/ws --cafile {AUTHORITY}")).unwrap().args;
    let target = wss.target().unwrap();
    assert_eq!(target.place.to_string(), "host:8084");
    assert_eq!(target.wrapping.websocket.map(|request| request.path).as_deref(), Some("/ws"));
    assert!(target.wrapping.tls.is_some() && wss.url_topic().is_none());

    let args = parse("-L ws://host/ws --ws-path /mqtt").unwrap().args;
    assert!(matches!(args.target(), Err(Failure::Usage(_))));
    for line in ["-L mqtt://host -h host", "-L mqtt://host -p 1", "-L mqtt://host --unix /a"] {
        assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
    }
}

#[test]
fn will_is_taken_whole() {
    let line = "-V 5 --will-topic w --will-payload -1 --will-qos 2 --will-retain \
                -D will will-delay-interval 5 -D will content-type text";
    let will = connect(line).unwrap().will.unwrap();
    assert_eq!((will.topic.as_str(), &will.payload[..]), ("w", &b"-1"[..]));
    assert_eq!((will.qos, will.retain, will.delay_interval), (QoS::ExactlyOnce, true, 5));
    assert_eq!(will.properties.borrow().content_type(), Some("text"));
}

#[test]
fn what_makes_no_sense_is_said() {
    let lines = [
        "-c",
        "-P secret",
        "-x 5",
        "-V 6",
        "--will-payload x",
        "--will-topic a/#",
        "-D CONNECT receive-maximum 5",
        "-V 5 -D CONNECT receive-maximum 0",
        "-V 5 -D WILL content-type text",
        "-h",
    ];
    for line in lines {
        assert!(connect(line).is_err(), "{line}");
    }
}
