//! Fleets that move in from the hand-written table `task_sagas`: what each row becomes, what is refused, and what goes on working.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;
use tenure::clock::ManualClock;
use tenure::core::command::{Holder, Put};
use tenure::core::compensation::Status;
use tenure::core::event::EventData;
use tenure::core::id::{Actor, Epoch, Owner};
use tenure::core::policy::OnLapse;
use tenure::core::refusal::Code;
use tenure::core::task::{Cause, State, Task};
use tenure::core::time::Span;
use tenure::handler::{Handlers, UndoCall};
use tenure::moving_in::{MoveOptions, MovedCounts, MovedRow, Remark, RowResult, Writing, move_task_sagas};
use tenure::recovery::Recovery;
use tenure::retention::{PruneOptions, PruneRun};
use tenure::{Ledger, instant};

const NOON: &str = "2026-01-31T12:00:00+00:00";

pub(crate) const NEWER: &str = "create table task_sagas (task_id text primary key, saga_id text not null, state text not null, issue text, \
    branch text, worktree text, compensations_json text not null, lease_owner text, lease_expires_at text, \
    last_heartbeat_at text, terminal_reason text)";
const OLDER: &str = "create table task_sagas (task_id text primary key, saga_id text not null, state text not null, issue integer, \
    branch text, worktree text, compensations_json text not null)";

const WORKTREE: &str = r#"[{"kind":"remove-worktree","target":"/wt/a","reason":"made by the run"},
    {"kind":"close-pr","target":"12","reason":"opened by the run"}]"#;

/// The other program's file.
pub(crate) struct Origin {
    pub(crate) folder: TempDir,
    pub(crate) path: PathBuf,
    pub(crate) file: Connection,
}

impl Origin {
    pub(crate) fn with(schema: &str) -> Origin {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sagas.db");
        let file = Connection::open(&path).expect("opens");
        file.execute_batch(schema).expect("made");
        Origin { folder, path, file }
    }

    /// A row of the newer form: id, state, compensations, owner, expiry, reason.
    pub(crate) fn row(
        &self,
        id: &str,
        state: &str,
        undos: &str,
        lease: Option<(&str, &str)>,
        reason: Option<&str>,
    ) -> &Self {
        let (owner, expires_at) = lease.unzip();
        let row = "insert into task_sagas values (?1, 'saga-' || ?1, ?2, '168', 'fix-' || ?1, '/wt/' || ?1, ?3, ?4, ?5, ?5, ?6)";
        self.file.execute(row, (id, state, undos, owner, expires_at, reason)).expect("inserted");
        self
    }
}

pub(crate) async fn at_noon() -> (Ledger, ManualClock) {
    let clock = ManualClock::at(instant::parse("noon", NOON).expect("a time"));
    let opener = Ledger::builder().clock(Arc::new(clock.clone()));
    let ledger = opener.open("memory:").await.expect("opens").acting_as("alice").expect("a name");
    (ledger, clock)
}

pub(crate) async fn moved(
    ledger: &Ledger,
    path: &Path,
    options: MoveOptions,
) -> (MovedCounts, Vec<MovedRow>) {
    let mut rows = Vec::new();
    let counts = move_task_sagas(ledger, path, options, |row| rows.push(row)).await.expect("moved");
    (counts, rows)
}

pub(crate) async fn task(ledger: &Ledger, id: &str) -> Task {
    ledger.task(id).await.expect("a task")
}

pub(crate) fn counts(moved: u64, present: u64, refused: u64) -> MovedCounts {
    MovedCounts { moved, present, refused }
}

