//! Handlers: code that undoes one kind of compensation for recovery.
//!
//! A handler undoes one effect and returns a receipt, or an error. Recovery may call it twice for the same effect,
//! because an earlier recovery may have died before it stored the receipt. So running twice must be harmless, and
//! "already gone" is success. [`UndoCall::key`] stays the same until the receipt is stored. Recovery decides what to
//! retry and when a person is needed. A handler does not use the ledger.

#[cfg(feature = "commands")]
pub mod command;
#[cfg(feature = "commands")]
pub mod template;
#[cfg(feature = "webhooks")]
pub mod webhook;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use tenure_core::compensation::Compensation;
use tenure_core::id::{Document, Kind, TEXT_BYTES_MAX};
use tenure_core::policy::{Backoff, Jitter};
use tenure_core::refusal::Refusal;
use tenure_core::task::Task;
use tenure_store::{BoxFuture, committer};
use tokio::task::JoinError;

use crate::keeper::{LeaseStatus, LeaseWatch};

/// One effect to undo, with the facts that a handler may need.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct UndoCall {
    /// The idempotency key. It stays the same for each try of this undo, in any process.
    pub key: String,
    /// The namespace of the task.
    pub namespace: String,
    /// The task whose effect it is.
    pub task: String,
    /// The saga of the task.
    pub saga_id: String,
    /// The number of the compensation within the task.
    pub seq: u32,
    /// The kind of undo.
    pub kind: String,
    /// To what.
    pub target: String,
    /// Why it was registered.
    pub reason: Option<String>,
    /// The epoch of the lease under which it is undone: a fencing token for systems that can check one.
    pub epoch: u64,
    /// How many tries have failed.
    pub tries: u32,
    /// The labels of the task. Its creator chose them, and its workers may change them.
    pub labels: BTreeMap<String, String>,
    /// The payload of the task, in JSON.
    #[serde(serialize_with = "as_json")]
    pub payload: Document,
}

/// A document as the JSON that it is.
fn as_json<S: Serializer>(document: &Document, serializer: S) -> Result<S::Ok, S::Error> {
    let raw = RawValue::from_string(document.to_string()).map_err(serde::ser::Error::custom)?;
    raw.serialize(serializer)
}

impl UndoCall {
    /// What a handler learns about an owed compensation. The task has the epoch of the lease under which it is undone.
    pub fn of(task: &Task, owed: &Compensation) -> UndoCall {
        let labels = task.labels.iter().map(|(key, value)| (key.to_string(), value.to_string()));
        UndoCall {
            key: owed.key.as_ref().map(ToString::to_string).unwrap_or_default(),
            namespace: task.namespace.to_string(),
            task: task.id.to_string(),
            saga_id: task.saga_id.to_string(),
            seq: owed.seq.0,
            kind: owed.undo.kind.to_string(),
            target: owed.undo.target.to_string(),
            reason: owed.undo.reason.as_ref().map(ToString::to_string),
            epoch: task.epoch.0,
            tries: owed.tries,
            labels: labels.collect(),
            payload: task.payload.clone(),
        }
    }
}

/// Why an undo failed, or may have failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UndoError {
    /// A retry may succeed.
    #[error("{0}")]
    Retryable(String),
    /// A retry will not succeed: a person must look.
    #[error("{0}")]
    Permanent(String),
}

/// The receipt of an undo, or why it failed.
pub type Undone = Result<String, UndoError>;

/// Undoes effects of a kind.
pub trait Handler: Send + Sync + 'static {
    /// Checks whether it would make this call: whether it accepts the target, and what else of the task it uses; if not,
    /// why. It is asked about everything that a task owes before the first undo runs, because a task is either undone
    /// completely or left to a person completely.
    fn accepts(&self, call: &UndoCall) -> Result<(), String> {
        let _ = call;
        Ok(())
    }

    /// Undoes the effect while the lease is held. If recovery stops, the timeout passes, or the lease is
    /// lost, it must stop all its work and then return ([`while_held`] does that for a future that can be
    /// dropped). No other undo begins before it returns. If it does not return in time, recovery lets the
    /// lease lapse.
    fn undo(&self, call: UndoCall, lease: LeaseWatch) -> BoxFuture<'static, Undone>;
}

impl<F, Running> Handler for F
where
    F: Fn(UndoCall) -> Running + Send + Sync + 'static,
    Running: Future<Output = Undone> + Send + 'static,
{
    fn undo(&self, call: UndoCall, lease: LeaseWatch) -> BoxFuture<'static, Undone> {
        Box::pin(while_held(lease, self(call)))
    }
}

