//! A JSON merge patch (RFC 7396) on a whole record: what it names is changed, what it gives as `null` goes back to its default, and the
//! rest stays. It is decided as a put of the record that results.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use tenure_core::command::Put;
use tenure_core::id::Revision;
use tenure_core::refusal::Refusal;
use tenure_core::task::Task;

use crate::body::PutBody;
use crate::json::{DEPTH_MAX, is_deeper_than};
use crate::members::Members;
use crate::read::read_whole;

/// A document may have as many below the object that is the body. Changes are merged level by level, on the stack.
const LEVELS_MAX: usize = 1 + DEPTH_MAX;

/// The fields that a put may change, which refusals name. Others are only in the words of a refusal.
const CHANGEABLE: [&str; 12] = [
    "queue",
    "kind",
    "labels",
    "payload",
    "priority",
    "not_before",
    "policy",
    "compensations",
    "state",
    "terminal_reason",
    "result",
    "revision",
];

/// The members of an object, each as it stands. Numbers keep their digits that way.
type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// The changes of a record. Who gives it and why may be in it, as in the body of a put, and for which revision it is.
pub struct MergePatch<'a> {
    changes: Fields<'a>,
    revision: Option<Revision>,
}

impl<'a> MergePatch<'a> {
    /// Reads the body of a patch. A name that is given twice is refused at any depth, because nobody could tell which was meant.
    pub fn read(text: &'a str) -> Result<MergePatch<'a>, Refusal> {
        let members: Members<'_> = read_whole(text, "body", "a single JSON object")?;
        if is_deeper_than(LEVELS_MAX, text) {
            return Err(Refusal::invalid(
                "body",
                format_args!("must not be nested more than {LEVELS_MAX} levels deep"),
            ));
        }
        let changes = members.each_once().map_err(|name| given_twice(&[&name]))?;
        each_once_below(&changes, &[])?;
        let revision = match changes.get("revision").map(|revision| revision.get()) {
            None | Some("null") => None,
            Some(number) => {
                let number = serde_json::from_str(number);
                Some(Revision(number.map_err(|_| Refusal::invalid("revision", "a whole number from 0"))?))
            }
        };
        Ok(MergePatch { changes, revision })
    }

    /// The revision that it is for, if it names one.
    pub fn revision(&self) -> Option<Revision> {
        self.revision
    }

    /// The body of a put that makes these changes in the record of a task. The revision is the task's where the patch names none.
    pub fn put_body(&self, task: &Task) -> String {
        merged(&crate::to_json(&PutBody::from(&Put::of(task))), &self.changes)
    }
}

/// Looks for names that are given twice in the objects of an object. Those in lists are found when the document is read.
fn each_once_below(fields: &Fields<'_>, path: &[&str]) -> Result<(), Refusal> {
    for (name, value) in fields {
        let Ok(inner) = serde_json::from_str::<Members<'_>>(value.get()) else { continue };
        let names = [path, &[name.as_str()]].concat();
        let inner =
            inner.each_once().map_err(|twice| given_twice(&[&names[..], &[twice.as_str()]].concat()))?;
        each_once_below(&inner, &names)?;
    }
    Ok(())
}

/// The refusal of a name that is given twice, by its path from the field of the record.
fn given_twice(path: &[&str]) -> Refusal {
    let known = |name: &str| CHANGEABLE.into_iter().find(|field| *field == name);
    match path {
        [first, rest @ ..] if let Some(field) = known(first) => match rest {
            [] => Refusal::invalid(field, "is given twice"),
            rest => Refusal::invalid(field, format_args!("`{}` is given twice", rest.join("."))),
        },
        path => Refusal::invalid("body", format_args!("`{}` is given twice", path.join("."))),
    }
}

/// The object with the changes, as text. A value that is no object is replaced by an empty one first.
fn merged(text: &str, changes: &Fields<'_>) -> String {
    let before: Fields<'_> = serde_json::from_str(text).unwrap_or_default();
    let mut after: BTreeMap<&str, String> =
        before.iter().map(|(name, value)| (name.as_str(), value.get().to_owned())).collect();
    for (name, change) in changes {
        if change.get() == "null" {
            after.remove(name.as_str());
            continue;
        }
        let value = match serde_json::from_str::<Fields<'_>>(change.get()) {
            Ok(inner) => merged(after.get(name.as_str()).map_or("{}", String::as_str), &inner),
            Err(_) => change.get().to_owned(),
        };
        after.insert(name.as_str(), value);
    }
    let members = after.iter().map(|(name, value)| format!("{}:{value}", serde_json::Value::from(*name)));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use tenure_core::id::{Document, LabelKey, LabelValue, Namespace, Queue, Revision, TaskId};
    use tenure_core::time::Span;

    use super::*;
    use crate::put::read_put;

