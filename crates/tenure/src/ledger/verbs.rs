//! Every command as a method of the ledger, and the methods that refine it.
//!
//! Methods that take a `&Holder` are by lease: owner and epoch are checked. The others name the ledger's actor; those
//! that take a lease name its owner.

use tenure_api::json;
use tenure_core::command::{
    Action, Create, Holder, HolderAction, IdOrigin, OperatorAction, Put, QuarantineCause, Take, UndoBy,
};
use tenure_core::compensation::Undo;
use tenure_core::event::{HandReceipt, LabelChanges, Triage, Waiver};
use tenure_core::id::{Kind, LabelKey, LabelValue, Owner, Queue, Reason, SagaId, Seq, TaskId, Text};
use tenure_core::limit::InvalidField;
use tenure_core::policy::{Policy, Ttl};
use tenure_core::refusal::Refusal;
use tenure_core::task::Task;
use tenure_core::time::{Span, Time};
use tenure_store::Renewal;

use crate::ledger::Ledger;
use crate::ledger::call::{Call, Verb};
use crate::ledger::to_json::ToJson;

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
    /// Records what was undone by hand.
    SettlingByHand => Task;
    /// Sets and removes labels of an open task.
    Labelling => Task;
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
        self.call(|| Ok(Action::Create(Box::new(Create::new(TaskId::new(id)?, IdOrigin::Given)))))
    }

    /// Creates a task with a new id: ordered by time, and unique everywhere.
    pub fn create_unnamed(&self) -> Call<Creation> {
        self.call(|| Ok(Action::Create(Box::new(Create::new(self.made_id()?, IdOrigin::Made)))))
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
        self.call(|| {
            Ok(Action::Take {
                task: TaskId::new(id)?,
                take: Take::Dispatch,
                owner: Owner::new(owner)?,
                ttl: None,
            })
        })
    }

    /// Acquires a task by its id. If several try, one wins; the others are told who holds it.
    pub fn acquire(&self, id: &str, owner: &str) -> Call<Taking> {
        self.call(|| {
            Ok(Action::Take {
                task: TaskId::new(id)?,
                take: Take::Acquire,
                owner: Owner::new(owner)?,
                ttl: None,
            })
        })
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
            Ok(HolderAction::Heartbeat { ttl: None, progress: None, checkpoint: None }.on(task, by.clone()))
        })
    }

    /// Saves progress, or a checkpoint for a successor, without renewing the lease.
    pub fn progress(&self, id: &str, by: &Holder) -> Call<Progressing> {
        self.call(|| {
            Ok(HolderAction::Progress { progress: None, checkpoint: None }.on(TaskId::new(id)?, by.clone()))
        })
    }

    /// Gives a lease back. The attempt does not count, and what is owed is undone first.
    pub fn release(&self, id: &str, by: &Holder, reason: &str) -> Call<Releasing> {
        self.call(|| {
            let (task, reason) = (TaskId::new(id)?, Reason::named("reason", reason)?);
            Ok(HolderAction::Release { reason, delay: None }.on(task, by.clone()))
        })
    }

    /// Registers how to undo an effect that the holder is about to have. Do it before the effect.
    pub fn register(&self, id: &str, by: &Holder, kind: &str, target: &str) -> Call<Registering> {
        self.call(|| {
            let (task, undo) = (TaskId::new(id)?, undo(kind, target)?);
            Ok(HolderAction::Register { undo }.on(task, by.clone()))
        })
    }

    /// Registers, before a lease, what every attempt will owe.
    pub fn register_standing(&self, id: &str, kind: &str, target: &str) -> Call<Registering> {
        self.call(|| Ok(OperatorAction::Register { undo: undo(kind, target)? }.on(TaskId::new(id)?)))
    }

    /// Adopts what older leases owe, for this lease.
    pub fn adopt(&self, id: &str, by: &Holder) -> Call<Plain> {
        self.call(|| Ok(HolderAction::Adopt.on(TaskId::new(id)?, by.clone())))
    }

    /// Reports that an undo ran, with its receipt.
    pub fn settle(&self, id: &str, by: &Holder, seq: u32, receipt: &str) -> Call<Plain> {
        self.call(|| {
            let (task, receipt) = (TaskId::new(id)?, Text::named("receipt", receipt)?);
            Ok(HolderAction::Settle { seq: Seq(seq), receipt }.on(task, by.clone()))
        })
    }

    /// Reports that an undo failed.
    pub fn tried(&self, id: &str, by: &Holder, seq: u32, error: &str) -> Call<Plain> {
        self.call(|| {
            let (task, error) = (TaskId::new(id)?, Text::named("error", error)?);
            Ok(HolderAction::Try { seq: Seq(seq), error }.on(task, by.clone()))
        })
    }

    /// Waives a compensation: it need not be undone.
    pub fn waive(&self, id: &str, seq: u32, reason: &str) -> Call<Plain> {
        self.call(|| Ok(OperatorAction::Waive { waiver: waiver(seq, reason)? }.on(TaskId::new(id)?)))
    }

    /// Records that a person undid a compensation by hand, with a receipt. Refused while recovery undoes the task.
    pub fn settle_by_hand(&self, id: &str, seq: u32, receipt: &str) -> Call<SettlingByHand> {
        self.call(|| {
            let (task, done) = (TaskId::new(id)?, hand_receipt("receipt", seq, receipt)?);
            let reason = Reason::named("receipt", receipt)?;
            Ok(OperatorAction::Settle { done, reason }.on(task))
        })
    }

    /// Sets and removes labels while the work runs.
    pub fn label(&self, id: &str, by: &Holder) -> Call<Labelling> {
        let changes = LabelChanges::default();
        self.call(|| Ok(HolderAction::Label { changes }.on(TaskId::new(id)?, by.clone())))
    }

    /// Sets and removes labels of an open task, by an operator.
    pub fn relabel(&self, id: &str) -> Call<Labelling> {
        let changes = LabelChanges::default();
        self.call(|| Ok(OperatorAction::Label { changes, reason: None }.on(TaskId::new(id)?)))
    }

    /// Completes the task. What this lease owed is void.
    pub fn complete(&self, id: &str, by: &Holder) -> Call<Completing> {
        self.call(|| Ok(HolderAction::Complete { result: None }.on(TaskId::new(id)?, by.clone())))
    }

    /// Fails the task and undoes nothing; a compensation must say what remains to undo.
    pub fn fail(&self, id: &str, by: &Holder, reason: &str) -> Call<Failing> {
        self.call(|| {
            let (task, reason) = (TaskId::new(id)?, Reason::named("reason", reason)?);
            Ok(HolderAction::Fail { reason, compensation: None }.on(task, by.clone()))
        })
    }

    /// Rolls the work back: what is owed is undone, and then the task is tried again if attempts are left.
    pub fn roll_back(&self, id: &str, by: &Holder, reason: &str) -> Call<RollingBack> {
        self.call(|| {
            let (task, reason) = (TaskId::new(id)?, Reason::named("reason", reason)?);
            Ok(HolderAction::RollBack { reason, undo_by: UndoBy::Recovery }.on(task, by.clone()))
        })
    }

    /// Parks the task for a person.
    pub fn quarantine(&self, id: &str, by: &Holder, reason: &str) -> Call<Quarantining> {
        self.call(|| {
            let (task, reason) = (TaskId::new(id)?, Reason::named("reason", reason)?);
            Ok(HolderAction::Quarantine { reason, cause: QuarantineCause::ByHolder }.on(task, by.clone()))
        })
    }

    /// Marks a task completed, by an operator.
    pub fn mark_completed(&self, id: &str, reason: &str) -> Call<Completing> {
        self.call(|| {
            let (task, reason) = (TaskId::new(id)?, Reason::named("reason", reason)?);
            Ok(OperatorAction::MarkCompleted { reason, result: None }.on(task))
        })
    }

    /// Marks a task failed, by an operator.
    pub fn mark_failed(&self, id: &str, reason: &str) -> Call<Failing> {
        self.call(|| {
            let (task, reason) = (TaskId::new(id)?, Reason::named("reason", reason)?);
            Ok(OperatorAction::MarkFailed { reason, compensation: None }.on(task))
        })
    }

    /// Marks a task compensated, by an operator. What is owed must be waived with it, or have a receipt. With a receipt it is refused
    /// `leased` while somebody undoes the task.
    pub fn mark_compensated(&self, id: &str, reason: &str) -> Call<MarkingCompensated> {
        self.call(|| {
            let (task, reason) = (TaskId::new(id)?, Reason::named("reason", reason)?);
            Ok(OperatorAction::MarkCompensated { reason, waive: Vec::new(), settled: Vec::new() }.on(task))
        })
    }

    /// Parks a task, by an operator.
    pub fn mark_quarantined(&self, id: &str, reason: &str) -> Call<Plain> {
        self.call(|| {
            Ok(OperatorAction::MarkQuarantined { reason: Reason::named("reason", reason)? }
                .on(TaskId::new(id)?))
        })
    }

    /// Cancels a task. If it is running, its holder is asked to stop with its next heartbeat.
    pub fn cancel(&self, id: &str, reason: &str) -> Call<Plain> {
        self.call(|| {
            Ok(OperatorAction::Cancel { reason: Reason::named("reason", reason)? }.on(TaskId::new(id)?))
        })
    }

    /// Reclaims a stale task for recovery.
    pub fn reclaim(&self, id: &str, recoverer: &str) -> Call<Taking> {
        self.call(|| {
            Ok(Action::Take {
                task: TaskId::new(id)?,
                take: Take::Reclaim,
                owner: Owner::new(recoverer)?,
                ttl: None,
            })
        })
    }

    /// Adds a note, which is also possible on an ended task.
    pub fn annotate(&self, id: &str, note: &str) -> Call<Annotating> {
        self.call(|| {
            let note = Some(Reason::named("note", note)?);
            let triage = Triage::Stays;
            Ok(OperatorAction::Annotate { note, terminal_reason: None, triage }.on(TaskId::new(id)?))
        })
    }

    /// Dismisses a task that ended badly: it needs no more attention, and why.
    pub fn dismiss(&self, id: &str, note: &str) -> Call<Annotating> {
        self.call(|| {
            let note = Some(Reason::named("note", note)?);
            let triage = Triage::Dismissed;
            Ok(OperatorAction::Annotate { note, terminal_reason: None, triage }.on(TaskId::new(id)?))
        })
    }

    /// Corrects the reason for the end of an ended task; the old one stays in the history.
    pub fn reword(&self, id: &str, terminal_reason: &str) -> Call<Annotating> {
        self.call(|| {
            let terminal_reason = Some(Reason::named("terminal_reason", terminal_reason)?);
            let triage = Triage::Stays;
            Ok(OperatorAction::Annotate { note: None, terminal_reason, triage }.on(TaskId::new(id)?))
        })
    }

    /// Retries a task that failed, was undone or is parked: makes a new task of it, once. The old task only
    /// names the new one.
    pub fn retry(&self, id: &str, reason: &str) -> Call<Retrying> {
        self.call(|| {
            let (task, reason) = (TaskId::new(id)?, Reason::named("reason", reason)?);
            let successor = self.made_id()?;
            let (waive, settled) = (Vec::new(), Vec::new());
            let id_origin = IdOrigin::Made;
            Ok(OperatorAction::Retry { successor, id_origin, reason, waive, settled }.on(task))
        })
    }

    fn made_id(&self) -> Result<TaskId, InvalidField> {
        TaskId::new(self.entropy.new_id())
    }
}

