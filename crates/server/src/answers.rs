//! Large answers that are on their way: each takes room until its reader has taken it, or is gone.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::Response;
use hyper::body::{Body as _, Frame, SizeHint};

use crate::problem::Problem;
use crate::routes::Method;
use crate::shares::{Share, Taken};

/// Smaller answers take no room: of those there are no more than connections and their streams.
const SMALL_BYTES: u64 = 64 * 1024;
/// How much of one is given at once.
const PIECE_BYTES: usize = 32 * 1024;

/// The answer, with room for it. A look may be told to come again; what was done is answered in any case.
pub(crate) async fn with_room(
    response: Response<Body>,
    method: Method,
    share: &Share,
) -> Result<Response<Body>, Problem> {
    let bytes = response.body().size_hint().exact().unwrap_or_default();
    if bytes < SMALL_BYTES {
        return Ok(response);
    }
    match (share.room_to_answer(bytes).await, method) {
        (Ok(room), _) => held(response, room).await,
        (Err(problem), Method::Get) => Err(problem),
        (Err(_), Method::Post | Method::Put | Method::Delete) => Ok(response),
    }
}

async fn held(response: Response<Body>, room: Taken) -> Result<Response<Body>, Problem> {
    let (head, body) = response.into_parts();
    let whole = axum::body::to_bytes(body, usize::MAX).await;
    let rest = whole.map_err(|_| Problem::broken("an answer was lost before it was sent"))?;
    Ok(Response::from_parts(head, Body::new(Held { rest, _room: room })))
}

/// What is left of an answer, and its room. It is given in pieces: what was taken out at once would wait elsewhere, and nobody
/// would know of it.
struct Held {
    rest: Bytes,
    _room: Taken,
}

impl hyper::body::Body for Held {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(length);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
