//! The search through the history: newest or oldest first, by filters.

use axum::http::StatusCode;
use tenure::api::list::HistoryPage;
use tenure::core::event::EventKind;
use tenure::core::id::{Actor, Namespace, TaskId};
use tenure::core::refusal::Refusal;
use tenure::instant::Since;
use tenure::store::size::event_bytes;
use tenure::store::{Cursor, EventSearch, FoundHistory};

use super::events::of_place;
use super::{cursor, limit, lists, page as bounded};
use crate::problem::Problem;
use crate::route::{Answered, Asked, json};

/// `GET …/history`.
pub(crate) async fn history(asked: Asked) -> Answered {
    let mut search = event_search(&asked, asked.namespace()?.clone()).await?;
    if let Some(word) = asked.query.one("order")? {
        search.order = lists::order(word)?;
    }
    if let Some(number) = asked.query.one("looks")? {
        // What is no number is refused as one that is too large is.
        search.looks = number.parse().unwrap_or(usize::MAX);
    }
    let (after, limit) = (cursor(&asked.query, "cursor")?, limit(&asked.query)?);
    let found = found(&asked, search, ("cursor", after), limit).await?;
    Ok(json(StatusCode::OK, &HistoryPage::from(&found)))
}

/// What the filters of a query look for, the newest first.
pub(crate) async fn event_search(asked: &Asked, namespace: Namespace) -> Result<EventSearch, Problem> {
    let query = &asked.query;
    let mut search = EventSearch::in_namespace(namespace);
    let kinds = query.all("type").iter().map(|word| EventKind::named(word));
    search.kinds = kinds.collect::<Result<_, Refusal>>()?;
    search.task = query.one("task")?.map(|id| TaskId::named("task", id)).transpose()?;
    search.actor = query.one("actor")?.map(|name| Actor::named("actor", name)).transpose()?;
    let (since, until) = (query.one("since")?, query.one("until")?);
    if since.is_some() || until.is_some() {
        let now = asked.served.ledger.now().await?;
        let instant = |field, text: Option<&str>| {
            text.map(|text| Ok::<_, Refusal>(Since::read(field, text)?.from(now))).transpose()
        };
        (search.since, search.until) = (instant("since", since)?, instant("until", until)?);
    }
    Ok(search)
}

/// A page of what matches, within the limits of a list, after the cursor that the field of that name has.
pub(crate) async fn found(
    asked: &Asked,
    search: EventSearch,
    (name, after): (&'static str, Option<Cursor>),
    limit: usize,
) -> Result<FoundHistory, Problem> {
    let _permit = asked.quota.scan().await?;
    let store = asked.served.ledger.store();
    let mut looked_to = None;
    let read = async |size| {
        let found = store.search_events(search, after, size).await;
        let found = found.map_err(|error| of_place(error, name))?;
        looked_to = found.looked_to;
        Ok::<_, Problem>(found.page)
    };
    let page = bounded(asked, limit, read, event_bytes).await?;
    Ok(FoundHistory { page, looked_to })
}
