//! The settings of a PostgreSQL connection, from a URL and the environment variables that libpq reads. This module
//! does not connect.
//!
//! Some features of libpq are not supported: services (`PGSERVICE`), GSSAPI, encrypted keys, revocation lists.

pub(crate) mod file;
pub(crate) mod parameters;
pub(crate) mod passfile;
mod url;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tenure_core::refusal::Refusal;
use tokio_postgres::Config;

use crate::error::Error;
use crate::store::postgres::tls::Tls;
use crate::store::read_patience;

use file::Source;
use parameters::Parameters;
use passfile::LOCALHOST;

/// The directories of the Unix socket of a local server: Debian's, and PostgreSQL's default.
const SOCKET_FOLDERS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

const PORT: u16 = 5432;
/// The default time that a write waits for an unavailable database.
const PATIENCE: Duration = Duration::from_secs(30);

/// The schema of the tables.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Schema(String);

impl Schema {
    /// A name in lowercase letters that is not reserved by PostgreSQL.
    pub(crate) fn new(name: &str) -> Result<Schema, Refusal> {
        const LENGTH_MAX: usize = 63;
        let begins_well = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
        let goes_on_well = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if begins_well
            && name.bytes().all(goes_on_well)
            && name.len() <= LENGTH_MAX
            && !name.starts_with("pg_")
        {
            return Ok(Schema(name.to_owned()));
        }
        Err(Refusal::invalid(
            "store",
            format_args!(
                "`{name}` is not a valid schema name; use at most {LENGTH_MAX} of a-z, 0-9 and `_`, \
                 not beginning with a digit or `pg_`"
            ),
        ))
    }

    /// The name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// A statement that was written for the schema `tenure`, for this one. In quotes, for it may be a word of
    /// SQL.
    pub(crate) fn in_sql(&self, sql: &str) -> String {
        sql.replace("tenure.", &format!("\"{}\".", self.0))
    }
}

impl Default for Schema {
    fn default() -> Schema {
        Schema("tenure".to_owned())
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How to connect to a database.
#[derive(Clone)]
pub(crate) struct Settings {
    /// What is the same for every place: neither address nor password.
    pub(crate) config: Config,
    /// Its possible servers, in order. There is at least one.
    pub(crate) places: Vec<Place>,
    pub(crate) password: Password,
    pub(crate) tls: Tls,
    pub(crate) schema: Schema,
    /// How long a write waits for an unavailable database: after a failover it comes back.
    pub(crate) patience: Duration,
    /// How long opening the store waits for it: as long as `patience` in the URL says; by default it does not wait.
    pub(crate) patience_to_open: Duration,
}

/// The password, or where to find it when a connection is opened.
#[derive(Clone)]
pub(crate) enum Password {
    Given(String),
    In(Source),
}

/// A server that may be the one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// On this machine, by the socket in that folder.
    Socket { folder: PathBuf, port: u16 },
    /// By the network. The name is what its certificate is about, also if the address is given.
    Network { name: String, address: Option<IpAddr>, port: u16 },
}

impl Settings {
    /// From a URL; missing parts come from the variables that libpq reads.
    ///
    /// libpq asks the system for the user's name. std has no function for that, so `USER` or `LOGNAME` must
    /// be set, and `HOME` for the user's files.
    pub(crate) fn read(url: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Settings, Error> {
        let parameters = Parameters::collect(url, variable)?;
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let home = set("HOME");
        let schema = parameters.get("schema").map_or_else(|| Ok(Schema::default()), Schema::new)?;
        let said = parameters.get("patience").map(read_patience).transpose();
        let said = said.map_err(|limit| parameters.invalid("patience", limit))?;
        // A mistyped host must not cause a wait, unless a wait was requested.
        let (patience, patience_to_open) = (said.unwrap_or(PATIENCE), said.unwrap_or_default());
        let tls = Tls::read(&parameters, home.as_deref())?;
        let places = places(&parameters, &|socket| socket.exists())?;
        let password = match parameters.get("password") {
            Some(password) => Password::Given(password.to_owned()),
            None => Password::In(parameters.file("passfile", home.as_deref(), ".pgpass")),
        };
        let user = parameters.get("user").map(str::to_owned);
        let user = user.or_else(|| set("USER")).or_else(|| set("LOGNAME")).ok_or_else(|| {
            Refusal::invalid(
                "store",
                "the user is missing; write postgres://USER@HOST/DATABASE, or set PGUSER",
            )
        })?;
        let mut config = parameters.config()?;
        config.dbname(parameters.get("dbname").unwrap_or(&user));
        config.user(user);
        config.ssl_negotiation(tls.negotiation());
        Ok(Settings { config, places, password, tls, schema, patience, patience_to_open })
    }

    /// The URL without secrets, for people.
    pub(crate) fn shown(&self) -> String {
        let encode = |text: &str| url::encode(text, "");
        let user = encode(self.config.get_user().unwrap_or_default());
        let database = encode(self.config.get_dbname().unwrap_or_default());
        let is_socket = |place: &Place| matches!(place, Place::Socket { .. });
        let schema = &self.schema;
        if self.places.iter().any(is_socket) {
            // A folder can't stand before a database's name, unless it is encoded past recognition.
            let hosts: Vec<String> =
                self.places.iter().map(|place| url::encode(&place.host(), "/:")).collect();
            let ports: Vec<String> = self.places.iter().map(|place| place.port().to_string()).collect();
            let (hosts, ports) = (hosts.join(","), ports.join(","));
            return format!("postgres://{user}@/{database}?host={hosts}&port={ports}&schema={schema}");
        }
        let places: Vec<String> = self.places.iter().map(Place::to_string).collect();
        format!("postgres://{user}@{}/{database}?schema={schema}", places.join(","))
    }
}

/// Never derived: the password must not get into a log.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Settings({})", self.shown())
    }
}

