use clap::Parser;

use super::*;

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
    assert_eq!((client.args.host.as_str(), client.args.port), ("host", 1));
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
