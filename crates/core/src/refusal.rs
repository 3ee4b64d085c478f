//! Refusals: expected "no" answers, each with a stable code. A refusal is not an error, and it changes nothing that
//! is stored.

use std::fmt;

use crate::id::{Epoch, Owner};
use crate::limit::InvalidField;
use crate::task::State;
use crate::time::Time;

/// Why a command was refused. Part of the public interface. If two codes apply, the order below decides up to
/// [`Code::LeaseLapsed`]; after that, the table decides.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Code {
    /// A field is over its limit or malformed.
    Invalid,
    /// The request id was used for another command, or by another actor.
    RequestReused,
    /// The task or compensation does not exist.
    NotFound,
    /// The task, or its saga, exists already.
    Exists,
    /// The task has ended; nothing changes it any more.
    Terminal,
    /// The task is already leased.
    Leased,
    /// It is reserved for another owner.
    Reserved,
    /// The task is not due yet.
    NotDue,
    /// There is no lease, or only a reservation.
    NoLease,
    /// The epoch is not the current one.
    StaleEpoch,
    /// The lease belongs to another owner.
    WrongOwner,
    /// The lease has lapsed.
    LeaseLapsed,
    /// The heartbeat would not extend the lease.
    NotExtending,
    /// There was no progress for as long as the policy allows.
    Stalled,
    /// The attempt has run for as long as the policy allows.
    OutOfTime,
    /// Its holder was told to stop, and the policy's grace for that is over.
    Cancelled,
    /// A failed task needs a compensation record.
    CompensationRequired,
    /// The task owes compensations, which must be undone, adopted or waived first.
    CompensationOwed,
    /// The compensation is not owed any more.
    CompensationSettled,
    /// The state of the task does not allow it.
    WrongState,
    /// The record was changed since it was read.
    StaleWrite,
    /// The caller may not do this.
    Forbidden,
}

impl Code {
    /// Every code, in the order in which the design lists them.
    pub const ALL: [Code; 22] = [
        Code::Invalid,
        Code::NotFound,
        Code::Exists,
        Code::RequestReused,
        Code::Terminal,
        Code::Leased,
        Code::Reserved,
        Code::NotDue,
        Code::NoLease,
        Code::StaleEpoch,
        Code::WrongOwner,
        Code::LeaseLapsed,
        Code::NotExtending,
        Code::Stalled,
        Code::OutOfTime,
        Code::CompensationRequired,
        Code::CompensationOwed,
        Code::CompensationSettled,
        Code::WrongState,
        Code::StaleWrite,
        Code::Forbidden,
        Code::Cancelled,
    ];

    /// The code as interfaces write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Code::Invalid => "invalid",
            Code::RequestReused => "request_reused",
            Code::NotFound => "not_found",
            Code::Exists => "exists",
            Code::Terminal => "terminal",
            Code::Leased => "leased",
            Code::Reserved => "reserved",
            Code::NotDue => "not_due",
            Code::NoLease => "no_lease",
            Code::StaleEpoch => "stale_epoch",
            Code::WrongOwner => "wrong_owner",
            Code::LeaseLapsed => "lease_lapsed",
            Code::NotExtending => "not_extending",
            Code::Stalled => "stalled",
            Code::OutOfTime => "out_of_time",
            Code::Cancelled => "cancelled",
            Code::CompensationRequired => "compensation_required",
            Code::CompensationOwed => "compensation_owed",
            Code::CompensationSettled => "compensation_settled",
            Code::WrongState => "wrong_state",
            Code::StaleWrite => "stale_write",
            Code::Forbidden => "forbidden",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who holds a task, since when, until when, at which epoch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeldBy {
    /// The holder, or the one it is reserved for.
    pub owner: Owner,
    /// The lease's epoch; none for a reservation.
    pub epoch: Option<Epoch>,
    /// Since when it is held.
    pub since: Time,
    /// When it ends unless it is renewed.
    pub until: Time,
}

/// An expected "no", with the facts that the caller needs to react.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// One sentence for a person: what is wrong. Who holds the task and until when is in the fields, and in the text of `Display`.
    pub message: Box<str>,
    /// The field that is out of bounds, for `invalid`.
    pub field: Option<&'static str>,
    /// The state that the task is in.
    pub state: Option<State>,
    /// The holder of the task, if there is one.
    pub held_by: Option<Box<HeldBy>>,
    /// The earliest time at which the same command can succeed, for refusals that time may lift. A
    /// compensation, a policy or another owner may still prevent it then.
    pub retry_at: Option<Time>,
}

impl Refusal {
    /// A refusal with only a message.
    pub fn new(code: Code, message: impl Into<Box<str>>) -> Refusal {
        Refusal { code, message: message.into(), field: None, state: None, held_by: None, retry_at: None }
    }

    /// A field is malformed or over its limit.
    pub fn invalid(field: &'static str, limit: impl fmt::Display) -> Refusal {
        Refusal { field: Some(field), ..Refusal::new(Code::Invalid, format!("{field}: {limit}")) }
    }
}

impl From<InvalidField> for Refusal {
    fn from(invalid: InvalidField) -> Refusal {
        Refusal::invalid(invalid.field, invalid.limit)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        match &self.held_by {
            Some(held) => match held.epoch {
                Some(epoch) => write!(f, " (held by {} at epoch {epoch})", held.owner),
                None => write!(f, " (reserved for {})", held.owner),
            },
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refusal {}
