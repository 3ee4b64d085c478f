//! What is remembered under a request id.

use tenure_core::chain::Hash;
use tenure_core::event::LeaseEnd;
use tenure_core::id::{Actor, Revision, TaskId};
use tenure_core::time::Time;

/// A request id as it is remembered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    pub digest: Hash,
    pub actor: Actor,
    pub at: Time,
    /// The tasks of the answer, each by the revision that it had then.
    pub answered: Vec<RememberedAnswer>,
}

/// A task of a remembered answer. The history up to the revision gives it back, but for what heartbeats wrote.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RememberedAnswer {
    pub task: TaskId,
    pub revision: Revision,
    pub lease: Option<LeaseEnd>,
}
