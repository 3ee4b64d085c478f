//! Counts how many bytes a value has as JSON, without writing it. The count is never less than the real size, so that
//! memory can be reserved before the JSON is made.

use std::borrow::Cow;

use tenure_core::compensation::Compensation;
use tenure_core::id::{Actor, Document, Owner, Progress, Reason, Text};
use tenure_core::task::{Phase, Task};

use crate::answering::{MinimalAnswer, MinimalTask};
use crate::stored::{ColumnValue, StoredChain, StoredEvent, StoredRow};
use crate::{Answer, Recorded};

/// The names of a task's members, its times, numbers and policy.
const TASK_BYTES: usize = 2_048;
/// The same of a compensation, and of an event.
const COMPENSATION_BYTES: usize = 320;
const EVENT_BYTES: usize = 320;
/// The answer to a heartbeat.
const RENEWAL_BYTES: usize = 160;

/// A task.
pub fn task_bytes(task: &Task) -> usize {
    let named = task.id.as_str().len()
        + task.saga_id.as_str().len()
        + task.namespace.as_str().len()
        + task.queue.as_str().len()
        + task.kind.as_str().len()
        + task.retry_of.as_ref().map_or(0, |id| id.as_str().len());
    let label = |(key, value): (&tenure_core::id::LabelKey, &tenure_core::id::LabelValue)| {
        key.as_str().len() + text_bytes(value.as_str()) + 6
    };
    let lease = task.lease().map_or(0, |lease| {
        let progress = lease.progress.as_ref().map_or(0, |progress: &Progress| progress.as_str().len());
        lease.owner.as_str().len() + lease.granted_to.as_str().len() + progress
    });
    let cancel = task.cancel.as_ref().map_or(0, |cancel| {
        let by: &Actor = &cancel.by;
        by.as_str().len() + text_bytes(cancel.reason.as_str())
    });
    TASK_BYTES
        + named
        + task.labels.iter().map(label).sum::<usize>()
        + task.payload.as_str().len()
        + task.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.as_str().len())
        + lease
        + cancel
        + phase_bytes(&task.phase)
        + task.compensations.iter().map(compensation_bytes).sum::<usize>()
}

fn phase_bytes(phase: &Phase) -> usize {
    match phase {
        // What a lease has is counted with the task: undo may be held under one, too.
        Phase::Planned | Phase::Running(_) => 0,
        Phase::Dispatched(reservation) => {
            let owner: &Owner = &reservation.owner;
            owner.as_str().len()
        }
        Phase::Compensating { reason, .. } => text_bytes(reason.as_str()),
        Phase::Ended(ending) => {
            ending.reason.as_ref().map_or(0, |reason: &Reason| text_bytes(reason.as_str()))
                + ending.result.as_ref().map_or(0, |result: &Document| result.as_str().len())
                + ending.retried_as.as_ref().map_or(0, |id| id.as_str().len())
        }
    }
}

fn compensation_bytes(one: &Compensation) -> usize {
    let text = |text: &Option<Text>| text.as_ref().map_or(0, |text| text_bytes(text.as_str()));
    let reason = |reason: &Option<Reason>| reason.as_ref().map_or(0, |reason| text_bytes(reason.as_str()));
    COMPENSATION_BYTES
        + one.undo.kind.as_str().len()
        + text_bytes(one.undo.target.as_str())
        + reason(&one.undo.reason)
        + text(&one.receipt)
        + text(&one.last_error)
        + reason(&one.waiver)
        + one.key.as_ref().map_or(0, |key| key.as_str().len())
}

/// The answer to a command.
pub fn answer_bytes(answer: &Answer) -> usize {
    match answer {
        Answer::Task(task) => task_bytes(task),
        Answer::Claimed(tasks) => tasks.iter().map(task_bytes).sum(),
        Answer::Retried(new, old) => task_bytes(new) + task_bytes(old),
        Answer::Renewed(_) => RENEWAL_BYTES,
        Answer::Minimal(MinimalAnswer::Task(_)) => MinimalTask::BYTES_MAX,
        Answer::Minimal(MinimalAnswer::Claimed(tasks)) => MinimalTask::BYTES_MAX * tasks.len(),
        Answer::Minimal(MinimalAnswer::Retried(..)) => 2 * MinimalTask::BYTES_MAX,
    }
}

/// An event with its place.
pub fn event_bytes(recorded: &Recorded) -> usize {
    let event = &recorded.event;
    EVENT_BYTES
        + recorded.cursor.as_str().len()
        + event.namespace.as_str().len()
        + event.subject.as_str().len()
        + event.actor.as_str().len()
        + recorded.data.len()
}

/// A stored chain. Nothing in it is trusted, and a client gets all of it as text.
pub fn chain_bytes(chain: &StoredChain) -> usize {
    let event =
        |event: &StoredEvent| EVENT_BYTES + event.actor.len() + event.kind.len() + text_bytes(&event.data);
    let column = |(name, value): &(Cow<'_, str>, ColumnValue<'_>)| {
        // Quotes, colon and comma; a number has at most 20 digits.
        let value = match value {
            ColumnValue::Null | ColumnValue::Number(_) => 20,
            ColumnValue::Text(text) => text_bytes(text),
            ColumnValue::Bytes(bytes) => 2 * bytes.len() + 16,
        };
        name.len() + 4 + value
    };
    let row = |row: &StoredRow<'_>| 40 + row.columns.iter().map(column).sum::<usize>();
    EVENT_BYTES + chain.rows.iter().map(row).sum::<usize>() + chain.events.iter().map(event).sum::<usize>()
}

/// A text between quotes.
fn text_bytes(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(escaped).sum::<usize>() + 2
}
