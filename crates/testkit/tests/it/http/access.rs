//! Access rights: every role and every namespace binding on every route.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tenure::Ledger;
use tenure::access::{NamespaceScope, Role};
use tenure::clock::ManualClock;
use tenure::core::id::Namespace;
use tenure::core::time::Span;
use tenure::store::Store;
use tenure_server::access::Access;
use tenure_server::route::{Method, Route};
use tenure_server::routes::routes;
use tenure_server::{Exposure, Limits, Options};
use tenure_testkit::served::{Client, CountedStore, Reply, Served, in_time, reply};
use tenure_testkit::waiting::until;
use tenure_testkit::{BEGINNING, block_on, memory};

use super::has_what_is_described;

fn namespaces(names: &[&str]) -> NamespaceScope {
    NamespaceScope::These(names.iter().map(|name| Namespace::new(*name).expect("a name")).collect())
}

pub(crate) async fn token(
    store: &Arc<dyn Store>,
    name: &str,
    role: Role,
    namespaces: NamespaceScope,
    lifetime: Option<Span>,
) -> String {
    let ledger = Ledger::with_store(store.clone()).acting_as("alice").expect("a name");
    let mut new = ledger.create_token(name, role).in_namespaces(namespaces.words());
    if let Some(lifetime) = lifetime {
        new = new.lifetime(lifetime.into());
    }
    let (secret, _) = new.await.expect("a token");
    secret.reveal().to_owned()
}

/// A path of that route in a namespace, about a task that nobody made.
fn path(route: &Route, namespace: &str) -> String {
    route.path.replace("{ns}", namespace).replace("{id}", "nobody").replace("{seq}", "1")
}

/// Asks for a route with a body that lets by-lease verbs through to the question who may.
async fn ask(client: &Client, route: &Route, namespace: &str) -> Reply {
    let line = format!("{} {}", route.method.as_str(), path(route, namespace));
    match route.method {
        Method::Get => reply(client.request(&line)).await,
        // Without a lease it would be a command of an operator.
        Method::Post if route.path.ends_with("/label") => {
            client.send(&line, json!({"owner": "w", "epoch": 1, "set": {"k": "v"}})).await
        }
        Method::Post | Method::Put | Method::Patch | Method::Delete => client.send(&line, json!({})).await,
    }
}

fn needed(route: &Route) -> Option<Role> {
    match route.access {
        Access::Probe => None,
        Access::Store(role) | Access::Watch(role) | Access::WholeStore(role) | Access::Namespace(role) => {
            Some(role)
        }
    }
}

#[test]
fn every_role_meets_every_route() {
    let clock = ManualClock::at(BEGINNING);
    let store = memory(&clock);
    let served = Served::on(store.clone());
    block_on(async {
        let mut checked = 0;
        for role in Role::ALL {
            let secret =
                token(&store, &format!("all-{}", role.as_str()), role, NamespaceScope::All, None).await;
            let client = served.client().with_token(&secret);
            for route in routes() {
                let reply = ask(&client, route, "default").await;
                let line = format!("{} {} as {}", route.method.as_str(), route.path, role.as_str());
                match needed(route) {
                    Some(needed) if !role.includes(needed) => {
                        assert_eq!(reply.code(), "forbidden", "{line}: {}", reply.text)
                    }
                    Some(_) | None => assert!(
                        ![401, 403].contains(&reply.status),
                        "{line} is allowed, and was {}",
                        reply.text
                    ),
                }
                checked += 1;
            }
        }
        assert_eq!(checked, Role::ALL.len() * routes().len());
    });
}

#[test]
fn without_a_valid_token_only_the_probes_answer() {
    let clock = ManualClock::at(BEGINNING);
    let store = memory(&clock);
    let served = Served::on(store.clone());
    block_on(async {
        let expiring =
            token(&store, "short", Role::Admin, NamespaceScope::All, Some(Span::from_secs(60))).await;
        let revoked = token(&store, "gone", Role::Admin, NamespaceScope::All, None).await;
        Ledger::with_store(store.clone()).revoke_token("gone").await.expect("it was there");
        clock.advance(Span::from_secs(61));
        let nobody = served.client();
        let wrong = nobody.with_token(&format!("tenure_{}", "0".repeat(64)));
        for client in [nobody.clone(), wrong, nobody.with_token(&expiring), nobody.with_token(&revoked)] {
            for route in routes() {
                let reply = ask(&client, route, "default").await;
                match route.access {
                    Access::Probe => assert_eq!(reply.status, 200, "{}: {}", route.path, reply.text),
                    _ => {
                        assert_eq!((reply.status, reply.code()), (401, "unauthenticated"), "{}", route.path);
                        assert_eq!(reply.header("www-authenticate"), "Bearer");
                    }
                }
            }
        }
    });
}

