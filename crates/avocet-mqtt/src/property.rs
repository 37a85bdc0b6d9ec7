//! The properties of 5.0 (section 2.2.2).

/// User properties in the order sent (section 2.2.2.2): names may repeat, order is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserProperties(Vec<(String, String)>);

impl UserProperties {
    /// Adds one at the end.
    pub fn push(&mut self, name: String, value: String) {
        self.0.push((name, value));
    }

    /// The pairs in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there are none; no memory is held then.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The properties of a PUBLISH (or will) that a server passes on unaltered: payload format
/// indicator, content type, response topic, correlation data, user properties
/// (sections 3.3.2.3.2, .3.3.2.3.5 to 3.3.2.3.9). Checked when decoded, then kept as bytes.
///
/// The bytes may have other properties between them (`mixed`); these are passed over by everything
/// here.
#[derive(Clone, Copy, Debug, Default)]
pub struct ForwardedProperties<'a> {
    raw: &'a [u8],
    len: usize,
}

/// [`ForwardedProperties`] that own their bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedProperties(Box<[u8]>);
