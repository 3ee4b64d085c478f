//! Commands: what a caller asks for, in the imperative. Each names the task or the queue that it is about.
//!
//! A command *by lease* carries its [`Holder`], which is checked. A command *by operator* carries a reason.

use crate::compensation::{COMPENSATIONS_MAX, Undo};
use crate::event::{Triage, Waiver};
use crate::id::{
    Actor, Document, Epoch, Kind, Namespace, Owner, Progress, Queue, Reason, RequestId, Revision, SagaId,
    Seq, TaskId, Text,
};
use crate::policy::{Jitter, Policy, Ttl};
use crate::refusal::Refusal;
use crate::task::{Cause, LABELS_MAX, Labels, Lease, State};
use crate::time::{Span, Time};

/// The most tasks that one claim may ask for.
pub const CLAIM_MAX: u32 = 1_000;

/// A command: what is asked for, and by whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Command {
    /// The namespace that it is about.
    pub namespace: Namespace,
    /// Who gives it.
    pub actor: Actor,
    /// The request id: a repeat gets the first answer and is not executed again.
    pub request: Option<RequestId>,
    /// The jitter of a backoff, drawn by the shell.
    pub jitter: Jitter,
    /// Which leases its proof counts for.
    pub reach: LeaseScope,
    /// What is asked for.
    pub action: Action,
}

/// Which leases a command may act on. Owner and epoch are not secret. So a program that accepts commands from
/// strangers limits callers that are not operators to the leases granted to them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum LeaseScope {
    /// Any whose owner and epoch it knows.
    #[default]
    Any,
    /// Only those that were granted to the actor of the command.
    OwnLeases,
}

/// Proof of a lease: owner and epoch. Both are checked by every command that carries it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Holder {
    /// Who holds the lease.
    pub owner: Owner,
    /// The lease's fencing token.
    pub epoch: Epoch,
}

impl Lease {
    /// The proof of this lease.
    pub fn holder(&self) -> Holder {
        Holder { owner: self.owner.clone(), epoch: self.epoch }
    }
}

/// Whether an id was given by the caller or made for it: a made one is not part of what the caller asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IdOrigin {
    /// The caller gave it.
    Given,
    /// The ledger made it.
    Made,
}

/// A task that does not exist yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Create {
    /// Its name.
    pub task: TaskId,
    /// Who chose the name.
    pub naming: IdOrigin,
    /// Its saga's name, if that is another.
    pub saga_id: Option<SagaId>,
    /// Where workers claim it from.
    pub queue: Queue,
    /// What sort of task it is.
    pub kind: Kind,
    /// What people find it by.
    pub labels: Labels,
    /// What is needed to do it.
    pub payload: Document,
    /// Which of a queue's due tasks go first.
    pub priority: i32,
    /// Not to be acquired or claimed earlier.
    pub not_before: Option<Time>,
    /// The policy.
    pub policy: Policy,
    /// What each attempt owes.
    pub compensations: Vec<Undo>,
}

/// A compensation in a whole record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PutUndo {
    /// The number of the stored one that it restates; none: a new one.
    pub seq: Option<Seq>,
    /// What it says.
    pub undo: Undo,
}

/// A write of a whole record, decided as a difference against what is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Put {
    /// What a creation takes. Its compensations are in `compensations` below.
    pub record: Create,
    /// The revision that was read; none or zero: the task must not exist.
    pub revision: Option<Revision>,
    /// The state that the record shows.
    pub state: State,
    /// The terminal reason that the record shows.
    pub terminal_reason: Option<Reason>,
    /// The result that the record shows.
    pub result: Option<Document>,
    /// Its compensations.
    pub compensations: Vec<PutUndo>,
    /// When it was created, for a record from elsewhere. It never changes.
    pub created_at: Option<Time>,
    /// When it ended, for a record from elsewhere.
    pub finished_at: Option<Time>,
    /// The epoch that the record shows. It never changes by put.
    pub epoch: Option<Epoch>,
    /// The attempts that the record shows. They never change by put.
    pub attempts: Option<u32>,
}

/// Why a holder parks its task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QuarantineCause {
    /// It asks for a person.
    ByHolder,
    /// Recovery has no handler for a kind that is owed.
    UndoUnhandled,
    /// Recovery's tries are spent.
    UndoFailed,
}

impl QuarantineCause {
    pub(crate) const fn cause(self) -> Cause {
        match self {
            QuarantineCause::ByHolder => Cause::ByHolder,
            QuarantineCause::UndoUnhandled => Cause::UndoUnhandled,
            QuarantineCause::UndoFailed => Cause::UndoFailed,
        }
    }
}

