//! Named cursors of followers.

use pyo3::prelude::*;
use tenure::api::retention::{CursorAnswer, CursorList};
use tenure::api::to_json;
use tenure::store::Cursor;

use crate::ledger::Ledger;
use crate::port::Port;
use crate::tokens::acting;
use crate::wait::run;

#[pymethods]
impl Ledger {
    /// The named cursors of the namespace.
    #[pyo3(signature = (port))]
    fn cursors<'py>(&self, py: Python<'py>, port: Option<&Port>) -> PyResult<Bound<'py, PyAny>> {
        let ledger = self.open_one()?;
        run(py, port, async move { Ok(to_json(&CursorList { cursors: ledger.named_cursors().await? })) })
    }

    /// Moves a named cursor to an event, or only sees to it that there is one.
    #[pyo3(signature = (name, to, by, port))]
    fn move_cursor<'py>(
        &self,
        py: Python<'py>,
        name: String,
        to: Option<String>,
        by: Option<String>,
        port: Option<&Port>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let ledger = self.open_one()?;
        run(py, port, async move {
            let ledger = acting(ledger, by)?;
            let cursor = match to {
                Some(to) => ledger.move_cursor(&name, Cursor::from_text(to)).await?,
                None => ledger.named_cursor(&name).await?,
            };
            Ok(to_json(&CursorAnswer { cursor }))
        })
    }

    /// Deletes a named cursor.
    #[pyo3(signature = (name, port))]
    fn forget_cursor<'py>(
        &self,
        py: Python<'py>,
        name: String,
        port: Option<&Port>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let ledger = self.open_one()?;
        run(
            py,
            port,
            async move { Ok(to_json(&CursorAnswer { cursor: ledger.forget_cursor(&name).await? })) },
        )
    }
}
