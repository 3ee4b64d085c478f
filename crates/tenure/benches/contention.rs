//! How long a command waits when eight processes hammer one file, beside the same life written by hand on
//! SQLite's own locks: how many commands are answered, how even the shares are, how long the longest waits.
//!
//! Each process has one caller, who gives the next command when the last is answered. So one that starves has
//! few waits, long ones: look at the longest, and at the least that one process got. The commands that begin
//! within the time are counted, and waited for. `TMPDIR` decides which disk it is.
//! `cargo bench -p tenure --bench contention -- --seconds 60 --processes 8 --rounds 1`.
#![expect(clippy::disallowed_methods, reason = "a bench measures real time")]
// A bench prints, and stops where it is surprised.
#![allow(clippy::expect_used, clippy::print_stdout, clippy::print_stderr, missing_docs)]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs::File;
use std::io::Write;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, Params, TransactionBehavior, params};
use tenure::Ledger;
use tenure::core::id::Epoch;
use tenure::core::task::{State, Task};
use tenure::ledger::{Call, Verb};
use tenure::store::Renewal;

/// How long every process has to start and to open the file.
const START_WITHIN: Duration = Duration::from_secs(3);
/// SQLite's own patience, by hand.
const BUSY_MAX: Duration = Duration::from_secs(60);
const HEARTBEATS: usize = 3;
/// In microseconds. Each is an end of a bucket, so what took longer is counted exactly.
const THRESHOLDS: [u64; 16] = [
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000,
    2_000_000, 5_000_000, 10_000_000,
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [first, rest @ ..] = words.as_slice()
        && first == "--child"
    {
        child(rest);
        return ExitCode::SUCCESS;
    }
    let number = |name: &str, default: u64| {
        let given = words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
        given.map_or(default, |word| word.parse().expect("a number"))
    };
    let (seconds, rounds) = (number("--seconds", 60).max(1), number("--rounds", 1).max(1));
    let processes = number("--processes", 8).max(1);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("{processes} processes on one file for {seconds} s, rounds in turns: {rounds}; {cores} cores");
    let folder = std::env::temp_dir();
    println!(
        "in {}, where an fsync takes {:.2} ms at the median\n",
        folder.display(),
        millis(fsync_micros())
    );
    let mut scores = CONTESTANTS.map(|_| Score::default());
    for round in 1..=rounds {
        for (contestant, score) in CONTESTANTS.into_iter().zip(&mut scores) {
            let mut this_round = Score::default();
            for tally in contest(contestant, seconds, processes) {
                this_round.add(&tally);
                score.add(&tally);
            }
            println!(
                "round {round}, {:<15} {:>7.0} commands/s, the longest wait {:.2} ms",
                contestant.name(),
                this_round.commands_a_second(seconds),
                millis(this_round.waits.longest)
            );
        }
    }
    print_table(&scores, seconds * rounds);
    print_curves(&scores);
    print_ratios(&scores);
    let [tenure, _] = scores;
    if tenure.errors > 0 {
        eprintln!("tenure: {} commands went wrong", tenure.errors);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

// ---- the two who are measured -----------------------------------------------------------------------------

#[derive(Clone, Copy)]
enum Contestant {
    Tenure,
    ByHand,
}

const CONTESTANTS: [Contestant; 2] = [Contestant::Tenure, Contestant::ByHand];

impl Contestant {
    fn name(self) -> &'static str {
        match self {
            Contestant::Tenure => "tenure",
            Contestant::ByHand => "sqlite3 by hand",
        }
    }

    /// Makes the file, so that no process finds it half made.
    fn make(self, file: &str) {
        match self {
            Contestant::Tenure => drop(runtime().block_on(open(file))),
            Contestant::ByHand => {
                let table = "create table leases (id text primary key, owner text, epoch integer, \
                             expires_at integer, state text)";
                connect(file).execute_batch(table).expect("the table");
            }
        }
    }
}

/// One round of one of them on a fresh file: what came of each process.
fn contest(contestant: Contestant, seconds: u64, processes: u64) -> Vec<Tally> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tasks.db");
    let file = file.to_str().expect("a path in UTF-8");
    contestant.make(file);
    let begins_at = SystemTime::now() + START_WITHIN;
    let begins_at_millis = begins_at.duration_since(UNIX_EPOCH).expect("a time after 1970").as_millis();
    let spawn = |number| {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--child", contestant.name(), file, &format!("worker-{number}")]);
        command.args([seconds.to_string(), begins_at_millis.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("a process")
    };
    // All of them are started before the first is waited for.
    let children: Vec<Child> = (1..=processes).map(spawn).collect();
    let answers: Vec<_> =
        children.into_iter().map(|child| child.wait_with_output().expect("waited")).collect();
    let tally = |answer: &std::process::Output| {
        assert!(answer.status.success(), "a process of {} ended with {}", contestant.name(), answer.status);
        Tally::read(&String::from_utf8_lossy(&answer.stdout))
    };
    answers.iter().map(tally).collect()
}

/// What a process does: opens the file, waits for the others, works, and tells what came of it.
fn child(words: &[String]) {
    let [contestant, file, name, seconds, begins_at_millis] = words else { panic!("{words:?}?") };
    let length = Duration::from_secs(seconds.parse().expect("seconds"));
    let begins_at = UNIX_EPOCH + Duration::from_millis(begins_at_millis.parse().expect("a time"));
    let start = || {
        let wait = begins_at.duration_since(SystemTime::now()).expect("the file is open before all begin");
        std::thread::sleep(wait);
        Meter { ends_at: Instant::now() + length, tally: Tally::default() }
    };
    let known = CONTESTANTS.into_iter().find(|known| known.name() == contestant).expect("a contestant");
    let tally = match known {
        Contestant::Tenure => runtime().block_on(work(file, name, start)),
        Contestant::ByHand => work_by_hand(file, name, start),
    };
    println!("{}", tally.line());
}

// ---- Tenure -----------------------------------------------------------------------------------------------

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

async fn open(file: &str) -> Ledger {
    Ledger::open(&format!("sqlite:{file}")).await.expect("the store opens")
}

async fn work(file: &str, name: &str, start: impl FnOnce() -> Meter) -> Tally {
    let ledger = open(file).await;
    let (mut meter, mut lives) = (start(), 0_u64);
    while !meter.is_over() {
        // A life that breaks off is in the tally, or the time is over.
        let _ = live(&ledger, &format!("{name}-{lives:08}"), name, &mut meter).await;
        lives += 1;
    }
    meter.tally
}

async fn live(ledger: &Ledger, id: &str, owner: &str, meter: &mut Meter) -> Option<()> {
    let create = ledger.create(id).undo("remove-worktree", id);
    let is_new = |task: &Task| task.state() == State::Planned && task.compensations.len() == 1;
    meter.send(create, is_new).await?;
    let is_held = |task: &Task| {
        let lease = task.lease().filter(|lease| lease.owner.as_str() == owner && lease.epoch == Epoch(1));
        task.state() == State::Running && lease.is_some()
    };
    let task = meter.send(ledger.acquire(id, owner), is_held).await?;
    let lease = task.lease()?;
    let (holder, mut expires_at) = (lease.holder(), lease.expires_at);
    for _ in 0..HEARTBEATS {
        let is_longer = |renewal: &Renewal| renewal.expires_at > expires_at && !renewal.cancel_asked;
        let renewal = meter.send(ledger.heartbeat(id, &holder), is_longer).await?;
        expires_at = renewal.expires_at;
    }
    let is_done = |task: &Task| task.state() == State::Completed && !task.owes();
    meter.send(ledger.complete(id, &holder), is_done).await.map(|_| ())
}

// ---- by hand ----------------------------------------------------------------------------------------------

fn connect(file: &str) -> Connection {
    let connection = Connection::open(file).expect("opens");
    connection.busy_timeout(BUSY_MAX).expect("set");
    connection.execute_batch("pragma journal_mode = wal; pragma synchronous = full").expect("set");
    connection
}

fn work_by_hand(file: &str, name: &str, start: impl FnOnce() -> Meter) -> Tally {
    let mut connection = connect(file);
    let (mut meter, mut lives) = (start(), 0_u64);
    while !meter.is_over() {
        // A life that breaks off is in the tally, or the time is over.
        let _ = live_by_hand(&mut connection, &format!("{name}-{lives:08}"), name, &mut meter);
        lives += 1;
    }
    meter.tally
}

fn live_by_hand(connection: &mut Connection, id: &str, owner: &str, meter: &mut Meter) -> Option<()> {
    let insert = "insert into leases (id, epoch, state) values (?, 0, 'planned')";
    write(connection, meter, insert, [id])?;
    let take = "update leases set owner = ?2, epoch = epoch + 1, expires_at = ?3, state = 'running' \
                where id = ?1 and state = 'planned' and owner is null";
    write(connection, meter, take, params![id, owner, in_a_minute()])?;
    let renew = "update leases set expires_at = ?3 where id = ?1 and owner = ?2 and epoch = 1";
    for _ in 0..HEARTBEATS {
        write(connection, meter, renew, params![id, owner, in_a_minute()])?;
    }
    let complete = "update leases set state = 'completed' where id = ?1 and owner = ?2 and epoch = 1";
    write(connection, meter, complete, [id, owner])
}

fn write(connection: &mut Connection, meter: &mut Meter, sql: &str, words: impl Params) -> Option<()> {
    let begun = meter.begin()?;
    let rows = commit(connection, sql, words).map_err(|error| error.to_string());
    meter.end(begun, rows, |rows| *rows == 1).map(|_| ())
}

fn commit(connection: &mut Connection, sql: &str, words: impl Params) -> rusqlite::Result<usize> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let rows = transaction.prepare_cached(sql)?.execute(words)?;
    transaction.commit()?;
    Ok(rows)
}

fn in_a_minute() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
    i64::try_from(now.as_millis()).expect("a time that fits") + 60_000
}

