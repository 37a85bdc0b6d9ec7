use super::*;

#[test]
fn one_holder_at_a_time() {
    let claims = ExclusiveClaims::new();
    let (one, two) = (SubscriberId(1), SubscriberId(2));
    assert!(claims.claim("t", one));
    assert!(claims.claim("t", one), "a holder may claim again");
    assert!(!claims.claim("t", two));
    assert!(claims.claim("u", two), "another topic is another claim");
    assert!(!claims.release("t", two));
    assert_eq!(claims.holder("t"), Some(one));
    assert!(claims.release("t", one));
    assert!(!claims.release("t", one));
    assert!(claims.claim("t", two));
}
