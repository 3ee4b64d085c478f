//! Changes every column of every row by SQL, with the guards removed; also removes each row, and adds one to each
//! table. An audit finds all of it, except what is listed here with the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use rusqlite::Connection;
use serde_json::json;
use tenure::core::event::SweepCounts;
use tenure::core::policy::{OnLapse, Policy};
use tenure::core::time::Span;
use tenure::{Error, Ledger};
use tenure_testkit::block_on;
use tenure_testkit::competing::CompetingConnection;
use tenure_testkit::server::{Server, required};
use tokio::runtime::Runtime;

/// The tables that are audited. `meta`, `requests` and `tokens` are not: no history tells what must stand in them.
const TABLES: [&str; 6] = ["tasks", "due", "checkpoints", "compensations", "events", "namespace_histories"];

/// What an audit without an anchor may miss, on both databases, and why.
const MAY_MISS: [(&str, &str); 10] = [
    // No event tells of heartbeats, so what they write is only held against the bounds in which they write it.
    ("due.heartbeat_at", "a heartbeat may have written it"),
    ("due.progressed_at", "a heartbeat may have written it"),
    ("due.expires_at", "a heartbeat may have written it"),
    ("due.check_at", "a heartbeat may have written it"),
    ("due.progress", "a heartbeat may have written it"),
    ("due.cancel_told", "a heartbeat may have written it"),
    ("due.cancel_told_at", "a heartbeat may have written it"),
    ("checkpoints.checkpoint", "a heartbeat may have written it, while the lease goes on"),
    ("checkpoints: a row less", "no heartbeat may have brought one yet"),
    // Of two tasks' events no hash tells which came first.
    ("events.order", "the events of the task are in the same order as before"),
];
/// What is missed only on PostgreSQL.
const MAY_MISS_ON_POSTGRESQL: [(&str, &str); 3] = [
    ("events.feed", "the events of the task are in the same order as before"),
    ("tasks.no", "in which order tasks were made no hash tells"),
    ("names: a row of no task", "the names of tasks that are gone stay taken"),
];

/// What may stand in a column of words instead of a word.
const WORDS: [&str; 10] = [
    "planned",
    "running",
    "failed",
    "completed",
    "lease",
    "start",
    "under_lease",
    "before_lease",
    "owed",
    "done",
];

/// A task in every state, with a value somewhere in every column, and namespaces with histories of their own.
async fn a_history(ledger: &Ledger) -> Result<(), Error> {
    let bounded = Policy::default().with(|policy| {
        policy.on_lapse = OnLapse::Hold;
        policy.stall_after = Some(Span::from_secs(3_600));
        policy.time_limit = Some(Span::from_secs(7_200));
        policy.lock_delay = Some(Span::from_secs(5));
        policy.start_within = Some(Span::from_days(1));
    });
    ledger.create("planned").label("issue", "168").priority(3).policy(bounded).await?;
    ledger.create("dispatched").undo("rm", "x").queue("q").await?;
    ledger.dispatch("dispatched", "w0").await?;
    ledger.create("running").undo("rm", "y").policy(bounded).await?;
    let by = ledger.acquire("running", "w1").await?.lease().expect("a lease").holder();
    ledger.heartbeat("running", &by).progress(json!({"percent":40})).checkpoint(json!([1])).await?;
    let twice = Policy::default().with(|policy| policy.max_attempts = 2);
    ledger.create("undone").undo("rm", "z").undo("rm", "zz").undo_reason("left").policy(twice).await?;
    let by = ledger.acquire("undone", "w2").await?.lease().expect("a lease").holder();
    ledger.progress("undone", &by).checkpoint(json!([2])).await?;
    ledger.cancel("undone", "not wanted").await?;
    ledger.roll_back("undone", &by, "no").await?;
    ledger.waive("undone", 1, "gone").await?;
    ledger.create("ended").payload(json!([1])).await?;
    let by = ledger.acquire("ended", "w3").await?.lease().expect("a lease").holder();
    ledger.register("ended", &by, "rm", "w").await?;
    ledger.tried("ended", &by, 1, "busy").await?;
    ledger.settle("ended", &by, 1, "done").await?;
    ledger.heartbeat("ended", &by).checkpoint(json!([3])).await?;
    ledger.complete("ended", &by).result(json!(12)).await?;
    ledger.create("parked").await?;
    ledger.mark_quarantined("parked", "a look").await?;
    ledger.dismiss("parked", "seen").await?;
    ledger.retry("parked", "again").await?;
    let graced = Policy::default().with(|policy| policy.cancel_grace = Some(Span::from_secs(3_600)));
    ledger.create("told").policy(graced).await?;
    let by = ledger.acquire("told", "w4").await?.lease().expect("a lease").holder();
    ledger.cancel("told", "not wanted").await?;
    ledger.heartbeat("told", &by).await?;
    ledger.heartbeat("told", &by).await?;
    let counts = SweepCounts { planned: 1, undone: 2, ..SweepCounts::default() };
    ledger.note_sweep("recovery/1", counts).await?;
    ledger.note_sweep("recovery/1", counts).await?;
    ledger.in_namespace("elsewhere")?.note_sweep("recovery/1", counts).await?;
    Ok(())
}

