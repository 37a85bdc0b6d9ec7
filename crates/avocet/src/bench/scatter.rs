//! Numbers in an order in which neighbours are far apart, so that what is done with one does not
//! make the next cheaper.

/// All numbers below a count, each once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scatter {
    count: u64,
    step: u64,
}

impl Scatter {
    pub(super) fn of(count: u64) -> Self {
        // The golden section of the count: each step goes far, and far from all before it.
        let start = (count as f64 * 0.618) as u64 + 1;
        let step = (start..).find(|&step| divisor(step, count) == 1).unwrap_or(1);
        Self { count, step }
    }

    /// The number at a place; after the last the first comes again.
    pub(super) fn at(&self, place: u64) -> u64 {
        place % self.count * self.step % self.count
    }
}

/// The greatest that divides both.
fn divisor(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { divisor(other, one % other) }
}

#[cfg(test)]
mod tests;
