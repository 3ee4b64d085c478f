//! Backups and restores of a database that are killed at moments spread over the time that they take. The command line's tests do
//! that with files.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tenure::Ledger;
use tenure::backup::FLOOR_STEP;
use tenure::clock::Moment;
use tenure::store::IfMissing;
use tenure_testkit::block_on;
use tenure_testkit::server::{Server, required};

use crate::backups::{Place, acquired, existing, holds, mortal, names, restored};

/// How many times each is killed.
const KILLS: u32 = 20;
const TASKS: u64 = 150;

/// Starts a backup or a restore, and kills it so long after.
fn killed(what: &str, url: &str, file: &Path, after: Duration) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenure-mortal"));
    let command = command.args([what, url]).arg(file).stdin(Stdio::null()).stderr(Stdio::null());
    let mut process = command.spawn().expect("a process");
    // played: a kill at one of many moments; nothing is waited for.
    std::thread::sleep(after);
    process.kill().expect("kill -9");
    process.wait().expect("its end");
}

#[test]
fn on_postgresql_a_backup_that_is_killed_at_any_moment_is_whole_or_absent_and_is_repeated() {
    let Some(server) = required(Server::shared()) else { return };
    let place = Place::of(server);
    let (old, file) = (with_tasks(&place), place.path("copy"));
    let took = time_of("backup", &old, &file);
    for nth in 0..KILLS {
        let _ = std::fs::remove_file(&file);
        killed("backup", &old, &file, took * nth / KILLS);
        if file.exists() {
            let report = block_on(restored(&place.new_url(""), &file)).expect("it is whole");
            assert_eq!(report.tasks, TASKS, "kill {nth}");
        }
        block_on(holds(&old));
    }
    let _ = std::fs::remove_file(&file);
    assert!(mortal("backup", &old, &file, None).success(), "it is repeated");
    let left = names(place.folder.path());
    assert!(left.iter().all(|name| !name.starts_with('.')), "{left:?}");
}

#[test]
fn on_postgresql_a_restore_that_is_killed_at_any_moment_is_repeated_and_nobody_works_in_a_half() {
    let Some(server) = required(Server::shared()) else { return };
    let place = Place::of(server);
    let (old, file) = (with_tasks(&place), place.path("copy"));
    assert!(mortal("backup", &old, &file, None).success());
    let took = time_of("restore", &place.new_url(""), &file);
    let mut begun = 0;
    for nth in 0..KILLS {
        let new = place.new_url("");
        killed("restore", &new, &file, took * nth / KILLS);
        block_on(async {
            let opened = Ledger::builder().missing(IfMissing::Refuse).open(&new).await;
            let tasks = match opened {
                // It had ended, or had not written anything.
                Ok(ledger) => ledger.verify(None).await.expect("verified").tasks,
                Err(error) => {
                    begun += u32::from(error.to_string().contains("a backup is being restored"));
                    0
                }
            };
            assert!([0, TASKS].contains(&tasks), "kill {nth}: {tasks} tasks of {TASKS}");
            if tasks == 0 {
                assert_eq!(restored(&new, &file).await.expect("it is repeated").tasks, TASKS, "kill {nth}");
            }
            holds(&new).await;
            let epoch = acquired(&existing(&new).await, "t7", "w1").await.epoch.0;
            assert!(epoch > FLOOR_STEP, "kill {nth}: {epoch}");
        });
    }
    assert!(begun > 0, "nothing was killed in the middle");
}

fn with_tasks(place: &Place) -> String {
    let url = place.new_url("");
    block_on(async {
        let ledger = Ledger::open(&url).await.expect("opens");
        for number in 0..TASKS {
            ledger.create(&format!("t{number}")).await.expect("created");
        }
    });
    url
}

fn time_of(what: &str, url: &str, file: &Path) -> Duration {
    let began = Moment::now();
    assert!(mortal(what, url, file, None).success(), "{what}");
    Moment::now().since(began).into()
}
