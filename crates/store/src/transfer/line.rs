//! The lines of an export as JSON: one object each, which says what it is by its only member.
//!
//! A member that is not known is refused: to leave it out would lose what it says.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tenure_api::token::ListedToken;
use tenure_api::wire;
use tenure_core::chain::Hash;
use tenure_core::event::{Event, LeaseEnd};
use tenure_core::id::{Actor, CursorName, Epoch, Namespace, RequestId, Revision, SagaId, TaskId};
use tenure_core::task::Terminal;
use tenure_core::time::Time;

use super::carried::{CarriedAnchor, CarriedFollower, CarriedLease, CarriedRequest, ReplayItem};
use crate::codec::{Sealed, read_data};
use crate::remembered::{RememberedAnswer, Request};
use crate::retention::{AnchorPurpose, PrunedTask};
use crate::stored_json as stored;

/// The version of the format.
pub const EXPORT_FORMAT: u32 = 1;

/// The first line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportHeader {
    /// The version of the format.
    pub tenure_export: u32,
    /// It is an archive of pruned tasks, and not the export of a store.
    #[serde(rename = "archive", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_archive: bool,
    /// The store's time when the export began.
    #[serde(with = "wire")]
    pub at: Time,
    /// The program that wrote it, with its version.
    pub by: String,
    /// No epoch is granted at or below it.
    #[serde(with = "wire")]
    pub epoch_floor: Epoch,
    /// How many events follow, approximately.
    pub events: u64,
}

impl ExportHeader {
    /// The line, without its end.
    pub fn to_json(&self) -> String {
        tenure_api::to_json(self)
    }

    /// Reads the first line; an error says what is wrong with it.
    pub fn read(line: &str) -> Result<ExportHeader, String> {
        #[derive(Deserialize)]
        struct Version {
            tenure_export: u32,
        }
        let no_header = |_| {
            "it is not the first line of an export; give a file that `tenure --store STORE export` wrote, whole".to_owned()
        };
        let Version { tenure_export } = serde_json::from_str(line).map_err(no_header)?;
        if tenure_export != EXPORT_FORMAT {
            return Err(format!(
                "the export has format {tenure_export}, and this program reads format {EXPORT_FORMAT}; use the version \
                 of the program that wrote it"
            ));
        }
        serde_json::from_str(line).map_err(words_of)
    }
}

/// How many lines of each sort an export has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportCounts {
    /// All lines before the end, the header too.
    pub lines: u64,
    /// Records of anchors.
    pub anchors: u64,
    /// Pruned tasks, which are in the lines of the anchors that they were pruned behind.
    pub pruned: u64,
    /// Events.
    pub events: u64,
    /// Leases.
    pub leases: u64,
    /// Remembered request ids.
    pub requests: u64,
    /// Named cursors of followers.
    pub followers: u64,
    /// Tokens.
    pub tokens: u64,
}

impl ExportCounts {
    /// Counts an item.
    pub fn count(&mut self, item: &ReplayItem) {
        match item {
            ReplayItem::Anchor(anchor) => {
                self.anchors += 1;
                self.pruned += anchor.pruned.len() as u64;
            }
            ReplayItem::Event(_) => self.events += 1,
            ReplayItem::Lease(_) => self.leases += 1,
            ReplayItem::Request(_) => self.requests += 1,
        }
    }
}

