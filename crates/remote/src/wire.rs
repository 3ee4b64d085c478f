//! HTTP requests and responses: which server gets a request, and what it means if none answers.
//!
//! All of it runs on a thread of its own, because the caller's runtime may be busy or gone while its leases must be
//! renewed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Method, StatusCode};
use serde::Deserialize;
use tenure_api::from_json;
use tenure_api::refusal::Refusal as RefusalJson;
use tenure_core::refusal::{Code, Refusal};
use tenure_store::entropy::Entropy;
use tenure_store::{Error, Failure, SoFar};
use tenure_tls::{self, Anchors, Proof, advice};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use super::endpoints::{CA, Endpoints};
use super::timeouts::{RetryDeadline, Timeouts};

/// How long data may stay unacknowledged before a connection counts as dead.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Connections that are kept for later, and how long: not as long as servers keep them, so that few are met that are just
/// being closed.
const IDLE_MAX: usize = 16;
const IDLE_FOR: Duration = Duration::from_secs(30);

/// How long an answer is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asking {
    /// It is there as soon as it is known.
    Now,
    /// It comes when something happens, or after a while.
    UntilSomethingHappens,
}

/// What it means to ask twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Idempotency {
    /// The same as once.
    Safe,
    /// Another thing.
    Unsafe,
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum RequestError {
    /// Nothing was sent, or the server says that it did nothing: another one may be asked.
    Undone(Failure),
    /// It was sent, and nobody knows what became of it.
    Unsure(Failure),
    /// It was done, and answered with more than is read at once.
    TooLarge(Failure),
    /// Nothing was done, since what was sent is more than somebody takes; less may be.
    NotTaken(Error),
    /// It is answered, and not with what was asked for.
    Final(Error),
}

/// The line to the servers.
pub(super) struct Wire {
    places: Endpoints,
    client: Client,
    /// What proves who asks. It is marked as what must not be shown.
    proof: Option<HeaderValue>,
    pub(super) limits: Timeouts,
    entropy: Arc<dyn Entropy>,
    pub(super) handle: Handle,
    closing: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Wire {
    pub(super) fn start(
        places: Endpoints,
        token: Option<&str>,
        entropy: Arc<dyn Entropy>,
        limits: Timeouts,
    ) -> Result<Arc<Wire>, Error> {
        let proof = token.map(proof).transpose()?;
        let client = client(&places, limits)?;
        let failed = |error: std::io::Error| {
            Error::Unavailable(Failure::new(format!("can't start the HTTP client: {error}"), error))
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (handle, closing) = (runtime.handle().clone(), CancellationToken::new());
        let until = closing.clone();
        let thread = std::thread::Builder::new().name("tenure-remote".into());
        let run = move || {
            runtime.block_on(until.cancelled());
            // A name that is being looked up may take its time; a caller that closes the store does not wait for that.
            runtime.shutdown_background();
        };
        let thread = Some(thread.spawn(run).map_err(failed)?);
        Ok(Arc::new(Wire { places, client, proof, limits, entropy, handle, closing, thread }))
    }

    pub(super) async fn get(self: &Arc<Wire>, path: String, asking: Asking) -> Result<String, RequestError> {
        self.ask(Method::GET, path, None, (asking, Idempotency::Safe)).await
    }

    pub(super) async fn post(
        self: &Arc<Wire>,
        path: String,
        body: String,
        twice: Idempotency,
    ) -> Result<String, RequestError> {
        self.ask(Method::POST, path, Some(body), (Asking::Now, twice)).await
    }

    pub(super) async fn delete(self: &Arc<Wire>, path: String, body: String) -> Result<String, RequestError> {
        self.ask(Method::DELETE, path, Some(body), (Asking::Now, Idempotency::Safe)).await
    }

    /// Asks until a server answers, or the time is over. If asking twice would matter, a request whose outcome is unknown is the
    /// last one. A read ends when its caller stops waiting; otherwise callers that poll would leave many unanswered reads behind.
    async fn ask(
        self: &Arc<Wire>,
        method: Method,
        path: String,
        body: Option<String>,
        (asking, twice): (Asking, Idempotency),
    ) -> Result<String, RequestError> {
        let wire = Arc::clone(self);
        let is_look = method == Method::GET;
        let asked = self.handle.spawn(async move {
            let (mut deadline, mut so_far) = (RetryDeadline::of(wire.limits.refused), SoFar::Undone);
            loop {
                let error = match wire.once(&method, &path, body.as_deref(), asking).await {
                    Err(RequestError::Undone(failure)) => so_far.with(Error::Unavailable(failure)),
                    Err(RequestError::Unsure(failure)) if is_look => Error::Unavailable(failure),
                    Err(RequestError::Unsure(failure)) => so_far.with(Error::Unknown(failure)),
                    Err(RequestError::TooLarge(failure)) if !is_look => {
                        return Err(RequestError::Final(Error::Unknown(failure)));
                    }
                    Err(RequestError::Final(error) | RequestError::NotTaken(error)) => {
                        return Err(RequestError::Final(so_far.at_last(error)));
                    }
                    answer => return answer,
                };
                let is_last = matches!((so_far, twice), (SoFar::Unsure, Idempotency::Unsafe));
                if is_last || !wire.rests(&mut deadline).await {
                    return Err(RequestError::Final(error));
                }
            }
        });
        let _ends_with_its_caller = is_look.then(|| Ended(asked.abort_handle()));
        let closed = || Error::Unknown("the store was closed before the server answered".into());
        asked.await.unwrap_or_else(|_| Err(RequestError::Final(closed())))
    }

    /// Rests before something is tried again, up to half of that shorter; false when there is no time left.
    pub(super) async fn rests(&self, deadline: &mut RetryDeadline) -> bool {
        deadline.rest(self.places.count(), self.entropy.jitter()).await
    }

    /// Asks the server that answered last; where it does not, the next one is that.
    pub(super) async fn once(
        &self,
        method: &Method,
        path: &str,
        body: Option<&str>,
        asking: Asking,
    ) -> Result<String, RequestError> {
        let (at, place) = self.places.current();
        let answered = self.request(place, method, path, body, asking).await;
        if matches!(answered, Err(RequestError::Undone(_) | RequestError::Unsure(_))) {
            self.places.pass_over(at);
        }
        answered
    }

    async fn request(
        &self,
        place: &str,
        method: &Method,
        path: &str,
        body: Option<&str>,
        asking: Asking,
    ) -> Result<String, RequestError> {
        let wait = match asking {
            Asking::Now => self.limits.answer,
            Asking::UntilSomethingHappens => self.limits.happening,
        };
        let mut request = self.client.request(method.clone(), format!("{place}{path}")).timeout(wait);
        if let Some(proof) = &self.proof {
            request = request.header(AUTHORIZATION, proof.clone());
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_owned());
        }
        let sent = request.send().await;
        let mut response = sent.map_err(|error| fault(place, error))?;
        let (status, is_problem) = (response.status(), is_problem(&response));
        let mut bytes = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|error| unsure(place, error))? {
            if bytes.len() + part.len() > self.limits.answer_bytes_max {
                return Err(RequestError::TooLarge(
                    format!("{place}: the response is too large; ask for less at once").into(),
                ));
            }
            bytes.extend_from_slice(&part);
        }
        let text = String::from_utf8(bytes);
        if status.is_success() {
            // It was done, whatever it is that was answered.
            text.map_err(|error| {
                // Without the response, which may have secrets in it.
                let error = error.utf8_error();
                let words = format!("{place}: the response is not UTF-8 text: {error}");
                RequestError::Unsure(Failure::new(words, error))
            })
        } else {
            Err(not_done(place, status, is_problem, &text.unwrap_or_default()))
        }
    }

