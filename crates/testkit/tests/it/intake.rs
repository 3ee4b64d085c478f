//! Tasks created inside callers' own transactions, by SQL and from Rust: each exists if and only if its transaction
//! commits, and each accepted task is created.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tenure::api::put::read_create;
use tenure::core::command::Action;
use tenure::core::compensation::Status;
use tenure::core::id::Namespace;
use tenure::core::policy::{OnLapse, Policy};
use tenure::core::refusal::Code;
use tenure::core::task::State;
use tenure::ledger::JsonText;
use tenure::store::BoxFuture;
use tenure::store::postgres::{CallerTransaction, PostgresOptions, PostgresStore, StatementError};
use tenure::{Error, Ledger};
use tenure_testkit::block_on;
use tenure_testkit::competing::CompetingConnection;
use tenure_testkit::server::{Server, required};
use tenure_testkit::waiting::until_asked;

/// A case of `intake/cases.md`.
struct Case<'t> {
    title: &'t str,
    sql: String,
    code: &'t str,
    told: Option<&'t str>,
}

fn cases(text: &str) -> Vec<Case<'_>> {
    let mut cases = Vec::new();
    let mut title = "";
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some((_, words)) = line.split_once(". ").filter(|(number, _)| number.parse::<u32>().is_ok()) {
            title = words;
        } else if line.trim() == "```sql" {
            let mut sql = String::new();
            while let Some(line) = lines.next_if(|line| line.trim() != "```") {
                sql.push_str(line);
                sql.push('\n');
            }
            lines.next();
            let outcome = lines.next().expect("what comes of it").trim();
            let (code, rest) =
                outcome.strip_prefix("**").and_then(|rest| rest.split_once("**")).expect(outcome);
            let told =
                rest.split_once("``").and_then(|(_, told)| told.rsplit_once("``")).map(|(told, _)| told);
            cases.push(Case { title, sql, code, told });
        }
    }
    cases
}

async fn play(rival: &mut CompetingConnection, schema: &str, case: &Case<'_>) -> Result<(), String> {
    let transaction = rival.client().transaction().await.map_err(|error| error.to_string())?;
    let sql = case.sql.replace("tenure.", &format!("{schema}."));
    match transaction.batch_execute(&sql).await {
        Ok(()) if case.code == "ok" => {
            let records = format!("select namespace, record from {schema}.intake");
            for row in transaction.query(&records, &[]).await.map_err(|error| error.to_string())? {
                let namespace =
                    Namespace::new(row.get::<_, &str>(0)).map_err(|refusal| refusal.to_string())?;
                let record: &str = row.get(1);
                let create =
                    read_create(record, &namespace).map_err(|refusal| format!("{refusal}: {record}"))?;
                Action::Create(Box::new(create)).check().map_err(|refusal| format!("{refusal}: {record}"))?;
                if let Some(part) = case.told.filter(|part| !record.contains(part)) {
                    return Err(format!("`{part}` is not in {record}"));
                }
            }
            Ok(())
        }
        Ok(()) => Err(format!("it was done, and not {}", case.code)),
        Err(error) => {
            let said = error.as_db_error().ok_or_else(|| error.to_string())?;
            let (code, told) = (said.code().code(), said.message());
            if code != case.code || case.told.is_some_and(|expected| expected != told) {
                return Err(format!("{code} {told}"));
            }
            let ours = ["22023", "23505"].contains(&code);
            let field =
                told.strip_prefix("tenure: ").and_then(|rest| rest.split_once(": ")).map(|(field, _)| field);
            if ours && said.column() != field {
                return Err(format!("its field is {:?}", said.column()));
            }
            Ok(())
        }
    }
}

