//! The planner: records the past of the fleet at the beginning, and then creates tasks in the order of the plan, as many as the
//! agents need to stay busy.

use std::time::Duration;

use tenure::core::command::Command;
use tenure::stop::StopSignal;
use tenure::store::overview::Overview;
use tenure::{Error, Ledger};

use super::names::SERVED;
use super::plan::FleetPlan;

/// The commands of one commit.
const TOGETHER: usize = 200;
/// How often it looks whether tasks are missing.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// While this many tasks are open, it creates none, whatever a viewer did with them.
const OPEN_MAX: u64 = 300;

/// How many tasks wait for an agent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    waiting: u64,
}

impl Pace {
    /// The pace for that many agents: half of them can go on at once.
    pub(super) fn of(agents: u16) -> Pace {
        Pace { waiting: u64::from(agents) / 2 + 2 }
    }

    /// How many tasks are missing.
    fn missing(self, overview: &Overview) -> u64 {
        let open = overview.states.iter().filter(|one| one.state.terminal().is_none());
        let open: u64 = open.map(|one| one.count).sum();
        let served = overview.queues.iter().filter(|one| SERVED.contains(&one.queue.as_str()));
        let due: u64 = served.map(|one| one.planned.saturating_sub(one.later)).sum();
        self.waiting.saturating_sub(due).min(OPEN_MAX.saturating_sub(open))
    }
}

/// Records the tasks of the past.
pub(super) async fn fill(ledger: &Ledger, plan: &FleetPlan) -> Result<(), Error> {
    let (numbers, now) = (plan.past_numbers(), ledger.now().await?);
    let past = numbers.end;
    for first in numbers.step_by(TOGETHER) {
        let some = first..past.min(first + TOGETHER as u64);
        let commands = some.map(|number| plan.work(number).import(ledger, past, now));
        let commands: Vec<Command> = commands.collect::<Result<_, Error>>()?;
        for answer in ledger.transact(commands).await {
            answer?;
        }
    }
    Ok(())
}

/// Creates tasks until it is told to stop.
pub(super) async fn keep_busy(
    ledger: Ledger,
    plan: FleetPlan,
    pace: Pace,
    stop: StopSignal,
) -> Result<(), Error> {
    let mut next = plan.past_numbers().end;
    // Each fate once, so that a viewer soon sees all of them.
    let mut missing = plan.shown_first();
    while !stop.is_stopped() {
        let now = ledger.now().await?;
        let some = next..next + missing;
        next = some.end;
        let commands = some.map(|number| plan.work(number).creation(&ledger, now));
        for answer in ledger.transact(commands.collect::<Result<_, Error>>()?).await {
            match answer {
                // A viewer may have created a task of that name.
                Ok(_) | Err(Error::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        tokio::select! {
            () = stop.stopped() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        missing = pace.missing(&ledger.overview().await?);
    }
    Ok(())
}
