//! Messages into the outputs and queues of their receivers. Each receiver is locked alone, once for
//! all messages of a run.

use std::{sync::Arc, time::Instant};

use avocet_mqtt::{QoS, Run, SubscriptionIdentifier, Transit};
use avocet_router::{Choice, Destination, Filter, Group, Member, Slice, Subscriber};
use avocet_session::{Delivery, DropReason, Messages, Mountpoint, Terms};

use crate::{
    broker::Shared,
    mailbox::{FlushList, Inner, Link, Mailbox},
    metrics::Tally,
    output::Output,
};

/// How often a member of a group is chosen anew because the one that was is gone.
const CHOICES_MAX: usize = 64;

/// Whether a receiver's queue was full and did not take a message: its publisher is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) bool);

/// What a `$fastlane/` subscription asks.
#[derive(Clone, Copy)]
struct Raw<'a> {
    retain_as_published: bool,
    identifiers: &'a [SubscriptionIdentifier],
}

impl Raw<'_> {
    /// Whether the messages may go on as they came.
    #[inline]
    fn takes(&self, run: &Run<'_>, to: &Raws<'_>) -> bool {
        self.identifiers.is_empty() && to.mountpoint.is_none() && to.output.takes(run.frames())
    }
}

/// Where `$fastlane/` messages go.
struct Raws<'a> {
    output: &'a mut Output,
    mountpoint: Option<&'a Mountpoint>,
    tally: &'a mut Tally,
}

/// Who delivers, and when.
pub(crate) struct Way<'w> {
    pub(crate) shared: &'w Shared,
    /// Nobody: what was taken over earlier, and may not be refused any more.
    pub(crate) from: Option<&'w Mailbox>,
    pub(crate) now: Instant,
}

