//! A server inside the test process, on a runtime of its own, an HTTP client for it, and a store that records what
//! the server asks of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;
use tenure::access::{NewToken, Token, TokenHash, TokenToRevoke, Tokens};
use tenure::core::command::Command;
use tenure::core::event::Subject;
use tenure::core::id::{Actor, Namespace, Queue, RequestId, Revision, TaskId};
use tenure::core::task::Task;
use tenure::core::time::Time;
use tenure::core::verb::Verb;
use tenure::handler::Handlers;
use tenure::recovery::Recovery;
use tenure::stop::StopSignal;
use tenure::store::answering::{AnswerOptions, Answered};
use tenure::store::health::{IntegrityCheck, StoreHealth};
use tenure::store::metrics::StoreMetrics;
use tenure::store::namespace_history::SweepNote;
use tenure::store::overview::{Holding, Overview};
use tenure::store::stored::StoredChain;
use tenure::store::watch::{Absence, Presence, Watchers};
use tenure::store::{
    BoxFuture, Cursor, EventFilter, EventSearch, Filter, FoundHistory, Lapsed, Page, PageSize, Recorded,
    Store,
};
use tenure::{Error, Ledger};
use tenure_server::{Options, Server};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::waiting::until_asked;

/// The time limit for everything that a server does at once, even on a slow and busy machine. It is less than the
/// 60 s that a request may wait, so a success within it is not the end of such a wait.
const IN_TIME: Duration = Duration::from_secs(40);

/// A server, until it is dropped.
pub struct Served {
    /// Where it is: `http://127.0.0.1:PORT`.
    pub url: String,
    /// Its port.
    pub port: u16,
    stop: StopSignal,
    thread: Option<JoinHandle<()>>,
}

/// A client to be. Tests speak no TLS, but the client asks the process who could.
pub fn http() -> reqwest::ClientBuilder {
    // One that is there already is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}

impl Served {
    /// A server on that store, with everything else as by default.
    pub fn on(store: Arc<dyn Store>) -> Served {
        Served::with(store, Options::default(), Handlers::new())
    }

    /// A server with these limits and options, and these undo handlers.
    pub fn with(store: Arc<dyn Store>, options: Options, handlers: Handlers) -> Served {
        let stop = StopSignal::new();
        let (told, port) = std::sync::mpsc::channel();
        let until = stop.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
                told.send(listener.local_addr().expect("an address").port()).expect("the test waits");
                let recovery = |ledger| Recovery::new(ledger).handlers(handlers);
                let server = Server::new(Ledger::with_store(store), recovery, options).expect("threads");
                server.run(listener, None, until).await.expect("it serves");
            });
        });
        let port = port.recv().expect("a port");
        Served { url: format!("http://127.0.0.1:{port}"), port, stop, thread: Some(thread) }
    }

    /// Tells it to stop, and comes back at once.
    pub fn stop(&self) {
        self.stop.stop();
    }

    /// A client for it.
    pub fn client(&self) -> Client {
        Client { http: http().build().expect("a client"), url: self.url.clone(), token: None }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.stop();
        if let Some(thread) = self.thread.take() {
            // A server that panicked has told it.
            let _ = thread.join();
        }
    }
}

/// An HTTP client.
#[derive(Clone)]
pub struct Client {
    /// What it speaks with.
    pub http: reqwest::Client,
    url: String,
    token: Option<String>,
}

/// The response to a request.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as JSON; null where it is none.
    pub body: Value,
    /// The body as text.
    pub text: String,
}

impl Reply {
    /// The value of a header.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The code of a problem.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// The body, if that was the status.
    #[track_caller]
    pub fn done(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.body
    }

    /// Asserts that it was refused for this reason.
    #[track_caller]
    pub fn is_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["status"], status);
        assert_eq!(self.body["type"], format!("/docs#{code}"));
        assert!(self.body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{}", self.text);
    }
}

