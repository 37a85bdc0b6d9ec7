use super::*;

#[test]
fn shares_are_the_whole_without_overlap() {
    for (count, of) in [(10, 3), (7, 7), (50_001, 4), (64, 5)] {
        let roles = (0..of).map(|index| Role::Part(Part { index, of }));
        let shares: Vec<_> = roles.map(|role| role.share(count).unwrap()).collect();
        assert_eq!((shares[0].start, shares.last().unwrap().end), (0, count));
        assert!(shares.windows(2).all(|pair| pair[0].end == pair[1].start));
        let lengths = || shares.iter().map(|share| share.end - share.start);
        assert!(lengths().max().unwrap() - lengths().min().unwrap() <= 1);
    }
}

#[test]
fn everyone_has_some() {
    assert!(Role::Parent(4).share(3).is_err());
    assert!(Role::Part(Part { index: 0, of: 4 }).share(3).is_err());
    assert_eq!(Role::Parent(4).share(4), Ok(0..4));
    assert_eq!(Role::Alone.share(0), Ok(0..0));
}

#[test]
fn role_is_on_the_command_line() {
    let role = |processes, part| ProcessArgs { processes, part }.role();
    assert_eq!(role(1, None), Role::Alone);
    assert_eq!(role(3, None), Role::Parent(3));
    assert_eq!(role(3, Some(2)), Role::Part(Part { index: 2, of: 3 }));
    assert!(role(3, Some(0)).shows_progress() && !role(3, Some(1)).shows_progress());
}
