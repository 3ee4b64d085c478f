//! Runs an operation for its caller: a blocking call, or an event loop that is told when it is done.

use std::time::Duration;

use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use tenure::Error;

use crate::errors::shown;
use crate::port::Port;
use crate::runtime::runtime;

/// How often a waiting main thread looks whether a signal came, such as Ctrl-C: only there Python handles signals.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Runs an operation. With a port it returns a ticket at once, and the port tells when it is done. Without one it waits, and
/// meanwhile other threads of Python run.
pub(crate) fn run<'py, R>(
    py: Python<'py>,
    port: Option<&Port>,
    work: impl Future<Output = Result<R, Error>> + Send + 'static,
) -> PyResult<Bound<'py, PyAny>>
where
    R: for<'a> IntoPyObject<'a> + Send + 'static,
{
    let runtime = runtime()?;
    if let Some(port) = port {
        return port.spawn(runtime, work)?.into_bound_py_any(py);
    }
    let is_main = is_main_thread();
    let mut work = std::pin::pin!(work);
    loop {
        let done = py.detach(|| {
            runtime.block_on(async {
                match is_main {
                    true => tokio::time::timeout(LOOK_EVERY, &mut work).await.ok(),
                    false => Some((&mut work).await),
                }
            })
        });
        match done {
            Some(done) => {
                if is_main {
                    // Before anything is handed over: what an exception interrupts now would be lost, and a lease is given back.
                    py.check_signals()?;
                }
                return shown(py, done);
            }
            // An exception such as KeyboardInterrupt ends the wait. A command that was sent is done all the same.
            None => py.check_signals()?,
        }
    }
}

fn is_main_thread() -> bool {
    // Elsewhere every thread looks, which only costs a little.
    #[cfg(not(target_os = "linux"))]
    return true;
    #[cfg(target_os = "linux")]
    return rustix::thread::gettid() == rustix::process::getpid();
}

/// A number of seconds as a length; none if it is not given.
pub(crate) fn seconds(given: Option<f64>) -> Option<Duration> {
    // Python has checked that it is a length; what is longer than fits is for ever.
    given.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}
