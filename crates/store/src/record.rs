//! Converts what a store answers to the public JSON, and back. The JSON itself is defined in [`tenure_api`].

use base16ct::lower::encode_string;
use base16ct::mixed::decode_vec;
use tenure_api as api;
use tenure_api::answer::AnyTask;
use tenure_api::refusal::{CommandError, Said};
use tenure_core::event::Event;
use tenure_core::id::{Epoch, Namespace, TaskId};
use tenure_core::task::Task;
use tenure_core::time::Time;

use crate::answering::MinimalAnswer;
use crate::codec;
use crate::error::{Error, Failure};
use crate::stored::{ColumnValue, StoredChain, StoredEvent, StoredRow};
use crate::{Answer, Cursor, FoundHistory, Lapsed, Page, Recorded};

fn text(cursor: &Option<Cursor>) -> Option<String> {
    cursor.as_ref().map(|cursor| cursor.as_str().to_owned())
}

// ---- answers and errors --------------------------------------------------------------------------------------------

fn whole(task: &Task, now: Time) -> AnyTask {
    AnyTask::Whole(Box::new(api::task::Task::at(task, now)))
}

/// What a command came to, with its tasks as they are at `now`.
pub fn answer(answer: &Result<Answer, Error>, now: Time) -> api::answer::Answer {
    let minimal = |task: &api::answer::MinimalTask| AnyTask::Minimal(Box::new(task.clone()));
    let mut shown = api::answer::Answer::default();
    match answer {
        Ok(Answer::Task(task)) => shown.task = Some(whole(task, now)),
        Ok(Answer::Claimed(tasks)) => shown.tasks = Some(tasks.iter().map(|task| whole(task, now)).collect()),
        Ok(Answer::Renewed(renewal)) => shown.renewal = Some(*renewal),
        Ok(Answer::Retried(new, old)) => {
            (shown.task, shown.retried) = (Some(whole(new, now)), Some(whole(old, now)));
        }
        Ok(Answer::Minimal(MinimalAnswer::Task(task))) => shown.task = Some(minimal(task)),
        Ok(Answer::Minimal(MinimalAnswer::Claimed(tasks))) => {
            shown.tasks = Some(tasks.iter().map(minimal).collect());
        }
        Ok(Answer::Minimal(MinimalAnswer::Retried(new, old))) => {
            (shown.task, shown.retried) = (Some(minimal(new)), Some(minimal(old)));
        }
        Err(error) => match CommandError::from(error) {
            CommandError::Refusal(refusal) => shown.refusal = Some(refusal),
            CommandError::Unavailable(said) => shown.unavailable = Some(said),
            CommandError::Corrupt(said) => shown.corrupt = Some(said),
            CommandError::Unknown(said) => shown.unknown = Some(said),
        },
    }
    shown
}

/// The time for which an answer says whether its tasks are stale, if that needs no clock: a task without a lease is not stale, nor
/// one whose lease was granted just now.
pub fn known_time(answer: &Answer) -> Option<Time> {
    let fresh = |task: &Task| {
        let is_fresh = task.lease().is_none_or(|lease| lease.acquired_at == task.updated_at);
        (is_fresh && task.reservation().is_none()).then_some(task.updated_at)
    };
    match answer {
        // The new task of a retry has no lease.
        Answer::Task(task) | Answer::Retried(task, _) => fresh(task),
        // All of them at once.
        Answer::Claimed(tasks) => tasks.iter().map(|task| task.updated_at).max().or(Some(Time::MIN)),
        // Neither of them says whether a task is stale.
        Answer::Renewed(_) | Answer::Minimal(_) => Some(Time::MIN),
    }
}

/// What each of many commands came to, in their order, with their tasks as they are at `now`.
pub fn answers(answers: &[Result<Answer, Error>], now: Time) -> api::answer::Answers {
    api::answer::Answers { answers: answers.iter().map(|one| answer(one, now)).collect() }
}

