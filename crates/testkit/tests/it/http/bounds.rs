//! Limits: bodies, connections, rates, and what hostile requests cost the others.

use std::time::Duration;

use serde_json::json;
use tenure::clock::{ManualClock, Moment};
use tenure::core::time::Span;
use tenure::handler::Handlers;
use tenure::store::PageSize;
use tenure_server::{Limits, Options};
use tenure_testkit::served::{Served, in_time, reply, until_reply};
use tenure_testkit::waiting::until_asked;
use tenure_testkit::{BEGINNING, block_on, memory};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn served(limits: Limits) -> Served {
    let options = Options::default().with(|options| options.limits = limits);
    Served::with(memory(&ManualClock::at(BEGINNING)), options, Handlers::new())
}

/// What a request is answered with on a connection of its own.
async fn answer_to(served: &Served, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", served.port)).await.expect("a connection");
    stream.write_all(request).await.expect("it is sent");
    answer_on(&mut stream).await
}

/// What comes back on a connection: one answer, after which it may stay open, or what there was when it was closed or cut.
async fn answer_on(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let answer = async {
        while !is_whole(&bytes) && stream.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) {}
    };
    in_time("an answer, or the end of the connection", answer).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether it is all of an answer that says how long it is.
fn is_whole(bytes: &[u8]) -> bool {
    const BETWEEN: &[u8] = b"\r\n\r\n";
    let Some(head) = bytes.windows(BETWEEN.len()).position(|window| window == BETWEEN) else { return false };
    let text = String::from_utf8_lossy(&bytes[..head]);
    let mut lines = text.lines();
    let length = lines.find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    length.is_some_and(|length| bytes.len() >= head + BETWEEN.len() + length)
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let served = served(Limits::default().with(|limits| limits.body_bytes_max = 4_096));
    block_on(async {
        let announced = b"POST /v1/default/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 104857600\r\n\r\n{";
        let answer = answer_to(&served, announced).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.contains("too_large"), "{answer}");
        // One that does not say how long it is ends at the limit.
        let mut chunked = b"POST /v1/default/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        for _ in 0..6 {
            chunked.extend_from_slice(b"400\r\n");
            chunked.extend_from_slice(&[b' '; 1024]);
            chunked.extend_from_slice(b"\r\n");
        }
        let answer = answer_to(&served, &chunked).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        served.client().get("/v1/now").await.done(200);
    });
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for_for_ever() {
    let served = served(Limits::default().with(|limits| limits.body_wait_max = Duration::from_millis(200)));
    block_on(async {
        let slow = b"POST /v1/default/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"id\":";
        let answer = answer_to(&served, slow).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    });
}

#[test]
fn a_head_that_does_not_come_closes_the_connection() {
    let served = served(Limits::default().with(|limits| limits.head_wait_max = Duration::from_millis(200)));
    let beginnings = [
        "",
        "G",
        "GET /v1/now HTTP/1.1\r\nhost: loc",
        "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "PRI * HT",
    ];
    block_on(async {
        for beginning in beginnings {
            let mut stream = TcpStream::connect(("127.0.0.1", served.port)).await.expect("a connection");
            stream.write_all(beginning.as_bytes()).await.expect("it is sent");
            let mut bytes = Vec::new();
            // One that is cut is closed as well.
            let _ = in_time(&format!("the end after {beginning:?}"), stream.read_to_end(&mut bytes)).await;
        }
    });
}

#[test]
fn bodies_that_are_being_read_take_no_more_room_than_there_is() {
    let limits = Limits::default().with(|limits| {
        limits.memory_bytes_max = 6 * 64 * 1_024;
        limits.body_bytes_max = 64 * 1_024;
        limits.room_wait_max = Duration::from_secs(1);
    });
    let served = served(limits);
    let client = served.client();
    block_on(async {
        let mut slow = TcpStream::connect(("127.0.0.1", served.port)).await.expect("a connection");
        let head = b"POST /v1/default/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 65000\r\n\r\n";
        slow.write_all(head).await.expect("it is sent");
        slow.write_all(&[b' '; 64_000]).await.expect("it is sent");
        // Each byte of a body takes three.
        let taken = async || client.metric("tenure_http_memory_bytes").await;
        until_asked("it takes the room", async || taken().await >= 3.0 * 64_000.0).await;
        let create = async |id: &str| {
            client.post("/v1/default/tasks", json!({"id": id, "payload": "x".repeat(40_000)})).await
        };
        create("a").await.is_problem(503, "unavailable");
        drop(slow);
        until_reply("it gives it back", async || create("b").await, |told| told.status == 201).await;
    });
}

