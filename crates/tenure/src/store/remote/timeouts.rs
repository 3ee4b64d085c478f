//! Timeouts, size limits and retry times of the remote store.

use std::time::Duration;

use crate::clock::Moment;

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
    /// How long a caller waits for room in the queue.
    pub(super) room: Duration,
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
            room: Duration::from_secs(30),
            slow: Duration::from_millis(500),
            answer_bytes_max: 256 * 1024 * 1024,
        }
    }
}

impl Timeouts {
    /// The same for callers that prefer to wait.
    pub(super) fn with_patience(self, patience: Duration) -> Timeouts {
        let (unsure, room) = (self.unsure.max(patience), self.room.max(patience));
        Timeouts { refused: patience, unsure, room, ..self }
    }
}

/// The pause before the second round over all servers. It doubles with each round.
const REST: Duration = Duration::from_millis(50);
const REST_MAX: Duration = Duration::from_secs(1);

/// The time left for retries.
pub(super) struct RetryDeadline {
    until: Moment,
    tries: usize,
}

impl RetryDeadline {
    pub(super) fn of(length: Duration) -> RetryDeadline {
        RetryDeadline { until: Moment::now() + length.into(), tries: 0 }
    }

    /// Pauses before the next try. Every server is tried once before the first pause, even if one took all
    /// the time. `spread` is a random part of the pause, so that clients that failed together do not return
    /// together. False when no time is left.
    pub(super) async fn rest(&mut self, servers: usize, spread: impl FnOnce(Duration) -> Duration) -> bool {
        self.tries += 1;
        if !self.tries.is_multiple_of(servers) {
            return self.tries < servers || Moment::now() < self.until;
        }
        let round = u32::try_from(self.tries / servers).unwrap_or(u32::MAX) - 1;
        let rest = REST.saturating_mul(1 << round.min(5)).min(REST_MAX);
        let rest = rest - spread(rest / 2);
        if Moment::now() + rest.into() >= self.until {
            return false;
        }
        tokio::time::sleep(rest).await;
        true
    }
}
