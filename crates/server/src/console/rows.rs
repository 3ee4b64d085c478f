//! Tasks in lists.

use tenure::core::task::Task;
use tenure::core::time::Time;
use tenure::store::watch::Watchers;
use tenure_view::words::{Instant, Left, StateMark, holder, oddities, row_words, shortened, state_mark};

use super::address::task_path;

/// How many characters of a progress are shown.
const PROGRESS_SHOWN: usize = 80;

/// Some tasks, and how many there are besides.
pub(super) struct List {
    pub(super) rows: Vec<Row>,
    pub(super) more: u64,
}

/// A task in a list.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) path: String,
    pub(super) state: StateMark,
    pub(super) holder: String,
    pub(super) left: Option<Left>,
    pub(super) progress: String,
    /// What is odd about it.
    pub(super) oddities: Option<String>,
    pub(super) attempt: String,
    /// Why it is where it is, and what comes next.
    pub(super) why: String,
    pub(super) since: Instant,
}

/// A task as a row.
pub(super) fn row(task: &Task, watchers: &Watchers, now: Time) -> Row {
    let progress = task.lease().and_then(|lease| lease.progress.as_ref());
    let reserved = task.reservation().map(|reservation| reservation.reserved_at);
    let since = task
        .ending()
        .map_or(reserved.or(task.started_at).unwrap_or(task.created_at), |ending| ending.finished_at);
    Row {
        id: task.id.to_string(),
        path: task_path(&task.namespace, &task.id),
        state: state_mark(task.state()),
        holder: holder(task).unwrap_or_default().to_owned(),
        left: Left::of(task, now),
        progress: progress.map(|progress| shortened(progress.as_str(), PROGRESS_SHOWN)).unwrap_or_default(),
        oddities: oddities(task),
        attempt: format!("{} of {}", task.attempts, task.policy.max_attempts),
        why: row_words(task, watchers, now),
        since: Instant::of(since, now),
    }
}
