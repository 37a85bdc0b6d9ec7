//! CONNECT (section 3.1).

use std::num::{NonZeroU16, NonZeroU32};

use crate::{
    DecodeError, ForwardedProperties, ProtocolVersion, QoS, UserProperties,
    codec::{Reader, Writer},
    property::{OwnedProperties, PropertyId, PropertyReader, Value, carrier},
};

/// A client's request to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// The version the client speaks, from protocol name and level.
    pub version: ProtocolVersion,
    /// The bridge bit of mosquitto and RSMB: the level was sent with 0x80 added. Such a client
    /// relays for another broker.
    pub bridge: bool,
    /// Clean Session in 3.1.1, Clean Start in 5.0.
    pub clean_start: bool,
    /// Seconds; zero turns keep alive off.
    pub keep_alive: u16,
    /// May be empty: the server then assigns one, where the version allows.
    pub client_id: String,
    /// The message to publish should the connection end without DISCONNECT.
    pub will: Option<Will>,
    /// User name.
    pub username: Option<String>,
    /// Password: any bytes.
    pub password: Option<Vec<u8>>,
    /// Seconds the session outlives the connection; 0xFFFF_FFFF is for ever. `None` = not sent.
    pub session_expiry_interval: Option<u32>,
    /// How many QoS 1 and 2 messages the client takes at once; `None` = 65,535.
    pub receive_maximum: Option<NonZeroU16>,
    /// The largest packet the client takes, in bytes; `None` = no limit but the protocol's.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// The highest topic alias the server may use towards the client; zero: none.
    pub topic_alias_maximum: u16,
    /// Whether the client wants Response Information in CONNACK.
    pub request_response_information: bool,
    /// Whether reason strings and user properties may come on packets other than PUBLISH,
    /// CONNACK and DISCONNECT; true if not sent.
    pub request_problem_information: bool,
    /// Enhanced authentication's method.
    pub authentication_method: Option<String>,
    /// Enhanced authentication's first data.
    pub authentication_data: Option<Vec<u8>>,
    /// Whatever the client wished to add.
    pub user_properties: UserProperties,
}

impl Connect {
    /// A CONNECT with everything optional left out.
    #[must_use]
    pub fn new(version: ProtocolVersion, client_id: &str) -> Self {
        Self {
            version,
            bridge: false,
            clean_start: true,
            keep_alive: 0,
            client_id: client_id.to_owned(),
            will: None,
            username: None,
            password: None,
            session_expiry_interval: None,
            receive_maximum: None,
            maximum_packet_size: None,
            topic_alias_maximum: 0,
            request_response_information: false,
            request_problem_information: true,
            authentication_method: None,
            authentication_data: None,
            user_properties: UserProperties::default(),
        }
    }
}

/// The will message and how to publish it (sections 3.1.2.5 and 3.1.3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: Vec<u8>,
    /// With which quality.
    pub qos: QoS,
    /// Whether to keep it.
    pub retain: bool,
    /// Seconds to wait after the connection ended, in case the client comes back.
    pub delay_interval: u32,
    /// Seconds the message lives once published.
    pub message_expiry_interval: Option<u32>,
    /// Payload format, content type, response topic, correlation data and user properties.
    pub properties: OwnedProperties,
}

mod flag {
    pub(super) const RESERVED: u8 = 0b0000_0001;
    pub(super) const CLEAN_START: u8 = 0b0000_0010;
    pub(super) const WILL: u8 = 0b0000_0100;
    pub(super) const WILL_QOS: u8 = 0b0001_1000;
    pub(super) const WILL_RETAIN: u8 = 0b0010_0000;
    pub(super) const PASSWORD: u8 = 0b0100_0000;
    pub(super) const USER_NAME: u8 = 0b1000_0000;
}

/// The bit that mosquitto and RSMB add to the level of a bridge.
const BRIDGE: u8 = 0x80;

impl Connect {
    /// Protocol name and level, with which the rest can be read; and whether the level says
    /// "bridge".
    pub(crate) fn decode_version(
        body: &mut Reader<'_>,
    ) -> Result<(ProtocolVersion, bool), DecodeError> {
        let name = body.binary()?;
        let is = |version: ProtocolVersion| version.name().as_bytes() == name;
        let (old, new) = (is(ProtocolVersion::V3_1), is(ProtocolVersion::V3_1_1));
        if !old && !new {
            return Err(DecodeError::ProtocolNameUnknown); // [MQTT3-3.1.2-1] [MQTT5-3.1.2-1]
        }
        match body.u8()? {
            level @ (0x03 | 0x83) if old => Ok((ProtocolVersion::V3_1, level & BRIDGE != 0)),
            level @ (0x04 | 0x84) if new => Ok((ProtocolVersion::V3_1_1, level & BRIDGE != 0)),
            0x05 if new => Ok((ProtocolVersion::V5, false)),
            level => Err(DecodeError::UnsupportedProtocolLevel(level)), // [MQTT3-3.1.2-2] [MQTT5-3.1.2-2]
        }
    }

