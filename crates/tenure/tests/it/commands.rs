//! Commands as JSON: a written command is read back as the same one, and a wrong one is refused with the name of the
//! field.

use tenure::core::command::{
    Action, Command, Holder, IdOrigin, LeaseScope, Put, PutUndo, QuarantineCause, UndoBy,
};
use tenure::core::compensation::Undo;
use tenure::core::event::{Triage, Waiver};
use tenure::core::id::{
    Actor, Document, Epoch, Kind, Namespace, Owner, Progress, Queue, Reason, RequestId, Revision, Seq,
    TaskId, Text,
};
use tenure::core::policy::{Backoff, Jitter, Policy, Ttl};
use tenure::core::refusal::Refusal;
use tenure::core::task::State;
use tenure::core::time::{Span, Time};
use tenure::entropy::SeededEntropy;
use tenure::ledger::{create, new_record};
use tenure::record::command::{By, Target, Verb, command_json, read_body, read_command, read_heartbeat};

static CHANCE: SeededEntropy = SeededEntropy::new(7);

fn shop() -> Namespace {
    Namespace::new("shop").expect("a name")
}

fn id(name: &str) -> TaskId {
    TaskId::new(name).expect("a name")
}

fn words(text: &str) -> Reason {
    Reason::new(text).expect("words")
}

fn owner() -> Owner {
    Owner::new("host/42/w1").expect("a name")
}

fn by() -> Holder {
    Holder { owner: owner(), epoch: Epoch(u64::MAX) }
}

fn null() -> Option<Document> {
    Some(Document::null())
}

fn undo(reason: Option<&str>) -> Undo {
    let target = Text::new("/tmp/ä \\ \"\u{2028}").expect("a text");
    Undo { kind: Kind::new("remove/wt").expect("a name"), target, reason: reason.map(words) }
}

