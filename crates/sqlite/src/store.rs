//! The store itself: opens the file, and sends commands to its writer and questions to its readers.

mod moving;
mod retaining;

use std::any::Any;
use std::cmp::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tenure_clock::{Clock, LastInstant, Moment};
use tenure_core::command::Command;
use tenure_core::event::Subject;
use tenure_core::id::{Actor, Namespace, Queue, RequestId, Revision, TaskId};
use tenure_core::task::Task;
use tenure_core::time::Time;
use tenure_store::RetentionStore;
use tenure_store::access::{NewToken, Token, TokenHash, TokenToRevoke, Tokens};
use tenure_store::answering::{AnswerOptions, Answered};
use tenure_store::committer::{Committer, Limits};
use tenure_store::health::{IntegrityCheck, StoreHealth};
use tenure_store::metrics::{Counters, StoreMetrics};
use tenure_store::namespace_history::SweepNote;
use tenure_store::overview::{Holding, Overview};
use tenure_store::pool::Pool;
use tenure_store::stored::StoredChain;
use tenure_store::tokens::TokenChange;
use tenure_store::transfer::{ReplayBatch, ReplayVerdict};
use tenure_store::watch::{Absence, Presence, Watchers};
use tenure_store::{
    BoxFuture, Cursor, EventFilter, EventSearch, Filter, FoundHistory, IfMissing, Lapsed, Page, PageSize,
    Recorded, SchemaState, Store, StoreAccess, TransferStore, find_due, opened_to_read_only,
};
use tenure_store::{Error, Failure};
use tokio::sync::watch;

use crate::engine::{Signals, SqliteEngine};
use crate::open::{SqliteFile, no_store_at, plain_path};
use crate::options::SqliteOptions;
use crate::read::SqliteReader;
use crate::same_file::SameFile;
use crate::{health, namespaces, retention, tokens, transfer, watch as watchers};

/// How often a follower looks whether another process wrote.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A store on an SQLite file.
pub struct SqliteStore {
    readers: Arc<Readers>,
    /// None if it was opened to read only.
    committer: Option<Committer>,
    counters: Arc<Counters>,
    signals: Signals,
    /// Held by the one of all who wait that looks for writes of other processes.
    looking: tokio::sync::Mutex<()>,
    looked_at: Mutex<Moment>,
}

impl SqliteStore {
    /// Opens the file, making or migrating it first.
    pub async fn open(options: SqliteOptions) -> Result<SqliteStore, Error> {
        blocking(move || SqliteStore::open_now(options)).await
    }

    /// The state of the file, without changing it.
    pub async fn condition(options: SqliteOptions) -> Result<SchemaState, Error> {
        let SqliteOptions { path, synchronous, .. } = options;
        blocking(move || SqliteFile::new(plain_path(&path)?, synchronous).condition()).await
    }

    fn open_now(options: SqliteOptions) -> Result<SqliteStore, Error> {
        let path = plain_path(&options.path)?;
        let may_be_made = options.missing == IfMissing::Make && options.access == StoreAccess::ReadWrite;
        let database = match options.access {
            StoreAccess::ReadWrite => SqliteFile::new(path, options.synchronous),
            StoreAccess::ReadOnly => SqliteFile::to_read(path),
        };
        if !may_be_made && database.is_absent()? {
            return Err(no_store_at(&database.path));
        }
        match options.access {
            StoreAccess::ReadWrite => database.prepare(options.wait_max, options.marked)?,
            StoreAccess::ReadOnly => database.is_current()?,
        }
        let file = SameFile::at(&database.path).map_err(|error| {
            Error::Unavailable(Failure::new(format!("{}: {error}", database.path.display()), error))
        })?;
        let file = Arc::new(file);
        let signals = Signals::default();
        let last = LastInstant::default();
        let counters = Arc::<Counters>::default();
        let committer = match options.access {
            StoreAccess::ReadWrite => {
                let seen = (Arc::clone(&options.clock), last.clone());
                let engine = SqliteEngine::open(database.clone(), Arc::clone(&file), seen, signals.clone())?;
                let limits = Limits { wait_max: options.wait_max, ..Limits::default() };
                let started = Committer::start("tenure-commit", engine, limits, Arc::clone(&counters));
                Some(started.map_err(|error| {
                    Error::Unavailable(Failure::new(format!("can't start the commit thread: {error}"), error))
                })?)
            }
            StoreAccess::ReadOnly => None,
        };
        let readers = Readers { database, file, clock: options.clock, last, pool: Pool::of(Readers::MAX) };
        Ok(SqliteStore {
            readers: Arc::new(readers),
            committer,
            counters,
            signals,
            looking: tokio::sync::Mutex::default(),
            looked_at: Mutex::new(Moment::now()),
        })
    }