/// What a heartbeat among many is told, with the lease that it is about, where that could be read.
pub fn heartbeat_answer(
    lease: Option<(TaskId, Epoch)>,
    answered: &Result<Answer, Error>,
) -> api::answer::HeartbeatAnswer {
    let (id, epoch) = lease.unzip();
    // Neither a renewal nor an error contains a task, so the time does not matter.
    let told = answer(answered, Time::MIN);
    api::answer::HeartbeatAnswer {
        id,
        epoch,
        at: told.renewal.map(|renewal| renewal.at),
        expires_at: told.renewal.map(|renewal| renewal.expires_at),
        cancel: told.renewal.map(|renewal| renewal.cancel_asked),
        refusal: told.refusal,
        unavailable: told.unavailable,
        corrupt: told.corrupt,
        unknown: told.unknown,
    }
}

/// What a heartbeat or a progress is told, and the task as it is at `now`.
pub fn renewal_answer(task: &Task, now: Time, renewal: api::answer::Renewal) -> api::answer::Answer {
    api::answer::Answer {
        task: Some(whole(task, now)),
        renewal: Some(renewal),
        ..api::answer::Answer::default()
    }
}

impl From<&Error> for CommandError {
    fn from(error: &Error) -> CommandError {
        let said = |failure: &Failure| Said { message: failure.message().to_owned() };
        match error {
            Error::Refused(refusal) => CommandError::Refusal(refusal.into()),
            Error::Unavailable(failure) => CommandError::Unavailable(said(failure)),
            Error::Corrupt(failure) => CommandError::Corrupt(said(failure)),
            Error::Unknown(failure) => CommandError::Unknown(said(failure)),
        }
    }
}

impl From<CommandError> for Error {
    fn from(error: CommandError) -> Error {
        match error {
            CommandError::Refusal(refusal) => Error::Refused(refusal.into()),
            CommandError::Unavailable(said) => Error::Unavailable(said.message.into()),
            CommandError::Corrupt(said) => Error::Corrupt(said.message.into()),
            CommandError::Unknown(said) => Error::Unknown(said.message.into()),
        }
    }
}

/// What a command came to, read back.
pub fn read_answer(shown: api::answer::Answer) -> Result<Result<Answer, Error>, String> {
    let error = shown.refusal.map(CommandError::Refusal);
    let error = error.or(shown.unavailable.map(CommandError::Unavailable));
    let error = error.or(shown.corrupt.map(CommandError::Corrupt));
    if let Some(error) = error.or(shown.unknown.map(CommandError::Unknown)) {
        return Ok(Err(error.into()));
    }
    let boxed = |task: AnyTask| Task::try_from(task).map(Box::new);
    Ok(Ok(match (shown.task, shown.retried, shown.tasks, shown.renewal) {
        (Some(task), None, None, None) => Answer::Task(boxed(task)?),
        (Some(new), Some(old), None, None) => Answer::Retried(boxed(new)?, boxed(old)?),
        (None, None, Some(tasks), None) => {
            Answer::Claimed(tasks.into_iter().map(Task::try_from).collect::<Result<_, _>>()?)
        }
        (None, None, None, Some(renewal)) => Answer::Renewed(renewal),
        (_, _, _, _) => return Err("the answer is of no known kind".into()),
    }))
}

// ---- lists ---------------------------------------------------------------------------------------------------------

/// Some tasks as they are at `now`, and where their list goes on.
pub fn task_page(page: &Page<Task>, now: Time) -> api::list::TaskPage {
    api::list::TaskPage {
        tasks: page.items.iter().map(|task| api::task::Task::at(task, now)).collect(),
        next: text(&page.next),
        more: page.is_cut,
    }
}

impl TryFrom<api::list::TaskPage> for Page<Task> {
    type Error = String;

    fn try_from(page: api::list::TaskPage) -> Result<Page<Task>, String> {
        let tasks = page.tasks.into_iter().map(Task::try_from).collect::<Result<_, _>>()?;
        Ok(Page::new(tasks, page.next.map(Cursor::from_text), page.more))
    }
}

