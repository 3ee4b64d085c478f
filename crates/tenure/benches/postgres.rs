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

mod common;

use std::cell::Cell;
use std::pin::Pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tenure::Ledger;
use tenure_core::chain::{Canonical, Hash};
use tokio::runtime::Runtime;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Statement};

use common::{Asked, BATCH, CALLERS, LEASED, LIVES, Life, Ours, Place, word_after};

/// As many as a store has committers.
const CONNECTIONS: usize = 4;

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
    let bare_lives = |count, life| {
        let (_place, schema) = bare_place();
        bare_lives(&server.url, &schema, count, life, asked.seconds)
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
    let bare_heartbeats = |count| {
        let (_place, schema) = bare_place();
        bare_heartbeats(&server.url, &schema, count, asked.seconds)
    };
    for callers in CALLERS {
        let name = format!("heartbeats, {LEASED} leased, {callers} callers");
        asked.row(&name, || ours.heartbeats(callers), || bare_heartbeats(callers));
    }
    let name = format!("heartbeats, explicit batches of {BATCH}");
    asked.row(&name, || ours.batched_heartbeats(), || bare_heartbeats(BATCH * CONNECTIONS));
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

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("connects");
    tokio::spawn(async move { connection.await.expect("a connection") });
    client
}

// ---- the bare engine -------------------------------------------------------------------------------------------

// It decides nothing and checks little: a task's row is locked and read before it is changed, each write is
// counted, and events have their hashes. Each connection has a thread and tasks of its own.

/// As many lives side by side as were asked for, shared out to the connections, each with one command to a
/// commit, at different steps.
fn bare_lives(url: &str, schema: &str, count: usize, life: Life, seconds: Duration) -> f64 {
    let connections = CONNECTIONS.min(count);
    on_threads(connections, |number| {
        runtime().block_on(async {
            let mut bare = Bare::connect(url, schema).await;
            let mut lives: Vec<ByHand> =
                (0..count / connections).map(|at| ByHand::new(format!("{number}-{at:04}"))).collect();
            let (begun, mut commands) = (Instant::now(), 0_usize);
            for round in 0.. {
                if begun.elapsed() >= seconds {
                    break;
                }
                let begins = |at: usize| round >= at % life.commands();
                let under_way = lives.iter_mut().enumerate().filter(|(at, _)| begins(*at));
                let mut under_way: Vec<&mut ByHand> = under_way.map(|(_, one)| one).collect();
                bare.commit(&mut under_way, life).await;
                commands += under_way.len();
            }
            commands as f64 / life.commands() as f64 / begun.elapsed().as_secs_f64()
        })
    })
}

/// As many heartbeats under way as were asked for, shared out to the connections, each of which has its part of
/// the tasks.
fn bare_heartbeats(url: &str, schema: &str, count: usize, seconds: Duration) -> f64 {
    let connections = CONNECTIONS.min(count);
    let (batch, part) = (count / connections, LEASED / connections);
    on_threads(connections, |number| {
        runtime().block_on(async {
            let mut bare = Bare::connect(url, schema).await;
            let mut leased: Vec<ByHand> =
                (0..part).map(|at| ByHand::new(format!("{number}-{at:05}"))).collect();
            for _ in ["create", "acquire"] {
                let mut all: Vec<&mut ByHand> = leased.iter_mut().collect();
                bare.commit(&mut all, Life::FULL).await;
            }
            let (begun, mut beats) = (Instant::now(), 0);
            while begun.elapsed() < seconds {
                let these = (0..batch).map(|at| leased[(beats + at) % part].id.as_str()).collect();
                bare.renew(these).await;
                beats += batch;
            }
            beats as f64 / begun.elapsed().as_secs_f64()
        })
    })
}

fn on_threads(count: usize, work: impl Fn(usize) -> f64 + Sync) -> f64 {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..count).map(|number| scope.spawn(move || work(number))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread")).sum()
    })
}

/// A life by hand, as far as it is.
struct ByHand {
    slot: String,
    round: u64,
    id: String,
    /// The next step: create, acquire, heartbeats, complete.
    step: usize,
    head: Hash,
}

impl ByHand {
    fn new(slot: String) -> ByHand {
        ByHand { slot, round: 0, id: String::new(), step: 0, head: Hash::START }
    }
}

/// A column for each of what is written.
#[derive(Default)]
struct Events<'a> {
    tasks: Vec<&'a str>,
    numbers: Vec<i64>,
    types: Vec<&'static str>,
    data: Vec<&'static str>,
    hashes: Vec<Vec<u8>>,
}

impl<'a> Events<'a> {
    fn add(&mut self, task: &'a str, number: i64, what: &Happened, previous: Hash) -> Hash {
        let mut canonical = Canonical::new();
        canonical
            .piece(task.as_bytes())
            .number(number)
            .piece(what.kind.as_bytes())
            .piece(what.data.as_bytes());
        let hash = canonical.link(previous);
        self.tasks.push(task);
        self.numbers.push(number);
        self.types.push(what.kind);
        self.data.push(what.data);
        self.hashes.push(hash.0.to_vec());
        hash
    }
}