/// A record in which nothing is as by default.
fn record() -> Put {
    let mut put = new_record("t").expect("a record");
    put.record.policy =
        Policy { backoff: Backoff { factor: 7, ..Backoff::default() }, max_attempts: 9, ..Policy::default() };
    put.record.naming = IdOrigin::Made;
    put.record.payload = Document::new(r#"{"a":[1.50,1e-400]}"#).expect("JSON");
    put.record.not_before = Some(Time::MIN);
    put.revision = Some(Revision(3));
    put.state = State::Failed;
    put.terminal_reason = Some(words("broken"));
    put.result = null();
    put.compensations = vec![
        PutUndo { seq: Some(Seq(1)), undo: undo(None) },
        PutUndo { seq: None, undo: undo(Some("made by it")) },
    ];
    (put.created_at, put.finished_at) = (Some(Time::from_micros(1)), Some(Time::MAX));
    (put.epoch, put.attempts) = (Some(Epoch(4)), Some(5));
    put
}

/// Every action, with and without what it may leave out.
fn actions() -> Vec<Action> {
    let (task, reason, queue) = (|| id("t"), || words("because"), Queue::new("q/1").expect("a name"));
    let (ttl, delay) = (Ttl::new(Span::from_secs(90)).ok(), Some(Span::from_micros(u64::MAX)));
    let (text, waiver) = (|| Text::new("").expect("a text"), Waiver { seq: Seq(2), reason: words("gone") });
    let progress = Some(Progress::new("null").expect("JSON"));
    let mut full = create(id("t"), IdOrigin::Made).expect("a task");
    full.compensations = vec![undo(None), undo(Some("x"))];
    full.priority = i32::MIN;
    let plain = create(id("t"), IdOrigin::Given).expect("a task");
    vec![
        Action::Create(Box::new(plain)),
        Action::Create(Box::new(full)),
        Action::Put(Box::new(new_record("t").expect("a record"))),
        Action::Put(Box::new(record())),
        Action::Dispatch { task: task(), owner: owner(), ttl },
        Action::Acquire { task: task(), owner: owner(), ttl: None },
        Action::Reclaim { task: task(), owner: owner(), ttl },
        Action::Claim { queue: queue.clone(), limit: 0, owner: owner(), ttl },
        Action::Claim { queue, limit: u32::MAX, owner: owner(), ttl: None },
        Action::Heartbeat { task: task(), by: by(), ttl: None, progress: None, checkpoint: None },
        Action::Heartbeat { task: task(), by: by(), ttl, progress: progress.clone(), checkpoint: null() },
        Action::Progress { task: task(), by: by(), progress: None, checkpoint: None },
        Action::Progress { task: task(), by: by(), progress, checkpoint: null() },
        Action::Release { task: task(), by: by(), reason: reason(), delay: None },
        Action::Release { task: task(), by: by(), reason: reason(), delay },
        Action::Register { task: task(), by: None, undo: undo(None) },
        Action::Register { task: task(), by: Some(by()), undo: undo(Some("x")) },
        Action::Adopt { task: task(), by: by() },
        Action::Settle { task: task(), by: by(), seq: Seq(1), receipt: text() },
        Action::Try { task: task(), by: by(), seq: Seq(u32::MAX), error: text() },
        Action::Waive { task: task(), waiver: waiver.clone() },
        Action::Complete { task: task(), by: by(), result: None },
        Action::Complete { task: task(), by: by(), result: null() },
        Action::MarkCompleted { task: task(), reason: reason(), result: None },
        Action::MarkCompleted { task: task(), reason: reason(), result: null() },
        Action::Fail { task: task(), by: by(), reason: reason(), compensation: None },
        Action::Fail { task: task(), by: by(), reason: reason(), compensation: Some(undo(None)) },
        Action::MarkFailed { task: task(), reason: reason(), compensation: Some(undo(Some("x"))) },
        Action::RollBack { task: task(), by: by(), reason: reason(), undo_by: UndoBy::Recovery },
        Action::RollBack { task: task(), by: by(), reason: reason(), undo_by: UndoBy::Holder },
        Action::Quarantine { task: task(), by: by(), reason: reason(), parking: QuarantineCause::ByHolder },
        Action::Quarantine {
            task: task(),
            by: by(),
            reason: reason(),
            parking: QuarantineCause::UndoUnhandled,
        },
        Action::Quarantine { task: task(), by: by(), reason: reason(), parking: QuarantineCause::UndoFailed },
        Action::MarkQuarantined { task: task(), reason: reason() },
        Action::MarkCompensated { task: task(), reason: reason(), waive: Vec::new() },
        Action::MarkCompensated { task: task(), reason: reason(), waive: vec![waiver.clone()] },
        Action::Cancel { task: task(), reason: reason() },
        Action::Annotate { task: task(), note: None, terminal_reason: None, triage: Triage::Stays },
        Action::Annotate {
            task: task(),
            note: Some(reason()),
            terminal_reason: Some(words("better")),
            triage: Triage::Dismissed,
        },
        Action::Retry {
            task: task(),
            successor: id("u"),
            naming: IdOrigin::Made,
            reason: reason(),
            waive: vec![waiver],
        },
        Action::Retry {
            task: task(),
            successor: id("u"),
            naming: IdOrigin::Given,
            reason: reason(),
            waive: Vec::new(),
        },
    ]
}

fn caller(namespace: &Namespace) -> By<'_> {
    By { namespace, actor: None, reach: LeaseScope::Any, entropy: &CHANCE }
}

fn read(text: &str) -> Result<Command, Refusal> {
    read_command(text, &caller(&shop()))
}

#[test]
fn what_is_written_of_a_command_reads_as_that_command() {
    for action in actions() {
        for (request, jitter, reach) in
            [(None, 0, LeaseScope::Any), (Some("r/1"), u16::MAX, LeaseScope::OwnLeases)]
        {
            let command = Command {
                namespace: shop(),
                actor: Actor::new("alice").expect("a name"),
                request: request.map(|id| RequestId::new(id).expect("a name")),
                jitter: Jitter::from_random(jitter),
                reach,
                action: action.clone(),
            };
            let text = command_json(&command);
            let by = By { reach, ..caller(&command.namespace) };
            assert_eq!(read_command(&text, &by), Ok(command.clone()), "{text}");
        }
    }
}

