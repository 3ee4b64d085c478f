//! Describes a command and starts it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tenure_clock::Moment;

use super::binary::{SERVES, WARDEN_WORD, own_binary};
use super::limit::{Containment, Limit};
use super::protocol::{DESCRIPTORS_MAX, SpawnRequest, Step};
use super::running::{Begun, Running};
use super::terminal::own_group_at;

/// The standard input of a command.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Input {
    /// Inherited from the program: the same terminal, file or pipe.
    #[default]
    Inherit,
    /// Nothing: `/dev/null`.
    Nothing,
    /// These bytes, then an end. They are written as it reads them; it need not read them all.
    Bytes(Vec<u8>),
}

/// Where a command's output goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Output {
    /// Inherited from the program: the same terminal, file or pipe.
    #[default]
    Inherit,
    /// Nowhere: `/dev/null`.
    Nothing,
    /// To the program, which reads what [`Running::take_output`] or [`Running::take_errors`] gives.
    Piped,
}

/// Whether a command gets the program's terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TerminalAccess {
    /// It stays with the program: Ctrl-C goes there, and a command that reads from it is stopped.
    #[default]
    Leave,
    /// If the program is in front of the terminal that it reads from, the command is put in its place until it ends. Ctrl-C
    /// goes to the command; Ctrl-Z stops both, and when the program goes on, so does the command.
    HandOver,
    /// It stays with the program until the command asks for it by reading from it: for a program that shares
    /// the terminal with other programs of a pipeline.
    OnDemand,
}

/// Why a command was not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The command was not found. Shells end with status 127 then.
    #[error("{program}: not found")]
    #[non_exhaustive]
    NotFound {
        /// The command.
        program: String,
        /// The system's error.
        source: io::Error,
    },
    /// The command can't be executed. Shells end with status 126 then.
    #[error("{program}: cannot be executed: {source}")]
    #[non_exhaustive]
    NotExecutable {
        /// The command.
        program: String,
        /// The system's error.
        source: io::Error,
    },
    /// The start failed before the command was executed.
    #[error("{program}: cannot be started: {why}")]
    #[non_exhaustive]
    Failed {
        /// The command.
        program: String,
        /// What failed.
        why: String,
        /// The system's error, if there was one.
        source: Option<io::Error>,
    },
}

/// A command to run.
#[derive(Debug)]
pub struct Launch {
    order: SpawnRequest,
    warden: Option<PathBuf>,
    input: Input,
    output: Output,
    errors: Output,
    given: Vec<OwnedFd>,
    terminal: TerminalAccess,
}

impl Launch {
    const ORPHAN_GRACE: Duration = Duration::from_secs(5);

    /// A command with this program, which is searched in `PATH` if it has no slash. Everything else is
    /// inherited from this process.
    pub fn new(program: impl AsRef<OsStr>) -> Launch {
        let order = SpawnRequest {
            program: program.as_ref().to_owned(),
            orphan_grace: Launch::ORPHAN_GRACE,
            ..SpawnRequest::default()
        };
        Launch {
            order,
            warden: None,
            input: Input::default(),
            output: Output::default(),
            errors: Output::default(),
            given: Vec::new(),
            terminal: TerminalAccess::default(),
        }
    }

    /// Adds these arguments.
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Launch {
        let arguments = arguments.into_iter().map(|argument| argument.as_ref().to_owned());
        self.order.arguments.extend(arguments);
        self
    }

    /// Sets this environment variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Launch {
        self.order.variables.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Removes this environment variable.
    pub fn without(mut self, name: impl AsRef<OsStr>) -> Launch {
        self.order.variables.push((name.as_ref().to_owned(), None));
        self
    }

    /// Sets the working directory. A relative path of the program is relative to it.
    pub fn folder(mut self, path: impl Into<PathBuf>) -> Launch {
        self.order.folder = Some(path.into());
        self
    }

    /// Reading this.
    pub fn input(mut self, input: Input) -> Launch {
        self.input = input;
        self
    }

    /// Writing its output there.
    pub fn output(mut self, output: Output) -> Launch {
        self.output = output;
        self
    }

