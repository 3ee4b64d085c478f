//! What ended badly and nobody has seen to, grouped by how it ended. What is done with a whole group is in `bulk`.

use std::collections::BTreeMap;

use askama::Template;
use axum::http::StatusCode;
use tenure::core::task::{State, Task};
use tenure::core::time::Time;
use tenure::store::size::task_bytes;
use tenure::store::{Filter, Order};
use tenure_view::words::{Instant, StateMark, count, state_mark};

use super::address::{encoded, task_path};
use super::layout::{Layout, Place, respond};
use crate::handlers::page as bounded;
use crate::problem::Problem;
use crate::route::{Answered, Asked};

/// The most tasks that one page looks at, and that one action is for.
pub(super) const TASKS_MAX: usize = 1_000;
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
pub(super) async fn unattended(asked: &Asked) -> Result<(Vec<Task>, bool), Problem> {
    let (filter, store) = (filter(asked)?, asked.served.ledger.store());
    let permit = asked.quota.scan().await?;
    let page =
        bounded(asked, TASKS_MAX, async |size| store.tasks(filter, None, size).await, task_bytes).await?;
    drop(permit);
    Ok((page.items, page.next.is_some()))
}

/// How a task ended: what groups are made by.
pub(super) fn key(task: &Task) -> Option<(&'static str, &'static str, String)> {
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
