use super::*;

#[test]
fn prefixes_are_taken_apart() {
    check("a/+/#", "a/+/#", None, "");
    check("$queue/t", "t", Some("$queue"), "");
    check("$share/g/t/#", "t/#", Some("g"), "");
    check("$local/t", "t", None, "local");
    check("$fastlane/t", "t", None, "fastlane");
    check("$exclusive/t", "t", None, "exclusive");
    check("$local/$share/g/t", "t", Some("g"), "local");
    check("$fastlane/$queue/t", "t", Some("$queue"), "fastlane");
    check("$local/$fastlane/$share/g//", "/", Some("g"), "local fastlane");
    check("$local/$exclusive/t", "t", None, "local exclusive");
    check("$exclusive/$fastlane/$local/t", "t", None, "local fastlane exclusive");
}

/// [MQTT3-3.10.4-1] [MQTT5-3.10.4-1]
#[test]
fn filters_are_the_same_if_their_texts_are() {
    let marks = ["$local/", "$fastlane/", "$exclusive/"];
    let mut texts = vec![String::new()];
    let longer = |texts: &[String]| -> Vec<String> {
        let pairs = texts.iter().flat_map(|text| marks.map(|mark| (text, mark)));
        pairs.filter(|(text, mark)| !text.contains(mark)).map(|(t, m)| format!("{t}{m}")).collect()
    };
    let mut latest = longer(&texts);
    while !latest.is_empty() {
        texts.extend(latest.clone());
        latest = longer(&latest);
    }
    assert_eq!(texts.len(), 16);
    let groups = ["", "$queue/", "$share/$queue/", "$share/g/"];
    let texts = texts.iter().flat_map(|marks| groups.map(|group| format!("{marks}{group}t")));
    let filters: Vec<(String, Filter)> =
        texts.filter_map(|text| Some((text.clone(), Filter::parse(&text).ok()?))).collect();
    for (text, filter) in &filters {
        assert_eq!(filter.to_string(), *text);
        assert_eq!(filters.iter().filter(|(_, other)| other == filter).count(), 1, "{text}");
    }
}

#[test]
fn dollar_alone_is_no_prefix() {
    check("$SYS/#", "$SYS/#", None, "");
    check("$share", "$share", None, "");
    check("$local", "$local", None, "");
    check("$queues/t", "$queues/t", None, "");
    check("a/$local/t", "a/$local/t", None, "");
}

#[test]
fn prefixes_stand_once_and_the_group_last() {
    refuse("$local/$local/t", FilterError::RepeatedPrefix);
    refuse("$local/$fastlane/$local/t", FilterError::RepeatedPrefix);
    refuse("$share/g/$local/t", FilterError::PrefixAfterShare);
    refuse("$share/g/$share/h/t", FilterError::PrefixAfterShare);
    refuse("$queue/$queue/t", FilterError::PrefixAfterShare);
    refuse("$queue/$share/g/t", FilterError::PrefixAfterShare);
    refuse("$exclusive/$share/g/t", FilterError::SharedExclusive);
    refuse("$exclusive/$queue/t", FilterError::SharedExclusive);
}

/// [MQTT5-4.8.2-1] [MQTT5-4.8.2-2]
#[test]
fn share_name_has_a_character_and_no_wildcard() {
    refuse("$share/", FilterError::ShareName);
    refuse("$share/g", FilterError::ShareName);
    refuse("$share//t", FilterError::ShareName);
    refuse("$share/+/t", FilterError::ShareName);
    refuse("$share/g#/t", FilterError::ShareName);
    refuse("$share/g/", FilterError::Empty);
    check("$share/$queue/t", "t", Some("$queue"), "");
}

/// [MQTT3-4.7.1-2] [MQTT5-4.7.1-1] [MQTT3-4.7.1-3] [MQTT5-4.7.1-2]
#[test]
fn wildcards_stand_alone_in_their_level() {
    for good in ["#", "+", "+/+", "a/#", "+/#", "/#", "/+", "+/a", "//"] {
        check(good, good, None, "");
    }
    for bad in ["a#", "#a", "#/a", "a/#/b", "##", "a/b#", "+#"] {
        refuse(bad, FilterError::MisplacedHash);
    }
    for bad in ["a+", "+a", "++", "a/b+/c"] {
        refuse(bad, FilterError::MisplacedPlus);
    }
}

/// [MQTT3-4.7.3-1] [MQTT5-4.7.3-1] [MQTT3-4.7.3-2] [MQTT5-4.7.3-2] [MQTT3-4.7.3-3] [MQTT5-4.7.3-3]
#[test]
fn filter_has_one_to_65535_bytes_and_no_null_character() {
    refuse("", FilterError::Empty);
    refuse("$queue/", FilterError::Empty);
    refuse("$local/", FilterError::Empty);
    refuse("a\0", FilterError::NullCharacter);
    refuse(&"a".repeat(65_536), FilterError::TooLong);
    assert!(Filter::parse(&"a".repeat(65_535)).is_ok());
}

#[test]
fn prefixes_stay_before_another_topic_filter() {
    for (text, other, expected) in [
        ("a", "m/a", "m/a"),
        ("$share/g/a/#", "m/a/#", "$share/g/m/a/#"),
        ("$queue/a", "m/+", "$queue/m/+"),
        ("$fastlane/$local/$share/g/+", "m/a", "$fastlane/$local/$share/g/m/a"),
        ("$exclusive/a", "m/a", "$exclusive/m/a"),
    ] {
        let filter = Filter::parse(text).unwrap().with_topic_filter(other).unwrap();
        assert_eq!(filter.to_string(), expected);
        assert_eq!(Filter::parse(expected), Ok(filter));
    }
    let filter = Filter::parse("$queue/a").unwrap();
    assert_eq!(filter.with_topic_filter(""), Err(FilterError::Empty));
    assert_eq!(filter.with_topic_filter("m#"), Err(FilterError::MisplacedHash));
    assert!(filter.with_topic_filter(&"a".repeat(65_528)).is_ok());
    assert_eq!(filter.with_topic_filter(&"a".repeat(65_529)), Err(FilterError::TooLong));
}

#[test]
fn a_reason_can_follow_another_sentence() {
    let reason = FilterError::Empty.to_string();
    assert_eq!(reason, "topic filter is empty");
}

#[track_caller]
fn check(text: &str, topic_filter: &str, group: Option<&str>, marks: &str) {
    let filter = Filter::parse(text).unwrap();
    assert_eq!((filter.topic_filter(), filter.group()), (topic_filter, group));
    for (name, is) in [
        ("local", filter.is_local()),
        ("fastlane", filter.is_fastlane()),
        ("exclusive", filter.is_exclusive()),
    ] {
        assert_eq!(is, marks.contains(name), "{name}");
    }
    assert_eq!(filter.has_wildcard(), topic_filter.contains(['+', '#']));
    assert_eq!(filter.to_string(), text);
}

#[track_caller]
fn refuse(text: &str, error: FilterError) {
    assert_eq!(Filter::parse(text), Err(error));
}
