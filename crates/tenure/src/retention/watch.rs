//! Retention as a loop, for servers: it prunes in small steps with rests between them, so that commands and recovery don't wait for
//! it. Any number of servers may run it on one store: what one has pruned, another one doesn't find.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tenure_clock::Moment;
use tenure_core::refusal::Refusal;
use tenure_core::time::{Span, Time};

use super::report::PruneReport;
use super::run::{PruneError, PruneOptions, PruneRun, PruneScope};
use crate::ledger::Ledger;
use crate::stop::StopSignal;

/// The rest after a step, at least. A step that took longer is followed by a longer rest.
const REST: Duration = Duration::from_millis(250);
/// How many times longer a rest is than the step before it: then the loop takes a fifth of the writer's time at most.
const REST_FACTOR: u32 = 4;
/// How many tasks one transaction of the loop prunes.
const STEP_TASKS: usize = 50;
/// Between two runs over the store.
const RUNS_APART: Duration = Duration::from_secs(3_600);
/// After a run that failed.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// What a retention loop has come to. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct RetentionMetrics(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    pruned: AtomicU64,
    held: AtomicU64,
    kept_owing: AtomicU64,
    corrupt: AtomicU64,
    errors: AtomicU64,
    /// When the last run ended, by the store's time in microseconds; 0 before the first.
    ended_at: AtomicI64,
}

/// The counts at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RetentionSnapshot {
    /// Tasks that this process has pruned.
    pub pruned: u64,
    /// Tasks that named cursors held back in the last run.
    pub held: u64,
    /// Quarantined tasks that the last run kept because they still owe an undo.
    pub kept_owing: u64,
    /// Tasks that the last run kept because their histories do not hold.
    pub corrupt: u64,
    /// Runs that failed.
    pub errors: u64,
    /// When the last run ended, by the store's time; none before the first.
    pub ended_at: Option<Time>,
}

impl RetentionMetrics {
    /// The counts now.
    pub fn snapshot(&self) -> RetentionSnapshot {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counts { pruned, held, kept_owing, corrupt, errors, ended_at } = &*self.0;
        let ended_at = Some(ended_at.load(Ordering::Relaxed)).filter(|at| *at != 0).map(Time::from_micros);
        RetentionSnapshot {
            pruned: count(pruned),
            held: count(held),
            kept_owing: count(kept_owing),
            corrupt: count(corrupt),
            errors: count(errors),
            ended_at,
        }
    }
}

/// Prunes what ended so long ago, again and again, in all namespaces.
pub struct RetentionLoop {
    ledger: Ledger,
    options: PruneOptions,
    metrics: RetentionMetrics,
}

impl RetentionLoop {
    /// Refused if the time is too short, as [`PruneOptions::check`] says.
    pub fn new(ledger: &Ledger, retain: Span, metrics: RetentionMetrics) -> Result<RetentionLoop, Refusal> {
        let options = PruneOptions::older_than(retain).with(|options| {
            options.scope = PruneScope::WholeStore;
            options.step_tasks = STEP_TASKS;
        });
        options.check()?;
        Ok(RetentionLoop { ledger: ledger.clone(), options, metrics })
    }

    /// Runs until the signal. A step that has begun ends first.
    pub async fn watch(self, stop: StopSignal) {
        while !stop.is_stopped() {
            let rest = match self.run(&stop).await {
                Ok(()) => RUNS_APART,
                Err(error) => {
                    self.metrics.0.errors.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%error, "retention failed; it tries again in a minute");
                    RETRY_AFTER
                }
            };
            resting(rest, &stop).await;
        }
    }

    /// One run over the store.
    async fn run(&self, stop: &StopSignal) -> Result<(), PruneError> {
        let mut run = PruneRun::begin(&self.ledger, self.options.clone()).await?;
        loop {
            let began = Moment::now();
            let Some(step) = run.step(None).await? else { break };
            self.metrics.0.pruned.fetch_add(step.pruned.sum(), Ordering::Relaxed);
            let took = Duration::from(Moment::now().since(began));
            resting(REST.max(took * REST_FACTOR), stop).await;
            if stop.is_stopped() {
                return Ok(());
            }
        }
        let ended_at = self.ledger.now().await?;
        let Counts { held, kept_owing, corrupt, ended_at: last, .. } = &*self.metrics.0;
        held.store(run.report().held_in_all(), Ordering::Relaxed);
        kept_owing.store(run.report().kept_owing, Ordering::Relaxed);
        corrupt.store(run.report().corrupt, Ordering::Relaxed);
        last.store(ended_at.as_micros(), Ordering::Relaxed);
        tell(run.report());
        Ok(())
    }
}

async fn resting(rest: Duration, stop: &StopSignal) {
    // Either way the loop goes on, and looks at the signal itself.
    let _ = tokio::time::timeout(rest, stop.stopped()).await;
}

/// A line in the log, if there is something to say.
fn tell(report: &PruneReport) {
    let (pruned, held) = (report.pruned.sum(), report.held_in_all());
    if pruned > 0 || held > 0 {
        let cursor = report.slowest().map(|(namespace, name)| format!("{namespace}/{name}"));
        tracing::info!(
            pruned,
            held,
            cursor,
            "retention pruned ended tasks; cursor holds back the most of those held"
        );
    }
    if report.kept_owing > 0 {
        tracing::warn!(
            kept_owing = report.kept_owing,
            "retention keeps quarantined tasks that still owe an undo; retry each, or dismiss it with a note"
        );
    }
    for finding in &report.findings {
        tracing::warn!("retention keeps a task whose history does not hold: {finding}");
    }
}
