use super::*;

/// Whether an alarm begins (`Some(true)`) or is over when so much of 1000 is used.
fn check(alarms: &Alarms, used: u64, max: u64) -> Option<bool> {
    let supply = Supply { id: "low", used, max, message: format!("{used} of {max}") };
    supply.check(alarms).map(|change| matches!(change, Change::Begun(_)))
}

#[test]
fn alarm_begins_at_the_high_mark_and_is_over_below_the_low_one() {
    let alarms = Alarms::default();
    let steps = [
        (0, None),
        (799, None),
        (800, Some(true)),
        (1000, None),
        (799, None),
        (600, None),
        (599, Some(false)),
        (0, None),
        (799, None),
        (5000, Some(true)),
    ];
    for (used, expected) in steps {
        assert_eq!(check(&alarms, used, 1000), expected, "{used}");
    }
    assert_eq!(&*alarms.active()[0].message, "5000 of 1000");
}

#[test]
fn what_has_no_bound_or_nothing_to_give_never_runs_out() {
    let alarms = Alarms::default();
    assert_eq!(check(&alarms, 0, 0), None);
    assert_eq!(check(&alarms, 5, 0), None);
    assert_eq!(check(&alarms, u64::MAX - 1, u64::MAX), None);
    assert_eq!(alarms.len(), 0);
}

#[test]
fn alarms_are_bounded_and_each_is_there_once() {
    let alarms = Alarms::default();
    for number in 0..2 * ALARMS_MAX {
        let begun = alarms.set(&number.to_string(), String::new());
        assert_eq!(begun.is_some(), number < ALARMS_MAX, "{number}");
    }
    assert_eq!(alarms.len(), ALARMS_MAX);
    assert!(alarms.clear("3").is_some() && alarms.clear("3").is_none());
    assert!(alarms.set("4", String::new()).is_none());
}

/// First space cannot be given back, then nothing can be stored.
#[test]
fn alarm_whose_reason_changes_is_told_again() {
    let alarms = Alarms::default();
    let told = |message: &str| match alarms.set_anew("low", message.to_owned()) {
        Some(Change::Begun(alarm)) => Some(alarm.message),
        Some(Change::Over(_)) => panic!("it is not over"),
        None => None,
    };
    assert_eq!(told("one"), Some("one".into()));
    assert_eq!(told("one"), None);
    assert_eq!(told("other"), Some("other".into()));
    assert_eq!(&*alarms.active()[0].message, "other");
    assert_eq!(alarms.len(), 1);
}
