//! Databases of the released schema open: they are migrated, their histories hold, and their tasks are what they were. A migration that
//! is killed leaves the old schema or the new one.

use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
use tenure::clock::{ManualClock, Moment};
use tenure::core::chain::Hash;
use tenure::core::id::Epoch;
use tenure::core::task::State;
use tenure::core::time::Time;
use tenure::store::Filter;
use tenure::{Error, Ledger};
use tenure_testkit::competing::CompetingConnection;
use tenure_testkit::server::{Server, required};
use tenure_testkit::{block_on, seed};

/// The released migrations of databases, each with its hash: one that changed would leave two kinds of stores of the same version.
const MIGRATIONS: [(&str, &str); 6] = [
    (
        include_str!("../../../postgres/migrations/V1__ledger.sql"),
        "4a03569c49b94f35a640160df8aa4d4f344cc1541ac50682abaf53d9edd5a734",
    ),
    (
        include_str!("../../../postgres/migrations/V2__intake.sql"),
        "a3a21cfe3a0c6c27a474d0dd3ae8ec43cc63440b0a39a4fe1e95d0275ea8fd8f",
    ),
    (
        include_str!("../../../postgres/migrations/V3__tokens.sql"),
        "3518aba365896c5dab1060c70d77bcdbf7ae146c6c452176a36ed22439312792",
    ),
    (
        include_str!("../../../postgres/migrations/V4__guards.sql"),
        "2e352138295fe7579b3d48d51012204b65c5de3ac9817edea721e16d4c993db6",
    ),
    (
        include_str!("../../../postgres/migrations/V5__ends.sql"),
        "1e11a05afff30e0d33c44bf8e53b83a265c6c116b0de3f71a8da6afa975399a5",
    ),
    (
        include_str!("../../../postgres/migrations/V6__speed.sql"),
        "c2a9b9172d294b3d503760aaf17ef5cee7571ce6048cd014d9e8b8100b38ff61",
    ),
];
const GOLDEN: &str = include_str!("../../golden/postgres-v6.sql");
/// Just after the newest event of the golden rows.
const WRITTEN_AT: Time = Time::from_micros(1_796_131_697_000_000);
/// What of a schema a migration changes: its columns, its guards and its indexes.
const SHAPE: &str = "\
    select coalesce(string_agg(line, e'\\n' order by line collate \"C\"), '') from ( \
        select table_name || '.' || column_name || ' ' || data_type as line from information_schema.columns \
            where table_schema = $1 \
        union all \
        select 'trigger ' || tgname || ' ' || pg_get_triggerdef(pg_trigger.oid) from pg_trigger \
            join pg_class on pg_class.oid = tgrelid join pg_namespace on pg_namespace.oid = relnamespace \
            where nspname = $1 and not tgisinternal \
        union all \
        select 'function ' || proname || ' ' || md5(replace(replace(prosrc, '\"' || $1 || '\"', $1), $1, '')) from pg_proc \
            join pg_namespace on pg_namespace.oid = pronamespace where nspname = $1 \
        union all \
        select 'index ' || indexdef from pg_indexes where schemaname = $1 \
        union all \
        select 'version ' || value from tenure.meta where key = 'schema_version' \
    ) as shape";