/// What a panic in a spawned future said.
pub(crate) fn words_of_panic(error: JoinError) -> String {
    let panic = error.try_into_panic();
    panic.map_or_else(|error| error.to_string(), |panic| committer::words_of_panic(panic.as_ref()).to_owned())
}

/// Runs the future while the lease is held, then drops it.
pub async fn while_held(mut lease: LeaseWatch, undo: impl Future<Output = Undone>) -> Undone {
    tokio::select! {
        biased;
        undone = undo => undone,
        _ = lease.wait_for(|status| !matches!(status, LeaseStatus::Held(_))) => {
            Err(UndoError::Retryable("it was stopped".into()))
        }
    }
}

/// The timeout of an undo, and how often it is tried before the task is parked for a person.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// The timeout of one try.
    pub timeout: Duration,
    /// The maximum number of tries.
    pub tries: u32,
    /// The wait after each failed try.
    pub backoff: Backoff,
}

tenure_core::with_changes!(RetryPolicy);

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy { timeout: Duration::from_secs(60), tries: 5, backoff: Backoff::default() }
    }
}

impl RetryPolicy {
    /// The wait after this many failed tries.
    pub fn wait_after(&self, tries: u32) -> Duration {
        self.backoff.after(tries, Jitter::NONE).into()
    }
}

/// A handler and its retry policy.
#[derive(Clone)]
pub struct Registered {
    /// What undoes.
    pub handler: Arc<dyn Handler>,
    /// How long, how often.
    pub retries: RetryPolicy,
}

/// The handlers of a program, by kind.
#[derive(Clone, Default)]
pub struct Handlers(HashMap<Kind, Registered>);

impl Handlers {
    /// No handlers yet.
    pub fn new() -> Handlers {
        Handlers::default()
    }

    /// Registers a function for a kind, with the default retry policy.
    pub fn on<F, Running>(self, kind: &str, undo: F) -> Result<Handlers, Refusal>
    where
        F: Fn(UndoCall) -> Running + Send + Sync + 'static,
        Running: Future<Output = Undone> + Send + 'static,
    {
        self.with(kind, RetryPolicy::default(), undo)
    }

    /// Registers a handler for a kind. It replaces an earlier one for the same kind.
    pub fn with(
        mut self,
        kind: &str,
        retries: RetryPolicy,
        handler: impl Handler,
    ) -> Result<Handlers, Refusal> {
        let kind = Kind::named("undo", kind)?;
        if kind.is_none() {
            return Err(Refusal::invalid(
                "undo",
                "kind `none` means that there is nothing to undo; it takes no handler",
            ));
        }
        self.0.insert(kind, Registered { handler: Arc::new(handler), retries });
        Ok(self)
    }

    /// The handler of a kind.
    pub fn of(&self, kind: &Kind) -> Option<&Registered> {
        self.0.get(kind)
    }

    /// The kinds that are handled, by name.
    pub fn kinds(&self) -> Vec<&Kind> {
        let mut kinds: Vec<&Kind> = self.0.keys().collect();
        kinds.sort_by_key(|kind| kind.as_str());
        kinds
    }
}

/// The text of a receipt or an error, shortened to what the ledger accepts. It says how much was left out.
pub fn truncate_for_record(text: &str) -> String {
    const ROOM_FOR_WORDS: usize = 64;
    let text: String = text.chars().filter(|c| *c != '\0').collect();
    if text.is_empty() {
        return "-".to_owned();
    }
    if text.len() <= TEXT_BYTES_MAX {
        return text;
    }
    // The end tells most: what a command said last.
    let mut from = text.len() - (TEXT_BYTES_MAX - ROOM_FOR_WORDS);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    format!("[{from} bytes before this were left out] {}", &text[from..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_between_tries_doubles_up_to_its_longest() {
        let retries = RetryPolicy::default();
        let seconds = |tries| retries.wait_after(tries).as_secs();
        assert_eq!([seconds(1), seconds(2), seconds(5), seconds(40)], [1, 2, 16, 300]);
    }

    #[test]
    fn a_long_text_keeps_its_end_and_says_what_is_gone() {
        let text = "ä".repeat(5_000) + "the end";
        let fits = truncate_for_record(&text);
        assert!(fits.len() <= TEXT_BYTES_MAX && fits.ends_with("the end"), "{}", fits.len());
        assert!(fits.starts_with("[5") && fits.contains("bytes before this were left out"));
        assert_eq!(truncate_for_record("short"), "short");
        assert_eq!(truncate_for_record("\0"), "-", "the ledger takes no empty text");
    }

    #[test]
    fn nothing_is_registered_for_the_kind_that_says_nothing() {
        let refused = Handlers::new().on("none", |_| async { Ok(String::new()) });
        assert_eq!(refused.err().and_then(|refusal| refusal.field), Some("undo"));
    }
}
