//! The options and limits of a server. The address is given when the server runs.

use std::time::Duration;

use tenure::core::id::Namespace;
use tenure::core::time::Span;

/// The options of a server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Allowed host names while no token exists, besides local ones.
    pub hosts: Vec<String>,
    /// Whether only local programs can reach it; otherwise every request needs a token.
    pub exposure: Exposure,
    /// Its limits.
    pub limits: Limits,
    /// The grace period of running requests when it stops.
    pub grace: Duration,
    /// The store's URL without secrets, for its start page.
    pub store: String,
    /// The namespace in the examples of its start page.
    pub namespace: Option<Namespace>,
    /// How long ended tasks are kept; none: for ever.
    pub retain: Option<Span>,
}

tenure::core::with_changes!(Options);

/// Who can reach a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exposure {
    /// Only local programs: until the first token is created, none is needed.
    Loopback,
    /// Other machines, too: a token is always needed.
    Network,
}

/// The limits. Everything that a caller can have more of has one.
#[derive(Clone, Debug)]
#[non_exhaustive]
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
    /// How long a client may stop reading.
    pub write_wait_max: Duration,
    /// How long a request waits for memory.
    pub room_wait_max: Duration,
    /// How long the store may take to identify a caller.
    pub store_wait_max: Duration,
    /// How long the store may take to answer monitoring.
    pub watch_wait_max: Duration,
    /// How old what was measured in the store may be for another scrape.
    pub measured_age_max: Duration,
    /// How long writes must fail before monitoring is told.
    pub writes_refused_after: Duration,
    /// How often the token of a waiting request or a stream is checked again. An idle stream also sends a
    /// keep-alive comment that often.
    pub token_check_every: Duration,
    /// Concurrent waiting requests.
    pub waiting_max: usize,
    /// Concurrent event streams.
    pub streams_max: usize,
    /// Sweeps of recovery on demand, at once: each undoes as many tasks at once as the loop does.
    pub sweeps_max: usize,
    /// How long a page of the console waits for the sweep that it started. The sweep goes on after that.
    pub sweep_wait_max: Duration,
    /// Concurrent large reads: fewer than the store's read connections.
    pub scans_max: usize,
    /// Concurrent reads of single tasks, whose size is not known before.
    pub looks_max: usize,
    /// Concurrent audits.
    pub audits_max: usize,
    /// The share of one caller in memory, waits, streams, sweeps, scans, looks and audits: one part in this
    /// many.
    pub share_of_one_caller: usize,
    /// Requests per second of one caller. None: no limit.
    pub requests_per_second: Option<u32>,
}

tenure::core::with_changes!(Limits);

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
            // A client with many commands waits 15 s for a response, and should learn by then that nothing
            // was done.
            store_wait_max: Duration::from_secs(12),
            watch_wait_max: Duration::from_secs(2),
            measured_age_max: Duration::from_secs(1),
            // A queue that is full for a moment does not mean that the store refuses writes.
            writes_refused_after: Duration::from_secs(2),
            token_check_every: Duration::from_secs(5),
            waiting_max: 8_192,
            streams_max: 1_024,
            sweeps_max: 4,
            // Proxies often give up after 30 or 60 s.
            sweep_wait_max: Duration::from_secs(20),
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
            retain: None,
        }
    }
}

/// The memory for each byte of a body: for its text, for the commands that are read from it, and for their rows.
pub(crate) const BODY_COST: usize = 3;
/// The memory for each byte of a response while it is made: for its rows, for its values, and for its text.
pub(crate) const ANSWER_COST: usize = 3;
