//! What may be done with a task, and the form of an action: what it will do, why, and for what can't be undone a word of consent.

#![expect(clippy::wildcard_enum_match_arm, reason = "a key that nothing is said of does nothing")]

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tenure::Error;
use tenure::api::command::RandomSource;
use tenure::core::task::Task;
use tenure::core::time::Time;
use tenure::store::watch::Watchers;
use tenure_view::offers::{Act, Fields, Offer, OwedOffers, about_the_task, effects, labels_of};

use super::act::Order;

/// The word that consents.
const CONSENT: &str = "yes";

/// What lies over the screen.
pub(super) enum Dialog {
    Menu(Menu),
    Form(Form),
}

/// The actions that the core would allow now.
pub(super) struct Menu {
    pub(super) task: Task,
    pub(super) entries: Vec<(Act, String)>,
    pub(super) at: usize,
}

/// The form of an action.
pub(super) struct Form {
    pub(super) act: Act,
    pub(super) task: Task,
    pub(super) effects: Vec<String>,
    pub(super) inputs: Vec<Input>,
    pub(super) at: usize,
    pub(super) error: Option<String>,
    /// Whether it was given, and its answer is waited for.
    pub(super) is_sent: bool,
    request: String,
}

/// A line to type.
pub(super) struct Input {
    pub(super) field: Field,
    pub(super) label: String,
    pub(super) text: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Field {
    Reason,
    Waive,
    Receipts,
    Receipt,
    SetLabels,
    UnsetLabels,
    NewId,
    LeavesNothing,
    Consent,
}

/// What a key did to a dialog.
pub(super) enum Pressed {
    Stays,
    Closes,
    Becomes(Box<Dialog>),
    Gives(Box<Order>),
}

impl Menu {
    /// None where nothing is allowed.
    pub(super) fn of(task: &Task, now: Time, random: &dyn RandomSource) -> Option<Menu> {
        let named = |offer: Offer| (offer.act, offer.label.to_owned());
        let mut entries: Vec<(Act, String)> =
            about_the_task(task, now, random).into_iter().map(named).collect();
        let owed = OwedOffers::of(task, now, random);
        entries.extend(task.owed().flat_map(|one| {
            let named = format!("{}: {} {}", one.seq, one.undo.kind, one.undo.target);
            owed.about(one).into_iter().map(move |offer| (offer.act, format!("{} {named}", offer.label)))
        }));
        (!entries.is_empty()).then(|| Menu { task: task.clone(), entries, at: 0 })
    }

    pub(super) fn press(
        &mut self,
        key: KeyEvent,
        seen: (&Watchers, Time),
        random: &dyn RandomSource,
    ) -> Pressed {
        match key.code {
            KeyCode::Esc | KeyCode::Char('q') | KeyCode::Left => return Pressed::Closes,
            KeyCode::Up | KeyCode::Char('k') => self.at = self.at.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.at = (self.at + 1).min(self.entries.len() - 1),
            KeyCode::Enter => return self.chosen(self.at, seen, random),
            KeyCode::Char(digit) => {
                if let Some(at) = digit.to_digit(10).and_then(|digit| (digit as usize).checked_sub(1)) {
                    return self.chosen(at, seen, random);
                }
            }
            _ => {}
        }
        Pressed::Stays
    }

    fn chosen(&self, at: usize, seen: (&Watchers, Time), random: &dyn RandomSource) -> Pressed {
        let form = self.entries.get(at).and_then(|(act, _)| Form::of(*act, &self.task, seen, random));
        form.map_or(Pressed::Stays, |form| Pressed::Becomes(Box::new(Dialog::Form(form))))
    }
}

impl Form {
    fn of(
        act: Act,
        task: &Task,
        (watchers, now): (&Watchers, Time),
        random: &dyn RandomSource,
    ) -> Option<Form> {
        let effects = effects(act, task, (watchers, now), random)?;
        let (inputs, request) = (inputs(act, task), random.new_id());
        let (task, error) = (task.clone(), None);
        Some(Form { act, task, effects, inputs, at: 0, error, is_sent: false, request })
    }

