use super::*;

#[test]
fn elements_stay_where_they_are_and_the_last_come_off_again() {
    let mut chunks = Chunks::default();
    assert_eq!((chunks.len(), chunks.pop()), (0, None));
    let first = chunks.push(0);
    for number in 1..4_096 {
        assert_eq!(chunks.push(number), number);
    }
    let place = std::ptr::from_ref(&chunks[first]);
    for number in 4_096..10_000 {
        assert_eq!(chunks.push(number), number);
    }
    assert_eq!(place, std::ptr::from_ref(&chunks[first]));
    chunks[5_000] = 7;
    assert_eq!((chunks.get(5_000), chunks.get(10_000)), (Some(&7), None));
    for number in (0..10_000).rev() {
        assert_eq!(chunks.len(), number as usize + 1);
        assert!(chunks.pop().is_some());
    }
    assert!(chunks.is_empty());
}

#[test]
fn little_is_kept_ready() {
    let mut chunks = Chunks::default();
    for number in 0..9_000_u32 {
        chunks.push(number);
    }
    let capacity: usize = chunks.chunks.iter().map(Vec::capacity).sum();
    assert!(capacity <= 9_000 + 9_000 / 8, "{capacity}");
}
