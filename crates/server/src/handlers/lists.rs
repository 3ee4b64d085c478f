//! Lists of tasks: filtered, ordered by age, in pages.

use axum::http::StatusCode;
use tenure::api::wire::parse_word;
use tenure::core::id::{LabelKey, LabelValue, Owner, Queue, SagaId, TaskId};
use tenure::core::refusal::Refusal;
use tenure::instant::Since;
use tenure::record::task_page;
use tenure::store::size::task_bytes;
use tenure::store::{Filter, Order};

use super::{cursor, limit, page};
use crate::problem::Problem;
use crate::route::{Answered, Asked, json};

/// `GET …/tasks`.
pub(crate) async fn tasks(asked: Asked) -> Answered {
    let namespace = Some(asked.namespace()?.clone());
    list(&asked, filter(&asked).await?.with(|filter| filter.namespace = namespace)).await
}

/// `GET …/stale`.
pub(crate) async fn stale(asked: Asked) -> Answered {
    let namespace = Some(asked.namespace()?.clone());
    list(
        &asked,
        Filter::default().with(|filter| {
            filter.namespace = namespace;
            filter.stale = true;
        }),
    )
    .await
}

/// `GET /v1/tasks`: of the namespaces that the caller may see.
pub(crate) async fn tasks_of_all(asked: Asked) -> Answered {
    list(&asked, filter(&asked).await?).await
}

async fn list(asked: &Asked, filter: Filter) -> Answered {
    let _permit = asked.quota.scan().await?;
    let store = asked.served.ledger.store();
    let (after, limit) = (cursor(&asked.query, "cursor")?, limit(&asked.query)?);
    let read = async |size| store.tasks(filter, after, size).await;
    let mut page = page(asked, limit, read, task_bytes).await?;
    page.items.retain(|task| asked.caller.namespaces.contains(&task.namespace));
    let now = store.now().await?;
    Ok(json(StatusCode::OK, &task_page(&page, now)))
}

pub(crate) async fn filter(asked: &Asked) -> Result<Filter, Problem> {
    let query = &asked.query;
    let labels = query.all("label").iter().map(|label| {
        let (key, value) =
            label.split_once('=').ok_or_else(|| Refusal::invalid("label", "must be key=value"))?;
        Ok((LabelKey::new(key)?, LabelValue::new(value)?))
    });
    let mut filter = Filter::default();
    filter.open = query.flag("open")?;
    filter.in_states(query.all("state").iter().map(String::as_str))?;
    filter.cause = query.one("cause")?.map(|word| parse_word("cause", word)).transpose()?;
    filter.queue = query.one("queue")?.map(Queue::new).transpose()?;
    filter.owner = query.one("owner")?.map(Owner::new).transpose()?;
    filter.last_owner = query.one("last_owner")?.map(|name| Owner::named("last_owner", name)).transpose()?;
    filter.id_prefix = query.one("id_prefix")?.map(|id| TaskId::named("id_prefix", id)).transpose()?;
    filter.saga_id = query.one("saga_id")?.map(SagaId::new).transpose()?;
    filter.labels = labels.collect::<Result<_, Refusal>>()?;
    filter.stale = query.flag("stale")?;
    filter.ended_badly = query.flag("ended_badly")?;
    filter.unattended = query.flag("unattended")?;
    if let Some(text) = query.one("since")? {
        filter.since = Some(Since::read("since", text)?.from(asked.served.ledger.now().await?));
    }
    filter.order = query.one("order")?.map(order).transpose()?.unwrap_or_default();
    Ok(filter)
}

pub(crate) fn order(word: &str) -> Result<Order, Refusal> {
    let order = Order::ALL.into_iter().find(|order| order.as_str() == word);
    order.ok_or_else(|| Refusal::invalid("order", "newest or oldest"))
}