    pub(super) fn press(&mut self, key: KeyEvent) -> Pressed {
        if key.code == KeyCode::Esc {
            return Pressed::Closes;
        }
        if self.is_sent {
            return Pressed::Stays;
        }
        let last = self.inputs.len() - 1;
        match key.code {
            KeyCode::Enter if self.at < last => self.at += 1,
            KeyCode::Enter => match self.order() {
                Ok(order) => {
                    (self.is_sent, self.error) = (true, None);
                    return Pressed::Gives(Box::new(order));
                }
                Err((at, error)) => (self.at, self.error) = (at, Some(error)),
            },
            KeyCode::Tab | KeyCode::Down => self.at = (self.at + 1).min(last),
            KeyCode::BackTab | KeyCode::Up => self.at = self.at.saturating_sub(1),
            _ => type_into(&mut self.inputs[self.at].text, key),
        }
        Pressed::Stays
    }

    /// Whether an answer is for it.
    pub(super) fn is_of(&self, request: &str) -> bool {
        self.request == request
    }

    /// It was not done, so it can be changed and given again: as the same command, if nobody knows that it was not done.
    pub(super) fn was_not_done(&mut self, error: &Error, random: &dyn RandomSource) {
        (self.is_sent, self.error) = (false, Some(error.to_string()));
        if !matches!(error, Error::Unavailable(_) | Error::Unknown(_)) {
            self.request = random.new_id();
        }
    }

