//! Recovery by hand: what it would do now, and one sweep with the handlers of this server.

use std::sync::{Arc, Mutex, PoisonError};

use askama::Template;
use axum::http::StatusCode;
use tenure::core::task::State;
use tenure::core::time::Time;
use tenure::recovery::{Outcome, PlannedTask, RecoveredTask, Recovery, RecoveryReport};
use tenure_view::words::{Instant, StateMark, count, failed_tries, state_mark};
use tokio::time::timeout;

use super::address::task_path;
use super::layout::{Layout, Place, respond};
use crate::handlers::PAGE_BYTES_MAX;
use crate::handlers::recovery::{recovery_of, start_sweep, sweep_broke_off};
use crate::memory::SMALL_BYTES;
use crate::problem::Problem;
use crate::route::{Answered, Asked};

/// How many tasks a page lists; it says if there are more.
const TASKS_MAX: usize = 200;
/// How many undos of a task it lists.
const UNDOS_MAX: usize = 20;
/// What an item of a list takes besides its texts.
const ITEM_BYTES: usize = 128;

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
    let page = RecoverPage {
        layout: Layout::of(&asked, Place::Elsewhere, "Recover now", &namespace, now).await?,
        namespace: namespace.to_string(),
        kinds,
        stale: count((plan.tasks.listed.len() + plan.tasks.more) as u64, "stale task"),
        planned: plan.tasks.listed.iter().map(|one| planned_row(one, now)).collect(),
        more: plan.tasks.more,
        quarantined: (plan.quarantined > 0).then(|| count(plan.quarantined, "task")),
    };
    Ok(respond(StatusCode::OK, &page))
}

/// The plan, as far as it is listed.
struct ListedPlan {
    tasks: ListedTasks<PlannedTask>,
    /// How many would be quarantined, listed or not.
    quarantined: u64,
}

async fn planned(asked: &Asked, recovery: Recovery) -> Result<ListedPlan, Problem> {
    let permit = asked.quota.sweep()?;
    let tasks = ListedTasks::within(list_bytes(asked));
    let reading = async move {
        let mut plan = ListedPlan { tasks, quarantined: 0 };
        let each = |mut one: PlannedTask| {
            plan.quarantined += u64::from(one.becomes == State::Quarantined);
            let undos = one.undo.len();
            one.undo.truncate(UNDOS_MAX);
            one.undo.shrink_to_fit();
            let bytes = planned_bytes(&one);
            plan.tasks.add(one, undos, bytes);
        };
        recovery.plan_each(each).await.map(|()| plan)
    };
    let plan = asked.served.work.on(reading).await??;
    drop(permit);
    // For a single task that is larger than all that was reserved.
    asked.memory.for_answer(plan.tasks.bytes).await?;
    Ok(plan)
}

fn planned_bytes(one: &PlannedTask) -> usize {
    let undo = one.undo.iter().map(|undo| undo.kind.len() + undo.target.len() + ITEM_BYTES).sum::<usize>();
    let words = one.parked_reason.as_ref().map_or(0, String::len) + one.sentence.len();
    one.namespace.as_str().len() + one.task.as_str().len() + undo + words + ITEM_BYTES
}

