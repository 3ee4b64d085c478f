//! Tasks over HTTP: the same verbs, shapes and refusals as on the other surfaces.

use serde_json::{Value, json};
use tenure::clock::ManualClock;
use tenure::handler::Handlers;
use tenure_server::Options;
use tenure_testkit::served::{Reply, Served, reply, until_reply};
use tenure_testkit::undoing::{Behaviour, HandlerSpy, quick_retries};
use tenure_testkit::waiting::until;
use tenure_testkit::{BEGINNING, block_on, memory};

use super::has_what_is_described;

fn served() -> (ManualClock, Served) {
    let clock = ManualClock::at(BEGINNING);
    let served = Served::on(memory(&clock));
    (clock, served)
}

const TASKS: &str = "/v1/default/tasks";

#[test]
fn a_task_lives_from_creation_to_completion() {
    let (_clock, served) = served();
    let client = served.client();
    block_on(async {
        let body = json!({"id": "build-42", "queue": "agents", "labels": {"issue": "168"}, "payload": {"repo": "x"},
            "policy": {"lease_ttl": "60s", "max_attempts": 3},
            "compensations": [{"kind": "remove-worktree", "target": "/tmp/wt-42", "reason": "clean up"}]});
        let made = client.post(TASKS, body).await;
        assert_eq!(made.header("location"), "/v1/default/tasks/build-42");
        assert_eq!(made.header("etag"), "W/\"1\"");
        let task = made.done(201);
        assert_eq!(task["task"]["state"], "planned");
        assert_eq!(task["task"]["compensations"][0]["status"], "standing");

        let held = client
            .post(&format!("{TASKS}/build-42/acquire"), json!({"owner": "w1", "ttl": "60s"}))
            .await
            .done(200);
        assert_eq!(held["task"]["lease"]["owner"], "w1");
        assert_eq!(held["task"]["lease"]["epoch"], 1);
        assert_eq!(held["task"]["owed"], 1);

        let by = |more: serde_json::Value| {
            let mut body = json!({"owner": "w1", "epoch": 1});
            body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            body
        };
        let beat = client
            .post(
                &format!("{TASKS}/build-42/heartbeat"),
                by(json!({"ttl": "90s", "progress": {"percent": 40}})),
            )
            .await;
        let beat = beat.done(200);
        assert_eq!(beat["renewal"]["cancel"], false);
        assert_eq!(beat["renewal"]["expires_at"], beat["task"]["lease"]["expires_at"]);
        assert_eq!(beat["task"]["lease"]["progress"]["percent"], 40);

        let undo = by(json!({"kind": "close-pr", "target": "12", "reason": "opened by this run"}));
        client.post(&format!("{TASKS}/build-42/compensations"), undo).await.done(201);
        let settled = client
            .post(&format!("{TASKS}/build-42/compensations/2/settle"), by(json!({"receipt": "closed"})))
            .await;
        assert_eq!(settled.done(200)["task"]["compensations"][1]["status"], "done");

        let done = client
            .post(&format!("{TASKS}/build-42/complete"), by(json!({"result": {"pr": 12}})))
            .await
            .done(200);
        assert_eq!(done["task"]["state"], "completed");
        assert_eq!(done["task"]["result"]["pr"], 12);
        let shown = client.get(&format!("{TASKS}/build-42")).await;
        assert_eq!(shown.header("etag"), "W/\"5\"");
        assert_eq!(shown.done(200)["task"], done["task"]);
    });
}

