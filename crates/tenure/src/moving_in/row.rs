//! What a row of `task_sagas` becomes: a record to put, how it ended, and what is not as it was. It reads no store.

use std::fmt;

use serde::{Deserialize, Serialize};
use tenure_api::instant;
use tenure_core::chain::Hash;
use tenure_core::command::{Create, IdOrigin, Put, PutHolder, PutUndo};
use tenure_core::compensation::Undo;
use tenure_core::id::{Document, Kind, LabelKey, LabelValue, Owner, Reason, SagaId, TaskId, Text};
use tenure_core::policy::Ttl;
use tenure_core::refusal::Refusal;
use tenure_core::task::{Labels, State, Task, Terminal};
use tenure_core::time::Time;
use tenure_sqlite::TaskSagaRow;

use super::options::MoveOptions;

/// Holds a record that ended elsewhere between its two commands, if nobody knows who held it there.
const IMPORTER: &str = "task-sagas-import";
/// Why a record is written, and why it ended if its row does not say that.
const MOVED: &str = "moved from task_sagas";

/// How a record ended elsewhere.
pub(super) struct End {
    pub(super) state: Terminal,
    pub(super) reason: Reason,
}

/// What a row said, as it was there: in the payload of its task, under `task_sagas`.
#[derive(Serialize, Deserialize)]
struct PayloadJson {
    task_sagas: SaidJson,
}

#[derive(Serialize, Deserialize)]
struct SaidJson {
    task_id: Option<String>,
    saga_id: Option<String>,
    lease_owner: Option<String>,
    lease_expires_at: Option<String>,
    last_heartbeat_at: Option<String>,
    /// Only of what had ended there.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<String>,
}

/// Whether a task with that payload came of that row: ids alone don't say so.
pub(super) fn came_of(payload: &Document, row: &TaskSagaRow) -> bool {
    said(payload).is_some_and(|said| said.task_id == row.task_id && said.saga_id == row.saga_id)
}

/// Whether the import put that task as held, and did not say yet how it ended. Nobody can have taken it over since: that would be
/// its second attempt.
pub(super) fn is_begun(task: &Task) -> bool {
    let has_ended = said(&task.payload).is_some_and(|said| said.ended.is_some());
    has_ended && task.state() == State::Running && task.attempts == 1
}

fn said(payload: &Document) -> Option<SaidJson> {
    serde_json::from_str::<PayloadJson>(payload.as_str()).ok().map(|payload| payload.task_sagas)
}

/// What is not here as it was there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Remark {
    /// A name that no record here can have got another one.
    Renamed {
        /// Which: `task_id`, `saga_id`, `lease_owner` or the kind of a compensation.
        field: &'static str,
        /// What it was.
        from: String,
        /// What it is.
        to: String,
    },
    /// It ran without a lease, so nobody knows whether its worker lives: it is stale at once.
    NoLease,
    /// Its lease would be longer than a lease may be, and ends after 7 days.
    LeaseShortened,
    /// It was reserved for nobody, so it is planned.
    ReservedForNobody,
    /// It failed without a compensation: the record says that there is nothing to undo.
    FailedWithoutCompensation,
    /// It ended without a reason.
    NoReason,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remark::Renamed { field, from, to } => write!(f, "{field} `{from}` became `{to}`"),
            Remark::NoLease => f.write_str("it ran without a lease, so it is stale at once"),
            Remark::LeaseShortened => f.write_str("its lease ends in 7 days, the longest that there is"),
            Remark::ReservedForNobody => f.write_str("it was dispatched to nobody, so it is planned"),
            Remark::FailedWithoutCompensation => f.write_str(
                "it failed without a compensation, so its record says that there is nothing to undo",
            ),
            Remark::NoReason => f.write_str("it ended without a reason"),
        }
    }
}

/// What moving a row takes.
pub(super) struct Planned {
    pub(super) put: Put,
    /// How it ended. If the put alone can't say that, it puts the record as held, and a second command ends it.
    pub(super) end: Option<End>,
    pub(super) remarks: Vec<Remark>,
}

#[derive(Deserialize)]
struct CompensationJson {
    kind: String,
    target: String,
    #[serde(default)]
    reason: Option<String>,
}

