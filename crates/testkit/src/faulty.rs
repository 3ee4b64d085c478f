//! A store that fails on request: outages, lost answers, slow answers, unexpected refusals. Otherwise it passes
//! everything to the store behind it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure::Error;
use tenure::access::{NewToken, Token, TokenHash, TokenToRevoke, Tokens};
use tenure::core::command::Command;
use tenure::core::event::Subject;
use tenure::core::id::{Actor, Namespace, Queue, RequestId, Revision, TaskId};
use tenure::core::refusal::{Code, Refusal};
use tenure::core::task::Task;
use tenure::core::time::Time;
use tenure::core::verb::Verb;
use tenure::store::answering::{AnswerOptions, Answered};
use tenure::store::health::{IntegrityCheck, StoreHealth};
use tenure::store::metrics::StoreMetrics;
use tenure::store::namespace_history::SweepNote;
use tenure::store::overview::{Holding, Overview};
use tenure::store::stored::StoredChain;
use tenure::store::watch::{Absence, Presence, Watchers};
use tenure::store::{
    Answer, BoxFuture, Cursor, EventFilter, EventSearch, Filter, FoundHistory, Lapsed, Page, PageSize,
    Recorded, Store,
};
use tokio::sync::Notify;

/// What happens to a command.
#[derive(Clone)]
pub enum Fault {
    /// Not done, and never answered.
    Swallows,
    /// Done, but never answered.
    DoesAndIsSilent,
    /// Not done, and answered so.
    Unavailable,
    /// Done, but answered as unknown.
    DoesAndIsUnsure,
    /// Not done, but answered as unknown.
    Unsure,
    /// It is refused with that code.
    Refuses(Code),
    /// Done at once, and answered on request.
    AnswersWhenTold(Arc<Notify>),
    /// It is done, and answered with something else.
    Tells(Arc<dyn Fn(Answer) -> Answer + Send + Sync>),
}

struct Rule {
    applies: Box<dyn Fn(&Command) -> bool + Send>,
    fault: Fault,
    /// How many times it still applies.
    left: usize,
}

#[derive(Default)]
struct Told {
    rules: Vec<Rule>,
    unreadable: BTreeSet<TaskId>,
    also_lapsed: Vec<(Namespace, TaskId)>,
    look_takes: Duration,
    failing_takes: Duration,
    /// What the next notes of sweeps meet, one after the other.
    notes_meet: VecDeque<Fault>,
    /// Every command that arrived, done or not.
    arrived: Vec<Command>,
    looks: usize,
}

/// A store in front of another one, with faults.
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    told: Mutex<Told>,
    is_down: AtomicBool,
    is_silent: AtomicBool,
}