#[test]
fn a_refusal_is_a_problem_with_its_code_and_what_the_caller_needs() {
    let (_clock, served) = served();
    let client = served.client();
    block_on(async {
        client.post(TASKS, json!({"id": "t"})).await.done(201);
        client.post(&format!("{TASKS}/t/acquire"), json!({"owner": "w1"})).await.done(200);
        let refused = client.post(&format!("{TASKS}/t/acquire"), json!({"owner": "w2"})).await;
        refused.is_problem(409, "leased");
        assert_eq!(refused.body["held_by"]["owner"], "w1");
        assert_eq!(refused.body["held_by"]["epoch"], 1);
        assert_eq!(refused.body["state"], "running");
        assert!(refused.body["retry_at"].is_string());
        client.post(TASKS, json!({"id": "t"})).await.is_problem(409, "exists");
        client.get(&format!("{TASKS}/nobody")).await.is_problem(404, "not_found");
        let beat = json!({"owner": "w1", "epoch": 7});
        client.post(&format!("{TASKS}/t/heartbeat"), beat).await.is_problem(409, "stale_epoch");
        let late = client.post(&format!("{TASKS}/t/complete"), json!({"owner": "w2", "epoch": 1})).await;
        late.is_problem(409, "wrong_owner");
    });
}

#[test]
fn what_is_wrong_with_a_body_is_named() {
    let (_clock, served) = served();
    let client = served.client();
    block_on(async {
        client.post(TASKS, json!({"id": "t"})).await.done(201);
        let acquire = format!("{TASKS}/t/acquire");
        for (path, body, field) in [
            (TASKS, json!({"id": "a b"}), "id"),
            (TASKS, json!({"id": "a", "quue": "x"}), "body"),
            (TASKS, json!({"id": "a", "labels": {"k": 1}}), "labels"),
            (TASKS, json!({"id": "a", "priority": 9_999_999_999_u64}), "priority"),
            (TASKS, json!({"id": "a", "policy": {"max_attempts": "x"}}), "policy"),
            (TASKS, json!({"id": "a", "policy": {"lease_ttl": "8d"}}), "policy.lease_ttl"),
            (TASKS, json!(["id"]), "body"),
            (&acquire, json!({}), "owner"),
            (&acquire, json!({"owner": "w1", "ttl": "soon"}), "ttl"),
            (&acquire, json!({"owner": "w1", "ttl": "1ms"}), "ttl"),
        ] {
            let refused = client.post(path, body.clone()).await;
            refused.is_problem(422, "invalid");
            assert_eq!(refused.body["field"], field, "{body}: {}", refused.text);
        }
        let half = client.post(&format!("{TASKS}/t/heartbeat"), json!({"owner": "w1"})).await;
        half.is_problem(422, "invalid");
        let broken = client
            .request(&format!("POST {TASKS}"))
            .header("content-type", "application/json")
            .body("{\"id\":");
        reply(broken).await.is_problem(422, "invalid");
        let form = client
            .request(&format!("POST {TASKS}"))
            .header("content-type", "text/plain")
            .body("{\"id\":\"x\"}");
        reply(form).await.is_problem(415, "unsupported_media_type");
        client.get("/v1/default/nothing").await.is_problem(404, "not_found");
        client.send(&format!("PUT {TASKS}"), json!({})).await.is_problem(405, "method_not_allowed");
        client.get(&format!("{TASKS}?stat=running")).await.is_problem(422, "invalid");
        client.get(&format!("{TASKS}?limit=0")).await.is_problem(422, "invalid");
        client.get(&format!("{TASKS}?cursor=zzz")).await.is_problem(422, "invalid");
        client.get(&format!("{TASKS}/a%20b")).await.is_problem(422, "invalid");
    });
}