#[test]
fn a_namespace_that_a_token_is_not_bound_to_is_not_there() {
    let clock = ManualClock::at(BEGINNING);
    let store = memory(&clock);
    let served = Served::on(store.clone());
    block_on(async {
        let secret = token(&store, "shop", Role::Admin, namespaces(&["shop"]), None).await;
        let client = served.client().with_token(&secret);
        let all = token(&store, "all", Role::Admin, NamespaceScope::All, None).await;
        let everywhere = served.client().with_token(&all);
        everywhere.post("/v1/default/tasks", json!({"id": "hidden"})).await.done(201);
        client.post("/v1/shop/tasks", json!({"id": "seen"})).await.done(201);
        for route in routes().iter().filter(|route| matches!(route.access, Access::Namespace(_))) {
            ask(&client, route, "default").await.is_problem(404, "not_found");
        }
        // What goes over all namespaces has those of the token.
        assert_eq!(client.get("/v1/namespaces").await.done(200), json!({"namespaces": ["shop"]}));
        let tasks = client.get("/v1/tasks").await.done(200);
        assert_eq!(tasks["tasks"].as_array().map(Vec::len), Some(1), "{tasks}");
        let events = client.get("/v1/events").await.done(200);
        assert!(!events.to_string().contains("hidden"), "{events}");
        client.get("/v1/chains").await.is_problem(403, "forbidden");
        let tokens = client.get("/v1/tokens").await.done(200);
        assert_eq!(tokens["tokens"].as_array().map(Vec::len), Some(1), "{tokens}");
        client
            .post("/v1/tokens", json!({"name": "more", "role": "reader", "namespaces": ["*"]}))
            .await
            .is_problem(403, "forbidden");
        client.send("DELETE /v1/tokens?name=all", json!({})).await.is_problem(404, "not_found");
    });
}

#[test]
fn a_worker_uses_leases_of_its_own_name_and_no_others() {
    let clock = ManualClock::at(BEGINNING);
    let store = memory(&clock);
    let served = Served::on(store.clone());
    block_on(async {
        let of = async |name: &str, role| {
            served.client().with_token(&token(&store, name, role, NamespaceScope::All, None).await)
        };
        let (one, other, operator) =
            (of("one", Role::Worker).await, of("other", Role::Worker).await, of("ops", Role::Operator).await);
        one.post("/v1/default/tasks", json!({"id": "t"})).await.done(201);
        let held = one
            .post("/v1/default/tasks/t/acquire", json!({"owner": "w1", "as": "somebody-else"}))
            .await
            .done(200);
        assert_eq!(held["task"]["lease"]["granted_to"], "one", "who did it is the token's name");
        let by = json!({"owner": "w1", "epoch": 1});
        other.post("/v1/default/tasks/t/heartbeat", by.clone()).await.is_problem(403, "forbidden");
        other.post("/v1/default/tasks/t/complete", by.clone()).await.is_problem(403, "forbidden");
        let many = json!({"heartbeats": [{"id": "t", "owner": "w1", "epoch": 1, "ttl": "90s"}]});
        let answers = other.post("/v1/default/heartbeats", many.clone()).await.done(200);
        assert_eq!(answers["answers"][0]["refusal"]["code"], "forbidden");
        assert!(
            one.post("/v1/default/heartbeats", many).await.done(200)["answers"][0]["expires_at"].is_string()
        );
        // Without a lease it is an operator's.
        one.post("/v1/default/tasks/t/complete", json!({"reason": "x"})).await.is_problem(403, "forbidden");
        let commands = json!({"commands": [{"verb": "cancel", "task": "t", "reason": "x"}]});
        let answers = one.post("/v1/default/commands", commands).await.done(200);
        assert_eq!(answers["answers"][0]["refusal"]["code"], "forbidden");
        let done = operator.post("/v1/default/tasks/t/complete", by).await.done(200);
        assert_eq!(done["task"]["state"], "completed");
        let events = operator.get("/v1/default/tasks/t/events").await.done(200);
        let actors: Vec<_> =
            events["events"].as_array().expect("events").iter().map(|event| event["actor"].clone()).collect();
        assert_eq!(actors, [json!("one"), json!("one"), json!("ops")]);
    });
}

