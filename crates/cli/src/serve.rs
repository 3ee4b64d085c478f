//! `tenure serve`.

mod check;
mod listening;
mod service_manager;
mod settings;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rustls::ServerConfig;
use serde::Serialize;
use tenure::access::Token;
use tenure::core::id::Namespace;
use tenure::handler::Handlers;
use tenure::ledger::url_without_secrets;
use tenure::recovery::{Recovery, RecoveryOptions, RecoveryReport};
use tenure::stop::StopSignal;
use tenure::{Error, Ledger};
use tenure_server::{Exposure, Limits, Options, Server};
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::context::Context;
use crate::error::CliError;
use crate::global::OutputFormat;
use crate::handlers;
use crate::io::Variables;
use crate::logs::TraceFlush;
use crate::output::{Output, quoted};
use crate::signals::Signals;
use crate::store::{StoreSelection, is_served};
use listening::BoundListener;
use service_manager::ServiceManager;
use settings::{Said, ServeOptions};

/// Run the HTTP API, recovery and metrics in one process
///
/// Use it where workers run on several machines or in other languages. Several servers can share one PostgreSQL store.
/// Until the first token is created, a server on loopback accepts requests without one; on other addresses it starts only
/// with a token, and with TLS or --tls-elsewhere. Ctrl-C or SIGTERM stops it gracefully.
///
/// Each setting comes from its option, else from its environment variable, else from the `[serve]` section of the --config
/// file, else from its default.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure serve\n  tenure serve --check\n  \
    tenure serve --store postgres://db/tenure --listen 0.0.0.0:7117 --tls-elsewhere")]
pub(crate) struct Serve {
    #[command(flatten)]
    said: Said,
    /// Check the settings, print each with its source, and exit
    #[arg(long)]
    check: bool,
}

impl Serve {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let common = context.settings()?;
        let store = context.store_of(&common)?;
        if is_served(&store) {
            let words =
                "the store is another server, and a server needs a file or a database: pass another --store";
            return Err(CliError::Usage(words.into()));
        }
        let settings = ServeOptions::of(&self.said, &common, &context.around.variables)?;
        Namespace::new(common.namespace())?;
        let handlers = handlers::of(context, &common.config)?;
        if self.check {
            return check::run(context, &settings, &store, &handlers).await;
        }
        let logs = settings.logs.listen()?;
        check::is_writable(&store)?;
        let ledger = context.ledger().await?;
        let scope = RecoveryScope { handlers, namespace: None };
        let (server, tokens) = ReadyServer::new((settings, logs), ledger, &store, scope).await?;
        tell(context, &server.listening, &server.settings, (&store, &tokens))?;
        let mut signals = Signals::that_end()?;
        let told = async |signals: &mut Signals| {
            signals.next().await;
            Ok(())
        };
        server.run(context.out, &mut signals, told).await
    }
}

/// What the recovery of a server handles.
struct RecoveryScope {
    handlers: Handlers,
    /// None: the tasks of all namespaces.
    namespace: Option<Namespace>,
}

/// A server that has its socket, and accepts no connections yet.
pub(crate) struct ReadyServer {
    server: Server,
    listening: BoundListener,
    tls: Option<Arc<ServerConfig>>,
    settings: ServeOptions,
    _logs: TraceFlush,
}

impl ReadyServer {
    /// A server for this machine alone, with the default of every other setting. Its recovery handles the ledger's namespace,
    /// and waits that long for other recovery processes.
    pub(crate) async fn on_loopback(
        listen: &str,
        handler_wait: &str,
        (ledger, store): (Ledger, &str),
        handlers: Handlers,
    ) -> Result<ReadyServer, CliError> {
        let said = Said::for_this_machine(listen, handler_wait);
        // Variables and files say how the reader's own server runs.
        let none = StoreSelection { store: None, said_namespace: None, config: Config::default() };
        let settings = ServeOptions::of(&said, &none, &Variables::new())?;
        if settings.exposure() == Exposure::Network {
            return Err(CliError::Usage(format!(
                "listen: {listen} can be reached from other machines; pass a loopback address, such as 127.0.0.1:7117"
            )));
        }
        let logs = settings.logs.listen()?;
        let scope = RecoveryScope { handlers, namespace: Some(ledger.namespace().clone()) };
        Ok(ReadyServer::new((settings, logs), ledger, store, scope).await?.0)
    }

    /// Opens the socket. Returns the tokens of the store, too.
    async fn new(
        (settings, logs): (ServeOptions, TraceFlush),
        ledger: Ledger,
        store: &str,
        scope: RecoveryScope,
    ) -> Result<(ReadyServer, Vec<Token>), CliError> {
        let listening = BoundListener::on(&settings).await?;
        let tokens = ledger.tokens().await?;
        settings.may_listen(listening.exposure, &tokens)?;
        let tls = settings.tls.config()?;
        let options = options(&settings, &listening, url_without_secrets(store), ledger.namespace().clone());
        let server = Server::new(ledger, recovery(&settings, scope), options)
            .map_err(|error| CliError::Failed(format!("can't start threads: {error}")))?;
        Ok((ReadyServer { server, listening, tls, settings, _logs: logs }, tokens))
    }

    /// Its URL.
    pub(crate) fn url(&self) -> &str {
        &self.listening.url
    }

