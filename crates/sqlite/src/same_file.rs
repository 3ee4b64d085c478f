//! Checks that the file is still the one that was opened. If a file is removed or replaced while a process has it
//! open, the process can still write to it, but everything written is lost when the process ends. A file that was cut
//! has lost pages.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use tenure_store::Error;

/// The file that was opened.
pub(crate) struct SameFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    /// Its greatest length so far. SQLite shortens it only when it is compacted.
    longest: AtomicU64,
}

impl SameFile {
    /// The file that is there now.
    pub(crate) fn at(path: &Path) -> io::Result<SameFile> {
        let found = fs::metadata(path)?;
        let (device, inode) = (found.dev(), found.ino());
        Ok(SameFile { path: path.to_owned(), device, inode, longest: AtomicU64::new(found.len()) })
    }

    /// Checks that it is still there and complete.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let found = match fs::metadata(&self.path) {
            Ok(found) => found,
            Err(error) => return Err(self.gone(&format!("is gone ({error})"))),
        };
        if (found.dev(), found.ino()) != (self.device, self.inode) {
            return Err(self.gone("was replaced by another file"));
        }
        let longest = self.longest.fetch_max(found.len(), Ordering::Relaxed);
        if found.len() >= longest {
            return Ok(());
        }
        if self.has_all_pages(&found) {
            self.longest.store(found.len(), Ordering::Relaxed);
            return Ok(());
        }
        let (path, bytes) = (self.path.display(), found.len());
        Err(Error::Corrupt(format!(
            "{path} shrank from {longest} to {bytes} bytes while it was open: tasks are lost. Stop all programs that use it \
             and restore a copy"
        ).into()))
    }

    fn gone(&self, what: &str) -> Error {
        Error::Unavailable(format!(
            "{} {what}. Nothing was written, because it would be lost. Put the original file back, or restart \
             this process",
            self.path.display()
        ).into())
    }

    /// Whether it is as long as its header says.
    fn has_all_pages(&self, found: &Metadata) -> bool {
        // https://sqlite.org/fileformat2.html#the_database_header: the size of a page at 16, of the database in pages at 28.
        let mut head = [0_u8; 32];
        let read = File::open(&self.path).and_then(|mut file| file.read_exact(&mut head));
        if read.is_err() || !head.starts_with(b"SQLite format 3\0") {
            return false;
        }
        let page = match u16::from_be_bytes([head[16], head[17]]) {
            1 => 65_536,
            bytes => u64::from(bytes),
        };
        let pages = u32::from_be_bytes([head[28], head[29], head[30], head[31]]);
        found.len() >= page * u64::from(pages)
    }
}
