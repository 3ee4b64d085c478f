//! How recovery runs.

use std::num::NonZeroU32;
use std::time::Duration;

use tenure_core::id::{Namespace, Owner};

use crate::stop::StopSignal;

/// The settings of recovery.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecoveryOptions {
    /// The owner of its leases. None: a name made of the machine, the process and a random part.
    pub owner: Option<Owner>,
    /// How long its leases last.
    pub ttl: Duration,
    /// The most tasks that one sweep reclaims. After that it rests, so that other commands get through.
    pub sweep_max: usize,
    /// How many tasks it undoes at once.
    pub at_once: usize,
    /// How long a loop leaves a task for which it has no handler to other processes, before it parks the task
    /// for a person.
    pub handler_wait: Duration,
    /// How long a running undo may continue after the loop is told to stop.
    pub grace: Duration,
    /// How often a one-shot run tries an undo that fails, before it hands the task back with the wait of the undo's
    /// [`RetryPolicy`](crate::handler::RetryPolicy), for the next run. None: it waits itself, and tries as often as that policy
    /// says. A loop hands back after each failed try, whatever this says.
    pub tries_now: Option<NonZeroU32>,
    /// Only tasks of this namespace. None: of all.
    pub namespace: Option<Namespace>,
}

tenure_core::with_changes!(RecoveryOptions);

impl Default for RecoveryOptions {
    fn default() -> RecoveryOptions {
        RecoveryOptions {
            owner: None,
            ttl: Duration::from_secs(30),
            sweep_max: 500,
            at_once: 32,
            handler_wait: Duration::from_secs(600),
            grace: Duration::from_secs(10),
            tries_now: None,
            namespace: None,
        }
    }
}

/// How long recovery goes on.
#[derive(Clone, Debug)]
pub(super) enum RecoveryMode {
    /// Until everything that was due at the start is handled, or it is told to stop. It waits for pauses
    /// between tries itself, as far as the options say, and leaves nothing else to other processes.
    Once(StopSignal),
    /// Until it is told to stop.
    Loop(StopSignal),
}

impl RecoveryMode {
    /// What tells it to stop.
    pub(super) fn stop(&self) -> &StopSignal {
        match self {
            RecoveryMode::Once(stop) | RecoveryMode::Loop(stop) => stop,
        }
    }
}
