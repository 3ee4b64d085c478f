//! A committer's engine: executes a batch in one transaction, commits it, and knows what a failure means.
//!
//! A failure before the commit was sent proves that nothing was done; a temporary failure is retried. A failure after
//! that proves nothing, unless the server rejected a statement before the commit: then it rolled back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tenure_api::put::read_create;
use tenure_clock::Instants;
use tenure_core::command::{Action, Command, LeaseScope};
use tenure_core::lifecycle::Table;
use tenure_core::policy::Jitter;
use tenure_core::time::{Span, Time};
use tenure_store::budget::AnswerBudget;
use tenure_store::columns::Policies;
use tenure_store::committer::{CommitRequest, Done, Engine, broken_rule, one_by_one, run_jobs};
use tenure_store::execute::execute;
use tenure_store::numbers::length;
use tenure_store::{Error, Failure};

use crate::batch::{Batch, Slot};
use crate::columns::{Key, Meaning, PostgresError, PostgresResult};
use crate::database::{PostgresDatabase, patiently};
use crate::known::{Begun, OwnNumbers};
use crate::link::{Link, Parameter};
use crate::load::{Claims, Created, Intake, Loaded, LockWait, Queues, Until, Wanted, load};
use crate::sql;
use crate::write::{Ended, commit_again, own_numbers, write_back};

/// How often a batch is retried after temporary failures.
const TRIES_MAX: u32 = 10;
/// How far the times of a batch may be ahead of the database's clock: another node may claim at once what one
/// node created with them.
const AHEAD_MAX: Span = Span::from_millis(3);

/// The writing side of a database, with a connection and a runtime of its own.
pub(crate) struct PostgresEngine {
    database: Arc<PostgresDatabase>,
    runtime: tokio::runtime::Runtime,
    link: Option<Link>,
    policies: Policies,
}

/// How a try ended.
enum Tried {
    Answered(Vec<Done>),
    /// Surely not done.
    Failed(PostgresError),
    Unknown(PostgresError),
    /// Surely not done: what was recalled is out of date.
    OutOfDate,
    /// Surely not done: some answer writes nothing that would show that what was recalled is still so.
    Unproven,
}

/// How a try goes about what others have locked, and what it knows already.
#[derive(Clone, Copy)]
struct Ways {
    claims: Claims,
    lock_wait: LockWait,
    may_recall: bool,
}

