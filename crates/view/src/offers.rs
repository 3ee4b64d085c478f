//! What a person may do with a task now, and what each of it will do. The core is asked, as if it were done: so no rule stands here.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use tenure::api::command::{By, CommandName, RandomSource, Target, read_body};
use tenure::core::case::Names;
use tenure::core::command::{Command, LeaseScope};
use tenure::core::compensation::Compensation;
use tenure::core::decide::{Decision, Stored, decide};
use tenure::core::id::{Actor, Epoch, Kind, RequestId, Seq, TaskId};
use tenure::core::refusal::{Code, Refusal};
use tenure::core::task::{Lease, State, Task};
use tenure::core::time::Time;
use tenure::store::watch::Watchers;

use crate::words::count;

/// Something that a person may do with a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    /// Asks the holder to stop.
    Cancel,
    /// Parks it for a person.
    Quarantine,
    /// Creates a new task that does the same.
    Retry,
    /// Creates a new task that undoes what is owed, and does nothing else.
    UndoOnly,
    /// Closes it as undone.
    Compensate,
    /// Marks it as completed.
    Complete,
    /// Marks it as failed.
    Fail,
    /// Says that its end has been seen.
    Dismiss,
    /// Adds a note.
    Note,
    /// Sets and removes labels.
    Label,
    /// Says that one compensation was undone by hand.
    Settle(Seq),
    /// Waives one compensation.
    Waive(Seq),
}

/// All about the task as a whole, the most usual first.
const ABOUT_THE_TASK: [Act; 10] = [
    Act::Retry,
    Act::UndoOnly,
    Act::Cancel,
    Act::Quarantine,
    Act::Compensate,
    Act::Complete,
    Act::Fail,
    Act::Dismiss,
    Act::Note,
    Act::Label,
];

/// All about one compensation that is owed.
const ABOUT_ONE: [fn(Seq) -> Act; 2] = [Act::Settle, Act::Waive];

/// What a form says besides which action it is.
#[derive(Clone, Default)]
pub struct Fields {
    /// Why it is done, or the note; it may be empty for some.
    pub reason: String,
    /// The id of a new task.
    pub id: Option<String>,
    /// The compensations to waive, each with its reason.
    pub waive: Vec<(u32, String)>,
    /// The compensations that were undone by hand, each with its receipt.
    pub receipts: Vec<(u32, String)>,
    /// The receipt of the one compensation that it is about.
    pub receipt: String,
    /// The labels to set.
    pub set: Vec<(String, String)>,
    /// The keys of the labels to remove.
    pub unset: Vec<String>,
    /// That a task which never registered a compensation leaves nothing to undo.
    pub leaves_nothing: bool,
    /// Who says it, where no token does.
    pub actor: Option<String>,
}

/// An action that would not be refused.
pub struct Offer {
    /// The action.
    pub act: Act,
    /// What its button says.
    pub label: &'static str,
    /// For the address of its form.
    pub query: String,
}

impl Act {
    /// The action that an address names.
    pub fn of(word: &str, seq: Option<&str>) -> Result<Act, Refusal> {
        let unknown = || Refusal::invalid("verb", "not an action of this page");
        if let Some(act) = ABOUT_ONE.into_iter().find(|act| act(Seq(0)).word() == word) {
            let number = seq.and_then(|seq| seq.parse().ok());
            return number
                .map(|number| act(Seq(number)))
                .ok_or_else(|| Refusal::invalid("seq", "a whole number from 1"));
        }
        ABOUT_THE_TASK.into_iter().find(|act| act.word() == word).ok_or_else(unknown)
    }

