//! A whole record, as it is printed or with less in it, and a task to create: what people write down.
//!
//! Derived fields are ignored, because a printed task contains them. An unknown field is refused by name: it is a
//! typing error, and ignoring it would lose what the author meant.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use tenure_core::command::{Action, Create, IdOrigin, Put, PutHolder, PutUndo};
use tenure_core::compensation::Undo;
use tenure_core::id::{
    Actor, Document, Epoch, Kind, LabelKey, LabelValue, Namespace, Owner, Queue, Reason, Revision, SagaId,
    Seq, TaskId, Text,
};
use tenure_core::refusal::Refusal;
use tenure_core::task::{Labels, State};
use tenure_core::time::Time;

use crate::body::{CreateBody, PutBody, PutHolderBody, PutUndoBody, UndoBody};
use crate::command_body::{CommandName, ReadBody};
use crate::document::raw;
use crate::instant;
use crate::members::Members;
use crate::policy::Policy;
use crate::read::{document, explained_member, of_member, read_whole};
use crate::target::{By, Target};
use crate::wire::parse_word;

/// Reads the whole record of one task in `namespace`, bare or as a command printed it: `{"task":{…}}`.
pub fn read_put(text: &str, namespace: &Namespace) -> Result<Put, Refusal> {
    let bare = serde_json::from_str::<PrintedTask<'_>>(text).map_or(text, |printed| printed.task.get());
    read_whole::<PutBody>(bare, "record", "one task")?.into_put(namespace, None)
}

/// Reads a task to create in `namespace`. Limits that are not those of a single field are checked with the command.
pub fn read_create(text: &str, namespace: &Namespace) -> Result<Create, Refusal> {
    let record = |what: &str| Refusal::invalid("record", what);
    let mut members: Members<'_> = read_whole(text, "record", "one task")?;
    if members.has("as") {
        return Err(record("unknown field `as`"));
    }
    is_of(namespace, members.take("namespace", "a text")?)?;
    let mut body: CreateBody = members.into_body(|error| {
        // The body of a route has `as` and no namespace; here it is the other way round.
        record(&explained_member(error).replace("`as`", "`namespace`"))
    })?;
    let id = body.id.take().ok_or_else(|| record("missing field `id`"))?;
    body.into_create(TaskId::new(id)?, IdOrigin::Given)
}

/// The text of a task to create, whose payload must be canonical. It is read back as it is, but for who chose its id:
/// once it is written down, it is given.
pub fn create_json(create: &Create) -> String {
    crate::to_json(&CreateBody::from(create))
}

/// A task as commands print it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PrintedTask<'a> {
    #[serde(borrow)]
    task: &'a RawValue,
}

/// The record, bare or wrapped as it is printed, with who writes it beside.
impl ReadBody for PutBody {
    fn read(mut members: Members<'_>) -> Result<(Option<String>, PutBody), Refusal> {
        let actor = members.take("as", "a text")?;
        let reason: Option<String> = members.take("reason", "a text")?;
        if let Some(wrapped) = members.only("task") {
            members = Members::of(wrapped.get())?;
        }
        let body: PutBody = members.into_body(|error| of_member(error, &[]))?;
        Ok((actor, PutBody { reason: reason.or(body.reason), ..body }))
    }

    fn action(self, _: CommandName, target: Target, by: &By<'_>) -> Result<Action, Refusal> {
        Ok(Action::Put(Box::new(self.into_put(by.namespace, target.task)?)))
    }
}

impl CreateBody {
    /// The task of that id, to be created.
    pub(crate) fn into_create(self, id: TaskId, origin: IdOrigin) -> Result<Create, Refusal> {
        const FIELDS: [&str; 3] = ["compensations.kind", "compensations.target", "compensations.reason"];
        let mut record = Create::new(id, origin);
        record.saga_id = self.saga_id.map(SagaId::new).transpose()?;
        record.priority = self.priority.unwrap_or(record.priority);
        record.not_before = instant("not_before", self.not_before)?;
        record.labels = labels(self.labels.unwrap_or_default())?;
        record.policy = self.policy.unwrap_or_default().try_into()?;
        if let Some(queue) = self.queue {
            record.queue = Queue::new(queue)?;
        }
        if let Some(kind) = self.kind {
            record.kind = Kind::new(kind)?;
        }
        if let Some(payload) = document("payload", self.payload)? {
            record.payload = payload;
        }
        let undos = self.compensations.unwrap_or_default().into_iter();
        record.compensations = undos.map(|one| undo(FIELDS, one)).collect::<Result<_, _>>()?;
        Ok(record)
    }
}

