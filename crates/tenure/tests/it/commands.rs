//! Commands as JSON: a written command is read back as the same one, and a wrong one is refused with the name of the
//! field.

use tenure::api::command::{By, CommandName, Target, command_json, read_body, read_command, read_heartbeat};
use tenure::core::command::{
    Action, Command, Create, Holder, HolderAction, IdOrigin, LeaseScope, OperatorAction, Put, PutHolder,
    PutUndo, QuarantineCause, Take, UndoBy,
};
use tenure::core::compensation::Undo;
use tenure::core::event::{HandReceipt, LabelChanges, Triage, Waiver};
use tenure::core::id::{
    Actor, Document, Epoch, Kind, LabelKey, LabelValue, Namespace, Owner, Progress, Queue, Reason, RequestId,
    Revision, Seq, TaskId, Text,
};
use tenure::core::policy::{Backoff, Jitter, Policy, Ttl};
use tenure::core::refusal::Refusal;
use tenure::core::task::State;
use tenure::core::time::{Span, Time};
use tenure::entropy::SeededEntropy;

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
    let mut put = Put::new(TaskId::new("t").expect("a name"));
    put.record.policy = Policy::default().with(|policy| {
        policy.backoff = Backoff { factor: 7, ..Backoff::default() };
        policy.max_attempts = 9;
    });
    put.record.id_origin = IdOrigin::Made;
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

/// A record that moves in while it is worked on.
fn moving_in(state: State) -> Put {
    let mut put = Put::new(id("t"));
    put.state = state;
    let granted_to = Actor::new("team").ok();
    put.holder = Some(PutHolder { owner: owner(), granted_to, expires_at: Time::MAX });
    put.reason = Some(words("moves"));
    put
}

fn done() -> HandReceipt {
    HandReceipt { seq: Seq(1), receipt: Text::new("by hand").expect("a text") }
}

fn labels() -> LabelChanges {
    let key = |name: &str| LabelKey::new(name).expect("a key");
    let set = [(key("branch"), LabelValue::new("fix").expect("a value"))].into();
    LabelChanges { set, unset: vec![key("issue")] }
}

/// Every action, with and without what it may leave out.
fn actions() -> Vec<Action> {
    let (task, reason, queue) = (|| id("t"), || words("because"), Queue::new("q/1").expect("a name"));
    let (ttl, delay) = (Ttl::new(Span::from_secs(90)).ok(), Some(Span::from_micros(u64::MAX)));
    let (text, waiver) = (|| Text::new("").expect("a text"), Waiver { seq: Seq(2), reason: words("gone") });
    let progress = Some(Progress::new("null").expect("JSON"));
    let mut full = Create::new(id("t"), IdOrigin::Made);
    full.compensations = vec![undo(None), undo(Some("x"))];
    full.priority = i32::MIN;
    let plain = Create::new(id("t"), IdOrigin::Given);
    vec![
        Action::Create(Box::new(plain)),
        Action::Create(Box::new(full)),
        Action::Put(Box::new(Put::new(TaskId::new("t").expect("a name")))),
        Action::Put(Box::new(record())),
        Action::Put(Box::new(moving_in(State::Running))),
        Action::Put(Box::new(moving_in(State::Dispatched))),
        Action::Take { task: task(), take: Take::Dispatch, owner: owner(), ttl },
        Action::Take { task: task(), take: Take::Acquire, owner: owner(), ttl: None },
        Action::Take { task: task(), take: Take::Reclaim, owner: owner(), ttl },
        Action::Claim { queue: queue.clone(), limit: 0, owner: owner(), ttl },
        Action::Claim { queue, limit: u32::MAX, owner: owner(), ttl: None },
        HolderAction::Heartbeat { ttl: None, progress: None, checkpoint: None }.on(task(), by()),
        HolderAction::Heartbeat { ttl, progress: progress.clone(), checkpoint: null() }.on(task(), by()),
        HolderAction::Progress { progress: None, checkpoint: None }.on(task(), by()),
        HolderAction::Progress { progress, checkpoint: null() }.on(task(), by()),
        HolderAction::Release { reason: reason(), delay: None }.on(task(), by()),
        HolderAction::Release { reason: reason(), delay }.on(task(), by()),
        OperatorAction::Register { undo: undo(None) }.on(task()),
        HolderAction::Register { undo: undo(Some("x")) }.on(task(), by()),
        HolderAction::Adopt.on(task(), by()),
        HolderAction::Settle { seq: Seq(1), receipt: text() }.on(task(), by()),
        HolderAction::Try { seq: Seq(u32::MAX), error: text() }.on(task(), by()),
        OperatorAction::Waive { waiver: waiver.clone() }.on(task()),
        HolderAction::Complete { result: None }.on(task(), by()),
        HolderAction::Complete { result: null() }.on(task(), by()),
        OperatorAction::MarkCompleted { reason: reason(), result: None }.on(task()),
        OperatorAction::MarkCompleted { reason: reason(), result: null() }.on(task()),
        HolderAction::Fail { reason: reason(), compensation: None }.on(task(), by()),
        HolderAction::Fail { reason: reason(), compensation: Some(undo(None)) }.on(task(), by()),
        OperatorAction::MarkFailed { reason: reason(), compensation: Some(undo(Some("x"))) }.on(task()),
        HolderAction::RollBack { reason: reason(), undo_by: UndoBy::Recovery }.on(task(), by()),
        HolderAction::RollBack { reason: reason(), undo_by: UndoBy::Holder }.on(task(), by()),
        HolderAction::Quarantine { reason: reason(), cause: QuarantineCause::ByHolder }.on(task(), by()),
        HolderAction::Quarantine { reason: reason(), cause: QuarantineCause::UndoUnhandled }.on(task(), by()),
        HolderAction::Quarantine { reason: reason(), cause: QuarantineCause::UndoFailed }.on(task(), by()),
    ]
}

