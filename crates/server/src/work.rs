//! Threads for slow work: reading large bodies, writing large responses, reading lists. The threads that answer
//! probes, heartbeats and small requests never do such work.

use std::future::Future;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use crate::memory::SMALL_BYTES;
use crate::problem::Problem;

/// The threads. When this is dropped they finish their work, but nobody waits for it.
pub(crate) struct Work(Option<Runtime>);

impl Work {
    /// Half as many threads as cores, at least one: the other cores are for requests that must be answered at
    /// once.
    pub(crate) fn start() -> std::io::Result<Work> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = Builder::new_multi_thread()
            .worker_threads(cores.div_ceil(2))
            .thread_name("tenure-work")
            .enable_all()
            .build()?;
        Ok(Work(Some(threads)))
    }

    /// Runs work on these threads. It is cancelled if nobody waits for it any more.
    pub(crate) async fn on<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Problem> {
        let threads = self.0.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone());
        let working = AbortOnDropHandle::new(threads.spawn(work.in_current_span()));
        working.await.map_err(|_| Problem::panicked())
    }

    /// Makes a response of this many bytes: on these threads, unless it is small.
    pub(crate) async fn make<T: Send + 'static>(
        &self,
        bytes: usize,
        make: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        if bytes < SMALL_BYTES { Ok(make()) } else { self.on(async move { make() }).await }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Dropping a runtime waits for its threads, which must not happen on a thread that answers
            // requests.
            runtime.shutdown_background();
        }
    }
}
