//! Masks, which every frame of a client has (RFC 6455, section 5.3).

use ring::rand::{SecureRandom, SystemRandom};

use super::error;
use crate::layers::LayerError;

/// Masks for frames, none of which can be foretold from those before (section 10.3).
#[derive(Debug)]
pub(super) struct Masks {
    random: SystemRandom,
    /// Asking the system for each would cost more than the frame.
    pool: [u8; 64],
    used: usize,
}

impl Masks {
    pub(super) fn new() -> Self {
        Self { random: SystemRandom::new(), pool: [0; 64], used: 64 }
    }

    /// The mask of a frame.
    ///
    /// # Errors
    ///
    /// The system has no randomness.
    pub(super) fn next(&mut self) -> Result<[u8; 4], LayerError> {
        if self.used == self.pool.len() {
            self.random.fill(&mut self.pool).map_err(|_| error("no randomness for a mask"))?;
            self.used = 0;
        }
        let mask = std::array::from_fn(|at| self.pool[self.used + at]);
        self.used += 4;
        Ok(mask)
    }
}

/// Appends bytes, masked or unmasked, which is the same (section 5.3).
pub(super) fn append_masked(to: &mut Vec<u8>, bytes: &[u8], mask: [u8; 4]) {
    let start = to.len();
    to.extend_from_slice(bytes);
    let wide = u128::from_ne_bytes(std::array::from_fn(|at| mask[at % 4]));
    let (chunks, rest) = to[start..].as_chunks_mut::<16>();
    for chunk in chunks {
        *chunk = (u128::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests;
