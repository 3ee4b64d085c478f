//! The guards of the end of compensating: where a task goes when nothing is owed any more.

use super::{cancel_asked, task_is};
use crate::case::Case;
use crate::policy::WhenSpent;
use crate::task::{Phase, Unwinding};

fn was_released_in_time(case: &Case) -> bool {
    task_is(case, |task| matches!(task.phase, Phase::Compensating { why: Unwinding::Released, .. }))
}

fn has_attempts_left(case: &Case) -> bool {
    task_is(case, |task| task.attempts < task.policy.max_attempts)
}

fn goes_to_when_spent(case: &Case, when_spent: WhenSpent) -> bool {
    let goes_on = cancel_asked(case) || was_released_in_time(case) || has_attempts_left(case);
    !goes_on && task_is(case, |task| task.policy.when_spent == when_spent)
}

pub(crate) fn end_was_cancelled(case: &Case) -> bool {
    cancel_asked(case)
}

pub(crate) fn end_was_released(case: &Case) -> bool {
    !cancel_asked(case) && was_released_in_time(case)
}

pub(crate) fn end_has_attempts_left(case: &Case) -> bool {
    !cancel_asked(case) && !was_released_in_time(case) && has_attempts_left(case)
}

pub(crate) fn end_is_spent_to_compensated(case: &Case) -> bool {
    goes_to_when_spent(case, WhenSpent::Compensated)
}

pub(crate) fn end_is_spent_to_quarantined(case: &Case) -> bool {
    goes_to_when_spent(case, WhenSpent::Quarantined)
}
