//! Tests of webhooks against a small server that returns a fixed response and records the requests.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use tenure_clock::ManualClock;
use tenure_core::id::Document;
use tenure_core::time::Span;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;

/// The bytes 0 to 23.
pub(super) const SHORT_SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
/// `(7 * i + 3) % 256` for i in 0 to 63.
pub(super) const LONG_SECRET: &str = "whsec_AwoRGB8mLTQ7QklQV15lbHN6gYiPlp2kq7K5wMfO1dzj6vH4/wYNFBsiKTA3\
                                      PkVMU1phaG92fYSLkpmgp661vA==";
const SECONDS: i64 = 1_793_000_000;
const FAR_TOO_LONG: Duration = Duration::from_secs(20);

/// What the server does once it has read a request.
#[derive(Clone)]
enum Reply {
    /// Sends these bytes, and closes.
    Bytes(Vec<u8>),
    /// Sends these bytes, then `x` for as long as somebody takes them.
    Endless(&'static str),
    /// Sends these bytes, and waits for the other side to go.
    ThenWaits(&'static str),
}

fn text(text: &str) -> Reply {
    Reply::Bytes(text.into())
}

fn with_body(status: &str, body: &[u8]) -> Reply {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
    Reply::Bytes([head.as_bytes(), body].concat())
}

#[derive(Debug, PartialEq, Eq)]
struct Request {
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn header(&self, name: &str) -> &str {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        let value = found.next().map_or("", |(_, value)| value);
        assert_eq!(found.next(), None, "`{name}` is there once");
        value
    }

    fn read(stream: &TcpStream) -> Request {
        let mut stream = BufReader::new(stream);
        let mut line = || {
            let mut line = String::new();
            stream.read_line(&mut line).expect("a line");
            line.trim_end().to_owned()
        };
        let first = line();
        let headers = std::iter::from_fn(|| Some(line()).filter(|line| !line.is_empty()));
        let headers = headers.filter_map(|line| {
            line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        });
        let mut request = Request { line: first, headers: headers.collect(), body: Vec::new() };
        let length = request.header("content-length").parse().unwrap_or(0);
        request.body.resize(length, 0);
        stream.read_exact(&mut request.body).expect("a body");
        request
    }
}

/// What the server saw.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Asked(Request),
    /// The other side has gone.
    Gone,
}

struct Server {
    address: String,
    seen: UnboundedReceiver<Seen>,
}

impl Server {
    /// Answers one connection after the other.
    fn that_answers(replies: Vec<Reply>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (tell, seen) = unbounded_channel();
        std::thread::spawn(move || {
            for reply in replies {
                let (mut stream, _) = listener.accept().expect("a connection");
                let _ = tell.send(Seen::Asked(Request::read(&stream)));
                match reply {
                    Reply::Bytes(bytes) => stream.write_all(&bytes).expect("an answer"),
                    Reply::Endless(head) => {
                        stream.write_all(head.as_bytes()).expect("an answer");
                        while stream.write_all(&[b'x'; 4_096]).is_ok() {}
                        let _ = tell.send(Seen::Gone);
                    }
                    Reply::ThenWaits(head) => {
                        stream.write_all(head.as_bytes()).expect("an answer");
                        let _ = stream.read(&mut [0]);
                        let _ = tell.send(Seen::Gone);
                    }
                }
            }
        });
        Server { address, seen }
    }

    async fn seen(&mut self) -> Seen {
        tokio::time::timeout(FAR_TOO_LONG, self.seen.recv()).await.expect("in time").expect("a server")
    }

