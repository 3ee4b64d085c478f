//! The outcomes of the table: the events that follow if a row's guard holds.
//!
//! Each function relies on what its row's command, states and guard promise. If something is missing, it returns
//! none. `decide` treats that as a broken table and stops. The proof over the table shows that it can't happen.

use crate::case::Case;
use crate::command::{Action, Create, HolderAction, OperatorAction, Put, Take, UndoBy};
use crate::compensation::{Compensation, Registered, Undo};
use crate::event::{Counting, Created, Ended, EventData, Grant, HandReceipt, LeaseEnd, Triage};
use crate::id::{Actor, Epoch, Owner, Reason, SagaId, Seq};
use crate::lifecycle::guard;
use crate::policy::{OnFailure, Ttl};
use crate::task::{Cause, Overrun, Phase, State, Task, Terminal, Unwinding, end_of_grant};
use crate::time::{Span, Time};

pub(crate) type Steps = Option<Vec<EventData>>;

pub(crate) fn nothing(_: &Case) -> Steps {
    Some(Vec::new())
}

// ---- coming to be --------------------------------------------------------------------------------------------

pub(crate) fn create(case: &Case) -> Steps {
    let Action::Create(create) = &case.command.action else { return None };
    Some(vec![created(create, create.compensations.iter(), case.now)])
}

fn created<'a>(create: &Create, undos: impl Iterator<Item = &'a Undo>, created_at: Time) -> EventData {
    let stand =
        |(at, undo): (usize, &Undo)| Compensation::new(seq_at(at), undo.clone(), Registered::BeforeLease);
    EventData::Created(Box::new(Created {
        saga_id: create.saga_id.clone().unwrap_or_else(|| SagaId::from(&create.task)),
        queue: create.queue.clone(),
        kind: create.kind.clone(),
        labels: create.labels.clone(),
        payload: create.payload.clone(),
        priority: create.priority,
        not_before: create.not_before,
        policy: create.policy,
        compensations: undos.enumerate().map(stand).collect(),
        retry_of: None,
        created_at,
    }))
}

/// The number of the compensation at this place of a new task's list.
fn seq_at(at: usize) -> Seq {
    Seq(u32::try_from(at + 1).unwrap_or(u32::MAX))
}

/// A new record's compensations are numbered as they come, whatever numbers they had elsewhere. Those of a failed one say
/// what remains to undo: they come with its end, as owed.
pub(crate) fn put_new(case: &Case) -> Steps {
    let Action::Put(put) = &case.command.action else { return None };
    let undos = || put.compensations.iter().map(|one| &one.undo);
    let (standing, remaining) = match put.state.terminal() {
        Some(Terminal::Failed) => (0, put.compensations.len()),
        Some(_) | None => (put.compensations.len(), 0),
    };
    let created = created(&put.record, undos().take(standing), put.created_at.unwrap_or(case.now));
    let ended =
        put.state.terminal().map(|terminal| put_end(put, terminal, undos().take(remaining), case.now));
    Some([created].into_iter().chain(ended).chain(put_note(put)).collect())
}

/// Why a record was written, if its writer says so.
fn put_note(put: &Put) -> Option<EventData> {
    let note = Some(put.reason.clone()?);
    Some(EventData::Annotated { note, terminal_reason: None, triage: Triage::Stays })
}

/// A record that is worked on elsewhere begins with its first lease or its reservation. What it carries is owed under that lease:
/// its holder did it. The lease is bounded by the policy as each other one; both limits count from now.
pub(crate) fn put_in_flight(case: &Case) -> Steps {
    let Action::Put(put) = &case.command.action else { return None };
    let holder = put.holder.as_ref()?;
    let undos = || put.compensations.iter().map(|one| one.undo.clone());
    let created_at = put.created_at.unwrap_or(case.now);
    if put.state == State::Dispatched {
        let undos: Vec<_> = undos().collect();
        let reserved = EventData::Dispatched { owner: holder.owner.clone(), expires_at: holder.expires_at };
        let steps = [created(&put.record, undos.iter(), created_at), reserved];
        return Some(steps.into_iter().chain(put_note(put)).collect());
    }
    let grant = Grant {
        owner: holder.owner.clone(),
        epoch: Epoch::ZERO.next(case.floor),
        ttl: put.record.policy.lease_ttl,
        expires_at: end_of_grant(&put.record.policy, case.now, holder.expires_at),
        granted_to: Some(holder.granted_to.clone().unwrap_or_else(|| Actor::from(&holder.owner))),
        lapsed: None,
    };
    let mut steps = vec![created(&put.record, [].into_iter(), created_at), EventData::Acquired(grant)];
    steps.extend(undos().enumerate().map(|(at, undo)| EventData::Registered { seq: seq_at(at), undo }));
    steps.extend(put_note(put));
    Some(steps)
}

