//! The overview of a namespace, in SQL. It reads only tasks that are in flight or ended badly, each through a narrow
//! index.

use rusqlite::{OptionalExtension, Row, named_params, params};
use tenure_api::wire::Word;
use tenure_core::id::{Namespace, Owner, Queue, TaskId};
use tenure_core::task::State;
use tenure_core::time::Time;
use tenure_store::Error;
use tenure_store::columns::Row as _;
use tenure_store::ends::{EndCount, MinuteCount, Minutes, by_minute};
use tenure_store::overview::{
    Holding, OVERVIEW_STATES, Oldest, Overview, QueueCount, StateCount, ToldToStop, join_queues,
};

use crate::columns::{SqliteResult, SqliteRow};
use crate::read::SqliteReader;

const PLANNED_BY_QUEUE: &str = "select queue, count(*), sum(coalesce(not_before, created_at) > ?2), \
    min(coalesce(not_before, created_at)) from tasks indexed by tasks_to_claim \
    where namespace = ?1 and state = 'planned' group by queue";
// Of what nobody holds only the task knows the queue.
const IN_FLIGHT_BY_QUEUE: &str = "select coalesce(due.queue, (select tasks.queue from tasks where tasks.no = due.task)), \
    count(*) from due where due.namespace = ?1 and due.wait <> 'start' group by 1";

/// Of a row of `due`.
const STALE: &str = "due.wait <> 'undo' and due.expires_at <= :now";

/// How to find the tasks of a state, since when each is in it, and whether it is stale.
struct Place {
    from: String,
    /// Where they are counted, if less is needed for that.
    counted: Option<String>,
    since: &'static str,
    later: &'static str,
    stale: &'static str,
}

impl Place {
    /// The numbers of all, later and stale tasks. The time is bound in any case, because each parameter must
    /// occur in the statement.
    fn counts(&self) -> String {
        let Place { from, counted, later, stale, .. } = self;
        let from = counted.as_ref().unwrap_or(from);
        format!("select count(*), coalesce(sum({later}), 0), coalesce(sum({stale}), 0), :now from {from}")
    }

    fn oldest(&self) -> String {
        let Place { from, since, .. } = self;
        format!("select tasks.id, {since} from {from} order by {since}, tasks.no limit 1")
    }
}

fn place(state: State) -> Place {
    let held = |wait: &str| {
        let rows = format!("due where due.namespace = :namespace and due.wait = '{wait}'");
        // The row says since when, so only one task is read for its name.
        let first = format!("(select task, since from {rows} order by since, task limit 1)");
        Place {
            from: format!("{first} due join tasks on tasks.no = due.task"),
            counted: Some(rows),
            since: "due.since",
            later: "false",
            stale: STALE,
        }
    };
    match state {
        State::Planned => Place {
            // Otherwise SQLite would scan all tasks of the namespace, because they are in row order.
            from: "tasks indexed by tasks_to_claim where namespace = :namespace and state = 'planned'"
                .to_owned(),
            counted: None,
            since: "coalesce(not_before, created_at)",
            later: "coalesce(not_before, created_at) > :now",
            stale: "false",
        },
        State::Dispatched => held("reservation"),
        State::Running => held("lease"),
        State::Compensating => {
            let undone = "due.namespace = :namespace and due.wait in ('undo_lease', 'undo')";
            Place {
                from: format!("due join tasks on tasks.no = due.task where {undone}"),
                counted: Some(format!("due where {undone}")),
                // Since its attempt began, which only the task knows.
                since: "coalesce(tasks.started_at, tasks.created_at)",
                later: "false",
                stale: STALE,
            }
        }
        State::Completed | State::Failed | State::Compensated | State::Quarantined => Place {
            // Written like the index over tasks that ended badly.
            from: format!(
                "tasks where namespace = :namespace and state = '{}' and finished_at is not null \
                 and state <> 'completed' and retried_as is null and dismissed_at is null",
                state.word()
            ),
            counted: None,
            since: "finished_at",
            later: "false",
            stale: "false",
        },
    }
}

