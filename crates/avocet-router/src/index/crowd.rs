//! The subscriptions of one filter, in the order of their subscribers: a tree whose nodes may be
//! shared.
//!
//! A clone is one counted reference. What changes while somebody holds a clone copies the nodes on
//! its way, a few dozen slots each, and leaves the clone as it was; so an answer can name a million
//! subscribers at the cost of one, and a change beside it costs the same however many there are.

use std::sync::Arc;

use smallvec::SmallVec;

use super::slot::Slot;
use crate::filter::Marks;
use crate::subscriber::{Subscriber, SubscriberId};

/// A tree with all its leaves at the same depth.
#[derive(Clone, Debug)]
pub(crate) struct Crowd<S> {
    root: Arc<Node<S>>,
    len: usize,
}

/// One subscription, and its subscriber's id without asking it.
#[derive(Clone, Debug)]
pub(crate) struct Member<S> {
    pub(crate) id: SubscriberId,
    pub(crate) slot: Slot<S>,
}

type Key = (SubscriberId, Marks);

#[derive(Clone, Debug)]
enum Node<S> {
    Leaf(Vec<Member<S>>),
    Branch(Vec<Child<S>>),
}

#[derive(Clone, Debug)]
struct Child<S> {
    /// No key in it is higher.
    last: Key,
    node: Arc<Node<S>>,
}

/// The most members of a leaf, and children of a branch: what a change copies at each depth.
const NODE_MAX: usize = 64;
/// With fewer than these a node looks for a neighbour that has room for them.
const NODE_FEW: usize = NODE_MAX / 4;

impl<S> Default for Crowd<S> {
    fn default() -> Self {
        Self { root: Arc::new(Node::Leaf(Vec::new())), len: 0 }
    }
}

impl<S> Crowd<S> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<S: Subscriber> Crowd<S> {
    /// The subscription that was there before.
    pub(crate) fn insert(&mut self, slot: Slot<S>) -> Option<Slot<S>> {
        let member = Member { id: slot.subscriber.id(), slot };
        let (replaced, right) = insert(&mut self.root, member);
        if let Some(right) = right {
            let left = Child { last: last(&self.root), node: Arc::clone(&self.root) };
            self.root = Arc::new(Node::Branch(vec![left, right]));
        }
        self.len += usize::from(replaced.is_none());
        replaced
    }

    pub(crate) fn remove(&mut self, id: SubscriberId, marks: Marks) -> Option<Slot<S>> {
        let key = (id, marks);
        // Looked up first, so that what is not there copies nothing.
        self.walk(id).take_while(|member| member.id == id).find(|member| member.key() == key)?;
        let removed = remove(&mut self.root, key)?;
        self.len -= 1;
        while let Node::Branch(children) = &*self.root
            && let [only] = children.as_slice()
        {
            self.root = Arc::clone(&only.node);
        }
        Some(removed.slot)
    }

    /// In order, from the first of this subscriber, or of the next that is there.
    pub(crate) fn walk(&self, from: SubscriberId) -> Walk<'_, S> {
        let mut walk = Walk { leaf: &[], ahead: SmallVec::new() };
        let mut node = &*self.root;
        loop {
            match node {
                Node::Leaf(members) => {
                    walk.leaf = behind(members, from);
                    return walk;
                }
                Node::Branch(children) => {
                    let at = children.partition_point(|child| child.last.0 < from);
                    let Some((child, others)) = children[at..].split_first() else { return walk };
                    walk.ahead.push(others);
                    node = &*child.node;
                }
            }
        }
    }
}

impl<S: Subscriber> Member<S> {
    fn key(&self) -> Key {
        (self.id, self.slot.marks())
    }
}

/// Members in order.
#[derive(Debug)]
pub(crate) struct Walk<'a, S> {
    leaf: &'a [Member<S>],
    /// At each depth what is behind the node at hand.
    ahead: SmallVec<[&'a [Child<S>]; 4]>,
}

impl<'a, S: Subscriber> Walk<'a, S> {
    /// Through members that lie in order already.
    pub(crate) fn of(members: &'a [Member<S>], from: SubscriberId) -> Self {
        Self { leaf: behind(members, from), ahead: SmallVec::new() }
    }

    pub(crate) fn peek(&mut self) -> Option<&'a Member<S>> {
        while self.leaf.is_empty() {
            let Some((child, others)) = self.ahead.pop()?.split_first() else { continue };
            self.ahead.push(others);
            match &*child.node {
                Node::Leaf(members) => self.leaf = members,
                Node::Branch(children) => self.ahead.push(children),
            }
        }
        self.leaf.first()
    }
}

