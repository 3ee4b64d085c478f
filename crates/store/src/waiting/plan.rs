//! When a queue with waiting claims is looked into next.

use std::time::Duration;

use tenure_clock::Moment;

/// How often a queue is looked into without a signal.
pub const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The minimum time between two looks, however often other processes write.
pub const LOOK_APART: Duration = Duration::from_millis(20);
/// The minimum time until a task becomes due that is waited for. A clock may stand still.
pub(super) const REST_MIN: Duration = Duration::from_millis(1);

/// When to look next.
pub(super) struct LookPlan {
    pub(super) last: Moment,
    /// How long after the last look, unless there is a signal.
    rest: Duration,
    /// A time that was asked for since the last look began.
    asked: Option<Moment>,
    /// The newest signal of other processes that was there before the last look.
    pub(super) signal: u64,
    /// A look has begun. Its wait may have left in the middle of it.
    is_looking: bool,
}

impl LookPlan {
    pub(super) fn new(last: Moment, rest: Duration) -> LookPlan {
        LookPlan { last, rest, asked: None, signal: 0, is_looking: false }
    }

    /// How long it is until the next look, if the newest signal is `signal`.
    pub(super) fn left(&self, now: Moment, signal: u64) -> Duration {
        if self.is_looking {
            return Duration::ZERO;
        }
        let rest = if signal > self.signal { self.rest.min(LOOK_APART) } else { self.rest };
        let left = rest.saturating_sub(now.since(self.last).into());
        self.asked.map_or(left, |asked| left.min(asked.since(now).into()))
    }

    pub(super) fn begin(&mut self) {
        (self.is_looking, self.asked) = (true, None);
    }

    /// What was asked for during the look stays.
    pub(super) fn end(&mut self, rest: Duration, signal: u64) {
        (self.last, self.rest, self.signal, self.is_looking) = (Moment::now(), rest, signal, false);
    }

    /// Whether that is earlier than what was asked for before.
    pub(super) fn ask(&mut self, at: Moment) -> bool {
        let is_earlier = self.asked.is_none_or(|asked| at < asked);
        if is_earlier {
            self.asked = Some(at);
        }
        is_earlier
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many milliseconds are left until the next look, that long after the last one.
    fn left(plan: &LookPlan, after: u64, signal: u64) -> u128 {
        plan.left(moment(plan, after), signal).as_millis()
    }

    fn moment(plan: &LookPlan, after: u64) -> Moment {
        Moment::from_micros(plan.last.as_micros() + 1_000 * after)
    }

    #[test]
    fn a_new_signal_brings_the_next_look_forward_but_not_at_once() {
        let mut plan = LookPlan::new(Moment::now(), LOOK_EVERY);
        assert_eq!((left(&plan, 0, 0), left(&plan, 400, 0)), (500, 100));
        assert_eq!((left(&plan, 0, 1), left(&plan, 15, 1), left(&plan, 400, 1)), (20, 5, 0));
        plan.rest = REST_MIN;
        assert_eq!(left(&plan, 0, 1), 1, "the next task is due before");
    }

    #[test]
    fn what_is_asked_for_during_a_look_is_not_lost_with_its_end() {
        let mut plan = LookPlan::new(Moment::now(), LOOK_APART);
        let (early, late) = (moment(&plan, 30), moment(&plan, 60));
        assert!(plan.ask(late) && !plan.ask(late) && plan.ask(early));
        plan.begin();
        assert!(plan.ask(late), "what was asked for before is looked for now");
        plan.end(LOOK_EVERY, 0);
        assert!(left(&plan, 0, 0) <= 60);
    }

    #[test]
    fn a_look_that_was_given_up_is_made_again_at_once() {
        let mut plan = LookPlan::new(Moment::now(), LOOK_EVERY);
        plan.begin();
        assert_eq!(left(&plan, 0, 0), 0);
        plan.end(LOOK_EVERY, 0);
        assert!(left(&plan, 0, 0) > 400);
    }
}
