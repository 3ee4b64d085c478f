//! Faults by the disk and by other programs: the message is clear and says what to do, nothing is lost, and service
//! resumes.

use std::error::Error as _;
use std::fs::TryLockError;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rusqlite::Connection;
use tenure::ledger::JsonText;
use tenure::store::IfMissing;
use tenure::store::sqlite::{SqliteOptions, SqliteStore};
use tenure::{Error, Ledger};
use tenure_testkit::block_on;
use tenure_testkit::waiting::until_blocking;

fn open(path: &Path) -> Result<Ledger, Error> {
    block_on(Ledger::open(&format!("sqlite:{}", path.display())))
}

/// The words of an `unavailable`.
fn unavailable<T>(answer: Result<T, Error>) -> String {
    match answer {
        Err(Error::Unavailable(failure)) => failure.message().to_owned(),
        Err(other) => panic!("not unavailable, but {other}"),
        Ok(_) => panic!("it was done"),
    }
}

#[track_caller]
fn assert_says(words: &str, parts: &[&str]) {
    assert!(parts.iter().all(|part| words.contains(part)), "`{words}` does not say {parts:?}");
}

#[test]
fn a_folder_is_not_a_store() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_says(&unavailable(open(folder.path())), &["is a directory", "give a file in it"]);
}

#[test]
fn a_missing_folder_is_named() {
    let words = unavailable(open(Path::new("/nowhere/at/all/tasks.db")));
    assert_says(&words, &["/nowhere/at/all does not exist", "create it first"]);
}

fn causes(error: &Error) -> Vec<&(dyn std::error::Error + 'static)> {
    let (mut causes, mut next) = (Vec::new(), error.source());
    while let Some(cause) = next {
        causes.push(cause);
        next = cause.source();
    }
    causes
}

fn io_error(error: &Error) -> Option<std::io::ErrorKind> {
    causes(error)
        .into_iter()
        .find_map(|cause| cause.downcast_ref::<std::io::Error>())
        .map(std::io::Error::kind)
}

#[track_caller]
fn assert_names_its_cause(error: &Error) {
    let cause = error.source().map(ToString::to_string);
    assert!(cause.is_some_and(|cause| error.to_string().contains(&cause)), "{error}");
}

#[test]
fn the_error_that_caused_another_is_its_source() {
    let folder = tempfile::tempdir().expect("a folder");
    let notes = folder.path().join("notes.txt");
    std::fs::write(&notes, "no database".repeat(20)).expect("written");
    let missing = open(Path::new("/nowhere/at/all/tasks.db")).err().expect("no folder");
    assert_eq!(io_error(&missing), Some(std::io::ErrorKind::NotFound));
    let error = open(&notes).err().expect("no database");
    assert_names_its_cause(&error);
    let database = "postgres://postgres@127.0.0.1:1/test?patience=0s";
    let error = block_on(Ledger::open(database)).err().expect("nobody is there");
    assert_names_its_cause(&error);
    assert_eq!(io_error(&error), Some(std::io::ErrorKind::ConnectionRefused));
    // A server is called when it is first used.
    let server = block_on(Ledger::open("http://127.0.0.1:1?patience=0s")).expect("opened");
    let error = block_on(server.task("t")).expect_err("nobody is there");
    assert_eq!(io_error(&error), Some(std::io::ErrorKind::ConnectionRefused));
    // The path and the query of a request have names and cursors in them.
    assert!(causes(&error).iter().all(|cause| !cause.to_string().contains("/v1/")), "{:?}", causes(&error));

    // What the store itself found out has no cause.
    assert!(open(folder.path()).err().expect("a folder").source().is_none());
}

#[test]
fn a_file_that_is_no_database_is_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notes.txt");
    let text = "these are my notes, and they are longer than a database's header would be; ".repeat(20);
    std::fs::write(&path, &text).expect("written");
    assert_says(&unavailable(open(&path)), &["not an SQLite database", "choose another file"]);
    assert_eq!(std::fs::read_to_string(&path).expect("read"), text);
}

#[test]
fn another_programs_database_is_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("other.db");
    Connection::open(&path).and_then(|other| other.execute_batch("create table mine (x)")).expect("made");
    let before = std::fs::read(&path).expect("read");
    assert_says(&unavailable(open(&path)), &["another program's database", "choose another file"]);
    assert_eq!(std::fs::read(&path).expect("read"), before, "not even its journal mode changed");
}

