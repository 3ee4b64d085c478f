//! `decide` takes the stored task, a command and the time, and returns what happens, or a refusal.
//!
//! It executes the rows of [`crate::lifecycle`] and contains no rules of its own.

use crate::apply::apply;
use crate::case::{Case, Names};
use crate::command::{Action, Command, OperatorAction};
use crate::compensation::COMPENSATIONS_MAX;
use crate::event::{Event, EventData};
use crate::id::{Epoch, Revision, TaskId};
use crate::lifecycle::{Outcome, Place, Table};
use crate::refusal::{Code, HeldBy, Refusal};
use crate::task::{LABELS_MAX, Phase, Task, Undoing};
use crate::time::Time;
use crate::verb::Verb;

/// The stored data that a command is about.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// The task that the command names.
    pub task: Option<&'a Task>,
    /// The names that the command would take, if it makes a task.
    pub names: Names,
    /// Every grant of this store has a higher epoch.
    pub floor: Epoch,
}

/// The result of a command: events, and the tasks after them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// The row of the table that answered.
    pub row: &'static str,
    /// The row of the end of compensating, if that was reached.
    pub end: Option<&'static str>,
    /// The events of the named task; none if nothing was left to do.
    pub events: Vec<Event>,
    /// The named task afterwards.
    pub task: Task,
    /// The new task of a retry, with its first event.
    pub successor: Option<(Task, Event)>,
}

/// Decides by the rules of Tenure.
pub fn decide(stored: Stored<'_>, command: &Command, now: Time) -> Result<Decision, Refusal> {
    decide_by(Table::rules(), stored, command, now)
}

/// Decides by another table, by which tests show that each guard matters.
pub fn decide_by(
    table: &Table,
    stored: Stored<'_>,
    command: &Command,
    now: Time,
) -> Result<Decision, Refusal> {
    let case = Case { task: stored.task, names: stored.names, floor: stored.floor, command, now };
    let place = Place::of(stored.task);
    let row = table.answer(place, &case);
    let broken =
        || -> ! { panic!("the row `{}` does not fit {place:?} {:?}", row.label, command.action.verb()) };
    match row.outcome {
        Outcome::Refuse(code) => Err(refuse(code, row.reason, &case)),
        Outcome::Do(steps, _) => {
            let mut history = History::new(&case);
            history.happen(steps(&case).unwrap_or_else(|| broken()));
            Ok(history.decision(row.label))
        }
        Outcome::DoThenEnd(steps, _) => {
            let mut history = History::new(&case);
            history.happen(steps(&case).unwrap_or_else(|| broken()));
            let undone = Case { task: history.task.as_ref(), ..case };
            let end = table.end_of_compensating(&undone);
            let steps = (end.steps)(&undone).unwrap_or_else(|| broken());
            let label = end.label;
            history.happen(steps);
            Ok(Decision { end: Some(label), ..history.decision(row.label) })
        }
        Outcome::Spawn(steps, successor, _) => {
            let mut history = History::new(&case);
            history.happen(steps(&case).unwrap_or_else(|| broken()));
            let created = successor(&case).unwrap_or_else(|| broken());
            Ok(Decision { successor: Some(history.spawn(created)), ..history.decision(row.label) })
        }
    }
}

/// The events of one decision, and the task as it goes through them.
struct History<'a> {
    case: Case<'a>,
    task: Option<Task>,
    events: Vec<Event>,
}

