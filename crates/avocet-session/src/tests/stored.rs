//! A session that a store keeps: what it has stored, what waits for that, and its window on what
//! waits there.

use avocet_mqtt::{Packet, ReasonCode};

use super::{
    message::{Q0, Q1, Q2, id, message, puback, pubcomp, publish, pubrec, pubrel},
    script::Script,
};
use crate::{Place, QueueFull, Restored, stored::WINDOW_MESSAGES};

#[test]
fn message_is_sent_once_it_is_stored() {
    Script::each(|s| {
        s.stored().open().brings(message(Q1, "a", "1")).gives(&["queued"]);
        s.commits().gives(&["PUBLISH q1 id=1 t=a p=1", "store send 1 of 1"]);
        s.sends(puback(1)).gives(&["store release 1-1"]);
        // QoS 0 is not stored.
        s.brings(message(Q0, "a", "0")).gives(&["PUBLISH q0 t=a p=0"]);
    });
}

#[test]
fn exactly_once_message_is_sent_once_its_identifier_is_stored_and_released_once_pubrec_is() {
    Script::each(|s| {
        s.stored().open().brings(message(Q2, "a", "1")).commits();
        s.gives(&["queued", "store send 1 of 1"]);
        s.records(&[0]).gives(&["PUBLISH q2 id=1 t=a p=1"]);
        s.sends(pubrec(1)).gives(&["store acknowledge 1 of 1"]);
        s.sends(pubrec(1)).gives(&[]);
        s.records(&[0]).gives(&["PUBREL 1"]);
        s.sends(pubrec(1)).gives(&["PUBREL 1"]);
        s.sends(pubcomp(1)).gives(&["store complete 1"]);
    });
}

/// [MQTT3-4.6.0-6] [MQTT5-4.6.0-6]
#[test]
fn message_whose_identifier_is_not_stored_keeps_those_behind_it_back() {
    Script::each(|s| {
        s.stored().open();
        for payload in ["1", "2", "3"] {
            s.brings(message(Q2, "a", payload));
        }
        s.commits().records(&[1]);
        s.gives(&[
            "queued",
            "queued",
            "queued",
            "store send 1 of 1",
            "store send 2 of 2",
            "store send 3 of 3",
        ]);
        s.records(&[0]).gives(&["PUBLISH q2 id=1 t=a p=1", "PUBLISH q2 id=2 t=a p=2"]);
        s.records(&[0]).gives(&["PUBLISH q2 id=3 t=a p=3"]);
    });
}

/// [MQTT3-4.4.0-1] [MQTT5-4.4.0-1] [MQTT3-3.3.1-1] [MQTT5-3.3.1-1]
#[test]
fn what_was_not_stored_when_the_connection_ended_is_sent_on_the_next_once_it_is() {
    Script::each(|s| {
        s.stored().open().brings(message(Q2, "a", "1")).brings(message(Q2, "a", "2")).commits();
        s.records(&[0]).sends(pubrec(1)).cut();
        s.gives(&[
            "queued",
            "queued",
            "store send 1 of 1",
            "store send 2 of 2",
            "PUBLISH q2 id=1 t=a p=1",
            "store acknowledge 1 of 1",
        ]);
        s.open().gives(&[]);
        s.records(&[0]).gives(&[]);
        s.records(&[0]).gives(&["PUBREL 1", "PUBLISH q2 id=2 t=a p=2"]);
    });
}

#[test]
fn acknowledgements_in_a_row_are_stored_as_one() {
    Script::each(|s| {
        s.stored().open();
        for payload in ["1", "2", "3", "4"] {
            s.brings(message(Q1, "a", payload));
        }
        s.commits().forget_lines();
        let acks = [2, 1, 3, 4].map(puback);
        s.sends_bytes(&acks);
        s.gives(&["store release 2-2", "store release 1-4"]);
    });
}

/// [MQTT5-4.3.3-12]: the client may use the identifier again once it has PUBCOMP.
#[test]
fn pubcomp_waits_until_it_is_stored_that_the_identifier_is_free() {
    Script::each(|s| {
        s.stored().open().sends(Packet::Publish(publish(Q2, 7, "a"))).routed(
            Q2,
            7,
            ReasonCode::Success,
        );
        s.gives(&["route q2 id=7 t=a p=x", "PUBREC 7"]);
        s.sends(pubrel(7)).sends(pubrel(7)).gives(&["store forget 7"]);
        s.cut().open().sends(pubrel(7)).gives(&[]);
        s.records(&[0]).gives(&["PUBCOMP 7"]);
        s.sends(Packet::Publish(publish(Q2, 7, "a"))).gives(&["route q2 id=7 t=a p=x"]);
    });
}

