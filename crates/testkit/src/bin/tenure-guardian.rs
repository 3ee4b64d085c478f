//! The guardian of one PostgreSQL server for tests: makes it, obeys orders about it, leaves nothing of it behind.
//! It is no way to run a server that anybody needs: nothing is synced to the disk, and everybody is trusted.
//!
//! `tenure-guardian [-c NAME=VALUE]…` says in its first line what came of it: `ready PORT FOLDER`; `absent WHY`
//! where no server can be had on this machine; `failed WHY` where one should have been. Then it obeys the lines of
//! its standard input, and answers each with `done` or `failed WHY`: `stop fast`, `stop immediate`, `start`,
//! `restart fast`, `restart immediate`, and `kill`, which is a crash. When its standard input ends, because its
//! test let go of it or died, the server and its folder go.
//!
//! The guardian may be killed, too, and what is killed can't clean up. So the cleaning is done by a second process,
//! the watcher: the same program, waiting for the end of a pipe that the guardian holds. However the guardian ends,
//! the system closes that pipe, and no signal needs to be caught. That the system kills the server together with
//! its parent (`setpriv --pdeathsig`) was rejected: only Linux does that, and the folder would stay.

use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::BuildHasher;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};

use tenure_testkit::waiting::{PATIENCE, found};

/// PostgreSQL itself gives its processes 5 s. After these the first of them is killed.
const IMMEDIATE_STOP_SECONDS_MAX: &str = "10";

/// What a server runs with, unless the test says otherwise.
const SETTINGS: &[&str] = &[
    // What survives a killed server is what the system was given; only a power failure would tell the difference.
    "fsync=off",
    "max_connections=200",
    "shared_buffers=128MB",
    "autovacuum=on",
    "listen_addresses=127.0.0.1",
    // In the folder, and gone with it; the default would stay in /dev/shm after a kill.
    "dynamic_shared_memory_type=mmap",
];

/// One command a line, for a server that takes no connections yet.
const ROLE_AND_DATABASE: &str = "create role tester login\ncreate database tests owner tester\n";

/// What a server says that finds no free port where it was told to look.
const PORT_TAKEN: &str = "could not create any TCP/IP sockets";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [WATCH, cluster @ ..] = &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        return watch(&Cluster::from_words(cluster));
    }
    let (guardian, first) = match Guardian::new(&words) {
        Ok(guardian) => {
            let ready = format!("ready {} {}", guardian.port, guardian.cluster.folder.display());
            (Some(guardian), ready)
        }
        Err(NoServer::Absent(why)) => (None, format!("absent {why}")),
        Err(NoServer::Failed(why)) => (None, format!("failed {why}")),
    };
    let mut heard = tell(&first);
    let Some(mut guardian) = guardian else { return ExitCode::FAILURE };
    for order in std::io::stdin().lines().map_while(Result::ok) {
        if heard.is_err() {
            break;
        }
        heard = match guardian.obey(&order) {
            Ok(()) => tell("done"),
            Err(why) => tell(&format!("failed {why}")),
        };
    }
    guardian.end()
}

/// One line, whatever the words are. It fails when nobody listens any more.
fn tell(words: &str) -> std::io::Result<()> {
    let line: Vec<&str> = words.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", line.join("; ")).and_then(|()| out.flush())
}

/// Why there is no server.
#[derive(Debug)]
enum NoServer {
    /// This machine can't run one.
    Absent(String),
    /// It should run, but something failed.
    Failed(String),
}

/// The words of an error of the system, with what was tried.
fn why<'a>(tried: &'a str) -> impl Fn(std::io::Error) -> String + 'a {
    move |error| format!("{tried}: {error}")
}

/// A server that runs now.
struct Running {
    postmaster: Child,
    /// Its processes all hold the other end, as their standard output, and write nothing to it. So it ends with
    /// the last of them.
    alive: PipeReader,
}

