//! Processes of this machine that still work under a lease, found by the variables that `tenure run` gives its command.

use tenure::process::{ProcessEnvironment, environments};

/// A process that was started under a lease.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Survivor {
    pub(crate) pid: u32,
    pub(crate) name: String,
    pub(crate) store: String,
    pub(crate) namespace: String,
    pub(crate) task: String,
    pub(crate) epoch: u64,
}

/// All that can be seen.
pub(crate) fn survivors() -> Vec<Survivor> {
    environments().filter_map(of).collect()
}

fn of(process: ProcessEnvironment) -> Option<Survivor> {
    Some(Survivor {
        store: process.variable("TENURE_STORE")?,
        namespace: process.variable("TENURE_NAMESPACE")?,
        task: process.variable("TENURE_TASK")?,
        epoch: process.variable("TENURE_EPOCH")?.parse().ok()?,
        pid: process.pid,
        name: process.name,
    })
}
