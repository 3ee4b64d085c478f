//! `tenure task list`, and the paging that other lists of tasks share.

use clap::Args;
use clap_complete::ArgValueCompleter;
use tenure::Ledger;
use tenure::api::task::Task as TaskJson;
use tenure::core::id::{LabelKey, LabelValue, Owner, Queue, SagaId, TaskId};
use tenure::core::refusal::Refusal;
use tenure::core::task::{Cause, State};
use tenure::instant::Since;
use tenure::store::{Cursor, Filter, OPEN, Order};

use crate::complete;
use crate::context::Context;
use crate::error::CliError;
use crate::global::OutputFormat;
use crate::tables::{self, Headed};
use crate::values::{one_of, pair};

/// How many tasks are read at once, so that a long list starts at once and is never in memory as a whole.
const PAGE: usize = 500;

/// List tasks, newest first
///
/// Use it to find tasks by state, queue, owner, label or time. As JSON it prints one task per line.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure task list --queue agents --state running --label issue=168\n  \
    tenure task list --ended-badly --since 24h")]
pub(crate) struct List {
    /// Show only tasks in this state; open is every state in which a task has not ended. Can be repeated
    #[arg(long = "state", value_name = "STATE", value_parser = one_of(&StateChoice::ALL, StateChoice::as_str))]
    states: Vec<StateChoice>,
    /// Show only tasks that ended with this cause
    #[arg(long, value_name = "CAUSE", value_parser = one_of(&Cause::ALL, Cause::as_str))]
    cause: Option<Cause>,
    /// Show only tasks of this queue
    #[arg(long, add = ArgValueCompleter::new(complete::queues))]
    queue: Option<String>,
    /// Show only tasks held by or reserved for this owner
    #[arg(long, add = ArgValueCompleter::new(complete::owners))]
    owner: Option<String>,
    /// Show only tasks whose newest ended attempt was this owner's
    #[arg(long, value_name = "OWNER")]
    last_owner: Option<String>,
    /// Show only tasks whose id begins with this
    #[arg(long, value_name = "TEXT")]
    id_prefix: Option<String>,
    /// Show only the task with this saga id
    #[arg(long = "saga", value_name = "SAGA_ID")]
    saga_id: Option<String>,
    /// Show only tasks with this label. Can be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// Show only tasks whose lease or reservation has lapsed
    #[arg(long)]
    stale: bool,
    /// Show only tasks that have not ended
    #[arg(long)]
    open: bool,
    /// Show only tasks that did not succeed: failed, quarantined, or compensated but not cancelled
    #[arg(long)]
    ended_badly: bool,
    /// Also show retried and dismissed tasks, which --ended-badly and --state failed or quarantined leave out
    #[arg(long)]
    all: bool,
    /// Show only tasks that ended, or changed if still open, since this time or within this duration
    #[arg(long, value_name = "DURATION|TIME")]
    since: Option<String>,
    /// Which tasks come first
    #[arg(long, value_name = "ORDER", default_value = "newest", value_parser = one_of(&Order::ALL, Order::as_str))]
    order: Order,
    #[command(flatten)]
    part: Part,
}

/// A state, or `open`, which stands for several as it does over HTTP.
#[derive(Clone, Copy)]
enum StateChoice {
    Open,
    Only(State),
}

impl StateChoice {
    const ALL: [StateChoice; State::ALL.len() + 1] = {
        let mut all = [StateChoice::Open; State::ALL.len() + 1];
        let mut nth = 0;
        while nth < State::ALL.len() {
            all[nth] = StateChoice::Only(State::ALL[nth]);
            nth += 1;
        }
        all
    };

    fn as_str(self) -> &'static str {
        match self {
            StateChoice::Open => OPEN,
            StateChoice::Only(state) => state.as_str(),
        }
    }
}

/// The options that select a part of a list.
#[derive(Args)]
pub(crate) struct Part {
    /// Maximum number of tasks to show [default: all]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Continue where a list with --limit ended
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

impl List {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let label = |(key, value): (String, String)| Ok((LabelKey::new(key)?, LabelValue::new(value)?));
        let labels: Result<_, Refusal> = self.labels.into_iter().map(label).collect();
        // Lists of tasks that need attention leave out those that got it.
        let for_a_person =
            |choice: &StateChoice| matches!(choice, StateChoice::Only(State::Failed | State::Quarantined));
        let only_for_a_person = !self.states.is_empty() && self.states.iter().all(for_a_person);
        let unattended = (self.ended_badly || only_for_a_person) && !self.all;
        let mut filter = Filter::default();
        filter.open = self.open;
        filter.in_states(self.states.iter().map(|choice| choice.as_str()))?;
        filter.cause = self.cause;
        filter.queue = self.queue.map(Queue::new).transpose()?;
        filter.owner = self.owner.map(Owner::new).transpose()?;
        filter.last_owner = self.last_owner.map(|name| Owner::named("last_owner", name)).transpose()?;
        filter.id_prefix = self.id_prefix.map(|id| TaskId::named("id_prefix", id)).transpose()?;
        filter.saga_id = self.saga_id.map(SagaId::new).transpose()?;
        filter.labels = labels?;
        filter.stale = self.stale;
        filter.ended_badly = self.ended_badly;
        filter.unattended = unattended;
        filter.order = self.order;
        let since = self.since.as_deref().map(|text| Since::read("since", text)).transpose()?;
        let ledger = context.ledger_to_read().await?;
        if let Some(since) = since {
            filter.since = Some(since.from(ledger.now().await?));
        }
        self.part.show(context, &ledger, filter, "no task matches").await?;
        if unattended && context.out.form() == OutputFormat::Table && !context.out.is_quiet() {
            context.out.note("retried and dismissed tasks are left out; --all shows them");
        }
        Ok(())
    }
}

impl Part {
    /// Prints the tasks that match, page by page; if there are none, prints the given note.
    pub(crate) async fn show(
        self,
        context: &mut Context<'_, '_>,
        ledger: &Ledger,
        filter: Filter,
        nothing: &str,
    ) -> Result<(), CliError> {
        let mut left = self.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let mut after = self.cursor.map(Cursor::from_text);
        let mut headed = Headed::Yes;
        loop {
            let page = ledger.tasks(filter.clone(), after, PAGE.min(left)).await?;
            let now = ledger.now().await?;
            left -= page.items.len();
            match context.out.form() {
                OutputFormat::Json => {
                    page.items.iter().try_for_each(|task| context.out.json(&TaskJson::at(task, now)))?;
                }
                OutputFormat::Table if context.out.is_quiet() => {
                    page.items.iter().try_for_each(|task| context.out.line(task.id.as_str()))?;
                }
                OutputFormat::Table if !page.items.is_empty() => {
                    let table = tables::tasks(context.out, &page.items, now, headed);
                    context.out.show(&table)?;
                }
                OutputFormat::Table => context.out.note(nothing),
            }
            headed = Headed::No;
            match page.next {
                None => return Ok(()),
                Some(next) if left == 0 => {
                    context.out.goes_on(next.as_str());
                    return Ok(());
                }
                Some(next) => after = Some(next),
            }
        }
    }
}
