//! Session scripts: inputs and the exact list of what comes out. Only `script` touches the
//! session's interface, only `wire` words what it sends. Beside them properties under random
//! events: `lossy`, `bounds`, and two that hold what is done with many at once against one by one:
//! `batch` for what the client sends, `run` for what it is sent.

mod message;
pub(crate) mod script;
mod wire;

mod alias;
mod asked;
mod batch;
mod bounds;
mod fitting;
mod handshake;
mod inbound;
mod lossy;
mod mountpoint;
mod outbound;
mod queue;
mod resume;
mod run;
mod stored;
mod subscribe;
