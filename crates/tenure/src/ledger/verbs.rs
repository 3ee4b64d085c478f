//! Every command as a method of the ledger, and the methods that refine it.
//!
//! Methods that take a `&Holder` are by lease: owner and epoch are checked. The others are by the ledger's actor.

use tenure_core::command::{Action, Create, Holder, IdOrigin, Put, PutUndo, QuarantineCause, UndoBy};
use tenure_core::compensation::Undo;
use tenure_core::event::{Triage, Waiver};
use tenure_core::id::{
    Document, Kind, LabelKey, LabelValue, Owner, Queue, Reason, Revision, SagaId, Seq, TaskId, Text,
};
use tenure_core::policy::{Policy, Ttl};
use tenure_core::refusal::Refusal;
use tenure_core::task::{Labels, State, Task};
use tenure_core::time::{Span, Time};

use crate::json;
use crate::ledger::Ledger;
use crate::ledger::call::{Call, Verb};
use crate::store::Renewal;

type Checked = Result<(), Refusal>;

/// Declares the kinds of calls, each with the type of its answer.
macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident => $done:ty;)*) => { $(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}
        impl Verb for $name {
            type Done = $done;
        }
    )* };
}

calls! {
    /// Creates a task.
    Creation => Task;
    /// Writes a whole record.
    Putting => Task;
    /// Acquires, reclaims or reserves a task: calls that only take a length.
    Taking => Task;
    /// Takes leases on the next due tasks of a queue.
    Claiming => Vec<Task>;
    /// Renews a lease.
    Heartbeating => Renewal;
    /// Reports progress without renewing.
    Progressing => Renewal;
    /// Gives a lease back.
    Releasing => Task;
    /// Registers how to undo something.
    Registering => Task;
    /// Ends a task as done.
    Completing => Task;
    /// Ends a task for good, undoing nothing.
    Failing => Task;
    /// Gives the work up and has it undone.
    RollingBack => Task;
    /// Parks a task by its holder.
    Quarantining => Task;
    /// Closes a task as undone, by an operator.
    MarkingCompensated => Task;
    /// Leaves a note.
    Annotating => Task;
    /// Makes a new task of one that ended badly.
    Retrying => Task;
    /// A command that nothing refines.
    Plain => Task;
}

impl Ledger {
    fn call<V: Verb>(&self, action: impl FnOnce() -> Result<Action, Refusal>) -> Call<V> {
        Call::new(self, action())
    }

    /// Creates a task of that id. A known id or saga id is refused `exists`, and the stored task is left as it is.
    pub fn create(&self, id: &str) -> Call<Creation> {
        self.call(|| Ok(Action::Create(Box::new(create(TaskId::new(id)?, IdOrigin::Given)?))))
    }

    /// Creates a task with a new id: ordered by time, and unique everywhere.
    pub fn create_unnamed(&self) -> Call<Creation> {
        self.call(|| Ok(Action::Create(Box::new(create(self.made_id()?, IdOrigin::Made)?))))
    }

    /// Writes a whole record, decided as a difference to the stored one. For imports and corrections; it
    /// can't change leases, epochs and ended tasks.
    pub fn put(&self, mut record: Put) -> Call<Putting> {
        self.call(|| {
            record.record.payload = json::document("payload", record.record.payload.as_str())?;
            let result = record.result.map(|result| json::document("result", result.as_str()));
            record.result = result.transpose()?;
            Ok(Action::Put(Box::new(record)))
        })
    }

    /// Reserves a task for an owner.
    pub fn dispatch(&self, id: &str, owner: &str) -> Call<Taking> {
        self.call(|| Ok(Action::Dispatch { task: TaskId::new(id)?, owner: Owner::new(owner)?, ttl: None }))
    }

    /// Acquires a task by its id. If several try, one wins; the others are told who holds it.
    pub fn acquire(&self, id: &str, owner: &str) -> Call<Taking> {
        self.call(|| Ok(Action::Acquire { task: TaskId::new(id)?, owner: Owner::new(owner)?, ttl: None }))
    }

    /// Takes leases on the next due tasks of a queue: one, or as many as [`Call::limit`] says. There may be
    /// none.
    pub fn claim(&self, queue: &str, owner: &str) -> Call<Claiming> {
        self.call(|| {
            let (queue, owner) = (Queue::new(queue)?, Owner::new(owner)?);
            Ok(Action::Claim { queue, limit: 1, owner, ttl: None })
        })
    }

