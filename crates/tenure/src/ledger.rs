//! The ledger: the API that programs use. Each command is a builder; awaiting it sends it.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use std::time::Duration;
//!
//! use serde_json::json;
//! use tenure::Ledger;
//!
//! let ledger = Ledger::open("memory:").await?;
//! ledger.create("build-42").queue("agents").undo("remove-worktree", "/tmp/wt-42").await?;
//! let task = ledger.acquire("build-42", "w1").ttl(Duration::from_secs(60)).await?;
//! let holder = task.lease().expect("it was just acquired").holder();
//! ledger.heartbeat("build-42", &holder).progress(json!({"percent": 40})).await?;
//! let done = ledger.complete("build-42", &holder).result(json!({"pr": 12})).await?;
//! assert_eq!(done.state().as_str(), "completed");
//!
//! let refused = ledger.acquire("build-42", "w2").await.expect_err("it has ended");
//! assert_eq!(refused.code().map(|code| code.as_str()), Some("terminal"));
//! # Ok::<(), tenure::Error>(()) }).unwrap();
//! ```

mod builder;
mod call;
#[cfg(feature = "postgres")]
mod in_transaction;
mod notes;
mod retention;
mod set;
mod sweeps;
mod to_json;
mod tokens;
mod verbs;
mod waiting;

use std::sync::Arc;

use tenure_api::{instant, json};
use tenure_core::command::Command;
use tenure_core::id::{Actor, Namespace, TaskId};
use tenure_core::refusal::{Code, Refusal};
use tenure_core::task::Task;
use tenure_core::time::Time;
use tenure_store::Error;
use tenure_store::entropy::{Entropy, SystemEntropy};
use tenure_store::overview::{Holding, Overview};
use tenure_store::watch::Watchers;
use tenure_store::{Answer, Cursor, EventFilter, Filter, Lapsed, Page, PageSize, Recorded, Store};

use crate::audit::{Anchor, AnchorRoom, VerifyProgress, VerifyReport};
use crate::why::{Why, why_watched};

pub use builder::{LedgerBuilder, url_without_secrets};
pub use call::{Call, Verb};
pub(crate) use call::{FromAnswer, send};
pub use notes::Note;
pub use to_json::{JsonText, ToJson};
pub use tokens::CreateToken;
pub use verbs::*;
pub(crate) use waiting::claim_until;

/// The namespace where none is named.
pub const DEFAULT_NAMESPACE: &str = "default";

/// A store, seen from one namespace by one actor. Cheap to clone; clones share the store.
#[derive(Clone)]
pub struct Ledger {
    store: Arc<dyn Store>,
    namespace: Namespace,
    actor: Option<Actor>,
    entropy: Arc<dyn Entropy>,
}

impl Ledger {
    /// A ledger on an existing store.
    pub fn with_store(store: Arc<dyn Store>) -> Ledger {
        let namespace = Namespace::new(DEFAULT_NAMESPACE);
        let namespace = namespace.unwrap_or_else(|_| unreachable!("the default namespace is a valid name"));
        Ledger { store, namespace, actor: None, entropy: Arc::new(SystemEntropy) }
    }

    /// The same store in another namespace.
    pub fn in_namespace(&self, namespace: &str) -> Result<Ledger, Error> {
        Ok(Ledger { namespace: Namespace::new(namespace)?, ..self.clone() })
    }

    /// The same store with another actor. Without an actor, the owner of the lease is the actor.
    pub fn acting_as(&self, actor: &str) -> Result<Ledger, Error> {
        Ok(Ledger { actor: Some(Actor::named("as", actor)?), ..self.clone() })
    }

    /// The store itself.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The same ledger on another store. Use it to wrap the store, for example to collect metrics.
    pub fn on_store(&self, store: Arc<dyn Store>) -> Ledger {
        Ledger { store, ..self.clone() }
    }

    /// The source of ids and jitter.
    pub fn entropy(&self) -> &dyn Entropy {
        self.entropy.as_ref()
    }

    /// The namespace of this ledger.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Sends many commands together. Each is decided separately, in order. They share one commit, unless
    /// their tasks are large.
    pub async fn transact(&self, commands: Vec<Command>) -> Vec<Result<Answer, Error>> {
        let checked: Vec<Result<Command, Error>> = commands.into_iter().map(canonical).collect();
        let whole = checked.iter().filter_map(|command| command.as_ref().ok()).cloned().collect();
        let mut answers = self.store.transact(whole).await.into_iter();
        let missing = || Err(Error::Unknown("the store gave no answer".into()));
        checked
            .into_iter()
            .map(|command| command.and_then(|_| answers.next().unwrap_or_else(missing)))
            .collect()
    }

    /// The task with that id; refused with `not_found` if it does not exist.
    pub async fn task(&self, id: &str) -> Result<Task, Error> {
        let id = TaskId::new(id)?;
        match self.store.task(self.namespace.clone(), id.clone()).await? {
            Some(task) => Ok(task),
            None => Err(self.no_task(&id).await),
        }
    }