fn put_end<'a>(
    put: &Put,
    state: Terminal,
    remaining: impl Iterator<Item = &'a Undo>,
    now: Time,
) -> EventData {
    EventData::Ended(Box::new(Ended {
        state,
        cause: Cause::ByOperator,
        reason: put.terminal_reason.clone(),
        result: put.result.clone(),
        compensations: remaining.cloned().collect(),
        waived: Vec::new(),
        settled: Vec::new(),
        finished_at: put.finished_at.unwrap_or(now),
        lease: None,
    }))
}

pub(crate) fn put_difference(case: &Case) -> Steps {
    let (Action::Put(put), Some(task)) = (&case.command.action, case.task) else { return None };
    let ends = put.state.terminal();
    let fails = ends == Some(Terminal::Failed);
    let mut steps = Vec::new();
    let changes = put.changes(task);
    if !changes.is_empty() {
        steps.push(EventData::Changed(Box::new(changes)));
    }
    if !fails {
        let numbered = (task.next_seq().0..).zip(put.added());
        steps.extend(
            numbered.map(|(seq, one)| EventData::Registered { seq: Seq(seq), undo: one.undo.clone() }),
        );
    }
    let remaining = || put.added().filter(|_| fails).map(|one| &one.undo);
    steps.extend(ends.map(|state| put_end(put, state, remaining(), case.now)));
    steps.extend(put_note(put));
    Some(steps)
}

pub(crate) fn put_words(case: &Case) -> Steps {
    let Action::Put(put) = &case.command.action else { return None };
    let stored = &case.task?.ending()?.reason;
    let terminal_reason = put.terminal_reason.clone().filter(|_| put.terminal_reason != *stored);
    if terminal_reason.is_none() && put.reason.is_none() {
        return nothing(case);
    }
    Some(vec![EventData::Annotated { note: put.reason.clone(), terminal_reason, triage: Triage::Stays }])
}

// ---- taking --------------------------------------------------------------------------------------------------

pub(crate) fn dispatch(case: &Case) -> Steps {
    let Action::Take { take: Take::Dispatch, owner, ttl, .. } = &case.command.action else { return None };
    let expires_at = case.now + ttl.unwrap_or(case.task?.policy.lease_ttl).span();
    Some(vec![EventData::Dispatched { owner: owner.clone(), expires_at }])
}

pub(crate) fn acquire(case: &Case) -> Steps {
    let (Action::Take { take: Take::Acquire, owner, ttl, .. } | Action::Claim { owner, ttl, .. }) =
        &case.command.action
    else {
        return None;
    };
    let task = case.task?;
    let ttl = ttl.unwrap_or(task.policy.lease_ttl);
    let expires_at = end_of_grant(&task.policy, case.now, case.now + ttl.span());
    Some(vec![EventData::Acquired(grant(case, task, owner, ttl, expires_at))])
}

fn grant(case: &Case, task: &Task, owner: &Owner, ttl: Ttl, expires_at: Time) -> Grant {
    Grant {
        owner: owner.clone(),
        epoch: task.epoch.next(case.floor),
        ttl,
        expires_at,
        granted_to: None,
        lapsed: task.lease().map(|lease| LeaseEnd::of_lapse(task, lease)),
    }
}

// ---- under a lease -------------------------------------------------------------------------------------------

pub(crate) fn heartbeat(case: &Case) -> Steps {
    let Some(HolderAction::Heartbeat { progress, checkpoint, .. }) = case.by_holder() else { return None };
    let (expires_at, _) = guard::renewal(case)?;
    Some(vec![EventData::Renewed { expires_at, progress: progress.clone(), checkpoint: checkpoint.clone() }])
}

pub(crate) fn progress(case: &Case) -> Steps {
    let Some(HolderAction::Progress { progress, checkpoint }) = case.by_holder() else { return None };
    Some(vec![EventData::Progressed { progress: progress.clone(), checkpoint: checkpoint.clone() }])
}

/// Gives the lease back in time: the attempt does not count. One that had lapsed does.
pub(crate) fn release(case: &Case) -> Steps {
    let lapsed = case.task?.lease()?.has_lapsed(case.now);
    let counting = if lapsed { Counting::Counted } else { Counting::Uncounted };
    Some(vec![released(case, counting)?])
}

