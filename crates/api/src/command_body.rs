//! The list of commands: what each is called in JSON, and which body it has.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tenure_core::command::Action;
use tenure_core::refusal::Refusal;

use crate::body::{
    AdoptBody, CancelBody, ClaimBody, CompensateBody, CompleteBody, CreateBody, FailBody, HeartbeatBody,
    LabelBody, NoteBody, ProgressBody, PutBody, QuarantineBody, RegisterBody, ReleaseBody, RetryBody,
    RollBackBody, SettleBody, TakeBody, WaiveBody,
};
use crate::members::Members;
use crate::target::{By, Target};

/// Declares the commands: what each is called in JSON, and which body it has.
macro_rules! commands {
    ($($name:ident $word:literal $body:ident;)*) => {
        /// The verb of a command in JSON. It is the same by lease and by operator: owner and epoch make the difference.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[allow(missing_docs)] // One for each word; the core's command says what it does.
        pub enum CommandName { $($name),* }

        impl CommandName {
            /// Every name.
            pub const ALL: &'static [CommandName] = &[$(CommandName::$name),*];

            /// The word.
            pub const fn as_str(self) -> &'static str {
                match self { $(CommandName::$name => $word),* }
            }
        }

        /// The body of a command.
        #[derive(Debug, Serialize)]
        #[serde(untagged)]
        #[expect(clippy::large_enum_variant, reason = "one is made, written and dropped; a record is the largest")]
        pub(crate) enum CommandBody { $($name($body)),* }

        impl CommandBody {
            pub(crate) fn name(&self) -> CommandName {
                match self { $(CommandBody::$name(_) => CommandName::$name),* }
            }
        }

        /// Who the body says gives the command, and what it asks for.
        pub(crate) fn read_action(
            name: CommandName,
            target: Target,
            members: Members<'_>,
            by: &By<'_>,
        ) -> Result<(Option<String>, Action), Refusal> {
            match name { $(CommandName::$name => action_of::<$body>(name, target, members, by)),* }
        }
    };
}
commands! {
    Create "create" CreateBody;
    Put "put" PutBody;
    Dispatch "dispatch" TakeBody;
    Acquire "acquire" TakeBody;
    Reclaim "reclaim" TakeBody;
    Claim "claim" ClaimBody;
    Heartbeat "heartbeat" HeartbeatBody;
    Progress "progress" ProgressBody;
    Release "release" ReleaseBody;
    Register "register" RegisterBody;
    Adopt "adopt" AdoptBody;
    Settle "settle" SettleBody;
    Waive "waive" WaiveBody;
    Complete "complete" CompleteBody;
    Fail "fail" FailBody;
    RollBack "rollback" RollBackBody;
    Quarantine "quarantine" QuarantineBody;
    Compensate "compensate" CompensateBody;
    Cancel "cancel" CancelBody;
    Label "label" LabelBody;
    Notes "notes" NoteBody;
    Retry "retry" RetryBody;
}

impl CommandName {
    /// The command of that word.
    pub fn of(word: &str) -> Option<CommandName> {
        CommandName::ALL.iter().copied().find(|name| name.as_str() == word)
    }

    /// Whether the id of a new task may be made for it.
    pub(crate) const fn names_a_new_task(self) -> bool {
        matches!(self, CommandName::Create | CommandName::Put | CommandName::Retry)
    }
}

/// A body that can be read from the members of an object.
pub(crate) trait ReadBody: Sized {
    /// Who it says gives the command, and the body.
    fn read(members: Members<'_>) -> Result<(Option<String>, Self), Refusal>;

    /// What it asks for. `name` matters only to those that several commands share.
    fn action(self, name: CommandName, target: Target, by: &By<'_>) -> Result<Action, Refusal>;
}

fn action_of<B: ReadBody + DeserializeOwned>(
    name: CommandName,
    target: Target,
    members: Members<'_>,
    by: &By<'_>,
) -> Result<(Option<String>, Action), Refusal> {
    let (actor, body) = B::read(members)?;
    Ok((actor, body.action(name, target, by)?))
}
