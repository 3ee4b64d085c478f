//! What screens for people show of a namespace, and what can be done there: the web console and `tenure top` draw the same.
//!
//! It decides nothing about tasks, and draws nothing. [`Snapshot`] is a look at a namespace, [`needs`] says what a person should see
//! to, [`offers`] what may be done with a task and what each of it will do, [`history`] what happened to one.

pub mod history;
pub mod needs;
pub mod offers;
mod snapshot;
pub mod words;

pub use snapshot::{ReadSize, Snapshot};