impl FaultyStore {
    /// In front of that store, without faults yet.
    pub fn over(inner: Arc<dyn Store>) -> Arc<FaultyStore> {
        Arc::new(FaultyStore {
            inner,
            told: Mutex::default(),
            is_down: AtomicBool::new(false),
            is_silent: AtomicBool::new(false),
        })
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on every command of that kind meets this fault.
    pub fn meets(&self, verb: Verb, fault: Fault) {
        self.meets_times(usize::MAX, verb, fault);
    }

    /// The next `times` commands of that kind meet this fault.
    pub fn meets_times(&self, times: usize, verb: Verb, fault: Fault) {
        self.meets_where(times, move |command| command.action.verb() == verb, fault);
    }

    /// The next `times` commands that match meet this fault. In a batch it applies to all commands; a refusal
    /// applies only to the matching ones.
    pub fn meets_where(
        &self,
        times: usize,
        applies: impl Fn(&Command) -> bool + Send + 'static,
        fault: Fault,
    ) {
        self.told().rules.push(Rule { applies: Box::new(applies), fault, left: times });
    }

    /// The next notes of sweeps meet these faults, one after the other.
    pub fn notes_meet(&self, faults: impl IntoIterator<Item = Fault>) {
        self.told().notes_meet.extend(faults);
    }

    /// Removes all faults.
    pub fn calms_down(&self) {
        let mut told = self.told();
        told.rules.clear();
        told.notes_meet.clear();
        told.unreadable.clear();
        told.also_lapsed.clear();
        told.look_takes = Duration::ZERO;
        self.is_down.store(false, Ordering::SeqCst);
        self.is_silent.store(false, Ordering::SeqCst);
    }

    /// From now on the store is unavailable, also for reads.
    pub fn goes_down(&self) {
        self.is_down.store(true, Ordering::SeqCst);
    }

    /// While it is down, each error takes this long.
    pub fn fails_slowly(&self, takes: Duration) {
        self.told().failing_takes = takes;
    }

    /// From now on nothing is answered.
    pub fn falls_silent(&self) {
        self.is_silent.store(true, Ordering::SeqCst);
    }

    /// That task can't be read.
    pub fn can_not_read(&self, id: &str) {
        self.told().unreadable.insert(TaskId::new(id).expect("an id"));
    }

    /// The next reads of due tasks also name this task: a hint that is outdated when it is followed.
    pub fn nominates(&self, task: &Task) {
        self.told().also_lapsed.push((task.namespace.clone(), task.id.clone()));
    }

    /// Reads of due tasks no longer name tasks that are not due.
    pub fn nominates_nobody_else(&self) {
        self.told().also_lapsed.clear();
    }

    /// A read of due tasks takes this long.
    pub fn looks_slowly(&self, takes: Duration) {
        self.told().look_takes = takes;
    }

    /// The commands that arrived, done or not.
    pub fn arrived(&self) -> Vec<Command> {
        self.told().arrived.clone()
    }

    /// How many commands of that kind arrived.
    pub fn count(&self, verb: Verb) -> usize {
        self.told().arrived.iter().filter(|command| command.action.verb() == verb).count()
    }

    /// How many commands about that task arrived.
    pub fn count_of(&self, id: &str) -> usize {
        let is_of = |command: &&Command| command.action.task().is_some_and(|task| task.as_str() == id);
        self.told().arrived.iter().filter(is_of).count()
    }

    /// How many commands arrived.
    pub fn count_all(&self) -> usize {
        self.told().arrived.len()
    }

    /// How often it was asked what is due.
    pub fn count_looks(&self) -> usize {
        self.told().looks
    }

    /// Records the commands, and finds their fault and the commands that meet it.
    fn fault(&self, commands: &[Command]) -> Option<(Fault, Vec<bool>)> {
        let mut told = self.told();
        told.arrived.extend(commands.iter().cloned());
        let meets = |rule: &Rule| commands.iter().map(|command| (rule.applies)(command)).collect();
        told.rules.iter_mut().filter(|rule| rule.left > 0).find_map(|rule| {
            let met: Vec<bool> = meets(rule);
            met.contains(&true).then(|| {
                rule.left -= 1;
                (rule.fault.clone(), met)
            })
        })
    }

    async fn up(&self) -> Result<(), Error> {
        if self.is_silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        match self.is_down.load(Ordering::SeqCst) {
            true => {
                let takes = self.told().failing_takes;
                // played: a store that fails slowly.
                tokio::time::sleep(takes).await;
                Err(Error::Unavailable("the store is down".into()))
            }
            false => Ok(()),
        }
    }

    async fn transact_with(
        &self,
        commands: Vec<Command>,
        fault: Fault,
        met: Vec<bool>,
    ) -> Vec<Result<Answer, Error>> {
        let count = commands.len();
        let all = |error: Error| vec![Err(error); count];
        match fault {
            Fault::Swallows => std::future::pending().await,
            Fault::DoesAndIsSilent => {
                self.inner.transact(commands).await;
                std::future::pending().await
            }
            Fault::Unavailable => all(Error::Unavailable("the store is at fault".into())),
            Fault::DoesAndIsUnsure => {
                self.inner.transact(commands).await;
                all(Error::Unknown("the store is at fault".into()))
            }
            Fault::Unsure => all(Error::Unknown("the store is at fault".into())),
            Fault::Refuses(code) => {
                let passed = commands.into_iter().zip(&met).filter(|(_, met)| !**met);
                let mut answers =
                    self.inner.transact(passed.map(|(command, _)| command).collect()).await.into_iter();
                let refused = || Err(Refusal::new(code, "the store is at fault").into());
                met.iter()
                    .map(|met| if *met { refused() } else { answers.next().expect("an answer") })
                    .collect()
            }
            Fault::AnswersWhenTold(told) => {
                let answers = self.inner.transact(commands).await;
                told.notified().await;
                answers
            }
            Fault::Tells(other) => self
                .inner
                .transact(commands)
                .await
                .into_iter()
                .map(|answer| answer.map(|it| other(it)))
                .collect(),
        }
    }
}

impl tenure::store::InternalStore for FaultyStore {}

impl Store for FaultyStore {
    fn transact_within(&self, commands: Vec<Command>, options: AnswerOptions) -> BoxFuture<'_, Answered> {
        // A command arrives when it is sent, and not when its answer is first waited for.
        let fault = self.fault(&commands);
        Box::pin(async move {
            if let Err(error) = self.up().await {
                return Answered::all(vec![Err(error); commands.len()]);
            }
            match fault {
                Some((fault, met)) => Answered::all(self.transact_with(commands, fault, met).await),
                None => self.inner.transact_within(commands, options).await,
            }
        })
    }

