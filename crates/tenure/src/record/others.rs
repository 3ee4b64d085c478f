//! Records besides tasks, events and refusals: holdings, overviews, renewals, audits, errors.

use serde::Serialize;
use tenure_core::id::{Kind, Namespace, Owner, Queue, TaskId};
use tenure_core::task::{Cause, State};
use tenure_core::time::Time;

use super::{Of, RefusalRecord, text};
use crate::audit::{Anchor, AnchorLine, Finding, Report};
use crate::error::Error;
use crate::store::Renewal;
use crate::store::ends::EndCount;
use crate::store::overview::{Holding, Oldest, Overview, StateCount, ToldToStop};
use crate::store::watch::{Recoverer, Watchers};
use crate::why::{Next, Step};
use crate::wire::{Held, Wired};

/// The answer to a heartbeat or a progress.
#[derive(Serialize)]
pub struct RenewalRecord {
    at: Held<Time>,
    expires_at: Held<Time>,
    cancel: bool,
}

impl RenewalRecord {
    /// The renewal.
    pub fn of(renewal: Renewal) -> RenewalRecord {
        RenewalRecord {
            at: Held(renewal.at),
            expires_at: Held(renewal.expires_at),
            cancel: renewal.cancel_asked,
        }
    }
}

/// What happens next to a task.
#[derive(Serialize)]
pub struct NextRecord {
    what: Held<Step>,
    at: Held<Time>,
}

impl NextRecord {
    /// The step.
    pub fn of(next: &Next) -> NextRecord {
        NextRecord { what: Held(next.what), at: Held(next.at) }
    }
}

/// What one owner holds.
#[derive(Serialize)]
pub struct HoldingRecord<'a> {
    owner: Of<'a, Owner>,
    leases: u64,
    reservations: u64,
    stale: u64,
    since: Of<'a, Time>,
    until: Of<'a, Time>,
}

impl<'a> HoldingRecord<'a> {
    /// The holding.
    pub fn of(holding: &'a Holding) -> HoldingRecord<'a> {
        HoldingRecord {
            owner: Wired(&holding.owner),
            leases: holding.leases,
            reservations: holding.reservations,
            stale: holding.stale,
            since: Wired(&holding.since),
            until: Wired(&holding.until),
        }
    }
}

/// The overview of a namespace.
#[derive(Serialize)]
pub struct OverviewRecord<'a> {
    at: Of<'a, Time>,
    states: Vec<StateCountRecord<'a>>,
    ends: Vec<EndCountRecord<'a>>,
    told_to_stop: ToldToStopRecord,
    recovery: WatchersRecord<'a>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct EndCountRecord<'a> {
    queue: Of<'a, Queue>,
    state: Held<State>,
    cause: Held<Cause>,
    last_hour: u64,
    last_day: u64,
    all: u64,
}

#[derive(Serialize)]
struct ToldToStopRecord {
    count: u64,
    since: Held<Option<Time>>,
}

/// The recovery processes of a namespace.
#[derive(Serialize)]
pub struct WatchersRecord<'a> {
    seen_at: Of<'a, Option<Time>>,
    recoverers: Vec<RecovererRecord<'a>>,
}

#[derive(Serialize)]
struct RecovererRecord<'a> {
    name: Of<'a, Owner>,
    namespaces: Vec<Of<'a, Namespace>>,
    kinds: Vec<Of<'a, Kind>>,
    seen_at: Of<'a, Time>,
}

impl<'a> WatchersRecord<'a> {
    /// The recovery processes.
    pub fn of(watchers: &'a Watchers) -> WatchersRecord<'a> {
        let recoverer = |one: &'a Recoverer| RecovererRecord {
            name: Wired(&one.name),
            namespaces: one.namespaces.iter().map(Wired).collect(),
            kinds: one.kinds.iter().map(Wired).collect(),
            seen_at: Wired(&one.seen_at),
        };
        let recoverers = watchers.recoverers.iter().map(recoverer).collect();
        WatchersRecord { seen_at: Wired(&watchers.seen_at), recoverers }
    }
}

#[derive(Serialize)]
struct StateCountRecord<'a> {
    state: Held<State>,
    count: u64,
    later: u64,
    stale: u64,
    oldest: Option<OldestRecord<'a>>,
}

