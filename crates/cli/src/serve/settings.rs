//! The settings of a server: each from its option, else its environment variable, else the settings file, else its
//! default.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tenure::access::Token;
use tenure::core::time::Span;
use tenure::store::retention::KEPT_AT_LEAST;
use tenure_server::{Exposure, Limits};

use super::tls::Tls;
use crate::config::ServeSection;
use crate::error::CliError;
use crate::io::{Variables, variable};
use crate::logs::Logs;
use crate::store::StoreSelection;
use crate::values::span;

/// The options of `tenure serve`.
#[derive(Args, Default)]
pub(super) struct Said {
    /// Address to listen on [default: 127.0.0.1:7117] [env: TENURE_LISTEN]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// TLS certificate chain of the server, in PEM [env: TENURE_TLS_CERT]
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate, in PEM [env: TENURE_TLS_KEY]
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Accept plain HTTP from other machines, because a proxy in front terminates TLS [env: TENURE_TLS_ELSEWHERE]
    #[arg(long, conflicts_with_all = ["tls_cert", "tls_key"])]
    tls_elsewhere: bool,
    /// Another host name to accept requests for while no token exists. Can be repeated; with commas in the variable
    /// [env: TENURE_HOSTS]
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// How long requests and undos in progress may take when the server stops [default: 20s] [env: TENURE_GRACE]
    #[arg(long, value_name = "DURATION")]
    grace: Option<String>,
    /// Don't run recovery in this server [env: TENURE_RECOVERY=false]
    #[arg(long)]
    no_recovery: bool,
    /// Maximum number of tasks to undo at the same time [default: 32] [env: TENURE_UNDO_CONCURRENCY]
    #[arg(long, value_name = "COUNT", help_heading = "Advanced")]
    undo_concurrency: Option<String>,
    /// How long a task that this server has no handler for is left to other servers, before it is quarantined [default: 10m]
    /// [env: TENURE_HANDLER_WAIT]
    #[arg(long, value_name = "DURATION", help_heading = "Advanced")]
    handler_wait: Option<String>,
    /// Delete tasks that ended at least this long ago, 7d or more, in all namespaces; see `tenure prune`
    /// [default: keep them] [env: TENURE_RETAIN]
    #[arg(long, value_name = "DURATION")]
    retain: Option<String>,
    /// Maximum number of open connections; more have to wait [default: 12000] [env: TENURE_CONNECTIONS_MAX]
    #[arg(long, value_name = "COUNT", help_heading = "Advanced")]
    connections_max: Option<String>,
    /// Maximum size of a request body [default: 16777216] [env: TENURE_BODY_MAX]
    #[arg(long, value_name = "BYTES", help_heading = "Advanced")]
    body_max: Option<String>,
    /// Maximum memory for all requests together, on top of an idle server's [default: 536870912] [env: TENURE_MEMORY_MAX]
    #[arg(long, value_name = "BYTES", help_heading = "Advanced")]
    memory_max: Option<String>,
    /// Maximum requests per second from one caller; 0 for no limit [default: 20000] [env: TENURE_RATE]
    #[arg(long, value_name = "COUNT", help_heading = "Advanced")]
    rate: Option<String>,
    /// Log level: off, error, warn, info, debug, trace, or levels per module such as info,tenure_server=debug [default: info]
    /// [env: TENURE_LOG]
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
    /// Log format: text, or json for one object per line [default: text] [env: TENURE_LOG_FORMAT]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// OpenTelemetry collector to send traces to over HTTP, such as http://localhost:4318 [default: none]
    /// [env: OTEL_EXPORTER_OTLP_ENDPOINT]
    #[arg(long, value_name = "URL", help_heading = "Advanced")]
    otlp: Option<String>,
}

impl Said {
    /// The options of a server that is only tried out: it stops soon, and logs only errors.
    pub(super) fn for_this_machine(listen: &str, handler_wait: &str) -> Said {
        Said {
            listen: Some(listen.to_owned()),
            grace: Some("2s".to_owned()),
            handler_wait: Some(handler_wait.to_owned()),
            log: Some("error".to_owned()),
            ..Said::default()
        }
    }
}

/// The longest allowed grace.
const GRACE_MAX: Duration = Duration::from_secs(60 * 60);
const MIB: u64 = 1_024 * 1_024;

/// Where a setting comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum From {
    Option,
    Variable,
    File,
    Default,
}

impl From {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            From::Option => "option",
            From::Variable => "variable",
            From::File => "file",
            From::Default => "default",
        }
    }
}

