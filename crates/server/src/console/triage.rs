//! What ended badly and nobody has seen to, grouped by how it ended; and one action for a whole group.
//!
//! The selection is frozen: the form names the tasks that were counted, and no task that comes later is in it. Each task gets a
//! command of its own, a few at a time, and what was refused is listed with its reason.

use std::collections::BTreeMap;
use std::time::Duration;

use askama::Template;
use axum::http::StatusCode;
use tenure::Error;
use tenure::core::id::{RequestId, TaskId};
use tenure::core::refusal::Refusal;
use tenure::core::task::{State, Task};
use tenure::core::time::Time;
use tenure::store::size::task_bytes;
use tenure::store::{Answer, Filter, Order};
use tenure_view::offers::{Act, Fields};
use tenure_view::words::{Instant, StateMark, count, state_mark};

use super::address::{encoded, task_path};
use super::asked::required;
use super::form::Form;
use super::layout::{Layout, Place, respond};
use crate::handlers::page as bounded;
use crate::problem::Problem;
use crate::route::{Answered, Asked};

/// The most tasks that one page looks at, and that one action is for.
const TASKS_MAX: usize = 1_000;
/// How many commands are sent together, and the pause after them, so that workers get through.
const TOGETHER: usize = 20;
const APART: Duration = Duration::from_millis(50);
/// How many tasks of a group are named.
const NAMED_MAX: usize = 5;
/// How many of their reasons.
const REASONS_MAX: usize = 3;

#[derive(Template)]
#[template(path = "triage.html")]
struct Triage {
    layout: Layout,
    groups: Vec<Group>,
    /// Whether there are more than were looked at.
    is_cut: bool,
    may_act: bool,
}

/// Tasks that ended in the same way.
struct Group {
    state: StateMark,
    cause: &'static str,
    kind: String,
    count: String,
    newest: Instant,
    oldest: Instant,
    /// What is still to be undone, by kind.
    owed: String,
    /// Why they ended so, the most usual first, each with how many it was.
    reasons: Vec<(String, u64)>,
    more_reasons: usize,
    named: Vec<(String, String)>,
    more: usize,
    /// The address of all of them, and of the form for all of them.
    list: String,
    form: String,
}