fn planned_row(ListedTask { task: planned, undos }: &ListedTask<PlannedTask>, now: Time) -> PlannedRow {
    let PlannedTask { namespace, task, state, due_at, becomes, undo, parked_reason, .. } = planned;
    let one_undo = |one: &tenure::recovery::PlannedUndo| {
        let again =
            if one.tries > 0 { format!(", after {}", failed_tries(one.tries)) } else { String::new() };
        format!("{} {} (number {}{again})", one.kind, one.target, one.seq)
    };
    PlannedRow {
        id: task.to_string(),
        path: task_path(namespace, task),
        state: state_mark(*state),
        due: Instant::of(*due_at, now),
        what: what_follows(*becomes, parked_reason.as_deref(), *undos),
        undo: undo.iter().map(one_undo).collect(),
        more_undo: undos.saturating_sub(undo.len()),
        is_bad: *becomes == State::Quarantined,
    }
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

/// The tasks of a page, as far as they are listed: no more than it has places for, and no more bytes than were reserved.
struct ListedTasks<T> {
    listed: Vec<ListedTask<T>>,
    more: usize,
    bytes: usize,
    bytes_max: usize,
}

struct ListedTask<T> {
    task: T,
    /// How many undos it has, listed or not.
    undos: usize,
}

impl<T> ListedTasks<T> {
    fn within(bytes_max: usize) -> ListedTasks<T> {
        ListedTasks { listed: Vec::new(), more: 0, bytes: 0, bytes_max }
    }

    /// The first one is listed whatever its size, so that there is one. What comes behind one that is not listed is not listed either.
    fn add(&mut self, task: T, undos: usize, bytes: usize) {
        let is_in = self.more == 0 && self.listed.len() < TASKS_MAX && self.bytes + bytes <= self.bytes_max;
        if self.listed.is_empty() && self.more == 0 || is_in {
            self.bytes += bytes;
            self.listed.push(ListedTask { task, undos });
        } else {
            self.more += 1;
        }
    }
}

/// The bytes of a list, as those of the API: reserved before anything is read, and few if there is no memory for more.
fn list_bytes(asked: &Asked) -> usize {
    let has_memory = asked.memory.for_answer_at_once(PAGE_BYTES_MAX).is_some();
    if has_memory { PAGE_BYTES_MAX } else { SMALL_BYTES }
}

fn listed_recovered(one: &RecoveredTask) -> (RecoveredTask, usize) {
    let undone: Vec<_> = one.undone.iter().take(UNDOS_MAX).cloned().collect();
    let words = |one: &tenure::recovery::UndoReceipt| one.kind.len() + one.target.len() + one.receipt.len();
    let bytes = undone.iter().map(|one| words(one) + ITEM_BYTES).sum::<usize>()
        + one.namespace.as_str().len()
        + one.task.as_str().len()
        + one.reason.as_ref().map_or(0, String::len)
        + ITEM_BYTES;
    let RecoveredTask { namespace, task, epoch, outcome, reason, .. } = one;
    let (namespace, task, reason) = (namespace.clone(), task.clone(), reason.clone());
    (RecoveredTask { namespace, task, epoch: *epoch, outcome: *outcome, undone, reason }, bytes)
}

/// `POST /recover`. The sweep does not end with the page that started it: a person who leaves wants it done all the same.
pub(super) async fn done(asked: Asked) -> Answered {
    let (namespace, served) = (asked.shown_namespace()?, &asked.served);
    let permit = asked.quota.sweep()?;
    let handled = Arc::new(Mutex::new(ListedTasks::within(list_bytes(&asked))));
    let told = Arc::clone(&handled);
    let recovery = recovery_of(served, &namespace).on_recovered(move |one| {
        let (listed, bytes) = listed_recovered(one);
        told.lock().unwrap_or_else(PoisonError::into_inner).add(listed, one.undone.len(), bytes);
    });
    let sweeping = start_sweep(served, recovery, permit, served.stopping.child());
    // After the timeout it is only no longer waited for.
    let swept = timeout(served.options.limits.sweep_wait_max, sweeping).await;
    let swept = match swept {
        Ok(Ok(report)) => report.map(Some).map_err(Problem::from),
        Ok(Err(_)) => Err(sweep_broke_off()),
        Err(_) => Ok(None),
    };
    let (recovered, more) = {
        let handled = handled.lock().unwrap_or_else(PoisonError::into_inner);
        (handled.listed.iter().map(recovered_row).collect(), handled.more)
    };
    let status = swept.as_ref().map_or_else(Problem::status, |_| StatusCode::OK);
    let now = served.ledger.now().await?;
    let page = RecoveredPage {
        layout: Layout::of(&asked, Place::Elsewhere, "Recovered", &namespace, now).await?,
        namespace: namespace.to_string(),
        summary: swept.as_ref().ok().and_then(|report| report.as_ref()).map(summary),
        error: swept.as_ref().err().map(|problem| problem.detail().to_owned()),
        recovered,
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

fn recovered_row(ListedTask { task: recovered, undos }: &ListedTask<RecoveredTask>) -> RecoveredRow {
    let RecoveredTask { namespace, task, outcome, undone, reason, .. } = recovered;
    let in_words =
        |one: &tenure::recovery::UndoReceipt| format!("{} {}: {}", one.kind, one.target, one.receipt);
    RecoveredRow {
        id: task.to_string(),
        path: task_path(namespace, task),
        became: became(*outcome),
        undone: undone.iter().map(in_words).collect(),
        more_undone: undos.saturating_sub(undone.len()),
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
        let mut all = ListedTasks::within(PAGE_BYTES_MAX);
        (0..TASKS_MAX + 2).for_each(|number| all.add(number, 0, 100));
        assert_eq!((all.listed.len(), all.more), (TASKS_MAX, 2));
        let mut large = ListedTasks::within(250);
        (0..4).for_each(|number| large.add(number, 0, 100));
        large.add(4, 0, 1);
        let listed: Vec<_> = large.listed.iter().map(|one| one.task).collect();
        assert_eq!((listed, large.more), (vec![0, 1], 3), "no more than was reserved, and no holes");
        let mut huge = ListedTasks::within(250);
        huge.add(0, 0, 1_000);
        assert_eq!((huge.listed.len(), huge.bytes), (1, 1_000), "one is listed, whatever its size");
    }

    #[test]
    fn of_many_undos_the_first_are_kept_with_the_number_of_all() {
        let receipt = |seq| tenure::recovery::UndoReceipt {
            seq,
            kind: "close-pr".to_owned(),
            target: "12".to_owned(),
            receipt: "closed".to_owned(),
        };
        let recovered = RecoveredTask {
            namespace: tenure::core::id::Namespace::new("default").expect("a name"),
            task: tenure::core::id::TaskId::new("t").expect("a name"),
            epoch: tenure::core::id::Epoch(1),
            outcome: Outcome::Planned,
            undone: (1..=23).map(receipt).collect(),
            reason: None,
        };
        let (task, _) = listed_recovered(&recovered);
        let row = recovered_row(&ListedTask { task, undos: 23 });
        assert_eq!((row.undone.len(), row.more_undone), (UNDOS_MAX, 3));
    }
}
