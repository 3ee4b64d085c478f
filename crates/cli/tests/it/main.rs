//! All integration tests of the command line, in one program: what they share is built and linked once.

#![expect(clippy::too_many_lines, reason = "a test is as long as its story")]
#![allow(clippy::expect_used)] // What surprises a test stops it.
#![allow(clippy::print_stdout, clippy::print_stderr)] // Figures, and what could not run, are printed.

mod frozen;
mod installed;
mod place;
mod screen;
mod serving;
mod waiting;

mod advised;
mod api;
mod backups;
mod bench;
mod by_hand;
mod clients;
mod demo;
mod deploy;
mod doctor;
mod documents;
mod far;
mod glance;
mod help;
mod hints;
mod histories;
mod hostile;
mod migrates;
mod moves;
mod origin;
mod processes;
mod prunes;
mod recovers;
mod runs;
mod serves;
mod shell_blocks;
mod surroundings;
mod tasks;
mod tokens;
mod top;
mod views;
mod worked_example;
mod workers;
mod wrong_uses;