#[test]
fn many_slow_bodies_leave_room_for_those_who_are_fast() {
    // Small bodies have an eighth of it for themselves.
    let limits = Limits::default().with(|limits| {
        limits.memory_bytes_max = 8 * 256 * 1_024;
        limits.body_bytes_max = 32 * 1_024;
    });
    let served = served(limits);
    block_on(async {
        let mut held = Vec::new();
        for _ in 0..64 {
            let mut stream = TcpStream::connect(("127.0.0.1", served.port)).await.expect("a connection");
            let head = b"POST /v1/default/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 30000\r\n\r\n";
            stream.write_all(head).await.expect("it is sent");
            stream.write_all(&[b' '; 900]).await.expect("it is sent");
            held.push(stream);
        }
        let client = served.client();
        for number in 0..20 {
            client.post("/v1/default/tasks", json!({"id": format!("t{number}")})).await.done(201);
        }
    });
}

#[test]
fn one_caller_does_not_take_the_turn_of_all() {
    let served = served(Limits::default().with(|limits| limits.requests_per_second = Some(5)));
    let client = served.client();
    block_on(async {
        let mut refused = 0;
        for _ in 0..20 {
            let reply = client.get("/v1/now").await;
            if reply.status == 429 {
                reply.is_problem(429, "too_many_requests");
                assert_eq!(reply.header("retry-after"), "1");
                refused += 1;
            }
        }
        assert!(refused >= 10, "{refused}");
        client.get("/livez").await.done(200);
    });
}

#[test]
fn connections_over_the_limit_wait_and_are_served_when_others_go() {
    let served = served(Limits::default().with(|limits| limits.connections_max = 2));
    block_on(async {
        let mut held = Vec::new();
        for _ in 0..2 {
            held.push(TcpStream::connect(("127.0.0.1", served.port)).await.expect("a connection"));
        }
        // They are accepted in the order in which they came: the third one after both.
        let mut third = TcpStream::connect(("127.0.0.1", served.port)).await.expect("a connection");
        let request = b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        third.write_all(request).await.expect("it is sent");
        // While those that are in are served again and again, it is not.
        for _ in 0..20 {
            let request = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n";
            held[1].write_all(request).await.expect("it is sent");
            let metrics = answer_on(&mut held[1]).await;
            assert!(metrics.contains("\ntenure_http_connections 2\n"), "{metrics}");
        }
        assert!(third.try_read(&mut [0; 1]).is_err(), "nothing came, and it is not closed");
        held.clear();
        let answer = answer_on(&mut third).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    });
}

#[test]
fn odd_requests_get_an_answer_and_no_panic() {
    let served = served(Limits::default());
    block_on(async {
        for request in [
            "GET /v1/default/tasks/%ff HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".to_owned(),
            "GET /v1/%00/tasks HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".to_owned(),
            "GET //v1//default/tasks HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".to_owned(),
            "GET /v1/default/tasks/../../tokens HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
                .to_owned(),
            format!("GET /{} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", "a".repeat(20_000)),
            format!(
                "GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\nconnection: close\r\n\r\n",
                "a".repeat(200_000)
            ),
            "BREW /v1/default/tasks HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".to_owned(),
            "\u{1}\u{2}\u{3}\r\n\r\n".to_owned(),
        ] {
            let answer = answer_to(&served, request.as_bytes()).await;
            let status: Option<u16> = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
            assert!(status.is_none_or(|status| (400..500).contains(&status)), "{answer}");
        }
        let deep = format!("{{\"id\":\"x\",\"payload\":{}1{}}}", "[".repeat(20_000), "]".repeat(20_000));
        let client = served.client();
        let request =
            client.request("POST /v1/default/tasks").header("content-type", "application/json").body(deep);
        assert!((400..500).contains(&reply(request).await.status));
        client.get("/v1/now").await.done(200);
    });
}