    /// The action as it was typed, or which line is wrong.
    fn order(&self) -> Result<Order, (usize, String)> {
        let mut fields = Fields::default();
        let reason = self.inputs.iter().find(|input| input.field == Field::Reason);
        fields.reason = reason.map(|input| input.text.trim().to_owned()).unwrap_or_default();
        for (at, Input { field, text, .. }) in self.inputs.iter().enumerate() {
            let text = text.trim();
            let wrong = |words: &str| Err((at, words.to_owned()));
            match field {
                Field::Reason if text.is_empty() && self.act.needs_reason() => {
                    return wrong("say why, in a few words");
                }
                Field::Reason => {}
                Field::Waive => {
                    let seqs = waived(&self.task, text).map_err(|words| (at, words))?;
                    fields.waive = seqs.into_iter().map(|seq| (seq, fields.reason.clone())).collect();
                }
                Field::Receipts => {
                    fields.receipts = receipts(&self.task, text).map_err(|words| (at, words))?;
                }
                Field::Receipt if text.is_empty() => return wrong("say what shows that it was undone"),
                Field::Receipt => fields.receipt = text.to_owned(),
                Field::SetLabels => {
                    let labels = labels_of(text.split(','));
                    fields.set = labels.map_err(|refusal| (at, refusal.message.to_string()))?;
                }
                Field::UnsetLabels => {
                    fields.unset = unset(&self.task, text).map_err(|words| (at, words))?;
                }
                Field::NewId => fields.id = (!text.is_empty()).then(|| text.to_owned()),
                Field::LeavesNothing if text == CONSENT => fields.leaves_nothing = true,
                Field::LeavesNothing => {
                    return wrong("if something must be undone, quarantine it, or have it undone by hand");
                }
                Field::Consent if text == CONSENT => {}
                Field::Consent => return wrong("nothing was done: type yes to do it, or press Esc"),
            }
        }
        Ok(Order { act: self.act, task: self.task.clone(), fields, request: self.request.clone() })
    }
}

/// The lines of an action's form, in the order in which they are typed.
fn inputs(act: Act, task: &Task) -> Vec<Input> {
    let owed = task.owed().count();
    let mut inputs = Vec::new();
    let mut line = |field, label: &str| {
        inputs.push(Input { field, label: label.to_owned(), text: String::new() });
    };
    if act.settles_owed() && owed > 0 {
        line(Field::Waive, &format!("Waive of {owed} owed (numbers such as 1,3, or all; empty: none)"));
        line(
            Field::Receipts,
            "Undone by hand, with receipts (such as 1=closed by hand; 3=gone; empty: none)",
        );
    }
    if act == Act::Retry {
        line(Field::NewId, "Id of the new task (empty: one is made)");
    }
    if act == Act::Fail && task.compensations.is_empty() {
        line(Field::LeavesNothing, "It registered nothing to undo. Does it leave nothing behind? Type yes");
    }
    if matches!(act, Act::Settle(_)) {
        line(Field::Receipt, "Receipt: what shows that it was undone");
    }
    if act == Act::Label {
        line(Field::SetLabels, "Labels to set (such as issue=168, team=core; empty: none)");
    }
    if act == Act::Label && !task.labels.is_empty() {
        let keys = task.labels.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        line(Field::UnsetLabels, &format!("Labels to remove, of {keys} (keys; empty: none)"));
    }
    let reason = match act {
        Act::Note => "Note",
        Act::Settle(_) => "Reason (empty: the receipt)",
        Act::Label => "Reason (may be empty)",
        Act::Cancel
        | Act::Quarantine
        | Act::Retry
        | Act::UndoOnly
        | Act::Compensate
        | Act::Complete
        | Act::Fail
        | Act::Dismiss
        | Act::Waive(_) => "Reason",
    };
    line(Field::Reason, reason);
    if act.is_final() {
        line(Field::Consent, "Type yes to do it");
    }
    inputs
}

/// The numbers of the compensations to waive.
fn waived(task: &Task, text: &str) -> Result<Vec<u32>, String> {
    if text == "all" {
        return Ok(task.owed().map(|one| one.seq.0).collect());
    }
    let words = text.split([',', ' ']).filter(|word| !word.is_empty());
    words.map(|word| owed(task, word)).collect()
}

/// The receipts of compensations that were undone by hand.
fn receipts(task: &Task, text: &str) -> Result<Vec<(u32, String)>, String> {
    let texts = text.split(';').map(str::trim).filter(|text| !text.is_empty());
    let receipt = |text: &str| {
        let Some((seq, receipt)) = text.split_once('=') else {
            return Err(format!("expected NUMBER=RECEIPT, not {text}"));
        };
        let (seq, receipt) = (owed(task, seq.trim())?, receipt.trim());
        match receipt.is_empty() {
            true => Err(format!("say what shows that {seq} was undone")),
            false => Ok((seq, receipt.to_owned())),
        }
    };
    texts.map(receipt).collect()
}

/// The number of a compensation that the task owes.
fn owed(task: &Task, word: &str) -> Result<u32, String> {
    let number = word.parse().ok().filter(|number| task.owed().any(|one| one.seq.0 == *number));
    number.ok_or_else(|| {
        let all = task.owed().map(|one| one.seq.to_string()).collect::<Vec<_>>().join(", ");
        format!("{word} is not owed; owed are {all}")
    })
}

/// The keys of the labels to remove.
fn unset(task: &Task, text: &str) -> Result<Vec<String>, String> {
    let keys = text.split([',', ' ']).filter(|key| !key.is_empty());
    let there = |key: &str| match task.labels.keys().any(|label| label.as_str() == key) {
        true => Ok(key.to_owned()),
        false => Err(format!("there is no label {key}")),
    };
    keys.map(there).collect()
}

/// Types a key at the end of a text.
pub(super) fn type_into(text: &mut String, key: KeyEvent) {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('u') if is_control => text.clear(),
        KeyCode::Char('w') if is_control => {
            let end = text.trim_end().rfind(' ').map_or(0, |at| at + 1);
            text.truncate(end);
        }
        KeyCode::Char(typed) if !is_control => text.push(typed),
        KeyCode::Backspace => {
            text.pop();
        }
        _ => {}
    }
}
