//! The rows that a command is decided on, and what is written of it: what each store gives and takes in one transaction.

use std::sync::Arc;

use tenure_core::case::Names;
use tenure_core::chain::Hash;
use tenure_core::event::Event;
use tenure_core::id::{Epoch, Namespace, Queue, RequestId, Revision, SagaId, TaskId};
use tenure_core::task::Task;
use tenure_core::time::Time;

use crate::codec::Sealed;
use crate::remembered::Request;

/// A task as a store keeps it: with the number of its row and the head of its chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredTask {
    pub row: i64,
    /// Shared, because a task is large and is handed around for each command.
    pub task: Arc<Task>,
    pub head: Hash,
}

impl StoredTask {
    /// The task alone.
    pub fn into_task(self) -> Task {
        Arc::unwrap_or_clone(self.task)
    }
}

/// What a heartbeat is decided on: the part of a task that its row of `due` shows, see [`crate::due`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeaseRow {
    pub row: i64,
    pub check_at: Time,
    pub task: Arc<Task>,
}

/// What must be written about one task after a command.
pub struct Change<'a> {
    /// The task as it was read; none: it is new.
    pub before: Option<StoredTask>,
    /// The task after the command.
    pub after: &'a Task,
    /// The new head of its chain.
    pub head: Hash,
    /// The events that lie between.
    pub events: Vec<Sealed>,
}

/// The rows of a store inside one transaction. An `Err` is a fault of the store: the whole transaction is
/// aborted.
pub trait Rows {
    /// A fault of the store.
    type Fault;

    fn task(&mut self, namespace: &Namespace, id: &TaskId) -> Result<Option<StoredTask>, Self::Fault>;

    /// The row that a heartbeat is decided on, if the task is leased.
    fn leased(&mut self, namespace: &Namespace, id: &TaskId) -> Result<Option<LeaseRow>, Self::Fault>;

    /// Whether a new task may have these names. Those of pruned tasks are taken.
    fn names(&mut self, namespace: &Namespace, id: &TaskId, saga_id: &SagaId) -> Result<Names, Self::Fault>;

    /// The next tasks of a queue that are due, in the order in which they are claimed.
    fn claimable(
        &mut self,
        namespace: &Namespace,
        queue: &Queue,
        limit: u32,
        now: Time,
    ) -> Result<Vec<TaskId>, Self::Fault>;

    /// The task's events up to a revision.
    fn history(
        &mut self,
        namespace: &Namespace,
        id: &TaskId,
        up_to: Revision,
    ) -> Result<Vec<Event>, Self::Fault>;

    fn request(&mut self, namespace: &Namespace, id: &RequestId) -> Result<Option<Request>, Self::Fault>;

    fn remember(
        &mut self,
        namespace: &Namespace,
        id: &RequestId,
        request: &Request,
    ) -> Result<(), Self::Fault>;

    fn write(&mut self, change: Change<'_>) -> Result<(), Self::Fault>;

    /// Writes what a heartbeat or a progress changed. A checkpoint is there only if it was given.
    fn renew(&mut self, before: LeaseRow, after: &Task, now: Time) -> Result<(), Self::Fault>;

    /// No grant is at or below it.
    fn floor(&mut self) -> Result<Epoch, Self::Fault>;

    /// The stored data is inconsistent: the operation stops with an error.
    fn broken(&mut self, what: String) -> Self::Fault;
}
