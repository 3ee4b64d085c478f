//! The cache of tokens: who may do what, as the store says now.
//!
//! A revoked token must fail on its next request, on whichever server it was revoked. So each request is checked by a
//! read of the store that began after the request arrived. Requests that arrive together share one read, and if
//! nothing has changed, the read fetches one number. Only monitoring requests are checked by the last read, while the
//! store does not answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tenure::Error;
use tenure::access::{Token, TokenHash, Tokens};
use tenure::core::time::Time;
use tenure::store::Store;
use tokio::sync::Mutex as Turn;

/// A cache of a store's tokens.
pub(crate) struct TokenCache {
    store: Arc<dyn Store>,
    /// The number of reads that have begun.
    begun: AtomicU64,
    /// The newest finished read, by its number, with its result. The reader holds this lock.
    finished: Turn<(u64, Result<(), Error>)>,
    /// The result of the newest successful read.
    last: Mutex<Option<Page>>,
}

/// The result of a read.
#[derive(Clone)]
pub(crate) struct Page {
    pub(crate) tokens: Arc<Tokens>,
    /// The time of the read. Without tokens nothing can expire, so the clock is not read.
    pub(crate) at: Time,
}

impl Page {
    /// The token with that hash; the caller must check whether it is live.
    pub(crate) fn find(&self, hash: &TokenHash) -> Option<&Token> {
        self.tokens.tokens.iter().find(|listed| listed.hash == *hash).map(|listed| &listed.token)
    }
}

impl TokenCache {
    pub(crate) fn of(store: Arc<dyn Store>) -> TokenCache {
        TokenCache {
            store,
            begun: AtomicU64::new(0),
            finished: Turn::new((0, Ok(()))),
            last: Mutex::new(None),
        }
    }

    /// The result of a read that began after this call.
    pub(crate) async fn look(&self) -> Result<Page, Error> {
        let before = self.begun.load(Ordering::SeqCst);
        let mut finished = self.finished.lock().await;
        let last = self.last();
        if finished.0 > before {
            // A failed read counts, too: a slow failing store must not be read once for each waiting request.
            finished.1.clone()?;
            if let Some(page) = last {
                return Ok(page);
            }
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let seen = self.see(last).await;
        *finished = (number, seen.as_ref().map(|_| ()).map_err(Error::clone));
        if let Ok(page) = &seen {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(page.clone());
        }
        seen
    }

    async fn see(&self, last: Option<Page>) -> Result<Page, Error> {
        let known = last.as_ref().map(|page| page.tokens.version);
        let tokens = match (self.store.tokens(known).await?, last) {
            (Some(changed), _) => Arc::new(changed),
            (None, last) => last.map(|page| page.tokens).unwrap_or_default(),
        };
        let at = if tokens.tokens.is_empty() { Time::MIN } else { self.store.now().await? };
        Ok(Page { tokens, at })
    }

    /// The result of the newest successful read.
    pub(crate) fn last(&self) -> Option<Page> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
