//! `apply` changes a task as one event says. It is the only function that changes a task. It does not check whether
//! the event is allowed, only whether it fits the task.

use crate::compensation::{Compensation, Registered, Status};
use crate::event::{Changes, Counting, Created, Ended, Event, EventData, Grant, LeaseEnd, Triage};
use crate::id::{Actor, Epoch, Reason, Seq, TaskId, Text};
use crate::task::{
    Cancel, CancelTold, Dismissal, Ending, LastLease, Lease, Phase, Reservation, State, Task, Terminal,
    Undoing, Unwinding,
};
use crate::time::Time;

/// An event that does not fit the task: the history that it comes from is damaged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApplyError {
    /// The event's type.
    pub event: &'static str,
    /// The state of the task; none if there was no task.
    pub state: Option<State>,
}

impl std::fmt::Display for ApplyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state.map_or("no", State::as_str);
        write!(f, "the event {} does not fit {state} task", self.event)
    }
}

impl std::error::Error for ApplyError {}

/// The task after the event.
pub fn apply(task: Option<Task>, event: &Event) -> Result<Task, ApplyError> {
    let misfit = ApplyError { event: event.what.kind(), state: task.as_ref().map(Task::state) };
    // What happened in a namespace happened to none of its tasks.
    let Some(id) = event.subject.task() else { return Err(misfit) };
    let mut task = match (task, &event.what) {
        (None, EventData::Created(created)) => return Ok(create(event, id, created)),
        (Some(task), _) => task,
        (None, _) => return Err(misfit),
    };
    happen(&mut task, event).ok_or(misfit)?;
    if event.what.is_recorded() {
        task.revision = event.number;
        task.updated_at = event.at;
    }
    Ok(task)
}

/// The task that results from a history; none if the history is empty.
pub fn fold<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<Option<Task>, ApplyError> {
    events.into_iter().try_fold(None, |task, event| apply(task, event).map(Some))
}

fn create(event: &Event, id: &TaskId, created: &Created) -> Task {
    let owes = created.compensations.iter().any(Compensation::is_owed);
    let phase = match &created.retry_of {
        Some(old) if owes => Phase::Compensating {
            why: Unwinding::Retried,
            reason: Reason::made(format_args!("{old} still owed it")),
            undoing: Undoing::DueAt(event.at),
        },
        Some(_) | None => Phase::Planned,
    };
    Task {
        namespace: event.namespace.clone(),
        id: id.clone(),
        saga_id: created.saga_id.clone(),
        queue: created.queue.clone(),
        kind: created.kind.clone(),
        labels: created.labels.clone(),
        payload: created.payload.clone(),
        priority: created.priority,
        not_before: created.not_before,
        policy: created.policy,
        phase,
        attempts: 0,
        epoch: Epoch::ZERO,
        revision: event.number,
        compensations: created.compensations.clone(),
        cancel: None,
        checkpoint: None,
        started_at: None,
        last_lease: None,
        retry_of: created.retry_of.clone(),
        created_at: created.created_at,
        updated_at: event.at,
    }
}