impl PostgresEngine {
    pub(crate) fn new(database: Arc<PostgresDatabase>) -> Result<PostgresEngine, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| {
            Error::Unavailable(Failure::new(format!("can't start the commit runtime: {error}"), error))
        })?;
        Ok(PostgresEngine { database, runtime, link: None, policies: Policies::default() })
    }

    /// The connection; opened again if the last one is gone. It waits a little for an unavailable database.
    fn connected(&mut self) -> Result<Link, PostgresError> {
        if let Some(link) = self.link.take().filter(|link| !link.is_closed()) {
            return Ok(link);
        }
        let database = &self.database;
        database.known().forget_all();
        self.runtime.block_on(patiently(database.settings.patience, || database.connect_to_write()))
    }

    /// All jobs in one transaction. If one can't be executed, each in its own, so that it fails alone. If one
    /// finds corrupt data, each of its commands in its own.
    fn commit_together(&mut self, jobs: &[CommitRequest], lock_wait: LockWait) -> Vec<Done> {
        let mut ways = Ways { claims: Claims::PassOver, lock_wait, may_recall: true };
        let mut tries = 0;
        let fault = loop {
            tries += 1;
            let fault = match self.try_once(jobs, ways) {
                Tried::Answered(done) => return done,
                Tried::OutOfDate => {
                    self.database.known().pause();
                    ways.may_recall = false;
                    continue;
                }
                Tried::Unproven => {
                    ways.may_recall = false;
                    continue;
                }
                Tried::Unknown(fault) => {
                    let error = Error::Unknown(fault.into_failure(&self.database.shown()));
                    let advice = "; repeat the command with the same request id, or check the task";
                    return all(jobs, &error.with_advice(advice));
                }
                Tried::Failed(fault) => fault,
            };
            if let PostgresError::CanNotBeMade(key, why) = &fault {
                self.set_aside(key, why);
            }
            if let PostgresError::Silent(_) = &fault {
                // Each of these has taken long already.
                tries += TRIES_MAX / 2;
            }
            match fault.meaning() {
                _ if tries >= TRIES_MAX => break fault,
                Meaning::Again | Meaning::Reconnect => {
                    std::thread::sleep(Duration::from_millis(u64::from(tries)))
                }
                // By turns, so that what came meanwhile is found; but not for ever.
                Meaning::PassedOver if tries >= TRIES_MAX / 2 => ways.claims = Claims::WaitAndSettle,
                Meaning::PassedOver => ways.claims = Claims::Wait,
                Meaning::Blocked | Meaning::Final => break fault,
            }
        };
        let is_of_all =
            matches!(fault, PostgresError::Connecting(_)) || fault.meaning() == Meaning::Reconnect;
        let mut alone = |job: &CommitRequest| {
            self.commit_together(std::slice::from_ref(job), LockWait::Little).pop().unwrap_or_default()
        };
        match jobs {
            [job] if job.commands.len() > 1 && fault.is_corruption() => return vec![one_by_one(job, alone)],
            [_] => {}
            _ if is_of_all => {}
            _ => return jobs.iter().map(&mut alone).collect(),
        }
        all(jobs, &fault.surely_not_done(&self.database.shown()))
    }

    /// A task created in a caller's transaction should always be valid. If one is not, it must not stop the
    /// others.
    fn set_aside(&mut self, (namespace, id): &Key, why: &str) {
        let Ok(mut link) = self.connected() else { return };
        let parameters: [Parameter<'_>; 3] = [&namespace.as_str(), &id.as_str(), &why];
        // If that fails the batch fails again, and says why.
        let _ = self.runtime.block_on(link.ask(sql::SET_ASIDE, &parameters));
        self.link = Some(link);
    }

    fn try_once(&mut self, jobs: &[CommitRequest], ways: Ways) -> Tried {
        let mut link = match self.connected() {
            Ok(link) => link,
            Err(fault) => return Tried::Failed(fault),
        };
        let database = Arc::clone(&self.database);
        let wanted = wanted(jobs, ways.lock_wait);
        let begun = database.known().begin(&wanted, ways.may_recall);
        let is_recalled = begun.recalled.is_some();
        let trying = attempt(&mut link, &mut self.policies, &database, jobs, (&wanted, begun, ways.claims));
        let mut tried = self.runtime.block_on(trying);
        if matches!(&tried, Tried::Failed(fault) if is_recalled && fault.meaning() != Meaning::Reconnect) {
            // Another one has written what was recalled, or is about to, and the server says so in one way or another.
            tried = Tried::OutOfDate;
        }
        let roll_back = || self.runtime.block_on(link.send_plain(sql::ROLL_BACK).answer()).is_ok();
        let keeps = match &tried {
            Tried::Answered(_) => true,
            Tried::Unknown(_) => false,
            Tried::OutOfDate | Tried::Unproven => roll_back(),
            Tried::Failed(fault) => fault.meaning() != Meaning::Reconnect && roll_back(),
        };
        // A connection in doubt is not used for another transaction.
        self.link = Some(link).filter(|_| keeps);
        tried
    }
}

impl Engine for PostgresEngine {
    fn begin(&mut self) -> Result<(), Error> {
        let link = self.connected().map_err(|fault| fault.surely_not_done(&self.database.shown()))?;
        self.link = Some(link);
        Ok(())
    }

    fn commit(&mut self, jobs: &[CommitRequest]) -> Vec<Done> {
        self.commit_together(jobs, LockWait::Usual)
    }
}

