//! Tokens and namespaces, on every store: what is stored, when a token is live, which names are free, and who learns
//! of a change.

use std::sync::Arc;
use std::time::Duration;

use tenure::access::{
    Lifetime, ListedToken, NamespaceScope, NewToken, Role, Token, TokenHash, TokenSecret, TokenToRevoke,
    Tokens,
};
use tenure::api::{from_json, to_json};
use tenure::clock::ManualClock;
use tenure::core::id::Actor;
use tenure::core::refusal::Code;
use tenure::core::time::Span;
use tenure::store::Store;
use tenure::{Error, Ledger};
use tenure_testkit::competing::CompetingConnection;
use tenure_testkit::server::{Server, required};
use tenure_testkit::{BEGINNING, block_on, memory, postgres, postgres_in, sqlite};

const DAY: Duration = Duration::from_secs(86_400);

/// What there is to tell of a store: its name, the store, and its clock.
struct Place {
    name: &'static str,
    store: Arc<dyn Store>,
    clock: ManualClock,
    ledger: Ledger,
}

impl Place {
    fn new(name: &'static str, store: Arc<dyn Store>, clock: ManualClock) -> Place {
        let ledger = Ledger::with_store(Arc::clone(&store)).acting_as("alice").expect("a name");
        Place { name, store, clock, ledger }
    }

    async fn all(&self) -> Tokens {
        self.store.tokens(None).await.expect(self.name).expect("nobody knew a version")
    }
}

fn on_every_store<F: Future<Output = Result<(), Error>>>(story: impl Fn(Place) -> F) {
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        story(Place::new("memory", memory(&clock), clock)).await.expect("in memory");
        let clock = ManualClock::at(BEGINNING);
        let (_folder, store) = sqlite(&clock).await;
        story(Place::new("sqlite", store, clock)).await.expect("on SQLite");
        let Some(server) = required(Server::shared()) else { return };
        let clock = ManualClock::at(BEGINNING);
        let store = postgres(server, &clock).await;
        story(Place::new("postgres", store, clock)).await.expect("on PostgreSQL");
    });
}

fn actor(name: &str) -> Actor {
    Actor::new(name).expect("a name")
}

fn code<T>(answer: Result<T, Error>) -> Option<Code> {
    answer.err().and_then(|error| error.code())
}

fn hash(text: &str) -> TokenHash {
    TokenHash::of_presented(text)
}

fn for_ci(lifetime: Option<Span>) -> NewToken {
    NewToken {
        name: actor("ci"),
        role: Role::Worker,
        namespaces: NamespaceScope::of_words(["default"]).expect("a namespace"),
        lifetime: lifetime.map(|span| Lifetime::new(span).expect("a lifetime")),
        created_by: actor("alice"),
    }
}

#[test]
fn a_token_is_kept_by_its_hash_with_what_it_may_be_used_for() {
    on_every_store(|place| async move {
        assert_eq!(place.all().await, Tokens { version: 0, tokens: Vec::new() });
        let ledger = place.ledger.in_namespace("build")?;
        let (secret, token) = ledger.create_token("ci", Role::Worker).lifetime(90 * DAY).await?;
        let (other, wide) = ledger.create_token("ops/bob", Role::Admin).in_namespaces(["*"]).await?;
        let expected = Token {
            name: actor("ci"),
            role: Role::Worker,
            namespaces: NamespaceScope::of_words(["build"])?,
            created_at: BEGINNING,
            created_by: actor("alice"),
            expires_at: Some(BEGINNING + Span::from_days(90)),
            revoked_at: None,
            revoked_by: None,
        };
        assert_eq!(token, expected);
        assert_eq!((&wide.namespaces, wide.expires_at), (&NamespaceScope::All, None));
        let all = place.all().await;
        let listed = |hash, token| ListedToken { hash, token };
        assert_eq!(all.tokens, [listed(secret.hash(), token), listed(other.hash(), wide)], "{}", place.name);
        assert_eq!(from_json(&to_json(&all)), Ok(all), "and reads back from its JSON");
        Ok(())
    });
}

