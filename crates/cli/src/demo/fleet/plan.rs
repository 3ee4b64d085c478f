//! The plan of the fleet: which task has which number, what it is called, and what becomes of it. All of it follows from the seed.

use std::time::Duration;

use serde_json::{Value, json};
use tenure::core::command::{Command, Put, PutUndo};
use tenure::core::compensation::Undo;
use tenure::core::id::{Document, Kind, LabelKey, LabelValue, Queue, Reason, TaskId, Text};
use tenure::core::task::State;
use tenure::core::time::{Span, Time};
use tenure::{Error, Ledger};

use super::dice::SeededDice;
use super::fates::{AgentAct, FATES, Fate};
use super::names::{PLANNER, REPOSITORIES};
use super::undo::{UNDOS, UndoKind};

/// How many milliseconds a step takes: one between these.
const STEP_MILLIS: (u64, u64) = (900, 3_600);
/// The same of the first tasks, so that a viewer soon sees how each of them ends.
const FIRST_STEP_MILLIS: (u64, u64) = (400, 1_100);
/// The past is spread over this much time.
const PAST: Span = Span::from_secs(55 * 60);
/// How long a task of the past took.
const PAST_TASK: Span = Span::from_secs(40);

/// The tasks of the fleet, by their numbers: first those of the past, which have ended already; then each fate once; then as they
/// are drawn.
#[derive(Clone, Debug)]
pub(super) struct FleetPlan {
    seed: u64,
    past: u64,
}

/// A task of the plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PlannedWork {
    pub(super) id: String,
    pub(super) fate: &'static Fate,
    /// How long each step takes.
    pub(super) step: Duration,
    /// The reason for its end.
    pub(super) reason: &'static str,
    /// In how long it is due.
    due_in: Option<Span>,
    number: u64,
    repository: &'static str,
    priority: i32,
}

impl FleetPlan {
    /// The plan of that seed, with that many tasks in the past.
    pub(super) fn new(seed: u64, past: u64) -> FleetPlan {
        FleetPlan { seed, past }
    }

    /// The numbers of the tasks of the past.
    pub(super) fn past_numbers(&self) -> std::ops::Range<u64> {
        0..self.past
    }

    /// How many tasks show each fate once, after those of the past.
    pub(super) fn shown_first(&self) -> u64 {
        FATES.len() as u64
    }

    /// The task with that number.
    pub(super) fn work(&self, number: u64) -> PlannedWork {
        let mut dice = SeededDice::of(self.seed, number);
        let nth = number.checked_sub(self.past);
        let shown = nth.and_then(|nth| self.order().get(usize::try_from(nth).unwrap_or(usize::MAX)).copied());
        let fate = match (shown, nth) {
            (Some(shown), _) => shown,
            (None, Some(_)) => Fate::drawn(&mut dice),
            (None, None) => Fate::drawn_for_the_past(&mut dice),
        };
        let is_first = shown.is_some();
        let subject = dice.one_of(fate.work.subjects);
        let id = format!("{}-{subject}-{}", fate.work.kind, number + 1);
        self.drawn(number, id, (fate, is_first), &mut dice)
    }

    /// What an agent does with a task that it claimed. One that is not of the plan, such as a retry by hand, is done.
    pub(super) fn work_of(&self, id: &str) -> PlannedWork {
        let number = id.rsplit('-').next().and_then(|number| number.parse::<u64>().ok());
        let number = number.and_then(|number| number.checked_sub(1));
        let planned = number.map(|number| self.work(number)).filter(|work| work.id == id);
        planned.unwrap_or_else(|| {
            let number = number.unwrap_or_default();
            let mut dice = SeededDice::of(self.seed, number);
            self.drawn(number, id.to_owned(), (Fate::usual(), false), &mut dice)
        })
    }

    /// All fates, each once, in an order of this seed.
    fn order(&self) -> Vec<&'static Fate> {
        let mut order: Vec<&Fate> = FATES.iter().collect();
        SeededDice::of(self.seed, u64::MAX).shuffle(&mut order);
        order
    }

    fn drawn(
        &self,
        number: u64,
        id: String,
        (fate, is_first): (&'static Fate, bool),
        dice: &mut SeededDice,
    ) -> PlannedWork {
        let millis = if is_first { FIRST_STEP_MILLIS } else { STEP_MILLIS };
        PlannedWork {
            id,
            fate,
            step: Duration::from_millis(dice.between(millis)),
            reason: dice.one_of(fate.reasons),
            due_in: fate.due_in.map(|seconds| Span::from_secs(dice.between(seconds))),
            number,
            repository: dice.one_of(&REPOSITORIES),
            priority: dice.one_of(&[0, 0, 0, 5, 10]),
        }
    }
}

impl PlannedWork {
    /// The command that creates it.
    pub(super) fn creation(&self, ledger: &Ledger, now: Time) -> Result<Command, Error> {
        let call = ledger.create(&self.id).queue(self.fate.work.queue).kind(self.fate.work.kind);
        let call = self.labels().into_iter().fold(call, |call, (key, value)| call.label(key, &value));
        let call = call.payload(self.payload()).priority(self.priority).policy(self.fate.policy()?);
        let call = match self.due_in {
            Some(length) => call.not_before(now + length),
            None => call,
        };
        call.acting_as(PLANNER).command()
    }

