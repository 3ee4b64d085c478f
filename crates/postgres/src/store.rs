//! The store itself: opens the database, and sends commands to its committers and questions to its readers.

use std::any::Any;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tenure_core::command::{Action, Command};
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
use tenure_store::watch::{Absence, Presence, Watchers};
use tenure_store::{
    BoxFuture, Cursor, EventFilter, EventSearch, Filter, FoundHistory, Lapsed, Page, PageSize, Recorded,
    SchemaState, Store, StoreAccess, TransferStore, find_due, opened_to_read_only,
};
use tenure_store::{Error, Failure};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::OnceCell;
use tokio::sync::watch::Receiver;

use crate::chains::ChainCursor;
use crate::columns::{Meaning, PostgresError};
use crate::database::PostgresDatabase;
use crate::engine::PostgresEngine;
use crate::follow::{LOOK_EVERY, LOOK_SOON};
use crate::link::Link;
use crate::options::PostgresOptions;
use crate::read::{PostgresReader, lapsed_place};
use crate::settings::PostgresSettings;
use crate::{follow, tokens};

/// How often the intake is checked for tasks created in callers' transactions.
const LOOK_FOR_INTAKE_EVERY: Duration = Duration::from_millis(250);

/// How often what was created is taken in before a look, a thousand at a time.
const SETTLING_ROUNDS_MAX: usize = 1_000;

#[doc(hidden)]
/// The URL for people, without secrets; of an invalid URL it shows as little as possible.
pub fn url_without_secrets(url: &str) -> String {
    let settings = PostgresSettings::read(url, &|name| std::env::var(name).ok());
    settings.map_or_else(|_| "postgres://…".to_owned(), |settings| settings.shown())
}

/// Looks now and then, as long as the store is open.
async fn look_into_intake(store: Weak<PostgresStore>) {
    loop {
        tokio::time::sleep(LOOK_FOR_INTAKE_EVERY).await;
        let Some(store) = store.upgrade() else { return };
        // A database that is away is looked into again later.
        let _ = store.settled().await;
    }
}

/// A store in a PostgreSQL database.
pub struct PostgresStore {
    pub(crate) database: Arc<PostgresDatabase>,
    /// None if it was opened to read only.
    committers: Vec<Committer>,
    access: StoreAccess,
    counters: Arc<Counters>,
    readers: Arc<Pool<Link>>,
    /// The connection that the last batch of an import used.
    importing: Arc<tokio::sync::Mutex<Option<Link>>>,
    listening: OnceCell<()>,
    /// The runtime that drives the connections. A caller's runtime may end or block while others wait.
    runtime: Option<Runtime>,
}

impl PostgresStore {
    /// What is there, without a change to it.
    pub async fn condition(options: PostgresOptions) -> Result<SchemaState, Error> {
        let store = PostgresStore::closed(&options)?;
        let looking = Arc::clone(&store.database);
        store.on_runtime(async move { looking.condition().await }).await
    }

    /// How the name of a schema begins that is made to measure in, and dropped afterwards.
    #[doc(hidden)]
    pub const TRIAL_SCHEMA: &'static str = "tenure_bench_";

    /// Drops a schema that was made to measure in, with everything in it. Another one is refused.
    #[doc(hidden)]
    pub async fn drop_trial(options: PostgresOptions) -> Result<(), Error> {
        let store = PostgresStore::closed(&options)?;
        let dropping = Arc::clone(&store.database);
        store.on_runtime(async move { dropping.drop_trial(PostgresStore::TRIAL_SCHEMA).await }).await
    }

    /// The store, before it connects to its database.
    fn closed(options: &PostgresOptions) -> Result<PostgresStore, Error> {
        let settings = PostgresSettings::read(&options.url, &|name| std::env::var(name).ok())?;
        let failed =
            |error| Error::Unavailable(Failure::new(format!("can't start a thread: {error}"), error));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("tenure-postgres")
            .enable_all()
            .build()
            .map_err(failed)?;
        Ok(PostgresStore {
            readers: Arc::new(Pool::of(options.readers.max(1))),
            importing: Arc::default(),
            committers: Vec::new(),
            access: options.access,
            counters: Arc::default(),
            listening: OnceCell::new(),
            database: Arc::new(PostgresDatabase::new(settings, options.clock.clone())),
            runtime: Some(runtime),
        })
    }

    /// Opens the database, making or migrating its schema first.
    pub async fn open(options: PostgresOptions) -> Result<Arc<PostgresStore>, Error> {
        let store = PostgresStore::closed(&options)?;
        let preparing = Arc::clone(&store.database);
        if options.access == StoreAccess::ReadOnly {
            store.on_runtime(async move { preparing.is_current().await }).await?;
            return Ok(Arc::new(store));
        }
        store.on_runtime(async move { preparing.prepare(options.missing, options.marked).await }).await?;
        store.warn_of_settings().await;
        store.start(options.committers, options.wait_max)
    }

