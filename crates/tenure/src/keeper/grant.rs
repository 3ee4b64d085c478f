//! Takes leases that a keeper will renew: retries until it is known whether the lease was granted, and counts the
//! lease from when the request was sent.

use tenure_clock::Moment;
use tenure_core::task::Task;
use tenure_store::Error;

use super::asking::{Counted, named, send_until_known};
use super::lease::KeptLease;
use super::status::Keeping;
use super::thread;
use crate::ledger::{Call, Claiming, Taking, claim_until};

impl Call<Taking> {
    /// Takes the lease, and keeps it until it is ended, lost or dropped.
    pub async fn keep(self) -> Result<KeptLease, Error> {
        self.keep_with(Keeping::default()).await
    }

    /// The same, with other options.
    pub async fn keep_with(self, keeping: Keeping) -> Result<KeptLease, Error> {
        thread::start()?;
        let (ledger, command) = (self.ledger().clone(), self.command()?);
        let is_named = command.request.is_some();
        let command = named(&ledger, command)?;
        // This comes before sending: nothing may fail after a grant.
        let counted = if is_named { Counted::now(&ledger).await? } else { Counted::From(Moment::now()) };
        let task = send_until_known::<Task>(&ledger, command).await?;
        KeptLease::of(&ledger, task, counted, keeping)
    }
}

impl Call<Claiming> {
    /// Claims, waits for work until `over` resolves, and keeps each granted lease. A claim in progress is
    /// awaited in any case, so that no granted lease is without a keeper, unless this future is dropped.
    pub async fn keep_until(
        self,
        over: impl Future<Output = ()>,
        keeping: Keeping,
    ) -> Result<Vec<KeptLease>, Error> {
        thread::start()?;
        let (ledger, command) = (self.ledger().clone(), self.command()?);
        let is_named = command.request.is_some();
        let named_at = if is_named { Some(Counted::now(&ledger).await?) } else { None };
        let until_known = async |claim| send_until_known::<Vec<Task>>(&ledger, named(&ledger, claim)?).await;
        let (sent, tasks) = claim_until(&ledger, command, Some(over), until_known).await?;
        let counted = named_at.unwrap_or(Counted::From(sent));
        tasks.into_iter().map(|task| KeptLease::of(&ledger, task, counted, keeping)).collect()
    }
}