/// Gives the lease of an undo back: attempts have nothing to do with it.
pub(crate) fn hand_undo_back(case: &Case) -> Steps {
    Some(vec![released(case, Counting::Counted)?])
}

/// Gives the lease back and plans the task at once; what is owed stays owed.
pub(crate) fn release_to_successor(case: &Case) -> Steps {
    let task = case.task?;
    let mut steps = release(case)?;
    let EventData::Released { counting, not_before, .. } = steps.first()? else { return None };
    let again = match counting {
        Counting::Uncounted => None,
        Counting::Counted => (*not_before).max(after_backoff(task, case)),
    };
    steps.push(EventData::Replanned { not_before: again, lease: None });
    Some(steps)
}

fn released(case: &Case, counting: Counting) -> Option<EventData> {
    let Some(HolderAction::Release { reason, delay }) = case.by_holder() else { return None };
    let not_before = delay.filter(|delay| *delay > Span::ZERO).map(|delay| case.now + delay);
    Some(EventData::Released { reason: reason.clone(), counting, not_before, lease: end_of_lease(case)? })
}

pub(crate) fn register(case: &Case) -> Steps {
    let Some(HolderAction::Register { undo }) = case.by_holder() else { return None };
    registered(case, undo)
}

pub(crate) fn register_before_lease(case: &Case) -> Steps {
    let Some(OperatorAction::Register { undo }) = case.by_operator() else { return None };
    registered(case, undo)
}

fn registered(case: &Case, undo: &Undo) -> Steps {
    Some(vec![EventData::Registered { seq: case.task?.next_seq(), undo: undo.clone() }])
}

pub(crate) fn adopt(case: &Case) -> Steps {
    let task = case.task?;
    let epoch = task.lease()?.epoch;
    let older = task.compensations.iter().filter(|one| one.is_owed() && one.epoch < Some(epoch));
    Some(vec![EventData::Adopted { seqs: older.map(|one| one.seq).collect() }])
}

pub(crate) fn settle(case: &Case) -> Steps {
    let Some(HolderAction::Settle { seq, receipt }) = case.by_holder() else { return None };
    let epoch = case.task?.lease()?.epoch;
    Some(vec![EventData::Settled { seq: *seq, epoch, receipt: receipt.clone(), by_hand: None }])
}

pub(crate) fn settle_by_hand(case: &Case) -> Steps {
    let Some(OperatorAction::Settle { done, reason }) = case.by_operator() else { return None };
    let HandReceipt { seq, receipt } = done.clone();
    Some(vec![EventData::Settled { seq, epoch: case.task?.epoch, receipt, by_hand: Some(reason.clone()) }])
}

/// What is as it was asked for already leaves no event.
pub(crate) fn label(case: &Case) -> Steps {
    let (changes, labels) = (guard::label_changes(case)?, &case.task?.labels);
    if changes.applied_to(labels) == *labels {
        return nothing(case);
    }
    let reason = match case.by_operator() {
        Some(OperatorAction::Label { reason, .. }) => reason.clone(),
        Some(_) | None => None,
    };
    Some(vec![EventData::Labelled { changes: changes.clone(), reason }])
}

pub(crate) fn record_try(case: &Case) -> Steps {
    let Some(HolderAction::Try { seq, error }) = case.by_holder() else { return None };
    let epoch = case.task?.lease()?.epoch;
    Some(vec![EventData::Tried { seq: *seq, epoch, error: error.clone() }])
}

pub(crate) fn waive(case: &Case) -> Steps {
    let Some(OperatorAction::Waive { waiver }) = case.by_operator() else { return None };
    Some(vec![EventData::Waived(waiver.clone())])
}

pub(crate) fn roll_back(case: &Case) -> Steps {
    let Some(HolderAction::RollBack { reason, undo_by }) = case.by_holder() else { return None };
    let lease = match undo_by {
        UndoBy::Recovery => end_of_lease(case),
        UndoBy::Holder => None,
    };
    Some(vec![EventData::RolledBack { reason: reason.clone(), lease }])
}

/// There is nothing to undo, so there is nothing to keep the lease for.
pub(crate) fn roll_back_nothing(case: &Case) -> Steps {
    let Some(HolderAction::RollBack { reason, .. }) = case.by_holder() else { return None };
    Some(vec![EventData::RolledBack { reason: reason.clone(), lease: end_of_lease(case) }])
}

// ---- ends ----------------------------------------------------------------------------------------------------

