//! The server, as those see it who speak plain HTTP to it.

mod access;
mod bounds;
mod example_worker;
mod history;
mod http2;
mod pages;
mod probes;
mod tasks;
mod waits;
