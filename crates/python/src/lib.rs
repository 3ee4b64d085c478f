//! The native module of the Python package `tenure`: what Python code can't do itself.
//!
//! It passes commands and answers as the public JSON, so that a field is declared once, in `tenure-api`, and named once more where
//! Python shows it. Each operation either blocks its caller without the interpreter's lock, or, given a `port`, runs in the
//! background and reports to an event loop. No thread of this module ever enters the interpreter: so nothing can crash when
//! it ends.

mod clock;
mod cursors;
mod errors;
mod fork;
mod jobs;
mod lease;
mod ledger;
mod lists;
mod logs;
mod port;
mod recovery;
mod runtime;
mod server;
mod tokens;
mod wait;
mod worker;

/// What the Python half of the package uses. None of it is public there.
#[pyo3::pymodule]
mod _native {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use pyo3::exceptions::PyImportError;
    use pyo3::prelude::*;

    /// The interpreter that has loaded this module; 0 before that.
    static INTERPRETER: AtomicUsize = AtomicUsize::new(0);

    /// Refuses a second interpreter of the process: the runtime, and whether it is a fork, are of the whole process.
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        // Each interpreter has a module `sys` of its own, for as long as it lives.
        let this = module.py().import("sys")?.as_ptr() as usize;
        match INTERPRETER.compare_exchange(0, this, Ordering::SeqCst, Ordering::SeqCst) {
            Err(first) if first != this => {
                Err(PyImportError::new_err("Tenure can't be used in a second interpreter of a process"))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    #[pymodule_export]
    use crate::clock::ManualClock;
    #[pymodule_export]
    use crate::lease::Lease;
    #[pymodule_export]
    use crate::ledger::Ledger;
    #[pymodule_export]
    use crate::logs::{install_logs, next_logs};
    #[pymodule_export]
    use crate::port::Port;
    #[pymodule_export]
    use crate::recovery::{Recovery, Undo};
    #[pymodule_export]
    use crate::server::Server;
    #[pymodule_export]
    use crate::worker::{Job, Worker, owner_of_this_process};
}
