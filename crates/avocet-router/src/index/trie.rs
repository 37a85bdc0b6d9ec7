//! Filters with wildcards: a trie by levels, its edges in one hash table.

use smallvec::SmallVec;

use super::chunks::Chunks;
use super::interner::Interner;
use super::route::{Hashing, Level, Route};
use super::table::Table;
use super::terminal::Terminal;
use crate::group::spread;
use crate::subscriber::Subscriber;

/// The filters of one bucket.
#[derive(Debug)]
pub(crate) struct Trie<S> {
    levels: Interner,
    /// The first is the root; an empty trie has none.
    nodes: Chunks<Node>,
    free_nodes: Chunks<u32>,
    /// Children by parent and hash of the level; what stands here is only the child, which knows
    /// both.
    edges: Table,
    terminals: Chunks<Terminal<S>>,
    free_terminals: Chunks<u32>,
}

/// Sixteen bytes, so that a cache line holds four.
#[derive(Clone, Copy, Debug)]
struct Node {
    parent: u32,
    level: u32,
    terminal: u32,
    /// How many, and in the two highest bits whether `+` and `#` are among them.
    children: u32,
}

const ROOT: u32 = 0;
const NONE: u32 = u32::MAX;
/// Numbers in place of an interned level.
const PLUS: u32 = u32::MAX;
const HASH: u32 = u32::MAX - 1;
const HAS_PLUS: u32 = 1 << 31;
const HAS_HASH: u32 = 1 << 30;
const COUNT: u32 = HAS_HASH - 1;

