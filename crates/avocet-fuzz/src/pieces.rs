//! A stream of bytes as it may arrive: in pieces of any length.

/// Cuts bytes into pieces whose lengths are chosen by the fuzzer; at least one byte each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pieces<'a> {
    rest: &'a [u8],
    lengths: [u8; 4],
    next: usize,
}

impl<'a> Pieces<'a> {
    pub(crate) fn of(bytes: &'a [u8], lengths: [u8; 4]) -> Self {
        Self { rest: bytes, lengths, next: 0 }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let len = usize::from(self.lengths[self.next % 4]).max(1).min(self.rest.len());
        self.next += 1;
        let (piece, rest) = self.rest.split_at(len);
        self.rest = rest;
        Some(piece)
    }
}

/// The lengths of pieces at the beginning of an input, and the rest of it.
pub(crate) fn lengths(data: &[u8]) -> Option<([u8; 4], &[u8])> {
    data.split_first_chunk().map(|(lengths, rest)| (*lengths, rest))
}
