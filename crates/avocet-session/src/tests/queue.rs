//! Messages that wait, and the bounds on them. A waiting message costs 64 bytes besides its own.

use std::num::NonZeroU16;

use super::{
    message::{Message, Q0, Q1, Q2, message, puback},
    script::Script,
};
use crate::{Budget, QueueFull};

/// A message of 100 bytes with its record.
fn hundred(qos: avocet_mqtt::QoS, topic: &'static str) -> Message {
    message(qos, topic, "12345678901234567890123456789012345")
}

/// [MQTT3-3.1.2-5] [MQTT3-4.5.0-1] [MQTT5-4.5.0-1]
#[test]
fn messages_wait_for_a_client_that_is_away() {
    Script::each(|s| {
        s.open().cut();
        s.brings(message(Q1, "a", "1")).brings(message(Q0, "a", "2")).brings(message(Q2, "a", "3"));
        s.gives(&["queued", "queued", "queued"]).open();
        s.gives(&["PUBLISH q1 id=1 t=a p=1", "PUBLISH q0 t=a p=2", "PUBLISH q2 id=2 t=a p=3"]);
    });
}

#[test]
fn qos_0_does_not_wait_for_a_client_that_is_away_if_so_configured() {
    Script::each(|s| {
        s.limits(|l| l.queue_qos0 = false).open();
        // It waits for a connection that is slow, but not for the next one.
        s.has_room(0).brings(message(Q0, "a", "1")).brings(message(Q1, "a", "2"));
        s.gives(&["queued", "queued"]).cut();
        s.brings(message(Q0, "a", "3")).gives(&["drop offline t=a"]);
        s.has_room(9).open().gives(&["drop offline t=a", "PUBLISH q1 id=1 t=a p=2"]);
        assert_eq!(s.budget_used(), 0);
    });
}

/// [MQTT3-4.6.0-6] [MQTT5-4.6.0-5] [MQTT5-4.6.0-6] [MQTT3-4.6.0-5]
#[test]
fn messages_for_a_slow_connection_wait_in_order() {
    Script::each(|s| {
        s.open().has_room(0);
        for (qos, payload) in [(Q0, "1"), (Q1, "2"), (Q0, "3"), (Q1, "4")] {
            s.brings(message(qos, "a", payload)).gives(&["queued"]);
        }
        s.has_room(1).gives(&["PUBLISH q0 t=a p=1"]);
        s.has_room(1).gives(&["PUBLISH q1 id=1 t=a p=2"]);
        s.has_room(9).gives(&["PUBLISH q0 t=a p=3", "PUBLISH q1 id=2 t=a p=4"]);
    });
}

/// [MQTT3-4.6.0-6] [MQTT5-4.6.0-5]
#[test]
fn message_does_not_overtake_those_that_wait() {
    Script::each(|s| {
        s.limits(|l| l.inflight_max = NonZeroU16::MIN).open();
        s.brings(message(Q1, "a", "1")).brings(message(Q1, "a", "2")).brings(message(Q2, "a", "3"));
        s.gives(&["PUBLISH q1 id=1 t=a p=1", "queued", "queued"]);
        // QoS 0 keeps its own order only.
        s.brings(message(Q0, "a", "4")).gives(&["PUBLISH q0 t=a p=4"]);
        s.sends(puback(1)).gives(&["PUBLISH q1 id=2 t=a p=2"]);
        s.brings(message(Q1, "a", "5")).gives(&["queued"]);
        s.sends(puback(2)).gives(&["PUBLISH q2 id=3 t=a p=3"]);
    });
}

/// [MQTT3-4.6.0-6] [MQTT5-4.6.0-5]
#[test]
fn message_does_not_overtake_those_that_wait_for_room() {
    Script::each(|s| {
        s.open().has_room(0).brings(message(Q0, "a", "1")).brings(message(Q1, "a", "2"));
        s.gives(&["queued", "queued"]).gains_room(9);
        s.brings(message(Q0, "a", "3")).brings(message(Q1, "a", "4")).gives(&["queued", "queued"]);
        s.has_room(9).gives(&[
            "PUBLISH q0 t=a p=1",
            "PUBLISH q1 id=1 t=a p=2",
            "PUBLISH q0 t=a p=3",
            "PUBLISH q1 id=2 t=a p=4",
        ]);
        // Nor those that are to be sent again.
        s.has_room(0).cut().open().gains_room(9).brings(message(Q1, "a", "5")).gives(&["queued"]);
        s.has_room(9).gives(&[
            "PUBLISH q1 id=1 dup t=a p=2",
            "PUBLISH q1 id=2 dup t=a p=4",
            "PUBLISH q1 id=3 t=a p=5",
        ]);
    });
}

