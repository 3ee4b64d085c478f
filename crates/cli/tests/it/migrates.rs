//! Tests `tenure migrate`: of an older store, of one that has the schema already, of many that start at once, and killed.

use std::process::Stdio;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tenure::clock::Moment;

use crate::place::{Place, ended};

const MIGRATIONS: [&str; 4] = [
    include_str!("../../../sqlite/migrations/V1__ledger.sql"),
    include_str!("../../../sqlite/migrations/V2__tokens.sql"),
    include_str!("../../../sqlite/migrations/V3__ends.sql"),
    include_str!("../../../sqlite/migrations/V4__sagas.sql"),
];

/// The place's store, as a program with schema 4 left it.
pub(crate) fn older(place: &Place) {
    let file = Connection::open(place.file()).expect("opens");
    MIGRATIONS.iter().for_each(|migration| file.execute_batch(migration).expect("a migration"));
    file.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).expect("set");
    file.execute_batch("delete from meta").expect("emptied");
    file.execute_batch(include_str!("../../../testkit/golden/sqlite-v4.sql")).expect("the golden rows");
    file.pragma_update(None, "application_id", 0x5445_4e55).expect("marked");
    file.pragma_update(None, "user_version", 4).expect("marked");
}

fn version(place: &Place) -> i32 {
    version_of(&place.file())
}

pub(crate) fn version_of(path: &std::path::Path) -> i32 {
    let file = Connection::open(path).expect("opens");
    file.pragma_query_value(None, "user_version", |row| row.get(0)).expect("a number")
}

#[test]
fn an_older_store_is_migrated_once_and_a_dry_run_changes_nothing() {
    let place = Place::new();
    older(&place);
    assert_eq!(place.done("migrate --dry-run"), "the store has an older schema, and would be migrated\n");
    assert_eq!(version(&place), 4);
    let told = place.done("migrate -o json");
    assert_eq!(told, "{\"migrate\":{\"dry_run\":false,\"schema\":\"older\",\"migrated\":true}}\n");
    assert!(version(&place) > 4);
    assert_eq!(place.done("migrate"), "the store has the schema of this version already\n");
    assert!(place.done("audit verify").starts_with("verified: 18 tasks"));
}

#[test]
fn of_many_that_start_at_once_one_migrates_and_the_others_find_it_done() {
    let place = Place::new();
    older(&place);
    let start = |_| {
        let mut command = place.command("migrate -q");
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts")
    };
    let started: Vec<_> = (0..8).map(start).collect();
    for process in started {
        let ran = ended(process.wait_with_output().expect("ends"));
        assert_eq!((ran.status, ran.errors.as_str()), (0, ""));
    }
    assert!(place.done("audit verify").starts_with("verified: 18 tasks"));
}

/// All that the file says of its schema.
fn shape(place: &Place) -> (i32, Vec<String>) {
    let file = Connection::open(place.file()).expect("opens");
    let mut lines = file
        .prepare("select name || ' ' || coalesce(sql, '') from sqlite_master order by name")
        .expect("a question");
    let lines = lines.query_map([], |row| row.get(0)).expect("asked").collect::<Result<Vec<String>, _>>();
    (version(place), lines.expect("lines"))
}

#[test]
fn one_that_is_killed_leaves_the_old_schema_or_the_new_one_and_can_be_repeated() {
    const KILLS: u32 = 20;
    let place = Place::new();
    older(&place);
    let old = shape(&place);
    let began = Moment::now();
    place.done("migrate");
    let took: Duration = Moment::now().since(began).into();
    let new = shape(&place);
    assert_ne!(old, new);
    let (mut olds, mut news) = (0, 0);
    for kill in 0..KILLS {
        let place = Place::new();
        older(&place);
        let mut process = place.command("migrate -q").spawn().expect("starts");
        // played: kills at moments of all of its run; nothing is waited for.
        std::thread::sleep(took.mul_f64(1.1 * f64::from(kill) / f64::from(KILLS)));
        process.kill().expect("kill -9");
        process.wait().expect("its end");
        match shape(&place) {
            found if found == old => olds += 1,
            found if found == new => news += 1,
            between => panic!("kill {kill}: between the two: {between:?}"),
        }
        place.done("migrate");
        assert_eq!(shape(&place), new, "kill {kill}");
        assert!(place.done("audit verify").starts_with("verified: 18 tasks"), "kill {kill}");
    }
    println!("{olds} kills left the old schema, {news} the new one");
    assert!(olds > 0, "the first kill comes before anything");
}

#[test]
fn what_is_no_older_store_is_left_as_it_is() {
    let place = Place::new();
    let missing = place.run("migrate");
    assert_eq!(missing.status, 5, "{}", missing.errors);
    assert!(!place.file().exists(), "nothing is made");
    older(&place);
    Connection::open(place.file())
        .and_then(|file| file.pragma_update(None, "user_version", 99))
        .expect("newer");
    let newer = place.run("migrate");
    assert_eq!(newer.status, 5);
    assert!(newer.errors.contains("use a newer version"), "{}", newer.errors);
    assert_eq!(version(&place), 99);
    assert_eq!(place.run("migrate --store http://127.0.0.1:1").status, 2);
}