pub(super) fn plan(row: &TaskSagaRow, now: Time, options: &MoveOptions) -> Result<Planned, Refusal> {
    if let Some(field) = row.not_utf8 {
        return Err(Refusal::invalid(field, "must be UTF-8 text"));
    }
    let mut remarks = Vec::new();
    let task_id = row.task_id.as_deref().filter(|id| !id.is_empty()).ok_or_else(|| missing("task_id"))?;
    let id = fitting("task_id", task_id, &mut remarks, TaskId::new)?;
    let mut put = Put::new(id.clone());
    let payload = payload(row)?;
    put.record = Create { payload, labels: labels(row)?, ..Create::new(id, IdOrigin::Given) };
    put.record.policy = options.policy();
    if let Some(saga_id) = row.saga_id.as_deref().filter(|saga_id| !saga_id.is_empty()) {
        put.record.saga_id = Some(fitting("saga_id", saga_id, &mut remarks, SagaId::new)?);
    }
    put.compensations = compensations(row, &mut remarks)?;
    put.reason = Some(Reason::new(MOVED)?);
    time("lease_expires_at", row.lease_expires_at.as_deref())?;
    time("last_heartbeat_at", row.last_heartbeat_at.as_deref())?;
    let end = into_state(&mut put, row, (now, options), &mut remarks)?;
    Ok(Planned { put, end, remarks })
}

fn into_state(
    put: &mut Put,
    row: &TaskSagaRow,
    (now, options): (Time, &MoveOptions),
    remarks: &mut Vec<Remark>,
) -> Result<Option<End>, Refusal> {
    let state = row.state.as_deref().ok_or_else(|| missing("state"))?;
    let is_known = |known: &&State| known.as_str() == state && **known != State::Compensating;
    put.state = State::ALL.iter().find(is_known).copied().ok_or_else(|| {
        let words = "planned, dispatched, running, completed, failed, compensated or quarantined";
        Refusal::invalid("state", format_args!("must be {words}, not `{state}`"))
    })?;
    let Some(terminal) = put.state.terminal() else {
        hold(put, row, (now, options), remarks)?;
        return Ok(None);
    };
    let words = row.terminal_reason.as_deref().filter(|words| !words.is_empty());
    if words.is_none() && terminal != Terminal::Completed {
        remarks.push(Remark::NoReason);
    }
    let words = words.map(|words| Reason::named("terminal_reason", words)).transpose()?;
    if terminal == Terminal::Failed && put.compensations.is_empty() {
        remarks.push(Remark::FailedWithoutCompensation);
        put.compensations.push(nothing_to_undo()?);
    }
    let owner = owner(row, remarks)?;
    let owes = put.compensations.iter().any(|one| !one.undo.kind.is_none());
    let is_settled_or_parked = matches!(terminal, Terminal::Compensated | Terminal::Quarantined);
    let reason = words.clone().map_or_else(|| no_reason(terminal), Ok)?;
    if owner.is_some() || (owes && is_settled_or_parked) {
        // Only what somebody held has a last holder, and owes something, which the second command settles or leaves owed. Recovery
        // must not have it between the two: what it would undo was undone there.
        let owner = owner.map_or_else(|| Owner::new(IMPORTER), Ok)?;
        let expires_at = now + Ttl::MAX.span();
        put.state = State::Running;
        put.holder = Some(PutHolder { owner, granted_to: None, expires_at });
    } else {
        put.terminal_reason =
            words.or_else(|| Some(reason.clone()).filter(|_| terminal != Terminal::Completed));
    }
    Ok(Some(End { state: terminal, reason }))
}

fn no_reason(terminal: Terminal) -> Result<Reason, Refusal> {
    let words = format!("{MOVED}, which gave no reason");
    Ok(Reason::new(if terminal == Terminal::Completed { MOVED } else { &words })?)
}

fn owner(row: &TaskSagaRow, remarks: &mut Vec<Remark>) -> Result<Option<Owner>, Refusal> {
    let owner = row.lease_owner.as_deref().filter(|owner| !owner.is_empty());
    owner.map(|owner| fitting("lease_owner", owner, remarks, Owner::new)).transpose()
}

/// Who holds a record that is still open there.
fn hold(
    put: &mut Put,
    row: &TaskSagaRow,
    (now, options): (Time, &MoveOptions),
    remarks: &mut Vec<Remark>,
) -> Result<(), Refusal> {
    let owner = owner(row, remarks)?;
    let latest = now + Ttl::MAX.span();
    // So that others have the time to take it over here: what was over there long ago would be due for recovery at once.
    let earliest = if options.recover_after.is_some() { now } else { Time::MIN };
    let expires_at = time("lease_expires_at", row.lease_expires_at.as_deref())?;
    let until = expires_at.map(|expires_at| expires_at.clamp(earliest, latest));
    if expires_at > Some(latest) {
        remarks.push(Remark::LeaseShortened);
    }
    let granted_to = options.granted_to.clone();
    put.holder = match (put.state, owner) {
        (State::Running, Some(owner)) => {
            if until.is_none() {
                remarks.push(Remark::NoLease);
            }
            Some(PutHolder { owner, granted_to, expires_at: until.unwrap_or(now) })
        }
        (State::Running, None) => {
            remarks.push(Remark::NoLease);
            Some(PutHolder { owner: Owner::new("unknown")?, granted_to, expires_at: now })
        }
        (State::Dispatched, Some(owner)) => {
            Some(PutHolder { owner, granted_to: None, expires_at: until.unwrap_or(now) })
        }
        (State::Dispatched, None) => {
            remarks.push(Remark::ReservedForNobody);
            put.state = State::Planned;
            None
        }
        (_, _) => None,
    };
    Ok(())
}

