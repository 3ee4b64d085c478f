//! Connects to PostgreSQL: tries each host, each of its addresses, and each method that `sslmode` allows.
//!
//! tokio-postgres can try several hosts itself, but it knows only three of libpq's six modes, and never falls back.
//! So this module gives it one address and one method at a time.

use std::error::Error as _;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

use tenure_store::{Error, Failure};
use tenure_tls::advice;
use tokio_postgres::config::LoadBalanceHosts;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Connection, Socket};

use super::options::{ConnectOptions, Password};
use super::passfile::{Login, PasswordFile};
use super::places::ServerAddress;
use super::tls::Attempt;
use super::tls::connector::{Connector, ROOTS, Stream};

/// Moves the client's messages. It must be polled for as long as the client is used.
pub(crate) type Driver = Connection<Socket, Stream>;

/// Why there is no connection: a message for each attempt. No server has received a command.
#[derive(Debug)]
pub(crate) struct ConnectError {
    told: String,
    code: Option<SqlState>,
    /// The last one.
    cause: Option<tokio_postgres::Error>,
}

impl ConnectError {
    /// The last error code from a server, if there is one.
    pub(crate) fn code(&self) -> Option<&SqlState> {
        self.code.as_ref()
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told)
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| cause as &(dyn std::error::Error + 'static))
    }
}

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Error {
        Error::Unavailable(Failure::new(error.told.clone(), error))
    }
}

impl ConnectOptions {
    /// Connects to the first suitable server, as sslmode says.
    pub(crate) async fn connect(&self) -> Result<(Client, Driver), ConnectError> {
        let time_max = self.config.get_connect_timeout().copied();
        // A home directory may be on a network, too.
        let files = within(time_max, self.files())
            .await
            .unwrap_or_else(|why| Err(format!("can't read certificates and passwords: {why}")))
            .map_err(|told| ConnectError { told, code: None, cause: None })?;
        let order = self.config.get_load_balance_hosts();
        let mut failures = Failures::default();
        for place in in_order(self.places.iter().collect(), order) {
            let addresses = match within(time_max, place.addresses()).await.and_then(|found| found) {
                Ok(addresses) => in_order(addresses, order),
                Err(why) => {
                    failures.add(place.to_string(), why);
                    continue;
                }
            };
            for address in addresses {
                // Both methods share the time, as in libpq: it is the address that does not answer.
                let connecting = self.connect_at(place, address, &files, &mut failures);
                match within(time_max, connecting).await {
                    Ok(Some(connected)) => return Ok(connected),
                    Ok(None) => {}
                    Err(why) => failures.add(told_at(place, address), why),
                }
            }
        }
        Err(failures.into_error())
    }

    /// Reads certificates and passwords from files, which may block. It reads them again each time, because
    /// they are renewed.
    async fn files(&self) -> Result<Files, String> {
        let (tls, password) = (self.tls.clone(), self.password.clone());
        let has_network = self.places.iter().any(|place| matches!(place, ServerAddress::Network { .. }));
        let read = move || {
            let connector = if has_network { tls.connector()? } else { Connector::without_files()? };
            let passwords = match &password {
                Password::Given(_) => PasswordFile::none(),
                Password::In(source) => PasswordFile::read(source),
            };
            Ok(Files { connector, passwords })
        };
        let read = tokio::task::spawn_blocking(read).await;
        read.unwrap_or_else(|error| Err(format!("reading certificates and passwords failed: {error}")))
    }

    /// None: every way that there is has failed, as was added to the failures.
    async fn connect_at(
        &self,
        place: &ServerAddress,
        address: Option<IpAddr>,
        files: &Files,
        failures: &mut Failures,
    ) -> Option<(Client, Driver)> {
        let mut config = self.config.clone();
        // Unix sockets never use TLS; no one else can read them.
        let attempts = match place {
            ServerAddress::Socket { folder, .. } => {
                config.host_path(folder);
                &[Attempt::Plain]
            }
            ServerAddress::Network { name, .. } => {
                config.host(name);
                self.tls.attempts()
            }
        };
        config.port(place.port());
        if let Some(address) = address {
            config.hostaddr(address);
        }
        if let Some(password) = self.password_for(place, files) {
            config.password(password);
        }
        for attempt in attempts {
            let (watched, progress) = files.connector.watched();
            match config.ssl_mode(attempt.ssl_mode()).connect(watched).await {
                Ok(connected) => return Some(connected),
                Err(error) => {
                    let hope = attempt.leaves_hope(progress.handshake(), error.code());
                    failures.add_postgres(told_at(place, address), error, &config, files);
                    if !hope {
                        break;
                    }
                }
            }
        }
        None
    }

