use super::*;

#[test]
fn texts_keep_their_numbers_while_others_go() {
    let mut interner = Interner::default();
    let texts: Vec<_> = (0..2_000).map(|number| format!("text-{number}")).collect();
    let ids: Vec<_> = texts.iter().map(|text| intern(&mut interner, text)).collect();
    let bytes = interner.bytes.len();
    for (text, &id) in texts.iter().zip(&ids).filter(|(_, id)| *id % 4 != 0) {
        assert_eq!(intern(&mut interner, text), id, "used twice");
        assert!(!interner.release(id, hash));
        assert!(interner.release(id, hash));
    }
    assert!(interner.bytes.len() < bytes * 2 / 3, "the arena was compacted");
    for (text, &id) in texts.iter().zip(&ids) {
        let found = interner.find(text.as_bytes(), hash(text.as_bytes()));
        assert_eq!(found, (id % 4 == 0).then_some(id));
    }
    let again = intern(&mut interner, "another");
    assert!((again as usize) < texts.len(), "numbers are used again");
}

#[test]
fn nothing_is_left_when_all_are_released() {
    let mut interner = Interner::default();
    let id = intern(&mut interner, "text");
    assert!(interner.release(id, hash));
    assert!(interner.is_empty());
    assert_eq!(interner.bytes.capacity() + interner.texts.capacity(), 0);
}

fn intern(interner: &mut Interner, text: &str) -> u32 {
    interner.intern(text.as_bytes(), hash(text.as_bytes()), hash)
}

/// Collisions on purpose.
fn hash(text: &[u8]) -> u64 {
    text.iter().map(|&byte| u64::from(byte)).sum()
}
