//! The world of a story: one store, a clock that stands still, and a witness.
//!
//! For each command the witness first asks the core, on what the store showed, and then compares the store's answer.
//! It also records which rows of the table were used.

use std::collections::BTreeSet;
use std::sync::Arc;

use tenure::Error;
use tenure::clock::ManualClock;
use tenure::core::apply::fold;
use tenure::core::case::{Case, Names};
use tenure::core::command::{Action, Command, HolderAction, LeaseScope, OperatorAction, Take};
use tenure::core::decide::{Stored, decide};
use tenure::core::id::{Actor, Epoch, Namespace, RequestId, SagaId, Seq, TaskId};
use tenure::core::lifecycle::{Place, Table};
use tenure::core::policy::Jitter;
use tenure::core::refusal::{Code, Refusal};
use tenure::core::task::{Phase, Task, Undoing, Unwinding};
use tenure::core::time::Time;
use tenure::store::{Answer, EventFilter, Filter, PageSize, Store};

use crate::story::{Step, Story, Words, moved, undo};

/// More than any story has.
const ALL: usize = 10_000;
const EVERYTHING: PageSize = PageSize { items: ALL, bytes: usize::MAX };
/// How many characters of what does not hold are told: a task with many compensations is long.
const TOLD_MAX: usize = 1_500;

/// A store with a clock, and what was seen in it.
pub struct StoryWorld {
    store: Arc<dyn Store>,
    clock: ManualClock,
    /// The rows that were exercised.
    pub rows: BTreeSet<&'static str>,
}

/// What a step gave.
struct Outcome {
    answer: Result<Answer, Error>,
    before: Option<Task>,
    after: Option<Task>,
    changed: bool,
}

impl StoryWorld {
    /// A world on that store; the clock must be the store's.
    pub fn new(store: Arc<dyn Store>, clock: ManualClock) -> StoryWorld {
        StoryWorld { store, clock, rows: BTreeSet::new() }
    }

    /// Plays a story; what does not hold is told with its line.
    pub async fn play(&mut self, story: &Story) -> Result<(), String> {
        for step in &story.steps {
            let told = |what: String| {
                let what: String = what.chars().take(TOLD_MAX).collect();
                format!("{}:{}: {}: {what}", story.file, step.line, story.title)
            };
            self.step(step).await.map_err(told)?;
        }
        self.look_around()
            .await
            .map_err(|what| format!("{}: {}: afterwards: {what}", story.file, story.title))
    }

    async fn step(&mut self, step: &Step) -> Result<(), String> {
        let words = Words::of(step);
        match words.plain(0) {
            "tick" => {
                self.clock.advance(crate::story::span(words.plain(1)));
                Ok(())
            }
            "show" => self.show(step, words.plain(1)).await,
            "stale" => {
                let filter = Filter::default().with(|filter| filter.stale = true);
                let page =
                    self.store.tasks(filter, None, EVERYTHING).await.map_err(|error| error.to_string())?;
                check_names(step, page.items.iter().map(|task| task.id.to_string()))
            }
            "lapsed" => {
                let lapsed = self.store.lapsed(None, ALL).await.map_err(|error| error.to_string())?;
                check_names(step, lapsed.tasks.iter().map(|(_, id)| id.to_string()))
            }
            "fill" => self.fill(words.plain(1)).await,
            _ => self.command(step, &words).await,
        }
    }

    async fn command(&mut self, step: &Step, words: &Words<'_>) -> Result<(), String> {
        let named = TaskId::new(words.plain(1)).ok();
        let before = self.task(named.as_ref()).await;
        let count = self.count_events().await;
        let action = words.action(self.clock.now(), before.as_ref());
        let answer = match action {
            Ok(action) => {
                let retry = words.plain(0) == "retry";
                let command = self.order(action, words.get("as").filter(|_| !retry), Some(words));
                self.ask(command).await?
            }
            Err(refusal) => Err(Error::Refused(refusal)),
        };
        let after = self.task(named.as_ref()).await;
        let changed = before != after || count != self.count_events().await;
        let outcome = Outcome { answer, before, after, changed };
        if step.expectations.iter().all(|words| words[0] != "refused") {
            outcome.answer.as_ref().map_err(|error| format!("{:?} was {error}", step.words))?;
        }
        for expectation in &step.expectations {
            self.check(expectation, &outcome).await.map_err(|what| format!("{:?}: {what}", step.words))?;
        }
        Ok(())
    }

