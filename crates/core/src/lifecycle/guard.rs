//! The guards of the table: named plain questions about a task, a command and the time.
//!
//! For each state and command, exactly one row's guard holds. A test shows that over every combination of the facts
//! that guards look at. So a guard contains its whole condition, including what an earlier row would have excluded.

mod put;
mod told;
mod undone;

use crate::case::{Case, Names};
use crate::command::{Action, HolderAction, LeaseScope, OperatorAction, QuarantineCause, Take};
use crate::compensation::{COMPENSATIONS_MAX, Status};
use crate::event::{HandReceipt, Waiver};
use crate::id::Seq;
use crate::policy::{OnFailure, OnLapse};
use crate::refusal::Code;
use crate::task::{CancelTold, Lease, Overrun, Phase, Task, Undoing};
use crate::time::Time;

pub(crate) use put::*;
pub(crate) use told::*;
pub(crate) use undone::*;

pub(crate) fn always(_: &Case) -> bool {
    true
}

// ---- names that a command would take -------------------------------------------------------------------------

pub(crate) fn name_is_free(case: &Case) -> bool {
    case.names == Names::Free
}

pub(crate) fn name_is_taken(case: &Case) -> bool {
    case.names == Names::Taken
}

// ---- the lease and its proof ---------------------------------------------------------------------------------

pub(crate) fn epoch_is_not_the_leases(case: &Case) -> bool {
    match (lease(case), case.command.action.holder()) {
        (Some(lease), Some(by)) => by.epoch != lease.epoch,
        (_, _) => false,
    }
}

pub(crate) fn owner_is_not_the_leases(case: &Case) -> bool {
    match (lease(case), case.command.action.holder()) {
        (Some(lease), Some(by)) => by.epoch == lease.epoch && by.owner != lease.owner,
        (_, _) => false,
    }
}

/// Owner and epoch are the lease's, whether it has lapsed or not: the epoch decides, not the clock. And it may act on it.
pub(crate) fn holds(case: &Case) -> bool {
    proves(case) && reaches(case)
}

/// Its proof is right, and the lease was granted under another name than the one that it may act for.
pub(crate) fn proves_another_names(case: &Case) -> bool {
    proves(case) && !reaches(case)
}

/// The same for what only an active lease may do: one that has lapsed is refused for that.
pub(crate) fn proves_another_names_active(case: &Case) -> bool {
    proves_another_names(case) && !lease_has_lapsed(case)
}

fn proves(case: &Case) -> bool {
    match (lease(case), case.command.action.holder()) {
        (Some(lease), Some(by)) => by.epoch == lease.epoch && by.owner == lease.owner,
        (_, _) => false,
    }
}

fn reaches(case: &Case) -> bool {
    match case.command.lease_scope {
        LeaseScope::Any => true,
        LeaseScope::OwnLeases => lease(case).is_some_and(|lease| lease.granted_to == case.command.actor),
    }
}

pub(crate) fn proves_lapsed(case: &Case) -> bool {
    proves(case) && lease_has_lapsed(case)
}

pub(crate) fn holds_active(case: &Case) -> bool {
    holds(case) && !lease_has_lapsed(case)
}

pub(crate) fn nobody_holds(case: &Case) -> bool {
    lease(case).is_none()
}

// ---- what extends a lease ------------------------------------------------------------------------------------

/// Where a heartbeat would put the expiry, and which bound of the policy put it there; none: the ttl. Among equal ones the
/// stricter names itself.
pub(crate) fn renewal(case: &Case) -> Option<(Time, Option<Overrun>)> {
    let Some(HolderAction::Heartbeat { ttl, progress, checkpoint, .. }) = case.by_holder() else {
        return None;
    };
    let task = case.task?;
    let lease = task.lease()?;
    let until = case.now + ttl.unwrap_or(lease.ttl).span();
    let Phase::Running(_) = task.phase else { return Some((until, None)) };
    let reports = progress.is_some() || checkpoint.is_some();
    let progressed_at = if reports { case.now } else { lease.progressed_at };
    // Its answer tells the holder to stop, so the grace begins with it.
    let told = task.cancel.as_ref().map(|_| CancelTold::again(lease.cancel_told, case.now));
    let mut earliest = (until, None);
    for (bound, end) in task.bounds(lease.acquired_at, progressed_at, told) {
        if end <= earliest.0 {
            earliest = (end, Some(bound));
        }
    }
    Some(earliest)
}

