//! What retention needs of a store: ended tasks that may go, what is left of them, recorded anchors, and named cursors. The rules
//! of what may go are here, once for every store; how its history is verified and archived before is not.

use tenure_core::chain::Hash;
use tenure_core::id::{Actor, CursorName, Namespace, Revision, SagaId, TaskId};
use tenure_core::refusal::{Code, Refusal};
use tenure_core::task::Terminal;
use tenure_core::time::{Span, Time};

pub use tenure_api::retention::{AnchorPurpose, AnchorRecord, NamedCursor, PrunedTask};

use tenure_api::audit::{Anchor, AnchorLine};

use crate::error::Error;
use crate::execute::REQUEST_MEMORY;
use crate::list::Cursor;

/// The shortest time that an ended task is kept. An answer that is remembered under a request id is told from the task's history.
pub const KEPT_AT_LEAST: Span = REQUEST_MEMORY;

/// How many tasks are looked at for one page of those that may be pruned, so that no look takes long.
#[doc(hidden)]
pub const LOOKED_AT_MAX: usize = 2_000;
/// How many events behind a named cursor are looked at to tell its lag.
#[doc(hidden)]
pub const BEHIND_MAX: usize = 10_000;
/// The most named cursors of a namespace: each of them stops the pruning of it.
pub const CURSORS_MAX: usize = 100;

/// Which ended tasks may be pruned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PruneFilter {
    /// Only of this namespace; none: of all.
    pub namespace: Option<Namespace>,
    /// Only tasks that ended by then.
    pub finished_before: Time,
    /// Only in one of these states; empty: in any terminal one, but for quarantined tasks that still owe an undo.
    pub states: Vec<Terminal>,
}

impl PruneFilter {
    /// Whether a task may be pruned, as far as cursors are not asked.
    #[doc(hidden)]
    pub fn takes(&self, task: &EndedTask, now: Time) -> bool {
        self.namespace.as_ref().is_none_or(|namespace| task.namespace == *namespace)
            && (self.states.is_empty() || self.states.contains(&task.state))
            && task.finished_at <= self.finished_before
            // A note may have come later, under a request id whose answer is told from the history.
            && task.updated_at + KEPT_AT_LEAST <= now
    }

    /// Whether a task that is taken stays all the same: it is quarantined and still owes an undo, and nobody has retried or dismissed
    /// it. Its history is the only record of what must be undone, so it goes only if its state is named.
    #[doc(hidden)]
    pub fn keeps_owing(&self, task: &EndedTask) -> bool {
        task.owes && task.state == Terminal::Quarantined && !self.states.contains(&task.state)
    }
}

/// An ended task, with what retention asks about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndedTask {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its id.
    pub id: TaskId,
    /// Its saga id.
    pub saga_id: SagaId,
    /// The number of its newest event.
    pub number: Revision,
    /// The hash of its newest event.
    pub head: Hash,
    /// The state that it ended in.
    pub state: Terminal,
    /// When it ended.
    pub finished_at: Time,
    /// When its newest event happened.
    pub updated_at: Time,
    /// It still owes an undo, and nobody has retried or dismissed it.
    pub owes: bool,
    /// The slowest named cursor that still needs its newest event, if one does.
    pub held_by: Option<CursorName>,
}

impl EndedTask {
    /// Its namespace and id.
    pub fn name(&self) -> (Namespace, TaskId) {
        (self.namespace.clone(), self.id.clone())
    }

    /// Its line in the anchor that it is pruned behind.
    fn line(&self) -> AnchorLine {
        AnchorLine {
            namespace: self.namespace.clone(),
            task: Some(self.id.clone()),
            number: self.number,
            head: self.head,
            is_pruned: false,
        }
    }

    fn pruned(self, pruned_at: Time, anchor: u64) -> PrunedTask {
        let EndedTask { namespace, id, saga_id, number, head, state, finished_at, .. } = self;
        PrunedTask { namespace, id, saga_id, number, head, state, finished_at, pruned_at, anchor }
    }
}

/// The line of a pruned task in the anchor that it was pruned behind.
pub fn line_of(pruned: &PrunedTask) -> AnchorLine {
    AnchorLine {
        namespace: pruned.namespace.clone(),
        task: Some(pruned.id.clone()),
        number: pruned.number,
        head: pruned.head,
        is_pruned: false,
    }
}

/// A bounded number of tasks to be pruned in one transaction, as their histories were verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PruneStep {
    /// Asked once more in the transaction.
    pub filter: PruneFilter,
    /// Each as it was read. What is not so any more stays.
    pub tasks: Vec<EndedTask>,
    /// Who prunes.
    pub by: Actor,
}

/// What a transaction writes of a step.
#[doc(hidden)]
pub struct DecidedStep {
    /// By namespace and id.
    pub tasks: Vec<EndedTask>,
    /// The anchor over them.
    pub anchor: NewAnchor,
    pub at: Time,
}

