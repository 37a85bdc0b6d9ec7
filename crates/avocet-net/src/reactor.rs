//! Which sockets of a thread are ready.

use std::{fmt, io, os::fd::AsRawFd, sync::Arc, task::Wake, task::Waker, time::Duration};

use mio::{Events, Interest, Poll, Token, event::Event, unix::SourceFd};

use crate::{Socket, socket::Stream};

/// News taken from the system in one go.
const EVENTS_MAX: usize = 1024;
/// The news that the thread itself is wanted.
const WAKE: Token = Token(usize::MAX);

/// Waits for one thread's sockets, and for who wants the thread itself.
pub struct Reactor {
    poll: Poll,
    events: Events,
    waker: Waker,
}

/// What has become possible with a socket, since it was last found impossible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// There may be something to read.
    pub readable: bool,
    /// There may be room for what is written.
    pub writable: bool,
    /// The other side sends no more: whoever reads learns that after what it has sent.
    pub finished: bool,
}

impl Readiness {
    /// Anything may have happened.
    pub const ALL: Self = Self { readable: true, writable: true, finished: false };
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor").finish_non_exhaustive()
    }
}

impl Reactor {
    /// Watches nothing yet.
    ///
    /// # Errors
    ///
    /// The system is out of what that needs.
    pub fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(ReactorWaker(mio::Waker::new(poll.registry(), WAKE)?)).into();
        Ok(Self { poll, events: Events::with_capacity(EVENTS_MAX), waker })
    }

    /// Ends [`wait`](Self::wait), from whichever thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// From now on `wait` tells of this socket by its key; `usize::MAX` is the waker's. What the
    /// socket can do at the beginning is news, too. A pipe is not the system's: it calls its own
    /// waker instead.
    ///
    /// # Errors
    ///
    /// The system is out of what it needs to watch one more.
    pub fn watch(
        &self,
        socket: &Socket,
        key: usize,
        pipe_waker: impl FnOnce() -> Waker,
    ) -> io::Result<()> {
        let descriptor = match &socket.stream {
            Stream::Tcp(stream) => stream.as_raw_fd(),
            Stream::Unix(stream) => stream.as_raw_fd(),
            Stream::Pipe(end) => {
                end.watch(pipe_waker());
                return Ok(());
            }
        };
        let interests = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut SourceFd(&descriptor), Token(key), interests)
    }

    /// Waits for news, for no longer than this, and tells what there is.
    ///
    /// # Errors
    ///
    /// What the system says; being interrupted is no error.
    pub fn wait(
        &mut self,
        timeout: Duration,
        mut ready: impl FnMut(usize, Readiness),
    ) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        for event in self.events.iter().filter(|event| event.token() != WAKE) {
            ready(event.token().0, Readiness::of(event));
        }
        Ok(())
    }
}

impl Readiness {
    fn of(event: &Event) -> Self {
        let finished = event.is_read_closed() || event.is_error();
        Self {
            readable: event.is_readable() || finished,
            writable: event.is_writable() || event.is_write_closed() || event.is_error(),
            finished,
        }
    }
}

struct ReactorWaker(mio::Waker);

impl Wake for ReactorWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // It fails for a reactor that is gone, and nobody waits there.
        self.0.wake().ok();
    }
}

#[cfg(test)]
mod tests;
