//! Tests of the client against servers and networks that fail.

#![allow(clippy::expect_used)] // What surprises a test stops it.

mod fake;
mod waiting;

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tenure_clock::Moment;
use tenure_core::command::{Action, Command, Holder, HolderAction, LeaseScope, Put, PutUndo};
use tenure_core::compensation::Undo;
use tenure_core::id::{
    Actor, Epoch, Kind, LabelKey, LabelValue, Namespace, Owner, Queue, RequestId, SagaId, TaskId, Text,
};
use tenure_core::policy::Jitter;
use tenure_core::refusal::Code;
use tenure_core::task::{Cause, State};
use tenure_core::time::{Span, Time};
use tenure_store::entropy::SeededEntropy;
use tenure_store::{Answer, BoxFuture, Error, EventFilter, Filter, Order, Store};

use self::fake::{Fake, Reply, Request, nobody};
use crate::batch::UNDER_WAY;
use crate::timeouts::Timeouts;
use crate::{RemoteOptions, RemoteStore};

/// As short as a test can be without being in a hurry.
fn limits() -> Timeouts {
    Timeouts {
        answer: Duration::from_millis(400),
        refused: Duration::from_millis(300),
        unsure: Duration::from_millis(1_000),
        queue_space: Duration::from_millis(300),
        ..Timeouts::default()
    }
}

fn store_with(limits: Timeouts, places: &[String]) -> RemoteStore {
    let url = format!("http://{}", places.join(","));
    let entropy = Arc::new(SeededEntropy::new(1));
    RemoteStore::with(RemoteOptions { url, token: None, entropy }, limits).expect("a store")
}

fn store(places: &[String]) -> RemoteStore {
    store_with(limits(), places)
}

fn at(fake: &Fake) -> RemoteStore {
    store(&[fake.place()])
}

fn namespace() -> Namespace {
    Namespace::new("default").expect("a name")
}

fn command(action: Action) -> Command {
    let (actor, jitter) = (Actor::new("w").expect("a name"), Jitter::NONE);
    Command { namespace: namespace(), actor, request: None, jitter, lease_scope: LeaseScope::Any, action }
}

/// A command that is known by its queue.
fn claim(queue: &str) -> Command {
    let (queue, owner) = (Queue::new(queue).expect("a name"), Owner::new("w").expect("a name"));
    command(Action::Claim { queue, limit: 1, owner, ttl: None })
}

fn heartbeat() -> Command {
    let by = Holder { owner: Owner::new("w").expect("a name"), epoch: Epoch(1) };
    let task = TaskId::new("t").expect("a name");
    command(HolderAction::Heartbeat { ttl: None, progress: None, checkpoint: None }.on(task, by))
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|nth| format!("q{nth}")).collect()
}

fn is_done(answer: &Result<Answer, Error>) -> bool {
    *answer == Ok(Answer::Claimed(Vec::new()))
}

async fn one(store: &RemoteStore, command: Command) -> Result<Answer, Error> {
    store.transact(vec![command]).await.pop().expect("an answer")
}

/// Begins to wait for something, and gives it back: its command is on its way then.
async fn begun<T>(mut future: BoxFuture<'_, T>) -> BoxFuture<'_, T> {
    std::future::poll_fn(|context| {
        assert!(future.as_mut().poll(context).is_pending(), "nothing is answered at once");
        Poll::Ready(())
    })
    .await;
    future
}

fn is_unknown<T>(answer: &Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Unknown(_)))
}

fn is_unavailable<T>(answer: &Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Unavailable(_)))
}

