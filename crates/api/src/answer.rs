//! What commands are answered with.

use serde::{Deserialize, Deserializer, Serialize};
use tenure_core as core;
use tenure_core::id::{Epoch, Namespace, Owner, Revision, Seq, TaskId};
use tenure_core::task::{Cause, State};
use tenure_core::time::Time;

use crate::refusal::{Refusal, Said};
#[cfg(feature = "openapi")]
use crate::schema;
use crate::task::Task;
use crate::wire;

/// The answer to a holder that renews its lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Renewal {
    /// When it was renewed or read, by the store's clock. The rest of the lease counts from here, because the
    /// holder's clock may differ.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Time,
    /// When the lease ends now.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub expires_at: Time,
    /// Whether a cancel was asked for.
    #[serde(rename = "cancel")]
    pub cancel_asked: bool,
}

/// What of a task is needed to go on with it: nothing that can be large. Its fields are those of a whole one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MinimalTask {
    /// Its id.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: TaskId,
    /// Its namespace.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub namespace: Namespace,
    /// Its state.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = schema::StateWord))]
    pub state: State,
    /// Why it ended; null before that.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::CauseWord>, required))]
    pub cause: Option<Cause>,
    /// The number of attempts.
    pub attempts: u32,
    /// The epoch of its newest lease.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub epoch: Epoch,
    /// The number of its newest event.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub revision: Revision,
    /// How many compensations are owed.
    pub owed: u32,
    /// The number of its newest compensation: after a register, of the new one.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u32>, required))]
    pub newest_seq: Option<Seq>,
    /// The holder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<MinimalLease>,
    /// When it changed last.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub updated_at: Time,
}

/// The holder of a task, and when the lease ends.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MinimalLease {
    /// The owner.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub owner: Owner,
    /// The epoch of the lease.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub epoch: Epoch,
    /// When the lease ends.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub expires_at: Time,
}

impl MinimalTask {
    /// The most bytes of JSON that one has.
    pub const BYTES_MAX: usize = 1_200;
}

impl From<&core::task::Task> for MinimalTask {
    fn from(task: &core::task::Task) -> MinimalTask {
        MinimalTask {
            id: task.id.clone(),
            namespace: task.namespace.clone(),
            state: task.state(),
            cause: task.ending().map(|ending| ending.cause),
            attempts: task.attempts,
            epoch: task.epoch,
            revision: task.revision,
            owed: u32::try_from(task.owed().count()).unwrap_or(u32::MAX),
            newest_seq: task.compensations.iter().map(|one| one.seq).max(),
            lease: task.lease().map(|lease| MinimalLease {
                owner: lease.owner.clone(),
                epoch: lease.epoch,
                expires_at: lease.expires_at,
            }),
            updated_at: task.updated_at,
        }
    }
}

/// A task, whole or in its minimal form. A program that reads one back asks for whole tasks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(untagged)]
pub enum AnyTask {
    /// All of it.
    Whole(Box<Task>),
    /// What is needed to go on with it.
    Minimal(Box<MinimalTask>),
}

impl<'de> Deserialize<'de> for AnyTask {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AnyTask, D::Error> {
        Box::<Task>::deserialize(deserializer).map(AnyTask::Whole)
    }
}

impl TryFrom<AnyTask> for core::task::Task {
    type Error = String;

    fn try_from(task: AnyTask) -> Result<core::task::Task, String> {
        match task {
            AnyTask::Whole(task) => (*task).try_into(),
            AnyTask::Minimal(_) => Err("a task in its minimal form is not the task".into()),
        }
    }
}

/// What a command came to: one of a task, tasks, a renewal, or why not; with the old task besides, after a retry.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = CommandAnswer))]
pub struct Answer {
    /// The task after the command; after a retry, the new task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<AnyTask>,
    /// The tasks that a claim was granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Vec<AnyTask>>,
    /// The answer to a heartbeat or a progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewal: Option<Renewal>,
    /// The old task, after a retry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retried: Option<AnyTask>,
    /// The refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    /// The command was not done; it can be tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<Said>,
    /// The stored data is inconsistent; nothing was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrupt: Option<Said>,
    /// It is unknown whether the command was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<Said>,
}

/// The answers to many commands, in order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = CommandAnswers))]
pub struct Answers {
    /// One answer for each command.
    pub answers: Vec<Answer>,
}

/// The answer to one of many heartbeats: the new end of the lease, or why it was not extended.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = OneHeartbeatAnswer))]
pub struct HeartbeatAnswer {
    /// The task.
    #[serde(with = "wire", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub id: Option<TaskId>,
    /// The epoch of the lease.
    #[serde(with = "wire", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u64>))]
    pub epoch: Option<Epoch>,
    /// When it was renewed, by the store's clock.
    #[serde(with = "wire", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub at: Option<Time>,
    /// When the lease ends now.
    #[serde(with = "wire", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub expires_at: Option<Time>,
    /// Whether a cancel was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancel: Option<bool>,
    /// The refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    /// The command was not done; it can be tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<Said>,
    /// The stored data is inconsistent; nothing was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrupt: Option<Said>,
    /// It is unknown whether the command was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<Said>,
}

/// The answers to many heartbeats, in order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HeartbeatAnswers {
    /// One answer for each heartbeat.
    pub answers: Vec<HeartbeatAnswer>,
}

#[cfg(feature = "openapi")]
mod schemas {
    use utoipa::openapi::schema::{AnyOfBuilder, Schema};
    use utoipa::openapi::{Ref, RefOr};
    use utoipa::{PartialSchema, ToSchema};

    use super::{AnyTask, MinimalTask};
    use crate::task::Task;

    impl PartialSchema for AnyTask {
        fn schema() -> RefOr<Schema> {
            let whole = Ref::from_schema_name(Task::name());
            AnyOfBuilder::new().item(whole).item(Ref::from_schema_name(MinimalTask::name())).into()
        }
    }

    impl ToSchema for AnyTask {
        fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
            schemas.push((Task::name().into_owned(), Task::schema()));
            schemas.push((MinimalTask::name().into_owned(), MinimalTask::schema()));
            Task::schemas(schemas);
            MinimalTask::schemas(schemas);
        }
    }
}
