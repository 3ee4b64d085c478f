//! The events of the demo so far, and questions about them.

use std::collections::BTreeSet;

use tenure::core::event::{Event, EventData};
use tenure::core::id::Epoch;
use tenure::core::task::{Task, Terminal};

/// The history so far, and the tasks in progress.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) events: Vec<Event>,
    pub(super) work: Vec<TaskProgress>,
}

/// The progress of a task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct TaskProgress {
    pub(super) task: String,
    pub(super) owner: String,
    pub(super) epoch: Epoch,
    pub(super) step: u64,
    pub(super) of: u64,
}

impl TaskProgress {
    /// The progress in the task's record; none if nobody holds it, or its holder has not reported any.
    pub(super) fn of(task: &Task) -> Option<TaskProgress> {
        let lease = task.lease()?;
        let progress: serde_json::Value = serde_json::from_str(lease.progress.as_ref()?.as_str()).ok()?;
        Some(TaskProgress {
            task: task.id.to_string(),
            owner: lease.owner.to_string(),
            epoch: lease.epoch,
            step: progress["step"].as_u64()?,
            of: progress["of"].as_u64()?,
        })
    }

    /// Whether it is at least half done, and not finished.
    pub(super) fn is_in_the_middle(&self) -> bool {
        self.step * 2 >= self.of && self.step < self.of
    }

    /// The text that `build.sh` writes to its worktree.
    pub(super) fn signature(&self) -> String {
        format!("{} under epoch {}", self.owner, self.epoch)
    }
}

impl Seen {
    /// Whether that worker acquired a task.
    pub(super) fn has_begun(&self, owner: &str) -> bool {
        let is_its =
            |event: &Event| matches!(&event.what, EventData::Acquired(by) if by.owner.as_str() == owner);
        self.events.iter().any(is_its)
    }

    /// The task that the worker is in the middle of.
    pub(super) fn in_the_middle(&self, owner: &str) -> Option<TaskProgress> {
        self.work.iter().find(|work| work.owner == owner && work.is_in_the_middle()).cloned()
    }

    /// The epoch under which recovery took over after that lease had lapsed.
    pub(super) fn reclaimed(&self, lost: &TaskProgress) -> Option<Epoch> {
        self.of(&lost.task).find_map(|event| {
            let EventData::Reclaimed(grant) = &event.what else { return None };
            let lapsed = grant.lapsed.as_ref()?;
            let is_it = lapsed.owner.as_str() == lost.owner && lapsed.epoch == lost.epoch;
            is_it.then_some(grant.epoch)
        })
    }

    /// The receipt for undoing that worker's task.
    pub(super) fn receipt(&self, lost: &TaskProgress) -> Option<String> {
        self.of(&lost.task).find_map(|event| {
            let EventData::Settled { epoch, receipt, .. } = &event.what else { return None };
            (*epoch > lost.epoch).then(|| receipt.to_string())
        })
    }

    /// Whether the task was planned again after that.
    pub(super) fn is_planned_again(&self, lost: &TaskProgress) -> bool {
        self.of(&lost.task).any(|event| {
            matches!(&event.what, EventData::Replanned { lease: Some(undo), .. } if undo.epoch > lost.epoch)
        })
    }

    /// Who acquired it after that, and under which epoch.
    pub(super) fn successor(&self, lost: &TaskProgress) -> Option<(String, Epoch)> {
        self.of(&lost.task).find_map(|event| {
            let EventData::Acquired(grant) = &event.what else { return None };
            (grant.epoch > lost.epoch).then(|| (grant.owner.to_string(), grant.epoch))
        })
    }

    /// The number of completed tasks.
    pub(super) fn completed(&self) -> usize {
        let is_it =
            |event: &&Event| matches!(&event.what, EventData::Ended(end) if end.state == Terminal::Completed);
        self.events.iter().filter(is_it).map(|event| &event.subject).collect::<BTreeSet<_>>().len()
    }

    /// Whether that worker is the actor of any event from that index on.
    pub(super) fn was_heard_again(&self, owner: &str, from: usize) -> bool {
        self.events.iter().skip(from).any(|event| event.actor.as_str() == owner)
    }

    fn of<'s>(&'s self, task: &'s str) -> impl Iterator<Item = &'s Event> {
        self.events.iter().filter(move |event| event.subject.as_str() == task)
    }
}
