//! A handler that sends a signed HTTP POST, as in the Standard Webhooks specification 1.0.0.
//!
//! The body is `{"type":"undo.requested","timestamp":"…Z","data":{…}}`; the data is the [`UndoCall`]. The header
//! `webhook-id` is the undo's key, which is the same for each try. `webhook-timestamp` and the body's timestamp are
//! the time of the try. An endpoint verifies the signature over the bytes that it received. It remembers the ids that
//! it has handled, and answers a repeat at once.
//!
//! | response | meaning |
//! |---|---|
//! | 2xx, body complete or over the size limit | undone; the receipt is the status and the beginning of the body |
//! | 2xx, body cut off | retried: half a receipt proves nothing |
//! | 410 | not undone: the task is parked for a person at once |
//! | 3xx | not followed, because the signature would go elsewhere; retried |
//! | other status, or no response | retried, as the handler's retry policy says |
//!
//! 400 and 404 are retried on purpose. An endpoint that is being deployed, or a URL with a mistake that will soon be
//! fixed, answers so for a while. A retry is harmless and takes seconds; a task in quarantine takes a person. An
//! endpoint that knows better answers 410. An endpoint that answers 202 before it has undone anything gets a receipt
//! for a promise: it should answer when it is done.
//!
//! The request goes only to the URL: proxies from the environment are not used. Certificates are verified with the
//! system's certificate authorities; `SSL_CERT_FILE` names others. `http://` is for endpoints on the same machine, or
//! behind something that encrypts: the signature protects a request from changes, not from readers. Only connecting
//! has a time limit of its own; the caller has one for the whole request, and dropping the future ends it.
//! `Retry-After` is ignored. Nothing here verifies signatures.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use serde::Serialize;
use tenure_api::instant;
use tenure_clock::{Clock, SystemClock};
use tenure_core::time::Time;
use tenure_store::BoxFuture;
use tenure_store::causes::with_causes;
use tenure_tls::{Anchors, Proof};

use crate::handler::webhook::secret::{SecretSource, SigningKeys};
use crate::handler::{Handler, LeaseWatch, UndoCall, UndoError, Undone, truncate_for_record, while_held};

mod secret;
#[cfg(test)]
mod tests;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const USER_AGENT: &str = concat!("tenure/", env!("CARGO_PKG_VERSION"));
/// It distinguishes a missing endpoint from a slow one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of an answer's body is read.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How much of it is stored. It leaves room for the text around it, within the ledger's limit.
const BODY_BYTES_KEPT: usize = 3 * 1024;
/// How much of a redirect's target is reported.
const LOCATION_BYTES_KEPT: usize = 256;

/// A handler that asks an HTTP endpoint to undo.
#[derive(Clone)]
pub struct Webhook {
    client: Client,
    url: Url,
    secret: SecretSource,
    /// It uses wall-clock time, because endpoints compare it with theirs and refuse requests that are minutes
    /// off.
    clock: Arc<dyn Clock>,
}

impl Webhook {
    /// A webhook at this URL, whose requests are signed with the secret: `whsec_` and 24 to 64 bytes in
    /// base64. Several secrets, separated by white space, give a signature each, so that an endpoint can
    /// change from one to the other.
    ///
    /// A URL with a user name or a password is refused. It would appear in settings and messages, and the
    /// signature is a better proof.
    pub fn new(url: &str, secret_text: &str) -> Result<Webhook, String> {
        Webhook::with(url, SecretSource::Given(SigningKeys::in_text(secret_text)?))
    }

    /// The same, with secrets from a file that is read now and for each request, so that a changed file needs
    /// no restart. If it can't be read later, the undo is tried again.
    pub fn from_secret_file(url: &str, path: impl Into<PathBuf>) -> Result<Webhook, String> {
        let path = path.into();
        SigningKeys::in_file(&path)?;
        Webhook::with(url, SecretSource::File(path.into()))
    }

    /// A warning for the operator: all users of this machine can read the file with the secret. It is not an
    /// error, because Docker and Kubernetes mount secrets as such files, in a container of their own.
    pub fn warning(&self) -> Option<String> {
        self.secret.warning()
    }

    fn with(url: &str, secret: SecretSource) -> Result<Webhook, String> {
        let url = endpoint(url)?;
        Ok(Webhook { client: client(&url)?, url, secret, clock: Arc::new(SystemClock::default()) })
    }

    async fn ask(self, call: UndoCall) -> Undone {
        let keys = self.secret.keys().await.map_err(again)?;
        let now = self.clock.read().wall;
        let body = body(&call, now).map_err(never)?;
        let headers = headers(&keys, &call.key, now, &body).map_err(never)?;
        let request = self.client.post(self.url.clone()).headers(headers).body(body);
        let server = self.url.origin().ascii_serialization();
        let mut response =
            request.send().await.map_err(|error| again(format!("{server}: {}", causes(error))))?;
        let body = Body::of(&mut response).await;
        judged(&server, &response, &body)
    }
}

impl Handler for Webhook {
    fn undo(&self, call: UndoCall, lease: LeaseWatch) -> BoxFuture<'static, Undone> {
        Box::pin(while_held(lease, self.clone().ask(call)))
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A query may have a secret in it, as our own secret is one.
        let mut url = self.url.clone();
        url.set_query(None);
        f.debug_struct("Webhook").field("url", &url.as_str()).finish_non_exhaustive()
    }
}

fn again(why: impl AsRef<str>) -> UndoError {
    UndoError::Retryable(truncate_for_record(why.as_ref()))
}

