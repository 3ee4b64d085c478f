//! Commands as JSON: the request bodies of the HTTP API, and whole commands in lists.
//!
//! A command in a list is the body of its route with `verb`, the `task` and the `seq` if it has them, and
//! `request_id`. A written command is read back as the same command. The reader sets the namespace and the lease
//! scope; they are never taken from the sender.

mod actions;
mod bodies;
mod written;

use serde::de::value::MapDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use tenure_core::command::{Action, Command, IdOrigin, LeaseScope};
use tenure_core::id::{Actor, Namespace, RequestId, Seq, TaskId};
use tenure_core::policy::Jitter;
use tenure_core::refusal::Refusal;

use super::input::{of_member, read_whole};
use crate::entropy::Entropy;
use crate::ledger::acting;
use actions::Body;
#[cfg(feature = "openapi")]
pub(super) use actions::PARKINGS;

pub use bodies::{
    AdoptBody, CancelBody, ClaimBody, CompensateBody, CompleteBody, CreateBody, FailBody, HeartbeatBody,
    NoteBody, ProgressBody, QuarantineBody, RegisterBody, ReleaseBody, RetryBody, RollBackBody, SettleBody,
    TakeBody, UndoBody, WaiveBody, WaiverBody,
};
pub use written::{CommandRecord, command_json};

/// The verb of a command in JSON. It is the same by lease and by operator: owner and epoch make the difference.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)] // One for each word; what it does says the core's command.
pub enum Verb {
    Create,
    Put,
    Dispatch,
    Acquire,
    Reclaim,
    Claim,
    Heartbeat,
    Progress,
    Release,
    Register,
    Adopt,
    Settle,
    Waive,
    Complete,
    Fail,
    RollBack,
    Quarantine,
    Compensate,
    Cancel,
    Notes,
    Retry,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Verb; 21] = [
        Verb::Create,
        Verb::Put,
        Verb::Dispatch,
        Verb::Acquire,
        Verb::Reclaim,
        Verb::Claim,
        Verb::Heartbeat,
        Verb::Progress,
        Verb::Release,
        Verb::Register,
        Verb::Adopt,
        Verb::Settle,
        Verb::Waive,
        Verb::Complete,
        Verb::Fail,
        Verb::RollBack,
        Verb::Quarantine,
        Verb::Compensate,
        Verb::Cancel,
        Verb::Notes,
        Verb::Retry,
    ];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verb::Create => "create",
            Verb::Put => "put",
            Verb::Dispatch => "dispatch",
            Verb::Acquire => "acquire",
            Verb::Reclaim => "reclaim",
            Verb::Claim => "claim",
            Verb::Heartbeat => "heartbeat",
            Verb::Progress => "progress",
            Verb::Release => "release",
            Verb::Register => "register",
            Verb::Adopt => "adopt",
            Verb::Settle => "settle",
            Verb::Waive => "waive",
            Verb::Complete => "complete",
            Verb::Fail => "fail",
            Verb::RollBack => "rollback",
            Verb::Quarantine => "quarantine",
            Verb::Compensate => "compensate",
            Verb::Cancel => "cancel",
            Verb::Notes => "notes",
            Verb::Retry => "retry",
        }
    }

    /// The verb of that word.
    pub fn of(word: &str) -> Option<Verb> {
        Verb::ALL.into_iter().find(|verb| verb.as_str() == word)
    }
}

/// The context for reading commands.
#[derive(Clone)]
pub struct By<'a> {
    /// Their namespace.
    pub namespace: &'a Namespace,
    /// The actor, which overrides theirs; none: their own, else the owner, else `anonymous`.
    pub actor: Option<Actor>,
    /// The leases that they may act on.
    pub reach: LeaseScope,
    /// The source of jitter and ids that they don't contain.
    pub entropy: &'a dyn Entropy,
}

/// The parts of a command that are not in its body.
#[derive(Clone, Default, Debug)]
pub struct Target {
    /// The task.
    pub task: Option<TaskId>,
    /// The compensation.
    pub seq: Option<Seq>,
    /// The request id.
    pub request: Option<RequestId>,
}

/// Reads the body of a verb's route.
pub fn read_body(verb: Verb, target: Target, text: &str, by: &By<'_>) -> Result<Command, Refusal> {
    let members = Members::of(text)?;
    command(verb, target, members, by)
}

/// Reads one command of a list.
pub fn read_command(text: &str, by: &By<'_>) -> Result<Command, Refusal> {
    let mut members = Members::of(text)?;
    let word: Option<String> = members.take("verb", "a text")?;
    let verb = word.as_deref().and_then(Verb::of).ok_or_else(|| {
        let words = Verb::ALL.map(Verb::as_str).join(", ");
        Refusal::invalid("verb", format_args!("one of {words}"))
    })?;
    if verb == Verb::Claim && members.has("wait") {
        return Err(Refusal::invalid("wait", "a claim in a list of commands can't wait"));
    }
    let target = Target {
        // The members of a put are those of a record, which may be wrapped in a `task`.
        task: if verb == Verb::Put { None } else { named(&mut members, "task")? },
        seq: members.take("seq", "a whole number from 1")?.map(Seq),
        request: request(&mut members)?,
    };
    command(verb, target, members, by)
}

/// Reads one heartbeat of many: the body of a heartbeat, and the `id` of its task.
pub fn read_heartbeat(text: &str, by: &By<'_>) -> Result<Command, Refusal> {
    let mut members = Members::of(text)?;
    let task = named(&mut members, "id")?;
    if task.is_none() {
        return Err(Refusal::invalid("id", "is required"));
    }
    command(Verb::Heartbeat, Target { task, ..Target::default() }, members, by)
}

