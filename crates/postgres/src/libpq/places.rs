//! The servers that `host`, `hostaddr` and `port` list.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use tenure_core::refusal::Refusal;

use super::parameters::Parameters;
use super::passfile::LOCALHOST;

/// The directories of the Unix socket of a local server: Debian's, and PostgreSQL's default.
const SOCKET_FOLDERS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

const PORT: u16 = 5432;

/// A server that may be the one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ServerAddress {
    /// On this machine, by the socket in that folder.
    Socket { folder: PathBuf, port: u16 },
    /// By the network. The name is what its certificate is about, also if the address is given.
    Network { name: String, address: Option<IpAddr>, port: u16 },
}

impl ServerAddress {
    pub(crate) fn port(&self) -> u16 {
        match self {
            ServerAddress::Socket { port, .. } | ServerAddress::Network { port, .. } => *port,
        }
    }

    pub(crate) fn host(&self) -> String {
        match self {
            ServerAddress::Socket { folder, .. } => folder.display().to_string(),
            ServerAddress::Network { name, .. } => name.clone(),
        }
    }

    /// What it is called in the password file.
    pub(crate) fn called(&self) -> String {
        match self {
            ServerAddress::Socket { folder, .. }
                if SOCKET_FOLDERS.iter().any(|usual| folder == Path::new(usual)) =>
            {
                LOCALHOST.to_owned()
            }
            ServerAddress::Socket { .. } | ServerAddress::Network { .. } => self.host(),
        }
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerAddress::Socket { folder, port } => write!(f, "{}", socket_in(folder, *port).display()),
            ServerAddress::Network { name, port, .. } if name.contains(':') => write!(f, "[{name}]:{port}"),
            ServerAddress::Network { name, port, .. } => write!(f, "{name}:{port}"),
        }
    }
}

fn socket_in(folder: &Path, port: u16) -> PathBuf {
    folder.join(format!(".s.PGSQL.{port}"))
}

/// `host`, `hostaddr` and `port` are lists of the same length; one port alone is everybody's.
pub(crate) fn places(
    parameters: &Parameters,
    exists: &dyn Fn(&Path) -> bool,
) -> Result<Vec<ServerAddress>, Refusal> {
    let list =
        |name| parameters.get(name).map(|list| list.split(',').collect::<Vec<&str>>()).unwrap_or_default();
    let (hosts, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
    let count = hosts.len().max(addresses.len()).max(1);
    for (name, items) in [("host", &hosts), ("hostaddr", &addresses), ("port", &ports)] {
        let is_one_for_all = name == "port" && items.len() == 1;
        if !items.is_empty() && items.len() != count && !is_one_for_all {
            let given = items.len();
            let limit =
                format_args!("`{name}` has {given} items, but there are {count} servers; give one for each");
            return Err(Refusal::invalid("store", limit));
        }
    }
    let item = |list: &[&str], at: usize| list.get(at).map(|item| (*item).to_owned()).unwrap_or_default();
    let mut places = Vec::with_capacity(count);
    for at in 0..count {
        let port = port(&item(&ports, if ports.len() == 1 { 0 } else { at }))?;
        let address = match item(&addresses, at).as_str() {
            "" => None,
            address => Some(address.parse().map_err(|_| {
                parameters.invalid("hostaddr", "it must be an IP address; use `host` for names")
            })?),
        };
        places.push(place(item(&hosts, at), address, port, exists));
    }
    Ok(places)
}

/// The value is not told: behind a `:` without an `@` it is a password.
fn port(text: &str) -> Result<u16, Refusal> {
    if text.is_empty() {
        return Ok(PORT);
    }
    text.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
        Refusal::invalid(
            "store",
            "a port must be a number from 1 to 65535; write an `@` after user and password, and put an IPv6 \
             address in brackets, as in [::1]:5432",
        )
    })
}

/// Where nothing is named, the server is on this machine: by its socket if it has one, else by the network.
fn place(host: String, address: Option<IpAddr>, port: u16, exists: &dyn Fn(&Path) -> bool) -> ServerAddress {
    match address {
        Some(address) => {
            // The address is also what a certificate must be about, if no name is.
            let has_name = !host.is_empty() && !host.starts_with('/');
            let name = if has_name { host } else { address.to_string() };
            ServerAddress::Network { name, address: Some(address), port }
        }
        None if host.starts_with('/') => ServerAddress::Socket { folder: PathBuf::from(host), port },
        None if host.is_empty() => {
            let folders = SOCKET_FOLDERS.map(Path::new);
            match folders.into_iter().find(|folder| exists(&socket_in(folder, port))) {
                Some(folder) => ServerAddress::Socket { folder: folder.to_owned(), port },
                None => ServerAddress::Network { name: LOCALHOST.to_owned(), address: None, port },
            }
        }
        None => ServerAddress::Network { name: host, address: None, port },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places_of(query: &str, sockets: &[&str]) -> Vec<ServerAddress> {
        let parameters =
            Parameters::collect(&format!("postgres://?{query}"), &[], &|_| None).expect("a good query");
        let exists = |socket: &Path| sockets.iter().any(|there| socket == Path::new(there));
        places(&parameters, &exists).expect("good places")
    }

    fn network(name: &str, address: Option<&str>, port: u16) -> ServerAddress {
        let address = address.map(|address| address.parse().expect("an address"));
        ServerAddress::Network { name: name.to_owned(), address, port }
    }

    #[test]
    fn several_servers_are_tried_in_their_order() {
        assert_eq!(
            places_of("host=a,::1,/run/pg&port=1,,3", &[]),
            [
                network("a", None, 1),
                network("::1", None, 5432),
                ServerAddress::Socket { folder: "/run/pg".into(), port: 3 },
            ]
        );
        assert_eq!(places_of("host=a,b&port=7", &[]), [network("a", None, 7), network("b", None, 7)]);
        assert_eq!(
            places_of("host=a,b&hostaddr=10.0.0.1,", &[]),
            [network("a", Some("10.0.0.1"), 5432), network("b", None, 5432)]
        );
        assert_eq!(places_of("hostaddr=::2", &[]), [network("::2", Some("::2"), 5432)]);
    }

    #[test]
    fn a_server_that_nobody_names_is_on_this_machine() {
        let (debian, usual) = ("/var/run/postgresql/.s.PGSQL.5432", "/tmp/.s.PGSQL.5432");
        let socket = |folder: &str| [ServerAddress::Socket { folder: folder.into(), port: 5432 }];
        assert_eq!(places_of("", &[usual, debian]), socket("/var/run/postgresql"));
        assert_eq!(places_of("", &[usual]), socket("/tmp"));
        assert_eq!(places_of("", &[]), [network("localhost", None, 5432)]);
        assert_eq!(places_of("port=6432", &[usual, debian]), [network("localhost", None, 6432)]);
    }

    #[test]
    fn the_password_file_calls_a_server_by_the_name_it_is_reached_by() {
        let called = |query: &str| places_of(query, &[])[0].called();
        assert_eq!(called("host=/tmp"), "localhost");
        assert_eq!(called("host=/run/pg"), "/run/pg");
        assert_eq!(called("host=a&hostaddr=10.0.0.1"), "a");
        assert_eq!(called("hostaddr=10.0.0.1"), "10.0.0.1");
    }
}