    /// Renews a lease, and returns whether a cancel was asked for.
    pub fn heartbeat(&self, id: &str, by: &Holder) -> Call<Heartbeating> {
        self.call(|| {
            let task = TaskId::new(id)?;
            Ok(Action::Heartbeat { task, by: by.clone(), ttl: None, progress: None, checkpoint: None })
        })
    }

    /// Saves progress, or a checkpoint for a successor, without renewing the lease.
    pub fn progress(&self, id: &str, by: &Holder) -> Call<Progressing> {
        self.call(|| {
            Ok(Action::Progress { task: TaskId::new(id)?, by: by.clone(), progress: None, checkpoint: None })
        })
    }

    /// Gives a lease back. The attempt does not count, and what is owed is undone first.
    pub fn release(&self, id: &str, by: &Holder, reason: &str) -> Call<Releasing> {
        self.call(|| {
            let (task, reason) = (TaskId::new(id)?, Reason::named("reason", reason)?);
            Ok(Action::Release { task, by: by.clone(), reason, delay: None })
        })
    }

    /// Registers how to undo an effect that the holder is about to have. Do it before the effect.
    pub fn register(&self, id: &str, by: &Holder, kind: &str, target: &str) -> Call<Registering> {
        self.call(|| {
            let (task, undo) = (TaskId::new(id)?, undo(kind, target)?);
            Ok(Action::Register { task, by: Some(by.clone()), undo })
        })
    }

    /// Registers, before a lease, what every attempt will owe.
    pub fn register_standing(&self, id: &str, kind: &str, target: &str) -> Call<Registering> {
        self.call(|| Ok(Action::Register { task: TaskId::new(id)?, by: None, undo: undo(kind, target)? }))
    }

    /// Adopts what older leases owe, for this lease.
    pub fn adopt(&self, id: &str, by: &Holder) -> Call<Plain> {
        self.call(|| Ok(Action::Adopt { task: TaskId::new(id)?, by: by.clone() }))
    }

    /// Reports that an undo ran, with its receipt.
    pub fn settle(&self, id: &str, by: &Holder, seq: u32, receipt: &str) -> Call<Plain> {
        self.call(|| {
            let (task, receipt) = (TaskId::new(id)?, Text::named("receipt", receipt)?);
            Ok(Action::Settle { task, by: by.clone(), seq: Seq(seq), receipt })
        })
    }

    /// Reports that an undo failed.
    pub fn tried(&self, id: &str, by: &Holder, seq: u32, error: &str) -> Call<Plain> {
        self.call(|| {
            let (task, error) = (TaskId::new(id)?, Text::named("error", error)?);
            Ok(Action::Try { task, by: by.clone(), seq: Seq(seq), error })
        })
    }

    /// Waives a compensation: it need not be undone.
    pub fn waive(&self, id: &str, seq: u32, reason: &str) -> Call<Plain> {
        self.call(|| Ok(Action::Waive { task: TaskId::new(id)?, waiver: waiver(seq, reason)? }))
    }

    /// Completes the task. What this lease owed is void.
    pub fn complete(&self, id: &str, by: &Holder) -> Call<Completing> {
        self.call(|| Ok(Action::Complete { task: TaskId::new(id)?, by: by.clone(), result: None }))
    }

    /// Fails the task and undoes nothing; a compensation must say what remains to undo.
    pub fn fail(&self, id: &str, by: &Holder, reason: &str) -> Call<Failing> {
        self.call(|| {
            let (task, reason) = (TaskId::new(id)?, Reason::named("reason", reason)?);
            Ok(Action::Fail { task, by: by.clone(), reason, compensation: None })
        })
    }

    /// Rolls the work back: what is owed is undone, and then the task is tried again if attempts are left.
    pub fn roll_back(&self, id: &str, by: &Holder, reason: &str) -> Call<RollingBack> {
        self.call(|| {
            let (task, reason) = (TaskId::new(id)?, Reason::named("reason", reason)?);
            Ok(Action::RollBack { task, by: by.clone(), reason, undo_by: UndoBy::Recovery })
        })
    }

    /// Parks the task for a person.
    pub fn quarantine(&self, id: &str, by: &Holder, reason: &str) -> Call<Quarantining> {
        self.call(|| {
            let (task, reason) = (TaskId::new(id)?, Reason::named("reason", reason)?);
            Ok(Action::Quarantine { task, by: by.clone(), reason, parking: QuarantineCause::ByHolder })
        })
    }

