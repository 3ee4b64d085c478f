//! Reads what people write: a whole record, as it is printed, or with fewer fields.
//!
//! Derived fields are ignored, because a printed task contains them. An unknown field is refused by name: it is a
//! typing error, and ignoring it would lose what the author meant.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use tenure_core::command::{Create, Put, PutUndo};
use tenure_core::compensation::Undo;
use tenure_core::id::{
    Document, Epoch, Kind, LabelKey, LabelValue, Namespace, Queue, Reason, Revision, SagaId, Seq, TaskId,
    Text,
};
use tenure_core::policy::{Backoff, OnLapse, Policy, Ttl, WhenSpent};
use tenure_core::refusal::Refusal;
use tenure_core::task::{Cause, Labels, State};
use tenure_core::time::{Span, Time};

use crate::instant;
use crate::json;
use crate::ledger::new_record;
use crate::record::duration::DurationInput;
use crate::wire::{Word, words};

/// Reads the whole record of one task in `namespace`, bare or as a command printed it: `{"task":{…}}`.
pub fn read_put(text: &str, namespace: &Namespace) -> Result<Put, Refusal> {
    let bare = serde_json::from_str::<Printed>(text).map_or(text, |printed| printed.task.get());
    read_whole::<TaskInput>(bare, "record", "one task")?.into_put(namespace, None)
}

/// Reads a request body: one value and nothing after it.
pub fn read_body<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Refusal> {
    read_whole(text, "body", "one value")
}

/// Reads one value and nothing after it. An error names the place.
pub(super) fn read_whole<'a, T: Deserialize<'a>>(
    text: &'a str,
    field: &'static str,
    what: &str,
) -> Result<T, Refusal> {
    located(text, what).map_err(|why| Refusal::invalid(field, why))
}

/// The same, for text that has no author who could be told about a field.
pub(super) fn located<'a, T: Deserialize<'a>>(text: &'a str, what: &str) -> Result<T, String> {
    // To keep the place in mind costs more than to read: it is done only once something is known to be wrong.
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| explained(&error))?;
    reader.end().map_err(|error| format!("must be {what}: {error}"))?;
    Ok(value)
}

/// The state of that word.
pub fn state_of(word: &str) -> Result<State, Refusal> {
    self::word("state", word)
}

/// The cause of that word.
pub fn cause_of(word: &str) -> Result<Cause, Refusal> {
    self::word("cause", word)
}

/// A task as commands print it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Printed<'a> {
    #[serde(borrow)]
    task: &'a RawValue,
}

/// The error, with its place.
fn explained(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let (path, words) = (error.path().to_string(), in_words(&error.inner().to_string()));
    match path.as_str() {
        "." | "?" => words,
        path => format!("{path}: {words}"),
    }
}

/// What is wrong with a member of an object, told of that one of `fields`. Each member was read by itself, so that the line and
/// column that are counted there say nothing of where it stands.
pub(super) fn of_member(
    error: &serde_path_to_error::Error<serde_json::Error>,
    fields: &[&'static str],
) -> Refusal {
    let field = |name: &str| fields.iter().copied().find(|field| *field == name);
    let (path, words) = (error.path().to_string(), error.inner().to_string());
    let words = in_words(words.split(" at line ").next().unwrap_or_default());
    let missing = words.strip_prefix("missing field `").and_then(|rest| field(rest.trim_end_matches('`')));
    if let (".", Some(missing)) = (path.as_str(), missing) {
        return Refusal::invalid(missing, "is required");
    }
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let (first, rest) = path.split_at(end);
    match (field(first), rest.trim_start_matches('.')) {
        (Some(field), "") => Refusal::invalid(field, words),
        (Some(field), rest) => Refusal::invalid(field, format_args!("{rest}: {words}")),
        (None, _) => Refusal::invalid("body", words),
    }
}

/// What numbers are wanted, as people say it.
fn in_words(told: &str) -> String {
    let numbers = [
        ("expected u16", "expected a whole number from 0 to 65535"),
        ("expected u32", "expected a whole number from 0 to 4294967295"),
        ("expected u64", "expected a whole number from 0"),
        ("expected i32", "expected a whole number from -2147483648 to 2147483647"),
    ];
    match numbers.iter().find(|(name, _)| told.contains(name)) {
        Some((name, words)) => told.replace(name, words),
        None => told.to_owned(),
    }
}

/// A task as somebody wrote it: texts that are still to be checked, each by its own name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a task, as an object")]
pub(super) struct TaskInput {
    id: Option<String>,
    namespace: Option<String>,
    revision: Option<u64>,
    saga_id: Option<String>,
    queue: Option<String>,
    kind: Option<String>,
    state: Option<String>,
    priority: Option<i32>,
    not_before: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    payload: Option<Box<RawValue>>,
    policy: Option<PolicyInput>,
    compensations: Option<Vec<CompensationInput>>,
    terminal_reason: Option<String>,
    result: Option<Box<RawValue>>,
    attempts: Option<u32>,
    epoch: Option<u64>,
    created_at: Option<String>,
    finished_at: Option<String>,
    given_null: Option<Vec<String>>,
    // What follows from the rest, or from commands of its own.
    #[serde(rename = "cause", default)]
    _cause: IgnoredAny,
    #[serde(rename = "dismissed", default)]
    _dismissed: IgnoredAny,
    #[serde(rename = "owed", default)]
    _owed: IgnoredAny,
    #[serde(rename = "lease", default)]
    _lease: IgnoredAny,
    #[serde(rename = "reservation", default)]
    _reservation: IgnoredAny,
    #[serde(rename = "unwinding", default)]
    _unwinding: IgnoredAny,
    #[serde(rename = "checkpoint", default)]
    _checkpoint: IgnoredAny,
    #[serde(rename = "cancel", default)]
    _cancel: IgnoredAny,
    #[serde(rename = "retried_as", default)]
    _retried_as: IgnoredAny,
    #[serde(rename = "retry_of", default)]
    _retry_of: IgnoredAny,
    #[serde(rename = "stale", default)]
    _stale: IgnoredAny,
    #[serde(rename = "updated_at", default)]
    _updated_at: IgnoredAny,
    #[serde(rename = "started_at", default)]
    _started_at: IgnoredAny,
}

/// What a creator says of a task, whether alone or in a whole record.
pub(super) struct Given {
    pub(super) saga_id: Option<String>,
    pub(super) queue: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) labels: Option<BTreeMap<String, String>>,
    pub(super) payload: Option<Box<RawValue>>,
    pub(super) priority: Option<i32>,
    pub(super) not_before: Option<String>,
    pub(super) policy: Option<PolicyInput>,
}

