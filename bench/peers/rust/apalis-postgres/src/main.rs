//! Measures `apalis` on PostgreSQL: tasks are pushed, a worker runs them, and a task that is done stays.
//!
//! The worker learns of new tasks by notifications. The interval only bounds how long the last results of a
//! queue that ran empty wait until they are written.

use apalis::prelude::*;
use apalis_postgres::{Config, PgPool, PostgresStorage};
use common::{
    Arguments, HandledJobs, Measurement, alternate, call_until, expect_equal, measure_claims,
    postgres_durability, print_result, wait_until,
};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPoolOptions;
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
    // The worker needs connections too: for notifications, fetches and results.
    let connections = arguments.callers as u32 + 4;
    let pool =
        PgPoolOptions::new().max_connections(connections).connect(&arguments.store).await.expect("connect");
    PostgresStorage::setup(&pool).await.expect("make the tables");
    let queue = Queue {
        pool,
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

struct Queue {
    pool: PgPool,
    callers: usize,
    batch: usize,
    batched: bool,
}

impl Queue {
    fn storage(&self) -> PostgresStorage<EmptyTask> {
        let fetch = if self.batched { BATCHED_FETCH } else { SINGLE_FETCH };
        PostgresStorage::new(&self.pool).with_config(Config::default().queue(QUEUE).batch_size(fetch))
    }

    async fn push(&self, storage: &mut PostgresStorage<EmptyTask>, tasks: usize) -> u64 {
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
        // A worker with the name of one that ran shortly before gets no tasks.
        let worker = WorkerBuilder::new(format!("worker-{}", WORKERS.fetch_add(1, Ordering::Relaxed)))
            .backend(self.storage().with_pubsub().poll_with_interval(POLL_INTERVAL))
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
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM apalis.jobs WHERE status = 'Done'")
            .fetch_one(&self.pool)
            .await
            .expect("count tasks");
        count as u64
    }

    async fn check(&self, done: u64, done_before: u64) -> String {
        expect_equal("tasks that are done", self.done_tasks().await - done_before, done);
        let show = async |query: &'static str| -> String {
            sqlx::query_scalar(query).fetch_one(&self.pool).await.expect("show a setting")
        };
        let durability =
            postgres_durability(&show("SHOW fsync").await, &show("SHOW synchronous_commit").await);
        format!("{done} tasks are stored as done; {durability}")
    }
}