/// What the test holds.
struct Guardian {
    cluster: Cluster,
    watcher: Watcher,
    settings: Vec<String>,
    port: u16,
    running: Option<Running>,
}

impl Guardian {
    /// Makes a cluster and starts its server. What was made until something failed goes with the watcher.
    fn new(words: &[String]) -> Result<Guardian, NoServer> {
        let settings = settings_in(words).map_err(NoServer::Failed)?;
        let programs = programs()?;
        let (folder, user) = folder()?;
        let cluster = Cluster { programs, folder: folder.path().to_path_buf(), user };
        let watcher = Watcher::start(&cluster).map_err(NoServer::Failed)?;
        // From here on the watcher removes it.
        let _ = folder.keep();
        let mut guardian = Guardian { cluster, watcher, settings, port: 0, running: None };
        let made = guardian.cluster.make(&guardian.watcher.pipe);
        if let Err(why) = made.and_then(|()| guardian.start_on_a_free_port()) {
            guardian.end();
            return Err(NoServer::Failed(why));
        }
        Ok(guardian)
    }

    fn obey(&mut self, order: &str) -> Result<(), String> {
        match order.split(' ').collect::<Vec<_>>()[..] {
            ["stop", how @ ("fast" | "immediate")] => self.stop(how),
            ["start"] => self.start_again(),
            ["restart", how @ ("fast" | "immediate")] => self.stop(how).and_then(|()| self.start_again()),
            ["kill"] => self.kill(),
            _ => Err(format!("`{order}` is no order")),
        }
    }

    fn start_on_a_free_port(&mut self) -> Result<(), String> {
        const TRIES_MAX: usize = 20;
        for _ in 0..TRIES_MAX {
            let port = some_port();
            match self.cluster.start(port, &self.settings) {
                Err(why) if why.contains(PORT_TAKEN) => {}
                started => {
                    (self.port, self.running) = (port, Some(started?));
                    return Ok(());
                }
            }
        }
        Err(format!("of {TRIES_MAX} ports none was free"))
    }

    /// On the same port, which clients know.
    fn start_again(&mut self) -> Result<(), String> {
        if self.running.is_some() {
            return Err("it was not stopped".into());
        }
        self.running = Some(self.cluster.start(self.port, &self.settings)?);
        Ok(())
    }

    fn stop(&mut self, how: &str) -> Result<(), String> {
        let running = self.running.as_mut().ok_or("it does not run")?;
        self.cluster.pg_ctl(&["stop", "-D", DATA, "-m", how, "-W"])?;
        running.wait_for_the_last()?;
        self.running = None;
        Ok(())
    }

    /// As in a crash: no process is told, and the postmaster's children find out by themselves.
    fn kill(&mut self) -> Result<(), String> {
        let running = self.running.as_mut().ok_or("it does not run")?;
        running.postmaster.kill().map_err(why("kill"))?;
        running.wait_for_the_last()?;
        self.running = None;
        Ok(())
    }

    /// Leaves the rest to the watcher, and waits for it.
    fn end(mut self) -> ExitCode {
        if let Some(mut running) = self.running.take() {
            // A dead child is there until it is waited for, and pg_ctl would wait with it.
            std::thread::spawn(move || running.postmaster.wait());
        }
        drop(self.watcher.pipe);
        match self.watcher.process.wait() {
            Ok(status) if status.success() => ExitCode::SUCCESS,
            // It may have been killed itself.
            Ok(_) | Err(_) => self.cluster.clear_away(),
        }
    }
}

impl Running {
    fn wait_for_the_last(&mut self) -> Result<(), String> {
        end_of(&mut self.postmaster, "the server")?;
        let mut alive = self.alive.try_clone().map_err(why("its pipe"))?;
        let (ended, end) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut alive, &mut std::io::sink());
            // Nothing may wait for it any more.
            let _ = ended.send(());
        });
        end.recv_timeout(PATIENCE).map_err(|_| "the postmaster is gone, but not all its children are".into())
    }
}

