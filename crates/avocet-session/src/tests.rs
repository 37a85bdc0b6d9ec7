//! Session scripts: inputs and the exact list of what comes out. Only `script` touches the
//! session's interface, only `wire` words what it sends. Beside them two properties under random
//! events: `lossy` and `bounds`.

mod message;
pub(crate) mod script;
mod wire;

mod alias;
mod bounds;
mod handshake;
mod inbound;
mod lossy;
mod outbound;
mod queue;
mod resume;
mod subscribe;