#[test]
fn full_queue_drops_qos_0_first_then_the_oldest() {
    Script::each(|s| {
        s.limits(|l| l.queue_messages_max = 3).open().cut();
        s.brings(message(Q1, "a", "1")).brings(message(Q0, "b", "2")).brings(message(Q1, "c", "3"));
        s.gives(&["queued", "queued", "queued"]);
        s.brings(message(Q0, "d", "4")).gives(&["drop queue_full t=d"]);
        s.brings(message(Q2, "e", "5")).gives(&["drop queue_full t=b", "queued"]);
        s.brings(message(Q1, "f", "6")).gives(&["drop queue_full t=a", "queued"]);
        s.open().gives(&[
            "PUBLISH q1 id=1 t=c p=3",
            "PUBLISH q2 id=2 t=e p=5",
            "PUBLISH q1 id=3 t=f p=6",
        ]);
    });
}

#[test]
fn full_queue_refuses_if_so_configured() {
    Script::each(|s| {
        s.limits(|l| {
            l.queue_messages_max = 2;
            l.queue_full = QueueFull::Refuse;
        });
        s.open().cut().brings(message(Q1, "a", "1")).brings(message(Q0, "b", "2"));
        s.gives(&["queued", "queued"]);
        assert!(!s.session().would_refuse(1));
        s.brings(message(Q1, "c", "3")).gives(&["drop queue_full t=b", "queued"]);
        assert!(s.session().would_refuse(1));
        s.brings(message(Q1, "d", "4")).gives(&["drop refused t=d", "refused"]);
        s.brings(message(Q0, "d", "4")).gives(&["drop queue_full t=d"]);
        s.open().gives(&["PUBLISH q1 id=1 t=a p=1", "PUBLISH q1 id=2 t=c p=3"]);
        assert!(!s.session().would_refuse(1));
    });
}

#[test]
fn message_that_is_sent_at_once_is_not_refused() {
    Script::each(|s| {
        s.limits(|l| {
            l.queue_messages_max = 0;
            l.queue_full = QueueFull::Refuse;
            l.inflight_max = NonZeroU16::MIN;
        });
        s.open();
        assert!(!s.session().would_refuse(1));
        s.brings(message(Q1, "a", "1")).gives(&["PUBLISH q1 id=1 t=a p=1"]);
        assert!(s.session().would_refuse(1));
        s.brings(message(Q1, "a", "2")).gives(&["drop refused t=a", "refused"]);
        s.cut();
        assert!(s.session().would_refuse(1));
    });
}

#[test]
fn bytes_are_bounded_too() {
    Script::each(|s| {
        s.limits(|l| l.queue_bytes_max = 200).open().cut();
        s.brings(hundred(Q1, "a")).brings(hundred(Q0, "b")).gives(&["queued", "queued"]);
        assert_eq!(s.session().queued(), (2, 200));
        s.brings(hundred(Q1, "c")).gives(&["drop queue_full t=b", "queued"]);
        s.brings(hundred(Q1, "d")).gives(&["drop queue_full t=a", "queued"]);
        assert_eq!(s.session().queued(), (2, 200));
        s.brings(message(Q0, "e", "")).gives(&["drop queue_full t=e"]);
    });
}

#[test]
fn nothing_makes_room_for_a_message_that_never_fits() {
    for queue_full in [QueueFull::DropOldest, QueueFull::Refuse] {
        Script::each(|s| {
            s.limits(|l| {
                l.queue_bytes_max = 99;
                l.queue_full = queue_full;
            });
            s.open().cut().brings(message(Q0, "a", "1")).gives(&["queued"]);
            s.brings(hundred(Q1, "b"));
            match queue_full {
                QueueFull::DropOldest => s.gives(&["drop queue_full t=b"]),
                QueueFull::Refuse => s.gives(&["drop refused t=b", "refused"]),
            };
            assert_eq!(s.session().queued().0, 1);
            assert_eq!(s.session().would_refuse(36), queue_full == QueueFull::Refuse);
            assert!(!s.session().would_refuse(35));
        });
    }
}

#[test]
fn refusal_evicts_nothing() {
    Script::each(|s| {
        s.limits(|l| {
            l.queue_bytes_max = 260;
            l.queue_full = QueueFull::Refuse;
        });
        s.open().cut().brings(hundred(Q1, "a")).brings(hundred(Q1, "b"));
        s.brings(message(Q0, "c", "")).gives(&["queued", "queued", "drop queue_full t=c"]);
        s.brings(hundred(Q1, "d")).gives(&["drop refused t=d", "refused"]);
        assert_eq!(s.session().queued(), (2, 200));
    });
}

#[test]
fn budget_of_the_node_is_a_bound() {
    Script::each(|s| {
        s.limits(|l| l.budget = Budget::new(250)).open().cut();
        s.brings(hundred(Q1, "a")).brings(hundred(Q1, "b")).gives(&["queued", "queued"]);
        assert_eq!(s.budget_used(), 200);
        s.brings(hundred(Q0, "c")).gives(&["drop queue_full t=c"]);
        s.brings(hundred(Q1, "d")).gives(&["drop queue_full t=a", "queued"]);
        assert_eq!(s.budget_used(), 200);
    });
    Script::each(|s| {
        s.limits(|l| {
            l.budget = Budget::new(250);
            l.queue_full = QueueFull::Refuse;
        });
        s.open().cut().brings(hundred(Q1, "a")).brings(hundred(Q1, "b"));
        s.gives(&["queued", "queued"]);
        assert!(s.session().would_refuse(36));
        s.brings(hundred(Q1, "d")).gives(&["drop refused t=d", "refused"]);
    });
}

