//! Recovery on demand, and the mark that says that somebody looks after the store.

use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;
use tenure::record::{PlansRecord, SweptRecord, WatchedRecord};
use tenure::recovery::{Settings, Tended};

use crate::problem::Problem;
use crate::routes::{Answered, Asked, json};

/// `POST …/recovery`: looks after what is stale in the namespace now, with the handlers of this server, as the one-shot
/// command does; `?plan=true` only shows. Whoever goes away leaves what was begun to the leases that it is done under.
pub(crate) async fn sweep(asked: Asked) -> Answered {
    let recovery = &asked.served.recovery;
    let settings = Settings { namespace: Some(asked.namespace()?.clone()), ..recovery.current().clone() };
    let recovery = recovery.clone().settings(settings);
    if asked.query.flag("plan")? {
        let plans = recovery.plan().await?;
        return Ok(json(StatusCode::OK, &PlansRecord::of(&plans)));
    }
    let _room = asked.share.wait()?;
    let tended: Arc<Mutex<Vec<Tended>>> = Arc::default();
    let told = Arc::clone(&tended);
    let recovery = recovery.on_tended(move |one| {
        told.lock().unwrap_or_else(PoisonError::into_inner).push(one.clone());
    });
    let report = tokio::select! {
        report = recovery.once() => report?,
        () = asked.served.stopping.cancelled() => {
            return Err(Problem::unavailable("the server stops; what was begun goes on under the next recoverer"));
        }
    };
    let tended = std::mem::take(&mut *tended.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(json(StatusCode::OK, &SweptRecord::of(&report, &tended)))
}

/// `POST /v1/watch`.
pub(crate) async fn watch(asked: Asked) -> Answered {
    let absence = asked.served.ledger.store().watch().await?;
    Ok(json(StatusCode::OK, &WatchedRecord::of(absence)))
}
