use super::*;

fn template(text: &str) -> MountpointTemplate {
    MountpointTemplate::parse(text).unwrap()
}

fn mountpoint(text: &str) -> Mountpoint {
    template(text).of("c", None).unwrap()
}

#[track_caller]
fn refuse(text: &str, error: MountpointError) {
    assert_eq!(MountpointTemplate::parse(text), Err(error), "{text}");
}

#[track_caller]
fn check(text: &str, client_id: &str, username: Option<&str>, prefix: Result<&str, Unmountable>) {
    let mountpoint = template(text).of(client_id, username);
    assert_eq!(mountpoint.as_ref().map(Mountpoint::as_str), prefix.as_ref().copied(), "{text}");
}

#[test]
fn mountpoint_is_a_prefix_of_topic_names_that_ends_with_a_slash() {
    for text in ["a/", "/", "a/b c/", "a//", "a/$b/", "%/", "100%/"] {
        check(text, "c", None, Ok(text));
    }
    refuse("", MountpointError::Empty);
    refuse("a", MountpointError::OpenEnd);
    refuse("a/${clientid}", MountpointError::OpenEnd);
    refuse("+/", MountpointError::Wildcard);
    refuse("a/#/", MountpointError::Wildcard);
    refuse("a\0/", MountpointError::NulCharacter);
    refuse("$SYS/", MountpointError::Dollar);
    refuse("$share/g/", MountpointError::Dollar);
    refuse("$${clientid}/", MountpointError::Dollar);
    refuse(&format!("{}/", "a".repeat(65_534)), MountpointError::TooLong);
    check(&format!("{}/", "a".repeat(65_533)), "c", None, Ok(&format!("{}/", "a".repeat(65_533))));
}

#[test]
fn variables_are_those_of_the_client() {
    for text in ["s/${clientid}/${username}/", "s/%c/%u/", "s/${clientid}/%u/"] {
        check(text, "c", Some("u"), Ok("s/c/u/"));
    }
    check("${clientid}/", "c", None, Ok("c/"));
    check("a-${clientid}-b/", "c", None, Ok("a-c-b/"));
    for text in ["${client}/", "a/${clientid/", "${}/", "${ clientid}/", "${clientid}/${x}/", "${/"]
    {
        refuse(text, MountpointError::UnknownVariable);
    }
    for text in ["%c%u/", "${clientid}-${username}/", "a/b%c-%c/c/"] {
        refuse(text, MountpointError::CrowdedLevel);
    }
    // What stands for a variable is not looked at again.
    check("a/${clientid}/", "${username}", Some("u"), Ok("a/${username}/"));
    check("a/%c/", "%u", Some("u"), Ok("a/%u/"));
}

#[test]
fn client_cannot_choose_another_part_of_the_tree() {
    for bad in ["", "/", "a/b", "a/", "/a", "+", "a+", "#", "a#", "a\0"] {
        check("s/${clientid}/", bad, None, Err(Unmountable::ClientId));
        check("s/${username}/", "c", Some(bad), Err(Unmountable::Username));
    }
    for bad in ["$SYS", "$share", "$delayed", "$"] {
        check("${clientid}/", bad, None, Err(Unmountable::ClientId));
        check("${username}/", "c", Some(bad), Err(Unmountable::Username));
        check("s/${clientid}/", bad, None, Ok(&format!("s/{bad}/")));
    }
    check("s/${username}/", "c", None, Err(Unmountable::NoUsername));
    check("${clientid}/", &"a".repeat(65_534), None, Err(Unmountable::TooLong));
    // Where they are not asked for they may be anything.
    check("s/", "a/#", Some("+/b"), Ok("s/"));
}

#[test]
fn topics_go_under_the_mountpoint_and_come_back() {
    let mountpoint = mountpoint("m/n/");
    for (topic, mounted) in [
        ("a", "m/n/a"),
        ("/", "m/n//"),
        ("m/n/a", "m/n/m/n/a"),
        ("$delayed/5/a", "$delayed/5/m/n/a"),
        ("$delayed/5//", "$delayed/5/m/n//"),
        ("$share/g/a", "m/n/$share/g/a"),
        ("$local/a", "m/n/$local/a"),
        ("$SYSa", "m/n/$SYSa"),
        ("$delayed", "m/n/$delayed"),
    ] {
        assert_eq!(mountpoint.mount(topic).as_deref(), Ok(mounted));
        if !mounted.starts_with('$') {
            assert_eq!(mountpoint.unmount(mounted), topic);
        }
    }
    for refused in ["$SYS", "$SYS/a", "$delayed/5", "$delayed/5/", "$delayed//a", "$delayed/5/$a"] {
        assert_eq!(mountpoint.mount(refused).as_deref(), Ok(refused));
    }
    for (filter, mounted) in [("#", "m/n/#"), ("+/a", "m/n/+/a"), ("$SYS/#", "$SYS/#")] {
        assert_eq!(mountpoint.mount_filter(filter).as_deref(), Ok(mounted));
    }
}

#[test]
fn what_lies_elsewhere_is_told_whole() {
    let mountpoint = mountpoint("m/");
    for topic in ["a", "m", "m/", "ma/b", "M/a", "a/m/b", "$SYS/a", "m/$SYS", "m/$SYS/a"] {
        assert_eq!(mountpoint.unmount(topic), topic);
    }
}

#[test]
fn mounted_topic_has_at_most_65535_bytes() {
    let mountpoint = mountpoint("m/");
    let topic = "é".repeat(32_766);
    assert_eq!(mountpoint.mount(&format!("{topic}a")).map(|it| it.len()), Ok(65_535));
    assert_eq!(mountpoint.mount(&format!("{topic}ab")), Err(TopicTooLong));
    assert_eq!(mountpoint.mount_filter(&format!("{topic}ab")), Err(TopicTooLong));
    assert_eq!(mountpoint.mount(&format!("$delayed/1/{topic}")), Err(TopicTooLong));
}

#[test]
fn error_says_what_would_be_right() {
    assert_eq!(MountpointError::OpenEnd.to_string(), "must end with '/'");
}
