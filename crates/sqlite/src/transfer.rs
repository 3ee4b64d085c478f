//! Takes what another store exported, and gives what the file has besides tasks and their history. It writes on a connection of
//! its own that takes the same writer lock as the committer.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use tenure_api::wire::Word as _;
use tenure_clock::Clock;
use tenure_core::chain::Hash;
use tenure_core::event::Subject;
use tenure_core::id::{Namespace, RequestId, Revision, TaskId};
use tenure_core::time::Time;
use tenure_store::Error;
use tenure_store::columns::{Policies, read_request};
use tenure_store::ends::NewEnds;
use tenure_store::filling::page;
use tenure_store::numbers::number;
use tenure_store::retention::{NewAnchor, PrunedTask};
use tenure_store::transfer::{
    CarriedAnchor, CarriedRequest, HistoryOrder, ORDER_KEY, ReplayBatch, ReplayRows, ReplayVerdict, Replayed,
    StoreContents, replay,
};
use tenure_store::waiting::NewlyDue;

use crate::columns::{SqliteResult, SqliteRow};
use crate::known::OpenTasks;
use crate::open::SqliteFile;
use crate::position::{Position, newest_event};
use crate::read::SqliteReader;
use crate::retention::{PRUNED, insert_anchor, insert_pruned, read_pruned};
use crate::rows::SqliteRows;
use crate::sql;
use crate::statements::Statements;

/// Longer than a queue of imports needs, whose transactions are large.
const LOCK_WAITED_FOR: Duration = Duration::from_secs(30);

impl ReplayRows for SqliteRows<'_> {
    fn event_hash(
        &mut self,
        namespace: &Namespace,
        subject: &Subject,
        revision: Revision,
    ) -> SqliteResult<Option<Hash>> {
        let hash = match subject {
            Subject::Task(_) => {
                "select hash from events where task = (select no from tasks where namespace = ?1 and id = ?2) \
                 and number = ?3"
            }
            Subject::Namespace => {
                "select hash from events where ?2 = '' and number = ?3 \
                 and task = (select no from namespace_histories where namespace = ?1)"
            }
        };
        let params = params![namespace.as_str(), subject.as_str(), number(revision.0)];
        let hash = self.statements.get(hash)?.query_row(params, |row| row.get::<_, [u8; 32]>(0));
        Ok(hash.optional()?.map(Hash))
    }

    fn pruned(&mut self, namespace: &Namespace, id: &TaskId) -> SqliteResult<Option<PrunedTask>> {
        let sql = format!("{PRUNED} where namespace = ? and id = ?");
        let mut found = self.connection.prepare_cached(&sql)?;
        let mut rows = found.query([namespace.as_str(), id.as_str()])?;
        rows.next()?.map(read_pruned).transpose()
    }

    fn has_anchor(&mut self, anchor: &CarriedAnchor) -> SqliteResult<bool> {
        let CarriedAnchor { purpose, cursor, root, lines, at, by, pruned: _ } = anchor;
        let same = "select exists (select 1 from anchors \
                    where at = ? and root = ? and purpose = ? and cursor = ? and lines = ? and by = ?)";
        let params = params![at.as_micros(), root.0, purpose.word(), cursor, number(*lines), by.as_str()];
        Ok(self.statements.get(same)?.query_row(params, |row| row.get(0))?)
    }

    fn record_anchor(&mut self, anchor: CarriedAnchor) -> SqliteResult<()> {
        let CarriedAnchor { purpose, cursor, root, lines, at, by, pruned } = anchor;
        let record = insert_anchor(self.connection, NewAnchor { cursor, root, lines, by }, purpose, at)?;
        for task in pruned {
            insert_pruned(self.connection, &PrunedTask { anchor: record.number, ..task })?;
        }
        Ok(())
    }
}

/// Takes a batch in one transaction, by that clock.
pub(crate) fn take(
    database: &SqliteFile,
    clock: &dyn Clock,
    last: Time,
    batch: &ReplayBatch,
) -> Result<Vec<ReplayVerdict>, Error> {
    database.write_beside(SqliteFile::connect_writer, LOCK_WAITED_FOR, |transaction| {
        write(transaction, clock, last, batch).map_err(|fault| fault.of(database))
    })
}

