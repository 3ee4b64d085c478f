//! The writer: takes the writer lock, executes a batch in one transaction, commits it, and knows what a failure
//! means.
//!
//! A failure before the commit proves that nothing was done. A failure in the commit proves nothing, except if the
//! disk was full or the file was locked: then the commit frame was not written. After such a failure the connection
//! is not trusted any more. The file is opened again and checked before anything else is answered.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rusqlite::{Connection, params};
use tenure_clock::{Clock, Instants, LastInstant};
use tenure_core::chain::Hash;
use tenure_core::command::Command;
use tenure_core::lifecycle::Table;
use tenure_store::budget::AnswerBudget;
use tenure_store::columns::Policies;
use tenure_store::committer::{CommitRequest, Done, Engine, broken_rule, one_by_one, run_jobs};
use tenure_store::ends::NewEnds;
use tenure_store::execute::execute;
use tenure_store::numbers::unsigned;
use tenure_store::waiting::{ClaimWaits, NewlyDue};
use tenure_store::{Error, Failure};
use tokio::sync::watch;

use crate::columns::{SqliteError, SqliteResult};
use crate::known::Known;
use crate::open::SqliteFile;
use crate::position::Position;
use crate::rows::SqliteRows;
use crate::same_file::SameFile;
use crate::statements::Statements;
use crate::writer_lock::WriterLock;

/// The writing side of a file.
pub(crate) struct SqliteEngine {
    database: SqliteFile,
    file: Arc<SameFile>,
    lock: WriterLock,
    clock: Arc<dyn Clock>,
    connection: Option<Connection>,
    policies: Policies,
    known: Known,
    last: LastInstant,
    signals: Signals,
    newly_due: NewlyDue,
}

/// What the writer tells the others in this process after a commit.
#[derive(Clone, Default)]
pub(crate) struct Signals {
    /// The place of the newest event that this process wrote or saw, for followers.
    pub(crate) grown: watch::Sender<i64>,
    /// Counts how often it was seen that another process wrote.
    pub(crate) others_wrote: watch::Sender<u64>,
    pub(crate) claim_waits: Arc<ClaimWaits>,
}

impl Signals {
    /// Wakes followers, if the history has grown. Returns whether it has.
    pub(crate) fn tell_newest(&self, newest: i64) -> bool {
        self.grown.send_if_modified(|known| {
            let is_news = newest > *known;
            *known = newest.max(*known);
            is_news
        })
    }
}

impl SqliteEngine {
    pub(crate) fn open(
        database: SqliteFile,
        file: Arc<SameFile>,
        (clock, last): (Arc<dyn Clock>, LastInstant),
        signals: Signals,
    ) -> Result<SqliteEngine, Error> {
        let lock = WriterLock::beside(&database.path).map_err(|error| database.lock_failed(error))?;
        let connection = Some(database.connect_writer()?);
        let (policies, known) = (Policies::default(), Known::default());
        let newly_due = NewlyDue::default();
        Ok(SqliteEngine {
            database,
            file,
            lock,
            clock,
            connection,
            policies,
            known,
            last,
            signals,
            newly_due,
        })
    }