/// The policy of a task. Missing fields have their defaults.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyInput {
    /// The default length of a lease: 1 s to 7 days. Default: `60s`.
    lease_ttl: Option<DurationInput>,
    /// The maximum number of automatic attempts. Default: 1.
    max_attempts: Option<u32>,
    /// What happens when its lease lapses: `recover` (the default), `hold` or `quarantine`.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::record::schema::OnLapseWord>))]
    on_lapse: Option<String>,
    /// How the task ends when its attempts are spent: `compensated` (the default) or `quarantined`.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::record::schema::WhenSpentWord>))]
    when_spent: Option<String>,
    /// The wait between attempts.
    backoff: Option<BackoffInput>,
    /// How long a lease may be renewed without progress.
    stall_after: Option<DurationInput>,
    /// How long an attempt may take.
    time_limit: Option<DurationInput>,
    /// How long the task may wait for its first attempt.
    start_within: Option<DurationInput>,
    /// How long after a lapse the task can't be taken over or reclaimed.
    lock_delay: Option<DurationInput>,
    /// How long a lease can still be renewed after its holder was told to stop.
    cancel_grace: Option<DurationInput>,
}

/// The wait before the next attempt: `base`, times `factor` for each attempt after the first, up to `cap`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BackoffInput {
    /// The wait after the first attempt. Default: `1s`.
    base: Option<DurationInput>,
    /// The factor by which each further wait is longer. Default: 2.
    factor: Option<u32>,
    /// The longest wait. Default: `5m`.
    cap: Option<DurationInput>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CompensationInput {
    seq: Option<u32>,
    kind: String,
    target: String,
    reason: Option<String>,
    // What becomes of it is said by commands of their own.
    #[serde(rename = "status", default)]
    _status: IgnoredAny,
    #[serde(rename = "epoch", default)]
    _epoch: IgnoredAny,
    #[serde(rename = "tries", default)]
    _tries: IgnoredAny,
    #[serde(rename = "receipt", default)]
    _receipt: IgnoredAny,
    #[serde(rename = "last_error", default)]
    _last_error: IgnoredAny,
    #[serde(rename = "waiver", default)]
    _waiver: IgnoredAny,
    #[serde(rename = "key", default)]
    _key: IgnoredAny,
    #[serde(rename = "registered", default)]
    _registered: IgnoredAny,
}

