use super::*;

#[test]
fn texts_keep_their_numbers_while_others_go() {
    let mut interner = Interner::default();
    let texts: Vec<_> = (0..8_000).map(|number| format!("text-{number}")).collect();
    let ids: Vec<_> = texts.iter().map(|text| intern(&mut interner, text)).collect();
    let bytes = held(&interner);
    for (text, &id) in texts.iter().zip(&ids).filter(|(_, id)| *id % 4 != 0) {
        assert_eq!(intern(&mut interner, text), id, "used twice");
        assert!(!interner.release(id, hash));
        assert!(interner.release(id, hash));
    }
    assert!(held(&interner) < bytes * 2 / 3, "pages were cleared");
    for (text, &id) in texts.iter().zip(&ids) {
        let found = interner.find(text.as_bytes(), hash(text.as_bytes()));
        assert_eq!(found, (id % 4 == 0).then_some(id));
    }
    let again = intern(&mut interner, "another");
    assert!((again as usize) < texts.len(), "numbers are used again");
}

#[test]
fn texts_longer_than_a_page_come_and_go() {
    let mut interner = Interner::default();
    let texts: Vec<_> = (0..50_usize).map(|n| n.to_string().repeat(1 + n * 600)).collect();
    for _ in 0..3 {
        let ids: Vec<_> = texts.iter().map(|text| intern(&mut interner, text)).collect();
        for (text, &id) in texts.iter().zip(&ids) {
            assert_eq!(interner.get(id), text.as_bytes());
        }
        for id in ids {
            assert!(interner.release(id, hash));
        }
        assert!(interner.is_empty());
        assert!(held(&interner) <= 70_000, "but for the page that is written");
    }
}

#[test]
fn texts_of_other_lengths_take_the_place_of_those_that_went() {
    let mut interner = Interner::default();
    let mut most = 0;
    for round in 1..10_usize {
        let text = |number| format!("{number}{}", "-".repeat(round));
        let ids: Vec<_> = (0..4_000).map(|n| intern(&mut interner, &text(n))).collect();
        most = most.max(held(&interner));
        for id in ids {
            assert!(interner.release(id, hash));
        }
    }
    assert!(most < 4_000 * (HEADER_BYTES + 14) + 2 * PAGE_BYTES, "{most}");
}

/// Bytes of all pages.
fn held(interner: &Interner) -> usize {
    interner.pages.iter().map(|page| page.bytes.capacity()).sum()
}

fn intern(interner: &mut Interner, text: &str) -> u32 {
    interner.intern(text.as_bytes(), hash(text.as_bytes()), hash)
}

/// Collisions on purpose.
fn hash(text: &[u8]) -> u64 {
    text.iter().map(|&byte| u64::from(byte)).sum()
}
