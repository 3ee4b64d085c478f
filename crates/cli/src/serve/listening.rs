//! Opens the socket of a server: at an address, or the socket that the service manager passed.

use std::io::ErrorKind;

use tenure_server::Exposure;
use tokio::net::TcpListener;

use super::settings::{ServeOptions, exposure_of};
use crate::error::CliError;

/// A listener, and whether other machines can reach it.
pub(super) struct BoundListener {
    pub(super) listener: TcpListener,
    pub(super) exposure: Exposure,
    pub(super) url: String,
}

/// Why the server can't listen.
pub(super) enum NotListening {
    /// The address is in use.
    Taken(CliError),
    Other(CliError),
}

impl From<NotListening> for CliError {
    fn from(why: NotListening) -> CliError {
        match why {
            NotListening::Taken(failure) | NotListening::Other(failure) => failure,
        }
    }
}

impl From<CliError> for NotListening {
    fn from(failure: CliError) -> NotListening {
        NotListening::Other(failure)
    }
}

impl BoundListener {
    pub(super) async fn on(settings: &ServeOptions) -> Result<BoundListener, NotListening> {
        let listener = match handed_over()? {
            Some(listener) => listener,
            None => TcpListener::bind(&settings.listen).await.map_err(|error| {
                let listen = &settings.listen;
                let words = format!("can't listen on {listen}: {error}");
                if error.kind() == ErrorKind::AddrInUse {
                    return NotListening::Taken(CliError::Failed(words));
                }
                NotListening::Other(CliError::Failed(format!("{words}; pass another --listen ADDRESS:PORT")))
            })?,
        };
        let address = listener.local_addr();
        let address =
            address.map_err(|error| CliError::Failed(format!("the socket has no address: {error}")))?;
        let scheme = if settings.tls.is_on() { "https" } else { "http" };
        // A wildcard address can't be connected to; usually the machine's name can.
        let place = match address.ip().is_unspecified() {
            true => format!("{}:{}", rustix::system::uname().nodename().to_string_lossy(), address.port()),
            false => address.to_string(),
        };
        Ok(BoundListener { listener, exposure: exposure_of(&[address]), url: format!("{scheme}://{place}") })
    }
}

/// The socket that the service manager passed to this process, if it did.
fn handed_over() -> Result<Option<TcpListener>, CliError> {
    let wrong = |error: std::io::Error| {
        CliError::Failed(format!("can't listen on the socket of the service manager: {error}"))
    };
    let mut sockets = listenfd::ListenFd::from_env();
    if sockets.len() > 1 {
        return Err(CliError::Usage("the service manager passed more than one socket; configure one".into()));
    }
    let Some(socket) = sockets.take_tcp_listener(0).map_err(wrong)? else { return Ok(None) };
    socket.set_nonblocking(true).map_err(wrong)?;
    TcpListener::from_std(socket).map(Some).map_err(wrong)
}
