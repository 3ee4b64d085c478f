//! The remote store: everything that a store does, requested from servers over HTTP.
//!
//! Commands that wait go together in one request, as they go in one commit on the server. Each has a request id, so
//! that it can be sent again if its outcome is unknown; a heartbeat needs none. If a server can't be reached, the
//! client tries the next one. The client decides and stores nothing.

mod batch;
mod endpoints;
mod gathering;
mod store;
#[cfg(test)]
mod tests;
mod timeouts;
mod wire;

pub use store::{RemoteOptions, RemoteStore};