    fn password_for(&self, place: &ServerAddress, files: &Files) -> Option<Vec<u8>> {
        let password = match &self.password {
            Password::Given(password) => Some(password.clone().into_bytes()),
            Password::In(_) => files.passwords.password(Login {
                host: &place.called(),
                port: place.port(),
                database: self.config.get_dbname().unwrap_or_default(),
                user: self.config.get_user().unwrap_or_default(),
            }),
        };
        password.filter(|password| !password.is_empty())
    }
}

/// What is read before the first attempt.
struct Files {
    connector: Connector,
    passwords: PasswordFile,
}

impl ServerAddress {
    /// The address; none for a Unix socket, which is in its directory.
    async fn addresses(&self) -> Result<Vec<Option<IpAddr>>, String> {
        let (name, port) = match self {
            ServerAddress::Socket { .. } => return Ok(vec![None]),
            ServerAddress::Network { address: Some(address), .. } => return Ok(vec![Some(*address)]),
            ServerAddress::Network { name, address: None, port } => (name.as_str(), *port),
        };
        let found = tokio::net::lookup_host((name, port)).await;
        let found = found.map_err(|error| format!("can't resolve the host name: {error}"))?;
        let found: Vec<Option<IpAddr>> = found.map(|address| Some(address.ip())).collect();
        if found.is_empty() { Err("the host name has no address".into()) } else { Ok(found) }
    }
}

fn told_at(place: &ServerAddress, address: Option<IpAddr>) -> String {
    match (place, address) {
        (ServerAddress::Network { name, .. }, Some(address)) if *name != address.to_string() => {
            format!("{place} ({address})")
        }
        (ServerAddress::Network { .. } | ServerAddress::Socket { .. }, _) => place.to_string(),
    }
}

/// The order affects nothing that is recorded, so it does not use the ledger's entropy.
fn in_order<T>(mut items: Vec<T>, order: LoadBalanceHosts) -> Vec<T> {
    if order == LoadBalanceHosts::Random {
        items.sort_by_cached_key(|_| uuid::Uuid::new_v4());
    }
    items
}

async fn within<T>(time_max: Option<Duration>, work: impl Future<Output = T>) -> Result<T, String> {
    match time_max {
        None => Ok(work.await),
        Some(time_max) => tokio::time::timeout(time_max, work)
            .await
            .map_err(|_| format!("no answer within {} s (`connect_timeout`)", time_max.as_secs())),
    }
}

/// The failures so far.
#[derive(Default)]
struct Failures {
    told: Vec<String>,
    code: Option<SqlState>,
    cause: Option<tokio_postgres::Error>,
}

impl Failures {
    /// Adds it once, if both methods at an address failed for the same reason.
    fn add(&mut self, at: String, why: String) {
        let told = format!("{at}: {why}");
        if self.told.last() != Some(&told) {
            self.told.push(told);
        }
    }

    fn add_postgres(&mut self, at: String, error: tokio_postgres::Error, config: &Config, files: &Files) {
        let mut why = told(&error);
        if let Some(code) = error.code() {
            self.code = Some(code.clone());
        } else if let Some(advice) = advice(&error, ROOTS) {
            why.push_str(&format!("; {advice}"));
        } else if config.get_password().is_none() && is_password_missed(&error) {
            why = "the server asks for a password; set PGPASSWORD, or add a line to the password file"
                .to_owned();
            if let Some(unused) = files.passwords.unused() {
                why.push_str(&format!(" ({unused})"));
            }
        }
        self.add(at, why);
        self.cause = Some(error);
    }

    fn into_error(self) -> ConnectError {
        ConnectError { told: self.told.join("; "), code: self.code, cause: self.cause }
    }
}

/// tokio-postgres has no kind of error for it, only these words.
fn is_password_missed(error: &tokio_postgres::Error) -> bool {
    error.source().is_some_and(|source| source.to_string() == "password missing")
}

