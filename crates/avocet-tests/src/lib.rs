//! Harness of the black-box tests. Nothing here knows Avocet's own codec: bytes are put together
//! and taken apart a second time, so that a misreading of the standard is not made twice.
//!
//! - [`broker`]: starts the real executable and ends it;
//! - [`raw`]: a client of bytes, with deadlines instead of sleeps;
//! - [`stream`]: what such a client speaks over: TCP, a Unix socket, TLS, WebSocket;
//! - [`authority`]: certificates for one test;
//! - [`packet`]: packets of a client, put together by hand;
//! - [`received`]: packets of a server, taken apart and checked against the standard;
//! - [`process`]: the executable run to its end;
//! - [`foreign`]: runs clients that are not ours, or notes that they were not run;
//! - [`version`]: the protocol versions and the loop over them;
//! - [`deadline`]: how long anything may take;
//! - [`crash`]: a broker that is killed again and again, and what it must not lose.

pub mod authority;
pub mod broker;
pub mod crash;
pub mod deadline;
pub mod foreign;
pub mod packet;
pub mod process;
pub mod raw;
pub mod received;
pub mod stream;
pub mod version;

pub use authority::Authority;
pub use broker::Broker;
pub use packet::{Connect, Properties, Publish, Will};
pub use raw::Raw;
pub use received::{Kind, Received};
pub use stream::Stream;
pub use version::{Version, each_version};
