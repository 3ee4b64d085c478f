//! Reads lists, and what a store says about itself.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use tenure_core::id::{Namespace, TaskId};
use tenure_core::task::Task;
use tenure_core::time::Time;

use super::{EventShape, HoldingShape, OverviewShape, Shape, TaskShape, given, values};
use crate::store::overview::{Holding, Overview};
use crate::store::stored::{ColumnValue, StoredChain, StoredEvent, StoredRow};
use crate::store::watch::Absence;
use crate::store::{Cursor, Lapsed, Page, Recorded};
use crate::wire::Wired;

/// One task.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = TaskAnswer))]
pub struct TaskAnswerShape {
    /// The task.
    task: TaskShape,
}

impl Shape for TaskAnswerShape {
    type Value = Task;

    fn value(self) -> Result<Task, String> {
        self.task.value()
    }
}

/// A page of tasks.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = TaskPage))]
pub struct TasksShape {
    /// The tasks.
    tasks: Vec<TaskShape>,
    /// Where the list continues: give it as `cursor`. Null at the end.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(required))]
    next: Option<String>,
    /// `true` if the page ends early because its items are large.
    more: Option<bool>,
}

impl Shape for TasksShape {
    type Value = Page<Task>;

    fn value(self) -> Result<Page<Task>, String> {
        listed(self.tasks, self.next, self.more)
    }
}

/// A page of the history.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = EventPage))]
pub struct EventsShape {
    /// The events, oldest first.
    events: Vec<EventShape>,
    /// Where the history continues: give it as `after`.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(required))]
    next: Option<String>,
    /// `true` if the page ends early because its items are large.
    more: Option<bool>,
    /// Events that could not be read, each as a message; they were skipped.
    unreadable: Option<Vec<String>>,
}

/// A page of those items.
fn listed<S: Shape>(
    items: Vec<S>,
    next: Option<String>,
    more: Option<bool>,
) -> Result<Page<S::Value>, String> {
    Ok(Page::new(values(items)?, next.map(Cursor), more.unwrap_or_default()))
}

impl Shape for EventsShape {
    type Value = Page<Recorded>;

    fn value(self) -> Result<Page<Recorded>, String> {
        let page = listed(self.events, self.next, self.more)?;
        Ok(Page { unreadable: self.unreadable.unwrap_or_default(), ..page })
    }
}

/// The overview of a namespace.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = StatsAnswer))]
pub struct StatsShape {
    /// The overview.
    stats: OverviewShape,
}

impl Shape for StatsShape {
    type Value = Overview;

    fn value(self) -> Result<Overview, String> {
        self.stats.value()
    }
}

/// The owners in a namespace and what they hold.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = OwnerList))]
pub struct OwnersShape {
    /// The owners, by name.
    owners: Vec<HoldingShape>,
}

impl Shape for OwnersShape {
    type Value = Vec<Holding>;

    fn value(self) -> Result<Vec<Holding>, String> {
        values(self.owners)
    }
}

/// Namespaces.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = NamespaceList))]
pub struct NamespacesShape {
    /// Their names.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    namespaces: Vec<Wired<Namespace>>,
}

impl Shape for NamespacesShape {
    type Value = Vec<Namespace>;

    fn value(self) -> Result<Vec<Namespace>, String> {
        Ok(self.namespaces.into_iter().map(|namespace| namespace.0).collect())
    }
}

/// The store's time.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = NowAnswer))]
pub struct NowShape {
    /// The store's time, by which every decision is made.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    now: Wired<Time>,
}

impl Shape for NowShape {
    type Value = Time;

    fn value(self) -> Result<Time, String> {
        Ok(self.now.0)
    }
}

/// The end of the history.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Newest))]
pub struct NewestShape {
    /// The newest cursor: later events come after it.
    cursor: String,
}

impl Shape for NewestShape {
    type Value = Cursor;

    fn value(self) -> Result<Cursor, String> {
        Ok(Cursor(self.cursor))
    }
}

/// When a claim can next find a task.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Claimable))]
pub struct ClaimableShape {
    /// The time, which may have passed; null: nothing waits in the queue.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime, required))]
    at: Option<Wired<Time>>,
}

impl Shape for ClaimableShape {
    type Value = Option<Time>;

    fn value(self) -> Result<Option<Time>, String> {
        Ok(self.at.map(|at| at.0))
    }
}

/// Whether the store remembers a command with that request id.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Remembered))]
pub struct RememberedShape {
    /// `true` if it does.
    remembered: bool,
}

impl Shape for RememberedShape {
    type Value = bool;

    fn value(self) -> Result<bool, String> {
        Ok(self.remembered)
    }
}

/// The tasks that recovery should look at. These are hints.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Lapsed))]
pub struct LapsedShape {
    /// The tasks that are due, in the order of their checks.
    tasks: Vec<NominatedShape>,
    /// Where the sweep continues; null at the end.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(required))]
    next: Option<String>,
    /// When to look again, if anything waits.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime, required))]
    next_check: Option<Wired<Time>>,
}

/// A task by namespace and id.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Nominated))]
pub struct NominatedShape {
    /// Its namespace.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    namespace: Wired<Namespace>,
    /// Its id.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    id: Wired<TaskId>,
}

impl Shape for LapsedShape {
    type Value = Lapsed;