/// The kills of a test; `TENURE_KILLS` changes it.
fn kills() -> u32 {
    std::env::var("TENURE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

/// A schema as a program of version 6 left it.
async fn schema_of_version_6(server: &Server) -> String {
    let schema = server.fresh_schema();
    let owner = CompetingConnection::of(server, &schema).await;
    owner.does(&format!("create schema {schema}; set search_path = pg_catalog, pg_temp")).await;
    for (migration, _) in MIGRATIONS {
        owner.does(migration).await;
    }
    owner.does("delete from tenure.meta").await;
    // The rows come as they ended, so the guards of the ended would refuse them.
    let superuser = CompetingConnection::superuser(server, &schema).await;
    superuser.does("set session_replication_role = replica").await;
    superuser.does(GOLDEN).await;
    schema
}

async fn opened(server: &Server, schema: &str) -> (Ledger, ManualClock) {
    let clock = ManualClock::at(WRITTEN_AT);
    let opener = Ledger::builder().clock(Arc::new(clock.clone()));
    (opener.open(&server.url(schema)).await.expect("is migrated"), clock)
}

/// The whole shape of a schema, without its name.
async fn shape(server: &Server, schema: &str) -> String {
    let watching = CompetingConnection::of(server, schema).await;
    let rows = watching.sees(&SHAPE.replace("$1", &format!("'{schema}'"))).await;
    rows.first().expect("a row").get::<_, String>(0).replace(schema, "tenure")
}

/// A process that brings the schema to the newest version.
fn migrating(server: &Server, schema: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenure-child"));
    command.args(["migrate", &server.url(schema)]).spawn().expect("a process")
}

#[test]
fn a_released_migration_of_a_database_never_changes() {
    let hashes = MIGRATIONS.map(|(migration, _)| Hash::of(migration.as_bytes()).to_string());
    assert_eq!(hashes, MIGRATIONS.map(|(_, hash)| hash.to_owned()));
}

#[test]
fn a_database_of_the_released_schema_opens_and_its_tasks_are_what_they_were() -> Result<(), Error> {
    let Some(server) = required(Server::shared()) else { return Ok(()) };
    block_on(async {
        let schema = schema_of_version_6(server).await;
        let (ledger, clock) = opened(server, &schema).await;
        let report = ledger.verify(None).await?;
        assert!(report.holds(), "{report:?}");
        assert_eq!(ledger.tasks(Filter::default(), None, 100).await?.items.len(), 17);
        assert_eq!(
            ledger.in_namespace("elsewhere")?.tasks(Filter::default(), None, 100).await?.items.len(),
            1
        );
        let states = [
            ("planned", State::Planned),
            ("reserved", State::Dispatched),
            ("running", State::Running),
            ("undoing", State::Compensating),
            ("completed", State::Completed),
            ("failed", State::Failed),
            ("cancelled", State::Compensated),
            ("parked", State::Quarantined),
        ];
        for (id, state) in states {
            assert_eq!(ledger.task(id).await?.state(), state, "{id}");
        }
        let last = async |id: &str| {
            let last = ledger.task(id).await.expect("a task").last_lease;
            last.map(|last| (last.owner.to_string(), last.epoch))
        };
        assert_eq!(last("completed").await, Some(("w2".to_owned(), Epoch(3))));
        assert_eq!(last("lapsed").await, Some(("w1".to_owned(), Epoch(1))), "recovery's lease is none");
        assert_eq!(last("taken-over").await, Some(("w1".to_owned(), Epoch(1))), "it is held by w2 now");
        assert_eq!(last("kept").await, Some(("w1".to_owned(), Epoch(1))));
        assert_eq!(last("cancelled").await, None);
        // What was under way goes on.
        let by = ledger.task("taken-over").await?.lease().expect("a lease").holder();
        clock.advance(Duration::from_secs(1));
        ledger.heartbeat("taken-over", &by).await?;
        ledger.adopt("taken-over", &by).await?;
        ledger.complete("taken-over", &by).await?;
        let again = ledger.acquire("reserved", "w1").await?;
        assert_eq!((again.epoch, again.owed().count()), (Epoch(1), 1));
        let repeated = ledger.create("planned").request_id("create-planned").await;
        assert_eq!(
            repeated.expect_err("another command").code().map(|code| code.as_str()),
            Some("request_reused")
        );
        assert!(ledger.verify(None).await?.holds());
        // It has all that a new one has.
        let new = server.fresh_schema();
        Ledger::open(&server.url(&new)).await?;
        let (migrated, new) = (shape(server, &schema).await, shape(server, &new).await);
        let odd: Vec<&str> =
            migrated.lines().filter(|line| !new.lines().any(|other| other == *line)).collect();
        assert!(odd.is_empty() && migrated.lines().count() == new.lines().count(), "{odd:?}");
        Ok(())
    })
}

#[test]
fn a_migration_that_is_killed_leaves_the_old_schema_or_the_new_one_and_can_be_repeated() {
    let Some(server) = required(Server::shared()) else { return };
    let mut bytes = [10; 32];
    bytes[..8].copy_from_slice(&seed().to_be_bytes());
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let whole = block_on(schema_of_version_6(server));
    let old = block_on(shape(server, &whole));
    let began = Moment::now();
    assert!(migrating(server, &whole).wait().expect("its end").success());
    let took: Duration = Moment::now().since(began).into();
    let new = block_on(shape(server, &whole));
    assert_ne!(old, new);
    let (mut olds, mut news) = (0, 0);
    for kill in 0..kills() {
        let schema = block_on(schema_of_version_6(server));
        let mut process = migrating(server, &schema);
        // played: a kill at a random moment; nothing is waited for.
        std::thread::sleep(took.mul_f64(f64::from(random.next_u32() % 1_100) / 1_000.0));
        process.kill().expect("kill -9");
        process.wait().expect("its end");
        // The server ends the transaction of a connection that is gone when it notices, so the next one waits for its lock.
        let found = block_on(shape(server, &schema));
        match found {
            found if found == old => olds += 1,
            found if found == new => news += 1,
            between => panic!("kill {kill}, seed {:x}: between the two: {between}", seed()),
        }
        assert!(
            migrating(server, &schema).wait().expect("its end").success(),
            "kill {kill}: it can be repeated"
        );
        assert_eq!(block_on(shape(server, &schema)), new, "kill {kill}");
        let (ledger, _) = block_on(opened(server, &schema));
        assert!(block_on(ledger.verify(None)).expect("looks").holds(), "kill {kill}");
    }
    println!("{olds} kills left the old schema, {news} the new one");
}

#[test]
fn of_eight_migrations_that_start_at_once_one_does_it_and_all_succeed() {
    let Some(server) = required(Server::shared()) else { return };
    let schema = block_on(schema_of_version_6(server));
    let started: Vec<Child> = (0..8).map(|_| migrating(server, &schema)).collect();
    for mut process in started {
        assert!(process.wait().expect("its end").success());
    }
    let (ledger, _) = block_on(opened(server, &schema));
    assert!(block_on(ledger.verify(None)).expect("looks").holds());
}
