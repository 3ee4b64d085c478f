//! Answers for remote clients: lists with cursors, and what a store says about itself.

use std::borrow::Cow;

use serde::Serialize;
use tenure_core::command::Command;
use tenure_core::id::{Epoch, Kind, Namespace, Owner, TaskId};
use tenure_core::task::Task;
use tenure_core::time::Time;

use super::{
    ErrorRecord, EventRecord, HoldingRecord, MinimalTaskRecord, Of, OverviewRecord, RenewalRecord,
    TaskRecord, WatchersRecord, text,
};
use crate::error::Error;
use crate::store::answering::{MinimalAnswer, MinimalTask};
use crate::store::overview::{Holding, Overview};
use crate::store::stored::{ColumnValue, StoredChain, StoredEvent, StoredRow};
use crate::store::watch::{Absence, Presence, Watchers};
use crate::store::{Answer, Cursor, Lapsed, Page, Recorded};
use crate::wire::{Held, Wired};

/// The result of a command: the answer, or why it was not done.
#[derive(Serialize)]
#[serde(untagged)]
pub enum AnswerRecord<'a> {
    /// The task afterwards.
    Task {
        /// The task.
        task: Box<TaskRecord<'a>>,
    },
    /// The tasks that a claim was granted.
    Claimed {
        /// The tasks, in the order in which they were next.
        tasks: Vec<TaskRecord<'a>>,
    },
    /// The answer to a heartbeat or a progress.
    Renewed {
        /// The renewal.
        renewal: RenewalRecord,
    },
    /// The answer to a retry.
    Retried {
        /// The new task.
        task: Box<TaskRecord<'a>>,
        /// The old one.
        retried: Box<TaskRecord<'a>>,
    },
    /// The task after the command, without its large fields.
    MinimalTask {
        /// The task.
        task: Box<MinimalTaskRecord<'a>>,
    },
    /// What a claim was granted, in that form.
    MinimalClaimed {
        /// The tasks, in the order in which they were next.
        tasks: Vec<MinimalTaskRecord<'a>>,
    },
    /// What a retry came to, in that form.
    MinimalRetried {
        /// The new task.
        task: Box<MinimalTaskRecord<'a>>,
        /// The old one.
        retried: Box<MinimalTaskRecord<'a>>,
    },
    /// It was not done, or its outcome is unknown.
    Not(ErrorRecord<'a>),
}

impl<'a> AnswerRecord<'a> {
    /// The answer, with its tasks as they are at `now`.
    pub fn of(answer: &'a Result<Answer, Error>, now: Time) -> AnswerRecord<'a> {
        let record = |task: &'a Task| Box::new(TaskRecord::of(task, now));
        match answer {
            Ok(Answer::Task(task)) => AnswerRecord::Task { task: record(task) },
            Ok(Answer::Claimed(tasks)) => AnswerRecord::Claimed { tasks: records(tasks, now) },
            Ok(Answer::Renewed(renewal)) => AnswerRecord::Renewed { renewal: RenewalRecord::of(*renewal) },
            Ok(Answer::Retried(new, old)) => {
                AnswerRecord::Retried { task: record(new), retried: record(old) }
            }
            Ok(Answer::Minimal(answer)) => AnswerRecord::minimal(answer),
            Err(error) => AnswerRecord::Not(ErrorRecord::of(error)),
        }
    }

    fn minimal(answer: &'a MinimalAnswer) -> AnswerRecord<'a> {
        let record = |task: &'a MinimalTask| Box::new(MinimalTaskRecord::of(task));
        match answer {
            MinimalAnswer::Task(task) => AnswerRecord::MinimalTask { task: record(task) },
            MinimalAnswer::Claimed(tasks) => {
                AnswerRecord::MinimalClaimed { tasks: tasks.iter().map(MinimalTaskRecord::of).collect() }
            }
            MinimalAnswer::Retried(new, old) => {
                AnswerRecord::MinimalRetried { task: record(new), retried: record(old) }
            }
        }
    }
}

/// The answers to many commands, in order.
#[derive(Serialize)]
pub struct AnswersRecord<'a> {
    answers: Vec<AnswerRecord<'a>>,
}

impl<'a> AnswersRecord<'a> {
    /// The answers, with their tasks as they are at `now`.
    pub fn of(answers: &'a [Result<Answer, Error>], now: Time) -> AnswersRecord<'a> {
        AnswersRecord { answers: answers.iter().map(|answer| AnswerRecord::of(answer, now)).collect() }
    }
}

/// The answers to many heartbeats, in order, each with its lease.
#[derive(Serialize)]
pub struct HeartbeatAnswersRecord<'a> {
    answers: Vec<HeartbeatAnswerRecord<'a>>,
}

#[derive(Serialize)]
struct HeartbeatAnswerRecord<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Held<TaskId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<Held<Epoch>>,
    #[serde(flatten)]
    told: ToldRecord<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ToldRecord<'a> {
    Renewed(RenewalRecord),
    Not(ErrorRecord<'a>),
    Nothing {},
}

impl<'a> HeartbeatAnswersRecord<'a> {
    /// The lease of a heartbeat; none for another command.
    pub fn name(command: &Command) -> Option<(TaskId, Epoch)> {
        Some((command.action.task()?.clone(), command.action.holder()?.epoch))
    }

