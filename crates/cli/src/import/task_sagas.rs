//! `tenure import --from-task-sagas FILE`: moves the tasks of another program's table. The library says what each row becomes.

use std::path::Path;

use serde::Serialize;
use tenure::api::refusal::Refusal as RefusalJson;
use tenure::core::policy::OnLapse;
use tenure::moving_in::{MoveOptions, MovedCounts, MovedRow, RowResult, Writing, move_task_sagas};
use tenure_view::words::count;

use crate::context::Context;
use crate::error::CliError;
use crate::global::OutputFormat;
use crate::output::Output;
use crate::values::ByOperator;

/// A row, for programs.
#[derive(Serialize)]
struct RowJson {
    row: i64,
    task_id: String,
    id: Option<String>,
    result: &'static str,
    state: Option<&'static str>,
    remarks: Vec<String>,
    refusal: Option<RefusalJson>,
}

/// What all of them came to, for programs.
#[derive(Serialize)]
struct SummaryJson {
    import: CountsJson,
}

#[derive(Serialize)]
struct CountsJson {
    dry_run: bool,
    moved: u64,
    present: u64,
    refused: u64,
}

/// Moves the rows, tells of each, and returns how many were refused.
pub(super) async fn run(
    context: &mut Context<'_, '_>,
    file: &Path,
    (writing, on_lapse): (Writing, OnLapse),
    who: &ByOperator,
) -> Result<u64, CliError> {
    // A dry run needs a store, too: it says which tasks are there already.
    let ledger = match writing {
        Writing::Real => context.ledger().await?,
        Writing::DryRun => context.ledger_to_read().await?,
    };
    let ledger = ledger.acting_as(&context.person(who))?;
    let options = MoveOptions::default().with(|options| {
        options.writing = writing;
        options.on_lapse = on_lapse;
    });
    let mut told = Ok(());
    let out = &mut *context.out;
    let counts = move_task_sagas(&ledger, file, options, |row| {
        if told.is_ok() {
            told = tell(out, &row);
        }
    })
    .await?;
    told?;
    summary(out, writing, counts)?;
    Ok(counts.refused)
}

fn tell(out: &mut Output<'_>, row: &MovedRow) -> Result<(), CliError> {
    if out.form() == OutputFormat::Json {
        let (result, state, refusal) = match &row.result {
            RowResult::Moved(state) => ("moved", Some(state.as_str()), None),
            RowResult::Present => ("present", None, None),
            RowResult::Refused(refusal) => ("refused", None, Some(RefusalJson::from(refusal))),
        };
        return out.json(&RowJson {
            row: row.number,
            task_id: row.task_id.clone(),
            id: row.id.as_ref().map(ToString::to_string),
            result,
            state,
            remarks: row.remarks.iter().map(ToString::to_string).collect(),
            refusal,
        });
    }
    let MovedRow { number, task_id, result, remarks, .. } = row;
    if let RowResult::Refused(refusal) = result {
        out.error(&format!("row {number} ({task_id}): {}: {}", refusal.code.as_str(), refusal.message), None);
        return Ok(());
    }
    // What is there already was told when it came.
    if !out.is_quiet() && matches!(result, RowResult::Moved(_)) {
        for remark in remarks {
            out.note(&format!("row {number} ({task_id}): {remark}"));
        }
    }
    Ok(())
}

fn summary(out: &mut Output<'_>, writing: Writing, counts: MovedCounts) -> Result<(), CliError> {
    let MovedCounts { moved, present, refused } = counts;
    let dry_run = writing == Writing::DryRun;
    if out.form() == OutputFormat::Json {
        return out.json(&SummaryJson { import: CountsJson { dry_run, moved, present, refused } });
    }
    if out.is_quiet() {
        return Ok(());
    }
    let (moved, verb) = (count(moved, "task"), if dry_run { "would be moved" } else { "moved" });
    out.line(&format!("{moved} {verb}; {present} were there already, {} refused", count(refused, "row")))
}
