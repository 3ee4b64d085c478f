//! `tenure import --from-task-sagas FILE`: moves the tasks of another program's table. The library says what each row becomes.

use std::path::Path;

use serde::Serialize;
use tenure::Ledger;
use tenure::api::refusal::Refusal as RefusalJson;
use tenure::core::id::Actor;
use tenure::core::task::State;
use tenure::moving_in::{MoveError, MoveOptions, MovedCounts, MovedRow, RowResult, Writing, move_task_sagas};
use tenure::store::{IfMissing, SchemaState, StoreAccess};
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
    options: MoveOptions,
    who: &ByOperator,
) -> Result<u64, CliError> {
    let writing = options.writing;
    let ledger = match writing {
        Writing::Real => context.ledger().await?,
        Writing::DryRun => ledger_to_foresee(context).await?,
    };
    let ledger = ledger.acting_as(&context.person(who))?;
    let granted_to = options.granted_to.clone();
    let (mut told, mut runs) = (Ok(()), false);
    let out = &mut *context.out;
    let counts = move_task_sagas(&ledger, file, options, |row| {
        runs |= row.result == RowResult::Moved(State::Running);
        if told.is_ok() {
            told = tell(out, &row);
        }
    })
    .await;
    told?;
    if runs {
        note_tokens(context, &ledger, granted_to).await?;
    }
    if let Err(MoveError::Store(error)) = &counts
        && error.code().is_none()
    {
        context
            .out
            .note("the import ended early; repeat the command within 7 days, and it finishes what it began");
    }
    let counts = counts.map_err(|error| match error {
        MoveError::NoTable(words) => CliError::Usage(format!("--from-task-sagas: {words}")),
        MoveError::Store(error) => CliError::Ledger(error),
        // Of a later version.
        other => CliError::Failed(other.to_string()),
    })?;
    summary(context.out, writing, counts)?;
    Ok(counts.refused)
}

/// The store, which a dry run reads to say what is there already. It writes nothing: where there is no store yet, it makes none.
async fn ledger_to_foresee(context: &mut Context<'_, '_>) -> Result<Ledger, CliError> {
    let settings = context.settings()?;
    if context.is_store_served()? {
        return context.existing_ledger().await;
    }
    let (builder, url) = context.store_to_look_at(&settings)?;
    let is_missing = Ledger::builder().condition(&url).await? == SchemaState::Missing;
    let ledger = if is_missing {
        let shown = tenure::ledger::url_without_secrets(&url);
        context.out.note(&format!("there is no store at {shown}; this is what an empty one would get"));
        builder.open("memory:").await?
    } else {
        builder.missing(IfMissing::Refuse).access(StoreAccess::ReadOnly).open(&url).await?
    };
    Ok(ledger.in_namespace(settings.namespace())?)
}

/// Where there are tokens, a lease belongs to one: the worker's, which often has another name than the worker.
async fn note_tokens(
    context: &mut Context<'_, '_>,
    ledger: &Ledger,
    granted_to: Option<Actor>,
) -> Result<(), CliError> {
    // Who may not list them has one.
    let is_with_token = context.is_store_served()? && context.token()?.is_some();
    let tokens = match ledger.tokens().await {
        Ok(tokens) => tokens,
        Err(_) if is_with_token && granted_to.is_none() => Vec::new(),
        Err(_) => return Ok(()),
    };
    let note = match granted_to {
        None if is_with_token || !tokens.is_empty() => {
            "the leases were granted to the names of their owners: a worker whose token has another name can't go on with its own; \
                --granted-to names that token"
                .to_owned()
        }
        Some(name) if !tokens.is_empty() && tokens.iter().all(|token| token.name != name) => {
            format!("there is no token `{name}`: until there is one, no worker with a token can go on with its lease")
        }
        None | Some(_) => return Ok(()),
    };
    context.out.note(&note);
    Ok(())
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