struct Happened {
    kind: &'static str,
    data: &'static str,
}

const CREATED: Happened = Happened {
    kind: "created",
    data: r#"{"saga_id":"task","queue":"q","kind":"task","labels":{},"payload":{"n":1},"priority":0,"policy":{"lease_ttl":"60s","max_attempts":1},"compensations":[]}"#,
};
const ACQUIRED: Happened =
    Happened { kind: "acquired", data: r#"{"owner":"host/123/worker-17","epoch":1,"ttl":"60s"}"# };
const COMPLETED: Happened =
    Happened { kind: "completed", data: r#"{"state":"completed","cause":"completed","result":{"ok":true}}"# };

type Sent<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

struct Bare {
    client: Client,
    lock: Statement,
    name: Statement,
    create: Statement,
    acquire: Statement,
    lease: Statement,
    renew: Statement,
    release: Statement,
    complete: Statement,
    events: Statement,
    /// Microseconds; it only has to grow.
    now: i64,
}

impl Bare {
    async fn connect(url: &str, schema: &str) -> Bare {
        let client = connect(url).await;
        // What the store sets for each transaction, once.
        let settings = format!(
            "set search_path = {schema}; set plan_cache_mode = force_generic_plan; set jit = off; \
             set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off; \
             set tenure_commands.look_themselves = on"
        );
        client.batch_execute(&settings).await.expect("set");
        let prepared = async |sql| client.prepare(sql).await.expect("prepared");
        Bare {
            lock: prepared(LOCK).await,
            name: prepared(NAME).await,
            create: prepared(CREATE).await,
            acquire: prepared(ACQUIRE).await,
            lease: prepared(LEASE).await,
            renew: prepared(RENEW).await,
            release: prepared(RELEASE).await,
            complete: prepared(COMPLETE).await,
            events: prepared(EVENTS).await,
            now: 1_800_000_000_000_000,
            client,
        }
    }

    /// One command of each life, in one transaction of two round trips.
    async fn commit(&mut self, lives: &mut [&mut ByHand], life: Life) {
        self.now += 1;
        let last = life.commands() - 1;
        for one in lives.iter_mut().filter(|one| one.step == 0) {
            // Names in order of time, as the ledger gets them.
            one.id = format!("task-{:08}-{}", one.round, one.slot);
            one.head = Hash::START;
            one.round += 1;
        }
        let of = |wanted: &dyn Fn(usize) -> bool| -> Vec<usize> {
            (0..lives.len()).filter(|at| wanted(lives[*at].step)).collect()
        };
        let (created, acquired) = (of(&|step| step == 0), of(&|step| step == 1));
        let (renewed, completed) = (of(&|step| step > 1 && step < last), of(&|step| step == last));
        let mut events = Events::default();
        let mut heads = Vec::new();
        for (these, number, what) in
            [(&created, 1, &CREATED), (&acquired, 2, &ACQUIRED), (&completed, 3, &COMPLETED)]
        {
            for at in these {
                heads.push((*at, events.add(&lives[*at].id, number, what, lives[*at].head)));
            }
        }
        let ids = |these: &[usize]| -> Vec<&str> { these.iter().map(|at| lives[*at].id.as_str()).collect() };
        let head_count = created.len();
        let (new_heads, changed_heads) = events.hashes.split_at(head_count);
        let (acquired_heads, completed_heads) = changed_heads.split_at(acquired.len());
        let locked: Vec<&str> = [ids(&acquired), ids(&completed)].concat();
        let begun: Sent = Box::pin(async { self.client.batch_execute("begin").await.expect("begun") });
        self.together(vec![Some(begun), self.sent(&self.lock, locked.len(), vec![Box::new(locked)])]).await;
        let (new, taken, done) = (ids(&created), ids(&acquired), ids(&completed));
        let committed: Sent =
            Box::pin(async { self.client.batch_execute("commit").await.expect("committed") });
        self.together(vec![
            self.sent(&self.name, new.len(), vec![Box::new(new.clone())]),
            self.sent(&self.create, new.len(), vec![Box::new(new), Box::new(new_heads), Box::new(self.now)]),
            self.sent(
                &self.acquire,
                taken.len(),
                vec![Box::new(taken.clone()), Box::new(acquired_heads), Box::new(self.now)],
            ),
            self.sent(&self.lease, taken.len(), vec![Box::new(taken), Box::new(self.now)]),
            self.sent(&self.renew, renewed.len(), vec![Box::new(ids(&renewed)), Box::new(self.now)]),
            self.sent(&self.release, done.len(), vec![Box::new(done.clone())]),
            self.sent(
                &self.complete,
                done.len(),
                vec![Box::new(done), Box::new(completed_heads), Box::new(self.now)],
            ),
            self.sent(
                &self.events,
                heads.len(),
                vec![
                    Box::new(&events.tasks[..]),
                    Box::new(&events.numbers[..]),
                    Box::new(self.now),
                    Box::new(&events.types[..]),
                    Box::new(&events.data[..]),
                    Box::new(&events.hashes[..]),
                ],
            ),
            Some(committed),
        ])
        .await;
        for (at, head) in heads {
            lives[at].head = head;
        }
        for one in lives.iter_mut() {
            one.step = if one.step == last { 0 } else { one.step + 1 };
        }
    }

    /// A heartbeat of each, in one transaction of one statement.
    async fn renew(&mut self, ids: Vec<&str>) {
        self.now += 1;
        let count = ids.len();
        self.together(vec![self.sent(&self.renew, count, vec![Box::new(ids), Box::new(self.now)])]).await;
    }

    /// Nothing, if there is nothing to write.
    fn sent<'a>(
        &'a self,
        statement: &'a Statement,
        rows: usize,
        parameters: Vec<Box<dyn ToSql + Sync + 'a>>,
    ) -> Option<Sent<'a>> {
        let sending = async move {
            let parameters: Vec<&(dyn ToSql + Sync)> = parameters.iter().map(|one| &**one as _).collect();
            let done = self.client.execute(statement, &parameters).await.expect("executed");
            assert_eq!(done as usize, rows);
        };
        (rows > 0).then(|| Box::pin(sending) as Sent<'a>)
    }

    /// Sends all before the first answer is waited for.
    async fn together(&self, sent: Vec<Option<Sent<'_>>>) {
        let mut waiting: Vec<Sent<'_>> = sent.into_iter().flatten().collect();
        std::future::poll_fn(|context| {
            waiting.retain_mut(|one| one.as_mut().poll(context).is_pending());
            if waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

// A name's namespace comes with it, as an array: a constant would let the planner look through all tasks of the
// namespace while the tables are new and it knows of no rows.

const LOCK: &str = "\
    select epoch, revision, state, head \
    from unnest(array_fill('default'::text, array[cardinality($1::text[])]), $1) as wanted(n, i) join tasks \
    on namespace = n and id = i order by id for update of tasks";

const NAME: &str = "\
    insert into names (namespace, id, saga_id) select 'default', i, i from unnest($1::text[]) as new(i)";

const CREATE: &str = "\
    insert into tasks (namespace, id, saga_id, queue, kind, state, priority, labels, payload, policy, attempts, \
        epoch, revision, owed, compensations, created_at, updated_at, head, feed) \
    select 'default', i, i, 'q', 'task', 'planned', 0, '{}', '{\"n\":1}', \
        '{\"lease_ttl\":\"60s\",\"max_attempts\":1}', 0, 0, 1, 0, 0, $3::bigint, $3, head, \
        pg_current_xact_id()::text::bigint \
    from unnest($1::text[], $2::bytea[]) as new(i, head)";

const ACQUIRE: &str = "\
    update tasks set state = 'running', epoch = 1, attempts = 1, revision = 2, updated_at = $3::bigint, \
        started_at = $3, head = new.head, feed = pg_current_xact_id()::text::bigint \
    from unnest(array_fill('default'::text, array[cardinality($1::text[])]), $1, $2::bytea[]) as new(n, i, head) \
    where tasks.namespace = n and tasks.id = i and tasks.revision = 1";

const LEASE: &str = "\
    insert into due (namespace, task, wait, owner, granted_to, epoch, ttl, since, heartbeat_at, progressed_at, \
        expires_at, check_at, cancel_asked, held_back) \
    select 'default', i, 'lease', 'host/123/worker-17', 'host/123/worker-17', 1, 60000000, now, now, now, \
        now + 60000000, now + 60000000, false, false \
    from unnest($1::text[]) as new(i), cast($2 as bigint) as now";

const RENEW: &str = "\
    update due set heartbeat_at = $2::bigint, expires_at = $2 + 60000000 \
    from unnest(array_fill('default'::text, array[cardinality($1::text[])]), $1) as new(n, i) \
    where due.namespace = n and due.task = i and due.owner = 'host/123/worker-17' and due.epoch = 1";

const RELEASE: &str = "\
    delete from due using unnest(array_fill('default'::text, array[cardinality($1::text[])]), $1) as ended(n, i) \
    where due.namespace = n and due.task = i";

const COMPLETE: &str = "\
    update tasks set state = 'completed', cause = 'completed', revision = 3, updated_at = $3::bigint, \
        finished_at = $3, result = '{\"ok\":true}', head = new.head, \
        feed = greatest(feed, pg_current_xact_id()::text::bigint) \
    from unnest(array_fill('default'::text, array[cardinality($1::text[])]), $1, $2::bytea[]) as new(n, i, head) \
    where tasks.namespace = n and tasks.id = i and tasks.revision = 2";

const EVENTS: &str = "\
    insert into events (namespace, task, number, feed, at, actor, type, data, hash) \
    select 'default', i, number, pg_current_xact_id()::text::bigint, $3::bigint, 'host/123/worker-17', type, data, \
        hash \
    from unnest($1::text[], $2::bigint[], $4::text[], $5::text[], $6::bytea[]) as new(i, number, type, data, hash)";