    /// What follows the level.
    pub(crate) fn decode(
        version: ProtocolVersion,
        bridge: bool,
        body: &mut Reader<'_>,
    ) -> Result<Self, DecodeError> {
        let flags = body.u8()?;
        check_flags(version, flags)?;
        let mut connect = Self::new(version, "");
        connect.bridge = bridge;
        connect.clean_start = flags & flag::CLEAN_START != 0;
        connect.keep_alive = body.u16()?;
        if version >= ProtocolVersion::V5 {
            connect.decode_properties(body)?;
        }
        // The order of the payload: [MQTT3-3.1.3-1] [MQTT5-3.1.3-1] [MQTT3-3.1.3-3] [MQTT5-3.1.3-3]
        body.text()?.clone_into(&mut connect.client_id); // [MQTT3-3.1.3-4] [MQTT5-3.1.3-4]
        if flags & flag::WILL != 0 {
            connect.will = Some(Will::decode(version, flags, body)?); // [MQTT3-3.1.2-9] [MQTT5-3.1.2-9]
        }
        // In 3.1 a flag may be set and the field missing (3.1 section 3.1, "User name and
        // password flags").
        let missing = |body: &Reader<'_>| version == ProtocolVersion::V3_1 && body.is_empty();
        if flags & flag::USER_NAME != 0 && !missing(body) {
            connect.username = Some(body.text()?.to_owned()); // [MQTT3-3.1.2-19] [MQTT5-3.1.2-17] [MQTT3-3.1.3-11] [MQTT5-3.1.3-12]
        }
        if flags & flag::PASSWORD != 0 && !missing(body) {
            connect.password = Some(body.binary()?.to_vec()); // [MQTT3-3.1.2-21] [MQTT5-3.1.2-19]
        }
        Ok(connect)
    }

    fn decode_properties(&mut self, body: &mut Reader<'_>) -> Result<(), DecodeError> {
        use PropertyId as P;
        let mut properties = PropertyReader::take(body, carrier::CONNECT)?;
        while let Some(property) = properties.next()? {
            match property {
                (P::SessionExpiryInterval, Value::FourByte(seconds)) => {
                    self.session_expiry_interval = Some(seconds);
                }
                (P::ReceiveMaximum, Value::TwoByte(count)) => {
                    self.receive_maximum = NonZeroU16::new(count);
                }
                (P::MaximumPacketSize, Value::FourByte(bytes)) => {
                    self.maximum_packet_size = NonZeroU32::new(bytes);
                }
                (P::TopicAliasMaximum, Value::TwoByte(maximum)) => {
                    self.topic_alias_maximum = maximum;
                }
                (P::RequestResponseInformation, Value::Byte(flag)) => {
                    self.request_response_information = flag == 1;
                }
                (P::RequestProblemInformation, Value::Byte(flag)) => {
                    self.request_problem_information = flag == 1;
                }
                (P::AuthenticationMethod, Value::Text(method)) => {
                    self.authentication_method = Some(method.to_owned());
                }
                (P::AuthenticationData, Value::Binary(data)) => {
                    self.authentication_data = Some(data.to_vec());
                }
                (P::UserProperty, Value::Pair(name, value)) => {
                    self.user_properties.add((name, value));
                }
                _ => return Err(DecodeError::PropertyNotAllowed),
            }
        }
        if self.authentication_data.is_some() && self.authentication_method.is_none() {
            return Err(DecodeError::AuthenticationDataWithoutMethod);
        }
        Ok(())
    }

    /// By its own version: a CONNECT says which it is.
    pub(crate) fn encode(&self, writer: &mut Writer<'_>) {
        writer.text(self.version.name());
        let bridge = self.bridge && self.version < ProtocolVersion::V5;
        writer.u8(self.version.level() | if bridge { BRIDGE } else { 0 });
        writer.u8(self.flags());
        writer.u16(self.keep_alive);
        if self.version >= ProtocolVersion::V5 {
            writer.counted(|writer| self.encode_properties(writer));
        }
        writer.text(&self.client_id);
        if let Some(will) = &self.will {
            will.encode(self.version, writer);
        }
        if let Some(username) = &self.username {
            writer.text(username);
        }
        if let Some(password) = self.sent_password() {
            writer.binary(password);
        }
    }

    /// Before 5.0 there is none without a user name ([MQTT3-3.1.2-22]).
    fn sent_password(&self) -> Option<&[u8]> {
        let allowed = self.username.is_some() || self.version >= ProtocolVersion::V5;
        self.password.as_deref().filter(|_| allowed)
    }

    fn flags(&self) -> u8 {
        let mut flags = 0;
        if self.clean_start {
            flags |= flag::CLEAN_START;
        }
        if let Some(will) = &self.will {
            flags |= flag::WILL | will.qos.bits() << 3;
            if will.retain {
                flags |= flag::WILL_RETAIN;
            }
        }
        if self.sent_password().is_some() {
            flags |= flag::PASSWORD;
        }
        if self.username.is_some() {
            flags |= flag::USER_NAME;
        }
        flags
    }