    async fn asked(&mut self) -> Request {
        match self.seen().await {
            Seen::Asked(request) => request,
            Seen::Gone => panic!("a request was expected"),
        }
    }
}

fn call() -> UndoCall {
    UndoCall {
        key: "shop/build-42/1/3".into(),
        namespace: "shop".into(),
        task: "build-42".into(),
        saga_id: "release-7".into(),
        seq: 1,
        kind: "close-pr".into(),
        target: "pr/12 ä✓".into(),
        reason: Some("opened by this run".into()),
        epoch: 4,
        tries: 0,
        labels: BTreeMap::from([("issue".into(), "168".into())]),
        payload: Document::new(r#"{"repo":"x","n":1.50}"#).expect("JSON"),
    }
}

fn webhook(server: &Server, secrets: &str) -> (Webhook, ManualClock) {
    let url = format!("http://{}/undo?via=tenure", server.address);
    let clock = ManualClock::at(Time::from_micros(SECONDS * 1_000_000));
    let webhook = Webhook::new(&url, secrets).expect("a webhook");
    (Webhook { clock: Arc::new(clock.clone()), ..webhook }, clock)
}

async fn asked(webhook: &Webhook, call: UndoCall) -> Undone {
    tokio::time::timeout(FAR_TOO_LONG, webhook.undo(call, a_lease())).await.expect("in time")
}

/// What one undo comes to, with the address of the server left out.
async fn undone(reply: Reply) -> Undone {
    let server = Server::that_answers(vec![reply]);
    let (webhook, _) = webhook(&server, SHORT_SECRET);
    let told = |text: String| text.replace(&server.address, "hooks.example");
    asked(&webhook, call()).await.map(told).map_err(|error| match error {
        UndoError::Retryable(why) => UndoError::Retryable(told(why)),
        UndoError::Permanent(why) => UndoError::Permanent(told(why)),
    })
}

async fn tried_again(reply: Reply) -> String {
    match undone(reply).await {
        Err(UndoError::Retryable(why)) => why,
        other => panic!("it should be tried again, and came to {other:?}"),
    }
}

/// The signatures were made of this body with PyPI's `standardwebhooks` 1.1.0, as those in `secret.rs`.
/// A lease that is held for as long as the tests take.
fn a_lease() -> LeaseWatch {
    use crate::keeper::{Held, LeaseStatus};
    use tenure_clock::Moment;
    let far = Moment::now() + Span::from_days(1);
    let expires_at = tenure_core::time::Time::MAX;
    let held = Held { fences_at: far, ends_at: far, expires_at, cancel_asked: false, renewal_error: None };
    let (tell, lease) = tokio::sync::watch::channel(LeaseStatus::Held(held));
    // It stays as it is without anybody to tell.
    std::mem::forget(tell);
    lease
}

#[tokio::test]
async fn an_undo_is_a_post_that_is_signed_as_the_specification_has_it() {
    const BODY: &str = r#"{"type":"undo.requested","timestamp":"2026-10-26T07:33:20.000000Z","data":{"key":"shop/build-42/1/3","namespace":"shop","task":"build-42","saga_id":"release-7","seq":1,"kind":"close-pr","target":"pr/12 ä✓","reason":"opened by this run","epoch":4,"tries":0,"labels":{"issue":"168"},"payload":{"repo":"x","n":1.50}}}"#;
    const BY_SHORT: &str = "v1,ieqIDe1ph3ksJ+f+yQj752Wct5QhgXiSjKyrDfmJnlg=";
    const BY_LONG: &str = "v1,3qgcCa0wnXqXma8wK/HVI9j/aP25ZPBIkkLHZLje9m8=";
    let mut server = Server::that_answers(vec![with_body("200 OK", b"closed\n")]);
    let (webhook, _) = webhook(&server, &format!("{SHORT_SECRET}\n{LONG_SECRET}\n"));
    let receipt = asked(&webhook, call()).await;
    assert_eq!(receipt, Ok(format!("http://{} answered 200 OK: closed", server.address)));

    let request = server.asked().await;
    assert_eq!(request.line, "POST /undo?via=tenure HTTP/1.1");
    assert_eq!(std::str::from_utf8(&request.body), Ok(BODY));
    assert_eq!(request.header("webhook-id"), "shop/build-42/1/3");
    assert_eq!(request.header("webhook-timestamp"), "1793000000");
    assert_eq!(request.header("webhook-signature"), format!("{BY_SHORT} {BY_LONG}"));
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.header("user-agent"), format!("tenure/{}", env!("CARGO_PKG_VERSION")));
    assert_eq!(request.header("authorization"), "");
}

#[tokio::test]
async fn a_further_try_has_the_same_id_and_a_time_of_its_own() {
    let replies = vec![with_body("500 Internal Server Error", b""), with_body("204 No Content", b"")];
    let mut server = Server::that_answers(replies);
    let (webhook, clock) = webhook(&server, SHORT_SECRET);
    let first = asked(&webhook, call()).await;
    let why = format!("http://{} answered 500 Internal Server Error", server.address);
    assert_eq!(first, Err(UndoError::Retryable(why)));
    clock.advance(Span::from_secs(60));
    let second = asked(&webhook, UndoCall { tries: 1, ..call() }).await;
    assert_eq!(second, Ok(format!("http://{} answered 204 No Content", server.address)));

    let (first, second) = (server.asked().await, server.asked().await);
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert_eq!(first.header("webhook-timestamp"), "1793000000");
    assert_eq!(second.header("webhook-timestamp"), "1793000060");
    assert_ne!(first.header("webhook-signature"), second.header("webhook-signature"));
}

#[tokio::test]
async fn an_answer_decides_whether_it_is_asked_again() {
    for status in ["200 OK", "201 Created", "202 Accepted", "299 Fine"] {
        assert!(undone(with_body(status, b"x")).await.is_ok(), "{status}");
    }
    let again =
        ["400 Bad Request", "401 Unauthorized", "404 Not Found", "408 Request Timeout", "409 Conflict"];
    let further =
        ["422 Unprocessable Entity", "425 Too Early", "429 Too Many Requests", "503 Service Unavailable"];
    for status in again.iter().chain(&further) {
        assert_eq!(
            tried_again(with_body(status, b"no")).await,
            format!("http://hooks.example answered {status}: no")
        );
    }
    let gone = undone(with_body("410 Gone", b"this pull request is merged")).await;
    let why = "http://hooks.example answered 410 Gone: this pull request is merged";
    assert_eq!(gone, Err(UndoError::Permanent(why.into())));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut elsewhere = Server::that_answers(vec![with_body("200 OK", b"")]);
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let there = format!("http://{}/", elsewhere.address);
        let answer = format!("HTTP/1.1 {status}\r\nlocation: {there}\r\ncontent-length: 0\r\n\r\n");
        let expected = format!(
            "http://hooks.example answered {status}, which leads to {there}, and redirects are not followed: \
             the URL must be changed"
        );
        assert_eq!(tried_again(text(&answer)).await, expected);
    }
    assert!(elsewhere.seen.try_recv().is_err(), "nothing was sent there");
    let long = format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", "x".repeat(9_000));
    assert!(tried_again(text(&long)).await.len() < 500);
    assert!(tried_again(with_body("304 Not Modified", b"")).await.contains("redirects are not followed"));
}