impl<'a> History<'a> {
    fn new(case: &Case<'a>) -> History<'a> {
        History { case: *case, task: case.task.cloned(), events: Vec::new() }
    }

    fn happen(&mut self, steps: Vec<EventData>) {
        for what in steps {
            let before = self.task.as_ref().map_or(Revision::default(), |task| task.revision);
            let number = if what.is_recorded() { before.next() } else { before };
            let task = self.named_task();
            let event = self.event(task, number, what);
            self.task = Some(applied(self.task.take(), &event));
            self.events.push(event);
        }
    }

    fn spawn(&self, created: EventData) -> (Task, Event) {
        let Some(OperatorAction::Retry { successor, .. }) = self.case.by_operator() else {
            panic!("only a retry creates a second task")
        };
        let event = self.event(successor.clone(), Revision(1), created);
        (applied(None, &event), event)
    }

    fn event(&self, task: TaskId, number: Revision, what: EventData) -> Event {
        let Command { namespace, actor, .. } = self.case.command;
        let (namespace, actor) = (namespace.clone(), actor.clone());
        Event { namespace, subject: task.into(), number, at: self.case.now, actor, what }
    }

    fn named_task(&self) -> TaskId {
        let named = self.task.as_ref().map(|task| &task.id).or_else(|| self.case.command.action.task());
        named.cloned().unwrap_or_else(|| panic!("a claim must be decided on a task"))
    }

    fn decision(self, row: &'static str) -> Decision {
        let task = self.task.unwrap_or_else(|| panic!("the row `{row}` leaves no task"));
        Decision { row, end: None, events: self.events, task, successor: None }
    }
}

/// If a row's events don't fit its task, the table is broken; nothing of that may be stored.
fn applied(task: Option<Task>, event: &Event) -> Task {
    apply(task, event)
        .unwrap_or_else(|misfit| panic!("the table produced an event that does not fit: {misfit}"))
}

fn refuse(code: Code, reason: &str, case: &Case) -> Refusal {
    let refusal = if code == Code::Invalid { invalid(case) } else { Refusal::new(code, reason) };
    let Some(task) = case.task else { return refusal };
    let lease = task.lease().map(|lease| HeldBy {
        owner: lease.owner.clone(),
        epoch: Some(lease.epoch),
        since: lease.acquired_at,
        until: lease.expires_at,
    });
    let reservation = task.reservation().map(|reservation| HeldBy {
        owner: reservation.owner.clone(),
        epoch: None,
        since: reservation.reserved_at,
        until: reservation.expires_at,
    });
    Refusal {
        state: Some(task.state()),
        held_by: lease.or(reservation).map(Box::new),
        retry_at: retry_at(code, task, case),
        ..refusal
    }
}

/// The field and limit behind a row that refuses as `invalid` because of what is stored.
fn invalid(case: &Case) -> Refusal {
    let no_room = || Refusal::invalid("compensations", format_args!("up to {COMPENSATIONS_MAX}"));
    if matches!(case.command.action.verb(), Verb::Label | Verb::LabelByOperator) {
        return Refusal::invalid("labels", format_args!("up to {LABELS_MAX}"));
    }
    let Action::Put(put) = &case.command.action else { return no_room() };
    let contradiction = match case.task {
        Some(task) => put.contradicts(task, case.now),
        None => put.contradiction(case.now),
    };
    contradiction.unwrap_or_else(no_room)
}

/// The earliest time at which the same command can succeed, for refusals that time may lift.
fn retry_at(code: Code, task: &Task, case: &Case) -> Option<Time> {
    if !matches!(code, Code::NotDue | Code::Leased | Code::Reserved) {
        return None;
    }
    match &task.phase {
        Phase::Planned if case.command.action.verb() == Verb::Reclaim => task.start_limit(),
        Phase::Planned => task.not_before,
        Phase::Dispatched(reservation) => Some(reservation.expires_at),
        Phase::Running(lease) if case.command.action.verb() == Verb::Reclaim => {
            Some(task.recoverable_at(lease))
        }
        Phase::Running(lease) | Phase::Compensating { undoing: Undoing::HeldBy(lease), .. } => {
            Some(task.policy.reclaimable_at(lease.expires_at))
        }
        Phase::Compensating { undoing: Undoing::DueAt(due_at), .. } => Some(*due_at),
        Phase::Ended(_) => None,
    }
}
