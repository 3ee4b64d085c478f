//! What the holder of a lease is told about it, and the options of keeping one.

use std::fmt;
use std::time::Duration;

use tenure_clock::Moment;
use tenure_core::refusal::{Code, Refusal};
use tenure_core::time::{Span, Time};
#[cfg(feature = "commands")]
use tenure_process::Limit;
use tenure_store::{Error, Renewal};
use tokio::sync::watch;

/// How long before the end of a lease a process that works under it is killed; never more than a quarter of the margin.
#[cfg(feature = "commands")]
const ENDING: Duration = Duration::from_millis(250);

/// Options for keeping a lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Keeping {
    /// How long before its end the keeper gives up a lease that it could not renew; at most a quarter of what
    /// was left at the last renewal. None: a tenth.
    pub margin: Option<Duration>,
    /// How long the keeper tries to record the end of the work while the ledger can't be reached.
    pub record_timeout: Duration,
}

tenure_core::with_changes!(Keeping);

impl Default for Keeping {
    fn default() -> Keeping {
        Keeping { margin: None, record_timeout: Duration::from_secs(300) }
    }
}

impl Keeping {
    pub(super) fn margin_of(&self, left: Span) -> Span {
        let most = Span::from_micros(left.as_micros() / 4);
        self.margin.map_or(Span::from_micros(left.as_micros() / 10), |margin| Span::from(margin).min(most))
    }
}

/// The status of a lease.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LeaseStatus {
    /// It is held.
    Held(Held),
    /// It is lost: its holder did not end it.
    Lost(Loss),
    /// Its holder ended or dropped it.
    Ended,
}

/// The status of a lease and its changes, for code that does not hold the lease itself.
pub type LeaseWatch = watch::Receiver<LeaseStatus>;

/// A lease that is held.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// When the keeper gives it up, unless a renewal succeeds before.
    pub fences_at: Moment,
    /// When it ends, counted from when the last successful renewal was sent.
    pub ends_at: Moment,
    /// Its end by the store's clock.
    pub expires_at: Time,
    /// Whether a cancel was asked for.
    pub cancel_asked: bool,
    /// Why the last renewal failed, if it did. The work goes on until the lease is lost.
    pub renewal_error: Option<RenewalError>,
}

#[cfg(feature = "commands")]
impl Held {
    /// The time limit of a process that works under this lease. Finding and ending all its processes takes a
    /// moment, which must not be taken from the next holder.
    pub fn limit(&self) -> Limit {
        let margin = self.ends_at.since(self.fences_at);
        let moment = Span::from(ENDING).min(Span::from_micros(margin.as_micros() / 4));
        Limit { ask: self.fences_at, kill: self.ends_at.earlier_by(moment) }
    }
}

/// Why a lease that is still held was not renewed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenewalError {
    /// The ledger could not be reached, or did not answer.
    #[error("the lease could not be renewed: {0}")]
    Unanswered(#[source] Error),
    /// The ledger refused to extend it: there was no progress for too long, or its time limit has passed.
    #[error("the lease is not extended: {0}")]
    NotExtended(#[source] Refusal),
}

/// Why a lease is lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Loss {
    /// The ledger refused a renewal or another call.
    Refused(Refusal),
    /// No renewal succeeded in time, so the holder must treat the lease as lost.
    Fenced,
}

impl Loss {
    /// The refusal for a call that needs the lost lease.
    pub fn refusal(&self) -> Refusal {
        match self {
            Loss::Refused(refusal) => refusal.clone(),
            Loss::Fenced => Refusal::new(Code::LeaseLapsed, Loss::Fenced.to_string()),
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Loss::Refused(refusal) => write!(f, "the lease is lost: {refusal}"),
            Loss::Fenced => f.write_str("the lease is lost: it could not be renewed before it expired"),
        }
    }
}

/// The holder's lease after a renewal that was sent at that moment.
pub(super) fn held(sent: Moment, renewal: Renewal, keeping: Keeping) -> Held {
    let left = renewal.expires_at.since(renewal.at);
    let ends_at = sent + left;
    Held {
        fences_at: ends_at.earlier_by(keeping.margin_of(left)),
        ends_at,
        expires_at: renewal.expires_at,
        cancel_asked: renewal.cancel_asked,
        renewal_error: None,
    }
}