/// Who undoes the work that a holder gives up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UndoBy {
    /// Recovery, from now on.
    Recovery,
    /// The holder itself, under its current lease.
    Holder,
}

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // The fields say what the rows of the table use; each is a type with its own documentation.
pub enum Action {
    /// Creates a task.
    Create(Box<Create>),
    /// Writes a whole record.
    Put(Box<Put>),
    /// Reserves a task for an owner.
    Dispatch { task: TaskId, owner: Owner, ttl: Option<Ttl> },
    /// Acquires a task by its id.
    Acquire { task: TaskId, owner: Owner, ttl: Option<Ttl> },
    /// Takes leases on the next due tasks of a queue.
    Claim { queue: Queue, limit: u32, owner: Owner, ttl: Option<Ttl> },
    /// Renews a lease.
    Heartbeat {
        task: TaskId,
        by: Holder,
        ttl: Option<Ttl>,
        progress: Option<Progress>,
        checkpoint: Option<Document>,
    },
    /// Reports progress without renewing.
    Progress { task: TaskId, by: Holder, progress: Option<Progress>, checkpoint: Option<Document> },
    /// Gives a lease back.
    Release { task: TaskId, by: Holder, reason: Reason, delay: Option<Span> },
    /// Registers how to undo a side effect, before the effect.
    Register { task: TaskId, by: Option<Holder>, undo: Undo },
    /// Adopts what older leases owe, for this lease.
    Adopt { task: TaskId, by: Holder },
    /// Reports that an undo ran.
    Settle { task: TaskId, by: Holder, seq: Seq, receipt: Text },
    /// Reports that an undo failed.
    Try { task: TaskId, by: Holder, seq: Seq, error: Text },
    /// Waives a compensation.
    Waive { task: TaskId, waiver: Waiver },
    /// Completes the task.
    Complete { task: TaskId, by: Holder, result: Option<Document> },
    /// Fails the task, undoing nothing.
    Fail { task: TaskId, by: Holder, reason: Reason, compensation: Option<Undo> },
    /// Gives the work up and has it undone.
    RollBack { task: TaskId, by: Holder, reason: Reason, undo_by: UndoBy },
    /// Parks the task for a person, by its holder.
    Quarantine { task: TaskId, by: Holder, reason: Reason, parking: QuarantineCause },
    /// Marks a task completed, by an operator.
    MarkCompleted { task: TaskId, reason: Reason, result: Option<Document> },
    /// Marks a task failed, by an operator.
    MarkFailed { task: TaskId, reason: Reason, compensation: Option<Undo> },
    /// Marks a task compensated, by an operator.
    MarkCompensated { task: TaskId, reason: Reason, waive: Vec<Waiver> },
    /// Parks a task, by an operator.
    MarkQuarantined { task: TaskId, reason: Reason },
    /// Cancels a task.
    Cancel { task: TaskId, reason: Reason },
    /// Reclaims a stale task for recovery.
    Reclaim { task: TaskId, owner: Owner, ttl: Option<Ttl> },
    /// Leaves a note, or corrects the reason for the end. The note may dismiss the end.
    Annotate { task: TaskId, note: Option<Reason>, terminal_reason: Option<Reason>, triage: Triage },
    /// Retries a task that ended badly, as a new task.
    Retry { task: TaskId, successor: TaskId, naming: IdOrigin, reason: Reason, waive: Vec<Waiver> },
}

/// The kind of a command: what the table's rows are found by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)] // One for each action, which has the words.
pub enum Verb {
    Create,
    Put,
    Dispatch,
    Acquire,
    Claim,
    Heartbeat,
    Progress,
    Release,
    Register,
    Adopt,
    Settle,
    Try,
    Waive,
    Complete,
    Fail,
    RollBack,
    Quarantine,
    MarkCompleted,
    MarkFailed,
    MarkCompensated,
    MarkQuarantined,
    Cancel,
    Reclaim,
    Annotate,
    Retry,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Verb; 25] = [
        Verb::Create,
        Verb::Put,
        Verb::Dispatch,
        Verb::Acquire,
        Verb::Claim,
        Verb::Heartbeat,
        Verb::Progress,
        Verb::Release,
        Verb::Register,
        Verb::Adopt,
        Verb::Settle,
        Verb::Try,
        Verb::Waive,
        Verb::Complete,
        Verb::Fail,
        Verb::RollBack,
        Verb::Quarantine,
        Verb::MarkCompleted,
        Verb::MarkFailed,
        Verb::MarkCompensated,
        Verb::MarkQuarantined,
        Verb::Cancel,
        Verb::Reclaim,
        Verb::Annotate,
        Verb::Retry,
    ];

    /// The verb as documents and digests write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verb::Create => "create",
            Verb::Put => "put",
            Verb::Dispatch => "dispatch",
            Verb::Acquire => "acquire",
            Verb::Claim => "claim",
            Verb::Heartbeat => "heartbeat",
            Verb::Progress => "progress",
            Verb::Release => "release",
            Verb::Register => "register",
            Verb::Adopt => "adopt",
            Verb::Settle => "settle",
            Verb::Try => "try",
            Verb::Waive => "waive",
            Verb::Complete => "complete",
            Verb::Fail => "fail",
            Verb::RollBack => "roll back",
            Verb::Quarantine => "quarantine",
            Verb::MarkCompleted => "mark completed",
            Verb::MarkFailed => "mark failed",
            Verb::MarkCompensated => "mark compensated",
            Verb::MarkQuarantined => "mark quarantined",
            Verb::Cancel => "cancel",
            Verb::Reclaim => "reclaim",
            Verb::Annotate => "annotate",
            Verb::Retry => "retry",
        }
    }
}