#[test]
fn a_duration_is_a_text_or_a_number_of_seconds_and_the_same_command_in_each_form() {
    let (_clock, served) = served();
    let client = served.client();
    block_on(async {
        let named = |body: Value| {
            let request = client.request(&format!("POST {TASKS}")).header("content-type", "application/json");
            reply(request.header("idempotency-key", "k").body(body.to_string()))
        };
        let policy =
            |ttl: Value, base: Value| json!({"lease_ttl": ttl, "backoff": {"base": base, "cap": "PT1H"}});
        let first = named(json!({"id": "t", "policy": policy(json!("90s"), json!("500ms"))})).await.done(201);
        let told = &first["task"]["policy"];
        assert_eq!((&told["lease_ttl"], &told["backoff"]["base"]), (&json!("90s"), &json!("500ms")));
        for (ttl, base) in
            [(json!(90), json!(0.5)), (json!("PT1M30S"), json!("PT0.5S")), (json!(90.0), json!("500000us"))]
        {
            let again = named(json!({"id": "t", "policy": policy(ttl, base)})).await.done(201);
            assert_eq!(again, first, "the same command, and so answered as the first was");
        }
        named(json!({"id": "t", "policy": policy(json!(91), json!(0.5))}))
            .await
            .is_problem(409, "request_reused");

        let claim = json!({"queue": "default", "owner": "w1", "ttl": 120, "wait": 0.001});
        let granted = client.post("/v1/default/claims", claim).await.done(200);
        assert_eq!(granted["tasks"][0]["lease"]["ttl"], "2m");
        for (ttl, field) in
            [(json!(-1), "ttl"), (json!(true), "ttl"), (json!("90"), "ttl"), (json!(0.5), "ttl")]
        {
            let body = json!({"owner": "w1", "epoch": 1, "ttl": ttl});
            let refused = client.post(&format!("{TASKS}/t/heartbeat"), body).await;
            refused.is_problem(422, "invalid");
            assert_eq!(refused.body["field"], field, "{}", refused.text);
        }
        let claim = |wait: i64| json!({"queue": "q", "owner": "w1", "wait": wait});
        let nested = json!({"id": "u", "policy": {"backoff": {"cap": -1}}});
        for (path, body, field) in [
            ("/v1/default/claims", claim(61), "wait"),
            ("/v1/default/claims", claim(-1), "wait"),
            (TASKS, nested, "policy.backoff.cap"),
            ("/v1/tokens", json!({"name": "ci", "role": "worker", "expires": -1}), "expires"),
        ] {
            let refused = client.post(path, body).await;
            refused.is_problem(422, "invalid");
            assert_eq!(refused.body["field"], field, "{}", refused.text);
        }
    });
}

#[test]
fn a_repeat_under_the_same_key_is_answered_as_the_first_was() {
    let (_clock, served) = served();
    let client = served.client();
    block_on(async {
        let ask = |key: &str, body: serde_json::Value| {
            let request = client.request(&format!("POST {TASKS}")).header("content-type", "application/json");
            reply(request.header("idempotency-key", key.to_owned()).body(body.to_string()))
        };
        let first = ask("k1", json!({"queue": "agents"})).await.done(201);
        let again = ask("k1", json!({"queue": "agents"})).await.done(201);
        assert_eq!(first, again, "the id was made once");
        assert_eq!(ask("\"k1\"", json!({"queue": "agents"})).await.done(201), first, "also as a quoted text");
        ask("k1", json!({"queue": "others"})).await.is_problem(409, "request_reused");
        ask("a b", json!({})).await.is_problem(422, "invalid");
    });
}

#[test]
fn a_put_is_for_the_revision_that_was_read() {
    let (_clock, served) = served();
    let client = served.client();
    block_on(async {
        let path = format!("PUT {TASKS}/t");
        let put = |tag: Option<&'static str>, body: serde_json::Value| {
            let request =
                client.request(&path).header("content-type", "application/json").body(body.to_string());
            reply(match tag {
                Some(tag) => request.header("if-match", tag),
                None => request,
            })
        };
        let made = put(None, json!({"id": "t", "queue": "a"})).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let changed = put(Some("W/\"1\""), json!({"id": "t", "queue": "b"})).await.done(200);
        assert_eq!(changed["task"]["queue"], "b");
        put(Some("W/\"1\""), json!({"id": "t", "queue": "c"})).await.is_problem(412, "stale_write");
        put(Some("*"), json!({"id": "t", "queue": "c"})).await.is_problem(422, "invalid");
        put(None, json!({"id": "u", "queue": "c"})).await.is_problem(422, "invalid");
        put(Some("W/\"2\""), json!({"queue": "b"})).await.done(200);
        put(Some("W/\"1\""), json!({"id": "t", "revision": 2})).await.is_problem(422, "invalid");
        put(None, changed).await.done(200);
        let unchanged = client.request(&format!("GET {TASKS}/t")).header("if-none-match", "W/\"2\"");
        let unchanged = reply(unchanged).await;
        assert_eq!((unchanged.status, unchanged.text.as_str()), (304, ""));
    });
}