    /// The connection; opened again and checked if the last one failed in a commit.
    fn connection(&mut self) -> Result<Connection, Error> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        self.known.forget();
        let connection = self.database.connect_writer()?;
        newest_chains_hold(&connection).map_err(|fault| fault.of(&self.database))?;
        Ok(connection)
    }

    /// Executes all jobs; an error gives the transaction up.
    fn execute(&mut self, connection: &Connection, jobs: &[CommitRequest]) -> SqliteResult<Vec<Done>> {
        let version = connection.prepare_cached("pragma data_version")?.query_row([], |row| row.get(0))?;
        if self.known.at(version) {
            // Polls would miss it behind what is written now.
            self.signals.others_wrote.send_modify(|times| *times += 1);
        }
        let Known { position, open_tasks, .. } = &mut self.known;
        let mut position = position.take().map_or_else(|| Position::read(connection), Ok)?;
        let reading = self.clock.read();
        let now = position.mark.as_ref().map_or(reading.wall, |mark| mark.now(&reading));
        let mut instants = Instants::from(now, self.last.get().max(position.last));
        let mut rows = SqliteRows {
            connection,
            statements: Statements::of(connection),
            open_tasks,
            policies: &mut self.policies,
            next_task: position.next_task,
            next_event: position.next_event,
            floor: position.floor,
            ends: NewEnds::default(),
            counted_at: None,
            newly_due: self.signals.claim_waits.newly_due(),
        };
        let mut last = self.last.get();
        let run = |command: &Command, budget: &mut AnswerBudget| {
            last = instants.take();
            let executed = execute(&mut rows, Table::rules(), command, last, budget)?;
            SqliteResult::Ok(executed.map(|verdict| verdict.map_err(Error::Refused)))
        };
        let done = run_jobs(jobs, run)?;
        rows.write_ends(last)?;
        (position.next_task, position.next_event) = (rows.next_task, rows.next_event);
        self.newly_due = std::mem::take(&mut rows.newly_due);
        drop(rows);
        self.last.set(last);
        position.renew_mark(connection, &reading, now)?;
        self.known.position = Some(position);
        Ok(done)
    }

    /// Like [`SqliteEngine::execute`]; a broken invariant in the core aborts the transaction with an error.
    fn execute_all(&mut self, connection: &Connection, jobs: &[CommitRequest]) -> Result<Vec<Done>, Error> {
        match catch_unwind(AssertUnwindSafe(|| self.execute(connection, jobs))) {
            Ok(executed) => executed.map_err(|fault| fault.of(&self.database)),
            Err(panic) => Err(Error::Unavailable(broken_rule(panic.as_ref()).into())),
        }
    }

    fn roll_back(&mut self, connection: &Connection) {
        self.known.forget();
        // SQLite may have rolled back by itself, which is fine.
        let _ = connection.execute_batch("rollback");
    }

    /// Commits, and interprets a failure.
    fn commit_transaction(&mut self, connection: Connection, done: Vec<Done>) -> Vec<Done> {
        let failed = match connection.prepare_cached("commit").and_then(|mut commit| commit.execute([])) {
            Ok(_) => {
                self.tell_others();
                self.connection = Some(connection);
                return done;
            }
            Err(error) => error,
        };
        self.roll_back(&connection);
        let error = self.database.commit_fault(failed);
        if let Error::Unavailable(_) = error {
            self.connection = Some(connection);
        }
        let failed = |done: Done| Done {
            answers: vec![Err(error.clone()); done.answers.len()],
            next_bytes: done.next_bytes,
        };
        done.into_iter().map(failed).collect()
    }

    /// Wakes who waits for what was committed.
    fn tell_others(&mut self) {
        if let Some(position) = &self.known.position {
            self.signals.tell_newest(position.next_event - 1);
        }
        self.signals.claim_waits.offer(std::mem::take(&mut self.newly_due));
    }

    fn release_lock(&self) {
        // Unlocking an open file that is locked does not fail; and the lock goes with the process in any case.
        let _ = self.lock.give();
    }
}

impl Engine for SqliteEngine {
    fn begin(&mut self) -> Result<(), Error> {
        self.lock.take().map_err(|error| {
            Error::Unavailable(Failure::new(format!("can't take the writer lock: {error}"), error))
        })?;
        let begun = self.begin_transaction();
        if begun.is_err() {
            self.release_lock();
        }
        begun
    }

    fn commit(&mut self, jobs: &[CommitRequest]) -> Vec<Done> {
        let done = self.commit_together(jobs);
        self.release_lock();
        done
    }
}

