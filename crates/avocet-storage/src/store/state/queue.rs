//! What waits for a session, in order: where each message lies. Of a long queue only the end is in
//! memory, and of each of its pages where it is.
//!
//! A queue is a few runs, each of them in order. There is one, but after a log was opened that had
//! been cleaned: what was written anew comes later in the log than its place tells.

use std::{collections::VecDeque, io};

use super::scratch::{Entry, PAGE_ENTRIES, Page, Scratch};
use crate::{command::Place, store::Amount};

/// The queue of a session.
#[derive(Debug, Default)]
pub(in crate::store) struct Queue {
    runs: Vec<Run>,
    amount: Amount,
}

#[derive(Debug, Default)]
struct Run {
    pages: VecDeque<PageRef>,
    /// Less than a page.
    tail: Vec<Entry>,
}

/// A page in the scratch file.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageRef {
    first: Place,
    last: Place,
    /// Bytes of the packets that still wait.
    bytes: u64,
    /// Which of its entries still wait, a bit for each.
    live: u16,
    pub(super) number: u32,
}

impl PageRef {
    pub(super) fn entries(self, page: &Page) -> impl Iterator<Item = (usize, Entry)> {
        page.iter().copied().enumerate().filter(move |(index, _)| self.live & 1 << index != 0)
    }
}

impl Queue {
    /// How much waits.
    pub(in crate::store) fn amount(&self) -> Amount {
        self.amount
    }

    /// Adds a message that is not there.
    pub(super) fn push(&mut self, entry: Entry, scratch: &mut Scratch) {
        self.amount.messages += 1;
        self.amount.bytes += u64::from(entry.bytes);
        let runs = self.runs.iter_mut().filter(|run| run.last() < Some(entry.place));
        let run = match runs.max_by_key(|run| run.last()) {
            Some(run) => run,
            None => {
                // There is one, mostly.
                self.runs.reserve_exact(1);
                self.runs.push(Run::default());
                let last = self.runs.len() - 1;
                &mut self.runs[last]
            }
        };
        run.push(entry, scratch);
    }

    /// The message at a place.
    pub(super) fn find(&self, place: Place, scratch: &mut Scratch) -> io::Result<Option<Entry>> {
        let found = self.runs.iter().find_map(|run| run.find(place, scratch).transpose());
        found.transpose()
    }

    /// Has a message lie somewhere else; answers how it was, if it was there.
    ///
    /// # Errors
    /// What the disk says, if it may be where the disk does not tell.
    pub(super) fn replace(
        &mut self,
        entry: Entry,
        scratch: &mut Scratch,
    ) -> io::Result<Option<Entry>> {
        let mut unread = None;
        for run in &mut self.runs {
            match run.replace(entry, scratch) {
                Ok(Some(before)) => return Ok(Some(before)),
                Ok(None) => {}
                Err(error) => unread = Some(error),
            }
        }
        unread.map_or(Ok(None), Err)
    }

    /// Messages from a place on; and whether there are more.
    pub(in crate::store) fn range(
        &self,
        from: Place,
        most: Amount,
        scratch: &mut Scratch,
    ) -> io::Result<(Vec<Entry>, bool)> {
        let mut found = Vec::new();
        for run in &self.runs {
            run.range(from, most, &mut found, scratch)?;
        }
        if self.runs.len() > 1 {
            found.sort_by_key(|entry| entry.place);
            // It may stand in two if the one could not be looked at: the later one has where it is.
            found.dedup_by(|later, first| {
                let is_same = later.place == first.place;
                if is_same {
                    *first = *later;
                }
                is_same
            });
        }
        let (mut count, mut bytes) = (0, 0);
        while count < found.len() && count < most.messages && bytes < most.bytes {
            bytes += u64::from(found[count].bytes);
            count += 1;
        }
        let has_more = count < found.len();
        found.truncate(count);
        Ok((found, has_more))
    }

    /// Takes messages out: of pages that go as a whole, only these.
    pub(super) fn release(
        &mut self,
        from: Place,
        to: Place,
        scratch: &mut Scratch,
        pages: &mut Vec<PageRef>,
        mut each: impl FnMut(Entry),
    ) {
        let amount = &mut self.amount;
        let mut take = |entry: Entry| {
            amount.messages -= 1;
            amount.bytes -= u64::from(entry.bytes);
            each(entry);
        };
        let before = pages.len();
        for run in &mut self.runs {
            run.release(from, to, scratch, pages, &mut take);
        }
        for page in &pages[before..] {
            self.amount.messages -= page.live.count_ones() as usize;
            self.amount.bytes -= page.bytes;
        }
        if self.runs.len() > 1 {
            self.runs.retain(|run| run.last().is_some());
        }
    }
}

impl Run {
    fn last(&self) -> Option<Place> {
        let last = self.tail.last().map(|entry| entry.place);
        last.or_else(|| self.pages.back().map(|page| page.last))
    }

