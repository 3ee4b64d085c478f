//! The server's integration tests. Those that need a store and a network are in `crates/testkit/tests/it/http`.

#![allow(clippy::expect_used)] // What surprises a test stops it.

mod openapi;
