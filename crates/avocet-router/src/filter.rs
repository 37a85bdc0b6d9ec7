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

/// A valid subscription: a topic filter and what its prefixes said.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter {
    topic_filter: Box<str>,
    group: Option<Box<str>>,
    marks: Marks,
    wildcard: bool,
}

/// The prefixes that are a yes or no, as bits: part of what makes two subscriptions different.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Marks(u8);

impl Marks {
    pub(crate) const LOCAL: Self = Self(1);
    pub(crate) const FASTLANE: Self = Self(2);
    pub(crate) const EXCLUSIVE: Self = Self(4);

    pub(crate) fn has(self, mark: Self) -> bool {
        self.0 & mark.0 != 0
    }

    fn with(self, mark: Self) -> Self {
        Self(self.0 | mark.0)
    }

    pub(crate) fn bits(self) -> u8 {
        self.0
    }

    pub(crate) fn from_bits(bits: u8) -> Self {
        Self(bits & 7)
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
        let (marks, rest) = split_marks(text)?;
        let (group, topic_filter) = split_group(rest)?;
        if group.is_some() {
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

/// The canonical string: parsing it gives the same filter.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (mark, prefix) in MARKS {
            if self.marks.has(mark) {
                f.write_str(prefix)?;
            }
        }
        match self.group() {
            None => {}
            Some(QUEUE) => f.write_str("$queue/")?,
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

const MARKS: [(Marks, &str); 3] =
    [(Marks::LOCAL, "$local/"), (Marks::FASTLANE, "$fastlane/"), (Marks::EXCLUSIVE, "$exclusive/")];

fn split_marks(mut text: &str) -> Result<(Marks, &str), FilterError> {
    let mut marks = Marks::default();
    while let Some((mark, rest)) = split_mark(text) {
        if marks.has(mark) {
            return Err(FilterError::RepeatedPrefix);
        }
        marks = marks.with(mark);
        text = rest;
    }
    Ok((marks, text))
}

fn split_mark(text: &str) -> Option<(Marks, &str)> {
    MARKS.iter().find_map(|&(mark, prefix)| Some((mark, text.strip_prefix(prefix)?)))
}

fn split_group(text: &str) -> Result<(Option<&str>, &str), FilterError> {
    if let Some(rest) = text.strip_prefix("$queue/") {
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
