//! The histories of namespaces in the file. Sweeps of recovery that moved something are noted in a transaction beside the committer.

use std::time::Duration;

use rusqlite::{OptionalExtension, params_from_iter};
use tenure_clock::Clock;
use tenure_core::id::{Namespace, Revision};
use tenure_core::time::Time;
use tenure_store::Error;
use tenure_store::codec::Sealed;
use tenure_store::columns::{NamespaceRow, TableRow as _, read_namespace_head};
use tenure_store::namespace_history::{NamespaceHead, NamespaceRows, SweepNote, note_sweep};
use tenure_store::numbers::number;
use tenure_store::rows::Rows as _;
use tenure_store::stored::ColumnValue;

use crate::columns::{SqliteResult, SqliteRow, SqliteValue};
use crate::open::SqliteFile;
use crate::rows::SqliteRows;
use crate::{sql, transfer};

/// As long as a command waits for its turn: recovery has other work.
const LOCK_WAITED_FOR: Duration = Duration::from_secs(10);

impl SqliteRows<'_> {
    /// The number of a namespace's history, which its events have instead of a task's.
    fn history_of(&mut self, namespace: &Namespace) -> SqliteResult<Option<i64>> {
        let no = "select no from namespace_histories where namespace = ?";
        Ok(self.statements.get(no)?.query_row([namespace.as_str()], |row| row.get(0)).optional()?)
    }

    /// As with tasks: nothing is appended to a history that does not end where its row says.
    fn must_continue_namespace(&mut self, no: i64, next: &Sealed) -> SqliteResult<()> {
        let newest = "select events.number = namespace_histories.number and events.hash = namespace_histories.head \
             and events.number = ?2 from namespace_histories join events on events.task = namespace_histories.no \
             where namespace_histories.no = ?1 order by events.number desc limit 1";
        let before = number(next.event.number.0) - 1;
        let continues = self.statements.get(newest)?.query_row([no, before], |row| row.get(0)).optional()?;
        if continues == Some(true) {
            return Ok(());
        }
        let namespace = &next.event.namespace;
        Err(self.broken(format!(
            "the newest event of the namespace {namespace} is not the one that its row names; run `tenure audit verify`"
        )))
    }
}

impl NamespaceRows for SqliteRows<'_> {
    fn namespace_head(&mut self, namespace: &Namespace) -> SqliteResult<Option<NamespaceHead>> {
        let mut rows = self.statements.get(&sql::NAMESPACE_HEAD)?.query([namespace.as_str()])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        read_namespace_head(&SqliteRow(row), 0).map(Some)
    }

    fn append(&mut self, next: Sealed) -> SqliteResult<()> {
        let end = NamespaceHead::behind(&next);
        let no = match self.history_of(&next.event.namespace)? {
            Some(no) => {
                self.must_continue_namespace(no, &next)?;
                let values = NamespaceRow::values(&end, NamespaceRow::COLUMNS.iter());
                let values = values.chain([ColumnValue::Number(no)]).map(SqliteValue);
                self.statements.change_one(&sql::UPDATE_NAMESPACE, params_from_iter(values))?;
                no
            }
            None => {
                // Below those of all namespaces, and of all tasks: also of events that were left without either.
                let new = "select min(0, (select coalesce(min(no), 0) from namespace_histories), \
                     (select coalesce(min(task), 0) from events)) - 1";
                let no: i64 = self.statements.get(new)?.query_row([], |row| row.get(0))?;
                let key = [ColumnValue::Number(no), (&next.event.namespace).into()];
                let values = key.into_iter().chain(NamespaceRow::values(&end, NamespaceRow::COLUMNS.iter()));
                let values = params_from_iter(values.map(SqliteValue));
                self.statements.execute(&sql::INSERT_NAMESPACE, values)?;
                no
            }
        };
        self.write_event(no, &next)
    }
}

/// Notes a sweep in one transaction, by that clock.
pub(crate) fn note(
    database: &SqliteFile,
    clock: &dyn Clock,
    last: Time,
    note: SweepNote,
) -> Result<Revision, Error> {
    note.check()?;
    database.write_beside(SqliteFile::connect_writer, LOCK_WAITED_FOR, |transaction| {
        let noted = transfer::with_rows(transaction, clock, last, |rows, now| {
            Ok((note_sweep(rows, note, now)?, now))
        });
        noted.map_err(|fault| fault.of(database))
    })
}