    /// Writing its errors there.
    pub fn errors(mut self, errors: Output) -> Launch {
        self.errors = errors;
        self
    }

    /// With this open at that number, which is 3 or higher.
    pub fn descriptor(mut self, at: i32, descriptor: impl Into<OwnedFd>) -> Launch {
        self.order.numbers.push(at);
        self.given.push(descriptor.into());
        self
    }

    /// With or without the program's terminal.
    pub fn terminal(mut self, terminal: TerminalAccess) -> Launch {
        self.terminal = terminal;
        self
    }

    /// How long it is given after SIGTERM when its program is gone or has dropped it, 5 seconds if this is not called. With
    /// nothing it is killed at once.
    pub fn orphan_grace(mut self, grace: Duration) -> Launch {
        self.order.orphan_grace = grace;
        self
    }

    /// Until when it may run, as long as [`Running::may_run_until`] says nothing else. In force before the command begins.
    pub fn may_run_until(mut self, limit: Limit) -> Launch {
        self.order.limit = Some(limit);
        self
    }

    /// Held together like this.
    pub fn containment(mut self, containment: Containment) -> Launch {
        self.order.containment = containment;
        self
    }

    /// With that binary as the warden, for programs whose `main` can't begin with [`super::serve_if_asked`]. Its own must,
    /// and it must be of the same version.
    pub fn warden(mut self, binary: impl Into<PathBuf>) -> Launch {
        self.warden = Some(binary.into());
        self
    }

    /// Starts it, and returns when it runs. If the future is dropped, it is ended as if its program were gone.
    ///
    /// The runtime must have its drivers for I/O and time.
    pub async fn start(self) -> Result<Running, StartError> {
        let program = self.order.program.to_string_lossy().into_owned();
        let name = program.clone();
        let failed = |(why, source)| StartError::Failed { program: name.clone(), why, source };
        let folder = self.order.folder.clone().unwrap_or_default();
        // Starting a process waits until it is there.
        let begun = tokio::task::spawn_blocking(move || self.begin()).await;
        let begun = begun.map_err(|error| failed((error.to_string(), None)))?.map_err(&failed)?;
        let running = Running::attend(begun).map_err(|error| failed(not_started(error)))?;
        let (mut running, step, number) = match running.started().await {
            Ok(running) => return Ok(running),
            Err(refused) => refused,
        };
        // Nothing of what was tried is left when this returns, either.
        running.finish(Duration::ZERO).await;
        let source = io::Error::from_raw_os_error(number);
        Err(match (step, source.kind()) {
            (Some(Step::Command), io::ErrorKind::NotFound) => StartError::NotFound { program, source },
            (Some(Step::Command), _) => StartError::NotExecutable { program, source },
            (Some(Step::Folder), _) => {
                failed((format!("can't enter the directory {}: {source}", folder.display()), Some(source)))
            }
            (Some(Step::Warden), _) => {
                failed((format!("the warden process could not prepare the command: {source}"), Some(source)))
            }
            (None, _) => failed((
                "the warden process ended early; call tenure::process::serve_if_asked() of this version first in main"
                    .into(),
                None,
            )),
        })
    }

