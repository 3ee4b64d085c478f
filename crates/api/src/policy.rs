//! What a task's creator decides beforehand, as JSON.

use serde::{Deserialize, Serialize};
use tenure_core as core;
use tenure_core::policy::{OnFailure, OnLapse, Ttl, WhenSpent};
use tenure_core::refusal::Refusal;
use tenure_core::time::Span;

use crate::duration::DurationInput;
#[cfg(feature = "openapi")]
use crate::schema;
use crate::wire::{self, Word, parse_word};

/// The policy of a task. Missing fields have their defaults.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyInput {
    /// The default length of a lease: 1 s to 7 days. Default: `60s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_ttl: Option<DurationInput>,
    /// The maximum number of automatic attempts. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// What happens when its lease lapses: `recover` (the default), `hold`, `quarantine` or `either`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::OnLapseWord>))]
    pub on_lapse: Option<String>,
    /// How long after a lapse recovery leaves the task to other owners; only with `on_lapse` `either`. Default: not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recover_after: Option<DurationInput>,
    /// What becomes of the task if its holder fails it: `fail` (the default) or `quarantine`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::OnFailureWord>))]
    pub on_failure: Option<String>,
    /// How the task ends when its attempts are spent: `compensated` (the default) or `quarantined`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::WhenSpentWord>))]
    pub when_spent: Option<String>,
    /// The wait between attempts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<BackoffInput>,
    /// How long a lease may be renewed without progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stall_after: Option<DurationInput>,
    /// How long an attempt may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_limit: Option<DurationInput>,
    /// How long the task may wait for its first attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_within: Option<DurationInput>,
    /// How long after a lapse the task can't be taken over or reclaimed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock_delay: Option<DurationInput>,
    /// How long a lease can still be renewed after its holder was told to stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancel_grace: Option<DurationInput>,
}

/// The wait before the next attempt: `base`, times `factor` for each attempt after the first, up to `cap`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BackoffInput {
    /// The wait after the first attempt. Default: `1s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<DurationInput>,
    /// The factor by which each further wait is longer. Default: 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<u32>,
    /// The longest wait. Default: `5m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cap: Option<DurationInput>,
}

/// What a task's creator decided beforehand: four fields always, the others where they are not as by default.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Policy {
    /// The default length of a lease, such as `60s`.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub lease_ttl: Ttl,
    /// The maximum number of automatic attempts.
    pub max_attempts: u32,
    /// What happens when its lease lapses: `recover`, `hold`, `quarantine` or `either`.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = schema::OnLapseWord))]
    pub on_lapse: OnLapse,
    /// How the task ends when its attempts are spent: `compensated` or `quarantined`.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = schema::WhenSpentWord))]
    pub when_spent: WhenSpent,
    /// The wait between attempts; missing if it is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    /// How long after a lapse recovery leaves the task to other owners.
    #[serde(default, with = "wire", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub recover_after: Option<Span>,
    /// What becomes of the task if its holder fails it: `quarantine`; missing if it is `fail`, the default.
    #[serde(default, with = "wire", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::OnFailureWord>))]
    pub on_failure: Option<OnFailure>,
    /// How long a lease may be renewed without progress.
    #[serde(default, with = "wire", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub stall_after: Option<Span>,
    /// How long an attempt may take.
    #[serde(default, with = "wire", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub time_limit: Option<Span>,
    /// How long the task may wait for its first attempt.
    #[serde(default, with = "wire", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub start_within: Option<Span>,
    /// How long after a lapse the task can't be taken over or reclaimed.
    #[serde(default, with = "wire", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub lock_delay: Option<Span>,
    /// How long a lease can still be renewed after its holder was told to stop.
    #[serde(default, with = "wire", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub cancel_grace: Option<Span>,
}

/// The wait before the next attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Backoff {
    /// The wait after the first attempt.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub base: Span,
    /// The factor by which each further wait is longer.
    pub factor: u32,
    /// The longest wait.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub cap: Span,
}

impl From<&core::policy::Policy> for Policy {
    fn from(policy: &core::policy::Policy) -> Policy {
        let backoff = Some(policy.backoff).filter(|backoff| *backoff != core::policy::Backoff::default());
        Policy {
            lease_ttl: policy.lease_ttl,
            max_attempts: policy.max_attempts,
            on_lapse: policy.on_lapse,
            when_spent: policy.when_spent,
            backoff: backoff.map(|core::policy::Backoff { base, factor, cap }| Backoff { base, factor, cap }),
            recover_after: policy.recover_after,
            on_failure: Some(policy.on_failure).filter(|on_failure| *on_failure != OnFailure::default()),
            stall_after: policy.stall_after,
            time_limit: policy.time_limit,
            start_within: policy.start_within,
            lock_delay: policy.lock_delay,
            cancel_grace: policy.cancel_grace,
        }
    }
}

