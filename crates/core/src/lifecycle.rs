//! The table: what each command does in each state. A behaviour that can't be pointed to here does not exist.
//!
//! A row answers a command in a state if its guard holds. Exactly one row answers each combination; the order of the
//! rows does not matter. The last column says how a task comes to be there. In a row that refuses, it is the message
//! for the caller. `docs/lifecycle.md` is generated from the table.
//!
//! This file is longer than others because the table is one thing and is read as one.

mod guard;
mod outcome;

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::case::Case;
use crate::event::EventData;
use crate::refusal::Code;
use crate::task::{State, Task};
use crate::verb::{GivenBy, Verb};

/// Where a command finds its task: in a state, or absent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Place {
    /// There is no such task.
    Absent,
    /// It is in that state.
    In(State),
}

impl Place {
    /// Every place.
    #[rustfmt::skip]
    pub const ALL: [Place; 9] = [
        ABSENT[0], PLANNED[0], DISPATCHED[0], RUNNING[0], COMPENSATING[0],
        COMPLETED[0], FAILED[0], COMPENSATED[0], QUARANTINED[0],
    ];

    /// Where the task is.
    pub fn of(task: Option<&Task>) -> Place {
        task.map_or(Place::Absent, |task| Place::In(task.state()))
    }

    /// The place as documents write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Place::Absent => "absent",
            Place::In(state) => state.as_str(),
        }
    }
}

/// A named plain question about task, command and time.
#[derive(Clone, Copy)]
pub struct Guard {
    /// The function's name.
    pub name: &'static str,
    /// The function.
    pub holds: fn(&Case) -> bool,
}

type Steps = fn(&Case) -> Option<Vec<EventData>>;

