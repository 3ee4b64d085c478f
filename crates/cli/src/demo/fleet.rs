//! `tenure demo --serve`: a server, and a fleet of made-up agents that work, fail and are recovered, to look at in a browser or in
//! a terminal.
//!
//! Server, leases and recovery are the real ones; only the work is made up. `plan` says which task comes when, from a seed, and
//! `fates` what becomes of it, as a table; `names` has the words for both, and `dice` draws. `planner` creates the tasks, `agents`
//! work on them, `undo` undoes what they leave, and `person` clears away what would pile up. `demo_store` is where it happens.

mod agents;
mod demo_store;
mod dice;
mod fates;
mod names;
mod person;
mod plan;
mod planner;
mod undo;

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tenure::ledger::{DEFAULT_NAMESPACE, url_without_secrets};
use tenure::stop::StopSignal;
use tenure::{Error, Ledger};
use tokio::task::JoinSet;

use crate::context::Context;
use crate::error::CliError;
use crate::global::OutputFormat;
use crate::output::quoted;
use crate::serve::ReadyServer;
use crate::signals::Signals;
use crate::values::span;

use agents::Agent;
use demo_store::DemoStore;
use plan::FleetPlan;

/// How long recovery leaves a task that it can't undo to other processes. There are none, and viewers should not have to wait.
const HANDLER_WAIT: &str = "3s";
/// How long agents have to give their tasks back at the end.
const STOPPED_WITHIN: Duration = Duration::from_secs(5);

/// The options of the fleet.
#[derive(Args)]
pub(super) struct FleetOptions {
    /// With --serve: loopback address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7117", requires = "serve")]
    listen: String,
    /// With --serve: number of agents, 1 to 200
    #[arg(long, value_name = "COUNT", default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=200), requires = "serve")]
    agents: u16,
    /// With --serve: the same seed makes the same tasks, and the same becomes of them
    #[arg(long, value_name = "NUMBER", default_value_t = 1, requires = "serve")]
    seed: u64,
    /// With --serve: number of ended tasks to begin with, at most 10000
    #[arg(long, value_name = "COUNT", default_value_t = 40, value_parser = clap::value_parser!(u64).range(..=10_000), requires = "serve")]
    fill: u64,
    /// With --serve: end after this long; without it, Ctrl-C ends it
    #[arg(long = "for", value_name = "DURATION", requires = "serve")]
    lasting: Option<String>,
}

/// Runs the fleet until a signal, or for as long as the options say.
pub(super) async fn run(options: &FleetOptions, context: &mut Context<'_, '_>) -> Result<(), CliError> {
    let lasting = span("for", options.lasting.as_deref())?.map(Duration::from);
    // Before there is anything to remove.
    let mut signals = Signals::that_end()?;
    let store = DemoStore::find(context).await?;
    let served = serve(options, lasting, &store, (context, &mut signals)).await;
    let removed = store.remove().await;
    served.and(removed)
}

async fn serve(
    options: &FleetOptions,
    lasting: Option<Duration>,
    store: &DemoStore,
    (context, signals): (&mut Context<'_, '_>, &mut Signals),
) -> Result<(), CliError> {
    let (ledger, plan) = (store.ledger.clone(), FleetPlan::new(options.seed, options.fill));
    let server = ReadyServer::on_loopback(
        &options.listen,
        HANDLER_WAIT,
        (ledger.clone(), &store.url),
        undo::handlers()?,
    )
    .await?;
    tokio::select! {
        biased;
        _ = signals.next() => return Ok(()),
        filled = planner::fill(&ledger, &plan) => filled?,
    }
    tell(context, options, server.url(), store)?;
    let fleet = Fleet { ledger, plan, agents: options.agents };
    let until = async |signals: &mut Signals| {
        let over = async {
            tokio::select! {
                _ = signals.next() => {}
                () = after(lasting) => {}
            }
        };
        fleet.work_until(over).await
    };
    server.run(context.out, signals, until).await
}

/// Resolves after that long; never without a length.
async fn after(length: Option<Duration>) {
    match length {
        Some(length) => tokio::time::sleep(length).await,
        None => std::future::pending().await,
    }
}

/// The agents, the planner and the person.
struct Fleet {
    ledger: Ledger,
    plan: FleetPlan,
    agents: u16,
}

impl Fleet {
    /// Works until then. What the store fails with ends it earlier.
    async fn work_until(&self, over: impl Future<Output = ()>) -> Result<(), CliError> {
        let (stop, mut working) = (StopSignal::new(), JoinSet::new());
        for nth in 0..self.agents {
            let agent = Agent::new(nth, self.ledger.clone(), self.plan.clone());
            working.spawn(agent.work(stop.clone()));
        }
        let pace = planner::Pace::of(self.agents);
        working.spawn(planner::keep_busy(self.ledger.clone(), self.plan.clone(), pace, stop.clone()));
        working.spawn(person::tidy_up(self.ledger.clone(), stop.clone()));
        let ended = tokio::select! {
            () = over => Ok(()),
            failure = first_failure(&mut working) => Err(failure),
        };
        stop.stop();
        let rest = async { while working.join_next().await.is_some() {} };
        // An agent that can't reach the store is dropped; its lease lapses.
        let _ = tokio::time::timeout(STOPPED_WITHIN, rest).await;
        ended
    }
}

async fn first_failure(working: &mut JoinSet<Result<(), Error>>) -> CliError {
    while let Some(ended) = working.join_next().await {
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error.into(),
            Err(error) => return CliError::Failed(format!("a part of the demo stopped: {error}")),
        }
    }
    std::future::pending().await
}

#[derive(Serialize)]
struct FleetAnswer<'a> {
    demo: FleetAddress<'a>,
}

#[derive(Serialize)]
struct FleetAddress<'a> {
    url: &'a str,
    store: String,
    agents: u16,
    seed: u64,
}

/// Says where to look.
fn tell(
    context: &mut Context<'_, '_>,
    options: &FleetOptions,
    url: &str,
    store: &DemoStore,
) -> Result<(), CliError> {
    let out = &mut context.out;
    if out.form() == OutputFormat::Json {
        let (store, FleetOptions { agents, seed, .. }) = (url_without_secrets(&store.url), options);
        out.json(&FleetAnswer { demo: FleetAddress { url, store, agents: *agents, seed: *seed } })?;
    } else if out.is_quiet() {
        out.line(url)?;
    }
    let namespace = match store.ledger.namespace().as_str() {
        DEFAULT_NAMESPACE => String::new(),
        other => format!(" --namespace {}", quoted(other)),
    };
    out.note(&format!("{} made-up agents are at work; see {url}/ in a browser", options.agents));
    out.note(&format!("in another shell: tenure top --store {url}{namespace}"));
    let kept = match store.is_temporary() {
        true => "removes their store",
        false => "leaves their store as it is then",
    };
    out.note(&format!("Ctrl-C ends it and {kept}, {}", url_without_secrets(&store.url)));
    out.flush()
}
