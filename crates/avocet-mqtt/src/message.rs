//! An application message: borrowed while in transit, owned once it has to wait.

use std::{cell::OnceCell, sync::Arc, time::Instant};

use crate::{ForwardedProperties, QoS, property::OwnedProperties};

/// A message that waits: in an outbox, in flight, retained. One allocation holds exactly its bytes.
#[derive(Debug)]
pub struct ApplicationMessage {
    bytes: Box<[u8]>,
    topic_bytes: u16,
    properties_bytes: u32,
    /// The quality it was published with.
    pub qos: QoS,
    /// The RETAIN flag it was published with.
    pub retain: bool,
    /// When it is no longer wanted ([MQTT5-3.3.2-5]).
    pub expires_at: Option<Instant>,
}

/// A message on its way through the broker. It borrows the reader's buffer and becomes owned at
/// most once, however many receivers have to keep it.
#[derive(Debug)]
pub struct Transit<'a> {
    topic: &'a str,
    payload: &'a [u8],
    properties: ForwardedProperties<'a>,
    qos: QoS,
    retain: bool,
    expires_at: Option<Instant>,
    owned: OnceCell<Arc<ApplicationMessage>>,
}
