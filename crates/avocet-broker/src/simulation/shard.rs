//! A thread that runs connections, each when it is woken, and between their turns asks the reactor.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use avocet_net::WebSocketOptions;
use shuttle::{
    future::block_on,
    thread::{self, JoinHandle},
};

use super::stream::{Socket, Stream};
use crate::{
    ListenerOptions,
    broker::{Listening, Shared},
    connection,
    shard::{self, Shard},
    wire::Wire,
};

/// Serves a connection until it is over and all of the shard's output is flushed.
pub(super) fn serve(shared: &Arc<Shared>, stream: &Arc<Stream>) -> JoinHandle<()> {
    let (shared, socket, is_framed) = (Arc::clone(shared), Socket::new(stream), stream.is_framed);
    thread::spawn(move || run(shared, socket, is_framed))
}

fn run(shared: Arc<Shared>, socket: Socket, is_framed: bool) {
    let thread = Arc::new(OnceLock::new());
    let shard = Rc::new(Shard::new(shared, 0));
    let wire = Arc::new(Wire::new(socket.clone()));
    let mut connection = Task::new(
        &thread,
        connection::serve(Rc::clone(&shard), wire, Arc::new(listening(is_framed)), Duration::ZERO),
    );
    let mut flusher = Task::new(&thread, shard::run_flusher(shard));
    block_on(poll_fn(|cx| {
        let waker = thread.get_or_init(|| cx.waker().clone());
        loop {
            socket.react(waker);
            let ran = connection.run() | flusher.run();
            if !ran {
                return if connection.is_over() { Poll::Ready(()) } else { Poll::Pending };
            }
            if connection.is_woken() {
                // It waits for another thread, or has more to do than fits into a turn.
                thread::yield_now();
            }
        }
    }));
}

fn listening(is_framed: bool) -> Listening {
    let websocket = is_framed.then(WebSocketOptions::default);
    let options = ListenerOptions { websocket, ..ListenerOptions::small() };
    Listening::small(options)
}

struct Task {
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    woken: Arc<Woken>,
}

struct Woken {
    woken: AtomicBool,
    thread: Arc<OnceLock<Waker>>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        if let Some(thread) = self.thread.get() {
            thread.wake_by_ref();
        }
    }
}

impl Task {
    fn new(thread: &Arc<OnceLock<Waker>>, future: impl Future<Output = ()> + 'static) -> Self {
        let woken = Woken { woken: AtomicBool::new(true), thread: Arc::clone(thread) };
        Self { future: Some(Box::pin(future)), woken: Arc::new(woken) }
    }

    fn is_over(&self) -> bool {
        self.future.is_none()
    }

    fn is_woken(&self) -> bool {
        self.woken.woken.load(Ordering::Acquire)
    }

    /// Runs it if it was woken. False if it was not.
    fn run(&mut self) -> bool {
        let Some(future) = &mut self.future else { return false };
        if !self.woken.woken.swap(false, Ordering::AcqRel) {
            return false;
        }
        let waker = Waker::from(Arc::clone(&self.woken));
        if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            self.future = None;
        }
        true
    }
}