    /// The place of the newest event, announced to all who wait for events.
    async fn look_for_all(&self) -> Result<i64, Error> {
        let newest = self.read(|reader| reader.newest_place()).await?;
        // The writer of this process has announced its own, and what others wrote before these.
        if self.signals.tell_newest(newest) {
            self.signals.others_wrote.send_modify(|times| *times += 1);
        }
        Ok(newest)
    }

    /// Waits for a signal. Writes of other processes give none, so one of all who wait polls the file from time to time.
    async fn poll<T>(&self, signals: &mut watch::Receiver<T>) -> Result<(), Error> {
        tokio::select! {
            // The sender lives as long as the store.
            _ = signals.changed() => Ok(()),
            failed = self.look_again_and_again() => Err(failed),
        }
    }

    /// Looks for all who wait, one of them at a time.
    async fn look_again_and_again(&self) -> Error {
        let overdue = 20 * LOOK_EVERY;
        let _looking = loop {
            match tokio::time::timeout(overdue, self.looking.lock()).await {
                Ok(looking) => break Some(looking),
                // Its owner does not poll it any more.
                Err(_) if self.since_last_look() > overdue => break None,
                Err(_) => {}
            }
        };
        loop {
            tokio::time::sleep(LOOK_EVERY.saturating_sub(self.since_last_look())).await;
            let looked = self.look_for_all().await;
            *self.looked_at.lock().unwrap_or_else(PoisonError::into_inner) = Moment::now();
            if let Err(error) = looked {
                return error;
            }
        }
    }

    fn since_last_look(&self) -> Duration {
        Moment::now().since(*self.looked_at.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }

    /// Resolves when another process may have written events.
    async fn until_others_write(&self, mut others_wrote: watch::Receiver<u64>) {
        // A poll that fails is repeated a while later.
        while self.poll(&mut others_wrote).await.is_err() {}
    }

    /// Refuses a write, if it was opened to read only.
    fn may_write(&self) -> Result<&Committer, Error> {
        self.committer.as_ref().ok_or_else(opened_to_read_only)
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut SqliteReader<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        // At most as many at once as the pool has connections; the others wait.
        let readers = Arc::clone(&self.readers);
        let free = readers.pool.wait().await?;
        let read = move || {
            let answer = readers.read(read);
            drop(free);
            answer
        };
        blocking(read).await
    }
}

/// Connections that only read.
struct Readers {
    database: SqliteFile,
    file: Arc<SameFile>,
    clock: Arc<dyn Clock>,
    last: LastInstant,
    pool: Pool<Connection>,
}

impl Readers {
    const MAX: usize = 8;

    fn read<T>(&self, read: impl FnOnce(&mut SqliteReader<'_>) -> Result<T, Error>) -> Result<T, Error> {
        self.file.check()?;
        let connection = self.pool.take().map_or_else(|| self.database.connect_to_read(), Ok)?;
        let mut reader = SqliteReader::new(&connection, &self.database, self.clock.as_ref(), self.last.get());
        let answer = read(&mut reader);
        if answer.is_ok() {
            self.pool.keep(connection);
        }
        answer
    }
}

impl Readers {
    fn renew_watch(&self, presence: &Presence) -> Result<Option<Absence>, Error> {
        let Readers { database, file, clock, last, .. } = self;
        file.check()?;
        watchers::renew(database, clock.as_ref(), last.get(), presence)
    }

