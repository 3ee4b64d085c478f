//! Named cursors of followers, and what is left of pruned tasks. Pruning has no route: it runs beside the database.

use axum::http::StatusCode;
use tenure::api::retention::{AnchorRecords, CursorAnswer, CursorBody, CursorList, PrunedAnswer, PrunedPage};
use tenure::core::id::CursorName;
use tenure::core::refusal::Refusal;
use tenure::store::Cursor;

use super::tokens::by;
use super::{cursor, limit};
use crate::body::parse;
use crate::problem::Problem;
use crate::route::{Answered, Asked, json};

/// `GET …/cursors`.
pub(crate) async fn cursors(asked: Asked) -> Answered {
    let _permit = asked.quota.scan().await?;
    Ok(json(StatusCode::OK, &CursorList { cursors: asked.ledger()?.named_cursors().await? }))
}

/// The cursor that the path names.
fn name(asked: &Asked) -> Result<CursorName, Problem> {
    let name = asked.path.id.as_deref();
    Ok(CursorName::new(name.ok_or_else(|| Problem::broken("this route has no cursor in its path"))?)?)
}

/// `POST …/cursors/{id}`.
pub(crate) async fn move_cursor(asked: Asked) -> Answered {
    let body: CursorBody = parse(&asked.body.text)?;
    let ledger = asked.ledger()?.acting_as(&by(&asked, body.by))?;
    let name = name(&asked)?;
    let moved = match body.cursor {
        Some(to) => ledger.move_cursor(name.as_str(), Cursor::from_text(to)).await?,
        None => ledger.named_cursor(name.as_str()).await?,
    };
    Ok(json(StatusCode::OK, &CursorAnswer { cursor: moved }))
}

/// `DELETE …/cursors/{id}`.
pub(crate) async fn forget_cursor(asked: Asked) -> Answered {
    let gone = asked.ledger()?.forget_cursor(name(&asked)?.as_str()).await?;
    Ok(json(StatusCode::OK, &CursorAnswer { cursor: gone }))
}

/// Where a named cursor is, for a read that begins behind it. A read never makes one: it would stop the pruning of its namespace.
pub(super) async fn place_of_named(asked: &Asked) -> Result<Option<Cursor>, Problem> {
    let Some(name) = asked.query.one("cursor_name")? else { return Ok(None) };
    let name = CursorName::new(name)?;
    // How far each is behind is counted, too.
    let _permit = asked.quota.scan().await?;
    let all = asked.ledger()?.named_cursors().await?;
    let Some(found) = all.into_iter().find(|one| one.name == name) else {
        return Err(Problem::not_found(format!(
            "there is no cursor named {name} in this namespace; create it with POST on its own route"
        )));
    };
    Ok(Some(Cursor::from_text(found.cursor)))
}

/// `GET …/pruned/{id}`.
pub(crate) async fn pruned(asked: Asked) -> Answered {
    let id = asked.id()?;
    let found = asked.ledger()?.pruned(id.as_str()).await?;
    let pruned =
        found.ok_or_else(|| Problem::not_found(format!("no task {id} of this namespace was pruned")))?;
    Ok(json(StatusCode::OK, &PrunedAnswer { pruned }))
}

/// `GET /v1/pruned`.
pub(crate) async fn pruned_tasks(asked: Asked) -> Answered {
    let _permit = asked.quota.scan().await?;
    let (after, limit) = (cursor(&asked.query, "cursor")?, limit(&asked.query)?);
    let page = asked.served.ledger.store().retention().pruned_tasks(after, limit).await?;
    let next = page.next.map(|next| next.as_str().to_owned());
    Ok(json(StatusCode::OK, &PrunedPage { pruned: page.items, next }))
}

/// `GET /v1/anchors`.
pub(crate) async fn anchors(asked: Asked) -> Answered {
    let _permit = asked.quota.scan().await?;
    let digits = || Refusal::invalid("after", "the number of a recorded anchor");
    let after = asked.query.one("after")?.map_or(Ok(0), |text| text.parse().map_err(|_| digits()))?;
    let limit = limit(&asked.query)?;
    let anchors = asked.served.ledger.store().retention().anchors(after, limit).await?;
    Ok(json(StatusCode::OK, &AnchorRecords { anchors }))
}