impl<'a, S: Subscriber> Iterator for Walk<'a, S> {
    type Item = &'a Member<S>;

    fn next(&mut self) -> Option<&'a Member<S>> {
        let next = self.peek()?;
        self.leaf = &self.leaf[1..];
        Some(next)
    }
}

fn behind<S>(members: &[Member<S>], from: SubscriberId) -> &[Member<S>] {
    &members[members.partition_point(|member| member.id < from)..]
}

/// What was replaced, and what the node had to give to a new one behind it.
fn insert<S: Subscriber>(
    node: &mut Arc<Node<S>>,
    member: Member<S>,
) -> (Option<Slot<S>>, Option<Child<S>>) {
    let key = member.key();
    match Arc::make_mut(node) {
        Node::Leaf(members) => match members.binary_search_by_key(&key, Member::key) {
            Ok(at) => (Some(std::mem::replace(&mut members[at].slot, member.slot)), None),
            Err(at) => (None, put(members, at, member).map(|right| child_of(Node::Leaf(right)))),
        },
        Node::Branch(children) => {
            let at = place(children, key);
            let child = &mut children[at];
            let (replaced, right) = insert(&mut child.node, member);
            child.last = if right.is_some() { last(&child.node) } else { child.last.max(key) };
            let right = right.and_then(|right| put(children, at + 1, right));
            (replaced, right.map(|right| child_of(Node::Branch(right))))
        }
    }
}

fn remove<S: Subscriber>(node: &mut Arc<Node<S>>, key: Key) -> Option<Member<S>> {
    match Arc::make_mut(node) {
        Node::Leaf(members) => {
            let at = members.binary_search_by_key(&key, Member::key).ok()?;
            let removed = members.remove(at);
            if members.len() < members.capacity() / 4 {
                members.shrink_to(members.len() * 2);
            }
            Some(removed)
        }
        Node::Branch(children) => {
            let at = place(children, key);
            let removed = remove(&mut children[at].node, key)?;
            if children[at].node.len() < NODE_FEW {
                // With the one behind it, or else with the one before it.
                join(children, at);
                if at > 0 {
                    join(children, at - 1);
                }
            }
            Some(removed)
        }
    }
}

/// Puts two neighbours together if one has room for both.
fn join<S: Subscriber>(children: &mut Vec<Child<S>>, at: usize) {
    let Some([left, right]) = children.get(at..at + 2) else { return };
    if left.node.len() + right.node.len() > NODE_MAX {
        return;
    }
    let right = children.remove(at + 1);
    let left = &mut children[at];
    left.last = right.last;
    match (Arc::make_mut(&mut left.node), Arc::unwrap_or_clone(right.node)) {
        (Node::Leaf(members), Node::Leaf(more)) => members.extend(more),
        (Node::Branch(children), Node::Branch(more)) => children.extend(more),
        (Node::Leaf(_), Node::Branch(_)) | (Node::Branch(_), Node::Leaf(_)) => {
            debug_assert!(false, "neighbours have the same depth");
        }
    }
}

/// The child that has the key, or would have it.
fn place<S>(children: &[Child<S>], key: Key) -> usize {
    children.partition_point(|child| child.last < key).min(children.len() - 1)
}

/// Inserts; from a full list the higher half is taken off before. Who comes last leaves the list
/// full: subscribers with ids that only grow fill their leaves.
fn put<T>(list: &mut Vec<T>, at: usize, item: T) -> Option<Vec<T>> {
    if list.len() < NODE_MAX {
        if list.len() == list.capacity() {
            list.reserve_exact((list.len() / 2).clamp(1, NODE_MAX - list.len()));
        }
        list.insert(at, item);
        return None;
    }
    let middle = if at == list.len() { at } else { list.len() / 2 };
    let mut right = list.split_off(middle);
    if at < middle {
        list.insert(at, item);
    } else {
        right.insert(at - middle, item);
    }
    Some(right)
}

fn child_of<S: Subscriber>(node: Node<S>) -> Child<S> {
    let node = Arc::new(node);
    Child { last: last(&node), node }
}

fn last<S: Subscriber>(node: &Arc<Node<S>>) -> Key {
    match &**node {
        Node::Leaf(members) => members.last().map(Member::key),
        Node::Branch(children) => children.last().map(|child| child.last),
    }
    .unwrap_or((SubscriberId(0), Marks::default()))
}

impl<S> Node<S> {
    fn len(&self) -> usize {
        match self {
            Self::Leaf(members) => members.len(),
            Self::Branch(children) => children.len(),
        }
    }
}

#[cfg(test)]
mod tests;
