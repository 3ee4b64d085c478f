//! The end of `tenure top`: what was ordered and is not answered yet is waited for, and what became of it is said where the person
//! sees it then.

use std::time::Duration;

use tenure::Error;
use tenure_view::offers::Act;

use super::act::{Done, Given, Orders};
use super::keys::is_interrupt;
use super::model::Model;
use super::terminal::Terminal;
use crate::error::CliError;
use crate::output::{Output, harmless_line};
use crate::signals::Signals;

/// How long answers are waited for.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Waits for the answers to what was ordered, unless its person will not.
pub(super) async fn answers(
    orders: &mut Orders,
    model: &mut Model,
    (terminal, signals): (&mut Terminal, &mut Signals),
) -> Vec<Done> {
    let mut answers = Vec::new();
    let over = tokio::time::sleep(WAIT_MAX);
    tokio::pin!(over);
    let mut has_keys = true;
    while !orders.unanswered().is_empty() {
        model.said = Some("waiting for the answer… Ctrl-C leaves at once".to_owned());
        // Without a picture it is waited for all the same: the terminal may be gone.
        let _ = terminal.draw(model);
        tokio::select! {
            done = orders.next() => answers.push(done),
            key = terminal.next_key(), if has_keys => match key {
                Ok(Some(key)) if is_interrupt(key) => break,
                Ok(_) => {}
                Err(_) => has_keys = false,
            },
            _ = signals.next() => break,
            () = &mut over => break,
        }
    }
    answers
}

/// Says what became of the orders at the end: the error is that of the first that was not done, or may not have been.
pub(super) fn report(out: &mut Output<'_>, answers: Vec<Done>, unanswered: &[Given]) -> Result<(), CliError> {
    let mut statuses = Vec::new();
    for given in unanswered {
        unknown(out, given, "no answer came");
        statuses.push(CliError::Ledger(Error::Unknown("no answer came".into())).status());
    }
    for Done { given, outcome } in answers {
        match outcome {
            Ok(then) => {
                let words = Act::done(given.act.word()).unwrap_or("It is done.");
                out.note(&format!("{then}: {words}"));
            }
            Err(error) => {
                if let Error::Unknown(_) = &error {
                    unknown(out, &given, &error.message());
                } else {
                    let (act, task) = (given.act.word(), &given.task);
                    out.error(&harmless_line(&format!("the {act} of {task} was not done: {error}")), None);
                }
                statuses.push(CliError::Ledger(error).status());
            }
        }
    }
    statuses.first().map_or(Ok(()), |status| Err(CliError::Status(*status)))
}

fn unknown(out: &mut Output<'_>, given: &Given, why: &str) {
    let Given { act, task, request: _ } = given;
    let act = act.word();
    let words = format!("unknown: the {act} of {task} was sent, and may or may not have happened: {why}");
    let look = format!("look before you repeat it: `tenure task show {task}`");
    out.error(&harmless_line(&words), Some(&look));
}
