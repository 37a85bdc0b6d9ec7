//! The running broker. It owns sockets, tasks and time, and asks the pure crates what to do.
//!
//! The way of a message:
//! - `shard`: a thread and the connections that live on it; `driver`: gives them their turns;
//!   `calls`: how others ask for one;
//! - `connection`: the owner of one socket: it reads, and writes what is left to it; `batch`: what
//!   is done with the packets of one read;
//! - `publish`: the publish path, from a decoded PUBLISH to its acknowledgement; `deliver`: its
//!   step from destinations to receivers;
//! - `mailbox`: the lock around a session and the connection it may have; `output`: what is on its
//!   way to one client; `pending`: the bytes of that, in `buffers` that a thread keeps; `envelope`:
//!   what TLS and WebSocket make of them; `wire`: its socket, as other threads see it.
//!
//! Around it:
//! - `open`: a CONNECT becomes a mailbox: new, resumed or taken over; `leave`: a connection ends,
//!   then perhaps the session; `registry`: client identifier to mailbox;
//! - `subscribe`: filters entered and removed, retained messages sent; `mountpoint`: what a
//!   listener's mountpoint makes of them;
//! - `records`: what a turn leaves for the store; `keeper`: the way there, and what is done once it
//!   has arrived; `load`: what waits there, read for those who get it; `kept`: messages as they are stored; `restore`: all of it read at the start;
//! - `retained`, `timers`, `wheel`: what waits for its time;
//! - [`config`]: the sections of the configuration; [`Options`]: what they mean;
//! - `sys`: what the broker tells about itself in `$SYS/`;
//! - `drops`, `metrics`: what is counted; `alarm`, `stall`: what somebody should look at;
//!   `observer`: how others look at all of it;
//! - `accept`: connections taken from a listener and handed to the shards;
//! - `broker`: all of it started and stopped.
//!
//! `sync` has the locks and atomics that tests of interleavings replace (`simulation`, with the
//! feature `interleavings`).

mod accept;
mod alarm;
mod batch;
mod broker;
mod buffers;
mod calls;
pub mod config;
mod connection;
mod deliver;
mod driver;
mod drops;
mod envelope;
mod keeper;
mod kept;
mod leave;
mod load;
mod mailbox;
mod metrics;
mod mountpoint;
mod observer;
mod open;
mod options;
mod output;
mod pending;
mod publish;
mod records;
mod registry;
mod restore;
mod retained;
mod shard;
#[cfg(all(test, feature = "interleavings"))]
mod simulation;
mod stall;
mod subscribe;
mod sync;
mod sys;
mod timers;
mod wheel;
mod wire;

pub use alarm::Alarm;
pub use avocet_session::DropReason;
pub use broker::{Broker, StartError};
pub use drops::{Dropped, Drops};
pub use metrics::{Metric, MetricKind, MetricsSnapshot};
pub use observer::Observer;
pub use options::{ListenerOptions, Options};
