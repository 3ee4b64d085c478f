//! Executes one command inside a transaction, the same way for every store.
//!
//! The order is: check the limits, look up the request id, then let the core decide on the rows that the command
//! names. A store gives the rows through [`Rows`] and has no rules of its own. A refused command has written nothing.

use tenure_api::command::digest;
use tenure_core::case::Names;
use tenure_core::chain::Hash;
use tenure_core::command::{Action, Command, HolderAction, OperatorAction, Take};
use tenure_core::decide::{Decision, Stored, decide_by};
use tenure_core::event::{Event, LeaseEnd};
use tenure_core::id::{Epoch, Namespace, Queue, RequestId, SagaId, TaskId};
use tenure_core::lifecycle::Table;
use tenure_core::refusal::{Code, Refusal};
use tenure_core::task::{Lease, Phase, Task};
use tenure_core::time::{Span, Time};
use tenure_core::verb::Repeat;

use crate::answering::CLAIM_BYTES_MAX;
use crate::budget::{AnswerBudget, TooLarge};
use crate::codec::{Sealed, seal};
use crate::remembered::{RememberedAnswer, Request};
use crate::request_digest_v1;
use crate::rows::{Change, Rows, StoredTask};
use crate::size::task_bytes;
use crate::{Answer, Renewal};

/// How long a request id is remembered.
pub const REQUEST_MEMORY: Span = Span::from_days(7);

/// The message for a task whose newest event is not the one that its row names.
pub fn does_not_continue(namespace: &Namespace, id: &TaskId) -> String {
    format!(
        "the newest event of {namespace}/{id} is not the one that its record names, so nothing was written; \
         run `tenure audit verify --task {id}` to see what was changed"
    )
}

/// The approximate cost in bytes of reading an event, besides what it adds to the task.
const HISTORY_BYTES: usize = 512;

type Verdict = Result<Answer, Refusal>;

/// A verdict; or nothing was done, because the answer does not fit.
pub type Executed = Result<Verdict, TooLarge>;

