//! The rules of Tenure: one lifecycle, decided in one place.
//!
//! Stores remember, the core decides, the shell acts. Here is no clock, no I/O, no async, no randomness, no logging and
//! no serde: [`decide::decide`] gets what is stored, a command and the time, and answers with what happened or why
//! not. The same inputs give the same answer, everywhere and for ever.
//!
//! Start reading at [`lifecycle`], which holds the table.

pub mod apply;
pub mod chain;
pub mod command;
pub mod compensation;
pub mod decide;
pub mod event;
pub mod id;
pub mod lifecycle;
pub mod policy;
mod put;
pub mod refusal;
pub mod task;
pub mod time;
pub mod verb;
