//! What becomes of the tasks of the fleet, as a table: how an agent ends its attempt, what it leaves to undo, and the policy that
//! decides what follows.

use tenure::core::policy::{OnLapse, Policy, Ttl, WhenSpent};
use tenure::core::refusal::Refusal;
use tenure::core::time::Span;

use super::dice::SeededDice;
use super::names::{BUILD, EVALUATION, FIX, NIGHTLY, REVIEW, UNSERVED, WorkSort};

/// What an agent does with a task that it claimed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AgentAct {
    /// It does all steps, and completes it.
    Complete,
    /// It fails it in the middle.
    Fail,
    /// It gives up in the middle, and has undone what it did.
    RollBack,
    /// It parks it for a person.
    Park,
    /// It releases it, to be tried again soon.
    Release,
    /// It is gone without a word, as a killed process is.
    Die,
    /// It renews the lease, and does nothing more.
    Hang,
    /// It works on and on, until the lease is taken from it.
    Linger,
    /// A person cancels the task, and it obeys.
    ObeyCancel,
    /// A person cancels the task, and it works on.
    IgnoreCancel,
}

impl AgentAct {
    /// How many of the steps it does first; at least one.
    pub(super) fn steps_before(self, steps: usize) -> usize {
        match self {
            AgentAct::Complete => steps,
            AgentAct::Fail
            | AgentAct::RollBack
            | AgentAct::Park
            | AgentAct::Release
            | AgentAct::Die
            | AgentAct::Hang
            | AgentAct::Linger
            | AgentAct::ObeyCancel
            | AgentAct::IgnoreCancel => steps.div_ceil(2).max(1),
        }
    }
}

/// What becomes of a task.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fate {
    /// What it shows.
    pub(super) name: &'static str,
    /// How often it is drawn, compared with the others.
    pub(super) weight: u64,
    pub(super) work: &'static WorkSort,
    /// What the first agent does, and what those after it do.
    pub(super) first: AgentAct,
    pub(super) later: AgentAct,
    /// The kinds of undo that an agent registers, in that order.
    pub(super) undos: &'static [&'static str],
    /// The reasons for its end; of a completed one, its summary.
    pub(super) reasons: &'static [&'static str],
    /// In how many seconds it is due: one between these.
    pub(super) due_in: Option<(u64, u64)>,
    limits: FateLimits,
}

/// The policy of a fate; times in seconds.
#[derive(Debug, PartialEq, Eq)]
struct FateLimits {
    ttl: u64,
    attempts: u32,
    on_lapse: OnLapse,
    when_spent: WhenSpent,
    stall_after: Option<u64>,
    time_limit: Option<u64>,
    start_within: Option<u64>,
    cancel_grace: Option<u64>,
}

const USUAL_LIMITS: FateLimits = FateLimits {
    ttl: 20,
    attempts: 2,
    on_lapse: OnLapse::Recover,
    when_spent: WhenSpent::Compensated,
    stall_after: Some(60),
    time_limit: None,
    start_within: None,
    cancel_grace: None,
};
/// Leases that lapse soon after their holder is gone.
const SHORT: FateLimits = FateLimits { ttl: 4, ..USUAL_LIMITS };
const SHORT_AND_ONCE: FateLimits = FateLimits { attempts: 1, ..SHORT };
const ONCE: FateLimits = FateLimits { attempts: 1, ..USUAL_LIMITS };

const USUAL: Fate = Fate {
    name: "completes a fix",
    weight: 330,
    work: &FIX,
    first: AgentAct::Complete,
    later: AgentAct::Complete,
    undos: &["remove-worktree"],
    reasons: &["all tests pass", "the pull request is merged", "fixed, with a test"],
    due_in: None,
    limits: USUAL_LIMITS,
};

