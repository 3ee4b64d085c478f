//! A server in this process, for tests of code that uses one.

use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use tenure::recovery::Recovery;
use tenure::stop::StopSignal;
use tenure_server::Options;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::errors;
use crate::fork::ForkSafe;
use crate::ledger::Ledger;
use crate::runtime::runtime;

/// A server on a free port of the loopback address.
#[pyclass(frozen)]
pub(crate) struct Server {
    #[pyo3(get)]
    url: String,
    stop: StopSignal,
    running: ForkSafe<Mutex<Option<JoinHandle<()>>>>,
}

#[pymethods]
impl Server {
    #[new]
    fn new(py: Python<'_>, ledger: &Ledger) -> PyResult<Server> {
        let (runtime, ledger, stop) = (runtime()?, ledger.open_one()?, StopSignal::new());
        let (until, failed) = (stop.clone(), |error: std::io::Error| errors::unavailable(&error.to_string()));
        let started = py.detach(|| {
            runtime.block_on(async {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                let address = listener.local_addr()?;
                let server = tenure_server::Server::new(ledger, Recovery::new, Options::default())?;
                let running = tokio::spawn(async move {
                    if let Err(error) = server.run(listener, None, until).await {
                        tracing::error!(%error, "the server ended");
                    }
                });
                Ok((address, running))
            })
        });
        let (address, running) = started.map_err(failed)?;
        let url = format!("http://{address}");
        Ok(Server { url, stop, running: ForkSafe::new(Mutex::new(Some(running))) })
    }

    /// Stops it, and waits for its end.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        let running = self.running.get()?;
        self.stop.stop();
        let running = running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(running) = running {
            let runtime = runtime()?;
            // One that panicked has ended, too.
            let _ = py.detach(|| runtime.block_on(running));
        }
        Ok(())
    }
}
