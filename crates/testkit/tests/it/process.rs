//! Commands run as they would without Tenure between, and nothing of them outlives its right to run.

mod commands;
mod ends;
mod runs;
mod terminal;
