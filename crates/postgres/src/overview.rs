//! The overview of a namespace, in SQL: planned tasks, waiting tasks, and tasks that ended badly. Each has its own
//! table or index, so the cost does not depend on all tasks.

use tenure_api::wire::Word;
use tenure_core::id::{Namespace, Owner, Queue, TaskId};
use tenure_core::task::State;
use tenure_core::time::Time;
use tenure_store::columns::Row as _;
use tenure_store::ends::{EndCount, MinuteCount, Minutes, by_minute};
use tenure_store::health::{PostgresHealth, Standby};
use tenure_store::numbers::unsigned;
use tenure_store::overview::{
    Holding, OVERVIEW_STATES, Oldest, Overview, QueueCount, StateCount, ToldToStop, join_queues,
};

use crate::columns::{PostgresError, PostgresResult, PostgresRow};
use crate::read::{PostgresReader, one};

/// Of a row of `due`.
const STALE: &str = "due.wait <> 'undo' and due.expires_at <= $2";

/// Where the tasks of a state are found, and what is said of them. `$1` is the namespace, `$2` now.
struct Place {
    from: String,
    /// Where they are counted, if less is needed for that.
    counted: Option<String>,
    since: &'static str,
    later: &'static str,
    stale: &'static str,
}

impl Place {
    fn counts(&self) -> String {
        let Place { from, counted, later, stale, .. } = self;
        let from = counted.as_ref().unwrap_or(from);
        format!(
            "select count(*), count(*) filter (where {later}), count(*) filter (where {stale}) from {from} and $2::bigint is not null"
        )
    }

    fn oldest(&self) -> String {
        let Place { from, since, .. } = self;
        format!("select tasks.id, {since} from {from} order by {since}, tasks.no limit 1")
    }
}

fn place(state: State) -> Place {
    let joined = "tenure.due join tenure.tasks on tasks.namespace = due.namespace and tasks.id = due.task";
    let held = |wait: &str| {
        let rows = format!("due.namespace = $1 and due.wait = '{wait}'");
        // The rows say since when, so only the oldest tasks are read for their names.
        let first = format!("due.since = (select min(since) from tenure.due where {rows})");
        Place {
            from: format!("{joined} where {rows} and {first}"),
            counted: Some(format!("tenure.due where {rows}")),
            since: "due.since",
            later: "false",
            stale: STALE,
        }
    };
    match state {
        State::Planned => Place {
            from: "tenure.tasks where namespace = $1 and claim_from is not null".to_owned(),
            counted: None,
            since: "claim_from",
            later: "claim_from > $2",
            stale: "false",
        },
        State::Dispatched => held("reservation"),
        State::Running => held("lease"),
        State::Compensating => {
            let undone = "due.namespace = $1 and due.wait in ('undo_lease', 'undo')";
            Place {
                from: format!("{joined} where {undone}"),
                counted: Some(format!("tenure.due where {undone}")),
                // Since its attempt began, which only the task knows.
                since: "coalesce(tasks.started_at, tasks.created_at)",
                later: "false",
                stale: STALE,
            }
        }
        State::Completed | State::Failed | State::Compensated | State::Quarantined => Place {
            from: format!(
                "tenure.tasks where namespace = $1 and ended_badly = '{}' and retried_as is null \
                 and dismissed_at is null",
                state.word()
            ),
            counted: None,
            since: "finished_at",
            later: "false",
            stale: "false",
        },
    }
}

