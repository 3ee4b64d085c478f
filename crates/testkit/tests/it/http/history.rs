//! The history over HTTP: pages that wait, and streams that resume.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tenure::clock::ManualClock;
use tenure::handler::Handlers;
use tenure_server::{Limits, Options};
use tenure_testkit::served::{Client, CountedStore, Reply, Served, in_time, reply, until_reply};
use tenure_testkit::waiting::until;
use tenure_testkit::{BEGINNING, block_on, memory};

fn served() -> Served {
    Served::on(memory(&ManualClock::at(BEGINNING)))
}

/// A server, and its store, which tells who waits for something.
fn counted(options: Options) -> (Arc<CountedStore>, Served) {
    let store = CountedStore::over(memory(&ManualClock::at(BEGINNING)));
    (store.clone(), Served::with(store, options, Handlers::new()))
}

async fn create(client: &Client, id: &str) {
    client.post("/v1/default/tasks", json!({"id": id})).await.done(201);
}

/// A stream that is read event by event.
struct Stream {
    response: reqwest::Response,
    text: String,
}

/// An event as it came: its id, its type, its data.
type Told = (String, String, Value);

impl Stream {
    async fn open(client: &Client, path: &str, last: Option<&str>) -> Stream {
        let request = client.request(&format!("GET {path}")).header("accept", "text/event-stream");
        let request = match last {
            Some(last) => request.header("last-event-id", last.to_owned()),
            None => request,
        };
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Stream { response, text: String::new() }
    }

    /// The next event; none when the stream has ended.
    async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some(at) = self.text.find("\n\n") {
                let block: String = self.text.drain(..at + 2).collect();
                let line =
                    |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                if let (Some(id), Some(kind), Some(data)) = (line("id: "), line("event: "), line("data: ")) {
                    assert!(block.find("id: ") < block.find("data: "), "the id comes before the data");
                    return Some((id, kind, serde_json::from_str(&data).expect("JSON")));
                }
                continue;
            }
            let chunk = in_time("something of the stream", self.response.chunk()).await.ok()??;
            self.text.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }
}

#[test]
fn a_page_of_the_history_goes_on_where_it_ended() {
    let served = served();
    let client = served.client();
    block_on(async {
        for id in ["a", "b", "c"] {
            create(&client, id).await;
        }
        client.post("/v1/shop/tasks", json!({"id": "x"})).await.done(201);
        let first = client.get("/v1/default/events?limit=2").await.done(200);
        let next = first["next"].as_str().expect("it goes on");
        let second = client.get(&format!("/v1/default/events?after={next}")).await.done(200);
        let tasks: Vec<&Value> =
            second["events"].as_array().expect("events").iter().map(|event| &event["task"]).collect();
        assert_eq!(tasks, ["c"]);
        let event = &second["events"][0];
        for field in ["cursor", "task", "number", "at", "type", "actor", "data", "hash"] {
            assert!(!event[field].is_null(), "{field}: {event}");
        }
        client.get("/v1/default/events?after=nowhere").await.is_problem(422, "invalid");
        client.get("/v1/default/tasks/nobody/events").await.is_problem(404, "not_found");
    });
}

#[test]
fn a_page_that_waits_comes_with_what_it_waited_for() {
    let (store, served) = counted(Options::default());
    let client = served.client();
    block_on(async {
        let newest = client.get("/v1/newest").await.done(200);
        let after = newest["cursor"].as_str().expect("a cursor").to_owned();
        let waiting = {
            let client = client.clone();
            tokio::spawn(
                async move { client.get(&format!("/v1/default/events?after={after}&wait=60s")).await },
            )
        };
        until("it waits", || store.waits() > 0).await;
        create(&client, "a").await;
        let page = in_time("the page", waiting).await.expect("it ends").done(200);
        assert_eq!(page["events"][0]["task"], "a");
        client.get("/v1/default/events?wait=2h").await.is_problem(422, "invalid");
    });
}

#[test]
fn a_stream_begins_now_and_tells_each_event_once_and_in_order() {
    let served = served();
    let client = served.client();
    block_on(async {
        create(&client, "before").await;
        let mut stream = Stream::open(&client, "/v1/default/events", None).await;
        for number in 0..300 {
            create(&client, &format!("t{number}")).await;
        }
        client.post("/v1/shop/tasks", json!({"id": "elsewhere"})).await.done(201);
        create(&client, "last").await;
        for number in 0..300 {
            let (id, kind, data) = stream.next().await.expect("an event");
            assert_eq!((kind.as_str(), &data["task"]), ("created", &json!(format!("t{number}"))));
            assert_eq!(data["cursor"], id.as_str());
        }
        let (_, _, data) = stream.next().await.expect("an event");
        assert_eq!(data["task"], "last", "those of other namespaces are not in it");
    });
}

