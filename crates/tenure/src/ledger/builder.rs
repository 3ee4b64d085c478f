//! Opens a ledger: the store that a URL names, with the caller's clock, source of randomness and options.

use std::sync::Arc;

use tenure_clock::{Clock, SystemClock};
use tenure_core::refusal::Refusal;
#[cfg(feature = "postgres")]
use tenure_postgres::{PostgresOptions, PostgresStore};
#[cfg(feature = "remote")]
use tenure_remote::{RemoteOptions, RemoteStore};
#[cfg(feature = "sqlite")]
use tenure_sqlite::{SqliteOptions, SqliteStore};
use tenure_store::Error;
use tenure_store::backup::IfMarked;
use tenure_store::entropy::{Entropy, SystemEntropy};
use tenure_store::memory::MemoryStore;
use tenure_store::{IfMissing, SchemaState, Store, StoreAccess};

use crate::ledger::Ledger;

/// Options for opening a store, besides its URL.
#[derive(Clone)]
#[must_use = "nothing is opened before `open`"]
pub struct LedgerBuilder {
    /// None: the store's own clock.
    clock: Option<Arc<dyn Clock>>,
    entropy: Arc<dyn Entropy>,
    missing: IfMissing,
    access: StoreAccess,
    #[cfg_attr(
        not(any(feature = "sqlite", feature = "postgres")),
        expect(dead_code, reason = "only files and databases are marked")
    )]
    marked: IfMarked,
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
            access: StoreAccess::default(),
            marked: IfMarked::default(),
            token: None,
        }
    }
}

impl Ledger {
    /// Opens a store by its URL: `memory:`; with the feature `sqlite`, which is on by default, `sqlite:tasks.db` and
    /// `sqlite:tasks.db?synchronous=normal`; with the feature `postgres` also `postgres://user@host/database?schema=tenure`; missing parts have libpq's
    /// defaults. With the feature `remote` also `http://a:7117,b:7117`.
    pub async fn open(url: &str) -> Result<Ledger, Error> {
        Ledger::builder().open(url).await
    }

    /// A builder, for more options than the URL.
    pub fn builder() -> LedgerBuilder {
        LedgerBuilder::default()
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

    /// What a file or a database is opened for. A store in memory and one behind a server have nothing to prepare; they are
    /// opened as always.
    pub fn access(mut self, access: StoreAccess) -> LedgerBuilder {
        self.access = access;
        self
    }

    /// Whether a store is opened in which nobody may work: a restore does that.
    #[cfg(feature = "sqlite")]
    pub(crate) fn if_marked(mut self, marked: IfMarked) -> LedgerBuilder {
        self.marked = marked;
        self
    }

    /// The clock of files: the one that was given, or this machine's.
    #[cfg(feature = "sqlite")]
    pub(crate) fn clock_of_files(&self) -> Arc<dyn Clock> {
        system(self.clock.clone())
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
            #[cfg(feature = "sqlite")]
            Some(("sqlite", _)) => SqliteStore::condition(SqliteOptions::from_url(url)?).await,
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
            #[cfg(feature = "sqlite")]
            Some(("sqlite", _)) => {
                let (clock, missing, access) = (system(self.clock), self.missing, self.access);
                let marked = self.marked;
                let options = SqliteOptions::from_url(url)?.with(|options| {
                    options.clock = clock;
                    options.missing = missing;
                    options.access = access;
                    options.marked = marked;
                });
                Arc::new(SqliteStore::open(options).await?)
            }
            #[cfg(feature = "postgres")]
            Some(("postgres" | "postgresql", _)) => {
                PostgresStore::open(PostgresOptions::new(url).with(|options| {
                    options.clock = self.clock;
                    options.missing = self.missing;
                    options.access = self.access;
                    options.marked = self.marked;
                }))
                .await?
            }
            #[cfg(feature = "remote")]
            Some(("http" | "https", _)) => {
                let token = self.token.map(|BearerToken(token)| token);
                let entropy = Arc::clone(&self.entropy);
                Arc::new(RemoteStore::open(RemoteOptions::new(url).with(|options| {
                    options.token = token;
                    options.entropy = entropy;
                }))?)
            }
            Some((scheme, _)) if let Some(feature) = left_out(scheme) => {
                let limit = format!(
                    "this program was built without support for {scheme}: URLs; build it with the feature `{feature}`"
                );
                return Err(Refusal::invalid("store", limit).into());
            }
            Some(_) | None => {
                let forms = "use memory:, sqlite:PATH, postgres://HOST/DATABASE or http://HOST:PORT";
                return Err(Refusal::invalid(
                    "store",
                    format_args!("`{}` is not a store URL; {forms}", url_without_secrets(url)),
                )
                .into());
            }
        };
        Ok(Ledger { entropy: self.entropy, ..Ledger::with_store(store) })
    }
}

/// The feature with which this program could open URLs of that scheme, if it was built without it.
fn left_out(scheme: &str) -> Option<&'static str> {
    let (feature, is_there) = match scheme {
        "sqlite" => ("sqlite", cfg!(feature = "sqlite")),
        "postgres" | "postgresql" => ("postgres", cfg!(feature = "postgres")),
        "http" | "https" => ("remote", cfg!(feature = "remote")),
        _ => return None,
    };
    Some(feature).filter(|_| !is_there)
}

/// The store's URL for people, without the password.
pub fn url_without_secrets(url: &str) -> String {
    #[cfg(feature = "postgres")]
    if let Some(("postgres" | "postgresql", _)) = url.split_once(':') {
        return tenure_postgres::url_without_secrets(url);
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
