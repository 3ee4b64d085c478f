//! Commands run as they would without Tenure, and none of their processes outlives the end of the run.

mod commands;
mod ends;
mod runs;
mod terminal;
