//! What the ledger costs above the bare engine: full lives and heartbeats from 1, 64 and 256 callers at once, beside
//! SQLite doing the same row writes on the same tables by hand, with as many commands to a commit.
//!
//! Both run in turns in one process on one disk, so the ratios hold on a noisy machine; the absolute figures are for
//! orientation. `cargo bench -p tenure --bench store -- --seconds 3 --rounds 3`.
#![expect(clippy::disallowed_methods, reason = "a bench measures real time")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)] // A bench prints, and stops where it is surprised.

mod bare {
    pub(crate) mod sqlite;
    pub(crate) mod work;
}
mod common;

use std::path::Path;

use bare::sqlite;
use bare::work::{Measured, Work};
use common::life::Life;
use common::{Asked, BATCH, CALLERS, LEASED, LIVES, Ours, Place};

fn main() {
    let asked = Asked::read();
    asked.print_heading();
    let ours = Ours { seconds: asked.seconds, batches: 2, place: &place };
    // As many commands to a commit as there are callers, or as a batch has.
    let bare_lives = |count| {
        let lives = |file: &Path| sqlite::lives(file, 0, Life::FULL, Work::single(count, asked.seconds));
        in_new_file(lives).commands_per_second() / Life::FULL.commands() as f64
    };
    let bare_heartbeats =
        |work| in_new_file(|file| sqlite::heartbeats(file, LEASED, work)).commands_per_second();
    for callers in CALLERS {
        let name = format!("lives, {callers} callers, single calls");
        asked.row(&name, || ours.lives(callers, Life::FULL), || bare_lives(callers));
    }
    let name = format!("lives, explicit batches of {LIVES} commands");
    asked.row(&name, || ours.batched_lives(Life::FULL), || bare_lives(LIVES));
    for callers in CALLERS {
        let name = format!("heartbeats, {LEASED} leased, {callers} callers");
        asked.row(
            &name,
            || ours.heartbeats(callers),
            || bare_heartbeats(Work::single(callers, asked.seconds)),
        );
    }
    let name = format!("heartbeats, explicit batches of {BATCH}");
    asked.row(
        &name,
        || ours.batched_heartbeats(),
        || bare_heartbeats(Work::batched(1, BATCH, asked.seconds)),
    );
    if asked.wants("claim on an idle store") {
        ours.claims();
    }
}

fn place() -> Place {
    let folder = tempfile::tempdir().expect("a folder");
    Place { url: format!("sqlite:{}", folder.path().join("tasks.db").display()), keeps: Box::new(folder) }
}

fn in_new_file(measure: impl FnOnce(&Path) -> Measured) -> Measured {
    let folder = tempfile::tempdir().expect("a folder");
    measure(&folder.path().join("bare.db"))
}
