//! The tasks that a store used last, within a limit of bytes: what it knows of them it need not read again.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{Hash, Hasher};

use tenure_core::id::{Namespace, TaskId};

/// What is known of the tasks that were used last.
///
/// There are two generations: when the younger one is full it becomes the older one, and what was in that and was not used
/// since is forgotten.
pub struct RecentTasks<T> {
    young: Generation<T>,
    old: Generation<T>,
}

impl<T> Default for RecentTasks<T> {
    fn default() -> Self {
        RecentTasks { young: Generation::default(), old: Generation::default() }
    }
}

impl<T> RecentTasks<T> {
    pub fn get(&mut self, namespace: &Namespace, id: &TaskId) -> Option<&mut T> {
        let name: &dyn Name = &(namespace, id);
        if let Some((known, bytes)) = self.old.remove(name) {
            self.put(namespace.clone(), id.clone(), known, bytes);
        }
        self.young.tasks.get_mut(name).map(|(known, _)| known)
    }

    /// The one that is here, or a new one.
    pub fn get_or_put(&mut self, namespace: &Namespace, id: &TaskId, bytes: usize) -> &mut T
    where
        T: Default,
    {
        self.begin_generation_if_full();
        let (young, old) = (&mut self.young, &mut self.old);
        let (known, _) = match young.tasks.entry(TaskName(namespace.clone(), id.clone())) {
            Entry::Occupied(occupied) => occupied.into_mut(),
            Entry::Vacant(vacant) => {
                let (known, bytes) = old.remove(&(namespace, id)).unwrap_or_else(|| (T::default(), bytes));
                young.bytes += bytes;
                vacant.insert((known, bytes))
            }
        };
        known
    }

    /// Takes one out, to be put back as it is after a command.
    pub fn take(&mut self, namespace: &Namespace, id: &TaskId) -> Option<T> {
        let name: &dyn Name = &(namespace, id);
        self.young.remove(name).or_else(|| self.old.remove(name)).map(|(known, _)| known)
    }

    /// Remembers a task that is not here, with the bytes that it takes.
    pub fn put(&mut self, namespace: Namespace, id: TaskId, known: T, bytes: usize) {
        self.begin_generation_if_full();
        self.young.bytes += bytes;
        self.young.tasks.insert(TaskName(namespace, id), (known, bytes));
    }

    fn begin_generation_if_full(&mut self) {
        if self.young.bytes >= GENERATION_BYTES_MAX {
            self.old = std::mem::take(&mut self.young);
        }
    }
}

/// Half of what recent tasks may take, by the size of their JSON, which is more than they have in memory.
const GENERATION_BYTES_MAX: usize = 32 * 1024 * 1024;

struct Generation<T> {
    /// Each with its bytes.
    tasks: HashMap<TaskName, (T, usize)>,
    bytes: usize,
}

impl<T> Default for Generation<T> {
    fn default() -> Self {
        Generation { tasks: HashMap::new(), bytes: 0 }
    }
}

impl<T> Generation<T> {
    fn remove(&mut self, name: &dyn Name) -> Option<(T, usize)> {
        if self.tasks.is_empty() {
            return None;
        }
        let (known, bytes) = self.tasks.remove(name)?;
        self.bytes -= bytes;
        Some((known, bytes))
    }
}

/// The key of a task.
#[derive(PartialEq, Eq, Hash)]
struct TaskName(Namespace, TaskId);

/// A key that need not be owned to be looked up.
trait Name {
    fn parts(&self) -> (&Namespace, &TaskId);
}

impl Name for TaskName {
    fn parts(&self) -> (&Namespace, &TaskId) {
        (&self.0, &self.1)
    }
}

impl Name for (&Namespace, &TaskId) {
    fn parts(&self) -> (&Namespace, &TaskId) {
        *self
    }
}

impl<'a> Borrow<dyn Name + 'a> for TaskName {
    fn borrow(&self) -> &(dyn Name + 'a) {
        self
    }
}

impl PartialEq for dyn Name + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for dyn Name + '_ {}

/// As the derived one of [`TaskName`].
impl Hash for dyn Name + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace() -> Namespace {
        Namespace::new("default").expect("a name")
    }

    fn id(number: usize) -> TaskId {
        TaskId::new(format!("t{number}")).expect("a name")
    }

    #[test]
    fn what_is_used_stays_and_what_is_not_is_forgotten_in_time() {
        let mut tasks = RecentTasks::default();
        for number in 0..1_000 {
            tasks.put(namespace(), id(number), number, 250_000);
            assert!(tasks.get(&namespace(), &id(0)).is_some(), "it is used all the time: {number}");
        }
        assert!(tasks.get(&namespace(), &id(999)).is_some(), "it came last");
        assert!(tasks.get(&namespace(), &id(1)).is_none(), "it was not used");
        let bytes = tasks.young.bytes + tasks.old.bytes;
        assert!(bytes <= 2 * GENERATION_BYTES_MAX + 512 * 1024, "{bytes}");
    }

    #[test]
    fn a_task_that_is_taken_out_gives_its_room_back() {
        let mut tasks = RecentTasks::default();
        tasks.put(namespace(), id(1), 1, 100);
        assert_eq!(tasks.take(&namespace(), &id(1)), Some(1));
        assert_eq!(tasks.take(&namespace(), &id(1)), None);
        assert_eq!(tasks.young.bytes + tasks.old.bytes, 0);
    }
}
