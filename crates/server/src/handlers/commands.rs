//! Many commands in one request: one round trip and, usually, one commit for all of them.

use std::fmt;
use std::marker::PhantomData;

use axum::http::StatusCode;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tenure::Error;
use tenure::api::answer::{Answers, HeartbeatAnswers};
use tenure::api::command::{By, read_command, read_heartbeat};
use tenure::core::command::{Action, Command};
use tenure::core::refusal::Refusal;
use tenure::core::time::Time;
use tenure::core::verb::Verb;
use tenure::record::{answer, heartbeat_answer, known_time};
use tenure::store::Answer;
use tenure::store::answering::{AnswerForm, AnswerOptions, MinimalTask};
use tenure::store::size::answer_bytes;

use super::{answer_form, prefers};
use crate::body::parse;
use crate::memory::SMALL_BYTES;
use crate::problem::Problem;
use crate::route::{Answered, Asked, json};

/// Commands of one request.
const COMMANDS_MAX: usize = 10_000;
/// How many commands are decided together. More of one request come after those, so that other requests get their turn.
const TOGETHER_MAX: usize = 1_024;
/// The bytes of the answers to one request. A larger answer is the only one.
const ANSWERS_BYTES_MAX: usize = 16 * 1024 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Commands<'a> {
    #[serde(borrow)]
    commands: Many<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Heartbeats<'a> {
    #[serde(borrow)]
    heartbeats: Many<'a>,
}

/// The values of a list, at most one more than is allowed: a list of commas and digits alone could have millions.
struct Many<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Many<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UpToTooMany<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for UpToTooMany<'a> {
            type Value = Many<'a>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut values = Vec::new();
                while values.len() <= COMMANDS_MAX
                    && let Some(value) = list.next_element()?
                {
                    values.push(value);
                }
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Many(values))
            }
        }
        deserializer.deserialize_seq(UpToTooMany(PhantomData))
    }
}

/// `POST …/commands`.
pub(crate) async fn many(asked: Asked) -> Answered {
    let Commands { commands: Many(commands) } = parse(&asked.body.text)?;
    let by = by(&asked, commands.len(), "commands")?;
    let read = |raw: &&RawValue| read_command(raw.get(), &by);
    let form = answer_form(&asked, AnswerForm::GrantsWhole)?;
    let answered = decide(&asked, commands.iter().map(read).collect(), Some(form)).await?;
    let times: Vec<Option<Time>> = answered.iter().map(time_without_a_clock).collect();
    let now = match times.iter().all(Option::is_some) {
        true => Time::MIN,
        // They were done, so the request must not fail because the clock can't be read.
        false => asked.served.ledger.now().await.unwrap_or(Time::MIN),
    };
    let bytes = answered.iter().map(answered_bytes).sum();
    let make = move || {
        let told = answered.iter().zip(times).map(|(one, time)| answer(one, time.unwrap_or(now)));
        json(StatusCode::OK, &Answers { answers: told.collect() })
    };
    Ok(prefers(&asked, asked.served.work.make(bytes, make).await?))
}

fn time_without_a_clock(answered: &Result<Answer, Error>) -> Option<Time> {
    // An error contains no task.
    answered.as_ref().map_or(Some(Time::MIN), known_time)
}

/// `POST …/heartbeats`.
pub(crate) async fn heartbeats(asked: Asked) -> Answered {
    let Heartbeats { heartbeats: Many(heartbeats) } = parse(&asked.body.text)?;
    let by = by(&asked, heartbeats.len(), "heartbeats")?;
    let read = |raw: &&RawValue| read_heartbeat(raw.get(), &by);
    let commands: Vec<Result<Command, Refusal>> = heartbeats.iter().map(read).collect();
    let lease = |command: &Result<Command, Refusal>| {
        let action = &command.as_ref().ok()?.action;
        Some((action.task()?.clone(), action.holder()?.epoch))
    };
    let leases: Vec<_> = commands.iter().map(lease).collect();
    let answered = decide(&asked, commands, None).await?;
    let answers = leases.into_iter().zip(&answered).map(|(lease, answer)| heartbeat_answer(lease, answer));
    Ok(json(StatusCode::OK, &HeartbeatAnswers { answers: answers.collect() }))
}

fn by<'a>(asked: &'a Asked, count: usize, field: &'static str) -> Result<By<'a>, Problem> {
    if count > COMMANDS_MAX {
        return Err(Refusal::invalid(field, format_args!("up to {COMMANDS_MAX} in one request")).into());
    }
    let (caller, served) = (&asked.caller, &asked.served);
    Ok(By {
        namespace: asked.namespace()?,
        actor: caller.name.clone(),
        lease_scope: caller.lease_scope(),
        random: served.ledger.entropy(),
    })
}

