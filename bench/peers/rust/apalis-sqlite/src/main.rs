//! Measures `apalis` on SQLite: tasks are pushed, a worker runs them, and a task that is done stays.
//!
//! The worker learns of new tasks by the update hook of SQLite. The interval only bounds how long the last
//! results of a queue that ran empty wait until they are written.

use apalis::prelude::*;
use apalis_sqlite::{Config, SqlitePool, SqliteStorage, callback::HookCallbackListener};
use common::{
    Arguments, HandledJobs, Measurement, alternate, call_until, expect_equal, fail, measure_claims,
    print_result, wait_until,
};
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

const VERSION: &str = "1.0.0";
const QUEUE: &str = "empty_tasks";
const WARM_UP_TASKS: u64 = 100;
/// The default of the project.
const SINGLE_FETCH: usize = 10;
const BATCHED_FETCH: usize = 1000;
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// What `PRAGMA synchronous` answers for FULL.
const SYNCHRONOUS_FULL: i64 = 2;

static HANDLED: HandledJobs = HandledJobs::new();
static WORKERS: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct EmptyTask {}

async fn handle(_task: EmptyTask) -> Result<(), BoxDynError> {
    HANDLED.record();
    Ok(())
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse_for(&["life3", "life3-batch", "claim"]);
    let url = format!("sqlite://{}/tasks.db?mode=rwc", arguments.store);
    make_tables(&url).await;
    let (pool, listener) = SqliteStorage::connect_with_callback(&url).expect("connect");
    let queue = Queue {
        pool,
        listener,
        callers: arguments.callers,
        batch: arguments.batch,
        batched: arguments.shape == "life3-batch",
    };

    for tasks in [arguments.tasks, WARM_UP_TASKS] {
        if tasks > 0 {
            queue.push(&mut queue.storage(), tasks as usize).await;
            queue.work(tasks).await;
        }
    }
    let handled_before = HANDLED.count();
    let measurement = match arguments.shape.as_str() {
        "claim" => queue.measure_claims(arguments.seconds).await,
        _ => {
            let fill = async |duration| queue.fill(duration).await;
            alternate(arguments.seconds, fill, async |tasks| queue.work(tasks).await).await
        }
    };
    expect_equal("tasks that the handler saw", HANDLED.count() - handled_before, measurement.done);
    let checked = queue.check(measurement.done, arguments.tasks + WARM_UP_TASKS).await;
    print_result(VERSION, measurement, &checked);
}

/// The setup of the project turns `synchronous` off on its connection. So it gets a pool of its own. The
/// connections of the next pool have SQLite's default, which is FULL. The write-ahead log is a setting of the
/// file and stays.
async fn make_tables(url: &str) {
    let pool = SqlitePool::connect(url).await.expect("connect");
    SqliteStorage::setup(&pool).await.expect("make the tables");
    pool.close().await;
}

struct Queue {
    pool: SqlitePool,
    listener: HookCallbackListener,
    callers: usize,
    batch: usize,
    batched: bool,
}

impl Queue {
    fn storage(&self) -> SqliteStorage<EmptyTask> {
        let fetch = if self.batched { BATCHED_FETCH } else { SINGLE_FETCH };
        SqliteStorage::new(&self.pool).with_config(Config::default().queue(QUEUE).batch_size(fetch))
    }

    async fn push(&self, storage: &mut SqliteStorage<EmptyTask>, tasks: usize) -> u64 {
        if tasks == 1 {
            storage.push(EmptyTask {}).await.expect("push a task");
        } else {
            storage.push_bulk(vec![EmptyTask {}; tasks]).await.expect("push tasks");
        }
        tasks as u64
    }

    async fn fill(&self, duration: Duration) -> u64 {
        let mut callers: Vec<_> = (0..self.callers).map(|_| self.storage()).collect();
        let tasks = if self.batched { self.batch } else { 1 };
        call_until(&mut callers, duration, async |storage| self.push(storage, tasks).await).await.done
    }

    async fn work(&self, tasks: u64) -> Duration {
        let expected = self.done_tasks().await + tasks;
        let start = Instant::now();
        self.with_worker(async {
            wait_until("all tasks are done", async || {
                HANDLED.count() >= expected && self.done_tasks().await >= expected
            })
            .await;
            start.elapsed()
        })
        .await
    }

    async fn measure_claims(&self, duration: Duration) -> Measurement {
        let mut storage = self.storage();
        let expected = self.done_tasks().await;
        self.with_worker(async {
            // The worker tells nobody when it listens.
            tokio::time::sleep(Duration::from_millis(500)).await;
            let storage = tokio::sync::Mutex::new(&mut storage);
            let measurement = measure_claims(duration, &HANDLED, async || {
                self.push(*storage.lock().await, 1).await;
            })
            .await;
            let expected = expected + measurement.done;
            wait_until("all tasks are done", async || self.done_tasks().await >= expected).await;
            measurement
        })
        .await
    }

    /// Runs a worker until `act` has ended.
    async fn with_worker<T>(&self, act: impl Future<Output = T>) -> T {
        let (stop, stopped) = oneshot::channel();
        let strategy = Strategy::new().stream(self.listener.clone()).interval(POLL_INTERVAL);
        // A worker with the name of one that ran shortly before gets no tasks.
        let worker = WorkerBuilder::new(format!("worker-{}", WORKERS.fetch_add(1, Ordering::Relaxed)))
            .backend(self.storage().poll_with_strategy(strategy))
            .parallelize(tokio::spawn)
            .build(handle);
        let running = worker.run_until(async move {
            stopped.await.expect("the sender is used");
            Ok::<(), WorkerError>(())
        });
        let acting = async {
            let result = act.await;
            stop.send(()).expect("the worker runs until it is asked to stop");
            result
        };
        let (result, ended) = tokio::join!(acting, running);
        ended.expect("the worker stops");
        result
    }

    async fn done_tasks(&self) -> u64 {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM Jobs WHERE status = 'Done'")
            .fetch_one(&self.pool)
            .await
            .expect("count tasks");
        count as u64
    }

    async fn check(&self, done: u64, done_before: u64) -> String {
        expect_equal("tasks that are done", self.done_tasks().await - done_before, done);
        let connections = join_all((0..self.pool.size()).map(|_| self.pool.acquire())).await;
        for connection in connections {
            let mut connection = connection.expect("take a connection");
            let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous")
                .fetch_one(&mut *connection)
                .await
                .expect("read synchronous");
            if synchronous < SYNCHRONOUS_FULL {
                fail(&format!("commits are not durable: a connection has synchronous {synchronous}"));
            }
        }
        format!("{done} tasks are stored as done; WAL, synchronous=FULL on every connection")
    }
}
