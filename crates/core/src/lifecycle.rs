//! The table: what each command does in each state. A behaviour that can't be pointed to here does not exist.
//!
//! A row answers a command in a state where its guard holds; exactly one row answers each combination, in whatever
//! order they stand. The last column says how a task comes to be there, or, in a row that refuses, what the caller is
//! told. `docs/lifecycle.md` is generated from it.
//!
//! This file is longer than others because the table is one thing and is read as one.

mod guard;
mod outcome;

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::decide::Case;
use crate::event::EventData;
use crate::refusal::Code;
use crate::task::{State, Task};
use crate::verb::{GivenBy, Verb};

/// Where a command finds its task: in a state, or nowhere.
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
    /// Answers "no".
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
    /// How a task comes to be there, or what the caller is told.
    pub because: &'static str,
}

/// One line of the end of compensating, for a task of which nothing is owed any more.
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
    pub because: &'static str,
}

const fn row(
    label: &'static str,
    places: &'static [Place],
    verbs: Verbs,
    guard: Guard,
    outcome: Outcome,
    because: &'static str,
) -> Row {
    Row { label, places, verbs, guard, outcome, because }
}

const fn end(label: &'static str, guard: Guard, steps: Steps, to: Place, because: &'static str) -> End {
    End { label, guard, steps, to, because }
}

/// A guard with its own name, so that documents and tests can't call it otherwise.
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
/// Where the end of compensating may lead.
const AFTER_UNDO: &[Place] = &[PLANNED[0], COMPENSATED[0], QUARANTINED[0]];

use Outcome::{Do, DoThenEnd, Refuse, Spawn};
use Verb::{
    Acquire, Adopt, Annotate, Cancel, Claim, Complete, Create, Dispatch, Fail, Heartbeat, MarkCompensated,
    MarkCompleted, MarkFailed, MarkQuarantined, Progress, Put, Quarantine, Reclaim, Register,
    RegisterBeforeLease, Release, Retry, RollBack, Settle, Try, Waive,
};
use Verbs::Only;

/// Commands of a holder that ask for more than the epoch: the lease must be active. The others may be given after its lapse,
/// until somebody took over.
const WHILE_ACTIVE: &[Verb] = &[Heartbeat, Progress, Register];
const AFTER_LAPSE_TOO: Verbs = Verbs::GivenByBut(GivenBy::Holder, WHILE_ACTIVE);
const BY_HOLDER: Verbs = Verbs::GivenByBut(GivenBy::Holder, &[]);
const ABOUT_A_TASK_THAT_IS: Verbs = Verbs::AllBut(&[Create, Put]);
const CHANGES_AN_OPEN_TASK: Verbs = Verbs::AllBut(&[Create, Put, Annotate, Retry]);