fn undo(kind: &str, target: &str) -> Result<Undo, Refusal> {
    let kind = Kind::named("compensations.kind", kind)?;
    Ok(Undo { kind, target: Text::named("compensations.target", target)?, reason: None })
}

fn waiver(seq: u32, reason: &str) -> Result<Waiver, Refusal> {
    Ok(Waiver { seq: Seq(seq), reason: Reason::named("reason", reason)? })
}

fn hand_receipt(field: &'static str, seq: u32, receipt: &str) -> Result<HandReceipt, Refusal> {
    Ok(HandReceipt { seq: Seq(seq), receipt: Text::named(field, receipt)? })
}

// ---- what refines a call ---------------------------------------------------------------------------------------

impl Call<Creation> {
    fn set(self, change: impl FnOnce(&mut Create) -> Checked) -> Self {
        self.change(|action| if let Action::Create(create) = action { change(create) } else { Ok(()) })
    }

    /// A second unique name, for the task's saga.
    pub fn saga_id(self, saga_id: &str) -> Self {
        self.set(|create| {
            create.saga_id = Some(SagaId::new(saga_id)?);
            Ok(())
        })
    }

    /// Where workers claim it from.
    pub fn queue(self, queue: &str) -> Self {
        self.set(|create| {
            create.queue = Queue::new(queue)?;
            Ok(())
        })
    }

