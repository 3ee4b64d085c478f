//! Helpers for stories about recovery: handlers that record their calls, and a recovery loop beside the story.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tenure::clock::ManualClock;
use tenure::core::policy::{Backoff, Policy};
use tenure::core::task::Task;
use tenure::core::time::Span;
use tenure::handler::{Handler, Handlers, RetryPolicy, UndoCall, UndoError, Undone, while_held};
use tenure::keeper::LeaseWatch;
use tenure::recovery::{Recovery, RecoveryReport};
use tenure::stop::StopSignal;
use tenure::store::BoxFuture;
use tenure::{Error, Ledger};
use tokio::sync::Semaphore;

use crate::faulty::FaultyStore;
use crate::waiting::{soon, until_asked};
use crate::{BEGINNING, block_on, memory, sqlite};

/// What a handler does in its calls, in order; the last one repeats.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Behaviour {
    /// It undoes.
    Works,
    /// It fails, and may work another time.
    Fails,
    /// It will never work.
    GivesUp,
    /// It panics while it undoes.
    Panics,
    /// It panics before it has begun.
    PanicsAtOnce,
    /// It never returns.
    Hangs,
    /// It takes that many milliseconds, and then works.
    Takes(u64),
    /// It waits for a signal, takes this many milliseconds, and then succeeds.
    TakesWhenTold(u64),
    /// It waits for a signal, and then fails; it may work another time.
    FailsWhenTold,
}

/// What an undo does while it ends.
type Ending = dyn Fn() + Send + Sync;

struct Inner {
    does: Mutex<VecDeque<Behaviour>>,
    calls: Mutex<Vec<UndoCall>>,
    running: AtomicUsize,
    running_max: AtomicUsize,
    ended: AtomicUsize,
    /// How many of those that wait for it may go on.
    told: Semaphore,
    ending: Option<Box<Ending>>,
    refuses: Option<&'static str>,
}

/// A handler that records its calls. Clones share the record.
#[derive(Clone)]
pub struct HandlerSpy(Arc<Inner>);

/// Counts itself as running as long as it is there.
struct Running {
    inner: Arc<Inner>,
    /// It came to its end by itself, and was not stopped.
    is_over: bool,
}

impl Running {
    fn of(inner: &Arc<Inner>) -> Running {
        let now = inner.running.fetch_add(1, Ordering::SeqCst) + 1;
        inner.running_max.fetch_max(now, Ordering::SeqCst);
        Running { inner: Arc::clone(inner), is_over: false }
    }

    async fn does(&self, does: Behaviour, target: &str) -> Undone {
        let gone = Ok(format!("{target} is gone"));
        match does {
            Behaviour::Works | Behaviour::PanicsAtOnce => gone,
            Behaviour::Fails => Err(UndoError::Retryable("it did not work".into())),
            Behaviour::GivesUp => Err(UndoError::Permanent("it is too late".into())),
            Behaviour::Panics => panic!("it was told to panic"),
            Behaviour::Hangs => std::future::pending().await,
            Behaviour::Takes(millis) => {
                takes(millis).await;
                gone
            }
            Behaviour::TakesWhenTold(millis) => {
                self.is_let_go().await;
                takes(millis).await;
                gone
            }
            Behaviour::FailsWhenTold => {
                self.is_let_go().await;
                Err(UndoError::Retryable("it did not work".into()))
            }
        }
    }

    async fn is_let_go(&self) {
        self.inner.told.acquire().await.expect("it is never closed").forget();
    }
}