#[test]
fn a_file_of_a_newer_version_is_not_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.db");
    drop(open(&path).expect("made"));
    Connection::open(&path)
        .and_then(|file| file.pragma_update(None, "user_version", 99))
        .expect("as if newer");
    assert_says(&unavailable(open(&path)), &["schema version 99", "use a newer version"]);
}

#[test]
fn an_empty_file_is_brought_to_the_newest_schema() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.db");
    std::fs::write(&path, "").expect("an empty file");
    let ledger = open(&path).expect("it is as good as none");
    block_on(async { ledger.create("t").await }).expect("created");
}

#[test]
fn an_empty_file_is_no_store_and_stays_empty_if_none_may_be_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.db");
    std::fs::write(&path, "").expect("written");
    let url = format!("sqlite:{}", path.display());
    let opened = block_on(Ledger::builder().missing(IfMissing::Refuse).open(&url));
    assert_says(&unavailable(opened), &["there is no store at", "tasks.db", "check the path"]);
    assert_eq!(std::fs::metadata(&path).expect("there").len(), 0);
    assert_eq!(std::fs::read_dir(folder.path()).expect("read").count(), 1, "nothing is beside it");
}

#[test]
fn a_file_that_is_gone_is_not_made_anew_while_its_commits_are_beside_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, kept) = (folder.path().join("tasks.db"), folder.path().join("kept.db"));
    let log = |path: &Path| format!("{}-wal", path.display());
    let ledger = open(&path).expect("opens");
    block_on(async { ledger.create("t").await }).expect("created");
    // As after a power loss: the log was not put into the file.
    std::fs::copy(&path, &kept).expect("copied");
    std::fs::copy(log(&path), log(&kept)).expect("copied");
    let away = folder.path().join("away.db");
    std::fs::rename(&kept, &away).expect("moved");
    let before = std::fs::read(log(&kept)).expect("there");
    assert!(before.len() > 32, "it has commits");
    for empty in [false, true] {
        if empty {
            std::fs::write(&kept, "").expect("written");
        }
        let url = format!("sqlite:{}", kept.display());
        assert_says(
            &unavailable(open(&kept)),
            &["kept.db is gone or empty", "kept.db-wal", "put the file back"],
        );
        let state = block_on(Ledger::builder().condition(&url));
        assert_says(&unavailable(state), &["kept.db is gone or empty"]);
        assert_eq!(std::fs::read(log(&kept)).expect("there"), before);
        assert_eq!(kept.exists(), empty, "nothing was made");
    }
    std::fs::rename(&away, &kept).expect("put back");
    let ledger = open(&kept).expect("opens");
    block_on(async { ledger.task("t").await }).expect("it is there");
}

#[test]
fn a_journal_tells_whether_its_file_had_content() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.db");
    let journal = folder.path().join("tasks.db-journal");
    let header = |pages: u8| {
        [
            &[0xd9, 0xd5, 5, 0xf9, 0x20, 0xa1, 0x63, 0xd7, 0, 0, 0, 1, 7, 7, 7, 7, 0, 0, 0, pages][..],
            &[0; 492],
        ]
        .concat()
    };
    std::fs::write(&journal, header(3)).expect("written");
    assert_says(&unavailable(open(&path)), &["tasks.db is gone or empty", "tasks.db-journal"]);
    assert!(!path.exists());
    std::fs::write(&journal, header(0)).expect("written");
    open(&path).expect("a process that made it was killed; it is made now");
}

#[test]
fn a_file_that_can_not_be_looked_at_is_not_taken_for_a_missing_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.db");
    std::os::unix::fs::symlink(&path, &path).expect("a link to itself");
    let url = format!("sqlite:{}", path.display());
    let opened = block_on(Ledger::builder().missing(IfMissing::Refuse).open(&url));
    let words = unavailable(opened);
    assert_says(&words, &["tasks.db: ", "symbolic link"]);
    assert!(!words.contains("there is no store"), "{words}");
}

#[test]
fn ten_programs_may_make_the_same_file_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.db");
    let starters: Vec<_> = (0..10)
        .map(|at| {
            let path = path.clone();
            std::thread::spawn(move || {
                let ledger = open(&path)?;
                block_on(async { ledger.create(&format!("t{at}")).await })
            })
        })
        .collect();
    for starter in starters {
        starter.join().expect("a starter").expect("each opened it and wrote");
    }
    assert_eq!(block_on(open(&path).expect("opens").verify(None)).expect("read").tasks, 10);
}