/// What a row does. The events come from a named plain function, too.
#[derive(Clone, Copy)]
pub enum Outcome {
    /// Refuses with this code.
    Refuse(Code),
    /// These events; the task may then be in these places.
    Do(Steps, &'static [Place]),
    /// These events, and then the end of compensating.
    DoThenEnd(Steps, &'static [Place]),
    /// These events, and a second task with its first event.
    Spawn(Steps, fn(&Case) -> Option<EventData>, &'static [Place]),
}

impl Outcome {
    /// Where the task may be afterwards; nowhere else.
    pub fn leads_to(&self) -> &'static [Place] {
        match self {
            Outcome::Refuse(_) => &[],
            Outcome::Do(_, to) | Outcome::DoThenEnd(_, to) | Outcome::Spawn(_, _, to) => to,
        }
    }
}

/// The verbs that a row is about.
#[derive(Clone, Copy)]
pub enum Verbs {
    /// These.
    Only(&'static [Verb]),
    /// All but these.
    AllBut(&'static [Verb]),
    /// All that are given by those, but for some.
    GivenByBut(GivenBy, &'static [Verb]),
}

impl Verbs {
    /// Whether that verb is one of them.
    pub fn contains(self, verb: Verb) -> bool {
        match self {
            Verbs::Only(these) => these.contains(&verb),
            Verbs::AllBut(others) => !others.contains(&verb),
            Verbs::GivenByBut(given_by, others) => verb.given_by() == given_by && !others.contains(&verb),
        }
    }

    /// Each of them, in the order of the verbs.
    pub fn iter(self) -> impl Iterator<Item = Verb> {
        Verb::ALL.iter().copied().filter(move |verb| self.contains(*verb))
    }
}

/// One line of the table.
#[derive(Clone, Copy)]
pub struct Row {
    /// Its name.
    pub label: &'static str,
    /// Where the task is.
    pub places: &'static [Place],
    /// What is asked for.
    pub verbs: Verbs,
    /// When it answers.
    pub guard: Guard,
    /// What it does.
    pub outcome: Outcome,
    /// How a task comes to be there, or the message of the refusal.
    pub reason: &'static str,
}

/// One line of the end of compensating, for a task that owes nothing any more.
#[derive(Clone, Copy)]
pub struct End {
    /// Its name.
    pub label: &'static str,
    /// When it answers.
    pub guard: Guard,
    /// The events that follow.
    pub steps: Steps,
    /// Where the task is afterwards.
    pub to: Place,
    /// How a task comes to be there.
    pub reason: &'static str,
}

const fn row(
    label: &'static str,
    places: &'static [Place],
    verbs: Verbs,
    guard: Guard,
    outcome: Outcome,
    reason: &'static str,
) -> Row {
    Row { label, places, verbs, guard, outcome, reason }
}

const fn end(label: &'static str, guard: Guard, steps: Steps, to: Place, reason: &'static str) -> End {
    End { label, guard, steps, to, reason }
}

/// A guard with its function's name, so that documents and tests use the same name.
macro_rules! when {
    ($name:ident) => {
        Guard { name: stringify!($name), holds: guard::$name }
    };
}

const ABSENT: &[Place] = &[Place::Absent];
const PLANNED: &[Place] = &[Place::In(State::Planned)];
const DISPATCHED: &[Place] = &[Place::In(State::Dispatched)];
const RUNNING: &[Place] = &[Place::In(State::Running)];
const COMPENSATING: &[Place] = &[Place::In(State::Compensating)];
const COMPLETED: &[Place] = &[Place::In(State::Completed)];
const FAILED: &[Place] = &[Place::In(State::Failed)];
const COMPENSATED: &[Place] = &[Place::In(State::Compensated)];
const QUARANTINED: &[Place] = &[Place::In(State::Quarantined)];
const UNHELD: &[Place] = &[PLANNED[0], DISPATCHED[0]];
const HELD: &[Place] = &[RUNNING[0], COMPENSATING[0]];
/// Where a put finds a task that nobody holds, if it finds it unheld.
const MAYBE_UNHELD: &[Place] = &[PLANNED[0], COMPENSATING[0]];
const NOT_COMPENSATING: &[Place] = &[PLANNED[0], DISPATCHED[0], RUNNING[0]];
const OPEN: &[Place] = &[PLANNED[0], DISPATCHED[0], RUNNING[0], COMPENSATING[0]];
const ENDED_BADLY: &[Place] = &[FAILED[0], COMPENSATED[0], QUARANTINED[0]];
const OVER: &[Place] = &[COMPLETED[0], FAILED[0], COMPENSATED[0], QUARANTINED[0]];
#[rustfmt::skip]
const EVERYWHERE: &[Place] = &[
    PLANNED[0], DISPATCHED[0], RUNNING[0], COMPENSATING[0], COMPLETED[0], FAILED[0], COMPENSATED[0], QUARANTINED[0],
];
/// Where a record begins that moves in while it is worked on.
const HELD_ELSEWHERE: &[Place] = &[DISPATCHED[0], RUNNING[0]];
/// Where the end of compensating may lead.
const AFTER_UNDO: &[Place] = &[PLANNED[0], COMPENSATED[0], QUARANTINED[0]];

use Outcome::{Do, DoThenEnd, Refuse, Spawn};
use Verb::{
    Acquire, Adopt, Annotate, Cancel, Claim, Complete, Create, Dispatch, Fail, Heartbeat, Label,
    LabelByOperator, MarkCompensated, MarkCompleted, MarkFailed, MarkQuarantined, Progress, Put, Quarantine,
    Reclaim, Register, RegisterBeforeLease, Release, Retry, RollBack, Settle, SettleByHand, Try, Waive,
};
use Verbs::Only;

/// Commands of a holder that ask for more than the epoch: the lease must be active. The others may be given after its lapse,
/// until somebody took over.
const WHILE_ACTIVE: &[Verb] = &[Heartbeat, Progress, Register, Label];
const AFTER_LAPSE_TOO: Verbs = Verbs::GivenByBut(GivenBy::Holder, WHILE_ACTIVE);
const BY_HOLDER: Verbs = Verbs::GivenByBut(GivenBy::Holder, &[]);
const ABOUT_A_TASK_THAT_IS: Verbs = Verbs::AllBut(&[Create, Put]);
const CHANGES_AN_OPEN_TASK: Verbs = Verbs::AllBut(&[Create, Put, Annotate, Retry]);

#[rustfmt::skip]
static ROWS: &[Row] = &[
    // ---- nothing there, or nothing left to change -----------------------------------------------------------
    row("absent", ABSENT, ABOUT_A_TASK_THAT_IS, when!(always), Refuse(Code::NotFound), "there is no task with that id in this namespace"),
    row("over", OVER, CHANGES_AN_OPEN_TASK, when!(always), Refuse(Code::Terminal), "the task has ended and can't be changed; `retry` makes a new task from one that ended badly"),

    // ---- create -----------------------------------------------------------------------------------------------
    row("create", ABSENT, Only(&[Create]), when!(name_is_free), Do(outcome::create, PLANNED), "new work is registered"),
    row("create/taken", ABSENT, Only(&[Create]), when!(name_is_taken), Refuse(Code::Exists), "the id or saga id is already used; ids of pruned tasks stay reserved"),
    row("create/exists", EVERYWHERE, Only(&[Create]), when!(always), Refuse(Code::Exists), "a task with that id already exists; it was not changed"),

    // ---- put ----------------------------------------------------------------------------------------------------
    row("put/new", ABSENT, Only(&[Put]), when!(puts_new_planned), Do(outcome::put_new, PLANNED), "an imported record that is still planned"),
    row("put/new_ended", ABSENT, Only(&[Put]), when!(puts_new_ended), Do(outcome::put_new, OVER), "an imported record that has ended"),
    row("put/new_contradicts", ABSENT, Only(&[Put]), when!(puts_a_new_contradiction), Refuse(Code::Invalid), "the record contradicts itself"),
    row("put/not_found", ABSENT, Only(&[Put]), when!(puts_a_revision_of_nothing), Refuse(Code::NotFound), "there is no task with that id to change; leave out the revision to create it"),
    row("put/new_taken", ABSENT, Only(&[Put]), when!(puts_new_under_a_taken_name), Refuse(Code::Exists), "the id or saga id is already used; ids of pruned tasks stay reserved"),
    row("put/new_in_flight", ABSENT, Only(&[Put]), when!(puts_new_in_flight), Do(outcome::put_in_flight, HELD_ELSEWHERE), "a record moves in while it is worked on elsewhere"),
    row("put/new_held", ABSENT, Only(&[Put]), when!(puts_new_in_a_held_state), Refuse(Code::WrongState), "a new record must be planned or terminal, or running or dispatched with its holder; use acquire to get a lease"),
    row("put/new_failed_bare", ABSENT, Only(&[Put]), when!(puts_new_failed_without_a_record), Refuse(Code::CompensationRequired), "a failed task needs at least one compensation, if only of kind none"),
    row("put/exists", EVERYWHERE, Only(&[Put]), when!(puts_without_a_revision), Refuse(Code::Exists), "the task already exists; to change it, give the revision that you read"),
    row("put/contradicts", EVERYWHERE, Only(&[Put]), when!(puts_what_can_not_be), Refuse(Code::Invalid), "the record contradicts itself, or changes a fixed field"),
    row("put/words", OVER, Only(&[Put]), when!(puts_new_words), Do(outcome::put_words, OVER), "the reason for the end is corrected"),
    row("put/words_unread", OVER, Only(&[Put]), when!(puts_new_words_over_unread_ones), Refuse(Code::StaleWrite), "the record has changed since you read it; read it again"),
    row("put/over", OVER, Only(&[Put]), when!(puts_on_an_ended_task), Refuse(Code::Terminal), "the task has ended; a put can only correct the reason for its end"),
    row("put/reserved", DISPATCHED, Only(&[Put]), when!(puts_over_a_holder), Refuse(Code::Reserved), "the task is reserved, and a put can't change that"),
    row("put/leased", RUNNING, Only(&[Put]), when!(puts_over_a_holder), Refuse(Code::Leased), "the task is leased, and a put can't change that"),
    row("put/undo_leased", COMPENSATING, Only(&[Put]), when!(puts_over_a_lease), Refuse(Code::Leased), "the task's undo is leased, and a put can't change that"),
    row("put/unread", MAYBE_UNHELD, Only(&[Put]), when!(puts_over_an_unread_change), Refuse(Code::StaleWrite), "the record has changed since you read it; read it again"),
    row("put/planned", PLANNED, Only(&[Put]), when!(puts_fields_and_compensations), Do(outcome::put_difference, PLANNED), "a waiting task is corrected"),
    row("put/ends", PLANNED, Only(&[Put]), when!(puts_an_end), Do(outcome::put_difference, OVER), "a waiting task is closed"),
    row("put/held", PLANNED, Only(&[Put]), when!(puts_into_a_held_state), Refuse(Code::WrongState), "a put can't lease, reserve or undo a task"),
    row("put/failed_bare", PLANNED, Only(&[Put]), when!(puts_failed_without_a_record), Refuse(Code::CompensationRequired), "a failed task needs at least one compensation, if only of kind none"),
    row("put/compensated_owing", PLANNED, Only(&[Put]), when!(puts_compensated_although_owed), Refuse(Code::CompensationOwed), "the task owes compensations; waive them first"),
    row("put/undo", COMPENSATING, Only(&[Put]), when!(puts_fields), Do(outcome::put_difference, COMPENSATING), "a task that waits for its undo is corrected"),
    row("put/undo_state", COMPENSATING, Only(&[Put]), when!(puts_a_state_or_compensation), Refuse(Code::WrongState), "while a task is being undone, a put can't change its state or its compensations"),

    // ---- dispatch: a reservation ------------------------------------------------------------------------------
    row("dispatch", PLANNED, Only(&[Dispatch]), when!(always), Do(outcome::dispatch, DISPATCHED), "a dispatcher has chosen an owner for it"),
    row("dispatch/again", DISPATCHED, Only(&[Dispatch]), when!(reservation_has_lapsed), Do(outcome::dispatch, DISPATCHED), "the owner it was reserved for did not acquire it"),
    row("dispatch/reserved", DISPATCHED, Only(&[Dispatch]), when!(reservation_is_active), Refuse(Code::Reserved), "the task is reserved until its reservation lapses"),
    row("dispatch/leased", RUNNING, Only(&[Dispatch]), when!(lease_is_active), Refuse(Code::Leased), "the task is already leased"),
    row("dispatch/lapsed", RUNNING, Only(&[Dispatch]), when!(lease_has_lapsed), Refuse(Code::WrongState), "its lease has lapsed: run recovery, or acquire it to take it over"),
    row("dispatch/undo", COMPENSATING, Only(&[Dispatch]), when!(always), Refuse(Code::WrongState), "the task is being undone"),

    // ---- acquire: one wins ------------------------------------------------------------------------------------
    row("acquire", PLANNED, Only(&[Acquire]), when!(is_due), Do(outcome::acquire, RUNNING), "an owner begins it"),
    row("acquire/not_due", PLANNED, Only(&[Acquire]), when!(is_not_due), Refuse(Code::NotDue), "the task is not due yet"),
    row("acquire/reserved", DISPATCHED, Only(&[Acquire]), when!(reserved_for_this_owner_or_lapsed), Do(outcome::acquire, RUNNING), "the owner it was reserved for begins, or any owner after the reservation has lapsed"),
    row("acquire/for_another", DISPATCHED, Only(&[Acquire]), when!(reserved_for_another), Refuse(Code::Reserved), "the task is reserved for another owner"),
    row("acquire/leased", RUNNING, Only(&[Acquire]), when!(lease_is_active), Refuse(Code::Leased), "the task is already leased"),
    row("acquire/lock_delay", RUNNING, Only(&[Acquire]), when!(lapsed_within_lock_delay), Refuse(Code::NotDue), "its lease has lapsed, but its lock delay is not over yet"),
    row("acquire/takeover", RUNNING, Only(&[Acquire]), when!(takeover_is_allowed), Do(outcome::acquire, RUNNING), "the holder's lease has lapsed, and nothing must be undone before the next owner continues"),
    row("acquire/owed", RUNNING, Only(&[Acquire]), when!(takeover_owes_undo), Refuse(Code::CompensationOwed), "the lapsed holder owes compensations: recover the task first"),
    row("acquire/not_yours", RUNNING, Only(&[Acquire]), when!(takeover_is_not_for_workers), Refuse(Code::WrongState), "its lease has lapsed, and it must be cancelled or parked: run recovery"),
    row("acquire/undo", COMPENSATING, Only(&[Acquire]), when!(always), Refuse(Code::WrongState), "the task is being undone"),

    // ---- claim: the next due ones of a queue --------------------------------------------------------------------
    row("claim", PLANNED, Only(&[Claim]), when!(is_due), Do(outcome::acquire, RUNNING), "a worker takes the next task"),
    row("claim/not_due", PLANNED, Only(&[Claim]), when!(is_not_due), Refuse(Code::NotDue), "the task is not due yet"),
    row("claim/reservation_lapsed", DISPATCHED, Only(&[Claim]), when!(reservation_has_lapsed), Do(outcome::acquire, RUNNING), "the owner it was reserved for did not acquire it"),
    row("claim/reserved", DISPATCHED, Only(&[Claim]), when!(reservation_is_active), Refuse(Code::Reserved), "the task is reserved until its reservation lapses"),
    row("claim/leased", RUNNING, Only(&[Claim]), when!(lease_is_active), Refuse(Code::Leased), "the task is already leased"),
    row("claim/no_takeover", RUNNING, Only(&[Claim]), when!(lease_has_lapsed), Refuse(Code::WrongState), "a claim never takes over a lapsed lease; acquire the task by its id"),
    row("claim/undo", COMPENSATING, Only(&[Claim]), when!(always), Refuse(Code::WrongState), "the task is being undone"),

    // ---- the fence: whose lease is it -----------------------------------------------------------------------------
    row("fence/unheld", UNHELD, Verbs::GivenByBut(GivenBy::Holder, &[Register]), when!(always), Refuse(Code::NoLease), "nobody holds a lease on the task; a reservation is not a lease"),
    row("fence/unheld_register", UNHELD, Only(&[Register]), when!(always), Refuse(Code::NoLease), "nobody holds a lease on the task; to register a compensation before the first lease, leave out owner and epoch"),
    row("fence/undo_unheld", COMPENSATING, BY_HOLDER, when!(nobody_holds), Refuse(Code::NoLease), "nobody holds a lease on the task: its undo waits for recovery"),
    row("fence/stale_epoch", HELD, BY_HOLDER, when!(epoch_is_not_the_leases), Refuse(Code::StaleEpoch), "the epoch is not the current one: a newer lease was granted"),
    row("fence/wrong_owner", HELD, BY_HOLDER, when!(owner_is_not_the_leases), Refuse(Code::WrongOwner), "the lease belongs to another owner"),
    row("fence/lapsed", HELD, Only(WHILE_ACTIVE), when!(proves_lapsed), Refuse(Code::LeaseLapsed), "the lease has lapsed; until the task is taken over, its holder can still end, release, adopt or settle"),
    row("fence/another_names", HELD, AFTER_LAPSE_TOO, when!(proves_another_names), Refuse(Code::Forbidden), "the lease was granted to another actor than the one of this command"),
    row("fence/another_names_active", HELD, Only(WHILE_ACTIVE), when!(proves_another_names_active), Refuse(Code::Forbidden), "the lease was granted to another actor than the one of this command"),

    // ---- heartbeat, progress --------------------------------------------------------------------------------------
    row("heartbeat", RUNNING, Only(&[Heartbeat]), when!(holds_and_extends), Do(outcome::heartbeat, RUNNING), "the holder is alive"),
    row("heartbeat/undo", COMPENSATING, Only(&[Heartbeat]), when!(holds_and_extends), Do(outcome::heartbeat, COMPENSATING), "the holder that undoes it is alive"),
    row("heartbeat/not_extending", HELD, Only(&[Heartbeat]), when!(holds_but_ttl_does_not_extend), Refuse(Code::NotExtending), "the heartbeat would not extend the lease; ask for a longer ttl"),
    row("heartbeat/stalled", RUNNING, Only(&[Heartbeat]), when!(holds_but_is_stalled), Refuse(Code::Stalled), "there was no progress within the policy's stall_after; the lease is not extended any further"),
    row("heartbeat/out_of_time", RUNNING, Only(&[Heartbeat]), when!(holds_but_is_out_of_time), Refuse(Code::OutOfTime), "the attempt has reached the policy's time_limit; the lease is not extended any further"),
    row("heartbeat/cancelled", RUNNING, Only(&[Heartbeat]), when!(holds_but_was_told_to_stop), Refuse(Code::Cancelled), "the task was cancelled, and the policy's cancel_grace is over; the lease is not extended any further"),
    row("progress", RUNNING, Only(&[Progress]), when!(holds_active), Do(outcome::progress, RUNNING), "the holder made progress"),
    row("undo/not_running", COMPENSATING, Only(&[Progress]), when!(holds_active), Refuse(Code::WrongState), "the task is being undone"),

    row("label", HELD, Only(&[Label]), when!(holds_active_and_labels_fit), Do(outcome::label, HELD), "the holder says by what people find the task"),
    row("label/full", HELD, Only(&[Label]), when!(holds_active_and_labels_do_not_fit), Refuse(Code::Invalid), "the task would have more labels than it can"),
    row("label/by_operator", OPEN, Only(&[LabelByOperator]), when!(labels_fit), Do(outcome::label, OPEN), "a person says by what others find the task"),
    row("label/by_operator_full", OPEN, Only(&[LabelByOperator]), when!(labels_do_not_fit), Refuse(Code::Invalid), "the task would have more labels than it can"),

    // ---- release ----------------------------------------------------------------------------------------------------
    row("release/hold", RUNNING, Only(&[Release]), when!(releases_to_a_successor), Do(outcome::release_to_successor, PLANNED), "under hold, the holder releases the task, and the next owner inherits what is owed"),
    row("release/undo", RUNNING, Only(&[Release]), when!(releases_to_undo), Do(outcome::release, COMPENSATING), "the holder releases the task, and what it owes is undone first"),
    row("release", RUNNING, Only(&[Release]), when!(releases_owing_nothing), DoThenEnd(outcome::release, AFTER_UNDO), "the holder releases the task, and nothing is owed"),
    row("release/undo_handed_back", COMPENSATING, Only(&[Release]), when!(holds), Do(outcome::hand_undo_back, COMPENSATING), "the holder that undoes it must stop"),

    // ---- compensations ----------------------------------------------------------------------------------------------
    row("register/standing", UNHELD, Only(&[RegisterBeforeLease]), when!(has_room), Do(outcome::register_before_lease, UNHELD), "a compensation that each attempt will owe"),
    row("register/full_before", UNHELD, Only(&[RegisterBeforeLease]), when!(has_no_room), Refuse(Code::Invalid), "the task already has the maximum number of compensations"),
    row("register", RUNNING, Only(&[Register]), when!(holds_active_with_room), Do(outcome::register, RUNNING), "the holder is about to cause an effect"),
    row("register/full", RUNNING, Only(&[Register]), when!(holds_active_without_room), Refuse(Code::Invalid), "the task already has the maximum number of compensations"),
    row("register/by_lease", RUNNING, Only(&[RegisterBeforeLease]), when!(always), Refuse(Code::Leased), "the task is leased: only its holder can register, with owner and epoch"),
    row("register/undo", COMPENSATING, Only(&[Register]), when!(holds_active), Refuse(Code::WrongState), "the task is being undone"),
    row("register/undo_by_none", COMPENSATING, Only(&[RegisterBeforeLease]), when!(always), Refuse(Code::WrongState), "the task is being undone"),
    row("adopt", RUNNING, Only(&[Adopt]), when!(holds_and_older_lease_owes), Do(outcome::adopt, RUNNING), "the new holder takes over what it inherited"),
    row("adopt/nothing", RUNNING, Only(&[Adopt]), when!(holds_and_no_older_lease_owes), Do(outcome::nothing, RUNNING), "no older lease owes anything"),
    row("settle/unknown", HELD, Only(&[Settle, Try]), when!(seq_is_unknown), Refuse(Code::NotFound), "the task has no compensation with that number"),
    row("settle/standing", HELD, Only(&[Settle, Try]), when!(seq_stands), Refuse(Code::WrongState), "that compensation is standing: it becomes owed when an attempt begins"),
    row("settle/settled", HELD, Only(&[Settle, Try]), when!(seq_is_settled), Refuse(Code::CompensationSettled), "that compensation is no longer owed"),
    row("settle", RUNNING, Only(&[Settle]), when!(seq_is_owed), Do(outcome::settle, RUNNING), "the holder undid an effect of its own, or one it inherited"),
    row("settle/undo", COMPENSATING, Only(&[Settle]), when!(seq_is_owed_among_others), Do(outcome::settle, COMPENSATING), "one undo ran; other compensations are still owed"),
    row("settle/last", COMPENSATING, Only(&[Settle]), when!(seq_is_the_last_owed), DoThenEnd(outcome::settle, AFTER_UNDO), "the last undo ran"),
    row("try", HELD, Only(&[Try]), when!(seq_is_owed), Do(outcome::record_try, HELD), "an undo failed"),
    row("settle/by_hand_held", COMPENSATING, Only(&[SettleByHand]), when!(lease_is_active), Refuse(Code::Leased), "the task is being undone under a lease; wait until it ends"),
    row("settle/by_hand_unknown", OPEN, Only(&[SettleByHand]), when!(seq_is_unknown), Refuse(Code::NotFound), "the task has no compensation with that number"),
    row("settle/by_hand_standing", OPEN, Only(&[SettleByHand]), when!(seq_stands), Refuse(Code::WrongState), "that compensation is standing: it becomes owed when an attempt begins"),
    row("settle/by_hand_settled", OPEN, Only(&[SettleByHand]), when!(seq_is_settled), Refuse(Code::CompensationSettled), "that compensation is no longer owed"),
    row("settle/by_hand", NOT_COMPENSATING, Only(&[SettleByHand]), when!(seq_is_owed), Do(outcome::settle_by_hand, NOT_COMPENSATING), "a person undid an effect by hand"),
    row("settle/by_hand_undo", COMPENSATING, Only(&[SettleByHand]), when!(seq_is_owed_among_others), Do(outcome::settle_by_hand, COMPENSATING), "a person undid an effect by hand; other compensations are still owed"),
    row("settle/by_hand_last", COMPENSATING, Only(&[SettleByHand]), when!(seq_is_the_last_owed), DoThenEnd(outcome::settle_by_hand, AFTER_UNDO), "a person undid the last effect by hand"),
    row("waive/unknown", OPEN, Only(&[Waive]), when!(seq_is_unknown), Refuse(Code::NotFound), "the task has no compensation with that number"),
    row("waive/standing", OPEN, Only(&[Waive]), when!(seq_stands), Refuse(Code::WrongState), "that compensation is standing: it becomes owed when an attempt begins"),
    row("waive/settled", OPEN, Only(&[Waive]), when!(seq_is_settled), Refuse(Code::CompensationSettled), "that compensation is no longer owed"),
    row("waive", NOT_COMPENSATING, Only(&[Waive]), when!(seq_is_owed), Do(outcome::waive, NOT_COMPENSATING), "a person waives one"),
    row("waive/undo", COMPENSATING, Only(&[Waive]), when!(seq_is_owed_among_others), Do(outcome::waive, COMPENSATING), "a person waives one; other compensations are still owed"),
    row("waive/last", COMPENSATING, Only(&[Waive]), when!(seq_is_the_last_owed), DoThenEnd(outcome::waive, AFTER_UNDO), "a person waived the last one"),

    // ---- how a holder ends it -----------------------------------------------------------------------------------------
    row("complete", RUNNING, Only(&[Complete]), when!(holds_and_no_older_lease_owes), Do(outcome::complete, COMPLETED), "the work is done"),
    row("complete/owed", RUNNING, Only(&[Complete]), when!(holds_and_older_lease_owes), Refuse(Code::CompensationOwed), "an older lease still owes a compensation: settle or adopt it first"),
    row("fail", RUNNING, Only(&[Fail]), when!(holds_and_fails_with_a_record), Do(outcome::fail, FAILED), "the work can't be done, and nothing is undone automatically"),
    row("fail/parks", RUNNING, Only(&[Fail]), when!(holds_and_failing_parks), Do(outcome::fail, QUARANTINED), "the work can't be done, and the policy parks the task"),
    row("fail/bare", RUNNING, Only(&[Fail]), when!(holds_and_fails_without_a_record), Refuse(Code::CompensationRequired), "a failed task needs at least one compensation, if only of kind none"),
    row("fail/full", RUNNING, Only(&[Fail]), when!(holds_without_room), Refuse(Code::Invalid), "the task already has the maximum number of compensations"),
    row("rollback", RUNNING, Only(&[RollBack]), when!(holds_and_owes), Do(outcome::roll_back, COMPENSATING), "the work is given up, and what is owed is undone"),
    row("rollback/nothing", RUNNING, Only(&[RollBack]), when!(holds_and_owes_nothing), DoThenEnd(outcome::roll_back_nothing, AFTER_UNDO), "the work is given up, and nothing is owed"),
    row("quarantine", RUNNING, Only(&[Quarantine]), when!(holds_and_asks_for_a_person), Do(outcome::quarantine, QUARANTINED), "its holder asks for a person"),
    row("quarantine/nothing_to_undo", RUNNING, Only(&[Quarantine]), when!(holds_and_can_not_undo), Refuse(Code::WrongState), "no undo runs in this state; give by_holder as the cause"),
    row("quarantine/undo", COMPENSATING, Only(&[Quarantine]), when!(holds), Do(outcome::quarantine, QUARANTINED), "its undo is not possible, or its holder asks for a person"),
    row("undo/ends_otherwise", COMPENSATING, Only(&[Adopt, Complete, Fail, RollBack]), when!(holds), Refuse(Code::WrongState), "the task is being undone"),

    // ---- how an operator ends it --------------------------------------------------------------------------------------
    row("mark/completed", OPEN, Only(&[MarkCompleted]), when!(always), Do(outcome::mark_completed, COMPLETED), "a person knows that it is done"),
    row("mark/failed", OPEN, Only(&[MarkFailed]), when!(fails_with_a_record), Do(outcome::mark_failed, FAILED), "a person closes it"),
    row("mark/failed_bare", OPEN, Only(&[MarkFailed]), when!(fails_without_a_record), Refuse(Code::CompensationRequired), "a failed task needs at least one compensation, if only of kind none"),
    row("mark/failed_full", OPEN, Only(&[MarkFailed]), when!(has_no_room), Refuse(Code::Invalid), "the task already has the maximum number of compensations"),
    row("mark/compensated", OPEN, Only(&[MarkCompensated]), when!(waivers_fit_and_nothing_stays_owed), Do(outcome::mark_compensated, COMPENSATED), "a person has undone it by hand"),
    row("mark/compensated_undoing", COMPENSATING, Only(&[MarkCompensated]), when!(gives_a_receipt_while_it_is_undone), Refuse(Code::Leased), "the task is being undone under a lease, which may undo the same: wait until it ends, or waive instead of giving a receipt"),
    row("mark/compensated_owing", OPEN, Only(&[MarkCompensated]), when!(waivers_fit_and_something_stays_owed), Refuse(Code::CompensationOwed), "the task owes compensations: waive each of them in this command, or give its receipt"),
    row("mark/waives_unknown", OPEN, Only(&[MarkCompensated]), when!(a_waiver_names_an_unknown_seq), Refuse(Code::NotFound), "a number that is waived or has a receipt is not a compensation of the task"),
    row("mark/waives_standing", OPEN, Only(&[MarkCompensated]), when!(a_waiver_names_a_standing_seq), Refuse(Code::WrongState), "a compensation that is waived or has a receipt is standing: it becomes owed when an attempt begins"),
    row("mark/waives_settled", OPEN, Only(&[MarkCompensated]), when!(a_waiver_names_a_settled_seq), Refuse(Code::CompensationSettled), "a compensation that is waived or has a receipt is no longer owed"),
    row("mark/quarantined", OPEN, Only(&[MarkQuarantined]), when!(always), Do(outcome::mark_quarantined, QUARANTINED), "a person wants a closer look"),
    row("cancel", UNHELD, Only(&[Cancel]), when!(owes_nothing), DoThenEnd(outcome::cancel, COMPENSATED), "it is no longer wanted, and has not begun"),
    row("cancel/owed", UNHELD, Only(&[Cancel]), when!(owes), Do(outcome::cancel, COMPENSATING), "it is no longer wanted, and a released attempt left something owed"),
    row("cancel/held", HELD, Only(&[Cancel]), when!(always), Do(outcome::cancel, HELD), "it is no longer wanted; the next heartbeat tells its holder"),

    // ---- recovery -------------------------------------------------------------------------------------------------------
    row("reclaim/not_started", PLANNED, Only(&[Reclaim]), when!(start_limit_is_over), Do(outcome::quarantine_not_started, QUARANTINED), "no attempt began in time"),
    row("reclaim/start_ahead", PLANNED, Only(&[Reclaim]), when!(start_limit_is_ahead), Refuse(Code::NotDue), "its start limit has not passed yet"),
    row("reclaim/no_start_limit", PLANNED, Only(&[Reclaim]), when!(has_no_start_limit), Refuse(Code::WrongState), "the task waits to be claimed and has no start limit"),
    row("reclaim/reservation", DISPATCHED, Only(&[Reclaim]), when!(reservation_has_lapsed), Do(outcome::free_reservation, PLANNED), "the owner it was reserved for did not acquire it"),
    row("reclaim/reserved", DISPATCHED, Only(&[Reclaim]), when!(reservation_is_active), Refuse(Code::Reserved), "the task is reserved until its reservation lapses"),
    row("reclaim/leased", HELD, Only(&[Reclaim]), when!(lease_is_active), Refuse(Code::Leased), "the task is already leased"),
    row("reclaim/lock_delay", HELD, Only(&[Reclaim]), when!(lapsed_within_lock_delay), Refuse(Code::NotDue), "its lease has lapsed, but its lock delay is not over yet"),
    row("reclaim/recover_after", RUNNING, Only(&[Reclaim]), when!(lapsed_within_recover_after), Refuse(Code::NotDue), "its lease has lapsed, and until the policy's recover_after is over recovery leaves it to the next owner"),
    row("reclaim", RUNNING, Only(&[Reclaim]), when!(reclaimable_lease_with_undo), Do(outcome::reclaim, COMPENSATING), "the holder died or hangs, and left something to undo"),
    row("reclaim/nothing_owed", RUNNING, Only(&[Reclaim]), when!(reclaimable_lease_without_undo), DoThenEnd(outcome::lapse, AFTER_UNDO), "the holder died or hangs, and left nothing to undo"),
    row("reclaim/quarantine", RUNNING, Only(&[Reclaim]), when!(reclaimable_lease_to_quarantine), Do(outcome::quarantine_lapsed, QUARANTINED), "the holder died or hangs, and the policy parks the task"),
    row("reclaim/hold", RUNNING, Only(&[Reclaim]), when!(reclaimable_lease_held_back), Refuse(Code::WrongState), "the policy is hold: the task waits for the next owner to acquire it"),
    row("reclaim/undo_lapsed", COMPENSATING, Only(&[Reclaim]), when!(reclaimable_lease), Do(outcome::reclaim, COMPENSATING), "the holder that undid it died or hangs"),
    row("reclaim/undo", COMPENSATING, Only(&[Reclaim]), when!(undo_is_due), Do(outcome::reclaim, COMPENSATING), "its undo is due, and nobody runs it"),
    row("reclaim/undo_not_due", COMPENSATING, Only(&[Reclaim]), when!(undo_is_not_due), Refuse(Code::NotDue), "its undo is not due yet"),

    // ---- afterwards -----------------------------------------------------------------------------------------------------
    row("annotate", OPEN, Only(&[Annotate]), when!(gives_only_a_note), Do(outcome::annotate, OPEN), "a note is added"),
    row("annotate/no_end", OPEN, Only(&[Annotate]), when!(is_about_the_end), Refuse(Code::WrongState), "the task has not ended, so there is no end to correct or dismiss"),
    row("annotate/ended_badly", ENDED_BADLY, Only(&[Annotate]), when!(always), Do(outcome::annotate, ENDED_BADLY), "a note is added, the reason for the end is corrected, or the end is dismissed"),
    row("annotate/completed", COMPLETED, Only(&[Annotate]), when!(dismisses_nothing), Do(outcome::annotate, COMPLETED), "a note is added, or the reason for the end is corrected"),
    row("annotate/nothing_to_dismiss", COMPLETED, Only(&[Annotate]), when!(dismisses), Refuse(Code::WrongState), "the task was completed, so there is nothing to dismiss"),
    row("retry", ENDED_BADLY, Only(&[Retry]), when!(retry_is_clear), Spawn(outcome::retry, outcome::successor, ENDED_BADLY), "a person wants it tried again"),
    row("retry/was_retried", ENDED_BADLY, Only(&[Retry]), when!(was_retried), Refuse(Code::WrongState), "the task was already retried; see retried_as"),
    row("retry/taken", ENDED_BADLY, Only(&[Retry]), when!(retry_takes_a_taken_name), Refuse(Code::Exists), "the id of the new task is already used"),
    row("retry/waives_unknown", ENDED_BADLY, Only(&[Retry]), when!(retry_waives_an_unknown_seq), Refuse(Code::NotFound), "a number that is waived or has a receipt is not a compensation of the task"),
    row("retry/waives_settled", ENDED_BADLY, Only(&[Retry]), when!(retry_waives_a_settled_seq), Refuse(Code::CompensationSettled), "a compensation that is waived or has a receipt is no longer owed"),
    row("retry/completed", COMPLETED, Only(&[Retry]), when!(always), Refuse(Code::WrongState), "the task was completed; create a new task to do the work again"),
    row("retry/open", OPEN, Only(&[Retry]), when!(always), Refuse(Code::WrongState), "the task has not ended"),
];

#[rustfmt::skip]
static ENDS: &[End] = &[
    end("end/cancelled", when!(end_was_cancelled), outcome::end_cancelled, COMPENSATED[0], "a cancel was asked for"),
    end("end/released", when!(end_was_released), outcome::end_replanned, PLANNED[0], "it was released under an active lease, so the attempt does not count"),
    end("end/again", when!(end_has_attempts_left), outcome::end_tried_again, PLANNED[0], "attempts are left; it waits for the backoff"),
    end("end/spent", when!(end_is_spent_to_compensated), outcome::end_compensated, COMPENSATED[0], "its attempts are spent"),
    end("end/spent_quarantined", when!(end_is_spent_to_quarantined), outcome::end_quarantined, QUARANTINED[0], "its attempts are spent, and the policy parks the task"),
];

/// The rows, found by state and command.
pub struct Table {
    rows: Vec<Row>,
    ends: Vec<End>,
    index: HashMap<(Place, Verb), Vec<usize>>,
}

impl Table {
    /// The rules of Tenure.
    pub fn rules() -> &'static Table {
        static RULES: LazyLock<Table> = LazyLock::new(|| Table::of(ROWS.to_vec(), ENDS.to_vec()));
        &RULES
    }

    /// A table with other rows, by which tests show that each guard matters.
    pub fn of(rows: Vec<Row>, ends: Vec<End>) -> Table {
        let mut index: HashMap<(Place, Verb), Vec<usize>> = HashMap::new();
        for (at, row) in rows.iter().enumerate() {
            for place in row.places {
                for verb in row.verbs.iter() {
                    index.entry((*place, verb)).or_default().push(at);
                }
            }
        }
        Table { rows, ends, index }
    }

    /// Every row.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Every row of the end of compensating.
    pub fn ends(&self) -> &[End] {
        &self.ends
    }

    /// The rows that answer that command in that place, each under its guard.
    pub fn at(&self, place: Place, verb: Verb) -> impl Iterator<Item = &Row> {
        self.index.get(&(place, verb)).into_iter().flatten().map(|at| &self.rows[*at])
    }

    /// The row that answers. The proof over the table shows that there is exactly one.
    pub(crate) fn answer(&self, place: Place, case: &Case) -> &Row {
        let verb = case.command.action.verb();
        let answer = self.at(place, verb).find(|row| (row.guard.holds)(case));
        answer.unwrap_or_else(|| panic!("no row answers {} in {}", verb.as_str(), place.as_str()))
    }

    /// Where a task goes that owes nothing any more.
    pub(crate) fn end_of_compensating(&self, case: &Case) -> &End {
        let end = self.ends.iter().find(|end| (end.guard.holds)(case));
        end.unwrap_or_else(|| panic!("no row ends the compensating of this task"))
    }
}
