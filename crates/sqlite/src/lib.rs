//! The store on an SQLite file: one writer thread with group commit, readers with their own connections. Several
//! processes can share one file.

#[doc(hidden)]
pub mod backup;
mod beside;
mod columns;
mod conditions;
mod engine;
mod health;
mod known;
mod namespaces;
mod open;
mod options;
mod overview;
mod paths;
mod position;
mod read;
mod retention;
mod rows;
mod same_file;
mod search;
mod sql;
mod statements;
mod store;
mod task_sagas;
mod tokens;
mod transfer;
mod watch;
mod writer_lock;

pub use health::health_of_closed;
pub use open::Synchronous;
pub use options::SqliteOptions;
pub use store::SqliteStore;
pub use task_sagas::{TaskSagaRow, TaskSagasError, read_task_sagas};