impl TaskInput {
    /// The record; where it is known already which one is written, it may leave that out, and must not say another.
    pub(super) fn into_put(self, namespace: &Namespace, named: Option<TaskId>) -> Result<Put, Refusal> {
        is_of(namespace, self.namespace)?;
        let id = match (self.id, named) {
            (Some(said), Some(named)) if said != named.as_str() => {
                let limit = format!("must be `{named}`, as in the path or the command; or leave it out");
                return Err(Refusal::invalid("id", limit));
            }
            (Some(said), _) => said,
            (None, Some(named)) => named.as_str().to_owned(),
            (None, None) => return Err(Refusal::invalid("id", "is required")),
        };
        let mut put = new_record(&id)?;
        let given = Given {
            saga_id: self.saga_id,
            queue: self.queue,
            kind: self.kind,
            labels: self.labels,
            payload: self.payload,
            priority: self.priority,
            not_before: self.not_before,
            policy: self.policy,
        };
        given.fill(&mut put.record)?;
        if let Some(state) = self.state {
            put.state = word::<State>("state", &state)?;
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
            compensations.into_iter().map(CompensationInput::into_undo).collect::<Result<_, _>>()?;
        put.created_at = instant("created_at", self.created_at)?;
        put.finished_at = instant("finished_at", self.finished_at)?;
        put.epoch = self.epoch.map(Epoch);
        put.attempts = self.attempts;
        Ok(put)
    }
}

impl Given {
    /// Says it of a task that has only its name; what was not said stays as by default.
    pub(super) fn fill(self, record: &mut Create) -> Result<(), Refusal> {
        record.saga_id = self.saga_id.map(SagaId::new).transpose()?;
        record.priority = self.priority.unwrap_or(record.priority);
        record.not_before = instant("not_before", self.not_before)?;
        record.labels = labels(self.labels.unwrap_or_default())?;
        record.policy = self.policy.unwrap_or_default().into_policy()?;
        if let Some(queue) = self.queue {
            record.queue = Queue::new(queue)?;
        }
        if let Some(kind) = self.kind {
            record.kind = Kind::new(kind)?;
        }
        if let Some(payload) = document("payload", self.payload)? {
            record.payload = payload;
        }
        Ok(())
    }
}

impl PolicyInput {
    fn into_policy(self) -> Result<Policy, Refusal> {
        let default = Policy::default();
        let ttl = span("policy.lease_ttl", self.lease_ttl)?;
        let ttl = ttl.map(|ttl| Ttl::named("policy.lease_ttl", ttl)).transpose()?;
        let on_lapse = self.on_lapse.map(|words| word::<OnLapse>("policy.on_lapse", &words)).transpose()?;
        let when_spent = self.when_spent.map(|words| word::<WhenSpent>("policy.when_spent", &words));
        let backoff = self.backoff.unwrap_or_default();
        Ok(Policy {
            lease_ttl: ttl.unwrap_or(default.lease_ttl),
            max_attempts: self.max_attempts.unwrap_or(default.max_attempts),
            backoff: Backoff {
                base: span("policy.backoff.base", backoff.base)?.unwrap_or(default.backoff.base),
                factor: backoff.factor.unwrap_or(default.backoff.factor),
                cap: span("policy.backoff.cap", backoff.cap)?.unwrap_or(default.backoff.cap),
            },
            when_spent: when_spent.transpose()?.unwrap_or_default(),
            on_lapse: on_lapse.unwrap_or_default(),
            stall_after: span("policy.stall_after", self.stall_after)?,
            time_limit: span("policy.time_limit", self.time_limit)?,
            start_within: span("policy.start_within", self.start_within)?,
            lock_delay: span("policy.lock_delay", self.lock_delay)?,
            cancel_grace: span("policy.cancel_grace", self.cancel_grace)?,
        })
    }
}

impl CompensationInput {
    fn into_undo(self) -> Result<PutUndo, Refusal> {
        Ok(PutUndo { seq: self.seq.map(Seq), undo: undo(self.kind, self.target, self.reason)? })
    }
}

/// A namespace in the record must be the one that it is written to.
pub(super) fn is_of(namespace: &Namespace, named: Option<String>) -> Result<(), Refusal> {
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

pub(super) fn undo(kind: String, target: String, reason: Option<String>) -> Result<Undo, Refusal> {
    let kind = Kind::named("compensations.kind", kind)?;
    let target = Text::named("compensations.target", target)?;
    let reason = reason.map(|words| Reason::named("compensations.reason", words)).transpose()?;
    Ok(Undo { kind, target, reason })
}

fn labels(texts: BTreeMap<String, String>) -> Result<Labels, Refusal> {
    texts.into_iter().map(|(key, value)| Ok((LabelKey::new(key)?, LabelValue::new(value)?))).collect()
}

pub(super) fn document(field: &'static str, raw: Option<Box<RawValue>>) -> Result<Option<Document>, Refusal> {
    raw.map(|raw| json::document(field, raw.get())).transpose()
}

fn instant(field: &'static str, text: Option<String>) -> Result<Option<Time>, Refusal> {
    text.map(|text| instant::parse(field, &text)).transpose()
}

fn span(field: &'static str, said: Option<DurationInput>) -> Result<Option<Span>, Refusal> {
    said.map(|said| said.span(field)).transpose()
}

fn word<T: Word>(field: &'static str, text: &str) -> Result<T, Refusal> {
    T::of_word(text).ok_or_else(|| Refusal::invalid(field, format_args!("one of {}", words::<T>())))
}
