//! Commands as JSON: the request bodies of the HTTP API, and whole commands in lists.
//!
//! A command in a list is the body of its route with `verb`, the `task` that it is about where there is one, `seq` where a
//! compensation is meant, and `request_id`. What is written here is read back as the same command. Who reads says whose
//! command it is: the namespace, and which leases it may act on, are never taken from what was sent.

use serde::Serialize;
use tenure_core::chain::Hash;
use tenure_core::command::{Action, Command, HolderAction, IdOrigin, OperatorAction};
use tenure_core::id::{Actor, RequestId, Seq, TaskId};
use tenure_core::policy::Jitter;
use tenure_core::refusal::Refusal;

use crate::action;
use crate::command_body::{CommandBody, read_action};
use crate::json;
use crate::members::Members;
#[cfg(feature = "openapi")]
use crate::schema::word_schemas;

pub use crate::command_body::CommandName;
pub use crate::target::{By, RandomSource, Target};

/// Reads the body of a command's route.
pub fn read_body(name: CommandName, target: Target, text: &str, by: &By<'_>) -> Result<Command, Refusal> {
    let members = Members::of(text)?;
    command(name, target, members, by)
}

/// Reads one command of a list.
pub fn read_command(text: &str, by: &By<'_>) -> Result<Command, Refusal> {
    let mut members = Members::of(text)?;
    let word: Option<String> = members.take("verb", "a text")?;
    let name = word.as_deref().and_then(CommandName::of).ok_or_else(|| {
        let words: Vec<&str> = CommandName::ALL.iter().map(|name| name.as_str()).collect();
        Refusal::invalid("verb", format_args!("one of {}", words.join(", ")))
    })?;
    if name == CommandName::Claim && members.has("wait") {
        return Err(Refusal::invalid("wait", "a claim in a list of commands can't wait"));
    }
    let target = Target {
        // The members of a put are those of a record, which may be wrapped in a `task`.
        task: if name == CommandName::Put { None } else { named(&mut members, "task")? },
        seq: members.take("seq", "a whole number from 1")?.map(Seq),
        request: request(&mut members)?,
    };
    command(name, target, members, by)
}

/// Reads one heartbeat of many: the body of a heartbeat, and the `id` of its task.
pub fn read_heartbeat(text: &str, by: &By<'_>) -> Result<Command, Refusal> {
    let mut members = Members::of(text)?;
    let task = named(&mut members, "id")?;
    if task.is_none() {
        return Err(Refusal::invalid("id", "is required"));
    }
    command(CommandName::Heartbeat, Target { task, ..Target::default() }, members, by)
}

fn named(members: &mut Members<'_>, field: &'static str) -> Result<Option<TaskId>, Refusal> {
    let name: Option<String> = members.take(field, "a text")?;
    Ok(name.map(|name| TaskId::named(field, name)).transpose()?)
}

fn request(members: &mut Members<'_>) -> Result<Option<RequestId>, Refusal> {
    let id: Option<String> = members.take("request_id", "a text")?;
    Ok(id.map(RequestId::new).transpose()?)
}

fn command(
    name: CommandName,
    target: Target,
    mut members: Members<'_>,
    by: &By<'_>,
) -> Result<Command, Refusal> {
    if let (Some(_), CommandName::Create | CommandName::Claim) = (&target.task, name) {
        return Err(Refusal::invalid(
            "task",
            format_args!("not allowed, because a {} takes no task id", name.as_str()),
        ));
    }
    if target.seq.is_some() != matches!(name, CommandName::Settle | CommandName::Waive) {
        return Err(Refusal::invalid(
            "seq",
            match target.seq {
                Some(_) => "allowed only for settle and waive",
                None => "is required",
            },
        ));
    }
    let request = target.request.clone();
    // Only a store behind a server says these two, which draws jitter and ids itself; so no body has them, and none is
    // described with them.
    let jitter: Option<u16> = members.take("jitter", "a whole number from 0 to 65535")?;
    let is_made = name.names_a_new_task() && members.take("made", "true or false")?.unwrap_or(false);
    let (actor, mut action) = read_action(name, target, members, by)?;
    if is_made && let Some(origin) = id_origin_mut(&mut action) {
        *origin = IdOrigin::Made;
    }
    let said = actor.map(|name| Actor::named("as", name)).transpose()?;
    let actor = by.actor.clone().or(said).or_else(|| action.actor()).unwrap_or_else(Actor::anonymous);
    let jitter = jitter.map(Jitter::from_random).unwrap_or_else(|| by.random.jitter());
    Ok(Command { namespace: by.namespace.clone(), actor, request, jitter, reach: by.reach, action })
}

/// Who chose the id of the new task, if the action makes one.
fn id_origin_mut(action: &mut Action) -> Option<&mut IdOrigin> {
    if let Action::Create(record) = action {
        Some(&mut record.naming)
    } else if let Action::Put(put) = action {
        Some(&mut put.record.naming)
    } else if let Action::ByOperator { act: OperatorAction::Retry { naming, .. }, .. } = action {
        Some(naming)
    } else {
        None
    }
}

/// A command of a list, as a store behind a server sends it.
#[derive(Serialize)]
struct SentCommand<'a> {
    verb: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(rename = "as")]
    actor: &'a str,
    jitter: u16,
    #[serde(flatten)]
    target: SentTarget<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    made: Option<bool>,
    #[serde(flatten)]
    body: CommandBody,
}

#[derive(Serialize)]
struct SentTarget<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u32>,
}

