//! Looking at a running broker without changing it.

use std::sync::{Arc, atomic::Ordering};

use crate::{Alarm, MetricsSnapshot, broker::Shared};

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

    /// What somebody should look at now, the oldest first.
    #[must_use]
    pub fn alarms(&self) -> Vec<Alarm> {
        self.shared.alarms.active()
    }

    /// Why nothing can be stored, if so: messages that would have to be are refused.
    #[must_use]
    pub fn store_failure(&self) -> Option<String> {
        self.shared.keeper.as_ref()?.store().failure()
    }

    /// Whether the broker takes no more connections and is about to end.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.shared.is_stopping.load(Ordering::Relaxed)
    }
}
