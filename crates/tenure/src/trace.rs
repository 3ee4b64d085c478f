//! The trace of a task: its trace id is computed from the task's name.
//!
//! So nothing needs to be stored: each attempt, each recovery, and each server that handles the task uses the same
//! trace id.

use tenure_core::chain::Canonical;
use tenure_core::id::{Namespace, TaskId};
use uuid::Uuid;

/// The id of the task's trace, as 16 bytes. It is never zero, which would be none.
pub fn id_of(namespace: &Namespace, task: &TaskId) -> [u8; 16] {
    let mut name = Canonical::new();
    name.piece(b"trace").piece(namespace.as_str().as_bytes()).piece(task.as_str().as_bytes());
    let hash = name.hash().0;
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    id[15] |= 1;
    id
}

/// A parent span in the task's trace, as in the header `traceparent` and the variable `TRACEPARENT`.
pub fn parent_in(namespace: &Namespace, task: &TaskId) -> String {
    let (trace, span) = (u128::from_be_bytes(id_of(namespace, task)), Uuid::new_v4().as_u64_pair().1);
    format!("00-{trace:032x}-{span:016x}-01")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(name: &str) -> Namespace {
        Namespace::new(name).expect("a name")
    }

    fn task(name: &str) -> TaskId {
        TaskId::new(name).expect("a name")
    }

    #[test]
    fn a_task_has_one_trace_wherever_it_is_asked_for() {
        assert_eq!(
            id_of(&namespace("default"), &task("build-42")),
            id_of(&namespace("default"), &task("build-42"))
        );
        assert_ne!(
            id_of(&namespace("default"), &task("build-42")),
            id_of(&namespace("shop"), &task("build-42"))
        );
        assert_ne!(
            id_of(&namespace("default"), &task("build-42")),
            id_of(&namespace("default"), &task("build-43"))
        );
        assert_ne!(id_of(&namespace("a"), &task("bc")), id_of(&namespace("ab"), &task("c")));
    }

    #[test]
    fn a_place_in_a_trace_is_one_that_others_understand() {
        let place = parent_in(&namespace("default"), &task("build-42"));
        let parts: Vec<&str> = place.split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [2, 32, 16, 2], "{place}");
        let other = parent_in(&namespace("default"), &task("build-42"));
        assert_eq!(other.split('-').nth(1), Some(parts[1]), "the trace is the same");
        assert_ne!(place, other, "and each place is its own");
    }
}
