//! Which epoch floor a restore gives. Beside each backup a note has the floors that were given: the same backup can be restored
//! twice, with work in between, and must not grant the same epochs again.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tenure_api::wire;
use tenure_core::id::Epoch;
use tenure_core::time::Time;
use tenure_sqlite::backup::beside;

use crate::backup::BackupError;
use crate::backup::part::{failed, sync_folder_of};

/// By how much a restore raises the floor: more than a task has grants in its life.
pub const FLOOR_STEP: u64 = 1 << 32;
/// The highest floor that a restore goes above. Up to 2^53 every reader of JSON has whole numbers.
pub const FLOOR_ABOVE_MAX: Epoch = Epoch((1 << 53) - (1 << 33));
/// How a note is named behind its backup.
const ENDING: &str = ".restored";

/// A line of the note.
#[derive(Serialize, Deserialize)]
struct GivenLine {
    #[serde(with = "wire")]
    at: Time,
    store: String,
    #[serde(with = "wire")]
    epoch_floor: Epoch,
}

/// A floor that no other restore gives.
pub(super) struct GivenFloor {
    pub(super) floor: Epoch,
    /// If it is not noted.
    pub(super) warning: Option<String>,
}

/// The floor above all of these.
pub(super) fn floor_above(floors: impl IntoIterator<Item = Epoch>) -> Result<Epoch, BackupError> {
    let highest = floors.into_iter().max().unwrap_or_default();
    if highest > FLOOR_ABOVE_MAX {
        return Err(BackupError::Refused(format!(
            "epoch_floor_above: the epoch floor {} is above {}, and can't be raised",
            highest.0, FLOOR_ABOVE_MAX.0
        )));
    }
    Ok(Epoch(highest.0 + FLOOR_STEP))
}

/// Gives a floor to a restore of that backup, and notes it before anybody can see a store with it. If the note can't be
/// written, the caller must have said which floors were given before.
pub(super) fn give(
    backup: &Path,
    of_backup: Epoch,
    above: Option<Epoch>,
    (store, at): (&str, Time),
) -> Result<GivenFloor, BackupError> {
    // Whatever path leads to the backup, its note is one file.
    let real = backup.canonicalize();
    let path = note_of(real.as_deref().unwrap_or(backup));
    match real.and_then(|_| note(&path, (of_backup, above), (store, at))) {
        Ok(floor) => floor.map(|floor| GivenFloor { floor, warning: None }),
        Err(error) => match above {
            Some(above) => {
                let floor = floor_above([of_backup, above])?;
                let warning = format!(
                    "{}: {error}: the epoch floor {} is not noted; pass --epoch-floor-above {} when a backup of this store is restored again",
                    path.display(),
                    floor.0,
                    floor.0
                );
                Ok(GivenFloor { floor, warning: Some(warning) })
            }
            None => Err(BackupError::Refused(format!(
                "{}: {error}: the epoch floors that restores of this backup gave can't be noted; make it writable, or pass \
                 --epoch-floor-above with the highest of them, 0 if it was never restored",
                path.display()
            ))),
        },
    }
}

fn note_of(backup: &Path) -> PathBuf {
    beside(backup, ENDING)
}

/// Appends a line. The inner error is for the caller, whatever else was said.
fn note(
    path: &Path,
    (of_backup, above): (Epoch, Option<Epoch>),
    (store, at): (&str, Time),
) -> io::Result<Result<Epoch, BackupError>> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    // Until it is closed: two restores at once get two floors.
    file.lock()?;
    // A killed run may have left a part of a line, whose floor it did not give.
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    file.set_len(whole as u64)?;
    file.seek(SeekFrom::End(0))?;
    // Backups of one store are kept beside each other: an older one that was restored may be what a newer one comes from.
    let mut floors = vec![of_backup, above.unwrap_or_default()];
    for note in notes_beside(path)? {
        match read(&note) {
            Ok(given) => floors.extend(given),
            Err(words) => return Ok(Err(BackupError::Refused(words))),
        }
    }
    let floor = match floor_above(floors) {
        Ok(floor) => floor,
        Err(error) => return Ok(Err(error)),
    };
    let line = GivenLine { at, store: store.to_owned(), epoch_floor: floor };
    file.write_all(format!("{}\n", tenure_api::to_json(&line)).as_bytes())?;
    file.sync_all()?;
    Ok(sync_folder_of(path).map(|()| floor))
}