fn extends(case: &Case) -> bool {
    match (renewal(case), lease(case)) {
        (Some((until, _)), Some(lease)) => until > lease.expires_at,
        (_, _) => false,
    }
}

fn bounded_by(case: &Case, bound: Option<Overrun>) -> bool {
    renewal(case).is_some_and(|(_, by)| by == bound)
}

pub(crate) fn holds_and_extends(case: &Case) -> bool {
    holds_active(case) && extends(case)
}

pub(crate) fn holds_but_ttl_does_not_extend(case: &Case) -> bool {
    holds_active(case) && !extends(case) && bounded_by(case, None)
}

pub(crate) fn holds_but_is_stalled(case: &Case) -> bool {
    holds_active(case) && !extends(case) && bounded_by(case, Some(Overrun::Stalled))
}

pub(crate) fn holds_but_is_out_of_time(case: &Case) -> bool {
    holds_active(case) && !extends(case) && bounded_by(case, Some(Overrun::OutOfTime))
}

pub(crate) fn holds_but_was_told_to_stop(case: &Case) -> bool {
    holds_active(case) && !extends(case) && bounded_by(case, Some(Overrun::Cancelled))
}

// ---- taking --------------------------------------------------------------------------------------------------

pub(crate) fn is_due(case: &Case) -> bool {
    case.task.is_some_and(|task| task.not_before.is_none_or(|not_before| case.now >= not_before))
}

pub(crate) fn is_not_due(case: &Case) -> bool {
    !is_due(case)
}

pub(crate) fn reservation_has_lapsed(case: &Case) -> bool {
    task_is(case, |task| task.reservation().is_some_and(|one| one.has_lapsed(case.now)))
}

pub(crate) fn reservation_is_active(case: &Case) -> bool {
    !reservation_has_lapsed(case)
}

pub(crate) fn reserved_for_another(case: &Case) -> bool {
    reservation_is_active(case) && !names_the_reserved_owner(case)
}

pub(crate) fn reserved_for_this_owner_or_lapsed(case: &Case) -> bool {
    reservation_has_lapsed(case) || names_the_reserved_owner(case)
}

fn names_the_reserved_owner(case: &Case) -> bool {
    match (&case.command.action, case.task.and_then(Task::reservation)) {
        (Action::Take { take: Take::Acquire, owner, .. }, Some(reservation)) => *owner == reservation.owner,
        (_, _) => false,
    }
}

pub(crate) fn lease_is_active(case: &Case) -> bool {
    lease(case).is_some() && !lease_has_lapsed(case)
}

pub(crate) fn lease_has_lapsed(case: &Case) -> bool {
    lease(case).is_some_and(|lease| lease.has_lapsed(case.now))
}

/// Lapsed, but its lock delay is not over.
pub(crate) fn lapsed_within_lock_delay(case: &Case) -> bool {
    lease_has_lapsed(case) && !lock_delay_is_over(case)
}

fn lock_delay_is_over(case: &Case) -> bool {
    task_is(case, |task| {
        task.lease().is_some_and(|lease| case.now >= task.policy.reclaimable_at(lease.expires_at))
    })
}

/// Lapsed, with its lock delay over: other owners may take it over, but recovery may not.
pub(crate) fn lapsed_within_recover_after(case: &Case) -> bool {
    takeable(case) && !recover_after_is_over(case)
}

fn recover_after_is_over(case: &Case) -> bool {
    task_is(case, |task| task.lease().is_some_and(|lease| case.now >= task.recoverable_at(lease)))
}

/// An owner may take the task over, as far as the time is concerned.
fn takeable(case: &Case) -> bool {
    lease_has_lapsed(case) && lock_delay_is_over(case)
}

/// Recovery may take the task over, as far as the time is concerned.
fn reclaimable(case: &Case) -> bool {
    takeable(case) && recover_after_is_over(case)
}

pub(crate) fn reclaimable_lease_held_back(case: &Case) -> bool {
    reclaimable(case) && !cancel_asked(case) && on_lapse(case, OnLapse::Hold)
}

pub(crate) fn reclaimable_lease_to_quarantine(case: &Case) -> bool {
    reclaimable(case) && !cancel_asked(case) && on_lapse(case, OnLapse::Quarantine)
}

pub(crate) fn reclaimable_lease_with_undo(case: &Case) -> bool {
    reclaimable(case) && recovers(case) && owes(case)
}

pub(crate) fn reclaimable_lease_without_undo(case: &Case) -> bool {
    reclaimable(case) && recovers(case) && !owes(case)
}

