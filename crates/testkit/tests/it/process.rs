//! Commands run as they would without Tenure, and none of their processes outlives its time limit.

mod commands;
mod ends;
mod runs;
mod terminal;