/// Changes the task as the event says; none if the event does not fit.
#[expect(clippy::too_many_lines, reason = "one match over every event")]
fn happen(task: &mut Task, event: &Event) -> Option<()> {
    match &event.what {
        EventData::Created(_) | EventData::RecoverySwept { .. } => None,
        EventData::Changed(changes) => {
            change(task, changes);
            Some(())
        }
        EventData::Registered { seq, undo } => {
            register(task, Compensation::new(*seq, undo.clone(), Registered::BeforeLease))
        }
        EventData::Dispatched { owner, expires_at } => {
            let reservation =
                Reservation { owner: owner.clone(), reserved_at: event.at, expires_at: *expires_at };
            enter(task, &[State::Planned, State::Dispatched], Phase::Dispatched(reservation))
        }
        EventData::Acquired(grant) => acquire(task, event, grant),
        EventData::Renewed { expires_at, progress, checkpoint } => {
            let is_cancelled = task.cancel.is_some();
            let lease = task.lease_mut()?;
            lease.heartbeat_at = event.at;
            if is_cancelled {
                lease.cancel_told = Some(CancelTold::again(lease.cancel_told, event.at));
            }
            lease.expires_at = *expires_at;
            if progress.is_some() || checkpoint.is_some() {
                lease.progressed_at = event.at;
            }
            report(task, progress, checkpoint)
        }
        EventData::Progressed { progress, checkpoint } => {
            task.lease_mut()?.progressed_at = event.at;
            report(task, progress, checkpoint)
        }
        EventData::Released { reason, counting, not_before, lease } => {
            end_lease(task, event.at, Some(lease));
            release(task, event.at, reason, *counting, *not_before)
        }
        EventData::RolledBack { reason, lease } => roll_back(task, event.at, reason, lease.as_ref()),
        EventData::Lapsed { lease } => {
            end_lease(task, event.at, Some(lease));
            unwind(
                task,
                &[State::Running],
                Unwinding::of_lapse(lease.overrun),
                &Reason::of_lapse(lease),
                Undoing::DueAt(event.at),
            )
        }
        EventData::Reclaimed(grant) => reclaim(task, event, grant),
        EventData::Replanned { not_before, lease } => {
            end_lease(task, event.at, lease.as_ref());
            replan(task, *not_before)
        }
        EventData::Adopted { seqs } => {
            let epoch = task.lease()?.epoch;
            seqs.iter().try_for_each(|seq| {
                owed(task, *seq)?.epoch = Some(epoch);
                Some(())
            })
        }
        EventData::Settled { seq, receipt, by_hand, .. } => {
            settle(task, *seq, receipt, by_hand.as_ref().map(|_| &event.actor))
        }
        EventData::Tried { seq, error, .. } => {
            let tried = owed(task, *seq)?;
            tried.tries = tried.tries.saturating_add(1);
            tried.last_error = Some(error.clone());
            Some(())
        }
        EventData::Waived(waiver) => waive(task, waiver.seq, &waiver.reason),
        EventData::CancelAsked { reason } => ask_to_cancel(task, event, reason),
        EventData::Labelled { changes, .. } => {
            task.labels = changes.applied_to(&task.labels);
            task.ending().is_none().then_some(())
        }
        EventData::Ended(ended) => end(task, event, ended),
        EventData::Annotated { note, terminal_reason, triage } => {
            annotate(task, event, note.as_ref(), terminal_reason.as_ref(), *triage)
        }
        EventData::Retried { successor, .. } => {
            let Phase::Ended(ending) = &mut task.phase else { return None };
            ending.retried_as = Some(successor.clone());
            Some(())
        }
    }
}

fn enter(task: &mut Task, from: &[State], phase: Phase) -> Option<()> {
    from.contains(&task.state()).then(|| task.phase = phase)
}

fn unwind(task: &mut Task, from: &[State], why: Unwinding, reason: &Reason, undoing: Undoing) -> Option<()> {
    enter(task, from, Phase::Compensating { why, reason: reason.clone(), undoing })
}

fn change(task: &mut Task, changes: &Changes) {
    fn set<T: Clone>(field: &mut T, to: Option<&T>) {
        if let Some(to) = to {
            *field = to.clone();
        }
    }
    set(&mut task.queue, changes.queue.as_ref());
    set(&mut task.kind, changes.kind.as_ref());
    set(&mut task.labels, changes.labels.as_ref());
    set(&mut task.payload, changes.payload.as_ref());
    set(&mut task.priority, changes.priority.as_ref());
    set(&mut task.not_before, changes.not_before.as_ref());
    set(&mut task.policy, changes.policy.as_ref());
}

fn register(task: &mut Task, mut compensation: Compensation) -> Option<()> {
    match &task.phase {
        Phase::Planned | Phase::Dispatched(_) => {}
        Phase::Running(lease) => {
            compensation.registered = Registered::UnderLease;
            compensation.owe(&task.namespace, &task.id, lease.epoch);
        }
        Phase::Compensating { .. } | Phase::Ended(_) => return None,
    }
    task.compensations.push(compensation);
    Some(())
}

