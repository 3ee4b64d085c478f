//! The lines of an export as JSON: one object each, which says what it is by its only member.
//!
//! A member that is not known is refused: to leave it out would lose what it says.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tenure_api::token::ListedToken;
use tenure_api::wire;
use tenure_core::chain::Hash;
use tenure_core::event::{Event, LeaseEnd};
use tenure_core::id::{Actor, Epoch, Namespace, RequestId, Revision, TaskId};
use tenure_core::time::Time;

use super::carried::{CarriedLease, CarriedRequest, ReplayItem};
use crate::codec::{Sealed, read_data};
use crate::remembered::{RememberedAnswer, Request};
use crate::stored_json as stored;

/// The version of the format.
pub const EXPORT_FORMAT: u32 = 1;

/// The first line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportHeader {
    /// The version of the format.
    pub tenure_export: u32,
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
            "it is not the first line of an export; give a file that `tenure export` wrote, whole".to_owned()
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
    /// Events.
    pub events: u64,
    /// Leases.
    pub leases: u64,
    /// Remembered request ids.
    pub requests: u64,
    /// Tokens.
    pub tokens: u64,
}

impl ExportCounts {
    /// Counts an item.
    pub fn count(&mut self, item: &ReplayItem) {
        match item {
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
    /// A token, by the hash of its secret.
    Token(Box<ListedToken>),
    /// The last line: what came before it, and the SHA-256 of all its bytes.
    End(ExportCounts, Hash),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LineJson {
    Event(EventJson),
    Lease(Box<LeaseJson>),
    Request(RequestJson),
    Token(Box<ListedToken>),
    End(EndJson),
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
            ExportLine::Item(ReplayItem::Event(sealed)) => LineJson::Event(EventJson::of(*sealed)),
            ExportLine::Item(ReplayItem::Lease(lease)) => {
                let CarriedLease { namespace, task, revision, lease } = *lease;
                LineJson::Lease(Box::new(LeaseJson { namespace, task, revision, lease }))
            }
            ExportLine::Item(ReplayItem::Request(request)) => LineJson::Request(RequestJson::of(*request)),
            ExportLine::Token(token) => LineJson::Token(token),
            ExportLine::End(counts, sha256) => LineJson::End(EndJson { counts, sha256 }),
        };
        tenure_api::to_json(&json)
    }

    /// Reads a line; an error says what is wrong with it.
    pub fn read(line: &str) -> Result<ExportLine, String> {
        Ok(match serde_json::from_str(line).map_err(words_of)? {
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
            LineJson::Token(token) => ExportLine::Token(token),
            LineJson::End(EndJson { counts, sha256 }) => ExportLine::End(counts, sha256),
        })
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
        let later = ExportHeader::read(&header.replace("_export\":1", "_export\":2")).expect_err("refused");
        assert!(later.contains("has format 2"), "{later}");
        assert!(ExportHeader::read(EVENT).expect_err("refused").contains("not the first line of an export"));
    }
}
