//! Backup and restore: whole while others write, killed at every point, and never an epoch twice.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use tenure::access::Role;
use tenure::audit::Anchor;
use tenure::backup::{
    BackupError, BackupKind, BackupOptions, BackupProgress, BackupReport, FLOOR_STEP, IfUnverified,
    RestoreOptions, RestoreReport, back_up, mark_of, raise_floor, restore,
};
use tenure::core::command::Holder;
use tenure::core::refusal::Code;
use tenure::ledger::JsonText;
use tenure::store::{IfMissing, StoreAccess};
use tenure::{Error, Ledger};
use tenure_testkit::block_on;
use tenure_testkit::competing::CompetingConnection;
use tenure_testkit::server::{Server, required};

use crate::faults::SmallDisk;

const HOUR: Duration = Duration::from_secs(3_600);

/// The points that a backup of a file passes, and those of the others.
const BACKUP_OF_FILE: [&str; 4] =
    ["backup/after_copy", "backup/before_sync", "backup/before_rename", "backup/after_rename"];
const BACKUP_OF_DATABASE: [&str; 1] = ["backup/after_export"];
const RESTORE_OF_FILE: [&str; 3] = ["restore/after_copy", "restore/after_raise", "restore/after_batch"];
const RESTORE_OF_DATABASE: [&str; 2] = ["restore/after_mark", "restore/after_import"];

/// All points that a process dies at here.
pub(crate) fn points() -> impl Iterator<Item = &'static str> {
    let files = BACKUP_OF_FILE.into_iter().chain(RESTORE_OF_FILE);
    files.chain(BACKUP_OF_DATABASE).chain(RESTORE_OF_DATABASE)
}

/// A folder, and stores of one kind.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
    server: Option<&'static Server>,
}

impl Place {
    /// One for each kind of store that this machine has.
    fn all() -> Vec<Place> {
        let servers = [None, required(Server::shared())];
        let kinds = if servers[1].is_some() { &servers[..] } else { &servers[..1] };
        kinds
            .iter()
            .map(|server| Place { folder: tempfile::tempdir().expect("a folder"), server: *server })
            .collect()
    }

    pub(crate) fn of(server: &'static Server) -> Place {
        Place { server: Some(server), ..Place::files() }
    }

