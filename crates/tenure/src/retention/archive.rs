//! The archive of pruned tasks: their events in the form of an export, so that an import reads it. It is continued where a run that
//! was killed has left it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use tenure_api::{to_json, wire};
use tenure_core::chain::Hash;
use tenure_core::id::{Namespace, TaskId};
use tenure_core::time::Time;
use tenure_store::stored::{StoredChain, StoredEvent};

/// The version of the format, as an export has it.
const FORMAT: u32 = 1;
/// How every archive begins.
const BEGINNING: &str = "{\"tenure_export\":1,";
/// How its last line begins.
const END: &str = "{\"end\":";

/// How many lines an archive has, by sort. Those of an export that an archive never has are zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ArchiveCounts {
    /// All lines before the end, the first one too.
    pub lines: u64,
    /// Events.
    pub events: u64,
    leases: u64,
    requests: u64,
    tokens: u64,
}

#[derive(Serialize)]
struct ArchiveHeader {
    tenure_export: u32,
    #[serde(with = "wire")]
    at: Time,
    by: &'static str,
    epoch_floor: u64,
    events: u64,
}

#[derive(Serialize)]
struct EventLine<'a> {
    event: ArchivedEvent<'a>,
}

#[derive(Serialize)]
struct ArchivedEvent<'a> {
    namespace: &'a str,
    task: &'a str,
    number: i64,
    #[serde(with = "wire")]
    at: Time,
    #[serde(rename = "type")]
    kind: &'a str,
    actor: &'a str,
    data: &'a RawValue,
    hash: String,
}

#[derive(Serialize)]
struct EndLine {
    end: ArchiveEnd,
}

#[derive(Serialize)]
struct ArchiveEnd {
    counts: ArchiveCounts,
    #[serde(with = "wire")]
    sha256: Hash,
}

/// A file that pruned tasks are written to before they are deleted.
pub struct Archive {
    file: BufWriter<File>,
    digest: Sha256,
    counts: ArchiveCounts,
}

impl Archive {
    /// Creates the file; an archive that is there is continued behind its last whole line. Another file is refused.
    pub fn open(path: &Path, at: Time) -> io::Result<Archive> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut archive = Archive::read(&mut file)?;
        if archive.counts.lines == 0 {
            let by = concat!("tenure ", env!("CARGO_PKG_VERSION"));
            archive.write(&to_json(&ArchiveHeader {
                tenure_export: FORMAT,
                at,
                by,
                epoch_floor: 0,
                events: 0,
            }))?;
            archive.sync()?;
            // The name of a new file is an entry of its folder, which is durable only after the folder was synced, too.
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        Ok(archive)
    }

    /// Reads what is there, and cuts off an unfinished last line and the end line: a step that was not finished deleted nothing.
    fn read(file: &mut File) -> io::Result<Archive> {
        let (mut digest, mut counts) = (Sha256::new(), ArchiveCounts::default());
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
            digest.update(&line);
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
            let line = event_line(name, event)?;
            self.write(&line)?;
            self.counts.events += 1;
        }
        Ok(())
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        for part in [line.as_bytes(), b"\n"] {
            self.digest.update(part);
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
    pub fn finish(mut self) -> io::Result<ArchiveCounts> {
        let (counts, sha256) = (self.counts, Hash(self.digest.clone().finalize().into()));
        self.write(&to_json(&EndLine { end: ArchiveEnd { counts, sha256 } }))?;
        self.sync()?;
        Ok(counts)
    }
}

fn foreign() -> io::Error {
    let words = "the file exists and is not an archive of Tenure; give another file";
    io::Error::new(io::ErrorKind::InvalidInput, words)
}

fn event_line((namespace, task): &(Namespace, TaskId), event: &StoredEvent) -> io::Result<String> {
    let data: &RawValue = serde_json::from_str(&event.data)?;
    let hash = <[u8; 32]>::try_from(event.hash.as_slice()).map(Hash);
    let hash =
        hash.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a stored hash does not have 32 bytes"))?;
    Ok(to_json(&EventLine {
        event: ArchivedEvent {
            namespace: namespace.as_str(),
            task: task.as_str(),
            number: event.number,
            at: Time::from_micros(event.at),
            kind: &event.kind,
            actor: &event.actor,
            data,
            hash: hash.to_string(),
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(id: &str) -> StoredChain {
        let name = (Namespace::new("default").expect("a name"), TaskId::new(id).expect("a name"));
        let event = StoredEvent {
            order: 1,
            number: 1,
            at: 0,
            actor: "w".to_owned(),
            kind: "created".to_owned(),
            data: "{}".to_owned(),
            hash: vec![7; 32],
        };
        let mut chain = StoredChain::without_task(1, Some(name));
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
