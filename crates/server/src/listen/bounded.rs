//! A connection that is not waited for for ever: its first bytes must come in time, since until they are there nobody knows
//! which HTTP it speaks, and no other bound holds yet; and what is written to it must be taken, since else an answer would be
//! kept for whoever never reads it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::options::Limits;

/// By so many bytes HTTP/2 is told from HTTP/1.
const PREFACE_BYTES: usize = 24;

/// A stream with bounds on how long its peer may take.
pub(super) struct Bounded<S> {
    stream: S,
    /// Until when the first bytes must have come; none once it is open.
    open_until: Option<Pin<Box<Sleep>>>,
    /// How much has come.
    bytes: usize,
    /// How long the peer may take nothing.
    write_wait_max: Duration,
    /// Until when it must take something; none while nothing waits for it.
    taken_until: Option<Pin<Box<Sleep>>>,
}

impl<S> Bounded<S> {
    pub(super) fn by(limits: &Limits, stream: S) -> Bounded<S> {
        Bounded {
            stream,
            open_until: Some(Box::pin(tokio::time::sleep(limits.head_wait_max))),
            bytes: 0,
            write_wait_max: limits.write_wait_max,
            taken_until: None,
        }
    }

    /// What came of writing; while nothing is taken, until that is too long.
    fn wrote<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.taken_until = None;
            return polled;
        }
        let wait_max = self.write_wait_max;
        let until = self.taken_until.get_or_insert_with(|| Box::pin(tokio::time::sleep(wait_max)));
        ready!(until.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "nothing of the answer was taken")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
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
                    this.open_until = None;
                }
                Poll::Ready(read)
            }
            Poll::Pending => {
                let Some(until) = &mut this.open_until else { return Poll::Pending };
                ready!(until.as_mut().poll(context));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "nothing came that is HTTP")))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // Who is answered has asked, however briefly.
        this.open_until = None;
        let polled = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.wrote(context, polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.open_until = None;
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
