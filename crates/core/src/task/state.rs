//! The states of a task: the open ones, and those in which it does not change any more.

/// The state of a task, as interfaces name it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// May be acquired or claimed when it is due.
    Planned,
    /// Reserved for one owner.
    Dispatched,
    /// Held under a lease, which may have lapsed.
    Running,
    /// Its undo is due or running.
    Compensating,
    /// Done.
    Completed,
    /// Closed for good, with a record of what remains to undo.
    Failed,
    /// Closed; nothing is owed.
    Compensated,
    /// Parked for a person.
    Quarantined,
}

impl State {
    /// Every state.
    pub const ALL: [State; 8] = [
        State::Planned,
        State::Dispatched,
        State::Running,
        State::Compensating,
        State::Completed,
        State::Failed,
        State::Compensated,
        State::Quarantined,
    ];

    /// The state as interfaces write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Planned => "planned",
            State::Dispatched => "dispatched",
            State::Running => "running",
            State::Compensating => "compensating",
            State::Completed => "completed",
            State::Failed => "failed",
            State::Compensated => "compensated",
            State::Quarantined => "quarantined",
        }
    }

    /// The same as a terminal state, if it is one.
    pub const fn terminal(self) -> Option<Terminal> {
        match self {
            State::Planned | State::Dispatched | State::Running | State::Compensating => None,
            State::Completed => Some(Terminal::Completed),
            State::Failed => Some(Terminal::Failed),
            State::Compensated => Some(Terminal::Compensated),
            State::Quarantined => Some(Terminal::Quarantined),
        }
    }
}

/// The terminal states. A task in one of them does not change any more.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Terminal {
    /// Done.
    Completed,
    /// Closed for good, undoing nothing.
    Failed,
    /// Closed; nothing is owed.
    Compensated,
    /// Parked for a person.
    Quarantined,
}

impl Terminal {
    /// The same as one of all states.
    pub const fn state(self) -> State {
        match self {
            Terminal::Completed => State::Completed,
            Terminal::Failed => State::Failed,
            Terminal::Compensated => State::Compensated,
            Terminal::Quarantined => State::Quarantined,
        }
    }
}