#[test]
fn whoever_takes_nothing_of_its_answers_is_not_kept_for_ever() {
    let served = served(Limits::default().with(|limits| {
        limits.connections_max = 1;
        limits.write_wait_max = Duration::from_millis(500);
    }));
    block_on(async {
        let mut greedy = TcpStream::connect(("127.0.0.1", served.port)).await.expect("a connection");
        let request = b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n";
        let asking = async { while greedy.write_all(request).await.is_ok() {} };
        // It asks for ever more and reads nothing, until nothing more goes in; then it is cut.
        in_time("the cut", asking).await;
        let request = b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        let answer = answer_to(&served, request).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    });
}

#[test]
fn a_body_that_comes_byte_by_byte_is_read_like_any_other() {
    let served = served(Limits::default());
    block_on(async {
        let body = format!("{{\"id\":\"slow\",\"payload\":\"{}\"}}", "x".repeat(20_000));
        let mut request = b"POST /v1/default/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        for byte in body.bytes() {
            request.extend_from_slice(&[b'1', b'\r', b'\n', byte, b'\r', b'\n']);
        }
        request.extend_from_slice(b"0\r\n\r\n");
        let answer = answer_to(&served, &request).await;
        assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    });
}

#[test]
fn a_body_within_the_limit_has_room_however_large_the_limit_is() {
    let limits = Limits::default().with(|limits| {
        limits.memory_bytes_max = 4_096;
        limits.body_bytes_max = 100_000;
    });
    let served = served(limits);
    block_on(async {
        let task = json!({"id": "large", "payload": "x".repeat(90_000)});
        served.client().post("/v1/default/tasks", task).await.done(201);
    });
}

#[test]
fn a_body_that_is_packed_is_refused_and_not_taken_for_text() {
    let served = served(Limits::default());
    let client = served.client();
    block_on(async {
        let request = client.request("POST /v1/default/tasks").header("content-type", "application/json");
        let packed = request.header("content-encoding", "gzip").body("{\"id\":\"t\"}");
        reply(packed).await.is_problem(415, "unsupported_media_type");
        let request = client.request("POST /v1/default/tasks").header("content-type", "application/json");
        let plain = request.header("content-encoding", "identity").body("{\"id\":\"t\"}");
        reply(plain).await.done(201);
    });
}

#[test]
fn lists_of_large_tasks_end_early_and_go_on_where_they_ended() {
    let served = served(Limits::default());
    let client = served.client();
    block_on(async {
        let payload = "x".repeat(200_000);
        for number in 0..100 {
            let task = json!({"id": format!("t{number:03}"), "payload": payload});
            client.post("/v1/default/tasks", task).await.done(201);
        }
        for (path, name, place) in [
            ("/v1/default/tasks?limit=1000", "tasks", "cursor"),
            ("/v1/default/events?limit=1000", "events", "after"),
        ] {
            let (mut count, mut next, mut pages) = (0, None::<String>, 0);
            while count < 100 {
                let goes_on = next.as_ref().map(|next| format!("&{place}={next}")).unwrap_or_default();
                let page = client.get(&format!("{path}{goes_on}")).await;
                assert!(page.text.len() < 16 * 1024 * 1024, "{path}: {} bytes", page.text.len());
                let page = page.done(200);
                count += page[name].as_array().expect("a list").len();
                let is_last = count == 100;
                assert_eq!(page["more"] == json!(true), !is_last, "{path}: {count}");
                next = page["next"].as_str().map(str::to_owned);
                pages += 1;
            }
            assert!(count == 100 && pages > 1, "{path}: {count} in {pages}");
        }
        // A store behind a server gives them whole to a caller that allows that size.
        let ledger = tenure::Ledger::open(&served.url).await.expect("a ledger");
        let all = PageSize { items: 1_000, bytes: usize::MAX };
        let tasks = ledger.tasks(tenure::store::Filter::default(), None, all).await.expect("a list");
        assert_eq!(tasks.items.len(), 100);
        let events = ledger.events(None, all).await.expect("a history");
        assert_eq!(events.items.len(), 100);
        let usual = ledger.events(None, 1_000).await.expect("a history");
        assert!(usual.is_cut && usual.items.len() < 100, "{}", usual.items.len());
    });
}

#[test]
fn a_request_of_more_commands_than_it_may_have_is_refused_whole() {
    let served = served(Limits::default());
    let client = served.client();
    block_on(async {
        let many = format!("{{\"commands\":[{}]}}", vec!["0"; 200_000].join(","));
        let request = client.request("POST /v1/default/commands").header("content-type", "application/json");
        let refused = reply(request.body(many)).await;
        refused.is_problem(422, "invalid");
        assert_eq!(refused.body["field"], "commands");
    });
}