fn settings_in(words: &[String]) -> Result<Vec<String>, String> {
    let mut settings: Vec<String> = SETTINGS.iter().map(|setting| (*setting).to_owned()).collect();
    for pair in words.chunks(2) {
        match pair {
            [option, setting] if option == "-c" && setting.contains('=') => settings.push(setting.clone()),
            _ => return Err(format!("`{}`: give nothing, or -c NAME=VALUE", pair.join(" "))),
        }
    }
    Ok(settings)
}

/// Below those that systems choose from for connections going out. So nobody takes it by accident while the server
/// is stopped, and a client that tries it again and again does not one day reach itself.
fn some_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u64 = 10_000;
    let random = RandomState::new().hash_one(std::process::id()) % COUNT;
    FIRST + u16::try_from(random).expect("less than the count")
}

/// What takes too long is killed.
fn end_of(child: &mut Child, what: &str) -> Result<ExitStatus, String> {
    match found(|| child.try_wait().transpose()) {
        Some(status) => status.map_err(why(what)),
        None => {
            let _ = child.kill();
            Err(format!("{what}: no end after {} s", PATIENCE.as_secs()))
        }
    }
}

/// Where the cluster is, within its folder: programs are run there.
const DATA: &str = "data";
const LOG: &str = "log";

/// A directory with a cluster, and the programs and the user that handle it.
struct Cluster {
    programs: PathBuf,
    folder: PathBuf,
    /// None: as the user that runs this.
    user: Option<User>,
}

/// A user of this machine, by number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct User {
    id: u32,
    group: u32,
}