fn never(why: impl AsRef<str>) -> UndoError {
    UndoError::Permanent(truncate_for_record(why.as_ref()))
}

/// The URL, if a request can be sent to it unchanged.
fn endpoint(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("the webhook's URL is invalid: {error}"))?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err(format!(
            "the webhook's URL must begin with https:// or http://, not with {}:",
            url.scheme()
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "the webhook's URL contains a user name or password before its `@`: remove them; requests \
                    are signed instead"
                .into(),
        );
    }
    if url.fragment().is_some() {
        return Err("the webhook's URL contains a `#` fragment, which is never sent; remove it".into());
    }
    Ok(url)
}

/// One client for all webhooks of a program, because reading a system's certificate authorities takes longer than
/// most requests. For `http://` a client without any is enough.
fn client(url: &Url) -> Result<Client, String> {
    static ENCRYPTED: OnceLock<Client> = OnceLock::new();
    static PLAIN: OnceLock<Client> = OnceLock::new();
    let is_encrypted = url.scheme() == "https";
    let shared = if is_encrypted { &ENCRYPTED } else { &PLAIN };
    if let Some(client) = shared.get() {
        return Ok(client.clone());
    }
    let builder = Client::builder()
        .user_agent(USER_AGENT)
        .redirect(Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        // Undos are rare. The other side may be closing an idle connection, and the runtime of the connection
        // may be gone.
        .pool_max_idle_per_host(0);
    let anchors = if is_encrypted { Anchors::of_the_system("SSL_CERT_FILE")? } else { Anchors::nobody() };
    let mut encryption = tenure_tls::client(Proof::ChainAndName(anchors))?.with_no_client_auth();
    // Some servers require ALPN.
    encryption.alpn_protocols = vec![b"http/1.1".to_vec()];
    let builder = builder.https_only(is_encrypted).tls_backend_preconfigured(encryption);
    let made = builder
        .build()
        .map_err(|error| format!("can't set up the client for webhooks: {}", causes(error)))?;
    Ok(shared.get_or_init(|| made).clone())
}

/// The bytes that are signed and sent.
fn body(call: &UndoCall, now: Time) -> Result<Vec<u8>, String> {
    #[derive(Serialize)]
    struct Request<'a> {
        r#type: &'static str,
        timestamp: String,
        data: &'a UndoCall,
    }
    let request = Request { r#type: "undo.requested", timestamp: instant::print(now), data: call };
    serde_json::to_vec(&request).map_err(|error| format!("the request can't be written: {error}"))
}

fn headers(keys: &SigningKeys, id: &str, now: Time, body: &[u8]) -> Result<HeaderMap, String> {
    if id.is_empty() {
        return Err("the undo has no key, so no endpoint could know it again".into());
    }
    let seconds = now.as_micros().div_euclid(1_000_000);
    let signatures = keys.signatures(id, seconds, body);
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| format!("{text:?} fits in no header"));
    let mut signature = value(&signatures)?;
    signature.set_sensitive(true);
    Ok(HeaderMap::from_iter([
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (ID, value(id)?),
        (TIMESTAMP, HeaderValue::from(seconds)),
        (SIGNATURE, signature),
    ]))
}

/// The body of a response.
struct Body {
    /// Its beginning.
    text: String,
    end: End,
}

enum End {
    Whole,
    LeftOut,
    BrokenOff(String),
}

impl Body {
    async fn of(response: &mut Response) -> Body {
        let mut bytes = Vec::new();
        let end = loop {
            match response.chunk().await {
                Ok(None) => break End::Whole,
                Err(error) => break End::BrokenOff(causes(error)),
                Ok(Some(chunk)) => {
                    let free = BODY_BYTES_MAX - bytes.len();
                    bytes.extend_from_slice(&chunk[..chunk.len().min(free)]);
                    if chunk.len() >= free {
                        break End::LeftOut;
                    }
                }
            }
        };
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim();
        match &text[..text.floor_char_boundary(BODY_BYTES_KEPT)] {
            kept if kept == text => Body { text: kept.to_owned(), end },
            kept => Body { text: format!("{kept} [the rest was left out]"), end },
        }
    }
}

/// What an answer means for the undo.
fn judged(server: &str, response: &Response, body: &Body) -> Undone {
    let status = response.status();
    let reason = status.canonical_reason().map(|reason| format!(" {reason}")).unwrap_or_default();
    let colon = if body.text.is_empty() { "" } else { ": " };
    let answer = format!("{server} answered {}{reason}", status.as_u16());
    let whole_answer = format!("{answer}{colon}{}", body.text);
    if status.is_redirection() {
        return Err(again(format!(
            "{answer}{}, and redirects are not followed: the URL must be changed",
            leads_to(response)
        )));
    }
    if status == StatusCode::GONE {
        return Err(never(whole_answer));
    }
    if !status.is_success() {
        return Err(again(whole_answer));
    }
    match &body.end {
        End::BrokenOff(why) => Err(again(format!(
            "{answer}, but its body broke off, so it proves nothing ({why}){colon}{}",
            body.text
        ))),
        End::Whole | End::LeftOut => Ok(truncate_for_record(&whole_answer)),
    }
}

fn leads_to(response: &Response) -> String {
    let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
    location.map_or_else(String::new, |location| {
        let kept = &location[..location.floor_char_boundary(LOCATION_BYTES_KEPT)];
        format!(", which leads to {kept}")
    })
}

/// What went wrong, down to the first cause. The URL is left out: its query may have a secret in it.
fn causes(error: reqwest::Error) -> String {
    with_causes(&error.without_url())
}