    /// The newest tasks of this namespace that match the filter, starting after `after`. Large tasks end a
    /// page early, see [`PageSize`]; its `next` is where the list continues.
    pub async fn tasks(
        &self,
        filter: Filter,
        after: Option<Cursor>,
        size: impl Into<PageSize>,
    ) -> Result<Page<Task>, Error> {
        let filter = filter.with(|filter| filter.namespace = Some(self.namespace.clone()));
        self.store.tasks(filter, after, size.into()).await
    }

    /// The tasks of this namespace whose lease or reservation has lapsed.
    pub async fn stale(&self, after: Option<Cursor>, size: impl Into<PageSize>) -> Result<Page<Task>, Error> {
        self.tasks(Filter::default().with(|filter| filter.stale = true), after, size).await
    }

    /// An overview of this namespace.
    pub async fn overview(&self) -> Result<Overview, Error> {
        self.store.overview(self.namespace.clone()).await
    }

    /// Explains the state of a task in one sentence, with what prevents recovery, if anything does.
    pub async fn why(&self, id: &str) -> Result<Why, Error> {
        let (task, watchers) = (self.task(id).await?, self.watchers().await?);
        Ok(why_watched(&task, self.now().await?, &watchers))
    }

    /// The recovery processes that handle the stale tasks of this namespace.
    pub async fn watchers(&self) -> Result<Watchers, Error> {
        self.store.watchers(self.namespace.clone()).await
    }

    /// The owners in this namespace and what they hold.
    pub async fn holdings(&self) -> Result<Vec<Holding>, Error> {
        self.store.holdings(self.namespace.clone()).await
    }

    /// The tasks that recovery should handle next, in every namespace.
    pub async fn lapsed(&self, after: Option<Cursor>, limit: usize) -> Result<Lapsed, Error> {
        self.store.lapsed(after, limit).await
    }

    /// The history of this namespace after `after`, oldest first.
    pub async fn events(
        &self,
        after: Option<Cursor>,
        size: impl Into<PageSize>,
    ) -> Result<Page<Recorded>, Error> {
        let filter = self.event_filter(None);
        self.store.events(filter, after, size.into()).await
    }

    /// The history of one task after `after`, oldest first.
    pub async fn history(
        &self,
        id: &str,
        after: Option<Cursor>,
        size: impl Into<PageSize>,
    ) -> Result<Page<Recorded>, Error> {
        let filter = self.event_filter(Some(TaskId::new(id)?));
        self.store.events(filter, after, size.into()).await
    }

    /// Follows the history of this namespace after `after`, and waits for new events.
    pub fn follow(&self, after: Option<Cursor>) -> Follower {
        self.follower(None, after)
    }

    /// Follows the history of one task after `after`. It goes on after the task's end, because notes may
    /// come.
    pub fn follow_task(&self, id: &str, after: Option<Cursor>) -> Result<Follower, Error> {
        Ok(self.follower(Some(TaskId::new(id)?), after))
    }

    fn event_filter(&self, task: Option<TaskId>) -> EventFilter {
        EventFilter::default().with(|filter| {
            filter.namespace = Some(self.namespace.clone());
            filter.task = task;
        })
    }

    fn follower(&self, task: Option<TaskId>, after: Option<Cursor>) -> Follower {
        let filter = self.event_filter(task);
        let (page, unreadable) = (Vec::new().into_iter(), Vec::new().into_iter());
        Follower { store: Arc::clone(&self.store), filter, after, page, unreadable, then: None }
    }

    /// The newest cursor of the history. Later events come after it.
    pub async fn newest(&self) -> Result<Cursor, Error> {
        self.store.newest().await
    }

    /// The store's time, by which every decision is made.
    pub async fn now(&self) -> Result<Time, Error> {
        self.store.now().await
    }

    /// The time for which an answer says whether its task is stale. The command was done, so it must not fail because the clock
    /// can't be read.
    #[doc(hidden)]
    pub async fn time_for(&self, answer: &Answer) -> Time {
        match (tenure_store::record::known_time(answer), answer) {
            (Some(time), _) => time,
            (None, Answer::Task(task) | Answer::Retried(task, _)) => {
                self.now().await.unwrap_or(task.updated_at)
            }
            (None, Answer::Claimed(_) | Answer::Renewed(_) | Answer::Minimal(_)) => Time::MIN,
        }
    }

    /// Verifies every chain of the store, in all namespaces, and compares them with an anchor if one is
    /// given.
    pub async fn verify(&self, anchor: Option<&Anchor>) -> Result<VerifyReport, Error> {
        self.verify_watched(anchor, &VerifyProgress::default()).await
    }

    /// The same, and counts what is verified already, for somebody who waits.
    pub async fn verify_watched(
        &self,
        anchor: Option<&Anchor>,
        progress: &VerifyProgress,
    ) -> Result<VerifyReport, Error> {
        crate::audit::verify(self.store.as_ref(), anchor, None, progress).await
    }