#[test]
fn who_knows_the_version_is_told_only_of_changes() {
    on_every_store(|place| async move {
        let known = |version| place.store.tokens(Some(version));
        assert_eq!(known(0).await?, None, "nothing is not new to who knows nothing");
        place.ledger.create_token("ci", Role::Worker).await?;
        let first = known(0).await?.expect("one was added");
        assert_eq!(known(first.version).await?, None);
        place.ledger.create("t").await?;
        assert_eq!(code(place.ledger.create_token("ci", Role::Reader).await), Some(Code::Exists));
        assert_eq!(known(first.version).await?, None, "tasks and refusals change no token");
        place.ledger.revoke_token("ci").await?;
        let second = known(first.version).await?.expect("one was revoked");
        place.ledger.revoke_token("ci").await?;
        assert_eq!(known(second.version).await?, None, "a second revoke changes nothing");
        assert_eq!(known(first.version).await?, Some(second), "one who is behind is told");
        Ok(())
    });
}

/// A counter would come to the same number twice, and who knows it would go on with what was before.
#[test]
fn a_backup_that_is_changed_again_comes_to_no_version_that_somebody_knows() {
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        let (folder, store) = sqlite(&clock).await;
        let place = Place::new("sqlite", store, clock.clone());
        place.ledger.create_token("ci", Role::Worker).await.expect("created");
        let backup = folder.path().join("backup.db");
        let file = rusqlite::Connection::open(folder.path().join("tasks.db")).expect("opens");
        file.execute("vacuum into ?", [backup.to_str()]).expect("copied");
        place.ledger.create_token("late", Role::Worker).await.expect("created");
        let known = place.all().await.version;
        clock.advance(DAY);
        let opener = Ledger::builder().clock(Arc::new(clock));
        let restored = opener.open(&format!("sqlite:{}", backup.display())).await.expect("opens");
        restored.revoke_token("ci").await.expect("revoked");
        let told = restored.store().tokens(Some(known)).await.expect("read");
        assert!(told.is_some_and(|told| told.tokens.len() == 1 && told.tokens[0].token.revoked_at.is_some()));
    });
}

#[test]
fn a_name_is_free_when_its_token_is_revoked_or_has_expired() {
    on_every_store(|place| async move {
        place.store.add_token(hash("1"), for_ci(Some(Span::from_secs(60)))).await?;
        place.clock.advance(Duration::from_secs(59));
        assert_eq!(code(place.store.add_token(hash("2"), for_ci(None)).await), Some(Code::Exists));
        place.clock.advance(Duration::from_secs(1));
        place.store.add_token(hash("2"), for_ci(None)).await?;
        let [ListedToken { token: first, .. }, ListedToken { token: second, .. }] =
            &*place.all().await.tokens
        else {
            panic!("{}", place.name)
        };
        let expiry = BEGINNING + Span::from_secs(60);
        assert_eq!((first.revoked_at, &first.revoked_by), (Some(expiry), &None), "at its expiry, by nobody");
        assert!(second.is_live(expiry) && second.expires_at.is_none());
        assert_eq!(code(place.store.add_token(hash("3"), for_ci(None)).await), Some(Code::Exists));
        place.store.revoke_token(actor("ci").into(), actor("bob")).await?;
        place.store.add_token(hash("3"), for_ci(None)).await?;
        let live =
            |tokens: Tokens| tokens.tokens.iter().filter(|listed| listed.token.is_live(expiry)).count();
        assert_eq!((place.all().await.tokens.len(), live(place.all().await)), (3, 1), "who acted stays");
        Ok(())
    });
}

#[test]
fn a_second_revoke_answers_the_first_and_an_unknown_name_is_not_found() {
    on_every_store(|place| async move {
        place.ledger.create_token("ci", Role::Worker).await?;
        place.clock.advance(DAY);
        let revoked = place.ledger.revoke_token("ci").await?;
        assert_eq!(revoked.revoked_at, Some(BEGINNING + Span::from_days(1)));
        assert_eq!(revoked.revoked_by, Some(actor("alice")));
        assert_eq!(from_json(&to_json(&revoked)).as_ref(), Ok(&revoked));
        place.clock.advance(DAY);
        assert_eq!(place.store.revoke_token(actor("ci").into(), actor("bob")).await?, revoked);
        assert_eq!(code(place.ledger.revoke_token("nobody").await), Some(Code::NotFound));
        Ok(())
    });
}

