//! Asks for a grant until it is known whether it was granted.

use std::time::Duration;

use tenure_clock::Moment;
use tenure_core::command::Command;
use tenure_core::id::RequestId;
use tenure_core::policy::Backoff;
use tenure_core::time::{Span, Time};
use tenure_store::{Error, SoFar};

use crate::ledger::{FromAnswer, Ledger, send};

/// How long to retry if it is unknown whether a lease was granted.
const GRANT_ASKED_FOR: Duration = Duration::from_secs(10);
/// The wait between two tries of the same command.
pub(super) const ASK_AGAIN: Backoff =
    Backoff { base: Span::from_millis(100), factor: 2, cap: Span::from_secs(2) };

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
    pub(super) async fn now(ledger: &Ledger) -> Result<Counted, Error> {
        let asked = Moment::now();
        Ok(Counted::At(asked, ledger.now().await?))
    }
}

/// Requests a grant. A grant that nobody knows of would run out unused, so this retries until the outcome is
/// known.
pub(super) async fn send_until_known<D: FromAnswer>(ledger: &Ledger, command: Command) -> Result<D, Error> {
    let until = Moment::now() + Span::from(GRANT_ASKED_FOR);
    let mut so_far = SoFar::Undone;
    loop {
        let error = match send::<D>(ledger, command.clone()).await {
            Ok(granted) => return Ok(granted),
            Err(error) => error,
        };
        let error = match error {
            Error::Refused(_) => return Err(error),
            Error::Corrupt(_) => return Err(so_far.with(error)),
            Error::Unavailable(_) | Error::Unknown(_) => so_far.with(error),
            // Of a later version: as if its outcome were unknown.
            _ => so_far.with(error),
        };
        if matches!(error, Error::Unavailable(_)) || Moment::now() >= until {
            return Err(error);
        }
        tokio::time::sleep(ASK_AGAIN.base.into()).await;
    }
}

/// The command with a request id, so that it may be sent again.
pub(super) fn named(ledger: &Ledger, command: Command) -> Result<Command, Error> {
    let request = match command.request {
        Some(request) => request,
        None => RequestId::new(ledger.entropy().new_id())?,
    };
    Ok(Command { request: Some(request), ..command })
}
