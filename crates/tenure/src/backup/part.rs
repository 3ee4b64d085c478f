//! A file that has its name only when it is whole and on the disk. Until then it is a hidden one beside it, which a run keeps locked:
//! what a killed run left is used again by the next, and of two at once one is refused.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use tenure_sqlite::backup::{PARTS, beside, remove_beside};

use crate::backup::BackupError;

/// How often another run may take the hidden file away between opening and locking it.
const TRIES_MAX: u32 = 10;

/// The ending of a copy that is thrown away.
const SCRATCH: &str = "-check";

/// The hidden file.
pub(super) struct PartFile {
    path: PathBuf,
    target: PathBuf,
    file: File,
    is_published: bool,
}

impl PartFile {
    /// Begins a file that is not there yet, empty.
    pub(super) fn begin(target: &Path) -> Result<PartFile, BackupError> {
        let name = target.file_name().ok_or_else(|| {
            BackupError::Refused(format!("{} is not the path of a file; give one", target.display()))
        })?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(".tenure-part");
        let path = target.with_file_name(hidden);
        is_free(target)?;
        let file = locked(&path, target)?;
        let part = PartFile { path, target: target.to_owned(), file, is_published: false };
        // Another run may have finished between the first look and the lock.
        is_free(target)?;
        let emptied = part.file.set_len(0).and_then(|()| part.remove_beside());
        emptied.map_err(|error| failed(&part.path, &error))?;
        Ok(part)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where a copy of it may be made that is thrown away.
    pub(super) fn scratch(&self) -> PathBuf {
        beside(&self.path, SCRATCH)
    }

    /// To write to it.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    fn remove_beside(&self) -> io::Result<()> {
        let scratch = self.scratch();
        remove_beside(&self.path)?;
        remove_beside(&scratch)?;
        match std::fs::remove_file(&scratch) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Gives it these permissions and its name, once it is on the disk. Returns its length.
    pub(super) fn publish(mut self, mode: u32) -> Result<u64, BackupError> {
        let (path, target) = (&self.path, &self.target);
        crate::failpoints::reached("backup/before_sync");
        // What is beside it holds nothing any more, and would be taken for a part of another file.
        self.remove_beside().map_err(|error| failed(path, &error))?;
        let synced = self.file.set_permissions(Permissions::from_mode(mode & 0o777));
        let bytes = synced.and_then(|()| self.file.sync_all()).and_then(|()| self.file.metadata());
        let bytes = bytes.map_err(|error| failed(path, &error))?.len();
        crate::failpoints::reached("backup/before_rename");
        is_free(target)?;
        match renameat_with(CWD, path, CWD, target, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(rustix::io::Errno::EXIST) => return Err(exists(target)),
            // This file system can't. Other runs are locked out, and it was free just now.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                std::fs::rename(path, target).map_err(|error| failed(target, &error))?;
            }
            Err(error) => return Err(failed(target, &error.into())),
        }
        self.is_published = true;
        crate::failpoints::reached("backup/after_rename");
        sync_folder_of(target)?;
        Ok(bytes)
    }
}

impl Drop for PartFile {
    /// What is not whole is not left behind. A killed run leaves it, and the next one uses it again.
    fn drop(&mut self) {
        if !self.is_published {
            let _ = self.remove_beside();
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Opens the hidden file and locks it. The lock goes with the process, however that ends.
fn locked(path: &Path, target: &Path) -> Result<File, BackupError> {
    for _ in 0..TRIES_MAX {
        // Only its owner may read what is not verified, or has hashes of tokens.
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path).map_err(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                return failed(path, &error);
            }
            let folder = target.parent().unwrap_or(Path::new("."));
            BackupError::Refused(format!(
                "the directory {} does not exist; create it first",
                folder.display()
            ))
        })?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let target = target.display();
                return Err(BackupError::Refused(format!(
                    "another run is writing {target}; wait until it has ended, or give another name"
                )));
            }
            Err(TryLockError::Error(error)) => return Err(failed(path, &error)),
        }
        // Another run may have given it its name after it was opened here: then this is not the hidden file any more.
        let is_it = match (file.metadata(), std::fs::metadata(path)) {
            (Ok(opened), Ok(there)) => (opened.dev(), opened.ino()) == (there.dev(), there.ino()),
            (_, _) => false,
        };
        if is_it {
            return Ok(file);
        }
    }
    Err(BackupError::Refused(format!("other runs keep writing {}; try again later", target.display())))
}

/// Checks that nothing has that name, and that nothing is beside it that SQLite would take for a part of it.
fn is_free(target: &Path) -> Result<(), BackupError> {
    if target.symlink_metadata().is_ok() {
        return Err(exists(target));
    }
    for ending in PARTS {
        let part = beside(target, ending);
        if part.symlink_metadata().is_ok() {
            return Err(BackupError::Refused(format!(
                "{} exists, and would be taken for a part of {}; move it away, or give another name",
                part.display(),
                target.display()
            )));
        }
    }
    Ok(())
}

fn exists(target: &Path) -> BackupError {
    BackupError::Refused(format!(
        "{} exists, and nothing is overwritten; give another name, or move it away",
        target.display()
    ))
}

/// A name is an entry of its folder, which is durable only after the folder was synced, too.
pub(super) fn sync_folder_of(path: &Path) -> Result<(), BackupError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| failed(folder, &error))
}

pub(super) fn failed(path: &Path, error: &io::Error) -> BackupError {
    let advice = if error.kind() == io::ErrorKind::StorageFull {
        "; make free space, and repeat the command"
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        "; check its permissions and those of its directory"
    } else {
        ""
    };
    BackupError::File(format!("{}: {error}{advice}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(target: &Path) -> String {
        PartFile::begin(target).err().expect("refused").to_string()
    }

    #[test]
    fn a_file_has_its_name_when_it_is_whole_and_never_that_of_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("copy");
        let part = PartFile::begin(&target).expect("begun");
        assert!(error_of(&target).contains("another run is writing"), "of two at once one is refused");
        std::fs::write(part.path(), "whole").expect("written");
        assert!(!target.exists());
        assert_eq!(part.publish(0o640).expect("published"), 5);
        assert_eq!(std::fs::metadata(&target).expect("there").permissions().mode() & 0o777, 0o640);
        assert!(error_of(&target).contains("exists, and nothing is overwritten"));
        assert_eq!(std::fs::read_dir(folder.path()).expect("read").count(), 1, "nothing else is left");
    }

    #[test]
    fn what_a_killed_run_left_is_used_again_and_what_appears_meanwhile_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("copy");
        for name in [".copy.tenure-part", ".copy.tenure-part-wal", ".copy.tenure-part-line"] {
            std::fs::write(folder.path().join(name), "half").expect("written");
        }
        let part = PartFile::begin(&target).expect("begun");
        assert_eq!(part.file().metadata().expect("there").len(), 0);
        std::fs::write(&target, "of somebody else").expect("written");
        assert!(part.publish(0o600).expect_err("refused").to_string().contains("exists"));
        assert_eq!(std::fs::read_to_string(&target).expect("read"), "of somebody else");
        assert_eq!(std::fs::read_dir(folder.path()).expect("read").count(), 1, "what is not whole is gone");
    }

    #[test]
    fn what_would_be_taken_for_a_part_of_it_stands_in_the_way() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("copy-wal"), "").expect("written");
        assert!(error_of(&folder.path().join("copy")).contains("copy-wal exists"));
        assert!(error_of(&folder.path().join("no/copy")).contains("does not exist"));
    }
}