    fn replay(&self, batch: &ReplayBatch) -> Result<Vec<ReplayVerdict>, Error> {
        let Readers { database, file, clock, last, .. } = self;
        file.check()?;
        transfer::take(database, clock.as_ref(), last.get(), batch)
    }

    fn note_sweep(&self, note: SweepNote) -> Result<Revision, Error> {
        let Readers { database, file, clock, last, .. } = self;
        file.check()?;
        namespaces::note(database, clock.as_ref(), last.get(), note)
    }

    fn change_tokens(&self, change: TokenChange) -> Result<Token, Error> {
        let Readers { database, file, clock, last, .. } = self;
        file.check()?;
        tokens::change(database, clock.as_ref(), last.get(), change)
    }

    fn write_retention(&self, write: retention::RetentionWrite) -> Result<retention::Written, Error> {
        let Readers { database, file, clock, last, .. } = self;
        file.check()?;
        retention::write(database, clock.as_ref(), last.get(), write)
    }
}

impl SqliteStore {
    fn write_retention(
        &self,
        write: retention::RetentionWrite,
    ) -> BoxFuture<'_, Result<retention::Written, Error>> {
        let readers = Arc::clone(&self.readers);
        Box::pin(async move {
            self.may_write()?;
            blocking_write(move || readers.write_retention(write)).await
        })
    }

    fn change_tokens(&self, change: TokenChange) -> BoxFuture<'_, Result<Token, Error>> {
        let readers = Arc::clone(&self.readers);
        Box::pin(async move {
            self.may_write()?;
            blocking_write(move || readers.change_tokens(change)).await
        })
    }
}

/// SQLite blocks, so it runs where blocking is allowed.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(boxed(work)).await;
    done.unwrap_or_else(|error| {
        Err(Error::Unavailable(Failure::new(format!("reading from the store failed: {error}"), error)))
    })
}

/// The same for a write, which may have been done even if it ended early.
async fn blocking_write<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(boxed(work)).await;
    done.unwrap_or_else(|error| {
        Err(Error::Unknown(Failure::new(
            format!("a write to the store ended early; it may have been done: {error}"),
            error,
        )))
    })
}

/// So Tokio's code is compiled once for each type of answer, not for each closure.
fn boxed<T>(work: impl FnOnce() -> T + Send + 'static) -> Box<dyn FnOnce() -> T + Send> {
    Box::new(work)
}

impl tenure_store::InternalStore for SqliteStore {}