#[test]
fn answers_to_many_commands_are_bounded_and_what_is_over_the_bound_is_not_done() {
    let served = served(Limits::default());
    let client = served.client();
    block_on(async {
        client.post("/v1/default/tasks", json!({"id": "t", "payload": "x".repeat(100_000)})).await.done(201);
        let note = json!({"verb": "notes", "task": "t", "note": "seen"});
        let many = json!({"commands": vec![note; 1_000]});
        let reply = client.post("/v1/default/commands?return=representation", many.clone()).await;
        assert!(reply.text.len() < 17 * 1024 * 1024, "{} bytes", reply.text.len());
        let told = reply.done(200);
        let answers = told["answers"].as_array().expect("answers");
        let done = answers.iter().take_while(|answer| answer["task"].is_object()).count();
        assert!((100..200).contains(&done), "{done}");
        assert!(answers[done..].iter().all(|answer| answer["unavailable"].is_object()), "the others are not");
        let task = client.get("/v1/default/tasks/t").await.done(200);
        assert_eq!(task["task"]["revision"], 1 + done, "what was told as not done was not done");
        // In the minimal form, which a batch has where nothing else is asked for, there is room for all.
        let reply = client.post("/v1/default/commands", many).await;
        assert!(reply.text.len() < 1024 * 1024, "{} bytes", reply.text.len());
        let told = reply.done(200);
        let answers = told["answers"].as_array().expect("answers");
        assert!(answers.iter().all(|answer| answer["task"]["payload"].is_null()), "no payload is repeated");
        assert_eq!(answers[999]["task"]["revision"], 1 + done + 1_000);
    });
}

#[test]
fn an_answer_has_as_much_of_a_task_as_its_caller_asks_for() {
    let served = served(Limits::default());
    let client = served.client();
    block_on(async {
        let create = json!({"id": "t", "payload": {"repo": "x"}});
        let made = client.post("/v1/default/tasks?return=minimal", create).await;
        assert_eq!(made.header("location"), "/v1/default/tasks/t");
        assert_eq!(made.header("etag"), "W/\"1\"");
        let task = made.done(201)["task"].clone();
        assert_eq!(
            (&task["id"], &task["state"], &task["revision"]),
            (&json!("t"), &json!("planned"), &json!(1))
        );
        assert!(task.get("payload").is_none() && task.get("policy").is_none(), "{task}");

        let acquire =
            || client.request("POST /v1/default/tasks/t/acquire").header("content-type", "application/json");
        let body = json!({"owner": "w", "ttl": "60s"}).to_string();
        let preferred = reply(acquire().header("prefer", "return=minimal").body(body)).await;
        assert_eq!(preferred.header("preference-applied"), "return=minimal");
        let lease = preferred.done(200)["task"]["lease"].clone();
        assert_eq!((&lease["owner"], &lease["epoch"]), (&json!("w"), &json!(1)));
        assert!(lease["expires_at"].is_string());

        let undo = json!({"owner": "w", "epoch": 1, "kind": "close-pr", "target": "12", "reason": "opened"});
        let registered =
            client.post("/v1/default/tasks/t/compensations?return=minimal", undo).await.done(201);
        assert_eq!(registered["task"]["newest_seq"], 1, "the number to settle it by");

        let beat = json!({"owner": "w", "epoch": 1, "ttl": "61s"});
        let renewed = client.post("/v1/default/tasks/t/heartbeat?return=minimal", beat).await.done(200);
        assert!(renewed["task"].is_null() && renewed["renewal"]["expires_at"].is_string(), "{renewed}");

        let wrong = client.post("/v1/default/tasks/t/cancel?return=some", json!({"reason": "no"})).await;
        wrong.is_problem(422, "invalid");
        assert_eq!(wrong.body["field"], "return");

        // Commands answer a grant with the whole task: the worker needs its payload.
        client
            .post("/v1/default/tasks", json!({"id": "u", "queue": "q", "payload": {"repo": "y"}}))
            .await
            .done(201);
        let many = json!({"commands": [
            {"verb": "claim", "queue": "q", "owner": "w", "ttl": "60s", "limit": 1},
            {"verb": "complete", "task": "u", "owner": "w", "epoch": 1},
        ]});
        let told = client.post("/v1/default/commands", many).await.done(200);
        assert_eq!(told["answers"][0]["tasks"][0]["payload"]["repo"], "y");
        assert_eq!(told["answers"][1]["task"]["state"], "completed");
        assert!(told["answers"][1]["task"].get("payload").is_none());
    });
}

