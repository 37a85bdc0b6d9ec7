use ring::rand::SystemRandom;

use super::*;

#[test]
fn only_a_fitting_response_is_taken() {
    let good = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n\
                connection: keep-alive, upgrade\r\n\
                Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
                Sec-WebSocket-Protocol: mqtt\r\n\r\n";
    for (from, to, expected) in [
        ("", "", None),
        ("101 Switching Protocols", "404 Not Found", Some("answers 404 Not Found")),
        ("HTTP/1.1", "SSH-2.0", Some("not an HTTP response")),
        ("WebSocket\r", "h2c\r", Some("to another protocol")),
        ("keep-alive, upgrade", "close", Some("to another protocol")),
        ("s3pP", "S3pP", Some("has not understood the key")),
        ("Sec-WebSocket-Accept", "X", Some("has not understood the key")),
        ("col: mqtt", "col: amqp", Some("does not agree to mqtt")),
        ("Sec-WebSocket-Protocol", "X", Some("does not agree to mqtt")),
        ("\r\n\r\n", "\r\nSec-WebSocket-Extensions: x\r\n\r\n", Some("extension")),
    ] {
        let response = good.replacen(from, to, 1);
        for size in [1, 1000] {
            let mut head = Vec::new();
            let result = response.as_bytes().chunks(size).try_for_each(|piece| {
                if take_head(&mut head, piece)?.is_some() {
                    check(&head, &expected_one())
                } else {
                    Ok(())
                }
            });
            match (result, expected) {
                (Ok(()), None) => {}
                (Err(error), Some(expected)) => {
                    assert!(error.detail.contains(expected), "{to}: {error}");
                }
                (result, _) => panic!("{to}: {result:?}"),
            }
        }
    }
}

#[test]
fn response_without_end_is_not_taken() {
    let response = format!("HTTP/1.1 101 X\r\nX: {}", "x".repeat(HEAD_BYTES_MAX));
    let mut head = Vec::new();
    assert!(take_head(&mut head, response.as_bytes()).is_err());
}

#[test]
fn words_that_would_write_a_head_of_their_own_are_refused() {
    let good = WebSocketRequest {
        host: "localhost".to_owned(),
        path: "/mqtt".to_owned(),
        subprotocol: "mqtt".to_owned(),
        frame_bytes_max: 100,
    };
    let written = |wanted: &WebSocketRequest| request(wanted, &SystemRandom::new());
    let (_, bytes) = written(&good).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.starts_with("GET /mqtt HTTP/1.1\r\nHost: localhost\r\n"));
    assert!(written(&WebSocketRequest { host: "a\r\nb".to_owned(), ..good.clone() }).is_err());
    assert!(written(&WebSocketRequest { path: "/a b".to_owned(), ..good.clone() }).is_err());
    assert!(written(&WebSocketRequest { path: "mqtt".to_owned(), ..good }).is_err());
}

fn expected_one() -> Expected {
    let accept = accept_of("dGhlIHNhbXBsZSBub25jZQ==");
    Expected { accept, subprotocol: "mqtt".to_owned(), frame_bytes_max: 100 }
}