/// The table.
pub(super) static FATES: &[Fate] = &[
    USUAL,
    Fate {
        name: "completes a build",
        weight: 220,
        work: &BUILD,
        undos: &[],
        reasons: &["built and uploaded"],
        ..USUAL
    },
    Fate {
        name: "completes a review",
        weight: 120,
        work: &REVIEW,
        reasons: &["two comments", "approved"],
        ..USUAL
    },
    Fate {
        name: "completes a nightly job",
        weight: 60,
        work: &NIGHTLY,
        undos: &[],
        reasons: &["no regression"],
        ..USUAL
    },
    Fate { name: "is due later", weight: 35, due_in: Some((15, 90)), ..USUAL },
    Fate {
        name: "is given back once",
        weight: 15,
        first: AgentAct::Release,
        reasons: &["the model is overloaded, retry later", "the forge limits its requests"],
        ..USUAL
    },
    Fate {
        name: "fails a fix",
        weight: 30,
        first: AgentAct::Fail,
        reasons: &[
            "the issue can't be reproduced",
            "the repository has no test command",
            "the agent ran out of context",
        ],
        ..USUAL
    },
    Fate {
        name: "fails a build",
        weight: 40,
        work: &BUILD,
        first: AgentAct::Fail,
        undos: &[],
        reasons: &[
            "error[E0308]: mismatched types in cart.rs",
            "3 of 412 tests failed",
            "the linker ran out of memory",
        ],
        ..USUAL
    },
    Fate {
        name: "fails a nightly job",
        weight: 20,
        work: &NIGHTLY,
        first: AgentAct::Fail,
        undos: &[],
        reasons: &[
            "p99 latency grew by 18 %",
            "the backup of yesterday is missing",
            "one dependency has an advisory",
        ],
        ..USUAL
    },
    Fate {
        name: "gives up for good",
        weight: 25,
        first: AgentAct::RollBack,
        later: AgentAct::RollBack,
        undos: &["remove-worktree", "delete-branch"],
        reasons: &["the tests stay red", "the change conflicts with main"],
        limits: ONCE,
        ..USUAL
    },
    Fate {
        name: "gives up and is done again",
        weight: 20,
        first: AgentAct::RollBack,
        undos: &["remove-worktree", "close-pr"],
        reasons: &["main has moved, starting again"],
        ..USUAL
    },
    Fate {
        name: "its agent dies, and it is done again",
        weight: 30,
        first: AgentAct::Die,
        undos: &["remove-worktree", "close-pr"],
        limits: SHORT,
        ..USUAL
    },
    Fate {
        name: "its agent dies, and it is undone",
        weight: 20,
        first: AgentAct::Die,
        later: AgentAct::Die,
        undos: &["remove-worktree", "delete-branch", "close-pr"],
        limits: SHORT_AND_ONCE,
        ..USUAL
    },
    Fate {
        name: "its agent dies, and it waits for a person",
        weight: 8,
        first: AgentAct::Die,
        undos: &["remove-worktree"],
        limits: FateLimits { on_lapse: OnLapse::Hold, ..SHORT },
        ..USUAL
    },
    Fate {
        name: "its agent dies, and it is parked",
        weight: 5,
        work: &BUILD,
        first: AgentAct::Die,
        undos: &[],
        limits: FateLimits { on_lapse: OnLapse::Quarantine, ..SHORT },
        ..USUAL
    },
    Fate {
        name: "its agent hangs",
        weight: 12,
        first: AgentAct::Hang,
        later: AgentAct::Hang,
        limits: FateLimits { stall_after: Some(4), ..SHORT_AND_ONCE },
        ..USUAL
    },
    Fate {
        name: "takes too long",
        weight: 6,
        work: &NIGHTLY,
        first: AgentAct::Linger,
        later: AgentAct::Linger,
        undos: &[],
        limits: FateLimits { time_limit: Some(8), when_spent: WhenSpent::Quarantined, ..SHORT_AND_ONCE },
        ..USUAL
    },
    Fate {
        name: "is parked by its agent",
        weight: 10,
        first: AgentAct::Park,
        reasons: &[
            "two main branches, which one?",
            "the fix needs a change of the price list",
            "the issue asks for a secret",
        ],
        ..USUAL
    },
    Fate {
        name: "owes an undo that nobody handles",
        weight: 6,
        first: AgentAct::RollBack,
        later: AgentAct::RollBack,
        undos: &["remove-worktree", "revoke-key"],
        reasons: &["the deployment was refused"],
        limits: ONCE,
        ..USUAL
    },
    Fate {
        name: "owes an undo that always fails",
        weight: 6,
        first: AgentAct::RollBack,
        later: AgentAct::RollBack,
        undos: &["remove-worktree", "drop-preview"],
        reasons: &["the preview does not start"],
        limits: ONCE,
        ..USUAL
    },
    Fate {
        name: "is cancelled",
        weight: 15,
        first: AgentAct::ObeyCancel,
        reasons: &["the issue was closed", "another pull request fixes it"],
        ..USUAL
    },
    Fate {
        name: "is cancelled, and its agent works on",
        weight: 5,
        first: AgentAct::IgnoreCancel,
        reasons: &["the branch was deleted"],
        limits: FateLimits { cancel_grace: Some(12), ..SHORT },
        ..USUAL
    },
    Fate { name: "waits for an agent that never comes", weight: 10, work: &EVALUATION, undos: &[], ..USUAL },
    Fate {
        name: "does not begin in time",
        weight: 5,
        work: &EVALUATION,
        undos: &[],
        limits: FateLimits { start_within: Some(6), ..USUAL_LIMITS },
        ..USUAL
    },
];

