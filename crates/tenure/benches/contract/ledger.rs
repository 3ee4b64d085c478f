//! Tenure's side: callers at work through the public API of the ledger.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tenure::Ledger;
use tenure::store::Answer;
use tenure_core::command::Holder;
use tokio::runtime::Handle;

use crate::bare::work::{CallersAre, Measured, Work};
use crate::common::fill::{finish, lease, life_name};
use crate::common::life::{Life, call, live, live_together, name, ttl};

/// Lives of new tasks. `finished` tasks are stored before.
pub(crate) async fn lives(ledger: &Ledger, finished: usize, life: Life, work: Work) -> Measured {
    finish(ledger, finished).await;
    let next = Arc::new(AtomicUsize::new(finished));
    let caller = |_| LivesCaller { ledger: ledger.clone(), next: Arc::clone(&next), life, batch: work.batch };
    let callers = (0..work.callers).map(caller).collect();
    let (callers, warm_up) = at_work(callers, work.callers_are, work.warm_up).await;
    let (_, measured) = at_work(callers, work.callers_are, work.seconds).await;
    Measured { completed: finished + warm_up.done + measured.done, ..measured }
}

/// Renewals of `leased` leases, by callers with leases of their own.
pub(crate) async fn heartbeats(ledger: &Ledger, leased: usize, work: Work) -> Measured {
    let holders: Arc<[Holder]> = lease(ledger, leased).await.into();
    let caller = |number| RenewingCaller {
        ledger: ledger.clone(),
        holders: Arc::clone(&holders),
        work,
        number,
        round: 0,
        renewed: Vec::new(),
    };
    let (callers, _) = at_work((0..work.callers).map(caller).collect(), work.callers_are, work.warm_up).await;
    let (callers, measured) = at_work(callers, work.callers_are, work.seconds).await;
    let renewed = callers.into_iter().flat_map(|caller| caller.renewed);
    Measured { renewed: renewed.map(|(at, end)| (name(at), end)).collect(), ..measured }
}

/// Someone who makes one call after the other.
trait Caller: Send + 'static {
    /// One piece of work, or some in batches. Adds the latency of it, or of each call. Answers with how many were done.
    fn work(&mut self, latencies: &mut Vec<Duration>) -> impl Future<Output = usize> + Send;
}

/// All callers at once until the time is over. Each ends what it has begun.
async fn at_work<C: Caller>(callers: Vec<C>, are: CallersAre, time: Duration) -> (Vec<C>, Measured) {
    let began = Instant::now();
    let work = |mut caller: C| async move {
        let (mut done, mut latencies) = (0, Vec::new());
        while began.elapsed() < time {
            done += caller.work(&mut latencies).await;
        }
        (caller, Measured { done, latencies, elapsed: began.elapsed(), ..Measured::default() })
    };
    let ended: Vec<(C, Measured)> = match are {
        CallersAre::Tasks => {
            let tasks: Vec<_> = callers.into_iter().map(|caller| tokio::spawn(work(caller))).collect();
            let mut ended = Vec::new();
            for task in tasks {
                ended.push(task.await.expect("a caller"));
            }
            ended
        }
        CallersAre::Threads => {
            let runtime = Handle::current();
            // All of them begin before the first is awaited.
            let threads: Vec<_> = callers
                .into_iter()
                .map(|caller| {
                    let (runtime, work) = (runtime.clone(), work(caller));
                    std::thread::spawn(move || runtime.block_on(work))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("a caller")).collect()
        }
    };
    let (callers, parts) = ended.into_iter().unzip();
    (callers, Measured::together(parts))
}

struct LivesCaller {
    ledger: Ledger,
    next: Arc<AtomicUsize>,
    life: Life,
    batch: Option<usize>,
}

impl Caller for LivesCaller {
    async fn work(&mut self, latencies: &mut Vec<Duration>) -> usize {
        let Some(batch) = self.batch else {
            let (began, id) = (Instant::now(), life_name(self.next.fetch_add(1, Ordering::Relaxed)));
            live(&self.ledger, &id, self.life).await;
            latencies.push(began.elapsed());
            return 1;
        };
        let first = self.next.fetch_add(batch, Ordering::Relaxed);
        let names: Vec<String> = (first..first + batch).map(life_name).collect();
        live_together(&self.ledger, &names, self.life, latencies).await as usize
    }
}

struct RenewingCaller {
    ledger: Ledger,
    holders: Arc<[Holder]>,
    work: Work,
    number: usize,
    round: usize,
    /// The leases of the last call, with the ends that were answered.
    renewed: Vec<(usize, i64)>,
}

impl Caller for RenewingCaller {
    async fn work(&mut self, latencies: &mut Vec<Duration>) -> usize {
        let (callers, leased) = (self.work.callers, self.holders.len());
        let (of_a_caller, of_a_call) =
            (self.work.leases_of_a_caller(leased), self.work.renewals_of_a_call(leased));
        let beats = self.round * of_a_call..(self.round + 1) * of_a_call;
        let tasks: Vec<usize> = beats.map(|beat| self.number + beat % of_a_caller * callers).collect();
        let heartbeat =
            |at: &usize| self.ledger.heartbeat(&name(*at), &self.holders[*at]).ttl(ttl(self.round as u64));
        let ends: Vec<i64> = match self.work.batch {
            None => {
                let began = Instant::now();
                let renewal = heartbeat(&tasks[0]).await.expect("renewed");
                latencies.push(began.elapsed());
                vec![renewal.expires_at.as_micros()]
            }
            Some(_) => {
                let commands = tasks.iter().map(|at| heartbeat(at).command().expect("a command")).collect();
                call(&self.ledger, commands, latencies).await.into_iter().map(end).collect()
            }
        };
        self.round += 1;
        self.renewed = tasks.into_iter().zip(ends).collect();
        self.renewed.len()
    }
}

fn end(answer: Answer) -> i64 {
    let Answer::Renewed(renewal) = answer else { panic!("not a renewal") };
    renewal.expires_at.as_micros()
}