/// A store, and a connection of somebody who may do anything to it.
struct Database {
    ledger: Ledger,
    backdoor: Backdoor,
}

enum Backdoor {
    Sqlite { connection: Connection, _folder: tempfile::TempDir },
    Postgres { rival: Box<CompetingConnection>, runtime: Runtime },
}

impl Database {
    fn on_sqlite() -> Database {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tasks.db");
        let ledger = block_on(Ledger::open(&format!("sqlite:{}", path.display()))).expect("opens");
        block_on(a_history(&ledger)).expect("a history");
        let connection = Connection::open(&path).expect("opens");
        let database = Database { ledger, backdoor: Backdoor::Sqlite { connection, _folder: folder } };
        for guard in database.texts("select name from sqlite_schema where type = 'trigger'") {
            database.must(&format!("drop trigger {guard}"));
        }
        database.must("drop index events_by_task");
        database
    }

    fn on_postgresql(server: &Server) -> Database {
        // The connection lives in this runtime, from one statement to the next.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (ledger, rival) = runtime.block_on(async {
            let schema = server.fresh_schema();
            let ledger = Ledger::open(&server.url(&schema)).await.expect("opens");
            a_history(&ledger).await.expect("a history");
            let rival = CompetingConnection::superuser(server, &schema).await;
            rival.does("set session_replication_role = replica").await;
            rival.does("alter table tenure.tasks alter no drop identity").await;
            rival.does("alter table tenure.events alter \"order\" drop identity").await;
            (ledger, rival)
        });
        Database { ledger, backdoor: Backdoor::Postgres { rival: Box::new(rival), runtime } }
    }

    /// Executes SQL, in which `tenure.` stands before tables; false where the database refuses it.
    fn does(&self, sql: &str) -> bool {
        match &self.backdoor {
            Backdoor::Sqlite { connection, .. } => {
                connection.execute_batch(&sql.replace("tenure.", "")).is_ok()
            }
            Backdoor::Postgres { rival, runtime } => runtime.block_on(rival.tries(sql)),
        }
    }

    fn must(&self, sql: &str) {
        assert!(self.does(sql), "{sql}");
    }

    /// The first column of all rows.
    fn texts(&self, sql: &str) -> Vec<String> {
        match &self.backdoor {
            Backdoor::Sqlite { connection, .. } => {
                let mut statement = connection.prepare(&sql.replace("tenure.", "")).expect(sql);
                let rows = statement.query_map([], |row| row.get(0)).expect(sql);
                rows.collect::<Result<_, _>>().expect(sql)
            }
            Backdoor::Postgres { rival, runtime } => {
                runtime.block_on(rival.sees(sql)).iter().map(|row| row.get::<_, String>(0)).collect()
            }
        }
    }

    /// An expression that is a value as SQL has it.
    fn quote(&self, column: &str) -> String {
        match &self.backdoor {
            Backdoor::Sqlite { .. } => format!("quote(\"{column}\")"),
            Backdoor::Postgres { .. } => format!("quote_nullable(\"{column}\"::text)"),
        }
    }

    /// The columns of a table that SQL can write, each with its type.
    fn columns(&self, table: &str) -> Vec<(String, String)> {
        let pairs = match &self.backdoor {
            Backdoor::Sqlite { .. } => {
                format!("select name || ' ' || lower(type) from pragma_table_info('{table}')")
            }
            Backdoor::Postgres { rival, .. } => format!(
                "select column_name || ' ' || data_type from information_schema.columns \
                 where table_schema = '{}' and table_name = '{table}' and is_generated = 'NEVER' order by ordinal_position",
                rival.schema()
            ),
        };
        let pair =
            |pair: &String| pair.split_once(' ').map(|(name, kind)| (name.to_owned(), kind.to_owned()));
        self.texts(&pairs).iter().map(|text| pair(text).expect("a name and a type")).collect()
    }

    fn tables(&self) -> Vec<&'static str> {
        match &self.backdoor {
            Backdoor::Sqlite { .. } => TABLES.to_vec(),
            Backdoor::Postgres { .. } => [TABLES.as_slice(), &["names"]].concat(),
        }
    }

    /// The columns by which a row is found, and those that name its task, with the name of none.
    fn key(&self, table: &str) -> (&'static [&'static str], &'static [(&'static str, &'static str)]) {
        let task: &[(&str, &str)] = match &self.backdoor {
            Backdoor::Sqlite { .. } => &[("task", "99")],
            Backdoor::Postgres { .. } => &[("task", "'nobody'")],
        };
        let key: &[&str] = match (&self.backdoor, table) {
            (Backdoor::Sqlite { .. }, "tasks") => &["no"],
            (Backdoor::Sqlite { .. }, "compensations") => &["task", "seq"],
            (Backdoor::Sqlite { .. }, "events") => return (&["order"], &[("order", "99"), ("task", "99")]),
            (Backdoor::Sqlite { .. }, "namespace_histories") => {
                return (&["no"], &[("no", "-99"), ("namespace", "'nobody'")]);
            }
            (Backdoor::Postgres { .. }, "namespace_histories") => {
                return (&["namespace"], &[("namespace", "'nobody'")]);
            }
            (Backdoor::Sqlite { .. }, _) => &["task"],
            (Backdoor::Postgres { .. }, "tasks") => &["namespace", "id"],
            (Backdoor::Postgres { .. }, "names") => {
                return (&["namespace", "id"], &[("id", "'nobody'"), ("saga_id", "'nobody'")]);
            }
            (Backdoor::Postgres { .. }, "compensations") => &["namespace", "task", "seq"],
            (Backdoor::Postgres { .. }, "events") => &["namespace", "task", "number"],
            (Backdoor::Postgres { .. }, _) => &["namespace", "task"],
        };
        (key, task)
    }

    /// All of a table, to see whether it is as it was.
    fn snapshot(&self, table: &str) -> BTreeSet<String> {
        let columns = self.columns(table);
        let values: Vec<String> = columns.iter().map(|(name, _)| self.quote(name)).collect();
        self.texts(&format!("select {} from tenure.{table}", values.join(" || ' ' || ")))
            .into_iter()
            .collect()
    }

    fn holds(&self) -> bool {
        block_on(self.ledger.verify(None)).expect("whatever was done, it is looked through").holds()
    }
}

