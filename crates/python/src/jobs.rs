//! Work that a loop of the library hands to threads or coroutines of Python, and the result of the loop.

use std::sync::Arc;

use tenure::Error;
use tokio::sync::{Mutex, mpsc, watch};

/// What waits for Python, in order. It ends when the loop that fills it ends.
pub(crate) struct JobQueue<J> {
    waiting: Arc<Mutex<mpsc::UnboundedReceiver<J>>>,
}

impl<J: Send + 'static> JobQueue<J> {
    /// The queue, and where jobs are put in.
    pub(crate) fn new() -> (mpsc::UnboundedSender<J>, JobQueue<J>) {
        // The loop has a limit for what it does at once, so no more than that wait.
        let (sender, receiver) = mpsc::unbounded_channel();
        (sender, JobQueue { waiting: Arc::new(Mutex::new(receiver)) })
    }

    /// The next job; none when there will be no more.
    pub(crate) fn next(&self) -> impl Future<Output = Result<Option<J>, Error>> + Send + 'static {
        let waiting = Arc::clone(&self.waiting);
        async move { Ok(waiting.lock().await.recv().await) }
    }
}

/// Where a loop puts its result.
pub(crate) type ResultSender<R> = watch::Sender<Option<Result<R, Error>>>;

/// The result of a loop, for all who wait for its end.
pub(crate) struct LoopResult<R>(watch::Receiver<Option<Result<R, Error>>>);

impl<R: Clone + Send + Sync + 'static> LoopResult<R> {
    /// The result to be, and where it is put.
    pub(crate) fn new() -> (ResultSender<R>, LoopResult<R>) {
        let (sender, receiver) = watch::channel(None);
        (sender, LoopResult(receiver))
    }

    /// The result, once there is one.
    pub(crate) fn get(&self) -> impl Future<Output = Result<R, Error>> + Send + 'static {
        let mut result = self.0.clone();
        async move {
            let ended = || Error::Unknown("the loop ended without a result".into());
            let there = result.wait_for(Option::is_some).await.map_err(|_| ended())?;
            there.clone().unwrap_or_else(|| Err(ended()))
        }
    }
}
