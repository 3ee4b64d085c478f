//! The runtime of the process: it drives connections and timers, and runs what an event loop waits for.

use std::sync::OnceLock;

use pyo3::PyResult;
use tokio::runtime::{Builder, Runtime};

use crate::{errors, fork};

static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();

/// The runtime, which is started at first use and never stopped.
pub(crate) fn runtime() -> PyResult<&'static Runtime> {
    fork::begin()?;
    let started = RUNTIME.get_or_init(|| {
        let threads =
            Builder::new_multi_thread().worker_threads(2).thread_name("tenure").enable_all().build();
        threads.map_err(|error| format!("can't start the threads of Tenure: {error}"))
    });
    started.as_ref().map_err(|words| errors::unavailable(words))
}
