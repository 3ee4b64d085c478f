//! The checks of the work: what is stale, whether recovery comes in time, what is parked, and what is too old.

use std::collections::{BTreeMap, BTreeSet};

use tenure_api::doctor::{CheckName, CheckResult, Verdict};
use tenure_api::instant::{print, print_seconds, rough};
use tenure_core::compensation::{Compensation, Status};
use tenure_core::id::{Kind, Namespace};
use tenure_core::task::{Overrun, State, Task};
use tenure_core::time::{Span, Time};
use tenure_store::overview::{Oldest, StateCount};
use tenure_store::retention::NamedCursor;
use tenure_store::watch::Watchers;

use crate::doctor::facts::{AbsentNamespace, Facts, NamespaceFacts, RecoverySettings, TaskName};
use crate::doctor::outcome::{
    CheckOutcome, RecoveryRun, count, in_namespace, named, pass, recover_command, skipped, unreadable,
};
use crate::doctor::thresholds as at;
use crate::doctor::undo_section::append_section;
use crate::shell::quoted;

const OF_TASKS: [CheckName; 6] = [
    CheckName::Stale,
    CheckName::Leases,
    CheckName::UndoKinds,
    CheckName::Quarantined,
    CheckName::Oldest,
    CheckName::EndedBadly,
];

/// Every check of the work.
pub fn work_checks(facts: &Facts) -> Vec<CheckOutcome> {
    let namespaces = match &facts.namespaces {
        Ok(namespaces) => namespaces.as_slice(),
        Err(error) => {
            let others = OF_TASKS.into_iter().chain([CheckName::Recovery]);
            let others = others.map(|name| skipped(name, "the tasks can't be read"));
            let read = [unreadable(CheckName::Tasks, error, facts), cursors(facts)];
            return read.into_iter().chain(others).collect();
        }
    };
    vec![
        tasks(facts, namespaces),
        stale(facts, namespaces),
        recovery(facts, namespaces),
        leases(facts, namespaces),
        undo_kinds(facts, namespaces),
        quarantined(facts, namespaces),
        oldest(facts, namespaces),
        ended_badly(namespaces),
        cursors(facts),
    ]
}

/// The open tasks that were read.
fn open(namespaces: &[NamespaceFacts]) -> impl Iterator<Item = &Task> {
    namespaces.iter().flat_map(|one| one.in_flight.tasks.iter().chain(&one.planned.tasks))
}

fn in_flight(namespaces: &[NamespaceFacts]) -> impl Iterator<Item = &Task> {
    namespaces.iter().flat_map(|one| &one.in_flight.tasks)
}

/// The counts of one state, each with its namespace.
fn counts(namespaces: &[NamespaceFacts], state: State) -> impl Iterator<Item = (&Namespace, &StateCount)> {
    let of_state = move |one: &'_ StateCount| one.state == state;
    namespaces.iter().flat_map(move |one| {
        one.overview.states.iter().filter(move |count| of_state(count)).map(|count| (&one.namespace, count))
    })
}

/// How many tasks were read, so that nobody takes the rest for looked at.
fn tasks(facts: &Facts, namespaces: &[NamespaceFacts]) -> CheckOutcome {
    let read = open(namespaces).count() as u64;
    let is_cut = namespaces.iter().any(|one| one.in_flight.has_more || one.planned.has_more);
    let within = count(namespaces.len() as u64, "namespace");
    let says = match is_cut {
        false => format!("read {} in {within}", count(read, "open task")),
        true => format!(
            "read the {read} oldest open tasks in {within}: at most {} in flight and {} planned of each",
            at::IN_FLIGHT_READ,
            at::PLANNED_READ
        ),
    };
    let result = match &facts.absent {
        None => pass(CheckName::Tasks, says),
        Some(AbsentNamespace { name, others }) => {
            let others: Vec<String> = others.iter().map(Namespace::to_string).collect();
            let words = format!(
                "there is no namespace {name}: no task is or was in it, so nothing was checked there; the store has {}",
                named(&others)
            );
            CheckResult::new(CheckName::Tasks, Verdict::Warn, words).mended_by("tenure namespace list")
        }
    };
    let result = result.fact("namespaces", namespaces.len() as u64);
    result.fact("read", read).fact("is_all", !is_cut).into()
}

fn lapsed_at(task: &Task) -> Option<Time> {
    let leased = task.lease().map(|lease| lease.expires_at);
    leased.or_else(|| task.reservation().map(|reservation| reservation.expires_at))
}

