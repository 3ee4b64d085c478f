//! The person who is on call for the fleet: takes over held tasks, cancels what nobody serves, and dismisses old failures, but only
//! beyond some that stay for viewers. So the fleet can run for days.

use std::time::Duration;

use serde_json::json;
use tenure::core::id::Queue;
use tenure::core::policy::OnLapse;
use tenure::core::task::{State, Task};
use tenure::stop::StopSignal;
use tenure::store::{Filter, Order};
use tenure::{Error, Ledger};

use super::names::{PERSON, UNSERVED};

/// How often they look.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// The most tasks that they handle in one look.
const LOOK_MAX: usize = 100;
/// How many tasks stay: held ones, those of the unserved queue, and those that ended badly.
const HELD_MAX: usize = 4;
const UNSERVED_MAX: usize = 5;
const ENDED_BADLY_MAX: usize = 60;

/// Looks until told to stop.
pub(super) async fn tidy_up(ledger: Ledger, stop: StopSignal) -> Result<(), Error> {
    let ledger = ledger.acting_as(PERSON)?;
    loop {
        tokio::select! {
            () = stop.stopped() => return Ok(()),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        take_over(&ledger).await?;
        cancel_unserved(&ledger).await?;
        dismiss_old(&ledger).await?;
    }
}

/// Takes over the held tasks that wait longest, and completes them.
async fn take_over(ledger: &Ledger) -> Result<(), Error> {
    let stale = Filter::default().with(|filter| {
        filter.stale = true;
        filter.order = Order::Oldest;
    });
    let stale = ledger.tasks(stale, None, LOOK_MAX).await?.items;
    let held: Vec<Task> = stale.into_iter().filter(|task| task.policy.on_lapse == OnLapse::Hold).collect();
    let too_many = held.len().saturating_sub(HELD_MAX);
    for task in held.into_iter().take(too_many) {
        accepted(finish(ledger, task.id.as_str()).await)?;
    }
    Ok(())
}

async fn finish(ledger: &Ledger, id: &str) -> Result<Task, Error> {
    let lease = ledger.acquire(id, PERSON).keep().await?;
    if lease.task().owes() {
        lease.call(ledger.adopt(id, lease.holder())).await?;
    }
    lease.complete_with(json!({"summary": "finished by hand"})).await
}

/// Cancels the tasks that have waited longest in the queue that nobody serves.
async fn cancel_unserved(ledger: &Ledger) -> Result<(), Error> {
    let queue = Queue::new(UNSERVED)?;
    let waiting = Filter::default().with(|filter| {
        filter.queue = Some(queue);
        filter.states = vec![State::Planned];
        filter.order = Order::Oldest;
    });
    let waiting = ledger.tasks(waiting, None, LOOK_MAX).await?.items;
    let too_many = waiting.len().saturating_sub(UNSERVED_MAX);
    for task in waiting.into_iter().take(too_many) {
        accepted(ledger.cancel(task.id.as_str(), "there is no machine for it").await)?;
    }
    Ok(())
}

/// Dismisses what ended badly before the newest of those.
async fn dismiss_old(ledger: &Ledger) -> Result<(), Error> {
    let badly = Filter::default().with(|filter| {
        filter.ended_badly = true;
        filter.unattended = true;
    });
    let newest = ledger.tasks(badly.clone(), None, ENDED_BADLY_MAX).await?;
    let Some(next) = newest.next else { return Ok(()) };
    for task in ledger.tasks(badly, Some(next), LOOK_MAX).await?.items {
        accepted(ledger.dismiss(task.id.as_str(), "seen, nothing to do").await)?;
    }
    Ok(())
}

/// A viewer or recovery may have been faster, which is refused then.
fn accepted(answer: Result<Task, Error>) -> Result<(), Error> {
    match answer {
        Ok(_) | Err(Error::Refused(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
