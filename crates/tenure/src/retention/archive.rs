//! The archive of pruned tasks: their events in the form of an export, so that an import reads it. It is continued where a run that
//! was killed has left it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use tenure_core::id::Epoch;
use tenure_core::time::Time;
use tenure_store::stored::{StoredChain, StoredEvent};
use tenure_store::transfer::{EXPORT_FORMAT, ExportCounts, ExportHeader, ExportLine, ReplayItem};

use crate::audit::read_sealed;
use crate::transfer::{LinesDigest, WRITTEN_BY};

/// How every archive begins.
const BEGINNING: &str = "{\"tenure_export\":1,";
/// How its last line begins.
const END: &str = "{\"end\":";

/// A file that pruned tasks are written to before they are deleted.
pub struct Archive {
    file: BufWriter<File>,
    digest: LinesDigest,
    counts: ExportCounts,
}

impl Archive {
    /// Creates the file; an archive that is there is continued behind its last whole line. Another file is refused.
    pub fn open(path: &Path, at: Time) -> io::Result<Archive> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut archive = Archive::read(&mut file)?;
        if archive.counts.lines == 0 {
            let header = ExportHeader {
                tenure_export: EXPORT_FORMAT,
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

    /// Reads what is there, and cuts off an unfinished last line and the end line: a step that was not finished deleted nothing.
    fn read(file: &mut File) -> io::Result<Archive> {
        let (mut digest, mut counts) = (LinesDigest::default(), ExportCounts::default());
        let (mut kept, mut line) = (0_u64, Vec::new());
        let mut reader = BufReader::new(&mut *file);
        loop {
            line.clear();
            let length = reader.read_until(b'\n', &mut line)?;
            let is_whole = line.last() == Some(&b'\n');
            // Of an archive that was just begun a part of its first line may be there.
            let shown = line.get(..BEGINNING.len()).unwrap_or(&line);
            let begins =
                BEGINNING.as_bytes().starts_with(shown) && (!is_whole || shown.len() == BEGINNING.len());
            if kept == 0 && !begins {
                return Err(foreign());
            }
            if !is_whole || line.starts_with(END.as_bytes()) {
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

fn foreign() -> io::Error {
    let words = "the file exists and is not an archive of Tenure; give another file";
    io::Error::new(io::ErrorKind::InvalidInput, words)
}

fn unreadable(event: &StoredEvent) -> io::Error {
    let words = format!("event {} of the task is not as it was written", event.number);
    io::Error::new(io::ErrorKind::InvalidData, words)
}

#[cfg(test)]
mod tests {
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
    fn a_file_that_is_no_archive_is_left_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        for text in ["letters\n", "letters", "{\"tenure_export\":2,", "{\"tenure\n", "\n"] {
            let path = folder.path().join("other");
            std::fs::write(&path, text).expect("written");
            assert!(Archive::open(&path, Time::from_micros(0)).is_err(), "{text}");
            assert_eq!(std::fs::read_to_string(&path).expect("text"), text);
        }
    }
}