#[derive(Serialize)]
struct OldestRecord<'a> {
    task: Of<'a, TaskId>,
    since: Of<'a, Time>,
}

impl<'a> OverviewRecord<'a> {
    /// The overview.
    pub fn of(overview: &'a Overview) -> OverviewRecord<'a> {
        let oldest =
            |Oldest { task, since }: &'a Oldest| OldestRecord { task: Wired(task), since: Wired(since) };
        let count = |count: &'a StateCount| StateCountRecord {
            state: Held(count.state),
            count: count.count,
            later: count.later,
            stale: count.stale,
            oldest: count.oldest.as_ref().map(oldest),
        };
        let end = |end: &'a EndCount| EndCountRecord {
            queue: Wired(&end.queue),
            state: Held(end.state.state()),
            cause: Held(end.cause),
            last_hour: end.last_hour,
            last_day: end.last_day,
            all: end.all,
        };
        let ToldToStop { count: told, since } = overview.told_to_stop;
        OverviewRecord {
            at: Wired(&overview.at),
            states: overview.states.iter().map(count).collect(),
            ends: overview.ends.iter().map(end).collect(),
            told_to_stop: ToldToStopRecord { count: told, since: Held(since) },
            recovery: WatchersRecord::of(&overview.recovery),
            warnings: &overview.warnings,
        }
    }
}

/// The result of a verification.
#[derive(Serialize)]
pub struct ReportRecord<'a> {
    holds: bool,
    tasks: u64,
    events: u64,
    findings: Vec<FindingRecord<'a>>,
}

#[derive(Serialize)]
struct FindingRecord<'a> {
    task: &'a str,
    number: Option<i64>,
    message: String,
}

impl<'a> ReportRecord<'a> {
    /// The report.
    pub fn of(report: &'a Report) -> ReportRecord<'a> {
        let finding = |finding: &'a Finding| FindingRecord {
            task: &finding.task,
            number: finding.number,
            message: finding.to_string(),
        };
        ReportRecord {
            holds: report.holds(),
            tasks: report.tasks,
            events: report.events,
            findings: report.findings.iter().map(finding).collect(),
        }
    }
}

/// An anchor of a store.
#[derive(Serialize)]
pub struct AnchorRecord<'a> {
    cursor: &'a str,
    #[serde(serialize_with = "text")]
    root: tenure_core::chain::Hash,
    lines: Vec<AnchorLineRecord<'a>>,
}

#[derive(Serialize)]
struct AnchorLineRecord<'a> {
    namespace: Of<'a, tenure_core::id::Namespace>,
    id: Of<'a, TaskId>,
    number: Of<'a, tenure_core::id::Revision>,
    #[serde(serialize_with = "text")]
    head: tenure_core::chain::Hash,
}

impl<'a> AnchorRecord<'a> {
    /// The anchor.
    pub fn of(anchor: &'a Anchor) -> AnchorRecord<'a> {
        let line = |line: &'a AnchorLine| AnchorLineRecord {
            namespace: Wired(&line.namespace),
            id: Wired(&line.task),
            number: Wired(&line.number),
            head: line.head,
        };
        AnchorRecord {
            cursor: &anchor.cursor,
            root: anchor.root,
            lines: anchor.lines.iter().map(line).collect(),
        }
    }
}

/// Why a command was not done, or may not have been done, under the kind of error: `refusal`, `unavailable`,
/// `corrupt`, `unknown`.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorRecord<'a> {
    /// The refusal.
    Refusal(RefusalRecord<'a>),
    /// The command was not done; it can be tried again.
    Unavailable {
        /// The message.
        message: &'a str,
    },
    /// The stored data is inconsistent; nothing was done.
    Corrupt {
        /// The message.
        message: &'a str,
    },
    /// It is unknown whether the command was done.
    Unknown {
        /// The message.
        message: &'a str,
    },
}

impl<'a> ErrorRecord<'a> {
    /// The error.
    pub fn of(error: &'a Error) -> ErrorRecord<'a> {
        match error {
            Error::Refused(refusal) => ErrorRecord::Refusal(RefusalRecord::of(refusal)),
            Error::Unavailable(message) => ErrorRecord::Unavailable { message },
            Error::Corrupt(message) => ErrorRecord::Corrupt { message },
            Error::Unknown(message) => ErrorRecord::Unknown { message },
        }
    }
}
