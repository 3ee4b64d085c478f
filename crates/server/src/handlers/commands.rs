//! Many commands in one request: one round trip and, as a rule, one commit for all of them.

use std::fmt;
use std::marker::PhantomData;

use axum::http::StatusCode;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tenure::Error;
use tenure::core::command::Command;
use tenure::core::refusal::Refusal;
use tenure::core::time::Time;
use tenure::record::command::{By, read_command, read_heartbeat};
use tenure::record::{AnswersRecord, HeartbeatAnswersRecord};
use tenure::store::Answer;

use crate::body::parse;
use crate::problem::Problem;
use crate::routes::{Answered, Asked, json};

/// Commands of one request.
const COMMANDS_MAX: usize = 10_000;
/// Commands that are decided together. More of one request come after those, so that others get their turn.
const TOGETHER_MAX: usize = 1_024;
/// The bytes of the answers to one request, but for those to the last commands that were decided together.
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

/// The values of a list, but no more of them than may be one too many: a list of nothing but commas and digits has millions.
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
    let answers = decide(&asked, commands.iter().map(read).collect()).await;
    // They were done: a clock that can't be read makes no failure of that.
    let now = asked.served.ledger.now().await.unwrap_or(Time::MIN);
    Ok(json(StatusCode::OK, &AnswersRecord::of(&answers, now)))
}

/// `POST …/heartbeats`.
pub(crate) async fn heartbeats(asked: Asked) -> Answered {
    let Heartbeats { heartbeats: Many(heartbeats) } = parse(&asked.body.text)?;
    let by = by(&asked, heartbeats.len(), "heartbeats")?;
    let read = |raw: &&RawValue| read_heartbeat(raw.get(), &by);
    let commands: Vec<Result<Command, Refusal>> = heartbeats.iter().map(read).collect();
    let named = |command: &Result<Command, Refusal>| HeartbeatAnswersRecord::name(command.as_ref().ok()?);
    let named: Vec<_> = commands.iter().map(named).collect();
    let answers = decide(&asked, commands).await;
    Ok(json(StatusCode::OK, &HeartbeatAnswersRecord::of(named.into_iter().zip(&answers))))
}

fn by<'a>(asked: &'a Asked, count: usize, field: &'static str) -> Result<By<'a>, Problem> {
    if count > COMMANDS_MAX {
        return Err(Refusal::invalid(field, format_args!("up to {COMMANDS_MAX} in one request")).into());
    }
    let (caller, served) = (&asked.caller, &asked.served);
    Ok(By {
        namespace: asked.namespace()?,
        actor: caller.name.clone(),
        reach: caller.reach(),
        chance: served.ledger.chance(),
    })
}

/// Has those decided that could be read and that the caller may give; the others have their answer already.
async fn decide(asked: &Asked, read: Vec<Result<Command, Refusal>>) -> Vec<Result<Answer, Error>> {
    let may = |command: Command| asked.caller.may(&command.action).map(|()| command);
    let checked: Vec<Result<Command, Refusal>> = read.into_iter().map(|one| one.and_then(may)).collect();
    let whole: Vec<Command> = checked.iter().filter_map(|one| one.as_ref().ok()).cloned().collect();
    let mut decided = in_turns(asked, whole).await.into_iter();
    let missing = || Err(Error::Unknown("the store gave no answer".into()));
    let answer = |one: Result<Command, Refusal>| match one {
        Ok(_) => decided.next().unwrap_or_else(missing),
        Err(refusal) => Err(Error::Refused(refusal)),
    };
    checked.into_iter().map(answer).collect()
}

/// Has commands decided, so many at a time. Once their answers are more than one request may be answered with, the others are
/// not done.
async fn in_turns(asked: &Asked, mut commands: Vec<Command>) -> Vec<Result<Answer, Error>> {
    let (mut answers, mut bytes) = (Vec::with_capacity(commands.len()), 0_usize);
    while !commands.is_empty() {
        if bytes >= ANSWERS_BYTES_MAX {
            let words = "the answers to those before it are all that one request is answered with; send it in another one";
            answers.extend(commands.iter().map(|_| Err(Error::Unavailable(words.into()))));
            break;
        }
        let later = commands.split_off(commands.len().min(TOGETHER_MAX));
        let decided = asked.served.ledger.transact(commands).await;
        if !later.is_empty() {
            bytes += tenure::record::json(&AnswersRecord::of(&decided, Time::MIN)).len();
        }
        answers.extend(decided);
        commands = later;
    }
    answers
}
