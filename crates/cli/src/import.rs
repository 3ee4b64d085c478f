//! `tenure import FILE`: takes what `tenure export` wrote. `task_sagas` takes the table of another program.

mod task_sagas;

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use clap::{ArgGroup, Args};
use serde::Serialize;
use tenure::core::id::Actor;
use tenure::core::policy::OnLapse;
use tenure::instant::rough;
use tenure::moving_in::{MoveOptions, Writing};
use tenure::transfer::{ImportError, ImportReport, Importer, RefusedLine};
use tenure_view::words::count;

use crate::context::Context;
use crate::error::CliError;
use crate::global::OutputFormat;
use crate::output::Output;
use crate::progress_bar::{DonePart, ProgressBar};
use crate::values::{ByOperator, one_of, span};

/// How much of the file is read at once.
const BUFFER_BYTES: usize = 256 * 1024;
/// The exit status if a line was refused.
const REFUSED: u8 = 3;

/// Import what `tenure export` wrote
///
/// Use it to move a store. Each line is checked before it is written, and the chains of the new store are those of the old one. A line
/// that is refused is named with its number and the reason, and the exit status is 3; all others are imported, if the first line is
/// that of an export. Repeat the command after an interruption: it skips what is there. The store may have other tasks; ids that are taken are refused.
///
/// With --from-task-sagas it takes the tasks of another program's SQLite file instead, while that is in use: each row by itself, with who
/// holds it. Repeat it to take what is new there.
#[derive(Args)]
#[command(group = ArgGroup::new("source").required(true))]
#[command(after_help = "Example:\n  tenure import --store postgres://db/app tasks.jsonl\n  \
    tenure import --from-task-sagas sagas.db --dry-run")]
pub(crate) struct Import {
    /// The file to import; - for standard input
    #[arg(value_name = "FILE", group = "source")]
    file: Option<String>,
    /// Write refused lines to this file as JSON Lines, instead of to standard error. A file that has anything but the refused
    /// lines of an earlier import is not overwritten
    #[arg(long, value_name = "FILE", conflicts_with = "from_task_sagas")]
    refused: Option<String>,
    /// Take the tasks of the table `task_sagas` in this SQLite file, which is only read
    #[arg(long, value_name = "FILE", group = "source")]
    from_task_sagas: Option<PathBuf>,
    /// Only say what would become of each row
    #[arg(long, requires = "from_task_sagas")]
    dry_run: bool,
    /// What to do when the lease of a moved task lapses
    #[arg(long, value_name = "ACTION", default_value = OnLapse::default().as_str(), requires = "from_task_sagas",
        value_parser = one_of(&OnLapse::ALL, OnLapse::as_str))]
    on_lapse: OnLapse,
    /// How long recovery leaves a lapsed task to others, with --on-lapse either [default: off]
    #[arg(long, value_name = "DURATION", requires = "from_task_sagas")]
    recover_after: Option<String>,
    /// The token that may go on with the leases of running tasks [default: the one with the owner's name]
    #[arg(long, value_name = "TOKEN", requires = "from_task_sagas")]
    granted_to: Option<String>,
    #[command(flatten)]
    who: ByOperator,
}

/// The lines to import, and how many bytes they have if that is known.
struct Source<'a> {
    from: Box<dyn Read + 'a>,
    bytes: Option<u64>,
}

impl Import {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let Some(file) = self.file else {
            let Some(origin) = self.from_task_sagas else { return Ok(()) };
            let recover_after = span("recover_after", self.recover_after.as_deref())?;
            let granted_to = self.granted_to.map(|name| Actor::named("granted_to", name)).transpose()?;
            let options = MoveOptions::default().with(|options| {
                options.writing = if self.dry_run { Writing::DryRun } else { Writing::Real };
                options.on_lapse = self.on_lapse;
                options.recover_after = recover_after;
                options.granted_to = granted_to;
            });
            let refused = task_sagas::run(context, &origin, options, &self.who).await?;
            return if refused > 0 { Err(CliError::Status(REFUSED)) } else { Ok(()) };
        };
        if context.is_store_served()? {
            return Err(CliError::Usage(
                "an import runs beside the database, not over HTTP: pass --store with the file or the database".into(),
            ));
        }
        let opened = open(&file)?;
        let mut refusals = Refusals::open(self.refused.as_deref(), &file)?;
        let ledger = context.ledger().await?;
        let Context { out, around, .. } = context;
        let source = opened.unwrap_or_else(|| Source { from: Box::new(&mut *around.input), bytes: None });
        let from = BufReader::with_capacity(BUFFER_BYTES, source.from);
        let mut importer = Importer::begin(ledger.store().as_ref(), from)?;
        let mut bar = ProgressBar::new("importing", "events");
        let imported = loop {
            match importer.next().await {
                Ok(Some(refused)) => refusals.tell(out, &refused)?,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
            let report = importer.report();
            let events = report.written.events + report.skipped;
            let part = match source.bytes {
                Some(bytes) => DonePart { done: importer.bytes_read(), of: Some(bytes) },
                None => DonePart { done: events, of: importer.events_expected() },
            };
            bar.show(out, events, part);
        };
        out.passing_line("");
        refusals.close()?;
        let report = importer.report();
        if let Err(error) = imported {
            return Err(ended_early(out, error, &report));
        }
        summary(out, &report, &rough(bar.took()))?;
        if report.refused > 0 { Err(CliError::Status(REFUSED)) } else { Ok(()) }
    }
}

