//! Every situation of the table: tasks in every place with every combination of the facts that guards look at, and
//! commands with every combination of their fields.
//!
//! The tasks are built by hand. Some of them can't result from a history; the table must answer those, too.

use tenure::core::case::Names;
use tenure::core::command::{
    Action, Command, Create, Holder, HolderAction, IdOrigin, LeaseScope, OperatorAction, Put, PutHolder,
    PutUndo, QuarantineCause, Take, UndoBy,
};
use tenure::core::compensation::{COMPENSATIONS_MAX, Compensation, Registered, Status, Undo};
use tenure::core::decide::Stored;
use tenure::core::event::{HandReceipt, LabelChanges, Triage, Waiver};
use tenure::core::id::{
    Actor, Document, Epoch, Kind, LabelKey, LabelValue, Namespace, Owner, Progress, Queue, Reason, Revision,
    Seq, TaskId, Text, UndoKey,
};
use tenure::core::policy::{Jitter, OnFailure, OnLapse, Policy, Ttl, WhenSpent};
use tenure::core::task::{
    Cancel, CancelTold, Cause, Ending, LABELS_MAX, Labels, Lease, Phase, Reservation, State, Task, Terminal,
    Undoing, Unwinding,
};
use tenure::core::time::{Span, Time};

use crate::BEGINNING;

/// When every situation is.
pub const NOW: Time = BEGINNING;
/// The epoch of the leases in situations.
const EPOCH: Epoch = Epoch(3);

