//! The bare engine on PostgreSQL: the row writes of the ledger, on the same tables, by hand: whole sets in each statement, all
//! statements of a step sent before the first answer, and as many connections as the store has committers, each with a thread and
//! tasks of its own.

mod by_hand;
mod statements;

use std::sync::Barrier;
use std::time::Instant;

use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};

use super::work::{Measured, Recorder, Work};
use crate::common::life::Life;
use by_hand::{BareConnection, ByHand};

/// As many as a store has committers.
pub(crate) const CONNECTIONS: usize = 4;
/// How many tasks are stored in one transaction before anything is measured.
const FILLED: usize = 1_000;

/// A schema that has the ledger's tables.
#[derive(Clone, Copy)]
pub(crate) struct Tables<'a> {
    pub(crate) url: &'a str,
    pub(crate) schema: &'a str,
}

/// A life of each task of each call, side by side, each with one command to a commit. The callers of a connection are at different
/// steps; the tasks of a call are at the same one. `finished` tasks are stored before.
pub(crate) fn lives(tables: Tables<'_>, finished: usize, life: Life, work: Work) -> Measured {
    let of_a_call = work.tasks_of_a_call();
    on_connections(tables, work.callers, async |mut bare, part, together| {
        let finished = part.of(finished);
        let rounds = bare.finish(part.number, finished).await;
        let slot = |at| ByHand::new(format!("{}-{at:04}", part.number), rounds);
        let mut lives: Vec<ByHand> = (0..part.of(work.callers) * of_a_call).map(slot).collect();
        together.wait();
        let mut recorder = Recorder::start(work, finished);
        for round in 0.. {
            if !recorder.goes_on() {
                break;
            }
            let began = Instant::now();
            let begins = |at: usize| round >= at / of_a_call % life.commands();
            let under_way = lives.iter_mut().enumerate().filter(|(at, _)| begins(*at));
            let mut under_way: Vec<&mut ByHand> = under_way.map(|(_, one)| one).collect();
            bare.commit(&mut under_way, life).await;
            let completed = under_way.iter().filter(|one| one.is_complete());
            let completed: Vec<Instant> = completed.map(|one| one.began).collect();
            recorder.lives(began, under_way.len(), &completed);
        }
        recorder.end()
    })
}

/// In each transaction a call of each caller of the connection, which renews leases of its own.
pub(crate) fn heartbeats(tables: Tables<'_>, leased: usize, work: Work) -> Measured {
    let (of_a_caller, of_a_call) = (work.leases_of_a_caller(leased), work.renewals_of_a_call(leased));
    on_connections(tables, work.callers, async |mut bare, part, together| {
        let callers = part.of(work.callers);
        // What is left over is leased, too, but no one renews it.
        let mine = callers * of_a_caller + part.of(leased - of_a_caller * work.callers);
        let slot = |at| ByHand::new(format!("{}-{at:07}", part.number), 0);
        let mut leased: Vec<ByHand> = (0..mine).map(slot).collect();
        bare.lease(&mut leased).await;
        together.wait();
        let (mut renewed, mut expires_at) = (Vec::new(), 0);
        let mut recorder = Recorder::start(work, 0);
        for round in 0.. {
            if !recorder.goes_on() {
                break;
            }
            let began = Instant::now();
            let beats = round * of_a_call..(round + 1) * of_a_call;
            let of_beat = |beat: usize| (0..callers).map(move |caller| caller + beat % of_a_caller * callers);
            renewed = beats.flat_map(of_beat).map(|at| leased[at].id.as_str()).collect();
            expires_at = bare.renew(renewed.clone()).await;
            recorder.renewals(began, renewed.len());
        }
        let renewed = renewed.into_iter().map(|id| (id.to_owned(), expires_at)).collect();
        Measured { renewed, ..recorder.end() }
    })
}

impl BareConnection {
    /// Stores tasks that are completed. Answers with how many rounds of names they took.
    async fn finish(&mut self, part: usize, count: usize) -> u64 {
        let mut rounds = 0;
        for from in (0..count).step_by(FILLED) {
            let slot = |at| ByHand::new(format!("{part}-{at:04}"), rounds);
            let mut lives: Vec<ByHand> = (0..FILLED.min(count - from)).map(slot).collect();
            for _ in 0..Life::SHORT.commands() {
                self.commit(&mut lives.iter_mut().collect::<Vec<_>>(), Life::SHORT).await;
            }
            rounds += 1;
        }
        rounds
    }

    async fn lease(&mut self, tasks: &mut [ByHand]) {
        for these in tasks.chunks_mut(FILLED) {
            for _ in ["create", "acquire"] {
                self.commit(&mut these.iter_mut().collect::<Vec<_>>(), Life::FULL).await;
            }
        }
    }
}

/// The part of one connection.
#[derive(Clone, Copy)]
struct Part {
    number: usize,
    of: usize,
}

impl Part {
    fn of(self, count: usize) -> usize {
        count / self.of + usize::from(self.number < count % self.of)
    }
}

/// Each connection on a thread. They wait for one another before their clocks start.
fn on_connections(
    tables: Tables<'_>,
    callers: usize,
    work: impl AsyncFn(BareConnection, Part, &Barrier) -> Measured + Sync,
) -> Measured {
    let connections = CONNECTIONS.min(callers);
    let (work, together) = (&work, &Barrier::new(connections));
    let on_connection = |number| {
        runtime().block_on(async {
            let bare = BareConnection::open(tables.url, tables.schema).await;
            work(bare, Part { number, of: connections }, together).await
        })
    };
    std::thread::scope(|scope| {
        let on_connection = &on_connection;
        let threads: Vec<_> =
            (0..connections).map(|number| scope.spawn(move || on_connection(number))).collect();
        Measured::together(threads.into_iter().map(|thread| thread.join().expect("a thread")).collect())
    })
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("connects");
    tokio::spawn(async move { connection.await.expect("a connection") });
    client
}
