//! Topic aliases (5.0 section 3.3.2.3.4): each direction has its own, and they end with the
//! connection.

use std::{num::NonZeroU16, sync::Arc};

use hashbrown::HashMap;

/// The aliases a client has given.
#[derive(Debug)]
pub(crate) struct InboundAliases {
    maximum: u16,
    topics: Option<Box<HashMap<NonZeroU16, Arc<str>>>>,
}

/// Why an alias cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvalidAlias {
    AboveMaximum,
    Unknown,
}

impl InboundAliases {
    pub(crate) fn new(maximum: u16) -> Self {
        Self { maximum, topics: None }
    }

    /// Notes the topic for an alias, replacing an older one.
    pub(crate) fn set(&mut self, alias: NonZeroU16, topic: &str) -> Result<(), InvalidAlias> {
        self.check(alias)?;
        let topics = self.topics.get_or_insert_default();
        match topics.get_mut(&alias) {
            Some(old) if **old == *topic => {}
            Some(old) => *old = Arc::from(topic),
            None => {
                topics.insert(alias, Arc::from(topic));
            }
        }
        Ok(())
    }

    /// The topic an alias stands for.
    pub(crate) fn topic(&self, alias: NonZeroU16) -> Result<Arc<str>, InvalidAlias> {
        self.check(alias)?;
        let topic = self.topics.as_ref().and_then(|topics| topics.get(&alias));
        topic.cloned().ok_or(InvalidAlias::Unknown)
    }

    /// [MQTT5-3.2.2-17] [MQTT5-3.2.2-18]
    /// [MQTT5-3.3.2-9] [MQTT5-3.3.2-12]
    fn check(&self, alias: NonZeroU16) -> Result<(), InvalidAlias> {
        if alias.get() <= self.maximum { Ok(()) } else { Err(InvalidAlias::AboveMaximum) }
    }
}

/// The aliases we have given: the first topics sent get them, and keep them.
#[derive(Debug)]
pub(crate) struct OutboundAliases {
    maximum: u16,
    aliases: Option<Box<HashMap<Box<str>, NonZeroU16>>>,
}

/// How to name a topic in a PUBLISH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// The topic alone.
    Topic,
    /// The topic and the alias it gets.
    Introduce(NonZeroU16),
    /// The alias alone.
    Alias(NonZeroU16),
}

impl OutboundAliases {
    pub(crate) fn new(maximum: u16) -> Self {
        Self { maximum, aliases: None }
    }

    /// Whether the client allows any.
    pub(crate) fn in_use(&self) -> bool {
        // [MQTT5-3.1.2-27]
        self.maximum > 0
    }

    /// How to name this topic now. With `Introduce` the caller has to send it.
    pub(crate) fn name(&mut self, topic: &str) -> Naming {
        let aliases = self.aliases.get_or_insert_default();
        if let Some(&alias) = aliases.get(topic) {
            return Naming::Alias(alias);
        }
        // [MQTT5-3.3.2-11]
        let next = u16::try_from(aliases.len() + 1).ok().filter(|n| *n <= self.maximum);
        match next.and_then(NonZeroU16::new) {
            Some(alias) => {
                aliases.insert(Box::from(topic), alias); // [MQTT5-3.1.2-26]
                Naming::Introduce(alias)
            }
            None => Naming::Topic,
        }
    }
}