impl From<&Create> for CreateBody {
    fn from(record: &Create) -> CreateBody {
        let text = |(key, value): (&LabelKey, &LabelValue)| (key.to_string(), value.to_string());
        CreateBody {
            id: Some(record.task.to_string()),
            saga_id: record.saga_id.as_ref().map(SagaId::to_string),
            queue: Some(record.queue.to_string()),
            kind: Some(record.kind.to_string()),
            labels: Some(record.labels.iter().map(text).collect()),
            payload: Some(raw(&record.payload)),
            priority: Some(record.priority),
            not_before: record.not_before.map(instant::print),
            policy: Some(Policy::from(&record.policy).into()),
            compensations: Some(record.compensations.iter().map(UndoBody::from).collect()),
            actor: None,
        }
    }
}

impl PutBody {
    /// The record; where it is known already which one is written, it may leave that out, and must not say another.
    fn into_put(self, namespace: &Namespace, named: Option<TaskId>) -> Result<Put, Refusal> {
        is_of(namespace, self.namespace)?;
        let id = match (self.id, named) {
            (Some(said), Some(named)) if said != named.as_str() => {
                let limit = format!("must be `{named}`, as in the path or the command; or leave it out");
                return Err(Refusal::invalid("id", limit));
            }
            (Some(said), _) => TaskId::new(said)?,
            (None, Some(named)) => named,
            (None, None) => return Err(Refusal::invalid("id", "is required")),
        };
        let created = CreateBody {
            id: None,
            saga_id: self.saga_id,
            queue: self.queue,
            kind: self.kind,
            labels: self.labels,
            payload: self.payload,
            priority: self.priority,
            not_before: self.not_before,
            policy: self.policy,
            compensations: None,
            actor: None,
        };
        let mut put = Put { record: created.into_create(id.clone(), IdOrigin::Given)?, ..Put::new(id) };
        if let Some(state) = self.state {
            put.state = parse_word::<State>("state", &state)?;
        }
        put.revision = self.revision.map(Revision);
        put.terminal_reason =
            self.terminal_reason.map(|words| Reason::named("terminal_reason", words)).transpose()?;
        put.result = document("result", self.result)?;
        // The `null` of a printed task says that there is no result, unless it says that this is the result.
        if put.result.is_none() && self.given_null.iter().flatten().any(|name| name == "result") {
            put.result = Some(Document::null());
        }
        let compensations = self.compensations.unwrap_or_default();
        put.compensations =
            compensations.into_iter().map(PutUndoBody::into_undo).collect::<Result<_, _>>()?;
        put.created_at = instant("created_at", self.created_at)?;
        put.finished_at = instant("finished_at", self.finished_at)?;
        put.epoch = self.epoch.map(Epoch);
        put.attempts = self.attempts;
        put.reason = self.reason.map(|words| Reason::named("reason", words)).transpose()?;
        let holder = match put.state {
            State::Running => holder(LEASE_FIELDS, self.lease),
            State::Dispatched => holder(RESERVATION_FIELDS, self.reservation),
            State::Planned
            | State::Compensating
            | State::Completed
            | State::Failed
            | State::Compensated
            | State::Quarantined => Ok(None),
        };
        // What is stored has its holder from its commands, whatever a record says of it.
        let is_new = put.revision.is_none_or(|revision| revision.0 == 0);
        put.holder = if is_new { holder? } else { holder.unwrap_or_default() };
        Ok(put)
    }
}

