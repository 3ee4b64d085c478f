//! The verbs: what each command is called, who may give it, and whether a repeat of it is remembered. The rows of the
//! table in `lifecycle` are found by them.

use GivenBy::{Anybody, Holder, Operator, Recovery};
use Repeat::{Idempotent, Remembered};

/// Who may give a command.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum GivenBy {
    /// Any caller: it needs neither a lease nor the rights of an operator.
    Anybody,
    /// The holder of the task's lease, with its owner and epoch.
    Holder,
    /// A person, or a program that acts for one.
    Operator,
    /// Recovery.
    Recovery,
}

/// What becomes of a command that arrives twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Repeat {
    /// Under the same request id it gets the first answer again.
    Remembered,
    /// It does again what it did, which changes nothing: it needs no request id, and ignores one.
    Idempotent,
}

struct VerbFacts {
    word: &'static str,
    given_by: GivenBy,
    repeat: Repeat,
}

/// Declares the verbs and the table of what is known of each.
macro_rules! verbs {
    ($($verb:ident, $word:literal, $given_by:ident, $repeat:ident;)*) => {
        /// The kind of a command.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[allow(missing_docs)] // One for each action, which has the words.
        #[non_exhaustive]
        pub enum Verb { $($verb),* }

        impl Verb {
            /// Every verb.
            pub const ALL: &'static [Verb] = &[$(Verb::$verb),*];
        }

        /// In the order of the verbs.
        static VERBS: &[VerbFacts] =
            &[$(VerbFacts { word: $word, given_by: $given_by, repeat: $repeat }),*];
    };
}
verbs! {
    Create, "create", Anybody, Remembered;
    Put, "put", Operator, Remembered;
    Dispatch, "dispatch", Operator, Remembered;
    Acquire, "acquire", Anybody, Remembered;
    Claim, "claim", Anybody, Remembered;
    Heartbeat, "heartbeat", Holder, Idempotent;
    Progress, "progress", Holder, Idempotent;
    Release, "release", Holder, Remembered;
    Register, "register", Holder, Remembered;
    RegisterBeforeLease, "register before lease", Operator, Remembered;
    Adopt, "adopt", Holder, Remembered;
    Settle, "settle", Holder, Remembered;
    Try, "try", Holder, Remembered;
    SettleByHand, "settle by hand", Operator, Remembered;
    Waive, "waive", Operator, Remembered;
    Complete, "complete", Holder, Remembered;
    Fail, "fail", Holder, Remembered;
    RollBack, "roll back", Holder, Remembered;
    Quarantine, "quarantine", Holder, Remembered;
    MarkCompleted, "mark completed", Operator, Remembered;
    MarkFailed, "mark failed", Operator, Remembered;
    MarkCompensated, "mark compensated", Operator, Remembered;
    MarkQuarantined, "mark quarantined", Operator, Remembered;
    Cancel, "cancel", Operator, Remembered;
    Label, "label", Holder, Remembered;
    LabelByOperator, "label by operator", Operator, Remembered;
    Reclaim, "reclaim", Recovery, Remembered;
    Annotate, "annotate", Operator, Remembered;
    Retry, "retry", Operator, Remembered;
}

impl Verb {
    const fn facts(self) -> &'static VerbFacts {
        &VERBS[self as usize]
    }

    /// The verb as documents write it. Digests of older versions were made of it, so a word stays as it is.
    pub const fn as_str(self) -> &'static str {
        self.facts().word
    }

    /// Who may give it.
    pub const fn given_by(self) -> GivenBy {
        self.facts().given_by
    }

    /// What becomes of a repeat.
    pub const fn repeat(self) -> Repeat {
        self.facts().repeat
    }
}
