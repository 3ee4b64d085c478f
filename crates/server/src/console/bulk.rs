//! One action for a whole group of triage.
//!
//! The selection is frozen: the form names the tasks that were counted, and no task that comes later is in it. What is done is done
//! for those that are ticked, and for as many as the button says. Each task gets commands of its own, a few tasks at a time, and what
//! was refused is listed with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use askama::Template;
use axum::http::StatusCode;
use tenure::Error;
use tenure::core::command::Command;
use tenure::core::id::{Kind, RequestId, TaskId};
use tenure::core::refusal::Refusal;
use tenure::core::task::Task;
use tenure::store::Answer;
use tenure_view::offers::{Act, Fields};
use tenure_view::words::count;

use super::address::task_path;
use super::asked::required;
use super::form::Form;
use super::layout::{Layout, Place, respond};
use super::triage::{TASKS_MAX, key, unattended};
use crate::problem::Problem;
use crate::route::{Answered, Asked};

/// How many tasks are acted on together, and the pause after them, so that workers get through.
const TOGETHER: usize = 20;
const APART: Duration = Duration::from_millis(50);
/// With more tasks than these the list of them is folded, unless one was left out.
const LISTED_OPENLY: usize = 20;
/// How many kinds can be waived or settled on a form, the first by name.
const KINDS_MAX: usize = 50;

#[derive(Template)]
#[template(path = "bulk.html")]
struct Bulk {
    layout: Layout,
    /// The group, as its address names it.
    query: String,
    /// The same in words.
    group: String,
    /// How many are ticked, in words and as a number.
    count: String,
    shown: usize,
    acts: Vec<ActChoice>,
    /// The frozen selection, an id a line.
    tasks: String,
    takes: Vec<TaskChoice>,
    is_open: bool,
    /// The kinds of what is owed, one a line.
    kinds: String,
    owed: Vec<KindChoice>,
    waive_reason: String,
    asks_who: bool,
    request: String,
    error: Option<String>,
    reason: String,
    actor: String,
}

struct ActChoice {
    word: &'static str,
    label: &'static str,
    effect: &'static str,
    is_chosen: bool,
}

/// A task of the selection, which may be left out.
struct TaskChoice {
    id: String,
    path: String,
    is_taken: bool,
}

/// A kind of undo that may be waived, or settled with a receipt.
struct KindChoice {
    kind: String,
    is_waived: bool,
    receipt: String,
}

#[derive(Template)]
#[template(path = "bulk_done.html")]
struct BulkDone {
    layout: Layout,
    label: &'static str,
    namespace: String,
    done: String,
    /// The tasks that were made.
    made: Vec<(String, String)>,
    refused: Vec<(String, String, String)>,
}

/// What may be done with a whole group, each with what it will do.
const ACTS: [(Act, &str); 4] = [
    (
        Act::Retry,
        "Each is retried as a new task, which first undoes what is still owed. The old ones stay as they ended.",
    ),
    (
        Act::UndoOnly,
        "For each a new task is made that only undoes what is still owed: it is cancelled as it is made, its work is not tried \
         again, and it ends as compensated. The old ones stay as they ended.",
    ),
    (
        Act::Dismiss,
        "They are no longer listed here. They stay as they ended, and what they owe is not undone.",
    ),
    (Act::Note, "Your note is added to the history of each. Nothing else changes."),
];

/// The tasks that a form is for, and the kinds that they owe.
struct Selection {
    ids: Vec<TaskId>,
    kinds: Vec<Kind>,
}

impl Selection {
    /// As a form has it.
    fn of(form: &Form) -> Result<Selection, Problem> {
        let ids = form.said("tasks").ok_or_else(|| required("tasks"))?;
        let ids: Vec<TaskId> = ids.lines().map(TaskId::new).collect::<Result<_, _>>()?;
        if ids.len() > TASKS_MAX {
            return Err(Refusal::invalid("tasks", format_args!("at most {TASKS_MAX} at once")).into());
        }
        let kinds = form.said("kinds").unwrap_or_default().lines();
        Ok(Selection { ids, kinds: kinds.map(Kind::new).collect::<Result<_, _>>()? })
    }

