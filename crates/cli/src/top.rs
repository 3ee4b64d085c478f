//! `tenure top`: a namespace in the terminal, live. `look` reads it, `model` is what is shown and what a key does to that, `draw`
//! draws it; none of the three knows a terminal.

mod act;
mod detail;
mod dialog;
mod draw;
mod keys;
mod leave;
mod list;
mod look;
mod model;
mod query;
mod style;
mod terminal;
mod text;

use std::time::Duration;

use clap::Args;
use tenure::clock::Moment;
use tenure::core::id::Actor;
use tenure::core::refusal::Code;
use tenure::core::time::Span;
use tenure::ledger::url_without_secrets;
use tenure::{Error, Ledger};
use tokio::sync::{mpsc, watch};

use crate::context::Context;
use crate::error::CliError;
use crate::io::Screen;
use crate::signals::Signals;
use crate::values::{ByOperator, span};
use act::Orders;
use look::{Look, Wanted};
use model::{Demand, Heading, Model};
use style::Palette;
use terminal::Terminal;

/// Between two pictures, if nothing happens: the bars of the leases move.
const DRAW_EVERY: Duration = Duration::from_millis(250);
/// How often the store may be read.
const EVERY_MIN: Span = Span::from_millis(200);
const EVERY_MAX: Span = Span::from_secs(3_600);

/// Watch tasks live in the terminal: states, leases, stale tasks, triage
///
/// Use it when something seems wrong and there is no browser. It changes nothing unless --write is given; then each action says
/// what it will do and asks for a reason first. Press ? for the keys.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure top --write")]
pub(crate) struct Top {
    /// Allow actions on tasks, such as cancel, retry and waive
    #[arg(long)]
    write: bool,
    /// How often to read the store, 200ms to 1h [default: 1s]
    #[arg(long, value_name = "DURATION")]
    every: Option<String>,
    #[command(flatten)]
    by: ByOperator,
}

impl Top {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let every = span("every", self.every.as_deref())?.unwrap_or(Span::from_secs(1));
        if !(EVERY_MIN..=EVERY_MAX).contains(&every) {
            return Err(CliError::Usage("--every must be from 200ms to 1h".to_owned()));
        }
        let screen = context.out.screen();
        if screen == Screen::Plain || !Terminal::is_there() {
            let words = "tenure top needs a terminal; for scripts use `tenure status -o json`";
            return Err(CliError::Usage(words.to_owned()));
        }
        // A mistyped store must not look like one in which all is well.
        let ledger = context.existing_ledger().await?;
        // A store that can't be read is an error of the command, not a picture.
        ledger.now().await?;
        let who = context.person(&self.by);
        let is_served = context.is_store_served()?;
        if self.write && is_served {
            may_act(&ledger).await?;
        }
        // Only the server knows the token's name.
        let has_token = is_served && context.token()?.is_some();
        let actor = Actor::new(who.as_str())?;
        let heading = Heading {
            store: url_without_secrets(&context.store_of(&context.settings()?)?),
            namespace: ledger.namespace().to_string(),
            writes_as: self.write.then(|| if has_token { "your token".to_owned() } else { who }),
        };
        let mut signals = Signals::that_end()?;
        let mut model = Model::new(heading, Palette::of(screen == Screen::Coloured));
        let mut terminal = Terminal::enter()?;
        let mut orders = Orders::by(actor, ledger.clone());
        let looks = (ledger, every);
        let ended = watch_it(&mut model, (&mut terminal, &mut signals), &mut orders, looks).await;
        let answers = leave::answers(&mut orders, &mut model, (&mut terminal, &mut signals)).await;
        // The screen is given back before anything is printed on it.
        drop(terminal);
        let told = leave::report(context.out, answers, orders.unanswered());
        // What was not done is said above, whatever ended the screen.
        ended.and(told)
    }
}

/// Fails where the server would refuse every action of this token. To ask for what recovery should handle next changes nothing, and
/// needs the role that actions need.
async fn may_act(ledger: &Ledger) -> Result<(), CliError> {
    match ledger.lapsed(None, 1).await {
        Ok(_) => Ok(()),
        Err(error) if error.code() == Some(Code::Forbidden) => Err(CliError::Failed(format!(
            "--write: {}; to look only, run `tenure top` without it",
            error.message()
        ))),
        Err(error) => Err(error.into()),
    }
}

/// Shows the model until its person has seen enough.
async fn watch_it(
    model: &mut Model,
    (terminal, signals): (&mut Terminal, &mut Signals),
    orders: &mut Orders,
    (ledger, every): (Ledger, Span),
) -> Result<(), CliError> {
    let (wants, wanted) = watch::channel(Wanted::default());
    let (found, mut looks) = mpsc::channel::<Result<Look, Error>>(1);
    let reading = tokio::spawn(look::keep_looking(ledger.clone(), every, wanted, found));
    let mut redraw = tokio::time::interval(DRAW_EVERY);
    let ended = loop {
        model.is_at(Moment::now());
        if let Err(error) = terminal.draw(model) {
            break Err(error);
        }
        let demand = tokio::select! {
            key = terminal.next_key() => match key {
                Ok(Some(key)) => model.press(key, ledger.entropy()),
                Ok(None) => None,
                Err(error) => break Err(error),
            },
            Some(look) = looks.recv() => {
                model.take(look);
                None
            }
            done = orders.next() => {
                model.is_done(done, ledger.entropy());
                wants.send_replace(model.wanted());
                None
            }
            number = signals.next() => break Err(CliError::Interrupted(number)),
            _ = redraw.tick() => None,
        };
        match demand {
            Some(Demand::Quit) => break Ok(()),
            Some(Demand::Do(order)) => orders.give(*order),
            Some(Demand::Look) => {
                wants.send_replace(model.wanted());
            }
            None => {}
        }
    };
    reading.abort();
    ended
}
