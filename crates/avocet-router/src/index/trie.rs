//! Filters with wildcards: a trie by levels, its edges in hash tables.
//!
//! A node is a number. All that is known of it lies in the edge that leads to it, so a step of a
//! look-up waits for memory once. Each depth has a table of its own: those of the first levels,
//! which every look-up passes, are small and stay in the caches.

use smallvec::SmallVec;

use super::chunks::Chunks;
use super::route::{Level, Route};
use super::table::{Hashed, Place, Table};
use super::terminal::Terminal;
use super::texts::{Owner, Text, Texts};
use crate::group::spread;
use crate::subscriber::Subscriber;

/// The filters of one bucket.
#[derive(Debug)]
pub(crate) struct Trie<S> {
    /// By the depth of the parent; the last has all that are deeper as well.
    tiers: Vec<Tier>,
    /// Of the root.
    below: Below,
    /// By node; the first is the root's.
    terminals: Chunks<Terminal<S>>,
    free_nodes: Chunks<u32>,
}

/// The edges of one depth.
#[derive(Debug, Default)]
struct Tier {
    edges: Table<Edge>,
    /// The levels that are too long for an edge.
    texts: Texts,
}

/// Where an edge is until the trie changes.
type EdgePlace = (usize, Place);

/// Half a cache line.
#[derive(Debug)]
struct Edge {
    hash: u32,
    parent: u32,
    child: u32,
    below: Below,
    label: Label,
}

const _: () = assert!(size_of::<Option<Edge>>() == 32);

/// The level that an edge stands for.
#[derive(Debug)]
enum Label {
    Plus,
    Hash,
    Short { len: u8, bytes: [u8; SHORT_MAX] },
    Long(Text),
}

/// What hangs below a node: how many children, and in the highest bits of what kinds.
#[derive(Clone, Copy, Debug, Default)]
struct Below(u32);

const ROOT: u32 = 0;
const TIERS_MAX: usize = 12;
/// So that an edge takes 32 bytes.
const SHORT_MAX: usize = 14;

