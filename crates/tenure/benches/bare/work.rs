//! What is asked of a measured engine, and what it did. Tenure's own figures are counted in the same way.
#![allow(dead_code)] // Each bench uses a part.

use std::time::{Duration, Instant};

/// How much is under way at once, and for how long.
#[derive(Clone, Copy)]
pub(crate) struct Work {
    /// Each has one call at a time.
    pub(crate) callers: usize,
    /// How many tasks a call has, in explicit batches.
    pub(crate) batch: Option<usize>,
    /// What is done in it is stored, but not counted.
    pub(crate) warm_up: Duration,
    pub(crate) seconds: Duration,
    pub(crate) callers_are: CallersAre,
}

/// What a caller of the ledger is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallersAre {
    /// A task of the runtime.
    Tasks,
    /// A thread that blocks, as in programs that are not asynchronous.
    Threads,
}

impl Work {
    /// Single calls, without a warm-up.
    pub(crate) fn single(callers: usize, seconds: Duration) -> Work {
        Work { callers, batch: None, warm_up: Duration::ZERO, seconds, callers_are: CallersAre::Tasks }
    }

    /// Explicit batches, without a warm-up.
    pub(crate) fn batched(callers: usize, batch: usize, seconds: Duration) -> Work {
        Work { batch: Some(batch), ..Work::single(callers, seconds) }
    }

    pub(crate) fn tasks_of_a_call(&self) -> usize {
        self.batch.unwrap_or(1)
    }

    /// How many leases each caller renews: no one renews another caller's.
    pub(crate) fn leases_of_a_caller(&self, leased: usize) -> usize {
        leased / self.callers
    }

    /// A call renews no lease twice.
    pub(crate) fn renewals_of_a_call(&self, leased: usize) -> usize {
        self.tasks_of_a_call().min(self.leases_of_a_caller(leased))
    }
}

/// What was done.
#[derive(Default)]
pub(crate) struct Measured {
    /// Lives that were completed while the clock ran, or leases that were renewed.
    pub(crate) done: usize,
    /// The commands that were committed meanwhile, also those of lives that were not complete at the end.
    pub(crate) commands: usize,
    pub(crate) elapsed: Duration,
    /// Of each piece of work in single calls, of each call in batches.
    pub(crate) latencies: Vec<Duration>,
    /// How many completed tasks must be stored, also those from before the clock started.
    pub(crate) completed: usize,
    /// Names of tasks whose lease was renewed by a caller's last call, and the end of the lease in microseconds.
    pub(crate) renewed: Vec<(String, i64)>,
}

impl Measured {
    /// Of threads that worked at the same time.
    pub(crate) fn together(parts: Vec<Measured>) -> Measured {
        let mut whole = Measured::default();
        for part in parts {
            whole.done += part.done;
            whole.commands += part.commands;
            whole.completed += part.completed;
            whole.elapsed = whole.elapsed.max(part.elapsed);
            whole.latencies.extend(part.latencies);
            whole.renewed.extend(part.renewed);
        }
        whole
    }

    pub(crate) fn commands_per_second(&self) -> f64 {
        self.commands as f64 / self.elapsed.as_secs_f64()
    }
}

/// Counts what one thread does, and says when the time is over.
pub(crate) struct Recorder {
    work: Work,
    began: Instant,
    is_warm: bool,
    measured: Measured,
}

impl Recorder {
    /// With what is stored before.
    pub(crate) fn start(work: Work, completed: usize) -> Recorder {
        let measured = Measured { completed, ..Measured::default() };
        Recorder { work, began: Instant::now(), is_warm: false, measured }
    }

    /// Asked before each round. The clock starts with the first round after the warm-up.
    pub(crate) fn goes_on(&mut self) -> bool {
        if !self.is_warm && self.began.elapsed() >= self.work.warm_up {
            let completed = self.measured.completed;
            *self = Recorder { is_warm: true, ..Recorder::start(self.work, completed) };
        }
        !self.is_warm || self.began.elapsed() < self.work.seconds
    }

    /// A commit that began then, with commands of lives. It completed lives that began at these moments.
    pub(crate) fn lives(&mut self, began: Instant, commands: usize, completed: &[Instant]) {
        self.measured.commands += commands;
        self.measured.done += completed.len();
        self.measured.completed += completed.len();
        match self.work.batch {
            Some(_) => self.measured.latencies.push(began.elapsed()),
            None => self.measured.latencies.extend(completed.iter().map(Instant::elapsed)),
        }
    }

    /// A commit that began then and renewed leases.
    pub(crate) fn renewals(&mut self, began: Instant, leases: usize) {
        self.measured.commands += leases;
        self.measured.done += leases;
        self.measured.latencies.push(began.elapsed());
    }

    /// A task that a worker got so long after it was created, and completed.
    pub(crate) fn claim(&mut self, latency: Duration) {
        self.measured.done += 1;
        self.measured.completed += 1;
        self.measured.latencies.push(latency);
    }

    pub(crate) fn end(self) -> Measured {
        Measured { elapsed: self.began.elapsed(), ..self.measured }
    }
}