    /// The places of those that are ticked.
    fn taken(&self, form: &Form) -> Vec<usize> {
        (0..self.ids.len()).filter(|at| form.is_checked(&format!("take-{at}"))).collect()
    }
}

/// What the form asks for.
struct Wanted {
    act: Act,
    fields: Fields,
    /// What is not undone, by its kind.
    settled: SettledKinds,
}

/// What a person says about kinds of what is owed, for all tasks at once.
#[derive(Default)]
struct SettledKinds {
    /// They need not be undone, for one reason.
    waived: BTreeSet<Kind>,
    reason: String,
    /// They were undone by hand, each with what shows it.
    receipts: BTreeMap<Kind, String>,
}

impl SettledKinds {
    fn is_empty(&self) -> bool {
        self.waived.is_empty() && self.receipts.is_empty()
    }
}

/// `GET /triage/act`: the form for a group, with the tasks that it is for.
pub(super) async fn form(asked: Asked) -> Answered {
    let wanted = |name: &'static str| {
        Ok::<_, Problem>(asked.query.one(name)?.ok_or_else(|| required(name))?.to_owned())
    };
    let wanted = (wanted("state")?, wanted("cause")?, wanted("kind")?);
    let (tasks, _) = unattended(&asked).await?;
    let is_in = |task: &&Task| {
        key(task).is_some_and(|(state, cause, kind)| {
            (state, cause, &*kind) == (&*wanted.0, &*wanted.1, &*wanted.2)
        })
    };
    let group: Vec<&Task> = tasks.iter().filter(is_in).collect();
    let kinds: BTreeSet<&Kind> =
        group.iter().flat_map(|task| task.owed()).map(|one| &one.undo.kind).collect();
    let selection = Selection {
        ids: group.iter().map(|task| task.id.clone()).collect(),
        kinds: kinds.into_iter().take(KINDS_MAX).cloned().collect(),
    };
    let all = (0..selection.ids.len()).collect();
    let request = asked.served.ledger.entropy().new_id();
    shown(&asked, (&selection, all), (request, None), &Form::read("")?).await
}

async fn shown(
    asked: &Asked,
    (selection, taken): (&Selection, Vec<usize>),
    (request, error): (String, Option<String>),
    form: &Form,
) -> Answered {
    let Selection { ids, kinds } = selection;
    let (namespace, now) = (asked.shown_namespace()?, asked.served.ledger.now().await?);
    let count = count(taken.len() as u64, "task");
    let said = |name| form.said(name).unwrap_or_default().to_owned();
    let verb = form.said("verb");
    let choice = |(act, effect): (Act, &'static str)| ActChoice {
        word: act.word(),
        label: act.label(),
        effect,
        is_chosen: verb == Some(act.word()),
    };
    let is_taken = |at: usize| taken.binary_search(&at).is_ok();
    let take = |(at, id): (usize, &TaskId)| TaskChoice {
        id: id.to_string(),
        path: task_path(&namespace, id),
        is_taken: is_taken(at),
    };
    let owed = kinds.iter().enumerate().map(|(at, kind)| KindChoice {
        kind: kind.to_string(),
        is_waived: form.is_checked(&format!("gone-{at}")),
        receipt: form.said(&format!("receipt-{at}")).unwrap_or_default().to_owned(),
    });
    let status = if error.is_some() { StatusCode::CONFLICT } else { StatusCode::OK };
    let page = Bulk {
        layout: Layout::of(asked, Place::Triage, &format!("Act on {count}"), &namespace, now).await?,
        query: asked.head.uri.query().unwrap_or_default().to_owned(),
        group: group_words(asked)?,
        count,
        shown: taken.len(),
        acts: ACTS.map(choice).into(),
        tasks: lines(ids),
        takes: ids.iter().enumerate().map(take).collect(),
        is_open: ids.len() <= LISTED_OPENLY || taken.len() < ids.len(),
        kinds: lines(kinds),
        owed: owed.collect(),
        waive_reason: said("gone-reason"),
        asks_who: asked.caller.name.is_none(),
        request,
        error,
        reason: said("reason"),
        actor: said("actor"),
    };
    Ok(respond(status, &page))
}