    /// Marks a task completed, by an operator.
    pub fn mark_completed(&self, id: &str, reason: &str) -> Call<Completing> {
        self.call(|| {
            let (task, reason) = (TaskId::new(id)?, Reason::named("reason", reason)?);
            Ok(Action::MarkCompleted { task, reason, result: None })
        })
    }

    /// Marks a task failed, by an operator.
    pub fn mark_failed(&self, id: &str, reason: &str) -> Call<Failing> {
        self.call(|| {
            let (task, reason) = (TaskId::new(id)?, Reason::named("reason", reason)?);
            Ok(Action::MarkFailed { task, reason, compensation: None })
        })
    }

    /// Marks a task compensated, by an operator. What is owed must be waived with it.
    pub fn mark_compensated(&self, id: &str, reason: &str) -> Call<MarkingCompensated> {
        self.call(|| {
            let (task, reason) = (TaskId::new(id)?, Reason::named("reason", reason)?);
            Ok(Action::MarkCompensated { task, reason, waive: Vec::new() })
        })
    }

    /// Parks a task, by an operator.
    pub fn mark_quarantined(&self, id: &str, reason: &str) -> Call<Plain> {
        self.call(|| {
            Ok(Action::MarkQuarantined { task: TaskId::new(id)?, reason: Reason::named("reason", reason)? })
        })
    }

    /// Cancels a task. If it is running, its holder is asked to stop with its next heartbeat.
    pub fn cancel(&self, id: &str, reason: &str) -> Call<Plain> {
        self.call(|| Ok(Action::Cancel { task: TaskId::new(id)?, reason: Reason::named("reason", reason)? }))
    }

    /// Reclaims a stale task for recovery.
    pub fn reclaim(&self, id: &str, recoverer: &str) -> Call<Taking> {
        self.call(|| Ok(Action::Reclaim { task: TaskId::new(id)?, owner: Owner::new(recoverer)?, ttl: None }))
    }

    /// Adds a note, which is also possible on an ended task.
    pub fn annotate(&self, id: &str, note: &str) -> Call<Annotating> {
        self.call(|| {
            let note = Some(Reason::named("note", note)?);
            let triage = Triage::Stays;
            Ok(Action::Annotate { task: TaskId::new(id)?, note, terminal_reason: None, triage })
        })
    }

    /// Dismisses a task that ended badly: it needs no more attention, and why.
    pub fn dismiss(&self, id: &str, note: &str) -> Call<Annotating> {
        self.call(|| {
            let note = Some(Reason::named("note", note)?);
            let triage = Triage::Dismissed;
            Ok(Action::Annotate { task: TaskId::new(id)?, note, terminal_reason: None, triage })
        })
    }

    /// Corrects the reason for the end of an ended task; the old one stays in the history.
    pub fn reword(&self, id: &str, terminal_reason: &str) -> Call<Annotating> {
        self.call(|| {
            let terminal_reason = Some(Reason::named("terminal_reason", terminal_reason)?);
            let triage = Triage::Stays;
            Ok(Action::Annotate { task: TaskId::new(id)?, note: None, terminal_reason, triage })
        })
    }

    /// Retries a task that failed, was undone or is parked: makes a new task of it, once. The old task only
    /// names the new one.
    pub fn retry(&self, id: &str, reason: &str) -> Call<Retrying> {
        self.call(|| {
            let (task, reason) = (TaskId::new(id)?, Reason::named("reason", reason)?);
            let successor = self.made_id()?;
            Ok(Action::Retry { task, successor, naming: IdOrigin::Made, reason, waive: Vec::new() })
        })
    }

    fn made_id(&self) -> Result<TaskId, Refusal> {
        TaskId::new(self.entropy.new_id())
    }
}

/// The defaults of a new task.
pub fn create(task: TaskId, naming: IdOrigin) -> Result<Create, Refusal> {
    Ok(Create {
        task,
        naming,
        saga_id: None,
        queue: Queue::new(Queue::DEFAULT)?,
        kind: Kind::new(Kind::DEFAULT)?,
        labels: Labels::new(),
        payload: Document::null(),
        priority: 0,
        not_before: None,
        policy: Policy::default(),
        compensations: Vec::new(),
    })
}

