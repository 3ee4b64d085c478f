//! How the rows of another table are moved.

use tenure_core::id::Actor;
use tenure_core::policy::{OnLapse, Policy};
use tenure_core::time::Span;

/// How rows are moved.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct MoveOptions {
    /// Whether anything is written.
    pub writing: Writing,
    /// What happens when the leases of open tasks lapse.
    pub on_lapse: OnLapse,
    /// How long recovery then leaves a task to others, under [`OnLapse::Either`]. Of leases that lapsed there it counts from now.
    pub recover_after: Option<Span>,
    /// Which token may go on with the leases of running tasks; none: that of the owner's name.
    pub granted_to: Option<Actor>,
}

tenure_core::with_changes!(MoveOptions);

impl MoveOptions {
    pub(super) fn policy(&self) -> Policy {
        Policy::default().with(|policy| {
            policy.on_lapse = self.on_lapse;
            policy.recover_after = self.recover_after;
        })
    }
}

/// Whether anything is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Writing {
    /// Rows become tasks.
    #[default]
    Real,
    /// Only what would happen is told.
    DryRun,
}
