//! What can be wrong with bytes that came in.

use std::fmt;

use crate::ReasonCode;

macro_rules! decode_errors {
    ($($name:ident => $reason:ident, $text:literal;)*) => {
        /// Why bytes are no packet. Anyone on the Internet can cause any of these: it ends a
        /// connection, never more.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum DecodeError {
            $(#[doc = concat!("The ", $text, ".")] $name,)*
            /// CONNECT names the protocol, but a level (the number inside, as sent) that this
            /// crate does not speak. 3.1.1 demands CONNACK 0x01 before closing
            /// ([MQTT3-3.1.2-2]); send it in the form of 3.1.1, as nothing is known of the
            /// client.
            UnsupportedProtocolLevel(u8),
        }

        impl DecodeError {
            /// What to tell a client of 5.0 in CONNACK or DISCONNECT. To 3.1 and 3.1.1 nothing
            /// is told but [`Self::UnsupportedProtocolLevel`].
            #[must_use]
            pub fn reason(self) -> ReasonCode {
                match self {
                    $(Self::$name => ReasonCode::$reason,)*
                    Self::UnsupportedProtocolLevel(_) => ReasonCode::UnsupportedProtocolVersion,
                }
            }
        }

        impl DecodeError {
            /// What is wrong, as a sentence without capital and full stop.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                    Self::UnsupportedProtocolLevel(_) => "protocol level is not supported",
                }
            }
        }

        impl fmt::Display for DecodeError {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    Self::UnsupportedProtocolLevel(level) => {
                        write!(f, "protocol level {level} is not supported")
                    }
                    other => f.write_str(other.text()),
                }
            }
        }
    };
}

decode_errors! {
    PacketTooLarge => PacketTooLarge, "packet is larger than allowed";
    FirstPacketNotConnect => ProtocolError, "first packet is not CONNECT";
    PacketTypeReserved => MalformedPacket, "packet type is reserved";
    FixedHeaderFlagsReserved => MalformedPacket, "reserved flags of the fixed header are wrong";
    VariableByteIntegerTooLong => MalformedPacket, "variable byte integer has more than four bytes";
    VariableByteIntegerNotMinimal => MalformedPacket, "variable byte integer has more bytes than it needs";
    Truncated => MalformedPacket, "packet ends inside a field";
    TrailingBytes => MalformedPacket, "packet goes on after its last field";
    Utf8Invalid => MalformedPacket, "text is not valid UTF-8";
    NulCharacter => MalformedPacket, "text contains U+0000";
    PacketIdZero => ProtocolError, "packet identifier is zero";
    ProtocolNameUnknown => UnsupportedProtocolVersion, "protocol name is neither MQTT nor MQIsdp";
    ConnectFlagReserved => MalformedPacket, "reserved connect flag is set";
    WillQoSInvalid => MalformedPacket, "will QoS is 3";
    WillFlagsWithoutWill => MalformedPacket, "will QoS or will retain is set without the will flag";
    PasswordWithoutUserName => MalformedPacket, "password is given without a user name";
    ConnackFlagsReserved => MalformedPacket, "reserved connect acknowledge flags are set";
    PublishQoSInvalid => MalformedPacket, "QoS of PUBLISH is 3";
    DupWithQoS0 => MalformedPacket, "DUP flag is set with QoS 0";
    TopicNameEmpty => TopicNameInvalid, "topic name is empty";
    TopicNameWildcard => TopicNameInvalid, "topic name contains a wildcard";
    TopicEmptyWithoutAlias => ProtocolError, "topic name is empty and there is no topic alias";
    NoTopicFilter => ProtocolError, "packet has no topic filter";
    SubscriptionOptionsReserved => MalformedPacket, "reserved bits of the subscription options are set";
    SubscriptionQoSInvalid => ProtocolError, "QoS of a subscription is 3";
    RetainHandlingInvalid => ProtocolError, "retain handling of a subscription is 3";
    NoReasonCode => MalformedPacket, "packet has no reason code";
    ReasonCodeInvalid => ProtocolError, "reason code is not one this packet may have";
    PropertyUnknown => MalformedPacket, "property identifier is unknown";
    PropertyNotAllowed => MalformedPacket, "property is not one this packet may have";
    PropertyTwice => ProtocolError, "property is given twice";
    PayloadFormatIndicatorInvalid => ProtocolError, "payload format indicator is neither 0 nor 1";
    BooleanInvalid => ProtocolError, "property for yes or no is neither 0 nor 1";
    MaximumQoSInvalid => ProtocolError, "maximum QoS is neither 0 nor 1";
    ReceiveMaximumZero => ProtocolError, "receive maximum is zero";
    MaximumPacketSizeZero => ProtocolError, "maximum packet size is zero";
    SubscriptionIdentifierZero => ProtocolError, "subscription identifier is zero";
    TopicAliasZero => TopicAliasInvalid, "topic alias is zero";
    ResponseTopicInvalid => ProtocolError, "response topic is empty or contains a wildcard";
    AuthenticationDataWithoutMethod => ProtocolError, "authentication data is given without a method";
    AuthenticationMethodMissing => ProtocolError, "authentication method of AUTH is missing";
}

impl std::error::Error for DecodeError {}
