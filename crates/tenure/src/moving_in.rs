//! Moves the tasks of a hand-written table `task_sagas` into a ledger while its fleet goes on working. Each row is taken or refused by
//! itself; a second run takes only what is new.

mod options;
mod row;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use tenure_core::case::Names;
use tenure_core::command::{Command, OperatorAction, Put};
use tenure_core::decide::{Stored, decide};
use tenure_core::event::{EventData, HandReceipt};
use tenure_core::id::{Epoch, SagaId, Seq, TaskId, Text};
use tenure_core::refusal::{Code, Refusal};
use tenure_core::task::{State, Task, Terminal};
use tenure_core::time::Time;
use tenure_sqlite::{TaskSagaRow, TaskSagasError, read_task_sagas};
use tenure_store::{Error, Filter};

use crate::ledger::{Call, Ledger, Plain};

use self::row::{End, Planned};

pub use self::options::{MoveOptions, Writing};
pub use self::row::Remark;

/// Rows that are read at once, and whose commands share transactions.
const PAGE: u32 = 200;

/// Why a move ended early. What was moved before stays; the move can be repeated, and goes on there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MoveError {
    /// There is no such file, or it has no such table.
    #[error("{0}")]
    NoTable(String),
    /// The store did not do it, or the file can't be read now.
    #[error(transparent)]
    Store(#[from] Error),
}

impl From<TaskSagasError> for MoveError {
    fn from(error: TaskSagasError) -> MoveError {
        match error {
            TaskSagasError::Missing(words) => MoveError::NoTable(words),
            TaskSagasError::Unreadable(error) => MoveError::Store(error),
        }
    }
}

/// What became of a row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RowResult {
    /// It is a task now, or would be, in that state.
    Moved(State),
    /// It became a task in an earlier run.
    Present,
    /// It was refused. A person must look, or change the row.
    Refused(Refusal),
}

/// A row, and what became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MovedRow {
    /// The number of the row.
    pub number: i64,
    /// The name of its task as it is there.
    pub task_id: String,
    /// The id that the task has here; none if it has none.
    pub id: Option<TaskId>,
    /// What became of it.
    pub result: RowResult,
    /// What is not here as it was there.
    pub remarks: Vec<Remark>,
}

/// How many rows came to what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MovedCounts {
    /// Those that are tasks now, or would be.
    pub moved: u64,
    /// Those that were tasks already.
    pub present: u64,
    /// Those that were refused.
    pub refused: u64,
}

/// Moves every row of `task_sagas` in that file into the ledger's namespace, and tells of each as soon as it is decided. An error
/// ends it; what was moved stays, and a second call goes on.
pub async fn move_task_sagas(
    ledger: &Ledger,
    file: &Path,
    options: MoveOptions,
    mut tell: impl FnMut(MovedRow),
) -> Result<MovedCounts, MoveError> {
    options.policy().check().map_err(Error::from)?;
    let (mut after, mut counts, mut names) = (i64::MIN, MovedCounts::default(), TakenNames::default());
    loop {
        let rows = read_task_sagas(file, after, PAGE)?;
        let Some(last) = rows.last() else { return Ok(counts) };
        after = last.number;
        let now = ledger.now().await?;
        let mut page = Vec::with_capacity(rows.len());
        for row in &rows {
            page.push(plan(ledger, row, now, &options, &mut names.tasks).await?);
        }
        match options.writing {
            Writing::Real => write(ledger, &mut page).await?,
            Writing::DryRun => foresee(ledger, &mut page, now, &mut names.sagas).await?,
        }
        for step in page {
            match step.moved.result {
                RowResult::Moved(_) => counts.moved += 1,
                RowResult::Present => counts.present += 1,
                RowResult::Refused(_) => counts.refused += 1,
            }
            tell(step.moved);
        }
    }
}