impl Client {
    /// The same with a token.
    pub fn with_token(&self, token: &str) -> Client {
        Client { token: Some(token.to_owned()), ..self.clone() }
    }

    /// A request to be sent: `GET /v1/now`.
    pub fn request(&self, line: &str) -> reqwest::RequestBuilder {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let method = method.parse().expect("a method");
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request without a body.
    pub async fn get(&self, path: &str) -> Reply {
        reply(self.request(&format!("GET {path}"))).await
    }

    /// The value of a metric that has no labels.
    pub async fn metric(&self, name: &str) -> f64 {
        let metrics = self.get("/metrics").await.text;
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.expect(name).parse().expect("a number")
    }

    /// Sends a body of JSON.
    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(&format!("POST {path}"), body).await
    }

    /// Sends a body of JSON in another way than by POST.
    pub async fn send(&self, line: &str, body: Value) -> Reply {
        reply(self.request(line).header("content-type", "application/json").body(body.to_string())).await
    }
}

/// Sends it, and reads the answer whole.
pub async fn reply(request: reqwest::RequestBuilder) -> Reply {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.expect("a body");
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Reply { status, headers, body, text }
}

/// What a server does at once.
pub async fn in_time<T>(what: &str, coming: impl Future<Output = T>) -> T {
    let came = tokio::time::timeout(IN_TIME, coming).await;
    came.unwrap_or_else(|_| panic!("{what} did not come in time"))
}

/// Asks again and again until the answer is so, and gives that.
pub async fn until_reply(what: &str, ask: impl AsyncFn() -> Reply, is_so: impl Fn(&Reply) -> bool) -> Reply {
    let mut last = None;
    until_asked(what, async || {
        let reply = ask().await;
        let is_last = is_so(&reply);
        last = Some(reply);
        is_last
    })
    .await;
    last.expect("it was asked for")
}

/// A store that counts requests, so that a test can tell how far a request has come.
pub struct CountedStore {
    inner: Arc<dyn Store>,
    claims: AtomicUsize,
    waits: AtomicUsize,
    token_looks: AtomicUsize,
    audits: AtomicUsize,
    /// Whether audits may read.
    may_audit: watch::Sender<bool>,
}

impl CountedStore {
    /// In front of that store.
    pub fn over(inner: Arc<dyn Store>) -> Arc<CountedStore> {
        let none = || AtomicUsize::new(0);
        let (claims, waits, token_looks, audits) = (none(), none(), none(), none());
        let may_audit = watch::Sender::new(true);
        Arc::new(CountedStore { inner, claims, waits, token_looks, audits, may_audit })
    }

    /// How many claims have come to it.
    pub fn claims(&self) -> usize {
        self.claims.load(Ordering::SeqCst)
    }

    /// How often a claim, a page or a stream found nothing and began to wait.
    pub fn waits(&self) -> usize {
        self.waits.load(Ordering::SeqCst)
    }

    /// How often it was asked for its tokens.
    pub fn token_looks(&self) -> usize {
        self.token_looks.load(Ordering::SeqCst)
    }
}

impl CountedStore {
    /// How many pages of histories were asked for, whether they were read or not.
    pub fn audits(&self) -> usize {
        self.audits.load(Ordering::SeqCst)
    }

    /// From now on audits wait before they read, until they are let go.
    pub fn holds_audits(&self) {
        self.may_audit.send_replace(false);
    }

    /// Lets audits read.
    pub fn lets_audits_go(&self) {
        self.may_audit.send_replace(true);
    }
}

impl tenure::store::InternalStore for CountedStore {}

