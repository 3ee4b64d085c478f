//! Opening a ledger: the store that a URL names, with a clock, chance and manners of the caller's choice.

use std::sync::Arc;

use tenure_core::refusal::Refusal;

use crate::chance::{Chance, SystemChance};
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::ledger::Ledger;
use crate::store::Store;
use crate::store::memory::MemoryStore;
use crate::store::sqlite::{Missing, SqliteOptions, SqliteStore, Synchronous};

/// How a store is opened, beyond its URL.
#[derive(Clone)]
#[must_use = "nothing is opened before `open`"]
pub struct Opener {
    clock: Arc<dyn Clock>,
    chance: Arc<dyn Chance>,
    missing: Missing,
}

impl Default for Opener {
    fn default() -> Opener {
        Opener {
            clock: Arc::new(SystemClock::default()),
            chance: Arc::new(SystemChance),
            missing: Missing::default(),
        }
    }
}

impl Opener {
    /// Where the time comes from.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Opener {
        self.clock = clock;
        self
    }

    /// Where made names and jitter come from.
    pub fn chance(mut self, chance: Arc<dyn Chance>) -> Opener {
        self.chance = chance;
        self
    }

    /// What to do where the store is missing.
    pub fn missing(mut self, missing: Missing) -> Opener {
        self.missing = missing;
        self
    }

    /// Opens it.
    pub async fn open(self, url: &str) -> Result<Ledger, Error> {
        let store: Arc<dyn Store> = match url.split_once(':') {
            Some(("memory", "")) => Arc::new(MemoryStore::with_clock(self.clock)),
            Some(("sqlite", rest)) => {
                let options =
                    SqliteOptions { clock: self.clock, missing: self.missing, ..sqlite_options(rest)? };
                Arc::new(SqliteStore::open(options).await?)
            }
            Some(_) | None => {
                let forms = "give memory:, or sqlite: and the path of a file";
                return Err(Refusal::invalid("store", format_args!("`{url}` is no store; {forms}")).into());
            }
        };
        Ok(Ledger { chance: self.chance, ..Ledger::with_store(store) })
    }
}

fn sqlite_options(rest: &str) -> Result<SqliteOptions, Error> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = path.strip_prefix("//").unwrap_or(path);
    let invalid = |limit: String| Error::from(Refusal::invalid("store", limit));
    if path.is_empty() {
        return Err(invalid("`sqlite:` needs the path of a file".into()));
    }
    let mut options = SqliteOptions::new(path);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        options.synchronous = match pair {
            "synchronous=full" => Synchronous::Full,
            "synchronous=normal" => Synchronous::Normal,
            _ => return Err(invalid(format!("`{pair}` is no option; there is synchronous=full or normal"))),
        };
    }
    Ok(options)
}
