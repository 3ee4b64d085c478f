//! What is bounded: bodies, connections, rates, and what hostile requests cost those who live.

use std::time::Duration;

use serde_json::json;
use tenure::clock::ManualClock;
use tenure::handler::Handlers;
use tenure_server::{Limits, Options};
use tenure_testkit::served::{Served, in_time, reply, until_reply};
use tenure_testkit::{BEGINNING, block_on, memory};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn served(limits: Limits) -> Served {
    let options = Options { limits, ..Options::default() };
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
    let served = served(Limits { body_bytes_max: 4_096, ..Limits::default() });
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
    let served = served(Limits { body_wait_max: Duration::from_millis(200), ..Limits::default() });
    block_on(async {
        let slow = b"POST /v1/default/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"id\":";
        let answer = answer_to(&served, slow).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    });
}

#[test]
fn a_head_that_does_not_come_closes_the_connection() {
    let served = served(Limits { head_wait_max: Duration::from_millis(200), ..Limits::default() });
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
    let limits = Limits {
        bodies_bytes_max: 4_096,
        body_bytes_max: 4_096,
        room_wait_max: Duration::from_secs(1),
        ..Limits::default()
    };
    let served = served(limits);
    let client = served.client();
    block_on(async {
        let mut slow = TcpStream::connect(("127.0.0.1", served.port)).await.expect("a connection");
        let head = b"POST /v1/default/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 3500\r\n\r\n";
        slow.write_all(head).await.expect("it is sent");
        slow.write_all(&[b' '; 3_000]).await.expect("it is sent");
        let create = async |id: &str| {
            client.post("/v1/default/tasks", json!({"id": id, "payload": "x".repeat(2_000)})).await
        };
        // Before the slow one is read there is room; then there is none, and when it goes there is some again.
        let refused = until_reply("it takes the room", async || create("a").await, |told| told.status == 503);
        refused.await.is_problem(503, "unavailable");
        drop(slow);
        until_reply("it gives it back", async || create("b").await, |told| told.status == 201).await;
    });
}

#[test]
fn many_slow_bodies_leave_room_for_those_who_are_fast() {
    let limits = Limits { bodies_bytes_max: 64 * 1_024, body_bytes_max: 32 * 1_024, ..Limits::default() };
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
    let served = served(Limits { requests_per_second: Some(5), ..Limits::default() });
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
    let served = served(Limits { connections_max: 2, ..Limits::default() });
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
    let served = served(Limits {
        connections_max: 1,
        write_wait_max: Duration::from_millis(500),
        ..Limits::default()
    });
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
    let limits = Limits { bodies_bytes_max: 4_096, body_bytes_max: 100_000, ..Limits::default() };
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
                assert_eq!(page["more"] == json!(true), name == "events" && !is_last, "{path}: {count}");
                next = page["next"].as_str().map(str::to_owned);
                pages += 1;
            }
            assert!(count == 100 && pages > 1, "{path}: {count} in {pages}");
        }
        // Whoever speaks to it as to a store hears of no pages.
        let ledger = tenure::Ledger::open(&served.url).await.expect("a ledger");
        let tasks = ledger.tasks(tenure::store::Filter::default(), None, 1_000).await.expect("a list");
        assert_eq!(tasks.items.len(), 100);
        let events = ledger.store().events(tenure::store::EventFilter::default(), None, 1_000).await;
        assert_eq!(events.expect("a history").items.len(), 100);
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
fn answers_to_many_commands_are_bounded_and_what_was_not_done_is_told() {
    let served = served(Limits::default());
    let client = served.client();
    block_on(async {
        client.post("/v1/default/tasks", json!({"id": "t", "payload": "x".repeat(100_000)})).await.done(201);
        let note = json!({"verb": "notes", "task": "t", "note": "seen"});
        let many = json!({"commands": vec![note; 3_000]});
        let reply = client.post("/v1/default/commands", many).await;
        assert!(reply.text.len() < 160 * 1024 * 1024, "{} bytes", reply.text.len());
        let told = reply.done(200);
        let answers = told["answers"].as_array().expect("answers");
        let done = answers.iter().take_while(|answer| answer["task"].is_object()).count();
        assert_eq!((answers.len(), done), (3_000, 1_024), "those decided together are done");
        assert!(answers[done..].iter().all(|answer| answer["unavailable"].is_object()), "the others are not");
    });
}

#[test]
fn large_answers_that_nobody_reads_take_no_more_room_than_there_is() {
    let served = served(Limits {
        answers_bytes_max: 16 * 1024 * 1024,
        room_wait_max: Duration::from_millis(200),
        ..Limits::default()
    });
    let client = served.client();
    block_on(async {
        for number in 0..30 {
            let task = json!({"id": format!("t{number}"), "payload": "x".repeat(250_000)});
            client.post("/v1/default/tasks", task).await.done(201);
        }
        let mut unread = Vec::new();
        let request = b"GET /v1/default/tasks HTTP/1.1\r\nhost: localhost\r\n\r\n";
        // The system keeps some of each answer, and the server the rest: two fit.
        for _ in 0..2 {
            let mut stream = TcpStream::connect(("127.0.0.1", served.port)).await.expect("a connection");
            stream.write_all(request).await.expect("it is sent");
            // An answer that has begun has its room.
            let mut begun = [0; 12];
            in_time("an answer", stream.read_exact(&mut begun)).await.expect("it begins");
            assert_eq!(&begun, b"HTTP/1.1 200");
            unread.push(stream);
        }
        let refused = client.get("/v1/default/tasks").await;
        refused.is_problem(503, "unavailable");
        client.get("/v1/default/tasks/t1/why").await.done(200);
        drop(unread);
        let list = async || client.get("/v1/default/tasks").await;
        until_reply("room again", list, |told| told.status == 200).await;
    });
}
