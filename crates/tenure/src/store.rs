//! The stores, and what they answer.

/// How tasks ended, as an overview counts them.
pub mod ends {
    pub use tenure_api::overview::{EndCount, MinuteCount};
}

#[cfg(feature = "postgres")]
pub use tenure_postgres as postgres;
#[cfg(feature = "remote")]
pub use tenure_remote as remote;
#[cfg(feature = "sqlite")]
pub use tenure_sqlite as sqlite;
#[doc(hidden)]
pub use tenure_store::InternalStore;
pub use tenure_store::{
    Answer, BoxFuture, Cursor, EventFilter, EventSearch, Filter, FoundHistory, IfMissing, Lapsed, OPEN,
    Order, Page, PageSize, Recorded, Renewal, RetentionStore, SchemaState, Store, StoreAccess, TransferStore,
    answering, health, memory, metrics, namespace_history, overview, retention, size, stored, watch,
};
