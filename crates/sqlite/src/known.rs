//! What the writer knows of the file since its last commit, so that it need not read it again.
//!
//! It is valid while nobody else commits to the file, which SQLite's `data_version` tells. So it is checked inside each
//! transaction, and forgotten when the version has moved or a transaction has failed.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use tenure_core::id::{Namespace, TaskId};
use tenure_core::task::Task;
use tenure_core::time::Time;
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
    /// Forgets all that was known at another version.
    pub(crate) fn at(&mut self, version: i64) {
        if self.version != Some(version) {
            *self = Known { version: Some(version), ..Known::default() };
        }
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
                // A checkpoint is there only if the command gives one.
                let task = Task { checkpoint: None, ..stored.task.clone() };
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
                if after.checkpoint.is_some() {
                    stored.task.checkpoint.clone_from(&after.checkpoint);
                }
                &mut stored.task
            }
            OpenTask::Lease(lease) => {
                lease.check_at = at;
                &mut lease.task
            }
        };
        let (Some(lease), Some(renewed)) = (task.lease_mut(), after.lease()) else { return false };
        lease.clone_from(renewed);
        after.checkpoint.is_some() || renewed.progress.is_some()
    }
}

/// The open tasks that were written or read last.
///
/// There are two generations: when the younger one is full it becomes the older one, and what was in that and was not used
/// since is forgotten.
#[derive(Default)]
pub(crate) struct OpenTasks {
    young: Generation,
    old: Generation,
}

impl OpenTasks {
    pub(crate) fn get(&mut self, namespace: &Namespace, id: &TaskId) -> Option<&mut OpenTask> {
        let name: &dyn Name = &(namespace, id);
        if let Some(again) = self.old.remove(name) {
            self.put(again);
        }
        self.young.tasks.get_mut(name).map(|sized| &mut sized.task)
    }

    /// Takes a task out, to be put back as it is after a command.
    pub(crate) fn take(&mut self, namespace: &Namespace, id: &TaskId) -> Option<OpenTask> {
        let name: &dyn Name = &(namespace, id);
        self.young.remove(name).or_else(|| self.old.remove(name))
    }

    /// Remembers an open task that is not here.
    pub(crate) fn put(&mut self, one: OpenTask) {
        if self.young.bytes >= Generation::BYTES_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.add(one);
    }

    /// Takes over what a heartbeat or progress wrote.
    pub(crate) fn renew(&mut self, after: &Task, check_at: Time) {
        let is_resized = self.get(&after.namespace, &after.id).is_some_and(|one| one.renew(after, check_at));
        if is_resized && let Some(one) = self.take(&after.namespace, &after.id) {
            self.put(one);
        }
    }
}

#[derive(Default)]
struct Generation {
    tasks: HashMap<TaskName, SizedTask>,
    bytes: usize,
}

struct SizedTask {
    task: OpenTask,
    bytes: usize,
}

impl Generation {
    /// Half of what open tasks may take, by the size of their JSON, which is more than they have in memory.
    const BYTES_MAX: usize = 32 * 1024 * 1024;

    fn add(&mut self, task: OpenTask) {
        let bytes = task_bytes(task.task());
        let name = TaskName(task.task().namespace.clone(), task.task().id.clone());
        self.bytes += bytes;
        self.tasks.insert(name, SizedTask { task, bytes });
    }

    fn remove(&mut self, name: &dyn Name) -> Option<OpenTask> {
        if self.tasks.is_empty() {
            return None;
        }
        let SizedTask { task, bytes } = self.tasks.remove(name)?;
        self.bytes -= bytes;
        Some(task)
    }
}

/// The key of a task.
#[derive(PartialEq, Eq, Hash)]
struct TaskName(Namespace, TaskId);

/// A key that need not be owned to be looked up.
trait Name {
    fn parts(&self) -> (&Namespace, &TaskId);
}

impl Name for TaskName {
    fn parts(&self) -> (&Namespace, &TaskId) {
        (&self.0, &self.1)
    }
}

impl Name for (&Namespace, &TaskId) {
    fn parts(&self) -> (&Namespace, &TaskId) {
        *self
    }
}

impl<'a> Borrow<dyn Name + 'a> for TaskName {
    fn borrow(&self) -> &(dyn Name + 'a) {
        self
    }
}

impl PartialEq for dyn Name + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for dyn Name + '_ {}

/// As the derived one of [`TaskName`].
impl Hash for dyn Name + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use tenure_core::chain::Hash;
    use tenure_core::id::Document;

    use super::*;

    fn namespace() -> Namespace {
        Namespace::new("default").expect("a name")
    }

    fn id(number: usize) -> TaskId {
        TaskId::new(format!("t{number}")).expect("a name")
    }

    /// One of which a generation has room for some hundred and thirty.
    fn large(number: usize, payload: &Document) -> OpenTask {
        let task = Task { payload: payload.clone(), ..Task::blank(namespace(), id(number)) };
        let stored = StoredTask { row: number as i64, task, head: Hash::START };
        OpenTask::Whole { stored, check_at: None, is_continued: true }
    }

    #[test]
    fn what_is_used_stays_and_what_is_not_is_forgotten_in_time() {
        let payload = Document::new(format!("\"{}\"", "x".repeat(250_000))).expect("a payload");
        let mut tasks = OpenTasks::default();
        for number in 0..1_000 {
            tasks.put(large(number, &payload));
            assert!(tasks.get(&namespace(), &id(0)).is_some(), "it is used all the time: {number}");
        }
        assert!(tasks.get(&namespace(), &id(999)).is_some(), "it came last");
        assert!(tasks.get(&namespace(), &id(1)).is_none(), "it was not used");
        let bytes = tasks.young.bytes + tasks.old.bytes;
        assert!(bytes <= 2 * Generation::BYTES_MAX + 512 * 1024, "{bytes}");
    }

    #[test]
    fn a_task_that_is_taken_out_gives_its_room_back() {
        let payload = Document::null();
        let mut tasks = OpenTasks::default();
        tasks.put(large(1, &payload));
        assert!(tasks.take(&namespace(), &id(1)).is_some());
        assert!(tasks.take(&namespace(), &id(1)).is_none());
        assert_eq!(tasks.young.bytes + tasks.old.bytes, 0);
    }

    #[test]
    fn another_version_of_the_file_makes_all_unknown() {
        let mut known = Known::default();
        known.at(7);
        known.open_tasks.put(large(1, &Document::null()));
        known.at(7);
        assert!(known.open_tasks.get(&namespace(), &id(1)).is_some());
        known.at(8);
        assert!(known.open_tasks.get(&namespace(), &id(1)).is_none());
    }
}