pub(crate) fn reclaimable_lease(case: &Case) -> bool {
    reclaimable(case)
}

/// With cancel asked a lapse is always recovered, whatever the policy says.
fn recovers(case: &Case) -> bool {
    cancel_asked(case) || on_lapse(case, OnLapse::Recover) || on_lapse(case, OnLapse::Either)
}

pub(crate) fn takeover_is_allowed(case: &Case) -> bool {
    let inherits = on_lapse(case, OnLapse::Hold) || on_lapse(case, OnLapse::Either);
    let clear = on_lapse(case, OnLapse::Recover) && !owes(case);
    takeable(case) && !cancel_asked(case) && (inherits || clear)
}

pub(crate) fn takeover_owes_undo(case: &Case) -> bool {
    takeable(case) && !cancel_asked(case) && on_lapse(case, OnLapse::Recover) && owes(case)
}

pub(crate) fn takeover_is_not_for_workers(case: &Case) -> bool {
    takeable(case) && (cancel_asked(case) || on_lapse(case, OnLapse::Quarantine))
}

// ---- recovery ------------------------------------------------------------------------------------------------

pub(crate) fn undo_is_due(case: &Case) -> bool {
    undo_due_at(case).is_some_and(|due_at| case.now >= due_at)
}

pub(crate) fn undo_is_not_due(case: &Case) -> bool {
    undo_due_at(case).is_some_and(|due_at| case.now < due_at)
}

fn undo_due_at(case: &Case) -> Option<Time> {
    match &case.task?.phase {
        Phase::Compensating { undoing: Undoing::DueAt(due_at), .. } => Some(*due_at),
        Phase::Compensating { undoing: Undoing::HeldBy(_), .. }
        | Phase::Planned
        | Phase::Dispatched(_)
        | Phase::Running(_)
        | Phase::Ended(_) => None,
    }
}

pub(crate) fn start_limit_is_over(case: &Case) -> bool {
    start_limit(case).is_some_and(|limit| case.now >= limit)
}

pub(crate) fn start_limit_is_ahead(case: &Case) -> bool {
    start_limit(case).is_some_and(|limit| case.now < limit)
}

pub(crate) fn has_no_start_limit(case: &Case) -> bool {
    start_limit(case).is_none()
}

fn start_limit(case: &Case) -> Option<Time> {
    case.task?.start_limit()
}

// ---- what is owed --------------------------------------------------------------------------------------------

pub(crate) fn owes(case: &Case) -> bool {
    task_is(case, Task::owes)
}

pub(crate) fn owes_nothing(case: &Case) -> bool {
    !owes(case)
}

pub(crate) fn holds_and_older_lease_owes(case: &Case) -> bool {
    holds(case) && older_lease_owes(case)
}

pub(crate) fn holds_and_no_older_lease_owes(case: &Case) -> bool {
    holds(case) && !older_lease_owes(case)
}

fn older_lease_owes(case: &Case) -> bool {
    task_is(case, |task| task.lease().is_some_and(|lease| task.owes_from_before(lease.epoch)))
}

pub(crate) fn holds_and_owes(case: &Case) -> bool {
    holds(case) && owes(case)
}

pub(crate) fn holds_and_owes_nothing(case: &Case) -> bool {
    holds(case) && !owes(case)
}

/// Under `hold` nothing is undone at a release: the successor inherits. Unless cancel is asked, or the lease had
/// lapsed and no attempt is left, which ends as a roll back.
fn successor_inherits(case: &Case) -> bool {
    let may_go_on = !lease_has_lapsed(case) || task_is(case, |task| task.attempts < task.policy.max_attempts);
    on_lapse(case, OnLapse::Hold) && !cancel_asked(case) && may_go_on
}

pub(crate) fn releases_to_a_successor(case: &Case) -> bool {
    holds(case) && successor_inherits(case)
}

pub(crate) fn releases_to_undo(case: &Case) -> bool {
    holds(case) && !successor_inherits(case) && owes(case)
}

pub(crate) fn releases_owing_nothing(case: &Case) -> bool {
    holds(case) && !successor_inherits(case) && !owes(case)
}

// ---- parking -------------------------------------------------------------------------------------------------

fn asks_for_a_person(case: &Case) -> bool {
    matches!(case.by_holder(), Some(HolderAction::Quarantine { cause: QuarantineCause::ByHolder, .. }))
}

pub(crate) fn holds_and_asks_for_a_person(case: &Case) -> bool {
    holds(case) && asks_for_a_person(case)
}

