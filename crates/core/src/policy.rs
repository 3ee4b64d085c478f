//! The policy of a task, which its creator sets: how long leases last, how many attempts it gets, and what happens
//! after a lapse.

use crate::limit::InvalidField;
use crate::time::{Span, Time};

/// How long a lease or reservation may last: 1 s to 7 days.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ttl(Span);

impl Ttl {
    /// The default lease.
    pub const MINUTE: Ttl = Ttl(Span::from_secs(60));

    /// The longest one.
    pub const MAX: Ttl = Ttl(Span::from_days(7));

    /// Checks the limits.
    pub fn new(span: Span) -> Result<Ttl, InvalidField> {
        Ttl::named("ttl", span)
    }

    /// As [`Ttl::new`], for a field with another name.
    pub fn named(field: &'static str, span: Span) -> Result<Ttl, InvalidField> {
        if (Span::from_secs(1)..=Ttl::MAX.0).contains(&span) {
            Ok(Ttl(span))
        } else {
            Err(InvalidField::new(field, "1 s to 7 days"))
        }
    }

    /// The length.
    pub fn span(self) -> Span {
        self.0
    }
}

/// What happens to a running task whose lease has lapsed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum OnLapse {
    /// Its undo runs; then it is tried again or closed.
    #[default]
    Recover,
    /// Nothing happens until an owner acquires the task. That owner continues and inherits what is owed.
    Hold,
    /// It is parked for a person.
    Quarantine,
    /// Until recovery reclaims it, an owner may take it over as under `Hold`. If none does, it is recovered after the
    /// policy's `recover_after`.
    Either,
}

impl OnLapse {
    /// Every choice, the default first.
    pub const ALL: [OnLapse; 4] = [OnLapse::Recover, OnLapse::Hold, OnLapse::Quarantine, OnLapse::Either];

    /// The word that interfaces use.
    pub const fn as_str(self) -> &'static str {
        match self {
            OnLapse::Recover => "recover",
            OnLapse::Hold => "hold",
            OnLapse::Quarantine => "quarantine",
            OnLapse::Either => "either",
        }
    }
}

/// How a task ends when its attempts are spent and its undo is done.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum WhenSpent {
    /// It is closed as undone.
    #[default]
    Compensated,
    /// It is parked for a person.
    Quarantined,
}

impl WhenSpent {
    /// Both choices, the default first.
    pub const ALL: [WhenSpent; 2] = [WhenSpent::Compensated, WhenSpent::Quarantined];

    /// The word that interfaces use.
    pub const fn as_str(self) -> &'static str {
        match self {
            WhenSpent::Compensated => "compensated",
            WhenSpent::Quarantined => "quarantined",
        }
    }
}

/// What becomes of a task that its holder fails.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum OnFailure {
    /// It is closed as failed.
    #[default]
    Fail,
    /// It is parked for a person.
    Quarantine,
}

impl OnFailure {
    /// Both choices, the default first.
    pub const ALL: [OnFailure; 2] = [OnFailure::Fail, OnFailure::Quarantine];

    /// The word that interfaces use.
    pub const fn as_str(self) -> &'static str {
        match self {
            OnFailure::Fail => "fail",
            OnFailure::Quarantine => "quarantine",
        }
    }
}

/// How long to wait before the next try: `base`, times `factor` for each try after the first, up to `cap`. Retries of tasks,
/// undos, requests and processes all use it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Backoff {
    /// The wait after the first attempt.
    pub base: Span,
    /// How much longer each further wait is.
    pub factor: u32,
    /// The longest wait.
    pub cap: Span,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { base: Span::from_secs(1), factor: 2, cap: Span::from_secs(300) }
    }
}

impl Backoff {
    /// The wait after this many attempts, shortened by the jitter; nothing if none counted.
    pub fn after(self, attempts: u32, jitter: Jitter) -> Span {
        let Some(exponent) = attempts.checked_sub(1) else { return Span::ZERO };
        let factor = u64::from(self.factor).saturating_pow(exponent);
        jitter.shorten(self.base.times(factor).min(self.cap))
    }
}

