//! The renewals of one lease, until it is ended or lost.

use std::sync::Arc;
use std::time::Duration;

use tenure_clock::Moment;
use tenure_core::refusal::{Code, Refusal};
use tenure_core::time::Span;
use tenure_store::Error;
use tenure_store::Renewal;

use super::shared::SharedLease;
use super::status::{Held, LeaseStatus, Loss, RenewalError, held};
use crate::failpoints;

/// The shortest wait before a renewal that failed is tried again; the longest is a twelfth of what was left of the lease.
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// The shortest wait before a renewal that was refused is tried again.
const REFUSED_AGAIN: Duration = Duration::from_secs(1);
/// The longest wait for an answer before a heartbeat is sent again.
const ANSWER_WAITED_FOR: Duration = Duration::from_secs(10);
/// How long a refused heartbeat waits for a call that may have ended the lease itself; never past the deadline.
const CALL_WAITED_FOR: Duration = Duration::from_secs(5);

/// Renews the lease at a third of what is left of it each time.
pub(super) async fn renew(kept: Arc<SharedLease>, granted: Moment) {
    // However this ends, a lease that is no longer renewed must not look held.
    let _fence = Fence(Arc::clone(&kept));
    let mut status = kept.status.subscribe();
    let (mut sent, mut next) = (granted, granted);
    let mut is_first = true;
    loop {
        let Some(now_held) = still_held(&kept) else { return };
        if is_first {
            next = after_good(&kept, sent, &now_held);
            is_first = false;
        }
        tokio::select! {
            biased;
            _ = status.wait_for(|status| !matches!(status, LeaseStatus::Held(_))) => return,
            () = now_held.fences_at.come() => {
                kept.lose(Loss::Fenced);
                return;
            }
            () = next.come() => {}
            () = kept.renew_now.notified() => {}
        }
        sent = Moment::now();
        if sent >= now_held.fences_at {
            // After the machine slept, this may resolve before the deadline does.
            continue;
        }
        failpoints::reached("keeper/before_heartbeat");
        // The deadline also applies to the wait: on a machine that slept, it comes before any timer.
        let answer = tokio::select! {
            biased;
            () = now_held.fences_at.come() => {
                kept.lose(Loss::Fenced);
                return;
            }
            answer = ask(&kept, &now_held, sent) => answer,
        };
        failpoints::reached("keeper/after_heartbeat");
        next = match answer {
            Ok(renewal) => {
                let renewed = held(sent, renewal, kept.keeping);
                let next = after_good(&kept, sent, &renewed);
                if renewal.cancel_asked {
                    kept.hear_cancel();
                }
                stand(&kept, renewed);
                next
            }
            Err(Error::Refused(refusal)) if is_loss(refusal.code) => {
                // A hanging call delays it by no more than that.
                let no_call_on_its_way = tokio::select! {
                    none = kept.calls.write() => Some(none),
                    () = tokio::time::sleep(CALL_WAITED_FOR) => None,
                    () = now_held.fences_at.come() => None,
                };
                kept.lose(Loss::Refused(refusal));
                drop(no_call_on_its_way);
                return;
            }
            Err(Error::Refused(refusal)) => {
                not_extended(&kept, refusal);
                after_refusal(&now_held, sent)
            }
            Err(error) => {
                not_renewed(&kept, RenewalError::Unanswered(error));
                again(&now_held, sent)
            }
        };
    }
}

/// A grace period may be shorter than the rest of the lease. Then nothing was renewed since the cancel, and the
/// refusal reports it.
fn not_extended(kept: &SharedLease, refusal: Refusal) {
    if refusal.code == Code::Cancelled {
        kept.hear_cancel();
    }
    not_renewed(kept, RenewalError::NotExtended(refusal));
}

/// Gives the lease up when its renewals end, unless it was ended or lost in the normal way.
struct Fence(Arc<SharedLease>);

impl Drop for Fence {
    fn drop(&mut self) {
        self.0.lose(Loss::Fenced);
    }
}

/// Refusals of a heartbeat that mean that this holder has lost the lease. The other refusals only mean that it is
/// not extended.
fn is_loss(code: Code) -> bool {
    is_loss_for_any_call(code) || matches!(code, Code::NotFound | Code::WrongState)
}

/// Refusals that mean this for every command. For other commands than a heartbeat, `not_found` may mean a
/// compensation, and `wrong_state` may mean that the command is not possible now.
pub(super) fn is_loss_for_any_call(code: Code) -> bool {
    matches!(code, Code::Terminal | Code::NoLease | Code::StaleEpoch | Code::WrongOwner | Code::LeaseLapsed)
}

fn still_held(kept: &SharedLease) -> Option<Held> {
    match &*kept.status.borrow() {
        LeaseStatus::Held(held) => Some(held.clone()),
        LeaseStatus::Lost(_) | LeaseStatus::Ended => None,
    }
}

/// Sends one heartbeat. It stops waiting for the answer early enough to try again.
async fn ask(kept: &SharedLease, held: &Held, sent: Moment) -> Result<Renewal, Error> {
    let wait_max = Duration::from(Span::from_micros(held.fences_at.since(sent).as_micros() / 3));
    let wait_max = wait_max.clamp(TRY_AGAIN, ANSWER_WAITED_FOR);
    let call = kept.ledger.heartbeat(kept.granted.id.as_str(), &kept.holder);
    let asked = tokio::time::timeout(wait_max, call.into_future());
    asked.await.unwrap_or_else(|_| Err(Error::Unknown("the store did not answer in time".into())))
}

/// When to renew after a success: after a third of the lease's length, and up to a tenth of that earlier. So
/// leases that were granted together do not stay synchronized.
fn after_good(kept: &SharedLease, sent: Moment, held: &Held) -> Moment {
    let third = Span::from_micros(held.ends_at.since(sent).as_micros() / 3);
    let earlier = kept.ledger.entropy().jitter().part_of(Span::from_micros(third.as_micros() / 10));
    sent + Span::from_micros(third.as_micros() - earlier.as_micros())
}

/// When to retry after a refusal. Time alone does not lift it; a progress does, and then a renewal is sent at
/// once.
fn after_refusal(held: &Held, sent: Moment) -> Moment {
    let third = Span::from_micros(held.fences_at.since(sent).as_micros() / 3);
    Moment::now() + third.max(Span::from(REFUSED_AGAIN))
}

/// When to try again.
fn again(held: &Held, sent: Moment) -> Moment {
    let wait = Span::from_micros(held.fences_at.since(sent).as_micros() / 12);
    Moment::now() + wait.max(Span::from(TRY_AGAIN))
}

fn stand(kept: &SharedLease, renewed: Held) {
    kept.status.send_if_modified(|status| match status {
        LeaseStatus::Held(held) => {
            // Once set, it stays set.
            let cancel_asked = held.cancel_asked || renewed.cancel_asked;
            *held = Held { cancel_asked, ..renewed };
            true
        }
        LeaseStatus::Lost(_) | LeaseStatus::Ended => false,
    });
}

fn not_renewed(kept: &SharedLease, error: RenewalError) {
    kept.status.send_if_modified(|status| match status {
        LeaseStatus::Held(held) => {
            held.renewal_error = Some(error);
            true
        }
        LeaseStatus::Lost(_) | LeaseStatus::Ended => false,
    });
}
