use proptest::prelude::*;

use super::*;

/// [MQTT3-4.7.1-1] [MQTT5-4.7.0-1] [MQTT3-4.7.3-1] [MQTT5-4.7.3-1] [MQTT3-4.7.3-2] [MQTT5-4.7.3-2]
/// [MQTT3-4.7.3-3] [MQTT5-4.7.3-3]
#[test]
fn names_are_checked() {
    let longest = "x".repeat(TOPIC_BYTES_MAX);
    for name in ["a", "/", "//", "$SYS/a", "a b", "ä/\u{FEFF}", &longest] {
        assert_eq!(check_name(name), Ok(()), "{name}");
    }
    let too_long = "x".repeat(TOPIC_BYTES_MAX + 1);
    for (name, error) in [
        ("", TopicError::Empty),
        (&*too_long, TopicError::TooLong),
        ("a\0", TopicError::NulCharacter),
        ("a/+", TopicError::WildcardInName),
        ("a#", TopicError::WildcardInName),
    ] {
        assert_eq!(check_name(name), Err(error));
        assert!(!error.to_string().is_empty());
    }
}

/// [MQTT3-4.7.1-2] [MQTT3-4.7.1-3] [MQTT5-4.7.1-1] [MQTT5-4.7.1-2] [MQTT3-4.7.3-1] [MQTT5-4.7.3-1]
/// [MQTT3-4.7.3-2] [MQTT5-4.7.3-2] [MQTT3-4.7.3-3] [MQTT5-4.7.3-3]
#[test]
fn filters_are_checked() {
    let longest = "x".repeat(TOPIC_BYTES_MAX);
    for filter in ["a", "#", "+", "a/#", "/#", "+/+", "+/a/#", "a/+/b", "/+", "$share", &longest] {
        assert_eq!(check_filter(filter), Ok(()), "{filter}");
    }
    let too_long = "x".repeat(TOPIC_BYTES_MAX + 1);
    for (filter, error) in [
        ("", TopicError::Empty),
        (&*too_long, TopicError::TooLong),
        ("+\0", TopicError::NulCharacter),
        ("a#", TopicError::WildcardNotAlone),
        ("a/b#", TopicError::WildcardNotAlone),
        ("##", TopicError::WildcardNotAlone),
        ("a+", TopicError::WildcardNotAlone),
        ("a/+b/c", TopicError::WildcardNotAlone),
        ("#/a", TopicError::MultiLevelNotLast),
        ("a/#/b", TopicError::MultiLevelNotLast),
        ("#/", TopicError::MultiLevelNotLast),
    ] {
        assert_eq!(check_filter(filter), Err(error), "{filter}");
    }
}

/// [MQTT3-4.7.2-1] [MQTT5-4.7.2-1] [MQTT3-4.7.3-4] [MQTT5-4.7.3-4]
#[test]
fn filters_match_topics() {
    for (filter, topic, expected) in [
        ("a/b", "a/b", true),
        ("a/b", "a/B", false),
        ("a/b", "a/b/", false),
        ("a/b", "a", false),
        ("a/#", "a", true),
        ("a/#", "a/", true),
        ("a/#", "a/b/c", true),
        ("a/#", "ab", false),
        ("#", "a/b", true),
        ("#", "/", true),
        ("+", "a", true),
        ("+", "a/b", false),
        ("+", "/a", false),
        ("+/+", "/a", true),
        ("/+", "/a", true),
        ("a/+", "a", false),
        ("a/+", "a/", true),
        ("a/+/#", "a/b", true),
        ("a/+/#", "a", false),
        ("#", "$SYS/a", false),
        ("+/a", "$SYS/a", false),
        ("$SYS/#", "$SYS/a", true),
        ("$SYS/+", "$SYS/a", true),
        ("a/#", "a/$SYS", true),
        ("\u{E4}", "a\u{308}", false),
    ] {
        assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
    }
}

#[test]
fn levels_are_between_slashes() {
    assert_eq!(levels("/a//b/").collect::<Vec<_>>(), ["", "a", "", "b", ""]);
    assert_eq!(level_count("/a//b/"), 5);
    assert_eq!(level_count("a"), 1);
}

/// The definition, by recursion.
fn slow_matches(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        (["#"], _) | ([], []) => true,
        ([wanted, filter @ ..], [level, topic @ ..]) => {
            (*wanted == "+" || wanted == level) && slow_matches(filter, topic)
        }
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn matching_agrees_with_its_definition(filter in "[ab+#/$]{1,8}", topic in "[ab/$]{1,8}") {
        prop_assume!(check_filter(&filter).is_ok());
        let parts: (Vec<_>, Vec<_>) = (levels(&filter).collect(), levels(&topic).collect());
        let hidden = topic.starts_with('$') && filter.starts_with(['+', '#']);
        prop_assert_eq!(matches(&filter, &topic), !hidden && slow_matches(&parts.0, &parts.1));
    }

    #[test]
    fn valid_names_are_valid_filters(name in "[ab+#/\0]{0,6}") {
        if check_name(&name).is_ok() {
            prop_assert_eq!(check_filter(&name), Ok(()));
            prop_assert!(matches(&name, &name));
        }
    }
}