#[tokio::test]
async fn every_state_of_the_newer_files_moves_with_what_it_owes() {
    let origin = Origin::with(NEWER);
    origin
        .row("planned", "planned", WORKTREE, None, None)
        .row("reserved", "dispatched", "[]", Some(("w1", "2026-01-31T12:05:00+00:00")), None)
        .row("running", "running", WORKTREE, Some(("w2", "2026-01-31T13:05:00+01:00")), None)
        .row("done", "completed", WORKTREE, None, None)
        .row("broken", "failed", WORKTREE, None, Some("no such repo"))
        .row("undone", "compensated", WORKTREE, None, Some("lease expired"))
        .row("parked", "quarantined", WORKTREE, None, Some("undo failed"))
        .row("parked-bare", "quarantined", "[]", None, None);
    let (ledger, _) = at_noon().await;
    let (all, rows) = moved(&ledger, &origin.path, MoveOptions::default()).await;
    assert_eq!(all, counts(8, 0, 0), "{rows:?}");

    let planned = task(&ledger, "planned").await;
    assert_eq!((planned.state(), planned.saga_id.as_str()), (State::Planned, "saga-planned"));
    assert_eq!(planned.compensations.iter().map(|one| one.status).collect::<Vec<_>>(), [Status::Standing; 2]);
    let labels: Vec<_> = planned.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(labels, ["branch=fix-planned", "issue=168", "worktree=/wt/planned"]);

    let reserved = task(&ledger, "reserved").await;
    assert_eq!(reserved.reservation().map(|one| one.owner.as_str()), Some("w1"));
    let running = task(&ledger, "running").await;
    let lease = running.lease().expect("a lease");
    assert_eq!((lease.owner.as_str(), lease.epoch, running.owed().count()), ("w2", Epoch(1), 2));
    assert_eq!(instant::print(lease.expires_at), "2026-01-31T12:05:00.000000Z");

    let status = async |id: &str| {
        let task = task(&ledger, id).await;
        (task.state(), task.compensations.iter().map(|one| one.status).collect::<Vec<_>>())
    };
    assert_eq!(status("done").await, (State::Completed, vec![Status::Void; 2]));
    assert_eq!(status("broken").await, (State::Failed, vec![Status::Owed; 2]));
    assert_eq!(status("undone").await, (State::Compensated, vec![Status::Done; 2]));
    assert_eq!(status("parked").await, (State::Quarantined, vec![Status::Owed; 2]));
    assert_eq!(status("parked-bare").await, (State::Quarantined, vec![]));
    let undone = task(&ledger, "undone").await;
    let receipts: Vec<_> =
        undone.compensations.iter().map(|one| one.receipt.as_ref().map(AsRef::as_ref)).collect();
    assert_eq!(receipts, [Some("imported"); 2]);
    assert_eq!(undone.ending().and_then(|end| end.reason.as_ref()).map(AsRef::as_ref), Some("lease expired"));
    assert!(ledger.verify(None).await.expect("looks").holds());
}

#[tokio::test]
async fn the_older_files_have_no_leases_so_what_runs_there_is_stale_here() {
    let origin = Origin::with(OLDER);
    let row = "insert into task_sagas values (?1, ?1, ?2, 168, null, '', ?3)";
    for (id, state) in [("t1", "running"), ("t2", "dispatched"), ("t3", "failed"), ("t4", "completed")] {
        origin.file.execute(row, (id, state, WORKTREE)).expect("inserted");
    }
    origin.file.execute(row, ("t5", "failed", "[]")).expect("inserted");
    let (ledger, _) = at_noon().await;
    let (all, rows) = moved(&ledger, &origin.path, MoveOptions::default()).await;
    assert_eq!(all, counts(5, 0, 0), "{rows:?}");
    let remarks: Vec<_> = rows.iter().map(|row| row.remarks.clone()).collect();
    let no_reason = Remark::NoReason;
    assert_eq!(
        remarks,
        [
            vec![Remark::NoLease],
            vec![Remark::ReservedForNobody],
            vec![no_reason.clone()],
            vec![],
            vec![no_reason, Remark::FailedWithoutCompensation],
        ]
    );
    let stale = task(&ledger, "t1").await;
    assert!(stale.is_stale(ledger.now().await.expect("the time")) && stale.owes());
    assert_eq!(task(&ledger, "t2").await.state(), State::Planned);
    let bare = task(&ledger, "t5").await;
    assert_eq!(bare.compensations.iter().map(|one| one.status).collect::<Vec<_>>(), [Status::Void]);
    assert_eq!(stale.labels.len(), 1, "an empty text is no label: {:?}", stale.labels);
}

