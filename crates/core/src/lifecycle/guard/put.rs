//! The guards of a put, the write of a whole record. A put is decided as a difference, which [`crate::put`] computes.

use super::{lease, name_is_free, name_is_taken, owes};
use crate::case::Case;
use crate::command::{Action, Put};
use crate::task::{Task, Terminal};

fn put<'a>(case: &Case<'a>) -> Option<&'a Put> {
    let Action::Put(put) = &case.command.action else { return None };
    Some(put)
}

fn gives_a_revision(case: &Case) -> bool {
    put(case).and_then(|put| put.revision).is_some_and(|revision| revision.0 != 0)
}

/// What a new record says that can't be: a time after now, an end before its beginning, a state that needs a lease.
fn new_record_contradicts(case: &Case) -> bool {
    put(case).is_some_and(|put| put.contradiction(case.now).is_some())
}

fn fails_bare(put: &Put) -> bool {
    put.state.terminal() == Some(Terminal::Failed) && put.compensations.is_empty()
}

pub(crate) fn puts_a_revision_of_nothing(case: &Case) -> bool {
    gives_a_revision(case) && !new_record_contradicts(case)
}

pub(crate) fn puts_a_new_contradiction(case: &Case) -> bool {
    new_record_contradicts(case)
}

fn puts_new(case: &Case) -> bool {
    !new_record_contradicts(case) && !gives_a_revision(case)
}

pub(crate) fn puts_new_under_a_taken_name(case: &Case) -> bool {
    puts_new(case) && name_is_taken(case)
}

pub(crate) fn puts_new_in_a_held_state(case: &Case) -> bool {
    let held = |put: &Put| !put.may_begin_there() && !put.begins_in_flight();
    puts_new(case) && name_is_free(case) && put(case).is_some_and(held)
}

/// It says who holds it elsewhere, and until when.
pub(crate) fn puts_new_in_flight(case: &Case) -> bool {
    puts_new(case) && name_is_free(case) && put(case).is_some_and(Put::begins_in_flight)
}

pub(crate) fn puts_new_failed_without_a_record(case: &Case) -> bool {
    puts_new(case) && name_is_free(case) && put(case).is_some_and(fails_bare)
}

pub(crate) fn puts_new_planned(case: &Case) -> bool {
    puts_new(case) && name_is_free(case) && put(case).is_some_and(|put| put.begins_planned())
}

pub(crate) fn puts_new_ended(case: &Case) -> bool {
    let ends = |put: &Put| put.state.terminal().is_some() && !fails_bare(put);
    puts_new(case) && name_is_free(case) && put(case).is_some_and(ends)
}

pub(crate) fn puts_without_a_revision(case: &Case) -> bool {
    puts_new(case)
}

/// It contradicts itself, changes what never changes, or takes a compensation away.
pub(crate) fn puts_what_can_not_be(case: &Case) -> bool {
    let newly = !gives_a_revision(case) && new_record_contradicts(case);
    newly || (gives_a_revision(case) && changes_what_never_changes(case))
}

fn changes_what_never_changes(case: &Case) -> bool {
    match (put(case), case.task) {
        (Some(put), Some(task)) => put.contradicts(task, case.now).is_some(),
        (_, _) => false,
    }
}

fn puts_a_difference(case: &Case) -> bool {
    gives_a_revision(case) && !changes_what_never_changes(case)
}

fn revision_is_stored(case: &Case) -> bool {
    match (put(case), case.task) {
        (Some(put), Some(task)) => put.revision == Some(task.revision),
        (_, _) => false,
    }
}

/// Decided on the difference: (field changes, new compensations, the state moves).
fn put_is(case: &Case, holds: impl Fn(&Put, &Task) -> bool) -> bool {
    match (put(case), case.task) {
        (Some(put), Some(task)) => holds(put, task),
        (_, _) => false,
    }
}

fn touches_only_the_reason(case: &Case) -> bool {
    put_is(case, |put, task| {
        put.changes(task).is_empty()
            && put.added().next().is_none()
            && put.state == task.state()
            && put.result.as_ref() == task.ending().and_then(|ending| ending.result.as_ref())
            && (put.terminal_reason.is_some() || task.ending().is_some_and(|ending| ending.reason.is_none()))
    })
}

pub(crate) fn puts_on_an_ended_task(case: &Case) -> bool {
    puts_a_difference(case) && !touches_only_the_reason(case)
}

pub(crate) fn puts_new_words_over_unread_ones(case: &Case) -> bool {
    puts_a_difference(case) && touches_only_the_reason(case) && !revision_is_stored(case)
}

pub(crate) fn puts_new_words(case: &Case) -> bool {
    puts_a_difference(case) && touches_only_the_reason(case) && revision_is_stored(case)
}

pub(crate) fn puts_over_a_holder(case: &Case) -> bool {
    puts_a_difference(case)
}

pub(crate) fn puts_over_a_lease(case: &Case) -> bool {
    puts_a_difference(case) && lease(case).is_some()
}

fn puts_unheld(case: &Case) -> bool {
    puts_a_difference(case) && lease(case).is_none()
}

pub(crate) fn puts_over_an_unread_change(case: &Case) -> bool {
    puts_unheld(case) && !revision_is_stored(case)
}

fn puts_over_what_was_read(case: &Case) -> bool {
    puts_unheld(case) && revision_is_stored(case)
}

fn stays(case: &Case) -> bool {
    put_is(case, |put, task| put.state == task.state())
}

pub(crate) fn puts_fields_and_compensations(case: &Case) -> bool {
    puts_over_what_was_read(case) && stays(case)
}

pub(crate) fn puts_fields(case: &Case) -> bool {
    puts_over_what_was_read(case) && stays(case) && put_is(case, |put, _| put.added().next().is_none())
}

/// While it is undone its state is not put, and no obligation is added.
pub(crate) fn puts_a_state_or_compensation(case: &Case) -> bool {
    puts_over_what_was_read(case) && (!stays(case) || put_is(case, |put, _| put.added().next().is_some()))
}

fn moves_to(case: &Case, terminal: Option<Terminal>) -> bool {
    puts_over_what_was_read(case) && !stays(case) && put_is(case, |put, _| put.state.terminal() == terminal)
}

pub(crate) fn puts_into_a_held_state(case: &Case) -> bool {
    moves_to(case, None)
}

pub(crate) fn puts_failed_without_a_record(case: &Case) -> bool {
    moves_to(case, Some(Terminal::Failed)) && has_no_record_at_all(case)
}

fn has_no_record_at_all(case: &Case) -> bool {
    put_is(case, |put, task| task.compensations.is_empty() && put.added().next().is_none())
}

pub(crate) fn puts_compensated_although_owed(case: &Case) -> bool {
    moves_to(case, Some(Terminal::Compensated)) && owes(case)
}

pub(crate) fn puts_an_end(case: &Case) -> bool {
    let failed = moves_to(case, Some(Terminal::Failed)) && !has_no_record_at_all(case);
    let compensated = moves_to(case, Some(Terminal::Compensated)) && !owes(case);
    let other = moves_to(case, Some(Terminal::Completed)) || moves_to(case, Some(Terminal::Quarantined));
    failed || compensated || other
}
