//! The overview of a namespace: how many tasks are in each state that needs attention, the age of the oldest, and who
//! holds what. Its cost depends on the tasks that are in flight or ended badly, not on all tasks.

use tenure_core::id::{Owner, Queue};
use tenure_core::task::{Ending, Phase, State, Task};
use tenure_core::time::Time;

pub use tenure_api::overview::{Holding, Oldest, Overview, QueueCount, StateCount, ToldToStop};

/// The states of an overview. Completed tasks are not counted, because they are the most and need no attention.
/// Of tasks that ended badly, only those count that nobody retried or dismissed.
pub const OVERVIEW_STATES: [State; 6] = [
    State::Planned,
    State::Dispatched,
    State::Running,
    State::Compensating,
    State::Failed,
    State::Quarantined,
];

/// Since when a task is as it is, as [`Oldest::since`] says.
#[doc(hidden)]
pub fn since(task: &Task) -> Time {
    match &task.phase {
        Phase::Planned => task.due_since(),
        Phase::Dispatched(reservation) => reservation.reserved_at,
        Phase::Running(_) | Phase::Compensating { .. } => task.started_at.unwrap_or(task.created_at),
        Phase::Ended(ending) => ending.finished_at,
    }
}

/// Counts tasks of one state. The others say the same in SQL.
#[doc(hidden)]
pub fn count<'a>(state: State, tasks: impl Iterator<Item = (i64, &'a Task)>, now: Time) -> StateCount {
    let mut counted = StateCount { state, count: 0, later: 0, stale: 0, oldest: None };
    let mut oldest: Option<(Time, i64, &Task)> = None;
    for (row, task) in tasks.filter(|(_, task)| !is_attended(task)) {
        let since = since(task);
        counted.count += 1;
        counted.later += u64::from(state == State::Planned && since > now);
        counted.stale += u64::from(task.is_stale(now));
        if oldest.is_none_or(|(then, before, _)| (since, row) < (then, before)) {
            oldest = Some((since, row, task));
        }
    }
    counted.oldest = oldest.map(|(since, _, task)| Oldest { task: task.id.clone(), since });
    counted
}

fn is_attended(task: &Task) -> bool {
    task.ending().is_some_and(Ending::is_attended)
}

/// Counts the leases that go on though their holders were told to stop.
#[doc(hidden)]
pub fn told_to_stop<'a>(tasks: impl Iterator<Item = &'a Task>, now: Time) -> ToldToStop {
    let leases = tasks.filter_map(Task::lease).filter(|lease| lease.expires_at > now);
    let told = leases.filter_map(|lease| lease.cancel_told);
    told.fold(ToldToStop::default(), |sum, told| ToldToStop {
        count: sum.count + 1,
        since: Some(sum.since.map_or(told.since, |since| since.min(told.since))),
    })
}

/// Counts the tasks of each queue that have not ended. The others say the same in SQL.
#[doc(hidden)]
pub fn queues<'a>(tasks: impl Iterator<Item = &'a Task>, now: Time) -> Vec<QueueCount> {
    let mut queues = std::collections::BTreeMap::<&Queue, QueueCount>::new();
    for task in tasks.filter(|task| task.ending().is_none()) {
        let none =
            QueueCount { queue: task.queue.clone(), planned: 0, later: 0, in_flight: 0, due_since: None };
        let counted = queues.entry(&task.queue).or_insert(none);
        if let Phase::Planned = task.phase {
            let since = task.due_since();
            counted.planned += 1;
            counted.later += u64::from(since > now);
            counted.due_since = Some(counted.due_since.map_or(since, |before| before.min(since)));
        } else {
            counted.in_flight += 1;
        }
    }
    queues.into_values().collect()
}

/// Joins the counts of planned tasks with those in flight, each by queue.
#[doc(hidden)]
pub fn join_queues(planned: Vec<QueueCount>, in_flight: Vec<(Queue, u64)>) -> Vec<QueueCount> {
    let mut queues: std::collections::BTreeMap<Queue, QueueCount> =
        planned.into_iter().map(|one| (one.queue.clone(), one)).collect();
    for (queue, count) in in_flight {
        let none = QueueCount { queue: queue.clone(), planned: 0, later: 0, in_flight: 0, due_since: None };
        queues.entry(queue).or_insert(none).in_flight = count;
    }
    queues.into_values().collect()
}

/// Sums up leases and reservations by owner.
#[doc(hidden)]
pub fn holdings<'a>(tasks: impl Iterator<Item = &'a Task>, now: Time) -> Vec<Holding> {
    let mut by_owner = std::collections::BTreeMap::<&Owner, Holding>::new();
    for task in tasks {
        let leased = task.lease().map(|lease| (&lease.owner, lease.acquired_at, lease.expires_at, 1, 0));
        let reserved = task.reservation().map(|one| (&one.owner, one.reserved_at, one.expires_at, 0, 1));
        let Some((owner, since, until, leases, reservations)) = leased.or(reserved) else { continue };
        let none = Holding { owner: owner.clone(), leases: 0, reservations: 0, stale: 0, since, until };
        let holding = by_owner.entry(owner).or_insert(none);
        holding.leases += leases;
        holding.reservations += reservations;
        holding.stale += u64::from(task.is_stale(now));
        holding.since = holding.since.min(since);
        holding.until = holding.until.min(until);
    }
    by_owner.into_values().collect()
}