    fn order(&self, action: Action, actor: Option<&str>, words: Option<&Words<'_>>) -> Command {
        let owner = action.holder().map(|by| by.owner.to_string()).or(match &action {
            Action::Take { take: Take::Acquire, owner, .. }
            | Action::Claim { owner, .. }
            | Action::Take { take: Take::Reclaim, owner, .. } => Some(owner.to_string()),
            _ => None,
        });
        let actor = actor.map(str::to_owned).or(owner).unwrap_or_else(|| "operator".to_owned());
        Command {
            namespace: namespace(),
            actor: Actor::new(actor).expect("an actor"),
            request: words
                .and_then(|words| words.get("request"))
                .map(|id| RequestId::new(id).expect("a request id")),
            jitter: Jitter::NONE,
            lease_scope: if words.is_some_and(|words| words.has_plain("own")) {
                LeaseScope::OwnLeases
            } else {
                LeaseScope::Any
            },
            action,
        }
    }

    /// Gives a command to the store, and compares with what the core says.
    async fn ask(&mut self, command: Command) -> Result<Result<Answer, Error>, String> {
        let repeated = command.request.is_some();
        let foretold = self.foretell(&command).await;
        let answer = self.store.transact(vec![command]).await.pop().ok_or("no answer")?;
        let same = match (&foretold, &answer) {
            // The core knows nothing of request ids, so what they answer is not foretold.
            _ if repeated => true,
            (Foretold::Task(task), Ok(Answer::Task(answered) | Answer::Retried(_, answered))) => {
                task == answered
            }
            (Foretold::Lease(expires_at), Ok(Answer::Renewed(renewal))) => *expires_at == renewal.expires_at,
            (Foretold::Claim(names), Ok(Answer::Claimed(tasks))) => {
                *names == tasks.iter().map(|task| task.id.clone()).collect::<Vec<_>>()
            }
            (Foretold::Refusal(refusal), Err(Error::Refused(refused))) => refusal == refused,
            (_, _) => false,
        };
        if same { Ok(answer) } else { Err(format!("the core says {foretold:?}, the store {answer:?}")) }
    }

    async fn foretell(&mut self, command: &Command) -> Foretold {
        if let Err(refusal) = command.action.check() {
            return Foretold::Refusal(refusal);
        }
        if let Action::Claim { queue, limit, .. } = &command.action {
            return self.foretell_claim(command, queue.as_str(), *limit as usize).await;
        }
        let task = self.task(command.action.task()).await;
        let names = self.names(&command.action).await;
        let stored = Stored { task: task.as_ref(), names, floor: Epoch::ZERO };
        let now = self.now().await;
        self.note_rows(stored, command, now);
        match decide(stored, command, now) {
            Err(refusal) => Foretold::Refusal(refusal),
            Ok(decision) => {
                self.rows.extend(decision.end);
                let lease = decision.task.lease().map(|lease| lease.expires_at);
                match (&command.action, lease) {
                    (
                        Action::ByHolder { act: HolderAction::Heartbeat { .. }, .. }
                        | Action::ByHolder { act: HolderAction::Progress { .. }, .. },
                        Some(at),
                    ) => Foretold::Lease(at),
                    (_, _) => Foretold::Task(Box::new(decision.task)),
                }
            }
        }
    }

    /// The core is asked about every task of the queue; those that it grants are claimed in their order.
    async fn foretell_claim(&mut self, command: &Command, queue: &str, limit: usize) -> Foretold {
        let mut tasks = self.all_tasks().await;
        tasks.reverse(); // In the order of creation.
        tasks.retain(|task| task.queue.as_str() == queue);
        let now = self.now().await;
        let mut granted = Vec::new();
        for (age, task) in tasks.iter().enumerate() {
            let stored = Stored { task: Some(task), names: Names::Free, floor: Epoch::ZERO };
            self.note_rows(stored, command, now);
            if decide(stored, command, now).is_ok() {
                granted.push((std::cmp::Reverse(task.priority), task.due_since(), age, task.id.clone()));
            }
        }
        granted.sort();
        Foretold::Claim(granted.into_iter().take(limit).map(|(_, _, _, id)| id).collect())
    }

    /// The instant of the next command: the store's, which may be ahead of the clock after a large batch.
    async fn now(&self) -> Time {
        self.store.now().await.expect("the store's time")
    }