#[test]
fn a_lock_that_another_program_holds_for_too_long_is_said_and_nothing_was_done() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.db");
    let options = SqliteOptions::new(&path).with(|options| options.wait_max = Duration::from_millis(200));
    let ledger =
        Ledger::with_store(std::sync::Arc::new(block_on(SqliteStore::open(options)).expect("opens")));
    let turn =
        std::fs::OpenOptions::new().append(true).open(folder.path().join("tasks.db-turn")).expect("its lock");
    turn.lock().expect("another writer's turn");
    // The first finds the thread waiting in line; the second waits behind it.
    let words = unavailable(block_on(async { ledger.create("t").await }));
    assert_says(&words, &["another process", "lock", "try again later"]);
    let reads = block_on(ledger.task("t")).expect_err("it is not there").code().map(|code| code.as_str());
    assert_eq!(reads, Some("not_found"), "and reads go on");
    turn.unlock().expect("given back");
    block_on(async { ledger.create("t").await }).expect("service resumes");
}

#[test]
fn a_program_that_writes_around_the_line_is_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.db");
    let ledger = open(&path).expect("opens");
    let other = Connection::open(&path).expect("another program");
    other.execute_batch("begin immediate").expect("in a transaction");
    let turn =
        std::fs::OpenOptions::new().append(true).open(folder.path().join("tasks.db-turn")).expect("its lock");
    let writer = std::thread::spawn(move || {
        let has_turn = || match turn.try_lock() {
            Ok(()) => turn.unlock().map(|()| false).expect("given back"),
            Err(TryLockError::WouldBlock) => true,
            Err(TryLockError::Error(error)) => panic!("{error}"),
        };
        // It has its turn, and so waits for nobody but this one. A process that would not wait gives it back at once.
        let mut in_a_row = 0;
        until_blocking("it waits", || {
            in_a_row = if has_turn() { in_a_row + 1 } else { 0 };
            in_a_row == 20
        });
        other.execute_batch("commit").expect("and out of it");
    });
    block_on(async { ledger.create("t").await }).expect("it waited");
    writer.join().expect("the other program");
}

/// A small disk of its own; none where this user may not mount one.
pub(crate) struct SmallDisk(pub(crate) tempfile::TempDir);

impl SmallDisk {
    pub(crate) fn mount() -> Option<SmallDisk> {
        let folder = tempfile::tempdir().expect("a folder");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1536k", "tmpfs"])
            .arg(folder.path())
            .output();
        mount.is_ok_and(|done| done.status.success()).then(|| SmallDisk(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).output();
    }
}

#[test]
fn on_a_full_disk_writes_are_refused_reads_go_on_and_service_resumes() {
    let Some(disk) = SmallDisk::mount() else {
        let ci = std::env::var_os("CI").is_some();
        assert!(!ci, "not run: a small disk can't be mounted by this user");
        println!("not run: a small disk can't be mounted by this user");
        return;
    };
    let path = disk.0.path().join("tasks.db");
    let ledger = open(&path).expect("there is room at first");
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![0; 600 * 1024]).expect("there is room for it");
    let payload = format!("\"{}\"", "x".repeat(8 * 1024));
    let mut answered = Vec::new();
    let words = loop {
        let id = format!("t{}", answered.len());
        match block_on(async { ledger.create(&id).payload(JsonText(&payload)).await }) {
            Ok(_) => answered.push(id),
            refused => break unavailable(refused),
        }
        assert!(answered.len() < 1_000, "the disk is never full");
    };
    assert_says(&words, &["the disk is full", "reads go on"]);
    for id in &answered {
        block_on(ledger.task(id)).expect("what was answered can be read");
    }
    std::fs::remove_file(&ballast).expect("room is made");
    block_on(async { ledger.create("after").await }).expect("service resumes without a restart");
    let report = block_on(ledger.verify(None)).expect("read");
    assert!(report.holds(), "{:?}", report.findings);
    assert_eq!(report.tasks, answered.len() as u64 + 1);
}

/// Leaves no room at all.
fn fill(file: &Path) {
    let mut file = std::fs::File::create(file).expect("made");
    while std::io::Write::write_all(&mut file, &[0]).is_ok() {}
}