/// The settings in effect.
pub(super) struct ServeOptions {
    pub(super) listen: String,
    pub(super) tls: Tls,
    pub(super) tls_elsewhere: bool,
    pub(super) hosts: Vec<String>,
    pub(super) grace: Duration,
    pub(super) recovery: bool,
    pub(super) undo_concurrency: usize,
    pub(super) handler_wait: Duration,
    pub(super) retain: Option<Span>,
    pub(super) connections_max: usize,
    pub(super) body_max: usize,
    pub(super) memory_max: usize,
    pub(super) rate: u32,
    pub(super) logs: Logs,
    pub(super) store_from: From,
    /// All settings by name, as `--check` prints them.
    pub(super) told: Vec<(&'static str, String, From)>,
}

/// Finds settings one by one, and remembers where each came from.
struct Finder<'a> {
    variables: &'a Variables,
    told: Vec<(&'static str, String, From)>,
}

impl Finder<'_> {
    /// The text of a setting, from the first source that has it.
    fn text(
        &mut self,
        name: &'static str,
        said: Option<String>,
        file: Option<String>,
        default: &str,
    ) -> String {
        // OpenTelemetry has a standard name for this variable.
        let key = match name {
            "otlp" => "OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(),
            _ => format!("TENURE_{}", name.to_ascii_uppercase()),
        };
        let found = said.map(|text| (text, From::Option));
        let found = found.or_else(|| variable(self.variables, &key).map(|text| (text, From::Variable)));
        let found = found.or_else(|| file.map(|text| (text, From::File)));
        let (text, from) = found.unwrap_or_else(|| (default.to_owned(), From::Default));
        self.told.push((name, text.clone(), from));
        text
    }

    fn number(
        &mut self,
        name: &'static str,
        said: Option<String>,
        file: Option<u64>,
        usual: u64,
        bounds: RangeInclusive<u64>,
    ) -> Result<u64, CliError> {
        let text = self.text(name, said, file.map(|number| number.to_string()), &usual.to_string());
        let number: Option<u64> = text.parse().ok().filter(|number| bounds.contains(number));
        number.ok_or_else(|| {
            let (least, most) = bounds.into_inner();
            CliError::Usage(format!("{name}: `{text}` is not a whole number from {least} to {most}"))
        })
    }

    fn length(
        &mut self,
        name: &'static str,
        said: Option<String>,
        file: Option<String>,
        usual: &str,
    ) -> Result<Duration, CliError> {
        let text = self.text(name, said, file, usual);
        let length = span(name, Some(&text))?;
        Ok(length.map(Duration::from).unwrap_or_default())
    }

    fn word(
        &mut self,
        name: &'static str,
        said: Option<bool>,
        file: Option<bool>,
        usual: &str,
    ) -> Result<bool, CliError> {
        let text = |word: bool| word.to_string();
        match self.text(name, said.map(text), file.map(text), usual).as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            other => Err(CliError::Usage(format!("{name}: `{other}` is not true or false"))),
        }
    }
}

impl ServeOptions {
    pub(super) fn of(
        said: &Said,
        common: &StoreSelection,
        variables: &Variables,
    ) -> Result<ServeOptions, CliError> {
        let file = common.config.serve.clone().unwrap_or_default();
        let mut find = Finder { variables, told: Vec::new() };
        let listen = find.text("listen", said.listen.clone(), file.listen.clone(), "127.0.0.1:7117");
        is_place(&listen)?;
        let tls = tls(&mut find, said, &file, common);
        let elsewhere = said.tls_elsewhere.then_some(true);
        let tls_elsewhere = find.word("tls_elsewhere", elsewhere, file.tls_elsewhere, "false")?;
        let hosts = (!said.host.is_empty()).then(|| said.host.join(","));
        let hosts = find.text("hosts", hosts, file.hosts.map(|hosts| hosts.join(",")), "");
        let hosts = hosts.split(',').map(str::trim).filter(|host| !host.is_empty());
        let hosts = hosts.map(host_name).collect::<Result<Vec<String>, CliError>>()?;
        let grace = find.length("grace", said.grace.clone(), file.grace, "20s")?;
        if grace > GRACE_MAX {
            return Err(CliError::Usage(
                "grace: at most 1h; a second signal stops the server earlier".into(),
            ));
        }
        let recovery = find.word("recovery", said.no_recovery.then_some(false), file.recovery, "true")?;
        let undo = said.undo_concurrency.clone();
        let undo_concurrency = find.number("undo_concurrency", undo, file.undo_concurrency, 32, 1..=1_000)?;
        let handler_wait =
            find.length("handler_wait", said.handler_wait.clone(), file.handler_wait, "10m")?;
        let retain = retain(&find.text("retain", said.retain.clone(), file.retain, ""))?;
        let connections = said.connections_max.clone();
        let connections_max =
            find.number("connections_max", connections, file.connections_max, 12_000, 1..=1_000_000)?;
        let body_max = said.body_max.clone();
        let body_max = find.number("body_max", body_max, file.body_max, 16 * MIB, 1_024..=682 * MIB)?;
        let memory_max = said.memory_max.clone();
        let memory_max =
            find.number("memory_max", memory_max, file.memory_max, 512 * MIB, 64 * MIB..=4_095 * MIB)?;
        let needed = body_max * Limits::MEMORY_OF_A_BODY as u64;
        if memory_max < needed {
            return Err(CliError::Usage(format!(
                "memory_max: a request body of {body_max} bytes (body_max) needs {needed} bytes with its response; pass a larger \
                 --memory-max or a smaller --body-max"
            )));
        }
        let rate = find.number("rate", said.rate.clone(), file.rate, 20_000, 0..=1_000_000_000)?;
        let level = find.text("log", said.log.clone(), file.log, "info");
        let form = find.text("log_format", said.log_format.clone(), file.log_format, "text");
        let otlp = find.text("otlp", said.otlp.clone(), file.otlp, "");
        Ok(ServeOptions {
            listen,
            tls,
            tls_elsewhere,
            hosts,
            grace,
            recovery,
            undo_concurrency: usize::try_from(undo_concurrency).unwrap_or(usize::MAX),
            handler_wait,
            retain,
            connections_max: usize::try_from(connections_max).unwrap_or(usize::MAX),
            body_max: usize::try_from(body_max).unwrap_or(usize::MAX),
            memory_max: usize::try_from(memory_max).unwrap_or(usize::MAX),
            rate: u32::try_from(rate).unwrap_or(u32::MAX),
            logs: Logs::new(&level, &form, &otlp)?,
            store_from: store_from(common, variables),
            told: find.told,
        })
    }

