//! Every guard of the table matters: deleted, it lets its row answer where it must not, and tests turn red.
//!
//! For each row the guard is taken away and the row put first, so that it answers whatever its place and verb allow.
//! Then the proof over the table must find two rows that answer, and, where the row is one that stories can tell from
//! the others, a story must fail. `--nocapture` prints the list.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tenure::clock::ManualClock;
use tenure::core::case::Case;
use tenure::core::lifecycle::{Guard, Place, Row, Table};
use tenure::store::memory::MemoryStore;
use tenure_testkit::situations::{NOW, each};
use tenure_testkit::story::{Story, stories};
use tenure_testkit::world::StoryWorld;
use tenure_testkit::{BEGINNING, block_on};

/// A claim is decided on tasks that the store found claimable, so its guards repeat what the store looked for. Only the
/// proof sees them deleted: they are for stores whose nomination may be overtaken before the decision.
const ONLY_THE_PROOF_SEES: [&str; 6] = [
    "claim",
    "claim/not_due",
    "claim/reservation_lapsed",
    "claim/reserved",
    "claim/leased",
    "claim/no_takeover",
];

fn anything(_: &Case) -> bool {
    true
}

fn is_guarded(row: &Row) -> bool {
    row.guard.name != "always"
}

/// The rules with one row's guard taken away, and that row asked first.
fn without_guard(label: &str) -> &'static Table {
    let rows = Table::rules().rows();
    let broken = rows
        .iter()
        .filter(|row| row.label == label)
        .map(|row| Row { guard: Guard { name: "anything", holds: anything }, ..*row });
    let others = rows.iter().filter(|row| row.label != label).copied();
    Box::leak(Box::new(Table::of(broken.chain(others).collect(), Table::rules().ends().to_vec())))
}

/// The rows that answer in one situation or another together with another one, once their guard is deleted.
fn seen_by_the_proof() -> BTreeSet<&'static str> {
    let mut seen = BTreeSet::new();
    each(|stored, command| {
        let case = Case { task: stored.task, names: stored.names, floor: stored.floor, command, now: NOW };
        for row in Table::rules().at(Place::of(stored.task), command.action.verb()) {
            // Deleted, it answers here as well, and so does the one that should.
            if is_guarded(row) && !(row.guard.holds)(&case) {
                seen.insert(row.label);
            }
        }
    });
    seen
}

fn failing_story<'s>(table: &'static Table, stories: &'s [Story]) -> Option<&'s Story> {
    stories.iter().find(|story| {
        let clock = ManualClock::at(BEGINNING);
        let store = Arc::new(MemoryStore::with_rules(Arc::new(clock.clone()), table));
        let mut world = StoryWorld::new(store, clock);
        // A row that answers where it does not fit may well stop loudly.
        let played = catch_unwind(AssertUnwindSafe(|| block_on(world.play(story))));
        !matches!(played, Ok(Ok(())))
    })
}

#[test]
fn deleting_any_guard_turns_a_test_red() {
    std::panic::set_hook(Box::new(|_| {}));
    let by_proof = seen_by_the_proof();
    let all_stories = stories();
    let by_row = stories_by_row(&all_stories);
    let mut unseen = Vec::new();
    let mut list: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for row in Table::rules().rows().iter().filter(|row| is_guarded(row)) {
        if !by_proof.contains(row.label) {
            unseen.push(format!("{}: the proof", row.label));
        }
        // Stories that meet another row in the same place with the same verb are the ones that can tell.
        let neighbours = neighbours(row);
        let candidates: Vec<Story> = all_stories
            .iter()
            .enumerate()
            .filter(|(at, _)| {
                neighbours.iter().any(|label| by_row.get(label).is_some_and(|of| of.contains(at)))
            })
            .map(|(_, story)| story.clone())
            .collect();
        match failing_story(without_guard(row.label), &candidates) {
            Some(story) => {
                let line = format!("{}: the proof; {}: {}", row.label, story.file, story.title);
                list.entry(row.guard.name).or_default().push(line);
            }
            None if ONLY_THE_PROOF_SEES.contains(&row.label) => {
                list.entry(row.guard.name).or_default().push(format!("{}: the proof", row.label));
            }
            None => unseen.push(format!("{}: no story", row.label)),
        }
    }
    let _ = std::panic::take_hook();
    for (guard, lines) in &list {
        lines.iter().for_each(|line| println!("{guard}: {line}"));
    }
    assert!(unseen.is_empty(), "deleting these guards goes unseen:\n{}", unseen.join("\n"));
}

/// Which stories exercise each row, by their place in the list.
fn stories_by_row(stories: &[Story]) -> BTreeMap<&'static str, BTreeSet<usize>> {
    let mut by_row: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (at, story) in stories.iter().enumerate() {
        let clock = ManualClock::at(BEGINNING);
        let mut world = StoryWorld::new(tenure_testkit::memory(&clock), clock);
        block_on(world.play(story)).expect("the rules are whole");
        for row in world.rows {
            by_row.entry(row).or_default().insert(at);
        }
    }
    by_row
}

/// The rows that may answer where this one may.
fn neighbours(row: &Row) -> BTreeSet<&'static str> {
    let cells = row.places.iter().flat_map(|place| row.verbs.iter().map(move |verb| (*place, verb)));
    cells.flat_map(|(place, verb)| Table::rules().at(place, verb)).map(|row| row.label).collect()
}