fn named(members: &mut Members<'_>, field: &'static str) -> Result<Option<TaskId>, Refusal> {
    let name: Option<String> = members.take(field, "a text")?;
    name.map(|name| TaskId::named(field, name)).transpose()
}

fn request(members: &mut Members<'_>) -> Result<Option<RequestId>, Refusal> {
    let id: Option<String> = members.take("request_id", "a text")?;
    id.map(RequestId::new).transpose()
}

fn command(verb: Verb, target: Target, mut members: Members<'_>, by: &By<'_>) -> Result<Command, Refusal> {
    if let (Some(_), Verb::Create | Verb::Claim) = (&target.task, verb) {
        return Err(Refusal::invalid(
            "task",
            format_args!("not allowed, because a {} takes no task id", verb.as_str()),
        ));
    }
    if target.seq.is_some() != matches!(verb, Verb::Settle | Verb::Waive) {
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
    let names_a_new_task = matches!(verb, Verb::Create | Verb::Put | Verb::Retry);
    let is_made = names_a_new_task && members.take("made", "true or false")?.unwrap_or(false);
    let (actor, mut action) = match verb {
        Verb::Create => action::<CreateBody>(verb, target, members, by),
        Verb::Put => put(target.task, members, by),
        Verb::Dispatch | Verb::Acquire | Verb::Reclaim => action::<TakeBody>(verb, target, members, by),
        Verb::Claim => action::<ClaimBody>(verb, target, members, by),
        Verb::Heartbeat => action::<HeartbeatBody>(verb, target, members, by),
        Verb::Progress => action::<ProgressBody>(verb, target, members, by),
        Verb::Release => action::<ReleaseBody>(verb, target, members, by),
        Verb::Register => action::<RegisterBody>(verb, target, members, by),
        Verb::Adopt => action::<AdoptBody>(verb, target, members, by),
        Verb::Settle => action::<SettleBody>(verb, target, members, by),
        Verb::Waive => action::<WaiveBody>(verb, target, members, by),
        Verb::Complete => action::<CompleteBody>(verb, target, members, by),
        Verb::Fail => action::<FailBody>(verb, target, members, by),
        Verb::RollBack => action::<RollBackBody>(verb, target, members, by),
        Verb::Quarantine => action::<QuarantineBody>(verb, target, members, by),
        Verb::Compensate => action::<CompensateBody>(verb, target, members, by),
        Verb::Cancel => action::<CancelBody>(verb, target, members, by),
        Verb::Notes => action::<NoteBody>(verb, target, members, by),
        Verb::Retry => action::<RetryBody>(verb, target, members, by),
    }?;
    if is_made {
        count_as_made(&mut action);
    }
    let said = actor.map(|name| Actor::named("as", name)).transpose()?;
    let actor = match by.actor.clone().or(said).or_else(|| acting(&action)) {
        Some(actor) => actor,
        None => Actor::new(crate::ledger::ANONYMOUS)?,
    };
    let jitter = jitter.map(Jitter::from_random).unwrap_or_else(|| by.entropy.jitter());
    Ok(Command { namespace: by.namespace.clone(), actor, request, jitter, reach: by.reach, action })
}

fn action<B: Body + DeserializeOwned>(
    verb: Verb,
    target: Target,
    members: Members<'_>,
    by: &By<'_>,
) -> Result<(Option<String>, Action), Refusal> {
    let mut body: B = members.into_body(B::FIELDS)?;
    let actor = body.actor();
    Ok((actor, body.action(verb, target, by)?))
}

/// The id of a new task counts as made wherever it was.
fn count_as_made(action: &mut Action) {
    if let Action::Create(record) = action {
        record.naming = IdOrigin::Made;
    } else if let Action::Put(put) = action {
        put.record.naming = IdOrigin::Made;
    } else if let Action::Retry { naming, .. } = action {
        *naming = IdOrigin::Made;
    }
}

/// A whole record, bare or wrapped as it is printed, with the actor beside it. It may leave out the id that the
/// path gives.
fn put(
    named: Option<TaskId>,
    mut members: Members<'_>,
    by: &By<'_>,
) -> Result<(Option<String>, Action), Refusal> {
    let actor = members.take("as", "a text")?;
    if let [(name, wrapped)] = members.0.as_slice()
        && name == "task"
    {
        members = Members::of(wrapped.get())?;
    }
    let record: super::input::TaskInput = members.into_body(&[])?;
    Ok((actor, Action::Put(Box::new(record.into_put(by.namespace, named)?))))
}

/// The members of an object, as they stand.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    fn of(text: &'a str) -> Result<Members<'a>, Refusal> {
        read_whole(text, "body", "a single JSON object")
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(member, _)| member == name)
    }

    /// Takes one out; `null` is none. One that stands twice is left to be found: nobody could tell which was meant.
    fn take<T: DeserializeOwned>(
        &mut self,
        name: &'static str,
        form: &'static str,
    ) -> Result<Option<T>, Refusal> {
        let Some(at) = self.0.iter().position(|(member, _)| member == name) else { return Ok(None) };
        let (_, value) = self.0.remove(at);
        if self.has(name) {
            return Err(Refusal::invalid(name, "is given twice"));
        }
        serde_json::from_str(value.get()).map_err(|_| Refusal::invalid(name, form))
    }

    /// As that body. What is wrong is told of the one of `fields` that it is about, or of the body.
    fn into_body<B: DeserializeOwned>(self, fields: &[&'static str]) -> Result<B, Refusal> {
        let members = || {
            let members = self.0.iter().map(|(name, value)| (name.as_str(), *value));
            MapDeserializer::<_, serde_json::Error>::new(members)
        };
        B::deserialize(members()).or_else(|_| {
            let located = serde_path_to_error::deserialize(members());
            located.map_err(|error| of_member(&error, fields))
        })
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(All)
    }
}
