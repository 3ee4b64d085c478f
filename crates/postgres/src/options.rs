//! How a database is opened.

use std::sync::Arc;
use std::time::Duration;

use tenure_clock::Clock;
use tenure_store::backup::IfMarked;
use tenure_store::committer::Limits;
use tenure_store::{IfMissing, StoreAccess};

/// Options for opening a database.
#[derive(Clone)]
#[non_exhaustive]
pub struct PostgresOptions {
    /// The URL: `postgres://user@host:5432/database?schema=tenure`. Missing parts have libpq's defaults.
    pub url: String,
    /// A clock instead of the database's own: for tests.
    pub clock: Option<Arc<dyn Clock>>,
    /// What to do where there is no store in the schema.
    pub missing: IfMissing,
    /// What it is opened for.
    pub access: StoreAccess,
    /// Whether a database into which a backup is being restored is opened.
    #[doc(hidden)]
    pub marked: IfMarked,
    /// The maximum number of concurrent write transactions of this process, each on its own connection.
    pub committers: usize,
    /// The maximum number of concurrent reads, each on its own connection.
    pub readers: usize,
    /// How long a command waits for its turn before it is answered `unavailable`.
    pub wait_max: Duration,
}

tenure_core::with_changes!(PostgresOptions);

impl PostgresOptions {
    /// The database with everything as it is by default.
    pub fn new(url: impl Into<String>) -> PostgresOptions {
        PostgresOptions {
            url: url.into(),
            clock: None,
            missing: IfMissing::default(),
            access: StoreAccess::default(),
            marked: IfMarked::default(),
            committers: 2,
            readers: 8,
            wait_max: Limits::default().wait_max,
        }
    }
}
