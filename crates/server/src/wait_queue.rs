//! A queue of waiting claims for each task queue. Only the first few of them poll the store. So the cost does not
//! grow with the number of waiting claims, and work goes to those that have waited longest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tenure::core::id::{Namespace, Queue};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many of a queue's waiting claims poll at once: enough that tasks which arrive together are taken together.
const LOOKING_MAX: usize = 16;

/// Every queue with waiting claims.
#[derive(Default)]
pub(crate) struct WaitQueue(Mutex<HashMap<(Namespace, Queue), Weak<Semaphore>>>);

/// The turn of a polling claim, until this is dropped.
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

impl WaitQueue {
    /// A turn at once, if there is one.
    pub(crate) fn at_once(&self, namespace: &Namespace, queue: &Queue) -> Option<Place> {
        self.of(namespace, queue).try_acquire_owned().ok().map(|permit| Place { _permit: permit })
    }

    /// Waits for a turn. Dropping this future gives it up.
    pub(crate) async fn wait(&self, namespace: &Namespace, queue: &Queue) -> Place {
        let line = self.of(namespace, queue);
        match line.acquire_owned().await {
            Ok(permit) => Place { _permit: permit },
            // The queue is never closed.
            Err(_) => std::future::pending().await,
        }
    }

    fn of(&self, namespace: &Namespace, queue: &Queue) -> Arc<Semaphore> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (namespace.clone(), queue.clone());
        if let Some(line) = lines.get(&name).and_then(Weak::upgrade) {
            return line;
        }
        // Callers choose the names of queues, so empty ones are not kept.
        lines.retain(|_, line| line.strong_count() > 0);
        let line = Arc::new(Semaphore::new(LOOKING_MAX));
        lines.insert(name, Arc::downgrade(&line));
        line
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn of(queue: &str) -> (Namespace, Queue) {
        (Namespace::new("default").expect("a name"), Queue::new(queue).expect("a name"))
    }

    #[tokio::test]
    async fn so_many_of_a_queue_look_and_the_next_one_follows_who_leaves() {
        let lines = WaitQueue::default();
        let (namespace, queue) = of("q");
        let mut looking = Vec::new();
        for _ in 0..LOOKING_MAX {
            looking.push(lines.wait(&namespace, &queue).await);
        }
        assert!(lines.at_once(&namespace, &queue).is_none(), "the turns are taken");
        let mut next = std::pin::pin!(lines.wait(&namespace, &queue));
        let mut looked_at = Context::from_waker(Waker::noop());
        assert!(next.as_mut().poll(&mut looked_at).is_pending(), "it waits for its turn");
        let (namespace, other) = of("other");
        let _elsewhere = lines.wait(&namespace, &other).await;
        looking.pop();
        let _place = timeout(Duration::from_secs(60), next).await.expect("it is its turn");
    }

    #[tokio::test]
    async fn of_lines_in_which_nobody_stands_none_is_kept() {
        let lines = WaitQueue::default();
        for number in 0..100 {
            let (namespace, queue) = of(&format!("q{number}"));
            drop(lines.wait(&namespace, &queue).await);
        }
        assert_eq!(lines.0.lock().expect("nobody panicked").len(), 1);
    }
}
