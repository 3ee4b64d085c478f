//! Claims that wait for work.

use std::sync::Arc;

use serde_json::json;
use tenure::clock::ManualClock;
use tenure::core::time::Span;
use tenure_testkit::served::{CountedStore, Served, in_time, reply};
use tenure_testkit::waiting::until;
use tenure_testkit::{BEGINNING, block_on, memory};

/// A server, and its store, which tells who waits for something.
fn counted(clock: &ManualClock) -> (Arc<CountedStore>, Served) {
    let store = CountedStore::over(memory(clock));
    (store.clone(), Served::on(store))
}

#[test]
fn a_claim_takes_what_is_due_and_waits_for_what_comes() {
    let (store, served) = counted(&ManualClock::at(BEGINNING));
    let client = served.client();
    block_on(async {
        for id in ["a", "b", "c"] {
            client.post("/v1/default/tasks", json!({"id": id, "queue": "q"})).await.done(201);
        }
        let claim = json!({"queue": "q", "owner": "w", "ttl": "60s", "limit": 2, "wait": "60s"});
        let granted = client.post("/v1/default/claims", claim.clone()).await.done(200);
        let ids: Vec<_> =
            granted["tasks"].as_array().expect("tasks").iter().map(|task| task["id"].clone()).collect();
        assert_eq!(ids, ["a", "b"]);
        assert_eq!(granted["tasks"][0]["lease"]["owner"], "w");
        assert_eq!(
            client.post("/v1/default/claims", claim.clone()).await.done(200)["tasks"]
                .as_array()
                .map(Vec::len),
            Some(1)
        );
        let waiting = {
            let client = client.clone();
            tokio::spawn(async move { client.post("/v1/default/claims", claim).await })
        };
        until("it waits", || store.waits() > 0).await;
        client.post("/v1/default/tasks", json!({"id": "d", "queue": "q"})).await.done(201);
        let granted = in_time("the grant", waiting).await.expect("it ends").done(200);
        assert_eq!(granted["tasks"][0]["id"], "d");
        let none =
            client.post("/v1/default/claims", json!({"queue": "q", "owner": "w", "wait": "50ms"})).await;
        assert_eq!(none.done(200), json!({"tasks": []}));
        client
            .post("/v1/default/claims", json!({"queue": "q", "owner": "w", "wait": "1h"}))
            .await
            .is_problem(422, "invalid");
        client.post("/v1/default/claims", json!({"queue": "q"})).await.is_problem(422, "invalid");
    });
}

#[test]
fn a_look_tells_when_a_claim_may_find_something() {
    let clock = ManualClock::at(BEGINNING);
    let (store, served) = counted(&clock);
    let client = served.client();
    block_on(async {
        assert_eq!(client.get("/v1/default/claimable?queue=q").await.done(200), json!({"at": null}));
        let later = json!({"id": "a", "queue": "q", "not_before": "2026-01-01T00:01:00Z"});
        client.post("/v1/default/tasks", later).await.done(201);
        assert_eq!(
            client.get("/v1/default/claimable?queue=q").await.done(200),
            json!({"at": "2026-01-01T00:01:00.000000Z"})
        );
        let waiting = {
            let client = client.clone();
            tokio::spawn(async move { client.get("/v1/default/claimable?queue=q&wait=60s").await })
        };
        until("it waits", || store.waits() > 0).await;
        clock.advance(Span::from_secs(61));
        let told = in_time("the answer", waiting).await.expect("it ends").done(200);
        assert!(told["at"].is_string());
    });
}

#[test]
fn of_many_who_wait_for_one_queue_each_task_finds_one_and_the_others_wait_on() {
    let (store, served) = counted(&ManualClock::at(BEGINNING));
    let client = served.client();
    block_on(async {
        let waiting: Vec<_> = (0..100)
            .map(|nth| {
                let client = client.clone();
                let claim = json!({"queue": "q", "owner": format!("w{nth}"), "wait": "60s"});
                tokio::spawn(async move {
                    let request = client
                        .request("POST /v1/default/claims")
                        .header("idempotency-key", format!("k{nth}"));
                    let request = request.header("content-type", "application/json").body(claim.to_string());
                    reply(request).await.done(200)
                })
            })
            .collect();
        until("all have claimed in vain", || store.claims() >= 100).await;
        for number in 0..40 {
            client
                .post("/v1/default/tasks", json!({"id": format!("t{number}"), "queue": "q"}))
                .await
                .done(201);
        }
        let ended = || waiting.iter().filter(|one| one.is_finished()).count();
        in_time("the grants", until("as many have ended as there are tasks", || ended() >= 40)).await;
        assert_eq!(ended(), 40, "the others wait on");
        // To them the server says that there was nothing for them.
        served.stop();
        let mut granted = Vec::new();
        for one in waiting {
            let answer = in_time("an answer", one).await.expect("it ends");
            granted
                .extend(answer["tasks"].as_array().expect("tasks").iter().map(|task| task["id"].to_string()));
        }
        let count = granted.len();
        granted.sort();
        granted.dedup();
        assert_eq!((count, granted.len()), (40, 40), "each was granted to one, and to no two");
    });
}

#[test]
fn a_repeat_is_answered_with_its_grant_however_many_wait_already() {
    let (store, served) = counted(&ManualClock::at(BEGINNING));
    let client = served.client();
    block_on(async {
        let claim = |key: &str, owner: &str, wait: &str| {
            let request = client.request("POST /v1/default/claims").header("idempotency-key", key.to_owned());
            let body = json!({"queue": "q", "owner": owner, "wait": wait}).to_string();
            tokio::spawn(reply(request.header("content-type", "application/json").body(body)))
        };
        let first = claim("k", "w", "60s");
        until("it waits", || store.waits() > 0).await;
        client.post("/v1/default/tasks", json!({"id": "t", "queue": "q"})).await.done(201);
        let granted = in_time("the grant", first).await.expect("it ends").done(200);
        let claims = store.claims();
        assert_eq!(granted["tasks"][0]["id"], "t");
        let others: Vec<_> = (0..20).map(|nth| claim(&format!("o{nth}"), "other", "60s")).collect();
        until("all have claimed in vain", || store.claims() >= claims + 20).await;
        let again = in_time("the same answer", claim("k", "w", "60s")).await.expect("it ends").done(200);
        assert_eq!(again["tasks"][0]["id"], "t", "{again}");
        for body in [json!({"queue": "q", "owner": "w"}), json!({"queue": "q", "owner": "w", "wait": "0s"})] {
            let request = client.request("POST /v1/default/claims").header("idempotency-key", "k");
            let request = request.header("content-type", "application/json").body(body.to_string());
            let again = reply(request).await.done(200);
            assert_eq!(again["tasks"][0]["id"], "t", "one that does not wait, too: {again}");
        }
        assert!(others.iter().all(|one| !one.is_finished()), "it does not stand in line behind them");
        others.iter().for_each(tokio::task::JoinHandle::abort);
    });
}
