//! A thread that gives a connection its turns, and between them asks the reactor.

use std::{
    future::poll_fn,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Poll, Wake, Waker},
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
    calls::Calls,
    driver::Driver,
    shard::Shard,
};

/// Serves a connection until it is over and all of the shard's output is flushed.
pub(super) fn serve(shared: &Arc<Shared>, stream: &Arc<Stream>) -> JoinHandle<()> {
    let (shared, socket, is_framed) = (Arc::clone(shared), Socket::new(stream), stream.is_framed);
    thread::spawn(move || run(shared, socket, is_framed))
}

fn run(shared: Arc<Shared>, socket: Socket, is_framed: bool) {
    let sleeper = Arc::new(Sleeper::default());
    let calls = Arc::new(Calls::new(Arc::clone(&sleeper).into()));
    let load = Arc::new(AtomicUsize::new(1));
    let mut driver = Driver::new(Shard::new(shared, calls, 0), Arc::clone(&load));
    let key = driver.take_key();
    driver.serve(key, socket.clone(), Arc::new(listening(is_framed)), Duration::ZERO);
    block_on(poll_fn(|cx| {
        sleeper.thread.get_or_init(|| cx.waker().clone());
        loop {
            if let Some(readiness) = socket.react(cx.waker()) {
                driver.note(key as usize, readiness);
            }
            if driver.may_sleep() {
                let is_over = load.load(Ordering::Relaxed) == 0;
                let is_woken = sleeper.woken.swap(false, Ordering::AcqRel);
                match (is_over, is_woken) {
                    (true, _) => return Poll::Ready(()),
                    (false, true) => {}
                    (false, false) => return Poll::Pending,
                }
            }
            driver.take_turns();
            // It waits for another thread, or has more to do than fits into a turn.
            thread::yield_now();
        }
    }));
}

/// What a call wakes.
#[derive(Default)]
struct Sleeper {
    woken: AtomicBool,
    thread: OnceLock<Waker>,
}

impl Wake for Sleeper {
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

fn listening(is_framed: bool) -> Listening {
    let websocket = is_framed.then(WebSocketOptions::default);
    let options = ListenerOptions { websocket, ..ListenerOptions::small() };
    Listening::small(options)
}