    fn note_rows(&mut self, stored: Stored<'_>, command: &Command, now: Time) {
        let case = Case { task: stored.task, names: stored.names, floor: stored.floor, command, now };
        let rows = Table::rules().at(Place::of(stored.task), command.action.verb());
        self.rows.extend(rows.filter(|row| (row.guard.holds)(&case)).map(|row| row.label));
    }

    async fn names(&self, action: &Action) -> Names {
        let (id, saga_id) = match action {
            Action::Create(create) => (&create.task, create.saga_id.clone()),
            Action::Put(put) => (&put.record.task, put.record.saga_id.clone()),
            Action::ByOperator { act: OperatorAction::Retry { successor, .. }, .. } => (successor, None),
            _ => return Names::Free,
        };
        let saga_id = saga_id.unwrap_or_else(|| SagaId::from(id));
        let taken = self.all_tasks().await.iter().any(|task| task.id == *id || task.saga_id == saga_id);
        if taken { Names::Taken } else { Names::Free }
    }

    async fn all_tasks(&self) -> Vec<Task> {
        self.store.tasks(Filter::default(), None, EVERYTHING).await.expect("a list").items
    }

    async fn task(&self, id: Option<&TaskId>) -> Option<Task> {
        self.store.task(namespace(), id?.clone()).await.expect("a look at a task")
    }

    async fn count_events(&self) -> usize {
        self.store.events(EventFilter::default(), None, EVERYTHING).await.expect("the history").items.len()
    }

    async fn fill(&mut self, id: &str) -> Result<(), String> {
        let task = TaskId::new(id).map_err(|refusal| refusal.to_string())?;
        let has = self.task(Some(&task)).await.map_or(0, |task| task.compensations.len());
        let one = |number| {
            let undo = undo(&format!("fill:{number}")).expect("an undo");
            self.order(OperatorAction::Register { undo }.on(task.clone()), None, None)
        };
        let commands = (has..tenure::core::compensation::COMPENSATIONS_MAX).map(one).collect();
        let answers = self.store.transact(commands).await;
        answers.into_iter().try_for_each(|answer| answer.map(|_| ()).map_err(|error| error.to_string()))
    }

    async fn show(&mut self, step: &Step, id: &str) -> Result<(), String> {
        let task = self.task(TaskId::new(id).ok().as_ref()).await;
        let expects_absence = step.expectations.iter().any(|words| words[0] == "absent");
        let answer = match (&task, expects_absence) {
            (Some(task), false) => Ok(Answer::Task(Box::new(task.clone()))),
            (None, true) => return Ok(()),
            (Some(_), true) => return Err(format!("{id} is there")),
            (None, false) => return Err(format!("{id} is not there")),
        };
        let outcome = Outcome { answer, before: task.clone(), after: task, changed: false };
        for expectation in &step.expectations {
            self.check(expectation, &outcome).await.map_err(|what| format!("{id}: {what}"))?;
        }
        Ok(())
    }

    async fn check(&self, words: &[String], outcome: &Outcome) -> Result<(), String> {
        let word = |at: usize| words.get(at).map_or("", String::as_str);
        match word(0) {
            "refused" => return check_refusal(&words[1..], &outcome.answer),
            "unchanged" if outcome.changed => {
                return Err(format!("{:?} became {:?}", outcome.before, outcome.after));
            }
            "unchanged" => return Ok(()),
            "tasks" => {
                let Ok(Answer::Claimed(tasks)) = &outcome.answer else { return Err("not a claim".into()) };
                let names: Vec<String> = tasks.iter().map(|task| task.id.to_string()).collect();
                return same(&words[1..].join(" "), &none_or(&names.join(" ")));
            }
            "history" => {
                let task = outcome.after.as_ref().ok_or("no task")?;
                let filter = EventFilter::default().with(|filter| filter.task = Some(task.id.clone()));
                let events = self
                    .store
                    .events(filter, None, EVERYTHING)
                    .await
                    .map_err(|error| error.to_string())?
                    .items;
                let types: Vec<&str> = events.iter().map(|one| one.event.what.kind()).collect();
                return same(&words[1..].join(" "), &types.join(" "));
            }
            _ => {}
        }
        if let Ok(Answer::Renewed(renewal)) = &outcome.answer {
            match (word(0), word(1)) {
                ("expires", by) => return same_time(moved(self.clock.now(), by), Some(renewal.expires_at)),
                ("cancel", "asked") => return same("true", &renewal.cancel_asked.to_string()),
                ("cancel", "none") => return same("false", &renewal.cancel_asked.to_string()),
                _ => {}
            }
        }
        let answered = match &outcome.answer {
            Ok(Answer::Task(task) | Answer::Retried(task, _)) => Some(&**task),
            Ok(Answer::Claimed(tasks)) => tasks.first(),
            Ok(Answer::Renewed(_) | Answer::Minimal(_)) | Err(_) => outcome.after.as_ref(),
        };
        check_task(words, answered.ok_or("no task to look at")?, self.clock.now())
    }

