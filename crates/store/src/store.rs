//! The `Store` trait: what a store must do. It contains no rules about tasks.

use std::any::Any;
use std::pin::Pin;

use tenure_core::command::Command;
use tenure_core::event::Subject;
use tenure_core::id::{Actor, CursorName, Namespace, Queue, RequestId, Revision, TaskId};
use tenure_core::task::Task;
use tenure_core::time::Time;

use crate::access::{ListedToken, NewToken, Token, TokenHash, TokenToRevoke, Tokens};
use crate::answer::Answer;
use crate::answering::{AnswerOptions, Answered};
use crate::error::Error;
use crate::health::{IntegrityCheck, StoreHealth};
use crate::history::{EventFilter, EventSearch, FoundHistory, Recorded};
use crate::list::{Cursor, Filter, Lapsed, Page, PageSize};
use crate::metrics::StoreMetrics;
use crate::namespace_history::SweepNote;
use crate::overview::{Holding, Overview};
use crate::retention::{
    AnchorPurpose, AnchorRecord, CursorMove, CursorRow, EndedTask, NamedCursor, NewAnchor, PruneFilter,
    PruneStep, PrunedTask,
};
use crate::stored::StoredChain;
use crate::transfer::{CarriedRequest, ReplayBatch, ReplayVerdict, StoreContents};
use crate::waiting::{Found, LOOK_APART};
use crate::watch::{Absence, Presence, Watchers};

/// A future in a box: stores are used behind `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Who may implement [`Store`]: the stores of Tenure, and what Tenure puts around one.
pub trait InternalStore {}

/// What to do if the store does not exist.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum IfMissing {
    /// Create it.
    #[default]
    Make,
    /// Refuse to open it: a caller that needs the existing data must not get an empty store.
    Refuse,
}

/// What a store is opened for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum StoreAccess {
    /// Everything.
    #[default]
    ReadWrite,
    /// Reading alone. Nothing is created, migrated or written, and nothing of it waits among the writers. Commands are
    /// answered with *unavailable*.
    ReadOnly,
}

/// The error of a write to a store that was opened to read only.
#[doc(hidden)]
pub fn opened_to_read_only() -> Error {
    Error::Unavailable("the store was opened to read only".into())
}

/// The error of opening a store of an earlier version to read only.
#[doc(hidden)]
pub fn older_schema(shown: &str) -> Error {
    let words =
        "has an older schema, which must be migrated before it can be read; opening it to write does that";
    Error::Unavailable(format!("{shown}: {words}").into())
}

/// The state of a store's schema.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SchemaState {
    /// Nothing yet; opening creates it.
    Missing,
    /// A store of an earlier version. Opening migrates it; older programs can't open it after that.
    Older,
    /// A store of this version.
    Current,
    /// A store of a later version. This program can't open it.
    Newer {
        /// Its version.
        found: usize,
        /// The newest version that this program knows.
        known: usize,
    },
    /// Something else: another program's tables, or no database at all. It can't be opened.
    Foreign,
}

/// A store of tasks. All stores behave the same in everything that a caller can observe.
///
/// Only the stores of Tenure implement it: so it can grow in any version.
pub trait Store: InternalStore + Send + Sync {
    /// Decides the commands in order, each atomically. A later one sees what an earlier one did, and a
    /// refusal does not affect the others. The answers come after the commit.
    ///
    /// It decides as many as fit into the transaction and the answers, and returns the rest. Without limits
    /// in the options, it decides at least one.
    fn transact_within(&self, commands: Vec<Command>, options: AnswerOptions) -> BoxFuture<'_, Answered>;