#[tokio::test]
async fn damaged_rows_are_refused_by_their_field_and_the_others_move() {
    let origin = Origin::with(NEWER);
    origin
        .row("bad-json", "planned", "[{", None, None)
        .row("no-target", "planned", r#"[{"kind":"x"}]"#, None, None)
        .row("odd-state", "sleeping", "[]", None, None)
        .row("naive", "running", "[]", Some(("w1", "2026-01-31T12:05:00")), None)
        .row("fine", "planned", "[]", None, None)
        .row("twin", "planned", "[]", None, None);
    origin
        .file
        .execute("update task_sagas set saga_id = 'saga-fine' where task_id = 'twin'", [])
        .expect("updated");
    let (ledger, _) = at_noon().await;
    let refused = |rows: &[MovedRow]| {
        let refused = rows.iter().filter_map(|row| match &row.result {
            RowResult::Refused(refusal) => {
                Some((row.number, row.task_id.clone(), refusal.code, refusal.field))
            }
            RowResult::Moved(_) | RowResult::Present => None,
        });
        refused
            .map(|(number, id, code, field)| format!("{number} {id} {} {field:?}", code.as_str()))
            .collect::<Vec<_>>()
    };
    let dry = MoveOptions::default().with(|options| options.writing = Writing::DryRun);
    let (foreseen, dry_rows) = moved(&ledger, &origin.path, dry).await;
    assert!(ledger.tasks(tenure::store::Filter::default(), None, 10).await.expect("a list").items.is_empty());
    let (all, rows) = moved(&ledger, &origin.path, MoveOptions::default()).await;
    assert_eq!((all, foreseen), (counts(1, 0, 5), counts(1, 0, 5)));
    assert_eq!(refused(&rows), refused(&dry_rows), "a dry run says what happens");
    let fields = refused(&rows).join("\n");
    for part in [
        "1 bad-json invalid",
        "compensations_json",
        "3 odd-state invalid",
        "state",
        "4 naive",
        "lease_expires_at",
        "6 twin exists",
    ] {
        assert!(fields.contains(part), "{part} in {fields}");
    }
    assert_eq!(Code::Exists.as_str(), "exists");
}

#[tokio::test]
async fn what_had_nothing_to_undo_stands_in_no_way_of_what_was_undone() {
    let undos = r#"[{"kind":"none","target":"log","reason":"only a line"},
        {"kind":"close-pr","target":"12","reason":"opened by the run"}]"#;
    let origin = Origin::with(NEWER);
    origin.row("mixed", "compensated", undos, None, None).row("parked", "quarantined", undos, None, None);
    let (ledger, _) = at_noon().await;
    let (all, rows) = moved(&ledger, &origin.path, MoveOptions::default()).await;
    assert_eq!(all, counts(2, 0, 0), "{rows:?}");
    let mixed = task(&ledger, "mixed").await;
    assert_eq!(mixed.state(), State::Compensated);
    let statuses = mixed.compensations.iter().map(|one| one.status);
    assert_eq!(statuses.collect::<Vec<_>>(), [Status::Void, Status::Done]);
    assert_eq!(task(&ledger, "parked").await.state(), State::Quarantined);
}

#[tokio::test]
async fn a_dry_run_knows_names_that_pruned_tasks_keep() {
    let origin = Origin::with(NEWER);
    origin.row("old", "completed", "[]", None, None);
    let (ledger, clock) = at_noon().await;
    moved(&ledger, &origin.path, MoveOptions::default()).await;
    clock.advance(Duration::from_secs(90 * 24 * 3_600));
    let mut run =
        PruneRun::begin(&ledger, PruneOptions::older_than(Span::from_days(30))).await.expect("begun");
    while run.step(None).await.expect("pruned").is_some() {}
    assert_eq!(run.report().pruned.sum(), 1);

    // Of two rows with one saga id, a refused one takes it from nobody.
    origin.row("good", "planned", "[]", None, None);
    let change = "update task_sagas set saga_id = 'saga-good' where task_id = 'old'";
    origin.file.execute(change, []).expect("changed");
    let dry = MoveOptions::default().with(|options| options.writing = Writing::DryRun);
    let (foreseen, dry_rows) = moved(&ledger, &origin.path, dry).await;
    let (all, rows) = moved(&ledger, &origin.path, MoveOptions::default()).await;
    let results = |rows: Vec<MovedRow>| rows.into_iter().map(|row| row.result).collect::<Vec<_>>();
    assert_eq!((foreseen, results(dry_rows)), (all, results(rows)), "a dry run says what happens");
    assert_eq!(all, counts(1, 0, 1));
}