impl PruneStep {
    /// What goes of what was found in the transaction; none: nothing goes, and nothing is written.
    #[doc(hidden)]
    pub fn decide(self, found: Vec<EndedTask>, cursor: String, now: Time) -> Option<DecidedStep> {
        let PruneStep { filter, tasks: given, by } = self;
        let is_given = |task: &EndedTask| {
            let is_the_same = |given: &&EndedTask| given.namespace == task.namespace && given.id == task.id;
            given.iter().find(is_the_same).is_some_and(|given| {
                given.number == task.number && given.head == task.head && given.saga_id == task.saga_id
            })
        };
        let is_free = |task: &EndedTask| task.held_by.is_none() && !filter.keeps_owing(task);
        let may_go = |task: &EndedTask| is_free(task) && filter.takes(task, now) && is_given(task);
        let mut tasks: Vec<EndedTask> = found.into_iter().filter(may_go).collect();
        tasks.sort_by(|one, other| (&one.namespace, &one.id).cmp(&(&other.namespace, &other.id)));
        tasks.dedup_by(|one, other| one.namespace == other.namespace && one.id == other.id);
        let lines: Vec<AnchorLine> = tasks.iter().map(EndedTask::line).collect();
        let anchor = NewAnchor { cursor, root: Anchor::root_of(&lines), lines: lines.len() as u64, by };
        (!tasks.is_empty()).then_some(DecidedStep { tasks, anchor, at: now })
    }
}

impl DecidedStep {
    /// What is left of the tasks, behind the anchor with that number.
    #[doc(hidden)]
    pub fn pruned(self, anchor: u64) -> Vec<PrunedTask> {
        let DecidedStep { tasks, anchor: _, at } = self;
        tasks.into_iter().map(|task| task.pruned(at, anchor)).collect()
    }
}

/// An anchor that was made, to be recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewAnchor {
    /// The newest cursor of the history when it was made.
    pub cursor: String,
    /// The Merkle root over its lines.
    pub root: Hash,
    /// How many lines it has.
    pub lines: u64,
    /// Who made it.
    pub by: Actor,
}

impl NewAnchor {
    /// Its record.
    #[doc(hidden)]
    pub fn recorded(self, number: u64, purpose: AnchorPurpose, at: Time) -> AnchorRecord {
        let NewAnchor { cursor, root, lines, by } = self;
        AnchorRecord { number, purpose, cursor, root, lines, at, by }
    }
}

/// Where a named cursor moves to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CursorMove {
    /// The namespace that it follows.
    pub namespace: Namespace,
    /// Its name.
    pub name: CursorName,
    /// The last event that was taken. None: it begins before the first event, if it does not exist yet.
    pub to: Option<Cursor>,
    /// Who moves it.
    pub by: Actor,
}

/// The refusal of a move backwards.
#[doc(hidden)]
pub fn moves_back(name: &CursorName, at: &str, to: &str) -> Error {
    let words = format!(
        "the cursor {name} is at {at}, which is later than {to}: another follower uses the same name; give each follower a \
         name of its own, or forget the cursor to begin again"
    );
    Refusal::new(Code::StaleWrite, words).into()
}

/// The refusal of one more cursor.
#[doc(hidden)]
pub fn too_many_cursors() -> Error {
    let limit = format!("up to {CURSORS_MAX} in a namespace; forget one that nobody uses any more");
    Refusal::invalid("cursor_name", limit).into()
}

/// The refusal to add a cursor that exists.
#[doc(hidden)]
pub fn cursor_exists(namespace: &Namespace, name: &CursorName) -> Error {
    let words = format!("there is a cursor named {name} in the namespace {namespace} already");
    Refusal::new(Code::Exists, words).into()
}

/// The refusal for a cursor that does not exist.
#[doc(hidden)]
pub fn no_such_cursor(namespace: &Namespace, name: &CursorName) -> Error {
    let words = format!("there is no cursor named {name} in the namespace {namespace}");
    Refusal::new(Code::NotFound, words).into()
}

/// A page of pruned tasks continues behind the names of its last one: names have no `/`.
#[doc(hidden)]
pub fn pruned_cursor(last: &PrunedTask) -> Cursor {
    Cursor::from_text(format!("r{}/{}", last.namespace, last.id))
}

/// The names behind which a page of pruned tasks starts.
#[doc(hidden)]
pub fn pruned_place(after: Option<&Cursor>) -> Result<(String, String), Error> {
    let Some(after) = after else { return Ok((String::new(), String::new())) };
    let names = after.as_str().strip_prefix('r').and_then(|names| names.split_once('/'));
    let names = names.map(|(namespace, id)| (namespace.to_owned(), id.to_owned()));
    names.ok_or_else(Cursor::foreign)
}

/// What comes behind a named cursor, of the events that were looked at.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Behind {
    pub count: u64,
    /// When the first of them happened.
    pub since: Option<Time>,
    pub looked_at: usize,
}

/// The stored row of a named cursor.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct CursorRow {
    pub namespace: Namespace,
    pub name: CursorName,
    pub cursor: Cursor,
    pub moved_at: Time,
    pub moved_by: Actor,
}

impl CursorRow {
    /// With how far behind it is.
    pub fn behind(self, behind: Behind, now: Time) -> NamedCursor {
        let CursorRow { namespace, name, cursor, moved_at, moved_by } = self;
        NamedCursor {
            namespace,
            name,
            cursor: cursor.as_str().to_owned(),
            moved_at,
            moved_by,
            behind: behind.count,
            more: behind.looked_at >= BEHIND_MAX,
            lag: behind.since.map(|since| now.since(since)),
        }
    }
}
