//! The parameters of a connection: from the URL, else from the environment variables that libpq reads, else the
//! default.
//!
//! Parameters that Tenure itself interprets are read elsewhere. tokio-postgres interprets the rest.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tenure_core::refusal::Refusal;
use tokio_postgres::Config;

use super::file::Source;
use super::url;

/// A parameter that is known: its name, the variable that gives it where the URL does not, and what it is
/// else.
struct Known {
    name: &'static str,
    variable: Option<&'static str>,
    default: Option<&'static str>,
}

const fn known(name: &'static str, variable: &'static str) -> Known {
    Known { name, variable: Some(variable), default: None }
}

const fn without_variable(name: &'static str) -> Known {
    Known { name, variable: None, default: None }
}

impl Known {
    const fn or(self, default: &'static str) -> Known {
        Known { default: Some(default), ..self }
    }
}

/// Where libpq would wait for ever, these have limits: ten seconds for a server that does not answer, and half a
/// minute for a connection whose data is not acknowledged. And a ledger writes, so standbys are skipped.
const KNOWN: [Known; 23] = [
    known("host", "PGHOST"),
    known("hostaddr", "PGHOSTADDR"),
    known("port", "PGPORT"),
    known("user", "PGUSER"),
    known("password", "PGPASSWORD"),
    known("passfile", "PGPASSFILE"),
    known("dbname", "PGDATABASE"),
    known("sslmode", "PGSSLMODE"),
    known("sslnegotiation", "PGSSLNEGOTIATION"),
    known("sslrootcert", "PGSSLROOTCERT"),
    known("sslcert", "PGSSLCERT"),
    known("sslkey", "PGSSLKEY"),
    known("channel_binding", "PGCHANNELBINDING"),
    known("application_name", "PGAPPNAME").or("tenure"),
    known("options", "PGOPTIONS"),
    known("target_session_attrs", "PGTARGETSESSIONATTRS").or("read-write"),
    known("load_balance_hosts", "PGLOADBALANCEHOSTS"),
    known("connect_timeout", "PGCONNECT_TIMEOUT").or("10"),
    without_variable("tcp_user_timeout").or("30000"),
    without_variable("keepalives").or("1"),
    without_variable("keepalives_idle"),
    without_variable("keepalives_interval"),
    without_variable("keepalives_count"),
];

/// Those that tokio-postgres reads as libpq does, with its name for them and what they may be.
const PASSED: [(&str, &str, &str); 10] = [
    ("channel_binding", "channel_binding", "disable, prefer or require"),
    ("application_name", "application_name", "any text"),
    ("options", "options", "any text"),
    ("target_session_attrs", "target_session_attrs", "any, read-write or read-only"),
    ("load_balance_hosts", "load_balance_hosts", "disable or random"),
    ("connect_timeout", "connect_timeout", "a number of seconds, or 0 for no limit"),
    ("keepalives", "keepalives", "1 or 0"),
    ("keepalives_idle", "keepalives_idle", "a number of seconds"),
    ("keepalives_interval", "keepalives_interval", "a number of seconds"),
    ("keepalives_count", "keepalives_retries", "a number"),
];

/// Its name for what libpq calls `keepalives_count`: URLs that were written for tokio-postgres have it.
const COUNT_OF_TOKIO_POSTGRES: &str = "keepalives_retries";