/// What the server says, or the error with its causes: tokio-postgres's own words only say in which step it
/// was.
fn told(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        let more = [said.detail(), said.hint()].into_iter().flatten().map(|more| format!("; {more}"));
        return format!("{} ({}){}", said.message(), said.code().code(), more.collect::<String>());
    }
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !words.ends_with(&said) {
            words.push_str(&format!(": {said}"));
        }
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::super::parameters::Parameters;
    use super::*;

    fn options(url: &str) -> ConnectOptions {
        let user = |name: &str| (name == "USER").then(|| "ann".to_owned());
        let parameters = Parameters::collect(url, &[], &user).expect("a good URL");
        ConnectOptions::read(&parameters, &user).expect("good parameters")
    }

    async fn refusal(url: &str) -> ConnectError {
        options(url).connect().await.err().expect("nobody is there")
    }

    /// A port at which nobody listens.
    async fn free_port() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        listener.local_addr().expect("its address").port()
    }

    #[tokio::test]
    async fn each_place_that_failed_is_told() {
        let port = free_port().await;
        let url = format!("postgres://?host=127.0.0.1,/nowhere,a..b&port={port}");
        let error = refusal(&url).await;
        let told = error.to_string();
        let parts: Vec<&str> = told.split("; ").collect();
        assert_eq!(parts.len(), 3, "{told}");
        assert!(
            parts[0].starts_with(&format!("127.0.0.1:{port}: ")) && parts[0].contains("refused"),
            "{told}"
        );
        assert!(parts[1].starts_with(&format!("/nowhere/.s.PGSQL.{port}: ")), "{told}");
        assert!(parts[2].starts_with(&format!("a..b:{port}: can't resolve the host name: ")), "{told}");
        assert_eq!(error.code(), None);
        assert!(matches!(Error::from(error), Error::Unavailable(said) if said.message() == told));
    }

    #[tokio::test]
    async fn a_server_that_never_answers_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let url = |mode| format!("postgres://127.0.0.1:{port}?sslmode={mode}&connect_timeout=1");
        let (disable, prefer, require) = (url("disable"), url("prefer"), url("require"));
        let (disable, prefer, require) = tokio::join!(refusal(&disable), refusal(&prefer), refusal(&require));
        let told = format!("127.0.0.1:{port}: no answer within 1 s (`connect_timeout`)");
        for error in [disable, prefer, require] {
            assert_eq!(error.to_string(), told);
        }
    }

    #[tokio::test]
    async fn a_file_that_can_t_be_used_is_told_before_anything_is_tried() {
        let error = refusal("postgres://127.0.0.1:1?sslrootcert=/nowhere/root.crt").await;
        assert!(error.to_string().starts_with("/nowhere/root.crt: No such file"), "{error}");
        let error = refusal("postgres:///?host=/nowhere&sslrootcert=/nowhere/root.crt").await;
        assert!(
            error.to_string().starts_with("/nowhere/.s.PGSQL.5432: "),
            "a socket needs no such file: {error}"
        );
    }

    #[test]
    fn what_failed_twice_for_the_same_reason_is_told_once() {
        let mut failures = Failures::default();
        for (at, why) in [("a:1", "refused"), ("a:1", "refused"), ("a:1", "other"), ("b:1", "other")] {
            failures.add(at.to_owned(), why.to_owned());
        }
        assert_eq!(failures.into_error().to_string(), "a:1: refused; a:1: other; b:1: other");
    }

    #[test]
    fn only_who_asks_for_it_gets_another_order() {
        let items: Vec<u8> = (0..100).collect();
        assert_eq!(in_order(items.clone(), LoadBalanceHosts::Disable), items);
        let mut mixed = in_order(items.clone(), LoadBalanceHosts::Random);
        assert_ne!(mixed, items);
        mixed.sort_unstable();
        assert_eq!(mixed, items);
    }

    #[test]
    fn an_address_is_told_where_it_is_not_the_name() {
        let address: IpAddr = "10.0.0.1".parse().expect("an address");
        let place = |name: &str| ServerAddress::Network { name: name.to_owned(), address: None, port: 5432 };
        assert_eq!(told_at(&place("a"), Some(address)), "a:5432 (10.0.0.1)");
        assert_eq!(told_at(&place("10.0.0.1"), Some(address)), "10.0.0.1:5432");
    }
}