/// It parks the task for an undo that nobody handles or that keeps failing.
pub(crate) fn holds_and_can_not_undo(case: &Case) -> bool {
    holds(case) && !asks_for_a_person(case)
}

// ---- records that a failed task needs ------------------------------------------------------------------------

fn gives_compensation(case: &Case) -> bool {
    matches!(case.by_holder(), Some(HolderAction::Fail { compensation: Some(_), .. }))
        || matches!(case.by_operator(), Some(OperatorAction::MarkFailed { compensation: Some(_), .. }))
}

fn registers(case: &Case) -> bool {
    matches!(case.by_holder(), Some(HolderAction::Register { .. }))
        || matches!(case.by_operator(), Some(OperatorAction::Register { .. }))
}

/// There is no room for one more compensation, and the command brings one.
pub(crate) fn has_no_room(case: &Case) -> bool {
    let brings_one = gives_compensation(case) || registers(case);
    brings_one && task_is(case, |task| task.compensations.len() >= COMPENSATIONS_MAX)
}

fn lacks_a_record(case: &Case) -> bool {
    !gives_compensation(case) && task_is(case, |task| task.compensations.is_empty())
}

pub(crate) fn fails_without_a_record(case: &Case) -> bool {
    !has_no_room(case) && lacks_a_record(case)
}

pub(crate) fn fails_with_a_record(case: &Case) -> bool {
    !has_no_room(case) && !lacks_a_record(case)
}

pub(crate) fn holds_without_room(case: &Case) -> bool {
    holds(case) && has_no_room(case)
}

pub(crate) fn holds_and_fails_without_a_record(case: &Case) -> bool {
    holds(case) && !failing_parks(case) && fails_without_a_record(case)
}

pub(crate) fn holds_and_fails_with_a_record(case: &Case) -> bool {
    holds(case) && !failing_parks(case) && fails_with_a_record(case)
}

/// A parked task needs no record: it can still be undone.
pub(crate) fn holds_and_failing_parks(case: &Case) -> bool {
    holds(case) && failing_parks(case) && !has_no_room(case)
}

fn failing_parks(case: &Case) -> bool {
    task_is(case, |task| task.policy.on_failure == OnFailure::Quarantine)
}

pub(crate) fn has_room(case: &Case) -> bool {
    !has_no_room(case)
}

pub(crate) fn holds_active_without_room(case: &Case) -> bool {
    holds_active(case) && has_no_room(case)
}

pub(crate) fn holds_active_with_room(case: &Case) -> bool {
    holds_active(case) && !has_no_room(case)
}

// ---- one compensation ----------------------------------------------------------------------------------------

/// Why a compensation can't be settled or waived; none: it is owed.
fn fault_of(task: &Task, seq: Seq) -> Option<Code> {
    match task.compensation(seq).map(|one| one.status) {
        None => Some(Code::NotFound),
        Some(Status::Standing) => Some(Code::WrongState),
        Some(Status::Owed) => None,
        Some(Status::Done | Status::Waived | Status::Void) => Some(Code::CompensationSettled),
    }
}

fn seq_fault(case: &Case) -> Option<Code> {
    fault_of(case.task?, case.command.action.seq()?)
}

pub(crate) fn seq_is_unknown(case: &Case) -> bool {
    may_name_seq(case) && seq_fault(case) == Some(Code::NotFound)
}

pub(crate) fn seq_stands(case: &Case) -> bool {
    may_name_seq(case) && seq_fault(case) == Some(Code::WrongState)
}

pub(crate) fn seq_is_settled(case: &Case) -> bool {
    may_name_seq(case) && seq_fault(case) == Some(Code::CompensationSettled)
}

pub(crate) fn seq_is_owed(case: &Case) -> bool {
    may_name_seq(case) && seq_fault(case).is_none()
}

pub(crate) fn seq_is_the_last_owed(case: &Case) -> bool {
    seq_is_owed(case) && owed_count(case) == 1
}

pub(crate) fn seq_is_owed_among_others(case: &Case) -> bool {
    seq_is_owed(case) && owed_count(case) > 1
}

/// A holder settles under its lease. A person waives without one, and settles what nobody is undoing.
fn may_name_seq(case: &Case) -> bool {
    match case.by_operator() {
        Some(OperatorAction::Settle { .. }) => !is_being_undone(case),
        Some(OperatorAction::Waive { .. }) => true,
        Some(_) => false,
        None => holds(case),
    }
}

