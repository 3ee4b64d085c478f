//! Looks at a task before recovery touches it: whether it is due, what a reclaim would do, and what can't be undone
//! here.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use tenure_core::command::QuarantineCause;
use tenure_core::compensation::Compensation;
use tenure_core::policy::Jitter;
use tenure_core::task::{State, Task};
use tenure_core::time::{Span, Time};
use tenure_store::due::{Due, Wait};
use tenure_store::watch::Absence;

use crate::handler::{Handlers, UndoCall};
use crate::why::reclaimed;

/// What recovery should do with a task that may be stale.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Assessment {
    /// Nothing before that time, if ever.
    NotBefore(Time),
    /// Reclaim it. Nothing must be undone.
    Reclaim,
    /// Reclaim and undo it.
    Undo,
    /// Reclaim and park it with that cause, because something that it owes can't be undone here.
    Park(QuarantineCause),
}

/// Why a compensation can't be undone here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Unfit {
    pub(super) kind: String,
    pub(super) parking: QuarantineCause,
    words: String,
}

/// When it could be reclaimed; none if it waits for nothing that recovery handles.
pub(crate) fn due_at(task: &Task) -> Option<Time> {
    Due::of(task).filter(|due| !due.held_back).map(|due| due.reclaimable_at())
}

/// The result of a reclaim at `now`. The core decides it on the task as it was read; the real reclaim is decided
/// again.
pub(super) fn look(task: &Task, now: Time, handlers: &Handlers) -> Assessment {
    let Some(due_at) = due_at(task) else { return Assessment::NotBefore(Time::MAX) };
    if due_at > now {
        return Assessment::NotBefore(due_at);
    }
    match reclaimed(task, now) {
        None => Assessment::NotBefore(now + Span::from_secs(1)),
        Some(after) if after.state() != State::Compensating => Assessment::Reclaim,
        Some(after) => match unfit(&after, handlers) {
            unfit if unfit.is_empty() => Assessment::Undo,
            unfit => Assessment::Park(parking(&unfit).0),
        },
    }
}

/// Everything owed that can't be undone here: kinds without a handler, targets that the handler refuses, and
/// compensations whose tries are spent.
pub(super) fn unfit(task: &Task, handlers: &Handlers) -> Vec<Unfit> {
    task.owed().filter_map(|owed| unfit_one(task, owed, handlers)).collect()
}

fn unfit_one(task: &Task, owed: &Compensation, handlers: &Handlers) -> Option<Unfit> {
    let kind = &owed.undo.kind;
    let unfit = |parking, words| Some(Unfit { kind: kind.to_string(), parking, words });
    let Some(registered) = handlers.of(kind) else {
        return unfit(QuarantineCause::UndoUnhandled, format!("nobody handles {kind} (number {})", owed.seq));
    };
    // A handler that panics here must not end the sweep for all other tasks.
    let accepts = || registered.handler.accepts(&UndoCall::of(task, owed));
    let accepts = std::panic::catch_unwind(AssertUnwindSafe(accepts));
    if let Err(why) = accepts.unwrap_or_else(|_| Err("it panicked when it was asked".into())) {
        let words = format!("the handler of {kind} does not take number {}: {why}", owed.seq);
        return unfit(QuarantineCause::UndoUnhandled, words);
    }
    if owed.tries >= registered.retries.tries {
        let error = owed.last_error.as_ref().map(|error| format!(", last: {error}")).unwrap_or_default();
        let times = if owed.tries == 1 { "once".to_owned() } else { format!("{} times", owed.tries) };
        let words = format!("{kind} (number {}) failed {times}{error}", owed.seq);
        return unfit(QuarantineCause::UndoFailed, words);
    }
    None
}

/// The cause and reason for parking a task with these compensations: the more important cause, and every such
/// kind by name.
pub(super) fn parking(unfit: &[Unfit]) -> (QuarantineCause, String) {
    let is_unhandled = unfit.iter().any(|one| one.parking == QuarantineCause::UndoUnhandled);
    let parking = if is_unhandled { QuarantineCause::UndoUnhandled } else { QuarantineCause::UndoFailed };
    let mut kinds: Vec<&str> = unfit.iter().map(|one| one.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let words: Vec<&str> = unfit.iter().map(|one| one.words.as_str()).collect();
    (parking, format!("can't undo {}: {}", kinds.join(", "), words.join("; ")))
}

/// Until when a task that lapsed during an absence of recovery is left to its holder; none if it is not left.
pub(super) fn left_to_holder_until(task: &Task, absence: Option<Absence>, jitter: Jitter) -> Option<Time> {
    let (absence, due) = (absence?, Due::of(task)?);
    if due.expires_at < absence.from || due.expires_at > absence.until {
        return None;
    }
    let length = match due.wait {
        Wait::Lease | Wait::UndoLease => due.lease.as_ref()?.ttl.span(),
        Wait::Reservation => due.expires_at.since(due.since?),
        // Nobody could begin it in that time either.
        Wait::Start => task.policy.lease_ttl.span(),
        // Nobody holds it, so there is no holder to wait for.
        Wait::Undo => return None,
    };
    // Those that lapsed together are not reclaimed together.
    let spread = jitter.part_of(Span::from_micros(length.as_micros() / 10));
    Some(absence.until + length + spread)
}

/// Until when a loop leaves a task that it can't undo to other processes.
pub(super) fn left_to_others_until(task: &Task, handler_wait: Duration) -> Option<Time> {
    due_at(task).map(|due_at| due_at + Span::from(handler_wait))
}
