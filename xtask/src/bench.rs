//! `cargo xtask bench`: measures Tenure, the bare engines and the programs of other projects in turns, and writes a
//! report with plots. bench/README.md has the contract of the measured programs.
//!
//! A row is measured by all its programs before the next one begins, round after round, so that a ratio is between figures
//! of the same minutes. What can't be installed or started is named in the report; only a mistake in this project ends the
//! run.

#![expect(clippy::disallowed_methods, reason = "real time is measured")]

mod chart;
mod child;
mod contender;
mod databases;
mod figures;
mod goals;
mod install;
mod machine;
mod measure;
mod numbers;
mod options;
mod peers;
mod plots;
pub(crate) mod python;
mod report;
mod results;
mod row;
mod store;
mod summary;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

use crate::run::{self, Result, Verdict};

use child::StopFlag;
use contender::{BARE, Contender, Executable, TENURE, chosen};
use databases::Databases;
use install::Installer;
use machine::Machine;
use measure::{Bench, TimeLimit};
use options::{CompareOptions, Destination, USAGE};
use plots::PlotSource;
use report::ReportData;
use results::{Results, RunHeader};
use row::{Row, Scope, StoreGroup};
use store::Stores;

/// No row begins later than this in a quick run; the longest row takes the rest of five minutes.
const QUICK_MAX: Duration = Duration::from_secs(4 * 60);
/// Kept over restarts of a machine, so it is on a disk where `/tmp` is often memory.
const DISK: &str = "/var/tmp";

/// Runs the comparison.
pub(crate) fn run(root: &Path, words: &[&str]) -> Result<Verdict> {
    if words.iter().any(|word| ["--help", "-h"].contains(word)) {
        print!("{USAGE}");
        return Ok(Verdict::Passed);
    }
    let options = CompareOptions::parse(words)?;
    let folder = run::target_folder(root).join("bench");
    std::fs::create_dir_all(&folder)?;
    let lock = std::fs::File::create(folder.join("lock"))?;
    // Two runs would disturb each other's figures, and write the same files.
    lock.try_lock().map_err(|_| format!("another run is at work in {}", folder.display()))?;
    let program = match &options.program {
        Some(program) => program.clone(),
        None => install::build_own_program(root)?,
    };
    let stop = StopFlag::of_signals()?;
    let stores_folder = stores_folder(&options);
    let databases = Databases::open(root, options.postgres.as_deref(), &stores_folder);
    let databases = databases.map_err(|why| why.to_string());
    if let Err(why) = &databases {
        println!("rows on PostgreSQL are not run: {why}");
    }
    // All that is compiled for this run is there.
    let began = Instant::now();
    let machine = Machine::look(root, &stores_folder, &databases)?;
    let header = header(&program, &options, &machine)?;
    let contenders = contenders(root, &folder, &program, &options, &stop)?;
    if stop.is_set() {
        println!("interrupted before anything was measured; the last report stays");
        return Ok(Verdict::Failed);
    }
    let (results, words) = Results::open(&folder.join("results.jsonl"), &header, options.beginning)?;
    println!("{words}");
    let stores = Stores::new(&stores_folder, databases, stop.clone());
    let time = match options.scope {
        Scope::Quick => TimeLimit::Until(began + QUICK_MAX),
        Scope::Whole | Scope::Large => TimeLimit::None,
    };
    let mut bench = Bench { options: &options, stores: &stores, stop: &stop, results };
    let missing = bench.rows(&plan(&contenders, &options), time)?;
    write_report(root, &folder, &contenders, &bench.results, &machine, &options, &missing)?;
    Ok(if stop.is_set() { Verdict::Failed } else { Verdict::Passed })
}

fn stores_folder(options: &CompareOptions) -> PathBuf {
    let usual = || if Path::new(DISK).is_dir() { PathBuf::from(DISK) } else { std::env::temp_dir() };
    options.folder.clone().unwrap_or_else(usual)
}

fn header(program: &Path, options: &CompareOptions, machine: &Machine) -> Result<RunHeader> {
    let built = program.metadata().and_then(|metadata| metadata.modified());
    let built = built.map_err(|why| format!("{}: {why}", program.display()))?;
    Ok(RunHeader {
        commit: machine.commit.clone(),
        built: built.duration_since(UNIX_EPOCH)?.as_secs().to_string(),
        machine: machine.identity.clone(),
        parameters: options.parameters(),
    })
}

/// All programs; those of peers that no chosen row has are not installed.
fn contenders(
    root: &Path,
    folder: &Path,
    program: &Path,
    options: &CompareOptions,
    stop: &StopFlag,
) -> Result<Vec<Contender>> {
    let mut contenders = Vec::new();
    for group in [StoreGroup::File, StoreGroup::Server] {
        for side in [TENURE, BARE] {
            let arguments = ["--side", side].map(str::to_owned).to_vec();
            let executable = Executable { program: program.into(), arguments, folder: folder.into() };
            contenders.push(Contender::own(side, group, Ok(executable)));
        }
    }
    let list = options.peers.clone().unwrap_or_else(|| root.join("bench/peers/peers.toml"));
    let installer = Installer {
        root,
        folder: folder.to_path_buf(),
        peers: list.parent().unwrap_or(root).to_path_buf(),
        scope: options.scope,
        stop: stop.clone(),
    };
    for peer in peers::read(&list)? {
        let is_chosen = {
            let peer = [Contender::peer(&peer, Err(String::new()))];
            row::rows(options.scope).iter().any(|row| !chosen(&peer, row, &options.only).is_empty())
        };
        if is_chosen {
            contenders.push(Contender::peer(&peer, installer.install(&peer)));
        }
    }
    Ok(contenders)
}

/// The rows with the programs that are measured in each.
fn plan<'a>(contenders: &'a [Contender], options: &CompareOptions) -> Vec<(Row, Vec<&'a Contender>)> {
    let rows = row::rows(options.scope).into_iter();
    let planned = rows.map(|row| (row, chosen(contenders, &row, &options.only)));
    planned.filter(|(_, chosen)| !chosen.is_empty()).collect()
}

fn write_report(
    root: &Path,
    folder: &Path,
    contenders: &[Contender],
    results: &Results,
    machine: &Machine,
    options: &CompareOptions,
    missing: &[(Row, String)],
) -> Result<()> {
    let measurements = &results.measurements;
    let plots = PlotSource { contenders, measurements }.write(folder)?;
    let data = ReportData {
        contenders,
        measurements,
        machine,
        goals: &goals::goals(),
        parameters: &options.described(),
        missing,
        plots: &plots,
    };
    let text = data.text();
    std::fs::write(folder.join("report.md"), &text)?;
    println!("{}", folder.join("report.md").display());
    if options.destination == Destination::Docs {
        let docs = root.join("docs/performance");
        std::fs::create_dir_all(&docs)?;
        std::fs::write(docs.join("results.md"), &text)?;
        for (file, _) in &plots {
            std::fs::copy(folder.join(file), docs.join(file))?;
        }
        println!("{}", docs.join("results.md").display());
    }
    Ok(())
}
