//! What the types of values read and write, and what they refuse.

use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::{Bind, Millis, Origin, Seconds, Setting, Size};

/// Each row is TOML, and what is written of the value that was read of it.
#[track_caller]
fn check<T: Setting + Debug + PartialEq>(rows: &[(&str, &str)], refused: &[&str]) {
    for (toml, expected) in rows {
        let read = T::read(&value(toml)).expect(toml);
        assert_eq!(read.write(), *expected, "of {toml}");
        assert_eq!(T::read(&value(expected)), Ok(read), "written as {expected}");
    }
    for toml in refused {
        assert!(T::read(&value(toml)).is_err(), "{toml} must be refused");
    }
}

fn value(toml: &str) -> crate::Value {
    let mut value = crate::source::bare(Origin::Default, toml);
    value.raw = None;
    value
}

#[test]
fn sizes() {
    check::<Size>(
        &[
            ("0", "0"),
            ("4096", "\"4KiB\""),
            ("'64KiB'", "\"64KiB\""),
            ("'64 kib'", "\"64KiB\""),
            ("'1MB'", "\"1MB\""),
            ("'1000000'", "\"1MB\""),
            ("'2048MiB'", "\"2GiB\""),
            ("'7B'", "7"),
        ],
        &["-1", "'1.5MiB'", "'MiB'", "''", "'-1'", "'99999999999TiB'", "true", "1.0", "'1 MiB x'"],
    );
}

#[test]
fn durations() {
    check::<Duration>(
        &[
            ("'0s'", "\"0s\""),
            ("'500ms'", "\"500ms\""),
            ("'90s'", "\"1m30s\""),
            ("'1h30m'", "\"1h30m\""),
            ("'36h'", "\"1d12h\""),
            ("'1d2h3m4s5ms'", "\"1d2h3m4s5ms\""),
        ],
        &[
            "30",
            "'30'",
            "''",
            "'s'",
            "'1m1h'",
            "'1m1m'",
            "'1.5s'",
            "'-1s'",
            "'1y'",
            "'99999999999999999d'",
            "true",
        ],
    );
    check::<Millis>(&[("5000", "5000"), ("'5s'", "5000"), ("0", "0")], &["-1", "'5'", "1.5"]);
    check::<Seconds>(
        &[("75", "75"), ("'15m'", "900"), ("'1500ms'", "\"1s500ms\"")],
        &["-1", "99999999999999999999"],
    );
}

#[test]
fn addresses() {
    check::<Bind>(
        &[
            ("'127.0.0.1:1883'", "\"127.0.0.1:1883\""),
            ("'[::1]:0'", "\"[::1]:0\""),
            ("'localhost:1883'", "\"localhost:1883\""),
            ("'my-host_1.example:65535'", "\"my-host_1.example:65535\""),
        ],
        &[
            "':1883'",
            "'localhost'",
            "'::1:1883'",
            "'[::1]'",
            "'[x]:1'",
            "'1.2.3:1'",
            "'a b:1'",
            "'256.0.0.1:1'",
            "'a:65536'",
            "'a:'",
            "1883",
            "'a:-1'",
        ],
    );
    check::<IpAddr>(&[("'::1'", "\"::1\""), ("'0.0.0.0'", "\"0.0.0.0\"")], &["'localhost'", "1"]);
    check::<SocketAddr>(&[("'[::1]:1'", "\"[::1]:1\"")], &["'::1:1'", "'localhost:1'"]);
    assert!(Bind::new("::1", 1).is_loopback() && Bind::new("127.0.0.2", 1).is_loopback());
    assert!(!Bind::new("0.0.0.0", 1).is_loopback() && !Bind::new("::", 1).is_loopback());
}

#[test]
fn plain_types() {
    check::<bool>(&[("true", "true")], &["1", "'true'"]);
    check::<u8>(&[("255", "255"), ("0xff", "255"), ("1_0", "10")], &["256", "-1", "'1'", "1.0"]);
    check::<i64>(&[("-9223372036854775808", "-9223372036854775808")], &["9223372036854775808"]);
    check::<u64>(&[("18446744073709551615", "18446744073709551615")], &["-1"]);
    check::<f64>(&[("1", "1.0"), ("0.25", "0.25"), ("1e300", "1e300")], &["nan", "inf", "'1'"]);
    check::<String>(&[("'a\"b'", "\"a\\\"b\""), ("\"\\t\\u0001\"", "\"\\t\\u0001\"")], &["5"]);
    check::<PathBuf>(&[("'/a b'", "\"/a b\"")], &["''", "5"]);
}
