//! Tests `prune`, `events --cursor-name`, and what `prune` leaves when it is killed.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use insta::assert_snapshot;
use tenure::Ledger;
use tenure::clock::ManualClock;
use tenure::core::time::Time;

use crate::frozen::Frozen;
use crate::serving::{Serving, ask};
use crate::waiting::until;

/// Two tasks that ended 100 days ago, and one that is open.
fn old_tasks() -> Frozen {
    let world = Frozen::world();
    world.given(
        "task create --id a
         task acquire a --owner w1
         task complete a --owner w1 --epoch 1
         task create --id b
         task quarantine b --as alice --reason 'needs a look'
         task create --id open
         tick 8640000",
    );
    world
}

#[test]
fn what_ended_long_ago_is_counted_and_then_pruned() {
    let world = old_tasks();
    assert_snapshot!(
        world.tells(
            "
            prune --older-than 90d --dry-run
            prune --older-than 90d --state completed
            prune --older-than 90d -o json
            prune --older-than 90d
            task create --id a
            audit verify
            "
        ),
        @r#"
    $ tenure prune --older-than 90d --dry-run
    2 tasks would be pruned that ended by 2026-02-10T12:00:00Z
      completed 1, failed 0, compensated 0, quarantined 1
      the oldest ended at 2026-01-31T12:00:00Z, the newest at 2026-01-31T12:00:00Z
    $ tenure prune --older-than 90d --state completed
    1 task pruned that ended by 2026-02-10T12:00:00Z
      completed 1, failed 0, compensated 0, quarantined 0
      the oldest ended at 2026-01-31T12:00:00Z, the newest at 2026-01-31T12:00:00Z
    $ tenure prune --older-than 90d -o json
    {"prune":{"dry_run":false,"finished_before":"2026-02-10T12:00:00.000000Z","tasks":1,"states":{"completed":0,"failed":0,"compensated":0,"quarantined":1},"oldest":"2026-01-31T12:00:00.000000Z","newest":"2026-01-31T12:00:00.000000Z","held":[],"kept_owing":0,"corrupt":0,"findings":[],"changed":0,"archive":null}}
    $ tenure prune --older-than 90d
    0 tasks pruned that ended by 2026-02-10T12:00:00Z
    $ tenure task create --id a
    error: refused: exists: the id or saga id is already used; ids of pruned tasks stay reserved
      → see the stored task: `tenure task show a`; or leave --id out to get a new id
    status 3
    $ tenure audit verify
    verified: 1 task, 1 event, and the heads of 2 tasks that were pruned
    "#
    );
}

#[test]
fn what_is_parked_and_still_owes_an_undo_is_kept_with_the_way_out() {
    let world = Frozen::world();
    world.given(
        "task create --id a --undo rmdir=/tmp/a
         task acquire a --owner w1
         task quarantine a --owner w1 --epoch 1 --reason 'needs a look'
         tick 8640000",
    );
    let kept = world.run("prune --older-than 90d");
    let words = "1 task kept: quarantined with an undo still owed (`tenure task list --state quarantined";
    assert!(kept.out.contains(words), "{}", kept.out);
    assert!(kept.out.contains("`tenure task note ID --dismiss '…'"), "{}", kept.out);
    assert_eq!(world.run("task list --state quarantined -q").out, "a\n");
    let kept = world.run("prune --older-than 90d --dry-run -o json").json();
    assert_eq!((&kept["prune"]["tasks"], &kept["prune"]["kept_owing"]), (&0.into(), &1.into()));
    let named = world.run("prune --older-than 90d --state quarantined -o json").json();
    assert_eq!((&named["prune"]["tasks"], &named["prune"]["kept_owing"]), (&1.into(), &0.into()));
}

#[test]
fn a_namespace_that_does_not_exist_is_said_to_be_absent() {
    let world = old_tasks();
    let pruned = world.run("prune --older-than 90d --namespace nope --dry-run");
    assert_eq!(pruned.status, 0, "{}", pruned.errors);
    assert_snapshot!(pruned.errors, @"note: there is no namespace nope, so nothing is pruned; the store has default. Check --namespace, or pass --all-namespaces");
    assert_eq!(world.run("prune --older-than 90d --namespace nope --all-namespaces --dry-run").errors, "");
    // One whose tasks are all pruned exists.
    world.given("prune --older-than 90d");
    assert_eq!(world.run("prune --older-than 90d --dry-run").errors, "");
}

#[test]
fn a_time_that_is_too_short_is_refused() {
    let world = old_tasks();
    let refused = world.run("prune --older-than 1d");
    assert_eq!(refused.status, 3, "{}", refused.errors);
    assert!(refused.errors.contains("older_than: at least 7d"), "{}", refused.errors);
    let served = world.run("serve --check --retain 1d");
    assert_eq!(served.status, 2, "{}", served.errors);
}