/// What may stand in a column instead; where the table refuses one, the next is tried.
fn instead(column: &str, kind: &str) -> Vec<String> {
    match kind {
        "text" => {
            let other = format!("coalesce(\"{column}\" || 'x', 'x')");
            std::iter::once(other).chain(WORDS.map(|word| format!("'{word}'"))).collect()
        }
        "boolean" => vec![format!("not \"{column}\"")],
        // The next number may be another row's, and those of namespaces are below 0.
        "integer" | "bigint" => {
            [1, 100, -100].map(|more| format!("coalesce(\"{column}\" + {more}, 1)")).to_vec()
        }
        "blob" | "bytea" => vec![format!("substr(\"{column}\", 2)")],
        kind => panic!("what can stand in {column}, of type {kind}?"),
    }
}

/// How often a change was found, missed, and refused by the table itself.
#[derive(Default)]
struct Tally {
    found: usize,
    missed: usize,
    refused: usize,
}

/// Does everything to one table that can be done to one row of it.
fn tamper_with(database: &Database, table: &str, tallies: &mut BTreeMap<String, Tally>) {
    let columns = database.columns(table);
    let names: Vec<String> = columns.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    let names = names.join(", ");
    database.must(&format!("create table tenure.saved as select {names} from tenure.{table}"));
    let before = database.snapshot(table);
    let mut judge = |what: String, ways: &[String]| {
        let tally = tallies.entry(what).or_default();
        // What is refused, or changes nothing because it stands there already, is followed by the next.
        if !ways.iter().any(|sql| database.does(sql) && database.snapshot(table) != before) {
            tally.refused += 1;
            return;
        }
        match database.holds() {
            true => tally.missed += 1,
            false => tally.found += 1,
        }
        database.must(&format!(
            "delete from tenure.{table}; insert into tenure.{table} ({names}) select {names} from tenure.saved"
        ));
    };
    let (key, nobody) = database.key(table);
    let here: Vec<String> =
        key.iter().map(|column| format!("'\"{column}\" = ' || {}", database.quote(column))).collect();
    let rows = database.texts(&format!("select {} from tenure.{table}", here.join(" || ' and ' || ")));
    assert!(rows.len() > 1, "{table} has rows");
    for here in rows {
        for (name, kind) in &columns {
            let change =
                |value: String| format!("update tenure.{table} set \"{name}\" = {value} where {here}");
            judge(
                format!("{table}.{name}"),
                &instead(name, kind).into_iter().map(change).collect::<Vec<_>>(),
            );
            judge(format!("{table}.{name}"), &[change("null".to_owned())]);
        }
        judge(format!("{table}: a row less"), &[format!("delete from tenure.{table} where {here}")]);
        if table != "tasks" {
            let column = |(name, _): &(String, String)| {
                let other = nobody.iter().find(|(column, _)| column == name);
                other.map_or(format!("\"{name}\""), |(_, value)| (*value).to_owned())
            };
            let copy: Vec<String> = columns.iter().map(column).collect();
            let copy = format!(
                "insert into tenure.{table} ({names}) select {} from tenure.saved where {here}",
                copy.join(", ")
            );
            judge(format!("{table}: a row of no task"), &[copy]);
        }
    }
    database.must("drop table tenure.saved");
}

