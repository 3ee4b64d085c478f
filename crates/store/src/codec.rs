//! What stores write: events as canonical JSON and as the bytes that are hashed, policies and labels as columns.
//!
//! The definitions below mirror the core's types field by field. The compiler checks that, and for events and policies, which can grow, tests do. So a rename in the
//! core does not change what is stored: it is a compile error here.

mod policy;
#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use tenure_api::wire::Word;
use tenure_core::chain::{Canonical, Hash};
use tenure_core::compensation::{Compensation, Registered, Status, Undo};
use tenure_core::event::{
    Changes, Counting, Created, Ended, Event, EventData, Grant, HandReceipt, LabelChanges, LeaseEnd,
    SweepCounts, Triage, Waiver,
};
use tenure_core::id::{
    Actor, Document, Epoch, Kind, LabelKey, Owner, Progress, Queue, Reason, Revision, SagaId, Seq, TaskId,
    Text, UndoKey,
};
use tenure_core::policy::{Policy, Ttl};
use tenure_core::task::{CancelTold, Cause, Labels, Overrun, State, Terminal};
use tenure_core::time::Time;

use crate::remembered::RememberedAnswer;
use crate::stored_json::{self as stored, StoredJson, present, read_json, to_json};

/// An event as it is stored: its data as text, and the hash that chains it to its predecessor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sealed {
    pub event: Event,
    pub data: String,
    pub hash: Hash,
}

/// Writes the event down and chains it to what came before.
///
/// Its JSON is made once, with a mark where each payload stands: the payloads take their places in what is stored, and their
/// digests in what is hashed.
pub fn seal(mut event: Event, previous: Hash) -> Sealed {
    let mut payloads = Vec::new();
    for_each_payload(&mut event.what, &mut |payload| payloads.push(std::mem::replace(payload, MARK.clone())));
    let marked = data(&event.what);
    if payloads.is_empty() {
        let hash = link(&event, &marked, previous);
        return Sealed { event, data: marked, hash };
    }
    let pieces: Vec<&str> = marked.split(MARK.as_str()).collect();
    let filled = fill(&pieces, &payloads, |payload, text| text.push_str(&to_json(payload)));
    let hashed = fill(&pieces, &payloads, |payload, text| {
        let digest = Hash::of(payload.as_str().as_bytes());
        let _ = write!(text, "\"{digest}\""); // Writing to a string never fails.
    });
    let hash = link(&event, &hashed, previous);
    let mut payloads = payloads.into_iter();
    for_each_payload(&mut event.what, &mut |place| {
        if let Some(payload) = payloads.next() {
            *place = payload;
        }
    });
    Sealed { event, data: filled, hash }
}

/// Stands for a payload while an event is written: a JSON string that nobody can have put into an event, because nobody knows
/// it.
static MARK: LazyLock<Document> = LazyLock::new(|| {
    let random = || RandomState::new().hash_one(());
    let quoted = format!("\"{:016x}{:016x}\"", random(), random());
    Document::new(quoted).unwrap_or_else(|_| panic!("a mark is a short text"))
});

/// The pieces with something between them for each payload.
fn fill(pieces: &[&str], payloads: &[Document], put: impl Fn(&Document, &mut String)) -> String {
    let between: usize = payloads.iter().map(|payload| payload.as_str().len().max(66)).sum();
    let bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
    let mut text = String::with_capacity(bytes + between);
    for (at, piece) in pieces.iter().enumerate() {
        text.push_str(piece);
        if let Some(payload) = payloads.get(at) {
            put(payload, &mut text);
        }
    }
    text
}

/// The hash of an event whose payloads stand in `data` by their digests.
fn link(event: &Event, data: &str, previous: Hash) -> Hash {
    let mut canonical = Canonical::new();
    canonical
        .piece(event.namespace.as_str().as_bytes())
        .piece(event.subject.as_str().as_bytes())
        .number(i64::try_from(event.number.0).unwrap_or(i64::MAX))
        .number(event.at.as_micros())
        .piece(event.actor.as_str().as_bytes())
        .piece(event.what.kind().as_bytes())
        .piece(data.as_bytes());
    canonical.link(previous)
}

