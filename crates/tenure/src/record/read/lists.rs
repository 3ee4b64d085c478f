//! Lists, and what a store says of itself, read back.

use std::fmt;

use base16ct::mixed::decode_vec;
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

/// Some tasks.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = TaskPage))]
pub struct TasksShape {
    /// The tasks.
    tasks: Vec<TaskShape>,
    /// Where the list goes on, to be given as `cursor`; null: that was all.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(required))]
    next: Option<String>,
    /// `true` where the page ends before as many as were asked for although more is there: these are large.
    more: Option<bool>,
}

impl Shape for TasksShape {
    type Value = Page<Task>;

    fn value(self) -> Result<Page<Task>, String> {
        listed(self.tasks, self.next, self.more)
    }
}

/// Some of the history.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = EventPage))]
pub struct EventsShape {
    /// The events, oldest first.
    events: Vec<EventShape>,
    /// Where the history goes on, to be given as `after`.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(required))]
    next: Option<String>,
    /// `true` where the page ends before as many as were asked for although more is there: these are large.
    more: Option<bool>,
    /// What could not be read among them, each in words; it is passed over.
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

/// A room at a glance.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = StatsAnswer))]
pub struct StatsShape {
    /// The room.
    stats: OverviewShape,
}

impl Shape for StatsShape {
    type Value = Overview;

    fn value(self) -> Result<Overview, String> {
        self.stats.value()
    }
}

/// Who holds what in a room.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = OwnerList))]
pub struct OwnersShape {
    /// By the owners' names.
    owners: Vec<HoldingShape>,
}

impl Shape for OwnersShape {
    type Value = Vec<Holding>;

    fn value(self) -> Result<Vec<Holding>, String> {
        values(self.owners)
    }
}

/// Rooms.
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
    /// The time that decides everything.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    now: Wired<Time>,
}

impl Shape for NowShape {
    type Value = Time;

    fn value(self) -> Result<Time, String> {
        Ok(self.now.0)
    }
}

/// Where the history is.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Newest))]
pub struct NewestShape {
    /// Events that come later are behind this.
    cursor: String,
}

impl Shape for NewestShape {
    type Value = Cursor;

    fn value(self) -> Result<Cursor, String> {
        Ok(Cursor(self.cursor))
    }
}

/// From when on a claim may find something.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Claimable))]
pub struct ClaimableShape {
    /// The instant, which may have passed; null: nothing waits there.
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

/// Whether a command of that request id is remembered.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Remembered))]
pub struct RememberedShape {
    /// Whether it is.
    remembered: bool,
}

impl Shape for RememberedShape {
    type Value = bool;

    fn value(self) -> Result<bool, String> {
        Ok(self.remembered)
    }
}

/// What recovery should look at: hints.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Lapsed))]
pub struct LapsedShape {
    /// The tasks that are due, in the order of their checks.
    tasks: Vec<NominatedShape>,
    /// Where the sweep goes on; null: that was all.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(required))]
    next: Option<String>,
    /// When to look again, if anything waits.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime, required))]
    next_check: Option<Wired<Time>>,
}

/// A task by its full name.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Nominated))]
pub struct NominatedShape {
    /// Its room.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    namespace: Wired<Namespace>,
    /// Its name there.
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

/// Whether somebody looked after the store all the time.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Watch))]
pub struct WatchShape {
    /// When nobody did last; null: never, as far as is known.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(required))]
    absence: Option<AbsenceShape>,
}

/// A while in which nobody looked after the store.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Absence))]
pub struct AbsenceShape {
    /// When somebody was there last.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    from: Wired<Time>,
    /// When somebody was there again.
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
    /// Where the list goes on; null: that was all.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(required))]
    next: Option<String>,
    /// `true` where the page ends before as many as were asked for although more is there: these are large.
    more: Option<bool>,
}

/// A task's chain. Nothing of it is trusted.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Chain))]
pub struct ChainShape {
    /// The number of the task's row.
    row: i64,
    /// Its room, if what is stored names one.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    namespace: Option<Wired<Namespace>>,
    /// Its name there.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    id: Option<Wired<TaskId>>,
    /// What its row has as its name; null where there is no row of the task.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(required))]
    stored_name: Option<String>,
    /// Its rows in all tables but that of events.
    rows: Vec<StoredRowShape>,
    /// Columns that only this store has, and that don't fit the others.
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

/// What a column holds.
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
    /// When it says that it happened, in microseconds since 1970.
    at: i64,
    /// Who made it happen.
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
                    let bytes = decode_vec(&hex).map_err(|_| "bytes that are not hexadecimal")?;
                    ColumnValue::Bytes(bytes.into())
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
        let hash = decode_vec(&self.hash).map_err(|_| "the hash of an event is not hexadecimal")?;
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
