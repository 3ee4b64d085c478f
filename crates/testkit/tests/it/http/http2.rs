//! The same over HTTP/2, where all requests of a client use one connection.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tenure::clock::ManualClock;
use tenure::handler::Handlers;
use tenure_server::{Limits, Options};
use tenure_testkit::served::{Client, CountedStore, Served, http, in_time, reply};
use tenure_testkit::waiting::until;
use tenure_testkit::{BEGINNING, block_on, memory};

/// A server, and its store, which tells who waits for something.
fn counted() -> (Arc<CountedStore>, Served) {
    let store = CountedStore::over(memory(&ManualClock::at(BEGINNING)));
    let limits = Limits::default().with(|limits| limits.body_bytes_max = 4_096);
    // What ends in time does so before anything is cut.
    let options = Options::default().with(|options| {
        options.limits = limits;
        options.grace = Duration::from_secs(60);
    });
    (store.clone(), Served::with(store, options, Handlers::new()))
}

/// Somebody who speaks nothing but HTTP/2.
fn client(served: &Served) -> Client {
    let mut client = served.client();
    client.http = http().http2_prior_knowledge().build().expect("a client");
    client
}

#[test]
fn what_waits_holds_up_nobody_on_its_connection() {
    let (store, served) = counted();
    let client = client(&served);
    block_on(async {
        let waits = json!({"queue": "q", "owner": "w", "wait": "60s"});
        let waiting = {
            let client = client.clone();
            tokio::spawn(async move { client.post("/v1/default/claims", waits).await })
        };
        until("it waits", || store.waits() > 0).await;
        let stream = client.request("GET /v1/default/events").header("accept", "text/event-stream");
        let mut stream = stream.send().await.expect("a stream");
        assert_eq!((stream.status().as_u16(), stream.version()), (200, reqwest::Version::HTTP_2));

        let many = (0..100).map(|nth| {
            let client = client.clone();
            tokio::spawn(async move {
                let body = json!({"id": format!("task-{nth}"), "queue": "other"});
                client.post("/v1/default/tasks", body).await.done(201);
            })
        });
        for one in many.collect::<Vec<_>>() {
            one.await.expect("it was made");
        }
        let metrics = client.get("/metrics").await.text;
        assert!(metrics.contains("\ntenure_http_connections 1\n"), "all on one connection: {metrics}");

        client.post("/v1/default/tasks", json!({"id": "due", "queue": "q"})).await.done(201);
        let granted = in_time("the grant", waiting).await.expect("it ends").done(200);
        assert_eq!(granted["tasks"][0]["id"], "due");
        let mut told = String::new();
        while !told.contains("\"due\"") {
            let part = in_time("more of the stream", stream.chunk()).await;
            told.push_str(&String::from_utf8_lossy(&part.expect("it goes on").expect("more")));
        }
    });
}

#[test]
fn what_is_refused_leaves_the_connection_to_the_others() {
    let (_store, served) = counted();
    let client = client(&served);
    block_on(async {
        let large = json!({"id": "large", "payload": "x".repeat(10_000)});
        client.post("/v1/default/tasks", large).await.is_problem(413, "too_large");
        // The target has the host's name here.
        let foreign = client.http.get(format!("{}/v1/now", served.url)).header("host", "evil.example");
        reply(foreign).await.is_problem(421, "misdirected");
        client.get("/v1/now").await.done(200);
        let metrics = client.get("/metrics").await.text;
        assert!(metrics.contains("\ntenure_http_connections 1\n"), "{metrics}");
    });
}

#[test]
fn a_server_that_stops_ends_what_waits_and_its_streams() {
    let (store, served) = counted();
    let client = client(&served);
    block_on(async {
        let stream = client.request("GET /v1/default/events").header("accept", "text/event-stream");
        let mut stream = stream.send().await.expect("a stream");
        let waits = json!({"queue": "q", "owner": "w", "wait": "60s"});
        let waiting = {
            let client = client.clone();
            tokio::spawn(async move { client.post("/v1/default/claims", waits).await })
        };
        until("it is being claimed", || store.claims() > 0).await;
        served.stop();
        let answer = in_time("the answer", waiting).await.expect("it ends");
        assert_eq!(answer.done(200), json!({"tasks": []}));
        let ended = async { while let Ok(Some(_)) = stream.chunk().await {} };
        in_time("the end of the stream", ended).await;
    });
}
