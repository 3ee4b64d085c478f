//! **Tenure keeps the durable record of who is working on what, until when, and how to undo it.**
//!
//! A *task* is created; a worker takes a *lease* on it, with an epoch that fences it off from everybody who held it
//! before; it heartbeats, and registers how to undo each side effect before it has it; it ends the task in a terminal
//! state that nothing changes any more. When a worker dies its lease lapses, and recovery takes the task over.
//! Every step is an event in a hash-chained history.
//!
//! Hold a [`Ledger`]. The rules are those of [`tenure_core`], whose types are re-exported here as [`core`].

pub mod access;
pub mod audit;
#[cfg(any(feature = "postgres", feature = "remote", feature = "webhooks"))]
#[cfg_attr(not(any(feature = "postgres", feature = "remote")), allow(dead_code))]
// Webhooks need a part of it.
mod certificates;
pub mod clock;
pub(crate) mod codec;
mod committer;
pub mod entropy;
mod error;
#[cfg(feature = "failpoints")]
pub mod failpoints;
#[cfg(not(feature = "failpoints"))]
mod failpoints;
pub mod handler;
pub mod histogram;
pub mod keeper;
pub mod ledger;
pub mod owner;
pub mod process;
pub mod record;
pub mod recovery;
mod request_digest_v1;
pub mod store;
mod stored_json;
pub mod trace;
pub mod why;
pub mod worker;

/// The examples of these documents are compiled like any other.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/scaling.md")]
struct Scaling;

pub use error::Error;
pub use ledger::Ledger;
pub use tenure_api as api;
pub use tenure_api::{instant, json};
pub use tenure_core as core;

pub(crate) use tenure_api::wire;
