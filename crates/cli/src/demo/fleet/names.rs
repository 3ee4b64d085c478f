//! The words of the fleet: its queues, repositories, sorts of work with their steps, and people.

/// The queues that the agents serve.
pub(super) const SERVED: [&str; 3] = ["agents", "builds", "nightly"];
/// A queue that nobody serves.
pub(super) const UNSERVED: &str = "gpu";

/// The person who cancels tasks, takes over held ones, and clears away old failures.
pub(super) const PERSON: &str = "maria";
/// The program that creates the tasks.
pub(super) const PLANNER: &str = "issue-bot";

/// The machines on which agents run.
const MACHINES: [&str; 3] = ["eu-1", "eu-2", "us-1"];

/// The repositories.
pub(super) const REPOSITORIES: [&str; 5] =
    ["shop/web", "shop/api", "shop/mobile", "platform/search", "platform/billing"];

/// A sort of work.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WorkSort {
    /// The kind of its tasks, which begins their ids.
    pub(super) kind: &'static str,
    pub(super) queue: &'static str,
    /// What it is about, for the ids.
    pub(super) subjects: &'static [&'static str],
    /// What an agent does, one after the other.
    pub(super) steps: &'static [&'static str],
}

/// An agent fixes an issue.
pub(super) const FIX: WorkSort = WorkSort {
    kind: "fix",
    queue: SERVED[0],
    subjects: &[
        "login-redirect",
        "flaky-upload-test",
        "slow-search",
        "dark-mode-contrast",
        "csv-export",
        "webhook-retries",
        "avatar-cache",
        "invoice-time-zone",
        "empty-cart-crash",
        "password-reset-mail",
    ],
    steps: &[
        "reading the issue",
        "writing a failing test",
        "editing the code",
        "running the tests",
        "opening a pull request",
    ],
};

/// An agent reviews a pull request.
pub(super) const REVIEW: WorkSort = WorkSort {
    kind: "review",
    queue: SERVED[0],
    subjects: &["rate-limits", "retry-budget", "schema-change", "new-checkout", "cache-headers"],
    steps: &["fetching the branch", "reading the diff", "running the tests", "writing comments"],
};

/// A build.
pub(super) const BUILD: WorkSort = WorkSort {
    kind: "build",
    queue: SERVED[1],
    subjects: &["web", "api", "ios", "android", "docs", "worker"],
    steps: &["fetching", "compiling", "linking", "testing", "uploading"],
};

/// A job of the night.
pub(super) const NIGHTLY: WorkSort = WorkSort {
    kind: "nightly",
    queue: SERVED[2],
    subjects: &["benchmarks", "dependency-audit", "backup-check", "link-check", "fuzzing"],
    steps: &["preparing", "running", "comparing with yesterday", "writing the report"],
};

/// An evaluation on a graphics card.
pub(super) const EVALUATION: WorkSort = WorkSort {
    kind: "evaluate",
    queue: UNSERVED,
    subjects: &["ranking-model", "embeddings", "summaries"],
    steps: &["loading the model", "running the questions", "scoring"],
};

/// The name of an agent as the owner of leases.
pub(super) fn agent(nth: u16) -> String {
    let machine = MACHINES[usize::from(nth) % MACHINES.len()];
    format!("{machine}/agent-{:02}", nth + 1)
}
