//! What most sessions do without.

use std::{
    fmt,
    ops::{Deref, DerefMut},
};

/// Something that is as good as not there while it is empty. It takes memory from when it is first
/// changed, and until it is let go.
pub(crate) struct Seldom<T>(Option<Box<T>>);

/// What can be empty.
pub(crate) trait Empty: Default + 'static {
    /// The empty one.
    fn empty() -> &'static Self;
}

impl<T> Seldom<T> {
    /// What is there, to be changed only if it is.
    #[inline]
    pub(crate) fn held(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }
}

impl<T> Default for Seldom<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Empty> Deref for Seldom<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match &self.0 {
            Some(held) => held,
            None => T::empty(),
        }
    }
}

impl<T: Empty> DerefMut for Seldom<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

impl<T: fmt::Debug> fmt::Debug for Seldom<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
