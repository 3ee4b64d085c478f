//! The keeper: renews a lease while work goes on, and reports when the lease is lost.
//!
//! It renews on a thread of its own, so busy or blocking work can't delay it. It counts the deadline from when the
//! last successful renewal was *sent*, on a clock that goes on while the machine sleeps. A missing answer is not yet
//! a loss: the keeper retries until the deadline. After the deadline it fences itself: it tells the holder of the
//! handle, and sends no more commands. It decides nothing about tasks; the ledger checks the epoch of each command.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use serde_json::json;
//! use tenure::Ledger;
//!
//! let ledger = Ledger::open("memory:").await?;
//! ledger.create("build-42").await?;
//! let lease = ledger.acquire("build-42", "w1").keep().await?;
//! lease.undo_with("close-pr", "pr/12", "opened by this run").await?; // before the effect
//! tokio::select! {
//!     loss = lease.lost() => panic!("stop: {loss}"),
//!     () = async { /* the work */ } => { lease.complete_with(json!({"pr": 12})).await?; }
//! }
//! # Ok::<(), tenure::Error>(()) }).unwrap();
//! ```

mod asking;
mod grant;
mod lease;
mod renewal;
mod shared;
mod status;
mod thread;

pub(crate) use asking::Counted;
pub use lease::KeptLease;
pub use status::{Held, Keeping, LeaseStatus, LeaseWatch, Loss, RenewalError};
