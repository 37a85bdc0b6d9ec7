use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is given up, what is left is found where it was put.
    #[test]
    fn bytes_are_found_by_their_position_until_they_are_given_up(
        steps in prop::collection::vec(
            (0..400_usize, 0..4_usize, prop::bool::weighted(0.02)),
            0..300,
        ),
    ) {
        let mut log = Log::new();
        let mut kept: VecDeque<(u64, Vec<u8>)> = VecDeque::new();
        for (number, (length, gone, shrinks)) in steps.into_iter().enumerate() {
            let bytes = vec![u8::try_from(number % 251).unwrap(); length];
            kept.push_back((log.push(&bytes), bytes));
            // Now and then all, so that it begins again.
            let gone = if number % 50 == 49 { kept.len() } else { gone.min(kept.len()) };
            log.give_up(kept.drain(..gone).map(|(_, bytes)| bytes.len()).sum());
            if shrinks {
                log.shrink();
                prop_assert_eq!(log.gone, 0);
            }
            prop_assert_eq!(log.len(), kept.iter().map(|(_, bytes)| bytes.len()).sum::<usize>());
            for (position, bytes) in &kept {
                prop_assert_eq!(log.get(*position, bytes.len()), &bytes[..]);
            }
            // No more memory than twice what is there, beside what is always kept.
            prop_assert!(log.bytes.len() <= (2 * log.len()).max(log.len() + MOVED_MIN));
        }
    }
}

#[test]
fn large_buffer_is_given_back_when_it_runs_empty() {
    let mut log = Log::new();
    log.push(&[0; KEPT_MAX]);
    log.give_up(KEPT_MAX);
    assert_eq!((log.len(), log.bytes.capacity()), (0, KEPT_MAX));
    log.push(&[0; KEPT_MAX + 1]);
    log.give_up(KEPT_MAX + 1);
    assert_eq!((log.len(), log.bytes.capacity()), (0, 0));
}

#[test]
fn what_is_not_there_is_empty() {
    let mut log = Log::new();
    let position = log.push(b"abc");
    assert_eq!(log.get(position, 3), b"abc");
    assert_eq!(log.get(position + 1, 2), b"bc");
    assert_eq!((log.get(position, 4), log.get(position + 9, 1)), (&b""[..], &b""[..]));
}
