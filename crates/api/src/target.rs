//! Whose command is read, and what it is about besides what its body says.

use tenure_core::command::LeaseScope;
use tenure_core::id::{Actor, Namespace, RequestId, Seq, TaskId};
use tenure_core::policy::Jitter;

/// What is drawn for a command that does not bring it. It decides nothing: an id is only a name, jitter only spreads what
/// waits.
pub trait RandomSource: Send + Sync {
    /// An id that nobody else makes.
    fn new_id(&self) -> String;

    /// How much is taken off a backoff.
    fn jitter(&self) -> Jitter;
}

/// The context for reading commands.
#[derive(Clone)]
pub struct By<'a> {
    /// Their namespace.
    pub namespace: &'a Namespace,
    /// The actor, which overrides theirs; none: their own, else the owner, else `anonymous`.
    pub actor: Option<Actor>,
    /// The leases that they may act on.
    pub lease_scope: LeaseScope,
    /// The source of jitter and ids that they don't contain.
    pub random: &'a dyn RandomSource,
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
