//! The rules of Tenure: one lifecycle, decided in one place.
//!
//! Stores remember, the core decides, the shell acts. The core has no clock, I/O, async, randomness, logging or
//! serde. [`decide::decide`] gets the stored task, a command and the time. It returns what happens, or a refusal. The
//! same inputs always give the same answer.
//!
//! Start reading at [`lifecycle`], which contains the table.

pub mod apply;
pub mod case;
pub mod chain;
pub mod command;
pub mod compensation;
pub mod decide;
pub mod event;
pub mod id;
pub mod lifecycle;
pub mod limit;
pub mod policy;
mod put;
pub mod refusal;
pub mod task;
pub mod time;
pub mod verb;
mod with;
