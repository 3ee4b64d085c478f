//! Commands as JSON: the request bodies of the HTTP API, and whole commands in lists.
//!
//! A command in a list is the body of its route with `verb`, the `task` that it is about where there is one, `seq` where a
//! compensation is meant, and `request_id`. What is written here is read back as the same command. Who reads says whose
//! command it is: the namespace, and which leases it may act on, are never taken from what was sent.

use serde::Serialize;
use tenure_core::chain::Hash;
use tenure_core::command::{Action, Command, IdOrigin, OperatorAction};
use tenure_core::id::{Actor, Document, RequestId, Seq, TaskId};
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
    Ok(Command {
        namespace: by.namespace.clone(),
        actor,
        request,
        jitter,
        lease_scope: by.lease_scope,
        action,
    })
}

/// Who chose the id of the new task, if the action makes one.
fn id_origin_mut(action: &mut Action) -> Option<&mut IdOrigin> {
    if let Action::Create(record) = action {
        Some(&mut record.id_origin)
    } else if let Action::Put(put) = action {
        Some(&mut put.record.id_origin)
    } else if let Action::ByOperator { act: OperatorAction::Retry { id_origin, .. }, .. } = action {
        Some(id_origin)
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
        let task = action.task().filter(|_| !is_named_by_its_body).map(TaskId::as_str);
        SentTarget { task, seq: action.seq().map(|seq| seq.0) }
    }
}

