//! The protocol between a program and its warden: first a spawn request with file descriptors, then lines in both
//! directions.
//!
//! The request has a head of eight bytes (version, three zeros, length of the body), sent together with the
//! descriptors. The body consists of fields: a letter, a value, a zero byte. The warden passes the same request on to
//! the stage that becomes the command. Lines are words separated by spaces. Durations are in milliseconds; moments
//! are in microseconds since the machine was started.

use std::ffi::{OsStr, OsString};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use tenure_clock::Moment;

use super::limit::{Cause, Containment, Limit};

/// Both sides are mostly the same binary; a warden of another one may be older.
const VERSION: u8 = 1;
const HEAD_BYTES: usize = 8;
/// Far more than a system takes as arguments and variables together.
const BODY_BYTES_MAX: usize = 64 << 20;
/// Of one order, the three standard ones included. The system's own limit is 253.
pub(super) const DESCRIPTORS_MAX: usize = 64;

/// What to run, and how to watch it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct SpawnRequest {
    pub(super) program: OsString,
    pub(super) arguments: Vec<OsString>,
    /// With a value to set, without one to remove.
    pub(super) variables: Vec<(OsString, Option<OsString>)>,
    pub(super) folder: Option<PathBuf>,
    /// The numbers of the command's file descriptors after the first three.
    pub(super) numbers: Vec<i32>,
    /// The process that sends the request.
    pub(super) program_id: i32,
    /// The program's process group, if the command gets its terminal.
    pub(super) terminal_of: Option<i32>,
    /// Whether the command gets the terminal only when it asks for it.
    pub(super) lends_on_demand: bool,
    pub(super) orphan_grace: Duration,
    pub(super) limit: Option<Limit>,
    pub(super) containment: Containment,
}

impl SpawnRequest {
    fn fields(&self) -> Vec<(u8, Vec<u8>)> {
        let number = |number: u128| number.to_string().into_bytes();
        let mut fields = vec![
            (b'P', bytes(&self.program)),
            (b'I', number(u128::from(self.program_id.unsigned_abs()))),
            (b'G', number(self.orphan_grace.as_millis())),
        ];
        fields.extend(self.arguments.iter().map(|argument| (b'A', bytes(argument))));
        fields.extend(self.variables.iter().map(|(name, value)| match value {
            Some(value) => (b'V', [name.as_bytes(), b"=", value.as_bytes()].concat()),
            None => (b'W', bytes(name)),
        }));
        fields.extend(self.folder.iter().map(|folder| (b'F', bytes(folder.as_os_str()))));
        fields.extend(self.numbers.iter().map(|at| (b'N', at.to_string().into_bytes())));
        fields.extend(self.terminal_of.map(|group| (b'T', group.to_string().into_bytes())));
        fields.extend(self.limit.map(|limit| {
            (b'U', format!("{} {}", limit.ask.as_micros(), limit.kill.as_micros()).into_bytes())
        }));
        if self.lends_on_demand {
            fields.push((b'D', Vec::new()));
        }
        if self.containment == Containment::GroupOnly {
            fields.push((b'C', Vec::new()));
        }
        fields
    }

    fn body(&self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        for (letter, value) in self.fields() {
            if value.contains(&0) {
                return Err(malformed("an argument, a variable or a path contains a NUL byte"));
            }
            body.push(letter);
            body.extend(value);
            body.push(0);
        }
        Ok(body)
    }