/// [MQTT3-4.6.0-3] [MQTT5-4.6.0-3]
#[test]
fn answers_to_what_came_on_an_earlier_connection_keep_their_place() {
    Script::each(|s| {
        s.stored().open();
        for number in [1, 2, 3] {
            s.sends(Packet::Publish(publish(Q2, number, "a")));
        }
        s.routed(Q2, 1, ReasonCode::Success).cut().forget_lines().open();
        s.sends(Packet::Publish(publish(Q1, 9, "a"))).forget_lines();
        for number in [1, 2, 3] {
            s.sends(Packet::Publish(publish(Q2, number, "a"))).gives(&[]);
        }
        s.routed_late(2, ReasonCode::Success).routed_late(3, ReasonCode::Success).gives(&[]);
        s.routed(Q1, 9, ReasonCode::Success);
        s.gives(&["PUBACK 9", "PUBREC 1", "PUBREC 2", "PUBREC 3"]);
    });
}

#[test]
fn what_does_not_fit_the_window_is_loaded_as_the_client_takes_it() {
    Script::v5(|s| {
        s.limits(|limits| limits.inflight_max = 1.try_into().unwrap()).stored().open();
        for _ in 0..=WINDOW_MESSAGES + 1 {
            s.brings(message(Q1, "a", "x"));
        }
        s.commits().forget_lines();
        // One is in flight, and all but the last in the window: asked for when half is gone.
        let last = WINDOW_MESSAGES as u64 + 2;
        for number in 1..=WINDOW_MESSAGES as u16 / 2 + 1 {
            s.forget_lines().sends(puback(number));
        }
        assert_eq!(s.take_lines().last().map(String::as_str), Some("load"));
        // One is stored meanwhile, and not in what is read.
        s.brings(message(Q1, "a", "y")).commits().gives(&["queued"]);
        s.loads(&[last], Q1, false).gives(&[]);
        let number = WINDOW_MESSAGES as u16 / 2 + 2;
        s.sends(puback(number));
        assert_eq!(s.take_lines().last().map(String::as_str), Some("load"));
        s.loads(&[last + 1], Q1, false).gives(&[]);
        s.brings(message(Q1, "a", "z")).commits().gives(&["queued"]);
        for number in number + 1..=last as u16 + 2 {
            s.forget_lines().sends(puback(number));
        }
        let end = last + 2;
        s.gives(&[&format!("store release {end}-{end}")]);
    });
}

#[test]
fn client_that_comes_back_while_the_store_is_read_misses_nothing() {
    Script::v5(|s| {
        let waiting = (1000, 1000);
        s.limits(|limits| limits.inflight_max = 2.try_into().unwrap());
        s.restored(&Restored { expiry_interval: 3600, waiting, ..Restored::default() });
        s.open().gives(&["load"]);
        s.loads(&(1..=200).collect::<Vec<_>>(), Q1, true).forget_lines();
        for number in 1..=80 {
            s.sends(puback(number));
        }
        assert!(s.take_lines().contains(&"load".to_owned()));
        let asked = s.session().load_from();
        s.cut().forget_lines().open().forget_lines();
        assert_ne!(s.session().load_from(), asked, "most of the window was given up");
        s.loads_from(asked, &[201, 202], true).gives(&["load"]);
        let (_, from, _) = s.session().load_from().unwrap();
        s.loads(&(from.0..from.0 + 10).collect::<Vec<_>>(), Q1, true).forget_lines();
        // In order, none left out.
        for number in 81..=130 {
            s.sends(puback(number));
            let lines = s.take_lines();
            let next = u64::from(number) + 2;
            let expected = format!("PUBLISH q1 id={next} t=a p={next}");
            if !lines.contains(&expected) {
                assert!(next >= from.0 + 10, "{next} is missing: {lines:?}");
                break;
            }
        }
    });
}