    fn push(&mut self, entry: Entry, scratch: &mut Scratch) {
        self.tail.push(entry);
        let Ok(page) = <&Page>::try_from(&self.tail[..]) else { return };
        self.pages.push_back(PageRef {
            first: page[0].place,
            last: entry.place,
            bytes: page.iter().map(|entry| u64::from(entry.bytes)).sum(),
            live: u16::MAX,
            number: scratch.keep(page),
        });
        // A queue that is long is one of many, perhaps: a tail that is short takes little.
        self.tail = Vec::new();
    }

    fn page_of(&self, place: Place) -> Option<usize> {
        let index = self.pages.partition_point(|page| page.last < place);
        (self.pages.get(index)?.first <= place).then_some(index)
    }

    fn find(&self, place: Place, scratch: &mut Scratch) -> io::Result<Option<Entry>> {
        if let Ok(index) = self.tail.binary_search_by_key(&place, |entry| entry.place) {
            return Ok(Some(self.tail[index]));
        }
        let Some(index) = self.page_of(place) else { return Ok(None) };
        let reference = self.pages[index];
        let page = scratch.read(reference.number)?;
        let mut entries = reference.entries(&page).map(|(_, entry)| entry);
        Ok(entries.find(|entry| entry.place == place))
    }

    fn replace(&mut self, entry: Entry, scratch: &mut Scratch) -> io::Result<Option<Entry>> {
        if let Ok(index) = self.tail.binary_search_by_key(&entry.place, |entry| entry.place) {
            return Ok(Some(std::mem::replace(&mut self.tail[index], entry)));
        }
        let Some(index) = self.page_of(entry.place) else { return Ok(None) };
        let reference = self.pages[index];
        let mut page = scratch.read(reference.number)?;
        let found = reference.entries(&page).find(|(_, it)| it.place == entry.place);
        let Some((index, before)) = found else { return Ok(None) };
        page[index] = entry;
        scratch.write(reference.number, &page);
        Ok(Some(before))
    }

    /// Adds to `found` what waits from a place on, and one more than the most, so that it is known
    /// that there is more.
    fn range(
        &self,
        from: Place,
        most: Amount,
        found: &mut Vec<Entry>,
        scratch: &mut Scratch,
    ) -> io::Result<()> {
        let (start, mut bytes) = (found.len(), 0);
        let mut take = |entry: Entry| {
            let is_enough = found.len() - start >= most.messages || bytes >= most.bytes;
            found.push(entry);
            bytes += u64::from(entry.bytes);
            !is_enough
        };
        let first = self.pages.partition_point(|page| page.last < from);
        for reference in self.pages.range(first..) {
            let page = scratch.read(reference.number)?;
            for (_, entry) in reference.entries(&page).filter(|(_, it)| it.place >= from) {
                if !take(entry) {
                    return Ok(());
                }
            }
        }
        let first = self.tail.partition_point(|entry| entry.place < from);
        for entry in &self.tail[first..] {
            if !take(*entry) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn release(
        &mut self,
        from: Place,
        to: Place,
        scratch: &mut Scratch,
        pages: &mut Vec<PageRef>,
        take: &mut impl FnMut(Entry),
    ) {
        let start = self.tail.partition_point(|entry| entry.place < from);
        let end = self.tail.partition_point(|entry| entry.place <= to);
        self.tail.drain(start..end).for_each(&mut *take);
        let mut start = self.pages.partition_point(|page| page.last < from);
        let mut end = self.pages.partition_point(|page| page.first <= to);
        // At most the first and the last of them are taken in part.
        if start < end && self.pages[start].first < from {
            let is_empty = self.pages[start].release(from, to, scratch, take);
            start += usize::from(!is_empty);
            if is_empty {
                self.pages.remove(start);
                end -= 1;
            }
        }
        if start < end && self.pages[end - 1].last > to {
            end -= 1;
            if self.pages[end].release(from, to, scratch, take) {
                self.pages.remove(end);
            }
        }
        if start < end {
            pages.extend(self.pages.drain(start..end));
        }
        if self.pages.is_empty() && self.pages.capacity() > PAGE_ENTRIES {
            self.pages = VecDeque::new();
        }
    }
}

impl PageRef {
    /// Takes some entries out; tells whether none is left. Then the page is free.
    fn release(
        &mut self,
        from: Place,
        to: Place,
        scratch: &mut Scratch,
        take: &mut impl FnMut(Entry),
    ) -> bool {
        let Ok(page) = scratch.read(self.number) else { return false };
        for (index, entry) in self.entries(&page).filter(|(_, it)| (from..=to).contains(&it.place))
        {
            self.live &= !(1 << index);
            self.bytes -= u64::from(entry.bytes);
            take(entry);
        }
        if self.live == 0 {
            scratch.free(self.number);
        }
        self.live == 0
    }
}