#[test]
fn many_commands_are_answered_in_their_order_each_by_itself() {
    let (_clock, served) = served();
    let client = served.client();
    block_on(async {
        let commands = json!({"commands": [
            {"verb": "create", "id": "a"},
            {"verb": "acquire", "task": "a", "owner": "w1"},
            {"verb": "acquire", "task": "a", "owner": "w2"},
            {"verb": "no-such-verb"},
            {"verb": "heartbeat", "task": "a", "owner": "w1", "epoch": 1, "ttl": "120s"},
            {"verb": "complete", "task": "a", "owner": "w1", "epoch": 1, "result": null},
            {"verb": "claim", "queue": "default", "owner": "w1"},
        ]});
        let answers = client.post("/v1/default/commands", commands).await.done(200);
        let answers = answers["answers"].as_array().expect("answers").clone();
        assert_eq!(answers.len(), 7);
        assert_eq!(answers[0]["task"]["state"], "planned");
        assert_eq!(answers[1]["task"]["epoch"], 1);
        assert_eq!(answers[2]["refusal"]["code"], "leased");
        assert_eq!(answers[3]["refusal"]["code"], "invalid");
        assert!(answers[4]["renewal"]["expires_at"].is_string());
        assert_eq!(answers[5]["task"]["state"], "completed");
        assert_eq!(answers[6]["tasks"], json!([]));
    });
}

#[test]
fn many_heartbeats_go_in_one_request() {
    let (clock, served) = served();
    let client = served.client();
    block_on(async {
        for id in ["a", "b"] {
            client.post(TASKS, json!({"id": id})).await.done(201);
            client.post(&format!("{TASKS}/{id}/acquire"), json!({"owner": "w1"})).await.done(200);
        }
        client.post(&format!("{TASKS}/b/cancel"), json!({"reason": "not wanted"})).await.done(200);
        clock.advance(tenure::core::time::Span::from_secs(10));
        let beats = json!({"heartbeats": [
            {"id": "a", "owner": "w1", "epoch": 1, "ttl": "60s"},
            {"id": "b", "owner": "w1", "epoch": 1},
            {"id": "b", "owner": "w1", "epoch": 2},
            {"id": "nobody", "owner": "w1", "epoch": 1},
            {"id": "a", "owner": "w1"},
        ]});
        let answers = client.post("/v1/default/heartbeats", beats).await.done(200);
        let answers = &answers["answers"];
        assert_eq!(
            (&answers[0]["id"], &answers[0]["epoch"], &answers[0]["cancel"]),
            (&json!("a"), &json!(1), &json!(false))
        );
        assert!(answers[0]["expires_at"].is_string());
        assert_eq!(answers[1]["cancel"], true);
        assert_eq!(answers[2]["refusal"]["code"], "stale_epoch");
        assert_eq!(answers[3]["refusal"]["code"], "not_found");
        assert_eq!(answers[4]["refusal"]["code"], "invalid");
    });
}

#[test]
fn a_retry_names_the_old_task_and_is_named_by_it() {
    let (_clock, served) = served();
    let client = served.client();
    block_on(async {
        client.post(TASKS, json!({"id": "a"})).await.done(201);
        client
            .post(&format!("{TASKS}/a/quarantine"), json!({"as": "alice", "reason": "needs a look"}))
            .await
            .done(200);
        let retried = client
            .post(&format!("{TASKS}/a/retry"), json!({"as": "alice", "reason": "fixed", "id": "b"}))
            .await;
        let retried = retried.done(201);
        assert_eq!(retried["task"]["id"], "b");
        assert_eq!(retried["task"]["retry_of"], "a");
        assert_eq!(client.get(&format!("{TASKS}/a")).await.done(200)["task"]["retried_as"], "b");
        let events = client.get(&format!("{TASKS}/a/events")).await.done(200);
        let last = events["events"].as_array().and_then(|events| events.last()).cloned().expect("events");
        assert_eq!((&last["type"], &last["actor"]), (&json!("retried"), &json!("alice")));
    });
}

