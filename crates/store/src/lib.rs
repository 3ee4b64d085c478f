//! What every store of Tenure has.
//!
//! A store remembers. In one transaction it loads what a command names, asks the core, and writes what follows. It
//! answers after the commit. [`execute`] has what one command does in a transaction, once for all stores; [`columns`] has
//! what is written, once for both databases; [`committer`] collects commands for one commit.
//!
//! Programs use the crate `tenure`, which re-exports what they need. The hidden modules are for stores, and change with them.

pub mod access;
mod answer;
pub mod answering;
#[doc(hidden)]
pub mod backup;
#[doc(hidden)]
pub mod budget;
#[doc(hidden)]
pub mod causes;
#[doc(hidden)]
pub mod codec;
#[doc(hidden)]
pub mod columns;
#[doc(hidden)]
pub mod committer;
#[doc(hidden)]
pub mod due;
#[doc(hidden)]
pub mod ends;
pub mod entropy;
mod error;
#[doc(hidden)]
pub mod execute;
#[doc(hidden)]
pub mod filling;
pub mod health;
pub mod histogram;
mod history;
mod list;
#[doc(hidden)]
pub mod mark;
pub mod memory;
pub mod metrics;
pub mod namespace_history;
#[doc(hidden)]
pub mod numbers;
pub mod overview;
#[doc(hidden)]
pub mod patience;
#[doc(hidden)]
pub mod pool;
#[doc(hidden)]
pub mod recent;
pub mod record;
#[doc(hidden)]
pub mod remembered;
mod request_digest_v1;
pub mod retention;
#[doc(hidden)]
pub mod rows;
pub mod size;
mod store;
pub mod stored;
mod stored_json;
#[doc(hidden)]
pub mod tokens;
pub mod transfer;
#[doc(hidden)]
pub mod waiting;
pub mod watch;

pub use answer::Answer;
pub use error::{Error, Failure};
pub use history::{EventFilter, EventSearch, FoundHistory, Recorded};
pub use list::{Cursor, Filter, Lapsed, OPEN, Order, Page, PageSize};
pub use store::{BoxFuture, IfMissing, RetentionStore, SchemaState, Store, StoreAccess, TransferStore};
#[doc(hidden)]
pub use store::{InternalStore, find_due, older_schema, opened_to_read_only};
pub use tenure_api::answer::Renewal;

#[doc(hidden)]
pub use error::SoFar;
