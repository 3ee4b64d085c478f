//! A task that is created in a caller's own transaction on PostgreSQL.

use tenure_core::id::TaskId;
use tenure_core::refusal::Refusal;
use tenure_postgres::{CallerTransaction, PostgresStore};

use super::Ledger;
use super::call::Call;
use super::verbs::Creation;
use crate::Error;

impl Ledger {
    /// Creates a task inside the caller's own transaction: it exists if, and only if, that commits. Until then nobody but
    /// the transaction knows of it, and others who want one of its names wait for the transaction's end.
    ///
    /// ```no_run
    /// # #[cfg(feature = "with-tokio-postgres-0_7")]
    /// # async fn order(ledger: &tenure::Ledger, client: &mut tokio_postgres::Client)
    /// # -> Result<(), Box<dyn std::error::Error>> {
    /// let transaction = client.transaction().await?;
    /// transaction.execute("insert into orders (id) values (42)", &[]).await?;
    /// ledger.create_in(&transaction, ledger.create("ship-42").queue("shipping")).await?;
    /// transaction.commit().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// The example needs the feature `with-tokio-postgres-0_7`; other client libraries need a
    /// [`CallerTransaction`].
    ///
    /// The transaction must be in the database of this ledger, by a role that may use its schema. A refusal leaves it as
    /// it was, because it is asked in a nested one. Names are what makes a repeat safe here, so there is no request id.
    pub async fn create_in(
        &self,
        transaction: &dyn CallerTransaction,
        call: Call<Creation>,
    ) -> Result<TaskId, Error> {
        let Some(store) = self.store().as_any().downcast_ref::<PostgresStore>() else {
            let limit = "tasks can be created in a transaction only if the store is PostgreSQL";
            return Err(Refusal::invalid("store", limit).into());
        };
        store.create_in(transaction, call.command()?).await
    }
}