/// All of the transaction but its commit.
fn write(
    connection: &Connection,
    clock: &dyn Clock,
    last: Time,
    batch: &ReplayBatch,
) -> SqliteResult<Vec<ReplayVerdict>> {
    let position = Position::read(connection)?;
    if position.floor < batch.epoch_floor {
        let raise = "insert or replace into meta (key, value) values ('epoch_floor', ?)";
        connection.prepare_cached(raise)?.execute([batch.epoch_floor.0.to_string()])?;
    }
    with_rows(connection, clock, last, |rows, now| {
        rows.floor = rows.floor.max(batch.epoch_floor);
        let Replayed { verdicts, written, newest } = replay(rows, &batch.items, now)?;
        rows.write_ends(now)?;
        note_order(rows.connection, &position, &written)?;
        Ok((verdicts, now.max(newest)))
    })
}

/// Writes beside the committer what is more than one command writes: with the rows as a command has them, at one time. `write` says up
/// to when the time of the file has come by that.
pub(crate) fn with_rows<T>(
    connection: &Connection,
    clock: &dyn Clock,
    last: Time,
    write: impl FnOnce(&mut SqliteRows<'_>, Time) -> SqliteResult<(T, Time)>,
) -> SqliteResult<T> {
    let mut position = Position::read(connection)?;
    let reading = clock.read();
    let now = position.mark.as_ref().map_or(reading.wall, |mark| mark.now(&reading));
    let now = now.max(last).max(position.last);
    let (mut open_tasks, mut policies) = (OpenTasks::default(), Policies::default());
    let mut rows = SqliteRows {
        connection,
        statements: Statements::of(connection),
        open_tasks: &mut open_tasks,
        policies: &mut policies,
        next_task: position.next_task,
        next_event: position.next_event,
        floor: position.floor,
        ends: NewEnds::default(),
        counted_at: Some(now),
        // Claims that wait in this process find the tasks when they look next, as they find those of other processes.
        newly_due: NewlyDue::default(),
    };
    let (written, until) = write(&mut rows, now)?;
    drop(rows);
    // The newest event may have happened long ago. So the mark tells how far the time was, and the time is never behind what was
    // written.
    position.write_mark(connection, &reading, until)?;
    Ok(written)
}

/// Notes whether the history is still in the order of its times.
fn note_order(connection: &Connection, before: &Position, written: &[Time]) -> SqliteResult<()> {
    let mut order = read_order(connection, before.last)?;
    let is_in_order = order.is_in_order();
    (before.next_event..).zip(written).for_each(|(place, at)| order.note(place, *at));
    if is_in_order && order.is_in_order() {
        return Ok(());
    }
    let note = "insert or replace into meta (key, value) values (?, ?)";
    connection.prepare_cached(note)?.execute([ORDER_KEY, &order.to_text()])?;
    Ok(())
}

fn read_order(connection: &Connection, newest: Time) -> SqliteResult<HistoryOrder> {
    let noted = connection.prepare_cached("select value from meta where key = ?")?;
    let noted: Option<String> = { noted }.query_row([ORDER_KEY], |row| row.get(0)).optional()?;
    Ok(HistoryOrder::of(noted.as_deref(), newest))
}

impl SqliteReader<'_> {
    pub(crate) fn contents(&mut self) -> Result<StoreContents, Error> {
        let (position, connection) = (Position::read(self.connection()), self.connection());
        let counted = position.and_then(|position| Ok((position.floor, newest_event(connection)?.0)));
        let (epoch_floor, newest) = counted.map_err(|fault| self.error(fault))?;
        Ok(StoreContents { epoch_floor, events: u64::try_from(newest).unwrap_or(0) })
    }

    /// How the history goes with its times.
    pub(crate) fn find_order(&self) -> SqliteResult<HistoryOrder> {
        read_order(self.connection(), newest_event(self.connection())?.1)
    }

    pub(crate) fn requests(
        &mut self,
        after: Option<&(Namespace, RequestId)>,
        limit: usize,
    ) -> Result<Vec<CarriedRequest>, Error> {
        self.find_requests(after, limit).map_err(|fault| self.error(fault))
    }

    fn find_requests(
        &self,
        after: Option<&(Namespace, RequestId)>,
        limit: usize,
    ) -> SqliteResult<Vec<CarriedRequest>> {
        let (namespace, id) = after.map_or(("", ""), |(namespace, id)| (namespace.as_str(), id.as_str()));
        let mut requests = self.connection().prepare_cached(&sql::REQUESTS_BEHIND)?;
        let mut rows = requests.query(params![namespace, id, page(limit)])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let request = read_request(&SqliteRow(row), 2)?;
            let namespace = Namespace::new(row.get::<_, String>(0)?)?;
            found.push(CarriedRequest { namespace, id: RequestId::new(row.get::<_, String>(1)?)?, request });
        }
        Ok(found)
    }
}