// ---- what is measured -------------------------------------------------------------------------------------

/// Measures one command after the other until the time is over.
struct Meter {
    ends_at: Instant,
    tally: Tally,
}

impl Meter {
    fn is_over(&self) -> bool {
        Instant::now() >= self.ends_at
    }

    /// When a command begins; none is begun any more when the time is over.
    fn begin(&self) -> Option<Instant> {
        let now = Instant::now();
        (now < self.ends_at).then_some(now)
    }

    /// Notes what a command took, and gives its answer if it is right.
    fn end<T: Debug>(
        &mut self,
        begun: Instant,
        answer: Result<T, String>,
        is_right: impl FnOnce(&T) -> bool,
    ) -> Option<T> {
        self.tally.waits.add(begun.elapsed());
        let wrong = match answer {
            Ok(answer) => {
                if is_right(&answer) {
                    return Some(answer);
                }
                format!("a wrong answer: {answer:?}")
            }
            Err(error) => error,
        };
        if self.tally.errors == 0 {
            eprintln!("the first error of this process: {wrong}");
        }
        self.tally.errors += 1;
        None
    }

    /// Sends a command to the ledger and measures from there to its answer.
    async fn send<V: Verb>(
        &mut self,
        call: Call<V>,
        is_right: impl FnOnce(&V::Done) -> bool,
    ) -> Option<V::Done>
    where
        V::Done: Debug,
    {
        let begun = self.begin()?;
        let answer = call.await.map_err(|error| error.to_string());
        self.end(begun, answer, is_right)
    }
}

