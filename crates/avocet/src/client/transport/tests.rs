use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
#[command(disable_help_flag = true)]
struct Line {
    #[arg(short = 'h', long, default_value = "localhost")]
    host: String,
    #[arg(short, long)]
    port: Option<u16>,
    #[command(flatten)]
    transport: TransportArgs,
}

/// The certificate of an authority; nobody has its key.
pub(crate) const AUTHORITY: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/src/client/transport/authority.pem");

/// What is wrong, if it is wrong usage. `CA` stands for a file that can be read.
fn target(line: &str) -> Result<Target, String> {
    let words = format!("line {line}").replace("CA", AUTHORITY);
    let line = Line::try_parse_from(words.split_ascii_whitespace());
    let line = line.map_err(|error| {
        assert_eq!(error.exit_code(), 2, "{words}");
        error.to_string()
    })?;
    line.transport.target(&line.host, line.port).map_err(|failure| match failure {
        Failure::Usage(text) => text,
        failure @ (Failure::TimeOut(_) | Failure::Other(_)) => panic!("{words}: {failure:?}"),
    })
}

#[test]
fn each_transport_has_its_port() {
    for (line, place) in [
        ("", "localhost:1883"),
        ("--cafile CA", "localhost:8883"),
        ("--ws", "localhost:8083"),
        ("--ws --tls --cafile CA", "localhost:8084"),
        ("--ws -h broker -p 9", "broker:9"),
        ("--unix /run/broker.sock", "/run/broker.sock"),
    ] {
        assert_eq!(target(line).unwrap().place.to_string(), place, "{line}");
    }
}

#[test]
fn plain_connection_has_no_layers() {
    for line in ["", "--unix /run/broker.sock"] {
        let target = target(line).unwrap();
        assert!(target.wrapping.tls.is_none() && target.wrapping.websocket.is_none(), "{line}");
    }
}

#[test]
fn options_of_tls_imply_it() {
    for line in [
        "--tls",
        "--cafile a",
        "--capath a",
        "--cert a --key a",
        "--insecure",
        "--tls-version tlsv1.2",
        "--servername a",
        "--tls-alpn mqtt",
    ] {
        let line = Line::try_parse_from(format!("line {line}").split(' ')).unwrap();
        assert!(line.transport.is_tls(), "{line:?}");
    }
}

#[test]
fn websocket_asks_for_host_and_path() {
    let asked = |line| {
        let request = target(line).unwrap().wrapping.websocket.unwrap();
        (request.host, request.path)
    };
    let pair = |host: &str, path: &str| (host.to_owned(), path.to_owned());
    assert_eq!(asked("--ws -h a"), pair("a:8083", "/mqtt"));
    assert_eq!(asked("--ws -h a -p 80 --ws-path /b"), pair("a", "/b"));
    assert_eq!(asked("--ws --cafile CA -h ::1 -p 443"), pair("[::1]", "/mqtt"));
}

#[test]
fn contradictions_are_wrong_usage() {
    for (line, part) in [
        ("--unix /a -h b", "--host"),
        ("--unix /a -p 1", "--port"),
        ("--unix /a --tls", "--tls"),
        ("--unix /a --cafile b", "--cafile"),
        ("--unix /a --ws", "--ws"),
        ("--cert a", "--key"),
        ("--key a", "--cert"),
        ("--ws-path /a", "needs --ws"),
        ("--ws --ws-path a", "begins with /"),
        ("--cafile CA --servername a/b", "neither a name nor an address"),
        ("--tls-version tlsv1.1", "tlsv1.2"),
    ] {
        let complaint = target(line).unwrap_err();
        assert!(complaint.contains(part), "{line}: {complaint}");
    }
}

#[test]
fn file_that_cannot_be_read_is_named() {
    let line = Line::try_parse_from(["line", "--cafile", "/nowhere/ca.pem"]).unwrap();
    let failure = line.transport.target(&line.host, line.port).unwrap_err();
    let Failure::Other(error) = failure else { panic!("{failure:?}") };
    assert!(error.to_string().starts_with("--cafile: cannot read /nowhere/ca.pem"), "{error}");
}