/// [MQTT3-4.4.0-1] [MQTT5-4.4.0-1]
#[test]
fn what_was_in_flight_before_the_start_comes_again_with_its_identifiers() {
    Script::each(|s| {
        let sent = [
            (id(65_534), Some(Place(3))),
            (id(65_535), None),
            (id(1), Some(Place(5))),
            (id(2), Some(Place(6))),
        ];
        let waiting = (4, 4);
        let received = [id(7)];
        s.restored(&Restored {
            expiry_interval: 3600,
            received: &received,
            sent: &sent,
            waiting,
            was_cut: true,
        });
        s.open().gives(&["PUBREL 65535", "load"]);
        s.loads(&[3, 5, 6, 8], Q1, false).gives(&[
            "PUBLISH q1 id=65534 dup t=a p=3",
            "PUBLISH q1 id=1 dup t=a p=5",
            "PUBLISH q1 id=2 dup t=a p=6",
            // It may have been sent without its identifier being stored.
            "PUBLISH q1 id=3 dup t=a p=8",
            "store send 3 of 8",
        ]);
        s.brings(message(Q1, "a", "9")).commits_at(9);
        s.gives(&["queued", "PUBLISH q1 id=4 t=a p=9", "store send 4 of 9"]);
        // Received before, and not to be routed again.
        s.sends(Packet::Publish(publish(Q2, 7, "a"))).gives(&["PUBREC 7"]);
    });
}

/// A session that the store knew to have sent these, when the process ended under it.
fn cut_restored(s: &mut Script, sent: &[(u16, u64)], messages: u64) {
    let sent: Vec<_> = sent.iter().map(|(number, at)| (id(*number), Some(Place(*at)))).collect();
    s.restored(&Restored {
        expiry_interval: 3600,
        sent: &sent,
        waiting: (messages, messages),
        was_cut: true,
        ..Restored::default()
    });
    s.open().gives(&["load"]);
}

/// [MQTT3-4.6.0-6] [MQTT5-4.6.0-6]: the store may know of a later message that it was sent and not
/// of an earlier one.
#[test]
fn message_that_was_sent_behind_an_unsent_one_is_sent_anew_behind_it() {
    Script::each(|s| {
        cut_restored(s, &[(1, 3), (2, 5)], 4);
        s.loads(&[3], Q1, true).gives(&["PUBLISH q1 id=1 dup t=a p=3", "load"]);
        s.loads(&[4], Q1, true);
        s.gives(&["PUBLISH q1 id=3 dup t=a p=4", "store send 3 of 4", "load"]);
        s.loads(&[5, 6], Q1, false).gives(&[
            "PUBLISH q1 id=4 dup t=a p=5",
            "store send 4 of 5",
            "PUBLISH q1 id=5 dup t=a p=6",
            "store send 5 of 6",
        ]);
    });
    // At QoS 2 it was not sent before the earlier one.
    Script::each(|s| {
        cut_restored(s, &[(1, 3), (2, 5)], 3);
        s.loads(&[3, 4, 5], Q2, false).records(&[0, 1]).gives(&[
            "PUBLISH q2 id=1 dup t=a p=3",
            "store send 3 of 4",
            "store send 4 of 5",
            "PUBLISH q2 id=3 t=a p=4",
            "PUBLISH q2 id=4 t=a p=5",
        ]);
    });
}

#[test]
fn message_of_another_qos_leaves_what_was_sent_its_identifier() {
    Script::each(|s| {
        cut_restored(s, &[(2, 5)], 2);
        s.loads(&[4], Q1, true);
        s.gives(&["PUBLISH q1 id=3 dup t=a p=4", "store send 3 of 4", "load"]);
        s.loads(&[5], Q2, false).gives(&["PUBLISH q2 id=2 dup t=a p=5"]);
    });
}

/// The client has acknowledged what was sent before and behind it, not it.
#[test]
fn message_that_was_never_sent_is_kept_when_those_around_it_are_acknowledged() {
    Script::v5(|s| {
        cut_restored(s, &[(1, 5), (2, 9)], 3);
        s.loads(&[5], Q1, true).loads(&[7], Q2, true).loads(&[9], Q1, false).forget_lines();
        s.sends_bytes(&[puback(1), puback(2)]);
        s.gives(&["store release 5-5", "store release 9-9"]);
        assert_eq!(s.session().stored_amount().0, 1);
    });
}

/// However many there are, and though none of them lets the one be seen that was sent.
#[test]
fn messages_before_one_that_was_sent_do_not_wait_for_it() {
    Script::each(|s| {
        let window = WINDOW_MESSAGES as u64;
        cut_restored(s, &[(1, window + 10)], window + 2);
        let unsent: Vec<u64> = (1..=window).collect();
        s.loads(&unsent, Q1, true);
        s.forget_lines().sends(puback(2));
        s.gives(&["store release 1-1", "PUBLISH q1 id=34 t=a p=33", "store send 34 of 33"]);
    });
}