    /// Its word in an address.
    pub fn word(self) -> &'static str {
        match self {
            Act::Cancel => "cancel",
            Act::Quarantine => "quarantine",
            Act::Retry => "retry",
            Act::UndoOnly => "undo",
            Act::Compensate => "compensate",
            Act::Complete => "complete",
            Act::Fail => "fail",
            Act::Dismiss => "dismiss",
            Act::Note => "note",
            Act::Label => "label",
            Act::Settle(_) => "settle",
            Act::Waive(_) => "waive",
        }
    }

    /// The compensation that it is about; none if it is about the task as a whole.
    fn seq(self) -> Option<Seq> {
        match self {
            Act::Settle(seq) | Act::Waive(seq) => Some(seq),
            Act::Cancel
            | Act::Quarantine
            | Act::Retry
            | Act::UndoOnly
            | Act::Compensate
            | Act::Complete
            | Act::Fail
            | Act::Dismiss
            | Act::Note
            | Act::Label => None,
        }
    }

    /// It, as the query of an address.
    pub fn query(self) -> String {
        let seq = self.seq().map(|seq| format!("&seq={seq}")).unwrap_or_default();
        format!("verb={}{seq}", self.word())
    }

    /// What its button says.
    pub fn label(self) -> &'static str {
        match self {
            Act::Cancel => "Cancel",
            Act::Quarantine => "Park for a person",
            Act::Retry => "Retry as a new task",
            Act::UndoOnly => "Undo only",
            Act::Compensate => "Close as undone",
            Act::Complete => "Mark as completed",
            Act::Fail => "Mark as failed",
            Act::Dismiss => "Dismiss",
            Act::Note => "Add a note",
            Act::Label => "Change labels",
            Act::Settle(_) => "Settle with a receipt",
            Act::Waive(_) => "Waive",
        }
    }

    /// What was done, after it was.
    pub fn done(word: &str) -> Option<&'static str> {
        match word {
            "cancel" => Some("The cancel is recorded."),
            "quarantine" => Some("The task is parked."),
            "retry" => Some("This is the new task."),
            "undo" => Some("This is the new task: it only undoes what is owed, and ends as compensated."),
            "compensate" => Some("The task is closed as undone."),
            "complete" => Some("The task is completed."),
            "fail" => Some("The task has failed."),
            "dismiss" => Some("The end is dismissed."),
            "note" => Some("The note is recorded."),
            "label" => Some("The labels are changed."),
            "settle" => Some("The receipt is recorded: the compensation is settled."),
            "waive" => Some("The compensation is waived."),
            _ => None,
        }
    }

    /// Whether what is owed can be waived with it, or settled with receipts.
    pub fn settles_owed(self) -> bool {
        matches!(self, Act::Retry | Act::UndoOnly | Act::Compensate)
    }

    /// Whether a reason must be given.
    pub fn needs_reason(self) -> bool {
        !matches!(self, Act::Label | Act::Settle(_))
    }

    /// Whether it ends what can't be begun again.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Act::Cancel | Act::Compensate | Act::Complete | Act::Fail | Act::Settle(_) | Act::Waive(_)
        )
    }

    fn command(self) -> CommandName {
        match self {
            Act::Cancel => CommandName::Cancel,
            Act::Quarantine => CommandName::Quarantine,
            // The first of its two.
            Act::Retry | Act::UndoOnly => CommandName::Retry,
            Act::Compensate => CommandName::Compensate,
            Act::Complete => CommandName::Complete,
            Act::Fail => CommandName::Fail,
            Act::Dismiss | Act::Note => CommandName::Notes,
            Act::Label => CommandName::Label,
            Act::Settle(_) => CommandName::Settle,
            Act::Waive(_) => CommandName::Waive,
        }
    }

    /// The body of the API's route for it.
    fn body(self, fields: &Fields) -> String {
        let Fields { reason, id, waive, receipts, receipt, set, unset, leaves_nothing, actor } = fields;
        let mut body = Map::new();
        let mut say = |name: &str, value: Value| body.insert(name.to_owned(), value);
        if self.needs_reason() || !reason.is_empty() {
            say(if matches!(self, Act::Dismiss | Act::Note) { "note" } else { "reason" }, json!(reason));
        }
        if self == Act::Dismiss {
            say("dismiss", json!(true));
        }
        if self == Act::Fail && *leaves_nothing {
            // What an operator of the command line says with `--undo none=-`.
            say("compensation", json!({"kind": "none", "target": "-"}));
        }
        if self.settles_owed() && !waive.is_empty() {
            let waive = waive.iter().map(|(seq, reason)| json!({"seq": seq, "reason": reason}));
            say("waive", waive.collect());
        }
        if self.settles_owed() && !receipts.is_empty() {
            let receipts = receipts.iter().map(|(seq, receipt)| json!({"seq": seq, "receipt": receipt}));
            say("receipts", receipts.collect());
        }
        if matches!(self, Act::Settle(_)) && !receipt.is_empty() {
            say("receipt", json!(receipt));
        }
        if self == Act::Label {
            say("set", set.iter().map(|(key, value)| (key.clone(), json!(value))).collect());
            say("unset", json!(unset));
        }
        if let Some(id) = id.as_ref().filter(|_| matches!(self, Act::Retry | Act::UndoOnly)) {
            say("id", json!(id));
        }
        if let Some(actor) = actor {
            say("as", json!(actor));
        }
        Value::Object(body).to_string()
    }

    /// Its commands, by the one whom the token or else the form names, to be given in one transaction.
    ///
    /// Undo only has two: the new task is cancelled before anybody can claim it. Its id follows from the request id, so that a form
    /// that is sent twice names the same task; a person gives none, because a task that has the id already must not be cancelled.
    pub fn commands_for(
        self,
        task: &Task,
        fields: &Fields,
        (actor, request): (Option<Actor>, Option<RequestId>),
        random: &dyn RandomSource,
    ) -> Result<Vec<Command>, Refusal> {
        if self == Act::Label && fields.set.is_empty() && fields.unset.is_empty() {
            return Err(Refusal::invalid("set", "say which labels to set, or which to remove"));
        }
        if self != Act::UndoOnly {
            return Ok(vec![self.command_for(task, fields, (actor, request), random)?]);
        }
        owes_something(task)?;
        let own = request.as_ref().map_or_else(|| random.new_id(), ToString::to_string);
        let new = TaskId::named("request", format!("undo-{own}"))?;
        let part = |name| {
            let request = request.as_ref().map(|request| RequestId::new(format!("{request}-{name}")));
            Ok::<_, Refusal>((actor.clone(), request.transpose()?))
        };
        let retry = Fields { id: Some(new.to_string()), ..fields.clone() };
        let retry = Act::Retry.command_for(task, &retry, part("retry")?, random)?;
        let new = Task::blank(task.namespace.clone(), new);
        Ok(vec![retry, Act::Cancel.command_for(&new, fields, part("cancel")?, random)?])
    }

    /// The command of an action that has one. Undo only is refused: see [`Act::commands_for`].
    fn command_for(
        self,
        task: &Task,
        fields: &Fields,
        (actor, request): (Option<Actor>, Option<RequestId>),
        random: &dyn RandomSource,
    ) -> Result<Command, Refusal> {
        if self == Act::UndoOnly {
            return Err(Refusal::invalid("verb", "undo only has two commands, which must be given together"));
        }
        let by = By { namespace: &task.namespace, actor, lease_scope: LeaseScope::Any, random };
        let target = Target { task: Some(task.id.clone()), seq: self.seq(), request };
        read_body(self.command(), target, &self.body(fields), &by)
    }

    /// What would come of it, or why it would be refused.
    fn forecast(
        self,
        task: &Task,
        fields: &Fields,
        now: Time,
        random: &dyn RandomSource,
    ) -> Result<Decision, Refusal> {
        let command = self.command_for(task, fields, (Actor::new("console").ok(), None), random)?;
        decide(Stored { task: Some(task), names: Names::Free, floor: Epoch::ZERO }, &command, now)
    }

    /// The same, where a reason will be given, and waivers where they are needed.
    fn best_forecast(self, task: &Task, now: Time, random: &dyn RandomSource) -> Option<Decision> {
        let plain = to_be_given(task);
        if self == Act::UndoOnly {
            owes_something(task).ok()?;
            let retried = Act::Retry.forecast(task, &plain, now, random).ok()?;
            let (new, _) = retried.successor.as_ref()?;
            return Act::Cancel.forecast(new, &plain, now, random).is_ok().then_some(retried);
        }
        let waived = || Fields {
            waive: task.owed().map(|one| (one.seq.0, "to be given".to_owned())).collect(),
            ..plain.clone()
        };
        let plainly = self.forecast(task, &plain, now, random).ok();
        plainly.or_else(|| self.settles_owed().then(|| self.forecast(task, &waived(), now, random).ok())?)
    }
}

