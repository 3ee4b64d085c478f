//! A network proxy between a store and its database that fails on request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The fault of the next transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NetworkFault {
    /// Nothing.
    None = 0,
    /// Its `begin` is not passed on: the connection is cut.
    CutAtBegin = 1,
    /// Its commit is passed on, but not the answer: the connection is cut.
    LoseAnswerToCommit = 2,
    /// Its commit is not passed on: the connection is cut.
    CutAtCommit = 3,
}

/// A relay for connections to a server on this machine.
pub struct Proxy {
    port: u16,
    fault: Arc<AtomicU8>,
    faults: Arc<AtomicU32>,
}

impl Proxy {
    /// A relay to that port.
    pub async fn to(server_port: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (fault, faults) = (Arc::new(AtomicU8::new(0)), Arc::new(AtomicU32::new(0)));
        let (next, count) = (Arc::clone(&fault), Arc::clone(&faults));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server_port)).await.expect("the server");
                tokio::spawn(relay(client, server, Arc::clone(&next), Arc::clone(&count)));
            }
        });
        Proxy { port, fault, faults }
    }

    /// Where it is.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What to do to the next transaction; then nothing again.
    pub fn next(&self, fault: NetworkFault) {
        self.fault.store(fault as u8, Ordering::SeqCst);
    }

    /// How often it was done.
    pub fn faults(&self) -> u32 {
        self.faults.load(Ordering::SeqCst)
    }
}

async fn relay(client: TcpStream, server: TcpStream, next: Arc<AtomicU8>, count: Arc<AtomicU32>) {
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let is_deaf = Arc::new(AtomicBool::new(false));
    let mut answers = tokio::spawn(copy(from_server, to_client, Arc::clone(&is_deaf)));
    requests(from_client, to_server, (&next, &count), (&is_deaf, &mut answers)).await;
    answers.abort();
}

/// How the server ends its answers outside of a transaction: it is ready for what comes next.
const IDLE: &[u8] = b"Z\0\0\0\x05I";

fn has(bytes: &[u8], words: &[u8]) -> bool {
    bytes.windows(words.len()).any(|window| window == words)
}

/// Passes on the server's answers. Once the client must get nothing more, it ends when the server has ended the
/// transaction.
async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, is_deaf: Arc<AtomicBool>) {
    let (mut bytes, mut unheard) = (vec![0; 64 * 1024], Vec::new());
    // An end that is gone ends the other one.
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        if is_deaf.load(Ordering::SeqCst) {
            unheard.extend_from_slice(&bytes[..length]);
            if has(&unheard, IDLE) {
                return;
            }
        } else if to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}

async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    (next, count): (&AtomicU8, &AtomicU32),
    (is_deaf, answers): (&AtomicBool, &mut JoinHandle<()>),
) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        let has = |words: &[u8]| has(&bytes[..length], words);
        let fault = next.load(Ordering::SeqCst);
        // Statements without parameters go as text, each with a zero behind it.
        let cuts = (fault == NetworkFault::CutAtBegin as u8 && has(b"begin isolation level read committed"))
            || (fault == NetworkFault::CutAtCommit as u8 && has(b"commit\0"));
        let loses = fault == NetworkFault::LoseAnswerToCommit as u8 && has(b"commit\0");
        if cuts || loses {
            next.store(0, Ordering::SeqCst);
            count.fetch_add(1, Ordering::SeqCst);
        }
        if cuts {
            return;
        }
        if loses {
            is_deaf.store(true, Ordering::SeqCst);
        }
        if to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
        if loses {
            // The server executes it; its answer is dropped.
            let _ = answers.await;
            return;
        }
    }
}