/// How much of a wait is taken off, drawn by the shell: nothing up to half of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Jitter(u16);

impl Jitter {
    /// The whole wait.
    pub const NONE: Jitter = Jitter(0);

    /// From a random number, uniformly distributed.
    pub const fn from_random(drawn: u16) -> Jitter {
        Jitter(drawn)
    }

    /// The random number that it was made from.
    pub const fn drawn(self) -> u16 {
        self.0
    }

    /// The drawn part of this span: from zero up to less than all of it.
    pub fn part_of(self, span: Span) -> Span {
        let part = u128::from(span.as_micros()) * u128::from(self.0) / (u128::from(u16::MAX) + 1);
        Span::from_micros(u64::try_from(part).unwrap_or(0))
    }

    fn shorten(self, span: Span) -> Span {
        Span::from_micros(span.as_micros() - self.part_of(span).as_micros() / 2)
    }
}

/// What a task's creator decides beforehand. The default of each field is the first value that its type names.
///
/// ```
/// # use std::time::Duration;
/// # use tenure_core::policy::{Policy, Ttl};
/// let ttl = Ttl::new(Duration::from_secs(90).into())?;
/// let policy = Policy::default().with(|policy| {
///     policy.max_attempts = 3;
///     policy.lease_ttl = ttl;
///     policy.stall_after = Some(Duration::from_secs(600).into());
/// });
/// # Ok::<(), tenure_core::limit::InvalidField>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct Policy {
    /// The default length of a lease.
    pub lease_ttl: Ttl,
    /// The maximum number of automatic attempts. An explicit acquire is never refused because of it.
    pub max_attempts: u32,
    /// The wait between attempts.
    pub backoff: Backoff,
    /// How the task ends when its attempts are spent.
    pub when_spent: WhenSpent,
    /// What happens when its lease lapses.
    pub on_lapse: OnLapse,
    /// How long after a lapse recovery leaves the task to other owners, if `on_lapse` is [`OnLapse::Either`].
    pub recover_after: Option<Span>,
    /// What becomes of the task if its holder fails it.
    pub on_failure: OnFailure,
    /// No heartbeat extends a lease beyond this long after the last progress.
    pub stall_after: Option<Span>,
    /// No heartbeat extends a lease beyond this long after the attempt began.
    pub time_limit: Option<Span>,
    /// The first attempt must begin this long after the task was created and due.
    pub start_within: Option<Span>,
    /// How long a takeover or reclaim waits after the lapse, for effects that can't be fenced.
    pub lock_delay: Option<Span>,
    /// No heartbeat extends a lease beyond this long after its holder was first told to stop.
    pub cancel_grace: Option<Span>,
}

crate::with_changes!(Policy);

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            lease_ttl: Ttl::MINUTE,
            max_attempts: 1,
            backoff: Backoff::default(),
            when_spent: WhenSpent::default(),
            on_lapse: OnLapse::default(),
            recover_after: None,
            on_failure: OnFailure::default(),
            stall_after: None,
            time_limit: None,
            start_within: None,
            lock_delay: None,
            cancel_grace: None,
        }
    }
}

impl Policy {
    /// A policy in which no field is as in the default. Other crates can't name all fields in one place, so they write this and
    /// read it back to see that they forget none.
    #[doc(hidden)]
    pub fn unlike_the_default() -> Policy {
        Policy {
            lease_ttl: Ttl(Span::from_secs(90)),
            max_attempts: 3,
            backoff: Backoff { base: Span::from_secs(2), factor: 3, cap: Span::from_secs(400) },
            when_spent: WhenSpent::Quarantined,
            on_lapse: OnLapse::Either,
            recover_after: Some(Span::from_secs(45)),
            on_failure: OnFailure::Quarantine,
            stall_after: Some(Span::from_secs(300)),
            time_limit: Some(Span::from_secs(7_200)),
            start_within: Some(Span::from_secs(600)),
            lock_delay: Some(Span::from_millis(500)),
            cancel_grace: Some(Span::from_secs(30)),
        }
    }

