//! The memory of one request, apart from its body: what it reads, and its response.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tenure::Error;
use tenure::store::BoxFuture;

use crate::options::ANSWER_COST;
use crate::quotas::{Memory, TokenQuota};

/// Smaller responses reserve nothing: there are never more of them than running requests.
pub(crate) const SMALL_BYTES: usize = 16 * 1024;

/// The memory reserved by a request. Clones belong to the same request.
#[derive(Clone)]
pub(crate) struct RequestMemory(Arc<Request>);

struct Request {
    quota: Arc<TokenQuota>,
    /// What its body holds beside this.
    of_body: usize,
    taken: Mutex<Memory>,
}

impl RequestMemory {
    pub(crate) fn of(quota: Arc<TokenQuota>, of_body: usize) -> RequestMemory {
        RequestMemory(Arc::new(Request { quota, of_body, taken: Mutex::default() }))
    }

    /// Asks for memory while an answer grows, with its bytes in all.
    pub(crate) fn while_it_grows(&self) -> impl Fn(usize) -> BoxFuture<'static, Result<(), Error>> + use<> {
        let memory = self.clone();
        move |bytes| {
            let memory = memory.clone();
            Box::pin(async move { memory.for_answer(bytes).await })
        }
    }

    /// Takes memory for an answer of that many bytes in all, if it has not so much yet.
    pub(crate) async fn for_answer(&self, bytes: usize) -> Result<(), Error> {
        if let Some((missing, held)) = self.missing(bytes) {
            let more = self.0.quota.memory(missing, held).await?;
            self.taken().add(more);
        }
        Ok(())
    }

    /// The same, if it is there at once.
    pub(crate) fn for_answer_at_once(&self, bytes: usize) -> Option<()> {
        if let Some((missing, held)) = self.missing(bytes) {
            let more = self.0.quota.memory_at_once(missing, held)?;
            self.taken().add(more);
        }
        Some(())
    }

    /// What is missing for an answer of that many bytes, and what the request holds.
    fn missing(&self, bytes: usize) -> Option<(usize, usize)> {
        let taken = self.taken().bytes();
        let missing = (ANSWER_COST * bytes).saturating_sub(taken);
        (bytes > SMALL_BYTES && missing > 0).then_some((missing, taken + self.0.of_body))
    }

    /// Releases the memory, because nothing that was read is kept.
    pub(crate) fn give_back(&self) {
        drop(std::mem::take(&mut *self.taken()));
    }

    /// The memory that the response keeps until the client has read it. None if there is not enough.
    pub(crate) async fn kept(&self, bytes: usize) -> Option<Memory> {
        let mut taken = std::mem::take(&mut *self.taken());
        let missing = bytes.saturating_sub(taken.bytes());
        if missing > 0 {
            let held = taken.bytes();
            taken.add(self.0.quota.memory(missing, held).await.ok()?);
        }
        taken.shrink_to(bytes);
        Some(taken)
    }

    fn taken(&self) -> MutexGuard<'_, Memory> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