/// Undo only needs something to undo; a retry of the same task does not.
fn owes_something(task: &Task) -> Result<(), Refusal> {
    match task.owes() {
        true => Ok(()),
        false => Err(Refusal::new(Code::WrongState, "it owes nothing that could be undone")),
    }
}

/// What may be done with the task as a whole.
pub fn about_the_task(task: &Task, now: Time, random: &dyn RandomSource) -> Vec<Offer> {
    let allowed = ABOUT_THE_TASK.into_iter().filter(|act| act.best_forecast(task, now, random).is_some());
    allowed.map(offer).collect()
}

/// What may be done with single compensations. What holds for one that is owed holds for all of them.
pub struct OwedOffers(Vec<fn(Seq) -> Act>);

impl OwedOffers {
    /// What may be done with what the task owes.
    pub fn of(task: &Task, now: Time, random: &dyn RandomSource) -> OwedOffers {
        let Some(first) = task.owed().next() else { return OwedOffers(Vec::new()) };
        let is_allowed = |act: &fn(Seq) -> Act| act(first.seq).best_forecast(task, now, random).is_some();
        OwedOffers(ABOUT_ONE.into_iter().filter(is_allowed).collect())
    }

    /// What may be done with one compensation of the task: nothing if it is not owed.
    pub fn about(&self, one: &Compensation) -> Vec<Offer> {
        self.0.iter().filter(|_| one.is_owed()).map(|act| offer(act(one.seq))).collect()
    }
}