impl Action {
    /// Its kind.
    pub const fn verb(&self) -> Verb {
        match self {
            Action::Create(_) => Verb::Create,
            Action::Put(_) => Verb::Put,
            Action::Dispatch { .. } => Verb::Dispatch,
            Action::Acquire { .. } => Verb::Acquire,
            Action::Claim { .. } => Verb::Claim,
            Action::Heartbeat { .. } => Verb::Heartbeat,
            Action::Progress { .. } => Verb::Progress,
            Action::Release { .. } => Verb::Release,
            Action::Register { .. } => Verb::Register,
            Action::Adopt { .. } => Verb::Adopt,
            Action::Settle { .. } => Verb::Settle,
            Action::Try { .. } => Verb::Try,
            Action::Waive { .. } => Verb::Waive,
            Action::Complete { .. } => Verb::Complete,
            Action::Fail { .. } => Verb::Fail,
            Action::RollBack { .. } => Verb::RollBack,
            Action::Quarantine { .. } => Verb::Quarantine,
            Action::MarkCompleted { .. } => Verb::MarkCompleted,
            Action::MarkFailed { .. } => Verb::MarkFailed,
            Action::MarkCompensated { .. } => Verb::MarkCompensated,
            Action::MarkQuarantined { .. } => Verb::MarkQuarantined,
            Action::Cancel { .. } => Verb::Cancel,
            Action::Reclaim { .. } => Verb::Reclaim,
            Action::Annotate { .. } => Verb::Annotate,
            Action::Retry { .. } => Verb::Retry,
        }
    }

    /// The task that it is about; none for a claim, which takes what is due.
    pub fn task(&self) -> Option<&TaskId> {
        match self {
            Action::Create(create) => Some(&create.task),
            Action::Put(put) => Some(&put.record.task),
            Action::Claim { .. } => None,
            Action::Dispatch { task, .. }
            | Action::Acquire { task, .. }
            | Action::Heartbeat { task, .. }
            | Action::Progress { task, .. }
            | Action::Release { task, .. }
            | Action::Register { task, .. }
            | Action::Adopt { task, .. }
            | Action::Settle { task, .. }
            | Action::Try { task, .. }
            | Action::Waive { task, .. }
            | Action::Complete { task, .. }
            | Action::Fail { task, .. }
            | Action::RollBack { task, .. }
            | Action::Quarantine { task, .. }
            | Action::MarkCompleted { task, .. }
            | Action::MarkFailed { task, .. }
            | Action::MarkCompensated { task, .. }
            | Action::MarkQuarantined { task, .. }
            | Action::Cancel { task, .. }
            | Action::Reclaim { task, .. }
            | Action::Annotate { task, .. }
            | Action::Retry { task, .. } => Some(task),
        }
    }

    /// Its JSON values, each with the name of its field: for the edge, which makes them canonical.
    pub fn documents_mut(&mut self) -> Vec<(&'static str, &mut Document)> {
        match self {
            Action::Create(create) => vec![("payload", &mut create.payload)],
            Action::Put(put) => {
                let Put { record, result, .. } = &mut **put;
                let result = result.as_mut().map(|result| ("result", result));
                [("payload", &mut record.payload)].into_iter().chain(result).collect()
            }
            Action::Heartbeat { checkpoint, .. } | Action::Progress { checkpoint, .. } => {
                checkpoint.as_mut().map(|document| ("checkpoint", document)).into_iter().collect()
            }
            Action::Complete { result, .. } | Action::MarkCompleted { result, .. } => {
                result.as_mut().map(|document| ("result", document)).into_iter().collect()
            }
            Action::Dispatch { .. }
            | Action::Acquire { .. }
            | Action::Claim { .. }
            | Action::Release { .. }
            | Action::Register { .. }
            | Action::Adopt { .. }
            | Action::Settle { .. }
            | Action::Try { .. }
            | Action::Waive { .. }
            | Action::Fail { .. }
            | Action::RollBack { .. }
            | Action::Quarantine { .. }
            | Action::MarkFailed { .. }
            | Action::MarkCompensated { .. }
            | Action::MarkQuarantined { .. }
            | Action::Cancel { .. }
            | Action::Reclaim { .. }
            | Action::Annotate { .. }
            | Action::Retry { .. } => Vec::new(),
        }
    }

