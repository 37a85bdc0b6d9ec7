use super::*;

#[derive(Debug)]
struct Held {
    hash: u32,
    text: Text,
}

impl Hashed for Held {
    fn hash(&self) -> u32 {
        self.hash
    }
}

impl Owner for Held {
    fn text_mut(&mut self) -> Option<&mut Text> {
        Some(&mut self.text)
    }

    fn has(&self, text: Text) -> bool {
        self.text == text
    }
}

#[derive(Default)]
struct Shelf {
    texts: Texts,
    owners: Table<Held>,
}

#[test]
fn texts_stay_with_their_owners_while_others_go() {
    let mut shelf = Shelf::default();
    let texts: Vec<_> = (0..8_000).map(|number| format!("text-{number}")).collect();
    texts.iter().for_each(|text| shelf.insert(text));
    let bytes = shelf.bytes();
    let stays = |number: usize| number.is_multiple_of(4);
    for (_, text) in texts.iter().enumerate().filter(|(number, _)| !stays(*number)) {
        assert!(shelf.remove(text));
    }
    assert!(shelf.bytes() < bytes * 2 / 3, "pages were cleared");
    for (number, text) in texts.iter().enumerate() {
        assert_eq!(shelf.has(text), stays(number));
    }
}

#[test]
fn texts_longer_than_a_page_come_and_go() {
    let mut shelf = Shelf::default();
    let texts: Vec<_> = (0..50_usize).map(|n| n.to_string().repeat(1 + n * 600)).collect();
    for _ in 0..3 {
        texts.iter().for_each(|text| shelf.insert(text));
        for text in &texts {
            assert!(shelf.has(text));
            assert!(shelf.remove(text));
        }
        assert!(shelf.owners.is_empty());
        assert!(shelf.bytes() <= 70_000, "but for the page that is written");
    }
}

#[test]
fn texts_of_other_lengths_take_the_place_of_those_that_went() {
    let mut shelf = Shelf::default();
    let mut most = 0;
    for round in 1..10_usize {
        let text = |number| format!("{number}{}", "-".repeat(round));
        (0..4_000).for_each(|n| shelf.insert(&text(n)));
        most = most.max(shelf.bytes());
        for n in 0..4_000 {
            assert!(shelf.remove(&text(n)));
        }
    }
    assert!(most < 4_000 * (HEADER_BYTES + 14) + 2 * PAGE_BYTES, "{most}");
}

/// One that stays keeps the whole from being given back at once.
#[test]
fn texts_that_go_as_soon_as_they_came_leave_nothing_beside_one_that_stays() {
    let mut shelf = Shelf::default();
    shelf.insert("stays");
    for number in 0..2_000 {
        let text = format!("{number}{}", "-".repeat(4_000));
        shelf.insert(&text);
        assert!(shelf.remove(&text));
    }
    assert!(shelf.has("stays"));
    assert!(shelf.bytes() <= 3 * PAGE_BYTES, "{} bytes", shelf.bytes());
}

impl Shelf {
    fn insert(&mut self, text: &str) {
        let hash = hash(text);
        let text = self.texts.write(hash, text.as_bytes());
        self.owners.insert(Held { hash, text });
    }

    fn has(&self, text: &str) -> bool {
        let is_it = |held: &Held| self.texts.get(held.text) == text.as_bytes();
        self.owners.find(hash(text), is_it).is_some()
    }

    fn remove(&mut self, text: &str) -> bool {
        let Self { texts, owners } = self;
        let is_it = |held: &Held| texts.get(held.text) == text.as_bytes();
        let Some(removed) = owners.remove(hash(text), is_it) else { return false };
        texts.release(removed.text, owners);
        true
    }

    /// Of all pages.
    fn bytes(&self) -> usize {
        self.texts.pages.iter().map(|page| page.bytes.capacity()).sum()
    }
}

/// Collisions on purpose.
fn hash(text: &str) -> u32 {
    text.bytes().map(u32::from).sum()
}