/// The file; none for standard input.
fn open(path: &str) -> Result<Option<Source<'static>>, CliError> {
    if path == "-" {
        return Ok(None);
    }
    let failed = |error| CliError::Usage(format!("{path}: {error}"));
    let file = File::open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if found.is_dir() {
        return Err(CliError::Usage(format!(
            "{path} is a directory; give a file that `tenure --store STORE export` wrote"
        )));
    }
    let bytes = Some(found.len()).filter(|_| found.is_file());
    Ok(Some(Source { from: Box::new(file), bytes }))
}

fn ended_early(out: &mut Output<'_>, error: ImportError, report: &ImportReport) -> CliError {
    let lines = count(report.written.lines, "line");
    out.note(&format!("the import ended after {lines}; repeat the command, and it goes on there"));
    let words = error.to_string();
    if let ImportError::Store(error) = error { CliError::Ledger(error) } else { CliError::Failed(words) }
}

/// How a file of refused lines begins.
const REFUSED_LINE: &[u8] = b"{\"line\":";

/// Where refused lines are named.
struct Refusals {
    file: Option<(String, BufWriter<File>)>,
}

#[derive(Serialize)]
struct RefusedJson<'a> {
    line: u64,
    reason: &'a str,
}

impl Refusals {
    fn open(path: Option<&str>, imported: &str) -> Result<Refusals, CliError> {
        let open = |path: &str| {
            let unusable = |words: String| CliError::Usage(format!("--refused: {path}: {words}"));
            may_be_overwritten(path, imported).map_err(unusable)?;
            let file = File::create(path).map_err(|error| unusable(error.to_string()))?;
            Ok::<_, CliError>((path.to_owned(), BufWriter::new(file)))
        };
        Ok(Refusals { file: path.map(open).transpose()? })
    }

    fn tell(&mut self, out: &mut Output<'_>, refused: &[RefusedLine]) -> Result<(), CliError> {
        if let Some((path, file)) = &mut self.file {
            let mut lines = refused.iter().map(|RefusedLine { line, reason }| {
                let json = tenure::api::to_json(&RefusedJson { line: *line, reason });
                writeln!(file, "{json}")
            });
            return lines.try_for_each(|written| written.map_err(|error| not_written(path, &error)));
        }
        if !refused.is_empty() {
            out.passing_line("");
        }
        for RefusedLine { line, reason } in refused {
            out.error(&format!("line {line}: {reason}"), None);
        }
        Ok(())
    }

    fn close(self) -> Result<(), CliError> {
        let Some((path, mut file)) = self.file else { return Ok(()) };
        file.flush().map_err(|error| not_written(&path, &error))
    }
}

/// Why a file is not overwritten. One that an earlier import wrote is: the import is repeated, and refuses the same lines again.
fn may_be_overwritten(path: &str, imported: &str) -> Result<(), String> {
    let Ok(found) = std::fs::metadata(path) else { return Ok(()) };
    let is_imported = imported != "-"
        && std::fs::metadata(imported)
            .is_ok_and(|other| (other.dev(), other.ino()) == (found.dev(), found.ino()));
    if is_imported && found.is_file() {
        return Err("it is the file to import; give another file".to_owned());
    }
    if !found.is_file() || found.len() == 0 {
        return Ok(());
    }
    let mut first = Vec::new();
    let beginning =
        File::open(path).and_then(|file| file.take(REFUSED_LINE.len() as u64).read_to_end(&mut first));
    beginning.map_err(|error| error.to_string())?;
    if first == REFUSED_LINE {
        return Ok(());
    }
    Err("the file exists, and does not have the refused lines of an import; give another file".to_owned())
}

fn not_written(path: &str, error: &std::io::Error) -> CliError {
    CliError::Failed(format!("--refused: {path}: {error}; repeat the command with another file"))
}

/// What was imported, for programs.
#[derive(Serialize)]
struct ImportAnswer {
    import: ImportJson,
}

#[derive(Serialize)]
struct ImportJson {
    lines: u64,
    anchors: u64,
    pruned: u64,
    events: u64,
    leases: u64,
    requests: u64,
    followers: u64,
    tokens: u64,
    skipped: u64,
    refused: u64,
}

fn summary(out: &mut Output<'_>, report: &ImportReport, took: &str) -> Result<(), CliError> {
    let ImportReport { written, skipped, refused } = *report;
    if out.form() == OutputFormat::Json {
        return out.json(&ImportAnswer {
            import: ImportJson {
                lines: written.lines,
                anchors: written.anchors,
                pruned: written.pruned,
                events: written.events,
                leases: written.leases,
                requests: written.requests,
                followers: written.followers,
                tokens: written.tokens,
                skipped,
                refused,
            },
        });
    }
    if out.is_quiet() {
        return Ok(());
    }
    out.line(&format!(
        "imported {}, {}, {}, {}, {}, {} and {} in {took}; {} skipped, {} refused",
        count(written.events, "event"),
        count(written.pruned, "pruned task"),
        count(written.anchors, "anchor"),
        count(written.leases, "lease"),
        count(written.requests, "request id"),
        count(written.followers, "named cursor"),
        count(written.tokens, "token"),
        count(skipped, "line"),
        count(refused, "line"),
    ))
}