/// What [`execute`] asks the rows for, so that a store can fetch it for many commands at once.
pub enum ReadKey<'c> {
    /// The row of a lease; the whole task only if there is no lease.
    Lease(&'c TaskId),
    /// The whole task.
    Task(&'c TaskId),
    /// The names of a task to be made, and what there is by that id.
    Names(&'c TaskId, SagaId),
    /// The next tasks of a queue.
    Queue(&'c Queue, u32),
}

/// What a command reads; nothing if it is invalid.
pub fn read_set(command: &Command) -> Vec<ReadKey<'_>> {
    if command.action.check().is_err() {
        return Vec::new();
    }
    let names = new_names(&command.action).map(|(id, saga_id)| ReadKey::Names(id, saga_id));
    let named = if let Action::Claim { queue, limit, .. } = &command.action {
        Some(ReadKey::Queue(queue, *limit))
    } else if let Action::ByHolder {
        task,
        act: HolderAction::Heartbeat { .. } | HolderAction::Progress { .. },
        ..
    } = &command.action
    {
        Some(ReadKey::Lease(task))
    } else if let Action::Create(_) = &command.action {
        // Of a new task there is nothing but the names, as a rule.
        None
    } else {
        command.action.task().map(ReadKey::Task)
    };
    named.into_iter().chain(names).collect()
}

/// The request id under which a command is remembered.
pub fn remembered_as(command: &Command) -> Option<&RequestId> {
    command.request.as_ref().filter(|_| command.action.verb().repeat() == Repeat::Remembered)
}

/// Executes one command at one time, if its answer fits.
pub fn execute<R: Rows>(
    rows: &mut R,
    table: &Table,
    command: &Command,
    now: Time,
    budget: &mut AnswerBudget,
) -> Result<Executed, R::Fault> {
    if let Err(refusal) = command.action.check() {
        return Ok(Ok(Err(refusal)));
    }
    let executed = match remembered_as(command) {
        None => act(rows, table, command, now, budget)?,
        Some(id) => once(rows, table, command, (id, now), budget)?,
    };
    let formed = |answer| budget.formed(answer, grants(&command.action));
    Ok(executed.map(|verdict| verdict.map(formed)))
}

/// The same for a command with a request id: a repeat gets the first answer.
fn once<R: Rows>(
    rows: &mut R,
    table: &Table,
    command: &Command,
    (id, now): (&RequestId, Time),
    budget: &mut AnswerBudget,
) -> Result<Executed, R::Fault> {
    let digest = digest(&command.action);
    let first = rows.request(&command.namespace, id)?.filter(|first| now < first.at + REQUEST_MEMORY);
    match first {
        Some(first) if is_repeat(&first, command, digest) => {
            Ok(answer_again(rows, command, &first, budget)?.map(Ok))
        }
        Some(_) => Ok(Ok(Err(Refusal::new(
            Code::RequestReused,
            "this request id was already used for another command or by another actor; use a new one",
        )))),
        None => {
            let executed = act(rows, table, command, now, budget)?;
            if let Ok(Ok(answer)) = &executed {
                let answered = answered(answer);
                let request = Request { digest, actor: command.actor.clone(), at: now, answered };
                rows.remember(&command.namespace, id, &request)?;
            }
            Ok(executed)
        }
    }
}

/// Whether a command is the one that was remembered under its request id. The digest of an older version counts, too.
fn is_repeat(first: &Request, command: &Command, digest: Hash) -> bool {
    first.actor == command.actor
        && (first.digest == digest || first.digest == request_digest_v1::digest(&command.action))
}

/// Whether a command grants a lease for work. Recovery's grants don't count: it reads the task before.
fn grants(action: &Action) -> bool {
    matches!(action, Action::Take { take: Take::Acquire, .. } | Action::Claim { .. })
}

fn act<R: Rows>(
    rows: &mut R,
    table: &Table,
    command: &Command,
    now: Time,
    budget: &mut AnswerBudget,
) -> Result<Executed, R::Fault> {
    if let Action::Claim { queue, limit, .. } = &command.action {
        return claim(rows, table, command, (queue, *limit, now), budget);
    }
    if let Action::ByHolder {
        task,
        act: HolderAction::Heartbeat { .. } | HolderAction::Progress { .. },
        ..
    } = &command.action
    {
        return renew(rows, table, command, task, now).map(Ok);
    }
    let Some(id) = command.action.task() else { return Err(rows.broken("a command names no task".into())) };
    let names = new_names(&command.action)
        .map_or(Ok(Names::Free), |(id, saga_id)| rows.names(&command.namespace, id, &saga_id))?;
    // Of a new task there is nothing but the names.
    let is_new = matches!(command.action, Action::Create(_)) && names == Names::Free;
    let kept = if is_new { None } else { read(rows, &command.namespace, id, budget)? };
    let decided = match decided(rows, table, command, (kept, names), now)? {
        Ok(decided) => decided,
        Err(refusal) => return Ok(Ok(Err(refusal))),
    };
    let grants = grants(&command.action);
    let tasks = [Some(&decided.task), decided.successor.as_ref().map(|(task, _)| task)];
    let bytes = tasks.into_iter().flatten().map(|task| budget.bytes_of(task, grants)).sum();
    if let Err(too_large) = budget.take(bytes) {
        return Ok(Err(too_large));
    }
    written(rows, decided).map(|answer| Ok(Ok(answer)))
}

/// The task as it is stored; what is read counts.
fn read<R: Rows>(
    rows: &mut R,
    namespace: &Namespace,
    id: &TaskId,
    budget: &mut AnswerBudget,
) -> Result<Option<StoredTask>, R::Fault> {
    let kept = rows.task(namespace, id)?;
    budget.has_read(kept.as_ref().map_or(0, |kept| task_bytes(&kept.task)));
    Ok(kept)
}

/// The result of a command, before anything is written.
struct Decided {
    before: Option<StoredTask>,
    events: Vec<Event>,
    task: Task,
    successor: Option<(Task, Event)>,
}

fn decided<R: Rows>(
    rows: &mut R,
    table: &Table,
    command: &Command,
    (before, names): (Option<StoredTask>, Names),
    now: Time,
) -> Result<Result<Decided, Refusal>, R::Fault> {
    let stored = Stored { task: before.as_ref().map(|kept| &*kept.task), names, floor: rows.floor()? };
    Ok(decide_by(table, stored, command, now).map(|decision| {
        let Decision { row: _, end: _, events, task, successor } = decision;
        Decided { before, events, task, successor }
    }))
}

/// Writes what was decided.
fn written<R: Rows>(rows: &mut R, decided: Decided) -> Result<Answer, R::Fault> {
    let Decided { before, events, task, successor } = decided;
    let task = write(rows, before, task, events)?;
    let Some((successor, created)) = successor else { return Ok(Answer::Task(Box::new(task))) };
    let successor = write(rows, None, successor, vec![created])?;
    Ok(Answer::Retried(Box::new(successor), Box::new(task)))
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
    let Action::ByOperator { act: OperatorAction::Retry { successor, .. }, .. } = action else { return None };
    Some(named(successor, &None))
}

/// Chains the events and writes them with the task; nothing where nothing happened.
fn write<R: Rows>(
    rows: &mut R,
    before: Option<StoredTask>,
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
    rows.write(Change { before, after: &task, head, events: sealed })?;
    Ok(task)
}

/// All grants are decided before anything is written, because only then it is known whether the answers fit.
fn claim<R: Rows>(
    rows: &mut R,
    table: &Table,
    command: &Command,
    (queue, limit, now): (&Queue, u32, Time),
    budget: &mut AnswerBudget,
) -> Result<Executed, R::Fault> {
    let (mut granted, mut whole_bytes, mut answer_bytes) = (Vec::new(), 0_usize, 0);
    for id in rows.claimable(&command.namespace, queue, limit, now)? {
        let kept = read(rows, &command.namespace, &id, budget)?;
        let Ok(decided) = decided(rows, table, command, (kept, Names::Free), now)? else { continue };
        whole_bytes += task_bytes(&decided.task);
        if whole_bytes > CLAIM_BYTES_MAX && !granted.is_empty() {
            break;
        }
        answer_bytes += budget.bytes_of(&decided.task, true);
        granted.push(decided);
    }
    if let Err(too_large) = budget.take(answer_bytes) {
        return Ok(Err(too_large));
    }
    let mut claimed = Vec::with_capacity(granted.len());
    for decided in granted {
        let Decided { before, events, task, successor: _ } = decided;
        claimed.push(write(rows, before, task, events)?);
    }
    Ok(Ok(Ok(Answer::Claimed(claimed))))
}

/// Decides on the lease's row alone. If nobody holds a lease, the whole task is read, to say why not.
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
            Stored { task: kept.as_ref().map(|kept| &*kept.task), names: Names::Free, floor: Epoch::ZERO };
        return match decide_by(table, stored, command, now) {
            Ok(decision) => Err(rows.broken(format!("a lease without a row in `due`: {}", decision.row))),
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
    rows.renew(leased, &after, now)?;
    Ok(Ok(Answer::Renewed(Renewal { at: now, expires_at, cancel_asked: after.cancel.is_some() })))
}

/// The next tasks of a queue that are due, in the order in which they are claimed, for stores that have them in hand. The
/// others say the same in SQL.
pub fn next_in_queue<'a>(
    tasks: impl Iterator<Item = &'a StoredTask>,
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
    let mut rows: Vec<&StoredTask> = in_queue.collect();
    rows.sort_by_key(|kept| {
        let task = &kept.task;
        (std::cmp::Reverse(task.priority), task.due_since(), kept.row)
    });
    rows.iter().take(limit as usize).map(|kept| kept.task.id.clone()).collect()
}

// ---- request ids ---------------------------------------------------------------------------------------------

fn answered(answer: &Answer) -> Vec<RememberedAnswer> {
    let tasks: Vec<&Task> = match answer {
        Answer::Task(task) => vec![task],
        Answer::Claimed(tasks) => tasks.iter().collect(),
        Answer::Retried(successor, old) => vec![successor, old],
        Answer::Renewed(_) | Answer::Minimal(_) => Vec::new(),
    };
    let one = |task: &Task| RememberedAnswer {
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

/// The first answer again, whatever has happened to its tasks since.
fn answer_again<R: Rows>(
    rows: &mut R,
    command: &Command,
    first: &Request,
    budget: &mut AnswerBudget,
) -> Result<Result<Answer, TooLarge>, R::Fault> {
    let grants = grants(&command.action);
    let mut tasks = Vec::with_capacity(first.answered.len());
    for answered in &first.answered {
        let events = rows.history(&command.namespace, &answered.task, answered.revision)?;
        let folded = tenure_core::apply::fold(&events);
        let Ok(Some(task)) = folded else {
            return Err(rows.broken(format!("the history of {} does not add up to a task", answered.task)));
        };
        let task = as_it_was(task, answered);
        // Its history has at least as much, and more where much happened to it.
        budget.has_read(task_bytes(&task) + HISTORY_BYTES * events.len());
        tasks.push(task);
    }
    let bytes = tasks.iter().map(|task| budget.bytes_of(task, grants)).sum();
    if let Err(too_large) = budget.take(bytes) {
        return Ok(Err(too_large));
    }
    if let Action::Claim { .. } = command.action {
        return Ok(Ok(Answer::Claimed(tasks)));
    }
    let mut tasks = tasks.into_iter().map(Box::new);
    match (tasks.next(), tasks.next()) {
        (Some(successor), Some(old)) => Ok(Ok(Answer::Retried(successor, old))),
        (Some(task), None) => Ok(Ok(Answer::Task(task))),
        (None, _) => Err(rows.broken("a remembered request has no answer".into())),
    }
}

fn as_it_was(mut task: Task, answered: &RememberedAnswer) -> Task {
    if let (Some(lease), Some(then)) = (task.lease_mut(), &answered.lease) {
        lease.heartbeat_at = then.heartbeat_at;
        lease.progressed_at = then.progressed_at;
        lease.expires_at = then.expires_at;
        lease.progress.clone_from(&then.progress);
        lease.cancel_told = then.cancel_told;
        task.checkpoint.clone_from(&then.checkpoint);
    }
    task
}
