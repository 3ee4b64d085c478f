//! What the library logs, for Python's `logging`. A thread of Python takes it from a queue, so that no thread of the library enters the
//! interpreter.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::fork;

/// The most lines that wait for Python. Beyond it the oldest are dropped, and the next line says how many.
const WAITING_MAX: usize = 10_000;

static LINES: Mutex<Lines> = Mutex::new(Lines { waiting: VecDeque::new(), dropped: 0 });
static MORE: Condvar = Condvar::new();
static INSTALLED: Once = Once::new();

struct Lines {
    waiting: VecDeque<Line>,
    dropped: u64,
}

/// A level of `logging`, the module that logs, and the message.
type Line = (u8, String, String);

/// Makes the library log into the queue, once.
#[pyfunction]
pub(crate) fn install_logs() {
    INSTALLED.call_once(|| {
        let ours = tracing_subscriber::filter::filter_fn(|metadata| {
            // At DEBUG the server of tests logs each request.
            let most =
                if metadata.target().starts_with("tenure_server") { Level::INFO } else { Level::DEBUG };
            metadata.target().starts_with("tenure") && *metadata.level() <= most
        });
        let layer = IntoQueue.with_filter(ours).with_filter(LevelFilter::DEBUG);
        // A program that embeds Python may have a subscriber of its own, which then gets all of it.
        let _ = tracing_subscriber::registry().with(layer).try_init();
    });
}

struct IntoQueue;

impl<S: Subscriber> Layer<S> for IntoQueue {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        let level = match *metadata.level() {
            Level::ERROR => 40,
            Level::WARN => 30,
            Level::INFO => 20,
            _ => 10,
        };
        let mut words = Words::default();
        event.record(&mut words);
        let mut lines = lines();
        if lines.waiting.len() >= WAITING_MAX {
            lines.waiting.pop_front();
            lines.dropped += 1;
        }
        lines.waiting.push_back((level, metadata.target().replace("::", "."), words.message + &words.fields));
        MORE.notify_one();
    }
}

fn lines() -> MutexGuard<'static, Lines> {
    // No code panics while it holds the lock.
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The message of an event, and its fields behind it.
#[derive(Default)]
struct Words {
    message: String,
    fields: String,
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing into a text does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

/// The lines that wait; if there are none, those that come within that many seconds. And how many were dropped before them.
#[pyfunction]
pub(crate) fn next_logs(py: Python<'_>, timeout: f64) -> PyResult<(u64, Vec<Line>)> {
    fork::refuse()?;
    let timeout = Duration::try_from_secs_f64(timeout).unwrap_or_default();
    Ok(py.detach(|| {
        let lines = lines();
        let wait = MORE.wait_timeout_while(lines, timeout, |lines| lines.waiting.is_empty());
        let (mut lines, _) = wait.unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut lines.dropped), lines.waiting.drain(..).collect())
    }))
}
