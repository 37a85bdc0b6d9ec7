//! Why a message did not reach a subscriber.

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $name:ident = $label:literal;)*) => {
        /// Why a message was dropped. Each has a metric and stands in the ledger.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum DropReason { $($(#[$doc])* $name,)* }

        impl DropReason {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The value of the metric's `reason` label.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }
    };
}

drop_reasons! {
    /// The session's queue or the node's share of memory for queues was full.
    QueueFull = "queue_full";
    /// The queue was full and `session.queue_full = "refuse"`: the publisher was told.
    Refused = "refused";
    /// The message expired while it waited.
    Expired = "expired";
    /// Larger than the client's Maximum Packet Size.
    PacketTooLarge = "packet_too_large";
    /// QoS 0 for a session without a connection, and `session.queue_qos0 = false`.
    Offline = "offline";
    /// The session ended while the message waited.
    SessionEnded = "session_ended";
    /// The connection did not take bytes as fast as they came (QoS 0, `$fastlane`).
    SlowConnection = "slow_connection";
    /// The payload is not what its payload format indicator says.
    PayloadFormatInvalid = "payload_format_invalid";
    /// The client may not publish there.
    NotAuthorized = "not_authorized";
    /// The topic has too many levels, or is too long with the mountpoint, or `$delayed/` is not
    /// followed by seconds and a topic.
    TopicInvalid = "topic_invalid";
    /// Nobody subscribes to the topic.
    NoSubscribers = "no_subscribers";
    /// A shared subscription had no member to take it.
    NoMember = "no_member";
    /// The store did not take the message: the publisher was told.
    StoreFailed = "store_failed";
    /// The message was stored and cannot be read any more.
    Damaged = "damaged";
    /// More retained or delayed messages than the configuration allows.
    QuotaExceeded = "quota_exceeded";
}

impl std::fmt::Display for DropReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label())
    }
}
