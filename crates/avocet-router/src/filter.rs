//! A subscription string taken apart.
//!
//! `$local/$share/workers/jobs/#` is the topic filter `jobs/#`, shared by the group `workers`, and
//! known to this node only. What a prefix does is not decided here.

use std::fmt;
use std::str::FromStr;

/// The most bytes a topic filter, and the whole subscription string, may have.
pub const FILTER_BYTES_MAX: usize = 65_535;

/// The share name that `$queue/` stands for.
pub const QUEUE: &str = "$queue";

const QUEUE_PREFIX: &str = "$queue/";

/// A valid subscription: a topic filter and what its prefixes said. Two are equal if their texts
/// are: `$queue/t` and `$share/$queue/t` mean the same and are two subscriptions
/// ([MQTT3-3.10.4-1], [MQTT5-3.10.4-1]).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter {
    topic_filter: Box<str>,
    group: Option<Box<str>>,
    marks: Marks,
    wildcard: bool,
}

/// The prefixes that are a yes or no, and how all of them were written: part of what makes two
/// subscriptions different.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Marks {
    /// Which there are.
    flags: u8,
    /// Their numbers in [`MARKS`], counted from 1, two bits for each from the first on; and
    /// [`QUEUE_BIT`].
    spelling: u8,
}

/// The group is written `$queue/`.
const QUEUE_BIT: u8 = 1 << 7;

impl Marks {
    pub(crate) const LOCAL: u8 = 1;
    pub(crate) const FASTLANE: u8 = 2;
    pub(crate) const EXCLUSIVE: u8 = 4;

    pub(crate) fn has(self, mark: u8) -> bool {
        self.flags & mark != 0
    }

    /// The prefixes in the order in which they were written.
    fn prefixes(self) -> impl Iterator<Item = &'static str> {
        let numbers = [0, 2, 4].map(|shift| usize::from(self.spelling >> shift & 3));
        let written = numbers.into_iter().filter(|&number| number > 0);
        written.map(|number| MARKS[number - 1])
    }
}

/// Why a subscription string is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterError {
    /// Nothing there, or nothing after the prefixes.
    Empty,
    /// More than 65,535 bytes.
    TooLong,
    /// U+0000 in it.
    NullCharacter,
    /// `#` that is not last, or not alone in its level.
    MisplacedHash,
    /// `+` that is not alone in its level.
    MisplacedPlus,
    /// `$share/` without a name, with a wildcard in it, or without a filter after it.
    ShareName,
    /// A prefix that came before.
    RepeatedPrefix,
    /// A prefix behind `$share/<group>/` or `$queue/`.
    PrefixAfterShare,
    /// Exclusive and shared at once.
    SharedExclusive,
}

impl Filter {
    /// Takes `text` apart.
    ///
    /// Each prefix may stand once, in any order, a share group being the last of them.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        // [MQTT3-4.7.3-3] [MQTT5-4.7.3-3]
        if text.len() > FILTER_BYTES_MAX {
            return Err(FilterError::TooLong);
        }
        let (mut marks, rest) = split_marks(text)?;
        let (group, topic_filter) = split_group(rest)?;
        if group.is_some() {
            if rest.starts_with(QUEUE_PREFIX) {
                marks.spelling |= QUEUE_BIT;
            }
            if split_mark(topic_filter).is_some() || split_group(topic_filter)?.0.is_some() {
                return Err(FilterError::PrefixAfterShare);
            }
            if marks.has(Marks::EXCLUSIVE) {
                return Err(FilterError::SharedExclusive);
            }
        }
        let wildcard = validate(topic_filter)?;
        Ok(Self {
            topic_filter: topic_filter.into(),
            group: group.map(Into::into),
            marks,
            wildcard,
        })
    }

    /// The same prefixes before another topic filter.
    ///
    /// # Errors
    ///
    /// It is no topic filter, or too long with the prefixes.
    pub fn with_topic_filter(&self, topic_filter: &str) -> Result<Self, FilterError> {
        let wildcard = validate(topic_filter)?;
        let filter = Self { topic_filter: topic_filter.into(), wildcard, ..self.clone() };
        if filter.to_string().len() > FILTER_BYTES_MAX {
            return Err(FilterError::TooLong);
        }
        Ok(filter)
    }

    /// What topics are compared with, without any prefix.
    #[must_use]
    pub fn topic_filter(&self) -> &str {
        &self.topic_filter
    }

    /// The share name; [`QUEUE`] for `$queue/`.
    #[must_use]
    pub fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }

    /// Whether other nodes are not to know of it (`$local/`).
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.marks.has(Marks::LOCAL)
    }

    /// Whether messages go to the connection, past the session (`$fastlane/`).
    #[must_use]
    pub fn is_fastlane(&self) -> bool {
        self.marks.has(Marks::FASTLANE)
    }

    /// Whether no other client may hold the same (`$exclusive/`).
    #[must_use]
    pub fn is_exclusive(&self) -> bool {
        self.marks.has(Marks::EXCLUSIVE)
    }

    /// Whether it can match more than one topic.
    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        self.wildcard
    }

    pub(crate) fn marks(&self) -> Marks {
        self.marks
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        Self::parse(text)
    }
}

