//! The part of the topic tree in which a client lives without knowing: a prefix before every topic
//! that it names, taken off again from every topic that it is told.
//!
//! What cuts prefixes such as `$share/g/` off a filter is not known here.

use avocet_mqtt::{
    ForwardedProperties, OwnedProperties, Publish, ReasonCode, Will,
    message::{Rewritten, TopicName},
    topic::{self, TOPIC_BYTES_MAX},
};

use crate::{Admission, Refusal};

/// A mountpoint with variables, as a listener has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountpointTemplate(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    ClientId,
    Username,
}

/// How the variables are written: as today, and as they once were.
const VARIABLES: [(&str, Part); 4] = [
    ("${clientid}", Part::ClientId),
    ("${username}", Part::Username),
    ("%c", Part::ClientId),
    ("%u", Part::Username),
];

/// As it is written.
impl std::fmt::Display for MountpointTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::ClientId => f.write_str("${clientid}"),
            Part::Username => f.write_str("${username}"),
        })
    }
}

/// Why a text is no mountpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountpointError {
    /// There is nothing in it.
    Empty,
    /// It leaves no room for a topic.
    TooLong,
    /// It contains U+0000.
    NulCharacter,
    /// It contains `+` or `#`.
    Wildcard,
    /// It begins with `$`, and not with a variable.
    Dollar,
    /// `${` that begins no variable.
    UnknownVariable,
    /// Two variables in one level: two clients might get the same text.
    CrowdedLevel,
    /// It does not end with `/`: a topic could go on in its last level.
    OpenEnd,
}

/// Why a client has no mountpoint. What it says of itself must not lead out of its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmountable {
    /// The client identifier does not make one level.
    ClientId,
    /// There is no user name.
    NoUsername,
    /// The user name does not make one level.
    Username,
    /// It is so long that no topic has room behind it.
    TooLong,
}

/// A topic has more than 65,535 bytes with the mountpoint before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicTooLong;

/// The prefix of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mountpoint(Box<str>);

impl MountpointTemplate {
    /// Takes `text` apart.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, MountpointError> {
        let parts = split(text)?;
        let has = |letters: &[char]| text.contains(letters);
        if parts.is_empty() {
            Err(MountpointError::Empty)
        } else if text.len() >= TOPIC_BYTES_MAX {
            Err(MountpointError::TooLong)
        } else if has(&['\0']) {
            Err(MountpointError::NulCharacter)
        } else if has(&['+', '#']) {
            Err(MountpointError::Wildcard)
        } else if matches!(parts.first(), Some(Part::Text(text)) if text.starts_with('$')) {
            Err(MountpointError::Dollar)
        } else if is_crowded(&parts) {
            Err(MountpointError::CrowdedLevel)
        } else if !text.ends_with('/') {
            Err(MountpointError::OpenEnd)
        } else {
            Ok(Self(parts))
        }
    }

    /// The mountpoint of this client.
    ///
    /// # Errors
    ///
    /// What the client says of itself does not fit.
    pub fn of(&self, client_id: &str, username: Option<&str>) -> Result<Mountpoint, Unmountable> {
        let mut prefix = String::new();
        for part in &self.0 {
            let (value, unfit) = match part {
                Part::Text(text) => {
                    prefix.push_str(text);
                    continue;
                }
                Part::ClientId => (client_id, Unmountable::ClientId),
                Part::Username => (username.ok_or(Unmountable::NoUsername)?, Unmountable::Username),
            };
            // At its begin a dollar sign would make the whole topic one of another kind.
            let is_special = prefix.is_empty() && value.starts_with('$');
            if value.is_empty() || value.contains(['/', '+', '#', '\0']) || is_special {
                return Err(unfit);
            }
            prefix.push_str(value);
        }
        if prefix.len() >= TOPIC_BYTES_MAX {
            return Err(Unmountable::TooLong);
        }
        Ok(Mountpoint(prefix.into()))
    }
}

impl Mountpoint {
    /// The prefix, which ends with `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Puts the prefix before a topic filter that stands without prefixes of its own. What is in
    /// `$SYS/` stays where it is.
    ///
    /// # Errors
    ///
    /// It becomes too long.
    pub fn mount_filter(&self, topic_filter: &str) -> Result<String, TopicTooLong> {
        if is_sys(topic_filter) {
            return Ok(topic_filter.to_owned());
        }
        bounded([&self.0, topic_filter].concat())
    }

    /// Puts the prefix before a topic name: that which is delayed, if it is one of `$delayed/`.
    ///
    /// # Errors
    ///
    /// It becomes too long.
    pub fn mount(&self, topic: &str) -> Result<String, TopicTooLong> {
        match split_delayed(topic) {
            Some((delay, name)) => bounded([delay, &self.0, name].concat()),
            // What is no delayed topic is refused as it stands.
            None if topic.starts_with(DELAYED) => Ok(topic.to_owned()),
            None => self.mount_filter(topic),
        }
    }

