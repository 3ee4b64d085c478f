//! The TLS connector that tokio-postgres calls. It also records how far a handshake came.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tenure_tls::{Proof, advice_of_rustls, client};
use tokio_postgres::Socket;
use tokio_postgres::config::SslNegotiation;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The parameter that names authorities.
pub(crate) const ROOTS: &str = "sslrootcert";

/// The client's certificate and key.
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

/// A connection's stream, whether there is TLS in it or not.
pub(crate) type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// rustls as tokio-postgres calls it.
#[derive(Clone)]
pub(crate) struct Connector(MakeRustlsConnect);

impl Connector {
    /// For connections without TLS, which only need one for its type.
    pub(crate) fn without_files() -> Result<Connector, String> {
        Connector::new(Proof::Nothing, None, SslNegotiation::Postgres)
    }

    pub(crate) fn new(
        proof: Proof,
        identity: Option<Identity>,
        negotiation: SslNegotiation,
    ) -> Result<Connector, String> {
        let builder = client(proof)?;
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(Identity { chain, key }) => builder.with_client_auth_cert(chain, key).map_err(|error| {
                let advice =
                    advice_of_rustls(&error, ROOTS).map(|advice| format!("; {advice}")).unwrap_or_default();
                format!("`sslcert` and `sslkey` can't be used together: {error}{advice}")
            })?,
        };
        if negotiation == SslNegotiation::Direct {
            // Without this word a server takes it for another protocol that strayed to its port.
            config.alpn_protocols = vec![b"postgresql".to_vec()];
        }
        Ok(Connector(MakeRustlsConnect::new(config)))
    }

    /// For one attempt, with word of how far it came.
    pub(crate) fn watched(&self) -> (Watched, Progress) {
        let progress = Progress::default();
        (Watched { connector: self.0.clone(), progress: progress.clone() }, progress)
    }
}

/// How far the handshake came.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Handshake {
    #[default]
    NotBegun,
    Begun,
    Done,
}

#[derive(Clone, Default)]
pub(crate) struct Progress(Arc<Mutex<Handshake>>);

impl Progress {
    pub(crate) fn handshake(&self) -> Handshake {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, handshake: Handshake) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = handshake;
    }
}

/// tokio-postgres does not tell in which of its steps an attempt failed. The handshake is what decides what
/// comes next.
pub(crate) struct Watched {
    connector: MakeRustlsConnect,
    progress: Progress,
}

impl MakeTlsConnect<Socket> for Watched {
    type Stream = Stream;
    type TlsConnect = WatchedConnect;
    type Error = Infallible;

    fn make_tls_connect(&mut self, name: &str) -> Result<WatchedConnect, Infallible> {
        let connect = MakeTlsConnect::<Socket>::make_tls_connect(&mut self.connector, name)?;
        Ok(WatchedConnect { connect, progress: self.progress.clone() })
    }
}

pub(crate) struct WatchedConnect {
    connect: <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect,
    progress: Progress,
}

impl TlsConnect<Socket> for WatchedConnect {
    type Stream = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            self.progress.set(Handshake::Begun);
            let stream = self.connect.connect(socket).await?;
            self.progress.set(Handshake::Done);
            Ok(stream)
        })
    }
}
