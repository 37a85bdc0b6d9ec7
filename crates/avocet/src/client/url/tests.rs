use super::*;

#[test]
fn parts_are_found() {
    let url = Url::parse("mqtts://me:p%40%2Fss@broker.example.org:99/room/+/x%20y").unwrap();
    assert_eq!((url.is_tls, url.is_websocket), (true, false));
    assert_eq!((url.host.as_str(), url.port), ("broker.example.org", Some(99)));
    assert_eq!((url.username.as_deref(), url.password.as_deref()), (Some("me"), Some("p@/ss")));
    assert_eq!((url.topic(), url.websocket_path()), (Some("room/+/x%20y"), None));
}

#[test]
fn what_is_left_out_is_not_there() {
    for text in ["mqtt://host", "mqtt://host/"] {
        let url = Url::parse(text).unwrap();
        assert_eq!(url, Url { host: "host".to_owned(), ..Url::default() }, "{text}");
        assert_eq!(url.topic(), None);
    }
    let url = Url::parse("mqtt://me@host//a").unwrap();
    assert_eq!(
        (url.username.as_deref(), url.password.as_deref(), url.topic()),
        (Some("me"), None, Some("/a"))
    );
}

#[test]
fn path_of_a_websocket_is_no_topic() {
    let url = Url::parse("wss://host/broker/ws?a=b").unwrap();
    assert_eq!((url.is_tls, url.is_websocket), (true, true));
    assert_eq!((url.topic(), url.websocket_path()), (None, Some("/broker/ws?a=b")));
}

#[test]
fn address_of_version_6_stands_in_brackets() {
    for (text, port) in [("mqtt://[::1]", None), ("mqtt://a@[::1]:99/b", Some(99))] {
        let url = Url::parse(text).unwrap();
        assert_eq!((url.host.as_str(), url.port), ("::1", port), "{text}");
    }
}

#[test]
fn nonsense_is_refused() {
    let texts = [
        "",
        "host",
        "http://host",
        "mqtt:host",
        "mqtt://",
        "mqtt:///topic",
        "mqtt://host:",
        "mqtt://host:port",
        "mqtt://host:65536",
        "mqtt://[::1",
        "mqtt://[::1]9",
        "mqtt://a%4@host",
        "mqtt://a%+1@host",
        "mqtt://%ff@host",
    ];
    for text in texts {
        assert!(Url::parse(text).is_err(), "{text}");
    }
}
