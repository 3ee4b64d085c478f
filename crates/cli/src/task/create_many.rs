//! `tenure task create --from-file`: creates many tasks, one per line of a file.

use std::sync::Arc;

use tenure::Error;
use tenure::api::command::{By, CommandName, Target, read_body};
use tenure::core::command::{Command, LeaseScope};
use tenure::core::id::{Actor, RequestId};
use tenure::core::refusal::Refusal;
use tenure::store::Answer;

use super::answers::{Needed, show};
use crate::context::Context;
use crate::error::CliError;
use crate::values::ByOperator;

/// How many tasks are sent at once: they share a commit, and each batch is reported when it is done.
const AT_ONCE: usize = 500;

/// Creates the tasks in the order of the lines. A malformed line is reported before any task is created. A refused one
/// does not stop the others.
pub(super) async fn create_many(
    context: &mut Context<'_, '_>,
    file: &str,
    who: &ByOperator,
) -> Result<(), CliError> {
    let text = context.file("--from-file", file)?;
    let ledger = context.ledger().await?;
    let (person, entropy) = (context.person(who), Arc::clone(&context.around.entropy));
    let actor = Actor::named("as", person)?;
    let by = By {
        namespace: ledger.namespace(),
        actor: Some(actor),
        lease_scope: LeaseScope::Any,
        random: &*entropy,
    };
    let mut commands = Vec::<(usize, Command)>::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let request = context.request_id().map(|id| RequestId::new(format!("{id}/{number}"))).transpose();
        let command = request.map_err(Refusal::from).and_then(|request| {
            read_body(CommandName::Create, Target { request, ..Target::default() }, line, &by)
        });
        let command = command.map_err(|refusal| Error::Refused(at_line(number, refusal)))?;
        commands.push((number, command));
    }
    let all = commands.len();
    if all == 0 {
        return Err(CliError::Usage(format!("--from-file: {file}: contains no task")));
    }
    let (mut created, mut refused) = (0, 0);
    let mut rest = commands.into_iter();
    loop {
        let (numbers, part): (Vec<usize>, Vec<Command>) = rest.by_ref().take(AT_ONCE).unzip();
        if part.is_empty() {
            break;
        }
        let answers = ledger.store().transact(part).await;
        let now = context.moment(&ledger, None).await;
        for (number, answered) in numbers.into_iter().zip(answers) {
            match answered {
                Ok(Answer::Task(task)) => {
                    created += 1;
                    show(context, &task, now, Needed::Id)?;
                }
                Ok(_) => {
                    return Err(CliError::Failed(format!("line {number}: the store returned no task")));
                }
                Err(Error::Refused(refusal)) => {
                    refused += 1;
                    context.out.error(&at_line(number, refusal).message, None);
                }
                Err(error) => {
                    context.out.note(&format!("created {created} of {all} tasks before line {number}"));
                    return Err(error.into());
                }
            }
        }
    }
    match refused {
        0 => Ok(()),
        _ => {
            context.out.note(&format!("created {created} of {all} tasks; {refused} refused"));
            Err(CliError::Status(3))
        }
    }
}

/// The refusal, with the number of the line.
fn at_line(number: usize, refusal: Refusal) -> Refusal {
    Refusal { message: format!("line {number}: {}", refusal.message).into(), ..refusal }
}