/// The names that rows of this run have.
#[derive(Default)]
struct TakenNames {
    /// Which row has that id.
    tasks: HashMap<TaskId, i64>,
    /// Those that a dry run would have taken.
    sagas: HashSet<SagaId>,
}

/// A row with what is still to be done for it.
struct PageStep {
    moved: MovedRow,
    put: Option<Put>,
    /// How it ended and what it owes then, where a put alone can't say that.
    end: Option<(End, Vec<Seq>)>,
}

async fn plan(
    ledger: &Ledger,
    row: &TaskSagaRow,
    now: Time,
    options: &MoveOptions,
    taken: &mut HashMap<TaskId, i64>,
) -> Result<PageStep, Error> {
    let task_id = row.task_id.clone().unwrap_or_default();
    let step = |id: Option<TaskId>, result, remarks| {
        let moved = MovedRow { number: row.number, task_id: task_id.clone(), id, result, remarks };
        PageStep { moved, put: None, end: None }
    };
    let Planned { put, end, remarks } = match row::plan(row, now, options) {
        Ok(planned) => planned,
        Err(refusal) => return Ok(step(None, RowResult::Refused(refusal), Vec::new())),
    };
    let id = put.record.task.clone();
    if let Some(earlier) = taken.get(&id) {
        // Not the task that the earlier row became: what this row says would end somebody else's work.
        let words = format!("row {earlier} has that id, too: `{id}`; give each row an id of its own");
        return Ok(step(Some(id), RowResult::Refused(Refusal::new(Code::Exists, words)), remarks));
    }
    taken.insert(id.clone(), row.number);
    let state = end.as_ref().map_or(put.state, |end| end.state.state());
    let Some(found) = stored(ledger, &id).await? else {
        let is_held = put.state.terminal().is_none();
        let end = end.filter(|_| is_held).map(|end| (end, owed(&put)));
        return Ok(PageStep { put: Some(put), end, ..step(Some(id), RowResult::Moved(state), remarks) });
    };
    if !came_of(ledger, &found, row).await? {
        let words = format!(
            "the task `{id}` did not come of this row; give the row another id, or the other task another namespace"
        );
        return Ok(step(Some(id), RowResult::Refused(Refusal::new(Code::Exists, words)), remarks));
    }
    let result = match end {
        Some(end) if row::is_begun(&found) => {
            let owed = found.owed().map(|one| one.seq).collect();
            let moved = step(Some(id), RowResult::Moved(state), remarks);
            return Ok(PageStep { end: Some((end, owed)), ..moved });
        }
        None if row::is_begun(&found) => {
            let words = "an earlier run began to move it as a task that had ended, and did not say how; the row is open now: end the \
                task by hand, or import the row when it has ended";
            RowResult::Refused(Refusal::new(Code::WrongState, words))
        }
        Some(_) | None => RowResult::Present,
    };
    Ok(step(Some(id), result, remarks))
}

/// Whether the task came of the row. Its payload says so; if that was changed since, its first event does.
async fn came_of(ledger: &Ledger, task: &Task, row: &TaskSagaRow) -> Result<bool, Error> {
    if row::came_of(&task.payload, row) {
        return Ok(true);
    }
    let history = ledger.history(task.id.as_str(), None, 1).await?;
    let first = history.items.first().map(|first| &first.event.what);
    Ok(matches!(first, Some(EventData::Created(created)) if row::came_of(&created.payload, row)))
}

async fn stored(ledger: &Ledger, id: &TaskId) -> Result<Option<Task>, Error> {
    ledger.store().task(ledger.namespace().clone(), id.clone()).await
}

