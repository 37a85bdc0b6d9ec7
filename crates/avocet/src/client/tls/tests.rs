use super::*;

/// The sentence for what rustls says.
fn explained(args: &TransportArgs, detail: &str) -> String {
    let error = LayerError { layer: Layer::Tls, detail: detail.to_owned() };
    Trust::new(args).explain(&error)
}

#[test]
fn authorities_that_were_asked_are_named() {
    let unknown = "invalid peer certificate: UnknownIssuer";
    let args = TransportArgs::default();
    assert!(explained(&args, unknown).ends_with("no authority of this system has signed it"));
    let (cafile, capath) = (Some("ca.pem".into()), Some("more".into()));
    let args = TransportArgs { cafile, capath, ..args };
    assert!(explained(&args, unknown).ends_with("no authority of ca.pem or more has signed it"));
}

#[test]
fn broker_that_wants_another_certificate_is_understood() {
    let (without, with) = (
        TransportArgs::default(),
        TransportArgs { cert: Some("me.pem".into()), ..TransportArgs::default() },
    );
    let wanted = "the broker wants a certificate of ours: --cert and --key";
    assert_eq!(explained(&without, "received fatal alert: CertificateRequired"), wanted);
    assert_eq!(explained(&without, "received fatal alert: BadCertificate"), wanted);
    let refused = "the broker does not accept the certificate in me.pem: UnknownCA";
    assert_eq!(explained(&with, "received fatal alert: UnknownCA"), refused);
    let ended = "the broker ends TLS: InternalError";
    assert_eq!(explained(&with, "received fatal alert: InternalError"), ended);
}

#[test]
fn other_layers_speak_for_themselves() {
    let error = LayerError { layer: Layer::WebSocket, detail: "received fatal alert: x".into() };
    assert_eq!(
        Trust::new(&TransportArgs::default()).explain(&error),
        "WebSocket: received fatal alert: x"
    );
}