impl PostgresReader<'_> {
    /// One look at one moment, so that a task that moves meanwhile is counted once.
    pub(crate) async fn overview(&mut self, namespace: &Namespace) -> PostgresResult<Overview> {
        self.begin().await?;
        let at = self.now().await?;
        let mut states = Vec::with_capacity(OVERVIEW_STATES.len());
        for state in OVERVIEW_STATES {
            states.push(self.count(namespace, state, at).await?);
        }
        let ends = self.ends(namespace, at).await?;
        let queues = self.queues(namespace, at).await?;
        let minutes = self.minutes(namespace, at).await?;
        let told_to_stop = self.told_to_stop(namespace, at).await?;
        let recovery = self.watchers(namespace).await?;
        let warnings = self.warnings().await?;
        self.end().await?;
        Ok(Overview { at, states, ends, queues, minutes, told_to_stop, recovery, warnings })
    }

    async fn count(&mut self, namespace: &Namespace, state: State, now: Time) -> PostgresResult<StateCount> {
        let place = place(state);
        let counts = self.link.once(&place.counts(), &[&namespace.as_str(), &now.as_micros()]).await?;
        let counts = one(&counts)?;
        let oldest = self.link.once(&place.oldest(), &[&namespace.as_str()]).await?;
        let oldest = match oldest.first() {
            Some(row) => Some(Oldest { task: TaskId::new(row.a_text(0)?)?, since: row.a_time(1)? }),
            None => None,
        };
        Ok(StateCount {
            state,
            count: unsigned(counts.a_number(0)?),
            later: unsigned(counts.a_number(1)?),
            stale: unsigned(counts.a_number(2)?),
            oldest,
        })
    }

    /// What of the database's settings breaks the promise that what was answered stays.
    pub(crate) async fn warnings(&mut self) -> PostgresResult<Vec<String>> {
        Ok(self.health().await?.warnings())
    }

    /// The settings on which promises rest, and the standbys.
    pub(crate) async fn health(&mut self) -> PostgresResult<PostgresHealth> {
        let settings = "select current_setting('fsync'), \
                 current_setting('full_page_writes'), current_setting('synchronous_commit'), \
                 current_setting('synchronous_standby_names'), current_database(), \
                 coalesce((select source from pg_settings where name = 'synchronous_commit'), '')";
        // Only a server that replays the log says how far it has: pg_basebackup and pg_receivewal do not. A subscriber of single tables
        // has a logical slot. A role that may not see the details of standbys still sees how many connections there are.
        let standbys = "select application_name, sync_state from pg_stat_replication as sender \
                 where (state is null or (state <> 'backup' and replay_lsn is not null)) \
                 and not exists (select 1 from pg_replication_slots as slot \
                 where slot.active_pid = sender.pid and slot.slot_type = 'logical') order by 1";
        let rows = self.link.ask(settings, &[]).await?;
        let row = one(&rows)?;
        let standbys = self.link.ask(standbys, &[]).await?;
        let standby = |row: &PostgresRow| {
            let text = |at| Ok::<_, PostgresError>(row.text(at)?.map(str::to_owned));
            Ok(Standby { name: text(0)?, sync_state: text(1)? })
        };
        Ok(PostgresHealth {
            fsync: row.a_text(0)?.to_owned(),
            full_page_writes: row.a_text(1)?.to_owned(),
            synchronous_commit: row.a_text(2)?.to_owned(),
            synchronous_standby_names: row.a_text(3)?.to_owned(),
            database: row.a_text(4)?.to_owned(),
            synchronous_commit_source: row.a_text(5)?.to_owned(),
            standbys: standbys.iter().map(standby).collect::<PostgresResult<_>>()?,
        })
    }

    async fn ends(&mut self, namespace: &Namespace, now: Time) -> PostgresResult<Vec<EndCount>> {
        let ends = "select queue, state, cause, coalesce(sum(count) filter (where minute >= $2), 0)::bigint, \
                 coalesce(sum(count) filter (where minute >= $3), 0)::bigint, \
                 coalesce(sum(count) filter (where minute = 0), 0)::bigint from tenure.ends \
                 where namespace = $1 and (minute = 0 or minute >= $3) \
                 group by queue, state, cause order by queue, state, cause";
        let minutes = Minutes::at(now);
        let rows = self.link.ask(ends, &[&namespace.as_str(), &minutes.hour, &minutes.day]).await?;
        let read = |row: &PostgresRow| {
            Ok(EndCount {
                queue: Queue::new(row.a_text(0)?)?,
                state: row.word(1)?,
                cause: row.word(2)?,
                last_hour: unsigned(row.a_number(3)?),
                last_day: unsigned(row.a_number(4)?),
                all: unsigned(row.a_number(5)?),
            })
        };
        rows.iter().map(read).collect()
    }

    async fn queues(&mut self, namespace: &Namespace, now: Time) -> PostgresResult<Vec<QueueCount>> {
        let planned = "select queue, count(*), count(*) filter (where claim_from > $2), min(claim_from) from tenure.tasks \
                 where namespace = $1 and claim_from is not null group by queue";
        let rows = self.link.ask(planned, &[&namespace.as_str(), &now.as_micros()]).await?;
        let read = |row: &PostgresRow| {
            Ok(QueueCount {
                queue: Queue::new(row.a_text(0)?)?,
                planned: unsigned(row.a_number(1)?),
                later: unsigned(row.a_number(2)?),
                in_flight: 0,
                due_since: row.time(3)?,
            })
        };
        let planned = rows.iter().map(read).collect::<PostgresResult<_>>()?;
        // Of what nobody holds only the task knows the queue.
        let in_flight = "select coalesce(due.queue, (select tasks.queue from tenure.tasks \
                 where tasks.namespace = due.namespace and tasks.id = due.task)) as queue, count(*) \
                 from tenure.due where due.namespace = $1 and due.wait <> 'start' group by 1";
        let rows = self.link.ask(in_flight, &[&namespace.as_str()]).await?;
        let read = |row: &PostgresRow| Ok((Queue::new(row.a_text(0)?)?, unsigned(row.a_number(1)?)));
        Ok(join_queues(planned, rows.iter().map(read).collect::<PostgresResult<_>>()?))
    }

    async fn minutes(&mut self, namespace: &Namespace, now: Time) -> PostgresResult<Vec<MinuteCount>> {
        let minutes = "select minute, state, cause, sum(count)::bigint from tenure.ends \
                 where namespace = $1 and minute >= $2 group by minute, state, cause order by minute";
        let rows = self.link.ask(minutes, &[&namespace.as_str(), &Minutes::at(now).hour]).await?;
        let read = |row: &PostgresRow| {
            Ok((row.a_number(0)?, row.word(1)?, row.word(2)?, unsigned(row.a_number(3)?)))
        };
        Ok(by_minute(rows.iter().map(read).collect::<PostgresResult<Vec<_>>>()?))
    }

    async fn told_to_stop(&mut self, namespace: &Namespace, now: Time) -> PostgresResult<ToldToStop> {
        let told = "select count(*), min(cancel_told_at) from tenure.due \
                 where namespace = $1 and cancel_told_at is not null and expires_at > $2";
        let rows = self.link.ask(told, &[&namespace.as_str(), &now.as_micros()]).await?;
        let row = one(&rows)?;
        Ok(ToldToStop { count: unsigned(row.a_number(0)?), since: row.time(1)? })
    }

    pub(crate) async fn holdings(&mut self, namespace: &Namespace) -> PostgresResult<Vec<Holding>> {
        let now = self.now().await?;
        let holdings = "select owner, count(*) filter (where wait <> 'reservation'), \
                 count(*) filter (where wait = 'reservation'), count(*) filter (where expires_at <= $2), \
                 min(since), min(expires_at) from tenure.due where namespace = $1 and owner is not null \
                 group by owner order by owner";
        let rows = self.link.ask(holdings, &[&namespace.as_str(), &now.as_micros()]).await?;
        let read = |row: &PostgresRow| {
            Ok(Holding {
                owner: Owner::new(row.a_text(0)?)?,
                leases: unsigned(row.a_number(1)?),
                reservations: unsigned(row.a_number(2)?),
                stale: unsigned(row.a_number(3)?),
                since: row.a_time(4)?,
                until: row.a_time(5)?,
            })
        };
        rows.iter().map(read).collect()
    }
}