#[test]
fn a_revocation_of_a_token_that_was_seen_never_meets_another_one_with_its_name() {
    on_every_store(|place| async move {
        let seen = |digits| TokenToRevoke { name: actor("ci"), hash: Some(hash(digits)) };
        let revoke = async |which| place.store.revoke_token(which, actor("bob")).await;
        assert_eq!(code(revoke(seen("1")).await), Some(Code::NotFound));
        place.store.add_token(hash("1"), for_ci(None)).await?;
        assert_eq!(code(revoke(seen("2")).await), Some(Code::Exists), "no token has that hash");
        let revoked = revoke(seen("1")).await?;
        assert_eq!((revoked.revoked_at, &revoke(seen("1")).await?), (Some(BEGINNING), &revoked));
        // At the same instant: the time of the creation does not tell them apart.
        let second = place.store.add_token(hash("2"), for_ci(None)).await?;
        assert_eq!(second.created_at, revoked.created_at);
        assert_eq!(code(revoke(seen("1")).await), Some(Code::Exists));
        let another = NewToken { name: actor("other"), ..for_ci(None) };
        place.store.add_token(hash("3"), another).await?;
        assert_eq!(code(revoke(seen("3")).await), Some(Code::Exists), "it has another name");
        assert_eq!(place.all().await.tokens[1].token, second, "nothing was revoked");
        place.ledger.revoke_token_with_hash("ci", hash("2")).await?;
        assert!(place.all().await.tokens[1].token.revoked_at.is_some());
        Ok(())
    });
}

#[test]
fn who_was_not_answered_asks_again_and_gets_one_token() {
    on_every_store(|place| async move {
        let first = place.store.add_token(hash("1"), for_ci(None)).await?;
        place.clock.advance(DAY);
        assert_eq!(place.store.add_token(hash("1"), for_ci(None)).await?, first);
        let another = NewToken { name: actor("other"), ..for_ci(None) };
        assert_eq!(code(place.store.add_token(hash("1"), another).await), Some(Code::Exists));
        assert_eq!(place.all().await.tokens.len(), 1);
        Ok(())
    });
}

#[test]
fn what_a_token_must_not_be_is_refused_with_the_field() {
    on_every_store(|place| async move {
        let field = |answer: Result<(TokenSecret, Token), Error>| {
            answer.expect_err("refused").refusal().expect("a refusal").field
        };
        let ci = || place.ledger.create_token("ci", Role::Worker);
        assert_eq!(field(place.ledger.create_token("c i", Role::Worker).await), Some("name"));
        assert_eq!(field(ci().in_namespaces(["a", "*"]).await), Some("namespaces"));
        assert_eq!(field(ci().lifetime(Duration::from_millis(999)).await), Some("expires"));
        assert_eq!(field(ci().lifetime(3_651 * DAY).await), Some("expires"));
        let none = NewToken { namespaces: NamespaceScope::These([].into()), ..for_ci(None) };
        assert_eq!(code(place.store.add_token(hash("1"), none).await), Some(Code::Invalid));
        assert_eq!(place.all().await, Tokens::default());
        Ok(())
    });
}

#[test]
fn every_namespace_with_a_task_is_named_once_and_in_order() {
    on_every_store(|place| async move {
        assert_eq!(place.ledger.namespaces().await?, []);
        for name in ["b", "a", "default", "a-b", "B"] {
            let ledger = place.ledger.in_namespace(name)?;
            for at in 0..3 {
                ledger.create(&format!("t{at}")).await?;
            }
        }
        let names: Vec<String> = place.ledger.namespaces().await?.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["B", "a", "a-b", "b", "default"], "{}", place.name);
        Ok(())
    });
}

