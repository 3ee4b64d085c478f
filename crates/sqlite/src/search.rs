//! The search through the history. Events have no index but their places and those of a task, so a search reads a range of places,
//! and never more than a bounded number of them.

use rusqlite::types::Value;
use rusqlite::{OptionalExtension, params_from_iter};
use tenure_core::id::{Namespace, TaskId};
use tenure_core::time::{Span, Time};
use tenure_store::Error;
use tenure_store::filling::{FoundEvents, page};
use tenure_store::transfer::SLIGHTLY;
use tenure_store::{Cursor, EventSearch, FoundHistory, Order, PageSize};

use crate::columns::{SqliteError, SqliteResult};
use crate::conditions::Conditions;
use crate::read::{ORDER, SqliteReader, recorded};
use crate::sql;

/// The places of a search: from the first to the one before the end. Of one task only its own count.
#[derive(Clone, Copy)]
struct Places {
    first: i64,
    end: i64,
    task: Option<i64>,
}

impl Places {
    /// Without those that are not behind a place.
    fn behind(self, order: Order, after: i64) -> Places {
        match order {
            Order::Newest => Places { end: self.end.min(after), ..self },
            Order::Oldest => Places { first: self.first.max(after.saturating_add(1)), ..self },
        }
    }

    /// Without those behind a place.
    fn up_to(self, order: Order, edge: i64) -> Places {
        match order {
            Order::Newest => Places { first: self.first.max(edge), ..self },
            Order::Oldest => Places { end: self.end.min(edge.saturating_add(1)), ..self },
        }
    }

    /// As conditions, and what to order by. The events of a task are read by its index, in which their places only are compared.
    fn conditions(self) -> (Conditions, &'static str) {
        let mut wanted = Conditions::default();
        let (place, by) = match self.task {
            Some(task) => {
                wanted.add("events.task = ?", task);
                ("+events.\"order\"", "events.number")
            }
            None => ("events.\"order\"", "events.\"order\""),
        };
        wanted.add(format!("{place} >= ?"), self.first);
        wanted.add(format!("{place} < ?"), self.end);
        (wanted, by)
    }
}

impl SqliteReader<'_> {
    pub(crate) fn search_events(
        &mut self,
        search: &EventSearch,
        after: Option<&Cursor>,
        size: PageSize,
    ) -> Result<FoundHistory, Error> {
        search.check()?;
        let after = after.map(|cursor| cursor.number('e')).transpose()?;
        let newest = self.newest_place()?;
        if after.is_some_and(|after| after > newest) {
            return Err(Cursor::ahead());
        }
        self.find_history(search, after, size).map_err(|fault| self.error(fault))
    }

    fn find_history(
        &self,
        search: &EventSearch,
        after: Option<i64>,
        size: PageSize,
    ) -> SqliteResult<FoundHistory> {
        // One look at one moment.
        let _moment = self.connection().unchecked_transaction()?;
        let task = match &search.task {
            None => None,
            Some(task) => match self.row_of(&search.namespace, task)? {
                None => return Ok(FoundHistory::nothing()),
                found => found,
            },
        };
        let (first, end) = self.places_in(search)?;
        let places = Places { first, end, task };
        let places = after.map_or(places, |after| places.behind(search.order, after));
        let edge = self.edge(places, search)?;
        let places = edge.map_or(places, |(edge, _)| places.up_to(search.order, edge));
        let limit = page(size.items) + 1;
        let (sql, values) = matching(places, search, limit);
        let mut statement = self.connection().prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(&values))?;
        let (mut found, mut has_more, mut count) = (FoundEvents::new(size), false, 0);
        while let Some(row) = rows.next()? {
            count += 1;
            let cursor = Cursor::of('e', row.get(ORDER)?);
            let recorded = match recorded(row, cursor.clone()) {
                Err(SqliteError::Broken(_)) => None,
                read => Some(read?),
            };
            if !found.takes(cursor, recorded) {
                has_more = true;
                break;
            }
        }
        // Events that can't be read are taken beyond the size of the page, so that may not show that there are more.
        let has_more = has_more || count == limit;
        Ok(found.history(has_more, edge.map(|(edge, at)| (Cursor::of('e', edge), at))))
    }

    fn row_of(&self, namespace: &Namespace, task: &TaskId) -> SqliteResult<Option<i64>> {
        let row = "select no from tasks where namespace = ? and id = ?";
        let mut row = self.connection().prepare_cached(row)?;
        Ok(row.query_row((namespace.as_str(), task.as_str()), |row| row.get(0)).optional()?)
    }

    /// The first place that can have an event of the time that is searched, and the one behind the last. Where imported events are in
    /// no order, all of them are between these.
    fn places_in(&self, search: &EventSearch) -> SqliteResult<(i64, i64)> {
        if search.since.is_none() && search.until.is_none() {
            return Ok((i64::MIN, i64::MAX));
        }
        let order = self.find_order()?;
        let slack = if order.is_in_order() { Span::ZERO } else { SLIGHTLY };
        let ordered_from = order.unordered_to.map(|place| place + 1);
        let first = match search.since {
            None => i64::MIN,
            Some(since) => {
                let first = self.place_at(since - slack, ordered_from)?;
                // Nothing there is earlier, so what has no order may have some of it.
                if ordered_from.is_some_and(|from| first <= from) { i64::MIN } else { first }
            }
        };
        let end = search.until.map_or(Ok(i64::MAX), |until| self.place_at(until + slack, ordered_from))?;
        Ok((first, end))
    }

    /// The first place, from that one on, whose event happened then or later. The time of a file never goes back, so what happened
    /// there is in the order of its times, and it takes as many looks as the number of events has bits.
    fn place_at(&self, time: Time, from: Option<i64>) -> SqliteResult<i64> {
        let bounds = "select (select coalesce(min(\"order\"), 0) from events), (select coalesce(max(\"order\"), 0) + 1 from events)";
        let (mut low, mut high): (i64, i64) =
            self.connection().prepare_cached(bounds)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        low = from.map_or(low, |from| low.max(from));
        let next = "select \"order\", at from events where \"order\" >= ? order by \"order\" limit 1";
        let mut next = self.connection().prepare_cached(next)?;
        while low < high {
            let middle = low + (high - low) / 2;
            let found: Option<(i64, i64)> =
                next.query_row([middle], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            match found {
                Some((place, at)) if at < time.as_micros() => low = place + 1,
                Some(_) | None => high = middle,
            }
        }
        Ok(low)
    }

    /// The last place that is looked at, and when its event happened, if there are as many.
    fn edge(&self, places: Places, search: &EventSearch) -> SqliteResult<Option<(i64, Time)>> {
        let (wanted, by) = places.conditions();
        let sql = format!(
            "select events.\"order\", events.at from events where {} order by {by} {} limit 1 offset {}",
            wanted.sql(),
            search.order.sql(),
            search.looks - 1
        );
        let mut edge = self.connection().prepare_cached(&sql)?;
        let edge = edge.query_row(params_from_iter(&wanted.values), |row| Ok((row.get(0)?, row.get(1)?)));
        Ok(edge.optional()?.map(|(place, at)| (place, Time::from_micros(at))))
    }
}