    fn start(mut self, committers: usize, wait_max: Duration) -> Result<Arc<PostgresStore>, Error> {
        let failed = |error| {
            Error::Unavailable(Failure::new(format!("can't start the commit thread: {error}"), error))
        };
        // Commands in the queue wait as long as the batch that is being executed.
        let wait_max = wait_max.max(self.database.settings.patience);
        let limits = Limits { wait_max, ..Limits::default() };
        for _ in 0..committers.max(1) {
            let engine = PostgresEngine::new(Arc::clone(&self.database))?;
            let counters = Arc::clone(&self.counters);
            let started = Committer::start("tenure-commit", engine, limits, counters);
            self.committers.push(started.map_err(failed)?);
        }
        self.runtime()?.spawn(follow::tell_others(Arc::clone(&self.database)));
        let store = Arc::new(self);
        store.runtime()?.spawn(look_into_intake(Arc::downgrade(&store)));
        Ok(store)
    }

    fn runtime(&self) -> Result<&Handle, Error> {
        let runtime = self.runtime.as_ref().map(Runtime::handle);
        runtime.ok_or_else(|| Error::Unavailable("the store is closed".into()))
    }

    pub(crate) async fn on_runtime<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        // In a box, so that Tokio's part is compiled for each kind of answer, and not for each kind of look.
        let work: BoxFuture<'static, Result<T, Error>> = Box::pin(work);
        let done = self.runtime()?.spawn(work).await;
        done.unwrap_or_else(|error| {
            Err(Error::Unavailable(Failure::new(format!("reading from the store failed: {error}"), error)))
        })
    }

    /// A task's commands go to one committer of the process, and all claims of a queue to another one: so they don't wait
    /// for one another's locks. Between processes the locks are what orders them.
    fn committer(&self, commands: &[Command]) -> Option<&Committer> {
        let mut hasher = DefaultHasher::new();
        if let Some(command) = commands.first() {
            command.namespace.hash(&mut hasher);
            match (&command.action, command.action.task()) {
                (Action::Claim { queue, .. }, _) => queue.hash(&mut hasher),
                (_, task) => task.hash(&mut hasher),
            }
        }
        let count = self.committers.len() as u64;
        self.committers.get((hasher.finish() % count.max(1)) as usize)
    }

    /// Makes the tasks that were created in callers' transactions, so that the next read finds them.
    pub(crate) async fn take_in(&self) -> Result<(), Error> {
        match self.committers.first() {
            Some(committer) => committer.nudge().await,
            None => Ok(()),
        }
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        // The committers end first: they finish what waits.
        self.committers.clear();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Reads through a connection of the pool. The body is written like a function, with `?` on errors of the store.
macro_rules! look {
    ($store:expr, |$reader:ident| $look:expr) => {{
        let (database, readers) = (Arc::clone(&$store.database), Arc::clone(&$store.readers));
        $store.on_runtime(async move {
            let free = readers.wait().await?;
            let fault = |fault: PostgresError| fault.surely_not_done(&database.shown());
            let kept = readers.take().filter(|link| !link.is_closed());
            let was_kept = kept.is_some();
            let mut link = match kept {
                Some(link) => link,
                None => Link::connect(&database.settings).await.map_err(fault)?,
            };
            let mut $reader = PostgresReader::new(&mut link, &database);
            let mut answer = $look.await;
            if was_kept && answer.as_ref().is_err_and(|fault| fault.meaning() == Meaning::Reconnect) {
                // The idle connection had been lost, which says nothing about the database.
                link = Link::connect(&database.settings).await.map_err(fault)?;
                let mut $reader = PostgresReader::new(&mut link, &database);
                answer = $look.await;
            }
            if answer.is_ok() {
                readers.keep(link);
            }
            drop(free);
            answer.map_err(fault)
        })
    }};
}

/// Behind the macro, which it uses.
mod moving;
mod noting;
mod retaining;

impl PostgresStore {
    /// A store whose database is away again by now is opened all the same.
    async fn warn_of_settings(&self) {
        for words in look!(self, |reader| reader.warnings()).await.unwrap_or_default() {
            tracing::warn!(store = self.database.shown(), "{words}");
        }
    }

    /// Listens for signals of other processes from now on.
    async fn listen(&self) -> Result<(), Error> {
        let listen = || async {
            self.runtime().map(|runtime| drop(runtime.spawn(follow::listen(Arc::clone(&self.database)))))
        };
        self.listening.get_or_try_init(listen).await.map(|_| ())
    }

    /// As [`Self::settled`], for looks that show what there is: they go on where nothing can be written.
    async fn settled_if_possible(&self) {
        // A read of one of those tasks by id reports why it can't be made.
        let _ = self.settled().await;
    }

    /// Refuses a write, if it was opened to read only.
    fn may_write(&self) -> Result<(), Error> {
        match self.access {
            StoreAccess::ReadWrite => Ok(()),
            StoreAccess::ReadOnly => Err(opened_to_read_only()),
        }
    }

    async fn change_tokens(&self, change: TokenChange) -> Result<Token, Error> {
        self.may_write()?;
        let database = Arc::clone(&self.database);
        let changing = self.runtime()?.spawn(async move { tokens::change(&database, change).await });
        answer_of_write(changing.await)
    }

    /// First makes the tasks that were created in callers' transactions, if there are any.
    async fn settled(&self) -> Result<(), Error> {
        if self.access == StoreAccess::ReadOnly {
            return Ok(());
        }
        for _ in 0..SETTLING_ROUNDS_MAX {
            if !look!(self, |reader| reader.has_intake()).await? {
                return Ok(());
            }
            self.take_in().await?;
        }
        Err(Error::Unavailable(
            "too many tasks are waiting that were created in other transactions; try again later".into(),
        ))
    }
}

/// The answer to a write, which may have been done even if it ended early.
fn answer_of_write<T>(done: Result<Result<T, Error>, tokio::task::JoinError>) -> Result<T, Error> {
    done.unwrap_or_else(|error| {
        Err(Error::Unknown(Failure::new(
            format!("a write to the store ended early; it may have been done: {error}"),
            error,
        )))
    })
}

impl tenure_store::InternalStore for PostgresStore {}

impl Store for PostgresStore {
    fn transact_within(&self, commands: Vec<Command>, options: AnswerOptions) -> BoxFuture<'_, Answered> {
        Box::pin(async move {
            let closed = || match self.may_write() {
                Ok(()) => Error::Unavailable("the store is closed".into()),
                Err(error) => error,
            };
            match self.committer(&commands) {
                Some(committer) => committer.submit(commands, options).await,
                None => Answered::all(commands.iter().map(|_| Err(closed())).collect()),
            }
        })
    }

    fn task(&self, namespace: Namespace, id: TaskId) -> BoxFuture<'_, Result<Option<Task>, Error>> {
        Box::pin(async move {
            let (same_namespace, same_id) = (namespace.clone(), id.clone());
            let found = look!(self, |reader| reader.task(&namespace, &id)).await?;
            if found.is_some() {
                return Ok(found);
            }
            self.settled().await?;
            look!(self, |reader| reader.task(&same_namespace, &same_id)).await
        })
    }

    fn tasks(
        &self,
        filter: Filter,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<Task>, Error>> {
        Box::pin(async move {
            filter.check()?;
            let after = after.map(|cursor| cursor.number('t')).transpose()?;
            self.settled_if_possible().await;
            look!(self, |reader| reader.tasks(&filter, after, size)).await
        })
    }

    fn lapsed(&self, after: Option<Cursor>, limit: usize) -> BoxFuture<'_, Result<Lapsed, Error>> {
        Box::pin(async move {
            let after = after.map(|cursor| lapsed_place(&cursor)).transpose()?;
            look!(self, |reader| reader.lapsed(after.clone(), limit)).await
        })
    }

    fn overview(&self, namespace: Namespace) -> BoxFuture<'_, Result<Overview, Error>> {
        Box::pin(async move {
            self.settled_if_possible().await;
            look!(self, |reader| reader.overview(&namespace)).await
        })
    }

    fn holdings(&self, namespace: Namespace) -> BoxFuture<'_, Result<Vec<Holding>, Error>> {
        Box::pin(async move { look!(self, |reader| reader.holdings(&namespace)).await })
    }

    fn claimable_at(&self, namespace: Namespace, queue: Queue) -> BoxFuture<'_, Result<Option<Time>, Error>> {
        Box::pin(async move {
            self.settled_if_possible().await;
            look!(self, |reader| reader.claimable_at(&namespace, &queue)).await
        })
    }

    fn until_claimable(&self, namespace: Namespace, queue: Queue) -> BoxFuture<'_, Result<(), Error>> {
        let wait = self.database.claim_waits.register(&namespace, &queue);
        let others_wrote = self.database.others_wrote.subscribe();
        // The sender lives as long as the store.
        let poll = |mut signals: Receiver<u64>| async move { drop(signals.changed().await) };
        let look = move || find_due(self, namespace.clone(), queue.clone());
        Box::pin(async move {
            self.listen().await?;
            wait.until_due(others_wrote, poll, look).await
        })
    }

    fn remembers(&self, namespace: Namespace, id: RequestId) -> BoxFuture<'_, Result<bool, Error>> {
        Box::pin(async move { look!(self, |reader| reader.remembers(&namespace, &id)).await })
    }

    fn events(
        &self,
        filter: EventFilter,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<Recorded>, Error>> {
        Box::pin(async move {
            let after = after.map_or(Ok((0, 0)), |cursor| cursor.numbers('e'))?;
            look!(self, |reader| reader.events(&filter, after, size)).await
        })
    }

    fn search_events(
        &self,
        search: EventSearch,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<FoundHistory, Error>> {
        Box::pin(async move {
            search.check()?;
            let after = after.map(|cursor| cursor.numbers('e')).transpose()?;
            look!(self, |reader| reader.search_events(&search, after, size)).await
        })
    }

    fn newest(&self) -> BoxFuture<'_, Result<Cursor, Error>> {
        Box::pin(async move { look!(self, |reader| reader.newest()).await })
    }

    fn more_events(&self, after: Option<Cursor>) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let after = after.map_or(Ok((0, 0)), |cursor| cursor.numbers('e'))?;
            self.listen().await?;
            let mut signs = self.database.grown.subscribe();
            let mut wait = LOOK_EVERY;
            loop {
                signs.mark_unchanged();
                if look!(self, |reader| reader.has_events(after)).await? {
                    return Ok(());
                }
                // What a sign was about may be behind a transaction that is open for a moment longer.
                let signed = tokio::time::timeout(wait, signs.changed()).await.is_ok();
                wait = if signed { LOOK_SOON } else { (wait * 2).min(LOOK_EVERY) };
            }
        })
    }

    fn chains(
        &self,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<StoredChain>, Error>> {
        Box::pin(async move {
            let place = ChainCursor::of(after.as_ref())?;
            look!(self, |reader| reader.chains(place.clone(), size)).await
        })
    }

    fn chain(
        &self,
        namespace: Namespace,
        subject: Subject,
    ) -> BoxFuture<'_, Result<Option<StoredChain>, Error>> {
        Box::pin(async move { look!(self, |reader| reader.chain_of(&namespace, &subject)).await })
    }

    fn note_sweep(&self, note: SweepNote) -> BoxFuture<'_, Result<Revision, Error>> {
        Box::pin(self.write_note(note))
    }

    fn watch(&self, presence: Presence) -> BoxFuture<'_, Result<Option<Absence>, Error>> {
        Box::pin(async move {
            self.may_write()?;
            look!(self, |reader| reader.renew_watch(&presence)).await
        })
    }

    fn watchers(&self, namespace: Namespace) -> BoxFuture<'_, Result<Watchers, Error>> {
        Box::pin(async move { look!(self, |reader| reader.watchers(&namespace)).await })
    }

    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Namespace>, Error>> {
        Box::pin(async move {
            self.settled_if_possible().await;
            look!(self, |reader| reader.namespaces()).await
        })
    }

    fn tokens(&self, known: Option<u64>) -> BoxFuture<'_, Result<Option<Tokens>, Error>> {
        Box::pin(async move { look!(self, |reader| reader.tokens(known)).await })
    }

    fn add_token(&self, hash: TokenHash, new: NewToken) -> BoxFuture<'_, Result<Token, Error>> {
        Box::pin(self.change_tokens(TokenChange::Add(hash, new)))
    }

    fn revoke_token(&self, which: TokenToRevoke, by: Actor) -> BoxFuture<'_, Result<Token, Error>> {
        Box::pin(self.change_tokens(TokenChange::Revoke { which, by }))
    }

    fn now(&self) -> BoxFuture<'_, Result<Time, Error>> {
        Box::pin(async move { look!(self, |reader| reader.now()).await })
    }

    fn metrics(&self) -> BoxFuture<'_, Result<StoreMetrics, Error>> {
        Box::pin(async move {
            let feed_lag = look!(self, |reader| reader.feed_lag()).await?;
            let waiting = self.committers.iter().map(Committer::waiting).sum();
            Ok(StoreMetrics { feed_lag: Some(feed_lag), ..self.counters.metrics(waiting) })
        })
    }

    fn health(&self, _check: IntegrityCheck) -> BoxFuture<'_, Result<StoreHealth, Error>> {
        Box::pin(async move {
            let postgres = Some(look!(self, |reader| reader.health()).await?);
            Ok(StoreHealth { file: None, postgres })
        })
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
    use tenure_core::refusal::Code;

    use super::*;

    #[test]
    fn no_schema_is_dropped_but_one_that_was_made_to_measure_in() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        for schema in ["tenure", "tenure_bench", "public"] {
            // Nobody listens there: it is refused before anybody is asked.
            let options = PostgresOptions::new(format!("postgres://ann@127.0.0.1:1/app?schema={schema}"));
            let refused = runtime.block_on(PostgresStore::drop_trial(options)).expect_err("refused");
            assert_eq!(refused.code(), Some(Code::Invalid), "{schema}: {refused}");
        }
    }
}