impl From<Policy> for core::policy::Policy {
    fn from(policy: Policy) -> core::policy::Policy {
        let backoff = |Backoff { base, factor, cap }| core::policy::Backoff { base, factor, cap };
        core::policy::Policy::default().with(|it| {
            it.lease_ttl = policy.lease_ttl;
            it.max_attempts = policy.max_attempts;
            it.backoff = policy.backoff.map(backoff).unwrap_or_default();
            it.when_spent = policy.when_spent;
            it.on_lapse = policy.on_lapse;
            it.recover_after = policy.recover_after;
            it.on_failure = policy.on_failure.unwrap_or_default();
            it.stall_after = policy.stall_after;
            it.time_limit = policy.time_limit;
            it.start_within = policy.start_within;
            it.lock_delay = policy.lock_delay;
            it.cancel_grace = policy.cancel_grace;
        })
    }
}

impl From<Policy> for PolicyInput {
    fn from(policy: Policy) -> PolicyInput {
        PolicyInput {
            lease_ttl: Some(policy.lease_ttl.span().into()),
            max_attempts: Some(policy.max_attempts),
            on_lapse: Some(policy.on_lapse.word().to_owned()),
            when_spent: Some(policy.when_spent.word().to_owned()),
            backoff: policy.backoff.map(|backoff| BackoffInput {
                base: Some(backoff.base.into()),
                factor: Some(backoff.factor),
                cap: Some(backoff.cap.into()),
            }),
            recover_after: policy.recover_after.map(Into::into),
            on_failure: policy.on_failure.map(|on_failure| on_failure.word().to_owned()),
            stall_after: policy.stall_after.map(Into::into),
            time_limit: policy.time_limit.map(Into::into),
            start_within: policy.start_within.map(Into::into),
            lock_delay: policy.lock_delay.map(Into::into),
            cancel_grace: policy.cancel_grace.map(Into::into),
        }
    }
}

impl TryFrom<PolicyInput> for core::policy::Policy {
    type Error = Refusal;

    fn try_from(policy: PolicyInput) -> Result<core::policy::Policy, Refusal> {
        let mut made = core::policy::Policy::default();
        if let Some(ttl) = span("policy.lease_ttl", policy.lease_ttl)? {
            made.lease_ttl = Ttl::named("policy.lease_ttl", ttl)?;
        }
        made.max_attempts = policy.max_attempts.unwrap_or(made.max_attempts);
        let backoff = policy.backoff.unwrap_or_default();
        made.backoff = core::policy::Backoff {
            base: span("policy.backoff.base", backoff.base)?.unwrap_or(made.backoff.base),
            factor: backoff.factor.unwrap_or(made.backoff.factor),
            cap: span("policy.backoff.cap", backoff.cap)?.unwrap_or(made.backoff.cap),
        };
        if let Some(word) = policy.when_spent {
            made.when_spent = parse_word::<WhenSpent>("policy.when_spent", &word)?;
        }
        if let Some(word) = policy.on_lapse {
            made.on_lapse = parse_word::<OnLapse>("policy.on_lapse", &word)?;
        }
        if let Some(word) = policy.on_failure {
            made.on_failure = parse_word::<OnFailure>("policy.on_failure", &word)?;
        }
        made.recover_after = span("policy.recover_after", policy.recover_after)?;
        made.stall_after = span("policy.stall_after", policy.stall_after)?;
        made.time_limit = span("policy.time_limit", policy.time_limit)?;
        made.start_within = span("policy.start_within", policy.start_within)?;
        made.lock_delay = span("policy.lock_delay", policy.lock_delay)?;
        made.cancel_grace = span("policy.cancel_grace", policy.cancel_grace)?;
        Ok(made)
    }
}

fn span(field: &'static str, said: Option<DurationInput>) -> Result<Option<Span>, Refusal> {
    said.map(|said| said.span(field)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_field_of_a_policy_is_forgotten() {
        let policy = core::policy::Policy::unlike_the_default();
        let shown = Policy::from(&policy);
        assert_eq!(core::policy::Policy::from(shown.clone()), policy);
        assert_eq!(core::policy::Policy::try_from(PolicyInput::from(shown)), Ok(policy));
    }
}