#[derive(Template)]
#[template(path = "bulk.html")]
struct Bulk {
    layout: Layout,
    /// The group, as its address names it.
    query: String,
    /// The same in words.
    group: String,
    count: String,
    acts: Vec<(&'static str, &'static str, &'static str)>,
    /// The frozen selection, an id a line.
    tasks: String,
    named: Vec<(String, String)>,
    asks_who: bool,
    request: String,
    error: Option<String>,
    reason: String,
    actor: String,
}

#[derive(Template)]
#[template(path = "bulk_done.html")]
struct BulkDone {
    layout: Layout,
    label: &'static str,
    namespace: String,
    done: String,
    /// The tasks that were made.
    made: Vec<(String, String)>,
    refused: Vec<(String, String, String)>,
}

/// What may be done with a whole group, each with what it will do.
const ACTS: [(Act, &str); 3] = [
    (
        Act::Retry,
        "Each is retried as a new task, which first undoes what is still owed. The old ones stay as they ended.",
    ),
    (
        Act::Dismiss,
        "They are no longer listed here. They stay as they ended, and what they owe is not undone.",
    ),
    (Act::Note, "Your note is added to the history of each. Nothing else changes."),
];

fn filter(asked: &Asked) -> Result<Filter, Problem> {
    let namespace = asked.shown_namespace()?;
    Ok(Filter::default().with(|filter| {
        filter.namespace = Some(namespace);
        filter.ended_badly = true;
        filter.unattended = true;
        filter.order = Order::Newest;
    }))
}

/// The newest that nobody has seen to, and whether there are more.
async fn unattended(asked: &Asked) -> Result<(Vec<Task>, bool), Problem> {
    let (filter, store) = (filter(asked)?, asked.served.ledger.store());
    let permit = asked.quota.scan().await?;
    let page =
        bounded(asked, TASKS_MAX, async |size| store.tasks(filter, None, size).await, task_bytes).await?;
    drop(permit);
    Ok((page.items, page.next.is_some()))
}

/// How a task ended: what groups are made by.
fn key(task: &Task) -> Option<(&'static str, &'static str, String)> {
    let ending = task.ending()?;
    Some((ending.state.state().as_str(), ending.cause.as_str(), task.kind.to_string()))
}

/// `GET /triage`.
pub(super) async fn page(asked: Asked) -> Answered {
    let (tasks, is_cut) = unattended(&asked).await?;
    let now = asked.served.ledger.now().await?;
    let mut by_end = BTreeMap::<_, Vec<&Task>>::new();
    for task in &tasks {
        if let Some(key) = key(task) {
            by_end.entry(key).or_default().push(task);
        }
    }
    let mut groups: Vec<(usize, Group)> =
        by_end.into_values().filter_map(|tasks| Some((tasks.len(), group(&tasks, now)?))).collect();
    groups.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let page = Triage {
        layout: Layout::of(&asked, Place::Triage, "Triage", &asked.shown_namespace()?, now).await?,
        groups: groups.into_iter().map(|(_, group)| group).collect(),
        is_cut,
        may_act: asked.may_act(),
    };
    Ok(respond(StatusCode::OK, &page))
}

/// A group of tasks, the newest first.
fn group(tasks: &[&Task], now: Time) -> Option<Group> {
    let (newest, oldest) = (tasks.first()?, tasks.last()?);
    let (_, cause, kind) = key(newest)?;
    let ended = |task: &Task| task.ending().map_or(task.updated_at, |ending| ending.finished_at);
    let mut owed = BTreeMap::<String, u64>::new();
    for one in tasks.iter().flat_map(|task| task.owed()) {
        *owed.entry(one.undo.kind.to_string()).or_default() += 1;
    }
    let owed: Vec<String> = owed.into_iter().map(|(kind, count)| format!("{count} × {kind}")).collect();
    let reasons = reasons(tasks);
    let namespace = encoded(newest.namespace.as_str());
    let state: State = newest.state();
    Some(Group {
        state: state_mark(state),
        cause,
        count: count(tasks.len() as u64, "task"),
        newest: Instant::of(ended(newest), now),
        oldest: Instant::of(ended(oldest), now),
        owed: owed.join(", "),
        more_reasons: reasons.len().saturating_sub(REASONS_MAX),
        reasons: reasons.into_iter().take(REASONS_MAX).collect(),
        named: tasks
            .iter()
            .take(NAMED_MAX)
            .map(|task| (task.id.to_string(), task_path(&task.namespace, &task.id)))
            .collect(),
        more: tasks.len().saturating_sub(NAMED_MAX),
        list: format!("/tasks?ns={namespace}&state={}&cause={cause}&unattended=true", state.as_str()),
        form: format!(
            "/triage/act?ns={namespace}&state={}&cause={cause}&kind={}",
            state.as_str(),
            encoded(&kind)
        ),
        kind,
    })
}

/// The reasons of tasks, the most usual first.
fn reasons(tasks: &[&Task]) -> Vec<(String, u64)> {
    let mut reasons = BTreeMap::<&str, u64>::new();
    for reason in tasks.iter().filter_map(|task| task.ending()?.reason.as_ref()) {
        *reasons.entry(reason.as_str()).or_default() += 1;
    }
    let mut reasons: Vec<_> = reasons.into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    reasons
}

/// `GET /triage/act`: the form for a group, with the tasks that it is for.
pub(super) async fn form(asked: Asked) -> Answered {
    let wanted = |name: &'static str| {
        Ok::<_, Problem>(asked.query.one(name)?.ok_or_else(|| required(name))?.to_owned())
    };
    let wanted = (wanted("state")?, wanted("cause")?, wanted("kind")?);
    let (tasks, _) = unattended(&asked).await?;
    let is_in = |task: &&Task| {
        key(task).is_some_and(|(state, cause, kind)| {
            (state, cause, &*kind) == (&*wanted.0, &*wanted.1, &*wanted.2)
        })
    };
    let ids: Vec<TaskId> = tasks.iter().filter(is_in).map(|task| task.id.clone()).collect();
    let request = asked.served.ledger.entropy().new_id();
    shown(&asked, &ids, (request, None), &Form::read("")?).await
}

async fn shown(
    asked: &Asked,
    ids: &[TaskId],
    (request, refusal): (String, Option<Refusal>),
    form: &Form,
) -> Answered {
    let (namespace, now) = (asked.shown_namespace()?, asked.served.ledger.now().await?);
    let count = count(ids.len() as u64, "task");
    let said = |name| form.said(name).unwrap_or_default().to_owned();
    let page = Bulk {
        layout: Layout::of(asked, Place::Triage, &format!("Act on {count}"), &namespace, now).await?,
        query: asked.head.uri.query().unwrap_or_default().to_owned(),
        group: group_words(asked)?,
        count,
        acts: ACTS.map(|(act, effect)| (act.word(), act.label(), effect)).into(),
        tasks: ids.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        named: ids.iter().map(|id| (id.to_string(), task_path(&namespace, id))).collect(),
        asks_who: asked.caller.name.is_none(),
        request,
        error: refusal.as_ref().map(|refusal| refusal.message.to_string()),
        reason: said("reason"),
        actor: said("actor"),
    };
    Ok(respond(if refusal.is_some() { StatusCode::CONFLICT } else { StatusCode::OK }, &page))
}

