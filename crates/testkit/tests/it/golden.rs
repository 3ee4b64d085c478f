//! Files of every earlier schema version open: they are migrated, their histories hold, and their tasks are what they were.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tenure::Ledger;
use tenure::clock::ManualClock;
use tenure::core::chain::Hash;
use tenure::core::id::Epoch;
use tenure::core::task::{LastLease, State};
use tenure::core::time::Time;
use tenure::store::Filter;
use tenure_testkit::block_on;

/// The released migrations of files, each with its hash: one that changed would leave two kinds of stores of the same version.
const MIGRATIONS: [(&str, &str); 4] = [
    (
        include_str!("../../../sqlite/migrations/V1__ledger.sql"),
        "a7984c225938d8ff265a6a4426b0be5dffbb4c2176b22432683fd45828cca758",
    ),
    (
        include_str!("../../../sqlite/migrations/V2__tokens.sql"),
        "834ffcae345929c90ed6464f32a372568c2c07b67b8f9694198aeb49c3e16a6c",
    ),
    (
        include_str!("../../../sqlite/migrations/V3__ends.sql"),
        "8a214b7ad3d1a26d476c8de03a8c66a6f8d42587818ec5271b203198a8bf0262",
    ),
    (
        include_str!("../../../sqlite/migrations/V4__sagas.sql"),
        "c26fe95c196f6bb11d23f78403483a0f8ed23e4b383654857490291306083a76",
    ),
];
const GOLDEN: &str = include_str!("../../golden/sqlite-v4.sql");
const TABLES: [&str; 9] =
    ["meta", "tasks", "due", "checkpoints", "compensations", "events", "requests", "tokens", "ends"];
/// "TENU", as files of Tenure are marked.
const APPLICATION_ID: i32 = 0x5445_4e55;
/// Just after the newest event of the golden rows.
const WRITTEN_AT: Time = Time::from_micros(1_796_120_550_000_000);

/// A file as a program of that version left it.
fn file_of(version: usize, path: &Path) {
    let file = Connection::open(path).expect("opens");
    for (migration, _) in MIGRATIONS.iter().take(version) {
        file.execute_batch(migration).expect("a migration");
    }
    file.pragma_update(None, "application_id", APPLICATION_ID).expect("marked");
    file.pragma_update(None, "user_version", version as i32).expect("marked");
    // The rows come as they ended, so the guards of the ended would refuse them.
    file.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).expect("set");
    file.execute_batch("delete from meta").expect("emptied");
    if version == MIGRATIONS.len() {
        file.execute_batch(GOLDEN).expect("the golden rows");
        return;
    }
    let newest = path.with_extension("newest");
    file_of(MIGRATIONS.len(), &newest);
    file.execute("attach ? as newest", [newest.to_str().expect("a path")]).expect("attached");
    for table in TABLES {
        let columns = common_columns(&file, table);
        if !columns.is_empty() {
            let copied = format!("insert into main.{table} ({columns}) select {columns} from newest.{table}");
            file.execute_batch(&copied).expect("copied");
        }
    }
    if version < 2 {
        file.execute_batch("delete from meta where key = 'tokens'").expect("left out");
    }
    if version < 3 {
        // No dismissals, and nobody was told to stop.
        let unknown = "(select no from tasks where id in ('dismissed', 'running'))";
        for table in ["due", "checkpoints", "compensations", "events"] {
            file.execute_batch(&format!("delete from {table} where task in {unknown}")).expect("left out");
        }
        file.execute_batch(&format!("delete from tasks where no in {unknown}")).expect("left out");
    }
}

/// The columns that the table has in both files; none if one has no such table.
fn common_columns(file: &Connection, table: &str) -> String {
    let names = |schema: &str| {
        let mut names = file
            .prepare(&format!("select '\"' || name || '\"' from pragma_table_info('{table}', '{schema}')"))
            .expect("a question");
        let rows = names.query_map([], |row| row.get::<_, String>(0)).expect("asked");
        rows.collect::<Result<Vec<_>, _>>().expect("names")
    };
    let older = names("main");
    names("newest").into_iter().filter(|name| older.contains(name)).collect::<Vec<_>>().join(", ")
}

