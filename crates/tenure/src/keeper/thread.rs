//! The thread that renews all leases of the process. Work can't delay it.

use std::sync::OnceLock;
use std::sync::mpsc;

use tenure_store::{Error, Failure};
use tokio::runtime::Handle;

static THREAD: OnceLock<Result<Handle, Error>> = OnceLock::new();

/// Starts the thread if needed, before any lease is taken that it must renew.
pub(super) fn start() -> Result<&'static Handle, Error> {
    let failed = |error| {
        Error::Unavailable(Failure::new(format!("can't start the thread that renews leases: {error}"), error))
    };
    THREAD.get_or_init(|| begin().map_err(failed)).as_ref().map_err(Error::clone)
}

/// Runs a future on it.
pub(super) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
    start()?.spawn(work);
    Ok(())
}

fn begin() -> std::io::Result<Handle> {
    let (tell, told) = mpsc::sync_channel(1);
    std::thread::Builder::new().name("tenure-keeper".into()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => {
                let _ = tell.send(Ok(runtime.handle().clone()));
                runtime.block_on(std::future::pending::<()>());
            }
            Err(error) => {
                let _ = tell.send(Err(error));
            }
        }
    })?;
    told.recv().unwrap_or_else(|_| Err(std::io::Error::other("the thread ended at once")))
}