    /// Whether the URL says how long to retry servers: then a command that one answers as not done is sent again, too.
    pub(super) fn is_patient(&self) -> bool {
        self.places.patience.is_some()
    }

    /// The servers, for a message.
    pub(super) fn named(&self) -> String {
        self.places.named()
    }
}

/// Ends a look when it is dropped.
struct Ended(AbortHandle);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.closing.cancel();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            // It ends as soon as what it is doing lets it; a panic in it was told already.
            let _ = thread.join();
        }
    }
}

/// The token as it is sent.
fn proof(token: &str) -> Result<HeaderValue, Refusal> {
    let limit = "contains characters that are not allowed in a token; give it without quotes and line breaks";
    let mut proof =
        HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| Refusal::invalid("token", limit))?;
    proof.set_sensitive(true);
    Ok(proof)
}

fn client(places: &Endpoints, limits: Timeouts) -> Result<Client, Error> {
    let mut builder = Client::builder()
        .user_agent(concat!("tenure/", env!("CARGO_PKG_VERSION")))
        // Who answers is who was named: neither somebody that a server names, nor one that the environment does.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(limits.connect)
        .pool_max_idle_per_host(IDLE_MAX)
        .pool_idle_timeout(IDLE_FOR)
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(15));
    #[cfg(target_os = "linux")]
    {
        builder = builder.tcp_user_timeout(SILENCE_MAX);
    }
    builder.https_only(places.is_encrypted).tls_backend_preconfigured(encryption(places)?).build().map_err(
        |error| {
            Error::Unavailable(Failure::new(
                format!("can't set up the HTTP client: {}", causes(&error)),
                error,
            ))
        },
    )
}

