//! What the ledger costs above the bare engine: full lives and heartbeats from 1, 64 and 256 callers at once, beside
//! SQLite doing the same row writes on the same tables by hand, with as many commands to a commit.
//!
//! Both run in turns in one process on one disk, so the ratios hold on a noisy machine; the absolute figures are for
//! orientation. `cargo bench -p tenure --bench store -- --seconds 3 --rounds 3`.
#![expect(clippy::disallowed_methods, reason = "a bench measures real time")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)] // A bench prints, and stops where it is surprised.

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, params};
use tenure_core::chain::{Canonical, Hash};

use common::{Asked, BATCH, CALLERS, LEASED, LIVES, Life, Ours, Place, name};

fn main() {
    let asked = Asked::read();
    asked.print_heading();
    let ours = Ours { seconds: asked.seconds, batches: 2, place: &place };
    for callers in CALLERS {
        let name = format!("lives, {callers} callers, single calls");
        asked.row(&name, || ours.lives(callers, Life::FULL), || bare_lives(callers, asked.seconds));
    }
    let name = format!("lives, explicit batches of {LIVES} commands");
    asked.row(&name, || ours.batched_lives(Life::FULL), || bare_lives(LIVES, asked.seconds));
    for callers in CALLERS {
        let name = format!("heartbeats, {LEASED} leased, {callers} callers");
        asked.row(&name, || ours.heartbeats(callers), || bare_heartbeats(callers, asked.seconds));
    }
    let name = format!("heartbeats, explicit batches of {BATCH}");
    asked.row(&name, || ours.batched_heartbeats(), || bare_heartbeats(BATCH, asked.seconds));
    if asked.wants("claim on an idle store") {
        ours.claims();
    }
}

fn place() -> Place {
    let folder = tempfile::tempdir().expect("a folder");
    Place { url: format!("sqlite:{}", folder.path().join("tasks.db").display()), keeps: Box::new(folder) }
}

// ---- the bare engine -------------------------------------------------------------------------------------------

fn bare(folder: &Path) -> Connection {
    let connection = Connection::open(folder.join("bare.db")).expect("opens");
    connection.set_prepared_statement_cache_capacity(64);
    let pragmas = "pragma journal_mode = wal; pragma synchronous = full; pragma wal_autocheckpoint = 4000; \
                   pragma cache_size = -16384;";
    connection.execute_batch(pragmas).expect("set");
    for migration in [
        include_str!("../../sqlite/migrations/V1__ledger.sql"),
        include_str!("../../sqlite/migrations/V2__tokens.sql"),
        include_str!("../../sqlite/migrations/V3__ends.sql"),
        include_str!("../../sqlite/migrations/V4__sagas.sql"),
    ] {
        connection.execute_batch(migration).expect("the same tables");
    }
    // As the ledger's writer, which has no use for the guards of the tables.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).expect("set");
    connection.pragma_update(None, "ignore_check_constraints", true).expect("set");
    connection
}

struct Bare {
    connection: Connection,
    tasks: i64,
    events: i64,
}

impl Bare {
    fn sql(&self, sql: &str, params: impl rusqlite::Params) -> usize {
        self.connection.prepare_cached(sql).expect("prepared").execute(params).expect("executed")
    }

    fn event(&mut self, task: i64, number: i64, kind: &str, data: &str, previous: Hash) -> Hash {
        let mut canonical = Canonical::new();
        canonical.number(task).number(number).piece(kind.as_bytes()).piece(data.as_bytes());
        let hash = canonical.link(previous);
        self.events += 1;
        let insert = "insert into events (\"order\", task, number, at, actor, type, data, hash) values (?, ?, ?, ?, ?, ?, ?, ?)";
        self.sql(insert, params![self.events, task, number, task, "host/123/worker-17", kind, data, hash.0]);
        hash
    }

    fn create(&mut self, id: &str) -> (i64, Hash) {
        self.tasks += 1;
        let no = self.tasks;
        let data = r#"{"saga_id":"task","queue":"q","kind":"task","labels":{},"payload":{"n":1},"priority":0,"policy":{"lease_ttl":"60s","max_attempts":1},"compensations":[]}"#;
        let hash = self.event(no, 1, "created", data, Hash::START);
        let insert = "insert into tasks (no, namespace, id, saga_id, queue, kind, state, priority, labels, payload, policy, \
                      attempts, epoch, revision, owed, compensations, created_at, updated_at, head) \
                      values (?, 'default', ?2, ?2, 'q', 'task', 'planned', 0, '{}', '{\"n\":1}', \
                      '{\"lease_ttl\":\"60s\",\"max_attempts\":1}', 0, 0, 1, 0, 0, ?1, ?1, ?3)";
        self.sql(insert, params![no, id, hash.0]);
        (no, hash)
    }