#[test]
fn sql_takes_what_the_rules_take_and_refuses_the_rest_by_its_field() {
    let Some(server) = required(Server::shared()) else { return };
    let cases = cases(include_str!("../../intake/cases.md"));
    assert!(cases.len() > 250, "only {} cases were found", cases.len());
    let schema = server.fresh_schema();
    let failures: Vec<String> = block_on(async {
        drop(Ledger::open(&server.url(&schema)).await.expect("opens"));
        let mut rival = CompetingConnection::of(server, &schema).await;
        let mut failures = Vec::new();
        for case in &cases {
            let played = play(&mut rival, &schema, case).await;
            failures.extend(played.err().map(|why| format!("{}: {why}", case.title)));
        }
        failures
    });
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

/// A ledger on a schema of its own, with as many committers as processes usually have, and a rival.
async fn scene(server: &Server) -> (Ledger, CompetingConnection, String) {
    let schema = server.fresh_schema();
    let ledger = Ledger::open(&server.url(&schema)).await.expect("opens");
    let rival = CompetingConnection::of(server, &schema).await;
    (ledger, rival, schema)
}

#[test]
fn a_task_exists_if_and_only_if_the_transaction_commits() {
    let Some(server) = required(Server::shared()) else { return };
    block_on(async {
        let (ledger, rival, _) = scene(server).await;
        rival.does("create table tenure.orders (id int primary key)").await;
        rival
            .does("begin; insert into tenure.orders values (1); select tenure.create_task('ship-1', 'q')")
            .await;
        assert_eq!(ledger.task("ship-1").await.expect_err("not yet").code(), Some(Code::NotFound));
        rival.does("rollback").await;
        assert_eq!(ledger.task("ship-1").await.expect_err("never").code(), Some(Code::NotFound));
        rival
            .does("begin; insert into tenure.orders values (1); select tenure.create_task('ship-1', 'q')")
            .await;
        rival.does("commit").await;
        // At once, and whichever way it is asked for first.
        let task = ledger.acquire("ship-1", "w").await.expect("it is there");
        assert_eq!((task.state(), task.revision.0, task.queue.as_str()), (State::Running, 2, "q"));
        assert_eq!(rival.counts("select count(*) from tenure.intake").await, 0);
        let history = ledger.history("ship-1", None, 10).await.expect("its history").items;
        assert_eq!(history[0].event.actor.as_str(), "tester");
    });
}

#[test]
fn what_was_created_elsewhere_is_found_whoever_looks_first() {
    let Some(server) = required(Server::shared()) else { return };
    block_on(async {
        let (ledger, rival, _) = scene(server).await;
        for at in 0..9 {
            rival.does(&format!("select tenure.create_task('t{at}', 'q{at}')")).await;
            let id = format!("t{at}");
            match at {
                0 => drop(ledger.task(&id).await.expect("by its name")),
                1 => assert_eq!(ledger.claim("q1", "w").await.expect("claimed").len(), 1),
                2 => assert_eq!(ledger.create(&id).await.expect_err("taken").code(), Some(Code::Exists)),
                3 => {
                    let by = tenure::core::command::Holder {
                        owner: tenure::core::id::Owner::new("w").expect("a name"),
                        epoch: tenure::core::id::Epoch(1),
                    };
                    let told = ledger.heartbeat(&id, &by).await.expect_err("nobody holds it");
                    assert_eq!(told.code(), Some(Code::NoLease));
                }
                4 => {
                    let tasks =
                        ledger.tasks(tenure::store::Filter::default(), None, 100).await.expect("a list");
                    assert!(tasks.items.iter().any(|task| task.id.as_str() == id));
                }
                5 => {
                    let waiting = ledger.claim("q5", "w").wait_up_to(std::time::Duration::from_secs(20));
                    assert_eq!(waiting.await.expect("claimed").len(), 1);
                }
                6 => drop(ledger.register_standing(&id, "a", "x").await.expect("registered")),
                7 => drop(ledger.cancel(&id, "not needed").await.expect("cancelled")),
                _ => rival.waits_until("select count(*) from tenure.intake", 0).await,
            }
        }
        assert!(ledger.verify(None).await.expect("verified").holds());
    });
}

#[test]
fn everything_that_a_task_may_have_can_be_given_by_sql() {
    let Some(server) = required(Server::shared()) else { return };
    block_on(async {
        let (ledger, rival, _) = scene(server).await;
        rival
            .does(
                "select tenure.create_task('a', 'agents', '{\"n\": 1.50}', kind => 'build', priority => 7, \
                 not_before => '2020-01-02 03:04:05+00', labels => '{\"issue\":\"168\"}', \
                 policy => '{\"lease_ttl\":\"90s\",\"max_attempts\":3,\"on_lapse\":\"hold\"}', \
                 compensations => '[{\"kind\":\"rm\",\"target\":\"/tmp/a\",\"reason\":\"made\"}]', \
                 saga_id => 's', actor => 'shop/web')",
            )
            .await;
        let task = ledger.task("a").await.expect("made");
        assert_eq!((task.kind.as_str(), task.priority, task.saga_id.as_str()), ("build", 7, "s"));
        assert_eq!(task.payload.as_str(), r#"{"n":1.50}"#);
        assert_eq!((task.policy.max_attempts, task.policy.on_lapse), (3, OnLapse::Hold));
        assert_eq!(task.compensations[0].status, Status::Standing);
        assert_eq!(task.labels.len(), 1);
    });
}

#[test]
fn rust_creates_in_a_transaction_of_the_callers() {
    let Some(server) = required(Server::shared()) else { return };
    block_on(async {
        let (ledger, mut rival, _) = scene(server).await;
        let policy = Policy::default().with(|policy| policy.max_attempts = 3);
        let call = || {
            ledger
                .create("a")
                .queue("q")
                .policy(policy)
                .undo("rm", "/tmp/x")
                .payload(JsonText(r#"{"n": [1, 2]}"#))
        };
        let transaction = rival.client().transaction().await.expect("begun");
        ledger.create_in(&transaction, call()).await.expect("asked for");
        let twice = ledger.create_in(&transaction, call()).await.expect_err("the name is taken");
        assert_eq!(twice.code(), Some(Code::Exists));
        transaction.batch_execute("select 1").await.expect("a refusal leaves the transaction as it was");
        transaction.rollback().await.expect("rolled back");
        assert_eq!(ledger.task("a").await.expect_err("never").code(), Some(Code::NotFound));

        let transaction = rival.client().transaction().await.expect("begun");
        assert_eq!(ledger.create_in(&transaction, call()).await.expect("asked for").as_str(), "a");
        let made = ledger.create_in(&transaction, ledger.create_unnamed()).await.expect("asked for");
        transaction.commit().await.expect("committed");
        let task = ledger.task("a").await.expect("it exists");
        assert_eq!((task.policy, task.payload.as_str()), (policy, r#"{"n":[1,2]}"#));
        assert_eq!(ledger.task(made.as_str()).await.expect("it exists, too").state(), State::Planned);

        let transaction = rival.client().transaction().await.expect("begun");
        let named = ledger.create_in(&transaction, ledger.create("b").request_id("r")).await;
        assert_eq!(named.expect_err("the id is what makes it safe").code(), Some(Code::Invalid));
        let elsewhere = Ledger::open("memory:").await.expect("opens");
        let elsewhere = elsewhere.create_in(&transaction, elsewhere.create("b")).await;
        assert!(elsewhere.expect_err("no such transaction").to_string().contains("PostgreSQL"));
    });
}

/// A client library that Tenure does not know: it sends texts alone, and puts parameters into them itself.
struct TextClient<'c>(&'c tokio_postgres::Client);

impl TextClient<'_> {
    async fn send(&self, sql: String) -> Result<(), StatementError> {
        self.0.simple_query(&sql).await.map(drop).map_err(|error| {
            let code = error.code().map(|code| code.code().to_owned());
            StatementError::new(code.as_deref(), error)
        })
    }
}

impl CallerTransaction for TextClient<'_> {
    fn run<'a>(&'a self, sql: &'a str) -> BoxFuture<'a, Result<(), StatementError>> {
        Box::pin(self.send(sql.to_owned()))
    }

    fn run_with<'a>(
        &'a self,
        sql: &'a str,
        parameters: &'a [&'a str],
    ) -> BoxFuture<'a, Result<(), StatementError>> {
        let quoted = parameters.iter().map(|text| format!("'{}'", text.replace('\'', "''")));
        let numbered = (1..).zip(quoted).map(|(number, text)| (format!("${number}"), text));
        let sql = numbered.fold(sql.to_owned(), |sql, (place, text)| sql.replace(&place, &text));
        Box::pin(self.send(sql))
    }
}

