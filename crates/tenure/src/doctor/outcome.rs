//! What a check answers with, and the words and commands that several checks share.

use tenure_api::doctor::{CheckName, CheckResult, SkippedCheck, Verdict};
use tenure_core::id::Namespace;
use tenure_core::refusal::Code;
use tenure_store::Error;

use crate::doctor::facts::{Facts, RecoverySettings, StoreKind};
use crate::doctor::thresholds::NAMED;
use crate::shell::quoted;

/// What came of a check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CheckOutcome {
    /// It was made.
    Made(CheckResult),
    /// It was not.
    Skipped(SkippedCheck),
}

/// What is looked at in a backup, too: the file, and whether the history holds.
const OF_BACKUPS: [CheckName; 6] = [
    CheckName::Store,
    CheckName::Schema,
    CheckName::Integrity,
    CheckName::Chain,
    CheckName::Disk,
    CheckName::Permissions,
];

impl CheckOutcome {
    /// Which check it is of.
    pub fn name(&self) -> CheckName {
        match self {
            CheckOutcome::Made(check) => check.name,
            CheckOutcome::Skipped(check) => check.name,
        }
    }

    /// The same where its facts can't be relied on: it can still show that something is wrong, and not that all is well.
    pub(super) fn unproven(self, reason: &str) -> CheckOutcome {
        match self {
            CheckOutcome::Made(check) if check.verdict == Verdict::Pass => skipped(check.name, reason),
            CheckOutcome::Made(_) | CheckOutcome::Skipped(_) => self,
        }
    }

    /// The same of a backup: nobody works in it, so nobody mends the work there. A loss is a loss.
    pub(super) fn in_backup(self) -> CheckOutcome {
        match self {
            CheckOutcome::Made(check)
                if !OF_BACKUPS.contains(&check.name)
                    && (check.name, check.verdict) != (CheckName::Anchor, Verdict::Fail) =>
            {
                skipped(check.name, "it is a backup, in which nobody works")
            }
            CheckOutcome::Made(_) | CheckOutcome::Skipped(_) => self,
        }
    }
}

impl From<CheckResult> for CheckOutcome {
    fn from(result: CheckResult) -> CheckOutcome {
        CheckOutcome::Made(result)
    }
}

pub(super) fn skipped(name: CheckName, reason: impl Into<String>) -> CheckOutcome {
    CheckOutcome::Skipped(SkippedCheck { name, reason: reason.into() })
}

pub(super) fn pass(name: CheckName, says: impl Into<String>) -> CheckResult {
    CheckResult::new(name, Verdict::Pass, says)
}

/// The outcome of a check whose facts can't be read. A token that may not read them says nothing about the store.
pub(super) fn unreadable(name: CheckName, error: &Error, facts: &Facts) -> CheckOutcome {
    if error.code() == Some(Code::Forbidden) {
        return skipped(name, format!("the token may not read it: {error}"));
    }
    let is_corrupt = matches!(error, Error::Corrupt(_));
    let command =
        if is_corrupt { "tenure audit verify".to_owned() } else { looking_command(facts.kind, &facts.shown) };
    CheckResult::new(name, Verdict::Fail, format!("can't be read: {error}")).mended_by(command).into()
}

/// What shows why a store can't be reached.
pub(super) fn looking_command(kind: StoreKind, shown: &str) -> String {
    match kind {
        StoreKind::Memory => "tenure status".to_owned(),
        StoreKind::File => format!("ls -la {}", quoted(path_of(shown))),
        StoreKind::Postgres => format!("pg_isready -d {}", quoted(libpq_url(shown))),
        StoreKind::Server => {
            let servers = shown.split_once('?').map_or(shown, |(servers, _)| servers);
            let first = servers.split(',').next().unwrap_or(servers);
            format!("curl -fsS {}", quoted(&format!("{}/readyz", first.trim_end_matches('/'))))
        }
    }
}

/// The URL of a database as PostgreSQL's own programs take it: the schema is no parameter of libpq, and a URL for people ends with it.
pub(super) fn libpq_url(shown: &str) -> &str {
    let url = shown.rsplit_once("schema=").map_or(shown, |(url, _)| url);
    url.trim_end_matches(['?', '&'])
}

/// The path in the URL of a file.
pub(super) fn path_of(shown: &str) -> &str {
    let path = shown.strip_prefix("sqlite:").unwrap_or(shown);
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    path.strip_prefix("//").unwrap_or(path)
}

/// A command of this program on a task of a namespace.
pub(super) fn in_namespace(namespace: &Namespace, rest: &str) -> String {
    format!("tenure --namespace {namespace} {rest}")
}

/// How recovery is started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RecoveryRun {
    /// Once.
    Once,
    /// Until it is told to stop.
    Watching,
}

/// The command that recovers. Without the file that has its handlers it would park each task that owes something, so the
/// command names one; the usual name, if none is known.
pub(super) fn recover_command(facts: &Facts, run: RecoveryRun, owes: bool) -> String {
    let file = match facts.recovery {
        RecoverySettings::Unknown if owes => " --config tenure.toml",
        RecoverySettings::Unknown | RecoverySettings::Named { .. } => "",
    };
    let watch = match run {
        RecoveryRun::Once => "",
        RecoveryRun::Watching => " --watch",
    };
    format!("tenure{file} recover{watch}")
}

/// The first names, and how many more there are.
pub(super) fn named(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let first = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more == 0 { first } else { format!("{first} and {more} more") }
}

/// A count with its noun.
pub(super) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Bytes for people.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}
