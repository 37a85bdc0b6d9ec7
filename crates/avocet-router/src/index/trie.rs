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
    /// Children by (parent, level); what stands here is only the child, which knows both.
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
            node = match self.level_of(level).and_then(|level| self.child(node, level)) {
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
        // The numbers of the topic's levels here, as far as the walk has come.
        let mut numbers: SmallVec<[Option<u32>; 16]> = SmallVec::new();
        // A stack of our own: a topic may have 65,535 levels.
        let mut ahead: SmallVec<[(u32, u32); 16]> = SmallVec::new();
        if !self.nodes.is_empty() {
            ahead.push((ROOT, 0));
        }
        while let Some((index, depth)) = ahead.pop() {
            let node = self.nodes[index];
            if node.children & HAS_HASH != 0
                && let Some(child) = self.child(index, HASH)
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
                && let Some(child) = self.child(index, PLUS)
            {
                ahead.push((child, depth + 1));
            }
            if numbers.len() == depth as usize {
                numbers.push(self.levels.find(level.text, level.hash));
            }
            if let Some(Some(number)) = numbers.get(depth as usize).copied()
                && let Some(child) = self.child(index, number)
            {
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
        filter.levels.iter().try_fold(ROOT, |node, level| self.child(node, self.level_of(level)?))
    }

    fn level_of(&self, level: &Level<'_>) -> Option<u32> {
        if level.is_plus() {
            Some(PLUS)
        } else if level.is_hash() {
            Some(HASH)
        } else {
            self.levels.find(level.text, level.hash)
        }
    }

    fn child(&self, parent: u32, level: u32) -> Option<u32> {
        let is_it = |&child: &u32| {
            let node = &self.nodes[child];
            node.parent == parent && node.level == level
        };
        self.edges.find(edge_hash(parent, level), is_it)
    }

    fn add_child(&mut self, parent: u32, level: &Level<'_>, hashing: &Hashing) -> u32 {
        let (level, flag) = if level.is_plus() {
            (PLUS, HAS_PLUS)
        } else if level.is_hash() {
            (HASH, HAS_HASH)
        } else {
            (self.levels.intern(level.text, level.hash, |text| hashing.text(text)), 0)
        };
        let node = Node::new(parent, level);
        let child = match self.free_nodes.pop() {
            Some(child) => {
                self.nodes[child] = node;
                child
            }
            None => self.nodes.push(node),
        };
        let Self { nodes, edges, .. } = self;
        nodes[parent].children += 1;
        nodes[parent].children |= flag;
        edges.insert(edge_hash(parent, level), child, |&child| nodes[child].hash());
        child
    }

    /// The parent.
    fn remove_child(&mut self, child: u32, hashing: &Hashing) -> u32 {
        let Node { parent, level, .. } = self.nodes[child];
        let Self { nodes, edges, .. } = self;
        let hash = edge_hash(parent, level);
        edges.remove(hash, |&candidate| candidate == child, |&child| nodes[child].hash());
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

    fn hash(&self) -> u64 {
        edge_hash(self.parent, self.level)
    }

    fn is_idle(&self) -> bool {
        self.terminal == NONE && self.children & COUNT == 0
    }
}

fn edge_hash(parent: u32, level: u32) -> u64 {
    spread(u64::from(parent) << 32 | u64::from(level))
}
