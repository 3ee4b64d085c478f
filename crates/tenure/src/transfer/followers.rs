//! Named cursors on their way to another store, where places differ. An export counts what a follower has seen and makes a root over it;
//! an import finds the place here by walking through the history of the namespace.

use std::collections::{BTreeMap, VecDeque};

use tenure_core::chain::{Hash, Merkle};
use tenure_core::event::Subject;
use tenure_core::id::{Namespace, Revision};
use tenure_store::retention::CursorRow;
use tenure_store::transfer::CarriedFollower;
use tenure_store::{Cursor, Error, EventFilter, PageSize, Recorded, Store, TransferStore};

use super::place::{beginning, place};

/// How many cursors are read at once.
const CURSORS: usize = 1_000;
/// How much of a history is read at once.
const PAGE: PageSize = PageSize { items: 1_000, bytes: 4 * 1024 * 1024 };

/// The cursors of a store as an export goes through its history. A namespace has up to a hundred.
#[derive(Default)]
pub(super) struct Traces {
    of_namespace: BTreeMap<Namespace, Trace>,
}

/// Those of one namespace.
#[derive(Default)]
struct Trace {
    events: u64,
    root: Merkle,
    last: Option<(Subject, Revision)>,
    /// Those whose place was not reached yet, the last one first.
    ahead: Vec<((i64, i64), CursorRow)>,
    reached: Vec<CarriedFollower>,
}

impl Traces {
    /// The cursors as they are now.
    pub(super) async fn read(moved: &dyn TransferStore) -> Result<Traces, Error> {
        let (mut traces, mut after) = (Traces::default(), None);
        loop {
            let rows = moved.followers(after, CURSORS).await?;
            let Some(last) = rows.last() else { break };
            after = Some((last.namespace.clone(), last.name.clone()));
            for row in rows {
                let trace = traces.of_namespace.entry(row.namespace.clone()).or_default();
                trace.ahead.push((place(&row.cursor)?, row));
            }
        }
        for trace in traces.of_namespace.values_mut() {
            trace.ahead.sort_by(|(one, _), (other, _)| other.cmp(one));
        }
        Ok(traces)
    }

    /// Counts an event that is exported, in the order of the history.
    pub(super) fn pass(&mut self, recorded: &Recorded) -> Result<(), Error> {
        let Some(trace) = self.of_namespace.get_mut(&recorded.event.namespace) else { return Ok(()) };
        trace.reach_until(place(&recorded.cursor)?);
        trace.events += 1;
        trace.root.leaf(&recorded.hash.0);
        trace.last = Some((recorded.event.subject.clone(), recorded.event.number));
        Ok(())
    }

    /// What each follower has seen, by namespace and how much that is.
    pub(super) fn finish(&mut self) -> Vec<CarriedFollower> {
        let traces = std::mem::take(&mut self.of_namespace).into_values();
        let finish = |mut trace: Trace| {
            trace.reach_until((i64::MAX, i64::MAX));
            trace.reached
        };
        traces.flat_map(finish).collect()
    }
}

impl Trace {
    /// The cursors in front of that place have seen what was counted so far.
    fn reach_until(&mut self, until: (i64, i64)) {
        while self.ahead.last().is_some_and(|(place, _)| *place < until) {
            let Some((_, row)) = self.ahead.pop() else { return };
            let CursorRow { namespace, name, cursor: _, moved_at, moved_by } = row;
            let (events, root, last) = (self.events, self.root.clone().root(), self.last.clone());
            self.reached.push(CarriedFollower { namespace, name, events, root, last, moved_at, moved_by });
        }
    }
}

/// Goes through the history of a namespace, from one cursor to the next.
pub(super) struct Walk<'s> {
    store: &'s dyn Store,
    namespace: Namespace,
    events: u64,
    root: Merkle,
    /// The place of the last event that was counted.
    at: Cursor,
    /// What was read and not counted yet, with where the next page begins.
    ahead: VecDeque<(Cursor, Hash)>,
    next: Option<Cursor>,
    /// The end of the history when it began.
    end: Cursor,
}

impl<'s> Walk<'s> {
    /// In front of all events of a namespace, in a history that ends there.
    pub(super) fn begin(store: &'s dyn Store, namespace: Namespace, end: Cursor) -> Walk<'s> {
        Walk {
            store,
            namespace,
            events: 0,
            root: Merkle::default(),
            at: beginning(&end),
            ahead: VecDeque::new(),
            next: None,
            end,
        }
    }

    /// Whether it is in front of what that follower has seen last, or there.
    pub(super) fn can_reach(&self, follower: &CarriedFollower) -> bool {
        self.namespace == follower.namespace && self.events <= follower.events
    }

    /// The place here of what the follower has seen last; none if something else happened up to there.
    pub(super) async fn reach(&mut self, follower: &CarriedFollower) -> Result<Option<Cursor>, Error> {
        while self.events < follower.events {
            if self.ahead.is_empty() && !self.read().await? {
                return Ok(None);
            }
            let Some((cursor, hash)) = self.ahead.pop_front() else { continue };
            self.at = cursor;
            self.events += 1;
            self.root.leaf(&hash.0);
        }
        let is_the_same = self.root.clone().root() == follower.root;
        Ok(is_the_same.then(|| self.at.clone()))
    }

    /// Reads a page; returns whether there was more.
    async fn read(&mut self) -> Result<bool, Error> {
        if let Some(next) = &self.next
            && place(next)? >= place(&self.end)?
        {
            return Ok(false);
        }
        let of_namespace =
            EventFilter::default().with(|filter| filter.namespace = Some(self.namespace.clone()));
        let page = self.store.events(of_namespace, self.next.clone(), PAGE).await?;
        self.ahead.extend(page.items.into_iter().map(|recorded| (recorded.cursor, recorded.hash)));
        self.next = page.next;
        Ok(true)
    }
}

/// The place of an event; none if it is not there.
pub(super) async fn place_of(
    store: &dyn Store,
    namespace: &Namespace,
    (subject, number): &(Subject, Revision),
) -> Result<Option<Cursor>, Error> {
    let near = EventFilter::default().with(|filter| {
        filter.namespace = Some(namespace.clone());
        filter.task = subject.task().cloned();
    });
    let mut after = None;
    loop {
        let page = store.events(near.clone(), after.clone(), PAGE).await?;
        let is_meant =
            |recorded: &&Recorded| recorded.event.number == *number && recorded.event.subject == *subject;
        let found = page.items.iter().find(is_meant);
        if let Some(recorded) = found {
            return Ok(Some(recorded.cursor.clone()));
        }
        if page.items.is_empty() || page.next == after {
            return Ok(None);
        }
        after = page.next;
    }
}
