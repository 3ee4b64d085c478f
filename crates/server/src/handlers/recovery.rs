//! Recovery on demand, and the watch mark and the sweeps of recovery processes that run elsewhere.

use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;
use serde::Deserialize;
use tenure::Error;
use tenure::access::NamespaceScope;
use tenure::api::list::Watch;
use tenure::api::overview::{Presence, WatchersAnswer};
use tenure::api::recovery::{Recovered, SweepBody, SweepNoted};
use tenure::core::id::Namespace;
use tenure::core::refusal::Refusal;
use tenure::recovery::{RecoveredTask, Recovery, RecoveryReport};
use tenure::stop::StopSignal;
use tokio::task::JoinHandle;

use crate::body::parse;
use crate::problem::Problem;
use crate::quotas::Taken;
use crate::route::{Answered, Asked, json};
use crate::state::ServerState;

/// An empty body. Fields are refused, because a caller that sends some would expect an effect.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// `POST …/recovery`: recovers the stale tasks of the namespace now, with the handlers of this server, as the one-shot command does
/// and whether or not the server runs recovery itself; `?plan=true` only shows the plan. If the caller goes away or the server stops,
/// leases of undos in progress are released; a server that stops answers with what was done until then.
pub(crate) async fn sweep(asked: Asked) -> Answered {
    let Nothing {} = parse(&asked.body.text)?;
    let recovery = recovery_of(&asked.served, asked.namespace()?);
    let permit = asked.quota.sweep()?;
    if asked.query.flag("plan")? {
        let planned = Some(recovery.plan().await?);
        return Ok(json(StatusCode::OK, &Recovered { planned, ..Recovered::default() }));
    }
    let tasks: Arc<Mutex<Vec<RecoveredTask>>> = Arc::default();
    let told = Arc::clone(&tasks);
    let recovery = recovery.on_recovered(move |one| {
        told.lock().unwrap_or_else(PoisonError::into_inner).push(one.clone());
    });
    let stop = asked.served.stopping.child();
    let _caller_is_there = stop.clone().stop_on_drop();
    let swept = start_sweep(&asked.served, recovery, permit, stop).await;
    let report = swept.map_err(|_| sweep_broke_off())??;
    let tasks = std::mem::take(&mut *tasks.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(json(StatusCode::OK, &Recovered { report: Some((&report).into()), tasks: Some(tasks), planned: None }))
}

/// Recovery of one namespace, with the handlers of this server.
pub(crate) fn recovery_of(served: &ServerState, namespace: &Namespace) -> Recovery {
    let usual = served.recovery.current_options().clone();
    // At a stop, its answer must still be sent within the grace.
    let grace = usual.grace / 2;
    served.recovery.clone().options(usual.with(|options| {
        options.namespace = Some(namespace.clone());
        options.grace = grace;
    }))
}

/// Starts a sweep. It is a task of its own, so that it also ends gracefully if the caller goes away; it keeps the permit until then.
pub(crate) fn start_sweep(
    served: &ServerState,
    recovery: Recovery,
    permit: Taken,
    stop: StopSignal,
) -> JoinHandle<Result<RecoveryReport, Error>> {
    served.sweeping.spawn(async move {
        let report = recovery.once_until(stop).await;
        drop(permit);
        report
    })
}

/// A sweep that ended without a report.
pub(crate) fn sweep_broke_off() -> Problem {
    Problem::broken("recovery ended early; see the server's log")
}

/// `GET …/recovery`: the running recovery processes of the namespace, and what they handle.
pub(crate) async fn watchers(asked: Asked) -> Answered {
    let watchers = asked.served.ledger.store().watchers(asked.namespace()?.clone()).await?;
    Ok(json(StatusCode::OK, &WatchersAnswer { recovery: watchers }))
}

/// `POST …/sweeps`: a recovery that runs elsewhere says what it moved. The actor is the token's name, as of what it did to tasks.
pub(crate) async fn note(asked: Asked) -> Answered {
    let body: SweepBody = parse(&asked.body.text)?;
    let by = asked.caller.name.as_ref().map(|name| name.as_str().to_owned()).or_else(|| body.by.clone());
    let ledger = asked.ledger()?;
    let ledger = by.map_or(Ok(ledger.clone()), |by| ledger.acting_as(&by))?;
    let number = ledger.note_sweep(&body.owner, body.counts()).await?;
    Ok(json(StatusCode::CREATED, &SweepNoted { number }))
}

/// `POST /v1/watch`. A caller whose token is bound to namespaces renews only their marks, not the mark of the whole store.
pub(crate) async fn watch(asked: Asked) -> Answered {
    let mut presence: Presence = parse(&asked.body.text)?;
    if let NamespaceScope::These(own) = &asked.caller.namespaces {
        if let Some(foreign) = presence.namespaces.iter().find(|one| !own.contains(*one)) {
            let words = format!("the token is not bound to `{foreign}`");
            return Err(Refusal::invalid("namespaces", words).into());
        }
        if presence.namespaces.is_empty() {
            presence.namespaces = own.iter().cloned().collect();
        }
    }
    let absence = asked.served.ledger.store().watch(presence).await?;
    Ok(json(StatusCode::OK, &Watch { absence }))
}
