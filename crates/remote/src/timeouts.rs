//! Timeouts, size limits and retry times of the remote store.

use std::time::Duration;

use tenure_clock::Moment;
use tenure_core::policy::{Backoff, Jitter};
use tenure_core::time::Span;

/// Timeouts and size limits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// For a connection, its encryption included.
    pub(super) connect: Duration,
    /// For a response that comes as soon as it is known.
    pub(super) answer: Duration,
    /// For a response to long polling; servers wait for an event up to [`super::WAIT`].
    pub(super) happening: Duration,
    /// How long to retry servers that refuse connections or are unavailable: a restarting server comes back.
    pub(super) refused: Duration,
    /// How long to resend commands whose outcome is unknown.
    pub(super) unsure: Duration,
    /// How long a caller waits for space in the queue.
    pub(super) queue_space: Duration,
    /// After this time, a slow request no longer blocks others.
    pub(super) slow: Duration,
    /// The largest answer that is read.
    pub(super) answer_bytes_max: usize,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            connect: Duration::from_secs(2),
            answer: Duration::from_secs(15),
            happening: Duration::from_secs(45),
            refused: Duration::from_secs(2),
            unsure: Duration::from_secs(30),
            queue_space: Duration::from_secs(30),
            slow: Duration::from_millis(500),
            answer_bytes_max: 256 * 1024 * 1024,
        }
    }
}

impl Timeouts {
    /// The same for callers that prefer to wait.
    pub(super) fn with_patience(self, patience: Duration) -> Timeouts {
        let (unsure, queue_space) = (self.unsure.max(patience), self.queue_space.max(patience));
        Timeouts { refused: patience, unsure, queue_space, ..self }
    }
}

/// The wait before each further round over all servers.
const REST: Backoff = Backoff { base: Span::from_millis(50), factor: 2, cap: Span::from_secs(1) };

/// The time left for retries.
pub(super) struct RetryDeadline {
    until: Moment,
    tries: usize,
}

impl RetryDeadline {
    pub(super) fn of(length: Duration) -> RetryDeadline {
        RetryDeadline { until: Moment::now() + length.into(), tries: 0 }
    }

    /// Waits before the next try. Every server is asked once before the first wait, also where one took all the time. The
    /// jitter keeps clients that failed together from coming back together. False when no time is left.
    pub(super) async fn rest(&mut self, servers: usize, jitter: Jitter) -> bool {
        self.tries += 1;
        if !self.tries.is_multiple_of(servers) {
            return self.tries < servers || Moment::now() < self.until;
        }
        let round = u32::try_from(self.tries / servers).unwrap_or(u32::MAX);
        let rest = REST.after(round, jitter);
        if Moment::now() + rest >= self.until {
            return false;
        }
        tokio::time::sleep(rest.into()).await;
        true
    }
}
