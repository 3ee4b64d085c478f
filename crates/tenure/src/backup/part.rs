//! A file that has its name only when it is whole and on the disk. Until then it is a hidden one beside it, which a run keeps locked.
//! A run that is stopped removes it. What a killed run left is removed by the next one in that folder, and of two at once one is refused.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use tenure_sqlite::backup::{BESIDE, PARTS, beside, remove_beside};

use crate::backup::BackupError;

/// How often another run may take the hidden file away between opening and locking it.
const TRIES_MAX: u32 = 10;

/// How long a run waits that finds the hidden file locked: another one may be about to remove it.
const LOCK_WAIT: Duration = Duration::from_millis(10);

/// How the name of a hidden file ends.
const ENDING: &str = ".tenure-part";
/// The ending of a copy that is thrown away.
const SCRATCH: &str = "-check";

/// The hidden file. When this is dropped, it is removed, unless it has its name.
pub(super) struct PartFile(Arc<Part>);

/// What work on other threads shares with it.
pub(super) struct Part {
    path: PathBuf,
    target: PathBuf,
    file: File,
    is_published: AtomicBool,
    is_stopped: AtomicBool,
    /// Locked by work on another thread: it must not create anything again that was removed.
    at_work: Mutex<()>,
}

impl PartFile {
    /// Begins a file that is not there yet, empty.
    pub(super) fn begin(target: &Path) -> Result<PartFile, BackupError> {
        let name = target.file_name().ok_or_else(|| {
            BackupError::Refused(format!("{} is not the path of a file; give one", target.display()))
        })?;
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(ENDING);
        let path = target.with_file_name(hidden);
        is_free(target)?;
        let file = locked(&path, target, Tries::Several)?;
        let part = PartFile(Arc::new(Part {
            path,
            target: target.to_owned(),
            file,
            is_published: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
            at_work: Mutex::new(()),
        }));
        // Another run may have finished between the first look and the lock.
        is_free(target)?;
        let emptied = part.file().set_len(0).and_then(|()| remove_parts(part.path()));
        emptied.map_err(|error| failed(part.path(), &error))?;
        remove_abandoned(part.path());
        Ok(part)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0.path
    }

    /// Where a copy of it may be made that is thrown away.
    pub(super) fn scratch(&self) -> PathBuf {
        beside(&self.0.path, SCRATCH)
    }

    /// To write to it.
    pub(super) fn file(&self) -> &File {
        &self.0.file
    }

    /// Work on it that blocks, on a thread where that is allowed. If the caller is dropped meanwhile, the file is removed behind it.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Part) -> Result<T, BackupError> + Send + 'static,
    ) -> Result<T, BackupError> {
        let part = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || {
            let _at_work = part.at_work.lock().unwrap_or_else(PoisonError::into_inner);
            part.goes_on()?;
            work(&part)
        });
        done.await.map_err(|error| BackupError::File(format!("the work was ended: {error}")))?
    }

    /// Gives it these permissions and its name, once it is on the disk. Returns its length.
    pub(super) async fn publish(self, mode: u32) -> Result<u64, BackupError> {
        // The most of it is on the disk then, and what follows takes no time. This changes nothing, so that a stop need not wait for it.
        let part = Arc::clone(&self.0);
        let synced = tokio::task::spawn_blocking(move || part.file.sync_all()).await;
        let synced = synced.unwrap_or_else(|error| Err(io::Error::other(error)));
        synced.map_err(|error| failed(self.path(), &error))?;
        self.blocking(move |part| part.publish(mode)).await
    }
}

impl Part {
    /// An error if nobody waits for the file any more.
    pub(super) fn goes_on(&self) -> Result<(), BackupError> {
        match self.is_stopped.load(Ordering::Relaxed) {
            true => Err(BackupError::File("the run was stopped".to_owned())),
            false => Ok(()),
        }
    }

    fn publish(&self, mode: u32) -> Result<u64, BackupError> {
        let (path, target) = (&self.path, &self.target);
        crate::failpoints::reached("backup/before_sync");
        // What is beside it holds nothing any more, and would be taken for a part of another file.
        remove_parts(path).map_err(|error| failed(path, &error))?;
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
        self.is_published.store(true, Ordering::Relaxed);
        crate::failpoints::reached("backup/after_rename");
        sync_folder_of(target)?;
        Ok(bytes)
    }
}

impl Drop for PartFile {
    /// What is not whole is not left behind.
    fn drop(&mut self) {
        self.0.is_stopped.store(true, Ordering::Relaxed);
        let _at_work = self.0.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.0.is_published.load(Ordering::Relaxed) {
            remove_hidden(&self.0.path);
        }
    }
}

/// Removes a hidden file and what is beside it. What can't be removed stays.
fn remove_hidden(path: &Path) {
    let _ = remove_parts(path);
    let _ = std::fs::remove_file(path);
}

