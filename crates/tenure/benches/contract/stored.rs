//! The store that is measured, and what is in it afterwards, by SQL of this program's own: neither Tenure nor the bare engine is
//! asked what it did.

use std::collections::HashMap;
use std::path::PathBuf;

use rusqlite::{Connection, OpenFlags, params};
use tokio_postgres::Client;

use super::arguments::Side;
use crate::SCHEMA;
use crate::bare::postgres::{connect, runtime};

pub(crate) enum Store {
    /// For an SQLite file.
    Folder(PathBuf),
    /// The URL of a PostgreSQL database.
    Server(String),
}

impl Store {
    pub(crate) fn file(&self) -> PathBuf {
        match self {
            Store::Folder(folder) => folder.join("tasks.db"),
            Store::Server(_) => unreachable!("a server has no file"),
        }
    }

    /// As the ledger opens it.
    pub(crate) fn url(&self) -> String {
        match self {
            Store::Folder(_) => format!("sqlite:{}", self.file().display()),
            Store::Server(url) => url.clone(),
        }
    }

    pub(crate) fn version(&self, side: Side) -> String {
        match (side, self) {
            (Side::Tenure, _) => env!("CARGO_PKG_VERSION").to_owned(),
            (Side::Bare, Store::Folder(_)) => rusqlite::version().to_owned(),
            (Side::Bare, Store::Server(url)) => {
                on_server(url, async |client| show(&client, "server_version").await)
            }
        }
    }

    /// Nothing is measured on a server that loses commits, or beside what is there already.
    pub(crate) fn expect_new_and_durable(&self) {
        let Store::Server(url) = self else { return };
        on_server(url, async |client| {
            for setting in ["fsync", "synchronous_commit"] {
                let value = show(&client, setting).await;
                assert!(value == "on", "commits are not durable: {setting} is {value}");
            }
            let there = client.query("select from pg_namespace where nspname = $1", &[&SCHEMA]).await;
            let is_new = there.expect("schemas").is_empty();
            assert!(is_new, "the database has a schema `{SCHEMA}` already: give a new one");
        });
    }

    /// What makes a commit durable. PostgreSQL's settings were checked before.
    pub(crate) fn durable_by(&self, side: Side) -> String {
        let by = match (self, side) {
            (Store::Server(_), _) => return "fsync on, synchronous_commit on".to_owned(),
            (Store::Folder(_), Side::Tenure) => "as Tenure sets it by default",
            (Store::Folder(_), Side::Bare) => "set on the connection that commits",
        };
        let mode: String =
            self.open().query_row("pragma journal_mode", [], |row| row.get(0)).expect("a mode");
        assert!(mode == "wal", "commits are not durable as was expected: journal_mode is {mode}");
        format!("WAL, synchronous=FULL, {by}")
    }

    /// Says what is there.
    pub(crate) fn expect_completed(&self, expected: usize) -> String {
        const COUNT: &str = "select count(*) from tasks where state = 'completed'";
        let stored: i64 = match self {
            Store::Folder(_) => self.open().query_row(COUNT, [], |row| row.get(0)).expect("a count"),
            Store::Server(url) => {
                on_server(url, async |client| client.query_one(COUNT, &[]).await.expect("a count").get(0))
            }
        };
        assert!(stored == expected as i64, "completed tasks: {stored} are stored, {expected} were expected");
        format!("{stored} completed tasks are stored, with those from before the clock started")
    }

    /// Says what is there, for leases with the ends that their last renewals answered.
    pub(crate) fn expect_renewed(&self, expected: &[(String, i64)]) -> String {
        let stored = match self {
            Store::Folder(_) => self.lease_ends_in_file(expected),
            Store::Server(url) => lease_ends_on_server(url, expected),
        };
        for (task, expires_at) in expected {
            let is_stored = stored.get(task) == Some(expires_at);
            assert!(is_stored, "the lease of {task} is not stored as its renewal was answered");
        }
        format!("the {} leases of the callers' last calls are stored as answered", expected.len())
    }

    fn lease_ends_in_file(&self, of: &[(String, i64)]) -> HashMap<String, i64> {
        const END: &str = "select due.expires_at from tasks join due on due.task = tasks.no \
                           where tasks.namespace = 'default' and tasks.id = ?";
        let connection = self.open();
        let mut end = connection.prepare(END).expect("prepared");
        let end = |(task, _): &(String, i64)| {
            (task.clone(), end.query_row(params![task], |row| row.get(0)).expect("a lease"))
        };
        of.iter().map(end).collect()
    }

    fn open(&self) -> Connection {
        Connection::open_with_flags(self.file(), OpenFlags::SQLITE_OPEN_READ_ONLY).expect("opens")
    }
}

fn lease_ends_on_server(url: &str, of: &[(String, i64)]) -> HashMap<String, i64> {
    const ENDS: &str =
        "select task, expires_at from due where namespace = 'default' and task = any($1::text[])";
    on_server(url, async |client| {
        let tasks: Vec<&str> = of.iter().map(|(task, _)| task.as_str()).collect();
        let rows = client.query(ENDS, &[&tasks]).await.expect("leases");
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    })
}

async fn show(client: &Client, setting: &str) -> String {
    client.query_one(&format!("show {setting}"), &[]).await.expect("a setting").get(0)
}

fn on_server<T>(url: &str, ask: impl AsyncFnOnce(Client) -> T) -> T {
    runtime().block_on(async {
        let client = connect(url).await;
        client.batch_execute(&format!("set search_path = {SCHEMA}")).await.expect("set");
        ask(client).await
    })
}
