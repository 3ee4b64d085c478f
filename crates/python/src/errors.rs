//! Errors as Python's exceptions. The exceptions are classes of `tenure._errors`; this makes one of its kind and JSON.

use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use tenure::Error;
use tenure::api::refusal::CommandError;
use tenure::api::to_json;

/// The function `exception_of(json)` of `tenure._errors`.
static EXCEPTION_OF: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// A result, as Python has it.
pub(crate) fn shown<'py, R>(py: Python<'py>, done: Result<R, Error>) -> PyResult<Bound<'py, PyAny>>
where
    R: for<'a> IntoPyObject<'a>,
{
    done.map_err(|error| exception(py, &error))?.into_bound_py_any(py)
}

/// The exception for an error.
pub(crate) fn exception(py: Python<'_>, error: &Error) -> PyErr {
    match made(py, &to_json(&CommandError::from(error))) {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// The exception for something that is unavailable: what it says.
pub(crate) fn unavailable(words: &str) -> PyErr {
    let error = Error::Unavailable(words.to_owned().into());
    Python::attach(|py| exception(py, &error))
}

/// The exception for a fork.
pub(crate) fn forked() -> PyErr {
    let made = Python::attach(|py| -> PyResult<PyErr> {
        let class = py.import("tenure._errors")?.getattr("ForkedProcess")?;
        Ok(PyErr::from_value(class.call0()?))
    });
    made.unwrap_or_else(|error| error)
}

/// The exception that the Python half makes of an error's JSON, under the name of its kind.
fn made<'py>(py: Python<'py>, json: &str) -> PyResult<Bound<'py, PyAny>> {
    let maker = EXCEPTION_OF.get_or_try_init(py, || -> PyResult<Py<PyAny>> {
        Ok(py.import("tenure._errors")?.getattr("exception_of")?.unbind())
    })?;
    maker.bind(py).call1((json,))
}