impl From<&Put> for PutBody {
    fn from(put: &Put) -> PutBody {
        let created = CreateBody::from(&put.record);
        let result_is_null = put.result.as_ref().is_some_and(|result| result.as_str() == "null");
        PutBody {
            id: created.id,
            namespace: None,
            revision: put.revision.map(|revision| revision.0),
            saga_id: created.saga_id,
            queue: created.queue,
            kind: created.kind,
            state: Some(put.state.as_str().to_owned()),
            priority: created.priority,
            not_before: created.not_before,
            labels: created.labels,
            payload: created.payload,
            policy: created.policy,
            compensations: Some(put.compensations.iter().map(PutUndoBody::from).collect()),
            terminal_reason: put.terminal_reason.as_ref().map(Reason::to_string),
            result: put.result.as_ref().map(raw),
            attempts: put.attempts,
            epoch: put.epoch.map(|epoch| epoch.0),
            created_at: put.created_at.map(instant::print),
            finished_at: put.finished_at.map(instant::print),
            lease: put.holder.as_ref().filter(|_| put.state == State::Running).map(holder_json),
            reservation: put.holder.as_ref().filter(|_| put.state == State::Dispatched).map(holder_json),
            reason: put.reason.as_ref().map(Reason::to_string),
            given_null: result_is_null.then(|| vec!["result".to_owned()]),
            _cause: IgnoredAny,
            _dismissed: IgnoredAny,
            _owed: IgnoredAny,
            _unwinding: IgnoredAny,
            _checkpoint: IgnoredAny,
            _cancel: IgnoredAny,
            _retried_as: IgnoredAny,
            _retry_of: IgnoredAny,
            _stale: IgnoredAny,
            _updated_at: IgnoredAny,
            _started_at: IgnoredAny,
            _last_lease: IgnoredAny,
        }
    }
}

impl PutUndoBody {
    fn into_undo(self) -> Result<PutUndo, Refusal> {
        const FIELDS: [&str; 3] = ["compensations.kind", "compensations.target", "compensations.reason"];
        let said = UndoBody { kind: self.kind, target: self.target, reason: self.reason };
        Ok(PutUndo { seq: self.seq.map(Seq), undo: undo(FIELDS, said)? })
    }
}

impl From<&PutUndo> for PutUndoBody {
    fn from(one: &PutUndo) -> PutUndoBody {
        let UndoBody { kind, target, reason } = UndoBody::from(&one.undo);
        PutUndoBody {
            seq: one.seq.map(|seq| seq.0),
            kind,
            target,
            reason,
            _status: IgnoredAny,
            _epoch: IgnoredAny,
            _tries: IgnoredAny,
            _receipt: IgnoredAny,
            _settled_by: IgnoredAny,
            _last_error: IgnoredAny,
            _waiver: IgnoredAny,
            _key: IgnoredAny,
            _registered: IgnoredAny,
        }
    }
}

/// The names of a holder's fields, and of what they are in.
const LEASE_FIELDS: [&str; 4] = ["lease", "lease.owner", "lease.granted_to", "lease.expires_at"];
const RESERVATION_FIELDS: [&str; 4] =
    ["reservation", "reservation.owner", "reservation.granted_to", "reservation.expires_at"];