impl SqliteEngine {
    /// One transaction for all jobs. If one job can't be executed, one transaction for each, so that it fails
    /// alone. If it finds corrupt data, one transaction for each of its commands.
    fn commit_together(&mut self, jobs: &[CommitRequest]) -> Vec<Done> {
        let Some(connection) = self.connection.take() else {
            let lost =
                Error::Unavailable("the connection to the file was lost before the transaction began".into());
            return all(jobs, &lost);
        };
        match self.execute_all(&connection, jobs) {
            Ok(done) => self.commit_transaction(connection, done),
            Err(error) => {
                self.roll_back(&connection);
                self.connection = Some(connection);
                match (jobs, &error) {
                    ([job], Error::Corrupt(_)) if job.commands.len() > 1 => {
                        vec![one_by_one(job, |one| self.commit_alone(one))]
                    }
                    ([_], _) => all(jobs, &error),
                    (_, _) => jobs.iter().map(|job| self.commit_alone(job)).collect(),
                }
            }
        }
    }

    fn commit_alone(&mut self, job: &CommitRequest) -> Done {
        match self.begin_transaction() {
            Ok(()) => self.commit_together(std::slice::from_ref(job)).pop().unwrap_or_default(),
            Err(error) => Done::all(job, &error),
        }
    }

    fn begin_transaction(&mut self) -> Result<(), Error> {
        self.file.check()?;
        let connection = self.connection()?;
        let begun = connection.prepare_cached("begin immediate").and_then(|mut begin| begin.execute([]));
        let begun = begun.map_err(|error| self.database.fault(error));
        self.connection = Some(connection);
        begun.map(|_| ())
    }
}

/// The same answer to every command.
fn all(jobs: &[CommitRequest], error: &Error) -> Vec<Done> {
    jobs.iter().map(|job| Done::all(job, error)).collect()
}

