use super::*;

#[test]
fn order_is_that_of_one_publisher_and_one_member() {
    let mut group = Group::new(2, 2);
    let arrivals = [
        ((0, 0, 0), Some(true)),
        ((0, 1, 3), Some(true)),
        ((0, 0, 2), Some(true)),
        ((1, 0, 0), Some(true)),
        ((0, 0, 1), Some(false)),
        ((0, 0, 2), Some(false)),
        ((0, 1, 4), Some(true)),
        ((2, 0, 0), None),
        ((0, 2, 0), None),
        ((usize::MAX, 0, 0), None),
    ];
    for ((publisher, member, sequence), expected) in arrivals {
        let found = group.handle_arrival(publisher, member, sequence);
        assert_eq!(found, expected, "{publisher} to {member}: {sequence}");
    }
}
