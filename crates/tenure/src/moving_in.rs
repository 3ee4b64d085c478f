//! Moves the tasks of a hand-written table `task_sagas` into a ledger while its fleet goes on working. Each row is taken or refused by
//! itself; a second run takes only what is new.

mod row;

use std::collections::HashSet;
use std::path::Path;

use tenure_core::case::Names;
use tenure_core::command::{OperatorAction, Put};
use tenure_core::decide::{Stored, decide};
use tenure_core::event::HandReceipt;
use tenure_core::id::{Epoch, SagaId, Seq, TaskId, Text};
use tenure_core::policy::OnLapse;
use tenure_core::refusal::Refusal;
use tenure_core::task::{State, Task, Terminal};
use tenure_core::time::Time;
use tenure_sqlite::{TaskSagaRow, read_task_sagas};
use tenure_store::{Error, Filter};

use crate::ledger::{Call, Ledger, Plain};

use self::row::{End, IMPORTER, Planned};

pub use self::row::Remark;

/// Rows that are read at once, and whose commands share transactions.
const PAGE: u32 = 200;

/// How rows are moved.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct MoveOptions {
    /// Whether anything is written.
    pub writing: Writing,
    /// What happens when the leases of open tasks lapse.
    pub on_lapse: OnLapse,
}

tenure_core::with_changes!(MoveOptions);

/// Whether anything is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Writing {
    /// Rows become tasks.
    #[default]
    Real,
    /// Only what would happen is told.
    DryRun,
}

/// What became of a row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RowResult {
    /// It is a task now, or would be, in that state.
    Moved(State),
    /// A task of that id exists already.
    Present,
    /// It was refused, and nothing of it was written.
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
) -> Result<MovedCounts, Error> {
    let (mut after, mut counts, mut sagas) = (i64::MIN, MovedCounts::default(), HashSet::new());
    loop {
        let rows = read_task_sagas(file, after, PAGE)?;
        let Some(last) = rows.last() else { return Ok(counts) };
        after = last.number;
        let now = ledger.now().await?;
        let mut page = Vec::with_capacity(rows.len());
        for row in &rows {
            page.push(plan(ledger, row, now, options).await?);
        }
        match options.writing {
            Writing::Real => write(ledger, &mut page).await?,
            Writing::DryRun => foresee(ledger, &mut page, now, &mut sagas).await?,
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

/// A row with what is still to be done for it.
struct PageStep {
    moved: MovedRow,
    put: Option<Put>,
    /// How it ended, where a put alone can't say that.
    end: Option<End>,
}

async fn plan(
    ledger: &Ledger,
    row: &TaskSagaRow,
    now: Time,
    options: MoveOptions,
) -> Result<PageStep, Error> {
    let task_id = row.task_id.clone().unwrap_or_default();
    let planned = match row::plan(row, now, options.on_lapse) {
        Ok(planned) => planned,
        Err(refusal) => {
            let result = RowResult::Refused(refusal);
            let moved = MovedRow { number: row.number, task_id, id: None, result, remarks: Vec::new() };
            return Ok(PageStep { moved, put: None, end: None });
        }
    };
    let Planned { put, end, remarks } = planned;
    let id = put.record.task.clone();
    let found = stored(ledger, &id).await?;
    let state = end.as_ref().map_or(put.state, |end| end.state.state());
    let is_begun = found.as_ref().is_some_and(|task| is_ours(task) && end.is_some());
    let result = if found.is_none() || is_begun { RowResult::Moved(state) } else { RowResult::Present };
    let is_new = found.is_none();
    let is_left = matches!(result, RowResult::Moved(_));
    let moved = MovedRow { number: row.number, task_id, id: Some(id), result, remarks };
    Ok(PageStep { moved, put: Some(put).filter(|_| is_new), end: end.filter(|_| is_left) })
}

async fn stored(ledger: &Ledger, id: &TaskId) -> Result<Option<Task>, Error> {
    ledger.store().task(ledger.namespace().clone(), id.clone()).await
}

/// Whether an earlier run was ended between the two commands of a record.
fn is_ours(task: &Task) -> bool {
    task.state() == State::Running && task.lease().is_some_and(|lease| lease.owner.as_str() == IMPORTER)
}

async fn write(ledger: &Ledger, page: &mut [PageStep]) -> Result<(), Error> {
    let mut commands = Vec::new();
    let mut owners = Vec::new();
    for (at, step) in page.iter().enumerate() {
        if let Some(put) = &step.put {
            commands.push(ledger.put(put.clone()).command()?);
            owners.push(at);
        }
        if let (Some(end), Some(id)) = (&step.end, &step.moved.id) {
            let owed = match &step.put {
                Some(put) => owed(put),
                None => ledger.task(id.as_str()).await?.owed().map(|one| one.seq).collect(),
            };
            commands.push(ended(ledger, id, end, owed).command()?);
            owners.push(at);
        }
    }
    for (at, answer) in owners.into_iter().zip(ledger.transact(commands).await) {
        let moved = &mut page[at].moved;
        match answer {
            Ok(_) => {}
            // Its first command was refused: the second finds no task.
            Err(Error::Refused(_)) if matches!(moved.result, RowResult::Refused(_)) => {}
            Err(Error::Refused(refusal)) => moved.result = RowResult::Refused(refusal),
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

/// The end of a record that owed compensations: undone elsewhere, each with a receipt, or parked with what it owes.
fn ended(ledger: &Ledger, id: &TaskId, end: &End, owed: Vec<Seq>) -> Call<Plain> {
    let reason = end.reason.clone();
    let act = match end.state {
        Terminal::Quarantined => OperatorAction::MarkQuarantined { reason },
        Terminal::Completed | Terminal::Failed | Terminal::Compensated => {
            let receipt = |seq| Text::new("imported").map(|receipt| HandReceipt { seq, receipt });
            let settled = owed.into_iter().filter_map(|seq| receipt(seq).ok()).collect();
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