impl Store for SqliteStore {
    fn transact_within(&self, commands: Vec<Command>, options: AnswerOptions) -> BoxFuture<'_, Answered> {
        match self.may_write() {
            Ok(committer) => Box::pin(committer.submit(commands, options)),
            Err(error) => {
                let answers = Answered::all(vec![Err(error); commands.len()]);
                Box::pin(std::future::ready(answers))
            }
        }
    }

    fn task(&self, namespace: Namespace, id: TaskId) -> BoxFuture<'_, Result<Option<Task>, Error>> {
        Box::pin(self.read(move |reader| reader.task(&namespace, &id)))
    }

    fn tasks(
        &self,
        filter: Filter,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<Task>, Error>> {
        Box::pin(async move {
            filter.check()?;
            self.read(move |reader| reader.tasks(&filter, after.as_ref(), size)).await
        })
    }

    fn lapsed(&self, after: Option<Cursor>, limit: usize) -> BoxFuture<'_, Result<Lapsed, Error>> {
        Box::pin(self.read(move |reader| reader.lapsed(after.as_ref(), limit)))
    }

    fn overview(&self, namespace: Namespace) -> BoxFuture<'_, Result<Overview, Error>> {
        Box::pin(self.read(move |reader| reader.overview(&namespace)))
    }

    fn holdings(&self, namespace: Namespace) -> BoxFuture<'_, Result<Vec<Holding>, Error>> {
        Box::pin(self.read(move |reader| reader.holdings(&namespace)))
    }

    fn claimable_at(&self, namespace: Namespace, queue: Queue) -> BoxFuture<'_, Result<Option<Time>, Error>> {
        Box::pin(self.read(move |reader| reader.claimable_at(&namespace, &queue)))
    }

    fn until_claimable(&self, namespace: Namespace, queue: Queue) -> BoxFuture<'_, Result<(), Error>> {
        let wait = self.signals.claim_waits.register(&namespace, &queue);
        let look = move || find_due(self, namespace.clone(), queue.clone());
        let poll = |signs| self.until_others_write(signs);
        Box::pin(wait.until_due(self.signals.others_wrote.subscribe(), poll, look))
    }

    fn remembers(&self, namespace: Namespace, id: RequestId) -> BoxFuture<'_, Result<bool, Error>> {
        Box::pin(self.read(move |reader| reader.remembers(&namespace, &id)))
    }

    fn events(
        &self,
        filter: EventFilter,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<Recorded>, Error>> {
        Box::pin(self.read(move |reader| reader.events(&filter, after.as_ref(), size)))
    }

    fn search_events(
        &self,
        search: EventSearch,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<FoundHistory, Error>> {
        Box::pin(self.read(move |reader| reader.search_events(&search, after.as_ref(), size)))
    }

    fn newest(&self) -> BoxFuture<'_, Result<Cursor, Error>> {
        Box::pin(self.read(|reader| reader.newest()))
    }

    fn more_events(&self, after: Option<Cursor>) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let after = after.map_or(Ok(0), |cursor| cursor.number('e'))?;
            let mut grown = self.signals.grown.subscribe();
            match self.look_for_all().await?.cmp(&after) {
                Ordering::Greater => return Ok(()),
                Ordering::Less => return Err(Cursor::ahead()),
                Ordering::Equal => {}
            }
            loop {
                if *grown.borrow_and_update() > after {
                    return Ok(());
                }
                self.poll(&mut grown).await?;
            }
        })
    }

    fn chains(
        &self,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<StoredChain>, Error>> {
        Box::pin(self.read(move |reader| reader.chains(after.as_ref(), size)))
    }

    fn chain(
        &self,
        namespace: Namespace,
        subject: Subject,
    ) -> BoxFuture<'_, Result<Option<StoredChain>, Error>> {
        Box::pin(self.read(move |reader| reader.chain_of(&namespace, &subject)))
    }

    fn note_sweep(&self, note: SweepNote) -> BoxFuture<'_, Result<Revision, Error>> {
        let readers = Arc::clone(&self.readers);
        Box::pin(async move {
            self.may_write()?;
            let noted = blocking_write(move || readers.note_sweep(note)).await;
            // Followers here need not wait for the next look; it was written, whatever this look says.
            let _ = self.look_for_all().await;
            noted
        })
    }

    fn watch(&self, presence: Presence) -> BoxFuture<'_, Result<Option<Absence>, Error>> {
        let readers = Arc::clone(&self.readers);
        Box::pin(async move {
            self.may_write()?;
            blocking(move || readers.renew_watch(&presence)).await
        })
    }

    fn watchers(&self, namespace: Namespace) -> BoxFuture<'_, Result<Watchers, Error>> {
        Box::pin(self.read(move |reader| reader.watchers(&namespace)))
    }

    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Namespace>, Error>> {
        Box::pin(self.read(|reader| reader.namespaces()))
    }

    fn tokens(&self, known: Option<u64>) -> BoxFuture<'_, Result<Option<Tokens>, Error>> {
        Box::pin(self.read(move |reader| reader.tokens(known)))
    }

    fn add_token(&self, hash: TokenHash, new: NewToken) -> BoxFuture<'_, Result<Token, Error>> {
        self.change_tokens(TokenChange::Add(hash, new))
    }

    fn revoke_token(&self, which: TokenToRevoke, by: Actor) -> BoxFuture<'_, Result<Token, Error>> {
        self.change_tokens(TokenChange::Revoke { which, by })
    }

    fn now(&self) -> BoxFuture<'_, Result<Time, Error>> {
        Box::pin(self.read(|reader| reader.now()))
    }

    fn metrics(&self) -> BoxFuture<'_, Result<StoreMetrics, Error>> {
        Box::pin(async move {
            let readers = Arc::clone(&self.readers);
            let wal_bytes = blocking(move || Ok(readers.database.wal_bytes())).await?;
            let waiting = self.committer.as_ref().map_or(0, Committer::waiting);
            Ok(StoreMetrics { wal_bytes, ..self.counters.metrics(waiting) })
        })
    }

    fn health(&self, check: IntegrityCheck) -> BoxFuture<'_, Result<StoreHealth, Error>> {
        let readers = Arc::clone(&self.readers);
        Box::pin(blocking(move || health::health(&readers.database, check)))
    }

    fn transfer(&self) -> Option<&dyn TransferStore> {
        Some(self)
    }

    fn retention(&self) -> &dyn RetentionStore {
        self
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use tenure_core::command::{Action, Create, IdOrigin, LeaseScope};
    use tenure_core::policy::Jitter;
    use tenure_core::time::Span;
    use tenure_store::waiting::LOOK_APART;

    use super::*;

    fn namespace() -> Namespace {
        Namespace::new("default").expect("a name")
    }

    fn queue(number: usize) -> Queue {
        Queue::new(format!("q{number}")).expect("a name")
    }

    async fn open(folder: &tempfile::TempDir) -> SqliteStore {
        SqliteStore::open(SqliteOptions::new(folder.path().join("tasks.db"))).await.expect("opens")
    }

    async fn create(store: &SqliteStore, queue: Queue, id: &str) {
        let mut create = Create::new(TaskId::new(id).expect("a name"), IdOrigin::Given);
        create.queue = queue;
        let command = Command {
            namespace: namespace(),
            actor: Actor::new("w").expect("a name"),
            request: None,
            jitter: Jitter::NONE,
            lease_scope: LeaseScope::Any,
            action: Action::Create(Box::new(create)),
        };
        store.transact(vec![command]).await.pop().expect("an answer").expect("created");
    }

    /// How long a claim that has waited for a while waits yet, from before a task is created: the median of some. By looks without a signal
    /// it would be almost half a second, as the first one is over then.
    async fn wait(waiting: &SqliteStore, creating: &SqliteStore) -> Span {
        let mut waits = Vec::new();
        for number in 0..5 {
            let due = waiting.until_claimable(namespace(), queue(number));
            let created = async {
                // played: a worker that has waited for a while
                tokio::time::sleep(LOOK_APART * 3).await;
                let began = Moment::now();
                create(creating, queue(number), &format!("t{number}")).await;
                began
            };
            let (due, began) = tokio::join!(async { due.await.map(|()| Moment::now()) }, created);
            waits.push(due.expect("it ends").since(began));
        }
        waits.sort_unstable();
        waits[2]
    }

    #[tokio::test]
    async fn a_waiting_claim_hears_of_a_new_task_from_the_writer() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(&folder).await;
        let waited = wait(&store, &store).await;
        assert!(waited < (tenure_store::waiting::LOOK_EVERY / 2).into(), "{waited}");
    }

    #[tokio::test]
    async fn a_waiting_claim_hears_of_a_task_of_another_process_although_its_own_writes_all_the_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let (store, of_another_process) = (open(&folder).await, open(&folder).await);
        let busy = async {
            for number in 0.. {
                create(&store, Queue::new("elsewhere").expect("a name"), &format!("busy-{number}")).await;
            }
        };
        tokio::select! {
            waited = wait(&store, &of_another_process) => {
                assert!(waited < (tenure_store::waiting::LOOK_EVERY / 2).into(), "{waited}");
            }
            () = busy => {}
        }
    }
}