#[rustfmt::skip]
static ROWS: &[Row] = &[
    // ---- nothing there, or nothing left to change -----------------------------------------------------------
    row("absent", ABSENT, ABOUT_A_TASK_THAT_IS, when!(always), Refuse(Code::NotFound), "there is no task of that id in this namespace"),
    row("over", OVER, CHANGES_AN_OPEN_TASK, when!(always), Refuse(Code::Terminal), "the task has ended, and nothing changes it any more; `retry` makes a new task of one that ended badly"),

    // ---- create -----------------------------------------------------------------------------------------------
    row("create", ABSENT, Only(&[Create]), when!(name_is_free), Do(outcome::create, PLANNED), "somebody has work to be done"),
    row("create/taken", ABSENT, Only(&[Create]), when!(name_is_taken), Refuse(Code::Exists), "the id or saga id is taken; the ids of pruned tasks stay taken"),
    row("create/exists", EVERYWHERE, Only(&[Create]), when!(always), Refuse(Code::Exists), "a task of that id exists; it is left as it is"),

    // ---- put ----------------------------------------------------------------------------------------------------
    row("put/new", ABSENT, Only(&[Put]), when!(puts_new_planned), Do(outcome::put_new, PLANNED), "a record from elsewhere that is still to be done"),
    row("put/new_ended", ABSENT, Only(&[Put]), when!(puts_new_ended), Do(outcome::put_new, OVER), "a record from elsewhere that is over"),
    row("put/new_contradicts", ABSENT, Only(&[Put]), when!(puts_a_new_contradiction), Refuse(Code::Invalid), "the record contradicts itself"),
    row("put/not_found", ABSENT, Only(&[Put]), when!(puts_a_revision_of_nothing), Refuse(Code::NotFound), "there is no task of that id to change; leave the revision out to create it"),
    row("put/new_taken", ABSENT, Only(&[Put]), when!(puts_new_under_a_taken_name), Refuse(Code::Exists), "the id or saga id is taken; the ids of pruned tasks stay taken"),
    row("put/new_held", ABSENT, Only(&[Put]), when!(puts_new_in_a_held_state), Refuse(Code::WrongState), "a new record is planned or over; leases are only acquired"),
    row("put/new_failed_bare", ABSENT, Only(&[Put]), when!(puts_new_failed_without_a_record), Refuse(Code::CompensationRequired), "a failed task carries a compensation, even if it is of kind none"),
    row("put/exists", EVERYWHERE, Only(&[Put]), when!(puts_without_a_revision), Refuse(Code::Exists), "the task exists; give the revision that was read to change it"),
    row("put/contradicts", EVERYWHERE, Only(&[Put]), when!(puts_what_can_not_be), Refuse(Code::Invalid), "the record contradicts itself, or changes what never changes"),
    row("put/words", OVER, Only(&[Put]), when!(puts_new_words), Do(outcome::put_words, OVER), "somebody has better words for the end"),
    row("put/words_unread", OVER, Only(&[Put]), when!(puts_new_words_over_unread_ones), Refuse(Code::StaleWrite), "the record was changed since it was read; read it again"),
    row("put/over", OVER, Only(&[Put]), when!(puts_on_an_ended_task), Refuse(Code::Terminal), "the task has ended; a put can only change the words for its end"),
    row("put/reserved", DISPATCHED, Only(&[Put]), when!(puts_over_a_holder), Refuse(Code::Reserved), "the task is reserved, and a put can't change that"),
    row("put/leased", RUNNING, Only(&[Put]), when!(puts_over_a_holder), Refuse(Code::Leased), "the task is leased, and a put can't change that"),
    row("put/undo_leased", COMPENSATING, Only(&[Put]), when!(puts_over_a_lease), Refuse(Code::Leased), "the task's undo is leased, and a put can't change that"),
    row("put/unread", MAYBE_UNHELD, Only(&[Put]), when!(puts_over_an_unread_change), Refuse(Code::StaleWrite), "the record was changed since it was read; read it again"),
    row("put/planned", PLANNED, Only(&[Put]), when!(puts_fields_and_compensations), Do(outcome::put_difference, PLANNED), "somebody corrects a task that waits"),
    row("put/ends", PLANNED, Only(&[Put]), when!(puts_an_end), Do(outcome::put_difference, OVER), "somebody closes a task that waits"),
    row("put/held", PLANNED, Only(&[Put]), when!(puts_into_a_held_state), Refuse(Code::WrongState), "a put can't lease, reserve or undo a task"),
    row("put/failed_bare", PLANNED, Only(&[Put]), when!(puts_failed_without_a_record), Refuse(Code::CompensationRequired), "a failed task carries a compensation, even if it is of kind none"),
    row("put/compensated_owing", PLANNED, Only(&[Put]), when!(puts_compensated_although_owed), Refuse(Code::CompensationOwed), "something is owed; waive it first"),
    row("put/undo", COMPENSATING, Only(&[Put]), when!(puts_fields), Do(outcome::put_difference, COMPENSATING), "somebody corrects a task that waits for its undo"),
    row("put/undo_state", COMPENSATING, Only(&[Put]), when!(puts_a_state_or_compensation), Refuse(Code::WrongState), "while a task is undone a put changes neither its state nor its compensations"),

    // ---- dispatch: a reservation ------------------------------------------------------------------------------
    row("dispatch", PLANNED, Only(&[Dispatch]), when!(always), Do(outcome::dispatch, DISPATCHED), "a dispatcher has chosen who is to do it"),
    row("dispatch/again", DISPATCHED, Only(&[Dispatch]), when!(reservation_has_lapsed), Do(outcome::dispatch, DISPATCHED), "the one it was reserved for did not come"),
    row("dispatch/reserved", DISPATCHED, Only(&[Dispatch]), when!(reservation_is_active), Refuse(Code::Reserved), "it is reserved until its reservation lapses"),
    row("dispatch/leased", RUNNING, Only(&[Dispatch]), when!(lease_is_active), Refuse(Code::Leased), "somebody holds the lease"),
    row("dispatch/lapsed", RUNNING, Only(&[Dispatch]), when!(lease_has_lapsed), Refuse(Code::WrongState), "its lease has lapsed: recovery looks after it, or acquire takes it over"),
    row("dispatch/undo", COMPENSATING, Only(&[Dispatch]), when!(always), Refuse(Code::WrongState), "the task is being undone"),

    // ---- acquire: one wins ------------------------------------------------------------------------------------
    row("acquire", PLANNED, Only(&[Acquire]), when!(is_due), Do(outcome::acquire, RUNNING), "somebody is to do it now"),
    row("acquire/not_due", PLANNED, Only(&[Acquire]), when!(is_not_due), Refuse(Code::NotDue), "it is not due yet"),
    row("acquire/reserved", DISPATCHED, Only(&[Acquire]), when!(reserved_for_this_owner_or_lapsed), Do(outcome::acquire, RUNNING), "the one it was reserved for begins, or anybody after the reservation has lapsed"),
    row("acquire/for_another", DISPATCHED, Only(&[Acquire]), when!(reserved_for_another), Refuse(Code::Reserved), "it is reserved for another owner"),
    row("acquire/leased", RUNNING, Only(&[Acquire]), when!(lease_is_active), Refuse(Code::Leased), "somebody holds the lease"),
    row("acquire/lock_delay", RUNNING, Only(&[Acquire]), when!(lapsed_within_lock_delay), Refuse(Code::NotDue), "its lease has lapsed, and its lock delay is not over"),
    row("acquire/takeover", RUNNING, Only(&[Acquire]), when!(takeover_is_allowed), Do(outcome::acquire, RUNNING), "the holder's lease has lapsed, and nothing must be undone before another goes on"),
    row("acquire/owed", RUNNING, Only(&[Acquire]), when!(takeover_owes_undo), Refuse(Code::CompensationOwed), "the lapsed holder owes undo: recover the task first"),
    row("acquire/not_yours", RUNNING, Only(&[Acquire]), when!(takeover_is_not_for_workers), Refuse(Code::WrongState), "its lease has lapsed, and it is to be stopped or parked: recovery does that"),
    row("acquire/undo", COMPENSATING, Only(&[Acquire]), when!(always), Refuse(Code::WrongState), "the task is being undone"),

    // ---- claim: the next due ones of a queue --------------------------------------------------------------------
    row("claim", PLANNED, Only(&[Claim]), when!(is_due), Do(outcome::acquire, RUNNING), "a worker takes what is next"),
    row("claim/not_due", PLANNED, Only(&[Claim]), when!(is_not_due), Refuse(Code::NotDue), "it is not due yet"),
    row("claim/reservation_lapsed", DISPATCHED, Only(&[Claim]), when!(reservation_has_lapsed), Do(outcome::acquire, RUNNING), "the one it was reserved for did not come"),
    row("claim/reserved", DISPATCHED, Only(&[Claim]), when!(reservation_is_active), Refuse(Code::Reserved), "it is reserved until its reservation lapses"),
    row("claim/leased", RUNNING, Only(&[Claim]), when!(lease_is_active), Refuse(Code::Leased), "somebody holds the lease"),
    row("claim/no_takeover", RUNNING, Only(&[Claim]), when!(lease_has_lapsed), Refuse(Code::WrongState), "a claim never takes over"),
    row("claim/undo", COMPENSATING, Only(&[Claim]), when!(always), Refuse(Code::WrongState), "the task is being undone"),

    // ---- the fence: whose lease is it -----------------------------------------------------------------------------
    row("fence/unheld", UNHELD, Verbs::GivenByBut(GivenBy::Holder, &[Register]), when!(always), Refuse(Code::NoLease), "nobody holds a lease; a reservation is none"),
    row("fence/unheld_register", UNHELD, Only(&[Register]), when!(always), Refuse(Code::NoLease), "nobody holds a lease; before a lease a compensation is registered without one"),
    row("fence/undo_unheld", COMPENSATING, BY_HOLDER, when!(nobody_holds), Refuse(Code::NoLease), "nobody holds a lease: the undo waits for recovery"),
    row("fence/stale_epoch", HELD, BY_HOLDER, when!(epoch_is_not_the_leases), Refuse(Code::StaleEpoch), "the epoch is not the lease's: another one was granted"),
    row("fence/wrong_owner", HELD, BY_HOLDER, when!(owner_is_not_the_leases), Refuse(Code::WrongOwner), "the lease is another owner's"),
    row("fence/lapsed", HELD, Only(WHILE_ACTIVE), when!(proves_lapsed), Refuse(Code::LeaseLapsed), "the lease has lapsed; until somebody takes over the task may still be ended, released, adopted or settled"),
    row("fence/another_names", HELD, AFTER_LAPSE_TOO, when!(proves_another_names), Refuse(Code::Forbidden), "the lease was granted under another name than the one that acts"),
    row("fence/another_names_active", HELD, Only(WHILE_ACTIVE), when!(proves_another_names_active), Refuse(Code::Forbidden), "the lease was granted under another name than the one that acts"),

    // ---- heartbeat, progress --------------------------------------------------------------------------------------
    row("heartbeat", RUNNING, Only(&[Heartbeat]), when!(holds_and_extends), Do(outcome::heartbeat, RUNNING), "the holder is alive"),
    row("heartbeat/undo", COMPENSATING, Only(&[Heartbeat]), when!(holds_and_extends), Do(outcome::heartbeat, COMPENSATING), "the one who undoes is alive"),
    row("heartbeat/not_extending", HELD, Only(&[Heartbeat]), when!(holds_but_ttl_does_not_extend), Refuse(Code::NotExtending), "it would not move the expiry ahead"),
    row("heartbeat/stalled", RUNNING, Only(&[Heartbeat]), when!(holds_but_is_stalled), Refuse(Code::Stalled), "without progress the lease is not renewed beyond the policy's stall_after; it runs to its end"),
    row("heartbeat/out_of_time", RUNNING, Only(&[Heartbeat]), when!(holds_but_is_out_of_time), Refuse(Code::OutOfTime), "the lease is not renewed beyond the policy's time_limit; it runs to its end"),
    row("heartbeat/cancelled", RUNNING, Only(&[Heartbeat]), when!(holds_but_was_told_to_stop), Refuse(Code::Cancelled), "a cancel was asked for, and the lease is not renewed beyond the policy's cancel_grace; it runs to its end"),
    row("progress", RUNNING, Only(&[Progress]), when!(holds_active), Do(outcome::progress, RUNNING), "the holder got on"),
    row("undo/not_running", COMPENSATING, Only(&[Progress]), when!(holds_active), Refuse(Code::WrongState), "the task is being undone"),

    // ---- release ----------------------------------------------------------------------------------------------------
    row("release/hold", RUNNING, Only(&[Release]), when!(releases_to_a_successor), Do(outcome::release_to_successor, PLANNED), "under hold the holder gives back, and its successor inherits what is owed"),
    row("release/undo", RUNNING, Only(&[Release]), when!(releases_to_undo), Do(outcome::release, COMPENSATING), "the holder gives back what must be undone before another begins"),
    row("release", RUNNING, Only(&[Release]), when!(releases_owing_nothing), DoThenEnd(outcome::release, AFTER_UNDO), "the holder gives back, and nothing is owed"),
    row("release/undo_handed_back", COMPENSATING, Only(&[Release]), when!(holds), Do(outcome::hand_undo_back, COMPENSATING), "the one who undoes must stop"),

    // ---- compensations ----------------------------------------------------------------------------------------------
    row("register/standing", UNHELD, Only(&[RegisterBeforeLease]), when!(has_room), Do(outcome::register_before_lease, UNHELD), "something each attempt will owe"),
    row("register/full_before", UNHELD, Only(&[RegisterBeforeLease]), when!(has_no_room), Refuse(Code::Invalid), "the task has as many compensations as there may be"),
    row("register", RUNNING, Only(&[Register]), when!(holds_active_with_room), Do(outcome::register, RUNNING), "the holder is about to have an effect"),
    row("register/full", RUNNING, Only(&[Register]), when!(holds_active_without_room), Refuse(Code::Invalid), "the task has as many compensations as there may be"),
    row("register/by_lease", RUNNING, Only(&[RegisterBeforeLease]), when!(always), Refuse(Code::Leased), "the task is leased: its holder registers, with owner and epoch"),
    row("register/undo", COMPENSATING, Only(&[Register]), when!(holds_active), Refuse(Code::WrongState), "the task is being undone"),
    row("register/undo_by_none", COMPENSATING, Only(&[RegisterBeforeLease]), when!(always), Refuse(Code::WrongState), "the task is being undone"),
    row("adopt", RUNNING, Only(&[Adopt]), when!(holds_and_older_lease_owes), Do(outcome::adopt, RUNNING), "the successor answers for what it inherited"),
    row("adopt/nothing", RUNNING, Only(&[Adopt]), when!(holds_and_no_older_lease_owes), Do(outcome::nothing, RUNNING), "nothing is owed from before"),
    row("settle/unknown", HELD, Only(&[Settle, Try]), when!(seq_is_unknown), Refuse(Code::NotFound), "the task has no compensation of that number"),
    row("settle/standing", HELD, Only(&[Settle, Try]), when!(seq_stands), Refuse(Code::WrongState), "that compensation stands: it is owed only once an attempt begins"),
    row("settle/settled", HELD, Only(&[Settle, Try]), when!(seq_is_settled), Refuse(Code::CompensationSettled), "that compensation is not owed any more"),
    row("settle", RUNNING, Only(&[Settle]), when!(seq_is_owed), Do(outcome::settle, RUNNING), "the holder undid an effect of its own, or one it inherited"),
    row("settle/undo", COMPENSATING, Only(&[Settle]), when!(seq_is_owed_among_others), Do(outcome::settle, COMPENSATING), "one undo ran, others are owed"),
    row("settle/last", COMPENSATING, Only(&[Settle]), when!(seq_is_the_last_owed), DoThenEnd(outcome::settle, AFTER_UNDO), "the last undo ran"),
    row("try", HELD, Only(&[Try]), when!(seq_is_owed), Do(outcome::record_try, HELD), "an undo was tried in vain"),
    row("waive/unknown", OPEN, Only(&[Waive]), when!(seq_is_unknown), Refuse(Code::NotFound), "the task has no compensation of that number"),
    row("waive/standing", OPEN, Only(&[Waive]), when!(seq_stands), Refuse(Code::WrongState), "that compensation stands: it is owed only once an attempt begins"),
    row("waive/settled", OPEN, Only(&[Waive]), when!(seq_is_settled), Refuse(Code::CompensationSettled), "that compensation is not owed any more"),
    row("waive", NOT_COMPENSATING, Only(&[Waive]), when!(seq_is_owed), Do(outcome::waive, NOT_COMPENSATING), "a person says that it need not be undone"),
    row("waive/undo", COMPENSATING, Only(&[Waive]), when!(seq_is_owed_among_others), Do(outcome::waive, COMPENSATING), "a person says that it need not be undone; others are owed"),
    row("waive/last", COMPENSATING, Only(&[Waive]), when!(seq_is_the_last_owed), DoThenEnd(outcome::waive, AFTER_UNDO), "a person waived the last one"),

    // ---- how a holder ends it -----------------------------------------------------------------------------------------
    row("complete", RUNNING, Only(&[Complete]), when!(holds_and_no_older_lease_owes), Do(outcome::complete, COMPLETED), "the work is done"),
    row("complete/owed", RUNNING, Only(&[Complete]), when!(holds_and_older_lease_owes), Refuse(Code::CompensationOwed), "an older lease's compensation is owed: settle or adopt it first"),
    row("fail", RUNNING, Only(&[Fail]), when!(holds_and_fails_with_a_record), Do(outcome::fail, FAILED), "the work can't be done, and nothing is undone by itself"),
    row("fail/bare", RUNNING, Only(&[Fail]), when!(holds_and_fails_without_a_record), Refuse(Code::CompensationRequired), "a failed task carries a compensation, even if it is of kind none"),
    row("fail/full", RUNNING, Only(&[Fail]), when!(holds_without_room), Refuse(Code::Invalid), "the task has as many compensations as there may be"),
    row("rollback", RUNNING, Only(&[RollBack]), when!(holds_and_owes), Do(outcome::roll_back, COMPENSATING), "the work is given up, and what it did is undone"),
    row("rollback/nothing", RUNNING, Only(&[RollBack]), when!(holds_and_owes_nothing), DoThenEnd(outcome::roll_back_nothing, AFTER_UNDO), "the work is given up, and nothing is owed"),
    row("quarantine", RUNNING, Only(&[Quarantine]), when!(holds_and_asks_for_a_person), Do(outcome::quarantine, QUARANTINED), "its holder asks for a person"),
    row("quarantine/nothing_to_undo", RUNNING, Only(&[Quarantine]), when!(holds_and_can_not_undo), Refuse(Code::WrongState), "no undo runs in this state that could be unhandled or fail"),
    row("quarantine/undo", COMPENSATING, Only(&[Quarantine]), when!(holds), Do(outcome::quarantine, QUARANTINED), "who undoes it can't, or asks for a person"),
    row("undo/ends_otherwise", COMPENSATING, Only(&[Adopt, Complete, Fail, RollBack]), when!(holds), Refuse(Code::WrongState), "the task is being undone"),

    // ---- how an operator ends it --------------------------------------------------------------------------------------
    row("mark/completed", OPEN, Only(&[MarkCompleted]), when!(always), Do(outcome::mark_completed, COMPLETED), "a person knows that it is done"),
    row("mark/failed", OPEN, Only(&[MarkFailed]), when!(fails_with_a_record), Do(outcome::mark_failed, FAILED), "a person closes it"),
    row("mark/failed_bare", OPEN, Only(&[MarkFailed]), when!(fails_without_a_record), Refuse(Code::CompensationRequired), "a failed task carries a compensation, even if it is of kind none"),
    row("mark/failed_full", OPEN, Only(&[MarkFailed]), when!(has_no_room), Refuse(Code::Invalid), "the task has as many compensations as there may be"),
    row("mark/compensated", OPEN, Only(&[MarkCompensated]), when!(waivers_fit_and_nothing_stays_owed), Do(outcome::mark_compensated, COMPENSATED), "a person undid it by hand"),
    row("mark/compensated_owing", OPEN, Only(&[MarkCompensated]), when!(waivers_fit_and_something_stays_owed), Refuse(Code::CompensationOwed), "something is owed: waive each owed compensation with it"),
    row("mark/waives_unknown", OPEN, Only(&[MarkCompensated]), when!(a_waiver_names_an_unknown_seq), Refuse(Code::NotFound), "the task has no compensation of a number that is waived"),
    row("mark/waives_standing", OPEN, Only(&[MarkCompensated]), when!(a_waiver_names_a_standing_seq), Refuse(Code::WrongState), "a compensation that is waived stands: it is owed only once an attempt begins"),
    row("mark/waives_settled", OPEN, Only(&[MarkCompensated]), when!(a_waiver_names_a_settled_seq), Refuse(Code::CompensationSettled), "a compensation that is waived is not owed any more"),
    row("mark/quarantined", OPEN, Only(&[MarkQuarantined]), when!(always), Do(outcome::mark_quarantined, QUARANTINED), "a person wants a closer look"),
    row("cancel", UNHELD, Only(&[Cancel]), when!(owes_nothing), DoThenEnd(outcome::cancel, COMPENSATED), "it is not wanted any more, and has not begun"),
    row("cancel/owed", UNHELD, Only(&[Cancel]), when!(owes), Do(outcome::cancel, COMPENSATING), "it is not wanted any more, and a released attempt left something owed"),
    row("cancel/held", HELD, Only(&[Cancel]), when!(always), Do(outcome::cancel, HELD), "it is not wanted any more; its holder hears it with the next heartbeat"),

    // ---- recovery -------------------------------------------------------------------------------------------------------
    row("reclaim/not_started", PLANNED, Only(&[Reclaim]), when!(start_limit_is_over), Do(outcome::quarantine_not_started, QUARANTINED), "nobody began it in time"),
    row("reclaim/start_ahead", PLANNED, Only(&[Reclaim]), when!(start_limit_is_ahead), Refuse(Code::NotDue), "it may still begin in time"),
    row("reclaim/no_start_limit", PLANNED, Only(&[Reclaim]), when!(has_no_start_limit), Refuse(Code::WrongState), "it waits to be claimed, as long as that takes"),
    row("reclaim/reservation", DISPATCHED, Only(&[Reclaim]), when!(reservation_has_lapsed), Do(outcome::free_reservation, PLANNED), "the one it was reserved for did not come"),
    row("reclaim/reserved", DISPATCHED, Only(&[Reclaim]), when!(reservation_is_active), Refuse(Code::Reserved), "it is reserved until its reservation lapses"),
    row("reclaim/leased", HELD, Only(&[Reclaim]), when!(lease_is_active), Refuse(Code::Leased), "somebody holds the lease"),
    row("reclaim/lock_delay", HELD, Only(&[Reclaim]), when!(lapsed_within_lock_delay), Refuse(Code::NotDue), "its lease has lapsed, and its lock delay is not over"),
    row("reclaim", RUNNING, Only(&[Reclaim]), when!(reclaimable_lease_with_undo), Do(outcome::reclaim, COMPENSATING), "the holder died or hangs, and left something to undo"),
    row("reclaim/nothing_owed", RUNNING, Only(&[Reclaim]), when!(reclaimable_lease_without_undo), DoThenEnd(outcome::lapse, AFTER_UNDO), "the holder died or hangs, and left nothing to undo"),
    row("reclaim/quarantine", RUNNING, Only(&[Reclaim]), when!(reclaimable_lease_to_quarantine), Do(outcome::quarantine_lapsed, QUARANTINED), "the holder died or hangs, and the policy wants a person"),
    row("reclaim/hold", RUNNING, Only(&[Reclaim]), when!(reclaimable_lease_held_back), Refuse(Code::WrongState), "the policy is hold: it waits for whoever acquires it next"),
    row("reclaim/undo_lapsed", COMPENSATING, Only(&[Reclaim]), when!(reclaimable_lease), Do(outcome::reclaim, COMPENSATING), "the one who undid it died or hangs"),
    row("reclaim/undo", COMPENSATING, Only(&[Reclaim]), when!(undo_is_due), Do(outcome::reclaim, COMPENSATING), "its undo waits for somebody to run it"),
    row("reclaim/undo_not_due", COMPENSATING, Only(&[Reclaim]), when!(undo_is_not_due), Refuse(Code::NotDue), "its undo is not due yet"),

    // ---- afterwards -----------------------------------------------------------------------------------------------------
    row("annotate", OPEN, Only(&[Annotate]), when!(gives_only_a_note), Do(outcome::annotate, OPEN), "somebody leaves a note"),
    row("annotate/no_end", OPEN, Only(&[Annotate]), when!(is_about_the_end), Refuse(Code::WrongState), "the task has not ended, so there is no end to correct or dismiss"),
    row("annotate/ended_badly", ENDED_BADLY, Only(&[Annotate]), when!(always), Do(outcome::annotate, ENDED_BADLY), "somebody leaves a note, corrects the reason for the end, or dismisses it"),
    row("annotate/completed", COMPLETED, Only(&[Annotate]), when!(dismisses_nothing), Do(outcome::annotate, COMPLETED), "somebody leaves a note, or corrects the reason for the end"),
    row("annotate/nothing_to_dismiss", COMPLETED, Only(&[Annotate]), when!(dismisses), Refuse(Code::WrongState), "it was completed, so nobody has to look at it"),
    row("retry", ENDED_BADLY, Only(&[Retry]), when!(retry_is_clear), Spawn(outcome::retry, outcome::successor, ENDED_BADLY), "a person wants it tried again"),
    row("retry/was_retried", ENDED_BADLY, Only(&[Retry]), when!(was_retried), Refuse(Code::WrongState), "a new task was made of it already"),
    row("retry/taken", ENDED_BADLY, Only(&[Retry]), when!(retry_takes_a_taken_name), Refuse(Code::Exists), "the new task's id is taken"),
    row("retry/waives_unknown", ENDED_BADLY, Only(&[Retry]), when!(retry_waives_an_unknown_seq), Refuse(Code::NotFound), "the task has no compensation of a number that is waived"),
    row("retry/waives_settled", ENDED_BADLY, Only(&[Retry]), when!(retry_waives_a_settled_seq), Refuse(Code::CompensationSettled), "a compensation that is waived is not owed any more"),
    row("retry/completed", COMPLETED, Only(&[Retry]), when!(always), Refuse(Code::WrongState), "it is done; create a new task to do it again"),
    row("retry/open", OPEN, Only(&[Retry]), when!(always), Refuse(Code::WrongState), "the task has not ended"),
];

