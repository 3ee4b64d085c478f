//! The conformance suite: every story on every store, and every row of the table exercised.

use std::collections::BTreeSet;

use tenure::clock::ManualClock;
use tenure::core::lifecycle::Table;
use tenure_testkit::server::{Server, required};
use tenure_testkit::story::{Story, stories};
use tenure_testkit::world::StoryWorld;
use tenure_testkit::written::WrittenStore;
use tenure_testkit::{BEGINNING, block_on, memory, postgres, sqlite};

fn tell(failures: &[String], count: usize) {
    assert!(failures.is_empty(), "{} of {count} stories fail:\n{}", failures.len(), failures.join("\n"));
}

async fn play_in_memory(story: &Story, rows: &mut BTreeSet<&'static str>) -> Result<(), String> {
    let clock = ManualClock::at(BEGINNING);
    let mut world = StoryWorld::new(memory(&clock), clock);
    let played = world.play(story).await;
    rows.extend(world.rows);
    played
}

#[test]
fn every_story_holds_in_memory_and_exercises_every_row_of_the_table() {
    let stories = stories();
    assert!(stories.len() > 300, "only {} stories were found", stories.len());
    let mut rows = BTreeSet::new();
    let mut failures = Vec::new();
    block_on(async {
        for story in &stories {
            failures.extend(play_in_memory(story, &mut rows).await.err());
        }
    });
    tell(&failures, stories.len());
    let table = Table::rules();
    let labels = table.rows().iter().map(|row| row.label).chain(table.ends().iter().map(|end| end.label));
    let missing: Vec<&str> = labels.filter(|label| !rows.contains(label)).collect();
    assert!(missing.is_empty(), "no story exercises {missing:?}");
}

#[test]
fn every_story_holds_on_sqlite() {
    let stories = stories();
    let mut failures = Vec::new();
    block_on(async {
        for story in &stories {
            let clock = ManualClock::at(BEGINNING);
            let (_folder, store) = sqlite(&clock).await;
            failures.extend(StoryWorld::new(store, clock).play(story).await.err());
        }
    });
    tell(&failures, stories.len());
}

#[test]
fn every_story_holds_through_the_public_json() {
    let stories = stories();
    let mut failures = Vec::new();
    block_on(async {
        for story in &stories {
            let clock = ManualClock::at(BEGINNING);
            let store = WrittenStore::over(memory(&clock));
            failures.extend(StoryWorld::new(store, clock).play(story).await.err());
        }
    });
    tell(&failures, stories.len());
}

#[test]
fn every_story_holds_on_postgresql() {
    let Some(server) = required(Server::shared()) else { return };
    let stories = stories();
    let mut failures = Vec::new();
    block_on(async {
        for story in &stories {
            let clock = ManualClock::at(BEGINNING);
            let store = postgres(server, &clock).await;
            failures.extend(StoryWorld::new(store, clock).play(story).await.err());
        }
    });
    tell(&failures, stories.len());
}