impl SentTarget<'_> {
    fn of(action: &Action) -> SentTarget<'_> {
        let is_named_by_its_body = matches!(action, Action::Create(_) | Action::Put(_));
        let seq = if let Action::ByHolder {
            act: HolderAction::Settle { seq, .. } | HolderAction::Try { seq, .. },
            ..
        } = action
        {
            Some(seq.0)
        } else if let Action::ByOperator { act: OperatorAction::Waive { waiver }, .. } = action {
            Some(waiver.seq.0)
        } else {
            None
        };
        SentTarget { task: action.task().filter(|_| !is_named_by_its_body).map(TaskId::as_str), seq }
    }
}

/// The text of a command, from which [`read_command`] reads the same one. Its documents must be canonical.
pub fn command_json(command: &Command) -> String {
    let Command { namespace: _, actor, request, jitter, reach: _, action } = command;
    let body = action::body_of(action);
    let sent = SentCommand {
        verb: body.name().as_str(),
        request_id: request.as_ref().map(RequestId::as_str),
        actor: actor.as_str(),
        jitter: jitter.drawn(),
        target: SentTarget::of(action),
        made: (action.id_origin() == Some(IdOrigin::Made)).then_some(true),
        body,
    };
    crate::to_json(&sent)
}

/// What a caller asked for, whatever its request id: not who gives it, nor what was drawn for it.
#[derive(Serialize)]
struct AskedFor<'a> {
    verb: &'static str,
    #[serde(flatten)]
    target: SentTarget<'a>,
    #[serde(flatten)]
    body: CommandBody,
}

/// The digest of what a command asks for, by which a repeat under the same request id is known: the hash of its canonical
/// JSON. A made id and jitter are not part of it, so a repeat has the same digest although they were drawn anew.
pub fn digest(action: &Action) -> Hash {
    let mut body = action::body_of(action);
    if action.id_origin() == Some(IdOrigin::Made) {
        body.forget_id();
    }
    let asked = AskedFor { verb: body.name().as_str(), target: SentTarget::of(action), body };
    Hash::of(json::canonical_text(&crate::to_json(&asked)).as_bytes())
}

impl CommandBody {
    fn forget_id(&mut self) {
        if let CommandBody::Create(body) = self {
            body.id = None;
        } else if let CommandBody::Put(body) = self {
            body.id = None;
        } else if let CommandBody::Retry(body) = self {
            body.id = None;
        }
    }
}

#[cfg(feature = "openapi")]
word_schemas! {
    /// The verb of one of many commands.
    VerbWord shown as "Verb": CommandName::ALL.iter().map(|name| name.as_str());
}

#[cfg(test)]
mod tests {
    use tenure_core::command::{Create, Take};
    use tenure_core::event::Triage;
    use tenure_core::id::{Owner, Reason};
    use tenure_core::policy::Ttl;

    use super::*;

    fn task(id: &str) -> TaskId {
        TaskId::new(id).expect("a name")
    }

    fn reason(words: &str) -> Reason {
        Reason::new(words).expect("words")
    }

    fn retry(successor: &str, naming: IdOrigin) -> Hash {
        let act = OperatorAction::Retry {
            successor: task(successor),
            naming,
            reason: reason("x"),
            waive: Vec::new(),
        };
        digest(&Action::ByOperator { task: task("t"), act })
    }

    #[test]
    fn a_made_id_is_not_part_of_what_the_caller_asked_for() {
        assert_eq!(retry("a", IdOrigin::Made), retry("b", IdOrigin::Made));
        assert_ne!(retry("a", IdOrigin::Given), retry("b", IdOrigin::Given));
        assert_ne!(retry("a", IdOrigin::Given), retry("a", IdOrigin::Made));
        let create = |id, naming| digest(&Action::Create(Box::new(Create::new(task(id), naming))));
        assert_eq!(create("a", IdOrigin::Made), create("b", IdOrigin::Made));
        assert_ne!(create("a", IdOrigin::Given), create("b", IdOrigin::Given));
    }

    #[test]
    fn everything_that_the_caller_asked_for_is_part_of_it() {
        let take = |take, ttl| {
            digest(&Action::Take { task: task("t"), take, owner: Owner::new("w").expect("a name"), ttl })
        };
        assert_ne!(take(Take::Acquire, None), take(Take::Acquire, Some(Ttl::MINUTE)));
        assert_ne!(take(Take::Acquire, None), take(Take::Dispatch, None), "the command, too");
        let operator = |id, act| digest(&Action::ByOperator { task: task(id), act });
        let cancel = |id, why| operator(id, OperatorAction::Cancel { reason: reason(why) });
        assert_ne!(cancel("t", "x"), cancel("u", "x"));
        assert_ne!(cancel("t", "x"), cancel("t", "y"));
        let note = |triage| {
            operator("t", OperatorAction::Annotate { note: Some(reason("x")), terminal_reason: None, triage })
        };
        assert_ne!(note(Triage::Stays), note(Triage::Dismissed));
    }

    /// Another version of the program must know the repeats of what this one did.
    #[test]
    fn a_digest_stays_what_it_is() {
        let hex = "370293881f9bc0c46951a55f307fc21887b55f82d475a55746af669252c14fbb";
        assert_eq!(retry("a", IdOrigin::Given).to_string(), hex);
    }

    #[test]
    fn a_digest_takes_documents_as_deep_as_they_may_be() {
        let payload = format!("{}{}", "[".repeat(100), "]".repeat(100));
        let payload = json::document("payload", &payload).expect("as deep as it may be");
        let create = Create { payload, ..Create::new(task("t"), IdOrigin::Given) };
        assert_ne!(
            digest(&Action::Create(Box::new(create))),
            digest(&Action::Create(Box::new(Create::new(task("t"), IdOrigin::Given))))
        );
    }
}
