//! What one command does inside a transaction: the same for every store.
//!
//! In this order: limits, the request id, then what the core decides on the rows that the command names. A store gives
//! the rows through [`Rows`] and has no rule of its own. After a refusal no row was written.

use tenure_core::chain::Hash;
use tenure_core::command::{Action, Command};
use tenure_core::decide::{Decision, Names, Stored, decide_by};
use tenure_core::event::{Event, LeaseEnd};
use tenure_core::id::{Actor, Epoch, Namespace, Queue, RequestId, Revision, SagaId, TaskId};
use tenure_core::lifecycle::Table;
use tenure_core::refusal::{Code, Refusal};
use tenure_core::task::{Lease, Phase, Task};
use tenure_core::time::{Span, Time};

use crate::codec::{Sealed, seal};
use crate::digest::digest;
use crate::store::{Answer, Renewal};

/// How long a request id is remembered.
pub(crate) const REQUEST_MEMORY: Span = Span::from_days(7);

/// A task as a store keeps it: with the number of its row and the head of its chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Kept {
    pub(crate) row: i64,
    pub(crate) task: Task,
    pub(crate) head: Hash,
}

/// What a heartbeat is decided on: the part of a task that its row of `due` shows, see [`super::due`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Leased {
    pub(crate) row: i64,
    pub(crate) check_at: Time,
    pub(crate) task: Task,
}

/// What a command leaves to be written about one task.
pub(crate) struct Change<'a> {
    /// The task as it was read; none: it is new.
    pub(crate) before: Option<&'a Kept>,
    /// The task as it is to be.
    pub(crate) after: &'a Task,
    /// The new head of its chain.
    pub(crate) head: Hash,
    /// The events that lie between.
    pub(crate) events: &'a [Sealed],
}

/// A request id as it is remembered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Request {
    pub(crate) digest: Hash,
    pub(crate) actor: Actor,
    pub(crate) at: Time,
    /// The tasks of the answer, each by the revision that it had then.
    pub(crate) answered: Vec<Answered>,
}

/// A task of a remembered answer. The history up to the revision gives it back, but for what heartbeats wrote.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Answered {
    pub(crate) task: TaskId,
    pub(crate) revision: Revision,
    pub(crate) lease: Option<LeaseEnd>,
}

/// The rows of a store inside one transaction. An `Err` is a fault of the store: the whole transaction is given up.
pub(crate) trait Rows {
    /// What is wrong with the store.
    type Fault;

    fn task(&mut self, namespace: &Namespace, id: &TaskId) -> Result<Option<Kept>, Self::Fault>;

    /// What a heartbeat may be decided on, if somebody holds a lease on the task.
    fn leased(&mut self, namespace: &Namespace, id: &TaskId) -> Result<Option<Leased>, Self::Fault>;

    /// Whether a new task may have these names. Those of pruned tasks are taken.
    fn names(&mut self, namespace: &Namespace, id: &TaskId, saga_id: &SagaId) -> Result<Names, Self::Fault>;

    /// The next tasks of a queue that are due, in the order in which they are claimed.
    fn claimable(
        &mut self,
        namespace: &Namespace,
        queue: &Queue,
        limit: u32,
        now: Time,
    ) -> Result<Vec<TaskId>, Self::Fault>;

    /// The task's events up to a revision.
    fn history(
        &mut self,
        namespace: &Namespace,
        id: &TaskId,
        up_to: Revision,
    ) -> Result<Vec<Event>, Self::Fault>;

    fn request(&mut self, namespace: &Namespace, id: &RequestId) -> Result<Option<Request>, Self::Fault>;

    fn remember(
        &mut self,
        namespace: &Namespace,
        id: &RequestId,
        request: &Request,
    ) -> Result<(), Self::Fault>;