/// Puts what is new, and then ends what this or an earlier run has put as held. A record that was refused is not ended: that would
/// end the task that is there instead. One that was put stays its task, as ids are never free again.
async fn write(ledger: &Ledger, page: &mut [PageStep]) -> Result<(), Error> {
    let puts: Vec<_> =
        page.iter().enumerate().filter_map(|(at, step)| Some((at, step.put.clone()?))).collect();
    let puts = puts.into_iter().map(|(at, put)| Ok((at, ledger.put(put).command()?)));
    send(ledger, page, puts.collect::<Result<_, Error>>()?).await?;
    let is_left = |step: &PageStep| matches!(step.moved.result, RowResult::Moved(_));
    let ends = page.iter().enumerate().filter(|(_, step)| is_left(step)).filter_map(|(at, step)| {
        let ((end, owed), id) = (step.end.as_ref()?, step.moved.id.as_ref()?);
        Some(ended(ledger, id, end, owed).command().map(|command| (at, command)))
    });
    let ends = ends.collect::<Result<_, _>>()?;
    send(ledger, page, ends).await
}

/// Sends the commands for these rows of the page.
async fn send(ledger: &Ledger, page: &mut [PageStep], commands: Vec<(usize, Command)>) -> Result<(), Error> {
    let (rows, commands): (Vec<_>, Vec<_>) = commands.into_iter().unzip();
    for (at, answer) in rows.into_iter().zip(ledger.transact(commands).await) {
        match answer {
            Ok(_) => {}
            Err(Error::Refused(refusal)) => page[at].moved.result = RowResult::Refused(refusal),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What a record owes once it was put: everything but what its kind says that there is nothing to undo.
fn owed(put: &Put) -> Vec<Seq> {
    let numbered = put.compensations.iter().zip(1..);
    numbered.filter(|(one, _)| !one.undo.kind.is_none()).map(|(_, number)| Seq(number)).collect()
}

/// The end of a record that was put as held: undone elsewhere, each with a receipt, or over with what it owes.
fn ended(ledger: &Ledger, id: &TaskId, end: &End, owed: &[Seq]) -> Call<Plain> {
    let reason = end.reason.clone();
    let act = match end.state {
        Terminal::Completed => OperatorAction::MarkCompleted { reason, result: None },
        Terminal::Failed => OperatorAction::MarkFailed { reason, compensation: None },
        Terminal::Quarantined => OperatorAction::MarkQuarantined { reason },
        Terminal::Compensated => {
            let receipt = |seq| Text::new("imported").map(|receipt| HandReceipt { seq, receipt });
            let settled = owed.iter().filter_map(|seq| receipt(*seq).ok()).collect();
            OperatorAction::MarkCompensated { reason, waive: Vec::new(), settled }
        }
    };
    Call::new(ledger, Ok(act.on(id.clone())))
}

/// What would be refused, as the rules decide it on an empty place, and by the names that are taken here or in earlier rows.
async fn foresee(
    ledger: &Ledger,
    page: &mut [PageStep],
    now: Time,
    sagas: &mut HashSet<SagaId>,
) -> Result<(), Error> {
    for step in page {
        let Some(put) = &step.put else { continue };
        let saga_id = put.record.saga_id.clone().unwrap_or_else(|| SagaId::from(&put.record.task));
        let filter = Filter::default().with(|filter| {
            filter.namespace = Some(ledger.namespace().clone());
            filter.saga_id = Some(saga_id.clone());
        });
        let found = ledger.store().tasks(filter, None, 1.into()).await?;
        let is_pruned = ledger.pruned(put.record.task.as_str()).await?.is_some();
        let is_taken = is_pruned || !found.items.is_empty() || sagas.contains(&saga_id);
        let names = if is_taken { Names::Taken } else { Names::Free };
        let command = ledger.put(put.clone()).command()?;
        let refused = match command.action.check() {
            Err(refusal) => Some(refusal),
            Ok(()) => decide(Stored { task: None, names, floor: Epoch::ZERO }, &command, now).err(),
        };
        match refused {
            Some(refusal) => step.moved.result = RowResult::Refused(refusal),
            None => drop(sagas.insert(saga_id)),
        }
    }
    Ok(())
}