/// Begins an attempt. Compensations that were registered before any lease become owed again, even if they were
/// undone or waived for the last attempt, because this attempt may have the same effects again.
fn acquire(task: &mut Task, event: &Event, grant: &Grant) -> Option<()> {
    end_lease(task, event.at, grant.lapsed.as_ref());
    enter(task, &[State::Planned, State::Dispatched, State::Running], Phase::Running(granted(event, grant)))?;
    task.epoch = grant.epoch;
    task.attempts = task.attempts.saturating_add(1);
    task.started_at = Some(event.at);
    for one in &mut task.compensations {
        if one.registered == Registered::BeforeLease && !one.is_owed() {
            one.owe(&task.namespace, &task.id, grant.epoch);
        }
    }
    Some(())
}

fn granted(event: &Event, grant: &Grant) -> Lease {
    Lease {
        owner: grant.owner.clone(),
        epoch: grant.epoch,
        granted_to: grant.granted_to.as_ref().unwrap_or(&event.actor).clone(),
        ttl: grant.ttl,
        acquired_at: event.at,
        heartbeat_at: event.at,
        progressed_at: event.at,
        expires_at: grant.expires_at,
        progress: None,
        cancel_told: None,
    }
}

fn report(
    task: &mut Task,
    progress: &Option<crate::id::Progress>,
    checkpoint: &Option<crate::id::Document>,
) -> Option<()> {
    if let Some(progress) = progress {
        task.lease_mut()?.progress = Some(progress.clone());
    }
    if let Some(checkpoint) = checkpoint {
        task.checkpoint = Some(checkpoint.clone());
    }
    Some(())
}

/// A lease's end brings what its heartbeats had written, so that the fold is exact from here on.
fn end_lease(task: &mut Task, at: Time, ended: Option<&LeaseEnd>) {
    let Some(ended) = ended else { return };
    task.checkpoint.clone_from(&ended.checkpoint);
    // Recovery's leases begin after the attempt that they undo has ended. A holder that undoes its own work keeps its lease.
    let began =
        task.started_at.filter(|began| task.last_lease.as_ref().is_none_or(|last| last.since != *began));
    let its_lease = task.lease().filter(|lease| Some(lease.acquired_at) == began);
    if let Some(since) = its_lease.map(|lease| lease.acquired_at) {
        let (owner, until) = (ended.owner.clone(), at.min(ended.expires_at).max(since));
        task.last_lease = Some(LastLease { owner, epoch: ended.epoch, since, until });
    }
}

fn release(
    task: &mut Task,
    at: Time,
    reason: &Reason,
    counting: Counting,
    not_before: Option<Time>,
) -> Option<()> {
    let phase = match &task.phase {
        Phase::Running(_) => {
            let why = match counting {
                Counting::Uncounted => Unwinding::Released,
                Counting::Counted => Unwinding::RolledBack,
            };
            task.not_before = not_before.or(task.not_before);
            Phase::Compensating { why, reason: reason.clone(), undoing: Undoing::DueAt(at) }
        }
        Phase::Compensating { why, reason, undoing: Undoing::HeldBy(_) } => Phase::Compensating {
            why: *why,
            reason: reason.clone(),
            undoing: Undoing::DueAt(not_before.unwrap_or(at)),
        },
        Phase::Planned | Phase::Dispatched(_) | Phase::Compensating { .. } | Phase::Ended(_) => return None,
    };
    task.phase = phase;
    if counting == Counting::Uncounted {
        task.attempts = task.attempts.saturating_sub(1);
    }
    Some(())
}

fn roll_back(task: &mut Task, at: Time, reason: &Reason, ended: Option<&LeaseEnd>) -> Option<()> {
    let undoing = match ended {
        Some(_) => Undoing::DueAt(at),
        None => Undoing::HeldBy(task.lease()?.clone()),
    };
    end_lease(task, at, ended);
    unwind(task, &[State::Running], Unwinding::RolledBack, reason, undoing)
}

