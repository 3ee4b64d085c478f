//! The first bytes of a connection, which must come in time: until they are there, nobody knows which HTTP it speaks, and no
//! other bound holds yet.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// By so many bytes HTTP/2 is told from HTTP/1.
const PREFACE_BYTES: usize = 24;

/// A stream whose first bytes must come in time.
pub(super) struct Opening<S> {
    stream: S,
    /// Until when; none once it is open.
    until: Option<Pin<Box<Sleep>>>,
    /// How much has come.
    bytes: usize,
}

impl<S> Opening<S> {
    pub(super) fn of(stream: S, wait_max: Duration) -> Opening<S> {
        Opening { stream, until: Some(Box::pin(tokio::time::sleep(wait_max))), bytes: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Opening<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(read) => {
                this.bytes = this.bytes.saturating_add(buffer.filled().len() - before);
                if this.bytes >= PREFACE_BYTES {
                    this.until = None;
                }
                Poll::Ready(read)
            }
            Poll::Pending => {
                let Some(until) = &mut this.until else { return Poll::Pending };
                ready!(until.as_mut().poll(context));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "nothing came that is HTTP")))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opening<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // Who is answered has asked, however briefly.
        this.until = None;
        Pin::new(&mut this.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.until = None;
        Pin::new(&mut this.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
