//! The list of tasks, by filters that stand in the address: a link to a colleague shows the same. And the search.

use askama::Template;
use axum::http::StatusCode;
use tenure::Ledger;
use tenure::core::id::{LabelKey, LabelValue, Owner, SagaId, TaskId};
use tenure::core::task::{Cause, State};
use tenure::store::size::task_bytes;
use tenure::store::{Cursor, Filter, Order};

use super::address::{encoded, task_path};
use super::asked::to;
use super::layout::{Layout, Place, respond};
use super::rows::{List, row};
use crate::handlers::lists::filter;
use crate::handlers::page as bounded;
use crate::problem::Problem;
use crate::route::{Answered, Asked};

/// How many tasks a page has.
const PAGE: usize = 50;

#[derive(Template)]
#[template(path = "tasks.html")]
struct Tasks {
    layout: Layout,
    namespace: String,
    list: List,
    states: Vec<Choice>,
    causes: Vec<Choice>,
    boxes: Vec<Choice>,
    texts: Vec<Field>,
    is_oldest_first: bool,
    /// What the search was for, if it found no single thing.
    searched: Option<String>,
    /// The address of the next page.
    next: Option<String>,
    /// Whether this is not the first page.
    is_later: bool,
}

/// A value that can be chosen.
struct Choice {
    name: &'static str,
    words: &'static str,
    is_chosen: bool,
}

struct Field {
    name: &'static str,
    words: &'static str,
    value: String,
    example: &'static str,
}

/// `GET /tasks`.
pub(super) async fn page(asked: Asked) -> Answered {
    let namespace = asked.shown_namespace()?;
    let wanted = filter(&asked).await?.with(|filter| filter.namespace = Some(namespace.clone()));
    let after = asked.query.one("cursor")?;
    let ledger = asked.served.ledger_of(&namespace)?;
    let permit = asked.quota.scan().await?;
    let (cursor, store) = (after.map(Cursor::from_text), ledger.store());
    let read = async |size| store.tasks(wanted.clone(), cursor, size).await;
    let found = bounded(&asked, PAGE, read, task_bytes).await?;
    let (watchers, now) = (ledger.watchers().await?, ledger.now().await?);
    drop(permit);
    let said = |name| Ok::<_, Problem>(asked.query.one(name)?.unwrap_or_default().to_owned());
    let label = asked.query.all("label").first().cloned().unwrap_or_default();
    let field = |name, words, value, example| Field { name, words, value, example };
    let choice = |name, words, is_chosen| Choice { name, words, is_chosen };
    let page = Tasks {
        layout: Layout::of(&asked, Place::Tasks, "Tasks", &namespace, now).await?,
        list: List { rows: found.items.iter().map(|task| row(task, &watchers, now)).collect(), more: 0 },
        states: State::ALL
            .map(|state| choice("state", state.as_str(), wanted.states.contains(&state)))
            .into(),
        causes: Cause::ALL.map(|cause| choice("cause", cause.as_str(), wanted.cause == Some(cause))).into(),
        boxes: vec![
            choice("open", "not ended", wanted.open),
            choice("stale", "stale", wanted.stale),
            choice("ended_badly", "did not succeed", wanted.ended_badly),
            choice("unattended", "not retried or dismissed", wanted.unattended),
        ],
        texts: vec![
            field("id_prefix", "Id begins with", said("id_prefix")?, "build-"),
            field("queue", "Queue", said("queue")?, ""),
            field("owner", "Held by", said("owner")?, ""),
            field("last_owner", "Last held by", said("last_owner")?, ""),
            field("label", "Label", label, "issue=168"),
            field("since", "Since", said("since")?, "24h"),
        ],
        is_oldest_first: wanted.order == Order::Oldest,
        searched: asked.query.one("searched")?.map(str::to_owned),
        next: found.next.map(|next| address(namespace.as_str(), &wanted, Some(next.as_str()))),
        is_later: after.is_some(),
        namespace: namespace.to_string(),
    };
    Ok(respond(StatusCode::OK, &page))
}

/// The address of a list.
fn address(namespace: &str, filter: &Filter, cursor: Option<&str>) -> String {
    let pairs = [("ns", namespace.to_owned())].into_iter().chain(filter.parameters());
    let pairs = pairs.chain(cursor.map(|cursor| ("cursor", cursor.to_owned())));
    let pairs: Vec<String> = pairs.map(|(name, value)| format!("{name}={}", encoded(&value))).collect();
    format!("/tasks?{}", pairs.join("&"))
}

/// `GET /search`: leads to the task of that id or saga id, or to the tasks with that label, of that owner, or whose ids begin so.
pub(super) async fn search(asked: Asked) -> Answered {
    let (namespace, wanted) = (asked.shown_namespace()?, asked.query.one("q")?.unwrap_or_default().trim());
    let ledger = asked.served.ledger_of(&namespace)?;
    if let Ok(id) = TaskId::new(wanted) {
        let permit = asked.quota.look().await?;
        let found = ledger.store().task(namespace.clone(), id.clone()).await?;
        drop(permit);
        if found.is_some() {
            return to(&task_path(&namespace, &id));
        }
    }
    if let Ok(saga_id) = SagaId::new(wanted) {
        let of_saga = Filter::default().with(|filter| filter.saga_id = Some(saga_id));
        let permit = asked.quota.scan().await?;
        let found = ledger.tasks(of_saga, None, 1).await?;
        drop(permit);
        if let Some(task) = found.items.first() {
            return to(&task_path(&namespace, &task.id));
        }
    }
    let label = wanted.split_once('=').map(|(key, value)| (LabelKey::new(key), LabelValue::new(value)));
    if let Some((Ok(key), Ok(value))) = label {
        let labelled = Filter::default().with(|filter| filter.labels = vec![(key, value)]);
        return to(&address(namespace.as_str(), &labelled, None));
    }
    if let Ok(owner) = Owner::new(wanted) {
        let of_owner = Filter::default().with(|filter| filter.owner = Some(owner));
        if finds(&asked, &ledger, &of_owner).await? {
            return to(&address(namespace.as_str(), &of_owner, None));
        }
    }
    if let Ok(prefix) = TaskId::new(wanted) {
        let so_begun = Filter::default().with(|filter| filter.id_prefix = Some(prefix));
        if finds(&asked, &ledger, &so_begun).await? {
            return to(&address(namespace.as_str(), &so_begun, None));
        }
    }
    let searched = encoded(wanted);
    to(&format!("{}&searched={searched}", address(namespace.as_str(), &Filter::default(), None)))
}

/// Whether a list has any task.
async fn finds(asked: &Asked, ledger: &Ledger, filter: &Filter) -> Result<bool, Problem> {
    let permit = asked.quota.scan().await?;
    let found = ledger.tasks(filter.clone(), None, 1).await?;
    drop(permit);
    Ok(!found.items.is_empty())
}
