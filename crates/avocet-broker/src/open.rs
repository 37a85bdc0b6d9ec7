//! A CONNECT becomes a mailbox: a new session, one that is resumed, or one taken over from an
//! older connection (section 3.1.4).

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use avocet_mqtt::{Connect, ReasonCode};
use avocet_router::SubscriberId;
use avocet_session::{Admission, Refusal, Session, handshake};

use crate::{
    broker::{Listening, Shared},
    leave,
    mailbox::{FlushList, Inner, Link, Mailbox},
    metrics::Metrics,
    output::Output,
    publish, subscribe, sys,
    wire::Wire,
};

/// A CONNECT and where it came from.
pub(crate) struct Request<'r> {
    pub(crate) connect: Box<Connect>,
    pub(crate) wire: &'r Arc<Wire>,
    pub(crate) listening: &'r Listening,
    pub(crate) now: Instant,
}

/// What the connection has to know.
pub(crate) struct Opened {
    pub(crate) mailbox: Mailbox,
    pub(crate) silence_max: Option<Duration>,
}

/// Lets a client in and answers it, or tells why not.
pub(crate) fn open(
    shared: &Arc<Shared>,
    list: &mut FlushList,
    request: Request<'_>,
) -> Result<Opened, Refusal> {
    if !request.listening.allow_anonymous {
        return Err(Refusal::new(
            ReasonCode::NotAuthorized,
            "this listener lets in no client without credentials, and there is no authenticator",
        )
        .to(&request.connect));
    }
    let admission =
        handshake::admit(request.connect, &shared.limits, || shared.assign_client_id())?;
    if let Some(will) = &admission.connect.will
        && let Some((reason, _)) = publish::refuses(shared, &will.topic)
    {
        return Err(Refusal::new(reason, "the will topic is not one that clients publish to")
            .to(&admission.connect));
    }
    let sessions = shared.metrics.sessions.load(Ordering::Relaxed);
    if sessions >= shared.options.sessions_max
        && shared.registry.get(&admission.client_id).is_none()
    {
        return Err(Refusal::new(ReasonCode::QuotaExceeded, "there are too many sessions")
            .to(&admission.connect));
    }
    let mut entrance = Entrance { shared, wire: request.wire, now: request.now, list };
    let mailbox = if admission.connect.clean_start {
        entrance.begin(admission)
    } else {
        entrance.resume(admission)
    };
    let silence_max = mailbox.lock().session.silence_max();
    sys::connected(shared, entrance.list, &mailbox, entrance.now);
    Ok(Opened { mailbox, silence_max })
}

struct Entrance<'e> {
    shared: &'e Arc<Shared>,
    wire: &'e Arc<Wire>,
    now: Instant,
    list: &'e mut FlushList,
}

impl Entrance<'_> {
    /// A new session; an older one of this client ends ([MQTT3-3.1.2-6], [MQTT5-3.1.2-4]).
    fn begin(&mut self, admission: Admission) -> Mailbox {
        let mailbox = self.create(&admission);
        let older = self.shared.registry.insert(mailbox.clone());
        Metrics::add(&self.shared.metrics.sessions, 1);
        if let Some(older) = older {
            self.shut_out(&older);
            leave::end_session(self.shared, self.list, &older, None, self.now);
        }
        let mut inner = mailbox.lock();
        self.attach(&mailbox, &mut inner, admission, false);
        drop(inner);
        mailbox
    }

    /// The session this client has, or a new one ([MQTT3-3.1.2-4], [MQTT5-3.1.2-5],
    /// [MQTT5-3.1.2-6]).
    fn resume(&mut self, admission: Admission) -> Mailbox {
        let mut fresh = None;
        loop {
            let Some(mailbox) = self.shared.registry.get(&admission.client_id) else {
                let mailbox = fresh.take().unwrap_or_else(|| self.create(&admission));
                if self.shared.registry.insert_new(mailbox.clone()).is_err() {
                    fresh = Some(mailbox);
                    continue;
                }
                Metrics::add(&self.shared.metrics.sessions, 1);
                let mut inner = mailbox.lock();
                if inner.ended || inner.link.is_some() {
                    continue;
                }
                self.attach(&mailbox, &mut inner, admission, false);
                drop(inner);
                return mailbox;
            };
            self.shut_out(&mailbox);
            let mut inner = mailbox.lock();
            if inner.ended {
                drop(inner);
                self.shared.registry.remove(&mailbox);
                continue;
            }
            if inner.link.is_some() {
                continue; // somebody else came in between; it is shut out in its turn
            }
            // The client is back before its will's delay was over ([MQTT5-3.1.3-9]).
            inner.will = None;
            let timers = std::mem::take(&mut inner.timers);
            self.attach(&mailbox, &mut inner, admission, true);
            drop(inner);
            self.shared.timers.cancel(&timers);
            subscribe::collect_shared(self.shared, self.list, &mailbox, self.now);
            return mailbox;
        }
    }

    fn create(&self, admission: &Admission) -> Mailbox {
        let client_id = Arc::clone(&admission.client_id);
        Mailbox::new(
            SubscriberId(self.shared.next_number()),
            Session::new(client_id, Arc::clone(&self.shared.limits)),
        )
    }

    /// Ends the connection a client has, because it has come again ([MQTT3-3.1.4-2],
    /// [MQTT5-3.1.4-3]).
    fn shut_out(&mut self, mailbox: &Mailbox) {
        let wire = {
            let mut inner = mailbox.lock();
            let detail = "the client has connected again";
            inner.close(self.shared, mailbox.client_id(), ReasonCode::SessionTakenOver, detail);
            inner.link.as_ref().map(|link| Arc::clone(&link.wire))
        };
        if let Some(wire) = wire {
            leave::take_over(self.shared, self.list, mailbox, &wire, self.now);
        }
    }

    fn attach(
        &mut self,
        mailbox: &Mailbox,
        inner: &mut Inner,
        admission: Admission,
        session_present: bool,
    ) {
        let packet_bytes_max = admission
            .connect
            .maximum_packet_size
            .map_or(usize::MAX, |n| usize::try_from(n.get()).unwrap_or(usize::MAX));
        inner.link = Some(Link {
            wire: Arc::clone(self.wire),
            output: Output::new(admission.connect.version, packet_bytes_max),
            closing: None,
            peer: self.wire.socket.peer(),
            username: admission.connect.username.as_deref().map(Box::from),
        });
        inner.epoch += 1;
        let tally = &mut self.list.tally;
        inner.with_exit(&self.shared.drops, mailbox.client_id(), tally, |session, exit| {
            session.attach(admission, session_present, self.now, exit);
        });
        mailbox.set_online(true);
        mailbox.enlist(inner, self.list);
    }
}
