//! Opens the file: checks what it is, creates or migrates it, and reports an error if it is something else.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior};
use tenure_store::backup::{BACKUP_KEY, BackupMark, IfMarked, is_a_backup};
use tenure_store::{Error, Failure, SchemaState, older_schema};

use crate::paths::beside;
use crate::writer_lock::WriterLock;

/// "TENU": distinguishes Tenure's files from other programs' databases.
const APPLICATION_ID: i32 = 0x5445_4e55;

/// The migrations in order; the schema version is how many of them ran. A released one never changes.
const MIGRATIONS: [&str; 7] = [
    include_str!("../migrations/V1__ledger.sql"),
    include_str!("../migrations/V2__tokens.sql"),
    include_str!("../migrations/V3__ends.sql"),
    include_str!("../migrations/V4__sagas.sql"),
    include_str!("../migrations/V5__last_leases.sql"),
    include_str!("../migrations/V6__retention.sql"),
    include_str!("../migrations/V7__namespace_histories.sql"),
];

/// How long another program may hold SQLite's own lock. Tenure's writers queue before they need it.
const BUSY_MAX: Duration = Duration::from_secs(10);

/// The page cache of a connection that writes, as SQLite takes it: negative numbers are KiB. It holds what open tasks need;
/// a larger one costs at each commit, because SQLite then walks through its hash table.
const CACHE_KIBIBYTES: i64 = -16_384;

/// What SQLite needs beside the file when it opens it: its shared memory begins with 32 KiB.
const ROOM_MIN: u64 = 64 * 1024;

/// A write-ahead log that is no longer has no commits.
const LOG_HEADER_BYTES: u64 = 32;

/// When an answered write is on the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Synchronous {
    /// Always: each commit waits for the disk.
    #[default]
    Full,
    /// After the next checkpoint: a power loss, but not a crash of the program, may take back answered writes.
    Normal,
}

/// What the last connection does with the write-ahead log when it is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LogAtClose {
    /// Its pages go into the file, and it is deleted.
    Checkpointed,
    /// It stays as it is, and so does the file.
    Kept,
}

/// What a file was found to be.
enum FoundSchema {
    /// Tenure's, with that many migrations; or empty, with none.
    Version(usize),
    /// Tenure's, of a later version.
    Newer(usize),
    /// Another program's.
    Foreign,
}

/// A database file, of which any number of connections can be opened.
#[derive(Clone, Debug)]
pub(crate) struct SqliteFile {
    pub(crate) path: PathBuf,
    pub(crate) synchronous: Synchronous,
    pub(crate) log_at_close: LogAtClose,
}

/// The canonical path of a file, beside which its lock files are. An absolute path is never read as one of
/// SQLite's special names, such as `:memory:`.
pub(crate) fn plain_path(path: &Path) -> Result<PathBuf, Error> {
    let shown = path.display();
    if path.is_dir() {
        return Err(Error::Unavailable(format!("{shown} is a directory; give a file in it").into()));
    }
    if let Ok(path) = path.canonicalize() {
        return Ok(path);
    }
    let name = path
        .file_name()
        .ok_or_else(|| Error::Unavailable(format!("{shown} is not the path of a file").into()))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |error: std::io::Error| {
        let (folder, is_missing) = (folder.display(), error.kind() == std::io::ErrorKind::NotFound);
        let words = match is_missing {
            true => format!("the directory {folder} does not exist; create it first"),
            false => format!("the directory {folder} can't be used: {error}"),
        };
        Error::Unavailable(Failure::new(words, error))
    };
    Ok(folder.canonicalize().map_err(failed)?.join(name))
}

/// The error for a file that must be there.
pub(crate) fn no_store_at(path: &Path) -> Error {
    Error::Unavailable(format!("there is no store at {}; check the path", path.display()).into())
}

/// A file that can't be looked at may be there.
fn cannot_look(path: &Path, error: std::io::Error) -> Error {
    let words = format!("{}: {error}; check the permissions of its directory", path.display());
    Error::Unavailable(Failure::new(words, error))
}

impl SqliteFile {
    /// A file that is read and written.
    pub(crate) fn new(path: PathBuf, synchronous: Synchronous) -> SqliteFile {
        SqliteFile { path, synchronous, log_at_close: LogAtClose::Checkpointed }
    }

    /// A file that is only read. A log that a killed process left behind stays as it is; without one, none is left.
    pub(crate) fn to_read(path: PathBuf) -> SqliteFile {
        let mut file = SqliteFile::new(path, Synchronous::default());
        if file.log().exists() {
            file.log_at_close = LogAtClose::Kept;
        }
        file
    }

