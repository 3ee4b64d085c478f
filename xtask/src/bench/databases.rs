//! PostgreSQL for the benchmark: a server of the user's, or one that is started for this run and syncs every commit to the
//! disk. `psql` makes the databases, so that this crate needs no client library.

use std::path::{Path, PathBuf};

use crate::postgres::{self, Guardian};
use crate::run::{self, Result};

/// What a server of this run has beside the settings of servers for tests. Each peer may open as many connections as it has
/// callers; a checkpoint in the middle of a short measurement would be chance.
const SETTINGS: &[&str] = &[
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "shared_buffers=1GB",
    "max_wal_size=8GB",
    "checkpoint_timeout=30min",
    "max_connections=600",
];

/// What the report says about a server.
const SHOWN: &str = "select string_agg(name || ' ' || current_setting(name), ', ' order by name) from pg_settings \
    where name in ('fsync', 'synchronous_commit', 'full_page_writes', 'shared_buffers', 'max_wal_size')";

/// A server in which databases can be made.
pub(super) struct Databases {
    psql: PathBuf,
    /// Of a database that is there.
    url: String,
    /// Of the server.
    pub(super) version: String,
    pub(super) settings: String,
    _guardian: Option<Guardian>,
}

impl Databases {
    /// On the server of that URL, or on a new one whose files are below `folder`. An error says why there is none.
    pub(super) fn open(root: &Path, url: Option<&str>, folder: &Path) -> Result<Databases> {
        let psql = postgres::program("psql").ok_or("PostgreSQL's program psql was not found")?;
        let (url, guardian) = match url {
            Some(url) => (url.to_owned(), None),
            None => {
                println!("builds tenure-guardian, and starts PostgreSQL with it");
                let variables = [("TMPDIR", folder.display().to_string())];
                let guardian = Guardian::start(root, SETTINGS, &variables)?;
                let url = format!("postgres://postgres@127.0.0.1:{}/postgres", guardian.port()?);
                (url, Some(guardian))
            }
        };
        let mut databases =
            Databases { psql, url, version: String::new(), settings: String::new(), _guardian: guardian };
        databases.version = databases.execute("show server_version")?;
        databases.settings = databases.execute(SHOWN)?;
        Ok(databases)
    }

    pub(super) fn create(&self, name: &str) -> Result<()> {
        self.execute(&format!("create database {name}"))?;
        Ok(())
    }

    /// Also when the program has left connections to it.
    pub(super) fn drop_database(&self, name: &str) -> Result<()> {
        self.execute(&format!("drop database if exists {name} with (force)"))?;
        Ok(())
    }

    pub(super) fn url(&self, name: &str) -> String {
        with_database(&self.url, name)
    }

    /// What psql prints. The URL is not repeated in an error: it may have a password.
    fn execute(&self, sql: &str) -> Result<String> {
        let options = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &self.url, "-c", sql];
        let output = run::command(Path::new("."), &self.psql.display().to_string(), &options).output()?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            false => Err(format!("psql: {}", String::from_utf8_lossy(&output.stderr).trim()).into()),
        }
    }
}

/// The same server, and another database.
fn with_database(url: &str, name: &str) -> String {
    let (address, options) = match url.split_once('?') {
        Some((address, options)) => (address, format!("?{options}")),
        None => (url, String::new()),
    };
    let after_scheme = address.find("://").map_or(0, |at| at + 3);
    let server = match address[after_scheme..].find('/') {
        Some(at) => &address[..after_scheme + at],
        None => address,
    };
    format!("{server}/{name}{options}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_of_a_url_is_replaced_and_the_rest_stays() {
        for (url, expected) in [
            ("postgres://a:b@h:1/c", "postgres://a:b@h:1/n"),
            ("postgres://h", "postgres://h/n"),
            ("postgres://h/", "postgres://h/n"),
            ("postgresql://h:1/c?sslmode=require", "postgresql://h:1/n?sslmode=require"),
            ("postgres://h?x=/y", "postgres://h/n?x=/y"),
        ] {
            assert_eq!(with_database(url, "n"), expected);
        }
    }
}