/// What is given for each parameter. None is empty.
pub(crate) struct Parameters(BTreeMap<&'static str, Given>);

struct Given {
    value: String,
    /// The parameter, or the variable that it came from.
    named: &'static str,
}

/// Variables of libpq that ask for something that is not there. To pass over them would be to connect elsewhere, or with
/// less proof, than was asked for.
const NOT_READ: [(&str, &str); 4] = [
    ("PGSERVICE", "services are not supported; give host and database instead"),
    ("PGSSLCRL", "revocation lists are not supported"),
    ("PGSSLCRLDIR", "revocation lists are not supported"),
    ("PGREQUIREAUTH", "requiring an authentication method is not supported"),
];

impl Parameters {
    /// The URL wins over a variable, and that over the default. `own` are the parameters that the URL may have besides
    /// libpq's.
    pub(crate) fn collect(
        url: &str,
        own: &[&'static str],
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Parameters, Refusal> {
        let mut given = BTreeMap::new();
        for (name, value) in url::split(url)? {
            let named = if name == COUNT_OF_TOKIO_POSTGRES { "keepalives_count" } else { name.as_str() };
            let named = names(own).find(|known| *known == named).ok_or_else(|| unknown(&name, own))?;
            given.insert(named, Given { value, named });
        }
        for (named, what) in NOT_READ {
            if variable(named).is_some_and(|value| !value.is_empty()) {
                let limit = format_args!("{named} is set, but {what}; unset it for this program");
                return Err(Refusal::invalid("store", limit));
            }
        }
        // A URL that names a server means that one: a part of another server's address must not be mixed in.
        let names_a_server = given.contains_key("host") || given.contains_key("hostaddr");
        for known in &KNOWN {
            let is_address = known.name == "host" || known.name == "hostaddr";
            if given.contains_key(known.name) || (is_address && names_a_server) {
                continue;
            }
            let set = known.variable.and_then(|named| Some((named, variable(named)?)));
            let set = set.filter(|(_, value)| !value.is_empty());
            let default = || known.default.map(|value| (known.name, value.to_owned()));
            if let Some((named, value)) = set.or_else(default) {
                given.insert(known.name, Given { value, named });
            }
        }
        Ok(Parameters(given))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|given| given.value.as_str())
    }

    /// The parameter has an invalid value. The message contains the value: never call this for a password.
    pub(crate) fn invalid(&self, name: &str, way_out: &str) -> Refusal {
        let given = self.0.get(name);
        let (named, value) = given.map_or((name, ""), |given| (given.named, given.value.as_str()));
        Refusal::invalid("store", format_args!("{named} has the invalid value `{value}`; {way_out}"))
    }

    /// A file: the named one, or the one that lies there in the home folder.
    pub(crate) fn file(&self, name: &str, home: Option<&str>, usual: &str) -> Source {
        match (self.get(name), home) {
            (Some(path), _) => Source::Named(PathBuf::from(path)),
            (None, Some(home)) => Source::Usual(PathBuf::from(home).join(usual)),
            (None, None) => Source::Nowhere,
        }
    }

    /// Everything that is the same for each server, but for user and database.
    pub(crate) fn config(&self) -> Result<Config, Refusal> {
        let mut words = String::new();
        for (name, passed_as, may_be) in PASSED {
            let Some(value) = self.get(name) else { continue };
            let word = format!("{passed_as}='{}' ", value.replace('\\', "\\\\").replace('\'', "\\'"));
            if word.parse::<Config>().is_err() {
                return Err(self.invalid(name, &format!("it must be {may_be}")));
            }
            words.push_str(&word);
        }
        let mut config: Config = words
            .parse()
            .map_err(|error| Refusal::invalid("store", format_args!("tokio-postgres rejects it: {error}")))?;
        // tokio-postgres would take libpq's milliseconds for seconds.
        if let Some(milliseconds) = self.get("tcp_user_timeout") {
            let milliseconds: i32 = milliseconds.parse().map_err(|_| {
                self.invalid(
                    "tcp_user_timeout",
                    "it must be a number of milliseconds, or 0 for the system's limit",
                )
            })?;
            if let Some(milliseconds) = u64::try_from(milliseconds).ok().filter(|limit| *limit > 0) {
                config.tcp_user_timeout(Duration::from_millis(milliseconds));
            }
        }
        Ok(config)
    }
}

fn names(own: &[&'static str]) -> impl Iterator<Item = &'static str> {
    own.iter().copied().chain(KNOWN.iter().map(|known| known.name))
}

fn unknown(name: &str, own: &[&'static str]) -> Refusal {
    let names: Vec<&str> = names(own).collect();
    Refusal::invalid(
        "store",
        format_args!(
            "unknown parameter `{name}` of a PostgreSQL store; use one of {}. Those of libpq are explained at \
             https://www.postgresql.org/docs/current/libpq-connect.html",
            names.join(", ")
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use tokio_postgres::config::{ChannelBinding, LoadBalanceHosts, TargetSessionAttrs};

    use super::*;

    fn with(url: &str, variables: &[(&str, &str)]) -> Result<Parameters, Refusal> {
        let variable = |asked: &str| {
            let found = variables.iter().find(|(name, _)| *name == asked);
            found.map(|(_, value)| (*value).to_owned())
        };
        Parameters::collect(url, &[], &variable)
    }

    fn config(url: &str) -> Result<Config, String> {
        let parameters = with(url, &[]).expect("a good URL");
        parameters.config().map_err(|refusal| refusal.message.into())
    }

    #[test]
    fn a_url_wins_over_the_variables_and_they_over_the_defaults() {
        let variables = [("PGAPPNAME", "variable"), ("PGUSER", "ann"), ("PGCONNECT_TIMEOUT", "")];
        let parameters = with("postgres://?application_name=url", &variables).expect("a good URL");
        assert_eq!(parameters.get("application_name"), Some("url"));
        assert_eq!(parameters.get("user"), Some("ann"));
        assert_eq!(parameters.get("connect_timeout"), Some("10"));
        assert_eq!(parameters.get("dbname"), None);
    }

    #[test]
    fn each_variable_sets_the_parameter_that_libpq_says() {
        let variables = [
            ("PGHOST", "host"),
            ("PGHOSTADDR", "hostaddr"),
            ("PGPORT", "port"),
            ("PGUSER", "user"),
            ("PGPASSWORD", "password"),
            ("PGPASSFILE", "passfile"),
            ("PGDATABASE", "dbname"),
            ("PGSSLMODE", "sslmode"),
            ("PGSSLNEGOTIATION", "sslnegotiation"),
            ("PGSSLROOTCERT", "sslrootcert"),
            ("PGSSLCERT", "sslcert"),
            ("PGSSLKEY", "sslkey"),
            ("PGCHANNELBINDING", "channel_binding"),
            ("PGAPPNAME", "application_name"),
            ("PGOPTIONS", "options"),
            ("PGTARGETSESSIONATTRS", "target_session_attrs"),
            ("PGLOADBALANCEHOSTS", "load_balance_hosts"),
            ("PGCONNECT_TIMEOUT", "connect_timeout"),
        ];
        // Each has the name of its parameter for a value.
        let parameters = with("postgres://", &variables).expect("a good URL");
        for (variable, name) in variables {
            assert_eq!(parameters.get(name), Some(name), "{variable}");
        }
        assert_eq!(KNOWN.iter().filter(|known| known.variable.is_some()).count(), variables.len());
    }

    #[test]
    fn who_names_a_server_gets_no_half_of_another_ones_address() {
        let variables = [("PGHOST", "b"), ("PGHOSTADDR", "10.0.0.1"), ("PGPORT", "6432")];
        let parameters = with("postgres://a", &variables).expect("a good URL");
        let named = ["host", "hostaddr", "port"].map(|name| parameters.get(name));
        assert_eq!(named, [Some("a"), None, Some("6432")]);
        let parameters = with("postgres://?hostaddr=10.0.0.2", &variables).expect("a good URL");
        let named = ["host", "hostaddr"].map(|name| parameters.get(name));
        assert_eq!(named, [None, Some("10.0.0.2")]);
    }

    #[test]
    fn an_unknown_parameter_is_refused_by_its_name() {
        let refusal = with("postgres://ann:secret@a/b?sslcrl=c", &[]).err().expect("no such parameter");
        assert!(refusal.message.starts_with("store: unknown parameter `sslcrl`"), "{refusal}");
        assert!(refusal.message.contains("sslrootcert, "), "{refusal}");
        assert!(refusal.message.contains("libpq-connect.html"), "{refusal}");
        assert!(!refusal.message.contains("secret"), "{refusal}");
    }

    #[test]
    fn a_variable_that_asks_for_what_is_not_there_is_refused_and_not_passed_over() {
        for (named, _) in NOT_READ {
            let refusal = with("postgres://a/b", &[(named, "x")]).err().expect("not there");
            assert!(refusal.message.contains(named), "{refusal}");
        }
        assert!(with("postgres://a/b", &[("PGSERVICE", "")]).is_ok());
    }

    #[test]
    fn a_value_that_can_t_be_is_told_with_who_gave_it_and_what_it_may_be() {
        let parameters = with("postgres://", &[("PGTARGETSESSIONATTRS", "primary")]).expect("a good URL");
        let refusal = parameters.config().expect_err("not known to tokio-postgres");
        assert_eq!(
            &*refusal.message,
            "store: PGTARGETSESSIONATTRS has the invalid value `primary`; it must be any, read-write or read-only"
        );
        for (name, _, may_be) in PASSED.iter().filter(|(_, _, may_be)| *may_be != "any text") {
            let told = config(&format!("postgres://?{name}=what")).expect_err(name);
            assert_eq!(told, format!("store: {name} has the invalid value `what`; it must be {may_be}"));
        }
        let told = config("postgres://?tcp_user_timeout=30s").expect_err("a unit");
        assert!(told.contains("milliseconds"), "{told}");
    }

    #[test]
    fn nothing_waits_for_ever_unless_it_is_asked_for() {
        let usual = config("postgres://").expect("the defaults");
        assert_eq!(usual.get_connect_timeout(), Some(&Duration::from_secs(10)));
        assert_eq!(usual.get_tcp_user_timeout(), Some(&Duration::from_secs(30)));
        assert!(usual.get_keepalives());
        assert_eq!(usual.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        assert_eq!(usual.get_application_name(), Some("tenure"));

        let asked =
            config("postgres://?connect_timeout=0&tcp_user_timeout=0&keepalives=0&target_session_attrs=any")
                .expect("good values");
        assert_eq!(asked.get_connect_timeout(), None);
        assert_eq!(asked.get_tcp_user_timeout(), None);
        assert!(!asked.get_keepalives());
        assert_eq!(asked.get_target_session_attrs(), TargetSessionAttrs::Any);
    }

    #[test]
    fn whatever_tokio_postgres_knows_reaches_it() {
        let config = config(
            "postgres://?application_name=it%27s%20%5C%20mine&options=-c%20a=b&keepalives_idle=1\
             &keepalives_interval=2&keepalives_retries=3&channel_binding=require&load_balance_hosts=random&connect_timeout=4\
             &tcp_user_timeout=5000",
        )
        .expect("good values");
        assert_eq!(config.get_application_name(), Some("it's \\ mine"));
        assert_eq!(config.get_options(), Some("-c a=b"));
        assert_eq!(config.get_keepalives_idle(), Duration::from_secs(1));
        assert_eq!(config.get_keepalives_interval(), Some(Duration::from_secs(2)));
        assert_eq!(config.get_keepalives_retries(), Some(3));
        assert_eq!(config.get_channel_binding(), ChannelBinding::Require);
        assert_eq!(config.get_load_balance_hosts(), LoadBalanceHosts::Random);
        assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(4)));
        assert_eq!(config.get_tcp_user_timeout(), Some(&Duration::from_secs(5)));
        assert_eq!((config.get_hosts(), config.get_hostaddrs()), (&[][..], &[] as &[IpAddr]));
    }

    #[test]
    fn a_file_is_the_named_one_or_lies_in_the_home_folder() {
        let parameters = with("postgres://?sslcert=/a", &[]).expect("a good URL");
        assert_eq!(parameters.file("sslcert", Some("/home/ann"), "c"), Source::Named("/a".into()));
        assert_eq!(parameters.file("sslkey", Some("/home/ann"), "c"), Source::Usual("/home/ann/c".into()));
        assert_eq!(parameters.file("sslkey", None, "c"), Source::Nowhere);
    }
}