/// Removes what is beside a hidden file.
fn remove_parts(path: &Path) -> io::Result<()> {
    let scratch = beside(path, SCRATCH);
    remove_beside(path)?;
    remove_beside(&scratch)?;
    match std::fs::remove_file(&scratch) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Removes what killed runs left in the folder of this hidden file. Their names may never be used again. A run that goes on has its
/// file locked.
fn remove_abandoned(own: &Path) {
    let folder = own.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let names = entries.filter_map(|entry| hidden_name(&entry.ok()?.file_name()));
    let names: BTreeSet<OsString> = names.filter(|name| Some(name.as_os_str()) != own.file_name()).collect();
    for path in names.iter().map(|name| folder.join(name)) {
        // Locked until it is gone, so that a run that begins now does not use it. Of what can't be locked nobody knows whose it is.
        if let Ok(_locked) = locked(&path, &path, Tries::One) {
            remove_hidden(&path);
        }
    }
}

/// The name of the hidden file that this is, or that this is beside.
fn hidden_name(name: &OsStr) -> Option<OsString> {
    let name = name.to_str().filter(|name| name.starts_with('.'))?;
    let (before, ending) = name.rsplit_once(ENDING)?;
    let ending = ending.strip_prefix(SCRATCH).unwrap_or(ending);
    (ending.is_empty() || BESIDE.contains(&ending)).then(|| format!("{before}{ENDING}").into())
}

/// How often a lock that another run has is tried.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tries {
    One,
    Several,
}

/// Opens the hidden file and locks it. The lock goes with the process, however that ends.
fn locked(path: &Path, target: &Path, tries: Tries) -> Result<File, BackupError> {
    for nth in 1..=TRIES_MAX {
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
            Err(TryLockError::WouldBlock) if tries == Tries::Several && nth < TRIES_MAX => {
                std::thread::sleep(LOCK_WAIT);
                continue;
            }
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

    #[tokio::test]
    async fn a_file_has_its_name_when_it_is_whole_and_never_that_of_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("copy");
        let part = PartFile::begin(&target).expect("begun");
        assert!(error_of(&target).contains("another run is writing"), "of two at once one is refused");
        std::fs::write(part.path(), "whole").expect("written");
        assert!(!target.exists());
        assert_eq!(part.publish(0o640).await.expect("published"), 5);
        assert_eq!(std::fs::metadata(&target).expect("there").permissions().mode() & 0o777, 0o640);
        assert!(error_of(&target).contains("exists, and nothing is overwritten"));
        assert_eq!(std::fs::read_dir(folder.path()).expect("read").count(), 1, "nothing else is left");
    }

    #[tokio::test]
    async fn what_a_killed_run_left_is_used_again_and_what_appears_meanwhile_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("copy");
        for name in [".copy.tenure-part", ".copy.tenure-part-wal", ".copy.tenure-part-line"] {
            std::fs::write(folder.path().join(name), "half").expect("written");
        }
        let part = PartFile::begin(&target).expect("begun");
        assert_eq!(part.file().metadata().expect("there").len(), 0);
        std::fs::write(&target, "of somebody else").expect("written");
        assert!(part.publish(0o600).await.expect_err("refused").to_string().contains("exists"));
        assert_eq!(std::fs::read_to_string(&target).expect("read"), "of somebody else");
        assert_eq!(std::fs::read_dir(folder.path()).expect("read").count(), 1, "what is not whole is gone");
    }

    #[test]
    fn what_killed_runs_left_under_other_names_is_removed_and_what_others_write_or_own_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let left = [
            ".old.tenure-part",
            ".old.tenure-part-journal",
            ".old.tenure-part-check-wal",
            ".gone.tenure-part-wal",
        ];
        let of_others = ["old.tenure-part", ".old.tenure-parts", ".old.tenure-part-notes", "monday.backup"];
        for name in left.iter().chain(&of_others) {
            std::fs::write(path(name), "half").expect("written");
        }
        let living = PartFile::begin(&path("living")).expect("begun");
        std::fs::write(path(".living.tenure-part-journal"), "of it").expect("written");
        let part = PartFile::begin(&path("copy")).expect("begun");
        let names = std::fs::read_dir(folder.path()).expect("read");
        let mut names: Vec<_> =
            names.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
        names.sort();
        let mut stay = [".copy.tenure-part", ".living.tenure-part", ".living.tenure-part-journal"].to_vec();
        stay.extend(of_others);
        stay.sort_unstable();
        assert_eq!(names, stay);
        drop((living, part));
        assert_eq!(std::fs::read_dir(folder.path()).expect("read").count(), of_others.len());
    }

    #[tokio::test]
    async fn a_run_that_is_stopped_removes_its_file_behind_the_work_on_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let part = PartFile::begin(&folder.path().join("copy")).expect("begun");
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let work = part.blocking(move |part| {
            begun.send(()).expect("heard");
            while part.goes_on().is_ok() {
                std::thread::yield_now();
            }
            std::fs::write(beside(&part.path, "-journal"), "late").expect("written");
            Ok(())
        });
        tokio::select! {
            done = work => panic!("it was stopped: {:?}", done.is_ok()),
            heard = has_begun => heard.expect("begun"),
        }
        drop(part);
        assert_eq!(std::fs::read_dir(folder.path()).expect("read").count(), 0);
    }

    #[test]
    fn what_would_be_taken_for_a_part_of_it_stands_in_the_way() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("copy-wal"), "").expect("written");
        assert!(error_of(&folder.path().join("copy")).contains("copy-wal exists"));
        assert!(error_of(&folder.path().join("no/copy")).contains("does not exist"));
    }
}
