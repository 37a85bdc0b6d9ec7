//! The write path under a scheduler of tests: every lock, every signal and every call to the system
//! is a place where another thread may come in between, and the schedule that fails is printed.
//!
//! The connections, their driver, the publish path and what comes and goes are the product's.
//! Simulated are what lies below and above:
//!
//! - `stream`: a socket with little room, what the reactor tells of it, and the client's
//!   end of it;
//! - `shard`: a thread that asks the reactor, has the driver give turns, and sleeps until it is
//!   called;
//! - `client`: who reads and answers;
//! - `tests`: what may happen, and what must hold.

mod client;
mod shard;
mod stream;
mod tests;

pub(crate) use stream::Socket;
