//! The form of an action, which says beforehand what it will do, and the action itself.

use askama::Template;
use axum::http::StatusCode;
use tenure::core::command::Command;
use tenure::core::compensation::Compensation;
use tenure::core::id::RequestId;
use tenure::core::refusal::Refusal;
use tenure::core::task::Task;
use tenure::store::Answer;
use tenure::store::answering::AnswerForm;
use tenure_view::offers::{Act, Fields, effects, labels_of, why_not};
use tenure_view::words::{StateMark, state_mark};

use super::address::task_path;
use super::asked::{required, to};
use super::form::Form;
use super::layout::{Layout, Place, respond};
use crate::handlers::answers::look;
use crate::handlers::verbs::decide;
use crate::problem::Problem;
use crate::route::{Answered, Asked};

#[derive(Template)]
#[template(path = "act.html")]
struct ActPage {
    layout: Layout,
    id: String,
    path: String,
    state: StateMark,
    label: &'static str,
    query: String,
    effects: Vec<String>,
    /// What can be waived or settled with it.
    owed: Vec<OwedField>,
    /// Whether it asks for a receipt.
    takes_receipt: bool,
    /// Whether it sets labels, and which ones it can remove.
    takes_labels: bool,
    labels: Vec<LabelField>,
    takes_id: bool,
    needs_reason: bool,
    /// Whether it says that nothing was ever done that must be undone.
    leaves_nothing: bool,
    is_final: bool,
    /// Whether the form must say who it is, because no token does.
    asks_who: bool,
    /// The request id: the same form sent twice is one command.
    request: String,
    /// Why it was refused, after it was sent.
    error: Option<String>,
    said: Said,
}

/// What the form said when it was refused, so that nothing must be written twice.
#[derive(Default)]
struct Said {
    reason: String,
    receipt: String,
    set: String,
    id: String,
    actor: String,
}

/// A compensation that may be waived, or settled with a receipt.
struct OwedField {
    seq: u32,
    what: String,
    is_waived: bool,
    reason: String,
    receipt: String,
}

/// A label that may be removed.
struct LabelField {
    key: String,
    value: String,
    is_checked: bool,
}

/// The action of the query.
fn wanted(asked: &Asked) -> Result<Act, Problem> {
    let word = asked.query.one("verb")?.ok_or_else(|| required("verb"))?;
    Ok(Act::of(word, asked.query.one("seq")?)?)
}

/// `GET /tasks/{ns}/{id}/act`.
pub(super) async fn page(asked: Asked) -> Answered {
    let (act, task) = (wanted(&asked)?, look(&asked).await?);
    let request = asked.served.ledger.entropy().new_id();
    shown(&asked, &task, act, (request, None), &Form::read("")?).await
}

async fn shown(
    asked: &Asked,
    task: &Task,
    act: Act,
    (request, problem): (String, Option<Problem>),
    form: &Form,
) -> Answered {
    let now = asked.served.ledger.now().await?;
    let random = asked.served.ledger.entropy();
    let watchers = asked.served.ledger_of(&task.namespace)?.watchers().await?;
    let effects = effects(act, task, (&watchers, now), random);
    let gone = effects.is_none().then(|| {
        let why = why_not(act, task, now, random).map(|why| format!(": {why}")).unwrap_or_default();
        format!("This can't be done with the task as it is now{why}.")
    });
    let error = problem.as_ref().map(|problem| told(problem.detail())).or(gone);
    let said = |name| form.said(name).unwrap_or_default().to_owned();
    let status = match &problem {
        Some(problem) => problem.status(),
        None if error.is_some() => StatusCode::CONFLICT,
        None => StatusCode::OK,
    };
    let title = format!("{}: {}", act.label(), task.id);
    let page = ActPage {
        layout: Layout::of(asked, Place::Elsewhere, &title, &task.namespace, now).await?,
        id: task.id.to_string(),
        path: task_path(&task.namespace, &task.id),
        state: state_mark(task.state()),
        label: act.label(),
        query: act.query(),
        effects: effects.unwrap_or_default(),
        owed: if act.settles_owed() { owed_fields(task, form) } else { Vec::new() },
        takes_receipt: matches!(act, Act::Settle(_)),
        takes_labels: act == Act::Label,
        labels: if act == Act::Label { label_fields(task, form) } else { Vec::new() },
        takes_id: act == Act::Retry,
        needs_reason: act.needs_reason(),
        leaves_nothing: act == Act::Fail && task.compensations.is_empty(),
        is_final: act.is_final(),
        asks_who: asked.caller.name.is_none(),
        request,
        error,
        said: Said {
            reason: said("reason"),
            receipt: said("receipt"),
            set: said("set"),
            id: said("id"),
            actor: said("actor"),
        },
    };
    Ok(respond(status, &page))
}

