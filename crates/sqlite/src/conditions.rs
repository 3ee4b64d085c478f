//! The where clauses of lists, and their values.

use rusqlite::types::Value;
use tenure_api::wire::Word;
use tenure_core::id::{Namespace, SagaId};
use tenure_core::task::State;
use tenure_core::time::Time;
use tenure_store::Filter;

/// A where clause and its values.
#[derive(Default)]
pub(crate) struct Conditions {
    clauses: Vec<String>,
    pub(crate) values: Vec<Value>,
}

impl Conditions {
    pub(crate) fn add(&mut self, clause: impl Into<String>, value: impl Into<Value>) {
        self.clauses.push(clause.into());
        self.values.push(value.into());
    }

    pub(crate) fn sql(&self) -> String {
        if self.clauses.is_empty() { "true".to_owned() } else { self.clauses.join(" and ") }
    }

    /// A clause without a value.
    pub(crate) fn condition(&mut self, clause: String) {
        self.clauses.push(clause);
    }

    fn one_of(&mut self, states: &[State]) {
        let words: Vec<String> = states.iter().map(|state| format!("'{}'", state.word())).collect();
        self.clauses.push(format!("tasks.state in ({})", words.join(", ")));
        let ended_badly = |state: &State| state.terminal().is_some() && *state != State::Completed;
        if states.iter().all(ended_badly) {
            // In the words of the index, which holds just those.
            self.clauses.push("tasks.finished_at is not null and tasks.state <> 'completed'".to_owned());
        }
    }

    /// For a page of at most `limit` tasks.
    pub(crate) fn of_page(filter: &Filter, after: Option<i64>, now: Time, limit: i64) -> Conditions {
        let Some(states) = ranges(filter) else { return Conditions::of(filter, after, now) };
        let (mut wanted, order) = (Conditions::default(), filter.order.sql());
        let found = states.map(|state| {
            let one = filter.clone().with(|filter| filter.states = vec![state]);
            let Conditions { clauses, values } = Conditions::of(&one, after, now);
            wanted.values.extend(values);
            format!(
                "select no from (select tasks.no as no from tasks left join due on due.task = tasks.no \
                 where {} order by tasks.no {order} limit {limit})",
                clauses.join(" and ")
            )
        });
        let found = found.collect::<Vec<_>>().join(" union all ");
        wanted.clauses.push(format!("tasks.no in ({found})"));
        wanted
    }

    /// By two indexes: a saga id that is the task's own id is in none by saga ids.
    fn of_saga(&mut self, saga_id: &SagaId, namespace: Option<&Namespace>) {
        self.add("tasks.saga_id = ?", saga_id.to_string());
        let Some(namespace) = namespace else { return };
        let found = "tasks.no in (select no from tasks where namespace = ? and saga_id = ? and saga_id <> id \
                     union all select no from tasks where namespace = ? and id = ?)";
        self.clauses.push(found.to_owned());
        for _ in 0..2 {
            self.values.extend([namespace.to_string().into(), saga_id.to_string().into()]);
        }
    }

    /// By the index over ids, so that it costs the tasks whose ids begin so, and not every task that ever was.
    fn of_ids(&mut self, first: &str, behind: &str, namespace: Option<&Namespace>) {
        let Some(namespace) = namespace else {
            self.add("tasks.id >= ?", first.to_owned());
            return self.add("tasks.id < ?", behind.to_owned());
        };
        let found = "tasks.no in (select no from tasks where namespace = ? and id >= ? and id < ?)";
        self.add(found, namespace.to_string());
        self.values.extend([first.to_owned().into(), behind.to_owned().into()]);
    }

