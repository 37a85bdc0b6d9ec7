//! Messages into the outputs and queues of their receivers. Each receiver is locked alone, once for
//! all messages of a run.

use std::{ops::Range, sync::Arc, time::Instant};

use avocet_mqtt::{QoS, SubscriptionIdentifier, Transit};
use avocet_router::{Choice, Destination, Destinations, Filter, Group, Subscriber};
use avocet_session::{Delivery, DropReason, Terms};

use crate::{
    broker::Shared,
    mailbox::{FlushList, Mailbox},
};

/// Whether a receiver's queue was full and did not take a message: its publisher is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) bool);

/// Who delivers, and when.
pub(crate) struct Way<'w> {
    pub(crate) shared: &'w Shared,
    pub(crate) from: Option<&'w Mailbox>,
    pub(crate) now: Instant,
}

impl Way<'_> {
    pub(crate) fn deliver<'t, 'm: 't>(
        &self,
        transits: impl Iterator<Item = &'t Transit<'m>> + Clone,
        destinations: &Destinations<Mailbox>,
        range: Range<usize>,
        list: &mut FlushList,
    ) -> Refused {
        let plain = destinations.plain.len();
        let mut refused = Refused(false);
        for index in range {
            if index < plain {
                let destination = &destinations.plain[index];
                refused.0 |= self.deliver_plain(transits.clone(), destination, list).0;
            } else {
                self.deliver_fastlane(
                    transits.clone(),
                    &destinations.fastlane[index - plain],
                    list,
                );
            }
        }
        refused
    }

    #[inline]
    fn deliver_plain<'t, 'm: 't>(
        &self,
        transits: impl Iterator<Item = &'t Transit<'m>> + Clone,
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
        };
        let refused = destination.subscriber.with(&self.shared.drops, list, |session, exit| {
            transits.fold(false, |refused, transit| {
                let delivery = session.handle_delivery(transit, &terms, self.now, exit);
                refused | (delivery == Delivery::Refused)
            })
        });
        Refused(refused.unwrap_or(false))
    }

    /// `$fastlane/`: from the publisher's bytes into the connection's output, past the session.
    #[inline]
    fn deliver_fastlane<'t, 'm: 't>(
        &self,
        transits: impl Iterator<Item = &'t Transit<'m>> + Clone,
        destination: &Destination<Mailbox>,
        list: &mut FlushList,
    ) {
        let Some(terms) = destination.for_publisher(self.from.map(Subscriber::id)) else { return };
        let rap = terms.retain_as_published;
        self.deliver_raw(transits, &destination.subscriber, rap, &terms.identifiers, list);
    }

    fn deliver_raw<'t, 'm: 't>(
        &self,
        transits: impl Iterator<Item = &'t Transit<'m>> + Clone,
        mailbox: &Mailbox,
        retain_as_published: bool,
        identifiers: &[SubscriptionIdentifier],
        list: &mut FlushList,
    ) {
        let mut inner = mailbox.lock();
        let open = inner.session.is_open();
        let Some(link) = inner.link.as_mut().filter(|_| open) else { return };
        for transit in transits {
            let appended = match transit.frame(link.output.version()) {
                Some(frame) if identifiers.is_empty() => {
                    link.output.append_fastlane_frame(frame, &mut list.tally)
                }
                Some(_) | None => match transit.to_publish(self.now) {
                    Some(mut publish) => {
                        publish.qos = QoS::AtMostOnce;
                        publish.retain = retain_as_published && transit.retain();
                        publish.subscription_identifiers = identifiers.into();
                        let large = transit.shared_if_large();
                        link.output.append_fastlane(&publish, large, &mut list.tally)
                    }
                    None => Err(DropReason::Expired),
                },
            };
            if let Err(reason) = appended {
                self.shared.drops.note(mailbox.client_id(), transit.topic(), reason);
            }
        }
        mailbox.enlist(&mut inner, list);
    }

    /// One member of each group gets each message.
    /// `dice` is for the first message; each that follows adds one.
    pub(crate) fn deliver_shared<'t, 'm: 't>(
        &self,
        transits: impl Iterator<Item = &'t Transit<'m>> + Clone,
        groups: &[Arc<Group<Mailbox>>],
        dice: u64,
        list: &mut FlushList,
    ) -> Refused {
        let mut refused = Refused(false);
        for group in groups {
            for (turn, transit) in transits.clone().enumerate() {
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
            None => self.shared.drops.note(subscription, transit.topic(), DropReason::NoMember),
        }
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
        let member = group
            .select(&choice, Mailbox::is_online)
            .or_else(|| group.select(&choice, |mailbox| !mailbox.is_ended()));
        let Some(member) = member else {
            self.shared.drops.note(group.name(), transit.topic(), DropReason::NoMember);
            return Refused(false);
        };
        let options = member.entry.options;
        let identifiers = member.entry.identifier.as_slice();
        if member.fastlane {
            let transits = std::iter::once(transit);
            let rap = options.retain_as_published;
            self.deliver_raw(transits, &member.subscriber, rap, identifiers, list);
            return Refused(false);
        }
        let terms = Terms {
            qos: options.qos,
            retain_as_published: options.retain_as_published,
            identifiers,
            shared: Some(group.subscription()),
            retained: false,
        };
        let delivery = member.subscriber.with(&self.shared.drops, list, |session, exit| {
            session.handle_delivery(transit, &terms, self.now, exit)
        });
        Refused(delivery == Some(Delivery::Refused))
    }
}