fn owed_fields(task: &Task, form: &Form) -> Vec<OwedField> {
    let said = |name: String| form.said(&name).unwrap_or_default().to_owned();
    let field = |one: &Compensation| OwedField {
        seq: one.seq.0,
        what: format!("{} {}", one.undo.kind, one.undo.target),
        is_waived: form.is_checked(&format!("waive-{}", one.seq)),
        reason: said(format!("waive-{}-reason", one.seq)),
        receipt: said(format!("receipt-{}", one.seq)),
    };
    task.owed().map(field).collect()
}

fn label_fields(task: &Task, form: &Form) -> Vec<LabelField> {
    let labels = task.labels.iter().map(|(key, value)| LabelField {
        is_checked: form.is_checked(&format!("unset-{key}")),
        key: key.to_string(),
        value: value.to_string(),
    });
    labels.collect()
}

/// `POST /tasks/{ns}/{id}/act`. A form that is sent twice gets the same answer twice.
pub(super) async fn done(asked: Asked) -> Answered {
    let form = Form::read(&asked.body.text)?;
    let (act, task) = (wanted(&asked)?, look(&asked).await?);
    let request = form.said("request").ok_or_else(|| required("request"))?.to_owned();
    match act_by(&asked, &task, act, &form, &request).await {
        Ok(path) => to(&path),
        // It may have been done, or will be: the same form must stay the same command.
        Err(problem)
            if matches!(problem.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT) =>
        {
            shown(&asked, &task, act, (request, Some(problem)), &form).await
        }
        Err(problem) if problem.is_refusal() => {
            // It is another command from now on.
            let next = asked.served.ledger.entropy().new_id();
            shown(&asked, &task, act, (next, Some(problem)), &form).await
        }
        Err(problem) => Err(problem),
    }
}

/// A refusal as a page says it: the form has other names for its fields.
pub(super) fn told(detail: &str) -> String {
    match detail.strip_prefix("as: ") {
        Some(limit) => format!("your name: {limit}"),
        None => detail.to_owned(),
    }
}

/// Does it, and says where to go then.
async fn act_by(asked: &Asked, task: &Task, act: Act, form: &Form, request: &str) -> Result<String, Problem> {
    let fields = fields(asked, act, form)?;
    let (actor, request) = (asked.caller.name.clone(), Some(RequestId::new(request)?));
    let mut commands = act.commands_for(task, &fields, (actor, request), asked.served.ledger.entropy())?;
    commands.iter().try_for_each(|command| asked.caller.may(&command.action))?;
    let answer = match commands.pop() {
        Some(only) if commands.is_empty() => decide(asked, only, AnswerForm::Whole).await?,
        Some(last) => {
            commands.push(last);
            together(asked, commands).await?
        }
        None => return Err(Problem::wrong_answer()),
    };
    let path = match answer {
        // The first is the new task.
        Answer::Task(after) | Answer::Retried(after, _) => task_path(&after.namespace, &after.id),
        Answer::Claimed(_) | Answer::Renewed(_) | Answer::Minimal(_) => return Err(Problem::wrong_answer()),
    };
    Ok(format!("{path}?done={}", act.word()))
}

/// Gives several commands in one transaction, and returns the first answer if all were done.
async fn together(asked: &Asked, commands: Vec<Command>) -> Result<Answer, Problem> {
    let answers = asked.served.ledger.store().transact(commands).await;
    let answers: Vec<Answer> = answers.into_iter().collect::<Result<_, _>>()?;
    answers.into_iter().next().ok_or_else(Problem::wrong_answer)
}

fn fields(asked: &Asked, act: Act, form: &Form) -> Result<Fields, Problem> {
    let (reason, actor) = match act.needs_reason() {
        true => form.reason_and_actor(&asked.caller)?,
        false => (form.said("reason").unwrap_or_default().to_owned(), form.actor(&asked.caller)?),
    };
    if matches!(act, Act::Settle(_)) && form.said("receipt").is_none() {
        return Err(required("receipt").into());
    }
    // What the form says, whatever the task owes meanwhile: a form that is sent again must be the same command.
    let seqs = form.numbers("waive-");
    if let Some(seq) = form.reasons_of_unchecked("waive-").first() {
        let words =
            format!("number {seq} has a reason but is not ticked: tick it to waive it, or clear its reason");
        return Err(Refusal::invalid("waive", words).into());
    }
    let waive = seqs.into_iter().filter(|_| act.settles_owed()).map(|seq| {
        // Without a reason of its own it has that of the whole.
        let own = form.said(&format!("waive-{seq}-reason"));
        (seq, own.unwrap_or(&reason).to_owned())
    });
    Ok(Fields {
        waive: waive.collect(),
        reason,
        id: form.said("id").map(str::to_owned),
        receipts: form.numbered("receipt-"),
        receipt: form.said("receipt").unwrap_or_default().to_owned(),
        set: labels_of(form.said("set").unwrap_or_default().lines())?,
        unset: form.checked("unset-"),
        leaves_nothing: form.is_checked("leaves-nothing"),
        actor,
    })
}