#[tokio::test]
async fn a_body_that_is_large_is_kept_at_its_beginning() {
    let receipt = undone(with_body("200 OK", "ä".repeat(20_000).as_bytes())).await.expect("a receipt");
    assert!(receipt.starts_with("http://hooks.example answered 200 OK: ää"), "{receipt}");
    assert!(receipt.ends_with("ä [the rest was left out]") && receipt.len() < 4_096, "{}", receipt.len());
    let receipt = undone(with_body("200 OK", b"caf\xe9 \0\xff")).await.expect("a receipt");
    assert_eq!(receipt, "http://hooks.example answered 200 OK: caf\u{fffd} \u{fffd}");
}

#[tokio::test]
async fn a_body_without_end_is_not_read_to_its_end() {
    for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n"] {
        let mut server = Server::that_answers(vec![Reply::Endless(head)]);
        let (webhook, _) = webhook(&server, SHORT_SECRET);
        let receipt = asked(&webhook, call()).await.expect("a receipt");
        assert!(receipt.ends_with("xxx [the rest was left out]"), "{receipt}");
        server.asked().await;
        assert_eq!(server.seen().await, Seen::Gone);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_proves_nothing() {
    let why = tried_again(text("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nremov")).await;
    let expected = "http://hooks.example answered 200 OK, but its body broke off, so it proves nothing (";
    assert!(why.starts_with(expected) && why.ends_with("): remov"), "{why}");
    let why = tried_again(text("HTTP/1.1 500 Oh\r\ncontent-length: 100\r\n\r\nbrok")).await;
    assert_eq!(why, "http://hooks.example answered 500 Internal Server Error: brok");
}

#[tokio::test]
async fn no_answer_or_nonsense_is_tried_again() {
    for reply in
        [text(""), text("HTTP/1.1 200"), text("SSH-2.0-OpenSSH_9.2\r\n"), text("HTTP/1.1 2x0 OK\r\n\r\n")]
    {
        let why = tried_again(reply).await;
        assert!(why.starts_with("http://hooks.example: error sending request"), "{why}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let webhook = Webhook::new(&format!("http://{nobody}/?token=hunter2"), SHORT_SECRET).expect("a webhook");
    let error = asked(&webhook, call()).await.expect_err("nobody listens");
    let UndoError::Retryable(why) = &error else { panic!("{error:?}") };
    assert!(why.contains("onnection refused") && !why.contains("hunter2"), "{why}");
}

#[tokio::test]
async fn https_is_never_spoken_without_tls() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://{}/", server.local_addr().expect("an address"));
    let answers = std::thread::spawn(move || {
        let (mut stream, _) = server.accept().expect("a connection");
        let mut first = [0];
        stream.read_exact(&mut first).expect("a byte");
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").expect("an answer");
        first
    });
    let webhook = Webhook::new(&url, SHORT_SECRET).expect("a webhook");
    let error = asked(&webhook, call()).await.expect_err("no TLS there");
    assert!(matches!(&error, UndoError::Retryable(why) if why.contains("corrupt message")), "{error:?}");
    assert_eq!(answers.join().expect("a server"), [22], "the first byte of a handshake");
}

#[tokio::test]
async fn to_drop_an_undo_ends_its_request() {
    let promises = ["HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nslow", ""];
    for promise in promises {
        let mut server = Server::that_answers(vec![Reply::ThenWaits(promise)]);
        let (webhook, _) = webhook(&server, SHORT_SECRET);
        let undo = webhook.undo(call(), a_lease());
        tokio::select! {
            undone = undo => panic!("it must still be waiting: {undone:?}"),
            request = server.asked() => assert_eq!(request.header("webhook-id"), call().key),
        }
        assert_eq!(server.seen().await, Seen::Gone);
    }
}

#[tokio::test]
async fn a_secret_that_is_changed_in_its_file_signs_the_next_request() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("secret");
    std::fs::write(&path, SHORT_SECRET).expect("a file");
    let mut server = Server::that_answers(vec![with_body("200 OK", b""), with_body("200 OK", b"")]);
    let url = format!("http://{}/", server.address);
    let webhook = Webhook::from_secret_file(&url, &path).expect("a webhook");
    assert!(asked(&webhook, call()).await.is_ok());

    std::fs::write(&path, format!("{LONG_SECRET}\n{SHORT_SECRET}\n")).expect("a file");
    assert!(asked(&webhook, call()).await.is_ok());
    let signatures = |request: Request| request.header("webhook-signature").split(' ').count();
    assert_eq!(signatures(server.asked().await), 1);
    assert_eq!(signatures(server.asked().await), 2);

    std::fs::write(&path, "whse").expect("a file");
    let error = asked(&webhook, call()).await.expect_err("no secret");
    assert!(
        matches!(&error, UndoError::Retryable(why) if why.contains("/secret: the webhook secret must begin")),
        "{error}"
    );
    std::fs::remove_file(&path).expect("a file");
    assert!(matches!(asked(&webhook, call()).await, Err(UndoError::Retryable(_))));
    assert!(Webhook::from_secret_file(&url, &path).is_err(), "at the start it is an error");
}

#[tokio::test]
async fn an_undo_without_a_key_that_a_header_can_have_is_not_sent() {
    let webhook = Webhook::new("http://127.0.0.1:9/", SHORT_SECRET).expect("a webhook");
    for key in ["", "shop/a\r\nx: y/1/1"] {
        let undone = asked(&webhook, UndoCall { key: key.into(), ..call() }).await;
        assert!(matches!(undone, Err(UndoError::Permanent(_))), "{undone:?}");
    }
}

#[test]
fn a_url_says_where_to_and_nothing_else() {
    let said = |url: &str| Webhook::new(url, SHORT_SECRET).err().unwrap_or_default();
    assert_eq!(said("https://hooks.example/close-pr?x=1"), "");
    assert!(said("hooks.example/close-pr").contains("URL is invalid"));
    assert!(said("http://").contains("URL is invalid"));
    assert!(said("ftp://hooks.example/").contains("must begin with https:// or http://, not with ftp:"));
    for credentials in ["https://ann@hooks.example/", "https://:hunter2@hooks.example/"] {
        let said = said(credentials);
        assert!(said.contains("before its `@`") && !said.contains("hunter2"), "{said}");
    }
    assert!(said("https://hooks.example/#undo").contains("never sent"));
}

#[test]
fn a_secret_is_in_no_debug_output_and_in_no_error() {
    let shown = format!("{:?}", Webhook::new("https://hooks.example/x?token=hunter2", SHORT_SECRET));
    assert_eq!(shown, r#"Ok(Webhook { url: "https://hooks.example/x", .. })"#);
    let wrong = format!("{SHORT_SECRET}-hunter2");
    let error = Webhook::new("https://hooks.example/", &wrong).expect_err("no base64");
    assert!(!error.contains("hunter2") && !error.contains("AAEC"), "{error}");
}

/// Variables can't be set in a program with threads, so it is another one that has them.
#[test]
fn proxies_of_the_environment_are_not_used() {
    let this = std::env::current_exe().expect("a program");
    let story = "an_undo_is_a_post_that_is_signed_as_the_specification_has_it";
    let mut again = Command::new(this);
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        again.env(name, "http://127.0.0.1:9");
    }
    let done =
        again.args(["--exact", &format!("handler::webhook::tests::{story}")]).output().expect("an output");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}