#[test]
fn lists_are_filtered_and_go_on_where_they_ended() {
    let (_clock, served) = served();
    let client = served.client();
    block_on(async {
        for number in 0..5 {
            let body = json!({"id": format!("t{number}"), "queue": "q", "labels": {"parity": (number % 2).to_string()}});
            client.post(TASKS, body).await.done(201);
        }
        client.post(TASKS, json!({"id": "other"})).await.done(201);
        client.post("/v1/shop/tasks", json!({"id": "elsewhere", "queue": "q"})).await.done(201);
        let ids = |page: &serde_json::Value| -> Vec<String> {
            let tasks = page["tasks"].as_array().expect("tasks").iter();
            tasks.map(|task| task["id"].as_str().unwrap_or_default().to_owned()).collect()
        };
        let first = client.get(&format!("{TASKS}?queue=q&limit=2")).await.done(200);
        assert_eq!(ids(&first), ["t4", "t3"]);
        let next = first["next"].as_str().expect("it goes on");
        let second = client.get(&format!("{TASKS}?queue=q&limit=9&cursor={next}")).await.done(200);
        assert_eq!(
            (ids(&second), &second["next"]),
            (vec!["t2".into(), "t1".into(), "t0".into()], &json!(null))
        );
        assert_eq!(
            ids(&client
                .get(&format!("{TASKS}?label=parity%3D1&state=planned&state=running"))
                .await
                .done(200)),
            ["t3", "t1"]
        );
        assert_eq!(ids(&client.get(&format!("{TASKS}?state=running")).await.done(200)), Vec::<String>::new());
        let parked = json!({"as": "alice", "reason": "needs a look"});
        client.post(&format!("{TASKS}/other/quarantine"), parked).await.done(200);
        let open = ids(&client.get(&format!("{TASKS}?state=open")).await.done(200));
        assert_eq!(open, ["t4", "t3", "t2", "t1", "t0"]);
        let either = ids(&client.get(&format!("{TASKS}?state=open&state=quarantined")).await.done(200));
        assert_eq!(either, ["other", "t4", "t3", "t2", "t1", "t0"]);
        assert_eq!(
            ids(&client.get(&format!("{TASKS}?open=true&state=quarantined")).await.done(200)),
            Vec::<String>::new()
        );
        let all = client.get("/v1/tasks?queue=q").await.done(200);
        assert_eq!(ids(&all)[0], "elsewhere", "over all namespaces");
        assert_eq!(client.get("/v1/namespaces").await.done(200), json!({"namespaces": ["default", "shop"]}));
    });
}

