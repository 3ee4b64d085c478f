//! What the checks look at: everything that was read of a store, without a judgement.

use std::fmt;

use tenure_core::id::{Kind, Namespace, TaskId};
use tenure_core::task::Task;
use tenure_core::time::Time;
use tenure_store::Error;
use tenure_store::access::Token;
use tenure_store::backup::BackupMark;
use tenure_store::health::{Integrity, StoreHealth};
use tenure_store::overview::Overview;
use tenure_store::retention::{AnchorRecord, NamedCursor};

use crate::audit::Finding;
pub use crate::audit::recorded::RootComparison;

/// Where a store is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreKind {
    /// In memory.
    Memory,
    /// In a file.
    File,
    /// In a PostgreSQL database.
    Postgres,
    /// Behind a server.
    Server,
}

/// Everything that was read of a store.
#[derive(Debug)]
pub struct Facts {
    /// Where it is kept.
    pub kind: StoreKind,
    /// Its URL for people, without secrets.
    pub shown: String,
    /// The clocks.
    pub clock: ClockFacts,
    /// Its file or database.
    pub health: Result<StoreHealth, Error>,
    /// Its namespaces.
    pub namespaces: Result<Vec<NamespaceFacts>, Error>,
    /// What marks it as a backup, in which nobody works; none if it is a store.
    pub backup: Option<BackupMark>,
    /// The namespace that was asked for, if no task is or was in it.
    pub absent: Option<AbsentNamespace>,
    /// The tasks that recovery should have taken.
    pub late: Result<LateFacts, Error>,
    /// The named cursors of its namespaces.
    pub cursors: Result<Vec<NamedCursor>, Error>,
    /// Its tokens.
    pub tokens: Result<Vec<Token>, Error>,
    /// The verification of its history.
    pub chain: Result<ChainFacts, Error>,
    /// What an anchor says.
    pub anchor: Result<AnchorLook, Error>,
    /// What is known of recovery's settings here.
    pub recovery: RecoverySettings,
}

impl Facts {
    /// The store's time.
    pub fn now(&self) -> Time {
        self.clock.store
    }

    /// Whether pages of its file are damaged.
    pub fn is_damaged(&self) -> bool {
        let file = self.health.as_ref().ok().and_then(|health| health.file.as_ref());
        file.is_some_and(|file| matches!(file.integrity, Integrity::Broken(_)))
    }
}

/// The settings of recovery, as far as the command that asks knows them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum RecoverySettings {
    /// No settings file was named.
    #[default]
    Unknown,
    /// A file was named, and a copied command uses the same one.
    Named {
        /// Its path.
        file: String,
        /// The kinds that it handles.
        kinds: Vec<Kind>,
    },
}

/// A reading of the store's clock between two of this machine's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClockFacts {
    /// This machine's, before.
    pub before: Time,
    /// The store's.
    pub store: Time,
    /// This machine's, after.
    pub after: Time,
}

/// A namespace without a task, in a store that has tasks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AbsentNamespace {
    /// Its name.
    pub name: Namespace,
    /// Those that have or had tasks.
    pub others: Vec<Namespace>,
}

/// A namespace.
#[derive(Clone, Debug)]
pub struct NamespaceFacts {
    /// Its name.
    pub namespace: Namespace,
    /// Its counts.
    pub overview: Overview,
    /// Tasks that are dispatched, running or being undone, the oldest first.
    pub in_flight: ReadTasks,
    /// Planned tasks, the oldest first.
    pub planned: ReadTasks,
    /// Tasks that failed or were undone in the last day, and that nobody has seen to, the newest first.
    pub ended_badly: ReadTasks,
}

/// The beginning of a list of tasks.
#[derive(Clone, Debug, Default)]
pub struct ReadTasks {
    /// The tasks.
    pub tasks: Vec<Task>,
    /// Whether the list goes on behind them.
    pub has_more: bool,
}

/// The tasks that recovery should have taken.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LateFacts {
    /// How many there are.
    pub count: u64,
    /// Whether there are more than were counted.
    pub has_more: bool,
    /// The one that has been due for the longest time.
    pub oldest: Option<LateTask>,
}

/// A task that recovery should have taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LateTask {
    /// Which one.
    pub task: TaskName,
    /// Since when it is due.
    pub due_at: Time,
    /// Whether something must be undone.
    pub owes: bool,
}

/// A task in a store with several namespaces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskName {
    /// The namespace.
    pub namespace: Namespace,
    /// The id in it.
    pub id: TaskId,
}

impl TaskName {
    /// The name of that task.
    pub fn of(task: &Task) -> TaskName {
        TaskName { namespace: task.namespace.clone(), id: task.id.clone() }
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.id)
    }
}

/// The verification of a history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChainFacts {
    /// How many tasks were verified.
    pub tasks: u64,
    /// How many events.
    pub events: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Whether everything was verified.
    pub is_all: bool,
}

/// The anchor that was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AnchorLook {
    /// One that was given.
    Given(AnchorFacts),
    /// None was given: what the store has recorded of the newest one, and what its root shows. None if none was recorded.
    Recorded(Option<(AnchorRecord, RootComparison)>),
}

/// What an anchor says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnchorFacts {
    /// The path of its file.
    pub file: String,
    /// How many tasks it has.
    pub lines: u64,
    /// When the first event happened that it does not cover; none if it covers all.
    pub uncovered_since: Option<Time>,
}
