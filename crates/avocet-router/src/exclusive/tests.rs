use super::*;

fn exclusive(text: &str) -> Filter {
    Filter::parse(text).unwrap()
}

#[test]
fn one_holder_at_a_time() {
    let claims = ExclusiveClaims::new();
    let (one, two) = (SubscriberId(1), SubscriberId(2));
    let (t, u) = (exclusive("$exclusive/t"), exclusive("$exclusive/u"));
    assert!(claims.claim(&t, one));
    assert!(claims.claim(&t, one), "a holder may claim again");
    assert!(!claims.claim(&t, two));
    assert!(claims.claim(&u, two), "another topic is another claim");
    assert!(!claims.release(&t, two));
    assert_eq!(claims.holder("t"), Some(one));
    assert!(claims.release(&t, one));
    assert!(!claims.release(&t, one));
    assert!(claims.claim(&t, two));
}

#[test]
fn holder_keeps_the_topic_until_its_last_subscription_is_gone() {
    let claims = ExclusiveClaims::new();
    let (one, two) = (SubscriberId(1), SubscriberId(2));
    let texts = ["$exclusive/t", "$local/$exclusive/t", "$exclusive/$local/t"];
    let filters = texts.map(exclusive);
    for filter in &filters {
        assert!(claims.claim(filter, one));
    }
    for filter in &filters {
        assert!(!claims.claim(filter, two));
        assert!(claims.release(filter, one));
        assert!(!claims.release(filter, one));
    }
    assert_eq!(claims.holder("t"), None);
    assert!(claims.claim(&filters[1], two));
}
