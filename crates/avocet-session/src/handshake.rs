//! The first packet: whether a CONNECT becomes a session, and on which terms (section 3.1).

use std::{num::NonZeroU32, sync::Arc};

use avocet_mqtt::{
    Connack, Connect, DecodeError, Packet, ProtocolVersion, ReasonCode, Will, codec, topic,
};

use crate::{Limits, Mountpoint};

/// A CONNECT that may have a session.
#[derive(Debug)]
pub struct Admission {
    /// The client's identifier, or the one it gets.
    pub client_id: Arc<str>,
    /// Whether the identifier is ours and the client has to be told.
    pub assigned: bool,
    /// Seconds the session lives without a connection; `u32::MAX` = for ever.
    pub expiry_interval: u32,
    /// Seconds; zero = none.
    pub keep_alive: u16,
    /// The packet.
    pub connect: Box<Connect>,
    /// The part of the topic tree it lives in; [`mount`](Self::mount) gives it one.
    pub(crate) mountpoint: Option<Box<Mountpoint>>,
}

/// A CONNECT that may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The answer.
    pub reason: ReasonCode,
    /// What exactly.
    pub detail: &'static str,
    /// Where to go instead.
    pub server_reference: Option<String>,
    /// Bytes of the largest packet the client takes.
    packet_bytes_max: Option<NonZeroU32>,
}

impl Refusal {
    /// A refusal with a code and a sentence.
    #[must_use]
    pub fn new(reason: ReasonCode, detail: &'static str) -> Self {
        Self { reason, detail, server_reference: None, packet_bytes_max: None }
    }

    /// The same for the sender of this CONNECT, whose Maximum Packet Size the answer will keep to.
    /// [`admit`] has done so.
    #[must_use]
    pub fn to(mut self, connect: &Connect) -> Self {
        self.packet_bytes_max = connect.maximum_packet_size;
        self
    }

    /// The CONNACK that says so. Session Present is never set in it ([MQTT3-3.2.2-4],
    /// [MQTT5-3.2.2-6]).
    #[must_use]
    pub fn connack(&self) -> Connack {
        let mut connack = Connack::new(false, self.reason);
        connack.server_reference.clone_from(&self.server_reference);
        let silent = connack.clone();
        connack.reason_string = Some(self.detail.to_owned());
        if fits(&connack, self.packet_bytes_max) { connack } else { silent } // [MQTT5-3.2.2-19]
    }
}

/// Refuses bytes that are no CONNECT. The client of 5.0 is told why, one before it only that its
/// level is not supported ([MQTT3-3.1.4-1], [MQTT3-3.1.2-2], [MQTT5-3.1.4-1], [MQTT5-3.1.2-2]):
/// the second value says whether it is told at all. `version` is what the bytes named, if they did.
#[must_use]
pub fn refuse_bytes(error: DecodeError, version: Option<ProtocolVersion>) -> (Refusal, bool) {
    let level = matches!(error, DecodeError::UnsupportedProtocolLevel(_));
    // [MQTT3-3.2.2-6]
    let is_told = level || version == Some(ProtocolVersion::V5);
    (Refusal::new(error.reason(), error.text()), is_told)
}

/// Checks a CONNECT. `assign` makes an identifier for a client that sent none.
///
/// # Errors
///
/// The refusal to answer with; the connection ends after it.
pub fn admit(
    mut connect: Box<Connect>,
    limits: &Limits,
    assign: impl FnOnce() -> String,
) -> Result<Admission, Refusal> {
    check(&connect, limits).map_err(|refusal| refusal.to(&connect))?;
    let v5 = connect.version >= ProtocolVersion::V5;
    let assigned = connect.client_id.is_empty();
    if assigned {
        connect.client_id = assign(); // [MQTT3-3.1.3-6] [MQTT5-3.1.3-6]
    }
    let asked = match connect.session_expiry_interval {
        Some(seconds) => seconds,
        None if v5 || connect.clean_start => 0, // [MQTT3-3.1.2-6]
        None => u32::MAX,
    };
    let max = limits.keep_alive_max;
    let too_long = max > 0 && (connect.keep_alive == 0 || connect.keep_alive > max);
    let admission = Admission {
        client_id: Arc::from(connect.client_id.as_str()),
        assigned,
        expiry_interval: asked.min(limits.session_expiry_interval_max),
        // [MQTT5-3.2.2-21] [MQTT5-3.2.2-22]
        keep_alive: if v5 && too_long { max } else { connect.keep_alive },
        connect,
        mountpoint: None,
    };
    let connect = &admission.connect;
    if !fits(&admission.connack(false, limits), connect.maximum_packet_size) {
        // [MQTT5-3.1.2-24] forbids the CONNACK, and [MQTT5-3.2.0-1] all else.
        let detail = "the maximum packet size leaves no room for a CONNACK";
        return Err(Refusal::new(ReasonCode::PacketTooLarge, detail).to(connect));
    }
    Ok(admission)
}

