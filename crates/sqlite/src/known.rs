//! What the writer knows of the file since its last commit, so that it need not read it again.
//!
//! It is valid while nobody else commits to the file, which SQLite's `data_version` tells. So it is checked inside each
//! transaction, and forgotten when the version has moved or a transaction has failed.

use std::sync::Arc;

use tenure_core::id::{Namespace, TaskId};
use tenure_core::task::Task;
use tenure_core::time::Time;
use tenure_store::recent::RecentTasks;
use tenure_store::rows::{LeaseRow, StoredTask};
use tenure_store::size::task_bytes;

use crate::position::Position;

/// What is known at one version of the file.
#[derive(Default)]
pub(crate) struct Known {
    /// The `data_version` at which all this was true.
    version: Option<i64>,
    pub(crate) position: Option<Position>,
    pub(crate) open_tasks: OpenTasks,
}

impl Known {
    /// Forgets all that was known at another version. Returns whether it was another one.
    pub(crate) fn at(&mut self, version: i64) -> bool {
        let is_other = self.version != Some(version);
        if is_other {
            *self = Known { version: Some(version), ..Known::default() };
        }
        is_other
    }

    pub(crate) fn forget(&mut self) {
        *self = Known::default();
    }
}

/// An open task as the tables have it.
pub(crate) enum OpenTask {
    Whole {
        stored: StoredTask,
        /// The column `check_at` of its row in `due`, which the task does not have; none if it was not read.
        check_at: Option<Time>,
        /// Whether its history is known to end where the task says.
        is_continued: bool,
    },
    /// Only what a heartbeat reads.
    Lease(LeaseRow),
}

impl OpenTask {
    fn task(&self) -> &Task {
        match self {
            OpenTask::Whole { stored, .. } => &stored.task,
            OpenTask::Lease(lease) => &lease.task,
        }
    }

    /// What a heartbeat is decided on, if this is known of a task that is leased.
    pub(crate) fn lease(&self) -> Option<LeaseRow> {
        match self {
            OpenTask::Whole { stored, check_at, .. } => {
                stored.task.lease()?;
                let task = match &stored.task.checkpoint {
                    None => Arc::clone(&stored.task),
                    // A checkpoint is there only if the command gives one.
                    Some(_) => Arc::new(Task { checkpoint: None, ..Task::clone(&stored.task) }),
                };
                Some(LeaseRow { row: stored.row, check_at: (*check_at)?, task })
            }
            OpenTask::Lease(lease) => Some(lease.clone()),
        }
    }

    /// Takes over what a heartbeat or progress wrote. Returns whether the size of the task may be another one.
    fn renew(&mut self, after: &Task, at: Time) -> bool {
        let task = match self {
            OpenTask::Whole { stored, check_at, .. } => {
                *check_at = Some(at);
                let task = Arc::make_mut(&mut stored.task);
                if after.checkpoint.is_some() {
                    task.checkpoint.clone_from(&after.checkpoint);
                }
                task
            }
            OpenTask::Lease(lease) => {
                lease.check_at = at;
                Arc::make_mut(&mut lease.task)
            }
        };
        let (Some(lease), Some(renewed)) = (task.lease_mut(), after.lease()) else { return false };
        lease.clone_from(renewed);
        after.checkpoint.is_some() || renewed.progress.is_some()
    }
}

/// The open tasks that were written or read last.
#[derive(Default)]
pub(crate) struct OpenTasks(RecentTasks<OpenTask>);

impl OpenTasks {
    pub(crate) fn get(&mut self, namespace: &Namespace, id: &TaskId) -> Option<&mut OpenTask> {
        self.0.get(namespace, id)
    }

    /// Takes a task out, to be put back as it is after a command.
    pub(crate) fn take(&mut self, namespace: &Namespace, id: &TaskId) -> Option<OpenTask> {
        self.0.take(namespace, id)
    }

    /// Remembers an open task that is not here.
    pub(crate) fn put(&mut self, one: OpenTask) {
        let task = one.task();
        let (namespace, id, bytes) = (task.namespace.clone(), task.id.clone(), task_bytes(task));
        self.0.put(namespace, id, one, bytes);
    }

    /// Takes over what a heartbeat or progress wrote.
    pub(crate) fn renew(&mut self, after: &Task, check_at: Time) {
        let is_resized = self.get(&after.namespace, &after.id).is_some_and(|one| one.renew(after, check_at));
        if is_resized && let Some(one) = self.take(&after.namespace, &after.id) {
            self.put(one);
        }
    }
}

#[cfg(test)]
mod tests {
    use tenure_core::chain::Hash;

    use super::*;

    fn namespace() -> Namespace {
        Namespace::new("default").expect("a name")
    }

    fn id() -> TaskId {
        TaskId::new("t").expect("a name")
    }

    fn open_task() -> OpenTask {
        let task = Task::blank(namespace(), id());
        let stored = StoredTask { row: 1, task: Arc::new(task), head: Hash::START };
        OpenTask::Whole { stored, check_at: None, is_continued: true }
    }

    #[test]
    fn another_version_of_the_file_makes_all_unknown() {
        let mut known = Known::default();
        known.at(7);
        known.open_tasks.put(open_task());
        known.at(7);
        assert!(known.open_tasks.get(&namespace(), &id()).is_some());
        known.at(8);
        assert!(known.open_tasks.get(&namespace(), &id()).is_none());
    }
}
