//! A network between a store and its database that fails when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

/// What is done to the next transaction that comes by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// Nothing.
    None = 0,
    /// The connection is cut instead of passing its begin on.
    CutAtBegin = 1,
    /// Its commit is passed on, and the answer is not: the connection is cut.
    LoseAnswerToCommit = 2,
    /// The connection is cut instead of passing its commit on.
    CutAtCommit = 3,
    /// Its commit is passed on, and instead of the answers comes a word of its own that the server crashed, as a pooler says
    /// it to whoever waits first.
    ClaimACrashAfterCommit = 4,
}

/// What a pooler says whose server is gone: FATAL, 08P01.
fn crash() -> Vec<u8> {
    let fields = b"SFATAL\0VFATAL\0C08P01\0Mserver conn crashed?\0\0";
    let length = u32::try_from(fields.len() + 4).expect("short");
    [&b"E"[..], &length.to_be_bytes(), fields].concat()
}

/// A relay for connections to a server on this machine.
pub struct Proxy {
    port: u16,
    trouble: Arc<AtomicU8>,
    troubled: Arc<AtomicU32>,
}

impl Proxy {
    /// A relay to that port.
    pub async fn to(server_port: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (trouble, troubled) = (Arc::new(AtomicU8::new(0)), Arc::new(AtomicU32::new(0)));
        let (next, count) = (Arc::clone(&trouble), Arc::clone(&troubled));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server_port)).await.expect("the server");
                tokio::spawn(relay(client, server, Arc::clone(&next), Arc::clone(&count)));
            }
        });
        Proxy { port, trouble, troubled }
    }

    /// Where it is.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What to do to the next transaction; then nothing again.
    pub fn next(&self, trouble: Trouble) {
        self.trouble.store(trouble as u8, Ordering::SeqCst);
    }

    /// How often it was done.
    pub fn troubled(&self) -> u32 {
        self.troubled.load(Ordering::SeqCst)
    }
}

/// What is written to a client, by the relay or by the proxy itself.
type ToClient = Arc<Mutex<OwnedWriteHalf>>;

async fn relay(client: TcpStream, server: TcpStream, next: Arc<AtomicU8>, count: Arc<AtomicU32>) {
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let to_client = Arc::new(Mutex::new(to_client));
    let answers = tokio::spawn(copy(from_server, Arc::clone(&to_client)));
    let mut requests = Requests { to_server, to_client, next, count, answers };
    requests.pass_on(from_client).await;
    requests.answers.abort();
}

async fn copy(mut from: OwnedReadHalf, to: ToClient) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        if to.lock().await.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
    // An end that is gone ends the other one; it may be gone already.
    let _ = to.lock().await.shutdown().await;
}

/// One connection's way to the server.
struct Requests {
    to_server: OwnedWriteHalf,
    to_client: ToClient,
    next: Arc<AtomicU8>,
    count: Arc<AtomicU32>,
    answers: tokio::task::JoinHandle<()>,
}

impl Requests {
    async fn pass_on(&mut self, mut from: OwnedReadHalf) {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut bytes).await {
            let trouble = self.trouble_for(&bytes[..length]);
            if let Trouble::CutAtBegin | Trouble::CutAtCommit = trouble {
                return;
            }
            let loses = trouble != Trouble::None;
            if loses {
                self.answers.abort();
            }
            if self.to_server.write_all(&bytes[..length]).await.is_err() {
                return;
            }
            if loses {
                // Time for the server to do it; what it says is heard by nobody.
                tokio::time::sleep(std::time::Duration::from_millis(300)).await;
                if trouble == Trouble::ClaimACrashAfterCommit {
                    // Whoever is gone does not hear it.
                    let _ = self.to_client.lock().await.write_all(&crash()).await;
                }
                return;
            }
        }
    }

    /// What is to be done to these bytes. Statements without parameters go as text, each with a zero behind it.
    fn trouble_for(&self, bytes: &[u8]) -> Trouble {
        let has = |words: &[u8]| bytes.windows(words.len()).any(|window| window == words);
        let waits_for_commit =
            [Trouble::LoseAnswerToCommit, Trouble::CutAtCommit, Trouble::ClaimACrashAfterCommit];
        let ordered = self.next.load(Ordering::SeqCst);
        let begins = ordered == Trouble::CutAtBegin as u8 && has(b"begin isolation level read committed");
        let commits = waits_for_commit.into_iter().find(|one| ordered == *one as u8 && has(b"commit\0"));
        let trouble = commits.or(begins.then_some(Trouble::CutAtBegin)).unwrap_or(Trouble::None);
        if trouble != Trouble::None {
            self.next.store(0, Ordering::SeqCst);
            self.count.fetch_add(1, Ordering::SeqCst);
        }
        trouble
    }
}