    fn files() -> Place {
        Place { folder: tempfile::tempdir().expect("a folder"), server: None }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn url_of(&self, name: &str) -> String {
        format!("sqlite:{}", self.path(name).display())
    }

    /// The URL of a store that does not exist yet.
    pub(crate) fn new_url(&self, name: &str) -> String {
        match self.server {
            Some(server) => server.url(&server.fresh_schema()),
            None => self.url_of(name),
        }
    }

    fn kind(&self) -> BackupKind {
        if self.server.is_some() { BackupKind::Export } else { BackupKind::Sqlite }
    }
}

async fn backed_up(url: &str, file: &Path) -> Result<BackupReport, BackupError> {
    back_up(Ledger::builder(), url, file, &BackupOptions::default(), &BackupProgress::default()).await
}

pub(crate) async fn restored(url: &str, file: &Path) -> Result<RestoreReport, BackupError> {
    restore(Ledger::builder(), url, file, &RestoreOptions::default(), &BackupProgress::default()).await
}

pub(crate) async fn existing(url: &str) -> Ledger {
    Ledger::builder().missing(IfMissing::Refuse).open(url).await.expect(url)
}

pub(crate) async fn acquired(ledger: &Ledger, id: &str, owner: &str) -> Holder {
    let task = ledger.acquire(id, owner).ttl(HOUR).await.expect("acquired");
    task.lease().expect("a lease").holder()
}

async fn code_of_beat(ledger: &Ledger, id: &str, by: &Holder) -> Option<Code> {
    ledger.heartbeat(id, by).ttl(2 * HOUR).await.expect_err("refused").code()
}

pub(crate) async fn holds(url: &str) {
    let report = existing(url).await.verify(None).await.expect("verified");
    assert!(report.holds(), "{url}: {:?}", report.findings);
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn who_held_a_lease_before_the_backup_goes_on_and_no_lease_since_is_ever_confused_with_a_new_one() {
    for place in Place::all() {
        block_on(async {
            let (old, file) = (place.new_url("tasks.db"), place.path("monday"));
            let ledger = Ledger::open(&old).await.expect("opens");
            for id in ["before", "since", "taken-over"] {
                ledger.create(id).await.expect("created");
            }
            let before = acquired(&ledger, "before", "w1").await;
            let first = acquired(&ledger, "taken-over", "w1").await;
            // A worker beats all the time, also while the backup is made.
            let beats = async {
                for beat in 0_u64.. {
                    ledger.progress("before", &before).report(serde_json::json!(beat)).await.expect("beaten");
                }
            };
            let report = tokio::select! {
                report = backed_up(&old, &file) => report.expect("backed up"),
                () = beats => unreachable!("it goes on"),
            };
            assert_eq!((report.kind, report.tasks, report.findings.len()), (place.kind(), 3, 0));
            // What happens now is lost.
            let since = acquired(&ledger, "since", "w2").await;
            ledger.release("taken-over", &first, "handed over").await.expect("released");
            let second = acquired(&ledger, "taken-over", "w2").await;
            assert_eq!((since.epoch.0, second.epoch.0), (1, 2));

            let mut granted = vec![since.epoch, second.epoch];
            for time in 1..=3_u64 {
                let new = place.new_url(&format!("new-{time}.db"));
                let report = restored(&new, &file).await.expect("restored");
                assert_eq!(report.epoch_floor.0, time * FLOOR_STEP, "never the same floor twice");
                assert_eq!(report.leases.len(), 2);
                let ledger = existing(&new).await;
                // The holder of a lease that the backup has goes on, and so does who held it before it was handed over.
                ledger.heartbeat("before", &before).ttl(2 * HOUR).await.expect("it is its lease still");
                ledger.heartbeat("taken-over", &first).ttl(2 * HOUR).await.expect("the hand-over is lost");
                // Who was granted a lease since is refused, before and after somebody else is granted one.
                assert_eq!(code_of_beat(&ledger, "taken-over", &second).await, Some(Code::StaleEpoch));
                assert_eq!(code_of_beat(&ledger, "since", &since).await, Some(Code::NoLease));
                let newest = acquired(&ledger, "since", "w2").await;
                assert_eq!(code_of_beat(&ledger, "since", &since).await, Some(Code::StaleEpoch));
                assert!(!granted.contains(&newest.epoch), "{newest:?} of {granted:?}");
                granted.push(newest.epoch);
                // A worker of the restore before this one is refused, too.
                for epoch in &granted[..granted.len() - 1] {
                    let of_before = Holder { epoch: *epoch, ..newest.clone() };
                    assert_eq!(code_of_beat(&ledger, "since", &of_before).await, Some(Code::StaleEpoch));
                }
                ledger.complete("since", &newest).await.expect("completed");
                holds(&new).await;
            }
        });
    }
}

#[test]
fn a_backup_of_a_restored_store_is_above_all_that_other_restores_gave() {
    block_on(async {
        let place = Place::files();
        let url = place.url_of("tasks.db");
        Ledger::open(&url).await.expect("opens").create("t").await.expect("created");
        backed_up(&url, &place.path("monday")).await.expect("backed up");
        restored(&place.url_of("first.db"), &place.path("monday")).await.expect("restored");
        backed_up(&place.url_of("first.db"), &place.path("tuesday")).await.expect("backed up");
        let second = restored(&place.url_of("second.db"), &place.path("monday")).await.expect("restored");
        let third = restored(&place.url_of("third.db"), &place.path("tuesday")).await.expect("restored");
        assert_eq!((second.epoch_floor.0, third.epoch_floor.0), (2 * FLOOR_STEP, 3 * FLOOR_STEP));
    });
}

#[test]
fn a_backup_has_all_that_was_answered_before_it_began_and_no_half_of_what_happens_meanwhile() {
    for place in Place::all() {
        block_on(async {
            let (old, file) = (place.new_url("tasks.db"), place.path("copy"));
            let ledger = Ledger::open(&old).await.expect("opens");
            let token = ledger.create_token("ci", Role::Worker).await.expect("made").1;
            let payload = format!("\"{}\"", "x".repeat(2_000));
            let live = async |worker: usize, from: usize, to: usize| {
                for number in from..to {
                    let id = format!("t-{worker}-{number}");
                    ledger.create(&id).payload(JsonText(&payload)).await.expect("created");
                    let by = acquired(&ledger, &id, "w").await;
                    ledger.complete(&id, &by).await.expect("completed");
                }
            };
            tokio::join!(live(0, 0, 100), live(1, 0, 100), live(2, 0, 100));
            let writing = async { tokio::join!(live(0, 100, 100_000), live(1, 100, 100_000)) };
            let report = tokio::select! {
                report = backed_up(&old, &file) => report.expect("backed up"),
                _ = writing => unreachable!("it takes longer"),
            };
            assert!(report.tasks >= 300 && report.events >= 900, "{report:?}");
            let new = place.new_url("new.db");
            let again = restored(&new, &file).await.expect("restored");
            assert_eq!((again.tasks, again.events), (report.tasks, report.events));
            holds(&new).await;
            let ledger = existing(&new).await;
            for worker in 0..3 {
                let task = ledger.task(&format!("t-{worker}-99")).await.expect("answered before the backup");
                assert_eq!(task.state().as_str(), "completed");
            }
            let tokens = ledger.tokens().await.expect("tokens");
            assert_eq!(tokens, [token], "a backup without tokens would lock the workers out");
        });
    }
}

#[test]
fn a_backup_is_read_and_verified_and_nobody_works_in_it() {
    block_on(async {
        let place = Place::files();
        let (url, file) = (place.url_of("tasks.db"), place.path("copy"));
        let ledger = Ledger::open(&url).await.expect("opens");
        ledger.create("t").await.expect("created");
        let report = backed_up(&url, &file).await.expect("backed up");
        let copy = place.url_of("copy");
        let refused = Ledger::open(&copy).await.err().expect("refused").to_string();
        assert!(refused.contains("is a backup, made at") && refused.contains("restore"), "{refused}");
        let mark = mark_of(&copy).await.expect("read").expect("a mark");
        assert_eq!((mark.at, mark.verified), (report.at, true));
        let reader = Ledger::builder().access(StoreAccess::ReadOnly).open(&copy).await.expect("it is read");
        assert!(reader.verify(None).await.expect("verified").holds());
        let refused = backed_up(&copy, &place.path("copy-of-copy")).await.expect_err("refused").to_string();
        assert!(refused.contains("is a backup"), "{refused}");
        assert_eq!(std::fs::metadata(&file).expect("there").len(), report.bytes);
    });
}

#[test]
fn nothing_is_overwritten_and_of_two_at_once_one_is_refused() {
    for place in Place::all() {
        block_on(async {
            let (old, file) = (place.new_url("tasks.db"), place.path("copy"));
            let ledger = Ledger::open(&old).await.expect("opens");
            ledger.create("t").await.expect("created");
            let (one, other) = tokio::join!(backed_up(&old, &file), backed_up(&old, &file));
            assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
            let refused = backed_up(&old, &file).await.expect_err("refused").to_string();
            assert!(refused.contains("exists, and nothing is overwritten"), "{refused}");
            let refused = restored(&old, &file).await.expect_err("refused").to_string();
            assert!(refused.contains("exists") || refused.contains("is in use"), "{refused}");
            holds(&old).await;
            let new = place.new_url("new.db");
            let (one, other) = tokio::join!(restored(&new, &file), restored(&new, &file));
            assert!(one.is_ok() || other.is_ok(), "{one:?} {other:?}");
            assert!(place.server.is_some() || one.is_ok() != other.is_ok(), "{one:?} {other:?}");
            holds(&new).await;
            assert!(restored(&new, &file).await.is_err(), "it is a store now");
        });
    }
}

/// Changes an event of the task `t` as somebody with the database in hand would.
async fn change_event(place: &Place, url: &str) {
    match place.server {
        None => {
            let file = rusqlite::Connection::open(place.path("tasks.db")).expect("opens");
            let change = "drop trigger events_do_not_change; update events set actor = 'm' where number = 1";
            file.execute_batch(change).expect("changed");
        }
        Some(server) => {
            let schema = url.rsplit_once('=').expect("a schema").1;
            let rival = CompetingConnection::of(server, schema).await;
            rival.does("alter table tenure.events disable trigger user").await;
            rival.does("update tenure.events set actor = 'm' where number = 1").await;
        }
    }
}

#[test]
fn a_store_whose_history_was_changed_leaves_no_backup_unless_it_is_asked_for() {
    for place in Place::all() {
        block_on(async {
            let (old, file) = (place.new_url("tasks.db"), place.path("copy"));
            let ledger = Ledger::open(&old).await.expect("opens");
            ledger.create("t").await.expect("created");
            ledger.annotate("t", "seen").await.expect("noted");
            change_event(&place, &old).await;
            let refused = backed_up(&old, &file).await.expect_err("refused");
            match (&refused, place.kind()) {
                (BackupError::Unverified { findings, .. }, BackupKind::Sqlite) => {
                    assert_eq!(findings, &["default/t: event 1 was changed"]);
                }
                (BackupError::Store(Error::Corrupt(_)), BackupKind::Export) => {
                    assert!(refused.to_string().contains("event 1 of default/t"), "{refused}");
                }
                _ => panic!("{refused:?}"),
            }
            assert!(!names(place.folder.path()).iter().any(|name| name.contains("copy")), "nothing is left");
            if place.server.is_some() {
                return;
            }
            let keep = BackupOptions::default().with(|options| options.unverified = IfUnverified::Keep);
            let progress = BackupProgress::default();
            let report = back_up(Ledger::builder(), &old, &file, &keep, &progress).await.expect("kept");
            assert_eq!(report.findings.len(), 1);
            assert!(!mark_of(&place.url_of("copy")).await.expect("read").expect("a mark").verified);
            let new = place.url_of("new.db");
            let refused = restored(&new, &file).await.expect_err("refused");
            assert!(matches!(refused, BackupError::Unverified { .. }), "{refused:?}");
            assert!(!place.path("new.db").exists());
            let keep = RestoreOptions::default().with(|options| options.unverified = IfUnverified::Keep);
            let report = restore(Ledger::builder(), &new, &file, &keep, &progress).await.expect("kept");
            assert_eq!((report.findings.len(), report.epoch_floor.0), (1, FLOOR_STEP));
        });
    }
}

#[test]
fn a_file_that_is_no_whole_backup_is_refused_and_nothing_is_made() {
    for place in Place::all() {
        block_on(async {
            let old = place.new_url("tasks.db");
            let ledger = Ledger::open(&old).await.expect("opens");
            ledger.create("t").await.expect("created");
            let store = ledger.store();
            let export = tenure_testkit::moving::exported(store.as_ref()).await;
            let text = String::from_utf8(export.clone()).expect("text");
            let altered = text.replace("\"task\":\"t\"", "\"task\":\"u\"");
            let wrong: [(&str, &[u8], &str); 6] = [
                ("empty", b"", "is not a backup"),
                ("letters", b"dear reader, this is no backup\n", "is not a backup"),
                ("torn", b"SQLite format 3\0", "is not a backup"),
                ("cut", &export[..export.len() / 2], ""),
                ("altered", altered.as_bytes(), "lines were changed, added or removed"),
                ("longer", &[&export[..], b"{}\n"].concat(), "behind the line that ends"),
            ];
            for (name, bytes, words) in wrong {
                let file = place.path(name);
                std::fs::write(&file, bytes).expect("written");
                let new = place.new_url("new.db");
                let refused = restored(&new, &file).await.expect_err(name).to_string();
                assert!(refused.contains(words), "{name}: {refused}");
                assert!(!place.path("new.db").exists(), "{name}");
                let there = Ledger::builder().condition(&new).await.expect("looked");
                assert_eq!(there, tenure::store::SchemaState::Missing, "{name}");
            }
            // An export is a backup, too, if it is whole.
            let file = place.path("export");
            std::fs::write(&file, &export).expect("written");
            let report = restored(&place.url_of("of-export.db"), &file).await.expect("restored");
            assert_eq!((report.kind, report.tasks), (BackupKind::Export, 1));
            assert_eq!(report.epoch_floor.0, FLOOR_STEP);
            holds(&place.url_of("of-export.db")).await;
        });
    }
}

#[test]
fn a_store_of_another_schema_or_without_a_mark_is_no_backup() {
    block_on(async {
        let place = Place::files();
        let (url, file) = (place.url_of("tasks.db"), place.path("copy"));
        Ledger::open(&url).await.expect("opens").create("t").await.expect("created");
        let refused = restored(&place.url_of("new.db"), &place.path("tasks.db")).await.expect_err("refused");
        assert!(refused.to_string().contains("is a store, not a backup"), "{refused}");
        backed_up(&url, &file).await.expect("backed up");
        if let Some(server) = required(Server::shared()) {
            let refused = restored(&server.url(&server.fresh_schema()), &file).await.expect_err("refused");
            assert!(refused.to_string().contains("export --with-tokens"), "{refused}");
        }
        let connection = rusqlite::Connection::open(&file).expect("opens");
        connection.pragma_update(None, "user_version", 99).expect("newer");
        drop(connection);
        let refused = restored(&place.url_of("new.db"), &file).await.expect_err("refused").to_string();
        assert!(refused.contains("has schema version 99") && refused.contains("newer version"), "{refused}");
    });
}

#[test]
fn an_anchor_names_what_was_lost_and_what_came_back() {
    for place in Place::all() {
        block_on(async {
            let (old, file) = (place.new_url("tasks.db"), place.path("copy"));
            let ledger = Ledger::open(&old).await.expect("opens");
            ledger.create("whole").await.expect("created");
            ledger.create("shorter").await.expect("created");
            backed_up(&old, &file).await.expect("backed up");
            ledger.create("missing").await.expect("created");
            ledger.annotate("shorter", "lost").await.expect("noted");
            let anchor = ledger.anchor().await.expect("an anchor");
            let restore_with = async |anchor: Anchor, name: &str| {
                let options = RestoreOptions::default().with(|options| options.anchor = Some(anchor));
                let (new, progress) = (place.new_url(name), BackupProgress::default());
                restore(Ledger::builder(), &new, &file, &options, &progress).await
            };
            let lost =
                restore_with(anchor.clone(), "new.db").await.expect("restored").lost.expect("compared");
            assert_eq!(lost.missing, ["default/missing"]);
            let shorter: Vec<_> =
                lost.shorter.iter().map(|one| (one.task.as_str(), one.number, one.anchored)).collect();
            assert_eq!(shorter, [("default/shorter", 1, 2)]);
            assert_eq!((lost.other.len(), lost.back.len()), (0, 0));
            let mut foreign = anchor.clone();
            foreign.lines.iter_mut().for_each(|line| line.head = tenure::core::chain::Hash::START);
            let refused = restore_with(foreign.clone(), "other.db").await.expect_err("refused").to_string();
            assert!(refused.contains("root does not match"), "{refused}");
            foreign.root = Anchor::root_of(&foreign.lines);
            let lost = restore_with(foreign, "other.db").await.expect("restored").lost.expect("compared");
            assert_eq!(lost.other, ["default/whole"], "an anchor of another store");
        });
    }
}

#[test]
fn what_another_tool_put_back_gets_a_higher_floor_where_it_is() {
    for place in Place::all() {
        block_on(async {
            let url = place.new_url("tasks.db");
            let ledger = Ledger::open(&url).await.expect("opens");
            ledger.create("t").await.expect("created");
            drop(ledger);
            let progress = BackupProgress::default();
            let raise = async |above: Option<u64>| {
                let options = RestoreOptions::default()
                    .with(|options| options.floor_above = above.map(tenure::core::id::Epoch));
                raise_floor(Ledger::builder(), &url, &options, &progress).await
            };
            let report = raise(None).await.expect("raised");
            assert_eq!((report.epoch_floor.0, report.kind), (FLOOR_STEP, BackupKind::InPlace));
            assert!(report.warnings[0].contains("--epoch-floor-above 4294967296"), "{:?}", report.warnings);
            let report = raise(Some(5 * FLOOR_STEP)).await.expect("raised");
            assert_eq!((report.epoch_floor.0, report.warnings.len()), (6 * FLOOR_STEP, 0));
            let holder = acquired(&existing(&url).await, "t", "w1").await;
            assert_eq!(holder.epoch.0, 6 * FLOOR_STEP + 1);
            let (none, options) = (place.new_url("none.db"), RestoreOptions::default());
            let missing = raise_floor(Ledger::builder(), &none, &options, &progress);
            assert!(missing.await.is_err(), "no store is made");
        });
    }
}

#[test]
fn a_backup_that_was_copied_to_the_place_of_a_store_becomes_one() {
    block_on(async {
        let place = Place::files();
        let (url, file) = (place.url_of("tasks.db"), place.path("copy"));
        Ledger::open(&url).await.expect("opens").create("t").await.expect("created");
        backed_up(&url, &file).await.expect("backed up");
        std::fs::copy(&file, place.path("put-back.db")).expect("copied");
        let put_back = place.url_of("put-back.db");
        let progress = BackupProgress::default();
        let refused = raise_floor(Ledger::builder(), &put_back, &RestoreOptions::default(), &progress).await;
        assert!(refused.expect_err("refused").to_string().contains("pass --epoch-floor-above"));
        let given = restored(&place.url_of("new.db"), &file).await.expect("restored").epoch_floor;
        let options = RestoreOptions::default().with(|options| options.floor_above = Some(given));
        raise_floor(Ledger::builder(), &put_back, &options, &progress).await.expect("raised");
        assert_eq!(acquired(&existing(&put_back).await, "t", "w1").await.epoch.0, 2 * FLOOR_STEP + 1);
    });
}

#[test]
fn on_a_full_disk_a_backup_leaves_nothing_and_the_store_works_on() {
    let Some(disk) = SmallDisk::mount() else {
        assert!(std::env::var_os("CI").is_none(), "not run: a small disk can't be mounted by this user");
        println!("not run: a small disk can't be mounted by this user");
        return;
    };
    for place in Place::all() {
        block_on(async {
            let (url, file) = (place.new_url("tasks.db"), disk.0.path().join("copy"));
            let ledger = Ledger::open(&url).await.expect("opens");
            let payload = format!("\"{}\"", "x".repeat(100_000));
            for number in 0..20 {
                ledger.create(&format!("t{number}")).payload(JsonText(&payload)).await.expect("created");
            }
            let failed = backed_up(&url, &file).await.expect_err("it does not fit").to_string();
            assert!(failed.contains("full") || failed.contains("No space"), "{failed}");
            assert_eq!(names(disk.0.path()), Vec::<String>::new(), "nothing is left");
            ledger.create("after").await.expect("the store works on");
        });
    }
}

/// Runs a backup or a restore that dies at a point, or ends.
pub(crate) fn mortal(what: &str, url: &str, file: &Path, point: Option<&str>) -> ExitStatus {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenure-mortal"));
    command.args([what, url]).arg(file).stdin(Stdio::null());
    if let Some(point) = point {
        command.args([point, "1"]);
    }
    command.stderr(Stdio::inherit()).status().expect("a process")
}

#[test]
fn a_backup_or_a_restore_that_is_killed_at_any_point_leaves_nothing_half_and_is_repeated() {
    for place in Place::all() {
        let old = place.new_url("tasks.db");
        block_on(async {
            let ledger = Ledger::open(&old).await.expect("opens");
            for number in 0..30 {
                ledger.create(&format!("t{number}")).await.expect("created");
            }
        });
        let backups: Vec<&str> = match place.kind() {
            BackupKind::Sqlite => BACKUP_OF_FILE.to_vec(),
            _ => BACKUP_OF_DATABASE.into_iter().chain(BACKUP_OF_FILE.into_iter().skip(1)).collect(),
        };
        let file = place.path("copy");
        for point in &backups {
            let status = mortal("backup", &old, &file, Some(point));
            assert_eq!(status.signal(), Some(9), "{point}");
            assert_eq!(
                file.exists(),
                *point == "backup/after_rename",
                "{point}: it has its name when it is whole"
            );
        }
        std::fs::remove_file(&file).expect("of the last kill");
        assert!(mortal("backup", &old, &file, None).success());
        let left: Vec<_> =
            names(place.folder.path()).into_iter().filter(|name| name.starts_with('.')).collect();
        assert!(left.is_empty(), "{left:?}");

        let export = place.path("export");
        if place.server.is_none() {
            let bytes = block_on(async {
                let ledger = existing(&old).await;
                tenure_testkit::moving::exported(ledger.store().as_ref()).await
            });
            std::fs::write(&export, bytes).expect("written");
        }
        let plots: Vec<(&Path, &str)> = match place.kind() {
            BackupKind::Sqlite => RESTORE_OF_FILE[..2]
                .iter()
                .map(|point| (file.as_path(), *point))
                .chain(RESTORE_OF_FILE.iter().map(|point| (export.as_path(), *point)))
                .chain(BACKUP_OF_FILE[1..].iter().map(|point| (file.as_path(), *point)))
                .collect(),
            _ => RESTORE_OF_DATABASE
                .iter()
                .chain(&RESTORE_OF_FILE[2..])
                .map(|point| (file.as_path(), *point))
                .collect(),
        };
        for (nth, (from, point)) in plots.into_iter().enumerate() {
            let new = place.new_url(&format!("new-{nth}.db"));
            assert_eq!(mortal("restore", &new, from, Some(point)).signal(), Some(9), "{point}");
            block_on(async {
                let opened = Ledger::builder().missing(IfMissing::Refuse).open(&new).await;
                let is_whole = point == "backup/after_rename";
                assert_eq!(opened.is_ok(), is_whole, "{point}: nobody works in a half of a store");
                if !is_whole {
                    let again = restored(&new, from).await.expect("it is repeated");
                    assert_eq!(again.tasks, 30, "{point}");
                }
                holds(&new).await;
                let epoch = acquired(&existing(&new).await, "t7", "w1").await.epoch.0;
                assert!(epoch > FLOOR_STEP, "{point}: {epoch}");
            });
        }
    }
}

#[test]
fn a_restore_that_was_begun_is_ended_with_the_same_file_only() {
    let Some(server) = required(Server::shared()) else { return };
    let place = Place::of(server);
    let (old, file, new) = (place.new_url(""), place.path("copy"), place.new_url(""));
    block_on(async { Ledger::open(&old).await.expect("opens").create("t").await.expect("created") });
    block_on(backed_up(&old, &file)).expect("backed up");
    assert_eq!(mortal("restore", &new, &file, Some("restore/after_import")).signal(), Some(9));
    block_on(async {
        for access in [StoreAccess::ReadWrite, StoreAccess::ReadOnly] {
            let refused =
                Ledger::builder().access(access).open(&new).await.err().expect("refused").to_string();
            assert!(refused.contains("a backup is being restored"), "{refused}");
        }
        existing(&old).await.create("u").await.expect("created");
        let other = place.path("other");
        backed_up(&old, &other).await.expect("backed up");
        let refused = restored(&new, &other).await.expect_err("refused").to_string();
        assert!(refused.contains("a restore of another file"), "{refused}");
        let report = restored(&new, &file).await.expect("it goes on");
        assert_eq!((report.tasks, report.epoch_floor.0), (1, FLOOR_STEP), "with the floor that it had");
        holds(&new).await;
    });
}
