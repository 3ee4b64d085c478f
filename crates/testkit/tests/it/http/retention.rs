//! Named cursors and pruned tasks over HTTP.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tenure::Ledger;
use tenure::clock::ManualClock;
use tenure::core::time::Span;
use tenure::retention::{PruneOptions, PruneRun};
use tenure_testkit::served::Served;
use tenure_testkit::{BEGINNING, block_on, memory};

use super::has_what_is_described;

#[test]
fn a_cursor_is_made_moved_listed_and_deleted() {
    let clock = ManualClock::at(BEGINNING);
    let served = Served::on(memory(&clock));
    let client = served.client();
    block_on(async {
        client.post("/v1/default/tasks", json!({"id": "a"})).await.done(201);
        client.post("/v1/default/tasks", json!({"id": "b"})).await.done(201);
        client.get("/v1/default/events?cursor_name=mailer").await.is_problem(404, "not_found");
        let made = client.post("/v1/default/cursors/mailer", json!({"as": "alice"})).await.done(200);
        assert_eq!((&made["cursor"]["behind"], &made["cursor"]["moved_by"]), (&json!(2), &json!("alice")));
        let page = client.get("/v1/default/events?cursor_name=mailer&limit=1").await.done(200);
        assert_eq!(page["events"][0]["task"], "a");
        let next = page["next"].clone();
        let moved = client.post("/v1/default/cursors/mailer", json!({"cursor": next})).await.done(200);
        assert_eq!(moved["cursor"]["behind"], 1);
        let page = client.get("/v1/default/events?cursor_name=mailer").await.done(200);
        assert_eq!(page["events"][0]["task"], "b");
        client
            .post("/v1/default/cursors/mailer", json!({"cursor": made["cursor"]["cursor"]}))
            .await
            .is_problem(412, "stale_write");
        client.post("/v1/default/cursors/mailer", json!({"cursor": "e99"})).await.is_problem(422, "invalid");
        client.post("/v1/default/cursors/mailer", json!({"curser": "e1"})).await.is_problem(422, "invalid");
        client.get("/v1/default/events?cursor_name=mailer&after=e1").await.is_problem(422, "invalid");
        let listed = client.get("/v1/default/cursors").await.done(200);
        assert_eq!(listed["cursors"].as_array().map(Vec::len), Some(1));
        assert_eq!(served.client().metric("tenure_cursor_behind").await, 1.0);
        client.send("DELETE /v1/default/cursors/mailer", json!({})).await.done(200);
        client.send("DELETE /v1/default/cursors/mailer", json!({})).await.is_problem(404, "not_found");
    });
}

#[test]
fn a_pruned_task_is_not_found_and_said_to_be_pruned() {
    let clock = ManualClock::at(BEGINNING);
    let store = memory(&clock);
    let served = Served::on(Arc::clone(&store));
    let client = served.client();
    block_on(async {
        let ledger = Ledger::with_store(store);
        ledger.create("old").await.expect("created");
        ledger.mark_completed("old", "by hand").await.expect("ended");
        clock.advance(Duration::from_secs(100 * 24 * 3_600));
        let options = PruneOptions::older_than(Span::from_days(90));
        let mut run = PruneRun::begin(&ledger, options).await.expect("begun");
        while run.step(None).await.expect("a step").is_some() {}
        let gone = client.get("/v1/default/tasks/old").await;
        assert!(gone.text.contains("was pruned at"), "{}", gone.text);
        gone.is_problem(404, "not_found");
        client.post("/v1/default/tasks", json!({"id": "old"})).await.is_problem(409, "exists");
        let left = client.get("/v1/default/pruned/old").await.done(200);
        has_what_is_described("PrunedTask", &left["pruned"]);
        client.get("/v1/default/pruned/other").await.is_problem(404, "not_found");
        assert_eq!(client.get("/v1/pruned").await.done(200)["pruned"][0]["id"], "old");
        let anchors = client.get("/v1/anchors").await.done(200);
        assert_eq!(
            (&anchors["anchors"][0]["purpose"], &anchors["anchors"][0]["lines"]),
            (&json!("prune"), &json!(1))
        );
        let anchor = client.get("/v1/default/anchor").await.done(200);
        assert_eq!(anchor["anchor"]["lines"][0]["pruned"], true);
        let report = client.get("/v1/default/verify").await.done(200);
        assert_eq!((&report["report"]["holds"], &report["report"]["pruned"]), (&json!(true), &json!(1)));
    });
}
