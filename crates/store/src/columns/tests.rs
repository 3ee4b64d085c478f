//! The lists against the migrations of both databases, and the values against the lists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tenure_core::chain::Hash;
use tenure_core::compensation::{Compensation, Registered, Undo};
use tenure_core::event::{Event, EventData};
use tenure_core::id::{
    Actor, Document, Epoch, Kind, LabelKey, LabelValue, Namespace, Owner, Progress, Queue, Reason, Revision,
    Seq, TaskId, Text, UndoKey,
};
use tenure_core::limit::InvalidField;
use tenure_core::policy::{OnLapse, Policy, Ttl};
use tenure_core::task::{
    Cancel, CancelTold, Cause, Dismissal, Ending, LastLease, Lease, Phase, Reservation, Task, Terminal,
    Undoing, Unwinding,
};
use tenure_core::time::{Span, Time};

use super::*;
use crate::access::{ListedToken, NamespaceScope, Role, Token, TokenHash};
use crate::codec::seal;
use crate::due::Due;
use crate::namespace_history::NamespaceHead;
use crate::remembered::Request;
use crate::stored::ColumnValue;

/// Columns of one database that no list has: keys, and what the database makes by itself.
type OwnColumns = [(&'static str, &'static [&'static str]); 7];

const OF_SQLITE: OwnColumns = [
    ("tasks", &["no"]),
    ("due", &["task"]),
    ("compensations", &["task"]),
    ("events", &["order", "task"]),
    ("namespace_histories", &["no", "namespace"]),
    ("requests", &["namespace", "id"]),
    ("tokens", &["no"]),
];

const OF_POSTGRESQL: OwnColumns = [
    ("tasks", &["no", "feed", "claim_from", "ended_badly"]),
    ("due", &["task"]),
    ("compensations", &["namespace", "task"]),
    ("events", &["namespace", "task", "feed", "order"]),
    ("namespace_histories", &["namespace", "feed"]),
    ("requests", &["namespace", "id"]),
    ("tokens", &["no"]),
];

#[test]
fn each_list_has_the_columns_that_the_migrations_of_sqlite_make() {
    let kind = |kind| match kind {
        ColumnType::Text => "text",
        ColumnType::Number | ColumnType::Truth => "integer",
        ColumnType::Bytes => "blob",
    };
    agree_with("sqlite", &OF_SQLITE, kind);
}

#[test]
fn each_list_has_the_columns_that_the_migrations_of_postgresql_make() {
    let kind = |kind| match kind {
        ColumnType::Text => "text",
        ColumnType::Number => "bigint",
        ColumnType::Truth => "boolean",
        ColumnType::Bytes => "bytea",
    };
    agree_with("postgres", &OF_POSTGRESQL, kind);
}

fn agree_with(database: &str, own: &OwnColumns, type_name: fn(ColumnType) -> &'static str) {
    let migrated = columns_of_migrations(database);
    for (table, own) in own {
        let mut columns = migrated[*table].clone();
        for name in *own {
            assert!(columns.remove(*name).is_some(), "{database}: {table}.{name}");
        }
        let list = list_of(table).into_iter();
        let listed: BTreeMap<String, String> =
            list.map(|(name, kind)| (name.to_owned(), type_name(kind).to_owned())).collect();
        let only_in = |one: &BTreeMap<String, String>, other: &BTreeMap<String, String>| {
            let only = one.iter().filter(|(name, kind)| other.get(*name) != Some(*kind));
            only.map(|(name, kind)| format!("{name} {kind}")).collect::<Vec<_>>()
        };
        let (unlisted, unmigrated) = (only_in(&columns, &listed), only_in(&listed, &columns));
        assert!(
            unlisted.is_empty() && unmigrated.is_empty(),
            "{database}: {table}: not in the list: {unlisted:?}, not in the migrations: {unmigrated:?}"
        );
    }
}

fn list_of(table: &str) -> Vec<(&'static str, ColumnType)> {
    fn of<'a, R: TableRow<'a>>() -> Vec<(&'static str, ColumnType)> {
        R::COLUMNS.iter().map(|column| (column.name, column.kind)).collect()
    }
    match table {
        "tasks" => of::<TaskRow<'_>>(),
        "due" => of::<DueRow<'_>>(),
        "compensations" => of::<CompensationRow<'_>>(),
        "events" => of::<EventRow<'_>>(),
        "namespace_histories" => of::<NamespaceRow<'_>>(),
        "requests" => of::<RequestRow<'_>>(),
        "tokens" => of::<TokenRow<'_>>(),
        _ => panic!("no list for {table}"),
    }
}

/// The types of the columns of each table, by the texts of all migrations of a database.
fn columns_of_migrations(database: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(database).join("migrations");
    let mut tables = BTreeMap::<String, BTreeMap<String, String>>::new();
    for file in std::fs::read_dir(folder).expect("migrations") {
        let text = std::fs::read_to_string(file.expect("a file").path()).expect("SQL").replace("tenure.", "");
        let mut open: Option<String> = None;
        for line in text.lines() {
            let (table, column) = if let Some(table) = line.strip_prefix("create table ") {
                open = Some(table.trim_end_matches(" (").to_owned());
                continue;
            } else if let Some(added) = line.strip_prefix("alter table ") {
                assert!(!line.contains(" drop column "), "{line}");
                // Changes of constraints and of how a column is filled leave the columns as they are.
                let Some((table, rest)) = added.split_once(" add column ") else { continue };
                (table.to_owned(), rest)
            } else if let (Some(table), Some(column)) = (&open, line.strip_prefix("    ")) {
                (table.clone(), column)
            } else {
                // The table ends with the first line at the margin.
                open = None;
                continue;
            };
            let mut words = column.split([' ', ',', ';']);
            let (name, kind) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
            // Lines that go on, comments and constraints are no columns.
            if !["", "--", "primary", "check"].contains(&name) {
                tables.entry(table).or_default().insert(name.trim_matches('"').to_owned(), kind.to_owned());
            }
        }
    }
    tables
}

fn text<T>(new: impl FnOnce(&'static str) -> Result<T, InvalidField>, text: &'static str) -> T {
    new(text).expect("valid")
}

fn blank() -> Task {
    Task::blank(text(Namespace::new, "default"), text(TaskId::new, "t"))
}

fn lease() -> Lease {
    Lease {
        owner: text(Owner::new, "w1"),
        epoch: Epoch(1),
        granted_to: text(Actor::new, "w1"),
        ttl: Ttl::new(Span::from_secs(60)).expect("a ttl"),
        acquired_at: Time::from_micros(1),
        heartbeat_at: Time::from_micros(2),
        progressed_at: Time::from_micros(3),
        expires_at: Time::from_micros(4),
        progress: Some(text(Progress::new, "{}")),
        cancel_told: Some(CancelTold { times: 1, since: Time::from_micros(5) }),
    }
}

/// Tasks that have a value in every column, together.
fn tasks() -> Vec<Task> {
    let span = Some(Span::from_secs(1));
    let bounded = Policy::default().with(|policy| {
        policy.stall_after = span;
        policy.time_limit = span;
        policy.lock_delay = span;
        policy.cancel_grace = span;
        policy.on_lapse = OnLapse::Either;
        policy.recover_after = span;
    });
    let reservation = Reservation {
        owner: text(Owner::new, "w1"),
        reserved_at: Time::from_micros(1),
        expires_at: Time::from_micros(2),
    };
    let ending = Ending {
        state: Terminal::Failed,
        cause: Cause::Failed,
        reason: Some(text(Reason::new, "no")),
        result: Some(text(Document::new, "{}")),
        retried_as: Some(text(TaskId::new, "u")),
        dismissed: Some(Dismissal {
            at: Time::from_micros(7),
            by: text(Actor::new, "alice"),
            note: text(Reason::new, "seen"),
        }),
        finished_at: Time::from_micros(6),
    };
    let cancel =
        Cancel { at: Time::from_micros(5), by: text(Actor::new, "alice"), reason: text(Reason::new, "no") };
    vec![
        Task { phase: Phase::Dispatched(reservation), not_before: Some(Time::MIN), ..blank() },
        Task {
            phase: Phase::Compensating {
                why: Unwinding::Lapsed,
                reason: text(Reason::new, "lapsed"),
                undoing: Undoing::HeldBy(lease()),
            },
            policy: bounded,
            ..blank()
        },
        Task { phase: Phase::Running(lease()), policy: bounded, ..blank() },
        Task {
            phase: Phase::Ended(Box::new(ending)),
            cancel: Some(cancel),
            started_at: Some(Time::MIN),
            last_lease: Some(LastLease {
                owner: text(Owner::new, "w1"),
                epoch: Epoch(1),
                since: Time::from_micros(1),
                until: Time::from_micros(2),
            }),
            retry_of: Some(text(TaskId::new, "s")),
            ..blank()
        },
    ]
}

/// Checks that a column holds what its list says, and that some row has a value in it.
fn holds_its_types<'a, R: TableRow<'a>>(rows: &[R]) {
    for column in R::COLUMNS {
        let name = format!("{}.{}", R::TABLE, column.name);
        let values: Vec<ColumnValue<'_>> = rows.iter().map(|row| (column.value)(*row)).collect();
        for value in &values {
            let fits = match (value, column.kind) {
                (ColumnValue::Null, _)
                | (ColumnValue::Text(_), ColumnType::Text)
                | (ColumnValue::Number(0 | 1), ColumnType::Truth)
                | (ColumnValue::Bytes(_), ColumnType::Bytes) => true,
                (ColumnValue::Number(_), kind) => kind == ColumnType::Number,
                (ColumnValue::Text(_) | ColumnValue::Bytes(_), _) => false,
            };
            assert!(fits, "{name}: {value:?} for {:?}", column.kind);
        }
        assert!(values.iter().any(|value| *value != ColumnValue::Null), "{name} is never set here");
    }
}

#[test]
fn each_column_holds_what_its_list_says() {
    let (tasks, head) = (tasks(), Hash([1; 32]));
    holds_its_types(&tasks.iter().map(|task| TaskRow { task, head: &head }).collect::<Vec<_>>());
    let due: Vec<(&Task, Due)> = tasks.iter().filter_map(|task| Some((task, Due::of(task)?))).collect();
    holds_its_types(&due.iter().map(|(task, due)| DueRow::of(task, due)).collect::<Vec<_>>());
    let undo = Undo {
        kind: text(Kind::new, "rm"),
        target: text(Text::new, "x"),
        reason: Some(text(Reason::new, "left")),
    };
    let compensation = Compensation {
        epoch: Some(Epoch(1)),
        key: Some(text(UndoKey::new, "k")),
        settled_by: Some(text(Actor::new, "alice")),
        receipt: Some(text(Text::new, "gone")),
        last_error: Some(text(Text::new, "busy")),
        waiver: Some(text(Reason::new, "gone")),
        ..Compensation::new(Seq(1), undo, Registered::UnderLease)
    };
    holds_its_types::<CompensationRow<'_>>(&[&compensation]);
    let event = Event {
        namespace: text(Namespace::new, "default"),
        subject: text(TaskId::new, "t").into(),
        number: Revision(1),
        at: Time::MIN,
        actor: text(Actor::new, "w1"),
        what: EventData::CancelAsked { reason: text(Reason::new, "no") },
    };
    let sealed = seal(event, head);
    holds_its_types::<EventRow<'_>>(&[&sealed]);
    holds_its_types::<NamespaceRow<'_>>(&[&NamespaceHead::behind(&sealed)]);
    let request =
        Request { digest: head, actor: text(Actor::new, "w1"), at: Time::MIN, answered: Vec::new() };
    holds_its_types::<RequestRow<'_>>(&[&request]);
    let token = Token {
        name: text(Actor::new, "ci"),
        role: Role::Worker,
        namespaces: NamespaceScope::All,
        created_at: Time::MIN,
        created_by: text(Actor::new, "alice"),
        expires_at: Some(Time::MIN),
        revoked_at: Some(Time::MIN),
        revoked_by: Some(text(Actor::new, "alice")),
    };
    holds_its_types::<TokenRow<'_>>(&[&ListedToken { hash: TokenHash(head), token }]);
}

/// What a put may change, by the name of its column.
type PutChange = (&'static str, fn(&mut Task));

#[test]
fn what_only_a_put_changes_is_compared() {
    let changes: [PutChange; 6] = [
        ("queue", |task| task.queue = text(Queue::new, "other")),
        ("kind", |task| task.kind = text(Kind::new, "other")),
        ("priority", |task| task.priority += 1),
        ("labels", |task| {
            task.labels.insert(text(LabelKey::new, "k"), text(LabelValue::new, "v"));
        }),
        ("payload", |task| task.payload = text(Document::new, "[1]")),
        ("policy", |task| task.policy.max_attempts += 1),
    ];
    let named: BTreeSet<&str> = changes.iter().map(|(name, _)| *name).collect();
    let of_puts: BTreeSet<&str> = TaskRow::changed_by(&[ChangedBy::Put]).map(|column| column.name).collect();
    assert_eq!(named, of_puts);
    let (before, head) = (blank(), Hash([1; 32]));
    assert!(!TaskRow::was_put(&before, &before));
    for (name, change) in changes {
        let mut after = before.clone();
        change(&mut after);
        assert!(TaskRow::was_put(&before, &after), "{name}");
        let row = |task| TaskRow { task, head: &head }.values(TaskRow::COLUMNS.iter());
        let differ = row(&before).zip(row(&after)).map(|(one, other)| one != other);
        let differing: Vec<&str> = TaskRow::COLUMNS
            .iter()
            .zip(differ)
            .filter(|(_, differs)| *differs)
            .map(|(one, _)| one.name)
            .collect();
        assert_eq!(differing, [name]);
    }
}