#[test]
fn a_token_made_over_http_works_at_once_and_a_revoked_one_fails_at_once() {
    let clock = ManualClock::at(BEGINNING);
    let served = Served::on(memory(&clock));
    block_on(async {
        let anybody = served.client();
        let made = anybody
            .post("/v1/tokens", json!({"name": "root", "role": "admin", "namespaces": ["*"], "as": "alice"}))
            .await;
        let made = made.done(201);
        assert_eq!(
            (&made["name"], &made["role"], &made["created_by"]),
            (&json!("root"), &json!("admin"), &json!("alice"))
        );
        let root = anybody.with_token(made["token"].as_str().expect("a secret"));
        anybody.get("/v1/default/tasks").await.is_problem(401, "unauthenticated");
        let worker = root
            .post("/v1/tokens", json!({"name": "ci", "role": "worker", "expires": "90d"}))
            .await
            .done(201);
        assert_eq!(worker["namespaces"], json!(["default"]));
        assert_eq!(worker["created_by"], "root");
        let ci = anybody.with_token(worker["token"].as_str().expect("a secret"));
        ci.post("/v1/default/tasks", json!({"id": "t"})).await.done(201);
        root.post("/v1/tokens", json!({"name": "ci", "role": "worker"})).await.is_problem(409, "exists");
        root.post("/v1/tokens", json!({"name": "x", "role": "king"})).await.is_problem(422, "invalid");
        let listed = root.get("/v1/tokens").await.done(200);
        has_what_is_described("NewToken", &worker);
        has_what_is_described("TokenList", &listed);
        has_what_is_described("ListedToken", &listed["tokens"][1]);
        assert!(!listed.to_string().contains("tenure_"), "no list shows a secret: {listed}");
        let revoked = root.send("DELETE /v1/tokens?name=ci", json!({})).await.done(200);
        assert_eq!((revoked["revoked_at"].is_string(), &revoked["revoked_by"]), (true, &json!("root")));
        has_what_is_described("OneToken", &revoked);
        ci.get("/v1/default/tasks/t").await.is_problem(401, "unauthenticated");
        root.send("DELETE /v1/tokens", json!({"name": "nobody"})).await.is_problem(404, "not_found");
        // The last one may be revoked; that does not open the server.
        root.send("DELETE /v1/tokens", json!({"name": "root"})).await.done(200);
        anybody.get("/v1/default/tasks").await.is_problem(401, "unauthenticated");
    });
}

#[test]
fn while_no_token_exists_foreign_hosts_and_origins_are_turned_away() {
    let clock = ManualClock::at(BEGINNING);
    let served = Served::on(memory(&clock));
    block_on(async {
        let client = served.client();
        let with = |name: &'static str, value: &'static str| {
            reply(client.request("GET /v1/now").header(name, value))
        };
        with("host", "evil.example").await.is_problem(421, "misdirected");
        with("origin", "https://evil.example").await.is_problem(421, "misdirected");
        with("origin", "http://localhost:7117").await.done(200);
        client.get("/v1/now").await.done(200);
        reply(client.request("GET /livez").header("host", "evil.example")).await.done(200);
    });
}

#[test]
fn a_server_that_others_can_reach_wants_a_token_also_while_none_exists() {
    let clock = ManualClock::at(BEGINNING);
    let options = Options::default().with(|options| options.exposure = Exposure::Network);
    let served = Served::with(memory(&clock), options, tenure::handler::Handlers::new());
    block_on(async {
        served.client().get("/v1/now").await.is_problem(401, "unauthenticated");
        served.client().get("/readyz").await.done(200);
    });
}

/// Neither what tokens are, nor what tasks carry, is for those who read logs.
#[test]
fn no_answer_of_a_problem_repeats_a_token() {
    let clock = ManualClock::at(BEGINNING);
    let store = memory(&clock);
    let served = Served::on(store.clone());
    block_on(async {
        let secret = token(&store, "one", Role::Reader, NamespaceScope::All, None).await;
        let client = served.client().with_token(&secret);
        for route in routes() {
            let reply = ask(&client, route, "default").await;
            assert!(!reply.text.contains(&secret), "{}", route.path);
        }
    });
}

