//! The proof over the table: in every situation exactly one row answers, and what follows keeps the promises.

use std::collections::{BTreeMap, BTreeSet};

use tenure::core::apply::apply;
use tenure::core::case::Case;
use tenure::core::command::{Action, Command, HolderAction};
use tenure::core::decide::{Decision, Stored, decide};
use tenure::core::event::EventData;
use tenure::core::lifecycle::{Outcome, Place, Row, Table};
use tenure::core::policy::OnLapse;
use tenure::core::refusal::Code;
use tenure::core::task::{Phase, State, Task};
use tenure::core::verb::Verb;
use tenure_testkit::situations::{NOW, each};

fn case<'a>(stored: Stored<'a>, command: &'a Command) -> Case<'a> {
    Case { task: stored.task, names: stored.names, floor: stored.floor, command, now: NOW }
}

fn answering<'t>(table: &'t Table, stored: Stored<'_>, command: &Command) -> Vec<&'t Row> {
    let case = case(stored, command);
    let rows = table.at(Place::of(stored.task), command.action.verb());
    rows.filter(|row| (row.guard.holds)(&case)).collect()
}

#[test]
fn exactly_one_row_answers_every_situation_and_every_row_answers_some() {
    let table = Table::rules();
    let mut answered = BTreeSet::new();
    let mut cells = BTreeSet::new();
    let mut count = 0_u64;
    each(|stored, command| {
        // A claim is decided on tasks that were found open; nothing nominates others.
        let rows = answering(table, stored, command);
        let labels: Vec<&str> = rows.iter().map(|row| row.label).collect();
        assert_eq!(labels.len(), 1, "{labels:?} answer {command:?}\nto {:?}", stored.task);
        answered.extend(labels);
        cells.insert((Place::of(stored.task).as_str(), command.action.verb().as_str()));
        count += 1;
    });
    let never: Vec<&str> =
        table.rows().iter().map(|row| row.label).filter(|label| !answered.contains(label)).collect();
    assert!(never.is_empty(), "no situation reaches {never:?}");
    assert_eq!(cells.len(), Place::ALL.len() * Verb::ALL.len(), "every place meets every verb");
    println!("{count} situations, {} rows", table.rows().len());
}

#[test]
fn a_row_leads_where_it_says_and_to_each_of_those_places() {
    let mut seen: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut ends = BTreeSet::new();
    each(|stored, command| {
        let row = answering(Table::rules(), stored, command)[0];
        if let Ok(decision) = decide(stored, command, NOW) {
            let place = Place::of(Some(&decision.task));
            assert!(row.outcome.leads_to().contains(&place), "{} led to {place:?}", row.label);
            seen.entry(row.label).or_default().insert(place.as_str());
            ends.extend(decision.end);
        } else {
            assert!(matches!(row.outcome, Outcome::Refuse(_)), "{} refused", row.label);
        }
    });
    for row in Table::rules().rows() {
        let said: BTreeSet<&str> = row.outcome.leads_to().iter().map(|place| place.as_str()).collect();
        assert_eq!(seen.get(row.label).cloned().unwrap_or_default(), said, "{}", row.label);
    }
    let labels: BTreeSet<&str> = Table::rules().ends().iter().map(|end| end.label).collect();
    assert_eq!(ends, labels, "every end of compensating is reached");
}

#[test]
fn exactly_one_row_ends_every_compensating() {
    each(|stored, command| {
        let Some(task) = stored.task.filter(|task| task.state() == State::Compensating && !task.owes())
        else {
            return;
        };
        let case = case(Stored { task: Some(task), ..stored }, command);
        let ends: Vec<&str> = Table::rules()
            .ends()
            .iter()
            .filter(|end| (end.guard.holds)(&case))
            .map(|end| end.label)
            .collect();
        assert_eq!(ends.len(), 1, "{ends:?} end {task:?}");
    });
}

/// What would be refused if only one thing were looked at, in the fixed order.
fn applicable(stored: Stored<'_>, command: &Command) -> Option<Code> {
    let verb = command.action.verb();
    let makes_or_audits = matches!(verb, Verb::Create | Verb::Put | Verb::Annotate | Verb::Retry);
    let Some(task) = stored.task else {
        return (!matches!(verb, Verb::Create | Verb::Put)).then_some(Code::NotFound);
    };
    if makes_or_audits {
        return None;
    }
    if task.ending().is_some() {
        return Some(Code::Terminal);
    }
    let by = command.action.holder()?;
    let Some(lease) = task.lease() else { return Some(Code::NoLease) };
    if by.epoch != lease.epoch {
        return Some(Code::StaleEpoch);
    }
    if by.owner != lease.owner {
        return Some(Code::WrongOwner);
    }
    let needs_active = matches!(verb, Verb::Heartbeat | Verb::Progress | Verb::Register);
    (needs_active && lease.has_lapsed(NOW)).then_some(Code::LeaseLapsed)
}

