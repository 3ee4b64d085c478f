//! `kill -9` of worker, recovery and both at every named point. What is undone has its receipt, no two processes undo
//! at once, the newest is undone first, and nothing is stuck.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use tenure::Ledger;
use tenure::core::compensation::Status;
use tenure::core::event::EventData;
use tenure::core::policy::{Backoff, Policy};
use tenure::core::task::{State, Task};
use tenure::core::time::Span;
use tenure::ledger::JsonText;
use tenure_testkit::block_on;
use tenure_testkit::waiting::found;

/// The points that a worker passes, and those that a recoverer does.
const OF_WORKERS: [&str; 6] = [
    "worker/after_claim",
    "worker/before_work",
    "keeper/before_heartbeat",
    "keeper/after_heartbeat",
    "worker/after_work",
    "worker/after_end",
];
const OF_RECOVERERS: [&str; 10] = [
    "recovery/after_look",
    "recovery/before_reclaim",
    "recovery/after_reclaim",
    "recovery/before_undo",
    "recovery/after_undo",
    "recovery/after_settle",
    "recovery/after_failed_undo",
    "recovery/after_tried",
    "recovery/before_park",
    "recovery/before_hand_back",
];

const TASKS: usize = 6;
/// Rounds that go on at once: they mostly wait for leases to lapse.
const AT_ONCE: usize = 5;

/// What dies in a round, and where.
#[derive(Clone, Copy, Debug)]
struct Plot {
    worker: Option<(&'static str, u32)>,
    recoverer: Option<(&'static str, u32)>,
}

/// Each point in turn, the next time round at its second passing and so on; every third round both die.
fn plots(kills: usize) -> Vec<Plot> {
    let mut plots = Vec::new();
    let (mut workers, mut recoverers) = (points(&OF_WORKERS), points(&OF_RECOVERERS));
    let mut left = kills;
    for round in 0.. {
        let (worker, recoverer) = match round % 3 {
            0 => (workers.next(), None),
            1 => (None, recoverers.next()),
            _ => (workers.next(), recoverers.next()),
        };
        let deaths = usize::from(worker.is_some()) + usize::from(recoverer.is_some());
        plots.push(Plot { worker, recoverer });
        left = left.saturating_sub(deaths);
        if left == 0 {
            break;
        }
    }
    plots
}

fn points(all: &'static [&'static str]) -> impl Iterator<Item = (&'static str, u32)> {
    // A point that is passed seldom is died at the first time; others sometimes later.
    let rare = ["recovery/before_park", "recovery/before_hand_back", "recovery/after_tried"];
    (1u32..).flat_map(move |time| {
        all.iter().map(move |point| (*point, if rare.contains(point) { 1 } else { 1 + (time - 1) % 3 }))
    })
}

#[test]
fn whoever_is_killed_wherever_what_was_done_is_undone_and_nothing_is_stuck() {
    let kills = std::env::var("TENURE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let plots = Mutex::new(plots(kills).into_iter().enumerate());
    let died = Mutex::new(BTreeMap::<&str, u32>::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((round, plot)) = { plots.lock().expect("a plot").next() } {
                    let died_now = play(plot);
                    println!("round {round}: {plot:?}");
                    for point in died_now {
                        *died.lock().expect("a count").entry(point).or_default() += 1;
                    }
                }
            });
        }
    });
    let died = died.into_inner().expect("the counts");
    println!("{} kills: {died:?}", died.values().sum::<u32>());
    let all: BTreeSet<&str> = OF_WORKERS.into_iter().chain(OF_RECOVERERS).collect();
    let missed: Vec<_> = all.into_iter().filter(|point| !died.contains_key(point)).collect();
    assert!(missed.is_empty(), "nobody died at {missed:?}");
}

#[test]
fn every_point_is_written_once_played_and_documented() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut written = Vec::new();
    points_in(&project.join("crates/tenure/src"), &mut written);
    written.sort();
    let played = OF_WORKERS.into_iter().chain(OF_RECOVERERS).chain(crate::backups::points());
    let mut played: Vec<String> = played.map(str::to_owned).collect();
    played.sort();
    assert_eq!(written, played, "what the code has, and what is died at");
    let documents = std::fs::read_to_string(project.join("docs/testing.md")).expect("the document");
    let missing: Vec<_> = played.iter().filter(|point| !documents.contains(&format!("`{point}`"))).collect();
    assert!(missing.is_empty(), "docs/testing.md does not name {missing:?}");
}

/// The names of all points that are reached in the code below a folder.
fn points_in(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            points_in(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let code = std::fs::read_to_string(&path).expect("text");
            let names = code.split("points::reached(\"").skip(1).filter_map(|rest| rest.split('"').next());
            found.extend(names.map(str::to_owned));
        }
    }
}

struct Round {
    url: String,
    log: PathBuf,
}

impl Round {
    fn spawn(&self, what: &str, dies: Option<(&str, u32)>) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenure-mortal"));
        command.args([what, &self.url]).arg(&self.log).stdin(Stdio::null());
        if let Some((point, nth)) = dies {
            command.args([point, &nth.to_string()]);
        }
        command.spawn().expect("a process")
    }
}

