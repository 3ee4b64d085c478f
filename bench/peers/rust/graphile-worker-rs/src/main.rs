//! Measures `graphile_worker`: jobs are added, a worker runs them, and a job that completed is deleted.
//!
//! Single calls use the usual settings, with quicker polls. Batches use the settings of the project's own
//! throughput benchmark: many jobs in one insert, a local queue that fetches many at once, and completions
//! that are written together.

use common::{
    Arguments, HandledJobs, Measurement, alternate, call_until, expect_equal, fail, measure_claims,
    postgres_durability, print_result, wait_until,
};
use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, RawJobSpec, TaskHandler, Worker, WorkerContext,
    WorkerOptions, WorkerUtils,
};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, postgres::PgPoolOptions};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

const VERSION: &str = "0.14.1";
const WARM_UP_JOBS: u64 = 100;
/// A slot of the worker takes one job at each poll and each notification, so that the polls decide how fast a
/// filled queue is worked off. This interval and the settings below are those of the project's throughput
/// benchmark.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
const BATCH_CONCURRENCY: usize = 500;
const BATCH_LOCAL_QUEUE: usize = 5000;
const BATCH_DELAY: Duration = Duration::from_millis(5);

static HANDLED: HandledJobs = HandledJobs::new();

#[derive(Serialize, Deserialize)]
struct EmptyJob {}

impl TaskHandler for EmptyJob {
    const IDENTIFIER: &'static str = "empty_job";

    async fn run(self, _context: WorkerContext) -> impl IntoTaskHandlerResult {
        HANDLED.record();
        Ok::<(), String>(())
    }
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse_for(&["life3", "life3-batch", "claim"]);
    // One connection more than the callers have, for the worker's notifications.
    let connections = arguments.callers as u32 + 1;
    let pool = PgPoolOptions::new()
        .max_connections(connections.max(10))
        .connect(&arguments.store)
        .await
        .expect("connect");
    let queue = Queue {
        pool,
        callers: arguments.callers,
        batch: arguments.batch,
        batched: arguments.shape == "life3-batch",
    };

    queue.warm_up().await;
    let handled_before = HANDLED.count();
    let measurement = match arguments.shape.as_str() {
        "claim" => queue.measure_claims(arguments.seconds).await,
        _ => {
            let utils = queue.new_worker().await.create_utils();
            alternate(
                arguments.seconds,
                async |duration| queue.fill(&utils, duration).await,
                async |jobs| queue.work(jobs).await,
            )
            .await
        }
    };
    expect_equal("jobs that the handler saw", HANDLED.count() - handled_before, measurement.done);
    let checked = queue.check(measurement.done).await;
    print_result(VERSION, measurement, &checked);
}

struct Queue {
    pool: PgPool,
    callers: usize,
    batch: usize,
    batched: bool,
}

struct RunningWorker {
    worker: Arc<Worker>,
    task: JoinHandle<()>,
}

impl RunningWorker {
    fn start(worker: Worker) -> Self {
        let worker = Arc::new(worker);
        let running = Arc::clone(&worker);
        let task =
            tokio::spawn(
                async move { running.run().await.expect("the worker runs until it is asked to stop") },
            );
        Self { worker, task }
    }

    async fn stop(self) {
        self.worker.request_shutdown();
        self.task.await.expect("the worker stops");
    }
}

impl Queue {
    /// Also makes the tables, if they are not there yet.
    async fn new_worker(&self) -> Worker {
        let options = WorkerOptions::default()
            .pg_pool(self.pool.clone())
            .schema("graphile_worker")
            .poll_interval(POLL_INTERVAL)
            .listen_os_shutdown_signals(false)
            .define_job::<EmptyJob>();
        let options = if self.batched {
            options
                .concurrency(BATCH_CONCURRENCY)
                .complete_job_batch_delay(BATCH_DELAY)
                .local_queue(LocalQueueConfig::default().with_size(BATCH_LOCAL_QUEUE))
        } else {
            options.concurrency(self.callers)
        };
        options.init().await.expect("the worker starts")
    }

    async fn warm_up(&self) {
        let utils = self.new_worker().await.create_utils();
        for _ in 0..WARM_UP_JOBS {
            add_one(&utils).await;
        }
        self.work(WARM_UP_JOBS).await;
    }

    async fn fill(&self, utils: &WorkerUtils, duration: Duration) -> u64 {
        let jobs: Vec<RawJobSpec> = (0..self.batch).map(|_| raw_job()).collect();
        let mut callers = vec![(); self.callers];
        let created = call_until(&mut callers, duration, async |()| {
            if self.batched {
                utils.add_raw_jobs(&jobs).await.expect("add jobs").len() as u64
            } else {
                add_one(utils).await;
                1
            }
        });
        created.await.done
    }

    async fn work(&self, jobs: u64) -> Duration {
        let expected = HANDLED.count() + jobs;
        let worker = self.new_worker().await;
        let start = Instant::now();
        let running = RunningWorker::start(worker);
        wait_until("the handler saw all jobs", async || HANDLED.count() >= expected).await;
        // The last jobs are handled before their completion is stored.
        wait_until("all jobs are gone", async || self.stored_jobs().await == 0).await;
        let elapsed = start.elapsed();
        running.stop().await;
        elapsed
    }

    async fn measure_claims(&self, duration: Duration) -> Measurement {
        let worker = self.new_worker().await;
        let utils = worker.create_utils();
        let running = RunningWorker::start(worker);
        // The worker tells nobody when it listens.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let measurement = measure_claims(duration, &HANDLED, async || add_one(&utils).await).await;
        wait_until("all jobs are gone", async || self.stored_jobs().await == 0).await;
        running.stop().await;
        measurement
    }

    async fn stored_jobs(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM graphile_worker._private_jobs")
            .fetch_one(&self.pool)
            .await
            .expect("count jobs")
    }

    async fn check(&self, done: u64) -> String {
        expect_equal("jobs that are left", self.stored_jobs().await, 0);
        let last_id: i64 = sqlx::query_scalar(
            "SELECT pg_sequence_last_value(
                pg_get_serial_sequence('graphile_worker._private_jobs', 'id')::regclass)",
        )
        .fetch_one(&self.pool)
        .await
        .expect("read the last id");
        if (last_id as u64) < done {
            fail(&format!("only {last_id} jobs were ever stored, {done} expected"));
        }
        let fsync: String = sqlx::query_scalar("SHOW fsync").fetch_one(&self.pool).await.expect("show fsync");
        let synchronous_commit: String = sqlx::query_scalar("SHOW synchronous_commit")
            .fetch_one(&self.pool)
            .await
            .expect("show synchronous_commit");
        let durability = postgres_durability(&fsync, &synchronous_commit);
        format!("the handler saw {done} jobs and all are gone from the table; {durability}")
    }
}

async fn add_one(utils: &WorkerUtils) {
    utils.add_job(EmptyJob {}, JobSpec::default()).await.expect("add a job");
}

fn raw_job() -> RawJobSpec {
    RawJobSpec {
        identifier: EmptyJob::IDENTIFIER.to_owned(),
        payload: serde_json::json!({}),
        spec: JobSpec::default(),
    }
}
