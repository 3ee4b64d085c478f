//! A server for tests: returns fixed responses, or fails as a network does, with no response, half a response, or a
//! late one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::waiting::eventually;

/// What came.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// Method and path.
    pub(super) line: String,
    /// The header that proves who asks.
    pub(super) proof: String,
    pub(super) body: String,
}

impl Request {
    /// The commands that it brings.
    pub(super) fn commands(&self) -> Vec<serde_json::Value> {
        let body: serde_json::Value = serde_json::from_str(&self.body).expect("JSON");
        body["commands"].as_array().expect("commands").clone()
    }

    /// What they are about.
    pub(super) fn names(&self) -> Vec<String> {
        self.commands().iter().map(|one| one["queue"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

/// What is done about it.
#[derive(Clone)]
pub(super) enum Reply {
    /// Answers, with a status and a type of content.
    Is(u16, &'static str, String),
    /// Reads the request, and closes the connection.
    Closes,
    /// Answers with less than it announced, and closes.
    Cut(String),
    /// Never answers.
    Silent,
    /// Answers after that long, as a server does that waits for something.
    After(Duration, Box<Reply>),
    /// Answers once the gate is open.
    Gated(Box<Reply>),
}

impl Reply {
    pub(super) fn json(text: impl Into<String>) -> Reply {
        Reply::Is(200, "application/json", text.into())
    }

    pub(super) fn problem(status: u16, code: &str) -> Reply {
        let text = format!(r#"{{"code":"{code}","message":"so it is","detail":"so it is"}}"#);
        Reply::Is(status, "application/problem+json", text)
    }

    /// A page of somebody in between.
    pub(super) fn page(status: u16) -> Reply {
        Reply::Is(status, "text/html", "<h1>no</h1>".into())
    }

    /// Every command of the request done, as a claim is that found nothing.
    pub(super) fn done(request: &Request) -> Reply {
        Reply::answers(&vec![r#"{"tasks":[]}"#; request.commands().len()])
    }

    pub(super) fn answers(answers: &[&str]) -> Reply {
        Reply::json(format!(r#"{{"answers":[{}]}}"#, answers.join(",")))
    }

    pub(super) fn later(self, after: Duration) -> Reply {
        Reply::After(after, Box::new(self))
    }

    pub(super) fn gated(self) -> Reply {
        Reply::Gated(Box::new(self))
    }
}

type Script = dyn Fn(usize, &Request) -> Reply + Send + Sync;

/// The server, for as long as the test runs.
pub(super) struct Fake {
    pub(super) port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    script: Box<Script>,
    seen: Mutex<Vec<Request>>,
    /// Connections that the other side has closed while it waited for an answer.
    left: AtomicUsize,
    /// Whether those are answered who wait at the gate.
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Fake {
    /// Answers the nth request, from 0, as the script says.
    pub(super) fn new(script: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Fake {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared {
            script: Box::new(script),
            seen: Mutex::default(),
            left: AtomicUsize::new(0),
            is_open: Mutex::new(false),
            opened: Condvar::new(),
        });
        let theirs = Arc::clone(&shared);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let shared = Arc::clone(&theirs);
                std::thread::spawn(move || shared.talk(connection));
            }
        });
        Fake { port, shared }
    }

    /// One that always says the same.
    pub(super) fn always(reply: Reply) -> Fake {
        Fake::new(move |_, _| reply.clone())
    }

    pub(super) fn seen(&self) -> Vec<Request> {
        self.shared.seen().clone()
    }

    pub(super) fn place(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Waits until that number of requests has come.
    pub(super) fn saw(&self, count: usize) {
        eventually(&format!("{count} requests came"), || self.shared.seen().len() >= count);
    }

    /// Waits until that number of clients has given up waiting for an answer.
    pub(super) fn was_left(&self, count: usize) {
        eventually("nobody waits any more", || self.shared.left.load(Ordering::SeqCst) >= count);
    }

    /// Opens the gate, for good.
    pub(super) fn opens(&self) {
        *self.shared.is_open() = true;
        self.shared.opened.notify_all();
    }
}

/// A place where nobody listens.
pub(super) fn nobody() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").to_string()
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Vec<Request>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_open(&self) -> MutexGuard<'_, bool> {
        self.is_open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is answered in the end, when it is time.
    fn in_its_time(&self, reply: Reply) -> Reply {
        match reply {
            Reply::After(after, then) => {
                // played: a server that takes its time.
                std::thread::sleep(after);
                self.in_its_time(*then)
            }
            Reply::Gated(then) => {
                let open = self.opened.wait_while(self.is_open(), |is_open| !*is_open);
                drop(open.unwrap_or_else(PoisonError::into_inner));
                self.in_its_time(*then)
            }
            Reply::Is(..) | Reply::Closes | Reply::Cut(_) | Reply::Silent => reply,
        }
    }

    fn talk(&self, mut connection: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(connection.try_clone().ok()?);
        loop {
            let request = request(&mut reader)?;
            let nth = {
                let mut seen = self.seen();
                seen.push(request.clone());
                seen.len() - 1
            };
            match self.in_its_time((self.script)(nth, &request)) {
                Reply::Is(status, kind, body) => {
                    let length = body.len();
                    let head = format!(
                        "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
                    );
                    connection.write_all(head.as_bytes()).ok()?;
                    connection.write_all(body.as_bytes()).ok()?;
                }
                Reply::Cut(body) => {
                    let length = body.len() + 1;
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
                    connection.write_all(head.as_bytes()).ok()?;
                    return None;
                }
                Reply::Silent => {
                    if reader.read(&mut [0; 1]).is_ok_and(|count| count == 0) {
                        self.left.fetch_add(1, Ordering::SeqCst);
                    }
                    return None;
                }
                Reply::Closes | Reply::After(..) | Reply::Gated(_) => return None,
            }
        }
    }
}

fn request(reader: &mut impl BufRead) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let header = |name: &str| {
        let found = lines.iter().filter_map(|line| line.split_once(": "));
        found.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
    };
    let length = header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let line = lines.first()?.trim_end_matches(" HTTP/1.1").to_owned();
    let proof = header("authorization").unwrap_or_default();
    Some(Request { line, proof, body: String::from_utf8(body).ok()? })
}