/// The record of a stored task, to be changed and put back.
pub fn record_of(task: &Task) -> Put {
    let ending = task.ending();
    Put {
        record: Create {
            task: task.id.clone(),
            naming: IdOrigin::Given,
            saga_id: Some(task.saga_id.clone()),
            queue: task.queue.clone(),
            kind: task.kind.clone(),
            labels: task.labels.clone(),
            payload: task.payload.clone(),
            priority: task.priority,
            not_before: task.not_before,
            policy: task.policy,
            compensations: Vec::new(),
        },
        revision: Some(task.revision),
        state: task.state(),
        terminal_reason: ending.and_then(|ending| ending.reason.clone()),
        result: ending.and_then(|ending| ending.result.clone()),
        compensations: task
            .compensations
            .iter()
            .map(|one| PutUndo { seq: Some(one.seq), undo: one.undo.clone() })
            .collect(),
        created_at: Some(task.created_at),
        finished_at: ending.map(|ending| ending.finished_at),
        epoch: Some(task.epoch),
        attempts: Some(task.attempts),
    }
}

/// A new record, to be filled and put: planned, with only its id.
pub fn new_record(id: &str) -> Result<Put, Refusal> {
    Ok(Put {
        record: create(TaskId::new(id)?, IdOrigin::Given)?,
        revision: None::<Revision>,
        state: State::Planned,
        terminal_reason: None,
        result: None,
        compensations: Vec::new(),
        created_at: None,
        finished_at: None,
        epoch: None,
        attempts: None,
    })
}

fn undo(kind: &str, target: &str) -> Result<Undo, Refusal> {
    let kind = Kind::named("compensations.kind", kind)?;
    Ok(Undo { kind, target: Text::named("compensations.target", target)?, reason: None })
}

fn waiver(seq: u32, reason: &str) -> Result<Waiver, Refusal> {
    Ok(Waiver { seq: Seq(seq), reason: Reason::named("reason", reason)? })
}

// ---- what refines a call ---------------------------------------------------------------------------------------

impl Call<Creation> {
    fn set(self, change: impl FnOnce(&mut Create) -> Checked) -> Self {
        self.change(|action| if let Action::Create(create) = action { change(create) } else { Ok(()) })
    }

    /// A second unique name, for the task's saga.
    pub fn saga_id(self, saga_id: &str) -> Self {
        self.set(|create| SagaId::new(saga_id).map(|saga_id| create.saga_id = Some(saga_id)))
    }

    /// Where workers claim it from.
    pub fn queue(self, queue: &str) -> Self {
        self.set(|create| Queue::new(queue).map(|queue| create.queue = queue))
    }

    /// The kind of task.
    pub fn kind(self, kind: &str) -> Self {
        self.set(|create| Kind::new(kind).map(|kind| create.kind = kind))
    }

    /// A label.
    pub fn label(self, key: &str, value: &str) -> Self {
        self.set(|create| {
            create.labels.insert(LabelKey::new(key)?, LabelValue::new(value)?);
            Ok(())
        })
    }

    /// The payload, in JSON.
    pub fn payload(self, payload: &str) -> Self {
        self.set(|create| json::document("payload", payload).map(|payload| create.payload = payload))
    }

    /// Which of the queue's due tasks go first: the higher ones.
    pub fn priority(self, priority: i32) -> Self {
        self.set(|create| {
            create.priority = priority;
            Ok(())
        })
    }

    /// Not to be acquired or claimed earlier.
    pub fn not_before(self, not_before: Time) -> Self {
        self.set(|create| {
            create.not_before = Some(not_before);
            Ok(())
        })
    }

    /// The policy.
    pub fn policy(self, policy: Policy) -> Self {
        self.set(|create| {
            create.policy = policy;
            Ok(())
        })
    }

    /// Something that every attempt will owe.
    pub fn undo(self, kind: &str, target: &str) -> Self {
        self.set(|create| undo(kind, target).map(|undo| create.compensations.push(undo)))
    }

    /// The reason for the undo that was given last.
    pub fn undo_reason(self, words: &str) -> Self {
        self.set(|create| {
            let unnamed = || Refusal::invalid("compensations.reason", "give the undo before its reason");
            let last = create.compensations.last_mut().ok_or_else(unnamed)?;
            last.reason = Some(Reason::named("compensations.reason", words)?);
            Ok(())
        })
    }
}