    /// What must hold of every world after every story: what is stored is what its history tells, and nothing waits for
    /// nothing.
    pub async fn look_around(&self) -> Result<(), String> {
        let report = tenure::Ledger::with_store(Arc::clone(&self.store)).verify(None).await;
        let report = report.map_err(|error| error.to_string())?;
        if let Some(finding) = report.findings.first() {
            return Err(format!("the history does not verify: {finding}"));
        }
        for task in self.all_tasks().await {
            let filter = EventFilter::default().with(|filter| {
                filter.namespace = Some(namespace());
                filter.task = Some(task.id.clone());
            });
            let events =
                self.store.events(filter, None, EVERYTHING).await.map_err(|error| error.to_string())?.items;
            let told =
                fold(events.iter().map(|recorded| &recorded.event)).map_err(|misfit| misfit.to_string())?;
            let told = told.ok_or("a task without a history")?;
            if !tenure::audit::same_but_for_heartbeats(&told, &task) {
                return Err(format!("its events tell {told:?}, stored is {task:?}"));
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
enum Foretold {
    Task(Box<Task>),
    Lease(Time),
    Claim(Vec<TaskId>),
    Refusal(Refusal),
}

/// The namespace of stories.
pub fn namespace() -> Namespace {
    Namespace::new("default").expect("a name")
}

fn check_names(step: &Step, names: impl Iterator<Item = String>) -> Result<(), String> {
    let mut names: Vec<String> = names.collect();
    names.sort();
    for words in &step.expectations {
        let mut expected = words[1..].to_vec();
        expected.sort();
        same(&expected.join(" "), &none_or(&names.join(" ")))?;
    }
    Ok(())
}

fn none_or(text: &str) -> String {
    if text.is_empty() { "none".to_owned() } else { text.to_owned() }
}

fn same(expected: &str, found: &str) -> Result<(), String> {
    if expected == found { Ok(()) } else { Err(format!("expected `{expected}`, found `{found}`")) }
}

fn same_time(expected: Time, found: Option<Time>) -> Result<(), String> {
    if Some(expected) == found { Ok(()) } else { Err(format!("expected {expected:?}, found {found:?}")) }
}

/// `CODE`, `CODE by OWNER`, `invalid FIELD`.
fn check_refusal(words: &[String], answer: &Result<Answer, Error>) -> Result<(), String> {
    let Err(Error::Refused(refusal)) = answer else { return Err(format!("was not refused: {answer:?}")) };
    same(&words[0], refusal.code.as_str()).map_err(|what| format!("{what}: {}", refusal.message))?;
    match words.get(1).map(String::as_str) {
        Some("by") => {
            let holder = refusal.held_by.as_ref().map_or(String::new(), |held| held.owner.to_string());
            same(&words[2], &holder)
        }
        Some(field) if refusal.code == Code::Invalid => same(field, refusal.field.unwrap_or("")),
        Some(other) => Err(format!("{other}?")),
        None => Ok(()),
    }
}

#[expect(clippy::too_many_lines, reason = "one match")]
fn check_task(words: &[String], task: &Task, now: Time) -> Result<(), String> {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let text = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    let compensation = || {
        let seq = Seq(word(1).parse().expect("a number"));
        task.compensation(seq).ok_or(format!("there is no compensation {seq}"))
    };
    let ending = task.ending();
    match word(0) {
        "state" => same(word(1), task.state().as_str()),
        "epoch" => same(word(1), &task.epoch.to_string()),
        "attempts" => same(word(1), &task.attempts.to_string()),
        "revision" => same(word(1), &task.revision.to_string()),
        "owed" => same(word(1), &task.owed().count().to_string()),
        "cause" => same(word(1), ending.map_or("none", |ending| ending.cause.as_str())),
        "holder" => {
            let owner = task.lease().map(|one| &one.owner).or(task.reservation().map(|one| &one.owner));
            same(word(1), &text(owner.map(ToString::to_string)))
        }
        "nobody" => same("none", &text(task.lease().map(|lease| lease.owner.to_string()))),
        "expires" => {
            let at = task.lease().map(|one| one.expires_at).or(task.reservation().map(|one| one.expires_at));
            same_time(moved(now, word(1)), at)
        }
        "due" => match &task.phase {
            Phase::Compensating { undoing: Undoing::DueAt(at), .. } => {
                same_time(moved(now, word(1)), Some(*at))
            }
            _ => Err("its undo is not due at a time".into()),
        },
        "not-before" if word(1) == "none" => same("None", &format!("{:?}", task.not_before)),
        "not-before" => same_time(moved(now, word(1)), task.not_before),
        "status" => same(word(2), compensation()?.status.as_str()),
        "owes" => same(word(2), &text(compensation()?.epoch.map(|epoch| epoch.to_string()))),
        "key" => same(word(2), &text(compensation()?.key.as_ref().map(ToString::to_string))),
        "tries" => same(word(2), &compensation()?.tries.to_string()),
        "receipt" => same(word(2), &text(compensation()?.receipt.as_ref().map(ToString::to_string))),
        "settled-by" => same(word(2), &text(compensation()?.settled_by.as_ref().map(ToString::to_string))),
        "granted-to" => same(word(1), &text(task.lease().map(|lease| lease.granted_to.to_string()))),
        "labels" => {
            let labels = task.labels.iter().map(|(key, value)| format!("{key}:{value}"));
            let labels = labels.collect::<Vec<_>>().join(" ");
            same(&words[1..].join(" "), if labels.is_empty() { "none" } else { &labels })
        }
        "last-lease" => {
            let last = task.last_lease.as_ref();
            same(&words[1..].join(" "), &text(last.map(|last| format!("{} {}", last.owner, last.epoch))))
        }
        "last-since" => same_time(moved(now, word(1)), task.last_lease.as_ref().map(|last| last.since)),
        "last-until" => same_time(moved(now, word(1)), task.last_lease.as_ref().map(|last| last.until)),
        "reason" => same(
            &words[1..].join(" "),
            &text(ending.and_then(|ending| ending.reason.as_ref()).map(ToString::to_string)),
        ),
        "result" => {
            same(word(1), &text(ending.and_then(|ending| ending.result.as_ref()).map(ToString::to_string)))
        }
        "cancel" => same(word(1), if task.cancel.is_some() { "asked" } else { "none" }),
        "told" => {
            let told = task.lease().and_then(|lease| lease.cancel_told).map_or(0, |told| told.times);
            same(word(1), &told.to_string())
        }
        "unwinding" => {
            let why = match &task.phase {
                Phase::Compensating { why, .. } => unwinding_word(*why),
                _ => "none",
            };
            same(word(1), why)
        }
        "dismissed" => {
            let dismissed = task.ending().and_then(|ending| ending.dismissed.as_ref());
            same(word(1), dismissed.map_or("none", |dismissed| dismissed.by.as_str()))
        }
        "checkpoint" => same(word(1), &text(task.checkpoint.as_ref().map(ToString::to_string))),
        "progress" => {
            let progress = task.lease().and_then(|lease| lease.progress.as_ref());
            same(word(1), &text(progress.map(ToString::to_string)))
        }
        "retried-as" => same(
            word(1),
            &text(ending.and_then(|ending| ending.retried_as.as_ref()).map(ToString::to_string)),
        ),
        "retry-of" => same(word(1), &text(task.retry_of.as_ref().map(ToString::to_string))),
        "saga" => same(word(1), task.saga_id.as_str()),
        "compensations" => same(word(1), &task.compensations.len().to_string()),
        other => Err(format!("there is no expectation `{other}`")),
    }
}

fn unwinding_word(why: Unwinding) -> &'static str {
    match why {
        Unwinding::Released => "released",
        Unwinding::RolledBack => "rolled_back",
        Unwinding::Lapsed => "lapsed",
        Unwinding::Stalled => "stalled",
        Unwinding::OutOfTime => "out_of_time",
        Unwinding::Cancelled => "cancelled",
        Unwinding::Retried => "retried",
    }
}
