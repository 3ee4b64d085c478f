//! What all requests share.

use std::sync::{Arc, LazyLock};

use axum::body::Bytes;
use axum::http::request::Parts;
use tenure::Ledger;
use tenure::core::id::Namespace;
use tenure::recovery::Recovery;
use tenure::stop::StopSignal;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::access::{Audience, Caller, identify};
use crate::console::{Audits, SignIns, Snapshots, TokenSecrets};
use crate::metrics::Metrics;
use crate::options::Options;
use crate::problem::Problem;
use crate::quotas::Quotas;
use crate::token_cache::{Page, TokenCache};
use crate::work::Work;

/// The shared state of all requests.
pub(crate) struct ServerState {
    pub(crate) ledger: Ledger,
    pub(crate) recovery: Recovery,
    pub(crate) options: Options,
    pub(crate) metrics: Metrics,
    pub(crate) quotas: Quotas,
    pub(crate) token_cache: TokenCache,
    /// Running sweeps on demand; they continue without their callers.
    pub(crate) sweeping: TaskTracker,
    /// Set when the server must stop: waiting requests are answered, streams end.
    pub(crate) stopping: StopSignal,
    /// The threads for slow work.
    pub(crate) work: Work,
    pub(crate) documents: Documents,
    /// The people who signed in at the console.
    pub(crate) sign_ins: SignIns,
    /// What the console's first page shows.
    pub(crate) snapshots: Snapshots,
    /// The verifications and anchors that people asked for.
    pub(crate) audits: Audits,
    /// What the secrets of tokens are made from that people create.
    pub(crate) token_secrets: TokenSecrets,
    /// How many callers that are not known may send something at once.
    pub(crate) strangers: Arc<Semaphore>,
}

/// How many callers that are not known may send something at once.
pub(crate) const STRANGERS_MAX: usize = 32;

/// What describes the API. Each is made when it is first asked for.
pub(crate) struct Documents {
    /// As OpenAPI.
    pub(crate) openapi: LazyLock<Bytes>,
    /// As HTML.
    pub(crate) page: LazyLock<String>,
}

impl ServerState {
    /// The ledger, seen from that namespace.
    pub(crate) fn ledger_of(&self, namespace: &Namespace) -> Result<Ledger, Problem> {
        Ok(self.ledger.in_namespace(namespace.as_str())?)
    }

    /// Whether the caller's token is still valid.
    pub(crate) async fn is_still_known(&self, head: &Parts) -> bool {
        self.caller(Audience::Program, head).await.is_ok()
    }

    /// The current tokens of the store.
    pub(crate) async fn tokens(&self) -> Result<Page, Problem> {
        let looked = timeout(self.options.limits.store_wait_max, self.token_cache.look()).await;
        let page = looked.map_err(|_| Problem::unavailable("the store does not answer; nothing was done"))?;
        Ok(page?)
    }

    /// A place for a caller that is not known.
    pub(crate) fn stranger(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let words = "too many people sign in at once; try again";
        Arc::clone(&self.strangers).try_acquire_owned().map_err(|_| Problem::too_many_requests(words))
    }

    /// The caller, by the current tokens of the store. A person may also be known by having signed in.
    pub(crate) async fn caller(&self, audience: Audience, head: &Parts) -> Result<Caller, Problem> {
        let page = self.tokens().await?;
        let signed_in = match audience {
            Audience::Program => None,
            Audience::Person => self.sign_ins.token(head),
        };
        identify(head, signed_in, &page, &self.options)
    }

    /// The same for monitoring: while the store does not answer, by the last known tokens.
    pub(crate) async fn watcher(&self, head: &Parts) -> Result<Caller, Problem> {
        let looked = timeout(self.options.limits.watch_wait_max, self.token_cache.look()).await;
        let page = match looked {
            Ok(Ok(page)) => page,
            Ok(Err(_)) | Err(_) => self.token_cache.last().ok_or_else(|| {
                Problem::unavailable(
                    "the store does not answer, and has not answered since this server started",
                )
            })?,
        };
        identify(head, None, &page, &self.options)
    }
}
