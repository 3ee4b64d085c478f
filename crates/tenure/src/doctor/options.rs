//! What a caller may choose of an examination.

use tenure_core::id::Namespace;

use crate::audit::Anchor;
use crate::doctor::facts::RecoverySettings;

/// How an examination is made.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct DoctorOptions {
    /// Only this namespace; none: all.
    pub namespace: Option<Namespace>,
    /// How much of it is read.
    pub depth: CheckDepth,
    /// The newest anchor.
    pub anchor: Option<DoctorAnchor>,
    /// What is known of recovery's settings.
    pub recovery: RecoverySettings,
}

tenure_core::with_changes!(DoctorOptions);

/// How much of a history and of a file is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CheckDepth {
    /// The newest tasks, and the pages of a file that is not too long.
    #[default]
    Newest,
    /// Everything, however long it takes.
    Whole,
}

/// An anchor, and where it was read.
#[derive(Clone, Debug)]
pub struct DoctorAnchor {
    /// The path of its file.
    pub file: String,
    /// The anchor.
    pub anchor: Anchor,
}
