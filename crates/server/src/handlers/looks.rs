//! Read-only routes about a namespace or the store that are not lists of tasks.

use axum::http::StatusCode;
use tenure::api::audit::{AnchorAnswer, ReportAnswer};
use tenure::api::chain::{ChainAnswer, ChainPage};
use tenure::api::list::{Lapsed, NamespaceList, Newest, NowAnswer, Remembered};
use tenure::api::overview::{OwnerList, StatsAnswer};
use tenure::core::event::Subject;
use tenure::core::id::RequestId;
use tenure::core::refusal::Refusal;
use tenure::store::size::chain_bytes;

use super::{cursor, limit, page};
use crate::problem::Problem;
use crate::route::{Answered, Asked, json};

/// Chains of one page: each is a whole history.
const CHAINS_MAX: usize = 64;

/// `GET …/stats`.
pub(crate) async fn stats(asked: Asked) -> Answered {
    let _permit = asked.quota.scan().await?;
    let overview = asked.ledger()?.overview().await?;
    Ok(json(StatusCode::OK, &StatsAnswer { stats: overview }))
}

/// `GET …/owners`.
pub(crate) async fn owners(asked: Asked) -> Answered {
    let _permit = asked.quota.scan().await?;
    let holdings = asked.ledger()?.holdings().await?;
    Ok(json(StatusCode::OK, &OwnerList { owners: holdings }))
}

/// `GET …/requests`.
pub(crate) async fn request(asked: Asked) -> Answered {
    let id = asked.query.one("id")?.ok_or_else(|| Refusal::invalid("id", "is required"))?;
    let store = asked.served.ledger.store();
    let remembered = store.remembers(asked.namespace()?.clone(), RequestId::new(id)?).await?;
    Ok(json(StatusCode::OK, &Remembered { remembered }))
}

/// `GET …/anchor`.
pub(crate) async fn anchor(asked: Asked) -> Answered {
    let _permit = asked.quota.audit().await?;
    let anchor = asked.ledger()?.anchor_of_namespace_within(&asked.memory.while_it_grows()).await?;
    Ok(json(StatusCode::OK, &AnchorAnswer { anchor }))
}

/// `GET …/verify`.
pub(crate) async fn verify(asked: Asked) -> Answered {
    let _permit = asked.quota.audit().await?;
    let report = asked.ledger()?.verify_namespace(None).await?;
    Ok(json(StatusCode::OK, &ReportAnswer { report: (&report).into() }))
}

/// `GET …/tasks/{id}/verify`.
pub(crate) async fn verify_task(asked: Asked) -> Answered {
    let _permit = asked.quota.look().await?;
    let report = asked.ledger()?.verify_task(asked.id()?.as_str(), None).await?;
    Ok(json(StatusCode::OK, &ReportAnswer { report: (&report).into() }))
}

/// `GET …/tasks/{id}/chain`.
pub(crate) async fn chain(asked: Asked) -> Answered {
    let _permit = asked.quota.look().await?;
    let (store, id) = (asked.served.ledger.store(), asked.id()?);
    let chain = store.chain(asked.namespace()?.clone(), id.clone().into()).await?;
    let chain =
        chain.ok_or_else(|| Problem::not_found(format!("there is no task {id} in this namespace")))?;
    asked.memory.for_answer(chain_bytes(&chain)).await?;
    Ok(json(StatusCode::OK, &ChainAnswer { chain: (&chain).into() }))
}

/// `GET …/chain`.
pub(crate) async fn chain_of_namespace(asked: Asked) -> Answered {
    let _permit = asked.quota.look().await?;
    let namespace = asked.namespace()?.clone();
    let chain = asked.served.ledger.store().chain(namespace, Subject::Namespace).await?;
    let none = || Problem::not_found("nothing has happened in this namespace but to its tasks".to_owned());
    let chain = chain.ok_or_else(none)?;
    asked.memory.for_answer(chain_bytes(&chain)).await?;
    Ok(json(StatusCode::OK, &ChainAnswer { chain: (&chain).into() }))
}

/// `GET /v1/namespaces`.
pub(crate) async fn namespaces(asked: Asked) -> Answered {
    let mut namespaces = asked.served.ledger.store().namespaces().await?;
    namespaces.retain(|namespace| asked.caller.namespaces.contains(namespace));
    Ok(json(StatusCode::OK, &NamespaceList { namespaces }))
}

/// `GET /v1/now`.
pub(crate) async fn now(asked: Asked) -> Answered {
    Ok(json(StatusCode::OK, &NowAnswer { now: asked.served.ledger.now().await? }))
}

/// `GET /v1/newest`.
pub(crate) async fn newest(asked: Asked) -> Answered {
    let newest = asked.served.ledger.newest().await?;
    Ok(json(StatusCode::OK, &Newest { cursor: newest.as_str().to_owned() }))
}

/// `GET /v1/lapsed`: in the namespaces that the caller may see.
pub(crate) async fn lapsed(asked: Asked) -> Answered {
    let _permit = asked.quota.scan().await?;
    let mut lapsed =
        asked.served.ledger.lapsed(cursor(&asked.query, "cursor")?, limit(&asked.query)?).await?;
    lapsed.tasks.retain(|(namespace, _)| asked.caller.namespaces.contains(namespace));
    Ok(json(StatusCode::OK, &Lapsed::from(&lapsed)))
}

/// `GET /v1/chains`.
pub(crate) async fn chains(asked: Asked) -> Answered {
    let _permit = asked.quota.scan().await?;
    let store = asked.served.ledger.store();
    // The number of events of a chain is not known before it is read.
    let (after, limit) = (cursor(&asked.query, "cursor")?, limit(&asked.query)?.min(CHAINS_MAX));
    let chains = page(&asked, limit, async |size| store.chains(after, size).await, chain_bytes).await?;
    Ok(json(StatusCode::OK, &ChainPage::from(&chains)))
}