#[tokio::test]
async fn what_waits_while_others_are_under_way_goes_in_one_request_in_its_order() {
    let fake = Fake::new(|_, request| Reply::done(request).gated());
    // None is given up and none counts as slow, however long the gate is shut.
    let limits = Timeouts { slow: Duration::from_secs(60), answer: Duration::from_secs(60), ..limits() };
    let store = store_with(limits, &[fake.place()]);
    let mut sent = Vec::new();
    for (nth, name) in names(40).into_iter().enumerate() {
        sent.push(begun(store.transact(vec![claim(&name)])).await);
        if nth < UNDER_WAY {
            fake.saw(nth + 1);
        }
    }
    fake.opens();
    for sent in sent {
        assert!(sent.await.iter().all(is_done));
    }
    let seen: Vec<Vec<String>> = fake.seen().iter().map(Request::names).collect();
    let alone = std::iter::repeat_n(1, UNDER_WAY);
    let expected: Vec<usize> = alone.chain([40 - UNDER_WAY]).collect();
    assert_eq!(seen.iter().map(Vec::len).collect::<Vec<_>>(), expected);
    assert_eq!(seen.concat(), names(40));
}

#[tokio::test]
async fn a_request_that_takes_long_keeps_nobody_waiting() {
    let fake = Fake::new(|nth, request| if nth < 3 { Reply::Silent } else { Reply::done(request) });
    let limits = Timeouts { slow: Duration::from_millis(50), answer: Duration::from_secs(300), ..limits() };
    let store = store_with(limits, &[fake.place()]);
    let mut hanging = Vec::new();
    for nth in 0..3 {
        hanging.push(begun(store.transact(vec![claim("hangs")])).await);
        fake.saw(nth + 1);
    }
    // Those that hang are waited for five times as long.
    let passes = tokio::time::timeout(Duration::from_secs(60), one(&store, claim("passes")));
    assert!(is_done(&passes.await.expect("it does not wait for those that hang")));
}

#[tokio::test]
async fn a_call_of_many_commands_is_sent_in_parts_in_their_order() {
    let fake = Fake::new(|_, request| Reply::done(request));
    let commands: Vec<Command> = names(2_500).iter().map(|name| claim(name)).collect();
    let answers = at(&fake).transact(commands).await;
    assert_eq!(answers.iter().filter(|answer| is_done(answer)).count(), 2_500);
    let seen: Vec<Vec<String>> = fake.seen().iter().map(Request::names).collect();
    assert_eq!(seen.iter().map(Vec::len).collect::<Vec<_>>(), [1_024, 1_024, 452]);
    assert_eq!(seen.concat(), names(2_500));
}

#[tokio::test]
async fn what_comes_behind_a_part_without_an_answer_is_not_sent() {
    let fake = Fake::always(Reply::problem(503, "unavailable"));
    let commands: Vec<Command> = names(1_500).iter().map(|name| claim(name)).collect();
    let answers = at(&fake).transact(commands).await;
    assert!(answers.iter().all(is_unavailable));
    assert!(fake.seen().iter().all(|request| request.names()[0] == "q0"), "the second part was not sent");
}

