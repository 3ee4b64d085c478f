//! Recovery by hand: what it would do now, and one sweep with the handlers of this server.

use std::sync::{Arc, Mutex, PoisonError};

use askama::Template;
use axum::http::StatusCode;
use tenure::core::task::State;
use tenure::core::time::Time;
use tenure::recovery::{Outcome, PlannedTask, RecoveredTask, Recovery, RecoveryReport};
use tenure_view::words::{Instant, StateMark, count, state_mark};
use tokio::time::timeout;

use super::address::task_path;
use super::layout::{Layout, Place, respond};
use crate::handlers::recovery::{recovery_of, start_sweep, sweep_broke_off};
use crate::problem::Problem;
use crate::route::{Answered, Asked};

/// How many tasks a page lists; it says if there are more.
const TASKS_MAX: usize = 200;
/// How many undos of a task it lists.
const UNDOS_MAX: usize = 20;

#[derive(Template)]
#[template(path = "recover.html")]
struct RecoverPage {
    layout: Layout,
    namespace: String,
    /// The kinds of undo that this server has a handler for.
    kinds: Vec<String>,
    stale: String,
    planned: Vec<PlannedRow>,
    /// How many tasks are not listed.
    more: usize,
    /// How many would be quarantined, if any.
    quarantined: Option<String>,
}

struct PlannedRow {
    id: String,
    path: String,
    state: StateMark,
    due: Instant,
    what: String,
    undo: Vec<String>,
    more_undo: usize,
    /// Whether a person must see to it afterwards.
    is_bad: bool,
}

#[derive(Template)]
#[template(path = "recovered.html")]
struct RecoveredPage {
    layout: Layout,
    namespace: String,
    /// What it came to; none while it goes on.
    summary: Option<String>,
    /// Why it ended early.
    error: Option<String>,
    recovered: Vec<RecoveredRow>,
    more: usize,
}

struct RecoveredRow {
    id: String,
    path: String,
    became: &'static str,
    undone: Vec<String>,
    more_undone: usize,
    reason: String,
    is_bad: bool,
}

/// `GET /recover`: the plan, and the form that carries it out.
pub(super) async fn page(asked: Asked) -> Answered {
    let namespace = asked.shown_namespace()?;
    let recovery = recovery_of(&asked.served, &namespace);
    let kinds = recovery.handled_kinds().into_iter().map(ToString::to_string).collect();
    let plan = planned(&asked, recovery).await?;
    let now = asked.served.ledger.now().await?;
    let quarantined = plan.iter().filter(|one| one.becomes == State::Quarantined).count() as u64;
    let page = RecoverPage {
        layout: Layout::of(&asked, Place::Elsewhere, "Recover now", &namespace, now).await?,
        namespace: namespace.to_string(),
        kinds,
        stale: count(plan.len() as u64, "stale task"),
        planned: plan.iter().take(TASKS_MAX).map(|one| planned_row(one, now)).collect(),
        more: plan.len().saturating_sub(TASKS_MAX),
        quarantined: (quarantined > 0).then(|| count(quarantined, "task")),
    };
    Ok(respond(StatusCode::OK, &page))
}

async fn planned(asked: &Asked, recovery: Recovery) -> Result<Vec<PlannedTask>, Problem> {
    let permit = asked.quota.sweep()?;
    let plan = asked.served.work.on(async move { recovery.plan().await }).await??;
    drop(permit);
    Ok(plan)
}

fn planned_row(planned: &PlannedTask, now: Time) -> PlannedRow {
    let PlannedTask { namespace, task, state, due_at, becomes, undo, parked_reason, .. } = planned;
    let one_undo = |one: &tenure::recovery::PlannedUndo| {
        let again = if one.tries > 0 { format!(", after {}", tried(one.tries)) } else { String::new() };
        format!("{} {} (number {}{again})", one.kind, one.target, one.seq)
    };
    PlannedRow {
        id: task.to_string(),
        path: task_path(namespace, task),
        state: state_mark(*state),
        due: Instant::of(*due_at, now),
        what: what_follows(*becomes, parked_reason.as_deref(), undo.len()),
        undo: undo.iter().take(UNDOS_MAX).map(one_undo).collect(),
        more_undo: undo.len().saturating_sub(UNDOS_MAX),
        is_bad: *becomes == State::Quarantined,
    }
}

fn tried(tries: u32) -> String {
    if tries == 1 { "1 failed try".to_owned() } else { format!("{tries} failed tries") }
}

/// What recovery would do with a task, in a sentence.
fn what_follows(becomes: State, parked_reason: Option<&str>, undos: usize) -> String {
    if let Some(reason) = parked_reason {
        return format!("It is quarantined for a person: {reason}.");
    }
    match becomes {
        State::Compensating => format!(
            "{} undone, the newest first; then the task is planned again or closed, as its policy says:",
            if undos == 1 { "1 compensation is".to_owned() } else { format!("{undos} compensations are") }
        ),
        State::Planned => "Nothing must be undone. It is planned again.".to_owned(),
        State::Compensated => "Nothing must be undone. It is closed as compensated.".to_owned(),
        State::Quarantined => "It is quarantined for a person, as its policy says.".to_owned(),
        other @ (State::Dispatched | State::Running | State::Completed | State::Failed) => {
            format!("It becomes {}.", other.as_str())
        }
    }
}

