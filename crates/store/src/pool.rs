//! A bounded connection pool that opens connections when they are needed.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;

/// The idle connections, and the limit of connections in use.
pub struct Pool<T> {
    idle: Mutex<Vec<T>>,
    free: Arc<Semaphore>,
}

impl<T> Pool<T> {
    pub fn of(max: usize) -> Pool<T> {
        Pool { idle: Mutex::default(), free: Arc::new(Semaphore::new(max)) }
    }

    /// Waits until one more connection may be used. The permit must be held until it is returned.
    pub async fn wait(&self) -> Result<OwnedSemaphorePermit, Error> {
        let free = Arc::clone(&self.free).acquire_owned().await;
        free.map_err(|_| Error::Unavailable("the store is closed".into()))
    }

    /// An idle connection, if there is one.
    pub fn take(&self) -> Option<T> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Returns a healthy connection to the pool.
    pub fn keep(&self, one: T) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(one);
    }
}
