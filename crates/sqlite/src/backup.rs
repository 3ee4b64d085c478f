//! Copies a file that is in use, and marks a copy as a backup or makes it a store again. Who else may see a copy meanwhile, and
//! whether its histories hold, is the caller's business.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use tenure_clock::Clock;
use tenure_core::id::Epoch;
use tenure_core::time::Time;
use tenure_store::backup::{BACKUP_KEY, BackupMark};
use tenure_store::{Error, Failure};

use crate::open::{SqliteFile, Synchronous, plain_path};
pub use crate::paths::beside;
use crate::position::Position;

/// How much is copied between two looks at the progress: 4 MiB of pages of 4 KiB.
const PAGES_OF_A_STEP: i32 = 1_024;
/// What SQLite and the queue of writers put beside a file. What is left of it would be taken for a part of another file there.
pub const BESIDE: [&str; 5] = ["-wal", "-shm", "-journal", "-line", "-turn"];
/// Those that SQLite takes for a part of the file.
pub const PARTS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// What marks the file as a backup; none if it is a store, or empty.
pub fn mark_of(path: &Path) -> Result<Option<BackupMark>, Error> {
    Ok(SqliteFile::to_read(plain_path(path)?).as_it_is()?.1)
}

/// Copies a store into an empty file, as it is at one moment, while others write to it. Returns the store's time of that moment. It
/// is told how many pages it has copied, of how many, and may be stopped then.
pub fn copy(
    from: &Path,
    to: &Path,
    clock: &dyn Clock,
    mut copied: impl FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<Time, Error> {
    let from = SqliteFile::to_read(plain_path(from)?);
    let to = database(to)?;
    let source = from.connect_to_read()?;
    // The transaction keeps the moment. Without it the copy would begin again whenever somebody commits, and might never end.
    source.execute_batch("begin").map_err(|error| from.fault(error))?;
    let position = Position::read(&source).map_err(|fault| fault.of(&from))?;
    let reading = clock.read();
    let now = position.mark.as_ref().map_or(reading.wall, |mark| mark.now(&reading)).max(position.last);
    let mut target = Connection::open(&to.path).map_err(|error| to.fault(error))?;
    // Nobody sees the copy before it is whole and on the disk, so that nothing of it must be taken back.
    let prepared = target.pragma_update(None, "journal_mode", "memory");
    prepared
        .and_then(|()| target.pragma_update(None, "synchronous", "off"))
        .map_err(|error| to.fault(error))?;
    {
        let backup = Backup::new(&source, &mut target).map_err(|error| to.fault(error))?;
        loop {
            let step = backup.step(PAGES_OF_A_STEP).map_err(|error| to.fault(error))?;
            let progress = backup.progress();
            let pages = |pages: i32| u64::try_from(pages).unwrap_or(0);
            if copied(pages(progress.pagecount - progress.remaining), pages(progress.pagecount)).is_break() {
                return Err(Error::Unavailable(
                    format!("{}: the copy was stopped", to.path.display()).into(),
                ));
            }
            match step {
                StepResult::Done => break,
                StepResult::More => {}
                // Of others nobody has the copy open, and readers of a write-ahead log wait for nobody.
                StepResult::Busy | StepResult::Locked | _ => {
                    return Err(Error::Unavailable(
                        format!("{}: another program keeps it locked; try again later", from.path.display())
                            .into(),
                    ));
                }
            }
        }
    }
    drop(source);
    drop(target);
    make_single_file(&to.path)?;
    Ok(now)
}

/// Puts everything into the file itself, and removes what is beside it. Nobody else may have it open.
pub fn make_single_file(path: &Path) -> Result<(), Error> {
    let database = database(path)?;
    let connection = Connection::open(&database.path).map_err(|error| database.fault(error))?;
    let mode =
        connection.pragma_update_and_check(None, "journal_mode", "delete", |row| row.get::<_, String>(0));
    let mode = mode.map_err(|error| database.fault(error))?;
    if mode != "delete" {
        let words = format!("{}: its write-ahead log can't be put into it", database.path.display());
        return Err(Error::Unavailable(words.into()));
    }
    drop(connection);
    remove_beside(&database.path).map_err(|error| {
        Error::Unavailable(Failure::new(format!("{}: {error}", database.path.display()), error))
    })
}

/// Removes what is beside a file that nobody has open.
pub fn remove_beside(path: &Path) -> io::Result<()> {
    for ending in BESIDE {
        match std::fs::remove_file(beside(path, ending)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Marks a copy as a backup, instead of what marked it before.
pub fn set_mark(path: &Path, mark: &BackupMark) -> Result<(), Error> {
    change(path, |connection| {
        let set = "insert or replace into meta (key, value) values (?, ?)";
        connection.execute(set, [BACKUP_KEY, &mark.to_text()]).map(drop)
    })
}

/// Makes a copy a store: it is no backup any more, and no epoch is granted at or below that floor.
pub fn make_store(path: &Path, floor: Epoch) -> Result<(), Error> {
    change(path, |connection| {
        connection.execute("delete from meta where key = ?", [BACKUP_KEY])?;
        let raise = "insert or replace into meta (key, value) values ('epoch_floor', ?)";
        connection.execute(raise, [floor.0.to_string()]).map(drop)
    })
}

/// The epoch floor of a file of any schema.
pub fn floor_of(path: &Path) -> Result<Epoch, Error> {
    let database = SqliteFile::to_read(plain_path(path)?);
    let connection = database.connect_to_read()?;
    let floor = "select value from meta where key = 'epoch_floor'";
    let floor = connection.query_row(floor, [], |row| row.get::<_, String>(0)).optional();
    let floor = floor.map_err(|error| database.fault(error))?;
    Ok(Epoch(floor.and_then(|text| text.parse().ok()).unwrap_or(0)))
}

/// Changes a file that nobody else has open.
fn change(path: &Path, change: impl FnOnce(&Connection) -> rusqlite::Result<()>) -> Result<(), Error> {
    let database = database(path)?;
    let fault = |error| database.fault(error);
    let mut connection = Connection::open(&database.path).map_err(fault)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fault)?;
    change(&transaction).map_err(fault)?;
    transaction.commit().map_err(fault)
}

fn database(path: &Path) -> Result<SqliteFile, Error> {
    Ok(SqliteFile::new(plain_path(path)?, Synchronous::Full))
}

#[cfg(test)]
mod tests {
    use tenure_clock::ManualClock;
    use tenure_store::backup::IfMarked;

    use super::*;
    use crate::{SqliteOptions, SqliteStore};

    fn mark() -> BackupMark {
        BackupMark { at: Time::from_micros(0), by: "tenure 0".to_owned(), verified: true }
    }

    #[tokio::test]
    async fn a_copy_is_one_file_that_has_all_that_was_committed_before_it_began() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, copied) = (folder.path().join("tasks.db"), folder.path().join("copy.db"));
        let store = SqliteStore::open(SqliteOptions::new(&path)).await.expect("opens");
        let writer = Connection::open(&path).expect("opens");
        let write = |key: &str| {
            writer.execute("insert into meta (key, value) values (?, '')", [key]).map(drop).expect("written");
        };
        write("before");
        // So that it takes more than one step.
        let long = "insert into meta (key, value) values ('long', printf('%.*c', 9000000, 'x'))";
        writer.execute(long, []).expect("written");
        let mut steps = 0;
        copy(&path, &copied, &ManualClock::at(Time::from_micros(0)), |_, _| {
            steps += 1;
            // Another program commits between two steps, and the copy has nothing of it.
            if steps < 50 {
                write(&format!("during {steps}"));
            }
            ControlFlow::Continue(())
        })
        .expect("copied");
        assert!(steps > 1, "{steps}");
        drop(store);
        let connection = Connection::open(&copied).expect("opens");
        let count = "select count(*) from meta where key = 'before' or key like 'during %'";
        assert_eq!(connection.query_row(count, [], |row| row.get::<_, i64>(0)).expect("counted"), 1);
        drop(connection);
        for ending in BESIDE {
            assert!(!beside(&copied, ending).exists(), "{ending}");
        }
    }

    #[tokio::test]
    async fn a_marked_file_is_read_and_not_opened_to_write_until_it_is_a_store_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tasks.db");
        drop(SqliteStore::open(SqliteOptions::new(&path)).await.expect("opens"));
        make_single_file(&path).expect("nobody has it open");
        set_mark(&path, &mark()).expect("marked");
        assert_eq!(mark_of(&path).expect("read"), Some(mark()));
        let open = |change: fn(&mut SqliteOptions)| SqliteStore::open(SqliteOptions::new(&path).with(change));
        let refused = open(|_| {}).await.err().expect("refused").to_string();
        assert!(
            refused.contains("is a backup") && refused.contains("tenure --store sqlite:NEW restore"),
            "{refused}"
        );
        open(|options| options.access = tenure_store::StoreAccess::ReadOnly).await.expect("it is read");
        drop(open(|options| options.marked = IfMarked::Open).await.expect("a restore opens it"));
        make_store(&path, Epoch(7)).expect("a store");
        assert_eq!((mark_of(&path).expect("read"), floor_of(&path).expect("read")), (None, Epoch(7)));
        open(|_| {}).await.expect("it is a store");
    }
}