#[rustfmt::skip]
static ENDS: &[End] = &[
    end("end/cancelled", when!(end_was_cancelled), outcome::end_cancelled, COMPENSATED[0], "cancel was asked"),
    end("end/released", when!(end_was_released), outcome::end_replanned, PLANNED[0], "it was given back under an active lease, which does not count"),
    end("end/again", when!(end_has_attempts_left), outcome::end_tried_again, PLANNED[0], "attempts are left; not before the backoff"),
    end("end/spent", when!(end_is_spent_to_compensated), outcome::end_compensated, COMPENSATED[0], "its attempts are spent"),
    end("end/spent_quarantined", when!(end_is_spent_to_quarantined), outcome::end_quarantined, QUARANTINED[0], "its attempts are spent, and the policy wants a person"),
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

    /// A table of other rows: how tests show that each guard matters.
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

    /// The row that answers. That there is one, and no other, is what the proof over the table shows.
    pub(crate) fn answer(&self, place: Place, case: &Case) -> &Row {
        let verb = case.command.action.verb();
        let answer = self.at(place, verb).find(|row| (row.guard.holds)(case));
        answer.unwrap_or_else(|| panic!("no row answers {} in {}", verb.as_str(), place.as_str()))
    }

    /// Where a task goes of which nothing is owed any more.
    pub(crate) fn end_of_compensating(&self, case: &Case) -> &End {
        let end = self.ends.iter().find(|end| (end.guard.holds)(case));
        end.unwrap_or_else(|| panic!("no row ends the compensating of a task"))
    }
}
