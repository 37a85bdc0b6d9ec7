//! Subscriptions of a stored session that the store may still refuse. They stand from the first;
//! refused, each gives way to what it has replaced, unless the client has asked for something else
//! since.

use avocet_mqtt::{ReasonCode, Subscribe, SubscriptionIdentifier, SubscriptionOptions};

use crate::{Session, stored::Stored, subscriptions::Held};

/// A filter that a refused SUBSCRIBE has brought or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenBack {
    /// As the session and the router know it.
    pub filter: Box<str>,
    /// How it is subscribed now, if it is.
    pub stands: Option<(SubscriptionOptions, Option<SubscriptionIdentifier>)>,
}

/// In the order in which they were asked for.
#[derive(Debug, Default)]
pub(crate) struct Asked(Vec<Line>);

#[derive(Debug)]
struct Line {
    /// The number of the SUBSCRIBE.
    number: u64,
    filter: Box<str>,
    /// What stands in its place if it is refused.
    former: Option<Held>,
}

impl Asked {
    /// A SUBSCRIBE is stored: what was asked for before it in the place of its lines is settled.
    fn confirm(&mut self, number: u64) {
        let mut filters = Vec::new();
        for line in self.0.extract_if(.., |line| line.number == number) {
            filters.push(line.filter);
        }
        self.0.retain(|line| line.number > number || !filters.contains(&line.filter));
    }

    /// A SUBSCRIBE is refused: answers which of its lines stand no more, and what does.
    fn refuse(&mut self, number: u64) -> Vec<(Box<str>, Option<Held>)> {
        let mut undone = Vec::new();
        while let Some(index) = self.0.iter().rposition(|line| line.number == number) {
            let Line { filter, former, .. } = self.0.remove(index);
            match self.0[index..].iter_mut().find(|later| later.filter == filter) {
                Some(later) => later.former = former,
                None => undone.push((filter, former)),
            }
        }
        undone
    }

    /// The client does not want it any more.
    fn forget(&mut self, filter: &str) {
        self.0.retain(|line| *line.filter != *filter);
    }
}

impl Stored {
    fn asked<R>(&mut self, work: impl FnOnce(&mut Asked) -> R) -> Option<R> {
        let result = self.asked.as_deref_mut().map(work);
        self.asked.take_if(|asked| asked.0.is_empty());
        result
    }

    /// The client does not want it any more.
    pub(crate) fn forget_asked(&mut self, filter: &str) {
        self.asked(|asked| asked.forget(filter));
    }
}

impl Session {
    /// [`note_subscribed`](Self::note_subscribed), of a stored session. The store is told of the
    /// SUBSCRIBE, which has a number that is larger than that of those before it.
    pub fn note_asked(&mut self, number: u64, request: &Subscribe, results: &[ReasonCode]) {
        if let Some(stored) = &mut self.stored {
            let asked = stored.asked.get_or_insert_default();
            let lines = request.subscriptions.iter().zip(results);
            for (line, _) in lines.filter(|(_, reason)| !reason.is_error()) {
                let former = self.subscriptions.get(&line.filter).copied();
                asked.0.push(Line { number, filter: line.filter.as_str().into(), former });
            }
        }
        self.note_subscribed(request, results);
    }

    /// The SUBSCRIBE with this number is stored.
    pub fn confirm_asked(&mut self, number: u64) {
        self.stored.iter_mut().for_each(|stored| _ = stored.asked(|asked| asked.confirm(number)));
    }

    /// The SUBSCRIBE with this number is refused. Answers the filters that nothing has settled
    /// since.
    pub fn take_back(&mut self, number: u64) -> Vec<TakenBack> {
        let refuse = |stored: &mut Box<Stored>| stored.asked(|asked| asked.refuse(number));
        let undone = self.stored.as_mut().and_then(refuse).unwrap_or_default();
        let undo = |(filter, former): (Box<str>, Option<Held>)| {
            match former {
                Some(held) => _ = self.subscriptions.insert(&filter, held),
                None => _ = self.subscriptions.remove(&filter),
            }
            TakenBack { filter, stands: former.map(|held| (held.options, held.identifier)) }
        };
        undone.into_iter().map(undo).collect()
    }
}
