//! What the ledger costs above the bare engine on PostgreSQL: lives and heartbeats from 1, 64 and 256 callers
//! at once and in explicit batches, beside the same row writes on the same tables by hand: whole sets in each
//! statement, all statements of a step sent before the first answer, as many connections as the store has
//! committers, and as many commands under way as there are callers.
//!
//! Both run in turns on one server, in schemas of their own that are dropped afterwards, so the ratios hold on a
//! noisy machine; the absolute figures are for orientation. The role must be allowed to make schemas.
//! `cargo bench -p tenure --features postgres --bench postgres -- --url URL --seconds 3 --rounds 3`.
#![expect(clippy::disallowed_methods, reason = "a bench measures real time")]
// A bench prints, and stops where it is surprised.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod bare {
    pub(crate) mod postgres;
    pub(crate) mod work;
}
mod common;

use std::cell::Cell;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use tenure::Ledger;

use bare::postgres::{self, CONNECTIONS, Tables, connect, runtime};
use bare::work::Work;
use common::life::Life;
use common::{Asked, BATCH, CALLERS, LEASED, LIVES, Ours, Place, word_after};

const USAGE: &str = "\
give a scratch database whose role may make schemas:
  --url postgres://USER@HOST:PORT/DATABASE   each figure has a schema of its own there, dropped afterwards
  --seconds N --rounds N --only PART         how long, how often, and rows whose names contain PART";

fn main() -> ExitCode {
    let Some(url) = word_after("--url") else {
        // A run of all benches has no database to give.
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let (asked, server) = (Asked::read(), Rc::new(Server { url, schemas: Cell::new(0) }));
    asked.print_heading();
    let (our_updates, bare_updates) = (Rc::new(Updates::default()), Rc::new(Updates::default()));
    let our_place = || server.place(&our_updates).0;
    // The ledger makes its tables when it is opened.
    let bare_place = || {
        let (place, schema) = server.place(&bare_updates);
        runtime().block_on(async { drop(Ledger::open(&place.url).await.expect("opens")) });
        (place, schema)
    };
    let ours = Ours { seconds: asked.seconds, batches: CONNECTIONS, place: &our_place };
    let bare_lives = |count, life: Life| {
        let (_place, schema) = bare_place();
        let tables = Tables { url: &server.url, schema: &schema };
        let done = postgres::lives(tables, 0, life, Work::single(count, asked.seconds));
        done.commands_per_second() / life.commands() as f64
    };
    for callers in CALLERS {
        let name = format!("lives, {callers} callers, single calls");
        asked.row(&name, || ours.lives(callers, Life::FULL), || bare_lives(callers, Life::FULL));
    }
    let name = "lives of three transitions, 64 callers";
    asked.row(name, || ours.lives(64, Life::SHORT), || bare_lives(64, Life::SHORT));
    // Each connection has a batch of its own under way.
    for (life, what) in [(Life::FULL, "lives"), (Life::SHORT, "lives of three transitions")] {
        let name = format!("{what}, explicit batches of {LIVES}");
        let together = LIVES * CONNECTIONS;
        asked.row(&name, || ours.batched_lives(life), || bare_lives(together, life));
    }
    let _of_lives = (our_updates.take(), bare_updates.take());
    let bare_heartbeats = |work| {
        let (_place, schema) = bare_place();
        let tables = Tables { url: &server.url, schema: &schema };
        postgres::heartbeats(tables, LEASED, work).commands_per_second()
    };
    for callers in CALLERS {
        let name = format!("heartbeats, {LEASED} leased, {callers} callers");
        asked.row(
            &name,
            || ours.heartbeats(callers),
            || bare_heartbeats(Work::single(callers, asked.seconds)),
        );
    }
    let name = format!("heartbeats, explicit batches of {BATCH}");
    asked.row(
        &name,
        || ours.batched_heartbeats(),
        || bare_heartbeats(Work::batched(CONNECTIONS, BATCH, asked.seconds)),
    );
    for (whose, updates) in [("ledger", &our_updates), ("bare", &bare_updates)] {
        if let (all @ 1.., hot) = updates.take() {
            let share = 100.0 * hot as f64 / all as f64;
            println!("updates of `due` by the {whose}: {all}, of which {share:.2} % HOT");
        }
    }
    if asked.wants("claim on an idle store") {
        ours.claims();
    }
    ExitCode::SUCCESS
}

// ---- places on the server ----------------------------------------------------------------------------------------

struct Server {
    url: String,
    schemas: Cell<u32>,
}

/// How often rows of `due` were updated, and how often no index was written for it, in schemas that are gone.
#[derive(Default)]
struct Updates {
    all: Cell<i64>,
    hot: Cell<i64>,
}

impl Updates {
    fn take(&self) -> (i64, i64) {
        (self.all.take(), self.hot.take())
    }
}

impl Server {
    /// A schema that is not there yet, as a place for a ledger, and its name.
    fn place(&self, updates: &Rc<Updates>) -> (Place, String) {
        self.schemas.set(self.schemas.get() + 1);
        let schema = format!("tenure_bench_{}_{}", std::process::id(), self.schemas.get());
        let sign = if self.url.contains('?') { '&' } else { '?' };
        let url = format!("{}{sign}schema={schema}", self.url);
        let keeps = Dropping { url: self.url.clone(), schema: schema.clone(), updates: Rc::clone(updates) };
        (Place { url, keeps: Box::new(keeps) }, schema)
    }
}

/// Drops its schema, and notes before what the server has counted there.
struct Dropping {
    url: String,
    schema: String,
    updates: Rc<Updates>,
}

impl Drop for Dropping {
    fn drop(&mut self) {
        // A connection tells what it has counted when it ends, and those of the ledger are ending now.
        std::thread::sleep(Duration::from_millis(300));
        let Dropping { url, schema, updates } = self;
        runtime().block_on(async {
            let client = connect(url).await;
            let counted = "select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables \
                           where schemaname = $1 and relname = 'due'";
            for row in client.query(counted, &[schema]).await.expect("statistics") {
                updates.all.set(updates.all.get() + row.get::<_, i64>(0));
                updates.hot.set(updates.hot.get() + row.get::<_, i64>(1));
            }
            let sweep = format!("set client_min_messages = warning; drop schema if exists {schema} cascade");
            client.batch_execute(&sweep).await.expect("dropped");
        });
    }
}
