//! A task to create, as text, for a caller that does not wait until it is created.
//!
//! Reading is the inverse of writing. It contains only fields of a new task, unlike a whole record.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tenure_core::command::{Create, IdOrigin};
use tenure_core::compensation::Undo;
use tenure_core::id::{Kind, Namespace, Queue, Reason, SagaId, TaskId, Text};
use tenure_core::refusal::Refusal;
use tenure_core::task::Labels;
use tenure_core::time::Time;

use super::input::{Given, PolicyInput, is_of, read_whole, undo};
use super::{Of, PolicyRecord, Written};
use crate::ledger::create;
use crate::wire::Wired;

/// Reads a task to create in `namespace`. Limits that are not those of a single field are checked with the command.
pub fn read_create(text: &str, namespace: &Namespace) -> Result<Create, Refusal> {
    let task: CreateInput = read_whole(text, "record", "one task")?;
    is_of(namespace, task.namespace)?;
    let mut record = create(TaskId::new(task.id)?, IdOrigin::Given)?;
    let given = Given {
        saga_id: task.saga_id,
        queue: task.queue,
        kind: task.kind,
        labels: task.labels,
        payload: task.payload,
        priority: task.priority,
        not_before: task.not_before,
        policy: task.policy,
    };
    given.fill(&mut record)?;
    let undos = task.compensations.unwrap_or_default().into_iter();
    record.compensations =
        undos.map(|one| undo(one.kind, one.target, one.reason)).collect::<Result<_, _>>()?;
    Ok(record)
}

/// The text of a task to create, whose payload must be canonical. It is read back as it is, but for who chose its id:
/// once it is written down, it is given.
pub fn create_json(create: &Create) -> String {
    super::json(&CreateRecord::of(create))
}

/// A task to create as somebody wrote it: texts that are still to be checked, each by its own name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a task to create, as an object")]
struct CreateInput {
    id: String,
    namespace: Option<String>,
    saga_id: Option<String>,
    queue: Option<String>,
    kind: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    payload: Option<Box<RawValue>>,
    priority: Option<i32>,
    not_before: Option<String>,
    policy: Option<PolicyInput>,
    compensations: Option<Vec<UndoInput>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a compensation, as an object with kind, target and reason")]
struct UndoInput {
    kind: String,
    target: String,
    reason: Option<String>,
}

#[derive(Serialize)]
struct CreateRecord<'a> {
    id: Of<'a, TaskId>,
    saga_id: Of<'a, Option<SagaId>>,
    queue: Of<'a, Queue>,
    kind: Of<'a, Kind>,
    labels: Of<'a, Labels>,
    payload: Written<'a>,
    priority: i32,
    not_before: Of<'a, Option<Time>>,
    policy: PolicyRecord<'a>,
    compensations: Vec<UndoRecord<'a>>,
}

impl<'a> CreateRecord<'a> {
    fn of(create: &'a Create) -> CreateRecord<'a> {
        CreateRecord {
            id: Wired(&create.task),
            saga_id: Wired(&create.saga_id),
            queue: Wired(&create.queue),
            kind: Wired(&create.kind),
            labels: Wired(&create.labels),
            payload: Written::of(&create.payload),
            priority: create.priority,
            not_before: Wired(&create.not_before),
            policy: PolicyRecord::of(&create.policy),
            compensations: create.compensations.iter().map(UndoRecord::of).collect(),
        }
    }
}

#[derive(Serialize)]
struct UndoRecord<'a> {
    kind: Of<'a, Kind>,
    target: Of<'a, Text>,
    reason: Of<'a, Option<Reason>>,
}

impl<'a> UndoRecord<'a> {
    fn of(one: &'a Undo) -> UndoRecord<'a> {
        UndoRecord { kind: Wired(&one.kind), target: Wired(&one.target), reason: Wired(&one.reason) }
    }
}

#[cfg(test)]
mod tests {
    use tenure_core::id::{LabelKey, LabelValue};
    use tenure_core::policy::{Backoff, OnLapse, Policy, Ttl, WhenSpent};
    use tenure_core::time::Span;

    use super::*;
    use crate::json;

    fn shop() -> Namespace {
        Namespace::new("shop").expect("a name")
    }

    fn plain() -> Create {
        create(TaskId::new("build-42").expect("a name"), IdOrigin::Given).expect("a task")
    }

