use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::Entry;
use crate::naive::Client;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    /// Ids that grow, ids at random, and clones that must not see what comes after them.
    #[test]
    fn same_as_a_map_and_clones_stay(
        acts in prop::collection::vec((0..4_u8, 0..2_000_u64, any::<bool>()), 1..2_000),
    ) {
        let mut crowd = Crowd::default();
        let mut model = BTreeMap::new();
        let mut kept = Vec::new();
        for (number, (act, id, is_local)) in acts.into_iter().enumerate() {
            let marks = marks(is_local);
            let key = (SubscriberId(id), marks);
            match act {
                0 => {
                    let was = crowd.remove(key.0, marks).is_some();
                    prop_assert_eq!(was, model.remove(&key).is_some());
                }
                1 => {
                    let key = (SubscriberId(number as u64), marks);
                    crowd.insert(slot(key));
                    model.insert(key, ());
                }
                _ => {
                    let was = crowd.insert(slot(key)).is_some();
                    prop_assert_eq!(was, model.insert(key, ()).is_some());
                }
            }
            if number % 500 == 0 {
                kept.push((crowd.clone(), model.clone()));
            }
        }
        kept.push((crowd.clone(), model.clone()));
        for (crowd, model) in kept {
            let expected: Vec<_> = model.keys().copied().collect();
            prop_assert_eq!(keys(crowd.walk(SubscriberId(0))), expected);
            prop_assert_eq!(crowd.len(), model.len());
            let from = SubscriberId(777);
            let expected: Vec<_> = model.keys().copied().filter(|key| key.0 >= from).collect();
            prop_assert_eq!(keys(crowd.walk(from)), expected);
            check(&crowd);
        }
        for key in model.into_keys() {
            prop_assert!(crowd.remove(key.0, key.1).is_some());
        }
        prop_assert!(crowd.is_empty());
        prop_assert!(matches!(&*crowd.root, Node::Leaf(members) if members.is_empty()));
    }
}

#[test]
fn a_change_beside_a_clone_copies_a_few_nodes_however_many_there_are() {
    for count in [1_000, 100_000] {
        let handles: Vec<_> = (0..count).map(|id| Handle(Arc::new(id))).collect();
        let mut crowd = Crowd::default();
        for handle in &handles {
            crowd.insert(Slot::new(handle.clone(), marks(false), Entry::default()));
        }
        let clone = crowd.clone();
        let references = || handles.iter().map(|it| Arc::strong_count(&it.0)).sum::<usize>();
        let before = references();
        assert_eq!(before, 2 * handles.len(), "a clone copies nobody");
        let removed = crowd.remove(SubscriberId(500), marks(false));
        assert!(removed.is_some());
        drop(removed);
        assert!(references() <= before + NODE_MAX, "{} copied", references() - before);
        assert_eq!((clone.len(), crowd.len()), (handles.len(), handles.len() - 1));
    }
}

#[test]
fn subscribers_that_come_in_order_fill_their_leaves() {
    let mut crowd = Crowd::default();
    for id in 0..10_000 {
        crowd.insert(slot((SubscriberId(id), marks(false))));
    }
    let mut leaves = Vec::new();
    for_each_leaf(&crowd.root, &mut |members| leaves.push(members.len()));
    assert_eq!(leaves.len(), 10_000_usize.div_ceil(NODE_MAX));
}

#[derive(Clone, Debug)]
struct Handle(Arc<u64>);

impl Subscriber for Handle {
    fn id(&self) -> SubscriberId {
        SubscriberId(*self.0)
    }
}

fn marks(is_local: bool) -> Marks {
    let text = if is_local { "$local/t" } else { "t" };
    crate::Filter::parse(text).unwrap().marks()
}

fn slot((SubscriberId(id), marks): Key) -> Slot<Client> {
    Slot::new(Client(id), marks, Entry::default())
}

fn keys(walk: Walk<'_, Client>) -> Vec<Key> {
    walk.map(Member::key).collect()
}

/// No node is too full, and no neighbours could be one.
fn check(crowd: &Crowd<Client>) {
    fn depth(node: &Node<Client>) -> usize {
        match node {
            Node::Leaf(members) => {
                assert!(members.len() <= NODE_MAX && members.capacity() <= NODE_MAX);
                0
            }
            Node::Branch(children) => {
                assert!((2..=NODE_MAX).contains(&children.len()));
                let depths: Vec<_> = children.iter().map(|child| depth(&child.node)).collect();
                assert!(depths.iter().all(|depth| *depth == depths[0]));
                assert!(children.iter().all(|child| child.node.len() > 0));
                assert!(children.iter().all(|child| child.last >= last(&child.node)));
                depths[0] + 1
            }
        }
    }
    assert!(depth(&crowd.root) <= 2);
}

fn for_each_leaf(node: &Node<Client>, visit: &mut impl FnMut(&[Member<Client>])) {
    match node {
        Node::Leaf(members) => visit(members),
        Node::Branch(children) => {
            children.iter().for_each(|child| for_each_leaf(&child.node, visit));
        }
    }
}
