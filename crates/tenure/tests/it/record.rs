//! The public JSON, written and read back: each change of it fails a test.

use std::sync::Arc;
use std::time::Duration;

use insta::assert_snapshot;
use serde_json::json;
use tenure::access::Role;
use tenure::access::{Token, Tokens};
use tenure::api::audit::{AnchorAnswer, ReportAnswer};
use tenure::api::event::Event as EventJson;
use tenure::api::list::TaskAnswer;
use tenure::api::overview::{Status, StatusAnswer};
use tenure::api::put::read_put;
use tenure::api::refusal::{CommandError, Refusal as RefusalJson};
use tenure::api::task::{Compensation, Task as TaskJson};
use tenure::api::token::NewToken;
use tenure::api::{from_json, to_json as json};
use tenure::audit::{Finding, Tampering, VerifyReport};
use tenure::clock::ManualClock;
use tenure::core::command::{Holder, QuarantineCause};
use tenure::core::id::{Epoch, Namespace, Owner};
use tenure::core::policy::{Backoff, OnLapse, Policy, Ttl, WhenSpent};
use tenure::core::refusal::{Code, Refusal};
use tenure::core::task::Task;
use tenure::core::time::Span;
use tenure::entropy::SeededEntropy;
use tenure::ledger::JsonText;
use tenure::record::renewal_answer;
use tenure::store::Recorded;
use tenure::why::why;
use tenure::{Error, Ledger, instant};

fn read_task(text: &str) -> Result<Task, String> {
    from_json::<TaskJson>(text)?.try_into()
}

fn read_recorded(text: &str) -> Result<Recorded, String> {
    from_json::<EventJson>(text)?.try_into()
}

fn read_error(text: &str) -> Result<Error, String> {
    from_json::<CommandError>(text).map(Error::from)
}

/// A ledger in memory at noon of a day in 2026.
async fn at_noon() -> (Ledger, ManualClock) {
    let clock = ManualClock::at(instant::parse("noon", "2026-01-31T12:00:00Z").expect("a time"));
    let opener = Ledger::builder().clock(Arc::new(clock.clone())).entropy(Arc::new(SeededEntropy::new(1)));
    let ledger = opener.open("memory:").await.expect("opens").acting_as("alice").expect("a name");
    (ledger, clock)
}

fn holder(owner: &str, epoch: u64) -> Holder {
    Holder { owner: Owner::new(owner).expect("a name"), epoch: Epoch(epoch) }
}

async fn record(ledger: &Ledger, task: &Task) -> String {
    json(&TaskJson::at(task, ledger.now().await.expect("the time")))
}

fn everything() -> Policy {
    Policy::default().with(|policy| {
        policy.lease_ttl = Ttl::new(Span::from_secs(90)).expect("a length");
        policy.max_attempts = 3;
        policy.backoff = Backoff { base: Span::from_secs(2), factor: 3, cap: Span::from_secs(60) };
        policy.when_spent = WhenSpent::Quarantined;
        policy.on_lapse = OnLapse::Hold;
        policy.stall_after = Some(Span::from_secs(300));
        policy.time_limit = Some(Span::from_secs(7_200));
        policy.start_within = Some(Span::from_days(1));
        policy.lock_delay = Some(Span::from_millis(500));
        policy.cancel_grace = Some(Span::from_secs(30));
    })
}