/// The same answer to every command, and to a nudge, which has none.
fn all(jobs: &[CommitRequest], error: &Error) -> Vec<Done> {
    let done = |job: &CommitRequest| vec![Err(error.clone()); job.commands.len().max(1)];
    jobs.iter().map(|job| Done { answers: done(job), next_bytes: None }).collect()
}

/// What the commands of some jobs look at.
fn wanted(jobs: &[CommitRequest], lock_wait: LockWait) -> Wanted {
    let mut wanted = Wanted::of(jobs.iter().flat_map(|job| &job.commands));
    wanted.lock_wait = lock_wait;
    // A job without commands is a nudge to make what was created elsewhere.
    if jobs.iter().any(|job| job.commands.is_empty()) {
        wanted.intake = Intake::Any;
    }
    wanted
}

/// One transaction, from its begin to its end.
async fn attempt(
    link: &mut Link,
    policies: &mut Policies,
    database: &PostgresDatabase,
    jobs: &[CommitRequest],
    (wanted, begun, claims): (&Wanted, Begun, Claims),
) -> Tried {
    let Begun { recalled, generation } = begun;
    let tried = match decide(link, policies, database, jobs, (wanted, recalled, claims)).await {
        Ok(decided) => finish(link, database, decided).await,
        Err(fault) => Err(Tried::Failed(fault)),
    };
    match tried {
        Ok((done, Some((batch, own)))) => {
            database.known().learn(wanted, generation, batch, own);
            Tried::Answered(done)
        }
        Ok((done, None)) => {
            database.known().give_up(wanted);
            Tried::Answered(done)
        }
        Err(tried) => {
            database.known().give_up(wanted);
            tried
        }
    }
}

/// The answers, and the rows as they are now if some were written.
type Finished = (Vec<Done>, Option<(Batch, OwnNumbers)>);

/// Writes what was decided, if it is anything, and commits.
async fn finish(link: &mut Link, database: &PostgresDatabase, decided: Decided) -> Result<Finished, Tried> {
    let Decided { done, batch, made, from_memory, now, newest } = decided;
    if !batch.is_proven() {
        return Err(Tried::Unproven);
    }
    // What is decided again is given its instants again.
    database.last.raise(newest);
    let is_unchanged = batch.is_unchanged() && made.is_empty();
    let ended = match (is_unchanged, from_memory) {
        (false, _) => write_back(link, database, &batch, &made, now).await,
        (true, true) => commit_again(link).await,
        (true, false) => match link.send_plain(sql::ROLL_BACK).answer().await {
            Ok(()) => return Ok((done, None)),
            Err(fault) => Ended::Failed(fault),
        },
    };
    match ended {
        Ended::Failed(fault) => Err(Tried::Failed(fault)),
        Ended::Unknown(fault) => Err(Tried::Unknown(fault)),
        Ended::Committed(_) if is_unchanged => Ok((done, None)),
        Ended::Committed(rows) => {
            if !batch.events.is_empty() {
                database.tell_followers();
                database.offer(&batch);
            }
            // Without its numbers nothing is learnt, and all is done.
            Ok((done, own_numbers(&rows).ok().map(|own| (batch, own))))
        }
    }
}

struct Decided {
    done: Vec<Done>,
    batch: Batch,
    /// The tasks made from the intake.
    made: Vec<Key>,
    /// Whether the batch contained repeated requests.
    from_memory: bool,
    now: Time,
    /// The last instant that it gave a command.
    newest: Time,
}

