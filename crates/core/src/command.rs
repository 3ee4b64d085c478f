//! Commands: what a caller asks for, in the imperative. Each names the task or the queue that it is about.
//!
//! A command *by lease* carries its [`Holder`], which is checked. A command *by operator* carries a reason.

mod actions;

use crate::compensation::{COMPENSATIONS_MAX, Compensation, Undo};
use crate::event::{HandReceipt, LabelChanges, Triage, Waiver};
use crate::id::{
    Actor, Document, Epoch, Kind, Namespace, Owner, Progress, Queue, Reason, RequestId, Revision, SagaId,
    Seq, TaskId, Text,
};
use crate::policy::{Jitter, Policy, Ttl};
use crate::refusal::Refusal;
use crate::task::{Cause, LABELS_MAX, Labels, Lease, State, Task};
use crate::time::{Span, Time};
use crate::verb::Verb;

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
    pub lease_scope: LeaseScope,
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
    pub id_origin: IdOrigin,
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

impl Create {
    /// The defaults of a new task.
    pub fn new(task: TaskId, id_origin: IdOrigin) -> Create {
        Create {
            task,
            id_origin,
            saga_id: None,
            queue: Queue::blank(),
            kind: Kind::blank(),
            labels: Labels::new(),
            payload: Document::null(),
            priority: 0,
            not_before: None,
            policy: Policy::default(),
            compensations: Vec::new(),
        }
    }
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
    /// Who holds it and until when, for a new record that is running or dispatched elsewhere.
    pub holder: Option<PutHolder>,
    /// Why it is written: a record that is running or dispatched needs it.
    pub reason: Option<Reason>,
}

/// The holder of a record that moves in while it is worked on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PutHolder {
    /// Who holds it.
    pub owner: Owner,
    /// Under whose name, which is a token's where there are tokens; none: the owner's.
    pub granted_to: Option<Actor>,
    /// Until when: past, or at most [`Ttl::MAX`] ahead.
    pub expires_at: Time,
}

impl Put {
    /// A record that does not exist yet, to be filled: planned, with nothing but its name.
    pub fn new(task: TaskId) -> Put {
        Put {
            record: Create::new(task, IdOrigin::Given),
            revision: None,
            state: State::Planned,
            terminal_reason: None,
            result: None,
            compensations: Vec::new(),
            created_at: None,
            finished_at: None,
            epoch: None,
            attempts: None,
            holder: None,
            reason: None,
        }
    }

    /// The record of a stored task, to be changed and put back.
    pub fn of(task: &Task) -> Put {
        let ending = task.ending();
        let undo = |one: &Compensation| PutUndo { seq: Some(one.seq), undo: one.undo.clone() };
        Put {
            record: Create {
                saga_id: Some(task.saga_id.clone()),
                queue: task.queue.clone(),
                kind: task.kind.clone(),
                labels: task.labels.clone(),
                payload: task.payload.clone(),
                priority: task.priority,
                not_before: task.not_before,
                policy: task.policy,
                ..Create::new(task.id.clone(), IdOrigin::Given)
            },
            revision: Some(task.revision),
            state: task.state(),
            terminal_reason: ending.and_then(|ending| ending.reason.clone()),
            result: ending.and_then(|ending| ending.result.clone()),
            compensations: task.compensations.iter().map(undo).collect(),
            created_at: Some(task.created_at),
            finished_at: ending.map(|ending| ending.finished_at),
            epoch: Some(task.epoch),
            attempts: Some(task.attempts),
            holder: None,
            reason: None,
        }
    }
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

/// What is asked for. Actions are grouped by who may give them: [`Verb::given_by`] says it of each.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // The fields say what the rows of the table use; each is a type with its own documentation.
pub enum Action {
    /// Creates a task.
    Create(Box<Create>),
    /// Writes a whole record.
    Put(Box<Put>),
    /// Takes leases on the next due tasks of a queue.
    Claim { queue: Queue, limit: u32, owner: Owner, ttl: Option<Ttl> },
    /// Sets a task aside for an owner, or takes a lease on it by its name.
    Take { task: TaskId, take: Take, owner: Owner, ttl: Option<Ttl> },
    /// What a holder does under its lease.
    ByHolder { task: TaskId, by: Holder, act: HolderAction },
    /// What an operator does without a lease.
    ByOperator { task: TaskId, act: OperatorAction },
}

/// Why a task is taken by its id: to reserve it, to work on it, or to recover it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Take {
    /// A dispatcher reserves it for an owner, who acquires it later.
    Dispatch,
    /// A worker takes the lease.
    Acquire,
    /// Recovery takes a stale task over.
    Reclaim,
}

