//! What callers share: room for bodies, waits and streams. Each has a part of it, so that none can take all.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::DefaultClock;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tenure::core::id::Actor;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::options::Limits;
use crate::problem::Problem;

/// How long a look through much of the store waits for others to end.
const SCAN_WAITED_FOR: Duration = Duration::from_secs(10);

type Rate = RateLimiter<NotKeyed, InMemoryState, DefaultClock>;

/// Everything that is shared. There are as many callers as there are tokens, so their parts are kept.
pub(crate) struct Shares {
    all: Arc<Rooms>,
    limits: Limits,
    of: Mutex<HashMap<Option<Actor>, Arc<Share>>>,
}

/// The part of one caller.
pub(crate) struct Share {
    own: Arc<Rooms>,
    all: Arc<Rooms>,
    rate: Option<Rate>,
    /// How long a body or a large answer waits for room before its sender is told to come again.
    room_wait_max: Duration,
}

struct Rooms {
    bodies: Arc<Semaphore>,
    answers: Arc<Semaphore>,
    answers_max: usize,
    waits: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    sweeps: Arc<Semaphore>,
    scans: Arc<Semaphore>,
    audits: Arc<Semaphore>,
}

impl Rooms {
    fn of(limits: &Limits, parts: usize) -> Arc<Rooms> {
        let part = |count: usize| (count / parts.max(1)).max(1);
        let room = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Arc::new(Rooms {
            // However large a body may be, there is room for one.
            bodies: room(part(limits.bodies_bytes_max).max(limits.body_bytes_max)),
            answers: room(part(limits.answers_bytes_max)),
            answers_max: part(limits.answers_bytes_max).min(Semaphore::MAX_PERMITS),
            waits: room(part(limits.waiting_max)),
            streams: room(part(limits.streams_max)),
            sweeps: room(part(limits.sweeps_max)),
            scans: room(part(limits.scans_max)),
            audits: room(part(limits.audits_max)),
        })
    }
}

/// Room that is taken until this is dropped, of the caller's part and of the whole.
pub(crate) type Taken = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// Room that grows. However many pieces it came in, it is kept as one: a body may come byte by byte.
#[derive(Default)]
pub(crate) struct Room(Option<Taken>);

impl Room {
    pub(crate) fn add(&mut self, (own, all): Taken) {
        match &mut self.0 {
            Some((of_own, of_all)) => {
                of_own.merge(own);
                of_all.merge(all);
            }
            None => self.0 = Some((own, all)),
        }
    }
}

impl Shares {
    pub(crate) fn new(limits: &Limits) -> Shares {
        Shares { all: Rooms::of(limits, 1), limits: limits.clone(), of: Mutex::default() }
    }

    /// The part of that caller.
    pub(crate) fn of(&self, name: Option<&Actor>) -> Arc<Share> {
        let mut shares = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || {
            let per_second = self.limits.requests_per_second.and_then(NonZeroU32::new);
            Arc::new(Share {
                // Where nobody has a name there is only one caller.
                own: Rooms::of(
                    &self.limits,
                    if name.is_some() { self.limits.share_of_one_caller } else { 1 },
                ),
                all: Arc::clone(&self.all),
                rate: per_second.map(|count| RateLimiter::direct(Quota::per_second(count))),
                room_wait_max: self.limits.room_wait_max,
            })
        };
        Arc::clone(shares.entry(name.cloned()).or_insert_with(made))
    }
}

