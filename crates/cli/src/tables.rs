//! Tables, and the words in their cells.

use comfy_table::Table;
use tenure::core::compensation::{Compensation, Status};
use tenure::core::event::Event;
use tenure::core::id::TaskId;
use tenure::core::policy::{Backoff, OnFailure, Policy};
use tenure::core::task::{Ending, State, Task};
use tenure::core::time::Time;
use tenure::instant::{print_seconds, rough, rough_left};
use tenure::store::Recorded;
use tenure_view::words::{count, failed_tries, holder_and_epoch};

use crate::output::{Colour, Output, plain};

/// A table of tasks. Only the first page of a long list has headings.
pub(crate) fn tasks(out: &Output<'_>, tasks: &[Task], now: Time, headed: Headed) -> Table {
    let mut table = match headed {
        Headed::Yes => {
            out.table(&["TASK", "STATE", "QUEUE", "HELD BY", "TIME", "OWED", "ATTEMPTS", "LABELS"])
        }
        Headed::No => out.table(&[]),
    };
    for task in tasks {
        let labels: Vec<String> = task.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        Output::row(
            &mut table,
            [
                plain(&task.id),
                out.cell(&state_words(task, now), colour(task, now)),
                plain(&task.queue),
                plain(holder_and_epoch(task).unwrap_or_default()),
                plain(time(task, now)),
                plain(owed(task)),
                plain(format_args!("{}/{}", task.attempts, task.policy.max_attempts)),
                plain(labels.join(" ")),
            ],
        );
    }
    table
}

/// A table of events. Only the first page of a long history has headings.
pub(crate) fn events(out: &Output<'_>, events: &[Recorded], headed: Headed) -> Table {
    let mut table = match headed {
        Headed::Yes => out.table(&["CURSOR", "TIME", "TASK", "#", "EVENT", "BY", "DATA"]),
        Headed::No => out.table(&[]),
    };
    for recorded in events {
        let event = &recorded.event;
        Output::row(
            &mut table,
            [
                plain(recorded.cursor.as_str()),
                plain(print_seconds(event.at)),
                plain(subject(event)),
                plain(event.number),
                plain(event.what.kind()),
                plain(&event.actor),
                plain(data_of(recorded)),
            ],
        );
    }
    table
}

/// The task of an event. No id of a task has parentheses.
pub(crate) fn subject(event: &Event) -> &str {
    event.subject.task().map_or("(namespace)", TaskId::as_str)
}

/// The data of an event as it is recorded; empty if the event has none.
pub(crate) fn data_of(recorded: &Recorded) -> &str {
    if recorded.data == "{}" { "" } else { &recorded.data }
}

/// Whether a table has its headings.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Headed {
    Yes,
    No,
}

/// The state, and whether it is stale.
pub(crate) fn state_words(task: &Task, now: Time) -> String {
    let stale = if task.is_stale(now) { ", stale" } else { "" };
    let attended = match task.ending() {
        Some(Ending { retried_as: Some(_), .. }) => ", retried",
        Some(Ending { dismissed: Some(_), .. }) => ", dismissed",
        Some(_) | None => "",
    };
    format!("{}{stale}{attended}", task.state().as_str())
}

pub(crate) fn colour(task: &Task, now: Time) -> Colour {
    match task.state() {
        _ if task.is_stale(now) => Colour::Bad,
        State::Planned | State::Compensated => Colour::Faint,
        State::Dispatched | State::Running | State::Compensating => Colour::Busy,
        State::Completed => Colour::Good,
        State::Failed | State::Quarantined => Colour::Bad,
    }
}

/// How long until the lease or reservation lapses or since it lapsed, how long ago the task ended, or how long it has
/// been due.
fn time(task: &Task, now: Time) -> String {
    let ends = task.lease().map(|lease| lease.expires_at).or(task.reservation().map(|one| one.expires_at));
    let ended = task.ending().map(|ending| ending.finished_at);
    match (ends, ended) {
        (Some(ends), _) if ends <= now => format!("lapsed {} ago", rough(now.since(ends))),
        (Some(ends), _) => format!("{} left", rough_left(ends.since(now))),
        (None, Some(ended)) => format!("{} ago", rough(now.since(ended))),
        (None, None) if task.due_since() > now => format!("in {}", rough_left(task.due_since().since(now))),
        (None, None) => format!("for {}", rough(now.since(task.due_since()))),
    }
}

fn owed(task: &Task) -> String {
    match task.owed().count() {
        0 => String::new(),
        owed => owed.to_string(),
    }
}

/// A table of compensations, in the order given.
pub(crate) fn compensations<'a>(out: &Output<'_>, all: impl IntoIterator<Item = &'a Compensation>) -> Table {
    let mut table = out.table(&["NUMBER", "STATUS", "KIND", "TARGET", "REASON", "OUTCOME"]);
    for one in all {
        let colour = match one.status {
            Status::Owed => Colour::Bad,
            Status::Done => Colour::Good,
            Status::Standing | Status::Waived | Status::Void => Colour::Faint,
        };
        let receipt = one.receipt.as_ref().map(|receipt| match &one.settled_by {
            Some(who) => format!("receipt by {who}, by hand: {receipt}"),
            None => format!("receipt: {receipt}"),
        });
        let waiver = one.waiver.as_ref().map(|waiver| format!("waived: {waiver}"));
        let tries = one.last_error.as_ref().map(|error| format!("{}: {error}", failed_tries(one.tries)));
        Output::row(
            &mut table,
            [
                plain(one.seq),
                out.cell(one.status.as_str(), colour),
                plain(&one.undo.kind),
                plain(&one.undo.target),
                plain(one.undo.reason.as_ref().map(ToString::to_string).unwrap_or_default()),
                plain(receipt.or(waiver).or(tries).unwrap_or_default()),
            ],
        );
    }
    table
}

/// A policy on one line: the basic settings, and the others where they are set.
pub(crate) fn policy_words(policy: &Policy) -> String {
    let mut words = vec![
        format!("ttl {}", policy.lease_ttl.span()),
        format!("up to {}", count(policy.max_attempts.into(), "attempt")),
    ];
    words.push(format!("on lapse {}", policy.on_lapse.as_str()));
    words.push(format!("when spent {}", policy.when_spent.as_str()));
    if policy.on_failure != OnFailure::default() {
        words.push(format!("on failure {}", policy.on_failure.as_str()));
    }
    let set = [
        ("recover after", policy.recover_after),
        ("stall after", policy.stall_after),
        ("time limit", policy.time_limit),
        ("start within", policy.start_within),
        ("lock delay", policy.lock_delay),
        ("cancel grace", policy.cancel_grace),
    ];
    words.extend(set.into_iter().filter_map(|(name, span)| span.map(|span| format!("{name} {span}"))));
    if policy.backoff != Backoff::default() {
        let Backoff { base, factor, cap } = policy.backoff;
        words.push(format!("backoff {base} times {factor} up to {cap}"));
    }
    words.join(", ")
}
