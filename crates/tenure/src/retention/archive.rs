//! The archive of pruned tasks: their events in the form of an export, so that an import reads it. It is continued where a run that
//! was killed has left it. One run at a time writes it, and what is there is compared with its end line before that is replaced.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use tenure_core::id::Epoch;
use tenure_core::time::Time;
use tenure_store::stored::{StoredChain, StoredEvent};
use tenure_store::transfer::{EXPORT_FORMAT, ExportCounts, ExportHeader, ExportLine, ReplayItem};

use crate::audit::read_sealed;
use crate::transfer::{LINE_BYTES_MAX, LinesDigest, WRITTEN_BY};

/// How every archive begins. An export of a store has no such mark.
const BEGINNING: &[u8] = b"{\"tenure_export\":1,\"archive\":true,";
/// How each line behind it begins, but for the last.
const EVENT: &[u8] = b"{\"event\":";
/// How its last line begins.
const END: &[u8] = b"{\"end\":";

/// A file that pruned tasks are written to before they are deleted. It is locked while it is open.
pub struct Archive {
    file: BufWriter<File>,
    digest: LinesDigest,
    counts: ExportCounts,
}

impl Archive {
    /// Creates the file; an archive that is there is continued behind its last whole line. Refused and left as they are: a file that
    /// another run writes, one that is no archive, and an archive that was changed since it was written.
    pub fn open(path: &Path, at: Time) -> io::Result<Archive> {
        // Only its owner may read it: events have payloads.
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(path)?;
        // Before it is read: another run would write over what this one writes. The lock goes with the process, however that ends.
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(busy()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let mut archive = Archive::read(&mut file)?;
        if archive.counts.lines == 0 {
            let header = ExportHeader {
                tenure_export: EXPORT_FORMAT,
                is_archive: true,
                at,
                by: WRITTEN_BY.to_owned(),
                epoch_floor: Epoch(0),
                events: 0,
            };
            archive.write(&header.to_json())?;
            archive.sync()?;
            // The name of a new file is an entry of its folder, which is durable only after the folder was synced, too.
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        Ok(archive)
    }

    /// Reads what is there. Only then it cuts off an unfinished last line, since a step that was not finished deleted nothing, and the
    /// end line, if it says what is there.
    fn read(file: &mut File) -> io::Result<Archive> {
        let (mut digest, mut counts) = (LinesDigest::default(), ExportCounts::default());
        let (mut kept, mut line) = (0_u64, Vec::new());
        let mut reader = BufReader::new(&mut *file);
        loop {
            line.clear();
            let length = (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
            let is_whole = line.last() == Some(&b'\n');
            let begins = match kept {
                0 => begins_with(&line, BEGINNING),
                _ => begins_with(&line, EVENT) || begins_with(&line, END),
            };
            // A machine that lost its power may leave zeros where a last line was being written.
            let is_blank = kept > 0 && line.iter().all(|byte| *byte == 0);
            match (begins || is_blank, kept) {
                (true, _) => {}
                (false, 0) => return Err(foreign()),
                (false, _) => return Err(changed(&counts, "is neither an event nor the end line")),
            }
            if is_whole && kept == 0 && !is_header(&line) {
                return Err(foreign());
            }
            if !is_whole {
                if length as u64 == LINE_BYTES_MAX {
                    return Err(changed(&counts, "is longer than 64 MiB"));
                }
                break;
            }
            if line.starts_with(END) {
                is_end_of(&line, counts, &digest)?;
                if !reader.fill_buf()?.is_empty() {
                    counts.lines += 1;
                    return Err(changed(&counts, "comes behind the end line"));
                }
                break;
            }
            digest.add(&line);
            counts.events += u64::from(kept > 0);
            counts.lines += 1;
            kept += length as u64;
        }
        drop(reader);
        file.set_len(kept)?;
        file.seek(SeekFrom::Start(kept))?;
        Ok(Archive { file: BufWriter::new(file.try_clone()?), digest, counts })
    }

    /// Writes all events of a task whose chain holds.
    pub(super) fn add(&mut self, chain: &StoredChain) -> io::Result<()> {
        let Some(name) = &chain.name else { return Ok(()) };
        let mut events: Vec<&StoredEvent> = chain.events.iter().collect();
        events.sort_by_key(|event| event.number);
        for event in events {
            // A chain that holds is read as it was written.
            let Some(sealed) = read_sealed(event, name) else { return Err(unreadable(event)) };
            let item = ReplayItem::Event(Box::new(sealed));
            self.counts.count(&item);
            self.write(&ExportLine::Item(item).into_json())?;
        }
        Ok(())
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        for part in [line.as_bytes(), b"\n"] {
            self.digest.add(part);
            self.file.write_all(part)?;
        }
        self.counts.lines += 1;
        Ok(())
    }

    /// Returns when all lines are on the disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()
    }

    /// Writes the last line, which says that the archive is whole.
    pub fn finish(mut self) -> io::Result<ExportCounts> {
        let counts = self.counts;
        self.write(&ExportLine::End(counts, self.digest.hash()).into_json())?;
        self.sync()?;
        Ok(counts)
    }
}

/// Of a line that was being written when a run was killed, a part may be there.
fn begins_with(line: &[u8], beginning: &[u8]) -> bool {
    let is_whole = line.last() == Some(&b'\n');
    line.starts_with(beginning) || (!is_whole && beginning.starts_with(line))
}

fn is_header(line: &[u8]) -> bool {
    std::str::from_utf8(line).is_ok_and(|line| ExportHeader::read(line).is_ok())
}

/// Compares the end line with what comes before it: a new end line would give a changed archive a digest that fits.
fn is_end_of(line: &[u8], counts: ExportCounts, digest: &LinesDigest) -> io::Result<()> {
    let read = std::str::from_utf8(line).map_err(|error| error.to_string()).and_then(ExportLine::read);
    match read {
        Ok(ExportLine::End(said, hash)) if said == counts && hash == digest.hash() => Ok(()),
        Ok(_) => Err(changed(
            &counts,
            "is the end line, and its counts or its SHA-256 are not those of the lines before it",
        )),
        Err(words) => Err(changed(&counts, &format!("can't be read: {words}"))),
    }
}

fn busy() -> io::Error {
    let words = "another run is writing it; wait until that has ended, or give another file";
    io::Error::new(io::ErrorKind::ResourceBusy, words)
}

fn foreign() -> io::Error {
    let words = "the file exists and is not an archive of pruned tasks; give another file";
    io::Error::new(io::ErrorKind::InvalidInput, words)
}

/// Says what is wrong with the line behind these.
fn changed(before: &ExportCounts, what: &str) -> io::Error {
    let words = format!(
        "line {} {what}: the archive was changed since it was written, and is left as it is; give another file, and put a copy of \
         this one back",
        before.lines + 1
    );
    io::Error::new(io::ErrorKind::InvalidData, words)
}

fn unreadable(event: &StoredEvent) -> io::Error {
    let words = format!("event {} of the task is not as it was written", event.number);
    io::Error::new(io::ErrorKind::InvalidData, words)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tenure_core::id::{Namespace, TaskId};

    use super::*;

    fn chain(id: &str) -> StoredChain {
        let name = (Namespace::new("default").expect("a name"), TaskId::new(id).expect("a name"));
        let event = StoredEvent {
            order: 1,
            number: 1,
            at: 0,
            actor: "w".to_owned(),
            kind: "replanned".to_owned(),
            data: "{}".to_owned(),
            hash: vec![7; 32],
        };
        let mut chain = StoredChain::without_task(1, Some((name.0, name.1.into())));
        chain.events.push(event);
        chain
    }

    #[test]
    fn an_archive_that_a_killed_run_left_is_continued_as_if_it_had_not_been_killed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (whole, torn) = (folder.path().join("whole"), folder.path().join("torn"));
        for path in [&whole, &torn] {
            let mut archive = Archive::open(path, Time::from_micros(0)).expect("opens");
            archive.add(&chain("a")).expect("written");
            archive.sync().expect("synced");
            if path == &torn {
                drop(archive);
                let mut file = OpenOptions::new().append(true).open(path).expect("there");
                file.write_all(b"{\"event\":{\"namesp").expect("written");
                archive = Archive::open(path, Time::from_micros(9)).expect("opens");
            }
            archive.add(&chain("b")).expect("written");
            assert_eq!(archive.finish().expect("finished").events, 2);
        }
        let read = |path| std::fs::read_to_string(path).expect("text");
        assert_eq!(read(&whole), read(&torn));
        assert_eq!(read(&whole).lines().count(), 4);
        let mut again = Archive::open(&whole, Time::from_micros(9)).expect("an ended one is continued, too");
        again.add(&chain("c")).expect("written");
        assert_eq!(again.finish().expect("finished").events, 3);
    }

    #[test]
    fn of_two_runs_at_once_the_second_is_refused_and_writes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pruned");
        let mut first = Archive::open(&path, Time::from_micros(0)).expect("opens");
        first.add(&chain("a")).expect("written");
        first.sync().expect("synced");
        let before = std::fs::read(&path).expect("there");
        let refused = Archive::open(&path, Time::from_micros(0)).err().expect("refused").to_string();
        assert!(refused.contains("another run is writing it; wait"), "{refused}");
        assert_eq!(std::fs::read(&path).expect("there"), before);
        assert_eq!(first.finish().expect("finished").events, 1);
        let mut second = Archive::open(&path, Time::from_micros(0)).expect("the first has ended");
        second.add(&chain("b")).expect("written");
        assert_eq!(second.finish().expect("finished").events, 2);
    }