    /// The same as the store in memory says in Rust.
    fn of(filter: &Filter, after: Option<i64>, now: Time) -> Conditions {
        let mut wanted = Conditions::default();
        if let Some(after) = after {
            wanted.add(format!("tasks.no {} ?", filter.order.behind()), after);
        }
        // Few tasks are in flight among all that ever were: where only such are wanted, they are found by what they wait
        // for, and the namespace is only compared.
        let waits = |state: &State| matches!(state, State::Dispatched | State::Running | State::Compensating);
        let in_flight = !filter.states.is_empty() && filter.states.iter().all(waits);
        let by_due = filter.stale || filter.owner.is_some() || in_flight;
        if let Some(namespace) = &filter.namespace {
            let name = if by_due || filter.saga_id.is_some() || filter.id_prefix.is_some() {
                "+tasks.namespace = ?"
            } else {
                "tasks.namespace = ?"
            };
            wanted.add(name, namespace.to_string());
        }
        if in_flight {
            wanted.clauses.push("tasks.no in (select task from due where wait <> 'start')".to_owned());
        }
        if !filter.states.is_empty() {
            wanted.one_of(&filter.states);
        }
        if filter.open {
            wanted.clauses.push("tasks.finished_at is null".to_owned());
        }
        if filter.ended_badly {
            // The index over what ended badly is by state.
            wanted.clauses.push(
                "tasks.state in ('failed', 'compensated', 'quarantined') and tasks.cause <> 'cancelled' \
                 and tasks.finished_at is not null and tasks.state <> 'completed'"
                    .to_owned(),
            );
        }
        if filter.unattended {
            wanted.clauses.push("tasks.retried_as is null and tasks.dismissed_at is null".to_owned());
        }
        if let Some(since) = filter.since {
            wanted.add("coalesce(tasks.finished_at, tasks.updated_at) >= ?", since.as_micros());
        }
        if let Some(cause) = filter.cause {
            wanted.add("tasks.cause = ?", cause.word().to_owned());
        }
        if let Some(queue) = &filter.queue {
            wanted.add("tasks.queue = ?", queue.to_string());
        }
        if let Some(saga_id) = &filter.saga_id {
            wanted.of_saga(saga_id, filter.namespace.as_ref());
        }
        if let Some([first, behind]) = filter.id_range() {
            wanted.of_ids(&first, &behind, filter.namespace.as_ref());
        }
        if let Some(owner) = &filter.owner {
            wanted.add("tasks.no in (select task from due where owner = ?)", owner.to_string());
        }
        if let Some(owner) = &filter.last_owner {
            wanted.add("tasks.last_owner = ?", owner.to_string());
        }
        for (key, value) in &filter.labels {
            wanted.add("json_extract(tasks.labels, ?) = ?", format!("$.\"{key}\""));
            wanted.values.push(value.to_string().into());
        }
        if filter.stale {
            // By the two indexes over `check_at`, so that it costs what is due and not what exists.
            let lapsed = "select task from due where held_back = 0 and check_at <= ? union all \
                          select task from due where held_back = 1 and check_at <= ?";
            wanted.add(format!("tasks.no in ({lapsed})"), now.as_micros());
            wanted.values.push(now.as_micros().into());
            wanted.add(
                "due.wait in ('lease', 'undo_lease', 'reservation') and due.expires_at <= ?",
                now.as_micros(),
            );
        }
        wanted
    }
}

/// The states that a list is of, if each is a range of the index over what ended badly. The tasks of one range are in the order of the
/// list, those of several are not: so a page is found in each of them, and not by reading every task that ever was.
fn ranges(filter: &Filter) -> Option<impl Iterator<Item = State>> {
    const BAD: [State; 3] = [State::Failed, State::Compensated, State::Quarantined];
    let is_of = |state: &State| match filter.states.as_slice() {
        [] => filter.ended_badly,
        states => states.contains(state),
    };
    let only_such = filter.states.iter().all(|state| BAD.contains(state));
    let states: Vec<State> = BAD.into_iter().filter(is_of).collect();
    (filter.namespace.is_some() && only_such && states.len() > 1).then(|| states.into_iter())
}