    /// Whether other machines could reach the address.
    pub(super) fn exposure(&self) -> Exposure {
        let addresses = self.listen.to_socket_addrs().map(|found| found.collect::<Vec<SocketAddr>>());
        exposure_of(&addresses.unwrap_or_default())
    }

    /// Refuses to listen beyond loopback without a token or without TLS.
    pub(super) fn may_listen(&self, exposure: Exposure, tokens: &[Token]) -> Result<(), CliError> {
        if exposure == Exposure::Loopback {
            return Ok(());
        }
        if !self.tls.is_on() && !self.tls_elsewhere {
            return Err(CliError::Usage(format!(
                "{} can be reached from other machines, so tokens need TLS: pass --tls-cert and --tls-key, or --tls-elsewhere if a \
                 proxy in front terminates TLS",
                self.listen
            )));
        }
        if tokens.iter().all(|token| token.revoked_at.is_some()) {
            return Err(CliError::Usage(format!(
                "{} can be reached from other machines, but no token exists: create one first, \
                 `tenure token create --name admin --role admin --namespace '*'`",
                self.listen
            )));
        }
        Ok(())
    }
}

/// Whether other machines can reach these addresses. An unknown address may be any.
pub(super) fn exposure_of(addresses: &[SocketAddr]) -> Exposure {
    let is_own = !addresses.is_empty() && addresses.iter().all(|address| address.ip().is_loopback());
    if is_own { Exposure::Loopback } else { Exposure::Network }
}

/// Checks that the text is an address with a port: a wrong port would be reported as an unknown host name.
fn is_place(listen: &str) -> Result<(), CliError> {
    let place =
        listen.rsplit_once(':').filter(|(address, port)| !address.is_empty() && port.parse::<u16>().is_ok());
    match place {
        Some((address, _)) if !address.contains(':') || address.starts_with('[') => Ok(()),
        Some(_) | None => Err(CliError::Usage(format!(
            "listen: `{listen}` is not an address with a port, such as 127.0.0.1:7117 or [::1]:7117"
        ))),
    }
}

/// A host name that requests may be for. A URL can have brackets around it that a request's host does not have.
fn host_name(host: &str) -> Result<String, CliError> {
    let bare = host.trim_matches(['[', ']']);
    let is_address = bare.parse::<IpAddr>().is_ok();
    let is_name =
        !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
    if is_address || is_name {
        return Ok(bare.to_owned());
    }
    let words = "is not a host name; pass it without scheme, port, path or `*`";
    Err(CliError::Usage(format!("hosts: `{host}` {words}")))
}

/// How long ended tasks are kept; none: for ever.
fn retain(text: &str) -> Result<Option<Span>, CliError> {
    let Some(retain) = span("retain", Some(text).filter(|text| !text.is_empty()))? else { return Ok(None) };
    if retain < KEPT_AT_LEAST {
        let words = format!(
            "retain: at least {KEPT_AT_LEAST}, because repeated requests are answered from the history"
        );
        return Err(CliError::Usage(words));
    }
    Ok(Some(retain))
}

fn store_from(common: &StoreSelection, variables: &Variables) -> From {
    match &common.store {
        None => From::Default,
        Some(store) if variable(variables, "TENURE_STORE").as_ref() == Some(store) => From::Variable,
        Some(store) if common.config.store.as_ref() == Some(store) => From::File,
        Some(_) => From::Option,
    }
}

fn tls(find: &mut Finder<'_>, said: &Said, file: &ServeSection, common: &StoreSelection) -> Tls {
    let text = |path: &Path| path.display().to_string();
    let beside = |path: &Option<PathBuf>| path.as_deref().map(|path| text(&common.config.beside(path)));
    let certificate = find.text("tls_cert", said.tls_cert.as_deref().map(text), beside(&file.tls_cert), "");
    let key = find.text("tls_key", said.tls_key.as_deref().map(text), beside(&file.tls_key), "");
    Tls::in_files(certificate, key)
}