impl SqliteReader<'_> {
    pub(crate) fn overview(&mut self, namespace: &Namespace) -> Result<Overview, Error> {
        self.find_overview(namespace).map_err(|fault| self.error(fault))
    }

    fn find_overview(&self, namespace: &Namespace) -> SqliteResult<Overview> {
        // One snapshot, so that a task that moves meanwhile is counted once.
        let moment = self.connection().unchecked_transaction()?;
        let at = self.find_now()?;
        let states = OVERVIEW_STATES.map(|state| self.count(namespace, state, at));
        let states = states.into_iter().collect::<SqliteResult<Vec<_>>>()?;
        let (ends, told_to_stop) = (self.ends(namespace, at)?, self.told_to_stop(namespace, at)?);
        let (queues, minutes) = (self.queues(namespace, at)?, self.minutes(namespace, at)?);
        let recovery = self.find_watchers(namespace)?;
        drop(moment);
        Ok(Overview { at, states, ends, queues, minutes, told_to_stop, recovery, warnings: Vec::new() })
    }

    fn count(&self, namespace: &Namespace, state: State, now: Time) -> SqliteResult<StateCount> {
        let place = place(state);
        let given = named_params! { ":namespace": namespace.as_str(), ":now": now.as_micros() };
        let (count, later, stale) = self
            .connection()
            .prepare_cached(&place.counts())?
            .query_row(given, |row| Ok((number(row, 0)?, number(row, 1)?, number(row, 2)?)))?;
        let given = named_params! { ":namespace": namespace.as_str() };
        let oldest = self
            .connection()
            .prepare_cached(&place.oldest())?
            .query_row(given, |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))
            .optional()?;
        let oldest = oldest.map(|(task, since)| {
            Ok::<_, tenure_core::limit::InvalidField>(Oldest {
                task: TaskId::new(task)?,
                since: Time::from_micros(since),
            })
        });
        Ok(StateCount { state, count, later, stale, oldest: oldest.transpose()? })
    }

    fn ends(&self, namespace: &Namespace, now: Time) -> SqliteResult<Vec<EndCount>> {
        let minutes = Minutes::at(now);
        let mut ends = self.connection().prepare_cached(
            "select queue, state, cause, sum(iif(minute >= :hour, count, 0)), sum(iif(minute >= :day, count, 0)), \
             sum(iif(minute = 0, count, 0)) from ends \
             where namespace = :namespace and (minute = 0 or minute >= :day) \
             group by queue, state, cause order by queue, state, cause",
        )?;
        let given =
            named_params! { ":namespace": namespace.as_str(), ":hour": minutes.hour, ":day": minutes.day };
        let mut rows = ends.query(given)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(EndCount {
                queue: Queue::new(row.get::<_, String>(0)?)?,
                state: SqliteRow(row).word(1)?,
                cause: SqliteRow(row).word(2)?,
                last_hour: number(row, 3)?,
                last_day: number(row, 4)?,
                all: number(row, 5)?,
            });
        }
        Ok(found)
    }

    fn queues(&self, namespace: &Namespace, now: Time) -> SqliteResult<Vec<QueueCount>> {
        let mut planned = self.connection().prepare_cached(PLANNED_BY_QUEUE)?;
        let planned = planned.query_map(params![namespace.as_str(), now.as_micros()], |row| {
            Ok((row.get::<_, String>(0)?, number(row, 1)?, number(row, 2)?, row.get(3)?))
        })?;
        let count = |found: rusqlite::Result<(String, u64, u64, i64)>| {
            let (queue, planned, later, since) = found?;
            let due_since = Some(Time::from_micros(since));
            Ok(QueueCount { queue: Queue::new(queue)?, planned, later, in_flight: 0, due_since })
        };
        let planned = planned.map(count).collect::<SqliteResult<_>>()?;
        let mut in_flight = self.connection().prepare_cached(IN_FLIGHT_BY_QUEUE)?;
        let in_flight = in_flight
            .query_map(params![namespace.as_str()], |row| Ok((row.get::<_, String>(0)?, number(row, 1)?)))?;
        let count = |found: rusqlite::Result<(String, u64)>| {
            let (queue, count) = found?;
            Ok((Queue::new(queue)?, count))
        };
        Ok(join_queues(planned, in_flight.map(count).collect::<SqliteResult<_>>()?))
    }

    fn minutes(&self, namespace: &Namespace, now: Time) -> SqliteResult<Vec<MinuteCount>> {
        let mut minutes = self.connection().prepare_cached(
            "select minute, state, cause, sum(count) from ends where namespace = ? and minute >= ? \
             group by minute, state, cause order by minute",
        )?;
        let mut rows = minutes.query(params![namespace.as_str(), Minutes::at(now).hour])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push((row.get(0)?, SqliteRow(row).word(1)?, SqliteRow(row).word(2)?, number(row, 3)?));
        }
        Ok(by_minute(found))
    }

    fn told_to_stop(&self, namespace: &Namespace, now: Time) -> SqliteResult<ToldToStop> {
        let told = "select count(*), min(cancel_told_at) from due \
                    where namespace = ? and cancel_told_at is not null and expires_at > ?";
        let mut told = self.connection().prepare_cached(told)?;
        Ok(told.query_row(params![namespace.as_str(), now.as_micros()], |row| {
            let since = row.get::<_, Option<i64>>(1)?.map(Time::from_micros);
            Ok(ToldToStop { count: number(row, 0)?, since })
        })?)
    }

    pub(crate) fn holdings(&mut self, namespace: &Namespace) -> Result<Vec<Holding>, Error> {
        self.find_holdings(namespace).map_err(|fault| self.error(fault))
    }

    fn find_holdings(&self, namespace: &Namespace) -> SqliteResult<Vec<Holding>> {
        let now = self.find_now()?;
        let mut holdings = self.connection().prepare_cached(
            "select owner, sum(wait <> 'reservation'), sum(wait = 'reservation'), sum(expires_at <= ?2), \
             min(since), min(expires_at) from due where namespace = ?1 and owner is not null \
             group by owner order by owner",
        )?;
        let mut rows = holdings.query((namespace.as_str(), now.as_micros()))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(Holding {
                owner: Owner::new(row.get::<_, String>(0)?)?,
                leases: number(row, 1)?,
                reservations: number(row, 2)?,
                stale: number(row, 3)?,
                since: Time::from_micros(row.get(4)?),
                until: Time::from_micros(row.get(5)?),
            });
        }
        Ok(found)
    }
}

