//! Sizes in bytes: `"64KiB"`, `"1MB"`, `4096`.

use std::fmt;

use crate::field::{Setting, Unfit};
use crate::value::{Data, Value, quote};

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Size(u64);

const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

impl Size {
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    pub const fn kibibytes(count: u64) -> Self {
        Self(count << 10)
    }

    pub const fn mebibytes(count: u64) -> Self {
        Self(count << 20)
    }

    pub const fn gibibytes(count: u64) -> Self {
        Self(count << 30)
    }

    /// The number of bytes.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The number of bytes; on a small machine, at most what it can address.
    pub const fn as_usize(self) -> usize {
        if self.0 > usize::MAX as u64 { usize::MAX } else { self.0 as usize }
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let end = text.find(|it: char| !it.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(end);
        let unit = unit.trim();
        let factor = match unit {
            "" => 1,
            unit => UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1,
        };
        digits.parse::<u64>().ok()?.checked_mul(factor).map(Self)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact =
            UNITS.iter().filter(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor));
        // The largest unit that needs no fraction.
        match exact.max_by_key(|(_, factor)| *factor) {
            Some((_, 1)) | None => write!(f, "{}", self.0),
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
        }
    }
}

impl Setting for Size {
    fn read(value: &Value) -> Result<Self, Unfit> {
        match &value.data {
            Data::Integer(it) => u64::try_from(*it).ok().map(Self),
            Data::Text(text) => Self::parse(text),
            Data::Boolean(_)
            | Data::Float(_)
            | Data::Datetime(_)
            | Data::List(_)
            | Data::Table(_) => None,
        }
        .ok_or_else(|| Unfit::found(value))
    }

    fn accepted() -> String {
        "a size such as \"64KiB\" or \"1MB\", or a number of bytes".to_owned()
    }

    fn write(&self) -> String {
        let text = self.to_string();
        if text.bytes().all(|byte| byte.is_ascii_digit()) { text } else { quote(&text) }
    }
}

crate::setting!(Size);