/// What came of one process. An error was waited for like an answer, so its wait counts.
#[derive(Default)]
struct Tally {
    waits: Waits,
    errors: u64,
}

impl Tally {
    /// Commands, errors, the longest wait and the buckets, as [`Tally::read`] takes them.
    fn line(&self) -> String {
        let mut line = format!("{} {} {}", self.waits.count(), self.errors, self.waits.longest);
        for (bucket, count) in &self.waits.buckets {
            line.push_str(&format!(" {bucket}:{count}"));
        }
        line
    }

    fn read(line: &str) -> Tally {
        let number = |word: &str| word.parse::<u64>().expect("a number");
        let mut words = line.split_whitespace();
        let mut next = || words.next().map(number).expect("three numbers and the buckets");
        let (commands, errors, longest) = (next(), next(), next());
        let bucket = |word: &str| {
            let (bucket, count) = word.split_once(':').expect("a bucket and its count");
            (number(bucket), number(count))
        };
        let waits = Waits { buckets: words.map(bucket).collect(), longest };
        assert_eq!(waits.count(), commands, "every command of the process is in a bucket");
        Tally { waits, errors }
    }
}

/// How many commands took how long, in microseconds with three digits: exact below 1 ms, to 1 % above.
///
/// A bucket is named by its lower end. Its digits are decimal so that each threshold is an end of a bucket.
#[derive(Default)]
struct Waits {
    buckets: BTreeMap<u64, u64>,
    longest: u64,
}

impl Waits {
    /// How wide the bucket is that has this wait.
    fn width(micros: u64) -> u64 {
        10_u64.pow(micros.max(1).ilog10().saturating_sub(2))
    }

    fn add(&mut self, wait: Duration) {
        let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        *self.buckets.entry(micros - micros % Waits::width(micros)).or_default() += 1;
        self.longest = self.longest.max(micros);
    }

    fn merge(&mut self, other: &Waits) {
        for (bucket, count) in &other.buckets {
            *self.buckets.entry(*bucket).or_default() += count;
        }
        self.longest = self.longest.max(other.longest);
    }

    fn count(&self) -> u64 {
        self.buckets.values().sum()
    }

    /// How many took that long or longer; exact where that is an end of a bucket.
    fn count_from(&self, micros: u64) -> u64 {
        self.buckets.range(micros..).map(|(_, count)| count).sum()
    }