/// Does it to all tables, and compares what was missed with what is known to be.
fn tamper(database: &Database, may_miss: &[(&str, &str)]) {
    assert!(database.holds(), "before anything was done");
    let mut tallies = BTreeMap::new();
    for table in database.tables() {
        tamper_with(database, table, &mut tallies);
    }
    let mut table = String::new();
    for (what, Tally { found, missed, refused }) in &tallies {
        writeln!(table, "{what:<40} found {found:>3}, missed {missed:>3}, refused {refused:>3}")
            .expect("written");
    }
    println!("{table}");
    let missed: BTreeSet<&str> =
        tallies.iter().filter(|(_, tally)| tally.missed > 0).map(|(what, _)| what.as_str()).collect();
    let known: BTreeSet<&str> = may_miss.iter().map(|(what, _)| *what).collect();
    assert_eq!(missed, known, "what was missed, and what is known to be\n{table}");
    let untried: Vec<_> = tallies.iter().filter(|(_, tally)| tally.found + tally.missed == 0).collect();
    assert!(untried.is_empty(), "something can be done to every column\n{table}");
    assert!(database.holds(), "all is as it was");
}

#[test]
fn every_change_of_a_row_is_found_or_known_to_be_missed_on_sqlite() {
    tamper(&Database::on_sqlite(), &MAY_MISS);
}

#[test]
fn every_change_of_a_row_is_found_or_known_to_be_missed_on_postgresql() {
    let Some(server) = required(Server::shared()) else { return };
    let may_miss = [MAY_MISS.as_slice(), MAY_MISS_ON_POSTGRESQL.as_slice()].concat();
    tamper(&Database::on_postgresql(server), &may_miss);
}