/// A setter for one field of one action, for calls that have only a few.
macro_rules! refine {
    ($call:ident { $($(#[$doc:meta])* $method:ident($($argument:ident: $type:ty),*) $pattern:pat => $change:expr;)* }) => {
        impl Call<$call> { $(
            $(#[$doc])*
            pub fn $method(self, $($argument: $type),*) -> Self {
                self.change(|action| {
                    if let $pattern = action {
                        $change
                    }
                    Ok(())
                })
            }
        )* }
    };
}

refine!(Taking {
    /// How long it lasts. Default: the task's policy.
    ttl(length: impl Into<Span>)
        Action::Dispatch { ttl, .. } | Action::Acquire { ttl, .. } | Action::Reclaim { ttl, .. }
        => *ttl = Some(Ttl::new(length.into())?);
});
refine!(Claiming {
    /// The maximum number of tasks.
    limit(count: u32) Action::Claim { limit, .. } => *limit = count;
    /// How long the leases last. Default: each task's policy.
    ttl(length: impl Into<Span>) Action::Claim { ttl, .. } => *ttl = Some(Ttl::new(length.into())?);
});
refine!(Heartbeating {
    /// How long the lease lasts from now on. Default: the length at its grant.
    ttl(length: impl Into<Span>) Action::Heartbeat { ttl, .. } => *ttl = Some(Ttl::new(length.into())?);
    /// Progress, in JSON.
    progress(value: &str) Action::Heartbeat { progress, .. } => *progress = Some(json::progress(value)?);
    /// A checkpoint for a successor, in JSON.
    checkpoint(value: &str) Action::Heartbeat { checkpoint, .. }
        => *checkpoint = Some(json::document("checkpoint", value)?);
});
refine!(Progressing {
    /// Progress, in JSON.
    report(value: &str) Action::Progress { progress, .. } => *progress = Some(json::progress(value)?);
    /// A checkpoint for a successor, in JSON.
    checkpoint(value: &str) Action::Progress { checkpoint, .. }
        => *checkpoint = Some(json::document("checkpoint", value)?);
});
refine!(Releasing {
    /// Not to be taken again earlier.
    delay(length: impl Into<Span>) Action::Release { delay, .. } => *delay = Some(length.into());
});
refine!(Registering {
    /// Why it is registered.
    reason(words: &str) Action::Register { undo, .. } => undo.reason = Some(Reason::named("reason", words)?);
});
refine!(Completing {
    /// The result of the work, in JSON.
    result(value: &str) Action::Complete { result, .. } | Action::MarkCompleted { result, .. }
        => *result = Some(json::document("result", value)?);
});
refine!(Failing {
    /// What remains to undo; kind `none` says that nothing does.
    remains(kind: &str, target: &str) Action::Fail { compensation, .. } | Action::MarkFailed { compensation, .. }
        => *compensation = Some(undo(kind, target)?);
    /// What remains to undo, and why it was done.
    remains_because(kind: &str, target: &str, words: &str)
        Action::Fail { compensation, .. } | Action::MarkFailed { compensation, .. }
        => {
            let reason = Some(Reason::named("compensations.reason", words)?);
            *compensation = Some(Undo { reason, ..undo(kind, target)? });
        };
});
refine!(RollingBack {
    /// The holder undoes the work itself, under the lease that it has.
    keep_lease() Action::RollBack { undo_by, .. } => *undo_by = UndoBy::Holder;
});
refine!(Quarantining {
    /// The cause of the end.
    parking(why: QuarantineCause) Action::Quarantine { parking, .. } => *parking = why;
});
refine!(MarkingCompensated {
    /// Waives a compensation that is owed.
    waive(seq: u32, reason: &str) Action::MarkCompensated { waive, .. } => waive.push(waiver(seq, reason)?);
});
refine!(Annotating {
    /// The corrected reason for the end of an ended task; the old one stays in the history.
    terminal_reason(words: &str) Action::Annotate { terminal_reason, .. }
        => *terminal_reason = Some(Reason::named("terminal_reason", words)?);
});
refine!(Retrying {
    /// The new task's id.
    id(id: &str) Action::Retry { successor, naming, .. } => {
        *successor = TaskId::new(id)?;
        *naming = IdOrigin::Given;
    };
    /// Waives a compensation that is owed.
    waive(seq: u32, reason: &str) Action::Retry { waive, .. } => waive.push(waiver(seq, reason)?);
});
