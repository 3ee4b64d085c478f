//! Claims that wait for work, and what ends their waits.
//!
//! A claim registers its wait before it looks, so it misses nothing that becomes due meanwhile. After a commit, each task that
//! became due ends the oldest wait of its queue: a new task does not wake every worker. A task that another process made, or
//! that time made due, gives no signal here. So one of a queue's waits looks from time to time, for all of them.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tenure_clock::Moment;
use tenure_core::id::{Namespace, Queue};
use tenure_core::task::{Phase, Task};
use tenure_core::time::Time;
use tokio::sync::futures::OwnedNotified;
use tokio::sync::{Notify, watch};

use crate::error::Error;

/// How often a queue is looked into without a signal.
pub const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The minimum time between two looks, however much happens in the store.
pub const LOOK_APART: Duration = Duration::from_millis(20);
/// The minimum time until a task becomes due that is waited for. A clock may stand still.
const REST_MIN: Duration = Duration::from_millis(1);
/// How many waits a look ends that finds a due task: there may be more of them than one.
const WOKEN_BY_A_LOOK: usize = 8;

type QueueName = (Namespace, Queue);

/// Every queue with waiting claims.
#[derive(Default)]
pub struct ClaimWaits {
    queues: Mutex<HashMap<QueueName, Weak<QueueWaits>>>,
    count: AtomicUsize,
}

/// The waits of one queue.
struct QueueWaits {
    due: Arc<Notify>,
    last_look: Mutex<Look>,
}

/// When one of the waits looked, and which sign of other processes was the newest then.
struct Look {
    at: Moment,
    sign: u64,
}

/// Why a wait would look.
enum LookReason {
    /// That much time has passed without a look.
    Rested(Duration),
    /// There is a new sign of other processes.
    Signed,
}

impl QueueWaits {
    /// Whether no other wait has looked instead. A caller that gets true must look.
    fn must_look(&self, why: &LookReason, sign: u64) -> bool {
        let mut last = self.last_look.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Moment::now();
        let must_look = match why {
            LookReason::Rested(rest) => now.since(last.at) >= (*rest).into(),
            LookReason::Signed => last.sign < sign,
        };
        if must_look {
            *last = Look { at: now, sign };
        }
        must_look
    }
}

/// The queues that got a due task in one transaction, if somebody waits at all.
#[derive(Default)]
pub struct NewlyDue {
    is_wanted: bool,
    queues: Vec<QueueName>,
}

impl NewlyDue {
    /// Notes a task that was written, if it can be claimed.
    pub fn note(&mut self, task: &Task) {
        if self.is_wanted && matches!(task.phase, Phase::Planned) && task.due_since() <= task.updated_at {
            self.queues.push((task.namespace.clone(), task.queue.clone()));
        }
    }
}

/// What a look into a queue found.
#[derive(Clone, Copy, Debug)]
pub enum Found {
    Due,
    /// How long the next task waits yet, if there is one.
    NotDue(Option<Duration>),
}

impl Found {
    /// What it is at that time, if the next task is due at `at`.
    pub fn at(at: Option<Time>, now: Time) -> Found {
        match at {
            Some(at) if at <= now => Found::Due,
            Some(at) => Found::NotDue(Some(at.since(now).into())),
            None => Found::NotDue(None),
        }
    }

    /// How long until the next look.
    pub fn rest(self) -> Duration {
        match self {
            Found::Due => LOOK_APART,
            Found::NotDue(next) => next.map_or(LOOK_EVERY, |next| next.clamp(REST_MIN, LOOK_EVERY)),
        }
    }
}

impl ClaimWaits {
    /// Registers a wait: what is offered from now on can end it.
    pub fn register(self: &Arc<Self>, namespace: &Namespace, queue: &Queue) -> ClaimWait {
        let waits = self.of((namespace.clone(), queue.clone()));
        let mut offered = Box::pin(Arc::clone(&waits.due).notified_owned());
        offered.as_mut().enable();
        self.count.fetch_add(1, Ordering::SeqCst);
        ClaimWait { offered, waits, all: Arc::clone(self) }
    }

    /// Collects what one transaction makes due; nothing while nobody waits. A store that executes one transaction after the other calls
    /// this at the beginning of each: a claim that registers later comes after it. Another store calls it after the commit.
    pub fn newly_due(&self) -> NewlyDue {
        NewlyDue { is_wanted: self.count.load(Ordering::SeqCst) > 0, queues: Vec::new() }
    }