    /// Nothing in it is as by default, and its texts are the ones that JSON has trouble with.
    fn everything() -> Create {
        let label =
            |key, value: &str| (LabelKey::new(key).expect("a key"), LabelValue::new(value).expect("a value"));
        let payload =
            r#"{"\u0001":"\ud83d\ude00","a\"\\":[1.50,1e-400,123456789012345678901234567890,-0.0],"é":null}"#;
        Create {
            saga_id: Some(SagaId::new("saga").expect("a name")),
            queue: Queue::new("agents/eu").expect("a name"),
            kind: Kind::new("build").expect("a name"),
            labels: [
                label("issue", "168"),
                label("who", "Zoë \"\u{1F600}\"\n\u{7f}\u{2028}"),
                label("none", ""),
            ]
            .into(),
            payload: json::document("payload", payload).expect("JSON"),
            priority: i32::MIN,
            not_before: Some(Time::from_micros(1_769_860_800_000_001)),
            policy: Policy {
                lease_ttl: Ttl::new(Span::from_secs(90)).expect("a length"),
                max_attempts: u32::MAX,
                backoff: Backoff { base: Span::ZERO, factor: 3, cap: Span::from_micros(1_500_001) },
                when_spent: WhenSpent::Quarantined,
                on_lapse: OnLapse::Hold,
                stall_after: Some(Span::from_secs(300)),
                time_limit: Some(Span::from_secs(7_200)),
                start_within: Some(Span::from_days(3_650)),
                lock_delay: Some(Span::from_millis(500)),
                cancel_grace: Some(Span::from_secs(30)),
            },
            compensations: vec![
                undo("remove".into(), "/tmp/ä \\".into(), Some("made by it\n".into())).expect("an undo"),
                undo("none".into(), String::new(), None).expect("an undo"),
            ],
            ..plain()
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut all = vec![plain(), everything()];
        all.extend(
            [Time::MIN, Time::MAX].map(|not_before| Create { not_before: Some(not_before), ..plain() }),
        );
        all.extend([WhenSpent::Compensated, WhenSpent::Quarantined].map(|when_spent| Create {
            policy: Policy { when_spent, on_lapse: OnLapse::Quarantine, ..Policy::default() },
            ..plain()
        }));
        for create in all {
            let text = create_json(&create);
            assert_eq!(read_create(&text, &shop()).expect(&text), create, "{text}");
        }
    }

    #[test]
    fn a_made_id_is_a_given_one_once_it_is_written_down() {
        let made = Create { naming: IdOrigin::Made, ..plain() };
        assert_eq!(read_create(&create_json(&made), &shop()), Ok(plain()));
    }

    #[test]
    fn numbers_stay_to_the_letter() {
        let text = create_json(&everything());
        assert!(text.contains("[1.50,1e-400,123456789012345678901234567890,-0.0]"), "{text}");
    }

    #[test]
    fn what_is_left_out_or_null_is_as_by_default() {
        let nulls = r#"{"id":"build-42","namespace":null,"saga_id":null,"queue":null,"kind":null,"labels":null,
            "payload":null,"priority":null,"not_before":null,"policy":null,"compensations":null}"#;
        for text in [r#"{"id":"build-42"}"#, r#"{"id":"build-42","namespace":"shop"}"#, nulls] {
            assert_eq!(read_create(text, &shop()), Ok(plain()), "{text}");
        }
    }

    #[test]
    fn what_is_no_task_to_create_is_refused_by_the_name_of_its_field() {
        for (text, field) in [
            ("", "record"),
            ("[]", "record"),
            ("{}", "record"),
            (r#"{"id":"a"} {}"#, "record"),
            (r#"{"id":"a","state":"planned"}"#, "record"),
            (r#"{"id":"a","revision":1}"#, "record"),
            (r#"{"id":"a","policy":{"ttl":"60s"}}"#, "record"),
            (r#"{"id":"a","policy":{"max_attempts":1.0}}"#, "record"),
            (r#"{"id":"a","compensations":[{"seq":1,"kind":"a","target":"b"}]}"#, "record"),
            (r#"{"id":"a","compensations":[{"kind":"a"}]}"#, "record"),
            (r#"{"id":"a b"}"#, "id"),
            (r#"{"id":"a","namespace":"default"}"#, "namespace"),
            (r#"{"id":"a","saga_id":"a/b"}"#, "saga_id"),
            (r#"{"id":"a","queue":""}"#, "queue"),
            (r#"{"id":"a","labels":{"a/b":"c"}}"#, "labels"),
            (r#"{"id":"a","payload":{"a":1,"a":2}}"#, "payload"),
            (r#"{"id":"a","payload":"\ud800"}"#, "payload"),
            (r#"{"id":"a","not_before":"2026-01-31"}"#, "not_before"),
            (r#"{"id":"a","policy":{"lease_ttl":"8d"}}"#, "policy.lease_ttl"),
            (r#"{"id":"a","policy":{"backoff":{"cap":"1.5s"}}}"#, "policy.backoff.cap"),
            (
                r#"{"id":"a","compensations":[{"kind":"a","target":"b","reason":" "}]}"#,
                "compensations.reason",
            ),
        ] {
            let refusal = read_create(text, &shop()).expect_err(text);
            assert_eq!(refusal.field, Some(field), "{text}");
        }
    }

    #[test]
    fn where_it_is_wrong_is_told() {
        let text = r#"{"id":"a","compensations":[{"kind":"a","target":"b","seq":1}]}"#;
        let refusal = read_create(text, &shop()).expect_err(text);
        let message =
            "record: compensations[0].seq: unknown field `seq`, expected one of `kind`, `target`, `reason`";
        assert!(refusal.message.starts_with(message), "{}", refusal.message);
    }
}
