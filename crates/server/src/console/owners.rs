//! Who holds what.

use askama::Template;
use axum::http::StatusCode;
use tenure_view::words::Instant;

use super::address::encoded;
use super::layout::{Layout, Place, respond};
use crate::route::{Answered, Asked};

#[derive(Template)]
#[template(path = "owners.html")]
struct Owners {
    layout: Layout,
    owners: Vec<OwnerRow>,
}

struct OwnerRow {
    name: String,
    path: String,
    leases: u64,
    reservations: u64,
    stale: u64,
    since: Instant,
    until: Instant,
}

/// `GET /owners`.
pub(super) async fn page(asked: Asked) -> Answered {
    let namespace = asked.shown_namespace()?;
    let ledger = asked.served.ledger_of(&namespace)?;
    let permit = asked.quota.scan().await?;
    let (holdings, now) = (ledger.holdings().await?, ledger.now().await?);
    drop(permit);
    let owners = holdings.iter().map(|one| OwnerRow {
        name: one.owner.to_string(),
        path: format!("/tasks?ns={}&owner={}", encoded(namespace.as_str()), encoded(one.owner.as_str())),
        leases: one.leases,
        reservations: one.reservations,
        stale: one.stale,
        since: Instant::of(one.since, now),
        until: Instant::of(one.until, now),
    });
    let owners = owners.collect();
    let page = Owners { layout: Layout::of(&asked, Place::Owners, "Owners", &namespace, now).await?, owners };
    Ok(respond(StatusCode::OK, &page))
}
