//! The history in memory: events by their places. A place is never given twice, even if its event was pruned.

use std::collections::BTreeMap;

use crate::codec::Sealed;
use crate::stored::StoredEvent;

/// The events by their places, which begin at 1.
#[derive(Default)]
pub(super) struct EventLog {
    events: BTreeMap<i64, (i64, Sealed)>,
    newest: i64,
}

impl EventLog {
    /// The place of the newest event that there ever was; 0 before the first.
    pub(super) fn newest(&self) -> i64 {
        self.newest
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.events.len()
    }

    /// Adds an event of the task or namespace with that row.
    pub(super) fn push(&mut self, row: i64, sealed: Sealed) {
        self.newest += 1;
        self.events.insert(self.newest, (row, sealed));
    }

    /// All events, in the order of their places.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, &Sealed)> {
        self.events.iter().map(|(place, (_, sealed))| (*place, sealed))
    }

    /// The events behind a place.
    pub(super) fn after(&self, place: i64) -> impl Iterator<Item = (i64, &Sealed)> {
        self.events.range(place.saturating_add(1)..).map(|(place, (_, sealed))| (*place, sealed))
    }

    /// The events of the task or namespace with that row.
    pub(super) fn of_row(&self, row: i64) -> impl Iterator<Item = (i64, &Sealed)> {
        let of_row = move |(_, (of, _)): &(&i64, &(i64, Sealed))| *of == row;
        self.events.iter().filter(of_row).map(|(place, (_, sealed))| (*place, sealed))
    }

    /// The same as they are stored, to be verified.
    pub(super) fn stored_of_row(&self, row: i64) -> Vec<StoredEvent> {
        let events = self.of_row(row).map(|(order, sealed)| StoredEvent {
            order,
            number: i64::try_from(sealed.event.number.0).unwrap_or(i64::MAX),
            at: sealed.event.at.as_micros(),
            actor: sealed.event.actor.to_string(),
            kind: sealed.event.what.kind().to_owned(),
            data: sealed.data.clone(),
            hash: sealed.hash.0.to_vec(),
        });
        events.collect()
    }

    /// Removes the events of the task with that row.
    pub(super) fn prune(&mut self, row: i64) {
        self.events.retain(|_, (of, _)| *of != row);
    }
}
