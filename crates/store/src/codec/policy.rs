//! A policy as it is stored.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tenure_core::policy::{Backoff, OnFailure, OnLapse, Policy, Ttl, WhenSpent};
use tenure_core::time::Span;

use crate::stored_json::{self as stored, StoredJson, present};

/// A policy can grow, so the compiler does not say when this lacks a field; a test does.
#[derive(Serialize, Deserialize)]
struct PolicyMirror {
    #[serde(with = "stored")]
    lease_ttl: Ttl,
    max_attempts: u32,
    #[serde(with = "stored")]
    backoff: Backoff,
    #[serde(with = "stored")]
    when_spent: WhenSpent,
    #[serde(with = "stored")]
    on_lapse: OnLapse,
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    recover_after: Option<Span>,
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    on_failure: Option<OnFailure>,
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    stall_after: Option<Span>,
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    time_limit: Option<Span>,
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    start_within: Option<Span>,
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    lock_delay: Option<Span>,
    #[serde(with = "present", default, skip_serializing_if = "Option::is_none")]
    cancel_grace: Option<Span>,
}

impl From<&Policy> for PolicyMirror {
    fn from(policy: &Policy) -> PolicyMirror {
        PolicyMirror {
            lease_ttl: policy.lease_ttl,
            max_attempts: policy.max_attempts,
            backoff: policy.backoff,
            when_spent: policy.when_spent,
            on_lapse: policy.on_lapse,
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

impl From<PolicyMirror> for Policy {
    fn from(stored: PolicyMirror) -> Policy {
        Policy::default().with(|policy| {
            policy.lease_ttl = stored.lease_ttl;
            policy.max_attempts = stored.max_attempts;
            policy.backoff = stored.backoff;
            policy.when_spent = stored.when_spent;
            policy.on_lapse = stored.on_lapse;
            policy.recover_after = stored.recover_after;
            policy.on_failure = stored.on_failure.unwrap_or_default();
            policy.stall_after = stored.stall_after;
            policy.time_limit = stored.time_limit;
            policy.start_within = stored.start_within;
            policy.lock_delay = stored.lock_delay;
            policy.cancel_grace = stored.cancel_grace;
        })
    }
}

impl StoredJson for Policy {
    fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        PolicyMirror::from(self).serialize(serializer)
    }
    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        PolicyMirror::deserialize(deserializer).map(Policy::from)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Backoff")]
struct BackoffMirror {
    #[serde(with = "stored")]
    base: Span,
    factor: u32,
    #[serde(with = "stored")]
    cap: Span,
}

impl StoredJson for Backoff {
    fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        BackoffMirror::serialize(self, serializer)
    }
    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BackoffMirror::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stored_json::{read_json, to_json};

    #[test]
    fn no_field_of_a_policy_is_forgotten() {
        let policy = Policy::unlike_the_default();
        assert_eq!(read_json(&to_json(&policy)), Some(policy));
    }
}