/// The tasks that a sweep has handled, as far as they are listed.
#[derive(Default)]
struct Handled {
    listed: Vec<RecoveredTask>,
    more: usize,
}

impl Handled {
    fn add(&mut self, one: &RecoveredTask) {
        if self.listed.len() < TASKS_MAX {
            self.listed.push(one.clone());
        } else {
            self.more += 1;
        }
    }
}

/// `POST /recover`. The sweep does not end with the page that started it: a person who leaves wants it done all the same.
pub(super) async fn done(asked: Asked) -> Answered {
    let (namespace, served) = (asked.shown_namespace()?, &asked.served);
    let permit = asked.quota.sweep()?;
    let handled: Arc<Mutex<Handled>> = Arc::default();
    let told = Arc::clone(&handled);
    let recovery = recovery_of(served, &namespace).on_recovered(move |one| {
        told.lock().unwrap_or_else(PoisonError::into_inner).add(one);
    });
    let sweeping = start_sweep(served, recovery, permit, served.stopping.child());
    // After the timeout it is only no longer waited for.
    let swept = timeout(served.options.limits.sweep_wait_max, sweeping).await;
    let swept = match swept {
        Ok(Ok(report)) => report.map(Some).map_err(Problem::from),
        Ok(Err(_)) => Err(sweep_broke_off()),
        Err(_) => Ok(None),
    };
    let Handled { listed, more } =
        std::mem::take(&mut *handled.lock().unwrap_or_else(PoisonError::into_inner));
    let status = swept.as_ref().map_or_else(Problem::status, |_| StatusCode::OK);
    let now = served.ledger.now().await?;
    let page = RecoveredPage {
        layout: Layout::of(&asked, Place::Elsewhere, "Recovered", &namespace, now).await?,
        namespace: namespace.to_string(),
        summary: swept.as_ref().ok().and_then(|report| report.as_ref()).map(summary),
        error: swept.as_ref().err().map(|problem| problem.detail().to_owned()),
        recovered: listed.iter().map(recovered_row).collect(),
        more,
    };
    Ok(respond(status, &page))
}

/// What a sweep came to, in a sentence.
fn summary(report: &RecoveryReport) -> String {
    if report.tasks == 0 {
        return "There was nothing to recover".to_owned();
    }
    let outcomes = Outcome::ALL.into_iter().filter(|one| report.of(*one) > 0);
    let outcomes: Vec<String> = outcomes.map(|one| format!("{} {}", report.of(one), became(one))).collect();
    let undone = count(report.undone, "compensation");
    format!("{}: {}; {undone} undone", count(report.tasks, "task"), outcomes.join(", "))
}

fn recovered_row(recovered: &RecoveredTask) -> RecoveredRow {
    let RecoveredTask { namespace, task, outcome, undone, reason, .. } = recovered;
    let in_words =
        |one: &tenure::recovery::UndoReceipt| format!("{} {}: {}", one.kind, one.target, one.receipt);
    RecoveredRow {
        id: task.to_string(),
        path: task_path(namespace, task),
        became: became(*outcome),
        undone: undone.iter().take(UNDOS_MAX).map(in_words).collect(),
        more_undone: undone.len().saturating_sub(UNDOS_MAX),
        reason: reason.clone().unwrap_or_default(),
        is_bad: matches!(outcome, Outcome::Quarantined | Outcome::Failed),
    }
}

/// What became of a task.
fn became(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Planned => "planned again",
        Outcome::Compensated => "closed as compensated",
        Outcome::Quarantined => "quarantined",
        Outcome::HandedBack => "handed back, to be undone later",
        Outcome::Lost => "skipped: another owner has it now, or ended it",
        Outcome::Failed => "skipped: the store did not answer",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_says_in_words_what_becomes_of_a_task() {
        let undone = what_follows(State::Compensating, None, 1);
        assert!(undone.starts_with("1 compensation is undone, the newest first"), "{undone}");
        assert!(what_follows(State::Compensating, None, 2).starts_with("2 compensations are undone"));
        let parked = what_follows(State::Quarantined, Some("can't undo k: nobody handles k (number 1)"), 0);
        assert_eq!(parked, "It is quarantined for a person: can't undo k: nobody handles k (number 1).");
        assert!(what_follows(State::Planned, None, 0).contains("planned again"));
    }

    #[test]
    fn a_report_names_the_outcomes_that_there_are() {
        let mut report = RecoveryReport::default();
        assert_eq!(summary(&report), "There was nothing to recover");
        report.tasks = 3;
        report.undone = 1;
        report.outcomes = [(Outcome::Planned, 1), (Outcome::Quarantined, 2)].into();
        assert_eq!(summary(&report), "3 tasks: 1 planned again, 2 quarantined; 1 compensation undone");
    }

    #[test]
    fn a_long_report_lists_the_first_tasks_and_counts_the_rest() {
        let task = |number: usize| RecoveredTask {
            namespace: tenure::core::id::Namespace::new("default").expect("a name"),
            task: tenure::core::id::TaskId::new(format!("t-{number}")).expect("a name"),
            epoch: tenure::core::id::Epoch(1),
            outcome: Outcome::Planned,
            undone: Vec::new(),
            reason: None,
        };
        let mut handled = Handled::default();
        (0..TASKS_MAX + 2).for_each(|number| handled.add(&task(number)));
        assert_eq!((handled.listed.len(), handled.more), (TASKS_MAX, 2));
    }
}
