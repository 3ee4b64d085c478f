//! The server of Tenure: HTTP API, recovery and metrics in one process, over any store.
//!
//! It stores nothing itself. Any number of servers may run on one database, and a server that is killed leaves only
//! leases that lapse. The table in [`routes`] lists the routes; [`access`] says who may use them. The server decides
//! nothing about tasks: it turns a request into commands, the ledger has them decided, and the response is the public
//! JSON.

pub mod access;
mod body;
mod console;
mod description;
mod handlers;
mod headers;
mod html;
mod listen;
mod memory;
mod metered_store;
mod metrics;
mod openapi;
pub mod options;
mod pipeline;
mod problem;
mod quotas;
mod reference;
mod response_limits;
pub mod route;
pub mod routes;
mod shapes;
mod state;
mod token_cache;
mod traced;
mod work;
mod writes;

use std::io;
use std::sync::{Arc, LazyLock};

use tenure::Ledger;
use tenure::core::refusal::Refusal;
use tenure::recovery::Recovery;
use tenure::retention::RetentionLoop;
use tenure::stop::StopSignal;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

pub use metrics::NAMES as METRIC_NAMES;
pub use options::{Exposure, Limits, Options};

use metered_store::MeteredStore;
use metrics::Metrics;
use quotas::Quotas;
use state::{Documents, ServerState};
use token_cache::TokenCache;
use work::Work;

/// The actor of what retention prunes.
const RETENTION: &str = "retention";

/// A server, ready to listen.
pub struct Server {
    served: Arc<ServerState>,
}

impl Server {
    /// A server on the ledger's store. It makes a recovery for sweeps on demand, so that its metrics include
    /// them. The caller runs a loop of it, if wanted.
    pub fn new(
        ledger: Ledger,
        recovery: impl FnOnce(Ledger) -> Recovery,
        options: Options,
    ) -> io::Result<Server> {
        let (metrics, stopping) = (Metrics::new(&options.limits), StopSignal::new());
        let observed = MeteredStore { store: Arc::clone(ledger.store()), metrics: metrics.clone() };
        let ledger = ledger.on_store(Arc::new(observed));
        let (quotas, token_cache) =
            (Quotas::new(&options.limits), TokenCache::of(Arc::clone(ledger.store())));
        let recovery = recovery(ledger.clone());
        let sweeping = TaskTracker::new();
        let work = Work::start()?;
        let documents = Documents {
            openapi: LazyLock::new(|| openapi::document().into()),
            page: LazyLock::new(reference::page),
        };
        let served = ServerState {
            ledger,
            recovery,
            options,
            metrics,
            quotas,
            token_cache,
            sweeping,
            stopping,
            work,
            documents,
            sign_ins: console::SignIns::default(),
            token_secrets: console::TokenSecrets::default(),
            snapshots: console::Snapshots::default(),
            audits: console::Audits::default(),
            strangers: Arc::new(tokio::sync::Semaphore::new(state::STRANGERS_MAX)),
        };
        Ok(Server { served: Arc::new(served) })
    }

    /// Serves the listener's connections until `stop`. Then waiting requests are answered, streams end, and
    /// running requests get the grace period of the options. Several listeners may run at once.
    pub async fn run(
        &self,
        listener: TcpListener,
        tls: Option<Arc<rustls::ServerConfig>>,
        stop: StopSignal,
    ) -> io::Result<()> {
        let served = &self.served;
        let router = routes::router(Arc::clone(served));
        let (metrics, options) = (served.metrics.clone(), &served.options);
        let until_stop = async {
            stop.stopped().await;
            served.stopping.stop();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            ended = listen::run(listener, tls, (router, metrics, &options.limits), (stop.clone(), options.grace)) => ended,
            () = until_stop => Ok(()),
        }
    }

    /// Returns when every sweep on demand has ended after the server was told to stop: running undos are
    /// handed back then.
    pub async fn swept(&self) {
        self.served.sweeping.close();
        self.served.sweeping.wait().await;
    }

    /// Retention, to run in a loop; none if the options keep ended tasks for ever. Refused if they keep them for too short a time.
    pub fn retention(&self) -> Result<Option<RetentionLoop>, Refusal> {
        let ServerState { ledger, options, metrics, .. } = &*self.served;
        let Some(retain) = options.retain else { return Ok(None) };
        // What it prunes is recorded as done by it, and not by a person.
        let ledger = ledger.acting_as(RETENTION).unwrap_or_else(|_| ledger.clone());
        RetentionLoop::new(&ledger, retain, metrics.retention()).map(Some)
    }

    /// The recovery, to run in a loop.
    pub fn recovery(&self) -> Recovery {
        self.served.recovery.clone()
    }
}

/// The description of the API as JSON, made from the table of routes.
pub fn openapi() -> String {
    openapi::document()
}
