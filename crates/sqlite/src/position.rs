//! Where the tables end, and how far the clock was: what each transaction begins with.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};
use tenure_clock::{Mark, Reading};
use tenure_core::id::Epoch;
use tenure_core::time::{Span, Time};

use crate::columns::SqliteResult;

/// The mark is renewed when the wall clock is ahead of it by more than this, so that time never goes back behind
/// an answer.
const MARK_AHEAD_MAX: Span = Span::from_millis(10);
/// And when it is older than this: after a boot only the mark tells how far the time was.
const MARK_AGE_MAX: Span = Span::from_secs(1);

/// The counters of the tables at the beginning of a transaction.
pub(crate) struct Position {
    pub(crate) next_task: i64,
    pub(crate) next_event: i64,
    pub(crate) last: Time,
    pub(crate) floor: Epoch,
    pub(crate) mark: Option<Mark>,
}

impl Position {
    pub(crate) fn read(connection: &Connection) -> SqliteResult<Position> {
        let newest_task = newest_task(connection)?;
        let (newest_event, last) = newest_event(connection)?;
        let mut meta = connection.prepare_cached("select value from meta where key = ?")?;
        let mut value = |key: &str| meta.query_row([key], |row| row.get::<_, String>(0)).optional();
        let floor = value("epoch_floor")?.and_then(|text| text.parse().ok()).unwrap_or(0);
        let mark = value("clock")?.and_then(|text| read_mark(&text));
        Ok(Position {
            next_task: newest_task + 1,
            next_event: newest_event + 1,
            last,
            floor: Epoch(floor),
            mark,
        })
    }

    /// Stores the current time, so that it never goes back over a restart. A mark of another boot says
    /// nothing about the time since, so it is renewed at once. Otherwise the time would stand still until the
    /// wall clock has caught up.
    pub(crate) fn renew_mark(
        &mut self,
        connection: &Connection,
        reading: &Reading,
        now: Time,
    ) -> SqliteResult<()> {
        let boot = |boot: &Option<(Arc<str>, Span)>| boot.as_ref().map(|(id, _)| Arc::clone(id));
        let fresh =
            self.mark.as_ref().filter(|mark| boot(&mark.boot) == boot(&reading.boot)).is_some_and(|mark| {
                let at_least = mark.at_least(reading);
                now.since(at_least) <= MARK_AHEAD_MAX && at_least.since(mark.time) <= MARK_AGE_MAX
            });
        if fresh { Ok(()) } else { self.write_mark(connection, reading, now) }
    }

    /// Stores the current time, whatever is stored.
    pub(crate) fn write_mark(
        &mut self,
        connection: &Connection,
        reading: &Reading,
        now: Time,
    ) -> SqliteResult<()> {
        let mark = Mark { time: now, boot: reading.boot.clone() };
        connection
            .prepare_cached("insert or replace into meta (key, value) values ('clock', ?)")?
            .execute([mark_text(&mark)])?;
        self.mark = Some(mark);
        Ok(())
    }
}

/// The mark as text: the time, and the boot that it was read in, in microseconds.
pub(crate) fn mark_text(mark: &Mark) -> String {
    match &mark.boot {
        Some((id, up)) => format!("{} {} {id}", mark.time.as_micros(), up.as_micros()),
        None => mark.time.as_micros().to_string(),
    }
}

pub(crate) fn read_mark(text: &str) -> Option<Mark> {
    let mut parts = text.split(' ');
    let time = Time::from_micros(parts.next()?.parse().ok()?);
    let boot = match (parts.next(), parts.next()) {
        (Some(up), Some(id)) => Some((Arc::from(id), Span::from_micros(up.parse().ok()?))),
        (_, _) => None,
    };
    Some(Mark { time, boot })
}

/// The key of `meta` with the place of the newest event that there was when tasks were pruned last.
pub(crate) const EVENT_FLOOR: &str = "event_floor";
/// The same of the number of the newest task.
pub(crate) const TASK_FLOOR: &str = "task_floor";

fn floor(connection: &Connection, key: &str) -> SqliteResult<i64> {
    let mut floor = connection.prepare_cached("select value from meta where key = ?")?;
    let text: Option<String> = floor.query_row([key], |row| row.get(0)).optional()?;
    Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// The number of the newest task, also if it was pruned: its number is not given again.
pub(crate) fn newest_task(connection: &Connection) -> SqliteResult<i64> {
    let newest = "select coalesce(max(no), 0) from tasks";
    let newest: i64 = connection.prepare_cached(newest)?.query_row([], |row| row.get(0))?;
    Ok(newest.max(floor(connection, TASK_FLOOR)?))
}

/// The place and the time of the newest event. The place is that of one that was pruned, if that was newer.
pub(crate) fn newest_event(connection: &Connection) -> SqliteResult<(i64, Time)> {
    let newest = "select \"order\", at from events order by \"order\" desc limit 1";
    let mut newest = connection.prepare_cached(newest)?;
    let newest = newest.query_row([], |row| Ok((row.get(0)?, Time::from_micros(row.get(1)?)))).optional()?;
    let (place, at) = newest.unwrap_or((0, Time::MIN));
    Ok((place.max(floor(connection, EVENT_FLOOR)?), at))
}