#[test]
fn of_many_who_make_a_token_of_one_name_at_once_one_does() {
    on_every_store(|place| async move {
        let makers: Vec<_> = (0..8)
            .map(|at| {
                let store = Arc::clone(&place.store);
                tokio::spawn(async move { store.add_token(hash(&at.to_string()), for_ci(None)).await })
            })
            .collect();
        let mut refused = 0;
        for maker in makers {
            let made = maker.await.expect("ended");
            refused += usize::from(code(made) == Some(Code::Exists));
        }
        assert_eq!((refused, place.all().await.tokens.len()), (7, 1), "{}", place.name);
        Ok(())
    });
}

#[test]
fn a_change_that_waited_for_another_one_comes_behind_it() {
    let Some(server) = required(Server::shared()) else { return };
    block_on(async {
        let (schema, clock) = (server.fresh_schema(), ManualClock::at(BEGINNING));
        let store = postgres_in(server, &schema, &clock).await;
        let rival = CompetingConnection::of(server, &schema).await;
        let ahead = BEGINNING.as_micros() + 1_000;
        rival.does(&format!("begin; update tenure.meta set value = '{ahead}' where key = 'tokens'")).await;
        let waiting = {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.add_token(hash("1"), for_ci(None)).await })
        };
        let waiters = format!(
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%\"{schema}\"%'"
        );
        rival.waits_until(&waiters, 1).await;
        rival.does("commit").await;
        waiting.await.expect("ended").expect("added");
        let tokens = store.tokens(None).await.expect("read").expect("nobody knew a version");
        assert!(tokens.version > ahead.unsigned_abs(), "{} is not behind {ahead}", tokens.version);
    });
}

#[test]
fn what_one_process_revokes_another_one_sees_at_its_next_look() {
    async fn is_seen(one: Arc<dyn Store>, other: Arc<dyn Store>) {
        one.add_token(hash("1"), for_ci(None)).await.expect("added");
        let seen = other.tokens(None).await.expect("read").expect("nobody knew a version");
        assert!(seen.tokens[0].token.is_live(BEGINNING));
        one.revoke_token(actor("ci").into(), actor("bob")).await.expect("revoked");
        let told = other.tokens(Some(seen.version)).await.expect("read").expect("it changed");
        assert!(!told.tokens[0].token.is_live(BEGINNING));
    }
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        let (folder, one) = sqlite(&clock).await;
        let url = format!("sqlite:{}", folder.path().join("tasks.db").display());
        let other = Ledger::builder().clock(Arc::new(clock.clone())).open(&url).await.expect("opens");
        is_seen(one, Arc::clone(other.store())).await;
        let Some(server) = required(Server::shared()) else { return };
        let schema = server.fresh_schema();
        is_seen(postgres_in(server, &schema, &clock).await, postgres_in(server, &schema, &clock).await).await;
    });
}

#[test]
fn a_store_of_before_there_were_tokens_is_brought_to_have_some() {
    block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tasks.db");
        let file = rusqlite::Connection::open(&path).expect("opens");
        file.execute_batch(include_str!("../../../sqlite/migrations/V1__ledger.sql")).expect("version 1");
        file.execute_batch("pragma application_id = 1413828181; pragma user_version = 1").expect("marked");
        drop(file);
        let has_tokens = |url: String| async move {
            let ledger = Ledger::open(&url).await.expect("opens");
            assert_eq!(ledger.tokens().await.expect("read"), []);
            ledger.create_token("ci", Role::Worker).await.expect("created");
            ledger.create("t").await.expect("and tasks as before");
            assert!(ledger.verify(None).await.expect("verified").holds());
        };
        has_tokens(format!("sqlite:{}", path.display())).await;
        let Some(server) = required(Server::shared()) else { return };
        let schema = server.fresh_schema();
        let rival = CompetingConnection::of(server, &schema).await;
        rival.does(&format!("create schema {schema}")).await;
        rival.does(include_str!("../../../postgres/migrations/V1__ledger.sql")).await;
        rival.does(include_str!("../../../postgres/migrations/V2__intake.sql")).await;
        let marks = "insert into tenure.meta (key, value) values ('schema_version', '2'), ('feed_base', '0'), \
             ('epoch_floor', '0')";
        rival.does(marks).await;
        has_tokens(server.url(&schema)).await;
    });
}