impl Cluster {
    /// These programs hold the watcher's pipe, too. Were their folder removed under them, they would panic and leave
    /// shared memory behind that nobody knows of.
    fn make(&self, watcher: &PipeWriter) -> Result<(), String> {
        let held = || watcher.try_clone().map_err(why("a pipe"));
        let mut initdb = self.command("initdb");
        initdb.args(["-D", DATA, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-sync"]);
        // In others the order of texts is not the same everywhere.
        self.finish(initdb.arg("--locale=C").stdout(held()?))?;
        let (commands, mut to_it) = std::io::pipe().map_err(why("a pipe"))?;
        to_it.write_all(ROLE_AND_DATABASE.as_bytes()).map_err(why("a pipe"))?;
        drop(to_it);
        let mut single = self.command("postgres");
        single.args(["--single", "-D", DATA, "-c", "fsync=off", "postgres"]).stdin(commands);
        let said = self.finish(single.stdout(held()?))?;
        // Of a mistake in a command it only speaks.
        if said.contains("ERROR:") { Err(last_words(&said)) } else { Ok(()) }
    }

    fn start(&self, port: u16, settings: &[String]) -> Result<Running, String> {
        let before = self.log().len();
        let (alive, held) = std::io::pipe().map_err(why("a pipe"))?;
        let mut command = self.command("postgres");
        command.args(["-D", DATA]).args(settings.iter().flat_map(|setting| ["-c", setting]));
        command.args(["-p", &port.to_string()]).arg("-k").arg(&self.folder);
        command.stdout(held).stderr(self.log_file()?);
        let mut postmaster = command.spawn().map_err(why("postgres"))?;
        // With it goes this process's copy of the pipe's other end.
        drop(command);
        let seen = found(|| match postmaster.try_wait() {
            Ok(None) => self.is_ready(postmaster.id()).then_some(Ok(())),
            Ok(Some(status)) => Some(Err(format!("postgres ended with {status}"))),
            Err(error) => Some(Err(why("postgres")(error))),
        });
        let what = match seen {
            Some(Ok(())) => return Ok(Running { postmaster, alive }),
            Some(Err(what)) => what,
            None => format!("postgres is not ready after {} s", PATIENCE.as_secs()),
        };
        let _ = postmaster.kill();
        Err(format!("{what}: {}", last_words(&self.log().split_off(before))))
    }

    /// As pg_ctl sees it: by the state in the server's pid file. It may be the state of a killed server.
    fn is_ready(&self, postmaster: u32) -> bool {
        let lines = self.postmaster_file();
        lines.first().is_some_and(|process| *process == postmaster.to_string())
            && lines.get(7).is_some_and(|state| state == "ready")
    }

    /// Empty if there is no server: none was started, or it stopped normally.
    fn postmaster_file(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.join(DATA).join("postmaster.pid"));
        text.unwrap_or_default().lines().map(|line| line.trim().to_owned()).collect()
    }

    /// One of PostgreSQL's programs. What the surroundings of the tests say to it does not reach it, nor does a
    /// Ctrl-C, which is meant for the tests: the server ends because they do.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(&self.folder).env("LC_ALL", "C").process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PG")) {
            command.env_remove(name);
        }
        if let Some(user) = self.user {
            command.uid(user.id).gid(user.group);
        }
        command
    }

    fn pg_ctl(&self, arguments: &[&str]) -> Result<String, String> {
        self.finish(self.command("pg_ctl").args(arguments))
    }

    /// Answers with what the program had to complain of, which is in the log, too.
    fn finish(&self, command: &mut Command) -> Result<String, String> {
        let before = self.log().len();
        let name = command.get_program().display().to_string();
        let mut child = command.stderr(self.log_file()?).spawn().map_err(why(&name))?;
        let status = end_of(&mut child, &name)?;
        let said = self.log().split_off(before);
        if status.success() {
            return Ok(said);
        }
        Err(format!("{name} ended with {status}: {}", last_words(&said)))
    }

    fn log_file(&self) -> Result<File, String> {
        let file = File::options().create(true).append(true).open(self.folder.join(LOG));
        file.map_err(why("its log"))
    }

    /// In ASCII, so that it can be cut anywhere.
    fn log(&self) -> String {
        let bytes = std::fs::read(self.folder.join(LOG)).unwrap_or_default();
        bytes.into_iter().map(|byte| if byte.is_ascii() { char::from(byte) } else { '?' }).collect()
    }

    /// Ends the server if there is one, in whatever state, and removes all that was made for it.
    fn clear_away(&self) -> ExitCode {
        let stop = ["stop", "-D", DATA, "-m", "immediate", "-w", "-t", IMMEDIATE_STOP_SECONDS_MAX];
        // Usually that is all; or it was stopped before, or never made.
        let stopped = self.pg_ctl(&stop);
        let left = self.postmaster_file();
        if let (Err(why), Some(postmaster)) = (stopped, left.first())
            && why.contains("does not shut down")
        {
            let _ = self.pg_ctl(&["kill", "KILL", postmaster]);
        }
        if let Some(memory) = left.get(6).and_then(|line| line.split_whitespace().nth(1)) {
            // A killed server leaves shared memory for its next start, which will not come.
            let _ = Command::new("ipcrm").args(["-m", memory]).stderr(Stdio::null()).status();
        }
        // Processes that do not know yet that they must end may still write into it.
        let gone = found(|| {
            let removed = std::fs::remove_dir_all(&self.folder);
            (removed.is_ok() || !self.folder.exists()).then_some(())
        });
        if gone.is_none() {
            eprintln!("{} can't be removed", self.folder.display());
            return ExitCode::FAILURE;
        }
        ExitCode::SUCCESS
    }

    fn to_words(&self) -> Vec<String> {
        let mut words = vec![self.programs.display().to_string(), self.folder.display().to_string()];
        words.extend(self.user.iter().flat_map(|user| [user.id.to_string(), user.group.to_string()]));
        words
    }

    fn from_words(words: &[&str]) -> Cluster {
        let number = |word: &str| word.parse().expect("a number");
        let user = match words[2..] {
            [id, group] => Some(User { id: number(id), group: number(group) }),
            _ => None,
        };
        Cluster { programs: words[0].into(), folder: words[1].into(), user }
    }
}

