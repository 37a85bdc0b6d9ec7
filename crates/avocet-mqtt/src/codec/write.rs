//! Writing the data types of section 1.5, or only counting what they would take.

/// Appends to a buffer, or counts. The same description of a packet serves both, so that a length
/// never disagrees with the bytes.
pub(crate) struct Writer<'a> {
    out: Option<&'a mut Vec<u8>>,
    len: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn append(out: &'a mut Vec<u8>) -> Self {
        Self { out: Some(out), len: 0 }
    }

    /// How many bytes `write` writes.
    pub(crate) fn count(write: impl Fn(&mut Writer<'_>)) -> usize {
        let mut counter = Writer { out: None, len: 0 };
        write(&mut counter);
        counter.len
    }

    #[inline]
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.len += bytes.len();
        if let Some(out) = &mut self.out {
            out.extend_from_slice(bytes);
        }
    }

    #[inline]
    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    #[inline]
    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    #[inline]
    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn variable(&mut self, value: usize) {
        let (bytes, len) = variable_bytes(value);
        self.bytes(&bytes[..len]);
    }

    /// What `write` writes, after its length as a variable byte integer.
    pub(crate) fn counted(&mut self, write: impl Fn(&mut Writer<'_>)) {
        self.variable(Writer::count(&write));
        write(self);
    }

    pub(crate) fn binary(&mut self, bytes: &[u8]) {
        let bytes = &bytes[..bytes.len().min(FIELD_BYTES_MAX)];
        self.u16(length_u16(bytes));
        self.bytes(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.binary(cut(text).as_bytes());
    }
}

/// The longest string or binary data a packet can hold.
pub(crate) const FIELD_BYTES_MAX: usize = u16::MAX as usize;

/// The longest beginning that a string field can hold; whole characters only.
#[inline]
pub(crate) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(FIELD_BYTES_MAX)]
}

/// The length field of bytes that are already short enough.
#[inline]
pub(crate) fn length_u16(bytes: &[u8]) -> u16 {
    u16::try_from(bytes.len()).unwrap_or(u16::MAX)
}

/// How many bytes a variable byte integer takes.
#[inline]
pub(crate) fn variable_len(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

/// A variable byte integer, and how many of the four bytes it takes; only as many as it needs.
#[inline]
pub(crate) fn variable_bytes(value: usize) -> ([u8; 4], usize) {
    let len = variable_len(value); // [MQTT5-1.5.5-1]
    let mut bytes = [0; 4];
    for (i, byte) in bytes[..len].iter_mut().enumerate() {
        let more = if i + 1 < len { 0x80 } else { 0 };
        *byte = ((value >> (7 * i)) & 0x7F) as u8 | more;
    }
    (bytes, len)
}