    fn task(payload: &str) -> Task {
        let label =
            |key, value| (LabelKey::new(key).expect("a key"), LabelValue::new(value).expect("a value"));
        let mut task =
            Task::blank(Namespace::new("default").expect("a name"), TaskId::new("t").expect("a name"));
        task.revision = Revision(3);
        task.queue = Queue::new("agents").expect("a name");
        task.labels = [label("issue", "168"), label("who", "me")].into();
        task.payload = Document::new(payload).expect("JSON");
        task.policy.max_attempts = 3;
        task.policy.stall_after = Some(Span::from_secs(300));
        task
    }

    /// The record after a patch, read and written as JSON.
    fn after_of(payload: &str, patch: &str) -> Result<String, Refusal> {
        let namespace = Namespace::new("default")?;
        let put = read_put(&MergePatch::read(patch)?.put_body(&task(payload)), &namespace)?;
        Ok(crate::to_json(&PutBody::from(&put)))
    }

    fn after(patch: &str) -> Result<String, Refusal> {
        after_of(r#"{"deep":{"a":1,"b":2},"n":12345678901234567890.50}"#, patch)
    }

    #[track_caller]
    fn has(text: &str, parts: &[&str]) {
        for part in parts {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn what_a_patch_names_is_changed_and_the_rest_stays() {
        let text = after(r#"{"labels":{"issue":null,"branch":"fix"},"priority":5}"#).expect("patched");
        has(&text, &[r#""labels":{"branch":"fix","who":"me"}"#, r#""priority":5"#, r#""queue":"agents""#]);
        has(
            &text,
            &["12345678901234567890.50", r#""max_attempts":3"#, r#""stall_after":"5m""#, r#""revision":3"#],
        );
    }

    #[test]
    fn null_goes_back_to_the_default_at_any_depth() {
        let text = after(r#"{"queue":null,"payload":{"deep":{"a":null}},"policy":{"stall_after":null}}"#);
        let text = text.expect("patched");
        has(&text, &[r#""queue":"default""#, r#""deep":{"b":2}"#, r#""max_attempts":3"#]);
        assert!(!text.contains("stall_after"), "{text}");
    }

    #[test]
    fn lists_and_plain_values_are_replaced_whole() {
        let text = after(r#"{"payload":[1]}"#).expect("patched");
        has(&text, &[r#""payload":[1]"#]);
        let text = after_of("7", r#"{"payload":{"a":{"b":null,"c":1}}}"#).expect("patched");
        has(&text, &[r#""payload":{"a":{"c":1}}"#]);
    }

    #[test]
    fn a_patch_may_say_its_revision() {
        let revision = |text| MergePatch::read(text).map(|patch| patch.revision());
        assert_eq!(revision(r#"{"revision":2}"#), Ok(Some(Revision(2))));
        assert_eq!(revision(r#"{"revision":null,"priority":1}"#), Ok(None));
        assert_eq!(revision(r#"{"revision":"2"}"#).expect_err("no number").field, Some("revision"));
        has(&after(r#"{"revision":2}"#).expect("patched"), &[r#""revision":2"#]);
    }

    #[test]
    fn a_patch_may_be_as_deep_as_a_payload_and_no_deeper() {
        let nested = |levels: usize| {
            format!(r#"{{"payload":{}"}}]"{}}}"#, r#"{"a":"#.repeat(levels), "}".repeat(levels))
        };
        has(&after(&nested(DEPTH_MAX)).expect("patched"), &[r#"{"a":{"a":"}]"}}"#]);
        // The last one is far deeper than the stack of a thread.
        for levels in [DEPTH_MAX + 1, 1_000_000] {
            let refused = after(&nested(levels)).expect_err("too deep");
            assert_eq!((refused.code, refused.field), (tenure_core::refusal::Code::Invalid, Some("body")));
        }
    }

    #[test]
    fn a_patch_that_is_no_object_or_names_an_unknown_field_is_refused() {
        assert_eq!(after("[1]").expect_err("no object").code, tenure_core::refusal::Code::Invalid);
        let refused = after(r#"{"prio":5}"#).expect_err("unknown").to_string();
        assert!(refused.contains("prio"), "{refused}");
    }

    #[test]
    fn a_name_that_is_given_twice_is_refused_at_any_depth() {
        for (patch, field, words) in [
            (r#"{"priority":1,"priority":2}"#, "priority", "is given twice"),
            (r#"{"payload":{"x":1,"x":2}}"#, "payload", "`x` is given twice"),
            (r#"{"payload":{"deep":{"a":1,"b":3,"a":null}}}"#, "payload", "`deep.a` is given twice"),
            (r#"{"labels":{"issue":"1","issue":"2"}}"#, "labels", "`issue` is given twice"),
            (r#"{"payload":{"list":[{"x":1,"x":2}]}}"#, "payload", "duplicate key"),
            (r#"{"prio":1,"prio":2}"#, "body", "`prio` is given twice"),
        ] {
            let refused = after(patch).expect_err(patch);
            assert_eq!(
                (refused.code, refused.field),
                (tenure_core::refusal::Code::Invalid, Some(field)),
                "{patch}"
            );
            assert!(refused.to_string().contains(words), "{refused}");
        }
    }
}