/// Enough of a log to tell what went wrong.
fn last_words(said: &str) -> String {
    const LINES: usize = 6;
    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

const WATCH: &str = "watch";

/// What the guardian has of its watcher.
struct Watcher {
    process: Child,
    /// Never written to. Its end is what the watcher waits for.
    pipe: PipeWriter,
}

impl Watcher {
    fn start(cluster: &Cluster) -> Result<Watcher, String> {
        let this = std::env::current_exe().map_err(why("this program's file"))?;
        let (end, pipe) = std::io::pipe().map_err(why("a pipe"))?;
        let mut command = Command::new(this);
        command.arg(WATCH).args(cluster.to_words()).stdin(end).stdout(Stdio::null());
        // A signal to a process group must not end both.
        let process = command.process_group(0).spawn().map_err(why("the watcher"))?;
        Ok(Watcher { process, pipe })
    }
}

fn watch(cluster: &Cluster) -> ExitCode {
    // Whether it ends well or badly: it ended.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    cluster.clear_away()
}

const PROGRAMS: &[&str] = &["initdb", "postgres", "pg_ctl"];

/// Names their folder, before all others.
const PROGRAMS_VARIABLE: &str = "TENURE_POSTGRES_BIN";

/// Where systems keep one folder for each version, whose name begins so.
const VERSIONS: &[(&str, &str)] = &[
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql"),
    ("/usr/local/opt", "postgresql"),
];

/// The folder of PostgreSQL's programs: the one that is named, else one in `PATH`, else the newest version's.
fn programs() -> Result<PathBuf, NoServer> {
    if let Some(named) = std::env::var_os(PROGRAMS_VARIABLE) {
        let named = PathBuf::from(named);
        let mistake =
            format!("{PROGRAMS_VARIABLE} is no whole path of a folder with {}", PROGRAMS.join(", "));
        return if has_programs(&named) { Ok(named) } else { Err(NoServer::Failed(mistake)) };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut versions: Vec<PathBuf> =
        VERSIONS.iter().flat_map(|(above, name)| versions(above, name)).collect();
    versions.sort_by_key(|folder| std::cmp::Reverse(version_in(folder)));
    let mut folders = std::env::split_paths(&path).chain(versions.iter().map(|folder| folder.join("bin")));
    folders.find(|folder| has_programs(folder)).ok_or_else(|| {
        let way_out =
            format!("install its server, or name the folder of its programs in {PROGRAMS_VARIABLE}");
        NoServer::Absent(format!("PostgreSQL was not found: {way_out}"))
    })
}

fn has_programs(folder: &Path) -> bool {
    folder.is_absolute() && PROGRAMS.iter().all(|program| folder.join(program).is_file())
}

fn versions(above: &str, beginning: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(above) else { return Vec::new() };
    let entries = entries.filter_map(Result::ok);
    let named =
        entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(beginning.as_bytes()));
    named.map(|entry| entry.path()).collect()
}

/// The numbers in a folder's name; none before any.
fn version_in(folder: &Path) -> Vec<u32> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name.split(|character: char| !character.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

/// A new folder, and its owner where that is not the user of this process.
fn folder() -> Result<(tempfile::TempDir, Option<User>), NoServer> {
    let mut causes = Vec::new();
    for above in [std::env::temp_dir(), "/tmp".into(), "/var/tmp".into()] {
        match folder_in(&above) {
            Ok(found) => return Ok(found),
            Err(cause) => causes.push(format!("{}: {cause}", above.display())),
        }
    }
    Err(NoServer::Absent(format!("no folder for a server; {}", causes.join("; "))))
}

fn folder_in(above: &Path) -> Result<(tempfile::TempDir, Option<User>), String> {
    // The whole name of a socket may have 104 bytes on some systems, and a few more on others.
    if above.as_os_str().len() + "/tenure-postgres-XXXXXX/.s.PGSQL.29999".len() >= 104 {
        return Err("its name is too long for a socket in it".into());
    }
    let folder = tempfile::Builder::new().prefix("tenure-postgres-").tempdir_in(above);
    let folder = folder.map_err(why("a folder in it"))?;
    // Who makes a folder owns it. PostgreSQL refuses to run as root.
    let is_roots = folder.path().metadata().map_err(why("its owner"))?.uid() == 0;
    let user = if is_roots { Some(given_away(folder.path())?) } else { None };
    Ok((folder, user))
}

fn given_away(folder: &Path) -> Result<User, String> {
    let passwd = std::fs::read_to_string("/etc/passwd").map_err(why("/etc/passwd"))?;
    let user = user_in(&passwd, "postgres").or_else(|| user_in(&passwd, "nobody"));
    let user = user.ok_or("this is root, and there is no user postgres or nobody to run it as")?;
    for above in folder.ancestors().skip(1) {
        let metadata = above.metadata().map_err(why(&above.display().to_string()))?;
        if !lets_through(user, metadata.uid(), metadata.gid(), metadata.mode()) {
            return Err(format!("user {} may not go through {}", user.id, above.display()));
        }
    }
    std::os::unix::fs::chown(folder, Some(user.id), Some(user.group)).map_err(why("chown"))?;
    Ok(user)
}

fn lets_through(user: User, owner: u32, group: u32, mode: u32) -> bool {
    match (owner == user.id, group == user.group) {
        (true, _) => mode & 0o100 != 0,
        (false, true) => mode & 0o010 != 0,
        (false, false) => mode & 0o001 != 0,
    }
}

/// By the file and not by the system's own look-up, which needs unsafe code or another program.
fn user_in(passwd: &str, name: &str) -> Option<User> {
    let fields = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let user = fields.into_iter().find(|fields| fields[0] == name)?;
    // Some systems write the number of nobody as -2.
    let number = |at: usize| user.get(at)?.parse::<i64>().ok().map(|number| number as u32);
    Some(User { id: number(2)?, group: number(3)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_is_newer_than_nine() {
        let mut folders = ["/usr/lib/postgresql/9.6", "/a/postgresql@16", "/a/postgresql"];
        folders.sort_by_key(|folder| version_in(Path::new(folder)));
        assert_eq!(folders, ["/a/postgresql", "/usr/lib/postgresql/9.6", "/a/postgresql@16"]);
    }

    #[test]
    fn users_are_read_as_systems_write_them() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nnobody:*:-2:-2::/:\npostgres:x:101:104::/:\nbroken\n";
        assert_eq!(user_in(passwd, "postgres"), Some(User { id: 101, group: 104 }));
        assert_eq!(user_in(passwd, "nobody"), Some(User { id: u32::MAX - 1, group: u32::MAX - 1 }));
        assert_eq!(user_in(passwd, "broken"), None);
        assert_eq!(user_in(passwd, "nobody else"), None);
    }

    #[test]
    fn a_folder_lets_through_by_the_first_of_owner_group_and_others_that_applies() {
        let user = User { id: 101, group: 104 };
        assert!(lets_through(user, 0, 0, 0o1777));
        assert!(!lets_through(user, 0, 0, 0o700), "root's own");
        assert!(!lets_through(user, 101, 0, 0o077), "the owner is no other");
        assert!(lets_through(user, 0, 104, 0o710));
    }

    #[test]
    fn the_settings_of_a_test_come_last_so_that_they_win() {
        let words = ["-c", "fsync=on"].map(str::to_owned);
        assert_eq!(settings_in(&words).expect("settings").last().map(String::as_str), Some("fsync=on"));
        for wrong in [&["-c"][..], &["fsync=on"], &["-c", "fsync"], &["-d", "fsync=on"]] {
            let words: Vec<String> = wrong.iter().map(|word| (*word).to_owned()).collect();
            assert!(settings_in(&words).expect_err("no settings").contains("-c NAME=VALUE"));
        }
    }
}
