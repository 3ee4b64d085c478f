//! Whether a task is on a list: the same as the databases say in SQL.

use tenure_core::task::{Ending, Task};
use tenure_core::time::Time;

use crate::Filter;

/// Whether a task matches a filter. The other stores express the same in SQL.
pub(super) fn passes(filter: &Filter, task: &Task, now: Time) -> bool {
    let held_by = || task.lease().map(|lease| &lease.owner).or(task.reservation().map(|one| &one.owner));
    let last_owner = || task.last_lease.as_ref().map(|last| &last.owner);
    let label = |(key, value)| task.labels.get(key) == Some(value);
    filter.namespace.as_ref().is_none_or(|namespace| task.namespace == *namespace)
        && (filter.states.is_empty() || filter.states.contains(&task.state()))
        && filter.cause.is_none_or(|cause| task.ending().is_some_and(|ending| ending.cause == cause))
        && filter.queue.as_ref().is_none_or(|queue| task.queue == *queue)
        && filter.owner.as_ref().is_none_or(|owner| held_by() == Some(owner))
        && filter.last_owner.as_ref().is_none_or(|owner| last_owner() == Some(owner))
        && filter.id_prefix.as_ref().is_none_or(|prefix| task.id.as_str().starts_with(prefix.as_str()))
        && filter.saga_id.as_ref().is_none_or(|saga_id| task.saga_id == *saga_id)
        && filter.labels.iter().all(|(key, value)| label((key, value)))
        && (!filter.stale || task.is_stale(now))
        && (!filter.open || task.ending().is_none())
        && (!filter.ended_badly || task.ending().is_some_and(Ending::is_bad))
        && (!filter.unattended || task.ending().is_none_or(|ending| !ending.is_attended()))
        && filter
            .since
            .is_none_or(|since| task.ending().map_or(task.updated_at, |ending| ending.finished_at) >= since)
}
