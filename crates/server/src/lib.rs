//! The server of Tenure: HTTP API, recovery and metrics in one process, over any store.
//!
//! It keeps nothing: any number of servers may run on one database, and one that is killed leaves only leases that lapse.
//! What there is stands in the table of [`routes`]; who may what, in [`access`]. It decides nothing about tasks: a request
//! becomes commands, the ledger has them decided, and the answer is the public JSON.

pub mod access;
mod answers;
mod body;
mod book;
mod handlers;
mod headers;
mod lines;
mod listen;
mod memory;
mod metrics;
mod observed;
mod openapi;
pub mod options;
mod problem;
mod reference;
pub mod routes;
mod served;
mod shapes;
mod shares;
mod traced;
mod work;
mod writes;

use std::io;
use std::sync::Arc;

use tenure::Ledger;
use tenure::recovery::Recovery;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use metrics::NAMES as METRIC_NAMES;
pub use options::{Exposure, Limits, Options};

use book::Book;
use lines::Lines;
use metrics::Metrics;
use observed::Observed;
use served::Served;
use shares::Shares;
use work::Work;

/// A server that is ready to listen.
pub struct Server {
    served: Arc<Served>,
}

impl Server {
    /// A server on that ledger's store. What is stale is looked after on demand by the recovery that is made here, so that
    /// what it does is counted, too; a loop of it is the caller's.
    pub fn new(
        ledger: Ledger,
        recovery: impl FnOnce(Ledger) -> Recovery,
        options: Options,
    ) -> io::Result<Server> {
        let (metrics, stopping) = (Metrics::new(&options.limits), CancellationToken::new());
        let observed = Observed { store: Arc::clone(ledger.store()), metrics: metrics.clone() };
        let ledger = ledger.on_store(Arc::new(observed));
        let (shares, book) = (Shares::new(&options.limits), Book::of(Arc::clone(ledger.store())));
        let recovery = recovery(ledger.clone());
        let lines = Lines::default();
        let sweeping = TaskTracker::new();
        let work = Work::start()?;
        let served =
            Served { ledger, recovery, options, metrics, shares, lines, book, sweeping, stopping, work };
        Ok(Server { served: Arc::new(served) })
    }

    /// Serves who comes to the listener, until `stop`. Then what waits is answered, streams end, and what has begun may go on
    /// for the grace of the options. Several listeners may be run at once.
    pub async fn run(
        &self,
        listener: TcpListener,
        tls: Option<Arc<rustls::ServerConfig>>,
        stop: CancellationToken,
    ) -> io::Result<()> {
        let served = &self.served;
        let router = routes::router(Arc::clone(served));
        let (metrics, options) = (served.metrics.clone(), &served.options);
        let until_stop = async {
            stop.cancelled().await;
            served.stopping.cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            ended = listen::run(listener, tls, (router, metrics, &options.limits), (stop.clone(), options.grace)) => ended,
            () = until_stop => Ok(()),
        }
    }

    /// Comes back once every sweep on demand has ended, after the server was told to stop: what they were undoing is handed
    /// back then.
    pub async fn swept(&self) {
        self.served.sweeping.close();
        self.served.sweeping.wait().await;
    }

    /// What looks after stale tasks, to be run in a loop.
    pub fn recovery(&self) -> Recovery {
        self.served.recovery.clone()
    }
}

/// The description of the API as JSON, made from the table of routes.
pub fn openapi() -> String {
    openapi::document()
}