fn is_being_undone(case: &Case) -> bool {
    lease_is_active(case) && task_is(case, |task| matches!(task.phase, Phase::Compensating { .. }))
}

fn owed_count(case: &Case) -> usize {
    case.task.map_or(0, |task| task.owed().count())
}

// ---- waivers and receipts that come with another command -----------------------------------------------------

fn settled_with_it<'a>(case: &Case<'a>) -> (&'a [Waiver], &'a [HandReceipt]) {
    let Some(
        OperatorAction::MarkCompensated { waive, settled, .. } | OperatorAction::Retry { waive, settled, .. },
    ) = case.by_operator()
    else {
        return (&[], &[]);
    };
    (waive, settled)
}

/// The numbers that the command waives or has receipts for.
fn named_seqs<'a>(case: &Case<'a>) -> impl Iterator<Item = Seq> + 'a {
    let (waive, settled) = settled_with_it(case);
    waive.iter().map(|one| one.seq).chain(settled.iter().map(|one| one.seq))
}

/// The first fault of the numbers that a command names.
fn waiver_fault(case: &Case) -> Option<Code> {
    let task = case.task?;
    named_seqs(case).find_map(|seq| fault_of(task, seq))
}

/// Somebody undoes the task, and the command says that a person did: both would undo the same effect at the same time. An
/// ended task is not undone, so this is never so of a retry.
pub(crate) fn gives_a_receipt_while_it_is_undone(case: &Case) -> bool {
    let (_, settled) = settled_with_it(case);
    is_being_undone(case) && !settled.is_empty()
}

fn a_waiver_has(fault: Code, case: &Case) -> bool {
    !gives_a_receipt_while_it_is_undone(case) && waiver_fault(case) == Some(fault)
}

pub(crate) fn a_waiver_names_an_unknown_seq(case: &Case) -> bool {
    a_waiver_has(Code::NotFound, case)
}

pub(crate) fn a_waiver_names_a_standing_seq(case: &Case) -> bool {
    a_waiver_has(Code::WrongState, case)
}

pub(crate) fn a_waiver_names_a_settled_seq(case: &Case) -> bool {
    a_waiver_has(Code::CompensationSettled, case)
}

fn waivers_fit(case: &Case) -> bool {
    !gives_a_receipt_while_it_is_undone(case) && waiver_fault(case).is_none()
}

fn leaves_something_owed(case: &Case) -> bool {
    task_is(case, |task| task.owed().any(|one| named_seqs(case).all(|seq| seq != one.seq)))
}

pub(crate) fn waivers_fit_and_something_stays_owed(case: &Case) -> bool {
    waivers_fit(case) && leaves_something_owed(case)
}

pub(crate) fn waivers_fit_and_nothing_stays_owed(case: &Case) -> bool {
    waivers_fit(case) && !leaves_something_owed(case)
}

// ---- a retry -------------------------------------------------------------------------------------------------

pub(crate) fn was_retried(case: &Case) -> bool {
    task_is(case, |task| task.ending().is_some_and(|ending| ending.retried_as.is_some()))
}

fn is_first_retry(case: &Case) -> bool {
    !was_retried(case)
}

pub(crate) fn retry_waives_an_unknown_seq(case: &Case) -> bool {
    is_first_retry(case) && a_waiver_names_an_unknown_seq(case)
}

/// Of an ended task nothing stands, so what is not owed is settled.
pub(crate) fn retry_waives_a_settled_seq(case: &Case) -> bool {
    let not_owed = a_waiver_names_a_settled_seq(case) || a_waiver_names_a_standing_seq(case);
    is_first_retry(case) && not_owed
}

pub(crate) fn retry_takes_a_taken_name(case: &Case) -> bool {
    is_first_retry(case) && waiver_fault(case).is_none() && name_is_taken(case)
}

pub(crate) fn retry_is_clear(case: &Case) -> bool {
    is_first_retry(case) && waiver_fault(case).is_none() && name_is_free(case)
}

// ---- shared --------------------------------------------------------------------------------------------------

fn lease<'a>(case: &Case<'a>) -> Option<&'a Lease> {
    case.task.and_then(Task::lease)
}

fn cancel_asked(case: &Case) -> bool {
    task_is(case, |task| task.cancel.is_some())
}

fn on_lapse(case: &Case, what: OnLapse) -> bool {
    task_is(case, |task| task.policy.on_lapse == what)
}

fn task_is(case: &Case, holds: impl Fn(&Task) -> bool) -> bool {
    case.task.is_some_and(holds)
}
