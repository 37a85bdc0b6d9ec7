//! Avocet as a library: the broker, to be embedded in another program. The binary beside it is the
//! broker with a command line.

pub mod config;

pub use avocet_broker::{
    Broker, DropReason, Dropped, Drops, ListenerOptions, MetricsSnapshot, Options, StartError,
};