    /// Starts the warden and gives it the order.
    fn begin(mut self) -> Result<Begun, NotStarted> {
        let binary = self.binary()?;
        self.check().map_err(|why| (why, None))?;
        let (here, there) = UnixStream::pair().map_err(not_started)?;
        let mut warden = tokio::process::Command::new(binary);
        warden.arg0("tenure-warden").arg(WARDEN_WORD).process_group(0);
        warden.stdin(Stdio::from(OwnedFd::from(there))).stdout(Stdio::null()).stderr(Stdio::null());
        let warden_process = warden
            .spawn()
            .map_err(|error| (format!("can't start the warden process: {error}"), Some(error)))?;
        // It holds the other end, which must not stay open here.
        drop(warden);

        let standard = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
        let (input, bytes) = input(&self.input).map_err(not_started)?;
        let (written, output_read) = output(self.output).map_err(not_started)?;
        let (errors, errors_read) = output(self.errors).map_err(not_started)?;
        let own = [&input, &written, &errors];
        let mut descriptors: Vec<BorrowedFd> = Vec::new();
        for (own, inherited) in own.into_iter().zip(standard) {
            descriptors.push(own.as_ref().map_or(inherited, AsFd::as_fd));
        }
        descriptors.extend(self.given.iter().map(AsFd::as_fd));
        self.order.program_id = rustix::process::getpid().as_raw_nonzero().get();
        if self.terminal != TerminalAccess::Leave && self.input == Input::Inherit {
            // Also behind the terminal: a shell may bring the program to its front later.
            let group = own_group_at(rustix::stdio::stdin());
            self.order.terminal_of = group.map(|group| group.as_raw_nonzero().get());
            self.order.lends_on_demand = self.terminal == TerminalAccess::OnDemand;
        }
        match self.order.send(&here, &descriptors) {
            // A program that does not serve as a warden ends without reading; the listener reports that.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            sent => sent.map_err(not_started)?,
        }
        let feed = bytes.map(|pipe| (pipe, std::mem::take(&mut self.input)));
        let feed = feed.and_then(|(pipe, input)| match input {
            Input::Bytes(bytes) => Some((pipe, bytes)),
            Input::Inherit | Input::Nothing => None,
        });
        Ok(Begun {
            line: here,
            warden: warden_process,
            has_terminal: self.order.terminal_of.is_some(),
            limit: self.order.limit,
            feed,
            output: output_read,
            errors: errors_read,
        })
    }

    fn binary(&mut self) -> Result<PathBuf, NotStarted> {
        match self.warden.take() {
            Some(binary) => Ok(binary),
            None if SERVES.load(Ordering::Relaxed) => own_binary().map_err(not_started),
            None => Err((
                "this program must call tenure::process::serve_if_asked() in the first line of its main function".into(),
                None,
            )),
        }
    }

    /// Refuses what would go wrong without a word.
    fn check(&self) -> Result<(), String> {
        let mut numbers = self.order.numbers.clone();
        numbers.sort_unstable();
        if numbers.first().is_some_and(|least| *least < 3) || numbers.windows(2).any(|two| two[0] == two[1]) {
            return Err("each file descriptor needs its own number, from 3 on".into());
        }
        if numbers.len() + 3 > DESCRIPTORS_MAX {
            return Err(format!("at most {} file descriptors can be passed", DESCRIPTORS_MAX - 3));
        }
        let is_name = |name: &OsString| !name.is_empty() && !name.to_string_lossy().contains('=');
        if let Some((name, _)) = self.order.variables.iter().find(|(name, _)| !is_name(name)) {
            return Err(format!(
                "`{}` is not a valid name for an environment variable",
                name.to_string_lossy()
            ));
        }
        match self.order.limit {
            Some(limit) if limit.kill <= Moment::now() => Err("its time limit has already passed".into()),
            Some(_) | None => Ok(()),
        }
    }
}

/// What failed, and the system's error, if there is one.
type NotStarted = (String, Option<io::Error>);

fn not_started(error: io::Error) -> NotStarted {
    (error.to_string(), Some(error))
}

/// An end for the command, if it is not to have the program's own, and the other one for the program.
type Ends = (Option<OwnedFd>, Option<OwnedFd>);

fn input(input: &Input) -> io::Result<Ends> {
    Ok(match input {
        Input::Inherit => (None, None),
        Input::Nothing => (Some(File::open("/dev/null")?.into()), None),
        Input::Bytes(_) => {
            let (read, write) = io::pipe()?;
            (Some(read.into()), Some(write.into()))
        }
    })
}

fn output(output: Output) -> io::Result<Ends> {
    Ok(match output {
        Output::Inherit => (None, None),
        Output::Nothing => (Some(File::options().write(true).open("/dev/null")?.into()), None),
        Output::Piped => {
            let (read, write) = io::pipe()?;
            (Some(write.into()), Some(read.into()))
        }
    })
}