    /// The kind of task.
    pub fn kind(self, kind: &str) -> Self {
        self.set(|create| {
            create.kind = Kind::new(kind)?;
            Ok(())
        })
    }

    /// A label.
    pub fn label(self, key: &str, value: &str) -> Self {
        self.set(|create| {
            create.labels.insert(LabelKey::new(key)?, LabelValue::new(value)?);
            Ok(())
        })
    }

    /// The payload, in JSON.
    pub fn payload(self, payload: impl ToJson) -> Self {
        self.set(|create| {
            json::document("payload", &payload.to_json()).map(|payload| create.payload = payload)
        })
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
        Action::Take { ttl, .. }
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
    ttl(length: impl Into<Span>) Action::ByHolder { act: HolderAction::Heartbeat { ttl, .. }, .. } => *ttl = Some(Ttl::new(length.into())?);
    /// Progress, in JSON.
    progress(value: impl ToJson) Action::ByHolder { act: HolderAction::Heartbeat { progress, .. }, .. } => *progress = Some(json::progress(&value.to_json())?);
    /// A checkpoint for a successor, in JSON.
    checkpoint(value: impl ToJson) Action::ByHolder { act: HolderAction::Heartbeat { checkpoint, .. }, .. }
        => *checkpoint = Some(json::document("checkpoint", &value.to_json())?);
});
refine!(Progressing {
    /// Progress, in JSON.
    report(value: impl ToJson) Action::ByHolder { act: HolderAction::Progress { progress, .. }, .. } => *progress = Some(json::progress(&value.to_json())?);
    /// A checkpoint for a successor, in JSON.
    checkpoint(value: impl ToJson) Action::ByHolder { act: HolderAction::Progress { checkpoint, .. }, .. }
        => *checkpoint = Some(json::document("checkpoint", &value.to_json())?);
});
refine!(Releasing {
    /// Not to be taken again earlier.
    delay(length: impl Into<Span>) Action::ByHolder { act: HolderAction::Release { delay, .. }, .. } => *delay = Some(length.into());
});
refine!(Registering {
    /// Why it is registered.
    reason(words: &str)
        Action::ByHolder { act: HolderAction::Register { undo }, .. }
        | Action::ByOperator { act: OperatorAction::Register { undo }, .. } => undo.reason = Some(Reason::named("reason", words)?);
});
refine!(Completing {
    /// The result of the work, in JSON.
    result(value: impl ToJson) Action::ByHolder { act: HolderAction::Complete { result, .. }, .. } | Action::ByOperator { act: OperatorAction::MarkCompleted { result, .. }, .. }
        => *result = Some(json::document("result", &value.to_json())?);
});
refine!(Failing {
    /// What remains to undo; kind `none` says that nothing does.
    remains(kind: &str, target: &str) Action::ByHolder { act: HolderAction::Fail { compensation, .. }, .. } | Action::ByOperator { act: OperatorAction::MarkFailed { compensation, .. }, .. }
        => *compensation = Some(undo(kind, target)?);
    /// What remains to undo, and why it was done.
    remains_because(kind: &str, target: &str, words: &str)
        Action::ByHolder { act: HolderAction::Fail { compensation, .. }, .. } | Action::ByOperator { act: OperatorAction::MarkFailed { compensation, .. }, .. }
        => {
            let reason = Some(Reason::named("compensations.reason", words)?);
            *compensation = Some(Undo { reason, ..undo(kind, target)? });
        };
});
refine!(RollingBack {
    /// The holder undoes the work itself, under the lease that it has.
    keep_lease() Action::ByHolder { act: HolderAction::RollBack { undo_by, .. }, .. } => *undo_by = UndoBy::Holder;
});
refine!(Quarantining {
    /// The cause of the end.
    parking(why: QuarantineCause) Action::ByHolder { act: HolderAction::Quarantine { cause, .. }, .. } => *cause = why;
});
refine!(MarkingCompensated {
    /// Waives a compensation that is owed.
    waive(seq: u32, reason: &str) Action::ByOperator { act: OperatorAction::MarkCompensated { waive, .. }, .. } => waive.push(waiver(seq, reason)?);
    /// The receipt of a compensation that is owed and was undone by hand.
    receipt(seq: u32, receipt: &str) Action::ByOperator { act: OperatorAction::MarkCompensated { settled, .. }, .. }
        => settled.push(hand_receipt("receipts.receipt", seq, receipt)?);
});
refine!(SettlingByHand {
    /// Why it was undone by hand. Default: the receipt.
    because(words: &str) Action::ByOperator { act: OperatorAction::Settle { reason, .. }, .. } => *reason = Reason::named("reason", words)?;
});
refine!(Labelling {
    /// Sets a label.
    set(key: &str, value: &str)
        Action::ByHolder { act: HolderAction::Label { changes }, .. } | Action::ByOperator { act: OperatorAction::Label { changes, .. }, .. }
        => { changes.set.insert(LabelKey::new(key)?, LabelValue::new(value)?); };
    /// Removes a label, if there is one with that key.
    unset(key: &str)
        Action::ByHolder { act: HolderAction::Label { changes }, .. } | Action::ByOperator { act: OperatorAction::Label { changes, .. }, .. }
        => changes.unset.push(LabelKey::named("unset", key)?);
    /// Why; only by an operator.
    because(words: &str) Action::ByOperator { act: OperatorAction::Label { reason, .. }, .. } => *reason = Some(Reason::named("reason", words)?);
});
refine!(Annotating {
    /// The corrected reason for the end of an ended task; the old one stays in the history.
    terminal_reason(words: &str) Action::ByOperator { act: OperatorAction::Annotate { terminal_reason, .. }, .. }
        => *terminal_reason = Some(Reason::named("terminal_reason", words)?);
});
refine!(Retrying {
    /// The new task's id.
    id(id: &str) Action::ByOperator { act: OperatorAction::Retry { successor, id_origin, .. }, .. } => {
        *successor = TaskId::new(id)?;
        *id_origin = IdOrigin::Given;
    };
    /// Waives a compensation that is owed.
    waive(seq: u32, reason: &str) Action::ByOperator { act: OperatorAction::Retry { waive, .. }, .. } => waive.push(waiver(seq, reason)?);
    /// The receipt of a compensation that is owed and was undone by hand.
    receipt(seq: u32, receipt: &str) Action::ByOperator { act: OperatorAction::Retry { settled, .. }, .. }
        => settled.push(hand_receipt("receipts.receipt", seq, receipt)?);
});
