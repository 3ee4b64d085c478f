//! Quotas for what callers share: memory, waiting requests, streams and reads. Each caller gets a part, so that none
//! can take all.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::DefaultClock;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tenure::Error;
use tenure::core::id::Actor;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::options::{BODY_COST, Limits};
use crate::problem::Problem;

/// How long a large read waits for other reads to end.
const SCAN_WAITED_FOR: Duration = Duration::from_secs(10);

/// Bodies up to this size have a memory budget of their own: some hundred heartbeats.
pub(crate) const SMALL_BODY_BYTES: usize = 64 * 1024;

/// The share of the memory for small bodies: one part in this many.
const SMALL_PART: usize = 8;

type Rate = RateLimiter<NotKeyed, InMemoryState, DefaultClock>;

/// Everything that is shared. There are as many callers as there are tokens, so their parts are kept.
pub(crate) struct Quotas {
    all: Arc<Permits>,
    limits: Limits,
    of: Mutex<HashMap<Option<Actor>, Arc<TokenQuota>>>,
}

/// The part of one caller.
pub(crate) struct TokenQuota {
    own: Arc<Permits>,
    all: Arc<Permits>,
    rate: Option<Rate>,
    /// How long a request waits for memory before its sender is told to come again.
    room_wait_max: Duration,
}

struct Permits {
    memory: Arc<Semaphore>,
    memory_max: usize,
    /// Memory that only small bodies take, so that they have some whatever the large ones do.
    small: Arc<Semaphore>,
    small_max: usize,
    waits: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    sweeps: Arc<Semaphore>,
    scans: Arc<Semaphore>,
    looks: Arc<Semaphore>,
    audits: Arc<Semaphore>,
}

impl Permits {
    fn of(limits: &Limits, parts: usize) -> Arc<Permits> {
        let part = |count: usize| (count / parts.max(1)).max(1);
        let semaphore = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        // There is memory for at least one body of the maximum size, and for a response as large.
        let memory = part(limits.memory_bytes_max).max(Limits::MEMORY_OF_A_BODY * limits.body_bytes_max);
        let memory_max = memory.min(u32::MAX as usize);
        let small_max = (memory / SMALL_PART).max(BODY_COST * SMALL_BODY_BYTES);
        Arc::new(Permits {
            memory: semaphore(memory_max),
            memory_max,
            small: semaphore(small_max),
            small_max,
            waits: semaphore(part(limits.waiting_max)),
            streams: semaphore(part(limits.streams_max)),
            sweeps: semaphore(part(limits.sweeps_max)),
            scans: semaphore(part(limits.scans_max)),
            looks: semaphore(part(limits.looks_max)),
            audits: semaphore(part(limits.audits_max)),
        })
    }
}

/// Permits from the caller's share and from the total, held until this is dropped.
pub(crate) type Taken = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// Memory that is taken until this is dropped. However many pieces it came in, it is kept as one: a body may come byte by byte.
#[derive(Default)]
pub(crate) struct Memory(Option<Taken>);

impl Memory {
    /// Adds what was taken besides.
    pub(crate) fn add(&mut self, more: Memory) {
        match (&mut self.0, more.0) {
            (Some((of_own, of_all)), Some((own, all))) => {
                of_own.merge(own);
                of_all.merge(all);
            }
            (taken @ None, more) => *taken = more,
            (Some(_), None) => {}
        }
    }

    /// Gives back what is more than that.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        if let Some((own, all)) = &mut self.0 {
            drop(own.split(own.num_permits().saturating_sub(bytes)));
            drop(all.split(all.num_permits().saturating_sub(bytes)));
        }
    }

    /// How much it is, of the whole.
    pub(crate) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |(_, all)| all.num_permits())
    }
}

impl Quotas {
    pub(crate) fn new(limits: &Limits) -> Quotas {
        Quotas { all: Permits::of(limits, 1), limits: limits.clone(), of: Mutex::default() }
    }

    /// The bytes of memory that requests have taken, and those that they may take.
    pub(crate) fn memory_taken(&self) -> (usize, usize) {
        let Permits { memory, memory_max, small, small_max, .. } = &*self.all;
        let max = memory_max + small_max;
        (max.saturating_sub(memory.available_permits() + small.available_permits()), max)
    }

    /// The part of that caller.
    pub(crate) fn of(&self, name: Option<&Actor>) -> Arc<TokenQuota> {
        let mut quotas = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || {
            let per_second = self.limits.requests_per_second.and_then(NonZeroU32::new);
            Arc::new(TokenQuota {
                // Without tokens there is only one caller.
                own: Permits::of(
                    &self.limits,
                    if name.is_some() { self.limits.share_of_one_caller } else { 1 },
                ),
                all: Arc::clone(&self.all),
                rate: per_second.map(|count| RateLimiter::direct(Quota::per_second(count))),
                room_wait_max: self.limits.room_wait_max,
            })
        };
        Arc::clone(quotas.entry(name.cloned()).or_insert_with(made))
    }
}