    /// Creates the file if it does not exist, and migrates it to the newest schema. Only that waits for other
    /// processes.
    pub(crate) fn prepare(&self, wait_max: Duration, marked: IfMarked) -> Result<(), Error> {
        // Nothing is changed or created beside it before it is known whose file it is.
        let (version, mark) = self.as_it_is()?;
        if let Some(mark) = mark.filter(|_| marked == IfMarked::Refuse) {
            return Err(is_a_backup(&self.path.display().to_string(), &mark));
        }
        if version == MIGRATIONS.len() {
            return Ok(());
        }
        let lock = WriterLock::beside(&self.path).map_err(|error| self.lock_failed(error))?;
        let taken = lock.take_within(wait_max).map_err(|error| self.lock_failed(error))?;
        if !taken {
            let path = self.path.display();
            return Err(Error::Unavailable(
                format!(
                    "{path}: waited {} s for another process that is writing to it; try again later",
                    wait_max.as_secs()
                )
                .into(),
            ));
        }
        let migrated = self.migrate();
        lock.give().map_err(|error| self.lock_failed(error))?;
        migrated
    }

    /// Checks that it can be read as it is.
    pub(crate) fn is_current(&self) -> Result<(), Error> {
        match self.as_it_is()?.0 {
            0 => Err(no_store_at(&self.path)),
            version if version < MIGRATIONS.len() => Err(older_schema(&self.path.display().to_string())),
            _ => Ok(()),
        }
    }