#[test]
fn where_two_refusals_apply_the_earlier_of_the_fixed_order_is_given() {
    let mut seen = BTreeSet::new();
    each(|stored, command| {
        let Some(expected) = applicable(stored, command) else { return };
        let refusal = decide(stored, command, NOW).expect_err("it is refused");
        assert_eq!(refusal.code, expected, "{command:?}\nto {:?}", stored.task);
        seen.insert(expected.as_str());
    });
    let all = ["lease_lapsed", "no_lease", "not_found", "stale_epoch", "terminal", "wrong_owner"];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
}

#[test]
fn a_write_without_the_current_lease_never_changes_a_held_task() {
    each(|stored, command| {
        let (Some(lease), Some(by)) = (stored.task.and_then(Task::lease), command.action.holder()) else {
            return;
        };
        if by.epoch != lease.epoch || by.owner != lease.owner {
            assert!(decide(stored, command, NOW).is_err(), "{command:?}");
        }
    });
}

#[test]
fn a_refusal_of_a_held_task_says_who_holds_it_and_until_when() {
    each(|stored, command| {
        let Err(refusal) = decide(stored, command, NOW) else { return };
        let held = stored.task.and_then(Task::lease).map(|lease| (lease.owner.clone(), lease.expires_at));
        let said = refusal.held_by.filter(|held| held.epoch.is_some()).map(|held| (held.owner, held.until));
        assert_eq!(said, held, "{command:?}");
    });
}

/// What every step from one task to the next must keep.
fn promises(before: Option<&Task>, decision: &Decision, command: &Command) {
    let after = &decision.task;
    let told = decision.events.iter().try_fold(before.cloned(), |task, event| apply(task, event).map(Some));
    assert_eq!(
        told.as_ref().map(Option::as_ref),
        Ok(Some(after)),
        "the next state is the fold of the events"
    );
    if before.is_none_or(|before| before.ending().is_none()) {
        match after.state() {
            State::Failed => assert!(!after.compensations.is_empty(), "failed without a record"),
            State::Compensated => assert!(!after.owes(), "compensated, and owes"),
            State::Completed => assert!(!after.owes(), "completed, and owes"),
            State::Planned
            | State::Dispatched
            | State::Running
            | State::Compensating
            | State::Quarantined => {}
        }
    }
    let Some(before) = before else { return };
    assert!(after.epoch >= before.epoch, "an epoch fell");
    let granted = decision
        .events
        .iter()
        .any(|event| matches!(event.what, EventData::Acquired(_) | EventData::Reclaimed(_)));
    assert_eq!(after.epoch > before.epoch, granted, "an epoch rises with a grant and with nothing else");
    assert_eq!(
        (&after.id, &after.saga_id, after.created_at),
        (&before.id, &before.saga_id, before.created_at)
    );
    assert!(after.compensations.len() >= before.compensations.len(), "a compensation was lost");
    if before.lease().is_some_and(|lease| !lease.has_lapsed(NOW)) {
        assert!(!granted, "two live holders");
    }
    if before.ending().is_some() {
        let audited = Task {
            phase: before.phase.clone(),
            revision: before.revision,
            updated_at: before.updated_at,
            ..after.clone()
        };
        assert_eq!(&audited, before, "an ended task changed");
        let (Phase::Ended(old), Phase::Ended(new)) = (&before.phase, &after.phase) else {
            panic!("left its end")
        };
        let same = (old.state, old.cause, &old.result, old.finished_at);
        assert_eq!((new.state, new.cause, &new.result, new.finished_at), same);
    }
    let planned_anew = after.state() == State::Planned && before.state() != State::Planned;
    if planned_anew && after.policy.on_lapse != OnLapse::Hold {
        assert!(!after.owes() || before.state() == State::Dispatched, "planned anew, and owes");
    }
    if matches!(command.action, Action::ByHolder { act: HolderAction::Heartbeat { .. }, .. }) {
        let expiry = |task: &Task| task.lease().map(|lease| lease.expires_at);
        assert!(expiry(after) > expiry(before), "a heartbeat extends");
        assert_eq!(after.revision, before.revision);
    }
}

#[test]
fn every_decision_keeps_the_promises() {
    each(|stored, command| {
        if let Ok(decision) = decide(stored, command, NOW) {
            promises(stored.task, &decision, command);
        }
    });
}

#[test]
fn the_same_inputs_give_the_same_answer() {
    each(|stored, command| assert_eq!(decide(stored, command, NOW), decide(stored, command, NOW)));
}
