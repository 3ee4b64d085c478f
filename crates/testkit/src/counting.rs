//! A relay between a store and its PostgreSQL server that counts what a command costs there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// What was sent in transactions since it was last asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sent {
    /// Statements that were executed, begin and commit included.
    pub statements: u32,
    /// How often the client had all its answers before it sent more.
    pub round_trips: u32,
}

/// A relay for connections to a server on this machine, which refuses TLS.
pub struct CountingRelay {
    port: u16,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    statements: AtomicU32,
    round_trips: AtomicU32,
}

/// What one connection waits for.
#[derive(Default)]
struct Conversation {
    unanswered: AtomicU32,
}

impl CountingRelay {
    /// A relay to that port.
    pub async fn to(server_port: u16) -> CountingRelay {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let counts = Arc::new(Counts::default());
        let counting = Arc::clone(&counts);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server_port)).await.expect("the server");
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                let conversation = Arc::new(Conversation::default());
                tokio::spawn(requests(
                    from_client,
                    to_server,
                    Arc::clone(&counting),
                    Arc::clone(&conversation),
                ));
                tokio::spawn(answers(from_server, to_client, conversation));
            }
        });
        CountingRelay { port, counts }
    }

    /// Where it is.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What was sent since the last time.
    pub fn take(&self) -> Sent {
        Sent {
            statements: self.counts.statements.swap(0, Ordering::SeqCst),
            round_trips: self.counts.round_trips.swap(0, Ordering::SeqCst),
        }
    }
}

/// Messages of PostgreSQL's protocol: a letter, and a length that counts itself. What comes before the login has no letter.
struct Messages {
    bytes: Vec<u8>,
    has_begun: bool,
}

/// The number by which a client asks for TLS instead of a login. The server answers with one letter.
const ASKS_FOR_TLS: [u8; 4] = 80_877_103_u32.to_be_bytes();

impl Messages {
    /// The letter of the next one, and what it says.
    fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let letters = usize::from(self.has_begun);
        let length = self.bytes.get(letters..letters + 4)?;
        let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
        if self.bytes.len() < letters + length {
            return None;
        }
        let message: Vec<u8> = self.bytes.drain(..letters + length).collect();
        let letter = if self.has_begun { message[0] } else { 0 };
        let body = message[letters + 4..].to_vec();
        self.has_begun |= !body.starts_with(&ASKS_FOR_TLS);
        Some((letter, body))
    }
}

async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    counts: Arc<Counts>,
    conversation: Arc<Conversation>,
) {
    let (mut bytes, mut messages) = (vec![0; 64 * 1024], Messages { bytes: Vec::new(), has_begun: false });
    let mut in_transaction = false;
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        messages.bytes.extend_from_slice(&bytes[..length]);
        while let Some((letter, text)) = messages.next() {
            // Statements without parameters go as text. What is read outside of a transaction is not a command's.
            in_transaction |= letter == b'Q' && text.starts_with(b"begin");
            let executes = in_transaction && matches!(letter, b'B' | b'Q');
            counts.statements.fetch_add(u32::from(executes), Ordering::SeqCst);
            // A text, or the end of a statement with parameters: each is answered by one word.
            let is_asked = matches!(letter, b'S' | b'Q');
            let waits_for_nothing = is_asked && conversation.unanswered.fetch_add(1, Ordering::SeqCst) == 0;
            let goes = in_transaction && waits_for_nothing;
            counts.round_trips.fetch_add(u32::from(goes), Ordering::SeqCst);
            in_transaction &=
                !(letter == b'Q' && (text.starts_with(b"commit") || text.starts_with(b"rollback")));
        }
        if to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, conversation: Arc<Conversation>) {
    let (mut bytes, mut messages) = (vec![0; 64 * 1024], Messages { bytes: Vec::new(), has_begun: true });
    let mut has_logged_in = false;
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        // It refuses TLS with one letter, which comes alone.
        let is_refusal = !has_logged_in && bytes[..length] == *b"N";
        messages.bytes.extend_from_slice(if is_refusal { &[] } else { &bytes[..length] });
        while let Some((letter, _)) = messages.next() {
            let is_ready = letter == b'Z';
            if is_ready && has_logged_in {
                conversation.unanswered.fetch_sub(1, Ordering::SeqCst);
            }
            has_logged_in |= is_ready;
        }
        if to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}