#[tokio::test]
async fn namespaces_are_apart_and_answers_come_back_in_order() {
    let fake = Fake::new(|_, request| Reply::done(request));
    let there = Command { namespace: Namespace::new("other").expect("a name"), ..claim("b") };
    let answers = at(&fake).transact(vec![claim("a"), there, claim("c")]).await;
    assert!(answers.iter().all(is_done));
    let lines: Vec<String> = fake.seen().into_iter().map(|request| request.line).collect();
    let here = "POST /v1/default/commands?return=representation";
    assert_eq!(lines, [here, "POST /v1/other/commands?return=representation", here]);
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_under_the_same_name() {
    for lost in [Reply::Closes, Reply::Cut(r#"{"answers":["#.into()), Reply::Silent, Reply::page(502)] {
        let fake = Fake::new(move |nth, request| if nth == 0 { lost.clone() } else { Reply::done(request) });
        let named = Command { request: RequestId::new("mine").ok(), ..claim("b") };
        let answers = at(&fake).transact(vec![claim("a"), named, heartbeat()]).await;
        assert!(answers.iter().all(is_done), "{answers:?}");
        let seen = fake.seen();
        assert_eq!(seen[0].body, seen[1].body);
        let ids: Vec<_> = seen[0].commands().iter().map(|one| one["request_id"].clone()).collect();
        assert_eq!(ids[1], "mine");
        assert!(ids[0].is_string(), "it was given one");
        assert!(ids[2].is_null(), "a heartbeat needs none");
    }
}

#[tokio::test]
async fn whoever_is_not_there_is_passed_over_and_nothing_is_lost() {
    let fake = Fake::new(|_, request| Reply::done(request));
    let store = store(&[nobody(), fake.place()]);
    assert!(is_done(&one(&store, claim("a")).await));
    assert!(is_done(&one(&store, claim("b")).await));
    assert_eq!(fake.seen().len(), 2);
}

#[tokio::test]
async fn where_nobody_is_there_it_was_surely_not_done() {
    let store = store(&[nobody(), nobody()]);
    let began = Moment::now();
    assert!(is_unavailable(&one(&store, claim("a")).await));
    assert!(is_unavailable(&store.now().await));
    assert!(
        Moment::now().since(began) >= Span::from_millis(200),
        "servers that are started anew are waited for"
    );
}

#[tokio::test]
async fn patience_in_the_url_retries_a_server_whose_database_is_away() {
    let undone = Reply::answers(&[r#"{"unavailable":{"message":"not now"}}"#]);
    for away in [Reply::problem(503, "unavailable"), undone] {
        let impatient = Fake::always(away.clone());
        assert!(is_unavailable(&one(&at(&impatient), claim("a")).await));

        // Longer than anybody waits who has no patience.
        let (began, beyond) = (Moment::now(), Span::from(limits().refused * 3));
        let fake = Fake::new(move |_, request| match Moment::now().since(began) > beyond {
            true => Reply::done(request),
            false => away.clone(),
        });
        let store = store(&[format!("{}?patience=60s", fake.place())]);
        let answer = one(&store, claim("a")).await;
        assert!(is_done(&answer), "{answer:?}");
    }
}

#[tokio::test]
async fn once_it_may_have_been_done_no_later_try_says_that_it_was_not() {
    for later in [
        Reply::problem(503, "unavailable"),
        Reply::answers(&[r#"{"unavailable":{"message":"not now"}}"#]),
        Reply::problem(401, "unauthenticated"),
        Reply::problem(404, "not_found"),
        Reply::page(404),
    ] {
        let fake = Fake::new(move |nth, _| if nth == 0 { Reply::Closes } else { later.clone() });
        let answer = one(&at(&fake), claim("a")).await;
        assert!(is_unknown(&answer), "{answer:?}");
    }
    let fake = Fake::always(Reply::Closes);
    let answer = one(&store(&[fake.place(), nobody()]), claim("a")).await;
    assert!(is_unknown(&answer), "{answer:?}");
}

#[tokio::test]
async fn what_is_done_or_surely_not_done_is_told_and_only_the_rest_is_asked_for_again() {
    let (done, unknown) = (r#"{"tasks":[]}"#, r#"{"unknown":{"message":"the commit failed"}}"#);
    let unavailable = r#"{"unavailable":{"message":"the disk is full"}}"#;
    let fake = Fake::new(move |nth, request| match nth {
        0 => Reply::answers(&[done, unknown, unavailable]),
        _ => Reply::done(request),
    });
    let answers = at(&fake).transact(vec![claim("a"), claim("b"), claim("c")]).await;
    assert!(is_done(&answers[0]) && is_done(&answers[1]), "{answers:?}");
    assert_eq!(answers[2], Err(Error::Unavailable("the disk is full".into())));
    assert_eq!(fake.seen()[1].names(), ["b"]);
}

#[tokio::test]
async fn a_heartbeat_that_was_maybe_done_and_then_refused_is_unknown() {
    let refused = r#"{"refusal":{"code":"not_extending","message":"the heartbeat would not extend the lease; ask for a longer ttl"}}"#;
    let script = move |nth| if nth == 0 { Reply::Closes } else { Reply::answers(&[refused]) };
    let fake = Fake::new(move |nth, _| script(nth));
    assert!(is_unknown(&one(&at(&fake), heartbeat()).await));
    let fake = Fake::new(move |nth, _| script(nth));
    let answer = one(&at(&fake), claim("a")).await;
    assert_eq!(answer.expect_err("refused").code(), Some(Code::NotExtending), "its name tells");
    let fake = Fake::new(move |_, _| script(1));
    let answer = one(&at(&fake), heartbeat()).await;
    assert_eq!(answer.expect_err("refused").code(), Some(Code::NotExtending), "it was sent once");
}

#[tokio::test]
async fn what_a_server_says_of_the_whole_request_holds_of_each_command() {
    for (status, code, refused) in [
        (401, "unauthenticated", Code::Forbidden),
        (403, "forbidden", Code::Forbidden),
        (404, "not_found", Code::NotFound),
        (422, "invalid", Code::Invalid),
    ] {
        let fake = Fake::always(Reply::problem(status, code));
        let answers = at(&fake).transact(vec![claim("a"), heartbeat()]).await;
        for answer in answers {
            assert_eq!(answer.expect_err(code).code(), Some(refused), "{code}");
        }
        assert_eq!(fake.seen().len(), 1, "{code} is an answer");
    }
    let fake = Fake::always(Reply::problem(405, "method_not_allowed"));
    assert!(is_unavailable(&one(&at(&fake), claim("a")).await));
}

#[tokio::test]
async fn a_server_that_can_do_nothing_now_is_given_a_moment() {
    for busy in [Reply::problem(503, "unavailable"), Reply::problem(429, "too_many_requests")] {
        let script = busy.clone();
        let fake = Fake::new(move |nth, request| if nth < 2 { script.clone() } else { Reply::done(request) });
        assert!(is_done(&one(&at(&fake), claim("a")).await));
        let fake = Fake::always(busy);
        assert!(is_unavailable(&one(&at(&fake), claim("a")).await));
    }
}

#[tokio::test]
async fn of_what_somebody_in_between_says_no_command_is_surely_undone() {
    for status in [500, 502, 503, 504, 520] {
        let fake = Fake::always(Reply::page(status));
        let store = at(&fake);
        assert!(is_unknown(&one(&store, claim("a")).await), "{status}");
        assert!(is_unavailable(&store.now().await), "{status}: a look is never unknown");
    }
}

#[tokio::test]
async fn what_is_no_server_of_ours_is_told_as_that() {
    let fake = Fake::always(Reply::page(200));
    let store = at(&fake);
    assert!(is_unknown(&one(&store, claim("a")).await), "something took it");
    let error = store.now().await.expect_err("no time").to_string();
    assert!(error.contains("not a Tenure server, or its version is incompatible"), "{error}");
    for reply in [Reply::page(404), Reply::page(301), Reply::page(403)] {
        let fake = Fake::always(reply);
        assert!(is_unavailable(&one(&at(&fake), claim("a")).await));
        assert_eq!(fake.seen().len(), 1);
    }
    let fake = Fake::always(Reply::answers(&[r#"{"mood":"good"}"#]));
    assert!(is_unknown(&one(&at(&fake), claim("a")).await));
    let fake = Fake::always(Reply::answers(&[]));
    assert!(is_unknown(&one(&at(&fake), claim("a")).await));
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_asked_for_in_parts() {
    let limits = Timeouts { answer_bytes_max: 80, ..limits() };
    let fake = Fake::new(|_, request| Reply::done(request));
    let store = store_with(limits, &[fake.place()]);
    let answers = store.transact(names(10).iter().map(|name| claim(name)).collect()).await;
    assert!(answers.iter().all(is_done), "{answers:?}");
    let seen: Vec<usize> = fake.seen().iter().map(|request| request.commands().len()).collect();
    assert_eq!(seen, [10, 5, 5]);
    let large = format!(r#"{{"answers":[{{"tasks":[]}}{}]}}"#, " ".repeat(100));
    let fake = Fake::always(Reply::json(large));
    let store = store_with(limits, &[fake.place()]);
    assert!(is_unknown(&one(&store, claim("a")).await), "it was done");
}

#[tokio::test]
async fn a_request_that_is_too_large_for_somebody_goes_in_parts_and_only_what_is_too_large_alone_is_not_done()
{
    for refusal in [Reply::problem(413, "too_large"), Reply::page(413)] {
        let fake = Fake::new(move |_, request| {
            let is_large = request.commands().len() > 2 || request.names().iter().any(|name| name == "q3");
            if is_large { refusal.clone() } else { Reply::done(request) }
        });
        let store = at(&fake);
        let answers = store.transact(names(8).iter().map(|name| claim(name)).collect()).await;
        for (nth, answer) in answers.iter().enumerate() {
            assert_eq!(is_done(answer), nth != 3, "{nth}: {answer:?}");
        }
        assert!(matches!(answers[3], Err(Error::Refused(_) | Error::Unavailable(_))), "{answers:?}");
    }
}

#[tokio::test]
async fn a_task_that_is_not_there_has_an_empty_history_as_in_every_store() {
    let fake = Fake::new(|_, request| match request.line.as_str() {
        "GET /v1/newest" => Reply::json(r#"{"cursor":"e7"}"#),
        _ => Reply::problem(404, "not_found"),
    });
    let store = at(&fake);
    let task = Some(TaskId::new("t").expect("a name"));
    let filter = EventFilter::default().with(|filter| {
        filter.namespace = Some(namespace());
        filter.task = task;
    });
    let page = store.events(filter, None, 10.into()).await.expect("a page");
    assert!(page.items.is_empty(), "{page:?}");
    assert_eq!(
        page.next.as_ref().map(|next| next.as_str()),
        Some("e7"),
        "whoever follows it goes on from there"
    );
    assert!(
        store.events(EventFilter::default(), None, 10.into()).await.is_err(),
        "nothing else is overlooked"
    );
}

#[tokio::test]
async fn a_page_that_is_too_large_is_asked_for_in_smaller_ones() {
    let limits = Timeouts { answer_bytes_max: 80, ..limits() };
    let fake = Fake::new(|_, request| {
        let is_small = request.line.contains("limit=250");
        let padding = if is_small { String::new() } else { " ".repeat(100) };
        Reply::json(format!(r#"{{"events":[],"next":"e7"}}{padding}"#))
    });
    let store = store_with(limits, &[fake.place()]);
    let page = store.events(EventFilter::default(), None, 1_000.into()).await.expect("a page");
    assert_eq!(page.next.as_ref().map(|next| next.as_str()), Some("e7"));
    let lines: Vec<String> = fake.seen().into_iter().map(|request| request.line).collect();
    let line = |limit: usize| format!("GET /v1/events?limit={limit}");
    assert_eq!(lines, [line(1_000), line(500), line(250)]);
}

#[tokio::test]
async fn a_list_is_asked_for_with_every_field_of_its_filter() {
    let fake = Fake::always(Reply::json(r#"{"tasks":[],"next":null}"#));
    let filter = Filter::default().with(|filter| {
        filter.namespace = Some(namespace());
        filter.states = vec![State::Failed, State::Compensated];
        filter.cause = Some(Cause::Stalled);
        filter.queue = Some(Queue::new("q/1").expect("a name"));
        filter.owner = Some(Owner::new("w").expect("a name"));
        filter.labels = vec![(LabelKey::new("k").expect("a key"), LabelValue::new("a&b").expect("a value"))];
        filter.id_prefix = Some(TaskId::new("t:").expect("an id"));
        filter.saga_id = Some(SagaId::new("s:1").expect("an id"));
        (filter.stale, filter.open, filter.ended_badly, filter.unattended) = (true, true, true, true);
        filter.since = Some(Time::from_micros(0));
        filter.order = Order::Oldest;
    });
    at(&fake).tasks(filter, None, 10.into()).await.expect("a page");
    assert_eq!(
        fake.seen()[0].line,
        "GET /v1/default/tasks?cause=stalled&queue=q%2F1&owner=w&id_prefix=t%3A&saga_id=s%3A1&stale=true&open=true&ended_badly=true&unattended=true\
         &since=1970-01-01T00%3A00%3A00.000000Z&order=oldest&state=failed&state=compensated&label=k%3Da%26b&limit=10"
    );
}

#[tokio::test]
async fn a_look_that_nobody_waits_for_any_more_ends() {
    let fake = Fake::always(Reply::Silent);
    let store = at(&fake);
    for nth in 0..3 {
        let look = begun(store.more_events(None)).await;
        fake.saw(nth + 1);
        drop(look);
    }
    fake.was_left(3);
}

#[tokio::test]
async fn a_look_goes_on_to_the_next_server() {
    let silent = Fake::always(Reply::Silent);
    let fake = Fake::always(Reply::json(r#"{"now":"2026-01-31T12:00:00Z"}"#));
    let store = store(&[silent.place(), fake.place()]);
    store.now().await.expect("the time");
    store.now().await.expect("the time");
    assert_eq!((silent.seen().len(), fake.seen().len()), (1, 2), "it stays with who answered");
}

#[tokio::test]
async fn a_store_that_is_closed_keeps_nobody_waiting() {
    let fake = Fake::always(Reply::Silent);
    let limits = Timeouts { answer: Duration::from_secs(300), ..limits() };
    let store = store_with(limits, &[fake.place()]);
    let look = begun(store.now()).await;
    fake.saw(1);
    drop(look);
    let began = Moment::now();
    drop(store);
    // An answer would be waited for five times as long.
    assert!(Moment::now().since(began) < Span::from_secs(60));
}

#[tokio::test]
async fn what_can_not_be_written_down_is_refused_here_and_alone() {
    let fake = Fake::new(|_, request| Reply::done(request));
    let target = Text::new("x").expect("a text");
    let undo = Undo { kind: Kind::new("a").expect("a name"), target, reason: None };
    let mut put: Put = Put::new(TaskId::new("t").expect("a name"));
    put.record.compensations.push(undo.clone());
    put.compensations.push(PutUndo { seq: None, undo });
    let answers = at(&fake).transact(vec![claim("a"), command(Action::Put(Box::new(put))), claim("b")]).await;
    assert!(is_done(&answers[0]) && is_done(&answers[2]));
    assert_eq!(answers[1].as_ref().expect_err("malformed").code(), Some(Code::Invalid));
    assert_eq!(fake.seen().iter().map(Request::names).collect::<Vec<_>>(), [["a", "b"]]);
}

#[tokio::test]
async fn a_token_is_sent_and_not_told() {
    let fake = Fake::always(Reply::json(r#"{"now":"2026-01-31T12:00:00Z"}"#));
    let open = |token: &str| {
        let (url, entropy) = (format!("http://{}", fake.place()), Arc::new(SeededEntropy::new(1)));
        RemoteStore::open(RemoteOptions { url, token: Some(token.to_owned()), entropy })
    };
    open("tenure_abc").expect("a store").now().await.expect("the time");
    assert_eq!(fake.seen()[0].proof, "Bearer tenure_abc");
    let refused = open("secret\n").err().expect("no token");
    assert_eq!(refused.refusal().and_then(|refusal| refusal.field), Some("token"));
    assert!(!format!("{refused:?}").contains("secret"));
}

#[tokio::test]
async fn waiting_for_work_is_one_look_that_the_server_answers_when_some_is_due() {
    let noon = "2026-01-31T12:00:00Z";
    let fake = Fake::new(move |_, request| match request.line.as_str() {
        "GET /v1/default/claimable?queue=q" => Reply::json(format!(r#"{{"at":"{noon}"}}"#)),
        "GET /v1/default/claimable?queue=q&wait=30s" => {
            Reply::json(format!(r#"{{"at":"{noon}"}}"#)).later(Duration::from_millis(300))
        }
        _ => Reply::done(request),
    });
    let (store, queue) = (at(&fake), || Queue::new("q").expect("a name"));
    let before = Moment::now();
    store.until_claimable(namespace(), queue()).await.expect("it is due");
    assert!(Moment::now().since(before) >= Span::from_millis(300), "it is answered when some is due");
    assert!(store.claimable_at(namespace(), queue()).await.expect("answered").is_some());
    let lines: Vec<String> = fake.seen().into_iter().map(|request| request.line).collect();
    let claimable = "GET /v1/default/claimable?queue=q";
    assert_eq!(lines, [&format!("{claimable}&wait=30s"), claimable]);
}
