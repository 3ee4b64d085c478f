//! Accepts connections up to a limit, serves them, and closes them in order when the server stops.

mod bounded;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::{Extension, Router};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tenure::stop::StopSignal;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tower::Service;

use crate::metrics::Metrics;
use crate::options::Limits;
use bounded::{Opening, Taking};

/// How long a handshake may take.
const HANDSHAKE_WAITED_FOR: Duration = Duration::from_secs(10);
/// The pause after a failed accept: usually no file descriptors are left.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// The maximum size of a request head: the longest path has some hundred bytes, and a query not much more.
const HEAD_BYTES_MAX: u32 = 32 * 1024;
/// The same of HTTP/1.1, where what is read of a body goes through it, too.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// A request extension: the request came over this server's TLS.
#[derive(Clone, Copy)]
pub(crate) struct Encrypted;

/// Accepts and serves until it is told to stop; then running requests get the grace period.
pub(crate) async fn run(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    (router, metrics, limits): (Router, Metrics, &Limits),
    (stop, grace): (StopSignal, Duration),
) -> io::Result<()> {
    let connections = Arc::new(Semaphore::new(limits.connections_max));
    let router = if tls.is_some() { router.layer(Extension(Encrypted)) } else { router };
    let (tls, server) = (tls.map(TlsAcceptor::from), server(limits));
    let graceful = GracefulShutdown::new();
    loop {
        // Connections over the limit wait in the system's backlog, not in our memory.
        let taken = tokio::select! {
            taken = Arc::clone(&connections).acquire_owned() => taken.map_err(io::Error::other)?,
            () = stop.stopped() => break,
        };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "can't accept a connection; trying again");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            },
            () = stop.stopped() => break,
        };
        let (router, server, tls) = (router.clone(), server.clone(), tls.clone());
        let (watcher, counted) = (graceful.watcher(), metrics.connection());
        let (head_wait_max, write_wait_max) = (limits.head_wait_max, limits.write_wait_max);
        tokio::spawn(async move {
            let _held = (taken, counted);
            // Responses are small and must be sent at once.
            let _ = stream.set_nodelay(true);
            let stream = Taking::of(stream, write_wait_max);
            match tls {
                None => serve(server, Opening::of(stream, head_wait_max), router, watcher).await,
                Some(tls) => {
                    if let Some(stream) = handshake(&tls, stream).await {
                        serve(server, Opening::of(stream, head_wait_max), router, watcher).await;
                    }
                }
            }
        });
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => Ok(()),
        () = tokio::time::sleep(grace) => {
            tracing::warn!("requests were still running at the end of the grace period and were cut off");
            Ok(())
        }
    }
}

fn server(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_wait_max)
        .max_buf_size(BUFFER_BYTES_MAX);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(256)
        .max_header_list_size(HEAD_BYTES_MAX)
        .keep_alive_interval(limits.head_wait_max);
    server
}

async fn handshake(
    tls: &TlsAcceptor,
    stream: Taking<TcpStream>,
) -> Option<tokio_rustls::server::TlsStream<Taking<TcpStream>>> {
    let shaken = tokio::time::timeout(HANDSHAKE_WAITED_FOR, tls.accept(stream)).await;
    match shaken {
        Ok(Ok(stream)) => Some(stream),
        // Port scanners, and clients that don't trust the certificate: not worth a warning.
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
        Err(_) => None,
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    server: auto::Builder<TokioExecutor>,
    stream: S,
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let service = service_fn(move |request: Request<Incoming>| router.clone().call(request));
    let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        // Clients disconnect in many ways, and each request logs its own end.
        tracing::debug!(error, "a connection ended early");
    }
}
