//! AUTH (5.0 section 3.15).

use super::decode_reason;
use crate::{
    DecodeError, ReasonCode, UserProperties,
    codec::{Reader, Writer},
    property::{PropertyId, PropertyReader, Value, carrier},
};

/// A step of enhanced authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// `Success`, `ContinueAuthentication` or `Reauthenticate`.
    pub reason: ReasonCode,
    /// The method; the codec refuses an AUTH without one.
    pub authentication_method: Option<String>,
    /// What the method wants to say.
    pub authentication_data: Option<Vec<u8>>,
    /// A sentence for a human.
    pub reason_string: Option<String>,
    /// Whatever the sender wished to add.
    pub user_properties: UserProperties,
}

impl Auth {
    /// Without any byte it is a success without properties (section 3.15.2.1).
    pub(crate) fn decode(body: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut auth = Self {
            reason: ReasonCode::Success,
            authentication_method: None,
            authentication_data: None,
            reason_string: None,
            user_properties: UserProperties::default(),
        };
        if body.is_empty() {
            return Ok(auth);
        }
        auth.reason = decode_reason(&REASONS, body)?;
        let mut properties = PropertyReader::take(body, carrier::AUTH)?;
        while let Some(property) = properties.next()? {
            match property {
                (PropertyId::AuthenticationMethod, Value::Text(method)) => {
                    auth.authentication_method = Some(method.to_owned());
                }
                (PropertyId::AuthenticationData, Value::Binary(data)) => {
                    auth.authentication_data = Some(data.to_vec());
                }
                (PropertyId::ReasonString, Value::Text(text)) => {
                    auth.reason_string = Some(text.to_owned());
                }
                (PropertyId::UserProperty, Value::Pair(name, value)) => {
                    auth.user_properties.add((name, value));
                }
                _ => return Err(DecodeError::PropertyNotAllowed),
            }
        }
        if auth.authentication_method.is_none() {
            return Err(DecodeError::AuthenticationMethodMissing);
        }
        Ok(auth)
    }

    pub(crate) fn encode(&self, writer: &mut Writer<'_>) {
        let properties = |writer: &mut Writer<'_>| self.encode_properties(writer);
        if self.reason == ReasonCode::Success && Writer::count(properties) == 0 {
            return;
        }
        writer.u8(self.reason.byte());
        writer.counted(properties);
    }

    fn encode_properties(&self, writer: &mut Writer<'_>) {
        let method = self.authentication_method.as_deref();
        writer.optional(PropertyId::AuthenticationMethod, method.map(Value::Text));
        let data = self.authentication_data.as_deref();
        writer.optional(PropertyId::AuthenticationData, data.map(Value::Binary));
        writer.optional(PropertyId::ReasonString, self.reason_string.as_deref().map(Value::Text));
        self.user_properties.encode(writer);
    }
}

// [MQTT5-3.15.2-1]
const REASONS: [ReasonCode; 3] =
    [ReasonCode::Success, ReasonCode::ContinueAuthentication, ReasonCode::Reauthenticate];