/// The text of a command, from which [`read_command`] reads the same one. Its documents must be canonical.
pub fn command_json(command: &Command) -> String {
    let Command { namespace: _, actor, request, jitter, lease_scope: _, action } = command;
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
/// JSON. A made id and jitter are not part of it, so a repeat has the same digest although they were drawn anew. Documents must be
/// canonical; each is in it as its own hash, so that it is not parsed again.
pub fn digest(action: &Action) -> Hash {
    let mut hashed = action.clone();
    for (_, document) in hashed.documents_mut() {
        *document = hash_of(document);
    }
    let mut body = action::body_of(&hashed);
    if action.id_origin() == Some(IdOrigin::Made) {
        body.forget_id();
    }
    let asked = AskedFor { verb: body.name().as_str(), target: SentTarget::of(action), body };
    Hash::of(json::canonical_text(&crate::to_json(&asked)).as_bytes())
}

/// The hash of a document, as a JSON text.
fn hash_of(document: &Document) -> Document {
    let quoted = format!("\"{}\"", Hash::of(document.as_str().as_bytes()));
    Document::new(quoted).unwrap_or_else(|error| panic!("a hash is short: {error}"))
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
    use tenure_core::command::{
        Create, Holder, HolderAction, OperatorAction, Put, PutUndo, QuarantineCause, Take, UndoBy,
    };
    use tenure_core::compensation::Undo;
    use tenure_core::event::{Triage, Waiver};
    use tenure_core::id::{Epoch, Kind, LabelKey, LabelValue, Owner, Queue, Reason, Revision, SagaId, Text};
    use tenure_core::policy::{Policy, Ttl};
    use tenure_core::time::{Span, Time};

    use super::*;

    fn task(id: &str) -> TaskId {
        TaskId::new(id).expect("a name")
    }

    fn reason(words: &str) -> Reason {
        Reason::new(words).expect("words")
    }

    fn owner() -> Owner {
        Owner::new("w1").expect("a name")
    }

    fn text(words: &str) -> Text {
        Text::new(words).expect("a text")
    }

    fn document(text: &str) -> Document {
        json::document("payload", text).expect("JSON")
    }

    fn undo(why: Option<&str>) -> Undo {
        Undo { kind: Kind::new("close-pr").expect("a name"), target: text("pr/12"), reason: why.map(reason) }
    }

    /// Another version of the program must know the repeats of what this one did.
    #[track_caller]
    fn stays(digests: impl IntoIterator<Item = (Action, &'static str)>) {
        for (action, hex) in digests {
            assert_eq!(digest(&action).to_string(), hex, "{action:?}");
        }
    }

    fn retry(successor: &str, id_origin: IdOrigin) -> Hash {
        let act = OperatorAction::Retry {
            successor: task(successor),
            id_origin,
            reason: reason("x"),
            waive: Vec::new(),
            settled: Vec::new(),
        };
        digest(&Action::ByOperator { task: task("t"), act })
    }

    #[test]
    fn a_made_id_is_not_part_of_what_the_caller_asked_for() {
        assert_eq!(retry("a", IdOrigin::Made), retry("b", IdOrigin::Made));
        assert_ne!(retry("a", IdOrigin::Given), retry("b", IdOrigin::Given));
        assert_ne!(retry("a", IdOrigin::Given), retry("a", IdOrigin::Made));
        let create = |id, id_origin| digest(&Action::Create(Box::new(Create::new(task(id), id_origin))));
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

    #[test]
    fn the_digest_of_what_creates_and_takes_tasks_stays_what_it_is() {
        let label = (LabelKey::new("issue").expect("a key"), LabelValue::new("168").expect("a value"));
        let policy = Policy::default().with(|policy| {
            policy.max_attempts = 3;
            policy.stall_after = Some(Span::from_secs(90));
        });
        let create = Create {
            saga_id: Some(SagaId::new("s").expect("a name")),
            queue: Queue::new("agents").expect("a name"),
            labels: [label].into(),
            payload: document(r#"{"a":1}"#),
            priority: -1,
            not_before: Some(Time::from_micros(1_000_000)),
            policy,
            compensations: vec![undo(None)],
            ..Create::new(task("t"), IdOrigin::Given)
        };
        let put = Put {
            revision: Some(Revision(3)),
            result: Some(document("null")),
            compensations: vec![PutUndo { seq: Some(Seq(1)), undo: undo(None) }],
            ..Put::new(task("t"))
        };
        let taken = |take, ttl| Action::Take { task: task("t"), take, owner: owner(), ttl };
        let queue = Queue::new("agents").expect("a name");
        stays([
            (
                Action::Create(Box::new(create)),
                "7587a5be7a73daa86d5c3e0019e5a05394f6a42a34594b570796185e5a6b5696",
            ),
            (Action::Put(Box::new(put)), "867b0bb6cab54817f430701bb70369d882ba0e669ccd675870c8a1a08d0c2cd2"),
            (
                Action::Claim { queue, limit: 2, owner: owner(), ttl: None },
                "c412c409a0d06fd00600a07972986171fc4c06d1997e6bfdd24a975374a8ad38",
            ),
            (taken(Take::Dispatch, None), "ded75af10ca58ed84f1bbb7c02894cce2cc72ed6fd31c06877aaa1c828281135"),
            (
                taken(Take::Acquire, Some(Ttl::MINUTE)),
                "db1a55d75b8993e90fbd7923c0e75878ec76dab7f8f537ace0f5665ac45bcbd6",
            ),
            (taken(Take::Reclaim, None), "28a352a3ef7726b0691f41e789fb82f9654b68fab37c73c266fde8d73ba2662d"),
        ]);
    }

    #[test]
    fn the_digest_of_what_a_holder_does_stays_what_it_is() {
        let held = |act: HolderAction| act.on(task("t"), Holder { owner: owner(), epoch: Epoch(1) });
        let release = HolderAction::Release { reason: reason("x"), delay: Some(Span::from_millis(1_500)) };
        let quarantine = HolderAction::Quarantine { reason: reason("x"), cause: QuarantineCause::ByHolder };
        stays([
            (held(release), "10cbca0324747b90856ef42dc86e3d0c0094205da8f99fe4fef0cdbfef798056"),
            (
                held(HolderAction::Register { undo: undo(Some("made")) }),
                "090471285c7f69987c6fc548a7750f15e0067248018bb2c5524075ce1579b2bc",
            ),
            (held(HolderAction::Adopt), "1a180db8ac6d8e12d216137fd129880411777e1e81ae16b11ddae12f5af7019e"),
            (
                held(HolderAction::Settle { seq: Seq(1), receipt: text("r") }),
                "b98aa9d8f61bdeb6a84896fdef1984d1df67c4bdb494b3577241ced624a56d4a",
            ),
            (
                held(HolderAction::Try { seq: Seq(1), error: text("e") }),
                "66533ee4f984d19fcd61d46c460f0df51525c093f81d4bcd4a1e6152dc31fc5b",
            ),
            (
                held(HolderAction::Complete { result: Some(document("[1]")) }),
                "be6cc5ba1af708cf791015fc316e9b18be2207391c038fa2062b6c8e49d844a2",
            ),
            (
                held(HolderAction::Fail { reason: reason("x"), compensation: Some(undo(None)) }),
                "9462ea5412833eaea84de5003949103c9535e673e827aa2f24c96b76681d8f5b",
            ),
            (
                held(HolderAction::RollBack { reason: reason("x"), undo_by: UndoBy::Holder }),
                "9dcb0a6612c551815f7fb98b422ab314e5babdd65a7446fd69854c811d85eb73",
            ),
            (held(quarantine), "25593393df5b9b041280949dad83719d0cc40a0ec15a24cced9f0d66f01b6e06"),
        ]);
    }

    #[test]
    fn the_digest_of_what_an_operator_does_stays_what_it_is() {
        let operated = |act| Action::ByOperator { task: task("t"), act };
        let waiver = || Waiver { seq: Seq(1), reason: reason("x") };
        let annotate = OperatorAction::Annotate {
            note: Some(reason("x")),
            terminal_reason: None,
            triage: Triage::Dismissed,
        };
        let retry = OperatorAction::Retry {
            successor: task("a"),
            id_origin: IdOrigin::Given,
            reason: reason("x"),
            waive: vec![waiver()],
            settled: Vec::new(),
        };
        stays([
            (
                operated(OperatorAction::Register { undo: undo(None) }),
                "f709963e46a617a0d82d9d6dd17bc76a92e8ec7f62513b5a46e0d0764df9c97c",
            ),
            (
                operated(OperatorAction::Waive { waiver: waiver() }),
                "a19e0372a3d7421ce08d630dee39e429baa9941de7036df035626325fb28b437",
            ),
            (
                operated(OperatorAction::MarkCompleted { reason: reason("x"), result: None }),
                "8d34ac1cd2bee3716c810b0242f49b70b0dbbc9b7fad5e8bfa72a94476b33e98",
            ),
            (
                operated(OperatorAction::MarkFailed { reason: reason("x"), compensation: None }),
                "643948f97aa0c8628fdff370bfa48ad30834b4995e735c1265d20dd1b60ab2cb",
            ),
            (
                operated(OperatorAction::MarkCompensated {
                    reason: reason("x"),
                    waive: vec![waiver()],
                    settled: Vec::new(),
                }),
                "7f72bda404cb12b969476b516f7d75df992d7ab1dadee458cb30a857d8580ada",
            ),
            (
                operated(OperatorAction::MarkQuarantined { reason: reason("x") }),
                "78fbb14dfcc9f0b83e2a9036c333364dcf41247e881b789e60b0142256107777",
            ),
            (
                operated(OperatorAction::Cancel { reason: reason("x") }),
                "033742226385634b7bb667b4e341a67c1598100f8b6565f4c27337d8efc1b59a",
            ),
            (operated(annotate), "4913c27d9fb8d60c9820e9c53b102d0d0c3eb680b2e8c1a9bc9c63672d8c264d"),
            (operated(retry), "5d4620991ebf6e18174ebbc28cfda04f6cd3ee7f08716f10d9c4fc99e6e70921"),
        ]);
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
