//! `tenure doctor`: what is wrong with the store, each with the command that mends it.

use std::collections::BTreeMap;

use clap::Args;
use tenure::api::wire::Word as _;
use tenure::core::id::{Kind, Namespace};
use tenure::doctor::{
    CheckDepth, CheckResult, Diagnosis, DoctorAnchor, DoctorOptions, RecoverySettings, Verdict, examine,
};
use tenure_view::words::count;

use crate::audit::read_anchor;
use crate::context::Context;
use crate::error::CliError;
use crate::global::OutputFormat;
use crate::output::{Colour, Output, harmless_line};

/// Examine the store: what is wrong, and the command that mends it
///
/// Use it after an installation, from cron, and when something seems wrong. It looks at the store and its file or database, the
/// history, the clocks, recovery, and the tasks of all namespaces, or of --namespace. It changes nothing, and creates no store.
///
/// The exit status is 0 if nothing fails, also with warnings, and 1 if a check fails; with --strict it is 1 for a warning, too. With
/// -q only what does not pass is printed, so that cron sends no mail if all is well.
#[derive(Args)]
#[command(
    after_help = "Example:\n  tenure doctor\n  tenure doctor -q --strict --anchor /mnt/elsewhere/anchor-of-monday"
)]
pub(crate) struct Doctor {
    /// Newest anchor, a file that `tenure audit anchor` wrote: verify against it, and report what it does not cover; - for standard
    /// input
    #[arg(long, value_name = "FILE")]
    anchor: Option<String>,
    /// Verify every task, and read the whole file, however long it takes [default: the newest 1000 tasks, for at most 5s]
    #[arg(long)]
    deep: bool,
    /// End with status 1 for warnings, too
    #[arg(long)]
    strict: bool,
}

impl Doctor {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let anchor = match self.anchor {
            Some(file) => Some(DoctorAnchor { anchor: read_anchor(context, &file)?, file }),
            None => None,
        };
        let settings = context.settings()?;
        let namespace = settings.said_namespace.as_deref().map(Namespace::new).transpose()?;
        let recovery = match settings.config.path.as_os_str().is_empty() {
            true => RecoverySettings::Unknown,
            false => RecoverySettings::Named {
                file: settings.config.path.display().to_string(),
                kinds: settings.config.undo.keys().filter_map(|kind| Kind::new(kind.as_str()).ok()).collect(),
            },
        };
        let options = DoctorOptions::default().with(|options| {
            options.namespace = namespace;
            options.depth = if self.deep { CheckDepth::Whole } else { CheckDepth::Newest };
            options.anchor = anchor;
            options.recovery = recovery;
        });
        let (builder, url) = context.store_to_look_at(&settings)?;
        let clock = context.clock();
        let mut diagnosis = examine(builder, &url, clock.as_ref(), &options).await;
        on_this_store(&mut diagnosis, context.out);
        // The exit status gives the verdict, even if nobody reads the output to its end.
        let verdict = match (diagnosis.verdict, self.strict) {
            (Verdict::Pass, _) | (Verdict::Warn, false) => Ok(()),
            (Verdict::Warn, true) | (Verdict::Fail, _) => Err(CliError::Told),
        };
        let shown = show(context.out, &diagnosis);
        verdict.and(shown)
    }
}

/// Adds the options of this store to each command, so that it can be copied as it is.
fn on_this_store(diagnosis: &mut Diagnosis, out: &Output<'_>) {
    for check in &mut diagnosis.checks {
        check.says = out.with_store(&check.says);
        check.mend = check.mend.take().map(|command| out.command_on_store(&command));
    }
    for check in &mut diagnosis.skipped {
        check.reason = out.with_store(&check.reason);
    }
}

fn show(out: &mut Output<'_>, diagnosis: &Diagnosis) -> Result<(), CliError> {
    if out.form() == OutputFormat::Json {
        return out.json(diagnosis);
    }
    let (passed, found): (Vec<_>, Vec<_>) =
        diagnosis.checks.iter().partition(|check| check.verdict == Verdict::Pass);
    found.iter().try_for_each(|check| line_of(out, check))?;
    if out.is_quiet() {
        return Ok(());
    }
    if out.is_verbose() {
        passed.iter().try_for_each(|check| line_of(out, check))?;
    } else if !passed.is_empty() {
        let names: Vec<&str> = passed.iter().map(|check| check.name.word()).collect();
        let mark = mark(out, Verdict::Pass);
        out.line(&format!("{mark}  {}: {}", count(names.len() as u64, "check"), names.join(", ")))?;
    }
    let mut skipped = BTreeMap::<&str, Vec<&str>>::new();
    for check in &diagnosis.skipped {
        skipped.entry(check.reason.as_str()).or_default().push(check.name.word());
    }
    for (reason, names) in skipped {
        let mark = out.painted("- skip", Colour::Faint);
        out.line(&format!("{mark}  {}: {}", names.join(", "), harmless_line(reason)))?;
    }
    let number = |verdict| diagnosis.checks.iter().filter(|check| check.verdict == verdict).count();
    out.line(&format!(
        "{}: {} failed, {} warned, {} passed, {} skipped",
        diagnosis.verdict.word(),
        number(Verdict::Fail),
        number(Verdict::Warn),
        number(Verdict::Pass),
        diagnosis.skipped.len()
    ))
}

fn line_of(out: &mut Output<'_>, check: &CheckResult) -> Result<(), CliError> {
    let mark = mark(out, check.verdict);
    out.line(&format!("{mark}  {}: {}", check.name.word(), harmless_line(&check.says)))?;
    let Some(command) = &check.mend else { return Ok(()) };
    let arrow = out.painted("→", Colour::Faint);
    out.line(&format!("        {arrow} {}", harmless_line(command)))
}

/// A mark and a word: the colour says nothing more.
fn mark(out: &Output<'_>, verdict: Verdict) -> String {
    match verdict {
        Verdict::Pass => out.painted("✓ pass", Colour::Good),
        Verdict::Warn => out.painted("! warn", Colour::Third),
        Verdict::Fail => out.painted("✕ fail", Colour::Bad),
    }
}
