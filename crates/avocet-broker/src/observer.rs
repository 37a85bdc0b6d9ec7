//! Looking at a running broker without changing it.

use std::sync::{Arc, atomic::Ordering};

use crate::{MetricsSnapshot, broker::Shared};

/// Sees what a running broker does. Cheap to clone; one that outlives the broker sees it as it was
/// when it stopped.
#[derive(Clone, Debug)]
pub struct Observer {
    shared: Arc<Shared>,
}

impl Observer {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// What was counted.
    #[must_use]
    pub fn metrics(&self) -> MetricsSnapshot {
        MetricsSnapshot::take(&self.shared)
    }

    /// Whether the broker takes no more connections and is about to end.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.shared.is_stopping.load(Ordering::Relaxed)
    }
}