#[test]
fn a_claim_grants_no_more_than_it_is_answered_with_and_the_others_stay_due() {
    let served = served(Limits::default());
    let client = served.client();
    block_on(async {
        for number in 0..80 {
            let task = json!({"id": format!("t{number}"), "payload": "x".repeat(250_000)});
            client.post("/v1/default/tasks", task).await.done(201);
        }
        let claim = json!({"queue": "default", "owner": "w", "ttl": "60s", "limit": 200, "request_id": "once", "verb": "claim"});
        let many = json!({"commands": vec![claim; 30]});
        let reply = client.post("/v1/default/commands", many).await;
        assert!(reply.text.len() < 17 * 1024 * 1024, "{} bytes", reply.text.len());
        let told = reply.done(200);
        let granted = told["answers"][0]["tasks"].as_array().expect("tasks").len();
        assert!((60..80).contains(&granted), "{granted}");
        assert!(told["answers"][29]["unavailable"].is_object(), "a repeat is as large as the first");
        let rest = json!({"queue": "default", "owner": "w", "ttl": "60s", "limit": 200});
        let rest = client.post("/v1/default/claims", rest).await.done(200);
        assert_eq!(rest["tasks"].as_array().expect("tasks").len(), 80 - granted);
    });
}

#[test]
fn a_store_behind_a_server_hears_nothing_of_bounds_on_answers() {
    let served = served(Limits::default());
    block_on(async {
        let ledger = tenure::Ledger::open(&served.url).await.expect("a ledger");
        ledger.create("t").payload(json!("x".repeat(200_000))).await.expect("made");
        let notes =
            (0..200).map(|number| ledger.annotate("t", &format!("{number}")).command().expect("a note"));
        let answers = ledger.transact(notes.collect()).await;
        assert_eq!(answers.len(), 200);
        for answer in answers {
            answer.expect("each is answered");
        }
    });
}

#[test]
fn more_labels_than_a_task_may_have_are_refused_in_a_filter() {
    let served = served(Limits::default());
    let client = served.client();
    block_on(async {
        let labels = |count: usize| {
            let labels: Vec<String> = (0..count).map(|number| format!("label=k{number}=v")).collect();
            format!("/v1/default/tasks?{}", labels.join("&"))
        };
        client.get(&labels(32)).await.done(200);
        for count in [33, 1_001, 1_500] {
            let refused = client.get(&labels(count)).await;
            refused.is_problem(422, "invalid");
            assert_eq!(refused.body["field"], "label");
        }
    });
}

#[test]
fn those_who_ask_for_little_are_answered_while_large_bodies_are_read() {
    let served = served(Limits::default());
    let client = served.client();
    block_on(async {
        client.post("/v1/default/tasks", json!({"id": "t"})).await.done(201);
        client.post("/v1/default/tasks/t/acquire", json!({"owner": "w", "ttl": "1h"})).await.done(200);
        let ones = vec!["1"; 7_000_000].join(",");
        let body = format!("{{\"payload\":{}{ones}{}}}", "[".repeat(98), "]".repeat(98));
        let large = || {
            let request = client.request("POST /v1/default/tasks").header("content-type", "application/json");
            reply(request.body(body.clone()))
        };
        let mut bodies = std::pin::pin!(async { tokio::join!(large(), large(), large(), large()) });
        let (began, mut slowest) = (Moment::now(), Span::ZERO);
        let refused = loop {
            let asked = Moment::now();
            let small = async {
                client.get("/livez").await.done(200);
                client
                    .post("/v1/default/tasks/t/progress", json!({"owner": "w", "epoch": 1, "progress": 1}))
                    .await
                    .done(200);
            };
            let mut small = std::pin::pin!(small);
            tokio::select! {
                biased;
                refused = &mut bodies => break refused,
                () = &mut small => slowest = slowest.max(Moment::now().since(asked)),
            }
        };
        let took = Moment::now().since(began);
        let (a, b, c, d) = refused;
        for refused in [a, b, c, d] {
            refused.is_problem(422, "invalid");
            assert_eq!(refused.body["field"], "payload");
        }
        // Were they worked on by the same threads, one of them would last as long as the bodies do.
        assert!(slowest.as_micros() * 4 < took.as_micros(), "{slowest} of {took}");
    });
}