#[tokio::test]
async fn a_fleet_moves_in_while_it_works() {
    let origin = Origin::with(NEWER);
    origin.row("dead", "running", WORKTREE, Some(("w1", "2026-01-31T11:00:00Z")), None).row(
        "alive",
        "running",
        WORKTREE,
        Some(("w2", "2026-01-31T12:05:00Z")),
        None,
    );
    let (ledger, clock) = at_noon().await;
    moved(&ledger, &origin.path, MoveOptions::default()).await;

    let undone = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&undone);
    let undo = move |call: UndoCall| {
        let seen = Arc::clone(&seen);
        async move {
            seen.lock().expect("a list").push(format!("{} {} of {}", call.kind, call.target, call.task));
            Ok("removed".to_owned())
        }
    };
    let handlers = Handlers::new().on("remove-worktree", undo.clone()).expect("a kind").on("close-pr", undo);
    let recovery = Recovery::new(ledger.clone()).handlers(handlers.expect("a kind"));
    recovery.once().await.expect("a sweep");
    assert_eq!(*undone.lock().expect("a list"), ["close-pr 12 of dead", "remove-worktree /wt/a of dead"]);
    let dead = task(&ledger, "dead").await;
    assert_eq!((dead.state(), dead.ending().map(|end| end.cause)), (State::Compensated, Some(Cause::Lapsed)));

    clock.advance(Duration::from_secs(60));
    let w2 = Holder { owner: Owner::new("w2").expect("a name"), epoch: Epoch(1) };
    ledger.heartbeat("alive", &w2).ttl(Duration::from_secs(600)).await.expect("it is its lease");
    ledger.complete("alive", &w2).await.expect("it ends its task");
    assert_eq!(task(&ledger, "alive").await.state(), State::Completed);
}

#[tokio::test]
async fn a_second_run_takes_only_what_is_new_and_finishes_what_was_begun() {
    let origin = Origin::with(NEWER);
    origin.row("undone", "compensated", WORKTREE, None, Some("lease expired"));
    let (ledger, _) = at_noon().await;
    moved(&ledger, &origin.path, MoveOptions::default()).await;
    origin.row("later", "planned", "[]", None, None);
    let (second, _) = moved(&ledger, &origin.path, MoveOptions::default()).await;
    assert_eq!(second, counts(1, 1, 0));

    // As if the program had been killed between the two commands of a row.
    let (half, _) = at_noon().await;
    let held = r#"{"id":"undone","saga_id":"saga-undone","state":"running","reason":"moved from task_sagas",
        "lease":{"owner":"task-sagas-import","expires_at":"2026-02-07T12:00:00Z"},
        "payload":{"task_sagas":{"task_id":"undone","saga_id":"saga-undone","ended":"compensated"}},
        "compensations":[{"kind":"remove-worktree","target":"/wt/a"},{"kind":"close-pr","target":"12"}]}"#;
    let put = tenure::api::put::read_put(held, half.namespace()).expect("a record");
    half.put(put).await.expect("put");
    let (rest, _) = moved(&half, &origin.path, MoveOptions::default()).await;
    assert_eq!(rest, counts(2, 0, 0));
    assert_eq!(task(&half, "undone").await.state(), State::Compensated);
}

#[tokio::test]
async fn a_task_that_runs_here_is_not_ended_by_a_row_that_ended_since() {
    let origin = Origin::with(NEWER);
    origin.row("a", "running", WORKTREE, Some(("w1", "2026-01-31T12:05:00Z")), None);
    let (ledger, _) = at_noon().await;
    moved(&ledger, &origin.path, MoveOptions::default()).await;
    origin.file.execute("update task_sagas set state = 'compensated'", []).expect("changed");
    let (again, _) = moved(&ledger, &origin.path, MoveOptions::default()).await;
    assert_eq!(again, counts(0, 1, 0));
    let task = task(&ledger, "a").await;
    assert_eq!(task.lease().map(|lease| lease.owner.as_str()), Some("w1"), "{:?}", task.state());
}

#[tokio::test]
async fn of_two_rows_with_one_id_only_the_first_moves() {
    let origin = Origin::with(&NEWER.replace("text primary key", "text"));
    origin
        .row("a", "running", WORKTREE, Some(("w1", "2026-01-31T12:05:00Z")), None)
        .row("a", "compensated", WORKTREE, None, Some("lease expired"))
        .row("b", "planned", "[]", None, None);
    let (ledger, _) = at_noon().await;
    let dry = MoveOptions::default().with(|options| options.writing = Writing::DryRun);
    let (foreseen, dry_rows) = moved(&ledger, &origin.path, dry).await;
    let (all, rows) = moved(&ledger, &origin.path, MoveOptions::default()).await;
    assert_eq!((foreseen, all), (counts(2, 0, 1), counts(2, 0, 1)));
    assert_eq!(dry_rows, rows, "a dry run says what happens");
    let RowResult::Refused(refusal) = &rows[1].result else { panic!("{:?}", rows[1]) };
    assert_eq!(refusal.code, Code::Exists);
    assert!(refusal.message.contains("row 1 has that id, too: `a`"), "{refusal}");
    let first = task(&ledger, "a").await;
    assert_eq!(first.lease().map(|lease| lease.owner.as_str()), Some("w1"), "{:?}", first.state());
    assert_eq!(first.owed().count(), 2);
    let (again, _) = moved(&ledger, &origin.path, MoveOptions::default()).await;
    assert_eq!(again, counts(0, 2, 1));
}

