//! libFuzzer's entrance: searches for bytes that break the target named by `AVOCET_FUZZ_TARGET`.
//! `cargo xtask fuzz` builds and starts it.
#![no_main]

use std::{env, sync::LazyLock};

use avocet_fuzz::{Target, target};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = env::var("AVOCET_FUZZ_TARGET").unwrap_or_default();
    target(&name).expect("AVOCET_FUZZ_TARGET names a target")
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET(data));
