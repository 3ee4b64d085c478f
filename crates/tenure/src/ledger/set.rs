//! Changes of a stored record: reads it, changes it, and puts it back. The core decides what may be changed.

use tenure_core::apply::apply;
use tenure_core::command::Put;
use tenure_core::id::{RequestId, Revision, TaskId};
use tenure_core::refusal::{Code, Refusal};
use tenure_core::task::Task;
use tenure_store::execute::does_not_continue;
use tenure_store::{Error, PageSize};

use crate::ledger::Ledger;

/// How often a record is read, changed and put back, if others change it at the same time.
const TRIES_MAX: u32 = 5;
/// How much of a history is read at a time, to see what a record was.
const HISTORY_PAGE: PageSize = PageSize { items: 256, bytes: 1024 * 1024 };

impl Ledger {
    /// Changes the record of a task that nobody holds: reads it, applies the change, and puts it back with the revision that
    /// was read. If the record changed in between, it reads it again and tries again, a few times; so the change may be
    /// applied several times, each time to a record that was just read. After that it is refused `stale_write`.
    ///
    /// What a put may change, and when, is the same: see [`Ledger::put`]. It takes no request id: a repeat reads a record that
    /// has the change already. [`Ledger::set_with_request_id`] does.
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
        let mut tries = 1;
        loop {
            match self.put(changed(&self.task(id).await?, None, &change)?).await {
                Err(Error::Refused(refusal)) if refusal.code == Code::StaleWrite && tries < TRIES_MAX => {
                    tries += 1
                }
                answer => return answer,
            }
        }
    }

    /// The same, only if the record still has that revision; otherwise it is refused `stale_write`.
    pub async fn set_at(
        &self,
        id: &str,
        revision: Revision,
        change: impl Fn(&mut Put) -> Result<(), Refusal> + Send + Sync,
    ) -> Result<Task, Error> {
        self.put(changed(&self.task(id).await?, Some(revision), change)?).await
    }

    /// The same under a request id: a repeat with the same change is answered as the first was, whatever happened to the task
    /// since. The change must do the same to the same record each time; otherwise a repeat is refused `request_reused`.
    pub async fn set_with_request_id(
        &self,
        id: &str,
        revision: Revision,
        request: &str,
        change: impl Fn(&mut Put) -> Result<(), Refusal> + Send + Sync,
    ) -> Result<Task, Error> {
        let newest = self.task(id).await?;
        let task = self.task_to_change(newest, revision, &RequestId::new(request)?).await?;
        self.put(changed(&task, Some(revision), change)?).request_id(request).await
    }

    /// The task that a change of that revision is made of. A request that was answered has changed the task, and more may have
    /// happened to it since. Its repeat must be the same command, so it is made of the task as it was at that revision.
    #[doc(hidden)]
    pub async fn task_to_change(
        &self,
        newest: Task,
        revision: Revision,
        request: &RequestId,
    ) -> Result<Task, Error> {
        // In this order: a request that is remembered only after the task was read left the revision that was read.
        if newest.revision <= revision
            || !self.store.remembers(self.namespace.clone(), request.clone()).await?
        {
            return Ok(newest);
        }
        Ok(self.task_as_it_was(&newest.id, revision).await?.unwrap_or(newest))
    }

    /// The task at an earlier revision, from its history; none if it had no such revision. What heartbeats wrote is not in it.
    async fn task_as_it_was(&self, id: &TaskId, revision: Revision) -> Result<Option<Task>, Error> {
        let (mut task, mut after) = (None, None);
        loop {
            let page = self.history(id.as_str(), after, HISTORY_PAGE).await?;
            if let Some(words) = page.unreadable.into_iter().next() {
                return Err(Error::Corrupt(words.into()));
            }
            if page.items.is_empty() {
                return Ok(task);
            }
            for recorded in &page.items {
                if recorded.event.number > revision {
                    return Ok(task);
                }
                let next = apply(task, &recorded.event);
                task = Some(next.map_err(|_| Error::Corrupt(does_not_continue(&self.namespace, id).into()))?);
            }
            after = page.next;
        }
    }
}

fn changed(
    task: &Task,
    revision: Option<Revision>,
    change: impl Fn(&mut Put) -> Result<(), Refusal>,
) -> Result<Put, Refusal> {
    let mut put = Put::of(task);
    put.revision = revision.or(put.revision);
    change(&mut put)?;
    Ok(put)
}
