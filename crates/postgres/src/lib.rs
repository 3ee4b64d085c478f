//! The store on PostgreSQL, for more than one machine. Any number of processes share one database.
//!
//! A few committers, each with its own thread and connection, execute waiting commands in groups. Reads use a small
//! pool of connections. Everything that is decided is in the rows: a process that dies leaves only leases that lapse.

mod batch;
mod chains;
mod columns;
mod database;
mod engine;
mod follow;
mod intake;
mod known;
mod libpq;
mod link;
mod load;
mod namespaces;
mod options;
mod overview;
mod read;
mod restoring;
mod retained;
mod retention;
mod search;
mod settings;
mod sql;
mod store;
mod tokens;
mod transaction;
mod transfer;
mod watch;
mod write;

pub use options::PostgresOptions;
pub use store::{PostgresStore, url_without_secrets};
pub use transaction::{CallerTransaction, StatementError};
