//! Files that are not as the broker left them: it starts, says so, and serves what is left.

use std::fs;

use avocet_tests::{Publish, Version};

use super::{End, Node, errors};

const V5: Version = Version::V5;
const COUNT: usize = 100;

/// A broker that has stopped, with messages for alice that fill most of its one file.
fn stopped() -> Node {
    let mut node = Node::start(&[]);
    node.leave_subscribed(V5, "alice", "a");
    let mut bob = node.client(V5, "bob");
    for number in 0..COUNT {
        bob.publish(&Publish::new("a", format!("{number:01000}")).qos(1, 1));
    }
    node.end(End::Stop);
    node
}

/// Which of the messages are there, and that the store goes on.
#[track_caller]
fn served(mut node: Node) -> Vec<usize> {
    let mut bob = node.client(V5, "bob");
    bob.publish(&Publish::new("a", "behind").qos(1, 1));
    let mut texts = node.take_texts(&mut node.resume(V5, "alice"));
    assert_eq!(texts.pop().as_deref(), Some("behind"));
    // What was found once is not said again.
    node.restart(End::Stop);
    assert_eq!(errors(&node), [""; 0]);
    texts.iter().map(|text| text.parse().expect("a payload is a number")).collect()
}

/// What is missing at the end may never have been committed, as far as anybody can tell.
#[test]
fn store_whose_last_file_is_cut_is_served_as_far_as_it_goes() {
    let mut node = stopped();
    let file = node.files().pop().expect("something was stored");
    let bytes = fs::read(&file).expect("the file is readable");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("something was written");
    fs::write(&file, &bytes[..end - 1_500]).expect("the file is writable");
    node.begin();
    assert_eq!(errors(&node), [""; 0]);
    let numbers = served(node);
    assert!((COUNT - 3..COUNT).contains(&numbers.len()), "{numbers:?}");
    assert!(numbers.iter().copied().eq(0..numbers.len()), "{numbers:?}");
}

#[test]
fn store_with_a_byte_turned_over_says_so_and_loses_one_record() {
    let mut node = stopped();
    let file = node.files().pop().expect("something was stored");
    let mut bytes = fs::read(&file).expect("the file is readable");
    let needle = format!("{:01000}", COUNT / 2);
    let at = bytes.windows(needle.len()).position(|window| window == needle.as_bytes());
    bytes[at.expect("a payload lies there as it is") + 500] ^= 1;
    fs::write(&file, bytes).expect("the file is writable");
    node.begin();
    let errors = errors(&node);
    assert!(matches!(&*errors, [one] if one.contains("The store is damaged")), "{errors:?}");
    let expected: Vec<usize> = (0..COUNT).filter(|number| *number != COUNT / 2).collect();
    assert_eq!(served(node), expected);
}
