use super::*;

fn listed(text: &str) -> Result<Vec<String>, String> {
    addresses(text).map(|list| list.iter().map(IpAddr::to_string).collect())
}

#[test]
fn ranges_hold_both_ends() {
    assert_eq!(listed("127.0.0.2").unwrap(), ["127.0.0.2"]);
    assert_eq!(
        listed("127.0.0.254-127.0.1.1").unwrap(),
        ["127.0.0.254", "127.0.0.255", "127.0.1.0", "127.0.1.1"]
    );
    assert_eq!(listed("fd00::ff-fd00::100").unwrap(), ["fd00::ff", "fd00::100"]);
}

#[test]
fn nonsense_is_no_range() {
    for text in ["", "localhost", "127.0.0.2-", "127.0.0.2-::1", "127.0.0.9-127.0.0.2"] {
        assert!(addresses(text).is_err(), "{text}");
    }
    assert!(addresses("10.0.0.0-10.255.255.255").is_err());
}

#[test]
fn sources_are_used_in_turn() {
    let args = SourceArgs {
        source: vec![addresses("127.0.0.2-127.0.0.3").unwrap(), addresses("127.0.0.9").unwrap()],
    };
    let sources = args.sources().unwrap();
    let used: Vec<String> = (0..4).map(|index| sources.of(index).unwrap().to_string()).collect();
    assert_eq!(used, ["127.0.0.2", "127.0.0.3", "127.0.0.9", "127.0.0.2"]);
    assert_eq!(Sources::default().of(7), None);
}

#[test]
fn more_addresses_have_more_ports() {
    assert_eq!(port_range("32768\t60999\n"), Some(PORTS));
    assert_eq!(port_range("none"), None);
    let one = Sources::default();
    assert_eq!(one.check(one.ports()), Ok(()));
    let refusal = one.check(one.ports() + 1).unwrap_err();
    assert!(refusal.contains("--source"), "{refusal}");
    let two = Sources(vec![Ipv4Addr::LOCALHOST.into(), Ipv4Addr::new(127, 0, 0, 2).into()]);
    assert_eq!(two.check(one.ports() + 1), Ok(()));
}

#[test]
fn every_connection_has_a_place_of_its_own() {
    let sources = Sources(vec![Ipv4Addr::LOCALHOST.into(), Ipv4Addr::new(127, 0, 0, 2).into()]);
    let ports = 1000..1003;
    let places = || (0..6).map(|index| sources.place_of(index, &ports).unwrap());
    assert_eq!(places().collect::<std::collections::HashSet<_>>().len(), 6);
    assert!(places().all(|place| ports.contains(&place.port())));
    assert_eq!(sources.place_of(6, &ports), sources.place_of(0, &ports));
    assert_eq!(Sources::default().place_of(0, &ports), None);
    assert_eq!(sources.place_of(0, &(7..7)), None);
}