/// The event's data as canonical JSON. Its type is a column of its own, so the tag that serde puts around is taken off.
pub fn data(what: &EventData) -> String {
    let mut text = to_json(what);
    text.pop();
    text.drain(..text.find(':').map_or(0, |at| at + 1));
    text
}

/// Reads back what [`data`] wrote; none if the two columns are not what it writes.
pub fn read_data(kind: &str, data: &str) -> Option<EventData> {
    let tag = if Terminal::of_word(kind).is_some() { "ended" } else { kind };
    let what = read_json::<EventData>(&format!("{{\"{tag}\":{data}}}"))?;
    (what.kind() == kind && self::data(&what) == data).then_some(what)
}

/// The payloads of an event, in their order in its JSON. They are hashed by their digests, so that a payload may be dropped
/// later and the chain still verifies.
fn for_each_payload(what: &mut EventData, visit: &mut dyn FnMut(&mut Document)) {
    let lease = match what {
        EventData::Created(created) => {
            visit(&mut created.payload);
            None
        }
        EventData::Changed(changes) => {
            changes.payload.iter_mut().for_each(&mut *visit);
            None
        }
        EventData::Ended(ended) => {
            ended.result.iter_mut().for_each(&mut *visit);
            ended.lease.as_mut()
        }
        EventData::Acquired(grant) | EventData::Reclaimed(grant) => grant.lapsed.as_mut(),
        EventData::Released { lease, .. } | EventData::Lapsed { lease } => Some(lease),
        EventData::RolledBack { lease, .. } | EventData::Replanned { lease, .. } => lease.as_mut(),
        EventData::Registered { .. }
        | EventData::Dispatched { .. }
        | EventData::Renewed { .. }
        | EventData::Progressed { .. }
        | EventData::Adopted { .. }
        | EventData::Settled { .. }
        | EventData::Tried { .. }
        | EventData::Waived(_)
        | EventData::CancelAsked { .. }
        | EventData::Labelled { .. }
        | EventData::Annotated { .. }
        | EventData::Retried { .. }
        | EventData::RecoverySwept { .. } => None,
        _ => None,
    };
    lease.and_then(|lease| lease.checkpoint.as_mut()).into_iter().for_each(visit);
}

/// Connects a mirror to the type that it mirrors.
macro_rules! mirrored {
    ($($type:ty => $mirror:ident),* $(,)?) => { $(
        impl StoredJson for $type {
            fn put<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $mirror::serialize(self, serializer)
            }
            fn take<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $mirror::deserialize(deserializer)
            }
        }
    )* };
}
mirrored!(
    EventData => WhatMirror, Created => CreatedMirror, Changes => ChangesMirror, Grant => GrantMirror,
    LeaseEnd => LeaseEndMirror, CancelTold => CancelToldMirror, Ended => EndedMirror, Waiver => WaiverMirror,
    HandReceipt => HandReceiptMirror, LabelChanges => LabelChangesMirror, Undo => UndoMirror,
    SweepCounts => SweepCountsMirror,
    Compensation => CompensationMirror,
    RememberedAnswer => AnsweredMirror,
);

/// Whether a note dismisses an end: `true`, or absent.
mod dismissed {
    use serde::{Deserialize, Deserializer, Serializer};
    use tenure_core::event::Triage;

    pub(super) fn is_not(triage: &Triage) -> bool {
        *triage == Triage::Stays
    }