impl From<&Page<Recorded>> for api::list::EventPage {
    fn from(page: &Page<Recorded>) -> api::list::EventPage {
        api::list::EventPage {
            events: page.items.iter().map(api::event::Event::from).collect(),
            next: text(&page.next),
            more: page.is_cut,
            unreadable: page.unreadable.clone(),
        }
    }
}

impl TryFrom<api::list::EventPage> for Page<Recorded> {
    type Error = String;

    fn try_from(page: api::list::EventPage) -> Result<Page<Recorded>, String> {
        let events = page.events.into_iter().map(Recorded::try_from).collect::<Result<_, _>>()?;
        let unreadable = page.unreadable;
        Ok(Page { unreadable, ..Page::new(events, page.next.map(Cursor::from_text), page.more) })
    }
}

impl From<&FoundHistory> for api::list::HistoryPage {
    fn from(found: &FoundHistory) -> api::list::HistoryPage {
        let FoundHistory { page, looked_to } = found;
        api::list::HistoryPage {
            events: page.items.iter().map(api::event::Event::from).collect(),
            next: text(&page.next),
            looked_to: *looked_to,
            more: page.is_cut,
            unreadable: page.unreadable.clone(),
        }
    }
}

impl TryFrom<api::list::HistoryPage> for FoundHistory {
    type Error = String;

    fn try_from(found: api::list::HistoryPage) -> Result<FoundHistory, String> {
        let api::list::HistoryPage { events, next, looked_to, more, unreadable } = found;
        let page = Page::try_from(api::list::EventPage { events, next, more, unreadable })?;
        Ok(FoundHistory { page, looked_to })
    }
}

impl From<&Recorded> for api::event::Event {
    fn from(recorded: &Recorded) -> api::event::Event {
        let event = &recorded.event;
        api::event::Event {
            cursor: recorded.cursor.as_str().to_owned(),
            namespace: event.namespace.clone(),
            task: event.subject.task().cloned(),
            number: event.number,
            at: event.at,
            kind: event.what.kind().to_owned(),
            actor: event.actor.clone(),
            // A store gives back only data that it could read.
            data: serde_json::value::RawValue::from_string(recorded.data.clone()).unwrap_or_default(),
            hash: recorded.hash,
        }
    }
}

impl TryFrom<api::event::Event> for Recorded {
    type Error = String;

    fn try_from(event: api::event::Event) -> Result<Recorded, String> {
        let (kind, data) = (event.kind, event.data.get());
        let what = codec::read_data(&kind, data)
            .ok_or_else(|| format!("the data of event {} does not fit the type `{kind}`", event.cursor))?;
        Ok(Recorded {
            cursor: Cursor::from_text(event.cursor),
            event: Event {
                namespace: event.namespace,
                subject: event.task.into(),
                number: event.number,
                at: event.at,
                actor: event.actor,
                what,
            },
            hash: event.hash,
            data: data.to_owned(),
        })
    }
}

impl From<&Lapsed> for api::list::Lapsed {
    fn from(lapsed: &Lapsed) -> api::list::Lapsed {
        let nominated = |(namespace, id): &(Namespace, TaskId)| api::list::Nominated {
            namespace: namespace.clone(),
            id: id.clone(),
        };
        api::list::Lapsed {
            tasks: lapsed.tasks.iter().map(nominated).collect(),
            next: text(&lapsed.next),
            next_check: lapsed.next_check,
        }
    }
}

impl From<api::list::Lapsed> for Lapsed {
    fn from(lapsed: api::list::Lapsed) -> Lapsed {
        Lapsed {
            tasks: lapsed.tasks.into_iter().map(|one| (one.namespace, one.id)).collect(),
            next: lapsed.next.map(Cursor::from_text),
            next_check: lapsed.next_check,
        }
    }
}

// ---- chains --------------------------------------------------------------------------------------------------------

impl From<&Page<StoredChain>> for api::chain::ChainPage {
    fn from(page: &Page<StoredChain>) -> api::chain::ChainPage {
        let chains = page.items.iter().map(api::chain::Chain::from).collect();
        api::chain::ChainPage { chains, next: text(&page.next), more: page.is_cut }
    }
}