#[test]
fn where_memory_is_short_a_page_is_small_and_goes_on() {
    let limits = Limits::default().with(|limits| {
        limits.memory_bytes_max = 20 * 1024 * 1024;
        limits.body_bytes_max = 3 * 1024 * 1024;
    });
    let served = served(limits);
    let client = served.client();
    block_on(async {
        // Somebody's body takes some of the memory, and does not come to its end.
        let mut slow = TcpStream::connect(("127.0.0.1", served.port)).await.expect("a connection");
        let head = b"POST /v1/default/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 3000000\r\n\r\n";
        slow.write_all(head).await.expect("it is sent");
        slow.write_all(&vec![b' '; 2_500_000]).await.expect("it is sent");
        for number in 0..30 {
            let task = json!({"id": format!("t{number}"), "payload": "x".repeat(5_000)});
            client.post("/v1/default/tasks", task).await.done(201);
        }
        let (mut count, mut next, mut pages) = (0, String::new(), 0);
        while count < 30 {
            let page = client.get(&format!("/v1/default/tasks?limit=100{next}")).await.done(200);
            count += page["tasks"].as_array().expect("a list").len();
            next = page["next"].as_str().map(|next| format!("&cursor={next}")).unwrap_or_default();
            pages += 1;
        }
        assert!(count == 30 && pages > 5, "{count} in {pages}");
    });
}

#[test]
fn large_answers_that_nobody_reads_take_no_more_room_than_there_is() {
    let served = served(Limits::default().with(|limits| {
        limits.memory_bytes_max = 60 * 1024 * 1024;
        limits.body_bytes_max = 9 * 1024 * 1024;
        limits.room_wait_max = Duration::from_millis(200);
    }));
    let client = served.client();
    block_on(async {
        // Lists begin with the newest.
        client.post("/v1/default/tasks", json!({"id": "small"})).await.done(201);
        // Each is larger than what the system keeps of an answer.
        let undo = |number: usize| json!({"kind": "x", "target": format!("{number}{}", "t".repeat(4_000)), "reason": "r".repeat(4_000)});
        for number in 0..2 {
            let undos: Vec<_> = (0..1_000).map(undo).collect();
            let task = json!({"id": format!("t{number}"), "compensations": undos});
            client.post("/v1/default/tasks?return=minimal", task).await.done(201);
        }
        let mut unread = Vec::new();
        let request = b"GET /v1/default/tasks HTTP/1.1\r\nhost: localhost\r\n\r\n";
        // Some fit.
        let mut statuses = Vec::new();
        while statuses.last().is_none_or(|status| status == b"HTTP/1.1 200") && statuses.len() < 20 {
            let mut stream = TcpStream::connect(("127.0.0.1", served.port)).await.expect("a connection");
            stream.write_all(request).await.expect("it is sent");
            // An answer that has begun has its memory.
            let mut begun = [0; 12];
            in_time("an answer", stream.read_exact(&mut begun)).await.expect("it begins");
            statuses.push(begun);
            unread.push(stream);
        }
        assert_eq!(statuses.last(), Some(b"HTTP/1.1 503"), "{} were answered", statuses.len());
        assert!(statuses.len() > 3, "{} were answered", statuses.len());
        let refused = client.get("/v1/default/tasks").await;
        refused.is_problem(503, "unavailable");
        assert_eq!(refused.header("retry-after"), "1");
        let taken = client.metric("tenure_http_memory_bytes").await;
        let all = client.metric("tenure_http_memory_max_bytes").await;
        let small_bodies = 1.0 / 8.0;
        assert!(taken > 12e6 && taken <= all, "{taken} of {all}");
        assert_eq!(all, 60.0 * 1024.0 * 1024.0 * (1.0 + small_bodies));
        client.get("/v1/default/tasks/small/why").await.done(200);
        drop(unread);
        let list = async || client.get("/v1/default/tasks").await;
        until_reply("room again", list, |told| told.status == 200).await;
    });
}