#[test]
fn what_waits_for_a_person_is_told_and_why() {
    let (clock, served) = served();
    let client = served.client();
    block_on(async {
        client
            .post(TASKS, json!({"id": "a", "compensations": [{"kind": "rm", "target": "x"}]}))
            .await
            .done(201);
        client.post(&format!("{TASKS}/a/acquire"), json!({"owner": "w1", "ttl": "60s"})).await.done(200);
        clock.advance(tenure::core::time::Span::from_secs(61));
        let stale = client.get("/v1/default/stale").await.done(200);
        assert_eq!(stale["tasks"][0]["stale"], true);
        let note = client.post(&format!("{TASKS}/a/notes"), json!({"note": "who has it?"})).await.done(200);
        assert_eq!(note["task"]["stale"], true, "{note}");
        let notes = json!({"commands": [
            {"verb": "create", "id": "b"},
            {"verb": "notes", "task": "a", "note": "nobody"},
        ]});
        let told = client.post("/v1/default/commands?return=representation", notes).await.done(200);
        let stale = |at: usize| told["answers"][at]["task"]["stale"].clone();
        assert_eq!((stale(0), stale(1)), (json!(false), json!(true)), "{told}");
        client.post(&format!("{TASKS}/b/cancel"), json!({"reason": "only created"})).await.done(200);
        let why = client.get(&format!("{TASKS}/a/why")).await.done(200);
        assert!(why["why"].as_str().is_some_and(|words| words.contains("lapsed")), "{why}");
        let plan = client.post("/v1/default/recovery?plan=true", json!({})).await.done(200);
        assert_eq!(plan["planned"][0]["becomes"], "quarantined");
        has_what_is_described("PlannedTask", &plan["planned"][0]);
        let swept = client.post("/v1/default/recovery", json!({})).await.done(200);
        assert_eq!(swept["tended"][0]["outcome"], "quarantined");
        has_what_is_described("SweepReport", &swept["report"]);
        has_what_is_described("TendedTask", &swept["tended"][0]);
        assert_eq!(client.get("/v1/default/owners").await.done(200), json!({"owners": []}));
        let stats = client.get("/v1/default/stats").await.done(200);
        let quarantined = stats["stats"]["states"]
            .as_array()
            .expect("states")
            .iter()
            .find(|one| one["state"] == "quarantined");
        assert_eq!(quarantined.expect("quarantined")["count"], 1);
        let report = client.get("/v1/default/verify").await.done(200);
        assert_eq!(report["report"]["holds"], true);
        assert_eq!(report["report"]["tasks"], 2);
        has_what_is_described("Report", &report["report"]);
        let anchor = client.get("/v1/default/anchor").await.done(200);
        assert_eq!(anchor["anchor"]["lines"][0]["id"], "a");
        has_what_is_described("Anchor", &anchor["anchor"]);
        has_what_is_described("AnchorLine", &anchor["anchor"]["lines"][0]);
    });
}

#[test]
fn a_condition_or_a_name_that_would_be_passed_over_is_refused() {
    let (_clock, served) = served();
    let client = served.client();
    block_on(async {
        client.post(TASKS, json!({"id": "t"})).await.done(201);
        let with = |line: &str, name: &'static str, value: &'static str| {
            let request = client.request(line).header("content-type", "application/json").body("{}");
            reply(request.header(name, value))
        };
        let cancel = format!("POST {TASKS}/t/cancel");
        let refused = with(&cancel, "if-match", "W/\"1\"").await;
        assert_eq!(refused.body["field"], "If-Match", "{}", refused.text);
        for route in ["POST /v1/tokens", "POST /v1/default/heartbeats", "POST /v1/default/recovery"] {
            let refused = with(route, "idempotency-key", "k").await;
            assert_eq!(refused.body["field"], "Idempotency-Key", "{}", refused.text);
        }
        let shown = client.get(&format!("{TASKS}/t")).await.done(200);
        assert_eq!(shown["task"]["cancel"], Value::Null, "nothing was done: {shown}");
    });
}

#[test]
fn a_label_that_is_empty_is_looked_for_and_not_passed_over() {
    let (_clock, served) = served();
    let client = served.client();
    block_on(async {
        client.post(TASKS, json!({"id": "with", "labels": {"team": "a"}})).await.done(201);
        client.post(TASKS, json!({"id": "without", "labels": {"team": ""}})).await.done(201);
        let listed = client.get(&format!("{TASKS}?label=team=")).await.done(200);
        let ids: Vec<&Value> =
            listed["tasks"].as_array().expect("tasks").iter().map(|task| &task["id"]).collect();
        assert_eq!(ids, ["without"]);
    });
}

#[test]
fn recovery_takes_no_words_that_it_would_not_hear() {
    let (_clock, served) = served();
    let client = served.client();
    block_on(async {
        client.post("/v1/default/recovery", json!({"plan": true})).await.is_problem(422, "invalid");
        client.post("/v1/watch", json!({"for": "ever"})).await.is_problem(422, "invalid");
        client.post("/v1/default/recovery?plan=true", json!({})).await.done(200);
        client.post("/v1/default/recovery", json!({})).await.done(200);
    });
}