/// Whether recovery would leave a stale task to its next owner, by its policy: for good, or still.
fn is_left_to_owners(task: &Task, now: Time) -> bool {
    let waits = |lease| task.recover_after().is_some() && task.recoverable_at(lease) > now;
    task.is_held_back() || task.lease().is_some_and(waits)
}

fn stale(facts: &Facts, namespaces: &[NamespaceFacts]) -> CheckOutcome {
    let (name, now) = (CheckName::Stale, facts.now());
    let states = namespaces.iter().flat_map(|one| &one.overview.states);
    let number: u64 = states.map(|one| one.stale).sum();
    let lapsed = in_flight(namespaces).filter(|task| task.is_stale(now));
    let oldest = lapsed.filter_map(|task| Some((lapsed_at(task)?, task))).min_by_key(|(at, _)| *at);
    let is_old = |(at, _): &(Time, &Task)| now.since(*at) > at::STALE_WARN;
    let result = match oldest.filter(is_old) {
        None if number == 0 => pass(name, "no task is stale"),
        None => pass(name, format!("{}, each for less than {}", count(number, "stale task"), at::STALE_WARN)),
        Some((lapsed_at, task)) => {
            let words = format!(
                "{}: the lease or reservation of {} lapsed {} ago",
                count(number, "stale task"),
                TaskName::of(task),
                rough(now.since(lapsed_at))
            );
            let result = CheckResult::new(name, Verdict::Warn, words);
            let result = result.fact("oldest", TaskName::of(task).to_string());
            result.mended_by(if is_left_to_owners(task, now) {
                let rest = format!("task acquire {} --owner \"$(hostname)/$$\"", task.id);
                in_namespace(&task.namespace, &rest)
            } else {
                recover_command(facts, RecoveryRun::Once, task.owes())
            })
        }
    };
    result.fact("count", number).into()
}

fn recovery(facts: &Facts, namespaces: &[NamespaceFacts]) -> CheckOutcome {
    let (name, now) = (CheckName::Recovery, facts.now());
    let late = match &facts.late {
        Ok(late) => late,
        Err(error) => return unreadable(name, error, facts),
    };
    let age = late.oldest.as_ref().map_or(Span::ZERO, |oldest| now.since(oldest.due_at));
    let more = if late.has_more { " or more" } else { "" };
    let is_open = |one: &NamespaceFacts| {
        one.overview.states.iter().any(|count| count.state.terminal().is_none() && count.count > 0)
    };
    let alone = namespaces.iter().find(|one| is_open(one) && !one.overview.recovery.are_there(now));
    let watching = |owes| recover_command(facts, RecoveryRun::Watching, owes);
    let owes = open(namespaces).any(|task| unsettled(task).next().is_some());
    let seen_at = namespaces.iter().filter_map(|one| one.overview.recovery.seen_at).max();
    let result = match (&late.oldest, alone) {
        (Some(oldest), _) if age > at::LATE_WARN => {
            let verdict = if age > at::LATE_FAIL { Verdict::Fail } else { Verdict::Warn };
            let words = format!(
                "recovery is late: {}{more} wait for it, {} for {}; `tenure --namespace {} task why {}` says why",
                count(late.count, "task"),
                oldest.task,
                rough(age),
                oldest.task.namespace,
                oldest.task.id
            );
            let command = recover_command(facts, RecoveryRun::Once, oldest.owes);
            CheckResult::new(name, verdict, words).mended_by(command)
        }
        (_, Some(alone)) => {
            let since = match alone.overview.recovery.seen_at {
                Some(seen_at) => format!(" since {}", print_seconds(seen_at)),
                None => String::new(),
            };
            let words = format!(
                "no recovery has been running for the open tasks of the namespace {}{since}; a single `tenure recover` \
                 leaves no mark",
                alone.namespace
            );
            CheckResult::new(name, Verdict::Warn, words).mended_by(watching(owes))
        }
        (_, None) => match seen_at {
            Some(_) => pass(name, "recovery runs, and no task waits for it"),
            None => pass(name, "no task is open, so there is nothing to recover"),
        },
    };
    result
        .fact("late", late.count)
        .fact("late_for_s", seconds(age))
        .fact("seen_at", seen_at.map(print))
        .into()
}

fn seconds(span: Span) -> u64 {
    span.as_micros() / 1_000_000
}