async fn decide(
    link: &mut Link,
    policies: &mut Policies,
    database: &PostgresDatabase,
    jobs: &[CommitRequest],
    (wanted, recalled, claims): (&Wanted, Option<Vec<(Key, Slot)>>, Claims),
) -> PostgresResult<Decided> {
    let given = database.clock.as_ref().map(|clock| clock.read().wall.max(database.last.get()) + AHEAD_MAX);
    let until = Until { given: given.map(Time::as_micros), ahead: length(AHEAD_MAX) };
    let mut named = None;
    if claims != Claims::PassOver {
        named = Some(lock_by_name(link, wanted.clone(), until).await?);
    }
    let wanted = named.as_ref().unwrap_or(wanted);
    let Loaded { mut batch, created, now: theirs } =
        load(link, policies, wanted, recalled, claims, until).await?;
    let from_memory = !batch.requests.is_empty();
    let (now, last) = match &database.clock {
        None => (theirs, Time::MIN),
        Some(clock) => (clock.read().wall, database.last.get()),
    };
    let mut instants = Instants::from(now, last);
    let mut newest = Time::MIN;
    let mut at = |batch: &Batch, command: &Command| {
        let (instant, latest) = (instants.take(), batch.latest(command));
        if database.clock.is_none() && instant <= latest {
            // The database's clock was set back, or a server with a slower clock took over. Time continues
            // slowly: a heartbeat that moved nothing would be refused, and its keeper would give up.
            return latest + Span::from_micros(1);
        }
        newest = newest.max(instant.max(latest));
        instant.max(latest)
    };
    // A broken invariant in the core aborts the transaction with an error.
    let run = catch_unwind(AssertUnwindSafe(|| {
        let made = make(&mut batch, created, &mut at)?;
        let run = |command: &Command, budget: &mut AnswerBudget| {
            let now = at(&batch, command);
            let executed = execute(&mut batch, Table::rules(), command, now, budget)?;
            PostgresResult::Ok(executed.map(|verdict| verdict.map_err(Error::Refused)))
        };
        let done = run_jobs(jobs, run)?;
        Ok::<_, PostgresError>((made, done))
    }));
    let (made, done) = run.unwrap_or_else(|panic| Err(PostgresError::Unfit(broken_rule(panic.as_ref()))))?;
    Ok(Decided { done, batch, made, from_memory, now, newest })
}

/// Makes the tasks that were created in callers' transactions, before anything else is decided.
fn make(
    batch: &mut Batch,
    created: Vec<Created>,
    at: &mut impl FnMut(&Batch, &Command) -> Time,
) -> PostgresResult<Vec<Key>> {
    let mut made = Vec::with_capacity(created.len());
    for Created { key, actor, record, .. } in created {
        let impossible = |why: String| PostgresError::CanNotBeMade(Box::new(key.clone()), why);
        let create = read_create(&record, &key.0).map_err(|refusal| impossible(refusal.to_string()))?;
        if create.task != key.1 {
            return Err(impossible(format!("its record has the id {}", create.task)));
        }
        let (namespace, action) = (key.0.clone(), Action::Create(Box::new(create)));
        let command = Command {
            namespace,
            actor,
            request: None,
            jitter: Jitter::NONE,
            lease_scope: LeaseScope::Any,
            action,
        };
        batch.reserved.insert(key.clone());
        let now = at(batch, &command);
        // No caller waits for the answer, so it always fits.
        let Ok(verdict) =
            execute(batch, Table::rules(), &command, now, &mut AnswerBudget::of_a_transaction())?
        else {
            return Err(impossible("its answer is too large".to_owned()));
        };
        verdict.map_err(|refusal| impossible(refusal.to_string()))?;
        made.push(key);
    }
    Ok(made)
}

/// Reads what is due in the queues, to lock these tasks by name: that waits for the transactions that hold them.
async fn lock_by_name(link: &mut Link, mut wanted: Wanted, until: Until) -> PostgresResult<Wanted> {
    let queues = Queues::of(&wanted);
    let parameters: [Parameter<'_>; 5] =
        [&queues.namespaces, &queues.names, &queues.counts, &until.given, &until.ahead];
    let rows = link.ask(sql::CLAIMABLE, &parameters).await?;
    let keys = rows.iter().map(|row| crate::columns::read_key(row, 0));
    let keys = keys.collect::<PostgresResult<Vec<Key>>>()?;
    wanted.tasks.extend(keys);
    Ok(wanted)
}
