//! **Tenure keeps the durable record of who is working on what, until when, and how to undo it.**
//!
//! A *task* is created; a worker takes a *lease* on it, with an epoch that fences it off from everybody who held it
//! before; it heartbeats, and registers how to undo each side effect before it has it; it ends the task in a terminal
//! state that nothing changes any more. When a worker dies its lease lapses, and recovery takes the task over.
//! Every step is an event in a hash-chained history.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use std::time::Duration;
//!
//! use serde_json::json;
//! use tenure::Ledger;
//!
//! let ledger = Ledger::open("memory:").await?; // or sqlite:tasks.db
//! ledger.create("build-42").undo("remove-worktree", "/tmp/wt-42").await?;
//! let lease = ledger.acquire("build-42", "w1").ttl(Duration::from_secs(60)).keep().await?;
//! lease.undo_with("close-pr", "pr/12", "opened by this run").await?; // before the effect
//! lease.complete_with(json!({"pr": 12})).await?;
//! # Ok::<(), tenure::Error>(()) }).unwrap();
//! ```
//!
//! # Where to look
//!
//! - [`Ledger`]: every command and every list, as builders that are awaited. [`ledger`] has the builders.
//! - [`keeper`]: leases that are renewed by themselves, from [`Call::keep`](ledger::Call::keep).
//! - [`worker`]: claims the tasks of a queue and runs a function for each. [`handler`] and [`recovery`]: undo what stale tasks owe.
//! - [`store`]: filters, orders and pages of lists, and the options of each store. [`why`]: a sentence on a task's state.
//! - [`doctor`]: what is wrong with a store, and the command that mends it.
//! - [`backup`]: backs a store up while it is in use, and restores it.
//! - [`transfer`]: moves a whole store into another one.
//! - [`core`]: the rules and their types: ids, policies, states, refusals. [`api`]: the public JSON.
//! - The folder `examples` of this crate has four whole programs: `first_lease`, `takeover`, `worker`, `undo`.
//!
//! # Features
//!
//! - `sqlite` (default): the store in a file.
//! - `postgres`: the store in PostgreSQL, for when one machine is outgrown.
//! - `with-tokio-postgres-0_7`: tasks that are created in transactions of `tokio-postgres` 0.7.
//! - `remote`: a store behind servers.
//! - `commands` (default): undo by a command, and the module `process`, which ends all that a command started.
//! - `webhooks`: undo by a signed HTTP POST.
//! - `openapi`: schemas of the public JSON, for a description of an HTTP API.
//! - `failpoints`: for tests, a process can be told to die at a named point.
//! - `signals` (default): workers that stop at SIGTERM and SIGINT.

pub mod audit;
#[cfg(feature = "sqlite")]
pub mod backup;
pub mod doctor;
#[cfg(feature = "failpoints")]
pub mod failpoints;
#[cfg(not(feature = "failpoints"))]
mod failpoints;
pub mod handler;
pub mod keeper;
pub mod ledger;
#[cfg(feature = "sqlite")]
pub mod moving_in;
pub mod owner;
pub mod recovery;
pub mod retention;
pub mod shell;
pub mod stop;
pub mod store;
pub mod trace;
pub mod transfer;
pub mod why;
pub mod worker;

/// The examples of these documents are compiled like any other.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/scaling.md")]
struct Scaling;

pub use ledger::Ledger;
pub use tenure_api as api;
pub use tenure_api::{instant, json};
pub use tenure_clock as clock;
pub use tenure_core as core;
#[cfg(feature = "commands")]
pub use tenure_process as process;
pub use tenure_store::{Error, Failure, access, entropy, histogram, record};
