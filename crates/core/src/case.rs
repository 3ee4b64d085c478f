//! The facts of one decision, which guards ask about and outcomes are made of.

use crate::command::{Command, HolderAction, OperatorAction};
use crate::id::Epoch;
use crate::task::Task;
use crate::time::Time;

/// Whether the names that a command would take, an id and a saga id, are free. Those of pruned tasks are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Names {
    /// They are free.
    Free,
    /// At least one is taken.
    Taken,
}

/// The facts that guards and outcomes use.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The task that the command names.
    pub task: Option<&'a Task>,
    /// The names that the command would take.
    pub names: Names,
    /// Every grant of this store has a higher epoch.
    pub floor: Epoch,
    /// What is asked for.
    pub command: &'a Command,
    /// When.
    pub now: Time,
}

impl<'a> Case<'a> {
    /// What a holder asks for; none if it is another command.
    pub(crate) fn by_holder(&self) -> Option<&'a HolderAction> {
        self.command.action.by_holder()
    }

    /// What an operator asks for; none if it is another command.
    pub(crate) fn by_operator(&self) -> Option<&'a OperatorAction> {
        self.command.action.by_operator()
    }
}