    fn read(body: &[u8]) -> Option<SpawnRequest> {
        let mut order = SpawnRequest::default();
        for field in body.strip_suffix(&[0])?.split(|byte| *byte == 0) {
            let (letter, value) = field.split_first()?;
            let text = || std::str::from_utf8(value).ok();
            match letter {
                b'P' => order.program = text_of(value),
                b'A' => order.arguments.push(text_of(value)),
                b'V' => {
                    // The name may begin with the sign, as some systems have it.
                    let at = value.iter().skip(1).position(|byte| *byte == b'=')? + 1;
                    order.variables.push((text_of(&value[..at]), Some(text_of(&value[at + 1..]))));
                }
                b'W' => order.variables.push((text_of(value), None)),
                b'F' => order.folder = Some(PathBuf::from(text_of(value))),
                b'N' => order.numbers.push(text()?.parse().ok()?),
                b'I' => order.program_id = text()?.parse().ok()?,
                b'T' => order.terminal_of = Some(text()?.parse().ok()?),
                b'D' => order.lends_on_demand = true,
                b'G' => order.orphan_grace = Duration::from_millis(text()?.parse().ok()?),
                b'U' => order.limit = Some(limit(&mut text()?.split(' '))?),
                b'C' => order.containment = Containment::GroupOnly,
                _ => return None,
            }
        }
        Some(order)
    }

    /// Sends it with the descriptors, of which the first three are the standard ones. Waits until it is taken.
    pub(super) fn send(&self, socket: &UnixStream, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let body = self.body()?;
        let mut head = [0; HEAD_BYTES];
        head[0] = VERSION;
        let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= BODY_BYTES_MAX);
        let length = length.ok_or_else(|| malformed("the command is too long"))?;
        head[4..].copy_from_slice(&length.to_le_bytes());
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut rights = SendAncillaryBuffer::new(&mut space);
        if descriptors.len() > DESCRIPTORS_MAX || !rights.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(malformed("too many file descriptors"));
        }
        sendmsg(socket, &[IoSlice::new(&head)], &mut rights, SendFlags::empty())?;
        (&*socket).write_all(&body)
    }

    /// Waits for one. None of the descriptors is inherited by what is started meanwhile.
    pub(super) fn receive(socket: &UnixStream) -> io::Result<(SpawnRequest, Vec<OwnedFd>)> {
        let mut head = [0; HEAD_BYTES];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut rights = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(socket, &mut [IoSliceMut::new(&mut head)], &mut rights, FLAGS)?;
        let mut descriptors: Vec<OwnedFd> = Vec::new();
        for message in rights.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                descriptors.extend(received);
            }
        }
        if received.bytes != HEAD_BYTES || head[0] != VERSION {
            return Err(malformed("the request comes from another version of this program"));
        }
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if length > BODY_BYTES_MAX {
            return Err(malformed("the request is too long"));
        }
        let mut body = vec![0; length];
        (&*socket).read_exact(&mut body)?;
        let order = SpawnRequest::read(&body).ok_or_else(|| malformed("the request can't be read"))?;
        if descriptors.len() != order.numbers.len() + 3 {
            return Err(malformed("the request does not match its file descriptors"));
        }
        Ok((order, descriptors))
    }
}

#[cfg(target_os = "linux")]
const FLAGS: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(not(target_os = "linux"))]
const FLAGS: RecvFlags = RecvFlags::empty();

fn bytes(text: &OsStr) -> Vec<u8> {
    text.as_bytes().to_vec()
}

fn text_of(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what.to_owned())
}

fn limit<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Limit> {
    let mut moment = || words.next()?.parse().ok().map(Moment::from_micros);
    Some(Limit { ask: moment()?, kill: moment()? })
}

fn millis(text: Option<&str>) -> Option<Duration> {
    text?.parse().ok().map(Duration::from_millis)
}

/// The messages of a program to its warden.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Word {
    /// The new time limit of the command.
    Until(Limit),
    /// A signal for the command's group.
    Signal(i32),
    /// Ask everything to end, and kill what is left after this long.
    Stop(Duration),
    /// Kill everything.
    Kill,
    /// The program goes on, after it was stopped.
    Resume,
}

impl Word {
    /// With its end of line.
    pub(super) fn line(&self) -> String {
        match self {
            Word::Until(limit) => format!("until {} {}\n", limit.ask.as_micros(), limit.kill.as_micros()),
            Word::Signal(number) => format!("signal {number}\n"),
            Word::Stop(grace) => format!("stop {}\n", grace.as_millis()),
            Word::Kill => "kill\n".into(),
            Word::Resume => "resume\n".into(),
        }
    }