fn nothing_to_undo() -> Result<PutUndo, Refusal> {
    let (kind, target) = (Kind::new(Kind::NONE)?, Text::named("target", "-")?);
    Ok(PutUndo { seq: None, undo: Undo { kind, target, reason: None } })
}

fn labels(row: &TaskSagaRow) -> Result<Labels, Refusal> {
    let given = [("issue", &row.issue), ("branch", &row.branch), ("worktree", &row.worktree)];
    let given = given
        .into_iter()
        .filter_map(|(key, value)| Some((key, value.as_deref().filter(|value| !value.is_empty())?)));
    given
        .map(|(key, value)| Ok((LabelKey::new(key)?, LabelValue::named(key, value)?)))
        .collect::<Result<_, Refusal>>()
}

fn payload(row: &TaskSagaRow) -> Result<Document, Refusal> {
    let said = [
        ("task_id", &row.task_id),
        ("saga_id", &row.saga_id),
        ("lease_owner", &row.lease_owner),
        ("lease_expires_at", &row.lease_expires_at),
        ("last_heartbeat_at", &row.last_heartbeat_at),
    ];
    for (field, text) in said {
        Text::named(field, text.as_deref().unwrap_or_default())?;
    }
    let ended = State::ALL.iter().find(|state| Some(state.as_str()) == row.state.as_deref());
    let said = PayloadJson {
        task_sagas: SaidJson {
            task_id: row.task_id.clone(),
            saga_id: row.saga_id.clone(),
            lease_owner: row.lease_owner.clone(),
            lease_expires_at: row.lease_expires_at.clone(),
            last_heartbeat_at: row.last_heartbeat_at.clone(),
            ended: ended.filter(|state| state.terminal().is_some()).map(|state| state.as_str().to_owned()),
        },
    };
    tenure_api::json::document("task_id", &tenure_api::to_json(&said))
}

fn compensations(row: &TaskSagaRow, remarks: &mut Vec<Remark>) -> Result<Vec<PutUndo>, Refusal> {
    let Some(text) = row.compensations_json.as_deref().filter(|text| !text.trim().is_empty()) else {
        return Ok(Vec::new());
    };
    let list: Option<Vec<CompensationJson>> = serde_json::from_str(text).map_err(|error| {
        let limit = format_args!("must be a JSON list of objects with kind, target and reason: {error}");
        Refusal::invalid("compensations_json", limit)
    })?;
    let undo = |one: CompensationJson| {
        let kind = fitting("compensations_json.kind", &one.kind, remarks, Kind::new)?;
        let target = Text::named("compensations_json.target", one.target)?;
        let words = one.reason.filter(|words| !words.is_empty());
        let reason = words.map(|words| Reason::named("compensations_json.reason", words)).transpose()?;
        Ok(PutUndo { seq: None, undo: Undo { kind, target, reason } })
    };
    list.unwrap_or_default().into_iter().map(undo).collect()
}

/// The time, or the latest that there is: many programs write the end of the year 9999 for never.
fn time(field: &'static str, text: Option<&str>) -> Result<Option<Time>, Refusal> {
    text.filter(|text| !text.is_empty()).map(|text| instant::parse_at_most(field, text)).transpose()
}

fn missing(field: &'static str) -> Refusal {
    Refusal::invalid(field, "is required")
}

/// The name as it is, or one that fits: letters that no name may have become `-`, and a part of the hash of the whole keeps
/// two names apart that would become one.
fn fitting<T: AsRef<str>, E: Into<Refusal>>(
    field: &'static str,
    name: &str,
    remarks: &mut Vec<Remark>,
    new: impl Fn(String) -> Result<T, E>,
) -> Result<T, Refusal> {
    const LETTERS_MAX: usize = 180;
    if name.is_empty() {
        return Err(missing(field));
    }
    if let Ok(fits) = new(name.to_owned()) {
        return Ok(fits);
    }
    let letter = |letter: char| match letter {
        'A'..='Z' | 'a'..='z' | '0'..='9' | '-' | '_' | '.' | ':' | '@' | '+' => letter,
        _ => '-',
    };
    let letters: String = name.chars().take(LETTERS_MAX).map(letter).collect();
    let hash = Hash::of(name.as_bytes()).to_string();
    let to = format!("{letters}-{}", hash.get(..12).unwrap_or_default());
    let fits = new(to.clone()).map_err(Into::into)?;
    remarks.push(Remark::Renamed { field, from: name.to_owned(), to });
    Ok(fits)
}
