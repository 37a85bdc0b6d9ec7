//! One client's session as a state machine: what came in, what goes out, what waits.
//!
//! - [`handshake`]: the first packet: may this CONNECT become a session, and on which terms;
//! - [`Session`]: everything after it. Its methods are of four kinds: `handle_*` for what comes in
//!   (from the client, or from the broker), getters, `attach`/`detach` for the connection's coming
//!   and going, and [`Session::pump`], to be called when the connection takes bytes again;
//! - [`mountpoint`]: the part of the topic tree that a listener's clients live in;
//! - [`Outlet`]: where a session puts what it has for the client;
//! - [`Change`], [`Claim`]: what a store is to keep of a session;
//! - [`Actions`]: what it asks the broker to do;
//! - [`Limits`]: what the operator allows;
//! - [`DropReason`]: why a message was not delivered.
//!
//! There is no I/O, no clock and no lock here: time is an argument, the caller owns the bytes, and
//! a session knows no other session.

mod acknowledgement;
mod action;
mod alias;
mod answer;
mod asked;
mod batch;
mod budget;
mod claim;
mod connection;
mod drop_reason;
pub mod handshake;
mod inbound;
mod inflight;
mod limits;
mod log;
pub mod mountpoint;
mod outbound;
mod outbox;
mod outlet;
mod received;
mod released;
mod seldom;
mod session;
mod stored;
mod subscriptions;
mod waiting;

#[cfg(test)]
mod tests;

pub use action::{Action, Actions, CloseReason, Inbound, Messages, OwnedMessages};
pub use asked::TakenBack;
pub use batch::{Handled, Stop};
pub use budget::{Budget, Charge};
pub use claim::{Claim, Page};
pub use drop_reason::DropReason;
pub use handshake::{Admission, Refusal};
pub use limits::{Limits, QueueFull};
pub use mountpoint::{Mountpoint, MountpointTemplate};
pub use outbound::{Delivery, Terms, Undelivered};
pub use outlet::Outlet;
pub use session::{Detached, Session};
pub use stored::{Change, Place, Restored, StoredId, Then};