impl Share {
    /// One more request.
    pub(crate) fn count(&self) -> Result<(), Problem> {
        match &self.rate {
            Some(rate) if rate.check().is_err() => Err(Problem::too_many_requests(
                "more requests a second than this server takes of one caller; send many commands in one request",
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Room for so many bytes of a body. It is waited for only a moment: bodies that wait for each other's room, each with a
    /// part of it, would wait for ever.
    pub(crate) async fn room_for(&self, bytes: usize) -> Result<Taken, Problem> {
        let count = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = in_turn((&self.own.bodies, count), (&self.all.bodies, count), self.room_wait_max).await;
        room.ok_or_else(|| Problem::unavailable("too many bodies are being read; try again"))
    }

    /// Room for a large answer, until its reader has taken it. One that is larger than all room takes all of it.
    pub(crate) async fn room_to_answer(&self, bytes: u64) -> Result<Taken, Problem> {
        let of = |rooms: &Rooms| u32::try_from(bytes.min(rooms.answers_max as u64)).unwrap_or(u32::MAX);
        let (own, all) = ((&self.own.answers, of(&self.own)), (&self.all.answers, of(&self.all)));
        in_turn(own, all, self.room_wait_max).await.ok_or_else(|| {
            Problem::unavailable("large answers wait for their readers; read them, or ask for less")
        })
    }

    /// Room to wait for something.
    pub(crate) fn wait(&self) -> Result<Taken, Problem> {
        taken(&self.own.waits, &self.all.waits, "requests that wait")
    }

    /// Room for a look that may go through much of the store. It is waited for, in the order of asking: as long as some are
    /// left for them, the looks that each request begins with don't wait for those.
    pub(crate) async fn scan(&self) -> Result<Taken, Problem> {
        let room = in_turn((&self.own.scans, 1), (&self.all.scans, 1), SCAN_WAITED_FOR).await;
        room.ok_or_else(|| Problem::unavailable("too many lists and histories are being read; try again"))
    }

    /// Room to go through the whole store, which takes as long as that is large.
    pub(crate) async fn audit(&self) -> Result<Taken, Problem> {
        let room = in_turn((&self.own.audits, 1), (&self.all.audits, 1), SCAN_WAITED_FOR).await;
        room.ok_or_else(|| Problem::unavailable("too many audits go on; try again"))
    }

    /// Room to look after what is stale.
    pub(crate) fn sweep(&self) -> Result<Taken, Problem> {
        taken(&self.own.sweeps, &self.all.sweeps, "sweeps")
    }

    /// Room for a stream.
    pub(crate) fn stream(&self) -> Result<Taken, Problem> {
        taken(&self.own.streams, &self.all.streams, "streams")
    }
}

/// So much room of the caller's part and then of the whole, waited for in the order of asking; none, if that takes too long.
async fn in_turn(
    (own, of_own): (&Arc<Semaphore>, u32),
    (all, of_all): (&Arc<Semaphore>, u32),
    wait_max: Duration,
) -> Option<Taken> {
    let room = async {
        let own = Arc::clone(own).acquire_many_owned(of_own).await.ok()?;
        let all = Arc::clone(all).acquire_many_owned(of_all).await.ok()?;
        Some((own, all))
    };
    timeout(wait_max, room).await.ok().flatten()
}

/// Room that is there, or is not.
fn taken(own: &Arc<Semaphore>, all: &Arc<Semaphore>, what: &str) -> Result<Taken, Problem> {
    let own = Arc::clone(own).try_acquire_owned();
    let own = own.map_err(|_| Problem::too_many_requests(format!("this caller has too many {what}")))?;
    let all = Arc::clone(all).try_acquire_owned();
    let all =
        all.map_err(|_| Problem::unavailable(format!("there are too many {what}; try another server")))?;
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
        let shares = Shares::new(&Limits { streams_max: 4, share_of_one_caller: 2, ..Limits::default() });
        let (one, other) = (shares.of(Some(&named("one"))), shares.of(Some(&named("other"))));
        let held: Vec<_> = std::iter::from_fn(|| one.stream().ok()).take(10).collect();
        assert_eq!(held.len(), 2);
        assert_eq!(one.stream().expect_err("its part is taken").code(), "too_many_requests");
        assert!(other.stream().is_ok());
        drop(held);
        assert!(one.stream().is_ok(), "what is given back can be taken again");
    }

    #[test]
    fn requests_over_the_rate_are_told_to_come_again() {
        let shares = Shares::new(&Limits { requests_per_second: Some(3), ..Limits::default() });
        let share = shares.of(None);
        let taken = (0..10).filter(|_| share.count().is_ok()).count();
        assert_eq!(taken, 3);
    }
}