    /// The same with all of the commands, in as many transactions as that takes, and whole answers.
    fn transact(&self, commands: Vec<Command>) -> BoxFuture<'_, Vec<Result<Answer, Error>>> {
        Box::pin(async move {
            let Answered { mut answers, mut rest, .. } =
                self.transact_within(commands, AnswerOptions::default()).await;
            while !rest.is_empty() {
                let more = self.transact_within(rest, AnswerOptions::default()).await;
                answers.extend(more.answers);
                rest = more.rest;
            }
            answers
        })
    }

    /// The task as it is stored.
    fn task(&self, namespace: Namespace, id: TaskId) -> BoxFuture<'_, Result<Option<Task>, Error>>;

    /// The newest tasks that match the filter, starting after `after`. A page size of 0 items counts as 1,
    /// here and below.
    fn tasks(
        &self,
        filter: Filter,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<Task>, Error>>;

    /// The tasks that recovery should handle next, in all namespaces.
    fn lapsed(&self, after: Option<Cursor>, limit: usize) -> BoxFuture<'_, Result<Lapsed, Error>>;

    /// An overview of a namespace.
    fn overview(&self, namespace: Namespace) -> BoxFuture<'_, Result<Overview, Error>>;

    /// The owners in a namespace and what they hold, by name.
    fn holdings(&self, namespace: Namespace) -> BoxFuture<'_, Result<Vec<Holding>, Error>>;

    /// When a claim of the queue can next find a task: now or earlier if one is due, none if nothing waits. A
    /// hint: another claim may be faster.
    fn claimable_at(&self, namespace: Namespace, queue: Queue) -> BoxFuture<'_, Result<Option<Time>, Error>>;

    /// Waits until a claim of the queue may find a task. What becomes due after this was called ends the wait, so it is
    /// called before the claim that may find nothing. A hint: another claim may be faster.
    fn until_claimable(&self, namespace: Namespace, queue: Queue) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(look_until_due(self, namespace, queue))
    }

    /// Whether the store remembers a command with that request id.
    fn remembers(&self, namespace: Namespace, id: RequestId) -> BoxFuture<'_, Result<bool, Error>>;

    /// The history after `after`, oldest first. Even the last page has a `next`, because the history goes on.
    fn events(
        &self,
        filter: EventFilter,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<Recorded>, Error>>;

    /// The events of a namespace that match, in the order of the search, starting after `after`. Of each page a bounded number of
    /// events is looked at: a page may have no events and still a `next`.
    ///
    /// On PostgreSQL events are ordered by their commits, and times of different tasks may differ from that order by up to a minute.
    fn search_events(
        &self,
        search: EventSearch,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<FoundHistory, Error>>;

    /// The newest cursor of the history: later events come after it.
    fn newest(&self) -> BoxFuture<'_, Result<Cursor, Error>>;

    /// Resolves when there may be events after `after`.
    fn more_events(&self, after: Option<Cursor>) -> BoxFuture<'_, Result<(), Error>>;

    /// Chains to verify, in a stable order, starting after `after`; including events that belong to no task.
    fn chains(
        &self,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<StoredChain>, Error>>;

    /// The chain of one task, or of a namespace itself, to verify; none if neither that nor an event of it exists.
    fn chain(
        &self,
        namespace: Namespace,
        subject: Subject,
    ) -> BoxFuture<'_, Result<Option<StoredChain>, Error>>;

    /// Notes a sweep of recovery in the history of a namespace: one event, whose number it returns. A sweep that moved nothing is
    /// refused `invalid`. A repeat is another event: nothing tells it from a second sweep.
    fn note_sweep(&self, note: SweepNote) -> BoxFuture<'_, Result<Revision, Error>>;

    /// Reports that recovery runs now, and returns the last absence. Loops call it every second.
    fn watch(&self, presence: Presence) -> BoxFuture<'_, Result<Option<Absence>, Error>>;

    /// The recovery processes of a namespace.
    fn watchers(&self, namespace: Namespace) -> BoxFuture<'_, Result<Watchers, Error>>;

    /// Every namespace that has a task, by name. The cost depends on the number of namespaces, not of tasks.
    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Namespace>, Error>>;

    /// All tokens; none if nothing changed since that version, which needs only one small read.
    fn tokens(&self, known: Option<u64>) -> BoxFuture<'_, Result<Option<Tokens>, Error>>;

    /// Adds a token with the hash of its secret, at the store's time. Refused with `exists` while a token
    /// with that name is live. A repeat with the same hash gets the first answer.
    fn add_token(&self, hash: TokenHash, new: NewToken) -> BoxFuture<'_, Result<Token, Error>>;

    /// Revokes the token with that name; a revoked token is returned unchanged. Refused with `not_found` if
    /// there never was one, and with `exists` if the hash is given and is not that of the newest token with the name.
    fn revoke_token(&self, which: TokenToRevoke, by: Actor) -> BoxFuture<'_, Result<Token, Error>>;

    /// The store's time.
    fn now(&self) -> BoxFuture<'_, Result<Time, Error>>;

    /// The metrics of the store. A store may have none.
    fn metrics(&self) -> BoxFuture<'_, Result<StoreMetrics, Error>> {
        Box::pin(async { Ok(StoreMetrics::default()) })
    }

    /// What the store knows about its file or its database. Reading a file to see whether it is whole takes time.
    fn health(&self, _check: IntegrityCheck) -> BoxFuture<'_, Result<StoreHealth, Error>> {
        Box::pin(async { Ok(StoreHealth::default()) })
    }

    /// The store as one that can be moved; none if it is reached through servers: an export or an import runs beside the database.
    fn transfer(&self) -> Option<&dyn TransferStore> {
        None
    }

    /// The store as one that retention works on.
    fn retention(&self) -> &dyn RetentionStore;

    /// The store as what it is, for what only one kind of store can do. A store around another gives that one.
    fn as_any(&self) -> &dyn Any;
}

/// What the move of a store needs besides its other reads. Who may do that has the database itself in hand.
pub trait TransferStore: InternalStore + Send + Sync {
    /// What the store has that is neither a task nor an event.
    fn contents(&self) -> BoxFuture<'_, Result<StoreContents, Error>>;

    /// The newest cursor, as soon as all that was committed before this call is visible up to there.
    fn end_of_history(&self) -> BoxFuture<'_, Result<Cursor, Error>>;