    fn task(&self, namespace: Namespace, id: TaskId) -> BoxFuture<'_, Result<Option<Task>, Error>> {
        Box::pin(async move {
            self.up().await?;
            if self.told().unreadable.contains(&id) {
                return Err(Error::Unavailable(format!("{id} can't be read").into()));
            }
            self.inner.task(namespace, id).await
        })
    }

    fn tasks(
        &self,
        filter: Filter,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<Task>, Error>> {
        Box::pin(async move {
            self.up().await?;
            self.inner.tasks(filter, after, size).await
        })
    }

    fn lapsed(&self, after: Option<Cursor>, limit: usize) -> BoxFuture<'_, Result<Lapsed, Error>> {
        Box::pin(async move {
            self.up().await?;
            let takes = {
                let mut told = self.told();
                told.looks += 1;
                told.look_takes
            };
            // played: a look that takes its time.
            tokio::time::sleep(takes).await;
            let mut lapsed = self.inner.lapsed(after, limit).await?;
            lapsed.tasks.extend(self.told().also_lapsed.iter().cloned());
            Ok(lapsed)
        })
    }

    fn overview(&self, namespace: Namespace) -> BoxFuture<'_, Result<Overview, Error>> {
        self.inner.overview(namespace)
    }

    fn holdings(&self, namespace: Namespace) -> BoxFuture<'_, Result<Vec<Holding>, Error>> {
        self.inner.holdings(namespace)
    }

    fn claimable_at(&self, namespace: Namespace, queue: Queue) -> BoxFuture<'_, Result<Option<Time>, Error>> {
        self.inner.claimable_at(namespace, queue)
    }

    fn remembers(&self, namespace: Namespace, id: RequestId) -> BoxFuture<'_, Result<bool, Error>> {
        self.inner.remembers(namespace, id)
    }

    fn events(
        &self,
        filter: EventFilter,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<Recorded>, Error>> {
        self.inner.events(filter, after, size)
    }

    fn search_events(
        &self,
        search: EventSearch,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<FoundHistory, Error>> {
        self.inner.search_events(search, after, size)
    }

    fn newest(&self) -> BoxFuture<'_, Result<Cursor, Error>> {
        self.inner.newest()
    }

    fn more_events(&self, after: Option<Cursor>) -> BoxFuture<'_, Result<(), Error>> {
        self.inner.more_events(after)
    }

    fn chains(
        &self,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<StoredChain>, Error>> {
        self.inner.chains(after, size)
    }

    fn chain(
        &self,
        namespace: Namespace,
        subject: Subject,
    ) -> BoxFuture<'_, Result<Option<StoredChain>, Error>> {
        self.inner.chain(namespace, subject)
    }

    fn note_sweep(&self, note: SweepNote) -> BoxFuture<'_, Result<Revision, Error>> {
        Box::pin(async move {
            self.up().await?;
            let fault = self.told().notes_meet.pop_front();
            let at_fault = "the store is at fault";
            match fault {
                None => self.inner.note_sweep(note).await,
                Some(Fault::Unavailable) => Err(Error::Unavailable(at_fault.into())),
                Some(Fault::Unsure) => Err(Error::Unknown(at_fault.into())),
                Some(Fault::DoesAndIsUnsure) => {
                    self.inner.note_sweep(note).await?;
                    Err(Error::Unknown(at_fault.into()))
                }
                Some(Fault::Refuses(code)) => Err(Refusal::new(code, at_fault).into()),
                Some(
                    Fault::Swallows | Fault::DoesAndIsSilent | Fault::AnswersWhenTold(_) | Fault::Tells(_),
                ) => {
                    panic!("no note meets this fault")
                }
            }
        })
    }

    fn watch(&self, presence: Presence) -> BoxFuture<'_, Result<Option<Absence>, Error>> {
        Box::pin(async move {
            self.up().await?;
            self.inner.watch(presence).await
        })
    }

    fn watchers(&self, namespace: Namespace) -> BoxFuture<'_, Result<Watchers, Error>> {
        self.inner.watchers(namespace)
    }

    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Namespace>, Error>> {
        self.inner.namespaces()
    }

    fn tokens(&self, known: Option<u64>) -> BoxFuture<'_, Result<Option<Tokens>, Error>> {
        Box::pin(async move {
            self.up().await?;
            self.inner.tokens(known).await
        })
    }

    fn add_token(&self, hash: TokenHash, new: NewToken) -> BoxFuture<'_, Result<Token, Error>> {
        Box::pin(async move {
            self.up().await?;
            self.inner.add_token(hash, new).await
        })
    }

    fn revoke_token(&self, which: TokenToRevoke, by: Actor) -> BoxFuture<'_, Result<Token, Error>> {
        Box::pin(async move {
            self.up().await?;
            self.inner.revoke_token(which, by).await
        })
    }

    fn now(&self) -> BoxFuture<'_, Result<Time, Error>> {
        Box::pin(async move {
            self.up().await?;
            self.inner.now().await
        })
    }

    fn metrics(&self) -> BoxFuture<'_, Result<StoreMetrics, Error>> {
        Box::pin(async move {
            self.up().await?;
            self.inner.metrics().await
        })
    }

    fn health(&self, check: IntegrityCheck) -> BoxFuture<'_, Result<StoreHealth, Error>> {
        self.inner.health(check)
    }

    fn retention(&self) -> &dyn tenure::store::RetentionStore {
        self.inner.retention()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
