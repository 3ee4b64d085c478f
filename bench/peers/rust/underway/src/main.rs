//! Measures Underway. Each caller enqueues a task and then processes the next task of the queue, which may be
//! that of another caller. The project's worker loop calls the same function for each task that it processes.
//! That loop is not used, because it works off a queue that was filled before in one of its slots only.

use common::{
    Arguments, HandledJobs, Measurement, call_until, expect_equal, fail, measure_claims, postgres_durability,
    print_result,
};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, postgres::PgPoolOptions};
use std::time::Duration;
use underway::{Job, To, Worker};

const VERSION: &str = "0.2.0";
const WARM_UP_TASKS: u64 = 50;
/// A caller finds no task while each task of the queue is locked by another caller. It then tries again.
const ATTEMPTS_MAX: usize = 10_000;

static HANDLED: HandledJobs = HandledJobs::new();

#[derive(Clone, Debug, Serialize, Deserialize)]
struct EmptyInput {}

type EmptyJob = Job<EmptyInput, ()>;

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse_for(&["life3", "claim"]);
    // To process a task takes a connection for its transaction and one for its heartbeat.
    let connections = 2 * arguments.callers as u32 + 4;
    let pool =
        PgPoolOptions::new().max_connections(connections).connect(&arguments.store).await.expect("connect");
    underway::run_migrations(&pool).await.expect("make the tables");
    let job: EmptyJob = Job::builder()
        .step(async |_context, _input: EmptyInput| {
            HANDLED.record();
            To::done()
        })
        .name("empty_job")
        .pool(pool.clone())
        .build()
        .await
        .expect("make the queue");

    let worker = job.worker();
    for _ in 0..arguments.tasks + WARM_UP_TASKS {
        live(&job, &worker).await;
    }
    let mut callers = vec![(); arguments.callers];
    let measurement = match arguments.shape.as_str() {
        "claim" => measure_idle_worker(&job, arguments.seconds).await,
        _ => call_until(&mut callers, arguments.seconds, async |()| live(&job, &worker).await).await,
    };
    let checked = check(&pool, measurement.done, arguments.tasks + WARM_UP_TASKS).await;
    print_result(VERSION, measurement, &checked);
}

async fn live(job: &EmptyJob, worker: &Worker<EmptyJob>) -> u64 {
    job.enqueue(&EmptyInput {}).await.expect("enqueue");
    for _ in 0..ATTEMPTS_MAX {
        if worker.process_next_task().await.expect("process a task").is_some() {
            return 1;
        }
    }
    fail("found no task to process")
}

async fn measure_idle_worker(job: &EmptyJob, duration: Duration) -> Measurement {
    let handled_before = HANDLED.count();
    let running = job.start();
    // The worker tells nobody when it listens.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let measurement = measure_claims(duration, &HANDLED, async || {
        job.enqueue(&EmptyInput {}).await.expect("enqueue");
    })
    .await;
    running.shutdown().await.expect("the worker stops");
    expect_equal("tasks that the handler saw", HANDLED.count() - handled_before, measurement.done);
    measurement
}

async fn check(pool: &PgPool, done: u64, done_before: u64) -> String {
    let succeeded: i64 = sqlx::query_scalar("SELECT count(*) FROM underway.task WHERE state = 'succeeded'")
        .fetch_one(pool)
        .await
        .expect("count tasks");
    expect_equal("tasks that succeeded", succeeded as u64 - done_before, done);
    let show = async |query: &'static str| -> String {
        sqlx::query_scalar(query).fetch_one(pool).await.expect("show a setting")
    };
    let durability = postgres_durability(&show("SHOW fsync").await, &show("SHOW synchronous_commit").await);
    format!("{done} tasks are stored as succeeded; {durability}")
}