/// Calls `visit` with every situation.
pub fn each(mut visit: impl FnMut(Stored<'_>, &Command)) {
    for command in commands(None) {
        for names in [Names::Free, Names::Taken] {
            visit(Stored { task: None, names, floor: Epoch::ZERO }, &command);
        }
    }
    for task in tasks() {
        for command in commands(Some(&task)) {
            let takes_names =
                matches!(command.action, Action::ByOperator { act: OperatorAction::Retry { .. }, .. });
            for names in [Names::Free, Names::Taken].into_iter().take(if takes_names { 2 } else { 1 }) {
                visit(Stored { task: Some(&task), names, floor: Epoch::ZERO }, &command);
            }
        }
    }
}

fn owner(name: &str) -> Owner {
    Owner::new(name).expect("a name")
}

fn reason(words: &str) -> Reason {
    Reason::new(words).expect("words")
}

fn seconds(count: u64) -> Span {
    Span::from_secs(count)
}

// ---- tasks ---------------------------------------------------------------------------------------------------

fn tasks() -> Vec<Task> {
    let mut tasks = Vec::new();
    for phase in phases() {
        let ended = matches!(phase, Phase::Ended(_));
        for policy in policies(&phase) {
            for compensations in compensations(ended) {
                for cancel in cancels(&phase) {
                    for attempts in [1, policy.max_attempts] {
                        tasks.push(Task {
                            phase: phase.clone(),
                            policy,
                            compensations: compensations.clone(),
                            cancel: cancel.clone(),
                            attempts,
                            ..blank()
                        });
                    }
                }
            }
        }
    }
    tasks.extend(planned());
    tasks.extend(full());
    tasks
}

fn blank() -> Task {
    let namespace = Namespace::new("default").expect("a name");
    Task {
        epoch: EPOCH,
        revision: Revision(7),
        started_at: Some(NOW - seconds(600)),
        created_at: NOW - seconds(900),
        updated_at: NOW - seconds(30),
        ..Task::blank(namespace, TaskId::new("t").expect("a name"))
    }
}

fn lease(expires_at: Time, acquired: u64, progressed: u64) -> Lease {
    Lease {
        owner: owner("w"),
        epoch: EPOCH,
        granted_to: Actor::new("w").expect("a name"),
        ttl: Ttl::MINUTE,
        acquired_at: NOW - seconds(acquired),
        heartbeat_at: NOW - seconds(progressed),
        progressed_at: NOW - seconds(progressed),
        expires_at,
        progress: None,
        cancel_told: None,
    }
}

fn phases() -> Vec<Phase> {
    let mut phases = vec![Phase::Planned];
    for expires_at in [NOW + seconds(5), NOW] {
        phases.push(Phase::Dispatched(Reservation {
            owner: owner("w"),
            reserved_at: NOW - seconds(60),
            expires_at,
        }));
    }
    for held in leases() {
        phases.push(Phase::Running(held));
    }
    for why in Unwinding::ALL {
        let reason = reason("why");
        for undoing in [
            Undoing::HeldBy(lease(NOW + seconds(5), 60, 60)),
            Undoing::HeldBy(lease(NOW - seconds(2), 60, 60)),
            Undoing::HeldBy(lease(NOW - seconds(20), 60, 60)),
            Undoing::DueAt(NOW),
            Undoing::DueAt(NOW + seconds(1)),
        ] {
            phases.push(Phase::Compensating { why, reason: reason.clone(), undoing });
        }
    }
    for state in [Terminal::Completed, Terminal::Failed, Terminal::Compensated, Terminal::Quarantined] {
        for retried_as in [None, Some(TaskId::new("again").expect("a name"))] {
            for words in [None, Some(reason("odd"))] {
                phases.push(Phase::Ended(Box::new(Ending {
                    state,
                    cause: Cause::ByOperator,
                    reason: words,
                    result: None,
                    finished_at: NOW - seconds(10),
                    retried_as: retried_as.clone(),
                    dismissed: None,
                })));
            }
        }
    }
    phases
}

/// A lease whose holder was told to stop so long ago.
fn told(lease: Lease, ago: u64) -> Lease {
    Lease { cancel_told: Some(CancelTold { times: 2, since: NOW - seconds(ago) }), ..lease }
}

/// Active with room to be extended; active at one of its bounds; lapsed within and after a lock delay; told to stop, with grace
/// left and without.
fn leases() -> Vec<Lease> {
    vec![
        lease(NOW + seconds(5), 60, 60),
        lease(NOW + seconds(60), 10, 10),
        lease(NOW + seconds(1), 100, 299),
        lease(NOW + seconds(1), 3599, 10),
        lease(NOW, 60, 60),
        lease(NOW - seconds(20), 60, 60),
        lease(NOW - seconds(30), 60, 60),
        told(lease(NOW + seconds(5), 60, 60), 10),
        told(lease(NOW + seconds(10), 60, 60), 20),
    ]
}

fn policies(phase: &Phase) -> Vec<Policy> {
    let mut policies = Vec::new();
    for on_lapse in OnLapse::ALL {
        for when_spent in [WhenSpent::Compensated, WhenSpent::Quarantined] {
            let policy = Policy::default().with(|policy| {
                policy.on_lapse = on_lapse;
                policy.when_spent = when_spent;
                policy.max_attempts = 2;
            });
            policies.push(policy);
            if matches!(phase, Phase::Running(_) | Phase::Compensating { .. }) {
                policies.push(policy.with(|policy| {
                    policy.lock_delay = Some(seconds(10));
                    policy.stall_after = Some(seconds(300));
                    policy.time_limit = Some(seconds(3_600));
                    policy.cancel_grace = Some(seconds(30));
                    policy.on_failure = OnFailure::Quarantine;
                    // One of the leases above has lapsed longer than both delays, and one has not.
                    policy.recover_after = (on_lapse == OnLapse::Either).then(|| seconds(15));
                }));
            }
        }
    }
    if matches!(phase, Phase::Ended(_)) {
        policies.truncate(1);
    }
    policies
}

fn cancels(phase: &Phase) -> Vec<Option<Cancel>> {
    let asked =
        Cancel { at: NOW - seconds(3), by: Actor::new("alice").expect("a name"), reason: reason("stop") };
    match phase {
        Phase::Planned | Phase::Dispatched(_) | Phase::Ended(_) => vec![None],
        Phase::Running(_) | Phase::Compensating { .. } => vec![None, Some(asked)],
    }
}

fn undo(kind: &str) -> Undo {
    Undo { kind: Kind::new(kind).expect("a name"), target: Text::new("x").expect("a text"), reason: None }
}

fn compensation(seq: u32, status: Status, epoch: Epoch) -> Compensation {
    let fresh = Compensation::new(Seq(seq), undo("undo"), Registered::BeforeLease);
    let owed = status == Status::Owed;
    Compensation {
        status,
        epoch: owed.then_some(epoch),
        key: owed.then(|| UndoKey::new(format!("default/t/{seq}/{epoch}")).expect("a key")),
        ..fresh
    }
}

fn compensations(ended: bool) -> Vec<Vec<Compensation>> {
    let older = Epoch(EPOCH.0 - 1);
    let mut lists = vec![
        vec![],
        vec![Compensation::new(Seq(1), undo(Kind::NONE), Registered::UnderLease)],
        vec![compensation(1, Status::Owed, EPOCH)],
        vec![compensation(1, Status::Owed, older)],
        vec![compensation(1, Status::Owed, older), compensation(2, Status::Owed, EPOCH)],
        vec![compensation(1, Status::Done, EPOCH), compensation(2, Status::Waived, EPOCH)],
    ];
    if !ended {
        // Of an ended task nothing stands.
        lists.push(vec![compensation(1, Status::Standing, EPOCH)]);
        lists.push(vec![compensation(1, Status::Owed, EPOCH), compensation(2, Status::Standing, EPOCH)]);
    }
    lists
}

fn planned() -> Vec<Task> {
    let label = |at| (key(&format!("k{at}")), LabelValue::new("x").expect("a value"));
    let mut tasks = vec![Task { labels: (0..LABELS_MAX).map(label).collect(), ..blank() }];
    for not_before in [None, Some(NOW), Some(NOW + seconds(1))] {
        for start_within in [None, Some(seconds(900)), Some(seconds(2_000))] {
            for started_at in [None, Some(NOW - seconds(100))] {
                let policy = Policy::default().with(|policy| policy.start_within = start_within);
                tasks.push(Task { not_before, policy, started_at, ..blank() });
            }
        }
    }
    tasks
}

fn key(name: &str) -> LabelKey {
    LabelKey::new(name).expect("a key")
}

fn full() -> Vec<Task> {
    let many: Vec<Compensation> =
        (1..=COMPENSATIONS_MAX as u32).map(|seq| compensation(seq, Status::Standing, EPOCH)).collect();
    let phases = [
        Phase::Planned,
        Phase::Running(lease(NOW + seconds(5), 60, 60)),
        Phase::Compensating { why: Unwinding::Lapsed, reason: reason("why"), undoing: Undoing::DueAt(NOW) },
    ];
    let label = |at| (key(&format!("k{at}")), LabelValue::new("x").expect("a value"));
    let labels: Labels = (0..LABELS_MAX).map(label).collect();
    let full = |phase| Task { phase, compensations: many.clone(), labels: labels.clone(), ..blank() };
    phases.into_iter().map(full).collect()
}

// ---- commands ------------------------------------------------------------------------------------------------

fn commands(task: Option<&Task>) -> Vec<Command> {
    let mut actions = Vec::new();
    actions.extend(by_lease());
    actions.extend(by_anybody());
    actions.extend(puts(task));
    let order = |action, actor, lease_scope| Command {
        namespace: Namespace::new("default").expect("a name"),
        actor: Actor::new(actor).expect("a name"),
        request: None,
        jitter: Jitter::NONE,
        lease_scope,
        action,
    };
    // Leases are granted to `w`: an actor of that name reaches them however far it may.
    let reaches = [
        ("w", LeaseScope::Any),
        ("w", LeaseScope::OwnLeases),
        ("v", LeaseScope::Any),
        ("v", LeaseScope::OwnLeases),
    ];
    let far = |action: Action| match action.holder() {
        Some(_) => reaches.map(|(actor, lease_scope)| order(action.clone(), actor, lease_scope)).to_vec(),
        None => vec![order(action, "w", LeaseScope::Any)],
    };
    actions.into_iter().flat_map(far).collect()
}

fn proofs() -> Vec<Holder> {
    let proof = |name: &str, epoch| Holder { owner: owner(name), epoch: Epoch(epoch) };
    vec![
        proof("w", EPOCH.0),
        proof("w", EPOCH.0 - 1),
        proof("w", 0),
        proof("w", 99),
        proof("v", EPOCH.0),
        proof("v", 1),
    ]
}

fn id() -> TaskId {
    TaskId::new("t").expect("a name")
}

fn by_lease() -> Vec<Action> {
    let mut actions = Vec::new();
    let (task, why, text) = (id(), reason("why"), Text::new("x").expect("a text"));
    let (document, progress) = (Document::new("1").expect("JSON"), Progress::new("1").expect("JSON"));
    for by in proofs() {
        for ttl in [None, Some(Ttl::new(seconds(1)).expect("a length"))] {
            for report in [None, Some(progress.clone())] {
                let (task, by) = (task.clone(), by.clone());
                actions
                    .push(HolderAction::Heartbeat { ttl, progress: report, checkpoint: None }.on(task, by));
            }
        }
        for delay in [None, Some(seconds(9))] {
            actions.push(HolderAction::Release { reason: why.clone(), delay }.on(task.clone(), by.clone()));
        }
        for seq in [1, 2, 9].map(Seq) {
            actions.push(HolderAction::Settle { seq, receipt: text.clone() }.on(task.clone(), by.clone()));
            actions.push(HolderAction::Try { seq, error: text.clone() }.on(task.clone(), by.clone()));
        }
        for compensation in [None, Some(undo(Kind::NONE))] {
            actions
                .push(HolderAction::Fail { reason: why.clone(), compensation }.on(task.clone(), by.clone()));
        }
        for undo_by in [UndoBy::Recovery, UndoBy::Holder] {
            actions
                .push(HolderAction::RollBack { reason: why.clone(), undo_by }.on(task.clone(), by.clone()));
        }
        let (checkpoint, progress) = (Some(document.clone()), None);
        actions.push(HolderAction::Progress { progress, checkpoint }.on(task.clone(), by.clone()));
        actions.push(HolderAction::Register { undo: undo("undo") }.on(task.clone(), by.clone()));
        for changes in label_changes() {
            actions.push(HolderAction::Label { changes }.on(task.clone(), by.clone()));
        }
        actions.push(HolderAction::Adopt.on(task.clone(), by.clone()));
        actions.push(HolderAction::Complete { result: None }.on(task.clone(), by.clone()));
        for parking in [QuarantineCause::ByHolder, QuarantineCause::UndoFailed] {
            actions.push(
                HolderAction::Quarantine { reason: why.clone(), cause: parking }.on(task.clone(), by.clone()),
            );
        }
    }
    actions
}

/// A new label, and one less.
fn label_changes() -> Vec<LabelChanges> {
    let set = [(key("new"), LabelValue::new("x").expect("a value"))].into();
    vec![LabelChanges { set, unset: Vec::new() }, LabelChanges { set: Labels::new(), unset: vec![key("k1")] }]
}

fn by_anybody() -> Vec<Action> {
    let (task, why) = (id(), reason("why"));
    let mut actions = vec![
        Action::Create(Box::new(Create::new(task.clone(), IdOrigin::Given))),
        OperatorAction::Register { undo: undo("undo") }.on(task.clone()),
        OperatorAction::MarkCompleted { reason: why.clone(), result: None }.on(task.clone()),
        OperatorAction::MarkQuarantined { reason: why.clone() }.on(task.clone()),
        OperatorAction::Cancel { reason: why.clone() }.on(task.clone()),
    ];
    actions.extend(taking());
    for seq in [1, 2, 9].map(Seq) {
        actions.push(OperatorAction::Waive { waiver: Waiver { seq, reason: why.clone() } }.on(task.clone()));
        actions.push(OperatorAction::Settle { done: receipt(seq), reason: why.clone() }.on(task.clone()));
    }
    for changes in label_changes() {
        actions.push(OperatorAction::Label { changes, reason: None }.on(task.clone()));
    }
    for compensation in [None, Some(undo("undo"))] {
        actions.push(OperatorAction::MarkFailed { reason: why.clone(), compensation }.on(task.clone()));
    }
    actions.extend(with_settled());
    for terminal_reason in [None, Some(why.clone())] {
        for triage in [Triage::Stays, Triage::Dismissed] {
            actions.push(
                OperatorAction::Annotate {
                    note: Some(why.clone()),
                    terminal_reason: terminal_reason.clone(),
                    triage,
                }
                .on(task.clone()),
            );
        }
    }
    actions
}

/// What takes a task, by its id or as the next one.
fn taking() -> Vec<Action> {
    let mut actions = Vec::new();
    for name in ["w", "v"] {
        for take in [Take::Dispatch, Take::Acquire, Take::Reclaim] {
            actions.push(Action::Take { task: id(), take, owner: owner(name), ttl: None });
        }
        let queue = Queue::new(Queue::DEFAULT).expect("a name");
        actions.push(Action::Claim { queue, limit: 1, owner: owner(name), ttl: None });
    }
    actions
}

/// What settles compensations with another command.
fn with_settled() -> Vec<Action> {
    let (task, why) = (id(), reason("why"));
    let mut actions = Vec::new();
    let waived_and_done: [(&[u32], &[u32]); 8] = [
        (&[], &[]),
        (&[1], &[]),
        (&[1, 2], &[]),
        (&[2], &[]),
        (&[9], &[]),
        (&[], &[1]),
        (&[2], &[1]),
        (&[1], &[9]),
    ];
    for (waived, done) in waived_and_done {
        let waive: Vec<Waiver> =
            waived.iter().map(|seq| Waiver { seq: Seq(*seq), reason: why.clone() }).collect();
        let settled: Vec<HandReceipt> = done.iter().map(|seq| receipt(Seq(*seq))).collect();
        let (reason, id_origin) = (why.clone(), IdOrigin::Given);
        let marked = OperatorAction::MarkCompensated {
            reason: reason.clone(),
            waive: waive.clone(),
            settled: settled.clone(),
        };
        actions.push(marked.on(task.clone()));
        let successor = TaskId::new("u").expect("a name");
        actions.push(OperatorAction::Retry { successor, id_origin, reason, waive, settled }.on(task.clone()));
    }
    actions
}

fn receipt(seq: Seq) -> HandReceipt {
    HandReceipt { seq, receipt: Text::new("by hand").expect("a text") }
}

/// The stored record with one thing changed, and new records.
fn puts(task: Option<&Task>) -> Vec<Action> {
    let fresh = Put::new(TaskId::new("t").expect("a name"));
    let mut puts = Vec::new();
    let mut bases =
        vec![Put { revision: None, ..fresh.clone() }, Put { revision: Some(Revision(9)), ..fresh }];
    bases.extend(task.map(Put::of));
    bases.extend(task.map(|task| Put { revision: Some(Revision(5)), ..Put::of(task) }));
    for base in bases {
        let added = PutUndo { seq: None, undo: undo("undo") };
        let with_added = |put: &Put| Put {
            compensations: [put.compensations.clone(), vec![added.clone()]].concat(),
            ..put.clone()
        };
        let moved = Create { priority: 5, ..base.record.clone() };
        let numbered = PutUndo { seq: Some(Seq(7)), undo: undo("undo") };
        for state in [State::Planned, State::Failed] {
            let words = state.terminal().map(|_| reason("words"));
            puts.push(Put {
                state,
                terminal_reason: words,
                compensations: vec![numbered.clone()],
                ..base.clone()
            });
        }
        puts.push(Put { attempts: Some(2), ..base.clone() });
        puts.push(base.clone());
        puts.push(with_added(&base));
        puts.push(Put { record: moved, ..base.clone() });
        puts.push(Put { epoch: Some(Epoch(77)), ..base.clone() });
        puts.push(Put { created_at: Some(NOW + seconds(1)), ..base.clone() });
        puts.push(Put { compensations: Vec::new(), ..base.clone() });
        for state in State::ALL {
            let words = state.terminal().map(|_| reason("better words"));
            let put = Put { state, terminal_reason: words, ..base.clone() };
            puts.push(with_added(&put));
            puts.push(put);
        }
    }
    puts.extend(held_elsewhere());
    puts.into_iter().map(|put| Action::Put(Box::new(put))).collect()
}

/// New records that somebody holds elsewhere, in time and too late, with a reason and without.
fn held_elsewhere() -> Vec<Put> {
    let mut puts = Vec::new();
    for state in [State::Running, State::Dispatched] {
        for expires_at in [NOW - seconds(60), NOW + seconds(60), NOW + Span::from_days(8)] {
            for why in [None, Some(reason("moves in"))] {
                let holder = Some(PutHolder { owner: owner("w"), granted_to: None, expires_at });
                puts.push(Put { state, holder, reason: why, ..Put::new(id()) });
            }
        }
    }
    puts
}
