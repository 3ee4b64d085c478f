//! `tenure task create`.

use clap::Args;
use clap_complete::ArgValueCompleter;
use tenure::core::policy::{Backoff, OnLapse, Policy, Ttl, WhenSpent};
use tenure::core::refusal::Refusal;
use tenure::instant;

use super::{Needed, answer_call};
use crate::complete;
use crate::context::Context;
use crate::failure::Failure;
use crate::values::{ByOperator, Undos, one_of, pair, span};

/// Create a task
///
/// Use it to write down that work is to be done, before anybody begins it. A known id or saga id is refused, and what is
/// stored stays as it is.
#[derive(Args)]
#[command(
    after_help = "Example:\n  tenure task create --id build-42 --queue agents --undo remove-worktree=/tmp/wt-42"
)]
pub(crate) struct Create {
    /// Its name [else: one is made and printed]
    #[arg(long)]
    id: Option<String>,
    /// Where workers claim it from [else: default]
    #[arg(long, add = ArgValueCompleter::new(complete::queues))]
    queue: Option<String>,
    /// What sort of task it is [else: task]
    #[arg(long, add = ArgValueCompleter::new(complete::kinds))]
    kind: Option<String>,
    /// Something to find it by. May be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// What is needed to do it: JSON, @FILE or @-
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    /// Which of a queue's due tasks go first: the higher ones
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    priority: Option<i32>,
    /// Not to be acquired or claimed earlier: a time with an offset, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    not_before: Option<String>,
    #[command(flatten)]
    undos: Undos,
    #[command(flatten)]
    by: ByOperator,
    #[command(flatten)]
    policy: PolicyOptions,
    /// A second unique name, for the task's saga [else: its id]
    #[arg(long, value_name = "SAGA", help_heading = "Advanced")]
    saga: Option<String>,
}

/// What is decided beforehand.
#[derive(Args)]
#[command(next_help_heading = "Policy")]
struct PolicyOptions {
    /// How long a lease lasts unless it is renewed, 1s to 7d [else: 60s]
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
    /// How often it is tried by itself [else: 1]
    #[arg(long, value_name = "COUNT")]
    max_attempts: Option<u32>,
    /// What a lapse of its lease means [else: recover]
    #[arg(long, value_name = "WORD", value_parser = one_of(&OnLapse::ALL, OnLapse::as_str))]
    on_lapse: Option<OnLapse>,
    /// Where it ends when its attempts are spent [else: compensated]
    #[arg(long, value_name = "WORD", value_parser = one_of(&WhenSpent::ALL, WhenSpent::as_str))]
    when_spent: Option<WhenSpent>,
    /// No heartbeat extends a lease beyond this long after the last progress [else: off]
    #[arg(long, value_name = "DURATION")]
    stall_after: Option<String>,
    /// No heartbeat extends a lease beyond this long after the attempt began [else: off]
    #[arg(long, value_name = "DURATION")]
    time_limit: Option<String>,
    /// The first attempt must begin this long after the task is created and due [else: off]
    #[arg(long, value_name = "DURATION")]
    start_within: Option<String>,
    /// Takeover and recovery of a lapsed lease wait this long, for effects that can't be fenced [else: off]
    #[arg(long, value_name = "DURATION")]
    lock_delay: Option<String>,
    /// The wait after the first attempt [else: 1s]
    #[arg(long, value_name = "DURATION")]
    backoff_base: Option<String>,
    /// How much longer each further wait is [else: 2]
    #[arg(long, value_name = "FACTOR")]
    backoff_factor: Option<u32>,
    /// The longest wait [else: 5m]
    #[arg(long, value_name = "DURATION")]
    backoff_cap: Option<String>,
}

impl PolicyOptions {
    fn policy(&self) -> Result<Policy, Refusal> {
        let default = Policy::default();
        let ttl = span("ttl", self.ttl.as_deref())?.map(Ttl::new).transpose()?;
        Ok(Policy {
            lease_ttl: ttl.unwrap_or(default.lease_ttl),
            max_attempts: self.max_attempts.unwrap_or(default.max_attempts),
            backoff: Backoff {
                base: span("backoff_base", self.backoff_base.as_deref())?.unwrap_or(default.backoff.base),
                factor: self.backoff_factor.unwrap_or(default.backoff.factor),
                cap: span("backoff_cap", self.backoff_cap.as_deref())?.unwrap_or(default.backoff.cap),
            },
            when_spent: self.when_spent.unwrap_or_default(),
            on_lapse: self.on_lapse.unwrap_or_default(),
            stall_after: span("stall_after", self.stall_after.as_deref())?,
            time_limit: span("time_limit", self.time_limit.as_deref())?,
            start_within: span("start_within", self.start_within.as_deref())?,
            lock_delay: span("lock_delay", self.lock_delay.as_deref())?,
        })
    }
}

impl Create {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), Failure> {
        let policy = self.policy.policy()?;
        let not_before = self.not_before.map(|text| instant::parse("not_before", &text)).transpose()?;
        let payload = context.optional_text("--payload", self.payload)?;
        if let Some(id) = &self.id {
            context.out.is_about(id);
        }
        let ledger = context.ledger().await?;
        let mut call = match &self.id {
            Some(id) => ledger.create(id),
            None => ledger.create_unnamed(),
        };
        call = call.policy(policy).priority(self.priority.unwrap_or_default());
        if let Some(queue) = &self.queue {
            call = call.queue(queue);
        }
        if let Some(kind) = &self.kind {
            call = call.kind(kind);
        }
        if let Some(saga) = &self.saga {
            call = call.saga_id(saga);
        }
        if let Some(payload) = &payload {
            call = call.payload(payload);
        }
        if let Some(not_before) = not_before {
            call = call.not_before(not_before);
        }
        for (nth, (key, value)) in self.labels.iter().enumerate() {
            if self.labels[..nth].iter().any(|(before, _)| before == key) {
                return Err(Refusal::invalid("labels", format_args!("the key {key} is given twice")).into());
            }
            call = call.label(key, value);
        }
        for undo in self.undos.0 {
            call = call.undo(&undo.kind, &undo.target);
            if let Some(reason) = context.optional_text("--undo-reason", undo.reason)? {
                call = call.undo_reason(&reason);
            }
        }
        let call = context.by_operator(call, &self.by);
        answer_call(context, &ledger, call, Needed::Id).await
    }
}
