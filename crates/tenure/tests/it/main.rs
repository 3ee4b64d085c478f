//! The library's integration tests, in one program, so that shared code is built and linked once.

#![allow(clippy::expect_used)] // What surprises a test stops it.

mod commands;
mod examples;
mod moving_in;
mod moving_in_files;
mod record;
