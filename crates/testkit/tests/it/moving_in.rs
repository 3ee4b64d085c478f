//! Moves of a table `task_sagas` into a store that fails between the two commands of a row, or that recovery works on meanwhile.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;
use tenure::core::compensation::Status;
use tenure::core::refusal::Code;
use tenure::core::task::State;
use tenure::core::verb::Verb;
use tenure::moving_in::{MoveError, MoveOptions, MovedCounts, RowResult, move_task_sagas};
use tenure::recovery::Recovery;
use tenure::store::memory::MemoryStore;
use tenure::{Error, Ledger};
use tenure_testkit::block_on;
use tenure_testkit::faulty::{Fault, FaultyStore};
use tenure_testkit::served::Served;
use tenure_testkit::undoing::{Behaviour, HandlerSpy, on_every_store};
use tenure_testkit::waiting::until_asked;
use tokio::sync::Notify;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// The other program's file: tasks that were undone there, each with one compensation.
fn undone_there(count: u32, reason: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sagas.db");
    let mut file = Connection::open(&path).expect("opens");
    file.execute_batch(
        "create table task_sagas (task_id, saga_id, state, compensations_json, terminal_reason)",
    )
    .expect("made");
    let inserts = file.transaction().expect("begun");
    let undo = r#"[{"kind":"close-pr","target":"12","reason":"opened by the run"}]"#;
    for number in 0..count {
        let row = "insert into task_sagas values ('t' || ?1, 's' || ?1, 'compensated', ?2, ?3)";
        inserts.execute(row, (number, undo, reason)).expect("inserted");
    }
    inserts.commit().expect("committed");
    (folder, path)
}

async fn moved(ledger: &Ledger, path: &std::path::Path) -> Result<(MovedCounts, Vec<RowResult>), Error> {
    let mut results = Vec::new();
    let counts = move_task_sagas(ledger, path, MoveOptions::default(), |row| results.push(row.result)).await;
    match counts {
        Ok(counts) => Ok((counts, results)),
        Err(MoveError::Store(error)) => Err(error),
        Err(error) => panic!("{error}"),
    }
}

async fn statuses(ledger: &Ledger, id: &str) -> Result<(State, Vec<Status>), Error> {
    let task = ledger.task(id).await?;
    Ok((task.state(), task.compensations.iter().map(|one| one.status).collect()))
}

#[test]
fn a_run_that_ended_between_put_and_end_leaves_nothing_to_recovery_and_the_next_run_finishes_it() {
    on_every_store(async |world| {
        let (_folder, path) = undone_there(3, "undone there");
        world.store.meets(Verb::MarkCompensated, Fault::Unavailable);
        let ended = moved(&world.ledger, &path).await.expect_err("the store was not there");
        assert!(matches!(ended, Error::Unavailable(_)), "{ended}");
        assert_eq!(statuses(&world.ledger, "t0").await?, (State::Running, vec![Status::Owed]));
        world.store.calms_down();

        let spy = HandlerSpy::that(&[Behaviour::Works]);
        let recovery = world.recovery(spy.on("close-pr"));
        for _ in 0..6 {
            world.clock.advance(DAY);
            recovery.once().await?;
        }
        assert_eq!(spy.targets(), [""; 0], "it was undone there already");

        let (counts, _) = moved(&world.ledger, &path).await?;
        assert_eq!((counts.moved, counts.present, counts.refused), (3, 0, 0));
        for id in ["t0", "t1", "t2"] {
            assert_eq!(statuses(&world.ledger, id).await?, (State::Compensated, vec![Status::Done]), "{id}");
        }
        let (again, _) = moved(&world.ledger, &path).await?;
        assert_eq!((again.moved, again.present, again.refused), (0, 3, 0));
        Ok(())
    });
}

#[test]
fn a_row_whose_record_was_refused_ends_no_task() {
    on_every_store(async |world| {
        let (_folder, path) = undone_there(1, "undone there");
        // As if somebody made the task between the look and the put.
        world.store.meets(Verb::Put, Fault::Refuses(Code::Exists));
        let (counts, results) = moved(&world.ledger, &path).await?;
        assert_eq!((counts.moved, counts.present, counts.refused), (0, 0, 1));
        let code = results.first().map(|result| match result {
            RowResult::Refused(refusal) => Some(refusal.code),
            RowResult::Moved(_) | RowResult::Present => None,
        });
        assert_eq!(code, Some(Some(Code::Exists)));
        assert_eq!(world.store.count(Verb::MarkCompensated), 0, "an end for a task that is not the row's");
        Ok(())
    });
}

#[test]
fn recovery_undoes_nothing_of_rows_whose_ends_come_in_later_requests() {
    // Together their ends are larger than a request may be.
    let (_folder, path) = undone_there(190, &"long ago ".repeat(450));
    let store = FaultyStore::over(Arc::new(MemoryStore::default()));
    let go_on = Arc::new(Notify::new());
    store.meets_times(1, Verb::Put, Fault::AnswersWhenTold(Arc::clone(&go_on)));
    let spy = HandlerSpy::that(&[Behaviour::Works]);
    let recovery = Recovery::new(Ledger::with_store(store.clone())).handlers(spy.on("close-pr"));
    let served = Served::on(store);
    block_on(async {
        let ledger = Ledger::open(&served.url).await.expect("opens");
        let (moving, watching) = (ledger.clone(), async {
            until_asked("the records are there", async || ledger.task("t0").await.is_ok()).await;
            recovery.once().await.expect("a sweep");
            go_on.notify_one();
        });
        let (moved, ()) = tokio::join!(moved(&moving, &path), watching);
        let (counts, _) = moved.expect("moved");
        assert_eq!((counts.moved, counts.present, counts.refused), (190, 0, 0));
        for id in ["t0", "t100", "t189"] {
            let found = statuses(&ledger, id).await.expect(id);
            assert_eq!(found, (State::Compensated, vec![Status::Done]), "{id}");
        }
    });
    assert_eq!(spy.targets(), [""; 0]);
}
