//! What can be said of the file and of what is beside it: lengths, permissions, the room on its disk, and whether its pages
//! hold together. It changes nothing.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode};
use tenure_store::health::{FileHealth, Integrity, IntegrityCheck, PathKind, Permissions, StoreHealth};
use tenure_store::{Error, Failure};

use crate::open::{SqliteFile, plain_path};

/// How many problems of a file are named.
const PROBLEMS_MAX: u32 = 10;

/// What SQLite and the queue of writers put beside a file.
const BESIDE: [&str; 4] = ["-wal", "-shm", "-line", "-turn"];

/// The health of a file, as it is now.
pub(crate) fn health(database: &SqliteFile, check: IntegrityCheck) -> Result<StoreHealth, Error> {
    let file = unopened(database)?;
    let integrity = integrity(database, file.bytes, check)?;
    Ok(StoreHealth { file: Some(FileHealth { integrity, ..file }), postgres: None })
}

/// What can be said of a file that this process may not open: nothing of its pages.
pub fn health_of_closed(path: &Path) -> Result<FileHealth, Error> {
    unopened(&SqliteFile::to_read(plain_path(path)?))
}

fn unopened(database: &SqliteFile) -> Result<FileHealth, Error> {
    let path = database.path.clone();
    let bytes = std::fs::metadata(&path).map(|file| file.len()).map_err(|error| {
        Error::Unavailable(Failure::new(format!("{} can't be looked at: {error}", path.display()), error))
    })?;
    Ok(FileHealth {
        bytes,
        wal_bytes: database.wal_bytes(),
        free_bytes: database.free_bytes(),
        permissions: permissions(&path),
        integrity: Integrity::NotChecked,
        path,
    })
}

/// Of the directory, the file, and the files beside it that are there.
fn permissions(path: &Path) -> Vec<Permissions> {
    let beside = |ending: &&str| {
        let mut beside = path.as_os_str().to_owned();
        beside.push(ending);
        PathBuf::from(beside)
    };
    let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
    let paths = [folder, path.to_owned()].into_iter().chain(BESIDE.iter().map(beside));
    // What is gone between two looks has no permissions.
    paths.filter_map(|path| permissions_of(path).ok()).collect()
}

fn permissions_of(path: PathBuf) -> io::Result<Permissions> {
    let found = std::fs::metadata(&path)?;
    let kind = if found.is_dir() { PathKind::Directory } else { PathKind::File };
    let mode = found.permissions().mode() & 0o7777;
    let is_writable = rustix::fs::access(&path, rustix::fs::Access::WRITE_OK).is_ok();
    Ok(Permissions { path, kind, mode, is_writable })
}

fn integrity(database: &SqliteFile, bytes: u64, check: IntegrityCheck) -> Result<Integrity, Error> {
    let pragma = match check {
        IntegrityCheck::UpTo(bytes_max) if bytes > bytes_max => return Ok(Integrity::NotChecked),
        IntegrityCheck::UpTo(_) => "quick_check",
        IntegrityCheck::Whole => "integrity_check",
    };
    let connection = database.connect_to_read()?;
    match problems(&connection, pragma) {
        Ok(problems) if problems.is_empty() => Ok(Integrity::Holds),
        Ok(problems) => Ok(Integrity::Broken(problems)),
        // Some damage ends the check itself.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => {
            Ok(Integrity::Broken(vec![error.to_string()]))
        }
        Err(error) => Err(database.fault(error)),
    }
}

/// The problems that the check names; none if it says `ok`.
fn problems(connection: &Connection, pragma: &str) -> rusqlite::Result<Vec<String>> {
    let mut check = connection.prepare(&format!("pragma {pragma}({PROBLEMS_MAX})"))?;
    let lines = check.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(lines.into_iter().filter(|line| line != "ok").collect())
}
