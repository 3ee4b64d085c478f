//! The search through the history in memory. It is the reference for the others: what is behind the cursor, of the task and in time is
//! looked at, up to the bound, and the rest of the filter is applied to that.

use super::Memory;
use crate::codec::Sealed;
use crate::filling::FoundEvents;
use crate::{Cursor, EventSearch, FoundHistory, Order, PageSize, Recorded};

impl Memory {
    /// The newest or oldest events of a range that match, of at most as many as are looked at.
    pub(super) fn search(&self, search: &EventSearch, after: Option<i64>, size: PageSize) -> FoundHistory {
        let is_behind = |place: i64| match search.order {
            Order::Newest => after.is_none_or(|after| place < after),
            Order::Oldest => after.is_none_or(|after| place > after),
        };
        let places = self.events.iter();
        let mut looked: Vec<_> = places
            .filter(|(place, sealed)| {
                let event = &sealed.event;
                is_behind(*place) && search.is_of_the_task(event) && search.is_in_time(event.at)
            })
            .collect();
        if search.order == Order::Newest {
            looked.reverse();
        }
        looked.truncate(search.looks);
        let cursor = |place: i64| Cursor::of('e', place);
        let edge = looked.get(search.looks - 1).map(|(place, sealed)| (cursor(*place), sealed.event.at));
        let mut found = FoundEvents::new(size);
        let mut matches = looked.into_iter().filter(|(_, sealed)| search.matches(&sealed.event));
        let has_more = matches.any(|(place, sealed)| {
            let Sealed { event, data, hash } = sealed.clone();
            !found.takes(cursor(place), Some(Recorded { cursor: cursor(place), event, hash, data }))
        });
        found.history(has_more, edge)
    }
}