/// Plays one round, looks at what it left, and returns the points at which somebody died.
fn play(plot: Plot) -> Vec<&'static str> {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("tasks.db").display());
    let log = folder.path().join("log");
    let round = Round { url, log };
    let ledger = block_on(Ledger::open(&round.url)).expect("a store");
    block_on(fill(&ledger));
    let mut worker = round.spawn("work", plot.worker);
    let mut recoverer = round.spawn("mend", plot.recoverer);
    let mut died = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let ended = || runtime.block_on(all(&ledger)).iter().filter(|task| task.ending().is_some()).count();
    let mut look = || {
        for (child, what, dies) in
            [(&mut worker, "work", plot.worker), (&mut recoverer, "mend", plot.recoverer)]
        {
            if let Some(status) = child.try_wait().expect("a look") {
                assert_eq!(status.signal(), Some(9), "{plot:?}: a {what} ended by itself: {status}");
                died.extend(dies.map(|(point, _)| point));
                // Another process takes the place of the one that dies, and does not die.
                *child = round.spawn(what, None);
            }
        }
        ended()
    };
    // One after the other: all of them may take a slow machine long. Who is stuck is told below.
    let _ = (1..=TASKS).try_for_each(|count| found(|| (look() >= count).then_some(())));
    for child in [&mut worker, &mut recoverer] {
        child.kill().expect("killed");
        child.wait().expect("ended");
    }
    let tasks = block_on(all(&ledger));
    let stuck: Vec<_> = tasks.iter().filter(|task| task.ending().is_none()).collect();
    assert!(stuck.is_empty(), "{plot:?}: stuck: {stuck:?}");
    let log = Log::read(&round.log);
    for task in &tasks {
        look_at(&ledger, task, &log, plot);
    }
    assert!(block_on(ledger.verify(None)).expect("it can be read").holds(), "{plot:?}");
    died
}

async fn fill(ledger: &Ledger) {
    let backoff = Backoff { base: Span::from_millis(50), ..Backoff::default() };
    let policy = Policy::default().with(|policy| {
        policy.max_attempts = 3;
        policy.backoff = backoff;
    });
    for nth in 0..TASKS {
        let payload = match nth {
            0 => r#"{"unknown":true,"fails":true}"#,
            1 | 2 => r#"{"fails":true}"#,
            _ => "{}",
        };
        let call = ledger.create(&format!("t{nth}")).policy(policy).payload(JsonText(payload));
        call.undo("remove", "standing").await.expect("created");
    }
}

async fn all(ledger: &Ledger) -> Vec<Task> {
    ledger.tasks(tenure::store::Filter::default(), None, 1_000).await.expect("a list").items
}

/// What was begun and ended, in that order: `(key, epoch)`.
struct Log {
    begun: Vec<(String, u64)>,
    effects: Vec<(String, u64)>,
    ended: BTreeSet<String>,
}

impl Log {
    fn read(path: &Path) -> Log {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let (mut begun, mut effects, mut ended) = (Vec::new(), Vec::new(), BTreeSet::new());
        for line in text.lines() {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["effect", key, epoch] => effects.push((key.to_owned(), epoch.parse().expect("an epoch"))),
                ["begin", key, epoch] => begun.push((key.to_owned(), epoch.parse().expect("an epoch"))),
                ["end", key, _] => {
                    ended.insert(key.to_owned());
                }
                _ => {}
            }
        }
        Log { begun, effects, ended }
    }
}

fn look_at(ledger: &Ledger, task: &Task, log: &Log, plot: Plot) {
    let told = || format!("{plot:?}: {task:#?}");
    // A receipt stands for an undo that ran to its end.
    for one in task.compensations.iter().filter(|one| one.status == Status::Done) {
        assert!(one.receipt.is_some(), "without a receipt: {}", told());
        let key = one.key.as_ref().expect("a key").to_string();
        assert!(log.ended.contains(&key), "{key} has a receipt and was not undone: {}", told());
    }
    match task.state() {
        State::Completed => {}
        State::Compensated => assert!(!task.owes(), "closed, and it owes: {}", told()),
        State::Quarantined => assert_eq!(task.id.as_str(), "t0", "parked: {}", told()),
        other => panic!("{other:?}: {}", told()),
    }
    // What an attempt did that did not complete was undone; of a task that is parked nothing is.
    let mine = format!("default/{}/", task.id);
    let completed = (task.state() == State::Completed).then_some(task.epoch.0);
    for (key, epoch) in log.effects.iter().filter(|(key, _)| key.starts_with(&mine)) {
        let is_undone = log.ended.contains(key);
        assert!(
            is_undone || completed == Some(*epoch) || task.state() == State::Quarantined,
            "{key} was never undone: {}",
            told()
        );
    }
    // An undo under a higher epoch begins after those under lower ones have stopped.
    let epochs: Vec<u64> =
        log.begun.iter().filter(|(key, _)| key.starts_with(&mine)).map(|(_, epoch)| *epoch).collect();
    assert!(epochs.is_sorted(), "two undid at once, {epochs:?}: {}", told());
    // Newest first, over all recoverers of one unwinding.
    let history = block_on(ledger.history(task.id.as_str(), None, 10_000)).expect("a history");
    let mut last = u32::MAX;
    for recorded in history.items {
        match &recorded.event.what {
            EventData::Settled { seq, .. } => {
                assert!(seq.0 < last, "{seq} after {last}: {}", told());
                last = seq.0;
            }
            EventData::Acquired { .. } => last = u32::MAX,
            _ => {}
        }
    }
}