fn check(connect: &Connect, limits: &Limits) -> Result<(), Refusal> {
    if let Some((reason, reference)) = &limits.redirect {
        let mut refusal = Refusal::new(*reason, "this server sends its clients elsewhere");
        refusal.server_reference = Some(reference.clone());
        return Err(refusal);
    }
    check_client_id(connect, limits)?;
    if let Some(will) = &connect.will {
        check_will(will, limits)?;
    }
    if connect.version >= ProtocolVersion::V5 && connect.authentication_method.is_some() {
        return Err(Refusal::new(
            ReasonCode::BadAuthenticationMethod, // [MQTT5-4.12.0-1]
            "the authentication method is not known here",
        ));
    }
    Ok(())
}

fn check_client_id(connect: &Connect, limits: &Limits) -> Result<(), Refusal> {
    // [MQTT3-3.1.3-9] [MQTT5-3.1.3-8]
    let invalid = |detail| Refusal::new(ReasonCode::ClientIdentifierNotValid, detail);
    if connect.client_id.len() > limits.client_id_bytes_max {
        return Err(invalid("the client identifier is longer than allowed"));
    }
    if !connect.client_id.is_empty() {
        return Ok(());
    }
    match connect.version {
        ProtocolVersion::V3_1 => Err(invalid("3.1 needs a client identifier")),
        // [MQTT3-3.1.3-7] [MQTT3-3.1.3-8]
        ProtocolVersion::V3_1_1 if !connect.clean_start => {
            Err(invalid("a session that is to be kept needs a client identifier"))
        }
        ProtocolVersion::V3_1_1 | ProtocolVersion::V5 => Ok(()),
    }
}

fn check_will(will: &Will, limits: &Limits) -> Result<(), Refusal> {
    if topic::check_name(&will.topic).is_err() {
        return Err(Refusal::new(ReasonCode::TopicNameInvalid, "the will topic is not valid"));
    }
    if will.qos > limits.maximum_qos {
        // [MQTT5-3.2.2-12]
        return Err(Refusal::new(ReasonCode::QoSNotSupported, "the will QoS is not supported"));
    }
    if will.retain && !limits.retain_available {
        // [MQTT5-3.2.2-13]
        return Err(Refusal::new(ReasonCode::RetainNotSupported, "retain is not supported"));
    }
    let text = will.properties.borrow().payload_format_indicator() == Some(1);
    if limits.check_payload_format && text && std::str::from_utf8(&will.payload).is_err() {
        let detail = "the will payload is not UTF-8";
        return Err(Refusal::new(ReasonCode::PayloadFormatInvalid, detail));
    }
    Ok(())
}

/// Only 5.0 speaks of sizes, so this is its CONNACK.
fn fits(connack: &Connack, packet_bytes_max: Option<NonZeroU32>) -> bool {
    let bytes =
        || codec::encoded_len(ProtocolVersion::V5, &Packet::Connack(Box::new(connack.clone())));
    packet_bytes_max.is_none_or(|max| bytes() <= usize::try_from(max.get()).unwrap_or(usize::MAX))
}

impl Admission {
    /// The CONNACK that lets the client in and tells it what it did not ask for.
    #[must_use]
    pub(crate) fn connack(&self, session_present: bool, limits: &Limits) -> Connack {
        let connect = &self.connect;
        // 3.1 has no such flag; the codec leaves it out.
        let mut connack = Connack::new(session_present, ReasonCode::Success);
        if connect.version < ProtocolVersion::V5 {
            return connack;
        }
        let asked = connect.session_expiry_interval.unwrap_or(0);
        connack.session_expiry_interval =
            (self.expiry_interval != asked).then_some(self.expiry_interval);
        connack.receive_maximum =
            Some(limits.receive_maximum).filter(|maximum| maximum.get() < u16::MAX);
        // [MQTT5-3.2.2-9]
        connack.maximum_qos =
            (limits.maximum_qos < avocet_mqtt::QoS::ExactlyOnce).then_some(limits.maximum_qos);
        connack.retain_available = (!limits.retain_available).then_some(false);
        connack.maximum_packet_size = Some(limits.packet_bytes_max);
        // [MQTT5-3.1.3-7]
        connack.assigned_client_identifier =
            self.assigned.then(|| self.client_id.as_ref().to_owned()); // [MQTT5-3.2.2-16]
        connack.topic_alias_maximum = limits.topic_alias_maximum;
        connack.wildcard_subscription_available =
            (!limits.wildcard_subscription_available).then_some(false);
        connack.subscription_identifier_available =
            (!limits.subscription_identifier_available).then_some(false);
        connack.shared_subscription_available =
            (!limits.shared_subscription_available).then_some(false);
        connack.server_keep_alive =
            (self.keep_alive != connect.keep_alive).then_some(self.keep_alive);
        // [MQTT5-3.1.2-28]
        connack.response_information =
            limits.response_information.clone().filter(|_| connect.request_response_information);
        connack
    }
}
