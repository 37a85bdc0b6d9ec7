//! Fuzz targets: for each a function that takes any bytes and panics if a property does not hold.
//!
//! - [`codec`]: packets of every version;
//! - [`websocket`]: the request that opens one, and frames in both directions;
//! - [`proxy`]: the PROXY header;
//! - [`filter`]: subscription strings, and the index of subscriptions beside a naive one;
//! - [`session`]: sequences of packets, from CONNECT on, and of what else happens to a session.
//!
//! `cargo xtask fuzz` searches for bytes that break one. What is kept of the search, and every
//! input that has ever broken one, lies in `corpus/` and `regressions/`, a folder for each target,
//! and is replayed by the tests of this crate.

pub mod codec;
pub mod filter;
mod pieces;
pub mod proxy;
pub mod session;
#[cfg(test)]
mod tests;
pub mod websocket;

/// Looks at bytes, and panics if they break a property.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: [(&str, Target); 5] = [
    ("codec", codec::run),
    ("filter", filter::run),
    ("proxy", proxy::run),
    ("session", session::run),
    ("websocket", websocket::run),
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(other, _)| *other == name).map(|(_, target)| *target)
}