fn ended(case: &Case, state: Terminal, cause: Cause, reason: Option<&Reason>) -> Ended {
    Ended {
        state,
        cause,
        reason: reason.cloned(),
        result: None,
        compensations: Vec::new(),
        waived: Vec::new(),
        settled: Vec::new(),
        finished_at: case.now,
        lease: end_of_lease(case),
    }
}

fn end(ended: Ended) -> Steps {
    Some(vec![EventData::Ended(Box::new(ended))])
}

pub(crate) fn complete(case: &Case) -> Steps {
    let Some(HolderAction::Complete { result }) = case.by_holder() else { return None };
    let completed = ended(case, Terminal::Completed, Cause::Completed, None);
    end(Ended { result: result.clone(), ..completed })
}

pub(crate) fn fail(case: &Case) -> Steps {
    let Some(HolderAction::Fail { reason, compensation }) = case.by_holder() else { return None };
    let state = match case.task?.policy.on_failure {
        OnFailure::Fail => Terminal::Failed,
        OnFailure::Quarantine => Terminal::Quarantined,
    };
    let failed = ended(case, state, Cause::Failed, Some(reason));
    end(Ended { compensations: compensation.iter().cloned().collect(), ..failed })
}

pub(crate) fn quarantine(case: &Case) -> Steps {
    let Some(HolderAction::Quarantine { reason, cause }) = case.by_holder() else { return None };
    end(ended(case, Terminal::Quarantined, cause.cause(), Some(reason)))
}

pub(crate) fn mark_completed(case: &Case) -> Steps {
    let Some(OperatorAction::MarkCompleted { reason, result }) = case.by_operator() else { return None };
    let completed = ended(case, Terminal::Completed, Cause::ByOperator, Some(reason));
    end(Ended { result: result.clone(), ..completed })
}

pub(crate) fn mark_failed(case: &Case) -> Steps {
    let Some(OperatorAction::MarkFailed { reason, compensation }) = case.by_operator() else { return None };
    let failed = ended(case, Terminal::Failed, Cause::ByOperator, Some(reason));
    end(Ended { compensations: compensation.iter().cloned().collect(), ..failed })
}

pub(crate) fn mark_compensated(case: &Case) -> Steps {
    let Some(OperatorAction::MarkCompensated { reason, waive, settled }) = case.by_operator() else {
        return None;
    };
    let compensated = ended(case, Terminal::Compensated, Cause::ByOperator, Some(reason));
    end(Ended { waived: waive.clone(), settled: settled.clone(), ..compensated })
}

pub(crate) fn mark_quarantined(case: &Case) -> Steps {
    let Some(OperatorAction::MarkQuarantined { reason }) = case.by_operator() else { return None };
    end(ended(case, Terminal::Quarantined, Cause::ByOperator, Some(reason)))
}

pub(crate) fn cancel(case: &Case) -> Steps {
    let Some(OperatorAction::Cancel { reason }) = case.by_operator() else { return None };
    Some(vec![EventData::CancelAsked { reason: reason.clone() }])
}

// ---- recovery ------------------------------------------------------------------------------------------------

pub(crate) fn quarantine_not_started(case: &Case) -> Steps {
    let words = Reason::made(format_args!("no attempt began within the policy's start_within"));
    end(ended(case, Terminal::Quarantined, Cause::NotStarted, Some(&words)))
}

pub(crate) fn quarantine_lapsed(case: &Case) -> Steps {
    let lease = lapse_of_lease(case)?;
    let words = Reason::of_lapse(&lease);
    let cause = lease.overrun.map_or(Cause::Lapsed, Overrun::cause);
    let parked = ended(case, Terminal::Quarantined, cause, Some(&words));
    end(Ended { lease: Some(lease), ..parked })
}

pub(crate) fn free_reservation(_: &Case) -> Steps {
    Some(vec![EventData::Replanned { not_before: None, lease: None }])
}

pub(crate) fn lapse(case: &Case) -> Steps {
    Some(vec![EventData::Lapsed { lease: lapse_of_lease(case)? }])
}

/// Undo is bounded by the lease's length alone, so the grant has no other bound.
pub(crate) fn reclaim(case: &Case) -> Steps {
    let Action::Take { take: Take::Reclaim, owner, ttl, .. } = &case.command.action else { return None };
    let task = case.task?;
    let ttl = ttl.unwrap_or(task.policy.lease_ttl);
    Some(vec![EventData::Reclaimed(grant(case, task, owner, ttl, case.now + ttl.span()))])
}

// ---- afterwards ----------------------------------------------------------------------------------------------