impl<S: Subscriber> Trie<S> {
    pub(crate) fn new() -> Self {
        Self {
            tiers: Vec::new(),
            below: Below::default(),
            terminals: Chunks::default(),
            free_nodes: Chunks::default(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.below.is_nothing()
    }

    pub(crate) fn find(&self, filter: &Route<'_>) -> Option<&Terminal<S>> {
        self.terminals.get(self.node_of(filter)?)
    }

    pub(crate) fn find_mut(&mut self, filter: &Route<'_>) -> Option<&mut Terminal<S>> {
        let node = self.node_of(filter)?;
        self.terminals.get_mut(node)
    }

    /// The filter's terminal, empty if the filter is new.
    pub(crate) fn insert(&mut self, filter: &Route<'_>) -> &mut Terminal<S> {
        if self.terminals.is_empty() {
            self.terminals.push(Terminal::Empty);
            self.tiers.reserve_exact(filter.levels.len().min(TIERS_MAX));
        }
        let (mut node, mut holder) = (ROOT, None);
        for (depth, level) in filter.levels.iter().enumerate() {
            let place = match self.child(depth, node, level) {
                Some(place) => place,
                None => self.add_child(depth, node, holder, level),
            };
            (node, holder) = (self.edge(place).child, Some(place));
        }
        self.below_mut(holder).add(Below::TERMINAL);
        &mut self.terminals[node]
    }

    /// Forgets the filter, whose terminal is empty, and the nodes that led only to it.
    pub(crate) fn remove(&mut self, filter: &Route<'_>) {
        let mut parents: SmallVec<[u32; 16]> = SmallVec::new();
        let (mut node, mut holder) = (ROOT, None);
        for (depth, level) in filter.levels.iter().enumerate() {
            let Some(place) = self.child(depth, node, level) else { return };
            parents.push(node);
            (node, holder) = (self.edge(place).child, Some(place));
        }
        self.below_mut(holder).take(Below::TERMINAL);
        let ways = parents.iter().zip(&filter.levels).enumerate();
        let mut ways =
            ways.map(|(depth, (&parent, level))| (depth, parent, level)).rev().peekable();
        while let Some((depth, parent, level)) = ways.next()
            && self.remove_child(depth, parent, level)
        {
            let holder =
                ways.peek().and_then(|&(depth, node, level)| self.child(depth, node, level));
            self.below_mut(holder).take_child(Below::kind(level));
        }
    }

    /// Every filter that matches the topic.
    pub(crate) fn for_each_match(&self, topic: &Route<'_>, mut visit: impl FnMut(&Terminal<S>)) {
        // A stack of our own: a topic may have 65,535 levels.
        let mut ahead: SmallVec<[(u32, Below, usize); 16]> = SmallVec::new();
        ahead.push((ROOT, self.below, 0));
        while let Some((node, below, depth)) = ahead.pop() {
            if below.has(Below::HASH)
                && let Some(place) = self.wildcard(depth, node, HASH)
            {
                self.visit(self.edge(place).child, &mut visit);
            }
            let Some(level) = topic.levels.get(depth) else {
                if below.has(Below::TERMINAL) {
                    self.visit(node, &mut visit);
                }
                continue;
            };
            let mut push = |place| {
                let &Edge { child, below, .. } = self.edge(place);
                ahead.push((child, below, depth + 1));
            };
            if below.has(Below::PLUS) {
                self.wildcard(depth, node, PLUS).map(&mut push);
            }
            if below.has_literal() {
                self.literal(depth, node, level).map(&mut push);
            }
        }
    }

    fn visit(&self, node: u32, visit: &mut impl FnMut(&Terminal<S>)) {
        if let Some(terminal) = self.terminals.get(node) {
            visit(terminal);
        }
    }

    /// `None` too if it is only on the way to other filters.
    fn node_of(&self, filter: &Route<'_>) -> Option<u32> {
        let (mut node, mut below) = (ROOT, self.below);
        for (depth, level) in filter.levels.iter().enumerate() {
            let edge = self.edge(self.child(depth, node, level)?);
            (node, below) = (edge.child, edge.below);
        }
        below.has(Below::TERMINAL).then_some(node)
    }

    /// The edge of a level of a filter.
    fn child(&self, depth: usize, parent: u32, level: &Level<'_>) -> Option<EdgePlace> {
        if level.is_plus() {
            self.wildcard(depth, parent, PLUS)
        } else if level.is_hash() {
            self.wildcard(depth, parent, HASH)
        } else {
            self.literal(depth, parent, level)
        }
    }

    #[inline]
    fn wildcard(&self, depth: usize, parent: u32, hash: u64) -> Option<EdgePlace> {
        let tier = tier_of(depth);
        let place = self.tiers.get(tier)?.edges.locate(edge_hash(parent, hash), |edge| {
            edge.parent == parent
                && matches!((&edge.label, hash), (Label::Plus, PLUS) | (Label::Hash, HASH))
        })?;
        Some((tier, place))
    }

    #[inline]
    fn literal(&self, depth: usize, parent: u32, level: &Level<'_>) -> Option<EdgePlace> {
        let tier = tier_of(depth);
        let Tier { edges, texts } = self.tiers.get(tier)?;
        let place = edges.locate(edge_hash(parent, level.hash), |edge| {
            edge.parent == parent && edge.label.text(texts) == Some(level.text)
        })?;
        Some((tier, place))
    }

    #[inline]
    fn edge(&self, (tier, place): EdgePlace) -> &Edge {
        &self.tiers[tier].edges[place]
    }

    /// `holder` is the edge that leads to the parent, unless that is the root.
    fn add_child(
        &mut self,
        depth: usize,
        parent: u32,
        holder: Option<EdgePlace>,
        level: &Level<'_>,
    ) -> EdgePlace {
        self.below_mut(holder).add_child(Below::kind(level));
        let child = match self.free_nodes.pop() {
            Some(node) => node,
            None => self.terminals.push(Terminal::Empty),
        };
        let number = tier_of(depth);
        if number == self.tiers.len() {
            self.tiers.push(Tier::default());
        }
        let tier = &mut self.tiers[number];
        let hash = edge_hash(parent, kind_hash(level));
        let label = if level.is_plus() {
            Label::Plus
        } else if level.is_hash() {
            Label::Hash
        } else {
            let long = || Label::Long(tier.texts.write(hash, level.text));
            Label::short(level.text).unwrap_or_else(long)
        };
        let below = Below::default();
        (number, tier.edges.insert(Edge { hash, parent, child, below, label }))
    }

    /// If nothing hangs below it.
    fn remove_child(&mut self, depth: usize, parent: u32, level: &Level<'_>) -> bool {
        let Some(place) = self.child(depth, parent, level) else { return false };
        let &Edge { hash, child, below, .. } = self.edge(place);
        if !below.is_nothing() {
            return false;
        }
        let Tier { edges, texts } = &mut self.tiers[tier_of(depth)];
        let removed = edges.remove(hash, |edge| edge.child == child);
        if let Some(Edge { label: Label::Long(text), .. }) = removed {
            texts.release(text, edges);
        }
        if child as usize + 1 == self.terminals.len() {
            self.terminals.pop();
        } else {
            self.terminals[child] = Terminal::Empty;
            self.free_nodes.push(child);
        }
        true
    }

    fn below_mut(&mut self, holder: Option<EdgePlace>) -> &mut Below {
        match holder {
            Some((tier, place)) => &mut self.tiers[tier].edges[place].below,
            None => &mut self.below,
        }
    }
}

impl Below {
    const TERMINAL: Self = Self(1 << 31);
    const PLUS: Self = Self(1 << 30);
    const HASH: Self = Self(1 << 29);
    /// The lower bits, which count.
    const COUNT: u32 = (1 << 29) - 1;
    const LITERAL: Self = Self(0);

    fn kind(level: &Level<'_>) -> Self {
        if level.is_plus() {
            Self::PLUS
        } else if level.is_hash() {
            Self::HASH
        } else {
            Self::LITERAL
        }
    }

    #[inline]
    fn has(self, kind: Self) -> bool {
        self.0 & kind.0 != 0
    }

    /// Whether there are more children than wildcards.
    #[inline]
    fn has_literal(self) -> bool {
        let wildcards = u32::from(self.has(Self::PLUS)) + u32::from(self.has(Self::HASH));
        self.0 & Self::COUNT > wildcards
    }

    fn is_nothing(self) -> bool {
        self.0 == 0
    }

    fn add(&mut self, kind: Self) {
        self.0 |= kind.0;
    }

    fn take(&mut self, kind: Self) {
        self.0 &= !kind.0;
    }

    fn add_child(&mut self, kind: Self) {
        self.add(kind);
        self.0 += 1;
    }

    fn take_child(&mut self, kind: Self) {
        self.take(kind);
        self.0 -= 1;
    }
}

impl Label {
    #[inline]
    fn text<'a>(&'a self, texts: &'a Texts) -> Option<&'a [u8]> {
        match self {
            Self::Plus | Self::Hash => None,
            Self::Short { len, bytes } => bytes.get(..usize::from(*len)),
            Self::Long(text) => Some(texts.get(*text)),
        }
    }

    fn short(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; SHORT_MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self::Short { len: text.len() as u8, bytes })
    }
}

impl Hashed for Edge {
    #[inline]
    fn hash(&self) -> u32 {
        self.hash
    }
}

impl Owner for Edge {
    fn text_mut(&mut self) -> Option<&mut Text> {
        match &mut self.label {
            Label::Plus | Label::Hash | Label::Short { .. } => None,
            Label::Long(text) => Some(text),
        }
    }

    fn has(&self, text: Text) -> bool {
        matches!(self.label, Label::Long(held) if held == text)
    }
}

fn tier_of(depth: usize) -> usize {
    depth.min(TIERS_MAX - 1)
}

/// In place of the hash of a level.
const PLUS: u64 = 1;
const HASH: u64 = 2;

fn kind_hash(level: &Level<'_>) -> u64 {
    if level.is_plus() {
        PLUS
    } else if level.is_hash() {
        HASH
    } else {
        level.hash
    }
}

/// Of the hash of the level, or the number of the wildcard.
#[inline]
fn edge_hash(parent: u32, level: u64) -> u32 {
    spread(u64::from(parent) ^ level.rotate_left(32)) as u32
}
