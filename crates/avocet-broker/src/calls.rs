//! How a shard hears of what others have done to its connections, even while it sleeps.

use std::{fmt, sync::Arc, task::Wake, task::Waker};

use crate::sync::Mutex;

/// Names a connection of a shard.
pub(crate) type Key = u32;

/// Why a connection is to have a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// Its wire has signals.
    Signalled(Key),
    /// Its stream, which is not one of the system's, is ready.
    Ready(Key),
}

/// The calls a shard has not answered yet: for each connection at most one of a kind, and one more
/// for a stream that is ready in both directions.
pub(crate) struct Calls {
    state: Mutex<State>,
    /// Wakes the shard.
    waker: Waker,
}

struct State {
    calls: Vec<Call>,
    /// The shard will not look here before it is woken.
    asleep: bool,
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").finish_non_exhaustive()
    }
}

impl Calls {
    pub(crate) fn new(waker: Waker) -> Self {
        Self { state: Mutex::new(State { calls: Vec::new(), asleep: false }), waker }
    }

    pub(crate) fn call(&self, call: Call) {
        let mut state = self.state.lock();
        state.calls.push(call);
        let asleep = std::mem::take(&mut state.asleep);
        drop(state);
        if asleep {
            self.waker.wake_by_ref();
        }
    }

    /// Has the shard look at what does not come through here.
    pub(crate) fn ring(&self) {
        let asleep = std::mem::take(&mut self.state.lock().asleep);
        if asleep {
            self.waker.wake_by_ref();
        }
    }

    /// Takes all calls; `calls` is empty. A shard that looks here is awake.
    pub(crate) fn take(&self, calls: &mut Vec<Call>) {
        let mut state = self.state.lock();
        state.asleep = false;
        std::mem::swap(&mut state.calls, calls);
    }

    /// Says that the shard is about to sleep; false if it may not, because of a call.
    pub(crate) fn doze(&self) -> bool {
        let mut state = self.state.lock();
        state.asleep = state.calls.is_empty();
        state.asleep
    }
}

/// Calls for one connection's stream.
pub(crate) struct Bell {
    calls: Arc<Calls>,
    key: Key,
}

impl Bell {
    pub(crate) fn waker(calls: &Arc<Calls>, key: Key) -> Waker {
        Arc::new(Self { calls: Arc::clone(calls), key }).into()
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.calls.call(Call::Ready(self.key));
    }
}
