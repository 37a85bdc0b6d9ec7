//! A topic or filter cut into levels, hashed once, and the buckets it belongs to.

use std::hash::{BuildHasher, Hasher};

use hashbrown::DefaultHashBuilder;
use smallvec::SmallVec;

/// The router's hash function, the same for texts, levels and caches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hashing(DefaultHashBuilder);

impl Hashing {
    #[inline]
    pub(crate) fn text(&self, text: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(text);
        hasher.finish()
    }
}

/// A topic name or a topic filter.
#[derive(Debug)]
pub(crate) struct Route<'a> {
    pub(crate) text: &'a str,
    pub(crate) hash: u64,
    pub(crate) levels: SmallVec<[Level<'a>; 16]>,
}

/// What stands between two separators.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) hash: u64,
}

impl Level<'_> {
    pub(crate) fn is_plus(&self) -> bool {
        self.text == b"+"
    }

    pub(crate) fn is_hash(&self) -> bool {
        self.text == b"#"
    }

    fn is_wildcard(&self) -> bool {
        self.is_plus() || self.is_hash()
    }
}

/// The number of a bucket.
pub(crate) type BucketNumber = u16;

/// Filters whose first level is a wildcard.
const ROOT: BucketNumber = 0;
/// By the first level: filters whose second level is a wildcard.
const FIRST: BucketNumber = 1;
const FIRST_COUNT: u64 = 64;
/// By the first two levels: all other filters with wildcards.
const SECOND: BucketNumber = FIRST + FIRST_COUNT as BucketNumber;
const SECOND_COUNT: u64 = 256;
/// By the whole text: filters without wildcards.
pub(crate) const EXACT: BucketNumber = SECOND + SECOND_COUNT as BucketNumber;
const EXACT_COUNT: u64 = 256;
/// Not a bucket: nothing is ever there, and its generation never moves.
pub(crate) const NOWHERE: BucketNumber = EXACT + EXACT_COUNT as BucketNumber;
/// How many buckets there are.
pub(crate) const PLACES: usize = NOWHERE as usize;

impl<'a> Route<'a> {
    pub(crate) fn new(text: &'a str, hash: u64, hashing: &Hashing) -> Self {
        let levels = text
            .as_bytes()
            .split(|&byte| byte == b'/')
            .map(|text| Level { text, hash: hashing.text(text) })
            .collect();
        Self { text, hash, levels }
    }

    /// Where this filter is kept.
    pub(crate) fn home(&self, wildcard: bool) -> BucketNumber {
        if !wildcard {
            return self.exact();
        }
        match self.levels.as_slice() {
            [first, second, ..] if !first.is_wildcard() && !second.is_wildcard() => self.second(),
            [first, ..] if !first.is_wildcard() => self.first(),
            _ => ROOT,
        }
    }

    /// Where the filters are kept that can match this topic.
    pub(crate) fn haunts(&self) -> [BucketNumber; 4] {
        // [MQTT3-4.7.2-1] [MQTT5-4.7.2-1]
        let root = if self.text.starts_with('$') { NOWHERE } else { ROOT };
        let second = if self.levels.len() < 2 { NOWHERE } else { self.second() };
        [self.exact(), root, self.first(), second]
    }

    fn exact(&self) -> BucketNumber {
        EXACT + share(self.hash, EXACT_COUNT)
    }

    fn first(&self) -> BucketNumber {
        let hash = self.levels.first().map_or(0, |level| level.hash);
        FIRST + share(hash, FIRST_COUNT)
    }

    fn second(&self) -> BucketNumber {
        let hash = self
            .levels
            .iter()
            .take(2)
            .fold(0, |hash: u64, level| hash.rotate_left(5).wrapping_mul(MIX) ^ level.hash);
        SECOND + share(hash, SECOND_COUNT)
    }
}

const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// Takes bits from the middle: the hash tables inside the buckets use both ends.
fn share(hash: u64, count: u64) -> BucketNumber {
    ((hash >> 32) % count) as BucketNumber
}