/// SQLite's numbers are signed; a count is never negative.
fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::unsigned_abs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open::{SqliteFile, Synchronous};

    /// How SQLite goes about it, in its own words.
    fn plan(connection: &rusqlite::Connection, sql: &str) -> String {
        let mut statement = connection.prepare(&format!("explain query plan {sql}")).expect("SQL");
        let mut rows = statement.raw_query();
        let mut plan = Vec::new();
        while let Some(row) = rows.next().expect("a step") {
            plan.push(row.get::<_, String>(3).expect("words"));
        }
        plan.join("; ")
    }

    #[test]
    fn a_glance_does_not_read_every_task_that_ever_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tasks.db");
        let database = SqliteFile::new(path, Synchronous::Full);
        database.prepare(std::time::Duration::ZERO, tenure_store::backup::IfMarked::Refuse).expect("made");
        let connection = database.connect().expect("opens");
        for state in OVERVIEW_STATES {
            for sql in [place(state).counts(), place(state).oldest()] {
                let plan = plan(&connection, &sql);
                let by_row = "SEARCH tasks USING INTEGER PRIMARY KEY";
                let waiting = plan.contains("SCAN due") || plan.contains("due_reservations");
                let narrow = waiting && (plan.contains(by_row) || !plan.contains(" tasks"));
                let indexed = plan.contains("tasks_to_claim") || plan.contains("tasks_ended_badly");
                assert!(narrow || indexed, "{state:?}: {plan}");
            }
        }
    }
}
