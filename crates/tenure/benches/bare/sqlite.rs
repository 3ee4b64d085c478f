//! The bare engine on SQLite: the row writes of the ledger, on the same tables, by hand. One thread commits the commands of
//! all callers together. It decides nothing and checks little: a task's row is read before it is changed, each write is
//! counted, and events have their hashes.

use std::path::Path;
use std::time::Instant;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, params};
use tenure_core::chain::{Canonical, Hash};

use super::work::{Measured, Recorder, Work};
use crate::common::life::{Life, name};

/// How many tasks are stored in one commit before anything is measured.
const FILLED: usize = 1_000;

/// A life of each task of each call, side by side, each with one command to a commit. The callers are at different steps; the
/// tasks of a call are at the same one. `finished` tasks are stored before.
pub(crate) fn lives(file: &Path, finished: usize, life: Life, work: Work) -> Measured {
    let mut bare = BareSqlite::open(file);
    bare.finish(finished);
    let of_a_call = work.tasks_of_a_call();
    let mut lives: Vec<LifeByHand> = (0..work.callers * of_a_call).map(|_| LifeByHand::new()).collect();
    let mut recorder = Recorder::start(work, finished);
    for round in 0.. {
        if !recorder.goes_on() {
            break;
        }
        let (began, mut commands, mut completed) = (Instant::now(), 0, Vec::new());
        bare.begin();
        let begins = |at: usize| at / of_a_call % life.commands();
        for (at, one) in lives.iter_mut().enumerate().filter(|(at, _)| round >= begins(*at)) {
            let step = (round - begins(at)) % life.commands();
            if step == 0 {
                one.began = began;
            }
            bare.step(one, step, life);
            commands += 1;
            if step + 1 == life.commands() {
                completed.push(one.began);
            }
        }
        bare.commit();
        recorder.lives(began, commands, &completed);
    }
    recorder.end()
}

/// In each commit a call of each caller, which renews leases of its own.
pub(crate) fn heartbeats(file: &Path, leased: usize, work: Work) -> Measured {
    let mut bare = BareSqlite::open(file);
    bare.lease(leased);
    let (of_a_caller, of_a_call) = (work.leases_of_a_caller(leased), work.renewals_of_a_call(leased));
    let mut renewed = Vec::new();
    let mut recorder = Recorder::start(work, 0);
    for round in 0.. {
        if !recorder.goes_on() {
            break;
        }
        let began = Instant::now();
        renewed.clear();
        bare.begin();
        for beat in round * of_a_call..(round + 1) * of_a_call {
            for caller in 0..work.callers {
                let task = caller + beat % of_a_caller * work.callers;
                renewed.push((task, bare.beat(task as i64 + 1, beat as i64)));
            }
        }
        bare.commit();
        recorder.renewals(began, renewed.len());
    }
    let renewed = renewed.into_iter().map(|(task, expires_at)| (name(task), expires_at)).collect();
    Measured { renewed, ..recorder.end() }
}

/// A life by hand, as far as it is.
struct LifeByHand {
    no: i64,
    id: String,
    head: Hash,
    began: Instant,
}

impl LifeByHand {
    fn new() -> LifeByHand {
        LifeByHand { no: 0, id: String::new(), head: Hash::START, began: Instant::now() }
    }
}

struct BareSqlite {
    connection: Connection,
    tasks: i64,
    events: i64,
}

impl BareSqlite {
    fn open(file: &Path) -> BareSqlite {
        let connection = Connection::open(file).expect("opens");
        connection.set_prepared_statement_cache_capacity(64);
        let pragmas = "pragma journal_mode = wal; pragma synchronous = full; pragma wal_autocheckpoint = 4000; \
                       pragma cache_size = -16384;";
        connection.execute_batch(pragmas).expect("set");
        for migration in [
            include_str!("../../../sqlite/migrations/V1__ledger.sql"),
            include_str!("../../../sqlite/migrations/V2__tokens.sql"),
            include_str!("../../../sqlite/migrations/V3__ends.sql"),
            include_str!("../../../sqlite/migrations/V4__sagas.sql"),
        ] {
            connection.execute_batch(migration).expect("the same tables");
        }
        // As the ledger's writer, which has no use for the guards of the tables.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).expect("set");
        connection.pragma_update(None, "ignore_check_constraints", true).expect("set");
        BareSqlite { connection, tasks: 0, events: 0 }
    }

    fn step(&mut self, one: &mut LifeByHand, step: usize, life: Life) {
        match step {
            0 => {
                one.id = format!("task-{:010}", self.tasks);
                (one.no, one.head) = self.create(&one.id);
            }
            1 => one.head = self.acquire(one.no, &one.id, one.head),
            last if last + 1 == life.commands() => self.complete(one.no, &one.id, one.head),
            beat => drop(self.beat(one.no, beat as i64)),
        }
    }

    fn finish(&mut self, count: usize) {
        for from in (0..count).step_by(FILLED) {
            self.begin();
            for _ in from..(from + FILLED).min(count) {
                let mut one = LifeByHand::new();
                for step in 0..Life::SHORT.commands() {
                    self.step(&mut one, step, Life::SHORT);
                }
            }
            self.commit();
        }
    }

    fn lease(&mut self, count: usize) {
        for from in (0..count).step_by(FILLED) {
            self.begin();
            for at in from..(from + FILLED).min(count) {
                let id = name(at);
                let (no, head) = self.create(&id);
                self.acquire(no, &id, head);
            }
            self.commit();
        }
    }

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

    /// Until when the lease is.
    fn beat(&self, no: i64, beat: i64) -> i64 {
        let update = "update due set heartbeat_at = ?1, expires_at = ?1 where task = ?2 and epoch = 1 \
                      and owner = 'host/123/worker-17'";
        assert_eq!(self.sql(update, params![no + beat, no]), 1);
        no + beat
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