/// What SQL must not do to a token that is revoked, `old`, and one that is live, `ci`.
const FORBIDDEN: &[(&str, &str)] = &[
    ("update tenure.tokens set revoked_at = null where name = 'old'", "a token that was revoked stays so"),
    (
        "update tenure.tokens set role = 'admin' where name = 'ci'",
        "a token does not change; revoke it and make another",
    ),
    (
        "update tenure.tokens set expires_at = null where name = 'ci'",
        "a token does not change; revoke it and make another",
    ),
    ("delete from tenure.tokens where name = 'old'", "a token is not deleted; revoke it"),
];

#[test]
fn the_database_itself_lets_nobody_bring_a_token_back_or_give_it_more() {
    async fn with_tokens(ledger: &Ledger) -> Vec<Token> {
        ledger.create_token("old", Role::Worker).await.expect("created");
        ledger.revoke_token("old").await.expect("revoked");
        ledger.create_token("ci", Role::Reader).lifetime(DAY).await.expect("created");
        ledger.tokens().await.expect("read")
    }
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        let (folder, store) = sqlite(&clock).await;
        let ledger = Ledger::with_store(store);
        let before = with_tokens(&ledger).await;
        let file = rusqlite::Connection::open(folder.path().join("tasks.db")).expect("opens");
        let replace = "insert or replace into tokens select no, hash, name, 'admin', namespaces, created_at, \
             created_by, null, null, null from tokens where name = 'ci'";
        for (sql, expected) in FORBIDDEN.iter().chain(&[(replace, "a token is not replaced")]) {
            let told = file.execute(&sql.replace("tenure.", ""), []).expect_err(sql).to_string();
            assert!(told.contains(&format!("tenure: {expected}")), "{sql}: {told}");
        }
        assert_eq!(ledger.tokens().await.expect("read"), before);
        let Some(server) = required(Server::shared()) else { return };
        let schema = server.fresh_schema();
        let ledger = Ledger::open(&server.url(&schema)).await.expect("opens");
        let before = with_tokens(&ledger).await;
        let rival = CompetingConnection::of(server, &schema).await;
        let truncate = ("truncate tenure.tokens", "a token is not deleted; revoke it");
        for (sql, expected) in FORBIDDEN.iter().chain(&[truncate]) {
            assert_eq!(rival.is_refused(sql).await, format!("tenure: {expected}"), "{sql}");
        }
        assert_eq!(ledger.tokens().await.expect("read"), before);
    });
}

#[test]
fn a_role_that_may_not_write_tokens_reads_them_and_works() {
    let Some(server) = required(Server::shared()) else { return };
    block_on(async {
        let schema = server.fresh_schema();
        let role = format!("workers_{schema}");
        CompetingConnection::superuser(server, &schema)
            .await
            .does(&format!("create role {role} login"))
            .await;
        let owner = Ledger::open(&server.url(&schema)).await.expect("opens");
        // As SECURITY.md has it.
        CompetingConnection::of(server, &schema)
            .await
            .does(&format!(
                "grant usage on schema {schema} to {role}; \
                 grant select, insert, update, delete on all tables in schema {schema} to {role}; \
                 grant execute on all functions in schema {schema} to {role}; \
                 revoke insert, update, delete on tenure.tokens from {role}"
            ))
            .await;
        owner.create_token("ci", Role::Worker).await.expect("the owner may");
        let url = server.url(&schema).replace("tester@", &format!("{role}@"));
        let ledger = Ledger::open(&url).await.expect("opens");
        ledger.create("t").await.expect("created");
        ledger.acquire("t", "w").await.expect("acquired");
        assert_eq!(ledger.tokens().await.expect("read").len(), 1);
        for told in [
            ledger.create_token("root", Role::Admin).await.map(drop).expect_err("refused").to_string(),
            ledger.revoke_token("ci").await.map(drop).expect_err("refused").to_string(),
        ] {
            assert!(told.contains("permission denied; grant this role"), "{told}");
        }
        assert_eq!(owner.tokens().await.expect("read").len(), 1);
    });
}
