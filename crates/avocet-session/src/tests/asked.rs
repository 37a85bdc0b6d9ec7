//! SUBSCRIBE packets that the store may refuse: what stands when it has answered.

use avocet_mqtt::{QoS, ReasonCode};

use super::{
    message::{Q0, Q1, Q2, subscribe},
    script::Script,
};

const GRANTED: [ReasonCode; 1] = [ReasonCode::GrantedQoS2];

/// A stored session that has asked for `a`: first, and again, as often as there are numbers.
fn asking(s: &mut Script, first: QoS, again: &[(u64, QoS)]) {
    s.stored().open();
    let once = [(1, first)];
    for (number, qos) in once.iter().chain(again) {
        s.session_mut().note_asked(*number, &subscribe(1, &[("a", *qos)]), &GRANTED);
        if *number == 1 {
            s.session_mut().confirm_asked(1);
        }
    }
}

fn stands(s: &Script) -> Option<QoS> {
    s.session().subscriptions.get("a").map(|held| held.options.qos)
}

fn take_back(s: &mut Script, number: u64) -> Vec<(Box<str>, Option<QoS>)> {
    let undone = s.session_mut().take_back(number).into_iter();
    undone.map(|it| (it.filter, it.stands.map(|(options, _)| options.qos))).collect()
}

#[test]
fn refused_subscription_gives_way_to_the_one_before_it() {
    Script::v5(|s| {
        asking(s, Q1, &[(2, Q2)]);
        assert_eq!(take_back(s, 2), [("a".into(), Some(Q1))]);
        assert_eq!(stands(s), Some(Q1));
        assert_eq!(take_back(s, 2), []);
    });
    Script::v5(|s| {
        s.stored().open();
        let request = subscribe(1, &[("b", Q0), ("a", Q0), ("a", Q1)]);
        let results = [ReasonCode::QuotaExceeded, ReasonCode::Success, ReasonCode::GrantedQoS1];
        s.session_mut().note_asked(1, &request, &results);
        assert_eq!(take_back(s, 1), [("a".into(), None), ("a".into(), None)]);
        assert!(!s.session().has_subscriptions());
    });
}

/// The same as the one that is refused: it was granted all the same.
#[test]
fn subscription_that_is_asked_for_again_stands_though_the_first_is_refused() {
    Script::v5(|s| {
        asking(s, Q1, &[(2, Q2), (3, Q2)]);
        assert_eq!(take_back(s, 2), []);
        s.session_mut().confirm_asked(3);
        assert_eq!(stands(s), Some(Q2));
    });
    // However the answers come.
    Script::v5(|s| {
        asking(s, Q1, &[(2, Q2), (3, Q2)]);
        s.session_mut().confirm_asked(3);
        assert_eq!(take_back(s, 2), []);
        assert_eq!(stands(s), Some(Q2));
    });
}

#[test]
fn what_was_there_before_two_that_are_refused_stands() {
    Script::v5(|s| {
        asking(s, Q1, &[(2, Q2), (3, Q0)]);
        assert_eq!(take_back(s, 2), []);
        assert_eq!(take_back(s, 3), [("a".into(), Some(Q1))]);
        assert_eq!(stands(s), Some(Q1));
    });
    Script::v5(|s| {
        asking(s, Q1, &[(2, Q2), (3, Q0)]);
        s.session_mut().confirm_asked(2);
        assert_eq!(take_back(s, 3), [("a".into(), Some(Q2))]);
    });
}

#[test]
fn subscription_that_was_taken_back_by_the_client_does_not_return() {
    Script::v5(|s| {
        asking(s, Q1, &[(2, Q2)]);
        s.forgets("a");
        assert_eq!(take_back(s, 2), []);
        assert_eq!(stands(s), None);
    });
}