    /// The longest time limit, start limit or backoff. A longer one is probably a typing error.
    const LONGEST: Span = Span::from_days(3_650);

    /// Checks the limits that the types of the fields don't.
    pub fn check(&self) -> Result<(), InvalidField> {
        if self.max_attempts == 0 {
            return Err(InvalidField::new("policy.max_attempts", "1 or more"));
        }
        if !(1..=100).contains(&self.backoff.factor) {
            return Err(InvalidField::new("policy.backoff.factor", "1 to 100"));
        }
        if self.recover_after.is_some() && self.on_lapse != OnLapse::Either {
            return Err(InvalidField::new("policy.recover_after", "allowed only with on_lapse `either`"));
        }
        let from_nothing = [
            ("policy.backoff.base", Some(self.backoff.base)),
            ("policy.backoff.cap", Some(self.backoff.cap)),
            ("policy.lock_delay", self.lock_delay),
            ("policy.recover_after", self.recover_after),
        ];
        let from_a_second = [
            ("policy.stall_after", self.stall_after),
            ("policy.time_limit", self.time_limit),
            ("policy.start_within", self.start_within),
            ("policy.cancel_grace", self.cancel_grace),
        ];
        for (field, span) in from_nothing {
            if span.is_some_and(|span| span > Self::LONGEST) {
                return Err(InvalidField::new(field, "up to 3650 days"));
            }
        }
        for (field, span) in from_a_second {
            if span.is_some_and(|span| !(Span::from_secs(1)..=Self::LONGEST).contains(&span)) {
                return Err(InvalidField::new(field, "1 s to 3650 days"));
            }
        }
        Ok(())
    }

    /// When a lapsed lease that ended at `expires_at` may be taken over or reclaimed.
    pub fn reclaimable_at(&self, expires_at: Time) -> Time {
        expires_at + self.lock_delay.unwrap_or(Span::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_cap() {
        let waits = |attempts| Backoff::default().after(attempts, Jitter::NONE);
        assert_eq!(waits(0), Span::ZERO);
        assert_eq!(waits(1), Span::from_secs(1));
        assert_eq!(waits(4), Span::from_secs(8));
        assert_eq!(waits(40), Span::from_secs(300));
        assert_eq!(waits(u32::MAX), Span::from_secs(300));
    }

    #[test]
    fn jitter_takes_off_less_than_half() {
        let shortest = Backoff::default().after(4, Jitter::from_random(u16::MAX));
        assert!(shortest > Span::from_secs(4) && shortest < Span::from_millis(4_001));
    }

    #[test]
    fn a_policy_that_is_unlike_the_default_is_so_in_each_field() {
        let (usual, other) = (Policy::default(), Policy::unlike_the_default());
        let Policy {
            lease_ttl,
            max_attempts,
            backoff: Backoff { base, factor, cap },
            when_spent,
            on_lapse,
            recover_after,
            on_failure,
            stall_after,
            time_limit,
            start_within,
            lock_delay,
            cancel_grace,
        } = other;
        assert!(lease_ttl != usual.lease_ttl && max_attempts != usual.max_attempts);
        assert!(base != usual.backoff.base && factor != usual.backoff.factor && cap != usual.backoff.cap);
        assert!(when_spent != usual.when_spent && on_lapse != usual.on_lapse);
        assert_ne!(on_failure, usual.on_failure);
        for limit in [recover_after, stall_after, time_limit, start_within, lock_delay, cancel_grace] {
            assert_ne!(limit, None);
        }
        assert!(other.check().is_ok());
    }

    #[test]
    fn a_policy_names_the_field_that_is_out_of_bounds() {
        let refused = |policy: Policy| policy.check().expect_err("out of bounds").field;
        assert_eq!(refused(Policy { max_attempts: 0, ..Policy::default() }), "policy.max_attempts");
        let stalls_at_once = Policy { stall_after: Some(Span::from_millis(1)), ..Policy::default() };
        assert_eq!(refused(stalls_at_once), "policy.stall_after");
        assert!(Policy::default().check().is_ok());
    }
}
