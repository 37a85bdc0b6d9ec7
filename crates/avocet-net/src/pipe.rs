//! A stream within the process: what one end writes the other reads. It behaves like a socket, so
//! that what comes from elsewhere (a QUIC stream, a test's million clients) is served alike.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, Waker, ready},
};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::Peer;

/// One end of a stream. The other end's reader learns that it is gone.
#[derive(Debug)]
pub struct PipeEnd {
    inward: Arc<Direction>,
    outward: Arc<Direction>,
    /// Who is at the other end.
    peer: Peer,
    is_verified: bool,
    /// To be woken when there is something to read, or room, that was not there before.
    watcher: OnceLock<Waker>,
}

/// Both ends of a stream that holds at most `capacity` bytes in each direction; each is told who
/// the other is.
#[must_use]
pub fn pipe(capacity: usize, peers: [Peer; 2]) -> (PipeEnd, PipeEnd) {
    let [one, other] = [Arc::new(Direction::new(capacity)), Arc::new(Direction::new(capacity))];
    let first = PipeEnd::new(&one, &other, peers[0]);
    (first, PipeEnd::new(&other, &one, peers[1]))
}

/// Bytes on their way in one direction. Holds no buffer while there are none.
#[derive(Debug)]
struct Direction {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bytes: VecDeque<u8>,
    /// Nothing more is written.
    finished: bool,
    /// Nothing more is read.
    abandoned: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Waits until nothing more is read.
    watcher: Option<Waker>,
}

impl Direction {
    fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), state: Mutex::default() }
    }

    /// Who has read all there is leaves the watcher, to be woken by what comes, and be it the end.
    fn read(&self, buffer: &mut [u8], watcher: Option<&Waker>) -> io::Result<usize> {
        let mut state = self.state.lock();
        if state.bytes.is_empty() && !state.finished {
            state.reader = watcher.cloned().or(state.reader.take());
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = state.bytes.len().min(buffer.len());
        let (front, back) = state.bytes.as_slices();
        let first = front.len().min(count);
        buffer[..first].copy_from_slice(&front[..first]);
        buffer[first..count].copy_from_slice(&back[..count - first]);
        let mut reader = None;
        if count == state.bytes.len() {
            state.bytes = VecDeque::new();
            if state.finished && count > 0 {
                reader = watcher.cloned();
            } else {
                state.reader = watcher.cloned();
            }
        } else {
            state.bytes.drain(..count);
        }
        let writer = if count > 0 { state.writer.take() } else { None };
        drop(state);
        wake(reader);
        wake(writer);
        Ok(count)
    }

    fn poll_read(&self, cx: &Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        {
            let mut state = self.state.lock();
            if state.bytes.is_empty() && !state.finished {
                set(&mut state.reader, cx);
                return Poll::Pending;
            }
        }
        Poll::Ready(self.read(buffer, None))
    }

    /// Who finds too little room leaves the watcher.
    fn write(&self, pieces: &[io::IoSlice<'_>], watcher: Option<&Waker>) -> io::Result<usize> {
        let mut state = self.state.lock();
        if state.abandoned || state.finished {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut room = self.capacity.saturating_sub(state.bytes.len());
        let mut taken = 0;
        for piece in pieces {
            let count = piece.len().min(room);
            state.bytes.extend(&piece[..count]);
            room -= count;
            taken += count;
        }
        let wanted = pieces.iter().map(|piece| piece.len()).sum();
        if taken < wanted && watcher.is_some() {
            state.writer = watcher.cloned();
        }
        if taken == 0 && wanted > 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let reader = state.reader.take();
        drop(state);
        wake(reader);
        Ok(taken)
    }

    fn poll_writable(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.bytes.len() < self.capacity || state.abandoned || state.finished {
            return Poll::Ready(());
        }
        set(&mut state.writer, cx);
        Poll::Pending
    }

    /// The writer's last word.
    fn finish(&self) {
        let mut state = self.state.lock();
        state.finished = true;
        let reader = state.reader.take();
        drop(state);
        wake(reader);
    }

    /// The reader's.
    fn abandon(&self) {
        let mut state = self.state.lock();
        state.abandoned = true;
        state.bytes = VecDeque::new();
        let wakers = [state.writer.take(), state.watcher.take()];
        drop(state);
        wakers.into_iter().for_each(wake);
    }

    #[cfg(feature = "quic")]
    fn poll_abandoned(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.abandoned {
            return Poll::Ready(());
        }
        set(&mut state.watcher, cx);
        Poll::Pending
    }
}

fn set(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl PipeEnd {
    fn new(inward: &Arc<Direction>, outward: &Arc<Direction>, peer: Peer) -> Self {
        let (inward, outward) = (Arc::clone(inward), Arc::clone(outward));
        Self { inward, outward, peer, is_verified: false, watcher: OnceLock::new() }
    }

    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Says that who is at the other end has proved who it is, or has not.
    #[must_use]
    pub fn verified(mut self, is_verified: bool) -> Self {
        self.is_verified = is_verified;
        self
    }

    pub(crate) fn is_verified(&self) -> bool {
        self.is_verified
    }

    /// From now on this waker is woken when there is something to read where there was nothing,
    /// or room where there was none; and at once.
    pub(crate) fn watch(&self, waker: Waker) {
        self.watcher.get_or_init(|| waker).wake_by_ref();
    }

    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inward.read(buffer, self.watcher.get())
    }

    pub(crate) fn send(&self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.outward.write(pieces, self.watcher.get())
    }

    /// Waits until the other end has ended the stream. What it wrote before can still be read.
    #[cfg(feature = "quic")]
    pub(crate) async fn ended(&self) {
        std::future::poll_fn(|cx| self.outward.poll_abandoned(cx)).await;
    }

    /// Ends both directions. What was written can still be read at the other end.
    pub(crate) fn shut_down(&self) {
        self.outward.finish();
        self.inward.abandon();
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        self.shut_down();
    }
}

impl AsyncRead for &PipeEnd {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.inward.poll_read(cx, buffer.initialize_unfilled());
        read.map_ok(|count| buffer.advance(count))
    }
}

impl AsyncWrite for &PipeEnd {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.outward.poll_writable(cx));
            match self.outward.write(&[io::IoSlice::new(bytes)], None) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outward.finish();
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
