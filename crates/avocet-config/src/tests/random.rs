//! Text that nobody would write does no harm.

use proptest::prelude::{any, prop_oneof, proptest};
use proptest::strategy::{Just, Strategy};

use super::{Root, text};
use crate::{Sources, load, to_toml};

/// Pieces that look like a configuration, and some that do not.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "[",
        "]",
        "[[",
        "]]",
        ".",
        "=",
        " = ",
        "\n",
        "\"",
        "'",
        "\"\"\"",
        "{",
        "}",
        ",",
        "#",
        "mqtt",
        "max_inflight",
        "listeners",
        "tcp",
        "default",
        "auth",
        "authenticators",
        "type",
        "rpc",
        "5",
        "-1",
        "0x",
        "1e9",
        "true",
        "1979-05-27",
        "\"30s\"",
        "\\u12",
        "[mqtt]\n",
        "[[auth.authenticators]]\n",
        "a.b = 1\n",
        "\u{0}",
        "\u{feff}",
        "é",
    ];
    prop_oneof![
        8 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => Just("\r\n".to_owned()),
    ]
}

fn pieces() -> impl Strategy<Value = String> {
    proptest::collection::vec(piece(), 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn random_text_never_panics(
        file in pieces(), word in pieces(), name in pieces(), value in pieces()
    ) {
        let sources = text(&file)
            .with_set([word])
            .with_environment([(format!("AVOCET__{name}"), value)]);
        match load::<Root>(&sources) {
            Ok(root) => drop(to_toml(&root)),
            Err(mistakes) => assert!(!mistakes.is_empty()),
        }
    }

    #[test]
    fn any_name_and_text_survives_writing(name in "[^\u{0}]{1,20}", host in "[a-z]{1,9}", port in any::<u16>()) {
        let mut root = Root::default();
        let bind = crate::Bind::new(host, port);
        let listener = super::Tcp { bind, ..super::Tcp::default() };
        root.listeners.tcp.insert(name, listener);
        let read = load::<Root>(&Sources::new().with_text("a.toml", to_toml(&root)));
        assert_eq!(read, Ok(root));
    }
}
