//! Claims that wait for work, and what ends their waits.
//!
//! A claim registers its wait before it looks, so it misses nothing that a commit makes due meanwhile. After a commit, each task
//! that became due ends the oldest wait of its queue: a new task does not wake every worker. A task that another process made, or
//! that time made due, is found by a look: by one wait of the queue, for all of them. To look is to read when the queue's next
//! task is due.

mod plan;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tenure_clock::Moment;
use tenure_core::id::{Namespace, Queue};
use tenure_core::task::{Phase, Task};
use tenure_core::time::{Span, Time};
use tokio::sync::futures::OwnedNotified;
use tokio::sync::{Notify, watch};

use crate::error::Error;
pub use plan::{LOOK_APART, LOOK_EVERY};
use plan::{LookPlan, REST_MIN};

/// How soon a queue with further waits is looked into after an offer: the claim that got it may be gone, or may only watch.
const LOOK_AFTER_OFFER: Duration = Duration::from_millis(100);
/// The wait that looks may be one that its owner does not poll any more. After that time another one looks in its place.
const LOOK_OVERDUE: Duration = Duration::from_secs(2);
/// How many waits a look ends that finds a due task: there may be more of them than one.
const WOKEN_BY_A_LOOK: usize = 8;
/// Queues that nobody waits for any more are removed when there are this many, and then twice as many as are left.
const QUEUES_MIN: usize = 16;

type QueueName = (Namespace, Queue);

/// Every queue with waiting claims.
#[derive(Default)]
pub struct ClaimWaits {
    queues: Mutex<Queues>,
    count: AtomicUsize,
}

#[derive(Default)]
struct Queues {
    waits: HashMap<QueueName, Weak<QueueWaits>>,
    /// How many there are when those without waits are removed.
    full_at: usize,
}

/// The waits of one queue.
struct QueueWaits {
    count: AtomicUsize,
    /// Ends the oldest wait.
    due: Arc<Notify>,
    /// Held by the wait that looks. When it leaves, the next one looks.
    looking: tokio::sync::Mutex<()>,
    plan: Mutex<LookPlan>,
    /// The next look must be earlier.
    sooner: Notify,
}

impl QueueWaits {
    /// The first look comes soon: what became due before the wait was registered gives no offer.
    fn new() -> QueueWaits {
        QueueWaits {
            count: AtomicUsize::new(0),
            due: Arc::default(),
            looking: tokio::sync::Mutex::default(),
            plan: Mutex::new(LookPlan::new(Moment::now(), LOOK_APART)),
            sooner: Notify::new(),
        }
    }

    fn plan(&self) -> MutexGuard<'_, LookPlan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has somebody look at the latest that long from now.
    fn look_within(&self, from_now: Duration) {
        let at = Moment::from_micros(Moment::now().as_micros().saturating_add(micros(from_now)));
        if self.plan().ask(at) {
            self.sooner.notify_one();
        }
    }

    /// Whether nobody has looked for too long. Then somebody must.
    fn is_overdue(&self) -> bool {
        Duration::from(Moment::now().since(self.plan().last)) > LOOK_EVERY + LOOK_OVERDUE
    }

    /// Waits until a task is offered, or looks for all waits of the queue, one wait at a time, until a look finds a due task. It ends
    /// further waits then, and the next one of them looks again soon, as there may be more tasks than these.
    async fn until_due<P: Future<Output = ()>, L: Future<Output = Result<Found, Error>>>(
        &self,
        mut offered: Pin<&mut OwnedNotified>,
        mut others_wrote: watch::Receiver<u64>,
        poll: impl Fn(watch::Receiver<u64>) -> P,
        look: impl Fn() -> L,
    ) -> Result<(), Error> {
        let looking = async {
            loop {
                match tokio::time::timeout(LOOK_OVERDUE, self.looking.lock()).await {
                    Ok(looking) => return Some(looking),
                    Err(_) if self.is_overdue() => return None,
                    Err(_) => {}
                }
            }
        };
        let _looking = tokio::select! {
            biased;
            () = offered.as_mut() => return Ok(()),
            looking = looking => looking,
        };
        loop {
            let signal = *others_wrote.borrow_and_update();
            let (left, is_signalled) = {
                let plan = self.plan();
                (plan.left(Moment::now(), signal), signal > plan.signal)
            };
            tokio::select! {
                biased;
                () = offered.as_mut() => return Ok(()),
                () = tokio::time::sleep(left) => {}
                () = self.sooner.notified() => continue,
                () = poll(others_wrote.clone()), if !is_signalled => continue,
            }
            self.plan().begin();
            let offered_long_ago = async {
                offered.as_mut().await;
                tokio::time::sleep(LOOK_EVERY).await;
            };
            // An offer does not end the look: the others need what it finds, and offers may come more often than a look takes.
            let found = tokio::select! {
                found = look() => found,
                () = offered_long_ago => return Ok(()),
            };
            self.plan().end(found.as_ref().map_or(LOOK_EVERY, |found| found.rest()), signal);
            if let Found::Due = found? {
                for _ in 1..WOKEN_BY_A_LOOK.min(self.count.load(Ordering::SeqCst)) {
                    self.due.notify_one();
                }
                return Ok(());
            }
        }
    }
}