impl Place {
    pub(crate) fn port(&self) -> u16 {
        match self {
            Place::Socket { port, .. } | Place::Network { port, .. } => *port,
        }
    }

    fn host(&self) -> String {
        match self {
            Place::Socket { folder, .. } => folder.display().to_string(),
            Place::Network { name, .. } => name.clone(),
        }
    }

    /// What it is called in the password file.
    pub(crate) fn called(&self) -> String {
        match self {
            Place::Socket { folder, .. } if SOCKET_FOLDERS.iter().any(|usual| folder == Path::new(usual)) => {
                LOCALHOST.to_owned()
            }
            Place::Socket { .. } | Place::Network { .. } => self.host(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Socket { folder, port } => write!(f, "{}", socket_in(folder, *port).display()),
            Place::Network { name, port, .. } if name.contains(':') => write!(f, "[{name}]:{port}"),
            Place::Network { name, port, .. } => write!(f, "{name}:{port}"),
        }
    }
}

fn socket_in(folder: &Path, port: u16) -> PathBuf {
    folder.join(format!(".s.PGSQL.{port}"))
}

/// `host`, `hostaddr` and `port` are lists of the same length; one port alone is everybody's.
fn places(parameters: &Parameters, exists: &dyn Fn(&Path) -> bool) -> Result<Vec<Place>, Refusal> {
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
fn place(host: String, address: Option<IpAddr>, port: u16, exists: &dyn Fn(&Path) -> bool) -> Place {
    match address {
        Some(address) => {
            // The address is also what a certificate must be about, if no name is.
            let has_name = !host.is_empty() && !host.starts_with('/');
            let name = if has_name { host } else { address.to_string() };
            Place::Network { name, address: Some(address), port }
        }
        None if host.starts_with('/') => Place::Socket { folder: PathBuf::from(host), port },
        None if host.is_empty() => {
            let folders = SOCKET_FOLDERS.map(Path::new);
            match folders.into_iter().find(|folder| exists(&socket_in(folder, port))) {
                Some(folder) => Place::Socket { folder: folder.to_owned(), port },
                None => Place::Network { name: LOCALHOST.to_owned(), address: None, port },
            }
        }
        None => Place::Network { name: host, address: None, port },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing is set but these, and who the user is.
    fn with(url: &str, variables: &[(&str, &str)]) -> Result<Settings, Error> {
        let variables = [variables, &[("USER", "ann")]].concat();
        Settings::read(url, &|asked| {
            let found = variables.iter().find(|(name, _)| *name == asked);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn shown(url: &str) -> String {
        with(url, &[]).expect("a good URL").shown()
    }

    fn refusal(url: &str) -> String {
        let error = with(url, &[]).expect_err(url);
        error.to_string()
    }

    fn places_of(query: &str, sockets: &[&str]) -> Vec<Place> {
        let parameters =
            Parameters::collect(&format!("postgres://?{query}"), &|_| None).expect("a good query");
        let exists = |socket: &Path| sockets.iter().any(|there| socket == Path::new(there));
        places(&parameters, &exists).expect("good places")
    }

    fn network(name: &str, address: Option<&str>, port: u16) -> Place {
        let address = address.map(|address| address.parse().expect("an address"));
        Place::Network { name: name.to_owned(), address, port }
    }

    #[test]
    fn a_url_wins_over_the_variables() {
        let variables = [
            ("PGHOST", "b"),
            ("PGPORT", "2"),
            ("PGUSER", "bob"),
            ("PGPASSWORD", "bob's"),
            ("PGDATABASE", "bobs"),
            ("PGSSLMODE", "nonsense"),
        ];
        let url = with("postgres://eve:eve%27s@a:1/eves?sslmode=require", &variables).expect("a good URL");
        assert_eq!(url.shown(), "postgres://eve@a:1/eves?schema=tenure");
        assert!(matches!(url.password, Password::Given(password) if password == "eve's"));
        let variables = with("postgres://?sslmode=require", &variables).expect("good variables");
        assert_eq!(variables.shown(), "postgres://bob@b:2/bobs?schema=tenure");
        assert!(matches!(variables.password, Password::Given(password) if password == "bob's"));
    }

    #[test]
    fn a_password_is_never_shown() {
        let settings = with("postgres://ann:secret@a/b?schema=c", &[]).expect("a good URL");
        assert_eq!(settings.shown(), "postgres://ann@a:5432/b?schema=c");
        let debugged = format!("{settings:?} {:?}", settings.config);
        assert!(!debugged.contains("secret"), "{debugged}");
        for wrong in [
            "postgres://ann:secret@a:b/c",
            "postgres://ann:secret/b",
            "postgres://ann:secret@a?schema=1",
            "postgres://ann:secret@a?port=1,2",
            "postgres://ann:secret@a?sslmode=b",
            "postgres://ann:secret@a?b=c",
            "postgres://a/b?password=secret&c=d",
        ] {
            assert!(!refusal(wrong).contains("secret"), "{wrong}");
        }
    }

    #[test]
    fn the_user_is_who_the_system_says_and_the_database_is_called_the_same() {
        let settings = with("postgres://a", &[]).expect("a good URL");
        assert_eq!((settings.config.get_user(), settings.config.get_dbname()), (Some("ann"), Some("ann")));
        let logname = |name: &str| (name == "LOGNAME").then(|| "bob".to_owned());
        let settings = Settings::read("postgres://a", &logname).expect("a good URL");
        assert_eq!(settings.config.get_user(), Some("bob"));
        let refusal = Settings::read("postgres://a", &|_| None).expect_err("no user");
        assert!(refusal.to_string().contains("PGUSER"), "{refusal}");
    }

    #[test]
    fn the_password_file_lies_in_the_home_folder_unless_it_is_named() {
        let file = |url: &str, variables: &[(&str, &str)]| match with(url, variables).expect("good").password
        {
            Password::In(source) => source,
            Password::Given(_) => panic!("no password is given"),
        };
        let usual = || Source::Usual("/home/ann/.pgpass".into());
        assert_eq!(file("postgres://a", &[("HOME", "/home/ann")]), usual());
        assert_eq!(file("postgres://ann:@a", &[("HOME", "/home/ann"), ("PGPASSWORD", "")]), usual());
        assert_eq!(file("postgres://a", &[("HOME", "")]), Source::Nowhere);
        let named = [("PGPASSFILE", "/b"), ("HOME", "/home/ann")];
        assert_eq!(file("postgres://a", &named), Source::Named("/b".into()));
        assert_eq!(file("postgres://a?passfile=/c", &named), Source::Named("/c".into()));
    }

    #[test]
    fn several_servers_are_tried_in_their_order() {
        assert_eq!(
            places_of("host=a,::1,/run/pg&port=1,,3", &[]),
            [
                network("a", None, 1),
                network("::1", None, 5432),
                Place::Socket { folder: "/run/pg".into(), port: 3 },
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
    fn lists_of_servers_must_be_of_one_length() {
        assert!(
            refusal("postgres://?host=a,b&port=1,2,3")
                .contains("`port` has 3 items, but there are 2 servers")
        );
        assert!(refusal("postgres://?host=a,b&hostaddr=10.0.0.1").contains("`hostaddr` has 1 items"));
        assert!(refusal("postgres://?hostaddr=b").contains("hostaddr has the invalid value `b`"));
        for port in ["0", "65536", "-1", "x"] {
            assert!(refusal(&format!("postgres://a:{port}")).contains("from 1 to 65535"), "{port}");
        }
    }

    #[test]
    fn a_server_that_nobody_names_is_on_this_machine() {
        let (debian, usual) = ("/var/run/postgresql/.s.PGSQL.5432", "/tmp/.s.PGSQL.5432");
        let socket = |folder: &str| [Place::Socket { folder: folder.into(), port: 5432 }];
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

    #[test]
    fn what_is_shown_is_a_url_that_means_the_same() {
        for url in [
            "postgres://ann@a:5432/b?schema=tenure",
            "postgres://ann@[::1]:6432,b:5432/c?schema=d",
            "postgres://a%40b@c:5432/d%2Fe%20f?schema=tenure",
            "postgres://ann@/b?host=/run/pg,a&port=6432,5432&schema=tenure",
        ] {
            assert_eq!(shown(url), url);
        }
    }

    #[test]
    fn a_schema_has_a_plain_name_and_none_of_postgresql_s_own() {
        let longest = "a".repeat(63);
        for good in ["tenure", "_", "a1_b", "user", "page", longest.as_str()] {
            assert_eq!(Schema::new(good).expect(good).as_str(), good);
        }
        let too_long = "a".repeat(64);
        for bad in ["", "1a", "A", "pg_a", "a-b", "a b", "a\"b", "ä", too_long.as_str()] {
            let refusal = Schema::new(bad).expect_err(bad);
            assert_eq!(refusal.field, Some("store"));
            assert!(refusal.message.contains(&format!("`{bad}` is not a valid schema name")), "{refusal}");
        }
        assert!(refusal("postgres://?schema=A").contains("`A` is not a valid schema name"));
    }

    #[test]
    fn a_statement_is_for_the_schema_that_was_chosen() {
        let schema = Schema::new("order").expect("a good name");
        let sql = "select from tenure.tasks join tenure.due";
        assert_eq!(schema.in_sql(sql), r#"select from "order".tasks join "order".due"#);
    }
}
