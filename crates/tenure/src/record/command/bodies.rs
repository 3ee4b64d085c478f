//! The request body of each verb, with texts that are not checked yet, each under its own name.
//!
//! A missing field and a `null` field count as not given. But in a field that takes any JSON, `null` is a value like
//! others.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::record::duration::DurationInput;
use crate::record::input::PolicyInput;
use crate::record::read::present;

/// Declares bodies, each with what all of them have.
macro_rules! bodies {
    ($($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* })*) => { $(
        $(#[$meta])*
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, expecting = "an object")]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub struct $name {
            $($(#[$field_meta])* pub(super) $field: $type,)*
            /// Who gives the command, if it is not the owner. With a token, the token's name always counts
            /// instead.
            #[serde(rename = "as")]
            pub(super) actor: Option<String>,
        }

        impl $name {
            /// What it may say, but for `wait`, by the names that are written.
            pub(super) const FIELDS: &'static [&'static str] = &[$(stringify!($field),)* "as"];
        }
    )* };
}

bodies! {
    /// Creates a task.
    CreateBody {
        /// The id of the task. Default: a new id.
        id: Option<String>,
        /// A second unique name, for its saga. Default: the task id.
        saga_id: Option<String>,
        /// The queue that workers claim it from. Default: `default`.
        queue: Option<String>,
        /// The kind of task. Default: `task`.
        kind: Option<String>,
        /// Labels to find it by, at most 32.
        labels: Option<BTreeMap<String, String>>,
        /// The payload, up to 256 KiB.
        #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
        payload: Option<Box<RawValue>>,
        /// The priority: due tasks with a higher one go first.
        priority: Option<i32>,
        /// The earliest time to acquire or claim it: RFC 3339 with an offset.
        #[cfg_attr(feature = "openapi", schema(format = DateTime))]
        not_before: Option<String>,
        /// The policy.
        policy: Option<PolicyInput>,
        /// Compensations that each attempt will owe.
        compensations: Option<Vec<UndoBody>>,
    }
    /// Acquires, reclaims or reserves a task by its id.
    TakeBody {
        /// The owner.
        owner: String,
        /// How long, such as `60s`. Default: the task's policy.
        ttl: Option<DurationInput>,
    }
    /// Takes leases on the next due tasks of a queue.
    ClaimBody {
        /// The queue.
        queue: String,
        /// The owner.
        owner: String,
        /// How long the leases last, such as `60s`. Default: each task's policy.
        ttl: Option<DurationInput>,
        /// The maximum number of tasks: 1 to 1000. Default: 1.
        limit: Option<u32>,
        /// How long to wait for work, such as `30s`; at most 60s. Not allowed in a list of commands.
        #[serde(rename = "wait")]
        _wait: Option<DurationInput>,
    }
    /// Renews a lease.
    HeartbeatBody {
        /// The holder of the lease.
        owner: String,
        /// The epoch of the lease, its fencing token.
        epoch: u64,
        /// How long the lease lasts from now on. Default: its length at the grant.
        ttl: Option<DurationInput>,
        /// Progress of the work, up to 1 KiB. `null` counts as a value.
        #[serde(default, deserialize_with = "present")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
        progress: Option<Box<RawValue>>,
        /// A checkpoint for the next holder, up to 256 KiB. `null` counts as a value.
        #[serde(default, deserialize_with = "present")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
        checkpoint: Option<Box<RawValue>>,
    }
    /// Reports progress without renewing the lease: progress, a checkpoint, or both.
    ProgressBody {
        /// The holder of the lease.
        owner: String,
        /// The epoch of the lease, its fencing token.
        epoch: u64,
        /// Progress of the work, up to 1 KiB. `null` counts as a value.
        #[serde(default, deserialize_with = "present")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
        progress: Option<Box<RawValue>>,
        /// A checkpoint for the next holder, up to 256 KiB. `null` counts as a value.
        #[serde(default, deserialize_with = "present")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
        checkpoint: Option<Box<RawValue>>,
    }
    /// Releases a lease.
    ReleaseBody {
        /// The holder of the lease.
        owner: String,
        /// The epoch of the lease, its fencing token.
        epoch: u64,
        /// Why.
        reason: String,
        /// How long to wait before the task can be taken again, such as `5m`.
        delay: Option<DurationInput>,
    }
    /// Registers how to undo a side effect: by lease before the effect, or without a lease before the first
    /// one.
    RegisterBody {
        /// The holder of the lease.
        owner: Option<String>,
        /// The epoch of the lease, its fencing token.
        epoch: Option<u64>,
        /// Which handler undoes it.
        kind: String,
        /// The target: a path, a number or a name.
        target: String,
        /// The reason for it.
        reason: Option<String>,
    }
    /// Adopts what older leases owe, for this lease.
    AdoptBody {
        /// The holder of the lease.
        owner: String,
        /// The epoch of the lease, its fencing token.
        epoch: u64,
    }
    /// Reports that an undo ran or failed: exactly one of receipt and error.
    SettleBody {
        /// The holder of the lease.
        owner: String,
        /// The epoch of the lease, its fencing token.
        epoch: u64,
        /// The receipt: proof that the undo ran.
        receipt: Option<String>,
        /// Why it failed.
        error: Option<String>,
    }
    /// Waives a compensation.
    WaiveBody {
        /// Why.
        reason: String,
    }
    /// Completes a task: by lease, or by operator with a reason.
    CompleteBody {
        /// The holder of the lease.
        owner: Option<String>,
        /// The epoch of the lease, its fencing token.
        epoch: Option<u64>,
        /// The reason, for operators.
        reason: Option<String>,
        /// The result of the work, up to 256 KiB. `null` counts as a value.
        #[serde(default, deserialize_with = "present")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
        result: Option<Box<RawValue>>,
    }
    /// Fails a task, undoing nothing: by lease or by operator.
    FailBody {
        /// The holder of the lease.
        owner: Option<String>,
        /// The epoch of the lease, its fencing token.
        epoch: Option<u64>,
        /// Why.
        reason: String,
        /// What remains to undo; kind `none` means nothing.
        compensation: Option<UndoBody>,
    }
    /// Gives up the work and has it undone.
    RollBackBody {
        /// The holder of the lease.
        owner: String,
        /// The epoch of the lease, its fencing token.
        epoch: u64,
        /// Why.
        reason: String,
        /// Whether the holder undoes it itself, under its current lease.
        keep: Option<bool>,
    }
    /// Parks a task for a person: by lease or by operator.
    QuarantineBody {
        /// The holder of the lease.
        owner: Option<String>,
        /// The epoch of the lease, its fencing token.
        epoch: Option<u64>,
        /// Why.
        reason: String,
        /// By lease, the cause: `by_holder` (the default), `undo_unhandled` or `undo_failed`.
        #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::record::schema::ParkingWord>))]
        cause: Option<String>,
    }
    /// Marks a task compensated, by operator.
    CompensateBody {
        /// Why.
        reason: String,
        /// Owed compensations that need not be undone.
        waive: Option<Vec<WaiverBody>>,
    }
    /// Cancels a task.
    CancelBody {
        /// Why.
        reason: String,
    }
    /// Adds a note, corrects the reason for the end, or both.
    NoteBody {
        /// The note.
        note: Option<String>,
        /// The corrected reason for the end.
        terminal_reason: Option<String>,
        /// `true`: dismisses the end of this task, with the note as the reason.
        dismiss: Option<bool>,
    }
    /// Retries a task that ended badly, as a new task.
    RetryBody {
        /// The id of the new task. Default: a new id.
        id: Option<String>,
        /// Why.
        reason: String,
        /// Owed compensations that need not be undone.
        waive: Option<Vec<WaiverBody>>,
    }
}

/// How to undo one side effect.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a compensation, as an object with kind, target and reason")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UndoBody {
    /// The kind: which handler undoes it; `none` means that there is nothing to undo.
    pub(in crate::record) kind: String,
    /// The target: a path, a number or a name.
    pub(in crate::record) target: String,
    /// The reason for it.
    pub(in crate::record) reason: Option<String>,
}

/// The waiver of a compensation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with seq and reason")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WaiverBody {
    /// The number of the compensation.
    pub(super) seq: u32,
    /// Why.
    pub(super) reason: String,
}
