//! Progress that a command reports on an open file of its own: a line each, JSON or text.

use std::convert::Infallible;
use std::os::fd::OwnedFd;

use clap::Args;
use tenure::Error;
use tenure::keeper::KeptLease;
use tenure::process::Launch;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::mpsc::UnboundedSender;

use crate::failure::Failure;

/// Longer lines are cut off by whoever looks at them anyway: the ledger takes no more than this.
const LINE_BYTES_MAX: usize = 1_024;

/// Whether a command reports progress.
#[derive(Args, Clone)]
pub(crate) struct ProgressOptions {
    /// The command reports progress by lines that it writes to this open file, 3 or higher: JSON, or text
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(3..=255))]
    progress_fd: Option<i32>,
}

impl ProgressOptions {
    /// The launch with that file open in it, and where what is written there is read.
    pub(crate) fn open(&self, launch: Launch) -> Result<(Launch, Option<pipe::Receiver>), Failure> {
        let Some(number) = self.progress_fd else { return Ok((launch, None)) };
        let failed = |error: std::io::Error| Failure::Failed(format!("--progress-fd: {error}"));
        let (sender, receiver) = pipe::pipe().map_err(failed)?;
        let sender: OwnedFd = sender.into_blocking_fd().map_err(failed)?;
        Ok((launch.descriptor(number, sender), Some(receiver)))
    }
}

/// Reports each line, for as long as somebody asks for it. Of lines that come faster than they can be reported the last
/// one counts.
pub(super) async fn report(
    lease: &KeptLease,
    from: Option<pipe::Receiver>,
    notes: UnboundedSender<String>,
) -> Infallible {
    if let Some(from) = from {
        let mut lines = BufReader::new(from).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if line.trim().is_empty() {
                continue;
            }
            let told = match as_json(&line) {
                Ok(progress) => lease.progress(&progress).await,
                Err(words) => {
                    let _ = notes.send(words);
                    continue;
                }
            };
            match told {
                Ok(()) => {}
                // Lines go on to be read, so that the command is not held up by a pipe that is full.
                Err(Error::Refused(refusal)) => {
                    let _ = notes.send(format!("progress was not taken: {refusal}"));
                }
                Err(Error::Unavailable(words) | Error::Unknown(words)) => {
                    let _ = notes.send(format!("progress could not be told: {words}"));
                }
            }
        }
    }
    std::future::pending().await
}

/// JSON as it is; text as `{"message": …}`.
fn as_json(line: &str) -> Result<String, String> {
    let line = line.trim();
    let json = match serde_json::from_str::<serde_json::Value>(line) {
        Ok(_) => line.to_owned(),
        Err(_) => serde_json::json!({ "message": line }).to_string(),
    };
    match json.len() {
        ..=LINE_BYTES_MAX => Ok(json),
        bytes => Err(format!(
            "a line of progress has {bytes} bytes, and {LINE_BYTES_MAX} is the limit; it is left out"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::as_json;

    #[test]
    fn json_is_taken_as_it_is_and_text_is_made_json() {
        assert_eq!(as_json(r#" {"percent": 40} "#).as_deref(), Ok(r#"{"percent": 40}"#));
        assert_eq!(as_json("half \"done\"").as_deref(), Ok(r#"{"message":"half \"done\""}"#));
        assert!(as_json(&"x".repeat(2_000)).is_err(), "too long, and not cut");
    }
}
