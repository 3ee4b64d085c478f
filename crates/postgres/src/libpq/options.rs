//! What one connection needs: where the servers are, who logs in, and by which files.

use std::fmt;
use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tenure_core::refusal::Refusal;
use tokio_postgres::Config;

use super::file::Source;
use super::parameters::Parameters;
use super::places::{ServerAddress, places};
use super::tls::Tls;

/// What is encoded in a URL: all but what never has a meaning there.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same for a host in a query.
const ENCODED_IN_HOST: &AsciiSet = &ENCODED.remove(b'/').remove(b':');

/// How to connect to a database.
#[derive(Clone)]
pub(crate) struct ConnectOptions {
    /// What is the same for every place: neither address nor password.
    pub(crate) config: Config,
    /// Its possible servers, in order. There is at least one.
    pub(super) places: Vec<ServerAddress>,
    pub(super) password: Password,
    pub(super) tls: Tls,
}

/// The password, or where to find it when a connection is opened.
#[derive(Clone)]
pub(super) enum Password {
    Given(String),
    In(Source),
}

impl ConnectOptions {
    /// By what is given for each parameter.
    ///
    /// libpq asks the system for the user's name. std has no function for that, so `USER` or `LOGNAME` must
    /// be set, and `HOME` for the user's files.
    pub(crate) fn read(
        parameters: &Parameters,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<ConnectOptions, Refusal> {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let home = set("HOME");
        let tls = Tls::read(parameters, home.as_deref())?;
        let places = places(parameters, &Path::exists)?;
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
        Ok(ConnectOptions { config, places, password, tls })
    }

    /// The URL without what is secret, for people. `query` is what it ends in.
    pub(crate) fn redacted_url(&self, query: &str) -> String {
        let encode = |text| utf8_percent_encode(text, ENCODED);
        let user = encode(self.config.get_user().unwrap_or_default());
        let database = encode(self.config.get_dbname().unwrap_or_default());
        let joined =
            |of: &dyn Fn(&ServerAddress) -> String| self.places.iter().map(of).collect::<Vec<_>>().join(",");
        if self.places.iter().any(|place| matches!(place, ServerAddress::Socket { .. })) {
            // A folder can't stand before a database's name, unless it is encoded past recognition.
            let hosts = joined(&|place| utf8_percent_encode(&place.host(), ENCODED_IN_HOST).to_string());
            let ports = joined(&|place| place.port().to_string());
            return format!("postgres://{user}@/{database}?host={hosts}&port={ports}&{query}");
        }
        format!("postgres://{user}@{}/{database}?{query}", joined(&ServerAddress::to_string))
    }
}

/// Never derived: the password must not get into a log.
impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectOptions({})", self.redacted_url(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing is set but these, and who the user is.
    fn with(url: &str, variables: &[(&str, &str)]) -> Result<ConnectOptions, Refusal> {
        let variables = [variables, &[("USER", "ann")]].concat();
        read(url, &|asked| {
            let found = variables.iter().find(|(name, _)| *name == asked);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn read(url: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<ConnectOptions, Refusal> {
        ConnectOptions::read(&Parameters::collect(url, &[], variable)?, variable)
    }

    fn refusal(url: &str) -> String {
        with(url, &[]).expect_err(url).to_string()
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
        assert_eq!(url.redacted_url("x"), "postgres://eve@a:1/eves?x");
        assert!(matches!(url.password, Password::Given(password) if password == "eve's"));
        let variables = with("postgres://?sslmode=require", &variables).expect("good variables");
        assert_eq!(variables.redacted_url("x"), "postgres://bob@b:2/bobs?x");
        assert!(matches!(variables.password, Password::Given(password) if password == "bob's"));
    }

    #[test]
    fn a_password_is_never_shown() {
        let options = with("postgres://ann:secret@a/b", &[]).expect("a good URL");
        let debugged = format!("{options:?} {:?}", options.config);
        assert!(!debugged.contains("secret"), "{debugged}");
        for wrong in [
            "postgres://ann:secret@a:b/c",
            "postgres://ann:secret/b",
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
        let config = with("postgres://a", &[]).expect("a good URL").config;
        assert_eq!((config.get_user(), config.get_dbname()), (Some("ann"), Some("ann")));
        let logname = |name: &str| (name == "LOGNAME").then(|| "bob".to_owned());
        let config = read("postgres://a", &logname).expect("a good URL").config;
        assert_eq!(config.get_user(), Some("bob"));
        let refusal = read("postgres://a", &|_| None).expect_err("no user");
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
}
