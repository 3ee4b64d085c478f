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

/// Whose commands are read, and what is drawn for them.
#[derive(Clone)]
pub struct By<'a> {
    /// The room that they are about.
    pub namespace: &'a Namespace,
    /// Who gives them, whatever they say; none: who they say, else the owner, else `anonymous`.
    pub actor: Option<Actor>,
    /// Which leases their proof counts for.
    pub reach: LeaseScope,
    /// Where jitter and ids come from that they don't bring.
    pub random: &'a dyn RandomSource,
}

/// What a command is about that its body does not say.
#[derive(Clone, Default, Debug)]
pub struct Target {
    /// The task.
    pub task: Option<TaskId>,
    /// The compensation.
    pub seq: Option<Seq>,
    /// The command's own name.
    pub request: Option<RequestId>,
}