    /// Serves until `until` returns, then stops gracefully. A signal during that stops it at once.
    pub(crate) async fn run(
        self,
        out: &mut Output<'_>,
        signals: &mut Signals,
        until: impl AsyncFnOnce(&mut Signals) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let ReadyServer { server, listening, tls, settings, _logs } = self;
        let stop = StopSignal::new();
        let looking_after = settings.recovery.then(|| {
            let (recovery, stop) = (server.recovery(), stop.clone());
            tokio::spawn(async move { recovery.watch(stop).await })
        });
        if let Some(retention) = server.retention().map_err(Error::from)? {
            // It ends between two steps, or with the process: a step is one transaction.
            tokio::spawn(retention.watch(stop.clone()));
        }
        let manager = ServiceManager::of_this_process();
        manager.ready(&format!("serving {}", listening.url));
        let watched = tokio::spawn(manager.clone().watch());
        let mut serving = std::pin::pin!(server.run(listening.listener, tls, stop.clone()));
        let (ended, told) = tokio::select! {
            ended = &mut serving => (ended, Ok(())),
            told = until(signals) => {
                manager.stopping();
                out.note("stopping: requests and undos in progress may finish; a second signal stops at once");
                stop.stop();
                // At the same time: requests and undos have the same grace, which begins now.
                let in_order = async {
                    let (ended, ()) =
                        tokio::join!(serving, hand_back(&server, looking_after, settings.grace));
                    // A request may have started a sweep within the grace. It is stopped already, and releases its
                    // leases.
                    let _ = tokio::time::timeout(HANDED_BACK_WITHIN, server.swept()).await;
                    ended
                };
                let ended = tokio::select! {
                    ended = in_order => ended,
                    _ = signals.next() => {
                        out.note("second signal: stopping at once");
                        Ok(())
                    }
                };
                (ended, told)
            }
        };
        watched.abort();
        ended.map_err(|error| CliError::Failed(format!("can't accept connections: {error}")))?;
        told
    }
}

/// How long recovery may take after the grace to stop undos and release its leases.
const HANDED_BACK_WITHIN: Duration = Duration::from_secs(15);

/// Waits for recovery, which was stopped together with the requests: for the grace, and for releasing its leases after
/// it.
async fn hand_back(
    server: &Server,
    looking_after: Option<JoinHandle<Result<RecoveryReport, Error>>>,
    grace: Duration,
) {
    let all = async {
        if let Some(looking_after) = looking_after {
            // Its result is in the log.
            let _ = looking_after.await;
        }
        server.swept().await;
    };
    if tokio::time::timeout(grace + HANDED_BACK_WITHIN, all).await.is_err() {
        tracing::warn!("recovery did not release its leases in time; they will lapse");
    }
}

fn options(
    settings: &ServeOptions,
    listening: &BoundListener,
    store: String,
    namespace: Namespace,
) -> Options {
    Options::default().with(|options| {
        options.hosts = settings.hosts.clone();
        options.exposure = listening.exposure;
        options.limits = Limits::default().with(|limits| {
            limits.connections_max = settings.connections_max;
            limits.body_bytes_max = settings.body_max;
            limits.memory_bytes_max = settings.memory_max;
            limits.requests_per_second = (settings.rate > 0).then_some(settings.rate);
        });
        options.grace = settings.grace;
        options.store = store;
        options.namespace = Some(namespace);
        options.retain = settings.retain;
    })
}

/// Builds recovery from the settings.
fn recovery(settings: &ServeOptions, scope: RecoveryScope) -> impl FnOnce(Ledger) -> Recovery {
    let RecoveryScope { handlers, namespace } = scope;
    let settings = RecoveryOptions::default().with(|options| {
        options.at_once = settings.undo_concurrency;
        options.handler_wait = settings.handler_wait;
        options.grace = settings.grace;
        options.namespace = namespace;
    });
    move |ledger| Recovery::new(ledger).options(settings).handlers(handlers)
}

#[derive(Serialize)]
struct ServingAnswer<'a> {
    serving: Serving<'a>,
}

#[derive(Serialize)]
struct Serving<'a> {
    url: &'a str,
    store: String,
    recovery: bool,
}

/// Prints the URL, and what to do next.
fn tell(
    context: &mut Context<'_, '_>,
    listening: &BoundListener,
    settings: &ServeOptions,
    (store, tokens): (&str, &[Token]),
) -> Result<(), CliError> {
    let out = &mut context.out;
    if out.form() == OutputFormat::Json {
        let serving =
            Serving { url: &listening.url, store: url_without_secrets(store), recovery: settings.recovery };
        out.json(&ServingAnswer { serving })?;
        return out.flush();
    }
    let url = &listening.url;
    if out.is_quiet() {
        out.line(url)?;
        return out.flush();
    }
    out.line(&format!("Tenure is serving {url}; the store is {}", url_without_secrets(store)))?;
    let needs = match tokens {
        [] => "No token exists yet, so this machine needs none. Next, in another shell:".to_owned(),
        _ => {
            format!(
                "Every request needs a token: `tenure --store {} token create --name NAME --role ROLE` creates one. Next, in \
                 another shell:",
                quoted(&url_without_secrets(store).to_string())
            )
        }
    };
    // Only the person who started the server knows the names in the certificate and its issuer.
    let tls = if settings.tls.is_on() {
        "  # use a host name from the certificate; add `?ca=FILE` if the system does not trust its issuer\n"
    } else {
        ""
    };
    let described = if tokens.is_empty() { "" } else { " (with a token)" };
    let token = if tokens.is_empty() { "" } else { "  export TENURE_TOKEN=…\n" };
    out.line(&format!(
        "{needs}\n{token}{tls}  export TENURE_STORE={url}\n  tenure run -- echo done\n  tenure task list\n  tenure status\nAPI documentation: {url}/docs{described}. Ctrl-C stops the server."
    ))?;
    out.flush()
}