/// The statement for the events of these places that match, and its values.
fn matching(places: Places, search: &EventSearch, limit: i64) -> (String, Vec<Value>) {
    let (mut wanted, by) = places.conditions();
    // Only compared: read by the name of the namespace, the events would have to be sorted.
    wanted.add(format!("{} = ?", sql::EVENT_NAMESPACE), search.namespace.to_string());
    if let Some(actor) = &search.actor {
        wanted.add("events.actor = ?", actor.to_string());
    }
    if let Some(since) = search.since {
        wanted.add("events.at >= ?", since.as_micros());
    }
    if let Some(until) = search.until {
        wanted.add("events.at < ?", until.as_micros());
    }
    if !search.kinds.is_empty() {
        let words: Vec<String> = search.kinds.iter().map(|kind| format!("'{}'", kind.as_str())).collect();
        wanted.condition(format!("events.type in ({})", words.join(", ")));
    }
    let (select, order) = (&*sql::SELECT_EVENTS, search.order.sql());
    let sql = format!("{select} where {} order by {by} {order} limit {limit}", wanted.sql());
    (sql, wanted.values)
}

#[cfg(test)]
mod tests {
    use tenure_core::event::EventKind;
    use tenure_core::id::Actor;

    use super::*;
    use crate::read::tests::plan_of;

    fn plan(task: Option<i64>, order: Order) -> String {
        let namespace = Namespace::new("default").expect("a name");
        let search = EventSearch::in_namespace(namespace).with(|search| {
            search.actor = Actor::new("alice").ok();
            search.kinds = EventKind::ALL.into();
            search.order = order;
        });
        let (sql, values) = matching(Places { first: 1, end: 10, task }, &search, 51);
        plan_of(&sql, &values)
    }

    #[test]
    fn a_search_reads_a_range_of_events_and_sorts_nothing() {
        for order in Order::ALL {
            let plan = plan(None, order);
            assert!(plan.contains("SEARCH events USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"), "{plan}");
            assert!(!plan.contains("TEMP B-TREE") && !plan.contains("SCAN"), "{plan}");
        }
    }

    #[test]
    fn the_events_of_a_task_are_found_by_its_index() {
        for order in Order::ALL {
            let plan = plan(Some(7), order);
            assert!(plan.contains("events_by_task (task=?)"), "{plan}");
            assert!(!plan.contains("TEMP B-TREE") && !plan.contains("SCAN"), "{plan}");
        }
    }
}