#[test]
fn whoever_lost_the_stream_goes_on_behind_what_was_seen_last() {
    let served = served();
    let client = served.client();
    block_on(async {
        for number in 0..10 {
            create(&client, &format!("t{number}")).await;
        }
        let beginning = Stream::open(&client, "/v1/default/events?after=e0", None).await;
        let (mut stream, mut seen) = (beginning, Vec::new());
        while seen.len() < 10 {
            let (id, _, data) = stream.next().await.expect("an event");
            seen.push(data["task"].as_str().expect("a task").to_owned());
            stream = Stream::open(&client, "/v1/default/events?after=e0", Some(&id)).await;
        }
        let all: Vec<String> = (0..10).map(|number| format!("t{number}")).collect();
        assert_eq!(seen, all);
    });
}

#[test]
fn a_stream_of_one_task_has_only_its_events() {
    let served = served();
    let client = served.client();
    block_on(async {
        for id in ["a", "b"] {
            create(&client, id).await;
        }
        let mut stream = Stream::open(&client, "/v1/default/tasks/b/events", None).await;
        for id in ["a", "b"] {
            client.post(&format!("/v1/default/tasks/{id}/acquire"), json!({"owner": "w"})).await.done(200);
        }
        let (_, kind, data) = stream.next().await.expect("an event");
        assert_eq!((kind.as_str(), &data["task"]), ("acquired", &json!("b")));
    });
}

#[test]
fn a_server_that_stops_ends_its_streams_and_answers_what_waits() {
    // What ends in time does so before anything is cut.
    let (store, served) = counted(Options::default().with(|options| options.grace = Duration::from_secs(60)));
    let client = served.client();
    block_on(async {
        let mut stream = Stream::open(&client, "/v1/default/events", None).await;
        let waiting = {
            let client = client.clone();
            tokio::spawn(async move {
                client.post("/v1/default/claims", json!({"queue": "q", "owner": "w", "wait": "60s"})).await
            })
        };
        until("it is being claimed", || store.claims() > 0).await;
        served.stop();
        assert!(stream.next().await.is_none(), "it ends");
        let answer = in_time("the answer", waiting).await.expect("it ends");
        assert_eq!(answer.done(200), json!({"tasks": []}));
    });
}

#[test]
fn a_revoked_token_ends_its_streams() {
    let served = served();
    let anybody = served.client();
    block_on(async {
        let make = async |client: &Client, name: &str, role: &str| {
            let made = client
                .post("/v1/tokens", json!({"name": name, "role": role, "namespaces": ["*"]}))
                .await
                .done(201);
            anybody.with_token(made["token"].as_str().expect("a secret"))
        };
        let root = make(&anybody, "root", "admin").await;
        let reader = make(&root, "reader", "reader").await;
        let mut stream = Stream::open(&reader, "/v1/default/events", None).await;
        root.send("DELETE /v1/tokens?name=reader", json!({})).await.done(200);
        create(&root, "after").await;
        assert!(stream.next().await.is_none(), "what came after the revocation is not told");
    });
}

#[test]
fn a_page_that_waits_does_not_come_for_what_was_not_asked_for() {
    let (store, served) = counted(Options::default());
    let client = served.client();
    block_on(async {
        create(&client, "quiet").await;
        let newest = client.get("/v1/newest").await.done(200);
        let after = newest["cursor"].as_str().expect("a cursor").to_owned();
        let waiting = {
            let client = client.clone();
            let path = format!("/v1/default/tasks/quiet/events?after={after}&wait=60s");
            tokio::spawn(async move { client.get(&path).await })
        };
        until("it waits", || store.waits() > 0).await;
        for number in 0..20 {
            let waits = store.waits();
            create(&client, &format!("t{number}")).await;
            until("it has looked at that and waits again", || store.waits() > waits).await;
        }
        assert!(!waiting.is_finished(), "nothing happened to that task");
        client.post("/v1/default/tasks/quiet/acquire", json!({"owner": "w"})).await.done(200);
        let page = in_time("the page", waiting).await.expect("it ends").done(200);
        assert_eq!(page["events"][0]["type"], "acquired", "{page}");
    });
}