fn reclaim(task: &mut Task, event: &Event, grant: &Grant) -> Option<()> {
    end_lease(task, event.at, grant.lapsed.as_ref());
    let undoing = Undoing::HeldBy(granted(event, grant));
    task.epoch = grant.epoch;
    if let Phase::Compensating { undoing: held, .. } = &mut task.phase {
        *held = undoing;
        return Some(());
    }
    let lapsed = grant.lapsed.as_ref()?;
    let (why, reason) = (Unwinding::of_lapse(lapsed.overrun), Reason::of_lapse(lapsed));
    unwind(task, &[State::Running], why, &reason, undoing)
}

/// Compensations that were registered before any lease are standing again. Under `hold` some are still owed;
/// these stay owed.
fn replan(task: &mut Task, not_before: Option<Time>) -> Option<()> {
    enter(task, &[State::Dispatched, State::Compensating], Phase::Planned)?;
    task.not_before = not_before.or(task.not_before);
    for one in &mut task.compensations {
        if one.registered == Registered::BeforeLease && !one.is_owed() {
            one.stand();
        }
    }
    Some(())
}

fn owed(task: &mut Task, seq: Seq) -> Option<&mut Compensation> {
    task.compensations.iter_mut().find(|one| one.seq == seq && one.is_owed())
}

fn settle(task: &mut Task, seq: Seq, receipt: &Text, by: Option<&Actor>) -> Option<()> {
    let done = owed(task, seq)?;
    done.status = Status::Done;
    done.receipt = Some(receipt.clone());
    done.settled_by = by.cloned();
    Some(())
}

fn waive(task: &mut Task, seq: Seq, reason: &Reason) -> Option<()> {
    let waived = owed(task, seq)?;
    waived.status = Status::Waived;
    waived.waiver = Some(reason.clone());
    Some(())
}

fn ask_to_cancel(task: &mut Task, event: &Event, reason: &Reason) -> Option<()> {
    let asked = Cancel { at: event.at, by: event.actor.clone(), reason: reason.clone() };
    task.cancel.get_or_insert(asked);
    match task.phase {
        Phase::Planned | Phase::Dispatched(_) => {
            let from = [State::Planned, State::Dispatched];
            unwind(task, &from, Unwinding::Cancelled, reason, Undoing::DueAt(event.at))
        }
        Phase::Running(_) | Phase::Compensating { .. } => Some(()),
        Phase::Ended(_) => None,
    }
}

fn annotate(
    task: &mut Task,
    event: &Event,
    note: Option<&Reason>,
    terminal_reason: Option<&Reason>,
    triage: Triage,
) -> Option<()> {
    let Phase::Ended(ending) = &mut task.phase else {
        // A note changes nothing of a task but its revision; only an end can be corrected or dismissed.
        return (terminal_reason.is_none() && triage == Triage::Stays).then_some(());
    };
    if let Some(reason) = terminal_reason {
        ending.reason = Some(reason.clone());
    }
    if triage == Triage::Dismissed {
        ending.dismissed = Some(Dismissal { at: event.at, by: event.actor.clone(), note: note?.clone() });
    }
    Some(())
}

fn end(task: &mut Task, event: &Event, ended: &Ended) -> Option<()> {
    if task.ending().is_some() {
        return None;
    }
    end_lease(task, event.at, ended.lease.as_ref());
    for one in &ended.settled {
        settle(task, one.seq, &one.receipt, Some(&event.actor))?;
    }
    for waiver in &ended.waived {
        waive(task, waiver.seq, &waiver.reason)?;
    }
    for undo in &ended.compensations {
        // It says what remains to undo, so it is owed even if no lease was ever granted.
        let mut remains = Compensation::new(task.next_seq(), undo.clone(), Registered::UnderLease);
        remains.owe(&task.namespace, &task.id, task.epoch);
        task.compensations.push(remains);
    }
    for one in &mut task.compensations {
        let done_with =
            one.status == Status::Standing || (one.is_owed() && ended.state == Terminal::Completed);
        if done_with {
            one.status = Status::Void;
        }
    }
    task.phase = Phase::Ended(Box::new(Ending {
        state: ended.state,
        cause: ended.cause,
        reason: ended.reason.clone(),
        result: ended.result.clone(),
        finished_at: ended.finished_at,
        retried_as: None,
        dismissed: None,
    }));
    Some(())
}