async fn takes(millis: u64) {
    // played: an undo takes time.
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

impl Drop for Running {
    fn drop(&mut self) {
        // The time that a stopped undo needs to end. It blocks, and nothing else on the runtime may have to
        // wait for it.
        if let Some(ending) = self.inner.ending.as_ref().filter(|_| !self.is_over) {
            tokio::task::block_in_place(ending);
        }
        self.inner.running.fetch_sub(1, Ordering::SeqCst);
        self.inner.ended.fetch_add(1, Ordering::SeqCst);
    }
}

impl HandlerSpy {
    /// A handler that does one after the other, and the last one ever after.
    pub fn that(does: &[Behaviour]) -> HandlerSpy {
        HandlerSpy::made(does, None, None)
    }

    /// The same, and one that is stopped has not ended before that comes back.
    pub fn that_ends_with(does: &[Behaviour], ending: impl Fn() + Send + Sync + 'static) -> HandlerSpy {
        HandlerSpy::made(does, Some(Box::new(ending)), None)
    }

    /// The same, and it does not take targets that begin so.
    pub fn that_refuses(does: &[Behaviour], target: &'static str) -> HandlerSpy {
        HandlerSpy::made(does, None, Some(target))
    }

    fn made(does: &[Behaviour], ending: Option<Box<Ending>>, refuses: Option<&'static str>) -> HandlerSpy {
        HandlerSpy(Arc::new(Inner {
            does: Mutex::new(does.iter().copied().collect()),
            calls: Mutex::default(),
            running: AtomicUsize::new(0),
            running_max: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            told: Semaphore::new(0),
            ending,
            refuses,
        }))
    }

    /// Its calls, in order.
    pub fn calls(&self) -> Vec<UndoCall> {
        self.0.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The targets of its calls, in order.
    pub fn targets(&self) -> Vec<String> {
        self.calls().into_iter().map(|call| call.target).collect()
    }

    /// How many of it run now.
    pub fn running(&self) -> usize {
        self.0.running.load(Ordering::SeqCst)
    }

    /// Signals this many waiting calls, now or later.
    pub fn lets_go(&self, count: usize) {
        self.0.told.add_permits(count);
    }

    /// How many of it ran at once at most.
    pub fn running_max(&self) -> usize {
        self.0.running_max.load(Ordering::SeqCst)
    }

    /// Handlers with this one for the kind, and a short retry policy: three tries, some milliseconds apart.
    pub fn on(&self, kind: &str) -> Handlers {
        self.and(Handlers::new(), kind)
    }

    /// The same, beside others.
    pub fn and(&self, handlers: Handlers, kind: &str) -> Handlers {
        handlers.with(kind, quick_retries(), self.clone()).expect("a kind")
    }
}

/// Three tries, some milliseconds apart.
pub fn quick_retries() -> RetryPolicy {
    RetryPolicy::default().with(|policy| {
        policy.timeout = Duration::from_secs(20);
        policy.tries = 3;
        policy.backoff = Backoff { base: Span::from_millis(20), factor: 2, cap: Span::from_millis(50) };
    })
}

impl Handler for HandlerSpy {
    fn accepts(&self, call: &UndoCall) -> Result<(), String> {
        match self.0.refuses.is_some_and(|start| call.target.starts_with(start)) {
            true => Err("it does not touch that".into()),
            false => Ok(()),
        }
    }

    fn undo(&self, call: UndoCall, lease: LeaseWatch) -> BoxFuture<'static, Undone> {
        let does = {
            let mut does = self.0.does.lock().unwrap_or_else(PoisonError::into_inner);
            if does.len() > 1 { does.pop_front() } else { does.front().copied() }
        };
        let target = call.target.clone();
        self.0.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        assert!(does != Some(Behaviour::PanicsAtOnce), "it was told to panic at once");
        let running = Running::of(&self.0);
        Box::pin(while_held(lease, async move {
            // Moved in here as a whole, so that it ends with this.
            let mut running = running;
            let done = running.does(does.unwrap_or(Behaviour::Works), &target).await;
            running.is_over = true;
            done
        }))
    }
}

/// A recovery loop beside the story.
pub struct Loop {
    stop: StopSignal,
    running: tokio::task::JoinHandle<Result<RecoveryReport, Error>>,
}

impl Loop {
    /// Starts it.
    pub fn of(recovery: &Recovery) -> Loop {
        let (recovery, stop) = (recovery.clone(), StopSignal::new());
        let theirs = stop.clone();
        Loop { stop, running: tokio::spawn(async move { recovery.watch(theirs).await }) }
    }

    /// Tells it to stop, and waits until it has.
    pub async fn stops(self) -> RecoveryReport {
        self.stop.stop();
        let ended = soon("the loop's end", self.running).await;
        ended.expect("it did not panic").expect("it did not fail")
    }

    /// Kills it, as a crash does: nothing is handed back.
    pub async fn dies(self) {
        self.running.abort();
        let _ = self.running.await;
    }

    /// Whether it goes on.
    pub fn goes_on(&self) -> bool {
        !self.running.is_finished()
    }
}

/// Waits until a task meets a condition.
pub async fn until_task(ledger: &Ledger, id: &str, is_so: impl Fn(&Task) -> bool) -> Task {
    let mut seen = None;
    until_asked(id, async || {
        let task = ledger.task(id).await.expect("a look at a task");
        let is_seen = is_so(&task);
        seen = Some(task);
        is_seen
    })
    .await;
    seen.expect("it was seen")
}

/// A store with faults, on a clock that stands still.
pub struct RecoveryWorld {
    /// What stories are played with.
    pub ledger: Ledger,
    /// The time.
    pub clock: ManualClock,
    /// The store behind the ledger.
    pub store: Arc<FaultyStore>,
}

/// Plays a story on every store.
pub fn on_every_store<F: Future<Output = Result<(), Error>>>(story: impl Fn(RecoveryWorld) -> F) {
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        let store = FaultyStore::over(memory(&clock));
        story(RecoveryWorld { ledger: Ledger::with_store(store.clone()), clock, store })
            .await
            .expect("in memory");
        let clock = ManualClock::at(BEGINNING);
        let (_folder, store) = sqlite(&clock).await;
        let store = FaultyStore::over(store);
        story(RecoveryWorld { ledger: Ledger::with_store(store.clone()), clock, store })
            .await
            .expect("on SQLite");
    });
}

impl RecoveryWorld {
    /// A task whose holder has begun, and registered what it is about to do.
    pub async fn held(&self, id: &str, policy: Policy, undos: &[(&str, &str)]) -> Result<Task, Error> {
        self.ledger.create(id).policy(policy).await?;
        self.taken(id, undos).await
    }

    /// The same, where there is a task already.
    pub async fn taken(&self, id: &str, undos: &[(&str, &str)]) -> Result<Task, Error> {
        let by = self.ledger.acquire(id, "w1").await?.lease().expect("a lease").holder();
        for (kind, target) in undos {
            self.ledger.register(id, &by, kind, target).await?;
        }
        self.ledger.task(id).await
    }

    /// The same, and its holder died.
    pub async fn lapsed(&self, id: &str, undos: &[(&str, &str)]) -> Result<Task, Error> {
        let task = self.held(id, Policy::default(), undos).await?;
        self.clock.advance(Duration::from_secs(60));
        Ok(task)
    }

    /// Recovery with those handlers.
    pub fn recovery(&self, handlers: Handlers) -> Recovery {
        Recovery::new(self.ledger.clone()).handlers(handlers)
    }

    /// How much has happened.
    pub async fn count_events(&self) -> Result<usize, Error> {
        Ok(self.ledger.events(None, 10_000).await?.items.len())
    }
}
