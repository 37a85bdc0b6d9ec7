//! Avocet as a library: the broker, to be embedded in another program. The binary beside it is the
//! broker with a command line.
//!
//! A [`Broker`] opens its own listeners alone; an [`HttpListener`] that is given its
//! [`Observer`] tells its metrics to others.

pub mod config;

pub use avocet_broker::{
    Broker, DropReason, Dropped, Drops, ListenerOptions, Metric, MetricKind, MetricsSnapshot,
    Observer, Options, StartError,
};
pub use avocet_http::{HttpConfig, HttpListener, HttpServer};
