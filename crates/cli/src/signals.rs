//! Signals that long-running commands handle.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::CliError;

/// A set of signals, each with its number.
pub(crate) struct Signals {
    heard: Vec<(u8, Signal)>,
}

impl Signals {
    /// The signals that stop a command: SIGHUP, SIGINT, SIGQUIT, SIGTERM.
    pub(crate) fn that_end() -> Result<Signals, CliError> {
        Signals::of(&[1, 2, 3, 15])
    }

    /// The signals that are passed on to a child command: the ones that stop it, SIGUSR1 and SIGUSR2.
    pub(crate) fn that_are_passed_on() -> Result<Signals, CliError> {
        let users = [SignalKind::user_defined1(), SignalKind::user_defined2()];
        let users = users.map(|kind| u8::try_from(kind.as_raw_value()).unwrap_or_default());
        Signals::of(&[&[1, 2, 3, 15], users.as_slice()].concat())
    }

    /// Signals that this process ignores, as under nohup, stay ignored, here and in its child commands.
    fn of(numbers: &[u8]) -> Result<Signals, CliError> {
        let ignored = ignored();
        let numbers = numbers.iter().filter(|number| ignored & (1 << (**number - 1)) == 0);
        let listen = |number: &u8| {
            let heard = signal(SignalKind::from_raw(i32::from(*number)));
            let heard =
                heard.map_err(|error| CliError::Failed(format!("can't listen for signals: {error}")))?;
            Ok((*number, heard))
        };
        Ok(Signals { heard: numbers.map(listen).collect::<Result<_, CliError>>()? })
    }

    /// The number of the next signal. Cancelling this future loses none.
    pub(crate) async fn next(&mut self) -> u8 {
        std::future::poll_fn(|context| {
            for (number, signal) in &mut self.heard {
                if let std::task::Poll::Ready(Some(())) = signal.poll_recv(context) {
                    return std::task::Poll::Ready(*number);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

/// The signals that this process was started to ignore, one bit each; none if that can't be read.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}
