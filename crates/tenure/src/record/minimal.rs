//! A task without its large fields, for callers that did not ask for more. The names are those of a whole task.

use serde::Serialize;
use tenure_core::id::{Epoch, Namespace, Owner, Revision, Seq, TaskId};
use tenure_core::task::{Cause, State};
use tenure_core::time::Time;

use super::Of;
use crate::store::answering::{MinimalLease, MinimalTask};
use crate::wire::{Held, Wired};

/// A task without its large fields.
#[derive(Serialize)]
pub struct MinimalTaskRecord<'a> {
    id: Of<'a, TaskId>,
    namespace: Of<'a, Namespace>,
    state: Held<State>,
    cause: Held<Option<Cause>>,
    attempts: u32,
    epoch: Of<'a, Epoch>,
    revision: Of<'a, Revision>,
    owed: usize,
    newest_seq: Of<'a, Option<Seq>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<MinimalLeaseRecord<'a>>,
    updated_at: Of<'a, Time>,
}

#[derive(Serialize)]
struct MinimalLeaseRecord<'a> {
    owner: Of<'a, Owner>,
    epoch: Of<'a, Epoch>,
    expires_at: Of<'a, Time>,
}

impl<'a> MinimalTaskRecord<'a> {
    /// The task.
    pub fn of(task: &'a MinimalTask) -> MinimalTaskRecord<'a> {
        let lease = |lease: &'a MinimalLease| MinimalLeaseRecord {
            owner: Wired(&lease.owner),
            epoch: Wired(&lease.epoch),
            expires_at: Wired(&lease.expires_at),
        };
        MinimalTaskRecord {
            id: Wired(&task.id),
            namespace: Wired(&task.namespace),
            state: Held(task.state),
            cause: Held(task.cause),
            attempts: task.attempts,
            epoch: Wired(&task.epoch),
            revision: Wired(&task.revision),
            owed: task.owed,
            newest_seq: Wired(&task.newest_seq),
            lease: task.lease.as_ref().map(lease),
            updated_at: Wired(&task.updated_at),
        }
    }
}
