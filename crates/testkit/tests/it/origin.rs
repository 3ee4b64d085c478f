//! The rules that the origin of this project asked for, each by name, on every store, through the public API.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tenure::clock::ManualClock;
use tenure::core::command::{Holder, Put, PutUndo};
use tenure::core::compensation::Undo;
use tenure::core::id::{Kind, Owner, Reason, TaskId, Text};
use tenure::core::refusal::Code;
use tenure::core::task::{State, Task};
use tenure::instant;
use tenure::store::sqlite::{SqliteOptions, SqliteStore};
use tenure::{Error, Ledger};
use tenure_testkit::{BEGINNING, block_on, memory, sqlite};

const MINUTE: Duration = Duration::from_secs(60);

/// Shows a rule on every store.
fn on_every_store<F: Future<Output = Result<(), Error>>>(rule: impl Fn(Ledger, ManualClock) -> F) {
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        rule(Ledger::with_store(memory(&clock)), clock).await.expect("in memory");
        let clock = ManualClock::at(BEGINNING);
        let (_folder, store) = sqlite(&clock).await;
        rule(Ledger::with_store(store), clock).await.expect("on SQLite");
    });
}

fn holder(task: &Task) -> Holder {
    task.lease().expect("a lease").holder()
}

fn code<T: std::fmt::Debug>(answer: Result<T, Error>) -> Code {
    answer.expect_err("it is refused").code().expect("a refusal, not an error")
}

fn reason(words: &str) -> Reason {
    Reason::new(words).expect("words")
}

#[test]
fn two_workers_that_both_saw_a_free_task_cannot_both_get_it_and_the_loser_is_told() {
    on_every_store(|ledger, _| async move {
        ledger.create("t").await?;
        let seen_by_both = ledger.task("t").await?;
        assert_eq!(seen_by_both.state(), State::Planned);
        let (one, other) =
            tokio::join!(ledger.acquire("t", "w1").into_future(), ledger.acquire("t", "w2").into_future());
        let (won, lost) = if one.is_ok() { (one, other) } else { (other, one) };
        let won = won?;
        let refusal = lost.expect_err("one of them").refusal().cloned().expect("a refusal");
        assert_eq!(refusal.code, Code::Leased);
        assert_eq!(refusal.held_by.map(|held| held.owner), won.lease().map(|lease| lease.owner.clone()));
        Ok(())
    });
}

#[test]
fn two_workers_that_both_saw_an_expired_task_cannot_both_get_it() {
    on_every_store(|ledger, clock| async move {
        ledger.create("t").await?;
        ledger.acquire("t", "dead").await?;
        clock.advance(MINUTE);
        assert!(ledger.task("t").await?.is_stale(clock.now()));
        let (one, other) =
            tokio::join!(ledger.acquire("t", "w1").into_future(), ledger.acquire("t", "w2").into_future());
        assert_eq!([&one, &other].iter().filter(|answer| answer.is_ok()).count(), 1);
        assert_eq!(code(if one.is_ok() { other } else { one }), Code::Leased);
        Ok(())
    });
}

#[test]
fn a_heartbeat_that_is_not_the_holders_or_does_not_extend_is_refused_and_changes_nothing() {
    on_every_store(|ledger, clock| async move {
        ledger.create("t").await?;
        let nobody = Holder { owner: Owner::new("w1")?, epoch: tenure::core::id::Epoch(1) };
        assert_eq!(code(ledger.heartbeat("t", &nobody).await), Code::NoLease);
        let leased = ledger.acquire("t", "w1").await?;
        let right = holder(&leased);
        let wrong_owner = Holder { owner: Owner::new("w2")?, ..right.clone() };
        let wrong_epoch = Holder { epoch: tenure::core::id::Epoch(2), ..right.clone() };
        assert_eq!(code(ledger.heartbeat("t", &wrong_owner).progress(json!(1)).await), Code::WrongOwner);
        assert_eq!(code(ledger.heartbeat("t", &wrong_epoch).checkpoint(json!(1)).await), Code::StaleEpoch);
        assert_eq!(code(ledger.heartbeat("t", &right).await), Code::NotExtending, "no time has passed");
        clock.advance(Duration::from_secs(5));
        assert_eq!(
            code(ledger.heartbeat("t", &right).ttl(Duration::from_secs(10)).await),
            Code::NotExtending
        );
        assert_eq!(ledger.task("t").await?, leased, "nothing changed");
        clock.advance(MINUTE);
        assert_eq!(code(ledger.heartbeat("t", &right).progress(json!(1)).await), Code::LeaseLapsed);
        assert_eq!(ledger.task("t").await?, leased, "nothing changed");
        Ok(())
    });
}

