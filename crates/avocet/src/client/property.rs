//! `-D PACKET NAME VALUE`: the properties of 5.0 on the command line.

use avocet_mqtt::{
    Connect, Disconnect, OwnedProperties, Publish, Subscribe, SubscriptionIdentifier,
    UserProperties, Will,
};

/// The packets that can be given properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    Connect,
    Publish,
    Subscribe,
    Unsubscribe,
    Disconnect,
    Will,
}

/// A property as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Property {
    carrier: Carrier,
    name: String,
    value: String,
    /// Of a user property: its value, the other being its name.
    second: String,
}

/// All properties as they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Properties(Vec<Property>);

const USER_PROPERTY: &str = "user-property";

impl Properties {
    /// From the values of all `-D` in a row; how many belong together tells the property's name.
    pub(super) fn parse(mut words: &[String]) -> Result<Self, String> {
        let mut properties = Vec::new();
        while let [carrier, name, rest @ ..] = words {
            let carrier = Carrier::parse(carrier)?;
            let name = name.to_lowercase();
            let (value, second, rest) = match rest {
                [value, second, rest @ ..] if name == USER_PROPERTY => {
                    (value, second.clone(), rest)
                }
                [value, rest @ ..] if name != USER_PROPERTY => (value, String::new(), rest),
                _ => return Err(format!("property {name} lacks a value")),
            };
            properties.push(Property { carrier, name, value: value.clone(), second });
            words = rest;
        }
        match words {
            [] => Ok(Self(properties)),
            _ => Err("a property is PACKET NAME VALUE".to_owned()),
        }
    }

    fn of(&self, carrier: Carrier) -> impl Iterator<Item = &Property> {
        self.0.iter().filter(move |property| property.carrier == carrier)
    }

    pub(super) fn has(&self, carrier: Carrier) -> bool {
        self.of(carrier).next().is_some()
    }

    pub(super) fn apply_to_connect(&self, connect: &mut Connect) -> Result<(), String> {
        for property in self.of(Carrier::Connect) {
            match property.name.as_str() {
                "session-expiry-interval" => {
                    connect.session_expiry_interval = Some(property.number()?);
                }
                "receive-maximum" => connect.receive_maximum = Some(property.number()?),
                "maximum-packet-size" => connect.maximum_packet_size = Some(property.number()?),
                "topic-alias-maximum" => connect.topic_alias_maximum = property.number()?,
                "request-response-information" => {
                    connect.request_response_information = property.boolean()?;
                }
                "request-problem-information" => {
                    connect.request_problem_information = property.boolean()?;
                }
                "authentication-method" => {
                    connect.authentication_method = Some(property.value.clone());
                }
                "authentication-data" => {
                    connect.authentication_data = Some(property.value.clone().into_bytes());
                }
                USER_PROPERTY => property.add_to(&mut connect.user_properties),
                _ => return Err(property.not_allowed()),
            }
        }
        Ok(())
    }

    pub(super) fn apply_to_will(&self, will: &mut Will) -> Result<(), String> {
        let mut forwarded = Vec::new();
        for property in self.of(Carrier::Will) {
            match property.name.as_str() {
                "will-delay-interval" => will.delay_interval = property.number()?,
                "message-expiry-interval" => {
                    will.message_expiry_interval = Some(property.number()?);
                }
                _ => forwarded.push(property),
            }
        }
        will.properties = build(&forwarded)?;
        Ok(())
    }

    /// Those of PUBLISH that are passed on.
    pub(super) fn forwarded(&self) -> Result<OwnedProperties, String> {
        const HOP: [&str; 2] = ["message-expiry-interval", "topic-alias"];
        let forwarded = self.of(Carrier::Publish).filter(|p| !HOP.contains(&p.name.as_str()));
        build(&forwarded.collect::<Vec<_>>())
    }

    /// The others of PUBLISH.
    pub(super) fn apply_to_publish(&self, publish: &mut Publish<'_>) -> Result<(), String> {
        for property in self.of(Carrier::Publish) {
            match property.name.as_str() {
                "message-expiry-interval" => {
                    publish.message_expiry_interval = Some(property.number()?);
                }
                "topic-alias" => publish.topic_alias = Some(property.number()?),
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn apply_to_subscribe(&self, subscribe: &mut Subscribe) -> Result<(), String> {
        for property in self.of(Carrier::Subscribe) {
            match property.name.as_str() {
                "subscription-identifier" => {
                    let identifier = SubscriptionIdentifier::new(property.number()?);
                    let identifier = identifier.ok_or_else(|| property.invalid())?;
                    subscribe.subscription_identifier = Some(identifier);
                }
                USER_PROPERTY => property.add_to(&mut subscribe.user_properties),
                _ => return Err(property.not_allowed()),
            }
        }
        Ok(())
    }

    pub(super) fn apply_to_disconnect(&self, disconnect: &mut Disconnect) -> Result<(), String> {
        for property in self.of(Carrier::Disconnect) {
            match property.name.as_str() {
                "session-expiry-interval" => {
                    disconnect.session_expiry_interval = Some(property.number()?);
                }
                USER_PROPERTY => property.add_to(&mut disconnect.user_properties),
                _ => return Err(property.not_allowed()),
            }
        }
        Ok(())
    }
}

/// Properties that a server passes on.
fn build(properties: &[&Property]) -> Result<OwnedProperties, String> {
    let mut builder = OwnedProperties::builder();
    for property in properties {
        let value = property.value.as_str();
        builder = match property.name.as_str() {
            "payload-format-indicator" => builder.payload_format_indicator(property.number()?),
            "content-type" => builder.content_type(value),
            "response-topic" => builder.response_topic(value),
            "correlation-data" => builder.correlation_data(value.as_bytes()),
            USER_PROPERTY => builder.user_property(value, &property.second),
            _ => return Err(property.not_allowed()),
        };
    }
    builder.build().map_err(|error| format!("properties (-D): {error}"))
}

impl Property {
    fn number<T: std::str::FromStr>(&self) -> Result<T, String> {
        self.value.parse().map_err(|_| self.invalid())
    }

    fn boolean(&self) -> Result<bool, String> {
        match self.value.as_str() {
            "0" => Ok(false),
            "1" => Ok(true),
            _ => Err(self.invalid()),
        }
    }

    fn add_to(&self, properties: &mut UserProperties) {
        properties.push(self.value.clone(), self.second.clone());
    }

    fn invalid(&self) -> String {
        format!("property {} cannot be {:?}", self.name, self.value)
    }

    fn not_allowed(&self) -> String {
        format!("{} has no property {}", self.carrier.name(), self.name)
    }
}

impl Carrier {
    const ALL: [Self; 6] = [
        Self::Connect,
        Self::Publish,
        Self::Subscribe,
        Self::Unsubscribe,
        Self::Disconnect,
        Self::Will,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Publish => "PUBLISH",
            Self::Subscribe => "SUBSCRIBE",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::Disconnect => "DISCONNECT",
            Self::Will => "WILL",
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|carrier| carrier.name().eq_ignore_ascii_case(text));
        found.ok_or_else(|| format!("{text} is no packet that can be given properties"))
    }
}

#[cfg(test)]
mod tests;