/// The labels of texts such as `issue=168`.
pub fn labels_of<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Vec<(String, String)>, Refusal> {
    let mut labels: Vec<(String, String)> = Vec::new();
    for text in texts.map(str::trim).filter(|text| !text.is_empty()) {
        let Some((key, value)) = text.split_once('=') else {
            return Err(Refusal::invalid("set", format_args!("expected KEY=VALUE, not `{text}`")));
        };
        let (key, value) = (key.trim_end(), value.trim_start());
        if labels.iter().any(|(other, _)| other == key) {
            return Err(Refusal::invalid("set", format_args!("the label {key} is given twice")));
        }
        labels.push((key.to_owned(), value.to_owned()));
    }
    Ok(labels)
}

/// A form that is filled, for a forecast: its texts are not known yet.
fn to_be_given(task: &Task) -> Fields {
    let (reason, receipt) = ("to be given".to_owned(), "to be given".to_owned());
    // A key that no label has: its removal changes nothing.
    let unset = vec!["to-be-given".to_owned()];
    Fields { reason, receipt, unset, leaves_nothing: task.compensations.is_empty(), ..Fields::default() }
}

fn offer(act: Act) -> Offer {
    Offer { act, label: act.label(), query: act.query() }
}

/// What it will do, in sentences, the most important first; none if it would be refused.
pub fn effects(
    act: Act,
    task: &Task,
    (watchers, now): (&Watchers, Time),
    random: &dyn RandomSource,
) -> Option<Vec<String>> {
    let decision = act.best_forecast(task, now, random)?;
    let after = &decision.task;
    let mut effects: Vec<String> = own_effect(act, task, after, now).into_iter().collect();
    effects.extend(unhandled(act, task, watchers));
    if after.state() != task.state() {
        effects.push(new_state(task, after));
    }
    if let Some(lease) = task.lease().filter(|lease| after.lease().is_none() && !lease.has_lapsed(now)) {
        effects.push(format!(
            "The lease of {} at epoch {} ends at once: whatever it sends after that is refused.",
            lease.owner, lease.epoch
        ));
    }
    Some(effects)
}

/// What would not be undone by anybody after it.
fn unhandled(act: Act, task: &Task, watchers: &Watchers) -> Option<String> {
    let handled = watchers.kinds();
    let inherits = matches!(act, Act::Retry | Act::UndoOnly);
    let owed = task.owed().map(|one| &one.undo.kind).filter(|kind| inherits && !handled.contains(kind));
    let kinds: Vec<&str> = owed.collect::<BTreeSet<&Kind>>().into_iter().map(Kind::as_str).collect();
    (!kinds.is_empty()).then(|| {
        format!(
            "No recovery that runs handles {}: unless you waive or settle it, or start one that does, the new task is parked, too.",
            kinds.join(", ")
        )
    })
}

/// Why an action would be refused; none if it would not.
pub fn why_not(act: Act, task: &Task, now: Time, random: &dyn RandomSource) -> Option<String> {
    let fields = to_be_given(task);
    let first = if act == Act::UndoOnly { Act::Retry } else { act };
    let forecast = first.forecast(task, &fields, now, random).map(drop);
    let refused = forecast.and_then(|()| if act == Act::UndoOnly { owes_something(task) } else { Ok(()) });
    refused.err().map(|refusal| refusal.message.to_string())
}