#[test]
fn a_stream_to_which_nothing_happens_says_that_it_is_there_however_busy_the_others_are() {
    let limits = Limits::default().with(|limits| limits.token_check_every = Duration::from_millis(300));
    let (store, served) = counted(Options::default().with(|options| options.limits = limits));
    let client = served.client();
    block_on(async {
        create(&client, "quiet").await;
        let stream = Stream::open(&client, "/v1/default/tasks/quiet/events", None).await;
        // As soon as the stream has looked at what happened, and waits again, the next thing happens.
        let busy = async {
            for number in 0.. {
                let waits = store.waits();
                create(&client, &format!("t{number}")).await;
                until("it waits again", || store.waits() > waits).await;
            }
        };
        let mut response = stream.response;
        let told = async {
            let mut text = String::new();
            while !text.contains(": still here") {
                let chunk = response.chunk().await.expect("it is read").expect("it goes on");
                text.push_str(std::str::from_utf8(&chunk).expect("text"));
            }
        };
        tokio::select! {
            () = in_time("a sign of life", told) => {}
            () = busy => panic!("the others go on"),
        }
        // Its reader goes, and it is not kept for nobody, while the others go on.
        drop(response);
        let count = Cell::new(0);
        let metrics = async || {
            create(&client, &format!("more-{}", count.replace(count.get() + 1))).await;
            client.get("/metrics").await
        };
        let is_over = |told: &Reply| told.text.contains("\ntenure_http_streams 0\n");
        until_reply("the end of the stream", metrics, is_over).await;
    });
}

#[test]
fn a_stream_takes_nothing_that_it_would_not_go_by() {
    let served = served();
    let client = served.client();
    block_on(async {
        for query in ["limit=1", "wait=5s"] {
            let request = client.request(&format!("GET /v1/default/events?{query}"));
            let refused = reply(request.header("accept", "text/event-stream")).await;
            refused.is_problem(422, "invalid");
        }
    });
}

#[test]
fn whoever_follows_a_store_that_was_put_back_is_told_and_not_left_waiting() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, copy) = (folder.path().join("tasks.db"), folder.path().join("copy.db"));
    let url = format!("sqlite:{}", file.display());
    block_on(async {
        let ledger = tenure::Ledger::open(&url).await.expect("a ledger");
        ledger.create("a").await.expect("created");
        drop(ledger);
        std::fs::copy(&file, &copy).expect("a copy");
        let ledger = tenure::Ledger::open(&url).await.expect("a ledger");
        ledger.create("b").await.expect("created");
        let seen = ledger.newest().await.expect("a place");
        drop(ledger);
        std::fs::rename(&copy, &file).expect("put back");
        let ledger = tenure::Ledger::open(&url).await.expect("a ledger");
        let served = Served::on(std::sync::Arc::clone(ledger.store()));
        let client = served.client();
        let path = format!("/v1/default/events?after={}", seen.as_str());
        for path in [path.clone(), format!("{path}&wait=30s")] {
            let told = client.get(&path).await;
            told.is_problem(422, "invalid");
            assert!(told.text.contains("past the end of the history"), "{}", told.text);
        }
        let stream = client.request("GET /v1/default/events").header("accept", "text/event-stream");
        reply(stream.header("last-event-id", seen.as_str())).await.is_problem(422, "invalid");
        let mut follower = ledger.follow(Some(seen));
        let told = in_time("an answer to a follower", follower.next()).await;
        assert!(told.is_err(), "nor a follower in the library");
    });
}

#[test]
fn whoever_is_bound_to_a_namespace_waits_for_its_events_behind_many_of_others() {
    let (store, served) = counted(Options::default());
    let anybody = served.client();
    block_on(async {
        let make = async |client: &Client, name: &str, role: &str, namespace: &str| {
            let made = client
                .post("/v1/tokens", json!({"name": name, "role": role, "namespaces": [namespace]}))
                .await;
            anybody.with_token(made.done(201)["token"].as_str().expect("a secret"))
        };
        let root = make(&anybody, "root", "admin", "*").await;
        let bound = make(&root, "bound", "reader", "a").await;
        let newest = root.get("/v1/newest").await.done(200);
        let after = newest["cursor"].as_str().expect("a cursor").to_owned();
        let many: Vec<Value> =
            (0..3_000).map(|nth| json!({"verb": "create", "id": format!("t{nth}")})).collect();
        root.post("/v1/b/commands", json!({"commands": many})).await.done(200);
        let waiting =
            tokio::spawn(
                async move { bound.get(&format!("/v1/events?limit=1&wait=60s&after={after}")).await },
            );
        until("it has passed over all, and waits", || store.waits() > 0).await;
        root.post("/v1/a/tasks", json!({"id": "own"})).await.done(201);
        let page = in_time("the page", waiting).await.expect("it ends");
        assert_eq!(page.done(200)["events"][0]["task"], "own");
    });
}
