//! Tells an event loop which operations are done. The loop watches a file descriptor, so no thread enters the interpreter.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use tenure::Error;
use tokio::runtime::Runtime;
use tokio::task::AbortHandle;

use crate::errors::shown;
use crate::fork::{self, ForkSafe};

/// Makes the result of an operation a value of Python.
type Show = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

/// The ticket of an operation, its result, and the exception if it has one.
type Done = (u64, Option<Py<PyAny>>, Option<Py<PyAny>>);

/// Where operations report that they are done. One for each event loop.
#[pyclass(frozen)]
pub(crate) struct Port {
    shared: ForkSafe<Arc<Shared>>,
    readable: UnixStream,
}

struct Shared {
    state: Mutex<State>,
    writable: UnixStream,
}

#[derive(Default)]
struct State {
    newest: u64,
    running: HashMap<u64, AbortHandle>,
    done: Vec<(u64, Show)>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, ticket: u64, show: Show) {
        let is_first = {
            let mut state = self.state();
            // An operation that was given up reports nothing.
            if state.running.remove(&ticket).is_none() {
                return;
            }
            state.done.push((ticket, show));
            state.done.len() == 1
        };
        // One byte wakes the loop for all. A full pipe wakes it, too.
        if is_first {
            let _ = (&self.writable).write(&[1]);
        }
    }
}

impl Port {
    /// Starts an operation in the background, and returns its ticket.
    pub(crate) fn spawn<R>(
        &self,
        runtime: &Runtime,
        work: impl Future<Output = Result<R, Error>> + Send + 'static,
    ) -> PyResult<u64>
    where
        R: for<'a> IntoPyObject<'a> + Send + 'static,
    {
        let shared = Arc::clone(self.shared.get()?);
        let mut state = shared.state();
        state.newest += 1;
        let (ticket, reporting) = (state.newest, Arc::clone(&shared));
        // It can't report before this lock is released, so its ticket is known by then.
        let running = runtime.spawn(async move {
            let done = work.await;
            reporting.report(ticket, Box::new(move |py| Ok(shown(py, done)?.unbind())));
        });
        state.running.insert(ticket, running.abort_handle());
        Ok(ticket)
    }
}

#[pymethods]
impl Port {
    #[new]
    fn new() -> PyResult<Port> {
        fork::begin()?;
        let (readable, writable) = UnixStream::pair()?;
        readable.set_nonblocking(true)?;
        writable.set_nonblocking(true)?;
        Ok(Port { shared: ForkSafe::new(Arc::new(Shared { state: Mutex::default(), writable })), readable })
    }

    /// The descriptor that is readable when an operation is done.
    fn fileno(&self) -> RawFd {
        self.readable.as_raw_fd()
    }

    /// The operations that are done: the ticket of each, its result, and the exception if it has one.
    fn take(&self, py: Python<'_>) -> PyResult<Vec<Done>> {
        let shared = self.shared.get()?;
        let mut read = [0; 64];
        match (&self.readable).read(&mut read) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        let done = std::mem::take(&mut shared.state().done);
        let shown = done.into_iter().map(|(ticket, show)| match show(py) {
            Ok(value) => (ticket, Some(value), None),
            Err(error) => (ticket, None, Some(error.into_value(py).into_any())),
        });
        Ok(shown.collect())
    }

    /// Gives an operation up: nobody waits for it any more. A command that was sent is done all the same.
    fn give_up(&self, ticket: u64) -> PyResult<()> {
        let running = self.shared.get()?.state().running.remove(&ticket);
        if let Some(running) = running {
            running.abort();
        }
        Ok(())
    }
}
