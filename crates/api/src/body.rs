//! What each verb's body has: texts that are still to be checked, each by its own name.
//!
//! What is left out, or `null`, was not said; but where JSON is asked for, `null` is a value like others.

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
            /// Who gives it, where that is not the owner. With a token it is the token's name, whatever is said here.
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
        /// Its name; one is made where none is given.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// A second unique name, of its saga; else its own.
        #[serde(skip_serializing_if = "Option::is_none")]
        saga_id: Option<String>,
        /// Where workers claim it from; else `default`.
        #[serde(skip_serializing_if = "Option::is_none")]
        queue: Option<String>,
        /// What sort of task it is; else `task`.
        #[serde(skip_serializing_if = "Option::is_none")]
        kind: Option<String>,
        /// What people find it by: up to 32.
        #[serde(skip_serializing_if = "Option::is_none")]
        labels: Option<BTreeMap<String, String>>,
        /// What is needed to do it: up to 256 KiB.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
        payload: Option<Box<RawValue>>,
        /// Which of a queue's due tasks go first: the higher ones.
        #[serde(skip_serializing_if = "Option::is_none")]
        priority: Option<i32>,
        /// Not to be acquired or claimed earlier: RFC 3339 with an offset.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(format = DateTime))]
        not_before: Option<String>,
        /// What is decided beforehand.
        #[serde(skip_serializing_if = "Option::is_none")]
        policy: Option<PolicyInput>,
        /// What each attempt will owe.
        #[serde(skip_serializing_if = "Option::is_none")]
        compensations: Option<Vec<UndoBody>>,
    }
    /// Takes a lease by the task's name, or recovers it, or reserves it.
    TakeBody {
        /// For whom.
        owner: String,
        /// How long, such as `60s`; else as the task's policy says.
        #[serde(skip_serializing_if = "Option::is_none")]
        ttl: Option<DurationInput>,
    }
    /// Takes leases on the next due tasks of a queue.
    ClaimBody {
        /// The queue.
        queue: String,
        /// For whom.
        owner: String,
        /// How long, such as `60s`; else as each task's policy says.
        #[serde(skip_serializing_if = "Option::is_none")]
        ttl: Option<DurationInput>,
        /// How many at most: 1 to 1000, else 1.
        #[serde(skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
        /// How long to wait for work, such as `30s`; up to 60s. Not in a list of commands.
        #[serde(skip_serializing_if = "Option::is_none")]
        wait: Option<DurationInput>,
    }
    /// Renews a lease.
    HeartbeatBody {
        /// Who holds it.
        owner: String,
        /// Its fencing token.
        epoch: u64,
        /// How long it lasts from now on; else as long as when it was granted.
        #[serde(skip_serializing_if = "Option::is_none")]
        ttl: Option<DurationInput>,
        /// How far the work is: up to 1 KiB. Null is a value.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
        progress: Option<Box<RawValue>>,
        /// What a successor needs to go on: up to 256 KiB. Null is a value.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
        checkpoint: Option<Box<RawValue>>,
    }
    /// Reports progress without renewing: one of both, or both.
    ProgressBody {
        /// Who holds the lease.
        owner: String,
        /// Its fencing token.
        epoch: u64,
        /// How far the work is: up to 1 KiB. Null is a value.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
        progress: Option<Box<RawValue>>,
        /// What a successor needs to go on: up to 256 KiB. Null is a value.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
        checkpoint: Option<Box<RawValue>>,
    }
    /// Gives a lease back.
    ReleaseBody {
        /// Who holds it.
        owner: String,
        /// Its fencing token.
        epoch: u64,
        /// Why.
        reason: String,
        /// How long it is not to be taken again, such as `5m`.
        #[serde(skip_serializing_if = "Option::is_none")]
        delay: Option<DurationInput>,
    }
    /// Registers how to undo a side effect: by lease before the effect, or without one before the first lease.
    RegisterBody {
        /// Who holds the lease.
        #[serde(skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
        /// Its fencing token.
        #[serde(skip_serializing_if = "Option::is_none")]
        epoch: Option<u64>,
        /// Which handler undoes it.
        kind: String,
        /// What is undone: a path, a number, a name.
        target: String,
        /// Why it is registered.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    }
    /// Makes what an older lease owes this one's.
    AdoptBody {
        /// Who holds the lease.
        owner: String,
        /// Its fencing token.
        epoch: u64,
    }
    /// Reports that an undo ran, or was tried in vain: exactly one of receipt and error.
    SettleBody {
        /// Who holds the lease.
        owner: String,
        /// Its fencing token.
        epoch: u64,
        /// What it left as proof.
        #[serde(skip_serializing_if = "Option::is_none")]
        receipt: Option<String>,
        /// Why it failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    }
    /// Says that something need not be undone.
    WaiveBody {
        /// Why.
        reason: String,
    }
    /// Ends a task as done: by lease, or by operator with a reason.
    CompleteBody {
        /// Who holds the lease.
        #[serde(skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
        /// Its fencing token.
        #[serde(skip_serializing_if = "Option::is_none")]
        epoch: Option<u64>,
        /// Why, by operator.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// What the work gave: up to 256 KiB. Null is a value.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
        result: Option<Box<RawValue>>,
    }
    /// Ends a task for good, undoing nothing: by lease or by operator.
    FailBody {
        /// Who holds the lease.
        #[serde(skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
        /// Its fencing token.
        #[serde(skip_serializing_if = "Option::is_none")]
        epoch: Option<u64>,
        /// Why.
        reason: String,
        /// What remains to undo; kind `none` says that nothing does.
        #[serde(skip_serializing_if = "Option::is_none")]
        compensation: Option<UndoBody>,
    }
    /// Gives the work up and has it undone.
    RollBackBody {
        /// Who holds the lease.
        owner: String,
        /// Its fencing token.
        epoch: u64,
        /// Why.
        reason: String,
        /// Whether the holder undoes it itself, under the lease that it has.
        #[serde(skip_serializing_if = "Option::is_none")]
        keep: Option<bool>,
    }
    /// Parks a task for a person: by lease or by operator.
    QuarantineBody {
        /// Who holds the lease.
        #[serde(skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
        /// Its fencing token.
        #[serde(skip_serializing_if = "Option::is_none")]
        epoch: Option<u64>,
        /// Why.
        reason: String,
        /// By lease, the cause: `by_holder`, which it is where it is left out, `undo_unhandled` or `undo_failed`.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::schema::ParkingWord>))]
        cause: Option<String>,
    }
    /// Closes a task as undone, by operator.
    CompensateBody {
        /// Why.
        reason: String,
        /// What is owed and need not be undone.
        #[serde(skip_serializing_if = "Option::is_none")]
        waive: Option<Vec<WaiverBody>>,
    }
    /// Asks for a task to stop.
    CancelBody {
        /// Why.
        reason: String,
    }
    /// Leaves a note, or better words for the end, or both.
    NoteBody {
        /// The note.
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<String>,
        /// The new words for the end.
        #[serde(skip_serializing_if = "Option::is_none")]
        terminal_reason: Option<String>,
        /// `true`: nobody has to look at the end of this task any more, for the reason that the note says.
        #[serde(skip_serializing_if = "Option::is_none")]
        dismiss: Option<bool>,
    }
    /// Makes a new task of one that ended badly.
    RetryBody {
        /// The new task's name; one is made where none is given.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// Why.
        reason: String,
        /// What is owed and need not be undone.
        #[serde(skip_serializing_if = "Option::is_none")]
        waive: Option<Vec<WaiverBody>>,
    }
}

/// How to undo one side effect.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a compensation, as an object of kind, target and reason")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UndoBody {
    /// Which handler undoes it; `none` says that there is nothing to undo.
    pub kind: String,
    /// What is undone: a path, a number, a name.
    pub target: String,
    /// Why it is registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// That something need not be undone.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object of seq and reason")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WaiverBody {
    /// Which compensation.
    pub seq: u32,
    /// Why.
    pub reason: String,
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
    /// A second unique name, of its saga.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saga_id: Option<String>,
    /// Where workers claim it from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// What sort of task it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The state that the record shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Which of a queue's due tasks go first: the higher ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// Not to be acquired or claimed earlier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// What people find it by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// What is needed to do it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Box<RawValue>>,
    /// What is decided beforehand.
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
    /// How often work was begun and not released.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// The newest lease's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// When it was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
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
    #[serde(rename = "lease", default, skip_serializing)]
    pub(crate) _lease: IgnoredAny,
    #[serde(rename = "reservation", default, skip_serializing)]
    pub(crate) _reservation: IgnoredAny,
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
    /// Why it is registered.
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
    #[serde(rename = "last_error", default, skip_serializing)]
    pub(crate) _last_error: IgnoredAny,
    #[serde(rename = "waiver", default, skip_serializing)]
    pub(crate) _waiver: IgnoredAny,
    #[serde(rename = "key", default, skip_serializing)]
    pub(crate) _key: IgnoredAny,
    #[serde(rename = "registered", default, skip_serializing)]
    pub(crate) _registered: IgnoredAny,
}