#[test]
fn a_transaction_of_any_other_client_creates_tasks_too() {
    let Some(server) = required(Server::shared()) else { return };
    block_on(async {
        let (ledger, mut rival, _) = scene(server).await;
        let client = TextClient(rival.client());
        client.run("begin").await.expect("begun");
        let call = || ledger.create("a").payload(JsonText(r#"{"it's": [1]}"#));
        ledger.create_in(&client, call()).await.expect("asked for");
        let twice = ledger.create_in(&client, call()).await.expect_err("the name is taken");
        assert_eq!(twice.code(), Some(Code::Exists));
        client.run("commit").await.expect("a refusal leaves the transaction as it was");
        assert_eq!(ledger.task("a").await.expect("it exists").payload.as_str(), r#"{"it's":[1]}"#);

        // Without a transaction there is nothing to be a part of.
        let outside = ledger.create_in(&client, ledger.create("b")).await.expect_err("no transaction");
        assert!(matches!(&outside, Error::Unavailable(_)), "{outside}");
        let cause = outside.source().map(ToString::to_string);
        assert!(cause.is_some_and(|cause| outside.to_string().contains(&cause)), "{outside}");
    });
}

#[test]
fn a_name_that_a_callers_transaction_took_is_taken_for_everybody_else() {
    let Some(server) = required(Server::shared()) else { return };
    block_on(async {
        let (ledger, rival, _) = scene(server).await;
        ledger.create("a").saga_id("s").await.expect("created");
        let told = rival.is_refused("select tenure.create_task('a')").await;
        assert!(told.contains("id: a exists"), "{told}");
        let told = rival.is_refused("select tenure.create_task('b', saga_id => 's')").await;
        assert!(told.contains("saga_id: s exists"), "{told}");
        rival.does("select tenure.create_task('c', saga_id => 'z')").await;
        assert_eq!(ledger.create("d").saga_id("z").await.expect_err("taken").code(), Some(Code::Exists));
        let told = rival.is_refused("select tenure.create_task('e', saga_id => 'z')").await;
        assert!(told.contains("saga_id: z exists"), "{told}");
    });
}

#[test]
fn many_who_create_and_many_who_make_agree_on_every_task() {
    let Some(server) = required(Server::shared()) else { return };
    block_on(async {
        const TASKS: usize = 300;
        let (ledger, _, schema) = scene(server).await;
        let other = PostgresStore::open(PostgresOptions::new(server.url(&schema))).await.expect("opens");
        let other = Ledger::with_store(other);
        let creating: Vec<_> = (0..3)
            .map(|creator| {
                let schema = schema.clone();
                tokio::spawn(async move {
                    let rival = CompetingConnection::of(server, &schema).await;
                    for at in (creator..TASKS).step_by(3) {
                        rival.does(&format!("begin; select tenure.create_task('t{at}', 'q')")).await;
                        rival.does(if at % 10 == 9 { "rollback" } else { "commit" }).await;
                    }
                })
            })
            .collect();
        let all_are_created = Arc::new(AtomicBool::new(false));
        let claiming: Vec<_> = [ledger.clone(), other]
            .into_iter()
            .map(|ledger| {
                let all_are_created = Arc::clone(&all_are_created);
                tokio::spawn(async move {
                    let mut count = 0;
                    loop {
                        let is_last = all_are_created.load(Ordering::SeqCst);
                        let wait = std::time::Duration::from_secs(1);
                        let claimed =
                            ledger.claim("q", "w").limit(7).wait_up_to(wait).await.expect("claimed");
                        if claimed.is_empty() && is_last {
                            return count;
                        }
                        count += claimed.len();
                    }
                })
            })
            .collect();
        for one in creating {
            one.await.expect("created");
        }
        all_are_created.store(true, Ordering::SeqCst);
        let mut count = 0;
        for one in claiming {
            count += one.await.expect("claimed");
        }
        assert_eq!(count, TASKS - TASKS / 10, "each that was committed, once, and no other");
        assert!(ledger.verify(None).await.expect("verified").holds());
    });
}

#[test]
fn one_that_two_looks_of_a_batch_find_is_made_once() {
    let Some(server) = required(Server::shared()) else { return };
    block_on(async {
        // One committer, and it is held up while the others come: so they go into one batch, with a nudge among them.
        let schema = server.fresh_schema();
        let options = PostgresOptions::new(server.url(&schema)).with(|options| options.committers = 1);
        let ledger = Ledger::with_store(PostgresStore::open(options).await.expect("opens"));
        let (rival, other) =
            (CompetingConnection::of(server, &schema).await, CompetingConnection::of(server, &schema).await);
        ledger.create("held").await.expect("created");
        for round in 0..3 {
            let (id, queue) = (format!("t{round}"), format!("q{round}"));
            rival.does("begin; select from tenure.tasks where id = 'held' for update").await;
            let noting = {
                let ledger = ledger.clone();
                tokio::spawn(async move { ledger.annotate("held", "a note").await })
            };
            let waits = format!(
                "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%\"{schema}\"%'"
            );
            rival.waits_until(&waits, 1).await;
            other.does(&format!("select tenure.create_task('{id}', '{queue}')")).await;
            let claiming = (round != 1).then(|| {
                let (ledger, queue) = (ledger.clone(), queue.clone());
                tokio::spawn(async move { ledger.claim(&queue, "w").await })
            });
            let acquiring = (round != 0).then(|| {
                let (ledger, id) = (ledger.clone(), id.clone());
                tokio::spawn(async move { ledger.acquire(&id, "w").await })
            });
            // With them the look that comes by itself, which takes the room of a command.
            let count = 1 + u64::from(claiming.is_some()) + u64::from(acquiring.is_some());
            until_asked("that all of them wait", async || {
                ledger.store().metrics().await.expect("it is there").waiting_commands >= count
            })
            .await;
            rival.does("commit").await;
            noting.await.expect("it ends").expect("noted");
            let mut held = 0;
            if let Some(claiming) = claiming {
                held += claiming.await.expect("it ends").expect("claimed").len();
            }
            if let Some(acquiring) = acquiring {
                held += usize::from(acquiring.await.expect("it ends").is_ok());
            }
            assert_eq!(held, 1, "round {round}: it is there, and handed out once");
            assert_eq!(other.counts("select count(*) from tenure.intake").await, 0, "round {round}");
        }
    });
}

#[test]
fn what_is_committed_and_can_not_be_made_now_is_not_said_to_be_absent() {
    let Some(server) = required(Server::shared()) else { return };
    block_on(async {
        let (ledger, rival, schema) = scene(server).await;
        ledger.create("before").await.expect("created");
        let other = CompetingConnection::of(server, &schema).await;
        rival.does("begin; lock table tenure.events in exclusive mode").await;
        other.does("select tenure.create_task('a')").await;
        let told = ledger.task("a").await.expect_err("it can't be made now");
        assert!(matches!(told, Error::Unavailable(_)), "{told}");
        let tasks = ledger.tasks(tenure::store::Filter::default(), None, 10).await.expect("reads go on");
        assert_eq!(tasks.items.len(), 1);
        rival.does("rollback").await;
        ledger.task("a").await.expect("and now it is made");
    });
}

#[test]
fn what_can_not_be_made_is_set_aside_and_in_nobodys_way() {
    let Some(server) = required(Server::shared()) else { return };
    block_on(async {
        let (ledger, rival, _) = scene(server).await;
        // Nothing that the function lets in is like that; the owner of the schema can write what he likes.
        rival
            .does(
                "insert into tenure.names values ('default', 'bad', 'bad'); \
                 insert into tenure.intake (namespace, id, queue, actor, record) \
                 values ('default', 'bad', 'q', 'x', '{\"id\":\"bad\",\"policy\":{\"max_attempts\":0}}')",
            )
            .await;
        rival.does("select tenure.create_task('good', 'q')").await;
        let claimed = ledger.claim("q", "w").limit(5).await.expect("claimed");
        assert_eq!(claimed.iter().map(|task| task.id.as_str()).collect::<Vec<_>>(), ["good"]);
        let problems = rival.sees("select id, problem from tenure.intake").await;
        assert_eq!(problems.len(), 1);
        let problem: &str = problems[0].get(1);
        assert!(problem.contains("max_attempts"), "{problem}");
        let absent = ledger.task("bad").await.expect_err("there is none");
        assert!(matches!(absent, Error::Refused(_)), "{absent}");
    });
}

#[test]
fn a_role_that_may_only_create_creates_and_does_nothing_else() {
    let Some(server) = required(Server::shared()) else { return };
    block_on(async {
        let (ledger, rival, schema) = scene(server).await;
        let role = format!("shop_{schema}");
        let superuser = CompetingConnection::superuser(server, &schema).await;
        superuser.does(&format!("create role {role} login")).await;
        rival.does(&format!("grant usage on schema {schema} to {role}")).await;
        let url = server.url(&schema).replace("tester@", &format!("{role}@"));
        let shop = CompetingConnection::at(&url.replace(&format!("?schema={schema}"), ""), &schema).await;
        let told = shop.is_refused("select tenure.create_task('a')").await;
        assert!(told.contains("permission denied"), "{told}");
        rival.does(&format!("grant execute on function {schema}.create_task to {role}")).await;
        shop.does("select tenure.create_task('a')").await;
        for sql in ["select * from tenure.tasks", "insert into tenure.names values ('x', 'x', 'x')"] {
            let told = shop.is_refused(sql).await;
            assert!(told.contains("permission denied"), "{told}");
        }
        let task = ledger.task("a").await.expect("made");
        assert_eq!(task.state(), State::Planned);
        let history = ledger.history("a", None, 1).await.expect("its history").items;
        assert_eq!(history[0].event.actor.as_str(), role);
    });
}

#[test]
fn a_role_whose_name_is_no_actor_names_one() {
    let Some(server) = required(Server::shared()) else { return };
    block_on(async {
        let (_ledger, _, schema) = scene(server).await;
        let superuser = CompetingConnection::superuser(server, &schema).await;
        superuser.does(&format!("create role \"my app {schema}\" login superuser")).await;
        let url = server.superuser_url().replace("postgres@", &format!("my%20app%20{schema}@"));
        let app = CompetingConnection::at(&url, &schema).await;
        let told = app.is_refused("select tenure.create_task('a')").await;
        assert!(told.starts_with("tenure: actor: "), "{told}");
        app.does("select tenure.create_task('a', actor => 'my-app')").await;
    });
}