/// A line behind the header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ExportLine {
    /// What a store takes with others in one transaction.
    Item(ReplayItem),
    /// A named cursor.
    Follower(Box<CarriedFollower>),
    /// A token, by the hash of its secret.
    Token(Box<ListedToken>),
    /// The last line: what came before it, and the SHA-256 of all its bytes.
    End(ExportCounts, Hash),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LineJson {
    Anchor(AnchorJson),
    Event(EventJson),
    Lease(Box<LeaseJson>),
    Request(RequestJson),
    Follower(FollowerJson),
    Token(Box<ListedToken>),
    End(EndJson),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnchorJson {
    #[serde(with = "wire")]
    purpose: AnchorPurpose,
    cursor: String,
    #[serde(with = "wire")]
    root: Hash,
    lines: u64,
    #[serde(with = "wire")]
    at: Time,
    #[serde(with = "wire")]
    by: Actor,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pruned: Vec<PrunedJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PrunedJson {
    #[serde(with = "wire")]
    namespace: Namespace,
    #[serde(with = "wire")]
    id: TaskId,
    #[serde(with = "wire")]
    saga_id: SagaId,
    #[serde(with = "wire")]
    number: Revision,
    #[serde(with = "wire")]
    head: Hash,
    #[serde(with = "wire")]
    state: Terminal,
    #[serde(with = "wire")]
    finished_at: Time,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FollowerJson {
    #[serde(with = "wire")]
    namespace: Namespace,
    #[serde(with = "wire")]
    name: CursorName,
    events: u64,
    #[serde(with = "wire")]
    root: Hash,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<LastSeenJson>,
    #[serde(with = "wire")]
    moved_at: Time,
    #[serde(with = "wire")]
    moved_by: Actor,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LastSeenJson {
    #[serde(with = "wire")]
    task: Option<TaskId>,
    #[serde(with = "wire")]
    number: Revision,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventJson {
    #[serde(with = "wire")]
    namespace: Namespace,
    #[serde(with = "wire")]
    task: Option<TaskId>,
    #[serde(with = "wire")]
    number: Revision,
    #[serde(with = "wire")]
    at: Time,
    #[serde(rename = "type")]
    kind: String,
    #[serde(with = "wire")]
    actor: Actor,
    data: Box<RawValue>,
    #[serde(with = "wire")]
    hash: Hash,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LeaseJson {
    #[serde(with = "wire")]
    namespace: Namespace,
    #[serde(with = "wire")]
    task: TaskId,
    #[serde(with = "wire")]
    revision: Revision,
    #[serde(with = "stored")]
    lease: LeaseEnd,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestJson {
    #[serde(with = "wire")]
    namespace: Namespace,
    id: String,
    #[serde(with = "wire")]
    digest: Hash,
    #[serde(with = "wire")]
    actor: Actor,
    #[serde(with = "wire")]
    at: Time,
    #[serde(with = "stored")]
    answered: Vec<RememberedAnswer>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndJson {
    counts: ExportCounts,
    #[serde(with = "wire")]
    sha256: Hash,
}

impl ExportLine {
    /// The line, without its end.
    pub fn into_json(self) -> String {
        let json = match self {
            ExportLine::Item(ReplayItem::Anchor(anchor)) => LineJson::Anchor(AnchorJson::of(*anchor)),
            ExportLine::Item(ReplayItem::Event(sealed)) => LineJson::Event(EventJson::of(*sealed)),
            ExportLine::Item(ReplayItem::Lease(lease)) => {
                let CarriedLease { namespace, task, revision, lease } = *lease;
                LineJson::Lease(Box::new(LeaseJson { namespace, task, revision, lease }))
            }
            ExportLine::Item(ReplayItem::Request(request)) => LineJson::Request(RequestJson::of(*request)),
            ExportLine::Follower(follower) => LineJson::Follower(FollowerJson::of(*follower)),
            ExportLine::Token(token) => LineJson::Token(token),
            ExportLine::End(counts, sha256) => LineJson::End(EndJson { counts, sha256 }),
        };
        tenure_api::to_json(&json)
    }

    /// Reads a line; an error says what is wrong with it.
    pub fn read(line: &str) -> Result<ExportLine, String> {
        Ok(match serde_json::from_str(line).map_err(words_of)? {
            LineJson::Anchor(anchor) => ExportLine::Item(ReplayItem::Anchor(Box::new(anchor.carried()))),
            LineJson::Event(event) => ExportLine::Item(ReplayItem::Event(Box::new(event.sealed()?))),
            LineJson::Lease(lease) => {
                let LeaseJson { namespace, task, revision, lease } = *lease;
                ExportLine::Item(ReplayItem::Lease(Box::new(CarriedLease {
                    namespace,
                    task,
                    revision,
                    lease,
                })))
            }
            LineJson::Request(request) => ExportLine::Item(ReplayItem::Request(Box::new(request.carried()?))),
            LineJson::Follower(follower) => ExportLine::Follower(Box::new(follower.carried())),
            LineJson::Token(token) => ExportLine::Token(token),
            LineJson::End(EndJson { counts, sha256 }) => ExportLine::End(counts, sha256),
        })
    }
}

impl AnchorJson {
    fn of(carried: CarriedAnchor) -> AnchorJson {
        let CarriedAnchor { purpose, cursor, root, lines, at, by, pruned } = carried;
        AnchorJson {
            purpose,
            cursor,
            root,
            lines,
            at,
            by,
            pruned: pruned.into_iter().map(PrunedJson::of).collect(),
        }
    }

    fn carried(self) -> CarriedAnchor {
        let AnchorJson { purpose, cursor, root, lines, at, by, pruned } = self;
        let pruned = pruned.into_iter().map(|one| one.pruned_at(at)).collect();
        CarriedAnchor { purpose, cursor, root, lines, at, by, pruned }
    }
}

impl PrunedJson {
    fn of(pruned: PrunedTask) -> PrunedJson {
        let PrunedTask { namespace, id, saga_id, number, head, state, finished_at, .. } = pruned;
        PrunedJson { namespace, id, saga_id, number, head, state, finished_at }
    }

    /// A task is pruned in the transaction that records its anchor, and at the same time.
    fn pruned_at(self, pruned_at: Time) -> PrunedTask {
        let PrunedJson { namespace, id, saga_id, number, head, state, finished_at } = self;
        PrunedTask { namespace, id, saga_id, number, head, state, finished_at, pruned_at, anchor: 0 }
    }
}

impl FollowerJson {
    fn of(carried: CarriedFollower) -> FollowerJson {
        let CarriedFollower { namespace, name, events, root, last, moved_at, moved_by } = carried;
        let last = last.map(|(subject, number)| LastSeenJson { task: subject.task().cloned(), number });
        FollowerJson { namespace, name, events, root, last, moved_at, moved_by }
    }

    fn carried(self) -> CarriedFollower {
        let FollowerJson { namespace, name, events, root, last, moved_at, moved_by } = self;
        let last = last.map(|LastSeenJson { task, number }| (task.into(), number));
        CarriedFollower { namespace, name, events, root, last, moved_at, moved_by }
    }
}

impl EventJson {
    fn of(sealed: Sealed) -> EventJson {
        let Sealed { event, data, hash } = sealed;
        let data = RawValue::from_string(data)
            .unwrap_or_else(|error| panic!("the data of an event is JSON that was written here: {error}"));
        EventJson {
            namespace: event.namespace,
            task: event.subject.task().cloned(),
            number: event.number,
            at: event.at,
            kind: event.what.kind().to_owned(),
            actor: event.actor,
            data,
            hash,
        }
    }

    fn sealed(self) -> Result<Sealed, String> {
        let EventJson { namespace, task, number, at, kind, actor, data, hash } = self;
        let data = String::from(Box::<str>::from(data));
        let what = read_data(&kind, &data).ok_or_else(|| {
            format!("its type {kind} is not known, or its data is not what is written for that type")
        })?;
        if !what.is_recorded() {
            return Err(format!("an event of the type {kind} is never in a history"));
        }
        if what.is_of_namespace() != task.is_none() {
            let subject = if what.is_of_namespace() { "in a namespace, to no task" } else { "to a task" };
            return Err(format!("an event of the type {kind} happens {subject}; its task is wrong"));
        }
        let subject = task.into();
        Ok(Sealed { event: Event { namespace, subject, number, at, actor, what }, data, hash })
    }
}

impl RequestJson {
    fn of(carried: CarriedRequest) -> RequestJson {
        let CarriedRequest { namespace, id, request } = carried;
        let Request { digest, actor, at, answered } = request;
        RequestJson { namespace, id: id.as_str().to_owned(), digest, actor, at, answered }
    }

    fn carried(self) -> Result<CarriedRequest, String> {
        let RequestJson { namespace, id, digest, actor, at, answered } = self;
        let id = RequestId::new(id).map_err(|invalid| invalid.to_string())?;
        Ok(CarriedRequest { namespace, id, request: Request { digest, actor, at, answered } })
    }
}

/// What is wrong with the JSON of a line. It is always line 1 of its own text, and another one of the file.
fn words_of(error: serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", " at column ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"event":{"namespace":"default","task":"t","number":2,"at":"2026-01-31T12:00:00.000001Z","type":"cancel_asked","actor":"alice","data":{"reason":"ä"},"hash":"2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"}}"#;

    #[test]
    fn an_event_is_written_as_it_was_read() {
        let read = ExportLine::read(EVENT).expect("a line");
        assert!(
            matches!(&read, ExportLine::Item(ReplayItem::Event(sealed)) if sealed.data == r#"{"reason":"ä"}"#)
        );
        assert_eq!(read.into_json(), EVENT);
    }

    #[test]
    fn an_event_of_a_namespace_names_no_task_and_one_of_a_task_does() {
        const SWEPT: &str = r#"{"event":{"namespace":"default","task":null,"number":1,"at":"2026-01-31T12:00:00.000001Z","type":"recovery_swept","actor":"r","data":{"owner":"r","planned":1,"compensated":0,"quarantined":0,"handed_back":0,"lost":0,"failed":0,"undone":0},"hash":"2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"}}"#;
        assert_eq!(ExportLine::read(SWEPT).expect("a line").into_json(), SWEPT);
        let named = ExportLine::read(&SWEPT.replace("null", "\"t\"")).expect_err("refused");
        assert!(named.contains("happens in a namespace, to no task"), "{named}");
        let nameless =
            ExportLine::read(&EVENT.replace("\"task\":\"t\"", "\"task\":null")).expect_err("refused");
        assert!(nameless.contains("happens to a task"), "{nameless}");
        let missing = ExportLine::read(&SWEPT.replace("\"task\":null,", "")).expect_err("refused");
        assert!(missing.contains("missing field `task`"), "{missing}");
    }

    #[test]
    fn anchors_and_followers_are_written_as_they_were_read_and_say_nothing_of_numbers_and_places() {
        let hash = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
        let pruned = format!(
            r#"{{"namespace":"default","id":"t","saga_id":"s","number":3,"head":"{hash}","state":"failed","finished_at":"2026-01-31T12:00:00.000001Z"}}"#
        );
        let anchor = |purpose: &str, rest: &str| {
            format!(
                r#"{{"anchor":{{"purpose":"{purpose}","cursor":"e7","root":"{hash}","lines":1,"at":"2026-01-31T12:00:00.000001Z","by":"ops"{rest}}}}}"#
            )
        };
        let follower = |rest: &str| {
            format!(
                r#"{{"follower":{{"namespace":"default","name":"mailer","events":2,"root":"{hash}",{rest}"moved_at":"2026-01-31T12:00:00.000001Z","moved_by":"ops"}}}}"#
            )
        };
        for line in [
            anchor("audit", ""),
            anchor("prune", &format!(r#","pruned":[{pruned}]"#)),
            follower(""),
            follower(r#""last":{"task":"t","number":2},"#),
        ] {
            assert_eq!(ExportLine::read(&line).expect(&line).into_json(), line);
        }
        for (line, why) in [
            (anchor("other", ""), "other"),
            (anchor("prune", &format!(r#","pruned":[{}]"#, pruned.replace("failed", "running"))), "running"),
            (anchor("audit", r#","number":4"#), "unknown field `number`"),
            (follower(r#""cursor":"e7","#), "unknown field `cursor`"),
        ] {
            let refused = ExportLine::read(&line).expect_err(&line);
            assert!(refused.contains(why), "{refused}");
        }
    }

    #[test]
    fn what_is_not_as_it_is_written_is_refused_with_the_reason() {
        let refused = |from: &str, to: &str| {
            let line = EVENT.replace(from, to);
            assert_ne!(line, EVENT);
            ExportLine::read(&line).expect_err("refused")
        };
        assert!(refused("\"number\"", "\"more\":1,\"number\"").starts_with("unknown field `more`"));
        assert!(refused("\"event\"", "\"task\"").starts_with("unknown variant `task`"));
        assert!(refused("\"actor\":\"alice\"", "\"actor\":\"a b\"").contains("actor"));
        assert!(refused("cancel_asked", "cancelled").contains("its type cancelled is not known"));
        assert!(
            refused("{\"reason\"", "{ \"reason\"").contains("its data is not what is written for that type")
        );
        assert!(refused("\"hash\":\"2c", "\"hash\":\"2\",\"x\":\"").ends_with(char::is_numeric), "and where");
        let heartbeat = refused("\"type\":\"cancel_asked\"", "\"type\":\"progressed\"").replace("reason", "");
        assert!(heartbeat.contains("progressed"), "{heartbeat}");
    }

    #[test]
    fn a_header_of_another_version_or_of_another_file_is_refused() {
        let header = r#"{"tenure_export":1,"at":"2026-01-31T12:00:00.000000Z","by":"tenure 1","epoch_floor":0,"events":3}"#;
        assert_eq!(ExportHeader::read(header).expect("a header").to_json(), header);
        let archive = header.replace("\"at\"", "\"archive\":true,\"at\"");
        assert_eq!(ExportHeader::read(&archive).expect("a header").to_json(), archive);
        let later = ExportHeader::read(&header.replace("_export\":1", "_export\":2")).expect_err("refused");
        assert!(later.contains("has format 2"), "{later}");
        assert!(ExportHeader::read(EVENT).expect_err("refused").contains("not the first line of an export"));
    }
}
