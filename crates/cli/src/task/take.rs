//! Getting a lease or reservation: `tenure task acquire`, `claim` and `dispatch`.

use std::time::Duration;

use clap::Args;
use clap_complete::ArgValueCompleter;
use tenure::Ledger;
use tenure::api::task::Task as TaskJson;
use tenure::core::id::Queue;
use tenure::core::task::Task;

use super::answers::{Needed, answer_call};
use crate::complete;
use crate::context::Context;
use crate::error::CliError;
use crate::global::OutputFormat;
use crate::values::{ByOperator, Length, TaskArgument, span};

/// Acquire the lease of a task
///
/// Use it when you know which task to work on. If several callers try, one gets the lease, with an epoch that fences off
/// all earlier holders. The others are told who holds it.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure task acquire build-42 --owner w1 --ttl 60s")]
pub(crate) struct Acquire {
    #[command(flatten)]
    task: TaskArgument,
    /// Owner of the lease: a free name, such as host/pid/agent-3 [env: TENURE_OWNER]
    #[arg(long, add = ArgValueCompleter::new(complete::owners))]
    owner: Option<String>,
    #[command(flatten)]
    length: Length,
    #[command(flatten)]
    by: ByOperator,
}

impl Acquire {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let (id, owner) = (context.task_id(self.task.id)?, owner(context, self.owner)?);
        let ttl = self.length.span()?;
        let ledger = context.ledger().await?;
        let mut call = ledger.acquire(&id, &owner);
        if let Some(ttl) = ttl {
            call = call.ttl(ttl);
        }
        let call = context.by_holder(call, &self.by);
        answer_call(context, &ledger, call, Needed::Epoch).await
    }
}

/// Reserve a task for one owner
///
/// Use it when a scheduler decides who works on what. Until the reservation lapses, only that owner can acquire the task;
/// then anybody can.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure task dispatch build-42 --owner w2 --ttl 30s")]
pub(crate) struct Dispatch {
    #[command(flatten)]
    task: TaskArgument,
    /// Owner to reserve the task for
    #[arg(long, add = ArgValueCompleter::new(complete::owners))]
    owner: String,
    #[command(flatten)]
    length: Length,
    #[command(flatten)]
    by: ByOperator,
}

impl Dispatch {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let id = context.task_id(self.task.id)?;
        let ttl = self.length.span()?;
        let ledger = context.ledger().await?;
        let mut call = ledger.dispatch(&id, &self.owner);
        if let Some(ttl) = ttl {
            call = call.ttl(ttl);
        }
        let call = context.by_operator(call, &self.by);
        answer_call(context, &ledger, call, Needed::Nothing).await
    }
}

/// Claim the next due tasks of a queue
///
/// Use it in a worker that takes whatever is next. It prints one line per task. If no task is due, it prints nothing and
/// exits with status 0.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure task claim --queue agents --owner w1 --ttl 60s -n 4 --wait 30s")]
pub(crate) struct Claim {
    /// Queue to claim from
    #[arg(long, default_value = Queue::DEFAULT, add = ArgValueCompleter::new(complete::queues))]
    queue: String,
    /// Owner of the leases [env: TENURE_OWNER]
    #[arg(long, add = ArgValueCompleter::new(complete::owners))]
    owner: Option<String>,
    #[command(flatten)]
    length: Length,
    /// Maximum number of tasks, up to 1000
    #[arg(short = 'n', long = "limit", value_name = "COUNT", default_value_t = 1)]
    limit: u32,
    /// How long to wait until a task is due [default: no wait]
    #[arg(long, value_name = "DURATION")]
    wait: Option<String>,
    #[command(flatten)]
    by: ByOperator,
}

impl Claim {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let owner = owner(context, self.owner.clone())?;
        let (ttl, wait) = (self.length.span()?, span("wait", self.wait.as_deref())?);
        let ledger = context.ledger().await?;
        let mut call = ledger.claim(&self.queue, &owner).limit(self.limit);
        if let Some(ttl) = ttl {
            call = call.ttl(ttl);
        }
        let call = context.by_holder(call, &self.by);
        let wait = wait.map_or(Duration::ZERO, |wait| Duration::from_micros(wait.as_micros()));
        let tasks = call.wait_up_to(wait).await?;
        show(context, &ledger, &tasks).await
    }
}

async fn show(context: &mut Context<'_, '_>, ledger: &Ledger, tasks: &[Task]) -> Result<(), CliError> {
    let now = context.moment(ledger, tasks.first()).await;
    let none = || "none".to_owned();
    for task in tasks {
        match context.out.form() {
            OutputFormat::Json => context.out.json(&TaskJson::at(task, now))?,
            OutputFormat::Table if context.out.is_quiet() => {
                let epoch = task.lease().map_or_else(none, |lease| lease.epoch.to_string());
                context.out.line(&format!("{} {epoch}", task.id))?;
            }
            OutputFormat::Table => context.out.sentence(&tenure::why::why(task, now).sentence)?,
        }
    }
    Ok(())
}

fn owner(context: &Context<'_, '_>, given: Option<String>) -> Result<String, CliError> {
    let owner = given.or_else(|| context.variable("TENURE_OWNER"));
    owner.ok_or_else(|| {
        CliError::Usage(
            "no owner given: pass --owner NAME, such as host/pid/agent-3, or set TENURE_OWNER".to_owned(),
        )
    })
}