#[test]
fn a_name_that_is_free_again_is_not_revoked_by_whoever_had_it_before() {
    let served = Served::on(memory(&ManualClock::at(BEGINNING)));
    block_on(async {
        let make = async |client: &Client, name: &str, role: &str, namespace: &str| {
            let made = client
                .post("/v1/tokens", json!({"name": name, "role": role, "namespaces": [namespace]}))
                .await;
            let made = made.done(201);
            served.client().with_token(made["token"].as_str().expect("a secret"))
        };
        let root = make(&served.client(), "root", "admin", "*").await;
        let admin = make(&root, "admin-of-a", "admin", "a").await;
        make(&admin, "ci", "worker", "a").await;
        admin.send("DELETE /v1/tokens?name=ci", json!({})).await.done(200);
        let theirs = make(&root, "ci", "worker", "b").await;
        let tried = admin.send("DELETE /v1/tokens?name=ci", json!({})).await;
        tried.is_problem(404, "not_found");
        assert!(!tried.text.contains("\"b\""), "nor is it told whose it is: {}", tried.text);
        theirs.get("/v1/b/tasks").await.done(200);
    });
}

#[test]
fn what_is_counted_is_of_all_namespaces_and_for_whoever_may_see_all() {
    let store = memory(&ManualClock::at(BEGINNING));
    let served = Served::on(store.clone());
    block_on(async {
        let bound = token(&store, "bound", Role::Admin, namespaces(&["a"]), None).await;
        let whole = token(&store, "whole", Role::Reader, NamespaceScope::All, None).await;
        served.client().with_token(&bound).get("/metrics").await.is_problem(403, "forbidden");
        assert_eq!(served.client().with_token(&whole).get("/metrics").await.status, 200);
    });
}

#[test]
fn a_claim_that_waits_is_granted_nothing_once_its_token_is_revoked() {
    let counted = CountedStore::over(memory(&ManualClock::at(BEGINNING)));
    let store: Arc<dyn Store> = counted.clone();
    let limits = Limits::default().with(|limits| limits.token_check_every = Duration::from_millis(50));
    let options = Options::default().with(|options| options.limits = limits);
    let served = Served::with(store.clone(), options, tenure::handler::Handlers::new());
    block_on(async {
        let secret = token(&store, "w", Role::Worker, NamespaceScope::All, None).await;
        let client = served.client().with_token(&secret);
        let waiting = tokio::spawn(async move {
            client.post("/v1/default/claims", json!({"queue": "q", "owner": "w", "wait": "60s"})).await
        });
        until("it waits", || counted.waits() > 0).await;
        let ledger = Ledger::with_store(store.clone()).acting_as("alice").expect("a name");
        ledger.revoke_token("w").await.expect("revoked");
        let told = in_time("the end of the wait", waiting).await.expect("it ends");
        ledger.create("t").queue("q").await.expect("created");
        told.is_problem(401, "unauthenticated");
        assert_eq!(ledger.task("t").await.expect("there").epoch.0, 0, "nobody has it");
    });
}

#[test]
fn of_two_tokens_none_counts() {
    let store = memory(&ManualClock::at(BEGINNING));
    let served = Served::on(store.clone());
    block_on(async {
        let secret = token(&store, "one", Role::Reader, NamespaceScope::All, None).await;
        let twice = served.client().with_token(&secret).request("GET /v1/now");
        reply(twice.bearer_auth("tenure_other")).await.is_problem(401, "unauthenticated");
    });
}

#[test]
fn who_is_bound_to_a_namespace_says_only_of_that_one_that_somebody_looks_after_it() {
    let store = memory(&ManualClock::at(BEGINNING));
    let served = Served::on(store.clone());
    block_on(async {
        let bound = token(&store, "bound", Role::Operator, namespaces(&["a"]), None).await;
        let whole = token(&store, "whole", Role::Operator, NamespaceScope::All, None).await;
        let (bound, whole) = (served.client().with_token(&bound), served.client().with_token(&whole));
        let seen = async |client: &Client, namespace: &str| {
            client.get(&format!("/v1/{namespace}/recovery")).await.done(200)["recovery"].clone()
        };
        bound.post("/v1/watch", json!({"name": "r/1", "kinds": ["close-pr"]})).await.done(200);
        assert_eq!(seen(&bound, "a").await["recoverers"][0]["kinds"], json!(["close-pr"]));
        assert_eq!(seen(&whole, "b").await, json!({"seen_at": null, "recoverers": []}));
        let foreign = bound.post("/v1/watch", json!({"name": "r/1", "namespaces": ["b"]})).await;
        foreign.is_problem(422, "invalid");
        bound.get("/v1/b/recovery").await.is_problem(404, "not_found");
        whole.post("/v1/watch", json!({})).await.done(200);
        assert!(seen(&whole, "b").await["seen_at"].is_string(), "who looks after all looks after each");
    });
}
