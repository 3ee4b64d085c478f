//! What a task is created with: the options that `tenure task create` and `tenure run` share.

use clap::Args;
use clap_complete::ArgValueCompleter;
use tenure::Ledger;
use tenure::core::policy::{Backoff, OnLapse, Policy, Ttl, WhenSpent};
use tenure::core::refusal::Refusal;
use tenure::instant;
use tenure::ledger::{Call, Creation, JsonText};

use crate::complete;
use crate::context::Context;
use crate::error::CliError;
use crate::values::{Undos, one_of, pair, span};

/// All options except the id.
#[derive(Args)]
pub(crate) struct CreationOptions {
    /// Queue to put the task in; workers claim from queues by name [default: default, or run for `tenure run`]
    #[arg(long, add = ArgValueCompleter::new(complete::queues))]
    queue: Option<String>,
    /// Kind of task, a free name [default: task]
    #[arg(long, add = ArgValueCompleter::new(complete::kinds))]
    kind: Option<String>,
    /// Label to find the task by. Can be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// Input for the work: JSON, @FILE or @-
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    /// Priority in the queue; higher ones are claimed first
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, default_value_t = 0)]
    priority: i32,
    /// Time before which the task can't be acquired or claimed, with an offset, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "delay")]
    not_before: Option<String>,
    /// How long from now the task can't be acquired or claimed, such as 10m
    #[arg(long, value_name = "DURATION")]
    delay: Option<String>,
    #[command(flatten)]
    pub(crate) undos: Undos,
    /// Second unique name, for the task's saga [default: the task id]
    #[arg(long, value_name = "SAGA", help_heading = "Advanced")]
    saga: Option<String>,
    // Last: the options of a command that come after it would be under its heading.
    #[command(flatten)]
    policy: PolicyOptions,
}

/// The policy of the task.
#[derive(Args)]
#[command(next_help_heading = "Policy")]
struct PolicyOptions {
    /// How long a lease lasts unless it is renewed, 1s to 7d [default: 60s]
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
    /// Maximum number of attempts
    #[arg(long, value_name = "COUNT", default_value_t = Policy::default().max_attempts)]
    max_attempts: u32,
    /// What to do when a lease lapses: undo and try again (recover), wait for somebody to acquire it (hold), or quarantine it
    #[arg(long, value_name = "ACTION", default_value = OnLapse::default().as_str(),
        value_parser = one_of(&OnLapse::ALL, OnLapse::as_str))]
    on_lapse: OnLapse,
    /// State of the task when it has no attempts left
    #[arg(long, value_name = "STATE", default_value = WhenSpent::default().as_str(),
        value_parser = one_of(&WhenSpent::ALL, WhenSpent::as_str))]
    when_spent: WhenSpent,
    /// Maximum time without progress: heartbeats don't extend the lease beyond it [default: off]
    #[arg(long, value_name = "DURATION")]
    stall_after: Option<String>,
    /// Maximum time of an attempt: heartbeats don't extend the lease beyond it [default: off]
    #[arg(long, value_name = "DURATION")]
    time_limit: Option<String>,
    /// Maximum time until the first attempt begins, once the task is created and due [default: off]
    #[arg(long, value_name = "DURATION")]
    start_within: Option<String>,
    /// How long takeover and recovery wait after a lease lapses, for side effects that can't be fenced [default: off]
    #[arg(long, value_name = "DURATION")]
    lock_delay: Option<String>,
    /// How long a holder that was told to stop can still renew its lease [default: off]
    #[arg(long, value_name = "DURATION")]
    cancel_grace: Option<String>,
    /// Wait after the first attempt
    #[arg(long, value_name = "DURATION", default_value_t = Backoff::default().base.to_string())]
    backoff_base: String,
    /// Factor by which each further wait is longer
    #[arg(long, value_name = "FACTOR", default_value_t = Backoff::default().factor)]
    backoff_factor: u32,
    /// Longest wait between attempts
    #[arg(long, value_name = "DURATION", default_value_t = Backoff::default().cap.to_string())]
    backoff_cap: String,
}

