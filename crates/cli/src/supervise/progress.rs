//! Reads the progress of a command from a file descriptor: one line at a time, JSON or text.

use std::convert::Infallible;
use std::os::fd::OwnedFd;

use clap::Args;
use tenure::keeper::KeptLease;
use tenure::ledger::JsonText;
use tenure::process::Launch;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::Notes;

/// Longer lines are skipped with a note: the ledger accepts no more than this.
const LINE_BYTES_MAX: usize = 1_024;

/// The option for reporting progress.
#[derive(Args, Clone)]
pub(crate) struct ProgressOptions {
    /// File descriptor, 3 to 255, to which the command writes its progress, one line of JSON or text at a time
    #[arg(long, value_name = "FD", value_parser = clap::value_parser!(i32).range(3..=255))]
    progress_fd: Option<i32>,
}

impl ProgressOptions {
    /// Opens the file descriptor in the command, and returns the end to read from.
    pub(crate) fn open(&self, launch: Launch) -> std::io::Result<(Launch, Option<pipe::Receiver>)> {
        let Some(number) = self.progress_fd else { return Ok((launch, None)) };
        let (sender, receiver) = pipe::pipe()?;
        let sender: OwnedFd = sender.into_blocking_fd()?;
        Ok((launch.descriptor(number, sender), Some(receiver)))
    }
}

/// Reports progress until it is cancelled. If lines come faster than they can be reported, only the last one is, so that
/// a full pipe never blocks the command.
pub(super) async fn report(lease: &KeptLease, from: Option<pipe::Receiver>, notes: Notes) -> Infallible {
    let Some(mut from) = from else { return std::future::pending().await };
    let (mut lines, mut some) = (Lines::default(), [0; 4 * 1024]);
    let mut told = None;
    loop {
        let Some(line) = lines.latest.take() else {
            match from.read(&mut some).await {
                Ok(count @ 1..) => lines.push(some.get(..count).unwrap_or_default()),
                Ok(0) | Err(_) => return std::future::pending().await,
            }
            continue;
        };
        let error = match as_json(&line) {
            Ok(progress) => {
                let mut telling = std::pin::pin!(lease.progress(JsonText(&progress)));
                let answer = loop {
                    tokio::select! {
                        biased;
                        answer = &mut telling => break answer,
                        Ok(count @ 1..) = from.read(&mut some) => {
                            lines.push(some.get(..count).unwrap_or_default());
                        }
                    }
                };
                answer.err().map(|error| match error.refusal() {
                    Some(refusal) => format!("progress was refused: {refusal}"),
                    None => format!("progress could not be recorded: {}", error.message()),
                })
            }
            Err(words) => Some(words),
        };
        // The same problem is printed once.
        if let Some(words) = error.clone().filter(|_| error != told) {
            notes.tell(words);
        }
        told = error;
    }
}

/// Splits bytes into lines, and keeps only the latest.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
    latest: Option<String>,
}

impl Lines {
    /// How much of an incomplete line is kept: enough to see that it is too long.
    const BEGUN_MAX: usize = 4 * LINE_BYTES_MAX;

    fn push(&mut self, some: &[u8]) {
        for part in some.split_inclusive(|byte| *byte == b'\n') {
            let free = Self::BEGUN_MAX.saturating_sub(self.begun.len());
            self.begun.extend(part.iter().take(free));
            if part.ends_with(b"\n") {
                let line = String::from_utf8_lossy(&std::mem::take(&mut self.begun)).trim().to_owned();
                self.latest = Some(line).filter(|line| !line.is_empty()).or(self.latest.take());
            }
        }
    }
}

/// JSON unchanged; text as `{"message": …}`.
fn as_json(line: &str) -> Result<String, String> {
    let line = line.trim();
    let json = match serde_json::from_str::<serde_json::Value>(line) {
        Ok(_) => line.to_owned(),
        Err(_) => serde_json::json!({ "message": line }).to_string(),
    };
    match json.len() {
        ..=LINE_BYTES_MAX => Ok(json),
        bytes => Err(format!("skipped a progress line of {bytes} bytes; the limit is {LINE_BYTES_MAX}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Lines, as_json};

    #[test]
    fn of_many_lines_the_latest_counts_and_bytes_that_are_no_text_harm_nobody() {
        let mut lines = Lines::default();
        lines.push(b"one\ntwo\nthr");
        assert_eq!(lines.latest.take().as_deref(), Some("two"));
        lines.push(b"ee \xff\n\n");
        assert_eq!(lines.latest.take().as_deref(), Some("three \u{fffd}"));
        lines.push(&[b'x'; 100_000]);
        assert!(lines.latest.is_none() && lines.begun.len() == Lines::BEGUN_MAX);
        lines.push(b"\nafter\n");
        assert_eq!(lines.latest.as_deref(), Some("after"));
    }

    #[test]
    fn json_is_taken_as_it_is_and_text_is_made_json() {
        assert_eq!(as_json(r#" {"percent": 40} "#).as_deref(), Ok(r#"{"percent": 40}"#));
        assert_eq!(as_json("half \"done\"").as_deref(), Ok(r#"{"message":"half \"done\""}"#));
        assert!(as_json(&"x".repeat(2_000)).is_err(), "too long, and not cut");
    }
}