/// Others have taken it all, so there is nothing of its own to evict.
#[test]
fn session_without_a_share_of_the_budget_drops_the_newcomer() {
    Script::each(|s| {
        s.limits(|l| l.budget = Budget::new(99)).open().cut();
        s.brings(hundred(Q1, "a")).gives(&["drop queue_full t=a"]);
        assert_eq!(s.budget_used(), 0);
    });
}

#[test]
fn budget_is_given_back_when_messages_are_sent_dropped_or_expire() {
    Script::each(|s| {
        s.open().cut().brings(hundred(Q0, "a")).brings(hundred(Q1, "b").expires_after(1));
        s.gives(&["queued", "queued"]);
        assert_eq!(s.budget_used(), 200);
        s.after(2).open();
        s.gives(&["PUBLISH q0 t=a p=12345678901234567890123456789012345", "drop expired t=b"]);
        assert_eq!(s.budget_used(), 0);
    });
}

#[test]
fn end_drops_what_waited_and_gives_the_budget_back() {
    Script::each(|s| {
        s.limits(|l| l.inflight_max = NonZeroU16::MIN).open();
        s.brings(message(Q1, "a", "1")).brings(message(Q1, "b", "2"));
        s.gives(&["PUBLISH q1 id=1 t=a p=1", "queued"]);
        s.cut().brings(message(Q0, "c", "3")).gives(&["queued"]).ends();
        s.gives(&["drop session_ended t=a", "drop session_ended t=b", "drop session_ended t=c"]);
        assert_eq!(s.budget_used(), 0);
        assert_eq!((s.session().queued(), s.session().inflight()), ((0, 0), 0));
    });
}

#[test]
fn session_dropped_without_an_end_gives_the_budget_back() {
    Script::each(|s| {
        s.open().cut().brings(hundred(Q1, "a")).brings(hundred(Q0, "a"));
        s.gives(&["queued", "queued"]);
        assert_eq!(s.budget_used(), 200);
        s.is_dropped();
        assert_eq!(s.budget_used(), 0);
    });
}

/// What waits is the session's; what was sent at QoS 1 is unacknowledged, so anyone may get it.
/// [MQTT5-4.8.2-4]
#[test]
fn messages_of_a_shared_subscription_go_back_when_the_member_leaves() {
    Script::each(|s| {
        s.limits(|l| l.inflight_max = NonZeroU16::new(3).unwrap()).open();
        let share = |qos, topic| message(qos, topic, "1").shared("$share/g/+");
        s.brings(share(Q1, "a")).brings(share(Q2, "b")).brings(message(Q1, "c", "1"));
        s.brings(share(Q1, "d")).brings(message(Q1, "e", "1")).brings(share(Q2, "f"));
        s.gives(&[
            "PUBLISH q1 id=1 t=a p=1",
            "PUBLISH q2 id=2 t=b p=1",
            "PUBLISH q1 id=3 t=c p=1",
            "queued",
            "queued",
            "queued",
        ]);
        s.cut();
        s.gives(&[
            "undelivered $share/g/+ t=a",
            "undelivered $share/g/+ t=d",
            "undelivered $share/g/+ t=f",
        ]);
        assert_eq!(s.session().queued().0, 1);
        s.open().gives(&[
            "PUBLISH q2 id=2 dup t=b p=1",
            "PUBLISH q1 id=3 dup t=c p=1",
            "PUBLISH q1 id=4 t=e p=1",
        ]);
    });
}

/// [MQTT5-4.8.2-5]
#[test]
fn shared_qos_2_message_ends_with_its_session() {
    Script::each(|s| {
        let share = |qos, topic| message(qos, topic, "1").shared("$share/g/+");
        s.open().brings(share(Q2, "a")).brings(share(Q1, "b"));
        s.gives(&["PUBLISH q2 id=1 t=a p=1", "PUBLISH q1 id=2 t=b p=1"]);
        s.ends().gives(&["drop session_ended t=a", "undelivered $share/g/+ t=b"]);
    });
}

#[test]
fn bytes_in_flight_are_bounded_like_those_that_wait() {
    Script::each(|s| {
        s.limits(|l| l.queue_bytes_max = 100).open();
        // Of 36 bytes each, without a record: the third brings them past the bound.
        for id in ["1", "2", "3"] {
            s.brings(hundred(Q1, "a"));
            let line = format!("PUBLISH q1 id={id} t=a p=12345678901234567890123456789012345");
            s.gives(&[&line]);
        }
        s.brings(hundred(Q1, "a")).gives(&["queued"]);
        let line = "PUBLISH q1 id=4 t=a p=12345678901234567890123456789012345";
        s.sends(puback(1)).gives(&[line]);
    });
}
