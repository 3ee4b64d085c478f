//! The book of tokens: who may do what, as the store has it now.
//!
//! A token that was revoked must fail on the next request, wherever it was revoked. So each request is checked by a look
//! into the store that began after it came. Requests that come together share one look, and a look that finds nothing
//! changed reads one number.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tenure::Error;
use tenure::access::{Token, TokenHash, Tokens};
use tenure::store::Store;
use tokio::sync::Mutex;

/// The tokens of a store.
pub(crate) struct Book {
    store: Arc<dyn Store>,
    /// How many looks have begun.
    begun: AtomicU64,
    /// What the newest finished look saw. Whoever looks holds it.
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// The number of the look.
    look: u64,
    tokens: Arc<Tokens>,
}

impl Book {
    pub(crate) fn of(store: Arc<dyn Store>) -> Book {
        Book { store, begun: AtomicU64::new(0), seen: Mutex::default() }
    }

    /// The tokens by a look that began after this was called.
    pub(crate) async fn tokens(&self) -> Result<Arc<Tokens>, Error> {
        let before = self.begun.load(Ordering::SeqCst);
        let mut seen = self.seen.lock().await;
        if seen.look > before {
            return Ok(Arc::clone(&seen.tokens));
        }
        let look = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let known = (look > 1).then_some(seen.tokens.version);
        if let Some(changed) = self.store.tokens(known).await? {
            seen.tokens = Arc::new(changed);
        }
        seen.look = look;
        Ok(Arc::clone(&seen.tokens))
    }
}

/// The token of that hash; also one that is over, which the caller must look at.
pub(crate) fn find<'t>(tokens: &'t Tokens, hash: &TokenHash) -> Option<&'t Token> {
    tokens.tokens.iter().find(|(known, _)| known == hash).map(|(_, token)| token)
}