    /// The answers, each with its lease, where it could be read.
    pub fn of(
        answers: impl Iterator<Item = (Option<(TaskId, Epoch)>, &'a Result<Answer, Error>)>,
    ) -> HeartbeatAnswersRecord<'a> {
        let one = |(lease, answer): (Option<(TaskId, Epoch)>, &'a Result<Answer, Error>)| {
            let (id, epoch) = lease.map(|(id, epoch)| (Held(id), Held(epoch))).unzip();
            let told = match answer {
                Ok(Answer::Renewed(renewal)) => ToldRecord::Renewed(RenewalRecord::of(*renewal)),
                Ok(Answer::Task(_) | Answer::Claimed(_) | Answer::Retried(..) | Answer::Minimal(_)) => {
                    ToldRecord::Nothing {}
                }
                Err(error) => ToldRecord::Not(ErrorRecord::of(error)),
            };
            HeartbeatAnswerRecord { id, epoch, told }
        };
        HeartbeatAnswersRecord { answers: answers.map(one).collect() }
    }
}

fn records(tasks: &[Task], now: Time) -> Vec<TaskRecord<'_>> {
    tasks.iter().map(|task| TaskRecord::of(task, now)).collect()
}

/// A page of tasks, and where the list continues.
#[derive(Serialize)]
pub struct TasksPage<'a> {
    tasks: Vec<TaskRecord<'a>>,
    next: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

impl<'a> TasksPage<'a> {
    /// The page, with its tasks as they are at `now`.
    pub fn of(page: &'a Page<Task>, now: Time) -> TasksPage<'a> {
        TasksPage { tasks: records(&page.items, now), next: place(&page.next), more: page.is_cut }
    }
}

fn place(next: &Option<Cursor>) -> Option<&str> {
    next.as_ref().map(Cursor::as_str)
}

/// A page of events, and where the history continues.
#[derive(Serialize)]
pub struct EventsPage<'a> {
    events: Vec<EventRecord<'a>>,
    next: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    unreadable: &'a [String],
}

impl<'a> EventsPage<'a> {
    /// The page.
    pub fn of(page: &'a Page<Recorded>) -> EventsPage<'a> {
        let events = page.items.iter().map(EventRecord::of).collect();
        EventsPage { events, next: place(&page.next), more: page.is_cut, unreadable: &page.unreadable }
    }
}

/// The overview of a namespace.
#[derive(Serialize)]
pub struct StatsAnswer<'a> {
    stats: OverviewRecord<'a>,
}

impl<'a> StatsAnswer<'a> {
    /// The overview.
    pub fn of(overview: &'a Overview) -> StatsAnswer<'a> {
        StatsAnswer { stats: OverviewRecord::of(overview) }
    }
}

/// The owners in a namespace and what they hold.
#[derive(Serialize)]
pub struct OwnersAnswer<'a> {
    owners: Vec<HoldingRecord<'a>>,
}