/// Every action that only an operator gives, besides the ends that a holder gives, too.
fn by_operator() -> Vec<Action> {
    let (task, reason) = (|| id("t"), || words("because"));
    let waiver = Waiver { seq: Seq(2), reason: words("gone") };
    vec![
        OperatorAction::MarkQuarantined { reason: reason() }.on(task()),
        OperatorAction::MarkCompensated { reason: reason(), waive: Vec::new(), settled: vec![done()] }
            .on(task()),
        OperatorAction::MarkCompensated {
            reason: reason(),
            waive: vec![waiver.clone()],
            settled: Vec::new(),
        }
        .on(task()),
        OperatorAction::Settle { done: done(), reason: reason() }.on(task()),
        HolderAction::Label { changes: labels() }.on(task(), by()),
        OperatorAction::Label { changes: labels(), reason: None }.on(task()),
        OperatorAction::Label {
            changes: LabelChanges { unset: Vec::new(), ..labels() },
            reason: Some(reason()),
        }
        .on(task()),
        OperatorAction::Cancel { reason: reason() }.on(task()),
        OperatorAction::Annotate { note: None, terminal_reason: None, triage: Triage::Stays }.on(task()),
        OperatorAction::Annotate {
            note: Some(reason()),
            terminal_reason: Some(words("better")),
            triage: Triage::Dismissed,
        }
        .on(task()),
        OperatorAction::Retry {
            successor: id("u"),
            id_origin: IdOrigin::Made,
            reason: reason(),
            waive: vec![waiver],
            settled: vec![done()],
        }
        .on(task()),
        OperatorAction::Retry {
            successor: id("u"),
            id_origin: IdOrigin::Given,
            reason: reason(),
            waive: Vec::new(),
            settled: Vec::new(),
        }
        .on(task()),
    ]
}

fn caller(namespace: &Namespace) -> By<'_> {
    By { namespace, actor: None, lease_scope: LeaseScope::Any, random: &CHANCE }
}

fn read(text: &str) -> Result<Command, Refusal> {
    read_command(text, &caller(&shop()))
}

#[test]
fn what_is_written_of_a_command_reads_as_that_command() {
    for action in actions().into_iter().chain(by_operator()) {
        for (request, jitter, lease_scope) in
            [(None, 0, LeaseScope::Any), (Some("r/1"), u16::MAX, LeaseScope::OwnLeases)]
        {
            let command = Command {
                namespace: shop(),
                actor: Actor::new("alice").expect("a name"),
                request: request.map(|id| RequestId::new(id).expect("a name")),
                jitter: Jitter::from_random(jitter),
                lease_scope,
                action: action.clone(),
            };
            let text = command_json(&command);
            let by = By { lease_scope, ..caller(&command.namespace) };
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
    let command = read_body(CommandName::Settle, target(), text, &caller(&namespace)).expect(text);
    let holder = Holder { owner: Owner::new("w1").expect("a name"), epoch: Epoch(3) };
    let receipt = Text::new("done").expect("a text");
    assert_eq!(command.action, HolderAction::Settle { seq: Seq(2), receipt }.on(id("t"), holder));
    assert_eq!((command.request, command.jitter), (target().request, Jitter::from_random(9)));
    let put = |text| read_body(CommandName::Put, Target::default(), text, &caller(&namespace)).expect(text);
    assert_eq!(put(r#"{"task":{"id":"t"},"as":"alice"}"#), put(r#"{"id":"t","as":"alice","cause":null}"#));
    let claim = r#"{"queue":"q","owner":"w1","wait":"30s"}"#;
    let claim = read_body(CommandName::Claim, Target::default(), claim, &caller(&namespace)).expect(claim);
    assert!(matches!(claim.action, Action::Claim { limit: 1, .. }));
    let heartbeat = r#"{"id":"t","owner":"w1","epoch":3,"ttl":"60s"}"#;
    let heartbeat = read_heartbeat(heartbeat, &caller(&namespace)).expect(heartbeat);
    assert_eq!(heartbeat.action.task(), Some(&id("t")));
}

#[test]
fn an_id_that_nobody_chose_is_made() {
    let made = read(r#"{"verb":"retry","task":"t","reason":"again"}"#).expect("a retry").action;
    let Action::ByOperator { act: OperatorAction::Retry { successor, id_origin, .. }, .. } = made else {
        panic!("{made:?}")
    };
    assert!(successor.as_str().starts_with("seeded-7-"), "{successor}");
    assert_eq!(id_origin, IdOrigin::Made);
    let created = read(r#"{"verb":"create","made":true}"#).expect("a creation").action;
    assert!(matches!(created, Action::Create(create) if create.id_origin == IdOrigin::Made));
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
