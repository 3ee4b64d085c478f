//! A claim that waits for work. It sends another claim only when a task is due.

use std::time::Duration;

use tenure_clock::Moment;
use tenure_core::command::{Action, Command};
use tenure_core::id::{Queue, RequestId};
use tenure_core::refusal::Refusal;
use tenure_core::task::Task;
use tenure_core::time::Time;
use tenure_store::Error;
use tenure_store::waiting::LOOK_EVERY;

use crate::ledger::call::{Call, send};
use crate::ledger::{Claiming, Ledger};

impl Call<Claiming> {
    /// Sends the claim. If it finds nothing, it waits for work for up to that long, and then returns no
    /// tasks.
    ///
    /// A claim that found nothing is remembered, too. So if this claim has a request id, each further claim
    /// gets an id made from it, `ID/2` and so on. A repeat of the whole goes through the same ids to the same
    /// tasks, even if the repeat does not wait.
    pub async fn wait_up_to(self, wait: Duration) -> Result<Vec<Task>, Error> {
        let (ledger, command) = (self.ledger().clone(), self.command()?);
        let over = (!wait.is_zero()).then(|| tokio::time::sleep(wait));
        Ok(claim_until(&ledger, command, over, |claim| send(&ledger, claim)).await?.1)
    }
}

impl Ledger {
    /// Sends a claim with `send`. If it finds nothing, it waits for work until `over` resolves, as
    /// [`Call::wait_up_to`] does.
    pub async fn claim_until<F: Future<Output = Result<Vec<Task>, Error>>>(
        &self,
        claim: Command,
        over: impl Future<Output = ()>,
        send: impl Fn(Command) -> F,
    ) -> Result<Vec<Task>, Error> {
        Ok(claim_until(self, claim, Some(over), send).await?.1)
    }

    /// Sends a claim with `send`, without waiting. A repeat of a waiting claim gets what the first one was
    /// granted, however late.
    pub async fn claim_at_once<F: Future<Output = Result<Vec<Task>, Error>>>(
        &self,
        claim: Command,
        send: impl Fn(Command) -> F,
    ) -> Result<Vec<Task>, Error> {
        Ok(claim_until(self, claim, None::<std::future::Ready<()>>, send).await?.1)
    }

    /// Waits until a claim of the queue may find a task, and returns since when.
    pub async fn until_claimable(&self, queue: &Queue) -> Result<Time, Error> {
        loop {
            // Called before the look, so that what becomes due during the look ends the wait after it.
            let due = self.store.until_claimable(self.namespace.clone(), queue.clone());
            let at = self.store.claimable_at(self.namespace.clone(), queue.clone()).await?;
            if let Some(at) = at
                && at <= self.now().await?
            {
                return Ok(at);
            }
            rest(due).await;
        }
    }
}

/// Claims and waits until `over` resolves; without it, claims once. Returns also the moment when the successful
/// claim was sent. Dropping this future loses what a claim in progress is granted; ending the wait does not.
pub(crate) async fn claim_until<F: Future<Output = Result<Vec<Task>, Error>>>(
    ledger: &Ledger,
    command: Command,
    over: Option<impl Future<Output = ()>>,
    send: impl Fn(Command) -> F,
) -> Result<(Moment, Vec<Task>), Error> {
    let Action::Claim { queue, .. } = &command.action else { return Ok((Moment::now(), Vec::new())) };
    let waits = over.is_some();
    if waits {
        // An id that is too long for a number suffix is refused now, not in the middle of the wait.
        command.request.as_ref().map(|id| nth_request(id, u32::MAX)).transpose()?;
    }
    let mut over = std::pin::pin!(async {
        match over {
            Some(over) => over.await,
            None => std::future::pending().await,
        }
    });
    let (mut request, mut nth, mut is_over) = (command.request.clone(), 1, !waits);
    loop {
        // Called before the claim, so that what becomes due during the claim ends the wait after it.
        let due = waits.then(|| ledger.store.until_claimable(ledger.namespace.clone(), queue.clone()));
        let sent = Moment::now();
        let tasks = send(Command { request, ..command.clone() }).await?;
        if !tasks.is_empty() {
            return Ok((sent, tasks));
        }
        nth += 1;
        request = match command.request.as_ref().map(|id| nth_request(id, nth)).transpose() {
            Ok(request) => request,
            // Under so long an id nothing ever waited.
            Err(_) if !waits => return Ok((sent, Vec::new())),
            Err(refusal) => return Err(refusal.into()),
        };
        // Remembered claims are repeated to the end, however long the first wait was.
        if remembers(ledger, &command, request.as_ref()).await? {
            continue;
        }
        // Only the pause is cancelled: a claim that was sent is awaited.
        match due {
            Some(due) if !is_over => tokio::select! {
                () = &mut over => is_over = true,
                () = rest(due) => continue,
            },
            Some(_) | None => return Ok((sent, Vec::new())),
        }
        if !remembers(ledger, &command, request.as_ref()).await? {
            return Ok((sent, Vec::new()));
        }
    }
}

fn nth_request(id: &RequestId, nth: u32) -> Result<RequestId, Refusal> {
    if nth == 1 {
        return Ok(id.clone());
    }
    let too_long = |_| Refusal::invalid("request_id", "up to 189 characters for a claim with a wait");
    RequestId::new(format!("{id}/{nth}")).map_err(too_long)
}

async fn remembers(ledger: &Ledger, command: &Command, id: Option<&RequestId>) -> Result<bool, Error> {
    match id {
        Some(id) => ledger.store.remembers(command.namespace.clone(), id.clone()).await,
        None => Ok(false),
    }
}

/// Waits until a task may be due. A wait that fails says why in the next claim, which must not come at once.
async fn rest(due: impl Future<Output = Result<(), Error>>) {
    if due.await.is_err() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
