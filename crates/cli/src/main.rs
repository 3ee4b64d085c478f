//! The `tenure` binary: it passes this process's environment and streams to the library, and does nothing else.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::tcgetwinsize;
use tenure::entropy::SystemEntropy;
use tenure_cli::io::{Io, Screen, variables};

fn main() -> ExitCode {
    tenure::process::serve_if_asked();
    tenure_cli::answer_shell();
    tenure_cli::allocator::settle_for_a_server(std::env::args_os());
    let (output, errors) = (io::stdout(), io::stderr());
    let variables = variables();
    let io = Io {
        screen: Screen::of(output.is_terminal(), &variables),
        width: tcgetwinsize(&output).ok().map(|size| size.ws_col).filter(|columns| *columns > 0),
        error_screen: Screen::of(errors.is_terminal(), &variables),
        variables,
        input: &mut io::stdin(),
        output: &mut io::BufWriter::new(output.lock()),
        errors: &mut errors.lock(),
        reader_is_gone: &reader_is_gone,
        clock: None,
        entropy: Arc::new(SystemEntropy),
    };
    ExitCode::from(tenure_cli::run(std::env::args_os(), io))
}

/// Whether the reader of the output has closed it. A write would fail then, too, but a follower may have nothing to
/// write.
fn reader_is_gone() -> bool {
    let output = io::stdout();
    let mut looked_at = [PollFd::new(&output, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let answered = poll(&mut looked_at, Some(&at_once));
    answered.is_ok() && looked_at[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}