/// Why heartbeats no longer move the end of a lease, if that is so.
fn unmoved(task: &Task, now: Time) -> Option<String> {
    let lease = task.lease().filter(|lease| !lease.has_lapsed(now))?;
    // One that was told to stop is told so with each heartbeat.
    let has_beaten = lease.heartbeat_at > lease.acquired_at && task.cancel.is_none();
    if !has_beaten {
        return None;
    }
    let left = lease.expires_at.since(lease.heartbeat_at);
    // A holder renews at a third of its lease, so by half of it something keeps the end where it is.
    let is_overdue = now.since(lease.heartbeat_at).times(2) >= left;
    let ends = print_seconds(lease.expires_at);
    match task.overrun() {
        Some(Overrun::Stalled) if is_overdue && lease.heartbeat_at > lease.progressed_at => {
            let since = rough(now.since(lease.progressed_at));
            Some(format!("no progress for {since}, and its stall_after ends it at {ends}"))
        }
        Some(Overrun::OutOfTime) if is_overdue => Some(format!("its time_limit ends it at {ends}")),
        Some(Overrun::Stalled | Overrun::OutOfTime | Overrun::Cancelled) => None,
        // No heartbeat may ask for less than a second.
        None => (left < Span::from_secs(1)).then(|| {
            format!("its newest heartbeat left its end at {ends}, which only another program can do")
        }),
    }
}

fn leases(facts: &Facts, namespaces: &[NamespaceFacts]) -> CheckOutcome {
    let (name, now) = (CheckName::Leases, facts.now());
    let held = in_flight(namespaces).filter(|task| task.lease().is_some_and(|lease| !lease.has_lapsed(now)));
    let held = held.count() as u64;
    let unmoved = in_flight(namespaces).filter_map(|task| Some((task, unmoved(task, now)?)));
    let unmoved: Vec<(&Task, String)> = unmoved.collect();
    let ids: Vec<String> = unmoved.iter().map(|(task, _)| TaskName::of(task).to_string()).collect();
    let result = match unmoved.first() {
        None => pass(name, format!("the heartbeats of {} move their ends", count(held, "lease"))),
        Some((first, _)) => {
            let told: Vec<String> =
                unmoved.iter().map(|(task, why)| format!("{}: {why}", TaskName::of(task))).collect();
            let words = format!(
                "{} that beat without moving: {}; the worker must report progress or stop",
                count(unmoved.len() as u64, "lease"),
                named(&told)
            );
            let rest = format!("task cancel {} --reason 'it beats without progress'", first.id);
            CheckResult::new(name, Verdict::Warn, words).mended_by(in_namespace(&first.namespace, &rest))
        }
    };
    result.fact("held", held).fact("unmoved", ids).into()
}

/// The compensations that the task owes, or will owe with its next attempt.
fn unsettled(task: &Task) -> impl Iterator<Item = &Compensation> {
    let open = |one: &&Compensation| matches!(one.status, Status::Owed | Status::Standing);
    task.compensations.iter().filter(open)
}

fn is_handled(kind: &Kind, watchers: &Watchers, facts: &Facts) -> bool {
    let named = match &facts.recovery {
        RecoverySettings::Unknown => false,
        RecoverySettings::Named { kinds, .. } => kinds.contains(kind),
    };
    named || watchers.handler_of(kind).is_some()
}

/// A kind of undo that nobody handles.
struct UnhandledKind<'f> {
    /// The first task that has it.
    task: TaskName,
    /// Whether something of it is owed.
    is_owed: bool,
    /// What is undone.
    targets: BTreeSet<&'f str>,
}

