//! Listeners that give byte streams, and who is at the other end.
//!
//! - [`Listener`]: bound to an address, it accepts;
//! - [`Socket`]: one accepted stream, never blocking, that any thread may write to while its owner
//!   waits for it to become readable or writable.
//!
//! Nothing here knows MQTT.

mod listener;
mod socket;

pub use listener::Listener;
pub use socket::Socket;