/// The group as its address names it.
fn group_words(asked: &Asked) -> Result<String, Problem> {
    let said = |name| Ok::<_, Problem>(asked.query.one(name)?.unwrap_or_default());
    Ok(format!("State {}, cause {}, kind {}", said("state")?, said("cause")?, said("kind")?))
}

/// `POST /triage/act`.
pub(super) async fn done(asked: Asked) -> Answered {
    let form = Form::read(&asked.body.text)?;
    let ids = form.said("tasks").ok_or_else(|| required("tasks"))?;
    let ids: Vec<TaskId> = ids.lines().map(|id| Ok(TaskId::new(id)?)).collect::<Result<_, Problem>>()?;
    if ids.len() > TASKS_MAX {
        return Err(Refusal::invalid("tasks", format_args!("at most {TASKS_MAX} at once")).into());
    }
    let request = form.said("request").ok_or_else(|| required("request"))?.to_owned();
    let asked_for = act_and_fields(&asked, &form);
    let (act, fields) = match asked_for {
        Ok(asked_for) => asked_for,
        Err(refusal) => return shown(&asked, &ids, (request, Some(refusal)), &form).await,
    };
    let (mut done, mut made, mut refused) = (0, Vec::new(), Vec::new());
    let namespace = asked.shown_namespace()?;
    for (at, some) in ids.chunks(TOGETHER).enumerate() {
        if at > 0 {
            tokio::time::sleep(APART).await;
        }
        for (id, answer) in
            some.iter().zip(act_on(&asked, some, act, &fields, (&request, at * TOGETHER)).await?)
        {
            match answer {
                Ok(new) => {
                    done += 1;
                    made.extend(new.map(|id| (id.to_string(), task_path(&namespace, &id))));
                }
                Err(words) => refused.push((id.to_string(), task_path(&namespace, id), words)),
            }
        }
    }
    let now = asked.served.ledger.now().await?;
    let page = BulkDone {
        layout: Layout::of(&asked, Place::Triage, act.label(), &namespace, now).await?,
        label: act.label(),
        namespace: namespace.to_string(),
        done: count(done, "task"),
        made,
        refused,
    };
    Ok(respond(StatusCode::OK, &page))
}

fn act_and_fields(asked: &Asked, form: &Form) -> Result<(Act, Fields), Refusal> {
    let word = form.said("verb").ok_or_else(|| required("verb"))?;
    let act = ACTS.into_iter().map(|(act, _)| act).find(|act| act.word() == word);
    let act = act.ok_or_else(|| Refusal::invalid("verb", "not an action for many tasks"))?;
    let (reason, actor) = form.reason_and_actor(&asked.caller)?;
    Ok((act, Fields { reason, actor, ..Fields::default() }))
}

/// Acts on some tasks, in one transaction, each decided for itself. Each has a request id of its own, which follows from that of the
/// form: so a form that is sent twice is done once. An answer has the task that was made, if one was.
async fn act_on(
    asked: &Asked,
    ids: &[TaskId],
    act: Act,
    fields: &Fields,
    (request, first): (&str, usize),
) -> Result<Vec<Result<Option<TaskId>, String>>, Problem> {
    let (store, namespace) = (asked.served.ledger.store(), asked.shown_namespace()?);
    let mut commands = Vec::with_capacity(ids.len());
    for (at, id) in ids.iter().enumerate() {
        let request = RequestId::new(format!("{request}-{}", first + at))?;
        // These need no more of a task than its name.
        let task = Task::blank(namespace.clone(), id.clone());
        let by = (asked.caller.name.clone(), Some(request));
        let command = act.command_for(&task, fields, by, asked.served.ledger.entropy())?;
        asked.caller.may(&command.action)?;
        commands.push(command);
    }
    let answers = store.transact(commands).await;
    let told = |answer: Result<Answer, Error>| match answer {
        Ok(Answer::Retried(new, _)) => Ok(Some(new.id)),
        Ok(_) => Ok(None),
        Err(error) => Err(error.to_string()),
    };
    Ok(answers.into_iter().map(told).collect())
}
