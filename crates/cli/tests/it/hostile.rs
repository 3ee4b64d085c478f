//! Tests small requests that cost much: a server uses no more memory than its limit, and nobody else loses a lease.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::serving::{HEARD_WITHIN, Serving, counted, send};
use crate::waiting::until;

const MIB: u64 = 1024 * 1024;

/// Sends a POST of JSON; returns the status and the response.
fn post(url: &str, path: &str, body: &str) -> (u16, String) {
    let head =
        format!("POST {path} HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: {}", body.len());
    send(url, &head, body)
}

/// The same, where the server may close the connection: it does not read a body for which it has no memory.
fn post_or_cut(url: &str, path: &str, body: &str) -> Option<(u16, usize)> {
    let (_, address) = url.split_once("://").expect("a URL");
    let mut stream = TcpStream::connect(address).expect("a connection");
    // Several of these wait for memory, in a debug build, beside other tests.
    stream.set_read_timeout(Some(HEARD_WITHIN * 5)).expect("a time");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let is_sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).is_ok();
    let mut text = Vec::new();
    let is_read = stream.read_to_end(&mut text).is_ok();
    let status = String::from_utf8_lossy(&text).split(' ').nth(1).and_then(|status| status.parse().ok());
    assert!(is_read || !is_sent, "an answer to what was sent");
    status.map(|status| (status, text.len()))
}

/// The peak memory of a process so far.
fn peak_mib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1_024
}

/// Sends a request and never reads the response.
fn unread(address: &str, path: &str, accept: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("a connection");
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: {accept}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("sent");
    stream
}

#[test]
fn small_requests_for_much_take_the_memory_that_there_is_and_no_lease_of_others() {
    const GIVEN: u64 = 96; // As much as a body of 16 MiB needs with its answer.
    const LEASES: usize = 20;
    // How long a round of heartbeats may wait for its turn: a debug build on a slow machine needs up to half of it.
    const TTL: &str = "120s";
    let folder = tempfile::tempdir().expect("a folder");
    let given = (GIVEN * MIB).to_string();
    let serving = Serving::start(folder.path(), &["--memory-max", &given, "--no-recovery"]);
    let (url, address) = (serving.url.clone(), serving.address().to_owned());
    for number in 0..LEASES {
        assert_eq!(post(&url, "/v1/good/tasks", &json!({"id": format!("g{number}")}).to_string()).0, 201);
        let take = json!({"owner": "good", "ttl": TTL}).to_string();
        assert_eq!(post(&url, &format!("/v1/good/tasks/g{number}/acquire"), &take).0, 200);
    }
    let text = |letter: &str| letter.repeat(4_000);
    let undo =
        |number: usize| json!({"kind": "x", "target": format!("{number}{}", text("t")), "reason": text("r")});
    let owes = json!({"id": "owes", "compensations": (0..1_000).map(undo).collect::<Vec<_>>()}).to_string();
    assert_eq!(post(&url, "/v1/default/tasks?return=minimal", &owes).0, 201);
    assert_eq!(
        post(&url, "/v1/default/tasks/owes/acquire?return=minimal", "{\"owner\":\"w\",\"ttl\":\"1h\"}").0,
        200
    );
    for number in 0..40 {
        let large = json!({"id": format!("large-{number}"), "payload": "x".repeat(250_000)}).to_string();
        assert_eq!(post(&url, "/v1/default/tasks?return=minimal", &large).0, 201);
    }
    let before = peak_mib(serving.process.id());

    let adopt = json!({"verb": "adopt", "task": "owes", "owner": "w", "epoch": 1});
    let adopts = json!({"commands": vec![adopt; 64]}).to_string();
    let nested =
        format!("{{\"payload\":{}{}{}}}", "[".repeat(98), vec!["1"; 2_000_000].join(","), "]".repeat(98));
    let claim = json!({"verb": "claim", "queue": "default", "owner": "w", "ttl": "1h", "limit": 200, "request_id": "r"});
    let claims = json!({"commands": vec![claim; 30]}).to_string();
    let is_over = AtomicBool::new(false);
    let told: Vec<(u16, usize)> = thread::scope(|scope| {
        let renewing = scope.spawn(|| {
            let beat =
                |number: usize| json!({"id": format!("g{number}"), "owner": "good", "epoch": 1, "ttl": TTL});
            let beats = json!({"heartbeats": (0..LEASES).map(beat).collect::<Vec<_>>()}).to_string();
            let mut rounds = 0;
            // A debug build is ten times slower than a release build, and other tests run beside it.
            while !is_over.load(Ordering::Relaxed) || rounds < 3 {
                let (status, answer) = post(&url, "/v1/good/heartbeats", &beats);
                // On a busy machine it may time out, and is repeated: only the lease decides.
                if status == 503 && !is_over.load(Ordering::Relaxed) {
                    continue;
                }
                assert_eq!(status, 200, "{answer}");
                let answers: Value = serde_json::from_str(&answer).expect("JSON");
                for answer in answers["answers"].as_array().expect("answers") {
                    let is_renewed =
                        answer["expires_at"].is_string() || answer["refusal"]["code"] == "not_extending";
                    assert!(is_renewed, "{answer}");
                }
                rounds += 1;
            }
        });
        // Clients that read nothing of the history or the tasks that they asked for.
        let mut held: Vec<TcpStream> = Vec::new();
        for _ in 0..24 {
            held.push(unread(&address, "/v1/default/events?after=e0", "text/event-stream"));
            held.push(unread(&address, "/v1/default/tasks?limit=1000", "application/json"));
        }
        let requests = [
            ("/v1/default/commands?return=representation", &adopts),
            ("/v1/default/commands", &adopts),
            ("/v1/default/tasks", &nested),
            ("/v1/default/commands", &claims),
        ];
        let hostile: Vec<_> = requests
            .into_iter()
            .cycle()
            .take(16)
            .map(|(path, body)| {
                let url = &url;
                scope.spawn(move || post_or_cut(url, path, body))
            })
            .collect();
        let told: Vec<_> = hostile.into_iter().map(thread::ScopedJoinHandle::join).collect();
        drop(held);
        is_over.store(true, Ordering::Relaxed);
        renewing.join().expect("no lease was lost");
        told.into_iter().filter_map(|one| one.expect("it ends")).collect()
    });
    // While these responses are unread, there may be no memory for another one; afterwards there is.
    until("the same is done", || {
        post_or_cut(&url, "/v1/default/commands", &adopts).is_some_and(|(status, _)| status == 200)
    });
    for (status, bytes) in &told {
        // 408: on a busy machine a large body may be read too slowly.
        assert!(matches!(status, 200 | 408 | 422 | 503), "{told:?}");
        assert!(*bytes < 20 * 1024 * 1024, "{told:?}");
    }
    let after = peak_mib(serving.process.id());
    println!("{before} MiB before, {after} MiB at most; {told:?}");
    // Five items at most are read before their size is known; that comes on top, as does what the allocator keeps of
    // freed memory.
    assert!(after < before + GIVEN + 256, "{before} MiB before, {after} MiB at most");
    until("the memory that was taken", || counted(&url, None, "tenure_http_memory_bytes", "") == 0);
}