    /// The progress that it carries.
    pub fn progress_mut(&mut self) -> Option<&mut Progress> {
        let (Action::Heartbeat { progress, .. } | Action::Progress { progress, .. }) = self else {
            return None;
        };
        progress.as_mut()
    }

    /// The proof of a lease that it carries.
    pub fn holder(&self) -> Option<&Holder> {
        match self {
            Action::Heartbeat { by, .. }
            | Action::Progress { by, .. }
            | Action::Release { by, .. }
            | Action::Adopt { by, .. }
            | Action::Settle { by, .. }
            | Action::Try { by, .. }
            | Action::Complete { by, .. }
            | Action::Fail { by, .. }
            | Action::RollBack { by, .. }
            | Action::Quarantine { by, .. } => Some(by),
            Action::Register { by, .. } => by.as_ref(),
            Action::Create(_)
            | Action::Put(_)
            | Action::Dispatch { .. }
            | Action::Acquire { .. }
            | Action::Claim { .. }
            | Action::Waive { .. }
            | Action::MarkCompleted { .. }
            | Action::MarkFailed { .. }
            | Action::MarkCompensated { .. }
            | Action::MarkQuarantined { .. }
            | Action::Cancel { .. }
            | Action::Reclaim { .. }
            | Action::Annotate { .. }
            | Action::Retry { .. } => None,
        }
    }

    /// The limits that the types of the fields don't have. `invalid` comes before every other refusal.
    pub fn check(&self) -> Result<(), Refusal> {
        match self {
            Action::Create(create) => check_create(create),
            Action::Put(put) if !put.record.compensations.is_empty() => {
                Err(Refusal::invalid("compensations", "give them as numbered compensations of the record"))
            }
            Action::Put(put) => {
                check_create(&put.record)?;
                check_count("compensations", put.compensations.len(), COMPENSATIONS_MAX)
            }
            Action::Claim { limit, .. } if !(1..=CLAIM_MAX).contains(limit) => {
                Err(Refusal::invalid("limit", format_args!("1 to {CLAIM_MAX}")))
            }
            Action::Release { delay: Some(delay), .. } if *delay > Span::from_days(3_650) => {
                Err(Refusal::invalid("delay", "up to 3650 days"))
            }
            Action::Progress { progress: None, checkpoint: None, .. } => {
                Err(Refusal::invalid("progress", "give progress, a checkpoint, or both"))
            }
            Action::Annotate { note: None, triage: Triage::Dismissed, .. } => {
                Err(Refusal::invalid("note", "to dismiss a task, give a note with the reason"))
            }
            Action::Annotate { note: None, terminal_reason: None, .. } => {
                Err(Refusal::invalid("note", "give a note, a terminal_reason, or both"))
            }
            Action::Retry { task, successor, .. } if task == successor => {
                Err(Refusal::invalid("id", "the new task needs another id"))
            }
            Action::MarkCompensated { waive, .. } | Action::Retry { waive, .. } => check_waivers(waive),
            Action::Claim { .. }
            | Action::Release { .. }
            | Action::Progress { .. }
            | Action::Annotate { .. }
            | Action::Dispatch { .. }
            | Action::Acquire { .. }
            | Action::Heartbeat { .. }
            | Action::Register { .. }
            | Action::Adopt { .. }
            | Action::Settle { .. }
            | Action::Try { .. }
            | Action::Waive { .. }
            | Action::Complete { .. }
            | Action::Fail { .. }
            | Action::RollBack { .. }
            | Action::Quarantine { .. }
            | Action::MarkCompleted { .. }
            | Action::MarkFailed { .. }
            | Action::MarkQuarantined { .. }
            | Action::Cancel { .. }
            | Action::Reclaim { .. } => Ok(()),
        }
    }
}

fn check_create(create: &Create) -> Result<(), Refusal> {
    create.policy.check()?;
    check_count("labels", create.labels.len(), LABELS_MAX)?;
    check_count("compensations", create.compensations.len(), COMPENSATIONS_MAX)
}

fn check_waivers(waive: &[Waiver]) -> Result<(), Refusal> {
    check_count("waive", waive.len(), COMPENSATIONS_MAX)?;
    let twice =
        waive.iter().enumerate().any(|(at, one)| waive[..at].iter().any(|other| other.seq == one.seq));
    if twice { Err(Refusal::invalid("waive", "give each compensation only once")) } else { Ok(()) }
}

fn check_count(field: &'static str, count: usize, max: usize) -> Result<(), Refusal> {
    if count <= max {
        Ok(())
    } else {
        Err(Refusal::invalid(field, format_args!("up to {max}, {count} given")))
    }
}
