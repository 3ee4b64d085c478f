//! Opens a ledger: the store that a URL names, with the caller's clock, source of randomness and options.

use std::sync::Arc;

use tenure_core::refusal::Refusal;

use crate::clock::{Clock, SystemClock};
use crate::entropy::{Entropy, SystemEntropy};
use crate::error::Error;
use crate::ledger::Ledger;
use crate::store::memory::MemoryStore;
#[cfg(feature = "postgres")]
use crate::store::postgres::{PostgresOptions, PostgresStore};
#[cfg(feature = "remote")]
use crate::store::remote::{RemoteOptions, RemoteStore};
use crate::store::sqlite::{SqliteOptions, SqliteStore, Synchronous};
use crate::store::{IfMissing, SchemaState, Store};

/// Options for opening a store, besides its URL.
#[derive(Clone)]
#[must_use = "nothing is opened before `open`"]
pub struct LedgerBuilder {
    /// None: the store's own clock.
    clock: Option<Arc<dyn Clock>>,
    entropy: Arc<dyn Entropy>,
    missing: IfMissing,
    token: Option<BearerToken>,
}

/// The token for servers. It never appears in messages.
#[derive(Clone)]
#[cfg_attr(not(feature = "remote"), expect(dead_code, reason = "only servers ask for it"))]
struct BearerToken(String);

impl Default for LedgerBuilder {
    fn default() -> LedgerBuilder {
        LedgerBuilder {
            clock: None,
            entropy: Arc::new(SystemEntropy),
            missing: IfMissing::default(),
            token: None,
        }
    }
}

impl LedgerBuilder {
    /// The clock. By default it is the store's own: this machine's clock, or the database's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> LedgerBuilder {
        self.clock = Some(clock);
        self
    }

    /// The source of ids, jitter and secrets.
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> LedgerBuilder {
        self.entropy = entropy;
        self
    }

    /// What to do if the store does not exist.
    pub fn missing(mut self, missing: IfMissing) -> LedgerBuilder {
        self.missing = missing;
        self
    }

    /// The token for servers; other stores need none.
    pub fn token(mut self, token: &str) -> LedgerBuilder {
        self.token = Some(BearerToken(token.to_owned()));
        self
    }

    /// The state of the store at that URL, without changing it. For a server, only the server knows its
    /// store.
    pub async fn condition(self, url: &str) -> Result<SchemaState, Error> {
        match url.split_once(':') {
            Some(("sqlite", rest)) => SqliteStore::condition(sqlite_options(rest)?).await,
            #[cfg(feature = "postgres")]
            Some(("postgres" | "postgresql", _)) => PostgresStore::condition(PostgresOptions::new(url)).await,
            // Whatever else there is, is made or refused as it is opened.
            Some(_) | None => self.open(url).await.map(|_| SchemaState::Missing),
        }
    }

    /// Opens it.
    pub async fn open(self, url: &str) -> Result<Ledger, Error> {
        let store: Arc<dyn Store> = match url.split_once(':') {
            Some(("memory", "")) => Arc::new(MemoryStore::with_clock(system(self.clock))),
            Some(("sqlite", rest)) => {
                let (clock, missing) = (system(self.clock), self.missing);
                let options = SqliteOptions { clock, missing, ..sqlite_options(rest)? };
                Arc::new(SqliteStore::open(options).await?)
            }
            #[cfg(feature = "postgres")]
            Some(("postgres" | "postgresql", _)) => {
                PostgresStore::open(PostgresOptions {
                    clock: self.clock,
                    missing: self.missing,
                    ..PostgresOptions::new(url)
                })
                .await?
            }
            #[cfg(not(feature = "postgres"))]
            Some(("postgres" | "postgresql", _)) => {
                let limit =
                    "this program was built without PostgreSQL support; build it with the feature `postgres`";
                return Err(Refusal::invalid("store", limit).into());
            }
            #[cfg(feature = "remote")]
            Some(("http" | "https", _)) => {
                let token = self.token.map(|BearerToken(token)| token);
                let entropy = Arc::clone(&self.entropy);
                Arc::new(RemoteStore::open(RemoteOptions { url: url.to_owned(), token, entropy })?)
            }
            #[cfg(not(feature = "remote"))]
            Some(("http" | "https", _)) => {
                let limit =
                    "this program was built without support for servers; build it with the feature `remote`";
                return Err(Refusal::invalid("store", limit).into());
            }
            Some(_) | None => {
                let forms = "use memory:, sqlite:PATH, postgres://HOST/DATABASE or http://HOST:PORT";
                return Err(Refusal::invalid(
                    "store",
                    format_args!("`{}` is not a store URL; {forms}", shown(url)),
                )
                .into());
            }
        };
        Ok(Ledger { entropy: self.entropy, ..Ledger::with_store(store) })
    }
}

/// The store's URL for people, without the password.
pub fn shown(url: &str) -> String {
    #[cfg(feature = "postgres")]
    if let Some(("postgres" | "postgresql", _)) = url.split_once(':') {
        return crate::store::postgres::shown(url);
    }
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, place))) => format!("{scheme}://…@{place}"),
        _ => url.to_owned(),
    }
}

/// The machine's clock, if none was given.
fn system(clock: Option<Arc<dyn Clock>>) -> Arc<dyn Clock> {
    clock.unwrap_or_else(|| Arc::new(SystemClock::default()))
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
            _ => {
                return Err(invalid(format!(
                    "unknown option `{pair}`; use synchronous=full or synchronous=normal"
                )));
            }
        };
    }
    Ok(options)
}
