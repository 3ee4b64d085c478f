//! The request body of each verb, with texts that are not checked yet, each under its own name.
//!
//! A missing field and a `null` field count as not given. But in a field that takes any JSON, `null` is a value like
//! others.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::document::present;
use crate::duration::DurationInput;
use crate::policy::PolicyInput;

/// Declares bodies, each with what all of them have.
macro_rules! bodies {
    ($($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* })*) => { $(
        $(#[$meta])*
        #[derive(Debug, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, expecting = "an object")]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
            /// Who gives the command, if it is not the owner. With a token, the token's name always counts
            /// instead.
            #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
            pub actor: Option<String>,
        }

        impl $name {
            /// What it may say, by the names that are written.
            pub(crate) const FIELDS: &'static [&'static str] = &[$(stringify!($field),)* "as"];
        }
    )* };
}

bodies! {
    /// Creates a task.
    CreateBody {
        /// The id of the task. Default: a new id.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// A second unique name, for its saga. Default: the task id.
        #[serde(skip_serializing_if = "Option::is_none")]
        saga_id: Option<String>,
        /// The queue that workers claim it from. Default: `default`.
        #[serde(skip_serializing_if = "Option::is_none")]
        queue: Option<String>,
        /// The kind of task. Default: `task`.
        #[serde(skip_serializing_if = "Option::is_none")]
        kind: Option<String>,
        /// Labels to find it by, at most 32.
        #[serde(skip_serializing_if = "Option::is_none")]
        labels: Option<BTreeMap<String, String>>,
        /// The payload, up to 256 KiB.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
        payload: Option<Box<RawValue>>,
        /// The priority: due tasks with a higher one go first.
        #[serde(skip_serializing_if = "Option::is_none")]
        priority: Option<i32>,
        /// The earliest time to acquire or claim it: RFC 3339 with an offset.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(format = DateTime))]
        not_before: Option<String>,
        /// The policy.
        #[serde(skip_serializing_if = "Option::is_none")]
        policy: Option<PolicyInput>,
        /// Compensations that each attempt will owe.
        #[serde(skip_serializing_if = "Option::is_none")]
        compensations: Option<Vec<UndoBody>>,
    }
    /// Acquires, reclaims or reserves a task by its id.
    TakeBody {
        /// The owner.
        owner: String,
        /// How long, such as `60s`. Default: the task's policy.
        #[serde(skip_serializing_if = "Option::is_none")]
        ttl: Option<DurationInput>,
    }
    /// Takes leases on the next due tasks of a queue.
    ClaimBody {
        /// The queue.
        queue: String,
        /// The owner.
        owner: String,
        /// How long the leases last, such as `60s`. Default: each task's policy.
        #[serde(skip_serializing_if = "Option::is_none")]
        ttl: Option<DurationInput>,
        /// The maximum number of tasks: 1 to 1000. Default: 1.
        #[serde(skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
        /// How long to wait for work, such as `30s`; at most 60s. Not allowed in a list of commands.
        #[serde(skip_serializing_if = "Option::is_none")]
        wait: Option<DurationInput>,
    }
    /// Renews a lease.
    HeartbeatBody {
        /// The holder of the lease.
        owner: String,
        /// The epoch of the lease, its fencing token.
        epoch: u64,
        /// How long the lease lasts from now on. Default: its length at the grant.
        #[serde(skip_serializing_if = "Option::is_none")]
        ttl: Option<DurationInput>,
        /// Progress of the work, up to 1 KiB. `null` counts as a value.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
        progress: Option<Box<RawValue>>,
        /// A checkpoint for the next holder, up to 256 KiB. `null` counts as a value.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
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
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
        progress: Option<Box<RawValue>>,
        /// A checkpoint for the next holder, up to 256 KiB. `null` counts as a value.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
        checkpoint: Option<Box<RawValue>>,
    }
    /// Releases a lease.
    ReleaseBody {
        /// The holder of the lease.
        owner: String,
        /// The epoch of the lease, its fencing token.
        epoch: u64,
        /// The reason.
        reason: String,
        /// How long to wait before the task can be taken again, such as `5m`.
        #[serde(skip_serializing_if = "Option::is_none")]
        delay: Option<DurationInput>,
    }
    /// Registers how to undo a side effect: by lease before the effect, or without a lease before the first
    /// one.
    RegisterBody {
        /// The holder of the lease.
        #[serde(skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
        /// The epoch of the lease, its fencing token.
        #[serde(skip_serializing_if = "Option::is_none")]
        epoch: Option<u64>,
        /// Which handler undoes it.
        kind: String,
        /// The target: a path, a number or a name.
        target: String,
        /// The reason for it.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    }
    /// Adopts what older leases owe, for this lease.
    AdoptBody {
        /// The holder of the lease.
        owner: String,
        /// The epoch of the lease, its fencing token.
        epoch: u64,
    }
    /// Reports that an undo ran or failed: exactly one of receipt and error. By operator: that it was undone by hand.
    SettleBody {
        /// The holder of the lease.
        #[serde(skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
        /// The epoch of the lease, its fencing token.
        #[serde(skip_serializing_if = "Option::is_none")]
        epoch: Option<u64>,
        /// The receipt: proof that the undo ran.
        #[serde(skip_serializing_if = "Option::is_none")]
        receipt: Option<String>,
        /// Why it failed; only by lease.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        /// Why it was undone by hand; only by operator. Default: the receipt.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    }
    /// Sets and removes labels of a task that has not ended: by lease or by operator.
    LabelBody {
        /// The holder of the lease.
        #[serde(skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
        /// The epoch of the lease, its fencing token.
        #[serde(skip_serializing_if = "Option::is_none")]
        epoch: Option<u64>,
        /// Labels to set. Afterwards the task has at most 32.
        #[serde(skip_serializing_if = "Option::is_none")]
        set: Option<BTreeMap<String, String>>,
        /// The keys of labels to remove.
        #[serde(skip_serializing_if = "Option::is_none")]
        unset: Option<Vec<String>>,
        /// Why; only by operator.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    }
    /// Waives a compensation.
    WaiveBody {
        /// The reason.
        reason: String,
    }
    /// Completes a task: by lease, or by operator with a reason.
    CompleteBody {
        /// The holder of the lease.
        #[serde(skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
        /// The epoch of the lease, its fencing token.
        #[serde(skip_serializing_if = "Option::is_none")]
        epoch: Option<u64>,
        /// The reason, for operators.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// The result of the work, up to 256 KiB. `null` counts as a value.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
        result: Option<Box<RawValue>>,
    }
    /// Fails a task, undoing nothing: by lease or by operator.
    FailBody {
        /// The holder of the lease.
        #[serde(skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
        /// The epoch of the lease, its fencing token.
        #[serde(skip_serializing_if = "Option::is_none")]
        epoch: Option<u64>,
        /// The reason.
        reason: String,
        /// What remains to undo; kind `none` means nothing.
        #[serde(skip_serializing_if = "Option::is_none")]
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
        #[serde(skip_serializing_if = "Option::is_none")]
        keep: Option<bool>,
    }
    /// Parks a task for a person: by lease or by operator.
    QuarantineBody {
        /// The holder of the lease.
        #[serde(skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
        /// The epoch of the lease, its fencing token.
        #[serde(skip_serializing_if = "Option::is_none")]
        epoch: Option<u64>,
        /// Why.
        reason: String,
        /// By lease, the cause: `by_holder` (the default), `undo_unhandled` or `undo_failed`.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::schema::ParkingWord>))]
        cause: Option<String>,
    }
    /// Marks a task compensated, by operator.
    CompensateBody {
        /// Why.
        reason: String,
        /// Owed compensations that need not be undone.
        #[serde(skip_serializing_if = "Option::is_none")]
        waive: Option<Vec<WaiverBody>>,
        /// Owed compensations that were undone by hand, with their receipts.
        #[serde(skip_serializing_if = "Option::is_none")]
        receipts: Option<Vec<ReceiptBody>>,
    }
    /// Cancels a task.
    CancelBody {
        /// Why.
        reason: String,
    }
    /// Adds a note, corrects the reason for the end, or both.
    NoteBody {
        /// The note.
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<String>,
        /// The corrected reason for the end.
        #[serde(skip_serializing_if = "Option::is_none")]
        terminal_reason: Option<String>,
        /// `true`: dismisses the end of this task, with the note as the reason.
        #[serde(skip_serializing_if = "Option::is_none")]
        dismiss: Option<bool>,
    }
    /// Retries a task that ended badly, as a new task.
    RetryBody {
        /// The id of the new task. Default: a new id.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// Why.
        reason: String,
        /// Owed compensations that need not be undone.
        #[serde(skip_serializing_if = "Option::is_none")]
        waive: Option<Vec<WaiverBody>>,
        /// Owed compensations that were undone by hand, with their receipts.
        #[serde(skip_serializing_if = "Option::is_none")]
        receipts: Option<Vec<ReceiptBody>>,
    }
}

/// How to undo one side effect.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a compensation, as an object with kind, target and reason")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UndoBody {
    /// The kind: which handler undoes it; `none` means that there is nothing to undo.
    pub kind: String,
    /// The target: a path, a number or a name.
    pub target: String,
    /// The reason for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The waiver of a compensation.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with seq and reason")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WaiverBody {
    /// The number of the compensation.
    pub seq: u32,
    /// Why.
    pub reason: String,
}

/// The receipt of a compensation that was undone by hand.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with seq and receipt")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReceiptBody {
    /// The number of the compensation.
    pub seq: u32,
    /// What shows that it was undone.
    pub receipt: String,
}

/// Who holds a record that moves in while it is worked on. A printed lease or reservation says more, which is ignored.
#[derive(Debug, Serialize, Deserialize)]
#[serde(expecting = "an object with owner and expires_at")]
pub struct PutHolderBody {
    /// Who holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Under whose name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub granted_to: Option<String>,
    /// Until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// A task as somebody wrote it: texts that are still to be checked, each by its own name.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a task, as an object")]
pub struct PutBody {
    /// Its name. It may be left out where it is known already which task is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The namespace that it must be of, if it says one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The revision that was read; without one the task must not exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The id of its saga, a second unique name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saga_id: Option<String>,
    /// The queue that workers claim it from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// The kind of task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The state that the record shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The priority: due tasks with a higher one go first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// The earliest time to acquire or claim it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// Labels to find it by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// The payload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Box<RawValue>>,
    /// The policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyInput>,
    /// How to undo what was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compensations: Option<Vec<PutUndoBody>>,
    /// Why it ended, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminal_reason: Option<String>,
    /// What the work gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Box<RawValue>>,
    /// The number of attempts that were begun and not released.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// The epoch of its newest lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// When it was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// Who holds it: of a new record that is running. Ignored in any other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<Box<RawValue>>,
    /// Who it is reserved for: of a new record that is dispatched. Ignored in any other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reservation: Option<Box<RawValue>>,
    /// Why it is written: a new record that somebody holds needs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Those of its fields that were given the value `null`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given_null: Option<Vec<String>>,
    // What follows from the rest, or from commands of its own.
    #[serde(rename = "cause", default, skip_serializing)]
    pub(crate) _cause: IgnoredAny,
    #[serde(rename = "dismissed", default, skip_serializing)]
    pub(crate) _dismissed: IgnoredAny,
    #[serde(rename = "owed", default, skip_serializing)]
    pub(crate) _owed: IgnoredAny,
    #[serde(rename = "unwinding", default, skip_serializing)]
    pub(crate) _unwinding: IgnoredAny,
    #[serde(rename = "checkpoint", default, skip_serializing)]
    pub(crate) _checkpoint: IgnoredAny,
    #[serde(rename = "cancel", default, skip_serializing)]
    pub(crate) _cancel: IgnoredAny,
    #[serde(rename = "retried_as", default, skip_serializing)]
    pub(crate) _retried_as: IgnoredAny,
    #[serde(rename = "retry_of", default, skip_serializing)]
    pub(crate) _retry_of: IgnoredAny,
    #[serde(rename = "stale", default, skip_serializing)]
    pub(crate) _stale: IgnoredAny,
    #[serde(rename = "updated_at", default, skip_serializing)]
    pub(crate) _updated_at: IgnoredAny,
    #[serde(rename = "started_at", default, skip_serializing)]
    pub(crate) _started_at: IgnoredAny,
    #[serde(rename = "last_lease", default, skip_serializing)]
    pub(crate) _last_lease: IgnoredAny,
}

/// A compensation of a whole record.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutUndoBody {
    /// The number of the stored one that it restates; none: a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u32>,
    /// Which handler undoes it.
    pub kind: String,
    /// What is undone.
    pub target: String,
    /// The reason for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    // What becomes of it is said by commands of their own.
    #[serde(rename = "status", default, skip_serializing)]
    pub(crate) _status: IgnoredAny,
    #[serde(rename = "epoch", default, skip_serializing)]
    pub(crate) _epoch: IgnoredAny,
    #[serde(rename = "tries", default, skip_serializing)]
    pub(crate) _tries: IgnoredAny,
    #[serde(rename = "receipt", default, skip_serializing)]
    pub(crate) _receipt: IgnoredAny,
    #[serde(rename = "settled_by", default, skip_serializing)]
    pub(crate) _settled_by: IgnoredAny,
    #[serde(rename = "last_error", default, skip_serializing)]
    pub(crate) _last_error: IgnoredAny,
    #[serde(rename = "waiver", default, skip_serializing)]
    pub(crate) _waiver: IgnoredAny,
    #[serde(rename = "key", default, skip_serializing)]
    pub(crate) _key: IgnoredAny,
    #[serde(rename = "registered", default, skip_serializing)]
    pub(crate) _registered: IgnoredAny,
}