    pub(super) fn serialize<S: Serializer>(triage: &Triage, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(!is_not(triage))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Triage, D::Error> {
        bool::deserialize(deserializer).map(|is| if is { Triage::Dismissed } else { Triage::Stays })
    }
}

/// An event of the core that has no mirror can't be written: the stories of its command fail on every store.
#[derive(Serialize, Deserialize)]
#[serde(remote = "EventData", rename_all = "snake_case")]
#[non_exhaustive]
enum WhatMirror {
    Created(#[serde(with = "stored")] Box<Created>),
    Changed(#[serde(with = "stored")] Box<Changes>),
    Registered {
        #[serde(with = "stored")]
        seq: Seq,
        #[serde(flatten, with = "stored")]
        undo: Undo,
    },
    Dispatched {
        #[serde(with = "stored")]
        owner: Owner,
        #[serde(with = "stored")]
        expires_at: Time,
    },
    Acquired(#[serde(with = "stored")] Grant),
    Renewed {
        #[serde(with = "stored")]
        expires_at: Time,
        #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
        progress: Option<Progress>,
        #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
        checkpoint: Option<Document>,
    },
    Progressed {
        #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
        progress: Option<Progress>,
        #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
        checkpoint: Option<Document>,
    },
    Released {
        #[serde(with = "stored")]
        reason: Reason,
        #[serde(with = "stored")]
        counting: Counting,
        #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
        not_before: Option<Time>,
        #[serde(with = "stored")]
        lease: LeaseEnd,
    },
    RolledBack {
        #[serde(with = "stored")]
        reason: Reason,
        #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
        lease: Option<LeaseEnd>,
    },
    Lapsed {
        #[serde(with = "stored")]
        lease: LeaseEnd,
    },
    Reclaimed(#[serde(with = "stored")] Grant),
    Replanned {
        #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
        not_before: Option<Time>,
        #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
        lease: Option<LeaseEnd>,
    },
    Adopted {
        #[serde(with = "stored")]
        seqs: Vec<Seq>,
    },
    Settled {
        #[serde(with = "stored")]
        seq: Seq,
        #[serde(with = "stored")]
        epoch: Epoch,
        #[serde(with = "stored")]
        receipt: Text,
        #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
        by_hand: Option<Reason>,
    },
    Tried {
        #[serde(with = "stored")]
        seq: Seq,
        #[serde(with = "stored")]
        epoch: Epoch,
        #[serde(with = "stored")]
        error: Text,
    },
    Waived(#[serde(with = "stored")] Waiver),
    CancelAsked {
        #[serde(with = "stored")]
        reason: Reason,
    },
    Labelled {
        #[serde(flatten, with = "stored")]
        changes: LabelChanges,
        #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
    },
    Ended(#[serde(with = "stored")] Box<Ended>),
    Annotated {
        #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
        note: Option<Reason>,
        #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
        terminal_reason: Option<Reason>,
        #[serde(
            rename = "dismissed",
            with = "dismissed",
            default,
            skip_serializing_if = "dismissed::is_not"
        )]
        triage: Triage,
    },
    Retried {
        #[serde(with = "stored")]
        successor: TaskId,
        #[serde(with = "stored")]
        reason: Reason,
        #[serde(with = "stored", default, skip_serializing_if = "Vec::is_empty")]
        waived: Vec<Waiver>,
        #[serde(with = "stored", default, skip_serializing_if = "Vec::is_empty")]
        settled: Vec<HandReceipt>,
    },
    RecoverySwept {
        #[serde(with = "stored")]
        owner: Owner,
        #[serde(flatten, with = "stored")]
        counts: SweepCounts,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Created")]
struct CreatedMirror {
    #[serde(with = "stored")]
    saga_id: SagaId,
    #[serde(with = "stored")]
    queue: Queue,
    #[serde(with = "stored")]
    kind: Kind,
    #[serde(with = "stored")]
    labels: Labels,
    #[serde(with = "stored")]
    payload: Document,
    priority: i32,
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    not_before: Option<Time>,
    #[serde(with = "stored")]
    policy: Policy,
    #[serde(with = "stored")]
    compensations: Vec<Compensation>,
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    retry_of: Option<TaskId>,
    #[serde(with = "stored")]
    created_at: Time,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Changes")]
struct ChangesMirror {
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    queue: Option<Queue>,
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    kind: Option<Kind>,
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    labels: Option<Labels>,
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    payload: Option<Document>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    priority: Option<i32>,
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    not_before: Option<Option<Time>>,
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    policy: Option<Policy>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Grant")]
struct GrantMirror {
    #[serde(with = "stored")]
    owner: Owner,
    #[serde(with = "stored")]
    epoch: Epoch,
    #[serde(with = "stored")]
    ttl: Ttl,
    #[serde(with = "stored")]
    expires_at: Time,
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    granted_to: Option<Actor>,
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    lapsed: Option<LeaseEnd>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "LeaseEnd")]
struct LeaseEndMirror {
    #[serde(with = "stored")]
    owner: Owner,
    #[serde(with = "stored")]
    epoch: Epoch,
    #[serde(with = "stored")]
    heartbeat_at: Time,
    #[serde(with = "stored")]
    progressed_at: Time,
    #[serde(with = "stored")]
    expires_at: Time,
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    progress: Option<Progress>,
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    checkpoint: Option<Document>,
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    cancel_told: Option<CancelTold>,
    // What ended it is its cause, in the words of interfaces.
    #[serde(rename = "cause", with = "present", default, skip_serializing_if = "Option::is_none")]
    overrun: Option<Overrun>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "CancelTold")]
struct CancelToldMirror {
    times: u32,
    #[serde(with = "stored")]
    since: Time,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Ended")]
struct EndedMirror {
    #[serde(with = "stored")]
    state: Terminal,
    #[serde(with = "stored")]
    cause: Cause,
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    result: Option<Document>,
    #[serde(with = "stored", default, skip_serializing_if = "Vec::is_empty")]
    compensations: Vec<Undo>,
    #[serde(with = "stored", default, skip_serializing_if = "Vec::is_empty")]
    waived: Vec<Waiver>,
    #[serde(with = "stored", default, skip_serializing_if = "Vec::is_empty")]
    settled: Vec<HandReceipt>,
    #[serde(with = "stored")]
    finished_at: Time,
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    lease: Option<LeaseEnd>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Waiver")]
struct WaiverMirror {
    #[serde(with = "stored")]
    seq: Seq,
    #[serde(with = "stored")]
    reason: Reason,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "HandReceipt")]
struct HandReceiptMirror {
    #[serde(with = "stored")]
    seq: Seq,
    #[serde(with = "stored")]
    receipt: Text,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "LabelChanges")]
struct LabelChangesMirror {
    #[serde(with = "stored", default, skip_serializing_if = "Labels::is_empty")]
    set: Labels,
    #[serde(with = "stored", default, skip_serializing_if = "Vec::is_empty")]
    unset: Vec<LabelKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "SweepCounts")]
struct SweepCountsMirror {
    planned: u64,
    compensated: u64,
    quarantined: u64,
    handed_back: u64,
    lost: u64,
    failed: u64,
    undone: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Undo")]
struct UndoMirror {
    #[serde(with = "stored")]
    kind: Kind,
    #[serde(with = "stored")]
    target: Text,
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Compensation")]
struct CompensationMirror {
    #[serde(with = "stored")]
    seq: Seq,
    #[serde(flatten, with = "stored")]
    undo: Undo,
    #[serde(with = "stored")]
    registered: Registered,
    #[serde(with = "stored")]
    status: Status,
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    epoch: Option<Epoch>,
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    key: Option<UndoKey>,
    tries: u32,
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    receipt: Option<Text>,
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    settled_by: Option<Actor>,
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    last_error: Option<Text>,
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    waiver: Option<Reason>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RememberedAnswer")]
struct AnsweredMirror {
    #[serde(with = "stored")]
    task: TaskId,
    #[serde(with = "stored")]
    revision: Revision,
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    lease: Option<LeaseEnd>,
}

/// The word of a state, for columns that hold one.
pub fn state_word(state: State) -> &'static str {
    state.word()
}
