//! How queues are measured: creating and working in turns, and the latency of a claim.

use crate::fail;
use futures::future::join_all;
use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

/// The first round fills the queue for this share of the time. How long each half takes is not known before.
const FIRST_FILL_SHARE: f64 = 0.02;
/// Each later round of filling and working takes about this share of the time.
const ROUND_SHARE: f64 = 0.5;
/// Long enough for the slowest queue here to work off what one filling made.
const STUCK_AFTER: Duration = Duration::from_secs(60);
/// Between two claims, so that the worker is idle again when the next task is created.
const IDLE_BETWEEN_CLAIMS: Duration = Duration::from_millis(10);

#[derive(Default)]
pub struct Measurement {
    pub done: u64,
    pub elapsed: Duration,
    pub latencies: Vec<Duration>,
}

/// What a program's job handler has seen. A static, because libraries give a handler no other way to tell.
pub struct HandledJobs {
    count: AtomicU64,
    last_start: Mutex<Option<Instant>>,
    changed: Notify,
}

impl HandledJobs {
    pub const fn new() -> Self {
        Self { count: AtomicU64::new(0), last_start: Mutex::new(None), changed: Notify::const_new() }
    }

    /// The handler calls this first.
    pub fn record(&self) {
        *self.last_start.lock().expect("no holder of this lock panics") = Some(Instant::now());
        self.count.fetch_add(1, Ordering::Release);
        self.changed.notify_one();
    }

    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    async fn start_of(&self, job: u64) -> Instant {
        while self.count() < job {
            self.changed.notified().await;
        }
        self.last_start.lock().expect("no holder of this lock panics").expect("a counted job has started")
    }
}

impl Default for HandledJobs {
    fn default() -> Self {
        Self::new()
    }
}

/// Fills the queue with `fill`, then works it off with `work`, again and again until the time is up.
///
/// `fill` creates jobs for the time that it is given and returns how many it created. `work` handles that
/// many jobs and returns how long that took, without what comes before the start of a worker and after its
/// last job.
pub async fn alternate(
    duration: Duration,
    fill: impl AsyncFn(Duration) -> u64,
    work: impl AsyncFn(u64) -> Duration,
) -> Measurement {
    let mut measurement = Measurement::default();
    let mut fill_time = duration.mul_f64(FIRST_FILL_SHARE);
    while measurement.elapsed < duration {
        let start = Instant::now();
        let created = fill(fill_time).await;
        let filling = start.elapsed();
        let round = filling + work(created).await;
        measurement.elapsed += round;
        measurement.done += created;
        fill_time = duration.mul_f64(ROUND_SHARE * filling.div_duration_f64(round));
    }
    measurement
}

/// Lets each caller make one call after the other until the time is up. A call returns how many pieces of
/// work it did.
pub async fn call_until<Caller>(
    callers: &mut [Caller],
    duration: Duration,
    call: impl AsyncFn(&mut Caller) -> u64,
) -> Measurement {
    let start = Instant::now();
    let measurements = join_all(callers.iter_mut().map(async |caller| {
        let mut measurement = Measurement::default();
        while start.elapsed() < duration {
            let call_start = Instant::now();
            measurement.done += call(caller).await;
            measurement.latencies.push(call_start.elapsed());
        }
        measurement
    }))
    .await;
    let mut total = Measurement { elapsed: start.elapsed(), ..Measurement::default() };
    for measurement in measurements {
        total.done += measurement.done;
        total.latencies.extend(measurement.latencies);
    }
    total
}

/// Creates one task after the other for a worker that is already waiting. The latency of a task is the time
/// from before its creation until its start.
pub async fn measure_claims(
    duration: Duration,
    handled: &HandledJobs,
    create: impl AsyncFn(),
) -> Measurement {
    let mut measurement = Measurement::default();
    let start = Instant::now();
    while start.elapsed() < duration {
        let job = handled.count() + 1;
        let create_start = Instant::now();
        create().await;
        let Ok(job_start) = timeout(STUCK_AFTER, handled.start_of(job)).await else {
            fail("the worker did not start a task")
        };
        measurement.latencies.push(job_start - create_start);
        measurement.done += 1;
        sleep(IDLE_BETWEEN_CLAIMS).await;
    }
    measurement.elapsed = start.elapsed();
    measurement
}

/// Waits until `reached` is true, and fails if that takes too long.
pub async fn wait_until(what: &str, reached: impl AsyncFn() -> bool) {
    let start = Instant::now();
    while !reached().await {
        if start.elapsed() > STUCK_AFTER {
            fail(&format!("gave up waiting until {what}"));
        }
        sleep(Duration::from_millis(2)).await;
    }
}