impl<S: Subscriber> Trie<S> {
    pub(crate) fn new() -> Self {
        Self {
            levels: Interner::default(),
            nodes: Chunks::default(),
            free_nodes: Chunks::default(),
            edges: Table::default(),
            terminals: Chunks::default(),
            free_terminals: Chunks::default(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.edges.is_empty()
    }

    pub(crate) fn find(&self, filter: &Route<'_>) -> Option<&Terminal<S>> {
        self.terminals.get(self.terminal_of(filter)?)
    }

    pub(crate) fn find_mut(&mut self, filter: &Route<'_>) -> Option<&mut Terminal<S>> {
        let terminal = self.terminal_of(filter)?;
        self.terminals.get_mut(terminal)
    }

    /// The filter's terminal, empty if the filter is new.
    pub(crate) fn insert(&mut self, filter: &Route<'_>, hashing: &Hashing) -> &mut Terminal<S> {
        if self.nodes.is_empty() {
            self.nodes.push(Node::new(NONE, NONE));
        }
        let mut node = ROOT;
        for level in &filter.levels {
            node = match self.child(node, level) {
                Some(child) => child,
                None => self.add_child(node, level, hashing),
            };
        }
        let node = &mut self.nodes[node];
        if node.terminal == NONE {
            node.terminal = match self.free_terminals.pop() {
                Some(terminal) => terminal,
                None => self.terminals.push(Terminal::Empty),
            };
        }
        &mut self.terminals[node.terminal]
    }

    /// Forgets the filter, whose terminal is empty, and the nodes that led only to it.
    pub(crate) fn remove(&mut self, filter: &Route<'_>, hashing: &Hashing) {
        let Some(mut node) = self.node_of(filter) else { return };
        let terminal = std::mem::replace(&mut self.nodes[node].terminal, NONE);
        if terminal != NONE {
            self.terminals[terminal] = Terminal::Empty;
            self.free_terminals.push(terminal);
        }
        while node != ROOT && self.nodes[node].is_idle() {
            node = self.remove_child(node, hashing);
        }
    }

    /// Every filter that matches the topic.
    pub(crate) fn for_each_match(&self, topic: &Route<'_>, mut visit: impl FnMut(&Terminal<S>)) {
        // A stack of our own: a topic may have 65,535 levels.
        let mut ahead: SmallVec<[(u32, u32); 16]> = SmallVec::new();
        if !self.nodes.is_empty() {
            ahead.push((ROOT, 0));
        }
        while let Some((index, depth)) = ahead.pop() {
            let node = self.nodes[index];
            if node.children & HAS_HASH != 0
                && let Some(child) = self.wildcard(index, HASH)
            {
                self.visit(child, &mut visit);
            }
            let Some(level) = topic.levels.get(depth as usize) else {
                self.visit(index, &mut visit);
                continue;
            };
            if node.children & COUNT == 0 {
                continue;
            }
            if node.children & HAS_PLUS != 0
                && let Some(child) = self.wildcard(index, PLUS)
            {
                ahead.push((child, depth + 1));
            }
            if let Some(child) = self.literal(index, level) {
                ahead.push((child, depth + 1));
            }
        }
    }

    fn visit(&self, node: u32, visit: &mut impl FnMut(&Terminal<S>)) {
        let terminal = self.nodes[node].terminal;
        if let Some(terminal) = self.terminals.get(terminal) {
            visit(terminal);
        }
    }

    fn terminal_of(&self, filter: &Route<'_>) -> Option<u32> {
        let node = self.node_of(filter)?;
        Some(self.nodes[node].terminal)
    }

    fn node_of(&self, filter: &Route<'_>) -> Option<u32> {
        if self.nodes.is_empty() {
            return None;
        }
        filter.levels.iter().try_fold(ROOT, |node, level| self.child(node, level))
    }

    /// The child by a level of a filter.
    fn child(&self, parent: u32, level: &Level<'_>) -> Option<u32> {
        if level.is_plus() {
            self.wildcard(parent, PLUS)
        } else if level.is_hash() {
            self.wildcard(parent, HASH)
        } else {
            self.literal(parent, level)
        }
    }

    fn wildcard(&self, parent: u32, level: u32) -> Option<u32> {
        let is_it = |&child: &u32| {
            let node = &self.nodes[child];
            node.parent == parent && node.level == level
        };
        self.edges.find(edge_hash(parent, level.into()), is_it)
    }

    /// The text is compared, not looked up first: a look-up in one table, not in two.
    fn literal(&self, parent: u32, level: &Level<'_>) -> Option<u32> {
        let is_it = |&child: &u32| {
            let node = &self.nodes[child];
            node.parent == parent && node.level < HASH && self.levels.get(node.level) == level.text
        };
        self.edges.find(edge_hash(parent, level.hash), is_it)
    }

    fn add_child(&mut self, parent: u32, level: &Level<'_>, hashing: &Hashing) -> u32 {
        let rehash = |text: &[u8]| hashing.text(text);
        let (level, hash, flag) = if level.is_plus() {
            (PLUS, PLUS.into(), HAS_PLUS)
        } else if level.is_hash() {
            (HASH, HASH.into(), HAS_HASH)
        } else {
            (self.levels.intern(level.text, level.hash, rehash), level.hash, 0)
        };
        let node = Node::new(parent, level);
        let child = match self.free_nodes.pop() {
            Some(child) => {
                self.nodes[child] = node;
                child
            }
            None => self.nodes.push(node),
        };
        let Self { nodes, edges, levels, .. } = self;
        nodes[parent].children += 1;
        nodes[parent].children |= flag;
        edges.insert(edge_hash(parent, hash), child, |&it| nodes[it].hash(levels, hashing));
        child
    }

    /// The parent.
    fn remove_child(&mut self, child: u32, hashing: &Hashing) -> u32 {
        let Node { parent, level, .. } = self.nodes[child];
        let Self { nodes, edges, levels, .. } = self;
        let hash_of = |it: &u32| nodes[*it].hash(levels, hashing);
        edges.remove(hash_of(&child), |&candidate| candidate == child, hash_of);
        self.free_nodes.push(child);
        let holder = &mut self.nodes[parent];
        holder.children -= 1;
        match level {
            PLUS => holder.children &= !HAS_PLUS,
            HASH => holder.children &= !HAS_HASH,
            _ => {
                self.levels.release(level, |text| hashing.text(text));
            }
        }
        parent
    }
}

impl Node {
    fn new(parent: u32, level: u32) -> Self {
        Self { parent, level, terminal: NONE, children: 0 }
    }

    /// Of the edge that leads to it.
    fn hash(&self, levels: &Interner, hashing: &Hashing) -> u64 {
        let level = match self.level {
            PLUS | HASH => self.level.into(),
            level => hashing.text(levels.get(level)),
        };
        edge_hash(self.parent, level)
    }

    fn is_idle(&self) -> bool {
        self.terminal == NONE && self.children & COUNT == 0
    }
}

/// The hash of the level, or the number of the wildcard.
fn edge_hash(parent: u32, level: u64) -> u64 {
    spread(u64::from(parent) ^ level.rotate_left(32))
}