#[test]
fn every_answer_says_that_it_is_to_be_kept_nowhere() {
    let (_clock, served) = served();
    let client = served.client();
    block_on(async {
        for line in ["GET /v1/now", "GET /nowhere", "POST /v1/now", "GET /v1/default/tasks/nobody"] {
            let answer = reply(client.request(line)).await;
            assert_eq!(answer.header("cache-control"), "no-store", "{line}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{line}");
        }
    });
}

#[test]
fn a_sweep_whose_caller_goes_away_hands_back_what_it_was_undoing() {
    let clock = ManualClock::at(BEGINNING);
    let spy = HandlerSpy::that(&[Behaviour::Hangs]);
    let handlers = Handlers::new().with("k", quick_retries(), spy.clone()).expect("a handler");
    let served = Served::with(memory(&clock), Options::default(), handlers);
    let client = served.client();
    block_on(async {
        let owed = json!({"id": "t", "compensations": [{"kind": "k", "target": "a"}]});
        client.post(TASKS, owed).await.done(201);
        client.post(&format!("{TASKS}/t/acquire"), json!({"owner": "w", "ttl": "1s"})).await.done(200);
        clock.advance(std::time::Duration::from_secs(2));
        let sweeping = {
            let client = client.clone();
            tokio::spawn(async move { client.post("/v1/default/recovery", json!({})).await })
        };
        until("it is being undone", || spy.running() == 1).await;
        sweeping.abort();
        let shown = async || client.get(&format!("{TASKS}/t")).await;
        let is_back = |told: &Reply| {
            let task = &told.body["task"];
            (&task["state"], &task["lease"]) == (&json!("compensating"), &Value::Null)
        };
        until_reply("it is handed back", shown, is_back).await;
        assert_eq!(spy.running(), 0);
    });
}

#[test]
fn a_patch_is_repeated_under_its_key_and_answered_as_the_first_was() {
    let (_clock, served) = served();
    let client = served.client();
    block_on(async {
        client.post(TASKS, json!({"id": "t", "payload": {"n": 1}})).await.done(201);
        let patch = |key: &'static str, body: Value| {
            let request =
                client.request(&format!("PATCH {TASKS}/t")).header("content-type", "application/json");
            reply(request.header("if-match", "W/\"1\"").header("idempotency-key", key).body(body.to_string()))
        };
        let named = || json!({"priority": 5, "payload": {"n": null, "m": 2}});
        let first = patch("k", named()).await.done(200);
        assert_eq!((&first["task"]["priority"], &first["task"]["payload"]), (&json!(5), &json!({"m": 2})));
        assert_eq!(patch("k", named()).await.done(200), first);
        let undo = json!({"kind": "close-pr", "target": "12"});
        client.post(&format!("{TASKS}/t/compensations"), undo).await.done(201);
        client.send(&format!("PATCH {TASKS}/t"), json!({"payload": [3]})).await.done(200);
        assert_eq!(patch("k", named()).await.done(200), first);
        client.post(&format!("{TASKS}/t/acquire"), json!({"owner": "w1"})).await.done(200);
        assert_eq!(patch("k", named()).await.done(200), first);
        client.post(&format!("{TASKS}/t/complete"), json!({"owner": "w1", "epoch": 1})).await.done(200);
        assert_eq!(patch("k", named()).await.done(200), first);

        patch("k", json!({"priority": 6})).await.is_problem(409, "request_reused");
        patch("another", named()).await.is_problem(409, "terminal");
        let twice = client.request(&format!("PATCH {TASKS}/t")).header("content-type", "application/json");
        let refused = reply(twice.body(r#"{"payload":{"x":1,"x":2}}"#)).await;
        refused.is_problem(422, "invalid");
        assert_eq!(refused.body["field"], "payload");
    });
}
