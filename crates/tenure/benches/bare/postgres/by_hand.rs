//! A connection of the bare engine, and lives that it writes by hand, whole sets of rows in each statement. It decides nothing and
//! checks little: a task's row is locked and read before it is changed, each write is counted, and events have their hashes.

use std::pin::Pin;
use std::task::Poll;
use std::time::Instant;

use tenure_core::chain::{Canonical, Hash};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};

use super::connect;
use super::statements::{ACQUIRE, COMPLETE, CREATE, EVENTS, LEASE, LOCK, NAME, RELEASE, RENEW};
use crate::common::life::Life;

/// How long a lease is, in microseconds, as the statements have it.
const TTL: i64 = 60_000_000;

/// A life by hand, as far as it is.
pub(super) struct ByHand {
    slot: String,
    round: u64,
    pub(super) id: String,
    /// The next step: create, acquire, heartbeats, complete.
    step: usize,
    head: Hash,
    /// When its task was created.
    pub(super) began: Instant,
}

impl ByHand {
    /// Its first task has that round in its name.
    pub(super) fn new(slot: String, round: u64) -> ByHand {
        ByHand { slot, round, id: String::new(), step: 0, head: Hash::START, began: Instant::now() }
    }

    /// Names are in order of time, as the ledger gets them.
    fn begin(&mut self) {
        self.id = format!("task-{:08}-{}", self.round, self.slot);
        self.head = Hash::START;
        self.round += 1;
        self.began = Instant::now();
    }

    /// Whether its task was completed last.
    pub(super) fn is_complete(&self) -> bool {
        self.step == 0 && !self.id.is_empty()
    }
}

/// Which of the lives take each step.
struct Steps {
    created: Vec<usize>,
    acquired: Vec<usize>,
    renewed: Vec<usize>,
    completed: Vec<usize>,
}

impl Steps {
    fn of(lives: &[&mut ByHand], last: usize) -> Steps {
        let at_step = |wanted: &dyn Fn(usize) -> bool| -> Vec<usize> {
            (0..lives.len()).filter(|at| wanted(lives[*at].step)).collect()
        };
        Steps {
            created: at_step(&|step| step == 0),
            acquired: at_step(&|step| step == 1),
            renewed: at_step(&|step| step > 1 && step < last),
            completed: at_step(&|step| step == last),
        }
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

/// One connection with its prepared statements.
pub(super) struct BareConnection {
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

impl BareConnection {
    pub(super) async fn open(url: &str, schema: &str) -> BareConnection {
        let client = connect(url).await;
        // What the store sets for each transaction, once.
        let settings = format!(
            "set search_path = {schema}; set plan_cache_mode = force_generic_plan; set jit = off; \
             set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off; \
             set tenure_commands.look_themselves = on"
        );
        client.batch_execute(&settings).await.expect("set");
        let prepared = async |sql| client.prepare(sql).await.expect("prepared");
        BareConnection {
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
    pub(super) async fn commit(&mut self, lives: &mut [&mut ByHand], life: Life) {
        self.now += 1;
        let last = life.commands() - 1;
        lives.iter_mut().filter(|one| one.step == 0).for_each(|one| one.begin());
        let steps = Steps::of(lives, last);
        let (mut events, mut heads) = (Events::default(), Vec::new());
        for (these, number, what) in [
            (&steps.created, 1, &CREATED),
            (&steps.acquired, 2, &ACQUIRED),
            (&steps.completed, 3, &COMPLETED),
        ] {
            for at in these {
                heads.push((*at, events.add(&lives[*at].id, number, what, lives[*at].head)));
            }
        }
        let ids = |these: &[usize]| -> Vec<&str> { these.iter().map(|at| lives[*at].id.as_str()).collect() };
        let locked = [ids(&steps.acquired), ids(&steps.completed)].concat();
        let begun: Sent = Box::pin(async { self.client.batch_execute("begin").await.expect("begun") });
        self.together(vec![Some(begun), self.sent(&self.lock, locked.len(), vec![Box::new(locked)])]).await;
        self.write(&steps, &ids, &events).await;
        for (at, head) in heads {
            lives[at].head = head;
        }
        for one in lives.iter_mut() {
            one.step = if one.step == last { 0 } else { one.step + 1 };
        }
    }

    /// All rows of the transaction, and its commit.
    async fn write<'a>(&self, steps: &Steps, ids: &dyn Fn(&[usize]) -> Vec<&'a str>, events: &Events<'a>) {
        let (new, taken) = (ids(&steps.created), ids(&steps.acquired));
        let (renewed, done) = (ids(&steps.renewed), ids(&steps.completed));
        let (new_heads, changed_heads) = events.hashes.split_at(new.len());
        let (taken_heads, done_heads) = changed_heads.split_at(taken.len());
        let columns: Vec<Box<dyn ToSql + Sync + '_>> = vec![
            Box::new(&events.tasks[..]),
            Box::new(&events.numbers[..]),
            Box::new(self.now),
            Box::new(&events.types[..]),
            Box::new(&events.data[..]),
            Box::new(&events.hashes[..]),
        ];
        let committed: Sent =
            Box::pin(async { self.client.batch_execute("commit").await.expect("committed") });
        let with_heads = |statement, these: Vec<&'a str>, heads| {
            self.sent(statement, these.len(), vec![Box::new(these), Box::new(heads), Box::new(self.now)])
        };
        self.together(vec![
            self.sent(&self.name, new.len(), vec![Box::new(new.clone())]),
            with_heads(&self.create, new, new_heads),
            with_heads(&self.acquire, taken.clone(), taken_heads),
            self.sent(&self.lease, taken.len(), vec![Box::new(taken), Box::new(self.now)]),
            self.sent(&self.renew, renewed.len(), vec![Box::new(renewed), Box::new(self.now)]),
            self.sent(&self.release, done.len(), vec![Box::new(done.clone())]),
            with_heads(&self.complete, done, done_heads),
            self.sent(&self.events, events.hashes.len(), columns),
            Some(committed),
        ])
        .await;
    }

    /// A heartbeat of each, in one transaction of one statement. Answers with the end of their leases.
    pub(super) async fn renew(&mut self, ids: Vec<&str>) -> i64 {
        self.now += 1;
        let count = ids.len();
        self.together(vec![self.sent(&self.renew, count, vec![Box::new(ids), Box::new(self.now)])]).await;
        self.now + TTL
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