pub(crate) fn annotate(case: &Case) -> Steps {
    let Some(OperatorAction::Annotate { note, terminal_reason, triage }) = case.by_operator() else {
        return None;
    };
    let (note, terminal_reason) = (note.clone(), terminal_reason.clone());
    Some(vec![EventData::Annotated { note, terminal_reason, triage: *triage }])
}

pub(crate) fn retry(case: &Case) -> Steps {
    let Some(OperatorAction::Retry { successor, reason, waive, settled, .. }) = case.by_operator() else {
        return None;
    };
    let (successor, reason) = (successor.clone(), reason.clone());
    let (waived, settled) = (waive.clone(), settled.clone());
    Some(vec![EventData::Retried { successor, reason, waived, settled }])
}

/// The new task of a retry: as the old one was created, with what it still owes.
pub(crate) fn successor(case: &Case) -> Option<EventData> {
    let Some(OperatorAction::Retry { successor, waive, settled, .. }) = case.by_operator() else {
        return None;
    };
    let old = case.task?;
    let named = |seq| waive.iter().any(|one| one.seq == seq) || settled.iter().any(|one| one.seq == seq);
    let copied = old.compensations.iter().filter_map(|one| {
        let still_owed = one.is_owed() && !named(one.seq);
        (still_owed || one.registered == Registered::BeforeLease).then_some((one, still_owed))
    });
    let compensations = copied.enumerate().map(|(at, (one, still_owed))| {
        let mut copy = Compensation::new(seq_at(at), one.undo.clone(), one.registered);
        if still_owed {
            copy.status = one.status;
            copy.epoch = Some(Epoch::ZERO);
            copy.key.clone_from(&one.key);
        }
        copy
    });
    Some(EventData::Created(Box::new(Created {
        saga_id: SagaId::from(successor),
        queue: old.queue.clone(),
        kind: old.kind.clone(),
        labels: old.labels.clone(),
        payload: old.payload.clone(),
        priority: old.priority,
        not_before: None,
        policy: old.policy,
        compensations: compensations.collect(),
        retry_of: Some(old.id.clone()),
        created_at: case.now,
    })))
}

// ---- the end of compensating ---------------------------------------------------------------------------------

pub(crate) fn end_cancelled(case: &Case) -> Steps {
    let cancel = case.task?.cancel.as_ref()?;
    end(ended(case, Terminal::Compensated, Cause::Cancelled, Some(&cancel.reason)))
}

pub(crate) fn end_replanned(case: &Case) -> Steps {
    Some(vec![EventData::Replanned { not_before: None, lease: end_of_lease(case) }])
}

pub(crate) fn end_tried_again(case: &Case) -> Steps {
    Some(vec![EventData::Replanned {
        not_before: after_backoff(case.task?, case),
        lease: end_of_lease(case),
    }])
}

pub(crate) fn end_compensated(case: &Case) -> Steps {
    let (why, reason) = unwinding(case)?;
    let cause = match why {
        Unwinding::Released | Unwinding::RolledBack => Cause::RolledBack,
        Unwinding::Stalled => Cause::Stalled,
        Unwinding::OutOfTime => Cause::OutOfTime,
        Unwinding::Lapsed | Unwinding::Cancelled | Unwinding::Retried => Cause::Lapsed,
    };
    end(ended(case, Terminal::Compensated, cause, Some(reason)))
}

pub(crate) fn end_quarantined(case: &Case) -> Steps {
    let (_, reason) = unwinding(case)?;
    end(ended(case, Terminal::Quarantined, Cause::AttemptsSpent, Some(reason)))
}

fn unwinding<'a>(case: &Case<'a>) -> Option<(Unwinding, &'a Reason)> {
    let Phase::Compensating { why, reason, .. } = &case.task?.phase else { return None };
    Some((*why, reason))
}

/// Not before the backoff, nor before what the task waited for already; none where there is no backoff.
fn after_backoff(task: &Task, case: &Case) -> Option<Time> {
    let wait = task.policy.backoff.after(task.attempts, case.command.jitter);
    let again = (wait > Span::ZERO).then(|| case.now + wait)?;
    Some(task.not_before.map_or(again, |not_before| not_before.max(again)))
}

// ---- shared --------------------------------------------------------------------------------------------------

fn end_of_lease(case: &Case) -> Option<LeaseEnd> {
    let task = case.task?;
    task.lease().map(|lease| LeaseEnd::of(task, lease))
}

/// The same of a lease that lapsed, with the bound at which it did.
fn lapse_of_lease(case: &Case) -> Option<LeaseEnd> {
    let task = case.task?;
    task.lease().map(|lease| LeaseEnd::of_lapse(task, lease))
}