/// What an action does besides changing the state.
fn own_effect(act: Act, task: &Task, after: &Task, now: Time) -> Option<String> {
    let owed = task.owed().count() as u64;
    Some(match act {
        Act::Note => "Your note is added to the history of the task. Nothing else changes.".to_owned(),
        Act::Dismiss => {
            let left = match owed {
                0 => String::new(),
                _ => format!(" {} will not be undone by anybody.", count(owed, "compensation")),
            };
            format!("The task is no longer listed among those that a person should see to. It stays as it ended.{left}")
        }
        Act::Cancel => match task.lease() {
            Some(lease) if after.state() == State::Running && lease.has_lapsed(now) => format!(
                "It is recorded that the task is not wanted. The lease of {} has lapsed: recovery undoes what is owed, and closes the task.",
                lease.owner
            ),
            Some(Lease { owner, cancel_told: Some(told), .. }) if after.state() == State::Running => format!(
                "{owner} was told to stop {} already, and goes on; it is told again. Without cancel_grace in its policy it may \
                 do so for ever: to take the task from it, park the task.",
                count(told.times.into(), "time")
            ),
            Some(lease) if after.state() == State::Running => format!(
                "{owner} is told to stop with its next heartbeat. The task stays running until {owner} ends it, or its lease lapses.",
                owner = lease.owner
            ),
            Some(_) | None if after.state() == task.state() => {
                "It is recorded that the task is not wanted: when what it owes is undone, it is closed and not tried again."
                    .to_owned()
            }
            Some(_) | None => return None,
        },
        Act::Label => {
            "The labels that you write are set, and those that you name are removed. Nothing else changes; a holder goes on."
                .to_owned()
        }
        Act::Settle(seq) => format!(
            "Compensation {seq}, {}, counts as undone by hand, with your receipt as the proof: nobody undoes it any more.",
            named(task, seq)
        ),
        Act::Waive(seq) => format!(
            "Compensation {seq}, {}, is not undone by anybody any more. Waive it only if there is nothing left to undo.",
            named(task, seq)
        ),
        Act::Retry => {
            let inherited = match owed {
                0 => String::new(),
                _ => format!(", which first undoes {}, except for those that you waive or have receipts for", count(owed, "compensation")),
            };
            format!("A new task with the same queue, payload and policy is created{inherited}. This one stays as it ended, and names the new one.")
        }
        Act::UndoOnly => format!(
            "A new task is made that only undoes {}, except for those that you waive or have receipts for. It is cancelled as it is made: its work is not \
             tried again, nobody can claim it, and it ends as compensated. This one stays as it ended, and names the new one.",
            count(owed, "compensation")
        ),
        Act::Compensate if owed > 0 => {
            let whats = if owed == 1 { "the compensation that is owed" } else { "each compensation that is owed" };
            format!("Waive {whats}, or give its receipt: it is closed only if nothing is left to undo.")
        }
        Act::Quarantine | Act::Compensate | Act::Complete | Act::Fail => return None,
    })
}

/// The kind and the target of a compensation.
fn named(task: &Task, seq: Seq) -> String {
    task.compensation(seq).map(|one| format!("{} {}", one.undo.kind, one.undo.target)).unwrap_or_default()
}

/// What the new state means.
fn new_state(task: &Task, after: &Task) -> String {
    let (before, left) = (task.owed().count() as u64, after.owed().count() as u64);
    let stay =
        if left == 1 { "1 compensation stays".to_owned() } else { format!("{left} compensations stay") };
    match after.state() {
        State::Compensating => {
            format!("Recovery undoes {}, and then the task is closed.", count(left, "compensation"))
        }
        State::Completed if before == 0 => "The task is completed. Nothing changes it again.".to_owned(),
        State::Completed => format!(
            "The task is completed, and {} will not be undone. Nothing changes it again.",
            count(before, "compensation")
        ),
        State::Failed if left == 0 => "The task has failed for good. Nothing changes it again.".to_owned(),
        State::Failed => {
            format!("The task has failed for good, and nothing is undone: {stay} for a person to see to.")
        }
        State::Compensated if before == 0 => "The task is closed. Nothing changes it again.".to_owned(),
        State::Compensated => {
            "The task is closed as undone: nothing is left that anybody undoes. Nothing changes it again."
                .to_owned()
        }
        State::Quarantined if left == 0 => {
            "The task is parked: nobody works on it, and recovery leaves it.".to_owned()
        }
        State::Quarantined => {
            format!("The task is parked: nobody works on it, and recovery leaves it. {stay} to be undone.")
        }
        other @ (State::Planned | State::Dispatched | State::Running) => {
            format!("The task becomes {}.", other.as_str())
        }
    }
}

#[cfg(test)]
mod tests;
