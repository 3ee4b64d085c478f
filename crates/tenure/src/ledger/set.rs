//! Changes of a stored record: reads it, changes it, and puts it back. The core decides what may be changed.

use tenure_core::command::Put;
use tenure_core::id::Revision;
use tenure_core::refusal::{Code, Refusal};
use tenure_core::task::Task;
use tenure_store::Error;

use crate::ledger::Ledger;

/// How often a record is read, changed and put back, if others change it at the same time.
const TRIES_MAX: u32 = 5;

impl Ledger {
    /// Changes the record of a task that nobody holds: reads it, applies the change, and puts it back with the revision that
    /// was read. If the record changed in between, it reads it again and tries again, a few times; so the change may be
    /// applied several times, each time to a record that was just read. After that it is refused `stale_write`.
    ///
    /// What a put may change, and when, is the same: see [`Ledger::put`]. It takes no request id: a repeat reads a record that
    /// has the change already.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let ledger = tenure::Ledger::open("memory:").await?;
    /// # ledger.create("build-42").await?;
    /// let task = ledger.set("build-42", |put| {
    ///     put.record.priority += 5;
    ///     Ok(())
    /// }).await?;
    /// assert_eq!(task.priority, 5);
    /// # Ok::<(), tenure::Error>(()) }).unwrap();
    /// ```
    pub async fn set(
        &self,
        id: &str,
        change: impl Fn(&mut Put) -> Result<(), Refusal> + Send + Sync,
    ) -> Result<Task, Error> {
        for _ in 1..TRIES_MAX {
            match self.set_once(id, None, &change).await {
                Err(Error::Refused(refusal)) if refusal.code == Code::StaleWrite => {}
                answer => return answer,
            }
        }
        self.set_once(id, None, change).await
    }

    /// The same, only if the record still has that revision; otherwise it is refused `stale_write`.
    pub async fn set_at(
        &self,
        id: &str,
        revision: Revision,
        change: impl Fn(&mut Put) -> Result<(), Refusal> + Send + Sync,
    ) -> Result<Task, Error> {
        self.set_once(id, Some(revision), change).await
    }

    async fn set_once(
        &self,
        id: &str,
        revision: Option<Revision>,
        change: impl Fn(&mut Put) -> Result<(), Refusal>,
    ) -> Result<Task, Error> {
        let mut put = Put::of(&self.task(id).await?);
        put.revision = revision.or(put.revision);
        change(&mut put)?;
        self.put(put).await
    }
}
