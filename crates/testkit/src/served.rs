//! A server of a test's own, in this process and on a runtime of its own, and a client that speaks plain HTTP to it.

use std::sync::Arc;
use std::thread::JoinHandle;

use reqwest::header::HeaderMap;
use serde_json::Value;
use tenure::Ledger;
use tenure::handler::Handlers;
use tenure::recovery::Recovery;
use tenure::store::Store;
use tenure_server::{Options, Server};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A server, until it is dropped.
pub struct Served {
    /// Where it is: `http://127.0.0.1:PORT`.
    pub url: String,
    /// Its port.
    pub port: u16,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    /// A server on that store, with everything else as by default.
    pub fn on(store: Arc<dyn Store>) -> Served {
        Served::with(store, Options::default(), Handlers::new())
    }

    /// A server with those limits and manners, and those handlers of undo.
    pub fn with(store: Arc<dyn Store>, options: Options, handlers: Handlers) -> Served {
        let stop = CancellationToken::new();
        let (told, port) = std::sync::mpsc::channel();
        let until = stop.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
                told.send(listener.local_addr().expect("an address").port()).expect("the test waits");
                let recovery = |ledger| Recovery::new(ledger).handlers(handlers);
                let server = Server::new(Ledger::with_store(store), recovery, options);
                server.run(listener, None, until).await.expect("it serves");
            });
        });
        let port = port.recv().expect("a port");
        Served { url: format!("http://127.0.0.1:{port}"), port, stop, thread: Some(thread) }
    }

    /// Tells it to stop, and comes back at once.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Somebody who speaks to it.
    pub fn client(&self) -> Client {
        Client { http: reqwest::Client::new(), url: self.url.clone(), token: None }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // A server that panicked has told it.
            let _ = thread.join();
        }
    }
}

/// Somebody who speaks HTTP.
#[derive(Clone)]
pub struct Client {
    /// What it speaks with.
    pub http: reqwest::Client,
    url: String,
    token: Option<String>,
}

/// What a request was answered with.
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

    /// That it was not done, for that reason.
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
