//! The options and limits of a server. The address is given when the server runs.

use std::time::Duration;

use tenure::core::id::Namespace;

use crate::memory::ANSWER_COST;
use crate::quotas::BODY_COST;

/// What a server is told beforehand.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names under which it may be asked for while nobody needs a token, besides those of this machine.
    pub hosts: Vec<String>,
    /// Whether whoever can reach it is somebody of this machine: what a token must prove elsewhere.
    pub exposure: Exposure,
    /// How much it takes.
    pub limits: Limits,
    /// How long requests that have begun may go on when it stops.
    pub grace: Duration,
    /// The store's URL as people may see it, for its page.
    pub store: String,
    /// The namespace that its page names in examples.
    pub namespace: Option<Namespace>,
}

/// Who can reach a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exposure {
    /// Only programs of this machine: while no token exists none is needed.
    Loopback,
    /// Others, too: a token is needed, whether one exists or not.
    Network,
}

/// What is bounded. Everything that a caller can have more of is.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at once; further ones wait to be accepted.
    pub connections_max: usize,
    /// The bytes of one body.
    pub body_bytes_max: usize,
    /// The memory of all requests together, above what the server has when it is idle: their bodies, what they read, and answers
    /// that their readers have not taken yet. It is at least [`Limits::MEMORY_OF_A_BODY`] times what one body may have.
    pub memory_bytes_max: usize,
    /// How long a body may take to come.
    pub body_wait_max: Duration,
    /// How long the head of a request may take to come, and how long a connection may be idle before it.
    pub head_wait_max: Duration,
    /// How long a peer may take nothing of what is written to it.
    pub write_wait_max: Duration,
    /// How long a request waits for memory.
    pub room_wait_max: Duration,
    /// How long the store may take to say who may ask.
    pub store_wait_max: Duration,
    /// How long the store may take to answer those who watch whether it does.
    pub watch_wait_max: Duration,
    /// How old what was measured in the store may be for another scrape.
    pub measured_age_max: Duration,
    /// How long nothing that is written must have got into the store before that is told to those who watch.
    pub writes_refused_after: Duration,
    /// How long a request that waits, or a stream, goes on before its token is looked at again. A stream that has nothing to
    /// say says as often that it is there.
    pub token_check_every: Duration,
    /// Claims and looks that wait for something, at once.
    pub waiting_max: usize,
    /// Streams of events at once.
    pub streams_max: usize,
    /// Sweeps of recovery on demand, at once: each undoes as many tasks at once as the loop does.
    pub sweeps_max: usize,
    /// Looks that may go through much of the store, at once: fewer than the store has connections to read.
    pub scans_max: usize,
    /// Single tasks that are read at once: how large one is nobody knows before.
    pub looks_max: usize,
    /// Looks through the whole store, at once.
    pub audits_max: usize,
    /// The part of memory, waits, streams, sweeps, scans, looks and audits that one caller may have: one in so many.
    pub share_of_one_caller: usize,
    /// Requests a second of one caller. None: as many as there come.
    pub requests_per_second: Option<u32>,
}

impl Limits {
    /// How much memory there must be for each byte that a body may have: for one of them, and for an answer as large.
    pub const MEMORY_OF_A_BODY: usize = BODY_COST + ANSWER_COST;
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_max: 12_000,
            body_bytes_max: 16 * 1024 * 1024,
            memory_bytes_max: 512 * 1024 * 1024,
            body_wait_max: Duration::from_secs(30),
            head_wait_max: Duration::from_secs(75),
            write_wait_max: Duration::from_secs(60),
            room_wait_max: Duration::from_secs(2),
            // Whoever sends many commands waits 15 s for an answer, and should hear by then that nothing was done.
            store_wait_max: Duration::from_secs(12),
            watch_wait_max: Duration::from_secs(2),
            measured_age_max: Duration::from_secs(1),
            // A queue that is full for a moment is no store that takes nothing.
            writes_refused_after: Duration::from_secs(2),
            token_check_every: Duration::from_secs(5),
            waiting_max: 8_192,
            streams_max: 1_024,
            sweeps_max: 4,
            scans_max: 5,
            looks_max: 8,
            audits_max: 2,
            share_of_one_caller: 2,
            requests_per_second: Some(20_000),
        }
    }
}

impl Default for Options {
    fn default() -> Options {
        Options {
            hosts: Vec::new(),
            exposure: Exposure::Loopback,
            limits: Limits::default(),
            grace: Duration::from_secs(20),
            store: "memory:".to_owned(),
            namespace: None,
        }
    }
}