    #[test]
    fn an_archive_is_read_by_its_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pruned");
        Archive::open(&path, Time::from_micros(0)).expect("opens").finish().expect("finished");
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn an_archive_that_was_changed_is_left_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pruned");
        let mut archive = Archive::open(&path, Time::from_micros(0)).expect("opens");
        for id in ["a", "b"] {
            archive.add(&chain(id)).expect("written");
        }
        archive.finish().expect("finished");
        let text = std::fs::read_to_string(&path).expect("text");
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let cases = [
            (text.replacen("\"w\"", "\"v\"", 1), "line 4 is the end line, and its counts or its SHA-256"),
            (
                [lines[0], lines[1], lines[3]].concat(),
                "line 3 is the end line, and its counts or its SHA-256",
            ),
            (text.repeat(2), "line 5 comes behind the end line"),
            (format!("{text}x"), "line 5 comes behind the end line"),
            ([&text, "\0\0"].concat(), "line 5 comes behind the end line"),
            (
                [lines[0], lines[1], "{\"token\":{}}\n"].concat(),
                "line 3 is neither an event nor the end line",
            ),
            ([lines[0], lines[1], "letters"].concat(), "line 3 is neither an event nor the end line"),
            ([lines[0], lines[1], "\n"].concat(), "line 3 is neither an event nor the end line"),
            ([lines[0], lines[1], "{\"end\":{}}\n"].concat(), "line 3 can't be read: "),
        ];
        for (changed, words) in cases {
            std::fs::write(&path, &changed).expect("written");
            let refused = Archive::open(&path, Time::from_micros(0)).err().expect(words).to_string();
            assert!(refused.starts_with(words), "{refused}");
            assert_eq!(std::fs::read_to_string(&path).expect("text"), changed);
        }
    }

    #[test]
    fn zeros_that_a_loss_of_power_left_are_cut_off() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pruned");
        let mut archive = Archive::open(&path, Time::from_micros(0)).expect("opens");
        archive.add(&chain("a")).expect("written");
        archive.sync().expect("synced");
        drop(archive);
        let mut file = OpenOptions::new().append(true).open(&path).expect("there");
        file.write_all(&[0; 99]).expect("written");
        let archive = Archive::open(&path, Time::from_micros(0)).expect("continued");
        assert_eq!(archive.finish().expect("finished").events, 1);
        assert!(!std::fs::read_to_string(&path).expect("text").contains('\0'));
    }

    #[test]
    fn a_file_that_is_no_archive_is_left_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let export = "{\"tenure_export\":1,\"at\":\"2026-12-01T09:00:00.000000Z\",\"by\":\"tenure\",\"epoch_floor\":0,\"events\":0}\n";
        let headless = "{\"tenure_export\":1,\"archive\":true,\"letters\":1}\n";
        for text in ["letters\n", "letters", "{\"tenure_export\":2,", "{\"tenure\n", "\n", export, headless] {
            let path = folder.path().join("other");
            std::fs::write(&path, text).expect("written");
            assert!(Archive::open(&path, Time::from_micros(0)).is_err(), "{text}");
            assert_eq!(std::fs::read_to_string(&path).expect("text"), text);
        }
    }
}