/// The store may know the identifier that it had before, too.
#[test]
fn message_that_was_sent_anew_has_the_later_identifier() {
    Script::each(|s| {
        cut_restored(s, &[(2, 5), (7, 5)], 1);
        s.loads(&[5], Q2, false).gives(&["PUBLISH q2 id=7 dup t=a p=5"]);
    });
}

/// What was in flight and cannot be read any more keeps nobody waiting.
#[test]
fn message_that_is_lost_to_the_store_leaves_no_hole() {
    Script::v5(|s| {
        let sent = [(id(1), Some(Place(3))), (id(2), Some(Place(4)))];
        let waiting = (2, 2);
        s.restored(&Restored {
            expiry_interval: 3600,
            sent: &sent,
            waiting,
            ..Restored::default()
        });
        s.open().loads(&[4], Q2, false);
        s.gives(&["load", "store release 3-3", "PUBLISH q2 id=2 dup t=a p=4"]);
    });
}

/// Its message could not be read.
#[test]
fn identifier_without_a_message_keeps_nobody_waiting() {
    Script::each(|s| {
        cut_restored(s, &[(1, 3)], 1);
        s.brings(message(Q1, "a", "4")).commits_at(4).gives(&["queued"]);
        s.loads(&[], Q1, false).gives(&["store release 3-3", "load"]);
        s.loads(&[4], Q1, false).gives(&["PUBLISH q1 id=2 t=a p=4", "store send 2 of 4"]);
    });
}

/// [MQTT5-2.2.1-4]: its identifier is not used for another message while the client has it, though
/// the message itself is not in the store.
#[test]
fn retained_message_of_qos_2_is_sent_once_its_identifier_is_stored() {
    Script::each(|s| {
        s.stored().open().brings(message(Q2, "a", "1").retained());
        s.gives(&["store occupy 1", "queued"]);
        s.records(&[0]).gives(&["PUBLISH q2 id=1 retain t=a p=1"]);
        s.sends(pubrec(1)).gives(&["PUBREL 1"]);
        s.sends(pubcomp(1)).gives(&["store complete 1"]);
        s.brings(message(Q1, "a", "2").retained()).gives(&["PUBLISH q1 id=2 retain t=a p=2"]);
    });
}

/// What is acknowledged while it is read from the store does not come again.
#[test]
fn message_that_is_acknowledged_before_it_is_loaded_is_not_sent() {
    Script::each(|s| {
        cut_restored(s, &[(1, 3), (2, 4)], 3);
        s.sends(puback(1)).gives(&["store release 3-3"]);
        s.loads(&[3, 4, 5], Q1, false).gives(&[
            "PUBLISH q1 id=2 dup t=a p=4",
            "PUBLISH q1 id=3 dup t=a p=5",
            "store send 3 of 5",
        ]);
    });
    Script::each(|s| {
        cut_restored(s, &[(1, 3)], 2);
        s.sends(pubrec(1)).gives(&["store acknowledge 1 of 3"]);
        s.loads(&[3, 4], Q2, false).records(&[0]);
        s.gives(&["store send 2 of 4", "PUBREL 1"]);
    });
}

/// What was there at the start need not be looked at each time its client goes.
#[test]
fn queue_that_was_looked_at_is_shared_only_by_what_comes() {
    Script::v5(|s| {
        cut_restored(s, &[], 1);
        assert!(s.session().may_be_shared());
        s.session_mut().note_unshared();
        assert!(!s.session().may_be_shared());
        s.brings(message(Q1, "a", "x").shared("$share/g/a")).gives(&["queued"]);
        s.session_mut().note_unshared();
        assert!(s.session().may_be_shared());
    });
}

/// [MQTT5-4.3.3-7]
#[test]
fn message_in_flight_does_not_expire() {
    Script::v5(|s| {
        cut_restored(s, &[(1, 3)], 1);
        s.cut().expires(3).gives(&[]);
        s.open().loads(&[3], Q2, false).gives(&["PUBLISH q2 id=1 dup t=a p=3"]);
    });
}

#[test]
fn message_that_expires_while_it_is_read_leaves_the_store() {
    Script::v5(|s| {
        cut_restored(s, &[], 3);
        s.expires(4).gives(&["drop expired t=a", "store release 4-4"]);
        s.expires(4).gives(&[]);
        s.loads(&[3, 4, 5], Q1, false);
        s.gives(&[
            "PUBLISH q1 id=1 dup t=a p=3",
            "store send 1 of 3",
            "PUBLISH q1 id=2 dup t=a p=5",
            "store send 2 of 5",
        ]);
    });
}

