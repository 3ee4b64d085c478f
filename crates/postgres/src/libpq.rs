//! Connecting to PostgreSQL as libpq does, so that a URL and the variables that work for `psql` work here, with the same
//! meaning. Nothing here knows the store: it takes a URL and gives a connection.
//!
//! Supported: URLs with one or several servers ([`url`], [`places`]); the parameters and `PG…` variables that
//! [`parameters`] lists; the password file ([`passfile`]); the six `sslmode`s, `sslnegotiation`, `sslrootcert=system` and
//! client certificates ([`tls`]); trying each server, address and mode in turn ([`connect`]).
//!
//! Not supported: connection strings without a URL, service files, GSSAPI, `require_auth`, revocation lists and encrypted
//! keys. A URL or a variable that asks for one of these is refused by name and never ignored: to
//! ignore it could connect to another server, or with less proof of who it is.
//!
//! It differs on purpose: connecting and silent connections have time limits, a standby is skipped by default, and
//! certificates must prove what rustls demands.
//!
//! Why it is written by hand: tokio-postgres speaks the protocol, but of this it has a part. It reads neither variables nor
//! the password file, has three of the six modes, goes from one mode to the next only from `prefer` to no TLS on the same
//! connection, and takes `tcp_user_timeout` for seconds. libpq itself is C, which every machine that builds or runs Tenure
//! would need.

mod connect;
mod file;
mod options;
mod parameters;
mod passfile;
mod places;
mod tls;
mod url;

pub(crate) use connect::{ConnectError, Driver};
pub(crate) use options::ConnectOptions;
pub(crate) use parameters::Parameters;