    /// The remembered request ids by namespace and id, starting after `after`; empty at the end. Those that are no longer
    /// remembered may be among them.
    fn requests(
        &self,
        after: Option<(Namespace, RequestId)>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<CarriedRequest>, Error>>;

    /// Takes items of an export in one transaction, in their order, and says what became of each. An error means that none was
    /// taken, or, if it is [`Error::Unknown`], that nobody can say; then they may be given again.
    fn replay(&self, batch: ReplayBatch) -> BoxFuture<'_, Result<Vec<ReplayVerdict>, Error>>;

    /// Takes a token of another store as it is there. Refused with `exists` if its name is in use here.
    fn carry_token(&self, token: ListedToken) -> BoxFuture<'_, Result<Token, Error>>;

    /// How many times tasks were pruned. Who reads the history in pages compares it: a page has nothing of what went before it was read.
    fn prunes(&self) -> BoxFuture<'_, Result<u64, Error>>;

    /// What is left of the tasks that were pruned behind that anchor, by namespace and id.
    fn pruned_behind(&self, anchor: u64) -> BoxFuture<'_, Result<Vec<PrunedTask>, Error>>;

    /// The named cursors of all namespaces, by namespace and name, starting after `after`; empty at the end.
    fn followers(
        &self,
        after: Option<(Namespace, CursorName)>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<CursorRow>, Error>>;

    /// A named cursor as it is stored.
    fn follower(
        &self,
        namespace: Namespace,
        name: CursorName,
    ) -> BoxFuture<'_, Result<Option<CursorRow>, Error>>;

    /// Adds a named cursor as it was in another store, at a place of this one. Refused with `exists` if there is one with its name.
    fn carry_follower(&self, row: CursorRow) -> BoxFuture<'_, Result<(), Error>>;
}

/// What a store does for retention. Only stores that have the database in hand prune.
pub trait RetentionStore: InternalStore + Send + Sync {
    /// Ended tasks that the filter takes, the oldest first, starting after `after`, with what holds each of them back. Of each page
    /// a bounded number of tasks is looked at: a page may have none and still a `next`.
    fn prunable(
        &self,
        filter: PruneFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page<EndedTask>, Error>>;

    /// The chains of these tasks, to be verified before they are pruned. A task that is gone is left out.
    fn chains_of(&self, tasks: Vec<(Namespace, TaskId)>) -> BoxFuture<'_, Result<Vec<StoredChain>, Error>>;

    /// Prunes in one transaction: records an anchor over the tasks, and what is left of each, and deletes the rest. A task that is
    /// not as it is given, that the filter does not take, or that a named cursor still needs, stays and is left out of the answer.
    fn prune(&self, step: PruneStep) -> BoxFuture<'_, Result<Vec<PrunedTask>, Error>>;

    /// What is left of a pruned task.
    fn pruned(&self, namespace: Namespace, id: TaskId) -> BoxFuture<'_, Result<Option<PrunedTask>, Error>>;

    /// What is left of all pruned tasks, by namespace and id, starting after `after`.
    fn pruned_tasks(
        &self,
        after: Option<Cursor>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page<PrunedTask>, Error>>;

    /// The recorded anchors behind that number, the oldest first.
    fn anchors(&self, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<AnchorRecord>, Error>>;

    /// The anchor for that purpose that was made last. What was imported has a later number and was made earlier.
    fn newest_anchor(&self, purpose: AnchorPurpose) -> BoxFuture<'_, Result<Option<AnchorRecord>, Error>>;

    /// Records that an anchor was made to verify against.
    fn record_anchor(&self, anchor: NewAnchor) -> BoxFuture<'_, Result<AnchorRecord, Error>>;

    /// The named cursors of a namespace, by name.
    fn named_cursors(&self, namespace: Namespace) -> BoxFuture<'_, Result<Vec<NamedCursor>, Error>>;

    /// Moves a named cursor forward, and makes it where there is none. Refused with `stale_write` if it is further already.
    fn move_cursor(&self, moving: CursorMove) -> BoxFuture<'_, Result<NamedCursor, Error>>;

    /// Deletes a named cursor; refused with `not_found` if there is none with that name.
    fn forget_cursor(
        &self,
        namespace: Namespace,
        name: CursorName,
    ) -> BoxFuture<'_, Result<NamedCursor, Error>>;
}

/// Looks into a queue for a task that can be claimed.
#[doc(hidden)]
pub async fn find_due<S: Store + ?Sized>(
    store: &S,
    namespace: Namespace,
    queue: Queue,
) -> Result<Found, Error> {
    let at = store.claimable_at(namespace, queue).await?;
    Ok(Found::at(at, store.now().await?))
}

/// For stores without signals: looks whenever something happens.
async fn look_until_due<S: Store + ?Sized>(
    store: &S,
    namespace: Namespace,
    queue: Queue,
) -> Result<(), Error> {
    loop {
        tokio::time::sleep(LOOK_APART).await;
        // The cursor is read before the look, so that an event during the look ends the rest after it.
        let place = store.newest().await?;
        let found = find_due(store, namespace.clone(), queue.clone()).await?;
        if let Found::Due = found {
            return Ok(());
        }
        // To wait in vain is as good as an event: either way it looks again.
        let _ = tokio::time::timeout(found.rest(), store.more_events(Some(place))).await;
    }
}
