//! How a file is opened: the options, and what of them a URL says.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tenure_clock::{Clock, SystemClock};
use tenure_core::refusal::Refusal;
use tenure_store::backup::IfMarked;
use tenure_store::committer::Limits;
use tenure_store::{Error, IfMissing, StoreAccess};

use crate::open::Synchronous;

/// How a file is opened.
#[derive(Clone)]
#[non_exhaustive]
pub struct SqliteOptions {
    /// The file; created if it does not exist.
    pub path: PathBuf,
    /// When an answered write is durable.
    pub synchronous: Synchronous,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// How long a command waits for the writer lock before it is answered `unavailable`.
    pub wait_max: Duration,
    /// What to do if the file does not exist.
    pub missing: IfMissing,
    /// What it is opened for.
    pub access: StoreAccess,
    /// Whether a backup is opened to write.
    #[doc(hidden)]
    pub marked: IfMarked,
}

tenure_core::with_changes!(SqliteOptions);

impl SqliteOptions {
    /// The file with the default options.
    pub fn new(path: impl Into<PathBuf>) -> SqliteOptions {
        SqliteOptions {
            path: path.into(),
            synchronous: Synchronous::default(),
            clock: Arc::new(SystemClock::default()),
            wait_max: Limits::default().wait_max,
            missing: IfMissing::default(),
            access: StoreAccess::default(),
            marked: IfMarked::default(),
        }
    }

    /// The options that a URL names: `sqlite:tasks.db`, `sqlite:tasks.db?synchronous=normal`.
    pub fn from_url(url: &str) -> Result<SqliteOptions, Error> {
        let invalid = |limit: String| Error::from(Refusal::invalid("store", limit));
        let rest = url.strip_prefix("sqlite:");
        let rest = rest.ok_or_else(|| invalid("the URL of a file begins with `sqlite:`".into()))?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() {
            return Err(invalid("`sqlite:` needs the path of a file".into()));
        }
        let mut options = SqliteOptions::new(path);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            options.synchronous = match pair {
                "synchronous=full" => Synchronous::Full,
                "synchronous=normal" => Synchronous::Normal,
                _ => {
                    return Err(invalid(format!(
                        "unknown option `{pair}`; use synchronous=full or synchronous=normal"
                    )));
                }
            };
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_the_file_and_how_durable_it_is() {
        let read = |url| SqliteOptions::from_url(url);
        let options = read("sqlite:///var/t.db?synchronous=normal").expect("a URL");
        assert_eq!((options.path, options.synchronous), (PathBuf::from("/var/t.db"), Synchronous::Normal));
        assert_eq!(read("sqlite:t.db").expect("a URL").synchronous, Synchronous::Full);
        for wrong in ["sqlite:", "sqlite:t.db?sync=off", "postgres://h/d", "t.db"] {
            let refused = read(wrong).err().expect(wrong);
            assert_eq!(refused.refusal().and_then(|refusal| refusal.field), Some("store"), "{wrong}");
        }
    }
}