impl Way<'_> {
    pub(crate) fn deliver<'t, 'm: 't>(
        &self,
        messages: impl Iterator<Item = &'t Messages<'m>> + Clone,
        slice: &Slice<'_, Mailbox>,
        list: &mut FlushList,
    ) -> Refused {
        let mut refused = Refused(false);
        for destination in &*slice.plain {
            // [MQTT3-4.5.0-1] [MQTT5-4.5.0-1]
            refused.0 |= self.deliver_plain(messages.clone(), destination, list).0;
        }
        for destination in &*slice.fastlane {
            self.deliver_fastlane(messages.clone(), destination, list);
        }
        refused
    }

    #[inline]
    fn deliver_plain<'t, 'm: 't>(
        &self,
        messages: impl Iterator<Item = &'t Messages<'m>>,
        destination: &Destination<Mailbox>,
        list: &mut FlushList,
    ) -> Refused {
        let Some(terms) = destination.for_publisher(self.from.map(Subscriber::id)) else {
            return Refused(false);
        };
        let terms = Terms {
            qos: terms.qos,
            retain_as_published: terms.retain_as_published,
            identifiers: &terms.identifiers,
            shared: None,
            retained: false,
            promised: self.from.is_none(),
        };
        let refused = destination.subscriber.with(&self.shared.drops, list, |session, exit| {
            messages.fold(false, |refused, messages| {
                let delivery = session.handle_messages(messages, &terms, self.now, exit);
                refused | (delivery == Delivery::Refused)
            })
        });
        Refused(refused.unwrap_or(false))
    }

    /// `$fastlane/`: from the publisher's bytes into the connection's output, past the session.
    #[inline]
    fn deliver_fastlane<'t, 'm: 't>(
        &self,
        messages: impl Iterator<Item = &'t Messages<'m>>,
        destination: &Destination<Mailbox>,
        list: &mut FlushList,
    ) {
        let Some(terms) = destination.for_publisher(self.from.map(Subscriber::id)) else { return };
        let terms =
            Raw { retain_as_published: terms.retain_as_published, identifiers: &terms.identifiers };
        self.with_output(&destination.subscriber, list, |mut to| {
            for messages in messages {
                if let Messages::Run(run) = messages
                    && terms.takes(run, &to)
                {
                    let appended = to.output.append_fastlane_frames(run.frames(), to.tally);
                    if let Err(reason) = appended {
                        let (client_id, count) =
                            (destination.subscriber.client_id(), messages.len() as u64);
                        let (drops, qos) = (&self.shared.drops, QoS::AtMostOnce);
                        drops.note_all(client_id, run.topic(), qos, reason, count);
                    }
                } else {
                    for transit in messages.transits() {
                        self.append_raw(transit, &destination.subscriber, terms, &mut to);
                    }
                }
            }
        });
    }

    /// A connection's output, past its session. False if there is none or it is closing.
    fn with_output(
        &self,
        mailbox: &Mailbox,
        list: &mut FlushList,
        work: impl FnOnce(Raws<'_>),
    ) -> bool {
        let mut inner = mailbox.lock();
        let Inner { session, link, .. } = &mut *inner;
        let Some(link) = link.as_mut().filter(|_| session.is_open()) else { return false };
        let (output, mountpoint) = (&mut link.output, session.mountpoint());
        work(Raws { output, mountpoint, tally: &mut list.tally });
        mailbox.enlist(&mut inner, list);
        true
    }

    fn append_raw(
        &self,
        transit: &Transit<'_>,
        mailbox: &Mailbox,
        terms: Raw<'_>,
        to: &mut Raws<'_>,
    ) {
        let mut properties = None;
        let appended = match transit.to_publish(self.now) {
            Some(mut publish) => {
                if let Some(mountpoint) = to.mountpoint {
                    publish = mountpoint.unmount_publish(publish, &mut properties);
                }
                publish.qos = QoS::AtMostOnce;
                publish.retain = terms.retain_as_published && transit.retain();
                publish.subscription_identifiers = terms.identifiers.into();
                to.output.append_fastlane(&publish, transit.shared_if_large(), to.tally)
            }
            None => Err(DropReason::Expired),
        };
        if let Err(reason) = appended {
            let client_id = mailbox.client_id();
            self.shared.drops.note(client_id, transit.topic(), QoS::AtMostOnce, reason);
        }
    }

    /// One member of each group gets each message.
    /// `dice` is for the first message; each that follows adds one.
    pub(crate) fn deliver_shared<'t, 'm: 't>(
        &self,
        messages: impl Iterator<Item = &'t Messages<'m>> + Clone,
        groups: &[Arc<Group<Mailbox>>],
        dice: u64,
        list: &mut FlushList,
    ) -> Refused {
        let mut refused = Refused(false);
        for group in groups {
            let transits = messages.clone().flat_map(Messages::transits);
            for (turn, transit) in transits.enumerate() {
                let dice = dice.wrapping_add(turn as u64);
                refused.0 |= self.deliver_to_group(transit, group, dice, list).0;
            }
        }
        refused
    }

    /// [`deliver_to_group`](Self::deliver_to_group), by the subscription's text.
    pub(crate) fn deliver_to_subscription(
        &self,
        transit: &Transit<'_>,
        subscription: &str,
        dice: u64,
        list: &mut FlushList,
    ) {
        let group =
            Filter::parse(subscription).ok().and_then(|filter| self.shared.router.group(&filter));
        match group {
            Some(group) => {
                self.deliver_to_group(transit, &group, dice, list);
            }
            None => self.drop_memberless(transit, subscription),
        }
    }

    fn drop_memberless(&self, transit: &Transit<'_>, group: &str) {
        self.shared.drops.note(group, transit.topic(), transit.qos(), DropReason::NoMember);
    }

    /// A connected member gets it; if there is none, one that will come back keeps it.
    pub(crate) fn deliver_to_group(
        &self,
        transit: &Transit<'_>,
        group: &Group<Mailbox>,
        dice: u64,
        list: &mut FlushList,
    ) -> Refused {
        let publisher = self.from.map_or("", |mailbox| mailbox.client_id());
        let choice = Choice { publisher, topic: transit.topic(), dice };
        // A member may go between the choice and its lock. Then it has said so before it let go of
        // that lock, and is not chosen again.
        for _ in 0..CHOICES_MAX {
            let online = group.select(&choice, Mailbox::is_online);
            let is_online = online.is_some();
            let member = online.or_else(|| group.select(&choice, |it| !it.is_ended()));
            let Some(member) = member else { break };
            if let Some(refused) = self.deliver_to_member(transit, group, &member, is_online, list)
            {
                return refused;
            }
        }
        self.drop_memberless(transit, group.name());
        Refused(false)
    }

    /// `None` if the member is not there any more, or not `is_online` as it was when it was chosen:
    /// what it had to give back it has given back.
    fn deliver_to_member(
        &self,
        transit: &Transit<'_>,
        group: &Group<Mailbox>,
        member: &Member<Mailbox>,
        is_online: bool,
        list: &mut FlushList,
    ) -> Option<Refused> {
        let options = member.entry.options;
        let identifiers = member.entry.identifier.as_slice();
        if member.fastlane {
            let terms = Raw { retain_as_published: options.retain_as_published, identifiers };
            let reached = self.with_output(&member.subscriber, list, |mut to| {
                self.append_raw(transit, &member.subscriber, terms, &mut to);
            });
            return reached.then_some(Refused(false));
        }
        let terms = Terms {
            qos: options.qos,
            retain_as_published: options.retain_as_published,
            identifiers,
            shared: Some(group.subscription()),
            retained: false,
            promised: self.from.is_none(),
        };
        let is_expected = |link: Option<&Link>| link.is_some() || !is_online;
        let drops = &self.shared.drops;
        let delivery = member.subscriber.with_if(is_expected, drops, list, |session, exit| {
            session.handle_delivery(transit, &terms, self.now, exit)
        })?;
        Some(Refused(delivery == Delivery::Refused))
    }
}