impl TokenQuota {
    /// One more request.
    pub(crate) fn count(&self) -> Result<(), Problem> {
        match &self.rate {
            Some(rate) if rate.check().is_err() => Err(Problem::too_many_requests(
                "this caller is over its limit of requests per second; send several commands in one request",
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// The same for a body that is small: a heartbeat comes through whatever else is read.
    pub(crate) async fn small_memory(&self, bytes: usize) -> Result<Memory, Error> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let taken = in_turn((&self.own.small, bytes), (&self.all.small, bytes), self.room_wait_max).await;
        taken.map(|taken| Memory(Some(taken))).ok_or_else(no_memory)
    }

    /// Reserves this many bytes, besides those that the request holds already. It waits only a moment:
    /// requests that wait for each other's memory would wait for ever. A request that needs more than the
    /// budget takes all of it.
    pub(crate) async fn memory(&self, bytes: usize, held: usize) -> Result<Memory, Error> {
        let (own, all) = self.part_of_memory(bytes, held);
        let taken = in_turn(own, all, self.room_wait_max).await;
        taken.map(|taken| Memory(Some(taken))).ok_or_else(no_memory)
    }

    /// The same, if it is there at once.
    pub(crate) fn memory_at_once(&self, bytes: usize, held: usize) -> Option<Memory> {
        let ((own, of_own), (all, of_all)) = self.part_of_memory(bytes, held);
        let own = Arc::clone(own).try_acquire_many_owned(of_own).ok()?;
        let all = Arc::clone(all).try_acquire_many_owned(of_all).ok()?;
        Some(Memory(Some((own, all))))
    }

    fn part_of_memory(&self, bytes: usize, held: usize) -> (Part<'_>, Part<'_>) {
        let of = |permits: &Permits| {
            u32::try_from(bytes.min(permits.memory_max.saturating_sub(held))).unwrap_or(u32::MAX)
        };
        ((&self.own.memory, of(&self.own)), (&self.all.memory, of(&self.all)))
    }

    /// A permit for a waiting request.
    pub(crate) fn wait(&self) -> Result<Taken, Problem> {
        taken(&self.own.waits, &self.all.waits, "waiting requests")
    }

    /// A permit for a large read. It waits in order of arrival. While some are left, the small reads of each
    /// request don't wait.
    pub(crate) async fn scan(&self) -> Result<Taken, Problem> {
        let permit = in_turn((&self.own.scans, 1), (&self.all.scans, 1), SCAN_WAITED_FOR).await;
        permit.ok_or_else(|| {
            Problem::unavailable("too many lists and histories are being read at once; try again")
        })
    }

    /// A permit to read a single task, which may be large: it is held until memory for the task was reserved.
    pub(crate) async fn look(&self) -> Result<Taken, Problem> {
        let permit = in_turn((&self.own.looks, 1), (&self.all.looks, 1), SCAN_WAITED_FOR).await;
        permit.ok_or_else(|| Problem::unavailable("too many large tasks are being read at once; try again"))
    }

    /// The same, if there is some at once.
    pub(crate) fn look_at_once(&self) -> Option<Taken> {
        let own = Arc::clone(&self.own.looks).try_acquire_owned().ok()?;
        Some((own, Arc::clone(&self.all.looks).try_acquire_owned().ok()?))
    }

    /// A permit for an audit of the whole store.
    pub(crate) async fn audit(&self) -> Result<Taken, Problem> {
        let permit = in_turn((&self.own.audits, 1), (&self.all.audits, 1), SCAN_WAITED_FOR).await;
        permit.ok_or_else(|| Problem::unavailable("too many audits are running; try again"))
    }

    /// A permit for a sweep of recovery.
    pub(crate) fn sweep(&self) -> Result<Taken, Problem> {
        taken(&self.own.sweeps, &self.all.sweeps, "sweeps")
    }

    /// A permit for an event stream.
    pub(crate) fn stream(&self) -> Result<Taken, Problem> {
        taken(&self.own.streams, &self.all.streams, "streams")
    }
}

/// A number of permits of a semaphore.
type Part<'a> = (&'a Arc<Semaphore>, u32);

fn no_memory() -> Error {
    Error::Unavailable(
        "the memory for requests is used up, by request bodies or by responses that clients read slowly; \
         nothing was done: try again later, or ask for less at once"
            .into(),
    )
}

/// Takes permits from the caller's share and then from the total, in order of arrival; none if that takes too
/// long.
async fn in_turn(
    (own, of_own): (&Arc<Semaphore>, u32),
    (all, of_all): (&Arc<Semaphore>, u32),
    wait_max: Duration,
) -> Option<Taken> {
    let permit = async {
        let own = Arc::clone(own).acquire_many_owned(of_own).await.ok()?;
        let all = Arc::clone(all).acquire_many_owned(of_all).await.ok()?;
        Some((own, all))
    };
    timeout(wait_max, permit).await.ok().flatten()
}

/// Takes a permit at once, or fails.
fn taken(own: &Arc<Semaphore>, all: &Arc<Semaphore>, what: &str) -> Result<Taken, Problem> {
    let own = Arc::clone(own).try_acquire_owned();
    let own = own.map_err(|_| Problem::too_many_requests(format!("this caller has too many {what}")))?;
    let all = Arc::clone(all).try_acquire_owned();
    let all = all
        .map_err(|_| Problem::unavailable(format!("this server has too many {what}; try another server")))?;
    Ok((own, all))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Actor {
        Actor::new(name).expect("a name")
    }

    #[test]
    fn one_caller_leaves_room_for_others() {
        let quotas = Quotas::new(&Limits { streams_max: 4, share_of_one_caller: 2, ..Limits::default() });
        let (one, other) = (quotas.of(Some(&named("one"))), quotas.of(Some(&named("other"))));
        let held: Vec<_> = std::iter::from_fn(|| one.stream().ok()).take(10).collect();
        assert_eq!(held.len(), 2);
        assert_eq!(one.stream().expect_err("its part is taken").code(), "too_many_requests");
        assert!(other.stream().is_ok());
        drop(held);
        assert!(one.stream().is_ok(), "what is given back can be taken again");
    }

    #[test]
    fn requests_over_the_rate_are_told_to_come_again() {
        let quotas = Quotas::new(&Limits { requests_per_second: Some(3), ..Limits::default() });
        let quota = quotas.of(None);
        let taken = (0..10).filter(|_| quota.count().is_ok()).count();
        assert_eq!(taken, 3);
    }
}