#[test]
fn a_heartbeat_never_overwrites_a_reclaim() {
    on_every_store(|ledger, clock| async move {
        ledger.create("t").undo("undo", "x").await?;
        let late = holder(&ledger.acquire("t", "w1").await?);
        clock.advance(MINUTE);
        let reclaimed = ledger.reclaim("t", "recovery").await?;
        assert_eq!(code(ledger.heartbeat("t", &late).await), Code::StaleEpoch);
        assert_eq!(ledger.task("t").await?, reclaimed);
        Ok(())
    });
}

/// One task in each terminal state, each ended by the command of that name, with its reason.
async fn one_of_each_end(ledger: &Ledger) -> Result<Vec<Task>, Error> {
    for id in ["done", "failed", "undone", "parked"] {
        ledger.create(id).undo("undo", "x").await?;
    }
    Ok(vec![
        ledger.mark_completed("done", "was done by hand").await?,
        ledger.mark_failed("failed", "can't be done").await?,
        ledger.mark_compensated("undone", "was undone by hand").await?,
        ledger.mark_quarantined("parked", "needs a look").await?,
    ])
}

#[test]
fn each_terminal_marker_writes_its_state_and_its_reason() {
    on_every_store(|ledger, _| async move {
        let ended: Vec<_> = one_of_each_end(&ledger)
            .await?
            .into_iter()
            .map(|task| {
                (
                    task.state().as_str(),
                    task.ending().and_then(|end| end.reason.clone()).map(|r| r.to_string()),
                )
            })
            .collect();
        let said = |words: &str| Some(words.to_owned());
        assert_eq!(
            ended,
            [
                ("completed", said("was done by hand")),
                ("failed", said("can't be done")),
                ("compensated", said("was undone by hand")),
                ("quarantined", said("needs a look")),
            ]
        );
        Ok(())
    });
}

#[test]
fn after_a_terminal_state_every_mutation_and_lease_is_refused_and_only_audit_metadata_is_written() {
    on_every_store(|ledger, _| async move {
        let by = Holder { owner: Owner::new("w1")?, epoch: tenure::core::id::Epoch(1) };
        for ended in one_of_each_end(&ledger).await? {
            let id = ended.id.as_str();
            let codes = [
                code(ledger.acquire(id, "w1").await),
                code(ledger.dispatch(id, "w1").await),
                code(ledger.reclaim(id, "w1").await),
                code(ledger.heartbeat(id, &by).await),
                code(ledger.progress(id, &by).report(json!(1)).await),
                code(ledger.release(id, &by, "x").await),
                code(ledger.register(id, &by, "undo", "y").await),
                code(ledger.register_standing(id, "undo", "y").await),
                code(ledger.adopt(id, &by).await),
                code(ledger.settle(id, &by, 1, "done").await),
                code(ledger.tried(id, &by, 1, "no").await),
                code(ledger.waive(id, 1, "x").await),
                code(ledger.complete(id, &by).await),
                code(ledger.fail(id, &by, "x").await),
                code(ledger.roll_back(id, &by, "x").await),
                code(ledger.quarantine(id, &by, "x").await),
                code(ledger.mark_completed(id, "x").await),
                code(ledger.mark_failed(id, "x").await),
                code(ledger.mark_compensated(id, "x").await),
                code(ledger.mark_quarantined(id, "x").await),
                code(ledger.cancel(id, "x").await),
            ];
            assert!(codes.iter().all(|code| *code == Code::Terminal), "{id}: {codes:?}");
            assert!(ledger.claim("default", "w1").await?.is_empty(), "{id}");
            assert_eq!(ledger.task(id).await?, ended, "{id}: nothing changed");
            let noted = ledger.annotate(id, "looked at it").terminal_reason("better words").await?;
            assert_eq!(noted.ending().and_then(|end| end.reason.clone()), Some(reason("better words")));
            assert_eq!(noted.state(), ended.state());
        }
        Ok(())
    });
}