#[test]
fn who_acts_is_who_is_named_or_the_owner_or_nobody_known_and_a_token_overrules_it() {
    let actor = |text: &str| read(text).expect(text).actor.to_string();
    assert_eq!(actor(r#"{"verb":"acquire","task":"t","owner":"w1"}"#), "w1");
    assert_eq!(actor(r#"{"verb":"acquire","task":"t","owner":"w1","as":"alice"}"#), "alice");
    assert_eq!(actor(r#"{"verb":"adopt","task":"t","owner":"w1","epoch":1}"#), "w1");
    assert_eq!(actor(r#"{"verb":"dispatch","task":"t","owner":"w1"}"#), "anonymous");
    assert_eq!(actor(r#"{"verb":"create","id":"t"}"#), "anonymous");
    let namespace = shop();
    let token = By { actor: Actor::new("ci").ok(), ..caller(&namespace) };
    let text = r#"{"verb":"adopt","task":"t","owner":"w1","epoch":1,"as":"alice"}"#;
    assert_eq!(read_command(text, &token).expect(text).actor.as_str(), "ci");
}

#[test]
fn a_body_is_read_as_the_command_of_its_route() {
    let namespace = shop();
    let target = || Target { task: Some(id("t")), seq: Some(Seq(2)), request: RequestId::new("r1").ok() };
    let text = r#"{"owner":"w1","epoch":3,"receipt":"done","jitter":9}"#;
    let command = read_body(Verb::Settle, target(), text, &caller(&namespace)).expect(text);
    let holder = Holder { owner: Owner::new("w1").expect("a name"), epoch: Epoch(3) };
    let receipt = Text::new("done").expect("a text");
    assert_eq!(command.action, Action::Settle { task: id("t"), by: holder, seq: Seq(2), receipt });
    assert_eq!((command.request, command.jitter), (target().request, Jitter::from_random(9)));
    let put = |text| read_body(Verb::Put, Target::default(), text, &caller(&namespace)).expect(text);
    assert_eq!(put(r#"{"task":{"id":"t"},"as":"alice"}"#), put(r#"{"id":"t","as":"alice","cause":null}"#));
    let claim = r#"{"queue":"q","owner":"w1","wait":"30s"}"#;
    let claim = read_body(Verb::Claim, Target::default(), claim, &caller(&namespace)).expect(claim);
    assert!(matches!(claim.action, Action::Claim { limit: 1, .. }));
    let heartbeat = r#"{"id":"t","owner":"w1","epoch":3,"ttl":"60s"}"#;
    let heartbeat = read_heartbeat(heartbeat, &caller(&namespace)).expect(heartbeat);
    assert_eq!(heartbeat.action.task(), Some(&id("t")));
}

#[test]
fn an_id_that_nobody_chose_is_made() {
    let made = read(r#"{"verb":"retry","task":"t","reason":"again"}"#).expect("a retry").action;
    let Action::Retry { successor, naming, .. } = made else { panic!("{made:?}") };
    assert!(successor.as_str().starts_with("seeded-7-"), "{successor}");
    assert_eq!(naming, IdOrigin::Made);
    let created = read(r#"{"verb":"create","made":true}"#).expect("a creation").action;
    assert!(matches!(created, Action::Create(create) if create.naming == IdOrigin::Made));
}

#[test]
fn what_is_wrong_is_refused_by_the_name_that_it_has_in_json() {
    for (text, field) in [
        ("", "body"),
        ("[]", "body"),
        (r#"{"verb":"acquire","task":"t","owner":"w1"} 1"#, "body"),
        ("{}", "verb"),
        (r#"{"verb":"mark failed"}"#, "verb"),
        (r#"{"verb":1}"#, "verb"),
        (r#"{"verb":"acquire","owner":"w1"}"#, "task"),
        (r#"{"verb":"acquire","task":"a b","owner":"w1"}"#, "task"),
        (r#"{"verb":"acquire","task":"t","task":"u","owner":"w1"}"#, "task"),
        (r#"{"verb":"acquire","task":"t"}"#, "owner"),
        (r#"{"verb":"acquire","task":"t","owner":"w1","owner":"w2"}"#, "body"),
        (r#"{"verb":"acquire","task":"t","owner":"w1","seq":1}"#, "seq"),
        (r#"{"verb":"acquire","task":"t","owner":"w 1"}"#, "owner"),
        (r#"{"verb":"acquire","task":"t","owner":"w1","ttl":"1ms"}"#, "ttl"),
        (r#"{"verb":"acquire","task":"t","owner":"w1","as":"a b"}"#, "as"),
        (r#"{"verb":"acquire","task":"t","owner":"w1","jitter":65536}"#, "jitter"),
        (r#"{"verb":"acquire","task":"t","owner":"w1","namespace":"shop"}"#, "body"),
        (r#"{"verb":"acquire","task":"t","owner":"w1","request_id":"a b"}"#, "request_id"),
        (r#"{"verb":"create","task":"t"}"#, "task"),
        (r#"{"verb":"create","id":"t","payload":{"a":1,"a":2}}"#, "payload"),
        (r#"{"verb":"create","id":"t","compensations":[{"kind":"a b","target":""}]}"#, "compensations.kind"),
        (r#"{"verb":"put","id":"t","quue":"a"}"#, "body"),
        (r#"{"verb":"put","id":"t","namespace":"other"}"#, "namespace"),
        (r#"{"verb":"claim","queue":"q","owner":"w1","wait":"1s"}"#, "wait"),
        (r#"{"verb":"claim","queue":"q","owner":"w1","limit":-1}"#, "limit"),
        (r#"{"verb":"heartbeat","task":"t","owner":"w1"}"#, "epoch"),
        (r#"{"verb":"heartbeat","task":"t","epoch":1}"#, "owner"),
        (r#"{"verb":"release","task":"t","owner":"w1","epoch":1,"reason":"x","delay":"soon"}"#, "delay"),
        (r#"{"verb":"complete","task":"t","owner":"w1"}"#, "epoch"),
        (r#"{"verb":"complete","task":"t","epoch":1}"#, "owner"),
        (r#"{"verb":"complete","task":"t"}"#, "reason"),
        (r#"{"verb":"complete","task":"t","owner":"w1","epoch":1,"reason":"x"}"#, "reason"),
        (r#"{"verb":"fail","task":"t","reason":" "}"#, "reason"),
        (r#"{"verb":"fail","task":"t","reason":"x","compensation":{"kind":"a","target":1}}"#, "compensation"),
        (r#"{"verb":"quarantine","task":"t","reason":"x","cause":"undo_failed"}"#, "cause"),
        (r#"{"verb":"quarantine","task":"t","owner":"w","epoch":1,"reason":"x","cause":"lapsed"}"#, "cause"),
        (r#"{"verb":"settle","task":"t","owner":"w","epoch":1,"receipt":"x"}"#, "seq"),
        (r#"{"verb":"settle","task":"t","seq":1,"owner":"w","epoch":1}"#, "receipt"),
        (
            r#"{"verb":"settle","task":"t","seq":1,"owner":"w","epoch":1,"receipt":"x","error":"y"}"#,
            "receipt",
        ),
        (r#"{"verb":"waive","task":"t","seq":"1","reason":"x"}"#, "seq"),
        (r#"{"verb":"retry","task":"t","reason":"x","waive":[{"seq":1,"reason":""}]}"#, "waive.reason"),
    ] {
        let refusal = read(text).expect_err(text);
        assert_eq!(refusal.field, Some(field), "{text}: {}", refusal.message);
    }
}

#[test]
fn where_it_is_wrong_is_told() {
    let text = r#"{"verb":"retry","task":"t","reason":"x","waive":[{"seq":1,"reason":"a","why":"b"}]}"#;
    let message = "waive: [0].why: unknown field `why`, expected `seq` or `reason`";
    let refusal = read(text).expect_err(text);
    assert!(refusal.message.starts_with(message), "{}", refusal.message);
}
