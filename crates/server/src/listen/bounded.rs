//! Time limits for connections. The first bytes must arrive in time: until then the HTTP version is unknown, and no
//! other limit applies. And a client must read its response in time, because otherwise the server would keep the
//! response in memory for ever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// This many bytes distinguish HTTP/2 from HTTP/1.
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
                Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the client did not send an HTTP request in time",
                )))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opening<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // A connection with a response has sent a request, however short.
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

/// A stream whose peer must keep reading. It is below TLS, where every byte that the peer takes is visible.
pub(super) struct Taking<S> {
    stream: S,
    wait_max: Duration,
    /// Until when something must be taken; none while nothing waits for that.
    until: Option<Pin<Box<Sleep>>>,
}

impl<S> Taking<S> {
    pub(super) fn of(stream: S, wait_max: Duration) -> Taking<S> {
        Taking { stream, wait_max, until: None }
    }

    /// The result of a write; a timeout if the peer takes nothing for too long.
    fn wrote<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.until = None;
            return polled;
        }
        let wait_max = self.wait_max;
        let until = self.until.get_or_insert_with(|| Box::pin(tokio::time::sleep(wait_max)));
        ready!(until.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client stopped reading the response")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Taking<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Taking<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.wrote(context, polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(context, parts);
        this.wrote(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_flush(context);
        this.wrote(context, polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_shutdown(context);
        this.wrote(context, polled)
    }
}
