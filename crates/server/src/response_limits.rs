//! Limits for large responses: each holds memory until the client has read it, has disconnected, or has stopped
//! reading for too long.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::Response;
use hyper::body::{Body as _, Frame, SizeHint};
use tenure::clock::Moment;

use crate::memory::{RequestMemory, SMALL_BYTES};
use crate::problem::Problem;
use crate::quotas::Memory;
use crate::route::Method;

/// How much of one is given at once.
const PIECE_BYTES: usize = 32 * 1024;

/// The answer, with the memory that it takes. A look may be told to come again; what was done is answered in any case.
pub(crate) async fn with_memory(
    response: Response<Body>,
    method: Method,
    memory: &RequestMemory,
    wait_max: Duration,
) -> Result<Response<Body>, Problem> {
    let bytes = response.body().size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    let Some(bytes) = bytes.filter(|bytes| *bytes >= SMALL_BYTES) else { return Ok(response) };
    let kept = memory.kept(bytes).await;
    if kept.is_none() && method == Method::Get {
        return Err(Problem::unavailable(
            "the memory for responses is used up, because clients read slowly; try again",
        ));
    }
    let (head, body) = response.into_parts();
    let whole = axum::body::to_bytes(body, usize::MAX).await;
    let rest = whole.map_err(|_| Problem::broken("the response was lost before it was sent"))?;
    Ok(Response::from_parts(head, Body::new(Held::of(rest, kept.unwrap_or_default(), wait_max))))
}

/// A response and its memory. It is sent in pieces: a piece that was taken out waits elsewhere, where it is not
/// counted.
struct Held(Arc<Mutex<Left>>);

/// What is left of it.
struct Left {
    rest: Bytes,
    /// Whether the client stopped reading for too long, and the rest was dropped.
    is_given_up: bool,
    taken_at: Moment,
    _memory: Memory,
}

impl Held {
    fn of(rest: Bytes, memory: Memory, wait_max: Duration) -> Held {
        let left = Left { rest, is_given_up: false, taken_at: Moment::now(), _memory: memory };
        let held = Held(Arc::new(Mutex::new(left)));
        // A client that does not read does not poll either, so this must be checked from outside.
        tokio::spawn(give_up_late(Arc::downgrade(&held.0), wait_max));
        held
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        locked(&self.0)
    }
}

fn locked(left: &Mutex<Left>) -> MutexGuard<'_, Left> {
    left.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives the rest and its memory up, once nothing of it was taken for that long.
async fn give_up_late(left: Weak<Mutex<Left>>, wait_max: Duration) {
    let mut wait = wait_max;
    loop {
        tokio::time::sleep(wait).await;
        let Some(left) = left.upgrade() else { return };
        let mut left = locked(&left);
        let unmoved = Duration::from(Moment::now().since(left.taken_at));
        if unmoved >= wait_max {
            (left.rest, left._memory, left.is_given_up) = (Bytes::new(), Memory::default(), true);
            return;
        }
        wait = wait_max - unmoved;
    }
}

impl hyper::body::Body for Held {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let mut left = self.left();
        if left.is_given_up {
            let error = io::Error::new(io::ErrorKind::TimedOut, "the client stopped reading the response");
            return Poll::Ready(Some(Err(error)));
        }
        if left.rest.is_empty() {
            return Poll::Ready(None);
        }
        left.taken_at = Moment::now();
        let length = left.rest.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(left.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        let left = self.left();
        left.rest.is_empty() && !left.is_given_up
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left().rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tenure::core::id::Actor;

    use super::*;
    use crate::options::Limits;
    use crate::quotas::Quotas;

    #[tokio::test]
    async fn what_nobody_takes_is_given_up_and_its_memory_is_free_again() {
        let limits = Limits {
            memory_bytes_max: 200_000,
            body_bytes_max: 10_000,
            share_of_one_caller: 1,
            ..Limits::default()
        };
        let quota = Quotas::new(&limits).of(Some(&Actor::new("one").expect("a name")));
        let memory = || RequestMemory::of(Arc::clone(&quota), 0);
        let large = || Response::new(Body::from("x".repeat(150_000)));
        let wait_max = Duration::from_millis(300);
        let first = with_memory(large(), Method::Get, &memory(), wait_max).await.expect("there is memory");
        let mut body = first.into_body();
        assert!(body.frame().await.is_some_and(|frame| frame.is_ok()), "a piece is taken");
        let second = with_memory(large(), Method::Get, &memory(), wait_max).await;
        let second = second.expect("it was given up in time");
        assert!(
            body.frame().await.is_some_and(|frame| frame.is_err()),
            "the reader does not take it for whole"
        );
        let whole = second.into_body().collect().await.expect("it is taken").to_bytes();
        assert_eq!(whole.len(), 150_000);
    }
}
