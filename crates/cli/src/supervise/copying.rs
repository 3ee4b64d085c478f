//! Passes on the output of a command, and keeps the end of it.

use std::fs::File;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure::process::Tail;
use tokio::net::unix::pipe;
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::output::Destination;

/// How much of the end of a command's standard error is kept for the record.
const TAIL_BYTES_MAX: usize = 2_000;

/// Output of a command that is being passed on, with the end of it kept.
pub(crate) struct Copying {
    tail: Arc<Mutex<Tail>>,
    /// None: nothing is copied, or the copy is complete.
    over: Option<oneshot::Receiver<()>>,
}

/// Writes directly to the file descriptor, because this process holds the lock of its output while it runs; and on a
/// thread of its own, since the stores read on the few shared ones.
pub(super) fn hand_on(from: Option<pipe::Receiver>, to: Destination) -> Copying {
    let (tell, told) = oneshot::channel();
    let tail = Arc::new(Mutex::new(Tail::of(TAIL_BYTES_MAX)));
    let begun = from.and_then(|from| {
        let from = File::from(from.into_blocking_fd().ok()?);
        let kept = Arc::clone(&tail);
        let copying = move || {
            copy(from, to, &kept);
            let _ = tell.send(());
        };
        std::thread::Builder::new().name("tenure-copy".into()).spawn(copying).ok()
    });
    Copying { tail, over: begun.map(|_| told) }
}

impl Copying {
    /// The kept end, after the output was read completely. That is soon, since no process is left to write; but a slow
    /// reader of this process's output must not delay recording the task's end.
    pub(super) async fn settle(&mut self) -> String {
        const READ_WITHIN: Duration = Duration::from_secs(1);
        if let Some(over) = &mut self.over
            && tokio::time::timeout(READ_WITHIN, over).await.is_ok()
        {
            self.over = None;
        }
        self.tail.lock().map(|tail| tail.text()).unwrap_or_default()
    }

    /// Whether some output is still to be passed on.
    pub(crate) fn goes_on(&mut self) -> bool {
        self.over.as_mut().is_some_and(|over| matches!(over.try_recv(), Err(TryRecvError::Empty)))
    }

    /// Resolves when all output was passed on.
    pub(crate) async fn finish(self) {
        if let Some(over) = self.over {
            let _ = over.await;
        }
    }
}

/// Passes on whole lines, since several commands may write to one destination. Very long lines are split. If nobody reads
/// the output, the command continues: only its end counts.
fn copy(mut from: File, mut to: Destination, tail: &Mutex<Tail>) {
    const LINE_BYTES_MAX: usize = 64 * 1024;
    let (mut line, mut some) = (Vec::new(), [0; 8 * 1024]);
    while let Ok(count @ 1..) = from.read(&mut some) {
        let some = some.get(..count).unwrap_or_default();
        if let Ok(mut tail) = tail.lock() {
            tail.push(some);
        }
        line.extend_from_slice(some);
        let end = line.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
        if let Some(end) = end.or((line.len() > LINE_BYTES_MAX).then_some(line.len())) {
            let whole: Vec<u8> = line.drain(..end).collect();
            to.write(&whole);
        }
    }
    to.write(&line);
}