    /// The state of the file, without changing it.
    pub(crate) fn condition(&self) -> Result<SchemaState, Error> {
        if self.is_absent()? {
            return Ok(SchemaState::Missing);
        }
        let found = match self.found(&self.connect_as_it_is()?) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => FoundSchema::Foreign,
            found => found.map_err(|error| self.fault(error))?,
        };
        Ok(match found {
            FoundSchema::Version(0) => SchemaState::Missing,
            FoundSchema::Version(version) if version < MIGRATIONS.len() => SchemaState::Older,
            FoundSchema::Version(_) => SchemaState::Current,
            FoundSchema::Newer(found) => SchemaState::Newer { found, known: MIGRATIONS.len() },
            FoundSchema::Foreign => SchemaState::Foreign,
        })
    }

    /// The schema version of the file, without changing it, 0 if there is none; and its mark, if it is a backup.
    pub(crate) fn as_it_is(&self) -> Result<(usize, Option<BackupMark>), Error> {
        if self.is_absent()? {
            return Ok((0, None));
        }
        let connection = self.connect_as_it_is()?;
        let version = self.version(&connection)?;
        let mark = if version == 0 { None } else { self.mark(&connection)? };
        Ok((version, mark))
    }

    /// What marks the file as a backup.
    fn mark(&self, connection: &Connection) -> Result<Option<BackupMark>, Error> {
        let mark = "select value from meta where key = ?";
        let mark = connection.query_row(mark, [BACKUP_KEY], |row| row.get::<_, String>(0)).optional();
        let Some(mark) = mark.map_err(|error| self.fault(error))? else { return Ok(None) };
        let unreadable = |error| {
            let words = format!("{}: its mark as a backup can't be read: {error}", self.path.display());
            Error::Corrupt(Failure::new(words, error))
        };
        BackupMark::read(&mark).map(Some).map_err(unreadable)
    }

    fn connect_as_it_is(&self) -> Result<Connection, Error> {
        let as_it_is = SqliteFile::to_read(self.path.clone());
        as_it_is.open(OpenFlags::SQLITE_OPEN_READ_WRITE, |_| Ok(()))
    }

    /// Whether there is no store: no file, or an empty one. A file that can't be looked at may be a store. It is an error, too, if the
    /// file is gone and commits of it are still beside it: SQLite deletes those when it creates the file.
    pub(crate) fn is_absent(&self) -> Result<bool, Error> {
        if !self.is_empty()? {
            return Ok(false);
        }
        let Some(left) = self.left_of_a_store()? else { return Ok(true) };
        // Another process may just have created the file: it writes the first page before anything of the log.
        if !self.is_empty()? {
            return Ok(false);
        }
        let (path, left) = (self.path.display(), left.display());
        Err(Error::Unavailable(
            format!(
                "{path} is gone or empty, but {left}, a part of the same store, is there: put the file back beside it, or move {left} \
                 away and restore a backup with `tenure restore FILE`; nothing was created"
            )
            .into(),
        ))
    }

    /// What is beside the file and belongs to one that had content: a log with commits, or a journal with pages of it.
    fn left_of_a_store(&self) -> Result<Option<PathBuf>, Error> {
        let log = self.log();
        if SqliteFile::length_of(&log)?.is_some_and(|length| length > LOG_HEADER_BYTES) {
            return Ok(Some(log));
        }
        let journal = beside(&self.path, "-journal");
        let mut header = [0; 20];
        let read = File::open(&journal).and_then(|mut file| file.read_exact(&mut header));
        match read {
            // How many pages the file had. It had none if the process that created it was killed.
            Ok(()) if header[16..20] != [0; 4] => Ok(Some(journal)),
            Ok(()) => Ok(None),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof) => Ok(None),
            Err(error) => Err(cannot_look(&journal, error)),
        }
    }

    /// The size of the write-ahead log beside the file. After a checkpoint it is reused from the beginning.
    /// So it grows while a reader is open, and never shrinks. None if it can't be read.
    pub(crate) fn wal_bytes(&self) -> Option<u64> {
        match std::fs::metadata(self.log()) {
            Ok(file) => Some(file.len()),
            // Nothing was written yet.
            Err(error) if error.kind() == ErrorKind::NotFound => Some(0),
            Err(_) => None,
        }
    }

    fn log(&self) -> PathBuf {
        beside(&self.path, "-wal")
    }

    fn is_empty(&self) -> Result<bool, Error> {
        Ok(SqliteFile::length_of(&self.path)?.is_none_or(|length| length == 0))
    }

    /// None if there is no such file.
    fn length_of(path: &Path) -> Result<Option<u64>, Error> {
        match std::fs::metadata(path) {
            Ok(file) => Ok(Some(file.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(cannot_look(path, error)),
        }
    }

    pub(crate) fn lock_failed(&self, error: std::io::Error) -> Error {
        let path = self.path.display();
        Error::Unavailable(Failure::new(
            format!("can't lock {path}-line and {path}-turn; both must be writable: {error}"),
            error,
        ))
    }

    /// All or nothing: if the process is killed, the old schema stays.
    fn migrate(&self) -> Result<(), Error> {
        let fault = |error| self.fault(error);
        let mut connection = self.connect()?;
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fault)?;
        let version = self.version(&transaction)?;
        for migration in MIGRATIONS.get(version..).unwrap_or(&[]) {
            transaction.execute_batch(migration).map_err(fault)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(fault)?;
        transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64).map_err(fault)?;
        transaction.commit().map_err(fault)?;
        if version == 0 {
            // The file's name is an entry of its directory, which is durable only after the directory was
            // synced, too.
            let folder = self.path.parent().unwrap_or(Path::new("/"));
            let synced = File::open(&self.path).and_then(|file| file.sync_all());
            synced.and_then(|()| File::open(folder)?.sync_all()).map_err(|error| {
                let path = self.path.display();
                Error::Unavailable(Failure::new(
                    format!("{path} was created, but could not be synced to the disk: {error}"),
                    error,
                ))
            })?;
        }
        Ok(())
    }

    /// The schema version of a file that is Tenure's, or empty.
    fn version(&self, connection: &Connection) -> Result<usize, Error> {
        let path = self.path.display();
        let words = match self.found(connection).map_err(|error| self.fault(error))? {
            FoundSchema::Version(version) => return Ok(version),
            FoundSchema::Newer(version) => format!(
                "{path} has schema version {version}, but this program supports only up to {}; use a newer version \
                 of it",
                MIGRATIONS.len()
            ),
            FoundSchema::Foreign => format!("{path} is another program's database; choose another file"),
        };
        Err(Error::Unavailable(words.into()))
    }

    fn found(&self, connection: &Connection) -> rusqlite::Result<FoundSchema> {
        let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
        // The tables are counted first: another process may create them between two reads, together with its
        // mark.
        let count = "select count(*) from sqlite_schema";
        let tables: i64 = connection.query_row(count, [], |row| row.get(0))?;
        let (application, version) = (number("application_id")?, number("user_version")?);
        if application != APPLICATION_ID && tables > 0 {
            return Ok(FoundSchema::Foreign);
        }
        Ok(match usize::try_from(version).unwrap_or(0) {
            version if version > MIGRATIONS.len() => FoundSchema::Newer(version),
            version => FoundSchema::Version(version),
        })
    }

    /// A connection that may write.
    pub(crate) fn connect(&self) -> Result<Connection, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        self.open(flags, |connection| {
            // The journal mode is stored in the file; setting it again costs only a read. SQLite keeps
            // another mode if the file system has no shared memory, or if another process has the file open
            // in the old mode.
            let wal = connection
                .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0))?;
            if wal != "wal" {
                return Err(rusqlite::Error::SqliteFailure(
                    rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN),
                    Some(format!("can't switch to WAL mode; journal_mode stays `{wal}`")),
                ));
            }
            let synchronous = match self.synchronous {
                Synchronous::Full => "full",
                Synchronous::Normal => "normal",
            };
            connection.pragma_update(None, "synchronous", synchronous)?;
            connection.pragma_update(None, "cache_size", CACHE_KIBIBYTES)?;
            connection.pragma_update(None, "wal_autocheckpoint", 4_000)
        })
    }

    /// The connection of the writer of commands. It has no use for the guards of the tables, which are there for other
    /// programs: its statements change only the row that was read, and of what has ended only the notes. In debug builds
    /// it keeps them, so that every test shows that they would refuse nothing that it writes.
    pub(crate) fn connect_writer(&self) -> Result<Connection, Error> {
        if cfg!(debug_assertions) { self.connect() } else { self.connect_without_guards() }
    }

    pub(crate) fn connect_without_guards(&self) -> Result<Connection, Error> {
        let connection = self.connect()?;
        let unguarded = || {
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
            connection.pragma_update(None, "ignore_check_constraints", true)
        };
        unguarded().map_err(|error| self.fault(error))?;
        Ok(connection)
    }

    /// A connection that only reads.
    pub(crate) fn connect_to_read(&self) -> Result<Connection, Error> {
        // Not opened read-only: a reader of a WAL file must be able to write its index.
        self.open(OpenFlags::SQLITE_OPEN_READ_WRITE, |connection| {
            connection.pragma_update(None, "query_only", true)
        })
    }

    fn open(
        &self,
        flags: OpenFlags,
        set: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<Connection, Error> {
        let opened = Connection::open_with_flags(&self.path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX);
        let connection = opened.map_err(|error| self.fault(error))?;
        let prepared = (|| {
            connection.busy_timeout(BUSY_MAX)?;
            if self.log_at_close == LogAtClose::Kept {
                connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            }
            // One plan for each statement, whatever is bound. Otherwise SQLite recompiles, at every call,
            // statements that compare a column of a partial index with a parameter.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
            connection.set_prepared_statement_cache_capacity(128);
            set(&connection)
        })();
        prepared.map_err(|error| self.fault(error))?;
        Ok(connection)
    }

    /// How many bytes this process may still write to the disk of the file; none if the disk does not say.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(self.path.parent().unwrap_or(Path::new("/"))).ok()?;
        // Some of a disk may be set aside for root.
        let free = if rustix::process::getuid().is_root() { disk.f_bfree } else { disk.f_bavail };
        Some(free.saturating_mul(disk.f_frsize))
    }

    /// Whether the disk is full. SQLite reports that here like any other failed write.
    fn has_no_room(&self) -> bool {
        self.free_bytes().is_some_and(|free| free < ROOM_MIN)
    }

    /// What a failed commit means. It proves nothing, except if the disk was full or the file was locked:
    /// then the commit frame was not written.
    pub(crate) fn commit_fault(&self, error: rusqlite::Error) -> Error {
        let surely_not = [ErrorCode::DiskFull, ErrorCode::DatabaseBusy, ErrorCode::DatabaseLocked];
        let is_not_done = error.sqlite_error_code().is_some_and(|code| surely_not.contains(&code));
        if is_not_done { self.fault(error) } else { Error::Unknown(self.failure(error)) }
    }

    /// What SQLite's error means, if nothing was committed.
    pub(crate) fn fault(&self, error: rusqlite::Error) -> Error {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt) => Error::Corrupt(self.failure(error)),
            _ => Error::Unavailable(self.failure(error)),
        }
    }

    /// SQLite's error with advice for a person.
    fn failure(&self, error: rusqlite::Error) -> Failure {
        let path = self.path.display();
        let advice = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt) => {
                "the file is damaged; keep a copy of it and restore the newest backup with `tenure --store sqlite:NEW restore \
                 FILE`"
            }
            Some(ErrorCode::NotADatabase) => "the file is not an SQLite database; choose another file",
            Some(ErrorCode::DiskFull) => "the disk is full; reads go on, writes resume when there is room",
            Some(ErrorCode::ReadOnly) => {
                "the file can't be written; check its permissions and those of its directory"
            }
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                "the file can't be opened; check its permissions and those of its directory"
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                "another program keeps the file locked; end its transaction and try again"
            }
            Some(ErrorCode::SystemIoFailure) if self.has_no_room() => {
                "the disk is full; make some free space, which SQLite needs to open the file"
            }
            Some(ErrorCode::SystemIoFailure) => "the disk or the file system reported an error; check them",
            _ => "SQLite reported an error",
        };
        Failure::new(format!("{path}: {advice} ({error})"), error)
    }
}