impl PolicyOptions {
    fn policy(&self) -> Result<Policy, Refusal> {
        let mut policy = Policy::default();
        if let Some(ttl) = span("ttl", self.ttl.as_deref())? {
            policy.lease_ttl = Ttl::new(ttl)?;
        }
        policy.max_attempts = self.max_attempts;
        policy.backoff = Backoff {
            base: instant::parse_span("backoff_base", &self.backoff_base)?,
            factor: self.backoff_factor,
            cap: instant::parse_span("backoff_cap", &self.backoff_cap)?,
        };
        policy.when_spent = self.when_spent;
        policy.on_lapse = self.on_lapse;
        policy.stall_after = span("stall_after", self.stall_after.as_deref())?;
        policy.time_limit = span("time_limit", self.time_limit.as_deref())?;
        policy.start_within = span("start_within", self.start_within.as_deref())?;
        policy.lock_delay = span("lock_delay", self.lock_delay.as_deref())?;
        policy.cancel_grace = span("cancel_grace", self.cancel_grace.as_deref())?;
        Ok(policy)
    }
}

/// The parsed options, read before the store is opened: wrong options are reported first.
pub(crate) struct Read {
    policy: Policy,
    not_before: Option<tenure::core::time::Time>,
    delay: Option<tenure::core::time::Span>,
    payload: Option<String>,
    /// The reason of each undo, in their order.
    pub(crate) undo_reasons: Vec<Option<String>>,
}

impl CreationOptions {
    /// The length of a lease, if it was given.
    pub(crate) fn ttl(&self) -> Result<Option<tenure::core::time::Span>, Refusal> {
        span("ttl", self.policy.ttl.as_deref())
    }

    pub(crate) fn read(&self, context: &mut Context<'_, '_>) -> Result<Read, CliError> {
        let policy = self.policy.policy()?;
        let not_before = self.not_before.as_deref().map(|text| instant::parse("not_before", text));
        let not_before = not_before.transpose()?;
        let payload = context.optional_text("--payload", self.payload.clone())?;
        let reasons = self.undos.0.iter().map(|undo| undo.reason.clone());
        let undo_reasons = reasons.map(|reason| context.optional_text("--undo-reason", reason));
        let undo_reasons = undo_reasons.collect::<Result<_, CliError>>()?;
        let delay = span("delay", self.delay.as_deref())?;
        Ok(Read { policy, not_before, delay, payload, undo_reasons })
    }

    /// The call that creates the task; without an id a new one is chosen. Without --queue the task goes to the given
    /// queue.
    pub(crate) async fn call(
        &self,
        ledger: &Ledger,
        id: Option<&str>,
        queue: &str,
        read: Read,
    ) -> Result<Call<Creation>, CliError> {
        // By the store's clock, because that clock decides when the task is due.
        let not_before = match read.delay {
            Some(delay) => Some(ledger.now().await? + delay),
            None => read.not_before,
        };
        let mut call = match id {
            Some(id) => ledger.create(id),
            None => ledger.create_unnamed(),
        };
        call = call.policy(read.policy).priority(self.priority);
        call = call.queue(self.queue.as_deref().unwrap_or(queue));
        if let Some(kind) = &self.kind {
            call = call.kind(kind);
        }
        if let Some(saga) = &self.saga {
            call = call.saga_id(saga);
        }
        if let Some(payload) = &read.payload {
            call = call.payload(JsonText(payload));
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
        for (undo, reason) in self.undos.0.iter().zip(&read.undo_reasons) {
            call = call.undo(&undo.kind, &undo.target);
            if let Some(reason) = reason {
                call = call.undo_reason(reason);
            }
        }
        Ok(call)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Options {
        #[command(flatten)]
        policy: PolicyOptions,
    }

    #[test]
    fn there_is_an_option_for_each_field_of_a_policy() {
        let words = "create --ttl 90s --max-attempts 3 --backoff-base 2s --backoff-factor 3 --backoff-cap 400s \
                     --when-spent quarantined --on-lapse hold --stall-after 300s --time-limit 2h --start-within 10m \
                     --lock-delay 500ms --cancel-grace 30s";
        let options = Options::try_parse_from(words.split_whitespace()).expect("options");
        assert_eq!(options.policy.policy(), Ok(Policy::unlike_the_default()));
    }
}
