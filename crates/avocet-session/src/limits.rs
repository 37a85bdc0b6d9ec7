//! What the operator allows a session.

use std::num::{NonZeroU16, NonZeroU32};

use avocet_mqtt::{QoS, ReasonCode};

use crate::Budget;

/// What happens to a QoS 1 or 2 message when the queue is full and no QoS 0 message is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueFull {
    /// The oldest waiting message makes room.
    #[default]
    DropOldest,
    /// The new message is not taken; the publisher is told 0x97.
    Refuse,
}

/// The limits all sessions of a broker share. Everything a session keeps is bounded by one.
#[derive(Debug)]
pub struct Limits {
    /// Bytes of the largest packet a client may send.
    pub packet_bytes_max: NonZeroU32,
    /// QoS 1 and 2 messages in flight to one client, whatever its Receive Maximum.
    pub inflight_max: NonZeroU16,
    /// QoS 1 and 2 messages a client may have in flight to the broker (our Receive Maximum).
    pub receive_maximum: NonZeroU16,
    /// Topic aliases a client may use towards the broker.
    pub topic_alias_maximum: u16,
    /// Topic aliases the broker uses towards one client that allows them.
    pub outbound_topic_alias_maximum: u16,
    /// Seconds a session may outlive its connection; `u32::MAX` = for ever.
    pub session_expiry_interval_max: u32,
    /// Seconds; a client that asks for a longer keep alive, or for none, gets this. Zero: no bound.
    pub keep_alive_max: u16,
    /// The highest QoS a client may publish with.
    pub maximum_qos: QoS,
    /// Whether messages may be retained.
    pub retain_available: bool,
    /// Whether filters may have wildcards.
    pub wildcard_subscription_available: bool,
    /// Whether SUBSCRIBE may carry an identifier.
    pub subscription_identifier_available: bool,
    /// Whether `$share/` may be used.
    pub shared_subscription_available: bool,
    /// Subscriptions of one session.
    pub subscriptions_max: usize,
    /// Bytes of a client identifier.
    pub client_id_bytes_max: usize,
    /// Whether a payload that claims to be UTF-8 is looked at.
    pub check_payload_format: bool,
    /// What clients that ask for Response Information are told.
    pub response_information: Option<String>,
    /// Where clients are sent instead: `UseAnotherServer` or `ServerMoved`, and the server.
    pub redirect: Option<(ReasonCode, String)>,
    /// Messages in one session's queue.
    pub queue_messages_max: usize,
    /// Bytes in one session's queue.
    pub queue_bytes_max: usize,
    /// Messages that a store keeps for one session, those in flight included.
    pub stored_messages_max: u64,
    /// Bytes of them.
    pub stored_bytes_max: u64,
    /// What a full queue does.
    pub queue_full: QueueFull,
    /// Whether QoS 0 messages wait for a client without a connection.
    pub queue_qos0: bool,
    /// Bytes in all queues of the node, in flight, and written to connections that do not read.
    pub budget: Budget,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            packet_bytes_max: NonZeroU32::new(1 << 20).expect("not zero"),
            inflight_max: NonZeroU16::new(32).expect("not zero"),
            receive_maximum: NonZeroU16::new(1024).expect("not zero"),
            topic_alias_maximum: 65535,
            outbound_topic_alias_maximum: 64,
            session_expiry_interval_max: u32::MAX,
            keep_alive_max: 0,
            maximum_qos: QoS::ExactlyOnce,
            retain_available: true,
            wildcard_subscription_available: true,
            subscription_identifier_available: true,
            shared_subscription_available: true,
            subscriptions_max: usize::MAX,
            client_id_bytes_max: 65535,
            check_payload_format: false,
            response_information: None,
            redirect: None,
            queue_messages_max: 1000,
            queue_bytes_max: 16 << 20,
            stored_messages_max: 1_000_000,
            stored_bytes_max: 1 << 30,
            queue_full: QueueFull::DropOldest,
            queue_qos0: true,
            budget: Budget::new(1 << 30),
        }
    }
}
