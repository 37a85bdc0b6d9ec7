//! Session scripts: inputs and the exact list of what comes out. `script` is the only place that
//! touches the session's interface, `wire` the only one that words what it sends.

mod message;
mod script;
mod wire;

mod alias;
mod handshake;
mod inbound;
mod outbound;
mod queue;
mod resume;
mod subscribe;