/// The trusted certificates. They are read once: to trust others, open the store again.
fn encryption(places: &Endpoints) -> Result<rustls::ClientConfig, Error> {
    let anchors = match &places.authorities {
        // To read a system's authorities takes longer than most requests, and there may be none.
        _ if !places.is_encrypted => Ok(Anchors::nobody()),
        Some(file) => Anchors::in_file(file),
        None => Anchors::of_the_system(CA),
    };
    let wrong = |words: String| Error::from(Refusal::invalid("store", words));
    let anchors = anchors.map_err(|words| wrong(format!("{CA}: {words}")))?;
    let client =
        tenure_tls::client(Proof::ChainAndName(anchors)).map_err(|words| Error::Unavailable(words.into()))?;
    Ok(client.with_no_client_auth())
}

/// What a request that was not answered means: whether it can have got there.
fn fault(place: &str, error: reqwest::Error) -> RequestError {
    let error = error.without_url();
    if error.is_builder() {
        return RequestError::Final(Error::Unavailable(Failure::new(
            format!("can't send a request to {place}: {}", causes(&error)),
            error,
        )));
    }
    if error.is_connect() {
        return RequestError::Undone(Failure::new(
            format!("{place} can't be reached: {}", causes(&error)),
            error,
        ));
    }
    unsure(place, error)
}

fn unsure(place: &str, error: reqwest::Error) -> RequestError {
    let error = error.without_url();
    RequestError::Unsure(Failure::new(format!("{place} did not answer: {}", causes(&error)), error))
}

/// An error and what is behind it, without the URL, which says nothing new.
fn causes(error: &reqwest::Error) -> String {
    let mut words = Vec::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = cause {
        words.push(error.to_string());
        cause = error.source();
    }
    words.extend(advice(error, CA));
    // The beginning of an alert of TLS, read as an answer.
    if words.iter().any(|words| words.contains("invalid HTTP version")) {
        words.push("the endpoint does not speak HTTP; if it speaks TLS, use https://".to_owned());
    }
    if words.is_empty() { error.to_string() } else { words.join(": ") }
}

fn is_problem(response: &reqwest::Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/problem+json"))
}

#[derive(Deserialize)]
struct Problem {
    code: String,
    detail: String,
}

/// What an answer that is not "done" means.
fn not_done(place: &str, status: StatusCode, is_problem: bool, text: &str) -> RequestError {
    let problem = if is_problem { serde_json::from_str::<Problem>(text).ok() } else { None };
    let Some(Problem { code, detail }) = problem else {
        // Somebody in between, or a server at fault. Also where it says 503 nobody knows what it has passed on: there are
        // those who say so of a server that went away while it was at work.
        let words = format!("{place} responded with {status}");
        return match status {
            StatusCode::TOO_MANY_REQUESTS => RequestError::Undone(words.into()),
            StatusCode::PAYLOAD_TOO_LARGE => {
                let words = format!(
                    "{words}: a proxy in between has a smaller limit than the server; send less at once"
                );
                RequestError::NotTaken(Error::Unavailable(words.into()))
            }
            status if status.is_server_error() => RequestError::Unsure(words.into()),
            _ => RequestError::Final(foreign(words)),
        };
    };
    match code.as_str() {
        "unavailable" | "too_many_requests" => RequestError::Undone(detail.into()),
        "unknown" | "broken" | "too_slow" => RequestError::Unsure(detail.into()),
        "corrupt" => RequestError::Final(Error::Corrupt(detail.into())),
        "unauthenticated" | "misdirected" => {
            RequestError::Final(Refusal::new(Code::Forbidden, detail).into())
        }
        "too_large" => RequestError::NotTaken(Refusal::invalid("body", detail).into()),
        _ => match from_json::<RefusalJson>(text) {
            Ok(refusal) => RequestError::Final(Refusal::from(refusal).into()),
            Err(_) => RequestError::Final(Error::Unavailable(format!("{place}: {code}: {detail}").into())),
        },
    }
}

/// The server is not a Tenure server, or has another version.
pub(super) fn foreign(what: String) -> Error {
    Error::Unavailable(
        format!("the endpoint is not a Tenure server, or its version is incompatible: {what}").into(),
    )
}

/// What is encoded in a query: all but what never has a meaning there.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// The parameters of a query.
#[derive(Clone, Default)]
pub(super) struct Query<'a>(Vec<(&'a str, String)>);

impl<'a> Query<'a> {
    pub(super) fn none() -> Query<'a> {
        Query::default()
    }

    pub(super) fn of(parameters: Vec<(&'a str, String)>) -> Query<'a> {
        Query(parameters)
    }

    /// With that parameter, if it has a value.
    pub(super) fn with(mut self, name: &'a str, value: Option<impl fmt::Display>) -> Query<'a> {
        self.0.extend(value.map(|value| (name, value.to_string())));
        self
    }
}

impl fmt::Display for Query<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.0.iter().enumerate() {
            f.write_str(if at == 0 { "?" } else { "&" })?;
            write!(f, "{name}={}", utf8_percent_encode(value, ENCODED))?;
        }
        Ok(())
    }
}