    /// Ends as many waits as there are new tasks. They must be committed.
    pub fn offer(&self, due: NewlyDue) {
        for name in due.queues {
            if let Some(waits) = self.queues().get(&name).and_then(Weak::upgrade) {
                waits.due.notify_one();
            }
        }
    }

    fn queues(&self) -> std::sync::MutexGuard<'_, HashMap<QueueName, Weak<QueueWaits>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, name: QueueName) -> Arc<QueueWaits> {
        let mut queues = self.queues();
        if let Some(waits) = queues.get(&name).and_then(Weak::upgrade) {
            return waits;
        }
        // Callers choose the names of queues, so those that nobody waits for are not kept.
        queues.retain(|_, waits| waits.strong_count() > 0);
        let last_look = Mutex::new(Look { at: Moment::now(), sign: 0 });
        let waits = Arc::new(QueueWaits { due: Arc::default(), last_look });
        queues.insert(name, Arc::downgrade(&waits));
        waits
    }
}

/// A registered wait. One that was ended by an offer and is dropped unseen passes the offer on.
pub struct ClaimWait {
    offered: Pin<Box<OwnedNotified>>,
    waits: Arc<QueueWaits>,
    all: Arc<ClaimWaits>,
}

impl ClaimWait {
    /// Waits until a task is offered, or until `look` finds one. It looks when the next task becomes due, from time to time, and
    /// when `poll` ends because `others_wrote` has a sign: then another process may have written.
    pub async fn until_due<P: Future<Output = ()>, L: Future<Output = Result<Found, Error>>>(
        mut self,
        mut others_wrote: watch::Receiver<u64>,
        poll: impl Fn(watch::Receiver<u64>) -> P,
        look: impl Fn() -> L,
    ) -> Result<(), Error> {
        let mut rest = LOOK_APART;
        loop {
            let why = tokio::select! {
                biased;
                () = &mut self.offered => return Ok(()),
                () = tokio::time::sleep(rest) => LookReason::Rested(rest),
                () = after(LOOK_APART, poll(others_wrote.clone())) => LookReason::Signed,
            };
            rest = LOOK_EVERY;
            let sign = *others_wrote.borrow_and_update();
            if !self.waits.must_look(&why, sign) {
                continue;
            }
            let found = look().await?;
            if let Found::Due = found {
                for _ in 1..WOKEN_BY_A_LOOK {
                    self.waits.due.notify_one();
                }
                return Ok(());
            }
            rest = found.rest();
        }
    }
}

