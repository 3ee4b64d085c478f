//! Tokens of servers, which administrators create, list and revoke.

use pyo3::prelude::*;
use tenure::access::{Role, Token};
use tenure::api::to_json;
use tenure::api::token::NewToken;
use tenure::{Error, Ledger as TenureLedger};

use crate::ledger::Ledger;
use crate::port::Port;
use crate::wait::{run, seconds};

/// The ledger of the one who acts, if that is said.
pub(crate) fn acting(ledger: TenureLedger, by: Option<String>) -> Result<TenureLedger, Error> {
    by.map_or(Ok(ledger.clone()), |by| ledger.acting_as(&by))
}

#[pymethods]
impl Ledger {
    /// Creates a token, and returns it with its secret.
    #[expect(clippy::too_many_arguments, reason = "each has its name in Python")]
    #[pyo3(signature = (name, role, namespaces, expires, by, port))]
    fn create_token<'py>(
        &self,
        py: Python<'py>,
        name: String,
        role: String,
        namespaces: Option<Vec<String>>,
        expires: Option<f64>,
        by: Option<String>,
        port: Option<&Port>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let ledger = self.open_one()?;
        run(py, port, async move {
            let mut new = acting(ledger, by)?.create_token(&name, Role::named(&role)?);
            if let Some(namespaces) = namespaces {
                new = new.in_namespaces(namespaces);
            }
            if let Some(expires) = seconds(expires) {
                new = new.lifetime(expires);
            }
            let (secret, record) = new.await?;
            Ok(to_json(&NewToken { token: Some(secret.reveal().to_owned()), record }))
        })
    }

    /// All tokens, each as JSON.
    #[pyo3(signature = (port))]
    fn tokens<'py>(&self, py: Python<'py>, port: Option<&Port>) -> PyResult<Bound<'py, PyAny>> {
        let ledger = self.open_one()?;
        run(py, port, async move {
            let tokens: Vec<Token> = ledger.tokens().await?;
            Ok(tokens.iter().map(to_json).collect::<Vec<String>>())
        })
    }

    /// Revokes a token, and returns it.
    #[pyo3(signature = (name, by, port))]
    fn revoke_token<'py>(
        &self,
        py: Python<'py>,
        name: String,
        by: Option<String>,
        port: Option<&Port>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let ledger = self.open_one()?;
        run(py, port, async move { Ok(to_json(&acting(ledger, by)?.revoke_token(&name).await?)) })
    }
}