#[tokio::test]
async fn names_that_no_record_can_have_are_changed_and_told() {
    let origin = Origin::with(NEWER);
    origin.row("fix/login page", "planned", "[]", None, None).row(
        "fix/login?page",
        "planned",
        r#"[{"kind":"rm -rf","target":"/x"}]"#,
        None,
        None,
    );
    let (ledger, _) = at_noon().await;
    let (all, rows) = moved(&ledger, &origin.path, MoveOptions::default()).await;
    assert_eq!(all, counts(2, 0, 0), "{rows:?}");
    let ids: Vec<_> = rows.iter().filter_map(|row| row.id.as_ref()).map(ToString::to_string).collect();
    assert!(ids.iter().all(|id| id.starts_with("fix-login-page-")), "{ids:?}");
    assert_ne!(ids[0], ids[1], "two names don't become one");
    let told = rows[1].remarks.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    for part in [
        "task_id `fix/login?page` became",
        "saga_id `saga-fix/login?page` became",
        "`rm -rf` became `rm--rf-",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    let (again, _) = moved(&ledger, &origin.path, MoveOptions::default()).await;
    assert_eq!(again, counts(0, 2, 0), "the same names again");
}

#[tokio::test]
async fn the_last_holder_is_the_one_that_the_row_names() {
    let origin = Origin::with(NEWER);
    let lease = Some(("host/1/agent-3", "2026-01-31T11:00:00+00:00"));
    origin
        .row("done", "completed", WORKTREE, lease, None)
        .row("broken", "failed", WORKTREE, lease, Some("no such repo"))
        .row("bare", "failed", "[]", lease, Some("no such repo"))
        .row("undone", "compensated", WORKTREE, lease, Some("lease expired"))
        .row("parked", "quarantined", "[]", lease, Some("undo failed"))
        .row("nobody", "completed", WORKTREE, None, None);
    let (ledger, _) = at_noon().await;
    let (all, rows) = moved(&ledger, &origin.path, MoveOptions::default()).await;
    assert_eq!(all, counts(6, 0, 0), "{rows:?}");
    for (id, state, status) in [
        ("done", State::Completed, Some(Status::Void)),
        ("broken", State::Failed, Some(Status::Owed)),
        ("bare", State::Failed, Some(Status::Void)),
        ("undone", State::Compensated, Some(Status::Done)),
        ("parked", State::Quarantined, None),
    ] {
        let task = task(&ledger, id).await;
        let statuses: Vec<_> = task.compensations.iter().map(|one| one.status).collect();
        assert_eq!((task.state(), statuses.first().copied()), (state, status), "{id}");
        assert!(statuses.iter().all(|one| Some(*one) == status), "{id}: {statuses:?}");
        let last = task.last_lease.as_ref().map(|lease| lease.owner.as_str());
        assert_eq!(last, Some("host/1/agent-3"), "{id}");
        let payload: serde_json::Value = serde_json::from_str(task.payload.as_str()).expect("JSON");
        assert_eq!(payload["task_sagas"]["lease_owner"], "host/1/agent-3", "{id}");
        assert_eq!(payload["task_sagas"]["lease_expires_at"], "2026-01-31T11:00:00+00:00", "{id}");
    }
    let history = ledger.history("undone", None, 10).await.expect("a history").items;
    let held_until = history.iter().find_map(|one| {
        let EventData::Acquired(grant) = &one.event.what else { return None };
        Some(instant::print(grant.expires_at))
    });
    let week = "2026-02-07T12:00:00.000000Z";
    assert_eq!(held_until.as_deref(), Some(week), "recovery can't have it before its end is said");
    assert!(task(&ledger, "nobody").await.last_lease.is_none(), "nobody is known to have held it");
    let (again, _) = moved(&ledger, &origin.path, MoveOptions::default()).await;
    assert_eq!(again, counts(0, 6, 0));
}

#[tokio::test]
async fn only_what_came_of_the_row_is_there_already() {
    let origin = Origin::with(NEWER);
    origin
        .row("build-42", "running", WORKTREE, Some(("w1", "2026-01-31T12:05:00Z")), None)
        .row("build-43", "planned", "[]", None, None);
    let (ledger, _) = at_noon().await;
    ledger.create("build-42").payload(serde_json::json!({})).await.expect("another task of that id");
    for writing in [Writing::DryRun, Writing::Real] {
        let (all, rows) =
            moved(&ledger, &origin.path, MoveOptions::default().with(|options| options.writing = writing))
                .await;
        assert_eq!(all, counts(1, 0, 1));
        let RowResult::Refused(refusal) = &rows[0].result else { panic!("{:?}", rows[0]) };
        assert_eq!(refusal.code, Code::Exists);
        assert!(refusal.message.contains("`build-42` did not come of this row"), "{refusal}");
    }

    // A payload may be replaced while a task is planned; its first event has what it came with.
    let mut put = Put::of(&task(&ledger, "build-43").await);
    put.record.payload = tenure::api::json::document("payload", "7").expect("JSON");
    ledger.put(put).await.expect("changed");
    let (again, _) = moved(&ledger, &origin.path, MoveOptions::default()).await;
    assert_eq!(again, counts(0, 1, 1));
}

#[tokio::test]
async fn leases_may_be_granted_to_a_token_and_what_lapsed_leaves_others_the_time_to_go_on() {
    let origin = Origin::with(NEWER);
    origin.row("dead", "running", WORKTREE, Some(("w1", "2026-01-31T11:00:00Z")), None).row(
        "alive",
        "running",
        "[]",
        Some(("w2", "2026-01-31T12:05:00Z")),
        None,
    );
    let (ledger, clock) = at_noon().await;
    let wrong = MoveOptions::default().with(|options| options.recover_after = Some(Span::from_secs(60)));
    let refused = move_task_sagas(&ledger, &origin.path, wrong, |row| panic!("{row:?}")).await;
    assert!(refused.expect_err("not under recover").to_string().contains("policy.recover_after"));
    let options = MoveOptions::default().with(|options| {
        options.on_lapse = OnLapse::Either;
        options.recover_after = Some(Span::from_secs(600));
        options.granted_to = Some(Actor::new("fleet").expect("a name"));
    });
    moved(&ledger, &origin.path, options).await;
    for (id, until) in [("dead", "2026-01-31T12:00:00.000000Z"), ("alive", "2026-01-31T12:05:00.000000Z")] {
        let task = task(&ledger, id).await;
        let lease = task.lease().expect(id);
        assert_eq!(lease.granted_to.as_str(), "fleet", "{id}");
        assert_eq!(instant::print(lease.expires_at), until, "{id}");
    }
    let recovery = Recovery::new(ledger.clone());
    clock.advance(Duration::from_secs(599));
    recovery.once().await.expect("a sweep");
    assert_eq!(
        task(&ledger, "dead").await.state(),
        State::Running,
        "recovery leaves it to others for 10 minutes"
    );
    ledger.acquire("dead", "w3").await.expect("another goes on");
}

#[tokio::test]
async fn limits_are_named_by_their_field() {
    let origin = Origin::with(&NEWER.replace("text primary key", "text"));
    let never = Some(("w1", "9999-12-31T23:59:59+00:00"));
    origin
        .row("never", "running", "[]", never, None)
        .row("a\0b", "planned", "[]", None, None)
        .row("no-kind", "planned", r#"[{"kind":"","target":"x"}]"#, None, None)
        .row(&"long".repeat(2_000), "planned", "[]", None, None);
    for bytes in ["x'fffe'", "x'fffd'"] {
        let row = format!(
            "insert into task_sagas (task_id, saga_id, state, compensations_json) values ({bytes}, 's', 'planned', '[]')"
        );
        origin.file.execute(&row, []).expect("inserted");
    }
    let (ledger, _) = at_noon().await;
    let (all, rows) = moved(&ledger, &origin.path, MoveOptions::default()).await;
    assert_eq!(all, counts(1, 0, 5), "{rows:?}");
    assert_eq!(rows[0].remarks, [Remark::LeaseShortened]);
    let limits: Vec<_> = rows[1..]
        .iter()
        .map(|row| match &row.result {
            RowResult::Refused(refusal) => refusal.message.to_string(),
            RowResult::Moved(_) | RowResult::Present => panic!("{row:?}"),
        })
        .collect();
    for (limit, part) in limits.iter().zip([
        "task_id: up to 4 KiB",
        "compensations_json.kind: is required",
        "task_id: up to 4 KiB",
        "task_id: must be UTF-8 text",
        "task_id: must be UTF-8 text",
    ]) {
        assert!(limit.starts_with(part), "{part} in {limits:?}");
    }
}
