//! Files of another program from which a fleet moves in: which can be read, what those say that can't, and that none is changed.

use std::path::Path;

use rusqlite::Connection;
use tenure::moving_in::{MoveError, MoveOptions, move_task_sagas};

use crate::moving_in::{NEWER, Origin, at_noon, counts, moved, task};

/// What keeps a file from being read.
async fn fault(path: &Path) -> MoveError {
    let (ledger, _) = at_noon().await;
    let moved = move_task_sagas(&ledger, path, MoveOptions::default(), |_| {}).await;
    moved.expect_err("it can't be read")
}

#[tokio::test]
async fn a_file_without_the_table_is_refused_with_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "not a database, and longer than the head of a page".repeat(20)).expect("written");
    let (no_table, no_column) =
        (Origin::with("create table other (x)"), Origin::with("create table task_sagas (x)"));
    let missing = folder.path().join("no.db");
    for (path, part) in [
        (missing.as_path(), "there is no file"),
        (folder.path(), "is a directory"),
        (&text, "is no SQLite file: file is not a database"),
        (&no_table.path, "no table `task_sagas`"),
        (&no_column.path, "a column `task_id`"),
    ] {
        let error = fault(path).await;
        assert!(matches!(error, MoveError::NoTable(_)), "{error:?}");
        let (words, name) = (error.to_string(), path.display().to_string());
        assert!(words.contains(part) && words.contains(&name), "{part} in {words}");
    }
}

#[tokio::test]
async fn a_file_that_can_not_be_read_now_says_why() {
    let origin = Origin::with(NEWER);
    origin.file.execute_batch("begin exclusive").expect("locked");
    let error = fault(&origin.path).await;
    assert!(matches!(error, MoveError::Store(_)), "{error:?}");
    let words = error.to_string();
    assert!(words.contains("database is locked; another program has locked it"), "{words}");
}

#[tokio::test]
async fn views_tables_without_row_numbers_and_names_in_capitals_are_read() {
    let rows = "('c', 's3', 'planned', '[]'), ('a', 's1', 'planned', '[]'), ('b', 's2', 'planned', '[]')";
    for schema in [
        format!(
            "create table kept (id, saga, state, undo); insert into kept values {rows};
             create view task_sagas as select id as task_id, saga as saga_id, state, undo as compensations_json from kept"
        ),
        format!(
            "create table task_sagas (task_id text primary key, saga_id, state, compensations_json) without rowid;
             insert into task_sagas values {rows}"
        ),
        format!(
            "create table Task_Sagas (Task_Id, SAGA_ID, State, Compensations_JSON); insert into Task_Sagas values {rows}"
        ),
    ] {
        let origin = Origin::with(&schema);
        // More rows than one page has.
        let more = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 450)";
        let table = if schema.contains("view") { "kept" } else { "task_sagas" };
        origin
            .file
            .execute(&format!("{more} insert into {table} select 't' || i, 's-' || i, 'planned', '[]' from n"), [])
            .expect("inserted");
        let (ledger, _) = at_noon().await;
        let (all, rows) = moved(&ledger, &origin.path, MoveOptions::default()).await;
        assert_eq!(all, counts(453, 0, 0), "{schema}");
        assert_eq!(task(&ledger, "c").await.saga_id.as_str(), "s3");
        let numbers: Vec<_> = rows.iter().map(|row| row.number).collect();
        assert_eq!(numbers, (1..=453).collect::<Vec<_>>(), "{schema}");
    }
}

#[tokio::test]
async fn a_file_is_left_as_it_was_found() {
    let origin = Origin::with(NEWER);
    origin.row("a", "planned", "[]", None, None);
    let mode: String =
        origin.file.query_row("pragma journal_mode = wal", [], |row| row.get(0)).expect("changed");
    assert_eq!(mode, "wal");
    let Origin { folder, path, file } = origin;
    file.close().expect("closed");
    let beside = || {
        let mut names: Vec<_> = std::fs::read_dir(folder.path())
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
            .collect();
        names.sort();
        names
    };
    let before = std::fs::read(&path).expect("read");
    assert_eq!(beside(), ["sagas.db"]);
    let (ledger, _) = at_noon().await;
    let (all, _) = moved(&ledger, &path, MoveOptions::default()).await;
    assert_eq!(all, counts(1, 0, 0));
    assert_eq!(beside(), ["sagas.db"], "nothing is left beside it");
    assert_eq!(std::fs::read(&path).expect("read"), before);
    // What the other program has not written into the file yet is read, and left to it.
    let file = Connection::open(&path).expect("opens");
    let row = "insert into task_sagas (task_id, saga_id, state, compensations_json) values ('b', 'b', 'planned', '[]')";
    file.execute(row, []).expect("inserted");
    let (all, _) = moved(&ledger, &path, MoveOptions::default()).await;
    assert_eq!(all, counts(1, 1, 0));
    assert_eq!(std::fs::read(&path).expect("read"), before);
}