    /// What that share of the waits did not exceed: the upper end of a bucket, and at most the longest wait.
    fn percentile(&self, percent: f64) -> u64 {
        let rank = (self.count() as f64 * percent / 100.0).ceil() as u64;
        let mut seen = 0;
        let reaches = |(_, count): &(&u64, &u64)| {
            seen += **count;
            seen >= rank
        };
        let found = self.buckets.iter().find(reaches);
        found.map_or(0, |(bucket, _)| (bucket + Waits::width(*bucket)).min(self.longest))
    }
}

/// What came of all processes in all rounds.
#[derive(Default)]
struct Score {
    waits: Waits,
    errors: u64,
    /// By each process of each round.
    answered: Vec<u64>,
}

impl Score {
    fn add(&mut self, tally: &Tally) {
        self.waits.merge(&tally.waits);
        self.errors += tally.errors;
        self.answered.push(tally.waits.count() - tally.errors);
    }

    fn commands_a_second(&self, seconds: u64) -> f64 {
        self.answered.iter().sum::<u64>() as f64 / seconds as f64
    }
}

/// What the disk asks for each commit: small writes to a file that grows, each synced, at the median.
fn fsync_micros() -> u64 {
    let folder = tempfile::tempdir().expect("a folder");
    let mut file = File::create(folder.path().join("synced")).expect("a file");
    let mut micros: Vec<u128> = (0..200)
        .map(|_| {
            file.write_all(&[7; 4_096]).expect("written");
            let begun = Instant::now();
            file.sync_all().expect("synced");
            begun.elapsed().as_micros()
        })
        .collect();
    micros.sort_unstable();
    u64::try_from(micros[micros.len() / 2]).expect("a short time")
}

// ---- what is printed --------------------------------------------------------------------------------------

const COLUMNS: usize = 10;

fn millis(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

fn print_table(scores: &[Score; 2], seconds: u64) {
    let header = [
        "",
        "commands/s",
        "least of one",
        "most of one",
        "errors",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "p99.99 ms",
        "max ms",
    ];
    let mut rows = vec![header.map(str::to_owned)];
    for (contestant, score) in CONTESTANTS.into_iter().zip(scores) {
        let percentile = |percent| format!("{:.2}", millis(score.waits.percentile(percent)));
        rows.push([
            contestant.name().to_owned(),
            format!("{:.0}", score.commands_a_second(seconds)),
            score.answered.iter().min().map_or_else(String::new, u64::to_string),
            score.answered.iter().max().map_or_else(String::new, u64::to_string),
            score.errors.to_string(),
            percentile(50.0),
            percentile(99.0),
            percentile(99.9),
            percentile(99.99),
            format!("{:.2}", millis(score.waits.longest)),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    println!();
    for (at, row) in rows.iter().enumerate() {
        let [name, figures @ ..] = row;
        let cells = figures.iter().zip(&widths[1..]).map(|(cell, &width)| format!(" {cell:>width$} |"));
        println!("| {name:<0$} |{1}", widths[0], cells.collect::<String>());
        if at == 0 {
            let rules = widths[1..].iter().map(|width| format!("{}:|", "-".repeat(width + 1)));
            println!("|{}|{}", "-".repeat(widths[0] + 2), rules.collect::<String>());
        }
    }
}

/// For each threshold what share took longer. Two marks of a bar are a factor of ten.
fn print_curves(scores: &[Score; 2]) {
    const MARKS: f64 = 14.0;
    const WIDTH: usize = 46;
    let side = |score: &Score, threshold: u64| {
        let longer = score.waits.count_from(threshold);
        let share = longer as f64 / score.waits.count().max(1) as f64;
        let marks = if longer == 0 { 0.0 } else { (MARKS + 2.0 * share.log10()).max(1.0) };
        let bar = "#".repeat(marks.round() as usize);
        format!("{:>8.4} % {longer:>9} commands  {bar}", share * 100.0)
    };
    let names = CONTESTANTS.map(Contestant::name);
    println!("\n{:<13}{:<WIDTH$}  {}", "longer than", names[0], names[1]);
    for threshold in THRESHOLDS {
        let sides = [side(&scores[0], threshold), side(&scores[1], threshold)];
        println!("> {:>5} ms   {:<WIDTH$}  {}", millis(threshold), sides[0], sides[1].trim_end());
    }
}

fn print_ratios([tenure, by_hand]: &[Score; 2]) {
    let ratio = |name: &str, ours: u64, theirs: u64| {
        println!("{name:<5} by hand / {name:<5} tenure: {:.2}", theirs as f64 / ours as f64);
    };
    println!();
    ratio("max", tenure.waits.longest, by_hand.waits.longest);
    ratio("p99.9", tenure.waits.percentile(99.9), by_hand.waits.percentile(99.9));
}
