//! What retention leaves of pruned tasks, the record of anchors, and named cursors of followers.

use serde::{Deserialize, Serialize};
use tenure_core::chain::Hash;
use tenure_core::id::{Actor, CursorName, Namespace, Revision, SagaId, TaskId};
use tenure_core::task::Terminal;
use tenure_core::time::{Span, Time};

#[cfg(feature = "openapi")]
use crate::schema;
use crate::wire;
use crate::words_on_wire;

/// What is left of a pruned task. Its id and its saga id stay taken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PrunedTask {
    /// Its namespace.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub namespace: Namespace,
    /// Its id.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: TaskId,
    /// Its saga id.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub saga_id: SagaId,
    /// The number of its newest event.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub number: Revision,
    /// The hash of its newest event.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub head: Hash,
    /// The state that it ended in.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = schema::StateWord))]
    pub state: Terminal,
    /// When it ended.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub finished_at: Time,
    /// When it was pruned.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub pruned_at: Time,
    /// The number of the recorded anchor that it was pruned behind.
    pub anchor: u64,
}

/// The pruned task with that id.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PrunedAnswer {
    /// What is left of it.
    pub pruned: PrunedTask,
}

/// A page of pruned tasks, by namespace and id.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PrunedPage {
    /// What is left of each.
    pub pruned: Vec<PrunedTask>,
    /// Where the list continues: give it as `cursor`. Null at the end.
    #[serde(deserialize_with = "wire::given")]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub next: Option<String>,
}

/// What an anchor was made for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnchorPurpose {
    /// To verify the history against it later.
    Audit,
    /// Tasks were pruned in the same transaction.
    Prune,
}

words_on_wire! {
    AnchorPurpose { AnchorPurpose::Audit => "audit", AnchorPurpose::Prune => "prune" }
}

/// The record of an anchor: without its lines.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnchorRecord {
    /// Its number: what this store recorded later has a higher one.
    pub number: u64,
    /// What it was made for.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub purpose: AnchorPurpose,
    /// The newest cursor of the history when it was made, in the store where it was made.
    pub cursor: String,
    /// The Merkle root over its lines. For pruned tasks the lines are in the order of namespace and id.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub root: Hash,
    /// How many lines it has.
    pub lines: u64,
    /// When it was made.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Time,
    /// Who made it.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub by: Actor,
}

/// A page of recorded anchors, the oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnchorRecords {
    /// The records.
    pub anchors: Vec<AnchorRecord>,
}

/// The stored place of a follower in the history of a namespace, and how far behind it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NamedCursor {
    /// The namespace that it follows.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub namespace: Namespace,
    /// Its name.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub name: CursorName,
    /// The cursor of the last event that its follower has taken. Give it as `after` to read what comes next.
    pub cursor: String,
    /// When it was moved last.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub moved_at: Time,
    /// Who moved it last.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub moved_by: Actor,
    /// How many events of the namespace come after it. Only the next 10,000 events of the store are looked at.
    pub behind: u64,
    /// `true` if there are more events than were looked at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<bool>))]
    pub more: bool,
    /// How long ago the first of these events happened, such as `90s`; null if none was seen.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub lag: Option<Span>,
}

/// One named cursor.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CursorAnswer {
    /// The cursor.
    pub cursor: NamedCursor,
}

/// The named cursors of a namespace, by name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CursorList {
    /// The cursors.
    pub cursors: Vec<NamedCursor>,
}

/// Where a named cursor moves to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CursorBody {
    /// The cursor of the last event that the follower has taken. Without one, a cursor that does not exist yet begins before the
    /// first event, and another one stays where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Who moves it, if no token says so.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}
