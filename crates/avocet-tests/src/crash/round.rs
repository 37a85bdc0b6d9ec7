//! One life of the broker, as its clients see it: where it is, whether it is over, and what went
//! wrong meanwhile. And the ledger, which goes through all rounds.

use std::{
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::message::Style;

/// What all clients may know of the publishers while they run.
#[derive(Debug)]
pub struct Ledger {
    pub styles: Vec<Style>,
    sent: Vec<AtomicU64>,
    acknowledged: Vec<AtomicU64>,
}

impl Ledger {
    /// Of publishers who send in these styles.
    pub fn new(styles: Vec<Style>) -> Self {
        let zeros = || styles.iter().map(|_| AtomicU64::new(0)).collect();
        Self { sent: zeros(), acknowledged: zeros(), styles }
    }

    /// How many messages a publisher has sent, or is about to.
    pub fn sent(&self, publisher: usize) -> u64 {
        self.sent[publisher].load(Ordering::SeqCst)
    }

    /// Of all publishers, the number of the next message.
    pub fn all_sent(&self) -> Vec<u64> {
        (0..self.styles.len()).map(|publisher| self.sent(publisher)).collect()
    }

    pub fn set_sent(&self, publisher: usize, count: u64) {
        self.sent[publisher].store(count, Ordering::SeqCst);
    }

    /// How many of a publisher's first messages are acknowledged without a gap.
    pub fn acknowledged(&self, publisher: usize) -> u64 {
        self.acknowledged[publisher].load(Ordering::SeqCst)
    }

    pub fn all_acknowledged(&self) -> Vec<u64> {
        (0..self.styles.len()).map(|publisher| self.acknowledged(publisher)).collect()
    }

    pub fn set_acknowledged(&self, publisher: usize, count: u64) {
        self.acknowledged[publisher].store(count, Ordering::SeqCst);
    }
}

/// One life of the broker.
#[derive(Debug)]
pub struct Round<'a> {
    pub address: SocketAddr,
    pub number: u32,
    /// Nothing new is begun, and everything that is outstanding is brought to its end.
    pub drains: bool,
    pub ledger: &'a Ledger,
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_over: bool,
    fault: Option<String>,
    streams: Vec<TcpStream>,
}

impl<'a> Round<'a> {
    /// A round with a broker at this address.
    pub fn new(address: SocketAddr, number: u32, drains: bool, ledger: &'a Ledger) -> Self {
        Self { address, number, drains, ledger, state: Mutex::default(), bell: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with the round")
    }

    pub fn is_over(&self) -> bool {
        self.state().is_over
    }

    /// Lets time pass, until the round is over if that is earlier; whether it is.
    pub fn pause(&self, time: Duration) -> bool {
        let goes_on = |state: &mut State| !state.is_over && state.fault.is_none();
        let waited = self.bell.wait_timeout_while(self.state(), time, goes_on);
        let (state, _) = waited.expect("nobody panics with the round");
        state.is_over || state.fault.is_some()
    }

    /// A connection that ends with the round.
    pub fn register(&self, stream: &TcpStream) {
        let stream = stream.try_clone().expect("a descriptor is free");
        let mut state = self.state();
        if state.is_over {
            drop(stream.shutdown(Shutdown::Both));
        }
        state.streams.push(stream);
    }

    /// From here on the end of a connection is nobody's fault.
    pub fn end(&self) {
        self.state().is_over = true;
        self.bell.notify_all();
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        for stream in self.state().streams.drain(..) {
            // Fails only when the connection has ended already.
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    /// A promise was broken; the first of these counts.
    pub fn accuse(&self, fault: String) {
        self.state().fault.get_or_insert(fault);
        self.bell.notify_all();
    }

    pub fn fault(&self) -> Option<String> {
        self.state().fault.clone()
    }
}