    fn write(&mut self, change: Change<'_>) -> Result<(), Self::Fault>;

    /// Writes what a heartbeat or a progress changed. A checkpoint is there only if it was given.
    fn renew(&mut self, before: &Leased, after: &Task, now: Time) -> Result<(), Self::Fault>;

    /// No grant is at or below it.
    fn floor(&mut self) -> Result<Epoch, Self::Fault>;

    /// Something is stored that can't be: the operation stops loudly.
    fn broken(&mut self, what: String) -> Self::Fault;
}

type Verdict = Result<Answer, Refusal>;

/// What [`execute`] asks the rows for, so that a store can fetch it for many commands at once.
#[cfg(feature = "postgres")]
pub(crate) enum Look<'c> {
    /// The row of a lease; the whole task only where there is none.
    Lease(&'c TaskId),
    /// The whole task.
    Task(&'c TaskId),
    /// The names of a task to be made, and what there is by that id.
    Names(&'c TaskId, SagaId),
    /// The next tasks of a queue.
    Queue(&'c Queue, u32),
}

/// What a command looks at; nothing, if it is malformed.
#[cfg(feature = "postgres")]
pub(crate) fn looks(command: &Command) -> Vec<Look<'_>> {
    if command.action.check().is_err() {
        return Vec::new();
    }
    let names = new_names(&command.action).map(|(id, saga_id)| Look::Names(id, saga_id));
    let named = if let Action::Claim { queue, limit, .. } = &command.action {
        Some(Look::Queue(queue, *limit))
    } else if let Action::Heartbeat { task, .. } | Action::Progress { task, .. } = &command.action {
        Some(Look::Lease(task))
    } else if let Action::Create(_) = &command.action {
        // Of a new task there is nothing but the names, as a rule.
        None
    } else {
        command.action.task().map(Look::Task)
    };
    named.into_iter().chain(names).collect()
}

/// The request id under which a command is remembered.
pub(crate) fn remembered_as(command: &Command) -> Option<&RequestId> {
    command.request.as_ref().filter(|_| takes_request_id(&command.action))
}

/// Executes one command at one instant.
pub(crate) fn execute<R: Rows>(
    rows: &mut R,
    table: &Table,
    command: &Command,
    now: Time,
) -> Result<Verdict, R::Fault> {
    if let Err(refusal) = command.action.check() {
        return Ok(Err(refusal));
    }
    let Some(id) = remembered_as(command) else { return act(rows, table, command, now) };
    let digest = digest(&command.action);
    let first = rows.request(&command.namespace, id)?.filter(|first| now < first.at + REQUEST_MEMORY);
    match first {
        Some(first) if first.digest == digest && first.actor == command.actor => {
            answer_again(rows, command, &first).map(Ok)
        }
        Some(_) => Ok(Err(Refusal::new(
            Code::RequestReused,
            "this request id was used for another command, or by another actor; take a new one",
        ))),
        None => {
            let verdict = act(rows, table, command, now)?;
            if let Ok(answer) = &verdict {
                let answered = answered(answer);
                let request = Request { digest, actor: command.actor.clone(), at: now, answered };
                rows.remember(&command.namespace, id, &request)?;
            }
            Ok(verdict)
        }
    }
}

/// A heartbeat that arrives twice does what it did once, so it needs no memory.
fn takes_request_id(action: &Action) -> bool {
    !matches!(action, Action::Heartbeat { .. } | Action::Progress { .. })
}

fn act<R: Rows>(rows: &mut R, table: &Table, command: &Command, now: Time) -> Result<Verdict, R::Fault> {
    if let Action::Claim { queue, limit, .. } = &command.action {
        return claim(rows, table, command, queue, *limit, now);
    }
    if let Action::Heartbeat { task, .. } | Action::Progress { task, .. } = &command.action {
        return renew(rows, table, command, task, now);
    }
    let Some(id) = command.action.task() else { return Err(rows.broken("a command names no task".into())) };
    let kept = rows.task(&command.namespace, id)?;
    decide_and_write(rows, table, command, kept, now)
}

fn decide_and_write<R: Rows>(
    rows: &mut R,
    table: &Table,
    command: &Command,
    kept: Option<Kept>,
    now: Time,
) -> Result<Verdict, R::Fault> {
    let names = match new_names(&command.action) {
        Some((id, saga_id)) => rows.names(&command.namespace, id, &saga_id)?,
        None => Names::Free,
    };
    let stored = Stored { task: kept.as_ref().map(|kept| &kept.task), names, floor: rows.floor()? };
    let decision = match decide_by(table, stored, command, now) {
        Ok(decision) => decision,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let Decision { row: _, end: _, events, task, successor } = decision;
    let task = write(rows, kept, task, events)?;
    let Some((successor, created)) = successor else { return Ok(Ok(Answer::Task(Box::new(task)))) };
    let successor = write(rows, None, successor, vec![created])?;
    Ok(Ok(Answer::Retried(Box::new(successor), Box::new(task))))
}

/// The names that a command would take.
fn new_names(action: &Action) -> Option<(&TaskId, SagaId)> {
    let named = |id, saga_id: &Option<SagaId>| (id, saga_id.clone().unwrap_or_else(|| SagaId::from(id)));
    if let Action::Create(create) = action {
        return Some(named(&create.task, &create.saga_id));
    }
    if let Action::Put(put) = action {
        return Some(named(&put.record.task, &put.record.saga_id));
    }
    let Action::Retry { successor, .. } = action else { return None };
    Some(named(successor, &None))
}

/// Chains the events and writes them with the task; nothing where nothing happened.
fn write<R: Rows>(
    rows: &mut R,
    before: Option<Kept>,
    task: Task,
    events: Vec<Event>,
) -> Result<Task, R::Fault> {
    if events.is_empty() {
        return Ok(task);
    }
    let mut head = before.as_ref().map_or(Hash::START, |kept| kept.head);
    let sealed: Vec<Sealed> = events
        .into_iter()
        .map(|event| {
            let sealed = seal(event, head);
            head = sealed.hash;
            sealed
        })
        .collect();
    rows.write(Change { before: before.as_ref(), after: &task, head, events: &sealed })?;
    Ok(task)
}

fn claim<R: Rows>(
    rows: &mut R,
    table: &Table,
    command: &Command,
    queue: &Queue,
    limit: u32,
    now: Time,
) -> Result<Verdict, R::Fault> {
    let mut claimed = Vec::new();
    for id in rows.claimable(&command.namespace, queue, limit, now)? {
        let kept = rows.task(&command.namespace, &id)?;
        if let Ok(Answer::Task(task)) = decide_and_write(rows, table, command, kept, now)? {
            claimed.push(*task);
        }
    }
    Ok(Ok(Answer::Claimed(claimed)))
}

/// Decides on the lease's row alone. Only where nobody holds a lease the whole task is read, to say why not.
fn renew<R: Rows>(
    rows: &mut R,
    table: &Table,
    command: &Command,
    id: &TaskId,
    now: Time,
) -> Result<Verdict, R::Fault> {
    let Some(leased) = rows.leased(&command.namespace, id)? else {
        let kept = rows.task(&command.namespace, id)?;
        let stored =
            Stored { task: kept.as_ref().map(|kept| &kept.task), names: Names::Free, floor: Epoch::ZERO };
        return match decide_by(table, stored, command, now) {
            Ok(decision) => Err(rows.broken(format!("a lease without its row: {}", decision.row))),
            Err(refusal) => Ok(Err(refusal)),
        };
    };
    let stored = Stored { task: Some(&leased.task), names: Names::Free, floor: Epoch::ZERO };
    let after = match decide_by(table, stored, command, now) {
        Ok(decision) => decision.task,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let Some(expires_at) = after.lease().map(|lease| lease.expires_at) else {
        return Err(rows.broken("a heartbeat ended its lease".into()));
    };
    rows.renew(&leased, &after, now)?;
    Ok(Ok(Answer::Renewed(Renewal { at: now, expires_at, cancel_asked: after.cancel.is_some() })))
}

/// The next tasks of a queue that are due, in the order in which they are claimed, for stores that have them in hand. The
/// others say the same in SQL.
pub(crate) fn next_in_queue<'a>(
    tasks: impl Iterator<Item = &'a Kept>,
    (namespace, queue): (&Namespace, &Queue),
    limit: u32,
    now: Time,
) -> Vec<TaskId> {
    let claimable = |task: &Task| match &task.phase {
        Phase::Planned => task.due_since() <= now,
        Phase::Dispatched(reservation) => reservation.has_lapsed(now),
        Phase::Running(_) | Phase::Compensating { .. } | Phase::Ended(_) => false,
    };
    let in_queue = tasks.filter(|kept| {
        let task = &kept.task;
        task.namespace == *namespace && task.queue == *queue && claimable(task)
    });
    let mut rows: Vec<&Kept> = in_queue.collect();
    rows.sort_by_key(|kept| {
        let task = &kept.task;
        (std::cmp::Reverse(task.priority), task.due_since(), kept.row)
    });
    rows.iter().take(limit as usize).map(|kept| kept.task.id.clone()).collect()
}

// ---- request ids ---------------------------------------------------------------------------------------------

fn answered(answer: &Answer) -> Vec<Answered> {
    let tasks: Vec<&Task> = match answer {
        Answer::Task(task) => vec![task],
        Answer::Claimed(tasks) => tasks.iter().collect(),
        Answer::Retried(successor, old) => vec![successor, old],
        Answer::Renewed(_) => Vec::new(),
    };
    let one = |task: &Task| Answered {
        task: task.id.clone(),
        revision: task.revision,
        lease: task.lease().filter(|lease| is_renewed(lease)).map(|lease| LeaseEnd::of(task, lease)),
    };
    tasks.into_iter().map(one).collect()
}

/// Whether heartbeats or progress wrote what no event has.
fn is_renewed(lease: &Lease) -> bool {
    lease.heartbeat_at != lease.acquired_at || lease.progressed_at != lease.acquired_at
}

/// The first answer once more, whatever has happened to its tasks since.
fn answer_again<R: Rows>(rows: &mut R, command: &Command, first: &Request) -> Result<Answer, R::Fault> {
    let mut tasks = Vec::with_capacity(first.answered.len());
    for answered in &first.answered {
        let events = rows.history(&command.namespace, &answered.task, answered.revision)?;
        let folded = tenure_core::apply::fold(&events);
        let Ok(Some(task)) = folded else {
            return Err(rows.broken(format!("the history of {} does not fold", answered.task)));
        };
        tasks.push(as_it_was(task, answered));
    }
    if let Action::Claim { .. } = command.action {
        return Ok(Answer::Claimed(tasks));
    }
    let mut tasks = tasks.into_iter().map(Box::new);
    match (tasks.next(), tasks.next()) {
        (Some(successor), Some(old)) => Ok(Answer::Retried(successor, old)),
        (Some(task), None) => Ok(Answer::Task(task)),
        (None, _) => Err(rows.broken("a remembered request without an answer".into())),
    }
}

fn as_it_was(mut task: Task, answered: &Answered) -> Task {
    if let (Some(lease), Some(then)) = (task.lease_mut(), &answered.lease) {
        lease.heartbeat_at = then.heartbeat_at;
        lease.progressed_at = then.progressed_at;
        lease.expires_at = then.expires_at;
        lease.progress.clone_from(&then.progress);
        task.checkpoint.clone_from(&then.checkpoint);
    }
    task
}