#[test]
fn an_archive_has_the_events_of_what_was_pruned() {
    let world = old_tasks();
    let path = world.path("pruned.jsonl");
    let pruned = world.run(&format!("prune --older-than 90d --archive {path} -o json")).json();
    assert_eq!((&pruned["prune"]["tasks"], &pruned["prune"]["archive"]["events"]), (&2.into(), &5.into()));
    let archive = std::fs::read_to_string(&path).expect("the archive");
    let lines: Vec<serde_json::Value> =
        archive.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines[0]["tenure_export"], 1);
    assert_eq!((&lines[1]["event"]["task"], &lines[1]["event"]["type"]), (&"a".into(), &"created".into()));
    assert_eq!(lines[6]["end"]["counts"]["events"], 5);
    let other = world.write("letters", "dear reader\n");
    let refused = world.run(&format!("prune --older-than 90d --archive {other}"));
    assert_eq!(refused.status, 1);
    assert!(refused.errors.contains("not an archive of pruned tasks"), "{}", refused.errors);
}

#[test]
fn an_archive_is_imported_and_an_export_is_not_continued_as_one() {
    let (world, new) = (old_tasks(), Frozen::world());
    let (export, path) = (world.path("export.jsonl"), world.path("pruned.jsonl"));
    let text = world.run("export").out;
    std::fs::write(&export, &text).expect("written");
    let refused = world.run(&format!("prune --older-than 90d --archive {export}"));
    assert_eq!(refused.status, 1);
    assert!(
        refused.errors.contains("not an archive of pruned tasks; give another file"),
        "{}",
        refused.errors
    );
    assert_eq!(std::fs::read_to_string(&export).expect("there"), text, "the export is whole");
    world.given(&format!("prune --older-than 90d --archive {path}"));
    new.given(&format!("tick 8640000\n import {path}"));
    assert_eq!(new.run("task show b -o json").json()["task"]["state"], "quarantined");
}

#[test]
fn of_two_prunes_at_once_into_one_archive_one_is_refused_and_no_history_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("tenure.db").display());
    let archive = folder.path().join("pruned.jsonl");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(end_long_ago(&url, TASKS));
    // As another run does, from its first read to its end.
    let other = File::create(&archive).expect("created");
    other.lock().expect("locked");
    let refused = prune_into(&archive, &url).output().expect("ran");
    let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{errors}");
    assert!(errors.contains("pruned.jsonl: another run is writing it; wait"), "{errors}");
    assert_eq!(runtime.block_on(whole(&url)).len(), 0, "it pruned nothing");
    drop(other);
    let mut runs =
        [(); 2].map(|()| prune_into(&archive, &url).stderr(Stdio::null()).spawn().expect("a process"));
    let ended = runs.each_mut().map(|run| run.wait().expect("its end").success());
    assert!(ended.contains(&true), "one of them did it");
    assert_eq!(runtime.block_on(whole(&url)).len(), TASKS);
    assert_eq!(archived(&std::fs::read_to_string(&archive).expect("the archive")).len(), TASKS);
}

#[test]
fn a_follower_with_a_name_goes_on_where_it_was_and_stops_prune() {
    let world = old_tasks();
    let first = world.run("-q events --cursor-name mailer --limit 2");
    assert_eq!(first.out, "e1\ne2\n");
    let held = world.run("prune --older-than 90d");
    assert!(held.out.contains("2 tasks kept: the cursor mailer of the namespace default"), "{}", held.out);
    let status = world.run("status").out;
    assert!(status.contains("mailer: 4 events behind, the oldest"), "{status}");
    assert_eq!(world.run("status -o json").json()["status"]["cursors"][0]["behind"], 4);
    assert_eq!(world.run("-q events --cursor-name mailer").out, "e3\ne4\ne5\ne6\n");
    assert_eq!(world.run("-q events --cursor-name mailer").out, "");
    assert_eq!(world.run("prune --older-than 90d -o json").json()["prune"]["tasks"], 2);
    world.given("task create --id c");
    assert_eq!(world.run("-q events --cursor-name mailer").out, "e7\n");
    let gone = world.run("events --cursor-name mailer --forget");
    assert_eq!(gone.out, "the cursor mailer was at e7 and is deleted\n");
    assert_eq!(world.run("events --cursor-name mailer --forget").status, 4);
    assert_eq!(world.run("events --cursor-name mailer --after e1").status, 2);
}

#[test]
fn a_server_prunes_all_namespaces_by_itself_and_counts_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("tasks.db").display());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        end_long_ago(&url, 3).await;
        let ledger = long_ago(&url).await;
        ledger.create("owing").undo("rmdir", "/tmp/x").await.expect("created");
        let by = ledger.acquire("owing", "w1").await.expect("acquired").lease().expect("a lease").holder();
        ledger.quarantine("owing", &by, "needs a look").await.expect("parked");
        let ledger = Ledger::open(&url).await.expect("opens").in_namespace("shop").expect("a namespace");
        ledger.create("young").await.expect("created");
        ledger.mark_completed("young", "by hand").await.expect("completed");
        // Its follower has seen nothing, and so holds nothing in another namespace.
        ledger.named_cursor("mailer").await.expect("a cursor");
    });
    let mut serving = Serving::start(folder.path(), &["--retain", "30d"]);
    let metric = |name: &str| {
        let (_, page) = ask(&serving.url, "GET /metrics HTTP/1.1");
        let line = page.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()));
        line.and_then(|value| value.parse::<f64>().ok())
    };
    until("the end of a run", || metric("tenure_prune_age_seconds ").is_some());
    assert_eq!(metric("tenure_pruned_total "), Some(3.0));
    assert_eq!((metric("tenure_prune_held "), metric("tenure_prune_owing ")), (Some(0.0), Some(1.0)));
    assert_eq!(
        (metric("tenure_prune_errors_total "), metric("tenure_prune_corrupt ")),
        (Some(0.0), Some(0.0))
    );
    let (status, _) = ask(&serving.url, "GET /v1/default/tasks/t0 HTTP/1.1");
    assert_eq!(status, 404);
    let (status, _) = ask(&serving.url, "GET /v1/shop/tasks/young HTTP/1.1");
    assert_eq!(status, 200);
    // It rests for an hour now, and ends all the same.
    assert_eq!(serving.stop(), Some(0));
}