fn failed_record(id: &str, compensations: Vec<PutUndo>) -> Result<Put, Error> {
    let terminal_reason = Some(reason("can't be done"));
    Ok(Put { state: State::Failed, terminal_reason, compensations, ..Put::new(TaskId::new(id)?) })
}

fn remains() -> Result<PutUndo, Error> {
    let undo = Undo { kind: Kind::new("undo")?, target: Text::new("x")?, reason: None };
    Ok(PutUndo { seq: None, undo })
}

#[test]
fn a_failed_task_has_a_compensation_record_on_every_path_and_keeps_those_it_had() {
    on_every_store(|ledger, _| async move {
        for id in ["bare", "kept"] {
            ledger.create(id).await?;
        }
        let bare = holder(&ledger.acquire("bare", "w").await?);
        assert_eq!(code(ledger.fail("bare", &bare, "no").await), Code::CompensationRequired);
        assert_eq!(code(ledger.mark_failed("bare", "no").await), Code::CompensationRequired);
        assert_eq!(code(ledger.put(failed_record("new", vec![])?).await), Code::CompensationRequired);
        let failed = ledger.fail("bare", &bare, "no").remains("none", "-").await?;
        assert_eq!(failed.compensations.len(), 1, "the explicit none is a record");
        assert_eq!(ledger.put(failed_record("new", vec![remains()?])?).await?.compensations.len(), 1);

        let kept = holder(&ledger.acquire("kept", "w").await?);
        ledger.register("kept", &kept, "close-pr", "12").await?;
        let failed = ledger.fail("kept", &kept, "no").remains("remove", "y").await?;
        let kinds: Vec<String> = failed.compensations.iter().map(|one| one.undo.kind.to_string()).collect();
        assert_eq!(kinds, ["close-pr", "remove"], "what was registered is kept");
        assert!(failed.compensations.iter().all(|one| one.is_owed()));
        Ok(())
    });
}

#[test]
fn a_put_cannot_touch_a_lease_move_an_ended_task_or_win_against_an_end() {
    on_every_store(|ledger, clock| async move {
        ledger.create("t").await?;
        let read = Put::of(&ledger.task("t").await?);
        let leased = ledger.acquire("t", "w1").await?;
        assert_eq!(code(ledger.put(read.clone()).await), Code::Leased, "the one that was read before");
        assert_eq!(code(ledger.put(Put::of(&leased)).await), Code::Leased, "and the newest one");
        let planned = Put { state: State::Planned, ..Put::of(&leased) };
        assert_eq!(code(ledger.put(planned).await), Code::Leased, "a lease is not cleared by saying planned");
        clock.advance(MINUTE);
        assert_eq!(code(ledger.put(Put::of(&leased)).await), Code::Leased, "not even a lapsed one");
        assert_eq!(ledger.task("t").await?, leased);

        let ended = ledger.complete("t", &holder(&leased)).await?;
        assert_eq!(code(ledger.put(read).await), Code::Terminal, "the end was first");
        let reopened = Put { state: State::Planned, ..Put::of(&ended) };
        assert_eq!(code(ledger.put(reopened).await), Code::Terminal);
        assert_eq!(ledger.task("t").await?, ended);
        Ok(())
    });
}