#[test]
fn message_that_expires_before_its_session_hears_of_it_leaves_the_store() {
    Script::v5(|s| {
        s.stored().open().brings(message(Q1, "a", "1")).gives(&["queued"]);
        s.expires(1).gives(&["drop expired t=a", "store release 1-1"]);
        s.commits_at(1).gives(&[]);
        s.brings(message(Q1, "a", "2")).commits_at(2);
        s.gives(&["queued", "PUBLISH q1 id=1 t=a p=2", "store send 1 of 2"]);
    });
}

/// It may be found there until the store has heard of it.
#[test]
fn message_that_expired_behind_the_window_is_released_once() {
    Script::v5(|s| {
        let waiting = (3, 3);
        s.restored(&Restored { expiry_interval: 3600, waiting, ..Restored::default() });
        s.expires(2).gives(&["drop expired t=a", "store release 2-2"]);
        // The store has it still.
        s.expires(2).gives(&[]);
        s.open().gives(&["load"]);
        s.loads(&[1, 2, 3], Q1, false).gives(&[
            "PUBLISH q1 id=1 t=a p=1",
            "store send 1 of 1",
            "PUBLISH q1 id=2 t=a p=3",
            "store send 2 of 3",
        ]);
        assert_eq!(s.session().stored_amount().0, 2);
        s.sends_bytes(&[puback(1), puback(2)]).gives(&["store release 1-3"]);
        assert_eq!(s.session().stored_amount(), (0, 0));
    });
}

/// What was read before the store had heard of it may come behind that.
#[test]
fn released_message_is_looked_out_for_until_nobody_reads() {
    Script::v5(|s| {
        cut_restored(s, &[], 3);
        s.expires(2).gives(&["drop expired t=a", "store release 2-2"]);
        assert!(!s.session().is_settled());
        s.records(&[0]).loads(&[1, 2], Q1, true).gives(&[
            "PUBLISH q1 id=1 dup t=a p=1",
            "store send 1 of 1",
            "load",
        ]);
        s.loads(&[3], Q1, false).gives(&["PUBLISH q1 id=2 dup t=a p=3", "store send 2 of 3"]);
        assert!(s.session().is_settled());
    });
    // It is not looked out for in a page that is read later.
    Script::v5(|s| {
        let waiting = (2, 2);
        s.restored(&Restored { expiry_interval: 3600, waiting, ..Restored::default() });
        assert!(s.session_mut().begin_sharing().is_some());
        s.expires(2).gives(&["drop expired t=a", "store release 2-2"]);
        s.records(&[0]).expires(2).gives(&[]);
        s.session_mut().begin_page();
        s.expires(2).gives(&["drop expired t=a", "store release 2-2"]);
    });
    // Who has released what the store has not heard of is not read for others.
    Script::v5(|s| {
        let waiting = (1, 1);
        s.restored(&Restored { expiry_interval: 3600, waiting, ..Restored::default() });
        s.expires(1).gives(&["drop expired t=a", "store release 1-1"]);
        assert!(!s.session().is_settled());
        s.records(&[0]);
        assert!(s.session().is_settled());
    });
}

/// Neither does what a window has of it count: it was in memory, and is read anew.
#[test]
fn message_that_expired_in_the_window_is_not_read_again() {
    Script::v5(|s| {
        s.limits(|limits| limits.inflight_max = 1.try_into().unwrap()).stored().open();
        for _ in 1..=100 {
            s.brings(message(Q1, "a", "x"));
        }
        s.commits().forget_lines();
        s.expires(60).gives(&["drop expired t=a", "store release 60-60"]);
        s.cut();
        let (_, from, _) = s.session().load_from().unwrap();
        assert!(from.0 > 60, "{from:?} is read, which has the one that has expired");
        s.forget_lines();
    });
}

/// What lies in memory before a message that was sent is not left to the store: it would be read
/// again, and so would the one that was sent.
#[test]
fn message_in_flight_is_not_read_again() {
    Script::each(|s| {
        cut_restored(s, &[(1, 100)], 100);
        let before: Vec<u64> = (1..=99).collect();
        s.loads(&before, Q1, true).forget_lines();
        s.loads(&[100], Q2, false).forget_lines();
        s.cut().forget_lines();
        let (_, from, _) = s.session().load_from().unwrap();
        assert_eq!(from, Place(101));
    });
}

