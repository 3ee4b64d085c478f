//! Work that a loop of the library hands to threads or coroutines of Python, and the result of the loop.

use std::sync::Arc;
use std::time::Duration;

use tenure::Error;
use tenure::stop::StopSignal;
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

    /// The result, once there is one; none if there is none within that time.
    pub(crate) fn get(
        &self,
        timeout: Option<Duration>,
    ) -> impl Future<Output = Result<Option<R>, Error>> + Send + 'static {
        let mut result = self.0.clone();
        async move {
            let ended = || Error::Unknown("the loop ended without a result".into());
            let there = result.wait_for(Option::is_some);
            match tokio::time::timeout(timeout.unwrap_or(Duration::MAX), there).await {
                Ok(there) => there.map_err(|_| ended())?.clone().unwrap_or_else(|| Err(ended())).map(Some),
                Err(_) => Ok(None),
            }
        }
    }

    /// Waits until the loop is told to stop, or has ended.
    pub(crate) fn stopped(
        &self,
        stop: StopSignal,
    ) -> impl Future<Output = Result<(), Error>> + Send + 'static {
        let mut result = self.0.clone();
        async move {
            tokio::select! {
                () = stop.stopped() => {}
                _ = result.wait_for(Option::is_some) => {}
            }
            Ok(())
        }
    }
}
