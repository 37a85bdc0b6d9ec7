//! SUBSCRIBE and SUBACK (sections 3.8 and 3.9).

use crate::{PacketId, QoS, ReasonCode, SubscriptionIdentifier, UserProperties};

/// A client's wish to receive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// The exchange this opens.
    pub packet_id: PacketId,
    /// To come back on every message these subscriptions bring.
    pub subscription_identifier: Option<SubscriptionIdentifier>,
    /// Whatever the client wished to add.
    pub user_properties: UserProperties,
    /// At least one.
    pub subscriptions: Vec<Subscription>,
}

/// One line of a SUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The topic filter as sent, prefixes such as `$share/group/` included. The codec has checked
    /// it as UTF-8; whether it is a valid filter the session decides.
    pub filter: String,
    /// How to deliver.
    pub options: SubscriptionOptions,
}

/// How messages of a subscription are delivered (5.0 section 3.8.3.1). 3.1.1 has only the QoS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionOptions {
    /// The highest QoS to deliver with.
    pub qos: QoS,
    /// Not what this client published itself.
    pub no_local: bool,
    /// Leave the RETAIN flag as the publisher set it.
    pub retain_as_published: bool,
    /// Which retained messages to send now.
    pub retain_handling: RetainHandling,
}

/// Which retained messages a new subscription brings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum RetainHandling {
    /// All that match.
    #[default]
    Send = 0,
    /// All that match, if the subscription is a new one.
    SendIfNew = 1,
    /// None.
    DoNotSend = 2,
}

/// The server's answer: one reason code for each line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suback {
    /// The exchange this ends.
    pub packet_id: PacketId,
    /// A sentence for a human.
    pub reason_string: Option<String>,
    /// Whatever the server wished to add.
    pub user_properties: UserProperties,
    /// In the order asked. 3.1.1 knows 0, 1, 2 and 0x80.
    pub reasons: Vec<ReasonCode>,
}
