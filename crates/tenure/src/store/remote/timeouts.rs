//! Timeouts, size limits and retry times of the remote store.

use std::time::Duration;

use crate::clock::Moment;

/// How long is waited for what, and how much is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// For a connection, its encryption included.
    pub(super) connect: Duration,
    /// For an answer that is there as soon as it is known.
    pub(super) answer: Duration,
    /// For one that comes when something happens; servers wait for that up to [`super::WAIT`].
    pub(super) happening: Duration,
    /// How long servers that refuse every connection, or say that they can do nothing now, are tried again: one that is
    /// restarted comes back.
    pub(super) refused: Duration,
    /// How long commands are sent again of which nobody knows.
    pub(super) unsure: Duration,
    /// How long a caller waits for room in the queue.
    pub(super) room: Duration,
    /// From when on a request does not keep others waiting any more.
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
    /// The same for callers who would rather wait than hear that nothing was done.
    pub(super) fn with_patience(self, patience: Duration) -> Timeouts {
        let (unsure, room) = (self.unsure.max(patience), self.room.max(patience));
        Timeouts { refused: patience, unsure, room, ..self }
    }
}

/// The rest before the second round over all servers. It doubles with each round.
const REST: Duration = Duration::from_millis(50);
const REST_MAX: Duration = Duration::from_secs(1);

/// How long something is tried again.
pub(super) struct RetryDeadline {
    until: Moment,
    tries: usize,
}

impl RetryDeadline {
    pub(super) fn of(length: Duration) -> RetryDeadline {
        RetryDeadline { until: Moment::now() + length.into(), tries: 0 }
    }

    /// Rests before the next try. Every server is asked once before the first rest, also where one took all the time. `spread`
    /// is a part of the rest by which those who failed together don't come back together. False when no time is left.
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