fn micros(duration: Duration) -> u64 {
    Span::from(duration).as_micros()
}

/// The queues that got a task in one transaction, if somebody waits at all, and how long until each is due.
#[derive(Default)]
pub struct NewlyDue {
    is_wanted: bool,
    queues: Vec<(QueueName, Duration)>,
}

impl NewlyDue {
    /// Notes a task that was written, if it waits to be claimed.
    pub fn note(&mut self, task: &Task) {
        if self.is_wanted && matches!(task.phase, Phase::Planned) {
            let due_in = task.due_since().since(task.updated_at);
            self.queues.push(((task.namespace.clone(), task.queue.clone()), due_in.into()));
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
        waits.count.fetch_add(1, Ordering::SeqCst);
        self.count.fetch_add(1, Ordering::SeqCst);
        ClaimWait { offered, waits, all: Arc::clone(self) }
    }

    /// Collects what one transaction makes due; nothing while nobody waits. A store that executes one transaction after the other
    /// calls this at the beginning of each: the claim of a wait that is registered later comes after it. Another store calls it after
    /// the commit.
    pub fn newly_due(&self) -> NewlyDue {
        NewlyDue { is_wanted: self.count.load(Ordering::SeqCst) > 0, queues: Vec::new() }
    }

    /// Ends as many waits as there are new tasks that are due, and plans looks for the others. They must be committed.
    pub fn offer(&self, new: NewlyDue) {
        for (name, due_in) in new.queues {
            let Some(waits) = self.queues().waits.get(&name).and_then(Weak::upgrade) else { continue };
            if due_in.is_zero() {
                waits.due.notify_one();
                waits.look_within(LOOK_AFTER_OFFER);
            } else {
                waits.look_within(due_in);
            }
        }
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, name: QueueName) -> Arc<QueueWaits> {
        let mut queues = self.queues();
        if let Some(waits) = queues.waits.get(&name).and_then(Weak::upgrade) {
            return waits;
        }
        // Callers choose the names of queues, so those that nobody waits for are not kept.
        if queues.waits.len() >= queues.full_at {
            queues.waits.retain(|_, waits| waits.strong_count() > 0);
            queues.full_at = QUEUES_MIN.max(2 * queues.waits.len());
        }
        let waits = Arc::new(QueueWaits::new());
        queues.waits.insert(name, Arc::downgrade(&waits));
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
    /// Waits until a task is offered, or until a look finds one: by this wait or by another one of the queue. `poll` ends when
    /// `others_wrote` has a new signal: then another process may have written.
    pub async fn until_due<P: Future<Output = ()>, L: Future<Output = Result<Found, Error>>>(
        mut self,
        others_wrote: watch::Receiver<u64>,
        poll: impl Fn(watch::Receiver<u64>) -> P,
        look: impl Fn() -> L,
    ) -> Result<(), Error> {
        self.waits.until_due(self.offered.as_mut(), others_wrote, poll, look).await
    }
}

impl Drop for ClaimWait {
    fn drop(&mut self) {
        self.waits.count.fetch_sub(1, Ordering::SeqCst);
        self.all.count.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use tenure_core::command::{Action, Command, Create, IdOrigin, LeaseScope};
    use tenure_core::id::{Actor, TaskId};
    use tenure_core::policy::Jitter;
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
        let new = task_in("q");
        assert_eq!(noted(&new), 0, "nobody waits");
        let mut wait = waits.register(&namespace(), &queue("q"));
        assert_eq!(noted(&new), 1);
        let mut later = waits.newly_due();
        later.note(&Task { not_before: Some(new.updated_at + Span::from_secs(1)), ..new });
        waits.offer(later);
        assert!(!is_over(&mut wait), "it is not due yet");
    }

    #[test]
    fn a_queue_that_nobody_waits_for_is_not_kept() {
        let waits = Arc::<ClaimWaits>::default();
        for number in 0..100 {
            drop(waits.register(&namespace(), &queue(&format!("q{number}"))));
        }
        assert!(waits.queues().waits.len() <= QUEUES_MIN, "{}", waits.queues().waits.len());
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

    /// What looks find, one after the other, and how many there were. After the last one nothing waits.
    struct Looks(std::cell::Cell<usize>, Vec<Found>);

    impl Looks {
        fn finding(found: &[Found]) -> Looks {
            Looks(std::cell::Cell::default(), found.to_vec())
        }

        async fn until_due(&self, wait: ClaimWait) {
            let (_others_write, others_wrote) = watch::channel(0);
            let look = || async {
                let at = self.0.replace(self.0.get() + 1);
                Ok(self.1.get(at).copied().unwrap_or(Found::NotDue(None)))
            };
            let poll = |_| std::future::pending();
            timeout(LONG, wait.until_due(others_wrote, poll, look))
                .await
                .expect("it ends")
                .expect("it is due");
        }
    }

    #[tokio::test]
    async fn more_tasks_than_one_look_has_claims_for_are_found_by_the_next_looks() {
        let waits = Arc::<ClaimWaits>::default();
        let looks = Looks::finding(&[Found::Due; 3]);
        let waiting = (0..2 * WOKEN_BY_A_LOOK + 1).map(|_| waits.register(&namespace(), &queue("q")));
        let began = Moment::now();
        let all: Vec<_> = waiting.map(|wait| Box::pin(looks.until_due(wait))).collect();
        for wait in all {
            wait.await;
        }
        assert_eq!(looks.0.get(), 3);
        assert!(Moment::now().since(began) < LOOK_EVERY.into(), "one look came soon after the other");
    }

    #[tokio::test]
    async fn the_time_of_the_next_task_is_not_lost_with_the_wait_that_looked() {
        let waits = Arc::<ClaimWaits>::default();
        let soon = Found::NotDue(Some(LOOK_APART * 2));
        let looks = Looks::finding(&[soon, Found::Due]);
        let (first, second) =
            (waits.register(&namespace(), &queue("q")), waits.register(&namespace(), &queue("q")));
        let began = Moment::now();
        let mut first = Box::pin(looks.until_due(first));
        let mut second = Box::pin(looks.until_due(second));
        tokio::select! {
            () = &mut first => panic!("nothing is due"),
            () = &mut second => panic!("nothing is due"),
            // played: the first one looks, and its client goes away
            () = tokio::time::sleep(LOOK_APART * 3 / 2) => drop(first),
        }
        second.await;
        assert!(Moment::now().since(began) < (LOOK_EVERY / 2).into(), "it knew when to look");
    }

    #[tokio::test]
    async fn a_task_that_is_planned_for_later_is_found_when_it_is_due() {
        let waits = Arc::<ClaimWaits>::default();
        let wait = waits.register(&namespace(), &queue("q"));
        let looks = Looks::finding(&[Found::NotDue(None), Found::Due]);
        let mut waiting = Box::pin(looks.until_due(wait));
        tokio::select! {
            () = &mut waiting => panic!("nothing is due"),
            // played: the first look is over
            () = tokio::time::sleep(LOOK_APART * 2) => {}
        }
        let mut new = waits.newly_due();
        let task = task_in("q");
        new.note(&Task { not_before: Some(task.updated_at + Span::from_millis(30)), ..task });
        let began = Moment::now();
        waits.offer(new);
        waiting.await;
        let waited = Moment::now().since(began);
        assert!(waited >= Span::from_millis(30) && waited < (LOOK_EVERY / 2).into(), "{waited}");
    }

    #[tokio::test]
    async fn an_offer_does_not_end_the_look_that_others_need() {
        let waits = Arc::<ClaimWaits>::default();
        let (looking, other) =
            (waits.register(&namespace(), &queue("q")), waits.register(&namespace(), &queue("q")));
        let (_others_write, others_wrote) = watch::channel(0);
        let look = || async {
            // The task goes to the oldest wait, which looks just now.
            offer(&waits, "q");
            tokio::task::yield_now().await;
            Ok(Found::Due)
        };
        let poll = |_| std::future::pending();
        looking.until_due(others_wrote, poll, look).await.expect("it is due");
        // What the look found is for the other one, too.
        let looks = Looks::finding(&[]);
        looks.until_due(other).await;
        assert_eq!(looks.0.get(), 0);
    }

    #[tokio::test]
    async fn a_wait_that_is_not_polled_any_more_does_not_keep_others_from_looking() {
        let waits = Arc::<ClaimWaits>::default();
        let (left, other) =
            (waits.register(&namespace(), &queue("q")), waits.register(&namespace(), &queue("q")));
        let looks = Looks::finding(&[Found::NotDue(None), Found::Due]);
        let mut left = Box::pin(looks.until_due(left));
        tokio::select! {
            () = &mut left => panic!("nothing is due"),
            // played: its owner does something else
            () = tokio::time::sleep(LOOK_APART * 2) => {}
        }
        looks.until_due(other).await;
        drop(left);
    }

    #[tokio::test]
    async fn an_offer_to_a_claim_that_never_comes_is_found_by_the_next_wait() {
        let waits = Arc::<ClaimWaits>::default();
        let (watching, worker) =
            (waits.register(&namespace(), &queue("q")), waits.register(&namespace(), &queue("q")));
        // The first look finds nothing, and the one after the offer that the task is still there.
        let looks = Looks::finding(&[Found::NotDue(None), Found::Due]);
        let mut working = Box::pin(looks.until_due(worker));
        tokio::select! {
            () = &mut working => panic!("nothing is due"),
            // played: the first look is over
            () = tokio::time::sleep(LOOK_APART * 2) => {}
        }
        let began = Moment::now();
        offer(&waits, "q");
        // One that only watches takes the offer and claims nothing.
        looks.until_due(watching).await;
        working.await;
        assert!(Moment::now().since(began) < (LOOK_EVERY / 2).into());
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
