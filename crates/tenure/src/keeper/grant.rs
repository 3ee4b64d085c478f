//! Takes leases that a keeper will renew: retries until it is known whether the lease was granted, and counts the
//! lease from when the request was sent.

use std::time::Duration;

use tenure_core::command::Command;
use tenure_core::id::RequestId;
use tenure_core::policy::Backoff;
use tenure_core::task::Task;
use tenure_core::time::{Span, Time};

use super::{Keeping, KeptLease, thread};
use crate::clock::Moment;
use crate::error::{Error, SoFar};
use crate::ledger::{Call, Claiming, FromAnswer, Ledger, Taking, claim_until, send};

/// How long to retry if it is unknown whether a lease was granted.
const GRANT_ASKED_FOR: Duration = Duration::from_secs(10);
/// The wait between two tries of the same command.
pub(super) const ASK_AGAIN: Backoff =
    Backoff { base: Span::from_millis(100), factor: 2, cap: Span::from_secs(2) };

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

/// The start of a grant's length.
#[derive(Clone, Copy)]
pub(crate) enum Counted {
    /// From when the request was sent.
    From(Moment),
    /// From a reading of the store's clock. A caller that gave a request id may get an old grant as its
    /// answer.
    At(Moment, Time),
}

impl Counted {
    async fn now(ledger: &Ledger) -> Result<Counted, Error> {
        let asked = Moment::now();
        Ok(Counted::At(asked, ledger.now().await?))
    }
}

/// Requests a grant. A grant that nobody knows of would run out unused, so this retries until the outcome is
/// known.
pub(crate) async fn send_until_known<D: FromAnswer>(ledger: &Ledger, command: Command) -> Result<D, Error> {
    let until = Moment::now() + Span::from(GRANT_ASKED_FOR);
    let mut so_far = SoFar::Undone;
    loop {
        let error = match send::<D>(ledger, command.clone()).await {
            Err(error @ Error::Corrupt(_)) => return Err(so_far.with(error)),
            Err(error @ (Error::Unavailable(_) | Error::Unknown(_))) => so_far.with(error),
            answer => return answer,
        };
        if matches!(error, Error::Unavailable(_)) || Moment::now() >= until {
            return Err(error);
        }
        tokio::time::sleep(ASK_AGAIN.base.into()).await;
    }
}

/// The command with a request id, so that it may be sent again.
pub(crate) fn named(ledger: &Ledger, command: Command) -> Result<Command, Error> {
    let request = match command.request {
        Some(request) => request,
        None => RequestId::new(ledger.entropy().new_id())?,
    };
    Ok(Command { request: Some(request), ..command })
}
