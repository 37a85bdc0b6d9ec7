use super::*;

#[test]
fn window_is_closed_until_the_oldest_is_complete() {
    let mut window = Window::new(2, 1, false);
    assert_eq!((window.send(10), window.send(11)), ((0, 1), (1, 2)));
    assert!(!window.is_open());
    assert_eq!(window.handle_delivery(1), Ok(11));
    assert!(!window.is_open());
    assert_eq!(window.handle_delivery(0), Ok(10));
    assert!(window.is_open() && window.is_idle());
    assert_eq!(window.sent(), 2);
}

#[test]
fn acknowledged_message_needs_both_delivery_and_acknowledgement() {
    for is_delivery_first in [true, false] {
        let mut window = Window::new(1, 1, true);
        let (sequence, packet_id) = window.send(0);
        if is_delivery_first {
            window.handle_delivery(sequence).unwrap();
            assert!(!window.is_open());
            window.handle_acknowledgement(packet_id).unwrap();
        } else {
            window.handle_acknowledgement(packet_id).unwrap();
            assert!(!window.is_open());
            window.handle_delivery(sequence).unwrap();
        }
        assert!(window.is_open());
    }
}

#[test]
fn every_receiver_has_to_have_it() {
    let mut window = Window::new(1, 3, false);
    window.send(0);
    for _ in 0..3 {
        assert!(!window.is_open());
        window.handle_delivery(0).unwrap();
    }
    assert!(window.is_open());
}

#[test]
fn nothing_is_taken_that_was_not_awaited() {
    let mut window = Window::new(4, 1, true);
    assert_eq!(window.handle_delivery(0), Err(Unexpected));
    for packet_id in [0, 1, 5] {
        assert_eq!(window.handle_acknowledgement(packet_id), Err(Unexpected));
    }
    window.send(0);
    window.handle_acknowledgement(1).unwrap();
    assert_eq!(window.handle_acknowledgement(1), Err(Unexpected));
    window.handle_delivery(0).unwrap();
    assert_eq!(window.handle_delivery(0), Err(Unexpected));
}

#[test]
fn packet_ids_are_used_again_and_never_zero() {
    let mut window = Window::new(3, 1, true);
    for sequence in 0..100 {
        let (sent, packet_id) = window.send(0);
        assert_eq!(sent, sequence);
        assert!((1..=4).contains(&packet_id));
        window.handle_delivery(sequence).unwrap();
        window.handle_acknowledgement(packet_id).unwrap();
    }
    let mut largest = Window::new(WINDOW_MAX, 1, true);
    let ids = (0..WINDOW_MAX).map(|_| largest.send(0).1);
    assert_eq!(ids.last(), Some(WINDOW_MAX));
    assert!(!largest.is_open());
}

#[test]
fn what_nobody_receives_is_complete_when_it_is_acknowledged_or_sent() {
    let mut unacknowledged = Window::new(1, 0, false);
    for sequence in 0..3 {
        assert_eq!(unacknowledged.send(0).0, sequence);
        assert!(unacknowledged.is_open() && unacknowledged.is_idle());
    }
    let mut acknowledged = Window::new(1, 0, true);
    acknowledged.send(0);
    assert!(!acknowledged.is_open());
    acknowledged.handle_acknowledgement(1).unwrap();
    assert!(acknowledged.is_open());
}

#[test]
fn undelivered_messages_are_counted_for_each_receiver() {
    let mut window = Window::new(4, 2, false);
    for _ in 0..3 {
        window.send(0);
    }
    window.handle_delivery(1).unwrap();
    assert_eq!(window.undelivered(), 5);
}

#[test]
fn unacknowledged_messages_are_known_in_their_order() {
    let mut window = Window::new(4, 1, true);
    for _ in 0..3 {
        window.send(0);
    }
    window.handle_acknowledgement(2).unwrap();
    window.handle_delivery(0).unwrap();
    assert_eq!(window.unacknowledged().collect::<Vec<_>>(), [(0, 1), (2, 3)]);
    window.limit(3);
    assert!(!window.is_open());
}
