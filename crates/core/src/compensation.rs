//! Compensations. Each one is a stored obligation to undo one side effect.

use crate::id::{Actor, Epoch, Kind, Namespace, Reason, Seq, TaskId, Text, UndoKey};

/// The most compensations a task may have.
pub const COMPENSATIONS_MAX: usize = 1_000;

/// The status of a compensation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Status {
    /// Registered before a lease: owed from the next attempt on.
    Standing,
    /// It must be undone.
    Owed,
    /// Its undo ran; there is a receipt.
    Done,
    /// A person said that it need not be undone.
    Waived,
    /// Nothing must be undone.
    Void,
}

impl Status {
    /// Every status.
    pub const ALL: [Status; 5] = [Status::Standing, Status::Owed, Status::Done, Status::Waived, Status::Void];

    /// The status as interfaces write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Status::Standing => "standing",
            Status::Owed => "owed",
            Status::Done => "done",
            Status::Waived => "waived",
            Status::Void => "void",
        }
    }
}

/// When a compensation was first registered, which decides whether each attempt owes it anew.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Registered {
    /// With the task, or while it was planned or dispatched: every attempt owes it.
    BeforeLease,
    /// By the holder of a lease: that attempt owes it, later ones don't.
    UnderLease,
}

/// What the registrant says about a compensation.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Undo {
    /// Which handler undoes it; `none` says that there is nothing to undo.
    pub kind: Kind,
    /// What is undone: a path, a number, a name.
    pub target: Text,
    /// Why it was registered.
    pub reason: Option<Reason>,
}

/// The stored obligation to undo one side effect.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Compensation {
    /// Its number within the task.
    pub seq: Seq,
    /// What its registrant said about it.
    pub undo: Undo,
    /// When it was first registered.
    pub registered: Registered,
    /// Its status.
    pub status: Status,
    /// The epoch that owes it, or owed it last.
    pub epoch: Option<Epoch>,
    /// The idempotency key of its undo, from when it became owed.
    pub key: Option<UndoKey>,
    /// How many undo runs failed since it became owed.
    pub tries: u32,
    /// What its undo left as proof.
    pub receipt: Option<Text>,
    /// Who settled it by hand; none if a holder of the task's lease did.
    pub settled_by: Option<Actor>,
    /// Why the last try failed.
    pub last_error: Option<Text>,
    /// Why a person waived it.
    pub waiver: Option<Reason>,
}

impl Compensation {
    /// A new record that nobody owes yet: standing, or void if its kind says that there is nothing to undo.
    pub fn new(seq: Seq, undo: Undo, registered: Registered) -> Compensation {
        let status = if undo.kind.is_none() { Status::Void } else { Status::Standing };
        Compensation {
            seq,
            undo,
            registered,
            status,
            epoch: None,
            key: None,
            tries: 0,
            receipt: None,
            settled_by: None,
            last_error: None,
            waiver: None,
        }
    }

    /// Becomes owed by `epoch`, with a key of its own. Nothing is ever owed for kind `none`.
    pub(crate) fn owe(&mut self, namespace: &Namespace, task: &TaskId, epoch: Epoch) {
        if self.undo.kind.is_none() {
            return;
        }
        self.clear();
        self.status = Status::Owed;
        self.epoch = Some(epoch);
        self.key = Some(UndoKey::of(namespace, task, self.seq, epoch));
    }

    /// Makes it standing again, for the next attempt. A compensation of kind `none` stays void.
    pub(crate) fn stand(&mut self) {
        if !self.undo.kind.is_none() {
            self.clear();
            self.status = Status::Standing;
        }
    }

    /// Whether its undo must still run.
    pub fn is_owed(&self) -> bool {
        self.status == Status::Owed
    }

    fn clear(&mut self) {
        self.epoch = None;
        self.key = None;
        self.tries = 0;
        self.receipt = None;
        self.settled_by = None;
        self.last_error = None;
        self.waiver = None;
    }
}