#[test]
fn a_program_that_begins_on_a_full_disk_is_told_so() {
    let Some(disk) = SmallDisk::mount() else {
        assert!(std::env::var_os("CI").is_none(), "not run: a small disk can't be mounted by this user");
        println!("not run: a small disk can't be mounted by this user");
        return;
    };
    let path = disk.0.path().join("tasks.db");
    let ledger = open(&path).expect("there is room at first");
    block_on(async { ledger.create("t").await }).expect("created");
    drop(ledger);
    fill(&disk.0.path().join("rest"));
    assert_says(&unavailable(open(&path)), &["the disk is full", "free space"]);
    std::fs::remove_file(disk.0.path().join("rest")).expect("room is made");
    block_on(open(&path).expect("opens").task("t")).expect("it is there");
}

#[test]
fn a_file_that_may_not_be_written_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.db");
    drop(open(&path).expect("made"));
    let Some(_sealed) = ReadOnly::mount(folder.path()) else {
        let ci = std::env::var_os("CI").is_some();
        assert!(!ci, "not run: a folder can't be mounted read-only by this user");
        println!("not run: a folder can't be mounted read-only by this user");
        return;
    };
    assert_says(
        &unavailable(open(&path)),
        &["can't be opened", "check its permissions and those of its directory"],
    );
}

/// A folder mounted over itself, read-only: permissions alone don't stop an administrator.
struct ReadOnly<'a>(&'a Path);

impl ReadOnly<'_> {
    fn mount(folder: &Path) -> Option<ReadOnly<'_>> {
        let run = |arguments: &[&str]| {
            let done = Command::new("mount").args(arguments).arg(folder).output();
            done.is_ok_and(|done| done.status.success())
        };
        let bound = run(&["--bind", folder.to_str()?]);
        (bound && run(&["-o", "remount,bind,ro"])).then_some(ReadOnly(folder))
    }
}

impl Drop for ReadOnly<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).output();
    }
}

/// A store in a folder of its own, with a task in it, after its file was treated so.
fn opened_and_then(treat: impl Fn(&Path)) -> (tempfile::TempDir, Ledger) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.db");
    let ledger = open(&path).expect("opens");
    block_on(async { ledger.create("before").await }).expect("done");
    treat(&path);
    (folder, ledger)
}

#[test]
fn nothing_is_written_to_a_file_that_was_removed_or_replaced_and_one_that_is_put_back_goes_on() {
    let aside = |path: &Path| path.with_extension("aside");
    let (folder, ledger) = opened_and_then(|path| std::fs::rename(path, aside(path)).expect("moved"));
    let path = folder.path().join("tasks.db");
    let answers = || {
        let created = block_on(async { ledger.create("after").await });
        (created.map(|_| ()), block_on(async { ledger.task("before").await }).map(|_| ()))
    };
    let (created, looked) = answers();
    assert_says(&unavailable(created), &["tasks.db", "is gone", "Put the original file back"]);
    assert_says(&unavailable(looked), &["is gone"]);
    std::fs::copy(aside(&path), &path).expect("copied");
    let (created, looked) = answers();
    assert_says(&unavailable(created), &["another file", "restart"]);
    assert_says(&unavailable(looked), &["another file"]);
    std::fs::rename(aside(&path), &path).expect("moved back");
    let (created, looked) = answers();
    assert_eq!((created, looked), (Ok(()), Ok(())));
}

#[test]
fn a_file_that_was_cut_while_it_was_open_is_corrupt_and_a_compacted_one_is_not() {
    let cut = |path: &Path| {
        let connection = Connection::open(path).expect("opens");
        let checkpoint = "pragma wal_checkpoint(truncate)";
        connection.query_row(checkpoint, [], |_| Ok(())).expect("all is in the file");
        std::fs::OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(8_192)).expect("cut");
    };
    let (_folder, ledger) = opened_and_then(cut);
    match block_on(async { ledger.create("after").await }) {
        Err(Error::Corrupt(failure)) => {
            assert_says(failure.message(), &["tasks.db shrank", "restore a copy"])
        }
        other => panic!("{other:?}"),
    }
    let compacted = |path: &Path| {
        let connection = Connection::open(path).expect("opens");
        connection
            .execute_batch("create table large (x); insert into large values (zeroblob(9000000));")
            .expect("grown");
        connection
            .execute_batch("drop table large; vacuum; pragma wal_checkpoint(truncate)")
            .expect("compacted");
    };
    let (_folder, ledger) = opened_and_then(compacted);
    block_on(async { ledger.create("after").await }).expect("done");
}