#[test]
fn creating_a_known_id_or_saga_id_is_refused_and_the_stored_task_is_untouched() {
    on_every_store(|ledger, _| async move {
        let stored = ledger.create("t").saga_id("saga").payload(json!(1)).await?;
        assert_eq!(code(ledger.create("t").payload(json!(2)).await), Code::Exists);
        assert_eq!(code(ledger.create("u").saga_id("saga").await), Code::Exists);
        assert_eq!(code(ledger.put(Put::new(TaskId::new("t")?)).await), Code::Exists);
        assert_eq!(ledger.task("t").await?, stored);
        assert_eq!(code(ledger.task("u").await), Code::NotFound);
        Ok(())
    });
}

#[test]
fn times_are_stored_and_compared_in_utc_and_one_without_an_offset_is_refused() {
    on_every_store(|ledger, _| async move {
        let mut record = Put::new(TaskId::new("t")?);
        record.created_at = Some(instant::parse("created_at", "2025-06-01T14:00:00+02:00")?);
        record.record.not_before = Some(instant::parse("not_before", "2025-12-31T23:59:59-05:00")?);
        ledger.put(record).await?;
        let task = ledger.task("t").await?;
        assert_eq!(instant::print(task.created_at), "2025-06-01T12:00:00.000000Z");
        assert_eq!(task.not_before.map(instant::print).as_deref(), Some("2026-01-01T04:59:59.000000Z"));
        assert_eq!(code(ledger.acquire("t", "w").await), Code::NotDue, "midnight in New York has not come");
        let refusal = instant::parse("created_at", "2025-06-01T14:00:00").expect_err("no offset");
        assert_eq!((refusal.code, refusal.field), (Code::Invalid, Some("created_at")));
        Ok(())
    });
}

#[test]
fn reopening_a_file_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = ManualClock::at(BEGINNING);
    let open = || async {
        let path = folder.path().join("tasks.db");
        let options = SqliteOptions::new(path).with(|options| options.clock = Arc::new(clock.clone()));
        Ledger::with_store(Arc::new(SqliteStore::open(options).await.expect("opens")))
    };
    block_on(async {
        let ledger = open().await;
        ledger.create("t").undo("remove", "/tmp/x").label("issue", "168").await?;
        ledger.create("reserved").await?;
        ledger.dispatch("reserved", "w2").await?;
        ledger.create("unheld").undo("remove", "/tmp/y").await?;
        let by = holder(&ledger.acquire("unheld", "w3").await?);
        ledger.roll_back("unheld", &by, "no").await?;
        let by = holder(&ledger.acquire("t", "w1").await?);
        ledger.register("t", &by, "close-pr", "12").reason("opened by this run").await?;
        clock.advance(Duration::from_secs(7));
        ledger.heartbeat("t", &by).progress(json!({"percent":40})).checkpoint(json!({"at":3})).await?;
        let mut before = Vec::new();
        for id in ["t", "reserved", "unheld"] {
            before.push(ledger.task(id).await?);
        }
        drop(ledger);
        let ledger = open().await;
        for task in before {
            assert_eq!(ledger.task(task.id.as_str()).await?, task);
        }
        assert!(ledger.verify(None).await?.holds());
        let holder = holder(&ledger.task("t").await?);
        ledger.complete("t", &holder).await?;
        Ok::<_, Error>(())
    })
    .expect("reopened");
}

#[test]
fn stale_tasks_are_those_whose_lease_or_reservation_has_lapsed_and_that_have_not_ended() {
    on_every_store(|ledger, clock| async move {
        for id in ["waits", "lapses", "lives", "ends", "reserved"] {
            ledger.create(id).await?;
        }
        ledger.acquire("lapses", "w").await?;
        ledger.acquire("lives", "w").ttl(2 * MINUTE).await?;
        let ends = holder(&ledger.acquire("ends", "w").await?);
        ledger.dispatch("reserved", "w").await?;
        assert!(ledger.stale(None, 10).await?.items.is_empty());
        clock.advance(MINUTE);
        ledger.complete("ends", &ends).await?;
        let stale = ledger.stale(None, 10).await?.items;
        let names: Vec<&str> = stale.iter().map(|task| task.id.as_str()).collect();
        assert_eq!(names, ["reserved", "lapses"]);
        Ok(())
    });
}