#[tokio::test]
async fn a_task_in_each_part_of_its_life() -> Result<(), Error> {
    let (ledger, clock) = at_noon().await;
    let create = ledger.create("t").saga_id("saga").queue("agents").kind("build").label("issue", "168");
    let create = create
        .payload(JsonText(r#"{"big":12345678901234567890.50,"a":[]}"#))
        .priority(-1)
        .policy(everything());
    let later = instant::parse("later", "2026-01-31T13:00:10+01:00")?;
    let task = create.not_before(later).undo("remove", "/tmp/a").undo_reason("made by the worker").await?;
    assert_snapshot!(record(&ledger, &task).await, @r#"{"id":"t","saga_id":"saga","namespace":"default","queue":"agents","kind":"build","state":"planned","cause":null,"priority":-1,"not_before":"2026-01-31T12:00:10.000000Z","labels":{"issue":"168"},"payload":{"a":[],"big":12345678901234567890.50},"attempts":0,"epoch":0,"revision":1,"owed":0,"policy":{"lease_ttl":"90s","max_attempts":3,"on_lapse":"hold","when_spent":"quarantined","backoff":{"base":"2s","factor":3,"cap":"60s"},"stall_after":"5m","time_limit":"2h","start_within":"1d","lock_delay":"500ms","cancel_grace":"30s"},"reservation":null,"unwinding":null,"compensations":[{"seq":1,"kind":"remove","target":"/tmp/a","reason":"made by the worker","status":"standing","epoch":null,"tries":0,"receipt":null,"settled_by":null,"last_error":null,"waiver":null,"key":null,"registered":"before_lease"}],"cancel":null,"terminal_reason":null,"result":null,"retried_as":null,"retry_of":null,"stale":false,"created_at":"2026-01-31T12:00:00.000000Z","updated_at":"2026-01-31T12:00:00.000000Z","started_at":null,"last_lease":null,"finished_at":null}"#);
    let task = ledger.dispatch("t", "w1").await?;
    assert_snapshot!(record(&ledger, &task).await, @r#"{"id":"t","saga_id":"saga","namespace":"default","queue":"agents","kind":"build","state":"dispatched","cause":null,"priority":-1,"not_before":"2026-01-31T12:00:10.000000Z","labels":{"issue":"168"},"payload":{"a":[],"big":12345678901234567890.50},"attempts":0,"epoch":0,"revision":2,"owed":0,"policy":{"lease_ttl":"90s","max_attempts":3,"on_lapse":"hold","when_spent":"quarantined","backoff":{"base":"2s","factor":3,"cap":"60s"},"stall_after":"5m","time_limit":"2h","start_within":"1d","lock_delay":"500ms","cancel_grace":"30s"},"reservation":{"owner":"w1","reserved_at":"2026-01-31T12:00:00.000000Z","expires_at":"2026-01-31T12:01:30.000000Z"},"unwinding":null,"compensations":[{"seq":1,"kind":"remove","target":"/tmp/a","reason":"made by the worker","status":"standing","epoch":null,"tries":0,"receipt":null,"settled_by":null,"last_error":null,"waiver":null,"key":null,"registered":"before_lease"}],"cancel":null,"terminal_reason":null,"result":null,"retried_as":null,"retry_of":null,"stale":false,"created_at":"2026-01-31T12:00:00.000000Z","updated_at":"2026-01-31T12:00:00.000000Z","started_at":null,"last_lease":null,"finished_at":null}"#);
    clock.advance(Duration::from_secs(10));
    ledger.acquire("t", "w1").await?;
    clock.advance(Duration::from_secs(5));
    let w1 = holder("w1", 1);
    let renewal = ledger.heartbeat("t", &w1).progress(json!({"percent":40})).checkpoint(json!([1])).await?;
    ledger.cancel("t", "superseded").await?;
    let (task, now) = (ledger.task("t").await?, ledger.now().await?);
    assert_snapshot!(json(&renewal_answer(&task, now, renewal)), @r#"{"task":{"id":"t","saga_id":"saga","namespace":"default","queue":"agents","kind":"build","state":"running","cause":null,"priority":-1,"not_before":"2026-01-31T12:00:10.000000Z","labels":{"issue":"168"},"payload":{"a":[],"big":12345678901234567890.50},"attempts":1,"epoch":1,"revision":4,"owed":1,"policy":{"lease_ttl":"90s","max_attempts":3,"on_lapse":"hold","when_spent":"quarantined","backoff":{"base":"2s","factor":3,"cap":"60s"},"stall_after":"5m","time_limit":"2h","start_within":"1d","lock_delay":"500ms","cancel_grace":"30s"},"lease":{"owner":"w1","epoch":1,"granted_to":"alice","ttl":"90s","acquired_at":"2026-01-31T12:00:10.000000Z","heartbeat_at":"2026-01-31T12:00:15.000000Z","progressed_at":"2026-01-31T12:00:15.000000Z","expires_at":"2026-01-31T12:01:45.000000Z","progress":{"percent":40}},"reservation":null,"unwinding":null,"checkpoint":[1],"compensations":[{"seq":1,"kind":"remove","target":"/tmp/a","reason":"made by the worker","status":"owed","epoch":1,"tries":0,"receipt":null,"settled_by":null,"last_error":null,"waiver":null,"key":"default/t/1/1","registered":"before_lease"}],"cancel":{"at":"2026-01-31T12:00:15.000000Z","by":"alice","reason":"superseded"},"terminal_reason":null,"result":null,"retried_as":null,"retry_of":null,"stale":false,"created_at":"2026-01-31T12:00:00.000000Z","updated_at":"2026-01-31T12:00:15.000000Z","started_at":"2026-01-31T12:00:10.000000Z","last_lease":null,"finished_at":null},"renewal":{"at":"2026-01-31T12:00:15.000000Z","expires_at":"2026-01-31T12:01:45.000000Z","cancel":false}}"#);
    let task = ledger.roll_back("t", &w1, "tests failed").await?;
    assert_snapshot!(record(&ledger, &task).await, @r#"{"id":"t","saga_id":"saga","namespace":"default","queue":"agents","kind":"build","state":"compensating","cause":null,"priority":-1,"not_before":"2026-01-31T12:00:10.000000Z","labels":{"issue":"168"},"payload":{"a":[],"big":12345678901234567890.50},"attempts":1,"epoch":1,"revision":5,"owed":1,"policy":{"lease_ttl":"90s","max_attempts":3,"on_lapse":"hold","when_spent":"quarantined","backoff":{"base":"2s","factor":3,"cap":"60s"},"stall_after":"5m","time_limit":"2h","start_within":"1d","lock_delay":"500ms","cancel_grace":"30s"},"reservation":null,"unwinding":{"why":"rolled_back","reason":"tests failed","due_at":"2026-01-31T12:00:15.000000Z"},"checkpoint":[1],"compensations":[{"seq":1,"kind":"remove","target":"/tmp/a","reason":"made by the worker","status":"owed","epoch":1,"tries":0,"receipt":null,"settled_by":null,"last_error":null,"waiver":null,"key":"default/t/1/1","registered":"before_lease"}],"cancel":{"at":"2026-01-31T12:00:15.000000Z","by":"alice","reason":"superseded"},"terminal_reason":null,"result":null,"retried_as":null,"retry_of":null,"stale":false,"created_at":"2026-01-31T12:00:00.000000Z","updated_at":"2026-01-31T12:00:15.000000Z","started_at":"2026-01-31T12:00:10.000000Z","last_lease":{"owner":"w1","epoch":1,"since":"2026-01-31T12:00:10.000000Z","until":"2026-01-31T12:00:15.000000Z"},"finished_at":null}"#);
    let task = ledger.reclaim("t", "recovery").await?;
    assert_snapshot!(record(&ledger, &task).await, @r#"{"id":"t","saga_id":"saga","namespace":"default","queue":"agents","kind":"build","state":"compensating","cause":null,"priority":-1,"not_before":"2026-01-31T12:00:10.000000Z","labels":{"issue":"168"},"payload":{"a":[],"big":12345678901234567890.50},"attempts":1,"epoch":2,"revision":6,"owed":1,"policy":{"lease_ttl":"90s","max_attempts":3,"on_lapse":"hold","when_spent":"quarantined","backoff":{"base":"2s","factor":3,"cap":"60s"},"stall_after":"5m","time_limit":"2h","start_within":"1d","lock_delay":"500ms","cancel_grace":"30s"},"lease":{"owner":"recovery","epoch":2,"granted_to":"alice","ttl":"90s","acquired_at":"2026-01-31T12:00:15.000000Z","heartbeat_at":"2026-01-31T12:00:15.000000Z","progressed_at":"2026-01-31T12:00:15.000000Z","expires_at":"2026-01-31T12:01:45.000000Z","progress":null},"reservation":null,"unwinding":{"why":"rolled_back","reason":"tests failed","due_at":null},"checkpoint":[1],"compensations":[{"seq":1,"kind":"remove","target":"/tmp/a","reason":"made by the worker","status":"owed","epoch":1,"tries":0,"receipt":null,"settled_by":null,"last_error":null,"waiver":null,"key":"default/t/1/1","registered":"before_lease"}],"cancel":{"at":"2026-01-31T12:00:15.000000Z","by":"alice","reason":"superseded"},"terminal_reason":null,"result":null,"retried_as":null,"retry_of":null,"stale":false,"created_at":"2026-01-31T12:00:00.000000Z","updated_at":"2026-01-31T12:00:15.000000Z","started_at":"2026-01-31T12:00:10.000000Z","last_lease":{"owner":"w1","epoch":1,"since":"2026-01-31T12:00:10.000000Z","until":"2026-01-31T12:00:15.000000Z"},"finished_at":null}"#);
    let task = ledger
        .quarantine("t", &holder("recovery", 2), "no handler")
        .parking(QuarantineCause::UndoUnhandled)
        .await?;
    assert_snapshot!(record(&ledger, &task).await, @r#"{"id":"t","saga_id":"saga","namespace":"default","queue":"agents","kind":"build","state":"quarantined","cause":"undo_unhandled","priority":-1,"not_before":"2026-01-31T12:00:10.000000Z","labels":{"issue":"168"},"payload":{"a":[],"big":12345678901234567890.50},"attempts":1,"epoch":2,"revision":7,"owed":1,"policy":{"lease_ttl":"90s","max_attempts":3,"on_lapse":"hold","when_spent":"quarantined","backoff":{"base":"2s","factor":3,"cap":"60s"},"stall_after":"5m","time_limit":"2h","start_within":"1d","lock_delay":"500ms","cancel_grace":"30s"},"reservation":null,"unwinding":null,"checkpoint":[1],"compensations":[{"seq":1,"kind":"remove","target":"/tmp/a","reason":"made by the worker","status":"owed","epoch":1,"tries":0,"receipt":null,"settled_by":null,"last_error":null,"waiver":null,"key":"default/t/1/1","registered":"before_lease"}],"cancel":{"at":"2026-01-31T12:00:15.000000Z","by":"alice","reason":"superseded"},"terminal_reason":"no handler","result":null,"retried_as":null,"retry_of":null,"stale":false,"created_at":"2026-01-31T12:00:00.000000Z","updated_at":"2026-01-31T12:00:15.000000Z","started_at":"2026-01-31T12:00:10.000000Z","last_lease":{"owner":"w1","epoch":1,"since":"2026-01-31T12:00:10.000000Z","until":"2026-01-31T12:00:15.000000Z"},"finished_at":"2026-01-31T12:00:15.000000Z"}"#);
    ledger.retry("t", "handler added").waive(1, "gone").await?;
    let old = ledger.task("t").await?;
    assert_snapshot!(record(&ledger, &old).await, @r#"{"id":"t","saga_id":"saga","namespace":"default","queue":"agents","kind":"build","state":"quarantined","cause":"undo_unhandled","priority":-1,"not_before":"2026-01-31T12:00:10.000000Z","labels":{"issue":"168"},"payload":{"a":[],"big":12345678901234567890.50},"attempts":1,"epoch":2,"revision":8,"owed":1,"policy":{"lease_ttl":"90s","max_attempts":3,"on_lapse":"hold","when_spent":"quarantined","backoff":{"base":"2s","factor":3,"cap":"60s"},"stall_after":"5m","time_limit":"2h","start_within":"1d","lock_delay":"500ms","cancel_grace":"30s"},"reservation":null,"unwinding":null,"checkpoint":[1],"compensations":[{"seq":1,"kind":"remove","target":"/tmp/a","reason":"made by the worker","status":"owed","epoch":1,"tries":0,"receipt":null,"settled_by":null,"last_error":null,"waiver":null,"key":"default/t/1/1","registered":"before_lease"}],"cancel":{"at":"2026-01-31T12:00:15.000000Z","by":"alice","reason":"superseded"},"terminal_reason":"no handler","result":null,"retried_as":"seeded-1-1","retry_of":null,"stale":false,"created_at":"2026-01-31T12:00:00.000000Z","updated_at":"2026-01-31T12:00:15.000000Z","started_at":"2026-01-31T12:00:10.000000Z","last_lease":{"owner":"w1","epoch":1,"since":"2026-01-31T12:00:10.000000Z","until":"2026-01-31T12:00:15.000000Z"},"finished_at":"2026-01-31T12:00:15.000000Z"}"#);
    let new = ledger.task("seeded-1-1").await?;
    assert_snapshot!(json(&TaskAnswer::at(&new, ledger.now().await?)), @r#"{"task":{"id":"seeded-1-1","saga_id":"seeded-1-1","namespace":"default","queue":"agents","kind":"build","state":"planned","cause":null,"priority":-1,"not_before":null,"labels":{"issue":"168"},"payload":{"a":[],"big":12345678901234567890.50},"attempts":0,"epoch":0,"revision":1,"owed":0,"policy":{"lease_ttl":"90s","max_attempts":3,"on_lapse":"hold","when_spent":"quarantined","backoff":{"base":"2s","factor":3,"cap":"60s"},"stall_after":"5m","time_limit":"2h","start_within":"1d","lock_delay":"500ms","cancel_grace":"30s"},"reservation":null,"unwinding":null,"compensations":[{"seq":1,"kind":"remove","target":"/tmp/a","reason":"made by the worker","status":"standing","epoch":null,"tries":0,"receipt":null,"settled_by":null,"last_error":null,"waiver":null,"key":null,"registered":"before_lease"}],"cancel":null,"terminal_reason":null,"result":null,"retried_as":null,"retry_of":"t","stale":false,"created_at":"2026-01-31T12:00:15.000000Z","updated_at":"2026-01-31T12:00:15.000000Z","started_at":null,"last_lease":null,"finished_at":null}}"#);
    let completed = ledger.mark_completed("seeded-1-1", "by hand").result(json!(null)).await?;
    assert_snapshot!(record(&ledger, &completed).await, @r#"{"id":"seeded-1-1","saga_id":"seeded-1-1","namespace":"default","queue":"agents","kind":"build","state":"completed","cause":"by_operator","priority":-1,"not_before":null,"labels":{"issue":"168"},"payload":{"a":[],"big":12345678901234567890.50},"attempts":0,"epoch":0,"revision":2,"owed":0,"policy":{"lease_ttl":"90s","max_attempts":3,"on_lapse":"hold","when_spent":"quarantined","backoff":{"base":"2s","factor":3,"cap":"60s"},"stall_after":"5m","time_limit":"2h","start_within":"1d","lock_delay":"500ms","cancel_grace":"30s"},"reservation":null,"unwinding":null,"compensations":[{"seq":1,"kind":"remove","target":"/tmp/a","reason":"made by the worker","status":"void","epoch":null,"tries":0,"receipt":null,"settled_by":null,"last_error":null,"waiver":null,"key":null,"registered":"before_lease"}],"cancel":null,"terminal_reason":"by hand","result":null,"retried_as":null,"retry_of":"t","stale":false,"created_at":"2026-01-31T12:00:15.000000Z","updated_at":"2026-01-31T12:00:15.000000Z","started_at":null,"last_lease":null,"finished_at":"2026-01-31T12:00:15.000000Z","given_null":["result"]}"#);
    Ok(())
}

#[tokio::test]
async fn what_is_said_about_tasks() -> Result<(), Error> {
    let (ledger, clock) = at_noon().await;
    ledger.create("t").undo("a", "x").undo("b", "y").undo("c", "z").await?;
    ledger.create("parked").await?;
    ledger.mark_quarantined("parked", "needs a look").await?;
    ledger.acquire("t", "w1").await?;
    let w1 = holder("w1", 1);
    ledger.settle("t", &w1, 1, "removed").await?;
    ledger.tried("t", &w1, 2, "no route").await?;
    let task = ledger.waive("t", 3, "gone").await?;
    let lines: Vec<String> = task.compensations.iter().map(|one| json(&Compensation::from(one))).collect();
    assert_snapshot!(lines.join("\n"), @r#"
    {"seq":1,"kind":"a","target":"x","reason":null,"status":"done","epoch":1,"tries":0,"receipt":"removed","settled_by":null,"last_error":null,"waiver":null,"key":"default/t/1/1","registered":"before_lease"}
    {"seq":2,"kind":"b","target":"y","reason":null,"status":"owed","epoch":1,"tries":1,"receipt":null,"settled_by":null,"last_error":"no route","waiver":null,"key":"default/t/2/1","registered":"before_lease"}
    {"seq":3,"kind":"c","target":"z","reason":null,"status":"waived","epoch":1,"tries":0,"receipt":null,"settled_by":null,"last_error":null,"waiver":"gone","key":"default/t/3/1","registered":"before_lease"}
    "#);
    clock.advance(Duration::from_secs(60));
    let now = ledger.now().await?;
    let reason = why(&task, now);
    assert_snapshot!(json(&reason.answer(&task, now, Vec::new())), @r#"{"task":{"id":"t","saga_id":"t","namespace":"default","queue":"default","kind":"task","state":"running","cause":null,"priority":0,"not_before":null,"labels":{},"payload":null,"attempts":1,"epoch":1,"revision":5,"owed":1,"policy":{"lease_ttl":"60s","max_attempts":1,"on_lapse":"recover","when_spent":"compensated"},"lease":{"owner":"w1","epoch":1,"granted_to":"alice","ttl":"60s","acquired_at":"2026-01-31T12:00:00.000000Z","heartbeat_at":"2026-01-31T12:00:00.000000Z","progressed_at":"2026-01-31T12:00:00.000000Z","expires_at":"2026-01-31T12:01:00.000000Z","progress":null},"reservation":null,"unwinding":null,"compensations":[{"seq":1,"kind":"a","target":"x","reason":null,"status":"done","epoch":1,"tries":0,"receipt":"removed","settled_by":null,"last_error":null,"waiver":null,"key":"default/t/1/1","registered":"before_lease"},{"seq":2,"kind":"b","target":"y","reason":null,"status":"owed","epoch":1,"tries":1,"receipt":null,"settled_by":null,"last_error":"no route","waiver":null,"key":"default/t/2/1","registered":"before_lease"},{"seq":3,"kind":"c","target":"z","reason":null,"status":"waived","epoch":1,"tries":0,"receipt":null,"settled_by":null,"last_error":null,"waiver":"gone","key":"default/t/3/1","registered":"before_lease"}],"cancel":null,"terminal_reason":null,"result":null,"retried_as":null,"retry_of":null,"stale":true,"created_at":"2026-01-31T12:00:00.000000Z","updated_at":"2026-01-31T12:00:00.000000Z","started_at":"2026-01-31T12:00:00.000000Z","last_lease":null,"finished_at":null},"why":"t is running: the lease of w1 at epoch 1 lapsed 2026-01-31T12:01:00Z (just now); recovery undoes 1 compensation, and then it is closed as compensated; until it is taken over, w1 can still end it","next":{"what":"reclaim","at":"2026-01-31T12:01:00.000000Z"},"notes":[]}"#);
    let holdings = ledger.holdings().await?;
    assert_snapshot!(json(&holdings[0]), @r#"{"owner":"w1","leases":1,"reservations":0,"stale":1,"since":"2026-01-31T12:00:00.000000Z","until":"2026-01-31T12:01:00.000000Z"}"#);
    let overview = ledger.overview().await?;
    assert_snapshot!(json(&overview), @r#"{"at":"2026-01-31T12:01:00.000000Z","states":[{"state":"planned","count":0,"later":0,"stale":0,"oldest":null},{"state":"dispatched","count":0,"later":0,"stale":0,"oldest":null},{"state":"running","count":1,"later":0,"stale":1,"oldest":{"task":"t","since":"2026-01-31T12:00:00.000000Z"}},{"state":"compensating","count":0,"later":0,"stale":0,"oldest":null},{"state":"failed","count":0,"later":0,"stale":0,"oldest":null},{"state":"quarantined","count":1,"later":0,"stale":0,"oldest":{"task":"parked","since":"2026-01-31T12:00:00.000000Z"}}],"ends":[{"queue":"default","state":"quarantined","cause":"by_operator","last_hour":1,"last_day":1,"all":1}],"queues":[{"queue":"default","planned":0,"later":0,"in_flight":1,"due_since":null}],"minutes":[{"at":"2026-01-31T12:00:00.000000Z","completed":0,"cancelled":0,"ended_badly":1}],"told_to_stop":{"count":0,"since":null},"recovery":{"seen_at":null,"recoverers":[]},"warnings":[]}"#);
    let parked = [ledger.task("parked").await?];
    let status = Status {
        namespace: ledger.namespace().clone(),
        overview,
        stale: Vec::new(),
        quarantined: parked.iter().map(|task| TaskJson::at(task, now)).collect(),
        ended_badly: Vec::new(),
        cursors: Vec::new(),
    };
    assert_snapshot!(json(&StatusAnswer { status }), @r#"{"status":{"namespace":"default","at":"2026-01-31T12:01:00.000000Z","states":[{"state":"planned","count":0,"later":0,"stale":0,"oldest":null},{"state":"dispatched","count":0,"later":0,"stale":0,"oldest":null},{"state":"running","count":1,"later":0,"stale":1,"oldest":{"task":"t","since":"2026-01-31T12:00:00.000000Z"}},{"state":"compensating","count":0,"later":0,"stale":0,"oldest":null},{"state":"failed","count":0,"later":0,"stale":0,"oldest":null},{"state":"quarantined","count":1,"later":0,"stale":0,"oldest":{"task":"parked","since":"2026-01-31T12:00:00.000000Z"}}],"ends":[{"queue":"default","state":"quarantined","cause":"by_operator","last_hour":1,"last_day":1,"all":1}],"queues":[{"queue":"default","planned":0,"later":0,"in_flight":1,"due_since":null}],"minutes":[{"at":"2026-01-31T12:00:00.000000Z","completed":0,"cancelled":0,"ended_badly":1}],"told_to_stop":{"count":0,"since":null},"recovery":{"seen_at":null,"recoverers":[]},"warnings":[],"stale":[],"quarantined":[{"id":"parked","saga_id":"parked","namespace":"default","queue":"default","kind":"task","state":"quarantined","cause":"by_operator","priority":0,"not_before":null,"labels":{},"payload":null,"attempts":0,"epoch":0,"revision":2,"owed":0,"policy":{"lease_ttl":"60s","max_attempts":1,"on_lapse":"recover","when_spent":"compensated"},"reservation":null,"unwinding":null,"compensations":[],"cancel":null,"terminal_reason":"needs a look","result":null,"retried_as":null,"retry_of":null,"stale":false,"created_at":"2026-01-31T12:00:00.000000Z","updated_at":"2026-01-31T12:00:00.000000Z","started_at":null,"last_lease":null,"finished_at":"2026-01-31T12:00:00.000000Z"}],"ended_badly":[],"cursors":[]}}"#);
    let events = ledger.events(None, 100).await?.items;
    let lines: Vec<String> = events.iter().map(|event| json(&EventJson::from(event))).collect();
    assert_snapshot!(lines.join("\n"), @r#"
    {"cursor":"e1","namespace":"default","task":"t","number":1,"at":"2026-01-31T12:00:00.000000Z","type":"created","actor":"alice","data":{"saga_id":"t","queue":"default","kind":"task","labels":{},"payload":null,"priority":0,"policy":{"lease_ttl":"60s","max_attempts":1,"backoff":{"base":"1s","factor":2,"cap":"5m"},"when_spent":"compensated","on_lapse":"recover"},"compensations":[{"seq":1,"kind":"a","target":"x","registered":"before_lease","status":"standing","tries":0},{"seq":2,"kind":"b","target":"y","registered":"before_lease","status":"standing","tries":0},{"seq":3,"kind":"c","target":"z","registered":"before_lease","status":"standing","tries":0}],"created_at":"2026-01-31T12:00:00.000000Z"},"hash":"95445123dde8b27909e201ac4f05bb0001b597d76b0f1f66f915744eeba58d36"}
    {"cursor":"e2","namespace":"default","task":"parked","number":1,"at":"2026-01-31T12:00:00.000000Z","type":"created","actor":"alice","data":{"saga_id":"parked","queue":"default","kind":"task","labels":{},"payload":null,"priority":0,"policy":{"lease_ttl":"60s","max_attempts":1,"backoff":{"base":"1s","factor":2,"cap":"5m"},"when_spent":"compensated","on_lapse":"recover"},"compensations":[],"created_at":"2026-01-31T12:00:00.000000Z"},"hash":"e73f28393c117261dfa42d139a2ba8faafb5ea24f27b26e8f6aa9a6e610cfac4"}
    {"cursor":"e3","namespace":"default","task":"parked","number":2,"at":"2026-01-31T12:00:00.000000Z","type":"quarantined","actor":"alice","data":{"state":"quarantined","cause":"by_operator","reason":"needs a look","finished_at":"2026-01-31T12:00:00.000000Z"},"hash":"b3366c653ce2dbc8001d47035a034127947c7a0e57a9fbc28a798d01470296cf"}
    {"cursor":"e4","namespace":"default","task":"t","number":2,"at":"2026-01-31T12:00:00.000000Z","type":"acquired","actor":"alice","data":{"owner":"w1","epoch":1,"ttl":"60s","expires_at":"2026-01-31T12:01:00.000000Z"},"hash":"aa5c1b4d95d91f12869215b681ed39759ab668c0b8adf5089b5dec50cacf678a"}
    {"cursor":"e5","namespace":"default","task":"t","number":3,"at":"2026-01-31T12:00:00.000000Z","type":"settled","actor":"alice","data":{"seq":1,"epoch":1,"receipt":"removed"},"hash":"7f26e95efe70ea4aec2d4ff6090677e4c3c17138514ba01895e956f4c9540407"}
    {"cursor":"e6","namespace":"default","task":"t","number":4,"at":"2026-01-31T12:00:00.000000Z","type":"tried","actor":"alice","data":{"seq":2,"epoch":1,"error":"no route"},"hash":"b862a8b4bbd0506edc456f65d388af7cda95222af566ae871f738813b78733a6"}
    {"cursor":"e7","namespace":"default","task":"t","number":5,"at":"2026-01-31T12:00:00.000000Z","type":"waived","actor":"alice","data":{"seq":3,"reason":"gone"},"hash":"1fedda68efab54604cf4d784b27c6f91fe7552fb29eab84c2f8b924f514d56e7"}
    "#);
    Ok(())
}

#[tokio::test]
async fn what_is_answered_when_it_is_not_done() -> Result<(), Error> {
    let (ledger, _) = at_noon().await;
    ledger.create("t").await?;
    ledger.acquire("t", "w1").await?;
    let leased = ledger.acquire("t", "w2").await.expect_err("held");
    assert_snapshot!(json(&CommandError::from(&leased)), @r#"{"refusal":{"code":"leased","message":"the task is already leased","state":"running","held_by":{"owner":"w1","epoch":1,"since":"2026-01-31T12:00:00.000000Z","until":"2026-01-31T12:01:00.000000Z"},"retry_at":"2026-01-31T12:01:00.000000Z"}}"#);
    ledger.create("u").await?;
    ledger.dispatch("u", "w1").await?;
    let reserved = ledger.acquire("u", "w2").await.expect_err("reserved");
    assert_snapshot!(json(&CommandError::from(&reserved)), @r#"{"refusal":{"code":"reserved","message":"the task is reserved for another owner","state":"dispatched","held_by":{"owner":"w1","epoch":null,"since":"2026-01-31T12:00:00.000000Z","until":"2026-01-31T12:01:00.000000Z"},"retry_at":"2026-01-31T12:01:00.000000Z"}}"#);
    assert_snapshot!(json(&RefusalJson::from(&Refusal::invalid("ttl", "1 s to 7 days"))), @r#"{"code":"invalid","message":"ttl: 1 s to 7 days","field":"ttl"}"#);
    assert_snapshot!(json(&RefusalJson::from(&Refusal::new(Code::NotFound, "there is no task x"))), @r#"{"code":"not_found","message":"there is no task x"}"#);
    assert_snapshot!(json(&CommandError::from(&Error::Unavailable("the disk is full".into()))), @r#"{"unavailable":{"message":"the disk is full"}}"#);
    assert_snapshot!(json(&CommandError::from(&Error::Unknown("the commit failed".into()))), @r#"{"unknown":{"message":"the commit failed"}}"#);
    Ok(())
}

#[tokio::test]
async fn what_an_audit_says() -> Result<(), Error> {
    let (ledger, _) = at_noon().await;
    ledger.create("t").await?;
    assert_snapshot!(json(&AnchorAnswer { anchor: ledger.anchor().await? }), @r#"{"anchor":{"cursor":"e1","root":"0383dc3c322389a51ad57cd9915fd3d039359dbb7e075131bdb369a612fcfcc0","lines":[{"namespace":"default","id":"t","number":1,"head":"35a0e28547ba990abc2e20eff4cbad1868c0296a400146dc65c7756bfe8dc5ba"}]}}"#);
    assert_snapshot!(json(&ReportAnswer { report: (&ledger.verify(None).await?).into() }), @r#"{"report":{"holds":true,"tasks":1,"events":1,"findings":[]}}"#);
    let finding = Finding { task: "default/t".into(), number: Some(2), what: Tampering::Removed };
    assert_snapshot!(json(&ReportAnswer { report: (&VerifyReport { tasks: 1, events: 1, findings: vec![finding], pruned: 0 }).into() }), @r#"{"report":{"holds":false,"tasks":1,"events":1,"findings":[{"task":"default/t","number":2,"message":"default/t: event 2 was removed"}]}}"#);
    Ok(())
}

#[tokio::test]
async fn what_is_printed_can_be_read_and_put_back_without_a_change() -> Result<(), Error> {
    let (ledger, _) = at_noon().await;
    let create = ledger.create("t").saga_id("saga").queue("agents").kind("build").label("issue", "168");
    let create =
        create.payload(JsonText(r#"{"big":12345678901234567890.50}"#)).priority(7).policy(everything());
    let task = create.undo("remove", "/tmp/a").undo_reason("why").await?;
    let namespace = Namespace::new("default")?;
    let bare = read_put(&record(&ledger, &task).await, &namespace)?;
    let wrapped = read_put(&json(&TaskAnswer::at(&task, ledger.now().await?)), &namespace)?;
    assert_eq!(bare, wrapped);
    let put = ledger.put(bare).await?;
    assert_eq!(put, task, "nothing changed, so there is no new revision");
    Ok(())
}

#[test]
fn what_no_record_has_is_refused_by_its_name() {
    let namespace = Namespace::new("default").expect("a name");
    let refused = |text: &str| read_put(text, &namespace).expect_err(text).message;
    for (text, words) in [
        (r#"{"id":"t","quue":"a"}"#, "quue"),
        (r#"{"id":"t","policy":{"ttl":"5s"}}"#, "policy.ttl"),
        (r#"{"id":"t","compensations":[{"kind":"a"}]}"#, "compensations[0]"),
        (r#"{"id":"t","priority":"high"}"#, "priority"),
        (r#"{"id":"t","labels":{"a":1}}"#, "labels.a"),
        (r#"{"id":"t","policy":{"lease_ttl":"1ms"}}"#, "policy.lease_ttl"),
        (r#"{"id":"t","policy":{"backoff":{"cap":"soon"}}}"#, "policy.backoff.cap"),
        (r#"{"id":"t","finished_at":"2026-01-31T12:00:00"}"#, "finished_at"),
        (r#"{"queue":"a"}"#, "id"),
        (r#"[]"#, "record"),
        (r#"{"task":{"id":"t"},"id":"u"}"#, "task"),
    ] {
        let message = refused(text);
        assert!(message.contains(words), "{text}: {message}");
    }
}

/// The records that are read back here, each with something that reading may lose.
async fn odd_tasks() -> Result<Vec<Task>, Error> {
    let (ledger, clock) = at_noon().await;
    let mut tasks = vec![ledger.create("planned").payload(json!(null)).await?];
    ledger.create("reserved").policy(everything()).await?;
    tasks.push(ledger.dispatch("reserved", "w1").await?);
    ledger
        .create("held")
        .undo("a", "x")
        .policy(Policy::default().with(|policy| policy.max_attempts = 2))
        .await?;
    tasks.push(ledger.acquire("held", "w1").ttl(Span::from_secs(5)).await?);
    let w1 = holder("w1", 1);
    ledger.progress("held", &w1).report(json!(null)).checkpoint(json!(null)).await?;
    tasks.push(ledger.task("held").await?);
    tasks.push(ledger.cancel("held", "enough").await?);
    clock.advance(Duration::from_secs(60));
    tasks.push(ledger.reclaim("held", "recovery").await?);
    let recovery = holder("recovery", 2);
    tasks.push(ledger.tried("held", &recovery, 1, "no").await?);
    tasks.push(ledger.release("held", &recovery, "others may").delay(Duration::from_secs(9)).await?);
    ledger.reclaim("held", "recovery").await.expect_err("not due");
    tasks.push(ledger.mark_quarantined("held", "a look").await?);
    tasks.push(ledger.retry("held", "again").id("again").await?);
    tasks.push(ledger.task("held").await?);
    ledger.create("empty").await?;
    ledger.acquire("empty", "w1").await?;
    tasks.push(ledger.complete("empty", &holder("w1", 1)).result(json!(null)).await?);
    ledger.create("none").await?;
    ledger.acquire("none", "w1").await?;
    tasks.push(ledger.complete("none", &holder("w1", 1)).await?);
    Ok(tasks)
}

#[tokio::test]
async fn what_is_printed_of_a_task_reads_back_as_that_task() -> Result<(), Error> {
    for task in odd_tasks().await? {
        let text = json(&TaskJson::at(&task, task.updated_at));
        assert_eq!(read_task(&text).as_ref(), Ok(&task), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn a_null_that_was_given_is_no_missing_value() -> Result<(), Error> {
    let tasks = odd_tasks().await?;
    let ending = |id: &str| {
        let task = tasks.iter().rfind(|task| task.id.as_str() == id).expect("it is there");
        let text = json(&TaskJson::at(task, task.updated_at));
        let result = read_task(&text).expect(&text).ending().and_then(|ending| ending.result.clone());
        (result.map(|result| result.to_string()), text.contains(r#""given_null":["result"]"#))
    };
    assert_eq!(ending("empty"), (Some("null".to_owned()), true));
    assert_eq!(ending("none"), (None, false));
    Ok(())
}

#[tokio::test]
async fn a_given_null_survives_a_put_of_what_was_printed() -> Result<(), Error> {
    let tasks = odd_tasks().await?;
    let task = tasks.iter().find(|task| task.id.as_str() == "empty").expect("it is there");
    let put = read_put(&json(&TaskJson::at(task, task.updated_at)), &task.namespace)?;
    assert_eq!(put.result.map(|result| result.to_string()).as_deref(), Some("null"));
    Ok(())
}

#[tokio::test]
async fn a_reader_passes_over_what_it_does_not_know_and_guesses_nothing() -> Result<(), Error> {
    let (ledger, _) = at_noon().await;
    ledger.create("t").await?;
    let task = ledger.acquire("t", "w1").await?;
    let text = record(&ledger, &task).await;
    let more = text.replacen('{', r#"{"mood":{"a":1},"#, 1).replace(r#""ttl":"#, r#""colour":"red","ttl":"#);
    assert_eq!(read_task(&more), Ok(task));
    for (gone, field) in [
        (r#""retry_of":null,"#, "retry_of"),
        (r#""granted_to":"alice","#, "granted_to"),
        (r#""max_attempts":1,"#, "max_attempts"),
        (r#""result":null,"#, "result"),
        (r#""stale":false,"#, "stale"),
    ] {
        let less = text.replace(gone, "");
        assert_ne!(less, text, "{gone} is there");
        let what = read_task(&less).expect_err(field);
        assert!(what.contains(field), "{what}");
    }
    let homeless = text.replace(r#""state":"running""#, r#""state":"dispatched""#);
    assert_eq!(read_task(&homeless), Err("a dispatched task needs `reservation`".to_owned()));
    let wrong = text.replace(r#""ttl":"60s""#, r#""ttl":"60""#);
    assert!(read_task(&wrong).expect_err("no length").starts_with("lease.ttl: "));
    Ok(())
}

#[tokio::test]
async fn what_is_printed_of_an_event_reads_back_to_the_byte() -> Result<(), Error> {
    let (ledger, _) = at_noon().await;
    let payload =
        r#"{"é\"\\":[1.50,1e-400,123456789012345678901234567890,-0.0],"\u2028":"\u0001\ud83d\ude00"}"#;
    ledger.create("t").payload(JsonText(payload)).label("who", "Zoë \u{7f}\n").await?;
    ledger.acquire("t", "w1").await?;
    ledger.complete("t", &holder("w1", 1)).result(json!(null)).await?;
    for recorded in ledger.events(None, 100).await?.items {
        let text = json(&EventJson::from(&recorded));
        assert_eq!(read_recorded(&text).as_ref(), Ok(&recorded), "{text}");
        let forged = text.replace(r#""number":"#, r#""number":1"#);
        assert_ne!(read_recorded(&forged), Ok(recorded));
    }
    Ok(())
}

#[tokio::test]
async fn what_is_printed_of_a_failure_reads_back_as_that_failure() -> Result<(), Error> {
    let (ledger, _) = at_noon().await;
    ledger.create("t").await?;
    let held = ledger.dispatch("t", "w1").await.map(|_| ()).and(ledger.acquire("t", "w2").await.map(|_| ()));
    for error in [
        held.expect_err("it is reserved"),
        Refusal::invalid("policy.backoff.cap", "no such length").into(),
        Error::Unavailable("the disk is full".into()),
        Error::Unknown("\"".into()),
    ] {
        let text = json(&CommandError::from(&error));
        assert_eq!(read_error(&text), Ok(error), "{text}");
    }
    let foreign = r#"{"refusal":{"code":"moody","message":"no"}}"#;
    assert_eq!(
        read_error(foreign),
        Err("refusal.code: unknown refusal code `moody` at line 1 column 26".to_owned())
    );
    Ok(())
}

#[tokio::test]
async fn tokens_and_how_they_read_back() -> Result<(), Error> {
    let (ledger, _) = at_noon().await;
    let (secret, token) = ledger.create_token("ci", Role::Worker).in_namespaces(["b", "a"]).await?;
    let (_, wide) = ledger
        .create_token("root", Role::Admin)
        .in_namespaces(["*"])
        .lifetime(Duration::from_secs(60))
        .await?;
    let revoked = ledger.revoke_token("root").await?;
    let all = ledger.store().tokens(None).await?.expect("there are some");
    assert_snapshot!(
        [
            json(&NewToken { token: Some(secret.reveal().to_owned()), record: token.clone() }),
            json(&wide),
            json(&revoked),
            json(&all),
        ]
        .join("\n"),
        @r#"
    {"token":"tenure_365dfa6e74a63cb923a3194e9fb1c3017cffdc7c3d8d2572229da9c1136949b7","name":"ci","role":"worker","namespaces":["a","b"],"created_at":"2026-01-31T12:00:00.000000Z","created_by":"alice","expires_at":null,"revoked_at":null,"revoked_by":null}
    {"name":"root","role":"admin","namespaces":["*"],"created_at":"2026-01-31T12:00:00.000000Z","created_by":"alice","expires_at":"2026-01-31T12:01:00.000000Z","revoked_at":null,"revoked_by":null}
    {"name":"root","role":"admin","namespaces":["*"],"created_at":"2026-01-31T12:00:00.000000Z","created_by":"alice","expires_at":"2026-01-31T12:01:00.000000Z","revoked_at":"2026-01-31T12:00:00.000000Z","revoked_by":"alice"}
    {"version":1769860800000002,"tokens":[{"hash":"094e21d43b4ec9abaab7fef120310d165cab96e5ba3c2e77ad77f626dc35ff37","name":"ci","role":"worker","namespaces":["a","b"],"created_at":"2026-01-31T12:00:00.000000Z","created_by":"alice","expires_at":null,"revoked_at":null,"revoked_by":null},{"hash":"d54becc40169fe4bd4154a981a104a4046387b2e60374becf2eadee7c91d3478","name":"root","role":"admin","namespaces":["*"],"created_at":"2026-01-31T12:00:00.000000Z","created_by":"alice","expires_at":"2026-01-31T12:01:00.000000Z","revoked_at":"2026-01-31T12:00:00.000000Z","revoked_by":"alice"}]}
    "#
    );
    for token in [&token, &wide, &revoked] {
        assert_eq!(from_json::<Token>(&json(token)).as_ref(), Ok(token));
    }
    let text = json(&all);
    assert_eq!(from_json::<Tokens>(&text), Ok(all));
    for (good, bad, told) in [
        ("\"worker\"", "\"root\"", "unknown word `root`"),
        ("[\"a\",\"b\"]", "[]", "namespaces: 1 to 100 names"),
        ("\"created_by\":\"alice\",", "", "missing field `created_by`"),
        ("\"hash\":\"", "\"hash\":\"x", "is not a hash"),
    ] {
        let error = from_json::<Tokens>(&text.replacen(good, bad, 1)).expect_err(bad);
        assert!(error.contains(told), "{bad}: {error}");
    }
    Ok(())
}

#[test]
fn depth_costs_no_more_than_the_bytes_that_it_has() {
    let nested = |depth: usize| {
        let inner = vec!["1"; 60_000].join(",");
        format!("{}{inner}{}", "[".repeat(depth), "]".repeat(depth))
    };
    let fastest = |text: &str| {
        let once = || {
            let began = tenure::clock::Moment::now();
            tenure::json::document("payload", text).expect("a document");
            tenure::clock::Moment::now().since(began)
        };
        (0..7).map(|_| once()).min().expect("some")
    };
    let (flat, deep) = (fastest(&nested(1)), fastest(&nested(98)));
    assert!(deep.as_micros() < 8 * flat.as_micros(), "{deep} against {flat}: it was 98 times as much");
}