impl Store for CountedStore {
    fn transact_within(&self, commands: Vec<Command>, options: AnswerOptions) -> BoxFuture<'_, Answered> {
        let claims = commands.iter().filter(|command| command.action.verb() == Verb::Claim).count();
        self.claims.fetch_add(claims, Ordering::SeqCst);
        self.inner.transact_within(commands, options)
    }

    fn task(&self, namespace: Namespace, id: TaskId) -> BoxFuture<'_, Result<Option<Task>, Error>> {
        self.inner.task(namespace, id)
    }

    fn tasks(
        &self,
        filter: Filter,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<Task>, Error>> {
        self.inner.tasks(filter, after, size)
    }

    fn lapsed(&self, after: Option<Cursor>, limit: usize) -> BoxFuture<'_, Result<Lapsed, Error>> {
        self.inner.lapsed(after, limit)
    }

    fn overview(&self, namespace: Namespace) -> BoxFuture<'_, Result<Overview, Error>> {
        self.inner.overview(namespace)
    }

    fn holdings(&self, namespace: Namespace) -> BoxFuture<'_, Result<Vec<Holding>, Error>> {
        self.inner.holdings(namespace)
    }

    fn claimable_at(&self, namespace: Namespace, queue: Queue) -> BoxFuture<'_, Result<Option<Time>, Error>> {
        self.inner.claimable_at(namespace, queue)
    }

    fn remembers(&self, namespace: Namespace, id: RequestId) -> BoxFuture<'_, Result<bool, Error>> {
        self.inner.remembers(namespace, id)
    }

    fn events(
        &self,
        filter: EventFilter,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<Recorded>, Error>> {
        self.inner.events(filter, after, size)
    }

    fn search_events(
        &self,
        search: EventSearch,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<FoundHistory, Error>> {
        self.inner.search_events(search, after, size)
    }

    fn newest(&self) -> BoxFuture<'_, Result<Cursor, Error>> {
        self.inner.newest()
    }

    fn more_events(&self, after: Option<Cursor>) -> BoxFuture<'_, Result<(), Error>> {
        self.waits.fetch_add(1, Ordering::SeqCst);
        self.inner.more_events(after)
    }

    fn chains(
        &self,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<StoredChain>, Error>> {
        self.audits.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            let mut may_audit = self.may_audit.subscribe();
            may_audit.wait_for(|may| *may).await.expect("the sender is a part of this");
            self.inner.chains(after, size).await
        })
    }

    fn chain(
        &self,
        namespace: Namespace,
        subject: Subject,
    ) -> BoxFuture<'_, Result<Option<StoredChain>, Error>> {
        self.inner.chain(namespace, subject)
    }

    fn note_sweep(&self, note: SweepNote) -> BoxFuture<'_, Result<Revision, Error>> {
        self.inner.note_sweep(note)
    }

    fn watch(&self, presence: Presence) -> BoxFuture<'_, Result<Option<Absence>, Error>> {
        self.inner.watch(presence)
    }

    fn watchers(&self, namespace: Namespace) -> BoxFuture<'_, Result<Watchers, Error>> {
        self.inner.watchers(namespace)
    }

    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Namespace>, Error>> {
        self.inner.namespaces()
    }

    fn tokens(&self, known: Option<u64>) -> BoxFuture<'_, Result<Option<Tokens>, Error>> {
        self.token_looks.fetch_add(1, Ordering::SeqCst);
        self.inner.tokens(known)
    }

    fn add_token(&self, hash: TokenHash, new: NewToken) -> BoxFuture<'_, Result<Token, Error>> {
        self.inner.add_token(hash, new)
    }

    fn revoke_token(&self, which: TokenToRevoke, by: Actor) -> BoxFuture<'_, Result<Token, Error>> {
        self.inner.revoke_token(which, by)
    }

    fn now(&self) -> BoxFuture<'_, Result<Time, Error>> {
        self.inner.now()
    }

    fn metrics(&self) -> BoxFuture<'_, Result<StoreMetrics, Error>> {
        self.inner.metrics()
    }

    fn health(&self, check: IntegrityCheck) -> BoxFuture<'_, Result<StoreHealth, Error>> {
        self.inner.health(check)
    }

    fn retention(&self) -> &dyn tenure::store::RetentionStore {
        self.inner.retention()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