impl Drop for ClaimWait {
    fn drop(&mut self) {
        self.all.count.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn after(rest: Duration, then: impl Future<Output = ()>) {
    tokio::time::sleep(rest).await;
    then.await;
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use tenure_core::command::{Action, Command, Create, IdOrigin, LeaseScope};
    use tenure_core::id::{Actor, TaskId};
    use tenure_core::policy::Jitter;
    use tenure_core::time::Span;
    use tokio::time::timeout;

    use super::*;
    use crate::Store as _;
    use crate::memory::MemoryStore;

    const LONG: Duration = Duration::from_secs(60);

    fn namespace() -> Namespace {
        Namespace::new("default").expect("a name")
    }

    fn queue(name: &str) -> Queue {
        Queue::new(name).expect("a name")
    }

    fn task_in(name: &str) -> Task {
        Task { queue: queue(name), ..Task::blank(namespace(), TaskId::new("t").expect("a name")) }
    }

    /// Offers a task of that queue, as a store does after a commit.
    fn offer(waits: &ClaimWaits, name: &str) {
        let mut newly_due = waits.newly_due();
        newly_due.note(&task_in(name));
        waits.offer(newly_due);
    }

    fn is_over(wait: &mut ClaimWait) -> bool {
        wait.offered.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    async fn create(store: &MemoryStore, name: &str, id: &str) {
        let mut create = Create::new(TaskId::new(id).expect("a name"), IdOrigin::Given);
        create.queue = queue(name);
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

    /// Waits as on a store whose other processes give that signal.
    async fn until_due(wait: ClaimWait, store: &MemoryStore, others_wrote: watch::Receiver<u64>) {
        let poll = |mut signs: watch::Receiver<u64>| async move { drop(signs.changed().await) };
        let look = || crate::find_due(store, namespace(), queue("q"));
        let waited = timeout(LONG, wait.until_due(others_wrote, poll, look)).await;
        waited.expect("it ends").expect("nothing fails");
    }

    #[test]
    fn a_new_task_ends_the_oldest_wait_of_its_queue_and_no_other() {
        let waits = Arc::<ClaimWaits>::default();
        let register = |name| waits.register(&namespace(), &queue(name));
        let (mut first, mut second, mut elsewhere) = (register("q"), register("q"), register("other"));
        offer(&waits, "q");
        assert!(!is_over(&mut second) && !is_over(&mut elsewhere));
        assert!(is_over(&mut first), "it was registered before the offer");
        offer(&waits, "q");
        assert!(is_over(&mut second));
    }

    #[test]
    fn an_offer_to_a_claim_that_went_away_is_for_the_next_one() {
        let waits = Arc::<ClaimWaits>::default();
        let (first, mut second) =
            (waits.register(&namespace(), &queue("q")), waits.register(&namespace(), &queue("q")));
        offer(&waits, "q");
        drop(first);
        assert!(is_over(&mut second));
    }

    #[test]
    fn only_what_can_be_claimed_is_offered_and_nothing_while_nobody_waits() {
        let waits = Arc::<ClaimWaits>::default();
        let noted = |task: &Task| {
            let mut newly_due = waits.newly_due();
            newly_due.note(task);
            newly_due.queues.len()
        };
        let now = task_in("q");
        assert_eq!(noted(&now), 0, "nobody waits");
        let _wait = waits.register(&namespace(), &queue("q"));
        let later = Task { not_before: Some(now.updated_at + Span::from_secs(1)), ..now.clone() };
        assert_eq!((noted(&now), noted(&later)), (1, 0));
    }

    #[test]
    fn a_queue_that_nobody_waits_for_is_not_kept() {
        let waits = Arc::<ClaimWaits>::default();
        for number in 0..100 {
            drop(waits.register(&namespace(), &queue(&format!("q{number}"))));
        }
        assert_eq!(waits.queues().len(), 1);
        assert_eq!(waits.count.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn a_task_of_another_process_is_found_by_a_look_after_its_signal() {
        let (store, waits) = (MemoryStore::default(), Arc::<ClaimWaits>::default());
        let wait = waits.register(&namespace(), &queue("q"));
        let (others_write, others_wrote) = watch::channel(0);
        let waiting = until_due(wait, &store, others_wrote);
        let others = async {
            // The first look finds nothing.
            tokio::time::sleep(LOOK_APART * 2).await;
            create(&store, "q", "t").await;
            others_write.send_replace(1);
            std::future::pending::<()>().await;
        };
        let began = Moment::now();
        tokio::select! {
            () = waiting => {}
            () = others => {}
        }
        assert!(Moment::now().since(began) < LOOK_EVERY.into(), "without the signal it had looked later");
    }

    #[tokio::test]
    async fn without_any_signal_one_of_the_waits_looks_and_ends_others_with_it() {
        let (store, waits) = (MemoryStore::default(), Arc::<ClaimWaits>::default());
        let wait = || waits.register(&namespace(), &queue("q"));
        let (one, another) = (wait(), wait());
        create(&store, "q", "t").await;
        let (_others_write, others_wrote) = watch::channel(0);
        let began = Moment::now();
        tokio::join!(until_due(one, &store, others_wrote.clone()), until_due(another, &store, others_wrote));
        assert!(Moment::now().since(began) < LOOK_EVERY.into(), "one look was for both");
    }

    #[test]
    fn of_the_waits_of_a_queue_one_looks_for_each_reason() {
        let waits = Arc::<ClaimWaits>::default().of((namespace(), queue("q")));
        assert!(waits.must_look(&LookReason::Signed, 1));
        assert!(!waits.must_look(&LookReason::Signed, 1), "another one has looked since that sign");
        assert!(waits.must_look(&LookReason::Signed, 2));
        assert!(!waits.must_look(&LookReason::Rested(LONG), 2), "another one has looked a moment ago");
        assert!(waits.must_look(&LookReason::Rested(Duration::ZERO), 2));
    }

    #[test]
    fn the_next_look_is_when_the_next_task_is_due() {
        let at = |micros| Found::at(Some(Time::from_micros(micros)), Time::from_micros(0));
        assert_eq!(at(5_000).rest(), Duration::from_millis(5));
        assert_eq!(at(1).rest(), REST_MIN, "a clock that stands still is not asked all the time");
        assert_eq!(at(3_600_000_000).rest(), LOOK_EVERY, "what others make is found meanwhile");
        assert_eq!(Found::NotDue(None).rest(), LOOK_EVERY);
    }
}