/// Checks what a failed commit may have touched: the heads of the newest tasks and namespaces must match their newest events.
fn newest_chains_hold(connection: &Connection) -> SqliteResult<()> {
    let mut newest = connection.prepare(
        "select coalesce(tasks.head, namespace_histories.head), coalesce(tasks.revision, namespace_histories.number), events.hash, \
             events.number from events left join tasks on tasks.no = events.task \
         left join namespace_histories on namespace_histories.no = events.task \
         where coalesce(tasks.no, namespace_histories.no) is not null and events.\"order\" > (select coalesce(max(\"order\"), 0) from events) - ? \
         and events.number = (select max(number) from events as later where later.task = events.task)",
    )?;
    let mut rows = newest.query(params![4_096])?;
    while let Some(row) = rows.next()? {
        let (head, hash): ([u8; 32], [u8; 32]) = (row.get(0)?, row.get(2)?);
        let (revision, number): (i64, i64) = (row.get(1)?, row.get(3)?);
        if Hash(head) != Hash(hash) || unsigned(revision) != unsigned(number) {
            return Err(SqliteError::Broken(
                "a task's head differs from the hash of its newest event".into(),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open::Synchronous;
    use tenure_clock::ManualClock;
    use tenure_core::command::{Action, Create, IdOrigin, LeaseScope};
    use tenure_core::id::{Actor, Namespace, TaskId};
    use tenure_core::policy::Jitter;
    use tenure_core::time::Time;
    use tenure_store::answering::AnswerOptions;
    use tenure_store::committer::Answers;

    fn engine(folder: &std::path::Path) -> SqliteEngine {
        let database = SqliteFile::new(folder.join("tasks.db"), Synchronous::Full);
        database.prepare(std::time::Duration::ZERO, tenure_store::backup::IfMarked::Refuse).expect("made");
        let clock = Arc::new(ManualClock::at(Time::from_micros(0)));
        let file = Arc::new(SameFile::at(&database.path).expect("it is there"));
        let seen: (Arc<dyn Clock>, _) = (clock, LastInstant::default());
        SqliteEngine::open(database, file, seen, Signals::default()).expect("opens")
    }

    fn create(id: &str) -> Command {
        let create = Create::new(TaskId::new(id).expect("a name"), IdOrigin::Given);
        Command {
            namespace: Namespace::new("default").expect("a name"),
            actor: Actor::new("w").expect("a name"),
            request: None,
            jitter: Jitter::NONE,
            lease_scope: LeaseScope::Any,
            action: Action::Create(Box::new(create)),
        }
    }

    fn run(engine: &mut SqliteEngine, ids: &[&str]) -> Vec<Answers> {
        engine.begin().expect("begun");
        let job = |id: &&str| CommitRequest { commands: vec![create(id)], options: AnswerOptions::default() };
        let done = engine.commit(&ids.iter().map(job).collect::<Vec<_>>());
        done.into_iter().map(|done| done.answers).collect()
    }

    fn count(engine: &SqliteEngine) -> i64 {
        let connection = engine.database.connect().expect("opens");
        connection.query_row("select count(*) from tasks", [], |row| row.get(0)).expect("a count")
    }

    #[test]
    fn a_commit_that_fails_makes_all_its_answers_unknown_and_the_file_is_opened_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut engine = engine(folder.path());
        let connection = engine.connection.as_mut().expect("open");
        connection.commit_hook(Some(|| true)).expect("a commit that fails");
        let answers = run(&mut engine, &["a", "b"]);
        for answer in answers.iter().flatten() {
            assert!(matches!(answer, Err(Error::Unknown(_))), "{answer:?}");
        }
        assert!(engine.connection.is_none(), "it is not trusted any more");
        let answers = run(&mut engine, &["c"]);
        assert!(answers[0][0].is_ok(), "service resumes: {answers:?}");
        assert_eq!(count(&engine), 1);
    }

    #[test]
    fn after_a_failed_commit_nothing_is_answered_while_the_newest_chains_do_not_hold() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut engine = engine(folder.path());
        run(&mut engine, &["a"]);
        let connection = engine.connection.take().expect("open");
        connection.execute("update tasks set head = zeroblob(32)", []).expect("as a disk that lies");
        let refused = engine.begin().expect_err("it was looked at");
        assert!(
            refused.to_string().contains("a task's head differs from the hash of its newest event"),
            "{refused}"
        );
        connection.execute("update tasks set head = (select hash from events)", []).expect("mended");
        assert!(run(&mut engine, &["b"])[0][0].is_ok());
    }

    #[test]
    fn what_is_known_of_the_file_is_forgotten_when_somebody_else_writes_to_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut one, mut other) = (engine(folder.path()), engine(folder.path()));
        assert!(run(&mut one, &["a"])[0][0].is_ok());
        assert!(run(&mut other, &["b", "c"]).iter().flatten().all(Result::is_ok));
        // Its counters are those of before: without another look it would give a row that is there.
        assert!(run(&mut one, &["d"])[0][0].is_ok(), "it looked where the tables end");
        assert!(matches!(&run(&mut one, &["b"])[0][0], Err(Error::Refused(_))), "the name is taken");
        assert_eq!(count(&one), 4);
    }

    /// As in a release: other tests run with the guards.
    #[test]
    fn without_guards_the_writer_works_as_with_them_and_others_are_still_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut engine = engine(folder.path());
        engine.connection = Some(engine.database.connect_without_guards().expect("opens"));
        assert!(run(&mut engine, &["a", "b"]).iter().flatten().all(Result::is_ok));
        assert!(matches!(&run(&mut engine, &["a"])[0][0], Err(Error::Refused(_))), "the name is taken");
        let change = "update events set actor = 'x' where task = 1";
        let refused = engine.database.connect().expect("opens").execute(change, []).expect_err("a guard");
        assert!(refused.to_string().contains("an event does not change"), "{refused}");
        let writer = engine.connection.as_ref().expect("open");
        assert_eq!(writer.execute(change, []).expect("no guard is run"), 1);
    }

    #[test]
    fn a_job_that_can_not_be_executed_fails_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut engine = engine(folder.path());
        run(&mut engine, &["broken"]);
        let connection = engine.connection.as_ref().expect("open");
        connection.execute("update tasks set policy = '{}'", []).expect("what can't be read");
        let answers = run(&mut engine, &["a", "broken", "b"]);
        assert!(answers[0][0].is_ok() && answers[2][0].is_ok(), "{answers:?}");
        assert!(
            matches!(&answers[1][0], Err(Error::Corrupt(why)) if why.message().contains("policy")),
            "{answers:?}"
        );
        assert_eq!(count(&engine), 3);
    }
}