impl<'a> OwnersAnswer<'a> {
    /// The holdings.
    pub fn of(holdings: &'a [Holding]) -> OwnersAnswer<'a> {
        OwnersAnswer { owners: holdings.iter().map(HoldingRecord::of).collect() }
    }
}

/// Namespaces.
#[derive(Serialize)]
pub struct NamespacesRecord<'a> {
    namespaces: Vec<Of<'a, Namespace>>,
}

impl<'a> NamespacesRecord<'a> {
    /// Their names.
    pub fn of(namespaces: &'a [Namespace]) -> NamespacesRecord<'a> {
        NamespacesRecord { namespaces: namespaces.iter().map(Wired).collect() }
    }
}

/// A store's time.
#[derive(Serialize)]
pub struct NowRecord {
    now: Held<Time>,
}

impl NowRecord {
    /// The time.
    pub fn of(now: Time) -> NowRecord {
        NowRecord { now: Held(now) }
    }
}

/// The end of a history.
#[derive(Serialize)]
pub struct NewestRecord<'a> {
    cursor: &'a str,
}

impl<'a> NewestRecord<'a> {
    /// The place.
    pub fn of(newest: &'a Cursor) -> NewestRecord<'a> {
        NewestRecord { cursor: newest.as_str() }
    }
}

/// When a claim can next find a task.
#[derive(Serialize)]
pub struct ClaimableRecord {
    at: Held<Option<Time>>,
}

impl ClaimableRecord {
    /// The instant; none: nothing waits.
    pub fn of(at: Option<Time>) -> ClaimableRecord {
        ClaimableRecord { at: Held(at) }
    }
}

/// Whether a request id is remembered.
#[derive(Serialize)]
pub struct RememberedRecord {
    remembered: bool,
}

impl RememberedRecord {
    /// Whether it is.
    pub fn of(remembered: bool) -> RememberedRecord {
        RememberedRecord { remembered }
    }
}

/// The tasks that recovery should look at.
#[derive(Serialize)]
pub struct LapsedRecord<'a> {
    tasks: Vec<NominatedRecord<'a>>,
    next: Option<&'a str>,
    next_check: Of<'a, Option<Time>>,
}

#[derive(Serialize)]
struct NominatedRecord<'a> {
    namespace: Of<'a, Namespace>,
    id: Of<'a, TaskId>,
}

impl<'a> LapsedRecord<'a> {
    /// The page.
    pub fn of(lapsed: &'a Lapsed) -> LapsedRecord<'a> {
        let one = |(namespace, id): &'a (Namespace, TaskId)| NominatedRecord {
            namespace: Wired(namespace),
            id: Wired(id),
        };
        LapsedRecord {
            tasks: lapsed.tasks.iter().map(one).collect(),
            next: place(&lapsed.next),
            next_check: Wired(&lapsed.next_check),
        }
    }
}

/// The last absence of recovery.
#[derive(Serialize)]
pub struct WatchedRecord {
    absence: Option<AbsenceRecord>,
}

#[derive(Serialize)]
struct AbsenceRecord {
    from: Held<Time>,
    until: Held<Time>,
}

impl WatchedRecord {
    /// The absence, if there was one.
    pub fn of(absence: Option<Absence>) -> WatchedRecord {
        let record = |Absence { from, until }| AbsenceRecord { from: Held(from), until: Held(until) };
        WatchedRecord { absence: absence.map(record) }
    }
}

/// A recovery process, and what it handles.
#[derive(Serialize)]
pub struct PresenceRecord<'a> {
    name: Option<Of<'a, Owner>>,
    namespaces: Vec<Of<'a, Namespace>>,
    kinds: Vec<Of<'a, Kind>>,
}

impl<'a> PresenceRecord<'a> {
    /// The presence.
    pub fn of(presence: &'a Presence) -> PresenceRecord<'a> {
        PresenceRecord {
            name: presence.name.as_ref().map(Wired),
            namespaces: presence.namespaces.iter().map(Wired).collect(),
            kinds: presence.kinds.iter().map(Wired).collect(),
        }
    }
}

/// The recovery processes of a namespace.
#[derive(Serialize)]
pub struct WatchersAnswer<'a> {
    recovery: WatchersRecord<'a>,
}

