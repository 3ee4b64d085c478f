//! The functions that work on tasks, by kind.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tenure_core::id::Kind;
use tenure_store::BoxFuture;
use tenure_store::causes::with_causes;

use crate::keeper::KeptLease;
use crate::stop::StopSignal;

/// A claimed task, for the function that works on it.
pub struct Job<P> {
    lease: Arc<KeptLease>,
    /// The payload.
    pub payload: P,
}

impl<P> Job<P> {
    /// The lease, to register undos, report progress, and learn that the work must stop. `Ok` completes the task also after a
    /// cancel; work that stops because of one returns [`WorkError::RollBack`].
    pub fn lease(&self) -> &KeptLease {
        &self.lease
    }
}

/// Why a task was not done, which decides how it ends.
///
/// `?` turns an error type into [`WorkError::RollBack`] if it implements [`std::error::Error`]. `Box<dyn Error>` and
/// `anyhow::Error` do not: write `.map_err(|error| WorkError::RollBack(error.to_string()))?`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WorkError {
    /// Recovery, which must run somewhere, undoes what it owes; then the task is tried again if attempts are left.
    RollBack(String),
    /// It is released, to be tried again after the delay. Recovery undoes what it owes first. The attempt does not
    /// count, so nothing limits how often this happens.
    Retry(String, Duration),
    /// The task fails, and nothing is undone.
    Fail(String),
    /// The task is parked for a person.
    Quarantine(String),
    /// The work has ended the task itself, by the lease: nothing more is recorded.
    Ended,
}

impl<E: std::error::Error + 'static> From<E> for WorkError {
    fn from(error: E) -> WorkError {
        WorkError::RollBack(with_causes(&error))
    }
}

pub(super) type Returned = Result<Option<String>, WorkError>;
pub(super) type Work = dyn Fn(Arc<KeptLease>, StopSignal) -> BoxFuture<'static, Returned> + Send + Sync;

/// A function for tasks, and who stops it.
#[derive(Clone)]
pub(super) struct Function {
    pub(super) work: Arc<Work>,
    pub(super) ended_by: EndedBy,
}

/// Who stops work that must stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum EndedBy {
    /// The worker: it drops it.
    Worker,
    /// The work itself: it sees the signal, and returns.
    Itself,
}

/// The functions of a worker.
#[derive(Clone, Default)]
pub(super) struct Functions {
    pub(super) by_kind: HashMap<Kind, Function>,
    pub(super) otherwise: Option<Function>,
}

impl Functions {
    /// The function for tasks of that kind.
    pub(super) fn of(&self, kind: &Kind) -> Option<&Function> {
        self.by_kind.get(kind).or(self.otherwise.as_ref())
    }
}

/// The function without its types: payload and result are JSON.
pub(super) fn erased<P, R, F, Running>(work: F) -> Function
where
    P: DeserializeOwned + Send + 'static,
    R: Serialize,
    F: Fn(Job<P>) -> Running + Send + Sync + 'static,
    Running: Future<Output = Result<R, WorkError>> + Send + 'static,
{
    let work = Arc::new(work);
    let erased: Arc<Work> = Arc::new(move |lease: Arc<KeptLease>, _| {
        let work = Arc::clone(&work);
        // All of it is inside the future, so that a panic of the caller's code stays in it.
        Box::pin(async move {
            let payload = serde_json::from_str(lease.task().payload.as_str()).map_err(|error| {
                WorkError::Quarantine(format!("its payload is not what is expected here: {error}"))
            })?;
            let result = work(Job { lease, payload }).await?;
            let result = serde_json::to_string(&result)
                .map_err(|error| WorkError::Quarantine(format!("its result is no JSON: {error}")))?;
            Ok(Some(result).filter(|result| result != "null"))
        })
    });
    Function { work: erased, ended_by: EndedBy::Worker }
}