/// The text that was parsed.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for prefix in self.marks.prefixes() {
            f.write_str(prefix)?;
        }
        match self.group() {
            None => {}
            Some(_) if self.marks.spelling & QUEUE_BIT != 0 => f.write_str(QUEUE_PREFIX)?,
            Some(group) => write!(f, "$share/{group}/")?,
        }
        f.write_str(&self.topic_filter)
    }
}

impl FilterError {
    /// What is wrong, without capital and full stop.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Empty => "topic filter is empty",
            Self::TooLong => "topic filter is longer than 65535 bytes",
            Self::NullCharacter => "topic filter contains U+0000",
            Self::MisplacedHash => "# is not alone in the last level",
            Self::MisplacedPlus => "+ is not alone in its level",
            Self::ShareName => "share name is missing, has a wildcard or no filter after it",
            Self::RepeatedPrefix => "prefix is repeated",
            Self::PrefixAfterShare => "prefix stands behind the share group",
            Self::SharedExclusive => "subscription is both exclusive and shared",
        }
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for FilterError {}

/// In the order of their bits.
const MARKS: [&str; 3] = ["$local/", "$fastlane/", "$exclusive/"];

fn split_marks(mut text: &str) -> Result<(Marks, &str), FilterError> {
    let mut marks = Marks::default();
    let mut shift = 0;
    while let Some((number, rest)) = split_mark(text) {
        let mark = 1 << (number - 1);
        if marks.has(mark) {
            return Err(FilterError::RepeatedPrefix);
        }
        marks.flags |= mark;
        marks.spelling |= number << shift;
        shift += 2;
        text = rest;
    }
    Ok((marks, text))
}

/// The number of the prefix that stands first, and what is behind it.
fn split_mark(text: &str) -> Option<(u8, &str)> {
    (1..).zip(MARKS).find_map(|(number, prefix)| Some((number, text.strip_prefix(prefix)?)))
}

fn split_group(text: &str) -> Result<(Option<&str>, &str), FilterError> {
    if let Some(rest) = text.strip_prefix(QUEUE_PREFIX) {
        return Ok((Some(QUEUE), rest));
    }
    let Some(rest) = text.strip_prefix("$share/") else {
        return Ok((None, text));
    };
    // [MQTT5-4.8.2-1] [MQTT5-4.8.2-2]
    match rest.split_once('/') {
        Some((name, rest)) if !name.is_empty() && !name.contains(['+', '#']) => {
            Ok((Some(name), rest))
        }
        Some(_) | None => Err(FilterError::ShareName),
    }
}

/// Whether a valid topic filter has a wildcard.
fn validate(topic_filter: &str) -> Result<bool, FilterError> {
    // [MQTT3-4.7.3-1] [MQTT5-4.7.3-1]
    if topic_filter.is_empty() {
        return Err(FilterError::Empty);
    }
    // [MQTT3-4.7.3-2] [MQTT5-4.7.3-2]
    if topic_filter.contains('\0') {
        return Err(FilterError::NullCharacter);
    }
    let mut wildcard = false;
    let mut levels = topic_filter.split('/').peekable();
    while let Some(level) = levels.next() {
        // [MQTT3-4.7.1-2] [MQTT5-4.7.1-1]
        if level.contains('#') && (level != "#" || levels.peek().is_some()) {
            return Err(FilterError::MisplacedHash);
        }
        // [MQTT3-4.7.1-3] [MQTT5-4.7.1-2]
        if level.contains('+') && level != "+" {
            return Err(FilterError::MisplacedPlus);
        }
        wildcard |= level == "#" || level == "+";
    }
    Ok(wildcard)
}

#[cfg(test)]
mod tests;