/// Decides the commands that could be read and that the caller may give; the others have their answer already. Answers to
/// heartbeats contain no task and are short, so no memory is taken for them.
async fn decide(
    asked: &Asked,
    read: Vec<Result<Command, Refusal>>,
    form: Option<AnswerForm>,
) -> Result<Vec<Result<Answer, Error>>, Problem> {
    let may = |command: Command| asked.caller.may(&command.action).map(|()| command);
    let checked: Vec<Result<Command, Refusal>> = read.into_iter().map(|one| one.and_then(may)).collect();
    let (mut whole, mut refusals) = (Vec::with_capacity(checked.len()), Vec::with_capacity(checked.len()));
    for one in checked {
        match one {
            Ok(command) => {
                whole.push(command);
                refusals.push(None);
            }
            Err(refusal) => refusals.push(Some(refusal)),
        }
    }
    let mut decided = in_turns(asked, whole, form).await?.into_iter();
    let missing = || Err(Error::Unknown("the store gave no answer".into()));
    let answer = |refusal: Option<Refusal>| match refusal {
        None => decided.next().unwrap_or_else(missing),
        Some(refusal) => Err(Error::Refused(refusal)),
    };
    Ok(refusals.into_iter().map(answer).collect())
}

/// Decides commands, [`TOGETHER_MAX`] at a time. A command whose answer does not fit into the response or into memory is not done. If
/// that is so for all of them, the request fails.
async fn in_turns(
    asked: &Asked,
    mut commands: Vec<Command>,
    form: Option<AnswerForm>,
) -> Result<Vec<Result<Answer, Error>>, Problem> {
    let mut answers = Vec::with_capacity(commands.len());
    // The memory taken for answers, and how much of it they use.
    let (mut bytes_max, mut bytes) = (usize::MAX, 0_usize);
    let about_tasks = commands.iter().filter(|command| !is_renewal(&command.action)).count();
    if form.is_some() && about_tasks > 0 {
        bytes_max = ANSWERS_BYTES_MAX.min(MinimalTask::BYTES_MAX * about_tasks).max(SMALL_BYTES);
        asked.memory.for_answer(bytes_max).await?;
    }
    let form = form.unwrap_or(AnswerForm::Minimal);
    while !commands.is_empty() {
        let later = commands.split_off(commands.len().min(TOGETHER_MAX));
        let options = AnswerOptions::default().with(|options| {
            options.form = form;
            options.bytes_max = bytes_max.saturating_sub(bytes);
        });
        // Documents that were read from a body are canonical.
        let answered = asked.served.ledger.store().transact_within(commands, options).await;
        let is_renewed = |answer: &&Result<Answer, Error>| matches!(answer, Ok(Answer::Renewed(_)));
        let about_tasks = answered.answers.iter().filter(|answer| !is_renewed(answer));
        bytes += about_tasks.map(answered_bytes).sum::<usize>();
        answers.extend(answered.answers);
        commands = answered.rest;
        commands.extend(later);
        let Some(next_bytes) = answered.next_bytes else { continue };
        let needed = bytes + next_bytes;
        // A single answer may have any size.
        if needed > ANSWERS_BYTES_MAX && bytes > 0 {
            answers.extend(not_done(
                &commands,
                "the response is full with the answers to earlier commands; \
                send this one in another request, or use ?return=minimal",
            ));
            break;
        }
        let wanted = needed.max(ANSWERS_BYTES_MAX.min(2 * bytes_max));
        match asked.memory.for_answer(wanted).await {
            Ok(()) => bytes_max = wanted,
            Err(error) if answers.is_empty() => return Err(error.into()),
            Err(error) => {
                answers.extend(not_done(&commands, &error.to_string()));
                break;
            }
        }
    }
    Ok(answers)
}

/// Whether the answer is a renewal: a few words about a lease, in every form.
fn is_renewal(action: &Action) -> bool {
    matches!(action.verb(), Verb::Heartbeat | Verb::Progress)
}

/// The answers to commands that were not done.
fn not_done(commands: &[Command], why: &str) -> impl Iterator<Item = Result<Answer, Error>> {
    let error = Error::Unavailable(why.into());
    (0..commands.len()).map(move |_| Err(error.clone()))
}

/// The size of an answer. An error is counted as a few words.
fn answered_bytes(answer: &Result<Answer, Error>) -> usize {
    const WORDS_BYTES: usize = 512;
    answer.as_ref().map_or(WORDS_BYTES, answer_bytes)
}