    fn value(self) -> Result<Lapsed, String> {
        Ok(Lapsed {
            tasks: self.tasks.into_iter().map(|one| (one.namespace.0, one.id.0)).collect(),
            next: self.next.map(Cursor),
            next_check: self.next_check.map(|at| at.0),
        })
    }
}

/// Whether recovery ran all the time.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Watch))]
pub struct WatchShape {
    /// The last absence of recovery; null: none is known.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(required))]
    absence: Option<AbsenceShape>,
}

/// A time in which no recovery ran.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Absence))]
pub struct AbsenceShape {
    /// When recovery last ran before it.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    from: Wired<Time>,
    /// When recovery ran again.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    until: Wired<Time>,
}

impl Shape for WatchShape {
    type Value = Option<Absence>;

    fn value(self) -> Result<Option<Absence>, String> {
        Ok(self.absence.map(|absence| Absence { from: absence.from.0, until: absence.until.0 }))
    }
}

/// Chains as they are stored, to be verified.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ChainPage))]
pub struct ChainsShape {
    /// The chains.
    chains: Vec<ChainShape>,
    /// Where the list continues; null at the end.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(required))]
    next: Option<String>,
    /// `true` if the page ends early because its items are large.
    more: Option<bool>,
}

/// A task's chain. Nothing of it is trusted.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Chain))]
pub struct ChainShape {
    /// The number of the task's row.
    row: i64,
    /// Its namespace, if the stored data names one.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    namespace: Option<Wired<Namespace>>,
    /// Its id.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    id: Option<Wired<TaskId>>,
    /// The name in its row; null if the task has no row.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(required))]
    stored_name: Option<String>,
    /// Its rows in all tables but that of events.
    rows: Vec<StoredRowShape>,
    /// Inconsistent columns that only this store has.
    apart: Vec<String>,
    /// Its events by their place.
    events: Vec<StoredEventShape>,
}

/// A row as it is stored.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = StoredRow))]
pub struct StoredRowShape {
    /// The table.
    table: String,
    /// Its columns by name: a number, a text, null, or `{"bytes":"…"}` in hexadecimal.
    #[serde(deserialize_with = "columns_in_order")]
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::HashMap<String, serde_json::Value>))]
    columns: Vec<(String, ColumnShape)>,
}

/// The value of a column.
#[derive(Deserialize)]
#[serde(untagged)]
enum ColumnShape {
    Null(()),
    Number(i64),
    Text(String),
    Bytes { bytes: String },
}

/// An object as the pairs that it is written with.
fn columns_in_order<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(String, ColumnShape)>, D::Error> {
    struct Pairs;
    impl<'de> Visitor<'de> for Pairs {
        type Value = Vec<(String, ColumnShape)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of columns")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = map.next_entry()? {
                pairs.push(pair);
            }
            Ok(pairs)
        }
    }
    deserializer.deserialize_map(Pairs)
}

/// An event as it is stored.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = StoredEvent))]
pub struct StoredEventShape {
    /// Its place among all events.
    order: i64,
    /// Its number within the task.
    number: i64,
    /// When it happened, in microseconds since 1970, as stored.
    at: i64,
    /// The actor.
    actor: String,
    /// Its type.
    #[serde(rename = "type")]
    kind: String,
    /// What happened, as the text that is stored.
    data: String,
    /// Its hash, in hexadecimal.
    hash: String,
}

impl Shape for ChainsShape {
    type Value = Page<StoredChain>;

    fn value(self) -> Result<Page<StoredChain>, String> {
        listed(self.chains, self.next, self.more)
    }
}

/// The chain of one task.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ChainAnswer))]
pub struct ChainAnswerShape {
    /// The chain.
    chain: ChainShape,
}

impl Shape for ChainAnswerShape {
    type Value = StoredChain;

    fn value(self) -> Result<StoredChain, String> {
        self.chain.value()
    }
}

impl Shape for ChainShape {
    type Value = StoredChain;

    fn value(self) -> Result<StoredChain, String> {
        Ok(StoredChain {
            row: self.row,
            name: self.namespace.zip(self.id).map(|(namespace, id)| (namespace.0, id.0)),
            stored_name: self.stored_name,
            rows: values(self.rows)?,
            apart: self.apart,
            events: values(self.events)?,
        })
    }
}

impl Shape for StoredRowShape {
    type Value = StoredRow<'static>;

    fn value(self) -> Result<StoredRow<'static>, String> {
        let column = |(name, value): (String, ColumnShape)| {
            let value = match value {
                ColumnShape::Null(()) => ColumnValue::Null,
                ColumnShape::Number(number) => ColumnValue::Number(number),
                ColumnShape::Text(text) => ColumnValue::Text(text.into()),
                ColumnShape::Bytes { bytes: hex } => {
                    ColumnValue::Bytes(bytes(&hex).ok_or("the bytes are not hexadecimal")?.into())
                }
            };
            Ok((name.into(), value))
        };
        let columns = self.columns.into_iter().map(column).collect::<Result<_, String>>()?;
        Ok(StoredRow { table: self.table.into(), columns })
    }
}

impl Shape for StoredEventShape {
    type Value = StoredEvent;

    fn value(self) -> Result<StoredEvent, String> {
        let hash = bytes(&self.hash).ok_or("the hash of an event is not hexadecimal")?;
        Ok(StoredEvent {
            order: self.order,
            number: self.number,
            at: self.at,
            actor: self.actor,
            kind: self.kind,
            data: self.data,
            hash,
        })
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(pair.first()?)? * 16 + digit(pair.get(1)?)?)).collect()
}