    fn acquire(&mut self, no: i64, id: &str, head: Hash) -> Hash {
        self.read(id);
        let hash =
            self.event(no, 2, "acquired", r#"{"owner":"host/123/worker-17","epoch":1,"ttl":"60s"}"#, head);
        let update = "update tasks set state = 'running', epoch = 1, attempts = 1, revision = 2, updated_at = ?1, \
                      started_at = ?1, head = ?2 where no = ?1 and revision = 1";
        assert_eq!(self.sql(update, params![no, hash.0]), 1);
        let insert = "insert into due (task, wait, namespace, owner, granted_to, epoch, ttl, since, heartbeat_at, \
                      progressed_at, expires_at, check_at, cancel_asked, held_back) values (?1, 'lease', 'default', \
                      'host/123/worker-17', 'host/123/worker-17', 1, 60, ?1, ?1, ?1, ?1, ?1, 0, 0)";
        self.sql(insert, params![no]);
        hash
    }

    fn beat(&self, no: i64, beat: i64) {
        let update = "update due set heartbeat_at = ?1, expires_at = ?1 where task = ?2 and epoch = 1 \
                      and owner = 'host/123/worker-17'";
        assert_eq!(self.sql(update, params![no + beat, no]), 1);
    }

    fn complete(&mut self, no: i64, id: &str, head: Hash) {
        self.read(id);
        self.sql("delete from due where task = ?", params![no]);
        let hash = self.event(
            no,
            3,
            "completed",
            r#"{"state":"completed","cause":"completed","result":{"ok":true}}"#,
            head,
        );
        let update = "update tasks set state = 'completed', cause = 'completed', revision = 3, updated_at = ?1, \
                      finished_at = ?1, result = '{\"ok\":true}', head = ?2 where no = ?1 and revision = 2";
        assert_eq!(self.sql(update, params![no, hash.0]), 1);
    }

    fn read(&self, id: &str) {
        let select = "select epoch, state from tasks where namespace = 'default' and id = ?";
        let mut select = self.connection.prepare_cached(select).expect("prepared");
        let _: (i64, String) = select.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).expect("a row");
    }

    fn commit(&self) {
        self.connection.execute_batch("commit").expect("committed");
    }

    fn begin(&self) {
        self.connection.execute_batch("begin immediate").expect("begun");
    }
}

/// A life by hand, as far as it is.
struct BareLife {
    no: i64,
    id: String,
    head: Hash,
}

/// As many lives side by side as there are callers, each with one command to a commit, at different steps.
fn bare_lives(callers: usize, seconds: Duration) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let mut bare = Bare { connection: bare(folder.path()), tasks: 0, events: 0 };
    let mut lives: Vec<BareLife> =
        (0..callers).map(|_| BareLife { no: 0, id: String::new(), head: Hash::START }).collect();
    let (begun, mut commands) = (Instant::now(), 0_u64);
    for round in 0.. {
        if begun.elapsed() >= seconds {
            break;
        }
        bare.begin();
        for (at, life) in lives.iter_mut().enumerate().filter(|(at, _)| round >= at % 6) {
            match (round - at % 6) % 6 {
                0 => {
                    life.id = format!("task-{:010}", bare.tasks);
                    (life.no, life.head) = bare.create(&life.id);
                }
                1 => life.head = bare.acquire(life.no, &life.id, life.head),
                5 => bare.complete(life.no, &life.id, life.head),
                beat => bare.beat(life.no, beat as i64),
            }
            commands += 1;
        }
        bare.commit();
    }
    commands as f64 / Life::FULL.commands() as f64 / begun.elapsed().as_secs_f64()
}

fn bare_heartbeats(batch: usize, seconds: Duration) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let mut bare = Bare { connection: bare(folder.path()), tasks: 0, events: 0 };
    bare.begin();
    for at in 0..LEASED {
        let id = name(at);
        let (no, head) = bare.create(&id);
        bare.acquire(no, &id, head);
    }
    bare.commit();
    let (begun, mut count) = (Instant::now(), 0_usize);
    while begun.elapsed() < seconds {
        bare.begin();
        for _ in 0..batch {
            bare.beat((count % LEASED) as i64 + 1, count as i64);
            count += 1;
        }
        bare.commit();
    }
    count as f64 / begun.elapsed().as_secs_f64()
}