/// What a holder does under its lease.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // As above.
pub enum HolderAction {
    /// Renews the lease.
    Heartbeat { ttl: Option<Ttl>, progress: Option<Progress>, checkpoint: Option<Document> },
    /// Reports progress without renewing.
    Progress { progress: Option<Progress>, checkpoint: Option<Document> },
    /// Gives the lease back.
    Release { reason: Reason, delay: Option<Span> },
    /// Registers how to undo a side effect, before the effect.
    Register { undo: Undo },
    /// Adopts what older leases owe, for this lease.
    Adopt,
    /// Reports that an undo ran.
    Settle { seq: Seq, receipt: Text },
    /// Reports that an undo failed.
    Try { seq: Seq, error: Text },
    /// Sets and removes labels.
    Label { changes: LabelChanges },
    /// Completes the task.
    Complete { result: Option<Document> },
    /// Fails the task, undoing nothing.
    Fail { reason: Reason, compensation: Option<Undo> },
    /// Gives the work up and has it undone.
    RollBack { reason: Reason, undo_by: UndoBy },
    /// Parks the task for a person.
    Quarantine { reason: Reason, cause: QuarantineCause },
}

/// What an operator does without a lease.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // As above.
pub enum OperatorAction {
    /// Registers what each attempt will owe, before the first lease.
    Register { undo: Undo },
    /// Waives a compensation.
    Waive { waiver: Waiver },
    /// Records that a person undid a compensation by hand.
    Settle { done: HandReceipt, reason: Reason },
    /// Sets and removes labels.
    Label { changes: LabelChanges, reason: Option<Reason> },
    /// Marks the task completed.
    MarkCompleted { reason: Reason, result: Option<Document> },
    /// Marks the task failed.
    MarkFailed { reason: Reason, compensation: Option<Undo> },
    /// Marks the task compensated.
    MarkCompensated { reason: Reason, waive: Vec<Waiver>, settled: Vec<HandReceipt> },
    /// Parks the task for a person.
    MarkQuarantined { reason: Reason },
    /// Asks for the task to stop.
    Cancel { reason: Reason },
    /// Leaves a note, or corrects the reason for the end. The note may dismiss the end.
    Annotate { note: Option<Reason>, terminal_reason: Option<Reason>, triage: Triage },
    /// Retries a task that ended badly, as a new task.
    Retry {
        successor: TaskId,
        id_origin: IdOrigin,
        reason: Reason,
        waive: Vec<Waiver>,
        settled: Vec<HandReceipt>,
    },
}

impl Action {
    /// Its kind.
    pub const fn verb(&self) -> Verb {
        match self {
            Action::Create(_) => Verb::Create,
            Action::Put(_) => Verb::Put,
            Action::Claim { .. } => Verb::Claim,
            Action::Take { take: Take::Dispatch, .. } => Verb::Dispatch,
            Action::Take { take: Take::Acquire, .. } => Verb::Acquire,
            Action::Take { take: Take::Reclaim, .. } => Verb::Reclaim,
            Action::ByHolder { act, .. } => act.verb(),
            Action::ByOperator { act, .. } => act.verb(),
        }
    }

    /// The task that it is about; none for a claim, which takes what is due.
    pub fn task(&self) -> Option<&TaskId> {
        match self {
            Action::Create(create) => Some(&create.task),
            Action::Put(put) => Some(&put.record.task),
            Action::Claim { .. } => None,
            Action::Take { task, .. } | Action::ByHolder { task, .. } | Action::ByOperator { task, .. } => {
                Some(task)
            }
        }
    }