fn lines(all: &[impl ToString]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The group as its address names it.
fn group_words(asked: &Asked) -> Result<String, Problem> {
    let said = |name| Ok::<_, Problem>(asked.query.one(name)?.unwrap_or_default());
    Ok(format!("State {}, cause {}, kind {}", said("state")?, said("cause")?, said("kind")?))
}

/// `POST /triage/act`.
pub(super) async fn done(asked: Asked) -> Answered {
    let form = Form::read(&asked.body.text)?;
    let selection = Selection::of(&form)?;
    let taken = selection.taken(&form);
    let request = form.said("request").ok_or_else(|| required("request"))?.to_owned();
    let refused = match unseen_count(&form, &selection, &taken) {
        Some(words) => Err(words),
        None => wanted(&asked, &form, &selection).map_err(|refusal| refusal.message.to_string()),
    };
    let wanted = match refused {
        Ok(wanted) => wanted,
        Err(words) => return shown(&asked, (&selection, taken), (request, Some(words)), &form).await,
    };
    let (mut done, mut made, mut refused) = (0, Vec::new(), Vec::new());
    let namespace = asked.shown_namespace()?;
    for (part, some) in taken.chunks(TOGETHER).enumerate() {
        if part > 0 {
            tokio::time::sleep(APART).await;
        }
        // The number of a task in the selection stays, whichever are ticked: a form that is sent again is the same commands.
        let some: Vec<(usize, &TaskId)> =
            some.iter().filter_map(|at| Some((*at, selection.ids.get(*at)?))).collect();
        for ((_, id), answer) in some.iter().zip(act_on(&asked, &some, &wanted, &request).await?) {
            match answer {
                Ok(new) => {
                    done += 1;
                    made.extend(new.map(|id| (id.to_string(), task_path(&namespace, &id))));
                }
                Err(words) => refused.push((id.to_string(), task_path(&namespace, id), words)),
            }
        }
    }
    let (now, label) = (asked.served.ledger.now().await?, wanted.act.label());
    let page = BulkDone {
        layout: Layout::of(&asked, Place::Triage, label, &namespace, now).await?,
        label,
        namespace: namespace.to_string(),
        done: count(done, "task"),
        made,
        refused,
    };
    Ok(respond(StatusCode::OK, &page))
}

/// Why nothing is done yet: the button has not said for how many it is.
fn unseen_count(form: &Form, selection: &Selection, taken: &[usize]) -> Option<String> {
    if taken.is_empty() {
        return Some("no task is ticked: tick those that it is for".to_owned());
    }
    (form.said("shown") != Some(&taken.len().to_string())).then(|| {
        let all = count(selection.ids.len() as u64, "task");
        format!("nothing is done yet: {} of {all} are ticked, and the button is for these now", taken.len())
    })
}

fn wanted(asked: &Asked, form: &Form, selection: &Selection) -> Result<Wanted, Refusal> {
    let word = form.said("verb").ok_or_else(|| required("verb"))?;
    let act = ACTS.into_iter().map(|(act, _)| act).find(|act| act.word() == word);
    let act = act.ok_or_else(|| Refusal::invalid("verb", "not an action for many tasks"))?;
    let (reason, actor) = form.reason_and_actor(&asked.caller)?;
    let settled = settled(form, selection, &reason)?;
    if !settled.is_empty() && !act.settles_owed() {
        let words = "only a retry and undo only can waive and settle: untick the kinds and clear their receipts, or choose one of the two";
        return Err(Refusal::invalid("waive", words));
    }
    Ok(Wanted { act, fields: Fields { reason, actor, ..Fields::default() }, settled })
}

/// What the form says about each kind.
fn settled(form: &Form, selection: &Selection, reason: &str) -> Result<SettledKinds, Refusal> {
    let own = form.said("gone-reason");
    // Without a reason of its own it has that of the whole.
    let mut settled = SettledKinds { reason: own.unwrap_or(reason).to_owned(), ..SettledKinds::default() };
    for (at, kind) in selection.kinds.iter().enumerate() {
        let is_waived = form.is_checked(&format!("gone-{at}"));
        match form.said(&format!("receipt-{at}")) {
            Some(_) if is_waived => {
                let words =
                    format_args!("{kind} is waived and has a receipt: untick it, or clear the receipt");
                return Err(Refusal::invalid("waive", words));
            }
            Some(receipt) => drop(settled.receipts.insert(kind.clone(), receipt.to_owned())),
            None if is_waived => drop(settled.waived.insert(kind.clone())),
            None => {}
        }
    }
    if own.is_some() && settled.waived.is_empty() {
        let words = "there is a reason, but no kind is ticked: tick what is gone, or clear the reason";
        return Err(Refusal::invalid("waive", words));
    }
    Ok(settled)
}

/// Acts on some tasks, in one transaction, each decided for itself. Each has request ids of its own, which follow from that of the
/// form: so a form that is sent twice is done once. An answer has the task that was made, if one was.
async fn act_on(
    asked: &Asked,
    tasks: &[(usize, &TaskId)],
    wanted: &Wanted,
    request: &str,
) -> Result<Vec<Result<Option<TaskId>, String>>, Problem> {
    let (mut commands, mut prepared) = (Vec::new(), Vec::with_capacity(tasks.len()));
    for (at, id) in tasks {
        let request = RequestId::new(format!("{request}-{at}"))?;
        prepared.push(match commands_of(asked, id, wanted, request).await? {
            Ok(own) => {
                let number = own.len();
                commands.extend(own);
                Ok(number)
            }
            Err(words) => Err(words),
        });
    }
    let answers = match commands.is_empty() {
        true => Vec::new(),
        false => asked.served.ledger.store().transact(commands).await,
    };
    let mut answers = answers.into_iter();
    let mut told = |number: usize| {
        let own: Vec<Result<Answer, Error>> = answers.by_ref().take(number).collect();
        let own: Vec<Answer> =
            own.into_iter().collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        let new = own.into_iter().find_map(|answer| match answer {
            Answer::Retried(new, _) => Some(new.id),
            Answer::Task(_) | Answer::Claimed(_) | Answer::Renewed(_) | Answer::Minimal(_) => None,
        });
        Ok(new)
    };
    Ok(prepared.into_iter().map(|prepared| prepared.and_then(&mut told)).collect())
}

/// The commands for one task, or why it can have none.
async fn commands_of(
    asked: &Asked,
    id: &TaskId,
    wanted: &Wanted,
    request: RequestId,
) -> Result<Result<Vec<Command>, String>, Problem> {
    let Wanted { act, fields, settled } = wanted;
    let namespace = asked.shown_namespace()?;
    let mut fields = fields.clone();
    let task = if act.settles_owed() && (!settled.is_empty() || *act == Act::UndoOnly) {
        let permit = asked.quota.look().await?;
        let found = asked.served.ledger.store().task(namespace, id.clone()).await?;
        drop(permit);
        let Some(task) = found else { return Ok(Err("the task does not exist any more".to_owned())) };
        task
    } else {
        // The others need no more of a task than its name.
        Task::blank(namespace, id.clone())
    };
    // What an ended task owes stays as it is, so a form that is sent again says the same of the same.
    for one in task.owed() {
        if settled.waived.contains(&one.undo.kind) {
            fields.waive.push((one.seq.0, settled.reason.clone()));
        } else if let Some(receipt) = settled.receipts.get(&one.undo.kind) {
            fields.receipts.push((one.seq.0, receipt.clone()));
        }
    }
    let by = (asked.caller.name.clone(), Some(request));
    match act.commands_for(&task, &fields, by, asked.served.ledger.entropy()) {
        Ok(commands) => {
            commands.iter().try_for_each(|command| asked.caller.may(&command.action))?;
            Ok(Ok(commands))
        }
        Err(refusal) => Ok(Err(refusal.message.to_string())),
    }
}