    pub(super) fn read(line: &str) -> Option<Word> {
        let mut words = line.split(' ');
        match words.next()? {
            "until" => limit(&mut words).map(Word::Until),
            "signal" => words.next()?.parse().ok().map(Word::Signal),
            "stop" => millis(words.next()).map(Word::Stop),
            "kill" => Some(Word::Kill),
            "resume" => Some(Word::Resume),
            _ => None,
        }
    }
}

/// The step at which starting a command failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Its working folder.
    Folder,
    /// Itself.
    Command,
    /// The warden process, or its preparation of the command.
    Warden,
}

const STEPS: [(Step, &str); 3] =
    [(Step::Folder, "folder"), (Step::Command, "command"), (Step::Warden, "warden")];
const CAUSES: [(Cause, &str); 4] =
    [(Cause::Limit, "limit"), (Cause::Stopped, "stop"), (Cause::Killed, "kill"), (Cause::Orphaned, "orphan")];

fn word_of<T: PartialEq>(table: &[(T, &'static str)], sought: &T) -> &'static str {
    table.iter().find(|(value, _)| value == sought).map_or("?", |(_, word)| word)
}

fn value_of<T: Copy>(table: &[(T, &'static str)], sought: Option<&str>) -> Option<T> {
    table.iter().find(|(_, word)| Some(*word) == sought).map(|(value, _)| *value)
}

/// The messages of a warden to its program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum WardenReport {
    /// The command runs: its process id, and the directory of its cgroup.
    Started(i32, Option<PathBuf>),
    /// It does not run, with the system's error number.
    NotStarted(Step, i32),
    /// The warden has begun to end it.
    Ending(Cause),
    /// It has ended with this status.
    Exited(i32),
    /// It was ended by this signal.
    Signalled(i32),
    /// This many processes were killed but have not ended.
    Lingering(u32),
    /// No process of it is left: how many it left behind, and how many had to be killed.
    Empty(u32, u32),
}

impl WardenReport {
    /// With its end of line.
    pub(super) fn line(&self) -> String {
        match self {
            WardenReport::Started(id, cgroup) => {
                // The program can do without a cgroup whose name is not UTF-8.
                let cgroup = cgroup.as_deref().and_then(|folder| folder.to_str()).unwrap_or_default();
                format!("started {id} {cgroup}\n")
            }
            WardenReport::NotStarted(step, number) => {
                format!("not-started {} {number}\n", word_of(&STEPS, step))
            }
            WardenReport::Ending(cause) => format!("ending {}\n", word_of(&CAUSES, cause)),
            WardenReport::Exited(status) => format!("exited {status}\n"),
            WardenReport::Signalled(number) => format!("signalled {number}\n"),
            WardenReport::Lingering(count) => format!("lingering {count}\n"),
            WardenReport::Empty(left_behind, killed) => format!("empty {left_behind} {killed}\n"),
        }
    }

    pub(super) fn read(line: &str) -> Option<WardenReport> {
        let (word, rest) = line.split_once(' ')?;
        let mut words = rest.split(' ');
        match word {
            "started" => {
                let (id, cgroup) = rest.split_once(' ')?;
                let cgroup = Some(cgroup).filter(|folder| !folder.is_empty()).map(PathBuf::from);
                Some(WardenReport::Started(id.parse().ok()?, cgroup))
            }
            "not-started" => {
                Some(WardenReport::NotStarted(value_of(&STEPS, words.next())?, words.next()?.parse().ok()?))
            }
            "ending" => value_of(&CAUSES, words.next()).map(WardenReport::Ending),
            "exited" => rest.parse().ok().map(WardenReport::Exited),
            "signalled" => rest.parse().ok().map(WardenReport::Signalled),
            "lingering" => rest.parse().ok().map(WardenReport::Lingering),
            "empty" => Some(WardenReport::Empty(words.next()?.parse().ok()?, words.next()?.parse().ok()?)),
            _ => None,
        }
    }
}

/// Bytes that become lines.
#[derive(Default, Debug)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next whole one, without its end.
    pub(super) fn next(&mut self) -> Option<String> {
        let end = self.0.iter().position(|byte| *byte == b'\n')?;
        let line = self.0.drain(..=end).take(end).collect();
        // A line that is not UTF-8 is not a valid message, and is refused.
        Some(String::from_utf8(line).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    fn order() -> SpawnRequest {
        SpawnRequest {
            program: "sh".into(),
            arguments: vec!["-c".into(), OsString::from_vec(b"a\n\xff b".to_vec()), "".into()],
            variables: vec![("A".into(), Some("x=y\n".into())), ("B".into(), None)],
            folder: Some("/a b".into()),
            numbers: vec![5],
            program_id: 17,
            terminal_of: Some(12),
            lends_on_demand: true,
            orphan_grace: Duration::from_millis(250),
            limit: Some(Limit { ask: Moment::from_micros(5), kill: Moment::from_micros(7) }),
            containment: Containment::GroupOnly,
        }
    }

    #[test]
    fn an_order_arrives_as_it_was_sent_with_its_descriptors() {
        let (here, there) = UnixStream::pair().expect("a pair");
        let null = std::fs::File::open("/dev/null").expect("nothing");
        order().send(&here, &[null.as_fd(); 4]).expect("sent");
        let (received, descriptors) = SpawnRequest::receive(&there).expect("received");
        assert_eq!((received, descriptors.len()), (order(), 4));
    }

    #[test]
    fn an_order_that_could_be_read_otherwise_is_not_sent() {
        let (here, _there) = UnixStream::pair().expect("a pair");
        let order = SpawnRequest { arguments: vec!["a\0Pb".into()], ..order() };
        assert_eq!(order.send(&here, &[]).expect_err("refused").kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn an_order_of_another_version_or_a_cut_one_is_refused() {
        for bytes in [&[9, 0, 0, 0, 0, 0, 0, 0][..], &[VERSION, 0, 0, 0, 9, 0, 0, 0], &[], b"GET / HT"] {
            let (mut here, there) = UnixStream::pair().expect("a pair");
            here.write_all(bytes).expect("written");
            drop(here);
            SpawnRequest::receive(&there).expect_err("refused");
        }
    }

    #[test]
    fn every_word_and_report_is_read_as_it_was_written() {
        let limit = Limit { ask: Moment::from_micros(5), kill: Moment::from_micros(7) };
        let words = [
            Word::Until(limit),
            Word::Signal(15),
            Word::Stop(Duration::from_secs(5)),
            Word::Kill,
            Word::Resume,
        ];
        for word in words {
            assert_eq!(Word::read(word.line().trim_end_matches('\n')), Some(word));
        }
        let reports = [
            WardenReport::Started(4, None),
            WardenReport::Started(4, Some("/sys/fs/a b".into())),
            WardenReport::NotStarted(Step::Folder, 2),
            WardenReport::Ending(Cause::Orphaned),
            WardenReport::Exited(3),
            WardenReport::Signalled(9),
            WardenReport::Lingering(1),
            WardenReport::Empty(2, 1),
        ];
        for report in reports {
            assert_eq!(WardenReport::read(report.line().trim_end_matches('\n')), Some(report));
        }
        assert_eq!(
            (Word::read("stop"), Word::read("until 5"), WardenReport::read("empty 1")),
            (None, None, None)
        );
    }

    #[test]
    fn lines_are_whole_however_they_come() {
        let mut lines = Lines::default();
        lines.push(b"kill\nres");
        assert_eq!((lines.next().as_deref(), lines.next()), (Some("kill"), None));
        lines.push(b"ume\n");
        assert_eq!(lines.next().as_deref(), Some("resume"));
    }
}