    /// The command that records it as one that has ended: the last of the past just before `now`.
    pub(super) fn import(&self, ledger: &Ledger, past: u64, now: Time) -> Result<Command, Error> {
        let left = past.saturating_sub(self.number).max(1);
        let ended = now - Span::from_micros(PAST.as_micros() / past.max(1) * left);
        let mut put = Put::new(TaskId::new(self.id.as_str())?);
        let record = &mut put.record;
        (record.queue, record.kind) = (Queue::new(self.fate.work.queue)?, Kind::new(self.fate.work.kind)?);
        for (key, value) in self.labels() {
            record.labels.insert(LabelKey::new(key)?, LabelValue::new(value)?);
        }
        record.payload = Document::new(self.payload().to_string())?;
        record.priority = self.priority;
        record.policy = self.fate.policy()?;
        (put.created_at, put.finished_at) = (Some(ended - PAST_TASK), Some(ended));
        if self.fate.first == AgentAct::Complete {
            put.state = State::Completed;
            put.result = Some(Document::new(self.result().to_string())?);
        } else {
            put.state = State::Failed;
            put.terminal_reason = Some(Reason::new(self.reason)?);
            let undo = Undo { kind: Kind::new("none")?, target: Text::new("-")?, reason: None };
            put.compensations.push(PutUndo { seq: None, undo });
        }
        ledger.put(put).acting_as(PLANNER).command()
    }

    /// What it registers to undo: the kind, and the target.
    pub(super) fn undos(&self) -> impl Iterator<Item = (&'static UndoKind, String)> {
        let kinds = self.fate.undos.iter().filter_map(|kind| UNDOS.iter().find(|undo| undo.kind == *kind));
        kinds.map(|undo| (undo, undo.target(&self.id, self.repository, self.pull_request())))
    }

    /// The result of the work.
    pub(super) fn result(&self) -> Value {
        json!({"pr": self.pull_request(), "summary": self.reason})
    }

    fn payload(&self) -> Value {
        json!({"repo": self.repository, "issue": self.issue(), "branch": format!("agents/{}", self.id)})
    }

    fn labels(&self) -> [(&'static str, String); 2] {
        [("issue", self.issue().to_string()), ("repo", self.repository.to_owned())]
    }

    fn issue(&self) -> u64 {
        self.number.saturating_add(100)
    }

    fn pull_request(&self) -> u64 {
        self.number.saturating_add(1_000)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn works(seed: u64) -> Vec<PlannedWork> {
        let plan = FleetPlan::new(seed, 10);
        (0..500).map(|number| plan.work(number)).collect()
    }

    #[test]
    fn the_same_seed_plans_the_same_tasks_and_another_seed_others() {
        assert_eq!(works(7), works(7));
        let fates = |seed| works(seed).iter().map(|work| work.fate.name).collect::<Vec<_>>();
        assert_ne!(fates(7), fates(8));
        let ids: BTreeSet<String> = works(7).into_iter().map(|work| work.id).collect();
        assert_eq!(ids.len(), 500);
    }

    #[test]
    fn after_the_past_each_fate_is_shown_once_before_any_comes_again() {
        let plan = FleetPlan::new(7, 10);
        let shown = plan.past_numbers().end..plan.past_numbers().end + plan.shown_first();
        let fates: BTreeSet<&str> = shown.map(|number| plan.work(number).fate.name).collect();
        assert_eq!(fates.len(), FATES.len());
        for number in plan.past_numbers() {
            let act = plan.work(number).fate.first;
            assert!(matches!(act, AgentAct::Complete | AgentAct::Fail), "{act:?}");
        }
    }

    #[test]
    fn an_agent_finds_the_plan_of_a_task_by_its_id_and_does_what_is_not_planned() {
        let plan = FleetPlan::new(7, 10);
        for work in works(7) {
            assert_eq!(plan.work_of(&work.id), work);
        }
        for other in ["build-42", "x", "018f-12", "fix-18446744073709551615", "fix-0"] {
            let work = plan.work_of(other);
            assert_eq!((work.id.as_str(), work.fate), (other, Fate::usual()));
        }
    }

    #[tokio::test]
    async fn each_task_of_the_plan_is_accepted() {
        let ledger = Ledger::open("memory:").await.expect("opens");
        let plan = FleetPlan::new(7, 100);
        let now = ledger.now().await.expect("a time");
        let past = plan.past_numbers().map(|number| plan.work(number).import(&ledger, 100, now));
        let coming = (100..400).map(|number| plan.work(number).creation(&ledger, now));
        let commands = past.chain(coming).collect::<Result<Vec<_>, _>>().expect("commands");
        let answers = ledger.transact(commands).await;
        let refused: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
        assert!(refused.is_empty(), "{refused:?}");
        let overview = ledger.overview().await.expect("an overview");
        let ended: u64 = overview.minutes.iter().map(|minute| minute.completed + minute.ended_badly).sum();
        assert_eq!(ended, 100, "all within the last hour");
    }
}