fn undo_kinds(facts: &Facts, namespaces: &[NamespaceFacts]) -> CheckOutcome {
    let (name, now) = (CheckName::UndoKinds, facts.now());
    let runs = namespaces.iter().any(|one| one.overview.recovery.are_there(now));
    let (mut unhandled, mut kinds) = (BTreeMap::<&str, UnhandledKind<'_>>::new(), BTreeSet::new());
    for one in namespaces {
        for task in one.in_flight.tasks.iter().chain(&one.planned.tasks) {
            for open in unsettled(task) {
                let kind = &open.undo.kind;
                kinds.insert(kind.as_str());
                if !is_handled(kind, &one.overview.recovery, facts) {
                    let first = || UnhandledKind {
                        task: TaskName::of(task),
                        is_owed: false,
                        targets: BTreeSet::new(),
                    };
                    let found = unhandled.entry(kind.as_str()).or_insert_with(first);
                    found.is_owed |= open.status == Status::Owed;
                    found.targets.insert(open.undo.target.as_str());
                }
            }
        }
    }
    if kinds.is_empty() {
        return pass(name, "no open task has anything to undo").into();
    }
    if !runs && facts.recovery == RecoverySettings::Unknown {
        let kinds: Vec<String> = kinds.into_iter().map(str::to_owned).collect();
        let reason = format!(
            "no recovery runs that says what it handles; open tasks have {}: name the settings file with --config",
            named(&kinds)
        );
        return skipped(name, reason);
    }
    let result = match unhandled.iter().next() {
        None => {
            pass(name, format!("{} of open tasks, and each is handled", count(kinds.len() as u64, "kind")))
        }
        Some((kind, first)) => {
            let told: Vec<String> =
                unhandled.iter().map(|(kind, found)| format!("{kind} (of {})", found.task)).collect();
            let is_owed = unhandled.values().any(|found| found.is_owed);
            let verdict = if is_owed { Verdict::Fail } else { Verdict::Warn };
            let (next, command) = match &facts.recovery {
                RecoverySettings::Named { file, .. } => (
                    "the command adds a section to the settings file; put your own program into it, and look at the targets that it \
                     allows, before you restart recovery",
                    append_section(kind, first.targets.iter().copied(), file),
                ),
                RecoverySettings::Unknown => (
                    "name the settings file of recovery with --config: then the next command adds a section to it",
                    "tenure --config tenure.toml doctor".to_owned(),
                ),
            };
            let words = format!("nobody handles {}: recovery would park these tasks; {next}", named(&told));
            CheckResult::new(name, verdict, words).mended_by(command)
        }
    };
    let names: Vec<&str> = unhandled.keys().copied().collect();
    result.fact("kinds", kinds.len() as u64).fact("unhandled", names).into()
}

fn quarantined(facts: &Facts, namespaces: &[NamespaceFacts]) -> CheckOutcome {
    let (name, now) = (CheckName::Quarantined, facts.now());
    let number: u64 = counts(namespaces, State::Quarantined).map(|(_, one)| one.count).sum();
    let result = match oldest_of(namespaces, State::Quarantined) {
        None => pass(name, "no task is parked for a person"),
        Some((namespace, oldest)) => {
            let age = now.since(oldest.since);
            let verdict = if age > at::QUARANTINED_FAIL { Verdict::Fail } else { Verdict::Warn };
            let (verb, id) = (if number == 1 { "is" } else { "are" }, &oldest.task);
            let words = format!(
                "{} {verb} parked for a person, {namespace}/{id} for {}; `tenure --namespace {namespace} task why {id}` says \
                 why. When the cause is gone, retry it",
                count(number, "task"),
                rough(age)
            );
            let rest = format!("task retry {id} --reason 'the cause is gone'");
            CheckResult::new(name, verdict, words)
                .mended_by(in_namespace(namespace, &rest))
                .fact("oldest", format!("{namespace}/{id}"))
                .fact("oldest_for_s", seconds(age))
        }
    };
    result.fact("count", number).into()
}

/// The oldest task of a state in all namespaces.
fn oldest_of(namespaces: &[NamespaceFacts], state: State) -> Option<(&Namespace, &Oldest)> {
    let oldest =
        counts(namespaces, state).filter_map(|(namespace, one)| Some((namespace, one.oldest.as_ref()?)));
    oldest.min_by_key(|(_, oldest)| oldest.since)
}

/// How old the oldest task of each state may be.
const OLDEST: [(State, Span); 4] = [
    (State::Planned, at::PLANNED_WARN),
    (State::Dispatched, at::DISPATCHED_WARN),
    (State::Running, at::RUNNING_WARN),
    (State::Compensating, at::COMPENSATING_WARN),
];

fn oldest(facts: &Facts, namespaces: &[NamespaceFacts]) -> CheckOutcome {
    let (name, now) = (CheckName::Oldest, facts.now());
    let ages = OLDEST.iter().filter_map(|(state, age_max)| {
        let (namespace, oldest) = oldest_of(namespaces, *state)?;
        Some((*state, *age_max, namespace, oldest, now.since(oldest.since)))
    });
    let ages: Vec<_> = ages.collect();
    let too_old: Vec<_> = ages.iter().filter(|(_, age_max, _, _, age)| age > age_max).collect();
    let result = match too_old.first() {
        None => pass(name, "no open task is older than its state should be"),
        Some((_, _, namespace, first, _)) => {
            let told: Vec<String> = too_old
                .iter()
                .map(|(state, age_max, namespace, oldest, age)| {
                    let (state, age) = (state.as_str(), rough(*age));
                    format!("{namespace}/{} is {state} for {age} (more than {age_max})", oldest.task)
                })
                .collect();
            let rest = format!("task why {}", first.task);
            CheckResult::new(name, Verdict::Warn, told.join(", ")).mended_by(in_namespace(namespace, &rest))
        }
    };
    let age =
        |(state, _, _, _, age): &(State, _, _, _, Span)| (state.as_str().to_owned(), seconds(*age).into());
    result.fact("oldest_for_s", ages.iter().map(age).collect::<serde_json::Map<_, _>>()).into()
}

fn ended_badly(namespaces: &[NamespaceFacts]) -> CheckOutcome {
    let name = CheckName::EndedBadly;
    let mut causes = BTreeMap::<&str, u64>::new();
    for end in namespaces.iter().flat_map(|one| one.overview.did_not_succeed()).filter(|end| end.last_day > 0)
    {
        *causes.entry(end.cause.as_str()).or_default() += end.last_day;
    }
    let last_day: u64 = causes.values().sum();
    let by_cause: Vec<String> = causes.iter().map(|(cause, number)| format!("{cause} {number}")).collect();
    let minutes = || namespaces.iter().flat_map(|one| &one.overview.minutes);
    let bad: u64 = minutes().map(|one| one.ended_badly).sum();
    let all = bad + minutes().map(|one| one.completed).sum::<u64>();
    let unseen: Vec<&Task> = namespaces.iter().flat_map(|one| &one.ended_badly.tasks).collect();
    let more = if namespaces.iter().any(|one| one.ended_badly.has_more) { " or more" } else { "" };
    let most_fail = bad >= at::ENDS_FAIL && bad * 2 >= all;
    let bad_in = |one: &NamespaceFacts| one.overview.minutes.iter().map(|one| one.ended_badly).sum::<u64>();
    let worst = namespaces.iter().max_by_key(|one| bad_in(one)).map(|one| &one.namespace);
    let list = |namespace| in_namespace(namespace, "task list --ended-badly --since 24h");
    let result = match unseen.first() {
        None if !most_fail => pass(name, "each task that did not succeed in the last 24 hours was seen to"),
        None => {
            let words = format!("{bad} of the {all} tasks that ended in the last hour did not succeed");
            let result = CheckResult::new(name, Verdict::Fail, words);
            match worst {
                Some(worst) => result.mended_by(format!("{} --all", list(worst))),
                None => result,
            }
        }
        Some(first) => {
            let verdict = if most_fail { Verdict::Fail } else { Verdict::Warn };
            let words = format!(
                "{}{more} did not succeed in the last 24 hours, and nobody has seen to it ({}), {bad} of {all} in the last hour; \
                 `{}` names them. Retry each, or dismiss it",
                count(unseen.len() as u64, "task"),
                by_cause.join(", "),
                list(&first.namespace)
            );
            let rest = format!("task note {} --dismiss 'seen'", first.id);
            CheckResult::new(name, verdict, words).mended_by(in_namespace(&first.namespace, &rest))
        }
    };
    result.fact("unseen", unseen.len() as u64).fact("last_day", last_day).fact("last_hour", bad).into()
}

/// Named cursors of followers that are gone: nothing behind them is pruned any more.
fn cursors(facts: &Facts) -> CheckOutcome {
    let (name, now) = (CheckName::Cursors, facts.now());
    let cursors = match &facts.cursors {
        Ok(cursors) => cursors,
        Err(error) => return unreadable(name, error, facts),
    };
    // A follower of a quiet namespace has nothing to move to, and one that was just started has old events before it.
    let is_left = |one: &&NamedCursor| {
        now.since(one.moved_at) > at::CURSOR_WARN && one.lag.is_some_and(|lag| lag > at::CURSOR_WARN)
    };
    let mut left: Vec<&NamedCursor> = cursors.iter().filter(is_left).collect();
    left.sort_by_key(|one| one.moved_at);
    let names = |one: &&NamedCursor| format!("{} of {}", one.name, one.namespace);
    let names: Vec<String> = left.iter().map(names).collect();
    let result = match left.first() {
        None if cursors.is_empty() => pass(name, "there are no named cursors"),
        None => {
            pass(name, format!("{}, and none was left behind", count(cursors.len() as u64, "named cursor")))
        }
        Some(first) => {
            let more = if first.more { " or more" } else { "" };
            let words = format!(
                "nobody moves {} any more ({}): {} moved {} last, {} ago, and {}{more} come after it. Nothing that it has not passed is \
                 ever pruned. Start its follower again; if there is none any more, forget the cursor",
                count(left.len() as u64, "named cursor"),
                named(&names),
                first.moved_by,
                first.name,
                rough(now.since(first.moved_at)),
                count(first.behind, "event")
            );
            let rest = format!("events --cursor-name {} --forget", quoted(first.name.as_str()));
            CheckResult::new(name, Verdict::Warn, words).mended_by(in_namespace(&first.namespace, &rest))
        }
    };
    result.fact("cursors", cursors.len() as u64).fact("left", names).into()
}