/// All notes in the folder of that one.
fn notes_beside(path: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut notes = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.as_os_str().as_encoded_bytes().ends_with(ENDING.as_bytes()) && path.is_file() {
            notes.push(path);
        }
    }
    Ok(notes)
}

/// The floors of a note.
fn read(path: &Path) -> Result<Vec<Epoch>, String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|mut file| file.read_to_string(&mut text));
    read.map_err(|error| failed(path, &error).to_string())?;
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    let lines = text.get(..whole).unwrap_or_default().lines();
    let floor = |(at, line): (usize, &str)| {
        let given: Result<GivenLine, _> = serde_json::from_str(line);
        given.map(|given| given.epoch_floor).map_err(|error| {
            format!(
                "{}: line {}: {error}; it must have the epoch floors that restores gave: repair it, or move it away and pass \
                 --epoch-floor-above with the highest of them",
                path.display(),
                at + 1
            )
        })
    };
    lines.enumerate().map(floor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Time = Time::from_micros(0);

    fn written(folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, "a backup").expect("written");
        path
    }

    fn given(backup: &Path, of_backup: u64, above: Option<u64>) -> u64 {
        let given = give(backup, Epoch(of_backup), above.map(Epoch), ("sqlite:new.db", AT)).expect("given");
        assert_eq!(given.warning, None);
        given.floor.0
    }

    #[test]
    fn no_two_restores_give_the_same_floor_and_none_below_what_it_was_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let [monday, tuesday] = ["monday", "tuesday"].map(|name| written(folder.path(), name));
        assert_eq!(given(&monday, 0, None), FLOOR_STEP);
        assert_eq!(given(&monday, 0, None), 2 * FLOOR_STEP);
        // Of the store that was restored first. The one that was restored second is above it.
        assert_eq!(given(&tuesday, FLOOR_STEP, None), 3 * FLOOR_STEP);
        assert_eq!(given(&tuesday, FLOOR_STEP, Some(9 * FLOOR_STEP)), 10 * FLOOR_STEP);
        let note = OpenOptions::new().append(true).open(note_of(&monday)).expect("there");
        (&note).write_all(b"{\"at\":\"20").expect("written");
        assert_eq!(given(&monday, 0, None), 11 * FLOOR_STEP, "behind a line that a killed run began");
        (&note).write_all(b"letters\n").expect("written");
        let refused = give(&monday, Epoch(0), None, ("s", AT)).err().expect("refused").to_string();
        assert!(refused.contains("line 4") && refused.contains("--epoch-floor-above"), "{refused}");
    }

    #[test]
    fn whatever_path_leads_to_a_backup_no_two_restores_give_the_same_floor() {
        let folder = tempfile::tempdir().expect("a folder");
        let [real, latest] = ["real", "latest"].map(|name| folder.path().join(name));
        for made in [&real, &latest] {
            std::fs::create_dir(made).expect("a folder");
        }
        let backup = written(&real, "monday");
        let link = latest.join("current");
        std::os::unix::fs::symlink("../real/monday", &link).expect("a link");
        assert_eq!(given(&backup, 0, None), FLOOR_STEP);
        assert_eq!(given(&link, 0, None), 2 * FLOOR_STEP);
        assert_eq!(given(&latest.join("../real/../real/monday"), 0, None), 3 * FLOOR_STEP);
        assert_eq!(given(&backup, 0, None), 4 * FLOOR_STEP);
        assert_eq!(std::fs::read_dir(&latest).expect("read").count(), 1, "no note is beside the link");
    }

    #[test]
    fn a_floor_that_can_not_be_noted_must_be_given_by_hand_and_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let backup = written(folder.path(), "monday");
        std::fs::create_dir(note_of(&backup)).expect("in the way");
        let give = |above| give(&backup, Epoch(0), above, ("s", AT));
        let refused = give(None).err().expect("refused").to_string();
        assert!(refused.contains("pass --epoch-floor-above"), "{refused}");
        let given = give(Some(Epoch(5))).expect("given");
        assert_eq!(given.floor.0, 5 + FLOOR_STEP);
        assert!(given.warning.is_some_and(|words| words.contains("--epoch-floor-above 4294967301")));
        let refused = give(Some(Epoch(u64::MAX))).err().expect("refused").to_string();
        assert!(refused.contains("can't be raised"), "{refused}");
    }
}