async fn opened(path: &Path) -> (Ledger, ManualClock) {
    let clock = ManualClock::at(WRITTEN_AT);
    let opener = Ledger::builder().clock(Arc::new(clock.clone()));
    (opener.open(&format!("sqlite:{}", path.display())).await.expect("is migrated"), clock)
}

fn versions() -> impl Iterator<Item = (usize, tempfile::TempDir, PathBuf)> {
    (1..=MIGRATIONS.len()).map(|version| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tasks.db");
        file_of(version, &path);
        (version, folder, path)
    })
}

#[test]
fn a_released_migration_never_changes() {
    let hashes = MIGRATIONS.map(|(migration, _)| Hash::of(migration.as_bytes()).to_string());
    assert_eq!(hashes, MIGRATIONS.map(|(_, hash)| hash.to_owned()));
}

#[test]
fn files_of_every_version_open_and_their_histories_hold() {
    for (version, _folder, path) in versions() {
        block_on(async {
            let (ledger, _) = opened(&path).await;
            let report = ledger.verify(None).await.expect("looks");
            assert!(report.holds(), "version {version}: {report:?}");
            let tasks = ledger.tasks(Filter::default(), None, 100).await.expect("a list").items;
            assert_eq!(tasks.len(), if version < 3 { 15 } else { 17 }, "version {version}");
            let one = async |id: &str| ledger.task(id).await.expect("a task");
            assert_eq!(one("undoing").await.state(), State::Compensating);
            assert_eq!(
                one("retried")
                    .await
                    .ending()
                    .and_then(|end| end.retried_as.clone())
                    .map(|id| id.to_string())
                    .as_deref(),
                Some("retried-2")
            );
            assert_eq!(
                one("reserved").await.reservation().map(|held| held.owner.to_string()).as_deref(),
                Some("w1")
            );
        });
    }
}

#[test]
fn who_held_a_task_last_is_read_out_of_its_history() {
    for (version, _folder, path) in versions() {
        block_on(async {
            let (ledger, _) = opened(&path).await;
            let last = async |id: &str| ledger.task(id).await.expect("a task").last_lease;
            let who = |last: Option<LastLease>| last.map(|last| (last.owner.to_string(), last.epoch));
            assert_eq!(who(last("completed").await), Some(("w2".to_owned(), Epoch(3))), "version {version}");
            // Recovery undid it under an epoch of its own.
            assert_eq!(who(last("lapsed").await), Some(("w1".to_owned(), Epoch(1))));
            assert_eq!(
                who(last("taken-over").await),
                Some(("w1".to_owned(), Epoch(1))),
                "it is held by w2 now"
            );
            // It undid its own work, under the lease that it had.
            assert_eq!(who(last("kept").await), Some(("w1".to_owned(), Epoch(1))));
            assert_eq!(last("cancelled").await, None);
        });
    }
}

#[test]
fn what_was_under_way_goes_on_after_the_migration() {
    for (version, _folder, path) in versions() {
        block_on(async {
            let (ledger, clock) = opened(&path).await;
            let task = ledger.task("taken-over").await.expect("a task");
            let by = task.lease().expect("a lease").holder();
            clock.advance(Duration::from_secs(1));
            ledger.heartbeat("taken-over", &by).await.expect("it is its lease");
            ledger.adopt("taken-over", &by).await.expect("it inherits");
            ledger.complete("taken-over", &by).await.expect("it ends");
            let again = ledger.acquire("reserved", "w1").await.expect("it was reserved for w1");
            assert_eq!((again.epoch, again.owed().count()), (Epoch(1), 1));
            assert!(ledger.verify(None).await.expect("looks").holds(), "version {version}");
        });
    }
}