    /// The proof of a lease that it carries.
    pub fn holder(&self) -> Option<&Holder> {
        match self {
            Action::ByHolder { by, .. } => Some(by),
            Action::Create(_)
            | Action::Put(_)
            | Action::Claim { .. }
            | Action::Take { .. }
            | Action::ByOperator { .. } => None,
        }
    }

    /// Who acts where nobody else is named: the owner of the lease that it is about. A reservation is made by somebody else.
    pub fn actor(&self) -> Option<Actor> {
        match self {
            Action::Claim { owner, .. }
            | Action::Take { take: Take::Acquire | Take::Reclaim, owner, .. }
            | Action::ByHolder { by: Holder { owner, .. }, .. } => Some(Actor::from(owner)),
            Action::Create(_)
            | Action::Put(_)
            | Action::Take { take: Take::Dispatch, .. }
            | Action::ByOperator { .. } => None,
        }
    }

    /// Who chose the id of the new task; none if it makes none.
    pub fn id_origin(&self) -> Option<IdOrigin> {
        match self {
            Action::Create(create) => Some(create.id_origin),
            Action::Put(put) => Some(put.record.id_origin),
            Action::ByOperator { act: OperatorAction::Retry { id_origin, .. }, .. } => Some(*id_origin),
            Action::Claim { .. }
            | Action::Take { .. }
            | Action::ByHolder { .. }
            | Action::ByOperator { .. } => None,
        }
    }

    /// What a holder does; none if it is another command.
    pub fn by_holder(&self) -> Option<&HolderAction> {
        if let Action::ByHolder { act, .. } = self { Some(act) } else { None }
    }

    /// What an operator does; none if it is another command.
    pub fn by_operator(&self) -> Option<&OperatorAction> {
        if let Action::ByOperator { act, .. } = self { Some(act) } else { None }
    }

    /// Its JSON values, each with the name of its field: for the edge, which makes them canonical.
    pub fn documents_mut(&mut self) -> Vec<(&'static str, &mut Document)> {
        match self {
            Action::Create(create) => vec![("payload", &mut create.payload)],
            Action::Put(put) => {
                let Put { record, result, .. } = &mut **put;
                [("payload", &mut record.payload)]
                    .into_iter()
                    .chain(result.as_mut().map(|result| ("result", result)))
                    .collect()
            }
            Action::ByHolder { act, .. } => act.document_mut().into_iter().collect(),
            Action::ByOperator { act, .. } => act.document_mut().into_iter().collect(),
            Action::Claim { .. } | Action::Take { .. } => Vec::new(),
        }
    }

    /// The number of the compensation that it is about, if it names one.
    pub fn seq(&self) -> Option<Seq> {
        match self {
            Action::ByHolder { act, .. } => act.seq(),
            Action::ByOperator { act, .. } => act.seq(),
            Action::Create(_) | Action::Put(_) | Action::Claim { .. } | Action::Take { .. } => None,
        }
    }

    /// The progress that it carries.
    pub fn progress_mut(&mut self) -> Option<&mut Progress> {
        let Action::ByHolder {
            act: HolderAction::Heartbeat { progress, .. } | HolderAction::Progress { progress, .. },
            ..
        } = self
        else {
            return None;
        };
        progress.as_mut()
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
            Action::Claim { .. } | Action::Take { .. } => Ok(()),
            Action::ByHolder { act, .. } => act.check(),
            Action::ByOperator { task, act } => act.check(task),
        }
    }
}

fn check_create(create: &Create) -> Result<(), Refusal> {
    create.policy.check()?;
    check_count("labels", create.labels.len(), LABELS_MAX)?;
    check_count("compensations", create.compensations.len(), COMPENSATIONS_MAX)
}

fn check_count(field: &'static str, count: usize, max: usize) -> Result<(), Refusal> {
    if count <= max {
        Ok(())
    } else {
        Err(Refusal::invalid(field, format_args!("up to {max}, {count} given")))
    }
}