impl TryFrom<api::chain::ChainPage> for Page<StoredChain> {
    type Error = String;

    fn try_from(page: api::chain::ChainPage) -> Result<Page<StoredChain>, String> {
        let chains = page.chains.into_iter().map(StoredChain::try_from).collect::<Result<_, _>>()?;
        Ok(Page::new(chains, page.next.map(Cursor::from_text), page.more))
    }
}

impl From<&StoredChain> for api::chain::Chain {
    fn from(chain: &StoredChain) -> api::chain::Chain {
        let (namespace, subject) = chain.name.clone().unzip();
        api::chain::Chain {
            row: chain.row,
            namespace,
            id: subject.and_then(|subject| subject.task().cloned()),
            stored_name: chain.stored_name.clone(),
            rows: chain.rows.iter().map(api::chain::StoredRow::from).collect(),
            apart: chain.apart.clone(),
            events: chain.events.iter().map(api::chain::StoredEvent::from).collect(),
        }
    }
}

impl TryFrom<api::chain::Chain> for StoredChain {
    type Error = String;

    fn try_from(chain: api::chain::Chain) -> Result<StoredChain, String> {
        Ok(StoredChain {
            row: chain.row,
            name: chain.namespace.map(|namespace| (namespace, chain.id.into())),
            stored_name: chain.stored_name,
            rows: chain.rows.into_iter().map(StoredRow::try_from).collect::<Result<_, _>>()?,
            apart: chain.apart,
            events: chain.events.into_iter().map(StoredEvent::try_from).collect::<Result<_, _>>()?,
        })
    }
}

impl From<&StoredRow<'static>> for api::chain::StoredRow {
    fn from(row: &StoredRow<'static>) -> api::chain::StoredRow {
        use api::chain::Column;
        let column = |value: &ColumnValue<'static>| match value {
            ColumnValue::Null => Column::Null(()),
            ColumnValue::Number(number) => Column::Number(*number),
            ColumnValue::Text(text) => Column::Text(text.to_string()),
            ColumnValue::Bytes(bytes) => Column::Bytes { bytes: encode_string(bytes) },
        };
        let columns = row.columns.iter().map(|(name, value)| (name.to_string(), column(value)));
        api::chain::StoredRow { table: row.table.to_string(), columns: columns.collect() }
    }
}

impl TryFrom<api::chain::StoredRow> for StoredRow<'static> {
    type Error = String;

    fn try_from(row: api::chain::StoredRow) -> Result<StoredRow<'static>, String> {
        use api::chain::Column;
        let column = |(name, value): (String, Column)| {
            let value = match value {
                Column::Null(()) => ColumnValue::Null,
                Column::Number(number) => ColumnValue::Number(number),
                Column::Text(text) => ColumnValue::Text(text.into()),
                Column::Bytes { bytes } => {
                    let bytes = decode_vec(&bytes).map_err(|_| "the bytes are not hexadecimal")?;
                    ColumnValue::Bytes(bytes.into())
                }
            };
            Ok((name.into(), value))
        };
        let columns = row.columns.into_iter().map(column).collect::<Result<_, String>>()?;
        Ok(StoredRow { table: row.table.into(), columns })
    }
}

impl From<&StoredEvent> for api::chain::StoredEvent {
    fn from(event: &StoredEvent) -> api::chain::StoredEvent {
        api::chain::StoredEvent {
            order: event.order,
            number: event.number,
            at: event.at,
            actor: event.actor.clone(),
            kind: event.kind.clone(),
            data: event.data.clone(),
            hash: encode_string(&event.hash),
        }
    }
}

impl TryFrom<api::chain::StoredEvent> for StoredEvent {
    type Error = String;

    fn try_from(event: api::chain::StoredEvent) -> Result<StoredEvent, String> {
        Ok(StoredEvent {
            order: event.order,
            number: event.number,
            at: event.at,
            actor: event.actor,
            kind: event.kind,
            data: event.data,
            hash: decode_vec(&event.hash).map_err(|_| "the hash of an event is not hexadecimal")?,
        })
    }
}