    fn encode_properties(&self, writer: &mut Writer<'_>) {
        use PropertyId as P;
        writer
            .optional(P::SessionExpiryInterval, self.session_expiry_interval.map(Value::FourByte));
        let receive_maximum = self.receive_maximum.map(|count| Value::TwoByte(count.get()));
        writer.optional(P::ReceiveMaximum, receive_maximum);
        let maximum_packet_size =
            self.maximum_packet_size.map(|bytes| Value::FourByte(bytes.get()));
        writer.optional(P::MaximumPacketSize, maximum_packet_size);
        let aliases = Some(self.topic_alias_maximum).filter(|maximum| *maximum > 0);
        writer.optional(P::TopicAliasMaximum, aliases.map(Value::TwoByte));
        let wants_response = self.request_response_information.then_some(Value::Byte(1));
        writer.optional(P::RequestResponseInformation, wants_response);
        let no_problem = (!self.request_problem_information).then_some(Value::Byte(0));
        writer.optional(P::RequestProblemInformation, no_problem);
        let method = self.authentication_method.as_deref();
        writer.optional(P::AuthenticationMethod, method.map(Value::Text));
        let data = self.authentication_data.as_deref();
        writer.optional(P::AuthenticationData, data.map(Value::Binary));
        self.user_properties.encode(writer);
    }
}

fn check_flags(version: ProtocolVersion, flags: u8) -> Result<(), DecodeError> {
    if flags & flag::RESERVED != 0 {
        return Err(DecodeError::ConnectFlagReserved); // [MQTT3-3.1.2-3] [MQTT5-3.1.2-3]
    }
    if flags & flag::WILL == 0 && flags & (flag::WILL_QOS | flag::WILL_RETAIN) != 0 {
        // [MQTT3-3.1.2-11] [MQTT3-3.1.2-13] [MQTT3-3.1.2-15] [MQTT5-3.1.2-11] [MQTT5-3.1.2-13]
        return Err(DecodeError::WillFlagsWithoutWill);
    }
    let password_alone = flags & flag::PASSWORD != 0 && flags & flag::USER_NAME == 0;
    if password_alone && version < ProtocolVersion::V5 {
        return Err(DecodeError::PasswordWithoutUserName); // [MQTT3-3.1.2-22]
    }
    Ok(())
}

impl Will {
    fn decode(
        version: ProtocolVersion,
        flags: u8,
        body: &mut Reader<'_>,
    ) -> Result<Self, DecodeError> {
        let mut will = Self {
            topic: String::new(),
            payload: Vec::new(),
            qos: QoS::from_bits((flags & flag::WILL_QOS) >> 3)
                .ok_or(DecodeError::WillQoSInvalid)?, // [MQTT3-3.1.2-14] [MQTT5-3.1.2-12]
            retain: flags & flag::WILL_RETAIN != 0,
            delay_interval: 0,
            message_expiry_interval: None,
            properties: OwnedProperties::default(),
        };
        if version >= ProtocolVersion::V5 {
            will.decode_properties(body)?;
        }
        body.topic_name("")?.clone_into(&mut will.topic); // [MQTT3-3.1.3-10] [MQTT5-3.1.3-11]
        if will.topic.is_empty() {
            return Err(DecodeError::TopicNameEmpty); // [MQTT3-4.7.3-1] [MQTT5-4.7.3-1]
        }
        will.payload = body.binary()?.to_vec();
        Ok(will)
    }

    fn decode_properties(&mut self, body: &mut Reader<'_>) -> Result<(), DecodeError> {
        let mut properties = PropertyReader::take(body, carrier::WILL)?;
        let forwarded =
            ForwardedProperties::collect(&mut properties, |id, value| match (id, value) {
                (PropertyId::WillDelayInterval, Value::FourByte(seconds)) => {
                    self.delay_interval = seconds;
                }
                (PropertyId::MessageExpiryInterval, Value::FourByte(seconds)) => {
                    self.message_expiry_interval = Some(seconds);
                }
                _ => {}
            })?;
        self.properties = forwarded.into();
        Ok(())
    }

    fn encode(&self, version: ProtocolVersion, writer: &mut Writer<'_>) {
        if version >= ProtocolVersion::V5 {
            writer.counted(|writer| {
                let delay = Some(self.delay_interval).filter(|seconds| *seconds > 0);
                writer.optional(PropertyId::WillDelayInterval, delay.map(Value::FourByte));
                let expiry = self.message_expiry_interval;
                writer.optional(PropertyId::MessageExpiryInterval, expiry.map(Value::FourByte));
                writer.bytes(self.properties.as_bytes());
            });
        }
        writer.text(&self.topic);
        writer.binary(&self.payload);
    }
}
