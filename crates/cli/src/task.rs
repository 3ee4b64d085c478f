//! `tenure task …`: commands about one task, and lists of tasks.

mod answers;
mod create;
mod create_many;
mod end;
mod hold;
mod label;
mod list;
mod look;
mod put;
mod retry;
mod set;
mod take;
mod undo;
mod wait;

pub(crate) use list::Part;

use clap::Subcommand;

use crate::context::Context;
use crate::error::CliError;

#[derive(Subcommand)]
#[command(
    // clap has no headings among commands: the two that few need are listed apart.
    after_help = "Advanced:\n  \
        dispatch    Reserve a task for one owner\n  \
        put         Write a whole task record from JSON\n\n\
        The holder of a lease acts with --owner and --epoch. An operator acts without them, with --as and --reason."
)]
pub(crate) enum TaskVerb {
    Create(Box<create::Create>),
    Show(look::Show),
    List(list::List),
    Why(look::Why),
    Wait(wait::Wait),
    Acquire(take::Acquire),
    Claim(take::Claim),
    Heartbeat(hold::Heartbeat),
    Progress(hold::Progress),
    Release(hold::Release),
    Complete(end::Complete),
    Fail(end::Fail),
    Rollback(end::Rollback),
    Quarantine(end::Quarantine),
    Cancel(end::Cancel),
    Compensate(end::Compensate),
    Note(end::Note),
    Label(label::Label),
    Set(Box<set::Set>),
    Retry(retry::Retry),
    /// Register what to undo, and settle, adopt or list it
    #[command(subcommand, arg_required_else_help = true)]
    Undo(undo::UndoVerb),
    #[command(hide = true)]
    Put(put::Put),
    #[command(hide = true)]
    Dispatch(take::Dispatch),
}

impl TaskVerb {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        match self {
            TaskVerb::Create(verb) => verb.run(context).await,
            TaskVerb::Show(verb) => verb.run(context).await,
            TaskVerb::List(verb) => verb.run(context).await,
            TaskVerb::Why(verb) => verb.run(context).await,
            TaskVerb::Wait(verb) => verb.run(context).await,
            TaskVerb::Acquire(verb) => verb.run(context).await,
            TaskVerb::Claim(verb) => verb.run(context).await,
            TaskVerb::Heartbeat(verb) => verb.run(context).await,
            TaskVerb::Progress(verb) => verb.run(context).await,
            TaskVerb::Release(verb) => verb.run(context).await,
            TaskVerb::Complete(verb) => verb.run(context).await,
            TaskVerb::Fail(verb) => verb.run(context).await,
            TaskVerb::Rollback(verb) => verb.run(context).await,
            TaskVerb::Quarantine(verb) => verb.run(context).await,
            TaskVerb::Cancel(verb) => verb.run(context).await,
            TaskVerb::Compensate(verb) => verb.run(context).await,
            TaskVerb::Note(verb) => verb.run(context).await,
            TaskVerb::Label(verb) => verb.run(context).await,
            TaskVerb::Set(verb) => verb.run(context).await,
            TaskVerb::Retry(verb) => verb.run(context).await,
            TaskVerb::Undo(verb) => verb.run(context).await,
            TaskVerb::Put(verb) => verb.run(context).await,
            TaskVerb::Dispatch(verb) => verb.run(context).await,
        }
    }
}
