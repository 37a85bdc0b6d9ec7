//! What the broker tells over HTTP: its metrics, and whether it is well.
//!
//! - `config`: the section `[http]`;
//! - `server`: the listener, and how many connections it serves for how long;
//! - `resource`: what can be asked for, and what everything else gets;
//! - `exposition`: the metrics as the text that Prometheus reads, and as a page for humans.
//!
//! It looks at the broker through an [`Observer`](avocet_broker::Observer) and changes nothing. It
//! runs on the runtime that [`HttpListener::serve`] is called in, which must not be a shard's.

mod config;
mod exposition;
mod resource;
mod server;

pub use config::HttpConfig;
pub use exposition::reference;
pub use server::{HttpListener, HttpServer};
