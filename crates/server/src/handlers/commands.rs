//! Many commands in one request: one round trip and, as a rule, one commit for all of them.

use axum::http::StatusCode;
use serde::Deserialize;
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Commands<'a> {
    #[serde(borrow)]
    commands: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Heartbeats<'a> {
    #[serde(borrow)]
    heartbeats: Vec<&'a RawValue>,
}

/// `POST …/commands`.
pub(crate) async fn many(asked: Asked) -> Answered {
    let Commands { commands } = parse(&asked.body.text)?;
    let by = by(&asked, commands.len(), "commands")?;
    let read = |raw: &&RawValue| read_command(raw.get(), &by);
    let answers = decide(&asked, commands.iter().map(read).collect()).await;
    // They were done: a clock that can't be read makes no failure of that.
    let now = asked.served.ledger.now().await.unwrap_or(Time::MIN);
    Ok(json(StatusCode::OK, &AnswersRecord::of(&answers, now)))
}

/// `POST …/heartbeats`.
pub(crate) async fn heartbeats(asked: Asked) -> Answered {
    let Heartbeats { heartbeats } = parse(&asked.body.text)?;
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
    let whole = checked.iter().filter_map(|one| one.as_ref().ok()).cloned().collect();
    let mut decided = asked.served.ledger.transact(whole).await.into_iter();
    let missing = || Err(Error::Unknown("the store gave no answer".into()));
    let answer = |one: Result<Command, Refusal>| match one {
        Ok(_) => decided.next().unwrap_or_else(missing),
        Err(refusal) => Err(Error::Refused(refusal)),
    };
    checked.into_iter().map(answer).collect()
}