/// It is in flight, and cannot be read.
#[test]
fn lost_message_is_counted_once() {
    Script::v5(|s| {
        cut_restored(s, &[(1, 3)], 3);
        for _ in 0..2 {
            s.loses(&[3, 4]);
        }
        s.gives(&["store release 3-3", "drop damaged t=", "store release 4-4", "drop damaged t="]);
        s.loads(&[5], Q1, false).gives(&["PUBLISH q1 id=2 dup t=a p=5", "store send 2 of 5"]);
        assert_eq!(s.session().stored_amount().0, 1);
    });
}

/// Else it would be read for ever while the store does not take that it is gone.
#[test]
fn page_that_cannot_be_read_is_not_read_again() {
    Script::v5(|s| {
        let waiting = (3, 3);
        s.restored(&Restored { expiry_interval: 3600, waiting, ..Restored::default() });
        s.open().cannot_load(&[3, 4], true).forget_lines();
        let (_, from, _) = s.session().load_from().unwrap();
        assert_eq!(from, Place(5));
        s.loads(&[5], Q1, false).gives(&["PUBLISH q1 id=1 t=a p=5", "store send 1 of 5"]);
    });
}

/// After an error of the disk a message may stand twice in what a store has of a session.
#[test]
fn message_that_is_found_twice_is_sent_once() {
    Script::v5(|s| {
        let waiting = (2, 2);
        s.restored(&Restored { expiry_interval: 3600, waiting, ..Restored::default() });
        s.open().forget_lines().loads(&[3, 3, 4], Q1, false);
        s.gives(&[
            "PUBLISH q1 id=1 t=a p=3",
            "store send 1 of 3",
            "PUBLISH q1 id=2 t=a p=4",
            "store send 2 of 4",
        ]);
    });
}

/// What was to be given away when the client came is asked for again when it goes.
#[test]
fn client_that_comes_keeps_what_was_to_be_shared_until_it_goes() {
    Script::each(|s| {
        let waiting = (2, 2);
        s.restored(&Restored { expiry_interval: 3600, waiting, ..Restored::default() });
        assert!(s.session_mut().share());
        assert!(!s.session_mut().share(), "it is about to be");
        s.open().loads(&[3, 4], Q1, false).forget_lines().cut();
        assert!(s.session_mut().share());
    });
}

/// So much of what came is to be stored that no more is taken.
#[test]
fn client_whose_subscriptions_are_not_stored_waits() {
    Script::v5(|s| {
        s.limits(|limits| limits.receive_maximum = 2.try_into().unwrap()).stored().open();
        (0..2).for_each(|_| s.session_mut().note_to_store());
        assert!(s.session().has_too_much_unanswered());
        s.session_mut().note_stored();
        assert!(!s.session().has_too_much_unanswered());
    });
}

#[test]
fn full_queue_takes_what_was_promised() {
    Script::each(|s| {
        s.limits(|limits| {
            limits.stored_messages_max = 1;
            limits.queue_full = QueueFull::Refuse;
        });
        s.stored().open().cut();
        for payload in ["1", "2", "3"] {
            s.brings(message(Q1, "a", payload).promised()).gives(&["queued"]);
        }
        s.brings(message(Q1, "a", "4")).gives(&["drop refused t=a", "refused"]);
        s.commits().open().gives(&[
            "PUBLISH q1 id=1 t=a p=1",
            "store send 1 of 1",
            "PUBLISH q1 id=2 t=a p=2",
            "store send 2 of 2",
            "PUBLISH q1 id=3 t=a p=3",
            "store send 3 of 3",
        ]);
    });
}

#[test]
fn full_queue_drops_the_oldest_or_refuses() {
    Script::each(|s| {
        s.limits(|limits| limits.stored_messages_max = 2).stored().open().cut();
        for payload in ["1", "2", "3"] {
            s.brings(message(Q1, "a", payload)).gives(&["queued"]);
        }
        s.commits().gives(&["drop queue_full t=a", "store release 1-1"]);
        s.brings(message(Q0, "a", "0")).gives(&["drop queue_full t=a"]);
    });
    Script::each(|s| {
        s.limits(|limits| {
            limits.stored_messages_max = 2;
            limits.queue_full = QueueFull::Refuse;
        });
        s.stored().open().cut();
        s.brings(message(Q1, "a", "1")).brings(message(Q0, "a", "0")).brings(message(Q1, "a", "2"));
        s.gives(&["queued", "queued", "drop queue_full t=a", "queued"]);
        assert!(s.session().would_refuse(1));
        s.brings(message(Q1, "a", "3")).gives(&["drop refused t=a", "refused"]);
    });
}
