//! What a verification saw, and what to remember of a history.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use tenure_core::chain::{Hash, Merkle};
use tenure_core::id::{Namespace, Revision, TaskId};

use crate::wire;

/// A problem in a history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Finding {
    /// The task.
    pub task: String,
    /// The number of the event, if the problem is about one.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub number: Option<i64>,
    /// A description of the problem.
    pub message: String,
}

/// The result of verifying a history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Report {
    /// Whether the history is intact.
    pub holds: bool,
    /// The number of verified tasks.
    pub tasks: u64,
    /// The number of verified events.
    pub events: u64,
    /// The problems found.
    pub findings: Vec<Finding>,
    /// How many tasks were pruned before: only their names and heads are left to compare. Left out if there are none.
    #[serde(skip_serializing_if = "is_zero")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u64>))]
    pub pruned: u64,
}

/// For serde, which gives a reference.
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The result of a verification.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReportAnswer {
    /// The report.
    pub report: Report,
}

/// An anchor: the end of a store's history, and the head of every chain, to keep elsewhere.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Anchor {
    /// The cursor of the last event that it covers.
    pub cursor: String,
    /// The Merkle root over the lines: enough to detect a change, if the lines are lost.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub root: Hash,
    /// One for each task, in the order of creation. Then one for each namespace with a history of its own, by name, and one for each
    /// task that was pruned, by namespace and id.
    pub lines: Vec<AnchorLine>,
}

/// The head of one history: of a task, or of a namespace itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnchorLine {
    /// Its namespace.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub namespace: Namespace,
    /// The task; null for the namespace itself.
    #[serde(rename = "id", with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub task: Option<TaskId>,
    /// The number of its newest event.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub number: Revision,
    /// The hash of its newest event.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub head: Hash,
    /// Whether the task was pruned: then only its names and this head are left.
    #[serde(rename = "pruned", skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<bool>))]
    pub is_pruned: bool,
}

impl Anchor {
    /// The Merkle root over lines.
    pub fn root_of<'a>(lines: impl IntoIterator<Item = &'a AnchorLine>) -> Hash {
        let mut merkle = Merkle::default();
        lines.into_iter().for_each(|line| merkle.leaf(line.to_string().as_bytes()));
        merkle.root()
    }
}

/// An anchor of the history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnchorAnswer {
    /// The anchor.
    pub anchor: Anchor,
}

/// What the line of a namespace has instead of the id of a task. No id may be this.
const NO_TASK: &str = "*";

impl fmt::Display for AnchorLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.task.as_ref().map_or(NO_TASK, TaskId::as_str);
        write!(f, "{} {id} {} {}", self.namespace, self.number, self.head)?;
        if self.is_pruned { f.write_str(" pruned") } else { Ok(()) }
    }
}

/// The anchor as the text of a file.
impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "tenure-anchor 1\ncursor {}\nroot {}", self.cursor, self.root)?;
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// A file that is not an anchor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnchorFileError {
    line: usize,
    expected: &'static str,
}

impl fmt::Display for AnchorFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not an anchor file: line {} must be {}", self.line, self.expected)
    }
}

impl std::error::Error for AnchorFileError {}

impl FromStr for Anchor {
    type Err = AnchorFileError;

    fn from_str(text: &str) -> Result<Anchor, AnchorFileError> {
        let mut lines = (1..).zip(text.lines());
        let mut header = |line, expected, prefix: &str| {
            let found = lines.next().and_then(|(_, line)| line.strip_prefix(prefix));
            found.map(str::to_owned).ok_or(AnchorFileError { line, expected })
        };
        let version = header(1, "`tenure-anchor 1`", "tenure-anchor ")?;
        let cursor = header(2, "`cursor …`", "cursor ")?;
        let root = header(3, "`root …`", "root ")?;
        if version != "1" {
            return Err(AnchorFileError { line: 1, expected: "`tenure-anchor 1`" });
        }
        let root = Hash::from_hex(&root).ok_or(AnchorFileError { line: 3, expected: "`root …`" })?;
        let lines = lines.map(|(at, line)| {
            read_line(line).ok_or(AnchorFileError {
                line: at,
                expected: "`namespace id number head`, with `*` instead of an id or `pruned` behind it or without",
            })
        });
        Ok(Anchor { cursor, root, lines: lines.collect::<Result<_, _>>()? })
    }
}

fn read_line(line: &str) -> Option<AnchorLine> {
    let mut words = line.split(' ');
    let mut anchored = AnchorLine {
        namespace: Namespace::new(words.next()?).ok()?,
        task: match words.next()? {
            NO_TASK => None,
            id => Some(TaskId::new(id).ok()?),
        },
        number: Revision(words.next()?.parse().ok()?),
        head: Hash::from_hex(words.next()?)?,
        is_pruned: false,
    };
    anchored.is_pruned = match words.next() {
        None => false,
        Some("pruned") => true,
        Some(_) => return None,
    };
    words.next().is_none().then_some(anchored)
}