impl<'a> WatchersAnswer<'a> {
    /// The recovery processes.
    pub fn of(watchers: &'a Watchers) -> WatchersAnswer<'a> {
        WatchersAnswer { recovery: WatchersRecord::of(watchers) }
    }
}

/// Stored chains, for clients that verify them.
#[derive(Serialize)]
pub struct ChainsPage<'a> {
    chains: Vec<ChainRecord<'a>>,
    next: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

#[derive(Serialize)]
struct ChainRecord<'a> {
    row: i64,
    namespace: Option<Of<'a, Namespace>>,
    id: Option<Of<'a, TaskId>>,
    stored_name: Option<&'a str>,
    rows: Vec<StoredRowRecord<'a>>,
    apart: &'a [String],
    events: Vec<StoredEventRecord<'a>>,
}

#[derive(Serialize)]
struct StoredRowRecord<'a> {
    table: &'a str,
    #[serde(serialize_with = "columns")]
    columns: &'a [(Cow<'static, str>, ColumnValue<'static>)],
}

#[derive(Serialize)]
#[serde(untagged)]
enum ColumnRecord<'a> {
    Null,
    Number(i64),
    Text(&'a str),
    Bytes {
        #[serde(serialize_with = "text")]
        bytes: Hex<'a>,
    },
}

fn columns<S: serde::Serializer>(
    columns: &&[(Cow<'static, str>, ColumnValue<'static>)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(columns.iter().map(|(name, value)| {
        let value = match value {
            ColumnValue::Null => ColumnRecord::Null,
            ColumnValue::Number(number) => ColumnRecord::Number(*number),
            ColumnValue::Text(text) => ColumnRecord::Text(text),
            ColumnValue::Bytes(bytes) => ColumnRecord::Bytes { bytes: Hex(bytes) },
        };
        (name, value)
    }))
}

#[derive(Serialize)]
struct StoredEventRecord<'a> {
    order: i64,
    number: i64,
    at: i64,
    actor: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    data: &'a str,
    #[serde(serialize_with = "text")]
    hash: Hex<'a>,
}

impl<'a> ChainsPage<'a> {
    /// The page.
    pub fn of(page: &'a Page<StoredChain>) -> ChainsPage<'a> {
        let chains = page.items.iter().map(ChainRecord::of).collect();
        ChainsPage { chains, next: place(&page.next), more: page.is_cut }
    }
}

/// The stored chain of one task, for clients that verify it themselves.
#[derive(Serialize)]
pub struct ChainAnswer<'a> {
    chain: ChainRecord<'a>,
}

impl<'a> ChainAnswer<'a> {
    /// The chain.
    pub fn of(chain: &'a StoredChain) -> ChainAnswer<'a> {
        ChainAnswer { chain: ChainRecord::of(chain) }
    }
}

impl<'a> ChainRecord<'a> {
    fn of(chain: &'a StoredChain) -> ChainRecord<'a> {
        let row = |row: &'a StoredRow<'static>| StoredRowRecord { table: &row.table, columns: &row.columns };
        ChainRecord {
            row: chain.row,
            namespace: chain.name.as_ref().map(|(namespace, _)| Wired(namespace)),
            id: chain.name.as_ref().map(|(_, id)| Wired(id)),
            stored_name: chain.stored_name.as_deref(),
            rows: chain.rows.iter().map(row).collect(),
            apart: &chain.apart,
            events: chain.events.iter().map(StoredEventRecord::of).collect(),
        }
    }
}

impl<'a> StoredEventRecord<'a> {
    fn of(event: &'a StoredEvent) -> StoredEventRecord<'a> {
        StoredEventRecord {
            order: event.order,
            number: event.number,
            at: event.at,
            actor: &event.actor,
            kind: &event.kind,
            data: &event.data,
            hash: Hex(&event.hash),
        }
    }
}

struct Hex<'a>(&'a [u8]);

impl std::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