#[test]
fn the_log_of_a_server_names_the_slowest_cursor_that_holds_tasks() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("tasks.db").display());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        end_long_ago(&url, 3).await;
        Ledger::open(&url).await.expect("opens").named_cursor("mailer").await.expect("a cursor");
    });
    let path = folder.path().join("log");
    let log = File::create(&path).expect("a file");
    let _serving = Serving::logging_to(log, folder.path(), &["--retain", "30d"]);
    let log = || std::fs::read_to_string(&path).expect("text");
    until("a run in the log", || log().contains("retention pruned"));
    assert!(log().contains("default/mailer"), "{}", log());
}

const KILLS: u64 = 20;
const TASKS: usize = 800;

#[test]
fn a_prune_that_is_killed_at_any_moment_leaves_a_whole_store_and_can_be_repeated() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("tenure.db").display());
    let archive = folder.path().join("pruned.jsonl");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(end_long_ago(&url, TASKS));
    let prune = || prune_into(&archive, &url).stderr(Stdio::null()).spawn().expect("a process");
    for nth in 0..KILLS {
        let mut child = prune();
        // played: a kill at one of many moments; nothing is waited for.
        std::thread::sleep(Duration::from_millis(5 * nth));
        child.kill().expect("kill -9");
        child.wait().expect("its end");
        let pruned = runtime.block_on(whole(&url));
        let archived = archived(&std::fs::read_to_string(&archive).unwrap_or_default());
        assert!(pruned.is_subset(&archived), "kill {nth}: what is gone is in the archive");
    }
    assert!(prune().wait().expect("its end").success());
    assert_eq!(runtime.block_on(whole(&url)).len(), TASKS);
    let text = std::fs::read_to_string(&archive).expect("the archive");
    assert_eq!(archived(&text).len(), TASKS);
    assert!(text.lines().last().is_some_and(|line| line.starts_with("{\"end\":")));
}

fn prune_into(archive: &Path, url: &str) -> Command {
    let mut prune = Command::new(env!("CARGO_BIN_EXE_tenure"));
    prune
        .args(["--store", url, "prune", "--older-than", "90d", "--archive"])
        .arg(archive)
        .stdout(Stdio::null());
    prune
}

async fn long_ago(url: &str) -> Ledger {
    let clock = ManualClock::at(Time::from_micros(1_577_836_800_000_000));
    Ledger::builder().clock(Arc::new(clock)).open(url).await.expect("opens")
}

/// Tasks that ended long ago by every clock.
async fn end_long_ago(url: &str, count: usize) {
    let ledger = long_ago(url).await;
    let ids: Vec<String> = (0..count).map(|number| format!("t{number}")).collect();
    let ending = ids.iter().map(|id| async {
        ledger.create(id).await?;
        ledger.mark_completed(id, "by hand").await.map(drop)
    });
    for ended in futures_of(ending).await {
        ended.expect("ended");
    }
}

/// The store holds, and each task is there or pruned. Returns the pruned.
async fn whole(url: &str) -> BTreeSet<String> {
    let ledger = Ledger::open(url).await.expect("opens");
    let report = ledger.verify(None).await.expect("verified");
    assert!(report.holds(), "{:?}", report.findings);
    assert_eq!((report.tasks + report.pruned, report.events), (TASKS as u64, 2 * report.tasks));
    let page = ledger.store().retention().pruned_tasks(None, TASKS + 1).await.expect("a page");
    page.items.iter().map(|one| one.id.to_string()).collect()
}

/// The tasks of an archive. A killed run may have cut off its last line.
fn archived(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let ends = lines.filter(|line| line["event"]["number"] == 2);
    ends.filter_map(|line| Some(line["event"]["task"].as_str()?.to_owned())).collect()
}

/// All at once, so that they share commits.
pub(crate) async fn futures_of<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(|context| {
        let mut is_over = true;
        for (one, done) in &mut all {
            if done.is_none() {
                match one.as_mut().poll(context) {
                    std::task::Poll::Ready(result) => *done = Some(result),
                    std::task::Poll::Pending => is_over = false,
                }
            }
        }
        if is_over { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    all.into_iter().filter_map(|(_, done)| done).collect()
}