    /// Takes the prefix off a topic name. One that lies elsewhere is told whole, and so is one that
    /// would become empty or seem to be the broker's own.
    #[must_use]
    pub fn unmount<'t>(&self, topic: &'t str) -> &'t str {
        match topic.strip_prefix(&*self.0) {
            Some(inner) if !inner.is_empty() && !is_sys(inner) => inner,
            Some(_) | None => topic,
        }
    }

    /// What a message that the client publishes goes on with.
    pub(crate) fn mount_publish(
        &self,
        topic: &str,
        properties: ForwardedProperties<'_>,
    ) -> Result<TopicName<'static>, TopicTooLong> {
        let topic = self.mount(topic)?;
        Ok(match self.mount_properties(properties)? {
            None => TopicName::Shared(topic.into()),
            Some(properties) => {
                TopicName::Rewritten(Box::new(Rewritten { topic: topic.into(), properties }))
            }
        })
    }

    /// The properties with the response topic mounted, if there is one.
    fn mount_properties(
        &self,
        properties: ForwardedProperties<'_>,
    ) -> Result<Option<OwnedProperties>, TopicTooLong> {
        let mounted = properties.response_topic().map(|topic| self.mount(topic)).transpose()?;
        Ok(mounted.map(|topic| properties.with_response_topic(&topic)))
    }

    /// Tells the client the topic and response topic without the prefix. What the properties become
    /// lies in `properties`.
    #[must_use]
    pub fn unmount_publish<'p>(
        &self,
        mut publish: Publish<'p>,
        properties: &'p mut Option<OwnedProperties>,
    ) -> Publish<'p> {
        publish.topic = self.unmount(publish.topic);
        if let Some(topic) = publish.properties.response_topic() {
            let told = match split_delayed(topic) {
                Some((delay, name)) => [delay, self.unmount(name)].concat(),
                None => self.unmount(topic).to_owned(),
            };
            let told = publish.properties.with_response_topic(&told);
            publish.properties = properties.insert(told).borrow();
        }
        publish
    }

    fn mount_will(&self, will: &mut Will) -> Result<(), TopicTooLong> {
        will.topic = self.mount(&will.topic)?;
        if let Some(properties) = self.mount_properties(will.properties.borrow())? {
            will.properties = properties;
        }
        Ok(())
    }
}

impl Admission {
    /// Gives the client the part of the topic tree that is meant for it, and its will a topic
    /// there.
    ///
    /// # Errors
    ///
    /// It cannot have one, and must not come in without.
    pub fn mount(&mut self, template: &MountpointTemplate) -> Result<(), Refusal> {
        let connect = &mut self.connect;
        let mountpoint =
            template.of(&self.client_id, connect.username.as_deref()).map_err(|unmountable| {
                Refusal::new(unmountable.reason(), unmountable.text()).to(connect)
            })?;
        if let Some(will) = &mut connect.will
            && mountpoint.mount_will(will) == Err(TopicTooLong)
        {
            let detail = "the will topic or its response topic is too long with the mountpoint";
            return Err(Refusal::new(ReasonCode::TopicNameInvalid, detail).to(connect));
        }
        self.mountpoint = Some(Box::new(mountpoint));
        Ok(())
    }
}

impl MountpointError {
    /// What would be right, without capital and full stop.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Empty => "must not be empty",
            Self::TooLong => "must be shorter than 65535 bytes",
            Self::NulCharacter => "must not contain U+0000",
            Self::Wildcard => "must not contain '+' or '#'",
            Self::Dollar => "must not begin with '$', but for a variable",
            Self::UnknownVariable => "must have no variables but ${clientid} and ${username}",
            Self::CrowdedLevel => "must have at most one variable in a level",
            Self::OpenEnd => "must end with '/'",
        }
    }
}

impl std::fmt::Display for MountpointError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for MountpointError {}

impl Unmountable {
    /// What the client is told.
    #[must_use]
    pub fn reason(self) -> ReasonCode {
        match self {
            Self::ClientId | Self::TooLong => ReasonCode::ClientIdentifierNotValid,
            Self::NoUsername | Self::Username => ReasonCode::NotAuthorized,
        }
    }

    /// What is wrong, without capital and full stop.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::ClientId => "the client identifier is no level for the listener's mountpoint",
            Self::NoUsername => "the listener's mountpoint needs a user name",
            Self::Username => "the user name is no level for the listener's mountpoint",
            Self::TooLong => "the listener's mountpoint is too long with what the client is called",
        }
    }
}

const DELAYED: &str = "$delayed/";

/// `$delayed/SECONDS/` and the topic behind it, if there can be one.
fn split_delayed(topic: &str) -> Option<(&str, &str)> {
    let (seconds, name) = topic.strip_prefix(DELAYED)?.split_once('/')?;
    let delay = &topic[..topic.len() - name.len()];
    (!seconds.is_empty() && !name.is_empty() && !name.starts_with('$')).then_some((delay, name))
}

/// Whether the broker alone publishes there.
fn is_sys(topic: &str) -> bool {
    topic.strip_prefix("$SYS").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn bounded(topic: String) -> Result<String, TopicTooLong> {
    if topic.len() > TOPIC_BYTES_MAX { Err(TopicTooLong) } else { Ok(topic) }
}

fn split(text: &str) -> Result<Vec<Part>, MountpointError> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let next = VARIABLES.iter().filter_map(|(name, part)| Some((rest.find(name)?, name, part)));
        let (at, len, part) = match next.min_by_key(|(at, ..)| *at) {
            Some((at, name, part)) => (at, name.len(), Some(part.clone())),
            None => (rest.len(), 0, None),
        };
        let before = &rest[..at];
        if before.contains("${") {
            return Err(MountpointError::UnknownVariable);
        }
        parts.extend((!before.is_empty()).then(|| Part::Text(before.into())));
        parts.extend(part);
        rest = &rest[at + len..];
    }
    Ok(parts)
}

/// Whether two variables stand in one level.
fn is_crowded(parts: &[Part]) -> bool {
    let mut in_level = 0;
    parts.iter().any(|part| {
        match part {
            Part::Text(text) if topic::level_count(text) > 1 => in_level = 0,
            Part::Text(_) => {}
            Part::ClientId | Part::Username => in_level += 1,
        }
        in_level > 1
    })
}

#[cfg(test)]
mod tests;