    /// Verifies the chain of one task of this namespace, and compares it with its line of an anchor if one is
    /// given. Refused with `not_found` if neither the task nor an event of it exists.
    pub async fn verify_task(&self, id: &str, anchor: Option<&Anchor>) -> Result<VerifyReport, Error> {
        let id = TaskId::new(id)?;
        let name = (self.namespace.clone(), id.clone().into());
        match crate::audit::verify_task(self.store.as_ref(), name, anchor).await? {
            Some(report) => Ok(report),
            None => Err(self.no_task(&id).await),
        }
    }

    /// Says that there is no such task, and of a pruned one, when it ended and went.
    async fn no_task(&self, id: &TaskId) -> Error {
        let namespace = &self.namespace;
        let words = match self.store.retention().pruned(namespace.clone(), id.clone()).await {
            Ok(None) => format!("there is no task {id} in the namespace {namespace}"),
            Ok(Some(pruned)) => format!(
                "the task {id} in the namespace {namespace} was pruned at {}: it ended as {} at {} after {} events, with the \
                 head {}; its id stays taken",
                instant::print_seconds(pruned.pruned_at),
                pruned.state.state().as_str(),
                instant::print_seconds(pruned.finished_at),
                pruned.number,
                pruned.head
            ),
            Err(error) => return error,
        };
        Refusal::new(Code::NotFound, words).into()
    }

    /// Verifies every chain of this namespace. Of an anchor, also of one of the whole store, only the lines of this namespace are
    /// compared.
    pub async fn verify_namespace(&self, anchor: Option<&Anchor>) -> Result<VerifyReport, Error> {
        self.verify_namespace_watched(anchor, &VerifyProgress::default()).await
    }

    /// The same, and counts what is verified already, for somebody who waits.
    pub async fn verify_namespace_watched(
        &self,
        anchor: Option<&Anchor>,
        progress: &VerifyProgress,
    ) -> Result<VerifyReport, Error> {
        crate::audit::verify(self.store.as_ref(), anchor, Some(&self.namespace), progress).await
    }

    /// An anchor of the store, to keep elsewhere. With it, a later [`Ledger::verify`] finds what was cut off
    /// or removed.
    pub async fn anchor(&self) -> Result<Anchor, Error> {
        crate::audit::anchor(self.store.as_ref(), None, None).await
    }

    /// The same of this namespace alone.
    pub async fn anchor_of_namespace(&self) -> Result<Anchor, Error> {
        crate::audit::anchor(self.store.as_ref(), Some(&self.namespace), None).await
    }

    /// The same, as long as `room` grants what it takes: it is asked before more lines are kept, and ends it by an error.
    pub async fn anchor_of_namespace_within(&self, room: &AnchorRoom<'_>) -> Result<Anchor, Error> {
        crate::audit::anchor(self.store.as_ref(), Some(&self.namespace), Some(room)).await
    }
}

/// Reads a history as it grows.
pub struct Follower {
    store: Arc<dyn Store>,
    filter: EventFilter,
    after: Option<Cursor>,
    page: std::vec::IntoIter<Recorded>,
    unreadable: std::vec::IntoIter<String>,
    /// Where it continues after the page.
    then: Option<Cursor>,
}

impl Follower {
    const PAGE: PageSize = PageSize { items: 256, bytes: 1024 * 1024 };

    /// The next event, as soon as there is one. Each event comes once, in order. Cancelling the wait loses
    /// none. An event that can't be read is reported as *corrupt*, once, after those that were read with it,
    /// and then skipped.
    pub async fn next(&mut self) -> Result<Recorded, Error> {
        loop {
            if let Some(recorded) = self.page.next() {
                self.after = Some(recorded.cursor.clone());
                return Ok(recorded);
            }
            if let Some(words) = self.unreadable.next() {
                return Err(Error::Corrupt(words.into()));
            }
            self.after = self.then.take().or(self.after.take());
            self.store.more_events(self.after.clone()).await?;
            let page = self.store.events(self.filter.clone(), self.after.clone(), Self::PAGE).await?;
            (self.page, self.unreadable) = (page.items.into_iter(), page.unreadable.into_iter());
            self.then = page.next;
        }
    }

    /// The cursor of this follower. Another follower that starts here continues with the next event.
    pub fn cursor(&self) -> Option<&Cursor> {
        self.after.as_ref()
    }
}

/// The command with its JSON in canonical form: a command made by hand may contain any form.
fn canonical(mut command: Command) -> Result<Command, Error> {
    command.action.documents_mut().into_iter().try_for_each(|(field, document)| {
        *document = json::document(field, document.as_str())?;
        Ok::<_, Error>(())
    })?;
    if let Some(progress) = command.action.progress_mut() {
        *progress = json::progress(progress.as_str())?;
    }
    Ok(command)
}
