//! The rules of topic names and topic filters (section 4.7). Prefixes with a meaning of their own,
//! such as `$share/group/`, are not known here: they are cut off before.

use std::fmt;

/// The longest topic name or filter, in bytes of UTF-8.
pub const TOPIC_BYTES_MAX: usize = u16::MAX as usize;

/// Why a text is no topic name or topic filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TopicError {
    /// There is no character in it.
    Empty,
    /// It has more than 65,535 bytes.
    TooLong,
    /// It contains U+0000.
    NulCharacter,
    /// It is to be a name and contains `+` or `#`.
    WildcardInName,
    /// Something follows `#`.
    MultiLevelNotLast,
    /// A level contains `+` or `#` and something else.
    WildcardNotAlone,
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "topic is empty",
            Self::TooLong => "topic has more than 65535 bytes",
            Self::NulCharacter => "topic contains U+0000",
            Self::WildcardInName => "topic name contains a wildcard",
            Self::MultiLevelNotLast => "# is not the last character of the topic filter",
            Self::WildcardNotAlone => "wildcard shares its level with other characters",
        })
    }
}

impl std::error::Error for TopicError {}

/// Whether messages can be published to `name`.
///
/// # Errors
///
/// Why not.
#[inline]
pub fn check_name(name: &str) -> Result<(), TopicError> {
    check_text(name)?;
    if has_wildcard(name) {
        return Err(TopicError::WildcardInName); // [MQTT3-4.7.1-1] [MQTT5-4.7.0-1]
    }
    Ok(())
}

/// Whether `filter` can be subscribed to.
///
/// # Errors
///
/// Why not.
#[inline]
pub fn check_filter(filter: &str) -> Result<(), TopicError> {
    check_text(filter)?;
    if !has_wildcard(filter) {
        return Ok(());
    }
    let mut levels = levels(filter).peekable();
    while let Some(level) = levels.next() {
        if level.len() > 1 && has_wildcard(level) {
            return Err(TopicError::WildcardNotAlone); // [MQTT3-4.7.1-2] [MQTT3-4.7.1-3] [MQTT5-4.7.1-1] [MQTT5-4.7.1-2]
        }
        if level == "#" && levels.peek().is_some() {
            return Err(TopicError::MultiLevelNotLast); // [MQTT3-4.7.1-2] [MQTT5-4.7.1-1]
        }
    }
    Ok(())
}

fn check_text(topic: &str) -> Result<(), TopicError> {
    if topic.is_empty() {
        return Err(TopicError::Empty); // [MQTT3-4.7.3-1] [MQTT5-4.7.3-1]
    }
    if topic.len() > TOPIC_BYTES_MAX {
        return Err(TopicError::TooLong); // [MQTT3-4.7.3-3] [MQTT5-4.7.3-3]
    }
    if topic.as_bytes().contains(&0) {
        return Err(TopicError::NulCharacter); // [MQTT3-4.7.3-2] [MQTT5-4.7.3-2]
    }
    Ok(())
}

/// Whether there is a `+` or `#` in it.
#[inline]
#[must_use]
pub fn has_wildcard(topic: &str) -> bool {
    topic.bytes().fold(false, |found, byte| found | (byte == b'+') | (byte == b'#'))
}

/// Whether a subscription to `filter` brings what is published to `topic`; both must be valid.
/// Levels are compared byte by byte.
#[must_use]
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false; // [MQTT3-4.7.2-1] [MQTT5-4.7.2-1]
    }
    let (mut filter, mut topic) = (levels(filter), levels(topic));
    loop {
        match (filter.next(), topic.next()) {
            // Also when the topic has ended: `a/#` matches `a`.
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {} // [MQTT3-4.7.3-4] [MQTT5-4.7.3-4]
            _ => return false,
        }
    }
}

/// The levels of a name or filter; an empty one at each end where it begins or ends with `/`.
#[inline]
pub fn levels(topic: &str) -> impl DoubleEndedIterator<Item = &str> {
    topic.split('/')
}

/// How many levels a name or filter has; at least one.
#[inline]
#[must_use]
pub fn level_count(topic: &str) -> usize {
    1 + topic.bytes().filter(|byte| *byte == b'/').count()
}

#[cfg(test)]
mod tests;
