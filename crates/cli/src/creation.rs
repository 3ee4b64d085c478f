//! What a task is created with: the options that `tenure task create` and `tenure run` share, and `tenure task set` in part.

use clap::Args;
use clap_complete::ArgValueCompleter;
use tenure::Ledger;
use tenure::core::policy::{OnFailure, OnLapse, Policy, Ttl, WhenSpent};
use tenure::core::refusal::Refusal;
use tenure::instant;
use tenure::ledger::{Call, Creation, JsonText};

use crate::complete;
use crate::context::Context;
use crate::error::CliError;
use crate::values::{Undos, each_key_once, one_of, pair, span};

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

/// The policy of the task. The defaults are those of a new task; `tenure task set` has none.
#[derive(Args)]
#[command(next_help_heading = "Policy")]
pub(crate) struct PolicyOptions {
    /// How long a lease lasts unless it is renewed, 1s to 7d [default: 60s]
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
    /// Maximum number of attempts
    #[arg(long, value_name = "COUNT", default_value = "1")]
    max_attempts: Option<u32>,
    /// What to do when a lease lapses: undo and try again (recover), wait for somebody to acquire it (hold), quarantine it, or
    /// recover it unless somebody acquires it first (either)
    #[arg(long, value_name = "ACTION", default_value = OnLapse::default().as_str(),
        value_parser = one_of(&OnLapse::ALL, OnLapse::as_str))]
    on_lapse: Option<OnLapse>,
    /// How long after a lapse recovery leaves the task to others, with --on-lapse either [default: off]
    #[arg(long, value_name = "DURATION")]
    recover_after: Option<String>,
    /// State of the task when it has no attempts left
    #[arg(long, value_name = "STATE", default_value = WhenSpent::default().as_str(),
        value_parser = one_of(&WhenSpent::ALL, WhenSpent::as_str))]
    when_spent: Option<WhenSpent>,
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
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    backoff_base: Option<String>,
    /// Factor by which each further wait is longer
    #[arg(long, value_name = "FACTOR", default_value = "2")]
    backoff_factor: Option<u32>,
    /// Longest wait between attempts
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    backoff_cap: Option<String>,
}

impl PolicyOptions {
    /// Writes the fields that were given into a policy. `none` turns off what a policy need not have.
    pub(crate) fn change(&self, policy: &mut Policy) -> Result<(), Refusal> {
        if let Some(ttl) = span("ttl", self.ttl.as_deref())? {
            policy.lease_ttl = Ttl::new(ttl)?;
        }
        policy.max_attempts = self.max_attempts.unwrap_or(policy.max_attempts);
        policy.when_spent = self.when_spent.unwrap_or(policy.when_spent);
        policy.on_lapse = self.on_lapse.unwrap_or(policy.on_lapse);
        let backoff = &mut policy.backoff;
        backoff.base = span("backoff_base", self.backoff_base.as_deref())?.unwrap_or(backoff.base);
        backoff.factor = self.backoff_factor.unwrap_or(backoff.factor);
        backoff.cap = span("backoff_cap", self.backoff_cap.as_deref())?.unwrap_or(backoff.cap);
        let limits = [
            ("recover_after", &self.recover_after, &mut policy.recover_after),
            ("stall_after", &self.stall_after, &mut policy.stall_after),
            ("time_limit", &self.time_limit, &mut policy.time_limit),
            ("start_within", &self.start_within, &mut policy.start_within),
            ("lock_delay", &self.lock_delay, &mut policy.lock_delay),
            ("cancel_grace", &self.cancel_grace, &mut policy.cancel_grace),
        ];
        for (name, said, field) in limits {
            match said.as_deref() {
                None => {}
                Some(NONE) => *field = None,
                said @ Some(_) => *field = span(name, said)?,
            }
        }
        Ok(())
    }

    /// Whether any was given, where none has a default.
    pub(crate) fn say_something(&self) -> bool {
        let PolicyOptions {
            ttl,
            max_attempts,
            on_lapse,
            recover_after,
            when_spent,
            stall_after,
            time_limit,
            start_within,
            lock_delay,
            cancel_grace,
            backoff_base,
            backoff_factor,
            backoff_cap,
        } = self;
        let texts = [
            ttl,
            recover_after,
            stall_after,
            time_limit,
            start_within,
            lock_delay,
            cancel_grace,
            backoff_base,
            backoff_cap,
        ];
        let words =
            [max_attempts.is_some(), on_lapse.is_some(), when_spent.is_some(), backoff_factor.is_some()];
        texts.into_iter().any(Option::is_some) || words.contains(&true)
    }
}

/// What turns a limit of a policy off, and removes a time.
pub(crate) const NONE: &str = "none";

/// The part of the policy that `tenure run` does not take: its own `--on-failure` says how the command's failure ends the
/// task.
#[derive(Args)]
#[command(next_help_heading = "Policy")]
pub(crate) struct FailurePolicy {
    /// What becomes of the task if its holder fails it: fail closes it, quarantine parks it for a person
    #[arg(long, value_name = "ACTION", default_value = OnFailure::default().as_str(),
        value_parser = one_of(&OnFailure::ALL, OnFailure::as_str))]
    on_failure: Option<OnFailure>,
}

impl FailurePolicy {
    /// Writes it into a policy, if it was given.
    pub(crate) fn change(&self, policy: &mut Policy) {
        policy.on_failure = self.on_failure.unwrap_or(policy.on_failure);
    }

    pub(crate) fn say_something(&self) -> bool {
        self.on_failure.is_some()
    }
}

/// The parsed options, read before the store is opened: wrong options are reported first.
pub(crate) struct Read {
    pub(crate) policy: Policy,
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
        let mut policy = Policy::default();
        self.policy.change(&mut policy)?;
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
        each_key_once(&self.labels)?;
        for (key, value) in &self.labels {
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
        #[command(flatten)]
        failure: FailurePolicy,
    }

    #[test]
    fn there_is_an_option_for_each_field_of_a_policy() {
        let words = "create --ttl 90s --max-attempts 3 --backoff-base 2s --backoff-factor 3 --backoff-cap 400s \
                     --when-spent quarantined --on-lapse either --recover-after 45s --on-failure quarantine \
                     --stall-after 300s --time-limit 2h --start-within 10m --lock-delay 500ms --cancel-grace 30s";
        let options = Options::try_parse_from(words.split_whitespace()).expect("options");
        let mut policy = Policy::default();
        options.policy.change(&mut policy).expect("a policy");
        options.failure.change(&mut policy);
        assert_eq!(policy, Policy::unlike_the_default());
    }

    #[test]
    fn the_defaults_are_those_of_a_policy_and_none_turns_a_limit_off() {
        let words = "create --ttl 60s --recover-after none --stall-after none --time-limit none --start-within none \
                     --lock-delay none --cancel-grace none";
        let options = Options::try_parse_from(words.split_whitespace()).expect("options");
        let mut policy = Policy::unlike_the_default();
        options.policy.change(&mut policy).expect("a policy");
        options.failure.change(&mut policy);
        assert_eq!(policy, Policy::default());
    }
}