/// Who holds a record; none if it does not say.
fn holder(
    [whole, owner, granted_to, expires_at]: [&'static str; 4],
    said: Option<Box<RawValue>>,
) -> Result<Option<PutHolder>, Refusal> {
    let Some(said) = said.filter(|said| said.get() != "null") else { return Ok(None) };
    let said: PutHolderBody = read_whole(said.get(), whole, "an object with owner and expires_at")?;
    let required = |field| Refusal::invalid(field, "is required for a new record that somebody holds");
    Ok(Some(PutHolder {
        owner: Owner::named(owner, said.owner.ok_or_else(|| required(owner))?)?,
        granted_to: said.granted_to.map(|name| Actor::named(granted_to, name)).transpose()?,
        expires_at: instant::parse(expires_at, &said.expires_at.ok_or_else(|| required(expires_at))?)?,
    }))
}

fn holder_json(holder: &PutHolder) -> Box<RawValue> {
    let said = PutHolderBody {
        owner: Some(holder.owner.to_string()),
        granted_to: holder.granted_to.as_ref().map(Actor::to_string),
        expires_at: Some(instant::print(holder.expires_at)),
    };
    serde_json::value::to_raw_value(&said).unwrap_or_else(|error| panic!("three texts are JSON: {error}"))
}

/// What somebody who registers says, under the names of its three fields.
pub(crate) fn undo([kind, target, reason]: [&'static str; 3], said: UndoBody) -> Result<Undo, Refusal> {
    Ok(Undo {
        kind: Kind::named(kind, said.kind)?,
        target: Text::named(target, said.target)?,
        reason: said.reason.map(|words| Reason::named(reason, words)).transpose()?,
    })
}

impl From<&Undo> for UndoBody {
    fn from(undo: &Undo) -> UndoBody {
        UndoBody {
            kind: undo.kind.to_string(),
            target: undo.target.to_string(),
            reason: undo.reason.as_ref().map(Reason::to_string),
        }
    }
}

/// A namespace in a record must be the one that it is written to.
fn is_of(namespace: &Namespace, named: Option<String>) -> Result<(), Refusal> {
    match named.filter(|named| named != namespace.as_str()) {
        Some(named) => Err(Refusal::invalid(
            "namespace",
            format_args!(
                "the record's namespace is `{named}`, but the request is for `{namespace}`; use one of them"
            ),
        )),
        None => Ok(()),
    }
}

pub(crate) fn labels(texts: BTreeMap<String, String>) -> Result<Labels, Refusal> {
    texts.into_iter().map(|(key, value)| Ok((LabelKey::new(key)?, LabelValue::new(value)?))).collect()
}

fn instant(field: &'static str, text: Option<String>) -> Result<Option<Time>, Refusal> {
    text.map(|text| instant::parse(field, &text)).transpose()
}

#[cfg(test)]
mod tests {
    use tenure_core::compensation::Undo;
    use tenure_core::id::Text;
    use tenure_core::policy::{Backoff, OnLapse, Policy, Ttl, WhenSpent};
    use tenure_core::time::Span;

    use super::*;
    use crate::json;

    fn undo(kind: &str, target: &str, reason: Option<&str>) -> Undo {
        let reason = reason.map(|words| Reason::new(words).expect("a reason"));
        Undo { kind: Kind::new(kind).expect("a kind"), target: Text::new(target).expect("a target"), reason }
    }

    fn shop() -> Namespace {
        Namespace::new("shop").expect("a name")
    }

    fn plain() -> Create {
        Create::new(TaskId::new("build-42").expect("a name"), IdOrigin::Given)
    }

    /// Nothing in it is as by default, and its texts are the ones that JSON has trouble with.
    fn everything() -> Create {
        let label =
            |key, value: &str| (LabelKey::new(key).expect("a key"), LabelValue::new(value).expect("a value"));
        let payload =
            r#"{"\u0001":"\ud83d\ude00","a\"\\":[1.50,1e-400,123456789012345678901234567890,-0.0],"é":null}"#;
        Create {
            saga_id: Some(SagaId::new("saga").expect("a name")),
            queue: Queue::new("agents/eu").expect("a name"),
            kind: Kind::new("build").expect("a name"),
            labels: [
                label("issue", "168"),
                label("who", "Zoë \"\u{1F600}\"\n\u{7f}\u{2028}"),
                label("none", ""),
            ]
            .into(),
            payload: json::document("payload", payload).expect("JSON"),
            priority: i32::MIN,
            not_before: Some(Time::from_micros(1_769_860_800_000_001)),
            policy: Policy::unlike_the_default().with(|policy| {
                policy.lease_ttl = Ttl::new(Span::from_secs(90)).expect("a length");
                policy.max_attempts = u32::MAX;
                policy.backoff = Backoff { base: Span::ZERO, factor: 3, cap: Span::from_micros(1_500_001) };
                policy.when_spent = WhenSpent::Quarantined;
                policy.on_lapse = OnLapse::Hold;
                policy.stall_after = Some(Span::from_secs(300));
                policy.time_limit = Some(Span::from_secs(7_200));
                policy.start_within = Some(Span::from_days(3_650));
                policy.lock_delay = Some(Span::from_millis(500));
                policy.cancel_grace = Some(Span::from_secs(30));
            }),
            compensations: vec![undo("remove", "/tmp/ä \\", Some("made by it\n")), undo("none", "", None)],
            ..plain()
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut all = vec![plain(), everything()];
        all.extend(
            [Time::MIN, Time::MAX].map(|not_before| Create { not_before: Some(not_before), ..plain() }),
        );
        all.extend([WhenSpent::Compensated, WhenSpent::Quarantined].map(|when_spent| Create {
            policy: Policy::default().with(|policy| {
                policy.when_spent = when_spent;
                policy.on_lapse = OnLapse::Quarantine;
            }),
            ..plain()
        }));
        for create in all {
            let text = create_json(&create);
            assert_eq!(read_create(&text, &shop()).expect(&text), create, "{text}");
        }
    }

    #[test]
    fn a_made_id_is_a_given_one_once_it_is_written_down() {
        let made = Create { id_origin: IdOrigin::Made, ..plain() };
        assert_eq!(read_create(&create_json(&made), &shop()), Ok(plain()));
    }

    #[test]
    fn numbers_stay_to_the_letter() {
        let text = create_json(&everything());
        assert!(text.contains("[1.50,1e-400,123456789012345678901234567890,-0.0]"), "{text}");
    }

    #[test]
    fn what_is_left_out_or_null_is_as_by_default() {
        let nulls = r#"{"id":"build-42","namespace":null,"saga_id":null,"queue":null,"kind":null,"labels":null,
            "payload":null,"priority":null,"not_before":null,"policy":null,"compensations":null}"#;
        for text in [r#"{"id":"build-42"}"#, r#"{"id":"build-42","namespace":"shop"}"#, nulls] {
            assert_eq!(read_create(text, &shop()), Ok(plain()), "{text}");
        }
    }

    #[test]
    fn what_is_no_task_to_create_is_refused_by_the_name_of_its_field() {
        for (text, field) in [
            ("", "record"),
            ("[]", "record"),
            ("{}", "record"),
            (r#"{"id":"a"} {}"#, "record"),
            (r#"{"id":"a","state":"planned"}"#, "record"),
            (r#"{"id":"a","revision":1}"#, "record"),
            (r#"{"id":"a","policy":{"ttl":"60s"}}"#, "record"),
            (r#"{"id":"a","policy":{"max_attempts":1.0}}"#, "record"),
            (r#"{"id":"a","compensations":[{"seq":1,"kind":"a","target":"b"}]}"#, "record"),
            (r#"{"id":"a","compensations":[{"kind":"a"}]}"#, "record"),
            (r#"{"id":"a b"}"#, "id"),
            (r#"{"id":"a","namespace":"default"}"#, "namespace"),
            (r#"{"id":"a","saga_id":"a/b"}"#, "saga_id"),
            (r#"{"id":"a","queue":""}"#, "queue"),
            (r#"{"id":"a","labels":{"a/b":"c"}}"#, "labels"),
            (r#"{"id":"a","payload":{"a":1,"a":2}}"#, "payload"),
            (r#"{"id":"a","payload":"\ud800"}"#, "payload"),
            (r#"{"id":"a","not_before":"2026-01-31"}"#, "not_before"),
            (r#"{"id":"a","policy":{"lease_ttl":"8d"}}"#, "policy.lease_ttl"),
            (r#"{"id":"a","policy":{"backoff":{"cap":"1.5s"}}}"#, "policy.backoff.cap"),
            (
                r#"{"id":"a","compensations":[{"kind":"a","target":"b","reason":" "}]}"#,
                "compensations.reason",
            ),
        ] {
            let refusal = read_create(text, &shop()).expect_err(text);
            assert_eq!(refusal.field, Some(field), "{text}");
        }
    }

    #[test]
    fn where_it_is_wrong_is_told() {
        let text = r#"{"id":"a","compensations":[{"kind":"a","target":"b","seq":1}]}"#;
        let refusal = read_create(text, &shop()).expect_err(text);
        let message =
            "record: compensations[0].seq: unknown field `seq`, expected one of `kind`, `target`, `reason`";
        assert_eq!(&*refusal.message, message);
        let refusal = read_create(r#"{"id":"a","more":1}"#, &shop()).expect_err("an unknown field");
        assert!(refusal.message.contains("`namespace`") && !refusal.message.contains("`as`"), "{refusal}");
    }
}