impl Fate {
    /// What the table shows of a task that is not planned, such as a retry by hand: it is done.
    pub(super) fn usual() -> &'static Fate {
        &FATES[0]
    }

    /// One of the table, by its weights.
    pub(super) fn drawn(dice: &mut SeededDice) -> &'static Fate {
        Fate::among(dice, |_| true)
    }

    /// One that could have ended without recovery and without a person.
    pub(super) fn drawn_for_the_past(dice: &mut SeededDice) -> &'static Fate {
        let ends_alone = |fate: &Fate| {
            let is_plain = matches!(fate.first, AgentAct::Complete | AgentAct::Fail);
            is_plain && fate.due_in.is_none() && fate.work.queue != UNSERVED
        };
        Fate::among(dice, ends_alone)
    }

    fn among(dice: &mut SeededDice, may_be: impl Fn(&Fate) -> bool) -> &'static Fate {
        let all = || FATES.iter().filter(|fate| may_be(fate));
        let mut left = dice.below(all().map(|fate| fate.weight).sum());
        let drawn = all().find(|fate| {
            let is_it = left < fate.weight;
            left = left.saturating_sub(fate.weight);
            is_it
        });
        drawn.unwrap_or_else(Fate::usual)
    }

    /// What the agent of that attempt does; the first attempt has number 1.
    pub(super) fn act(&self, attempt: u32) -> AgentAct {
        if attempt <= 1 { self.first } else { self.later }
    }

    /// The policy of its tasks.
    pub(super) fn policy(&self) -> Result<Policy, Refusal> {
        let limits = &self.limits;
        let ttl = Ttl::new(Span::from_secs(limits.ttl))?;
        Ok(Policy::default().with(|policy| {
            policy.lease_ttl = ttl;
            policy.max_attempts = limits.attempts;
            policy.on_lapse = limits.on_lapse;
            policy.when_spent = limits.when_spent;
            policy.stall_after = limits.stall_after.map(Span::from_secs);
            policy.time_limit = limits.time_limit.map(Span::from_secs);
            policy.start_within = limits.start_within.map(Span::from_secs);
            policy.cancel_grace = limits.cancel_grace.map(Span::from_secs);
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::names::SERVED;
    use super::super::undo::UNDOS;
    use super::*;

    #[test]
    fn each_row_has_a_name_of_its_own_and_can_be_done() {
        let names: BTreeSet<&str> = FATES.iter().map(|fate| fate.name).collect();
        assert_eq!(names.len(), FATES.len());
        for fate in FATES {
            assert!(fate.weight > 0 && !fate.reasons.is_empty(), "{}", fate.name);
            assert!(
                fate.undos.iter().all(|kind| UNDOS.iter().any(|undo| undo.kind == *kind)),
                "{}",
                fate.name
            );
            assert!(fate.policy().expect(fate.name).check().is_ok(), "{}", fate.name);
            let is_served = SERVED.contains(&fate.work.queue);
            assert!(is_served || fate.work.queue == UNSERVED, "{}", fate.name);
        }
    }

    #[test]
    fn most_tasks_are_completed_and_each_queue_has_some() {
        let weight = |is: &dyn Fn(&Fate) -> bool| -> u64 {
            FATES.iter().filter(|fate| is(fate)).map(|fate| fate.weight).sum()
        };
        let done = weight(&|fate| fate.first == AgentAct::Complete && fate.work.queue != UNSERVED);
        assert!(done * 10 > weight(&|_| true) * 7, "{done}");
        for queue in SERVED.iter().chain([&UNSERVED]) {
            assert!(weight(&|fate| fate.work.queue == *queue) > 0, "{queue}");
        }
    }

    #[test]
    fn fates_are_drawn_as_often_as_their_weights_say() {
        let drawn: Vec<&Fate> = (0..20_000).map(|task| Fate::drawn(&mut SeededDice::of(7, task))).collect();
        let all: u64 = FATES.iter().map(|fate| fate.weight).sum();
        for fate in FATES {
            let expected = 20_000 * fate.weight / all;
            let count = drawn.iter().filter(|one| one.name == fate.name).count() as u64;
            assert!((expected / 2..=expected * 2).contains(&count), "{}: {count}, not {expected}", fate.name);
        }
    }
}
