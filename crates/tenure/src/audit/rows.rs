//! Compares the stored rows of a task with its events, column by column.

use std::borrow::Cow;

use tenure_api::wire::Word as _;
use tenure_core::chain::Hash;
use tenure_core::id::{Document, Progress};
use tenure_core::policy::Ttl;
use tenure_core::task::Task;
use tenure_store::columns::{row_of_namespace, rows_of};
use tenure_store::due::Wait;
use tenure_store::namespace_history::NamespaceHead;
use tenure_store::numbers::length;
use tenure_store::stored::{ColumnValue, StoredChain, StoredRow};

/// The columns in which the rows do not match the events; none if all match.
pub(super) fn differences(told: &Task, head: Hash, chain: &StoredChain) -> Option<Vec<String>> {
    let expected = rows_of(told, &head);
    let mut columns = chain.apart.clone();
    for table in ["tasks", "due", "checkpoints", "compensations"] {
        let told_rows: Vec<_> = expected.iter().filter(|row| row.table == table).collect();
        let stored_rows: Vec<_> = chain.rows.iter().filter(|row| row.table == table).collect();
        for at in 0..told_rows.len().max(stored_rows.len()) {
            match (told_rows.get(at), stored_rows.get(at)) {
                (Some(told_row), Some(stored)) => {
                    // The checkpoint of a lease that is still held is not in any event.
                    let is_open = told.lease().is_some();
                    let differs = |(name, value): &&(Cow<'_, str>, ColumnValue<'_>)| {
                        stored.value(name) != Some(value)
                            && !(is_open && heartbeat_may_write(table, name, told_row, stored))
                    };
                    let differing = told_row.columns.iter().filter(differs);
                    columns.extend(differing.map(|(name, _)| format!("{table}.{name}")));
                }
                (Some(_), None) => columns.push(format!("a missing row in {table}")),
                // Its first heartbeat may have written one.
                (None, Some(_)) if table == "checkpoints" && told.lease().is_some() => {}
                (None, Some(_)) => columns.push(too_many(table)),
                (None, None) => {}
            }
        }
    }
    (!columns.is_empty()).then_some(columns)
}

/// The same of a namespace's own history, of which only its end has a row.
pub(super) fn differences_of_namespace(told: &NamespaceHead, chain: &StoredChain) -> Option<Vec<String>> {
    let expected = row_of_namespace(told);
    let mut columns = chain.apart.clone();
    let mut own = false;
    for stored in &chain.rows {
        if stored.table != expected.table || own {
            columns.push(too_many(&stored.table));
            continue;
        }
        own = true;
        let differing = expected.columns.iter().filter(|(name, value)| stored.value(name) != Some(value));
        columns.extend(differing.map(|(name, _)| format!("{}.{name}", expected.table)));
    }
    (!columns.is_empty()).then_some(columns)
}

/// Whether a heartbeat or a progress may have written this column of a leased task. They leave no event, so only
/// the limits of what they write are known.
fn heartbeat_may_write(table: &str, name: &str, told: &StoredRow<'_>, stored: &StoredRow<'_>) -> bool {
    let number = |row: &StoredRow<'_>, column| match row.value(column) {
        Some(ColumnValue::Number(number)) => Some(*number),
        _ => None,
    };
    // No heartbeat shortens a lease, and none goes back in time.
    let has_grown = || number(stored, name) >= number(told, name);
    let plus = |at: Option<i64>, span: Option<i64>| Some(at?.saturating_add(span?));
    let is_not_after =
        |column: Option<i64>, bound: Option<i64>| bound.is_none_or(|bound| column <= Some(bound));
    match (table, name) {
        ("due", "heartbeat_at" | "progressed_at") => has_grown(),
        ("due", "expires_at") => {
            let expires_at = number(stored, "expires_at");
            let after = |column, span| is_not_after(expires_at, plus(number(stored, column), span));
            has_grown()
                && after("heartbeat_at", Some(length(Ttl::MAX.span())))
                // The undo of a task is bounded by its ttl alone.
                && (stored.value("wait") != Some(&Wait::Lease.word().into())
                    || (after("progressed_at", number(told, "stall_after"))
                        && after("since", number(told, "time_limit"))
                        && (stored.value("cancel_told_at") == Some(&ColumnValue::Null)
                            || after("cancel_told_at", number(told, "cancel_grace")))))
        }
        // Written when the answer to a heartbeat says that a cancel was asked.
        ("due", "cancel_told" | "cancel_told_at") => {
            let (times, since) = (number(stored, "cancel_told"), number(stored, "cancel_told_at"));
            stored.value("cancel_asked") == Some(&true.into())
                && times.is_some_and(|times| times > 0)
                // All commands of a transaction have one instant, so it may be that of the acquire.
                && since.is_some_and(|since| Some(since) >= number(stored, "since"))
                && since <= number(stored, "heartbeat_at")
        }
        ("due", "check_at") => has_grown() && number(stored, "check_at") <= number(stored, "expires_at"),
        ("due", "progress") => match stored.value(name) {
            Some(ColumnValue::Text(text)) => Progress::new(text.as_ref()).is_ok(),
            _ => false,
        },
        ("checkpoints", "checkpoint") => match stored.value(name) {
            Some(ColumnValue::Text(text)) => Document::new(text.as_ref()).is_ok(),
            _ => false,
        },
        _ => false,
    }
}

pub(super) fn too_many(table: &str) -> String {
    format!("an extra row in {table}")
}
