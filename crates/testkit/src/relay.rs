//! A network relay between a client and a server that loses requests and responses at a given rate; a seed repeats
//! the same losses. Of the traffic it knows only when a request begins.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// The possible faults of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loss {
    /// Nothing.
    None,
    /// It is not passed on: the connection is cut.
    Request,
    /// It is passed on and answered; the answer is dropped and the connection is cut.
    Reply,
    /// It is passed on and answered; the answer is held back, and the connection stays.
    Silence,
}

/// A relay to a server on this machine.
pub struct Relay {
    port: u16,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

struct Shared {
    server: u16,
    /// One in this many requests is lost; none: no loss.
    one_in: AtomicU64,
    entropy: AtomicU64,
    lost: [AtomicU32; 3],
}

impl Relay {
    /// A relay to that port, which loses nothing yet.
    pub async fn to(server: u16, seed: u64) -> Relay {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let lost = [AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0)];
        let shared =
            Arc::new(Shared { server, one_in: AtomicU64::new(0), entropy: AtomicU64::new(seed | 1), lost });
        let stop = CancellationToken::new();
        let (ours, until) = (Arc::clone(&shared), stop.clone());
        tokio::spawn(until.run_until_cancelled_owned(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, Arc::clone(&ours)));
            }
        }));
        Relay { port, shared, stop }
    }

    /// Where it is.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on loses one in this many requests; 0: no loss.
    pub fn lose_one_in(&self, count: u64) {
        self.shared.one_in.store(count, Ordering::SeqCst);
    }

    /// How many requests, replies and connections it has lost.
    pub fn lost(&self) -> [u32; 3] {
        self.shared.lost.each_ref().map(|count| count.load(Ordering::SeqCst))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Shared {
    fn next(&self) -> u64 {
        // An xorshift: chance that is the same for the same seed, and needs to be no better.
        let step = |mut state: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            Some(state)
        };
        self.entropy.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step).unwrap_or_else(|state| state)
    }

    fn loss(&self) -> Loss {
        let one_in = self.one_in.load(Ordering::SeqCst);
        if one_in == 0 || !self.next().is_multiple_of(one_in) {
            return Loss::None;
        }
        let which = self.next() % 3;
        self.lost[which as usize].fetch_add(1, Ordering::SeqCst);
        [Loss::Request, Loss::Reply, Loss::Silence][which as usize]
    }
}

async fn carry(client: TcpStream, shared: Arc<Shared>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", shared.server)).await else { return };
    let ((mut from_client, to_client), (from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let is_deaf = Arc::new(AtomicBool::new(false));
    let mut answers = tokio::spawn(copy(from_server, to_client, Arc::clone(&is_deaf)));
    let mut bytes = vec![0; 64 * 1024];
    let mut loss = Loss::None;
    loop {
        let read = tokio::select! {
            // The server has executed it; its answer is dropped.
            _ = &mut answers, if loss == Loss::Reply => return,
            read = from_client.read(&mut bytes) => read,
        };
        let Ok(length @ 1..) = read else { break };
        let is_request = [&b"GET "[..], b"POST ", b"PUT ", b"DELETE "]
            .iter()
            .any(|verb| bytes[..length].starts_with(verb));
        // One that is lost is the last one of its connection; what follows are its other parts.
        if is_request && loss == Loss::None {
            loss = shared.loss();
            match loss {
                Loss::None => {}
                Loss::Request => break,
                Loss::Reply => is_deaf.store(true, Ordering::SeqCst),
                Loss::Silence => answers.abort(),
            }
        }
        if to_server.write_all(&bytes[..length]).await.is_err() {
            break;
        }
    }
    if loss == Loss::None && to_server.shutdown().await.is_ok() {
        // What was answered before the client closed is still carried, until the server closes as well.
        let _ = (&mut answers).await;
    }
    answers.abort();
}

/// Passes on the server's answers. Once the client must get nothing more, it ends at the next answer.
async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, is_deaf: Arc<AtomicBool>) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        if is_deaf.load(Ordering::SeqCst) {
            return;
        }
        if to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
    // The end of one is the end of the other.
    let _ = to.shutdown().await;
}
