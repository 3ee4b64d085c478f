//! Group commit: all commands that arrive during one transaction go into the next one.
//!
//! One thread owns the engine. Callers put jobs into a bounded queue and wait for the answers, which come after the
//! commit. If a caller goes away, its job is still executed. If a caller has waited too long, it takes its job back,
//! unless the thread has begun it. Only then is the caller told that nothing was done.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tenure_clock::Moment;
use tenure_core::command::Command;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::Answer;
use crate::answering::{AnswerOptions, Answered};
use crate::budget::{AnswerBudget, TooLarge};
use crate::error::Error;
use crate::metrics::Counters;
use crate::size::answer_bytes;

/// The answers to commands, in their order.
pub type Answers = Vec<Result<Answer, Error>>;

/// The commands of one caller that go together.
pub struct CommitRequest {
    pub commands: Vec<Command>,
    pub options: AnswerOptions,
}

/// The result of a job: answers to its first commands, or to all of them.
#[derive(Clone, Debug, Default)]
pub struct Done {
    pub answers: Answers,
    /// The size of the next answer, if the job stopped because of it.
    pub next_bytes: Option<usize>,
}

impl Done {
    /// Whether the transaction was full before the job was looked at.
    fn is_not_begun(&self, job: &CommitRequest) -> bool {
        self.answers.is_empty() && self.next_bytes.is_none() && !job.commands.is_empty()
    }

    /// Gives every command of a job the same answer.
    pub fn all(job: &CommitRequest, error: &Error) -> Done {
        Done { answers: vec![Err(error.clone()); job.commands.len()], next_bytes: None }
    }
}

/// Commits each command of a job separately: if one of them finds corrupt data, the others are still done. They
/// may belong to callers who don't know each other.
pub fn one_by_one(job: &CommitRequest, mut commit: impl FnMut(&CommitRequest) -> Done) -> Done {
    let (mut all, mut options) = (Done::default(), job.options);
    for command in &job.commands {
        let Done { answers, next_bytes } =
            commit(&CommitRequest { commands: vec![command.clone()], options });
        let Some(answer) = answers.into_iter().next() else {
            all.next_bytes = next_bytes;
            break;
        };
        options.bytes_max = options.bytes_max.saturating_sub(answer.as_ref().map_or(0, answer_bytes));
        all.answers.push(answer);
    }
    all
}

/// Executes jobs in order, each as far as its answers fit, and all as far as the transaction has room.
pub fn run_jobs<F>(
    jobs: &[CommitRequest],
    mut run: impl FnMut(&Command, &mut AnswerBudget) -> Result<Result<Result<Answer, Error>, TooLarge>, F>,
) -> Result<Vec<Done>, F> {
    let mut budget = AnswerBudget::of_a_transaction();
    let mut run_job = |job: &CommitRequest| {
        budget.begin(job.options);
        let mut done = Done::default();
        for command in &job.commands {
            if budget.is_full() {
                break;
            }
            match run(command, &mut budget)? {
                Ok(answer) => done.answers.push(answer),
                Err(TooLarge { bytes }) => {
                    done.next_bytes = Some(bytes);
                    break;
                }
            }
        }
        Ok(done)
    };
    jobs.iter().map(&mut run_job).collect()
}

/// What the committer drives: one transaction at a time.
pub trait Engine: Send + 'static {
    /// Begins a transaction; waits for the writer lock if needed. An error fails all waiting jobs, of which
    /// nothing was done.
    fn begin(&mut self) -> Result<(), Error>;

    /// Executes the commands of the jobs in order, as far as there is room, commits, and answers each.
    fn commit(&mut self, jobs: &[CommitRequest]) -> Vec<Done>;
}

/// The message for a panic in the core, which aborts a transaction: an invariant is broken, and no command may
/// continue.
pub fn broken_rule(panic: &(dyn Any + Send)) -> String {
    format!("an internal rule was broken, please report it: {}", words_of_panic(panic))
}

/// What a panic said.
pub fn words_of_panic(panic: &(dyn Any + Send)) -> &str {
    let words = panic.downcast_ref::<String>().map(String::as_str);
    words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it gave no message")
}

/// How much waits, and how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Commands that may wait.
    pub queue_commands_max: usize,
    /// Commands of one transaction.
    pub batch_commands_max: usize,
    /// How long a caller waits for its job to begin.
    pub wait_max: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { queue_commands_max: 8_192, batch_commands_max: 1_024, wait_max: Duration::from_secs(30) }
    }
}

struct Waiting {
    number: u64,
    job: CommitRequest,
    reply: oneshot::Sender<Answered>,
    /// Its place in the queue, given back when the job is taken for the first time.
    permits: Option<OwnedSemaphorePermit>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Waiting>,
    next_number: u64,
    idle: bool,
    /// The thread waits for the writer lock, which another process may hold for ever.
    beginning: bool,
    closed: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    /// Wakes the thread.
    work: Condvar,
}

impl Shared {
    /// No code panics while it holds the lock, so a poisoned queue is still consistent.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The callers' side of the thread.
pub struct Committer {
    shared: Arc<Shared>,
    permits: Arc<Semaphore>,
    limits: Limits,
    thread: Option<thread::JoinHandle<()>>,
}

impl Committer {
    /// How long a closing store waits for another process.
    const PATIENCE_MILLIS: u32 = 2_000;

    /// Starts the thread, which counts its commits in `counters`.
    pub fn start(
        name: &str,
        engine: impl Engine,
        limits: Limits,
        counters: Arc<Counters>,
    ) -> std::io::Result<Committer> {
        let shared = Arc::new(Shared { queue: Mutex::default(), work: Condvar::new() });
        let permits = Arc::new(Semaphore::new(limits.queue_commands_max));
        let theirs = Arc::clone(&shared);
        let replying = Replying::start(&format!("{name}-reply"))?;
        let run = move || run(&theirs, engine, limits.batch_commands_max, &counters, &replying);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(Committer { shared, permits, limits, thread: Some(thread) })
    }

    /// Executes the commands in one transaction, together with other waiting jobs, as far as there is room.
    pub async fn submit(&self, commands: Vec<Command>, options: AnswerOptions) -> Answered {
        let count = commands.len();
        if count == 0 {
            return Answered::default();
        }
        let all = |error: Error| Answered::all(vec![Err(error); count]);
        // A job larger than the queue needs the whole queue.
        let in_queue = count.min(self.limits.queue_commands_max);
        let acquiring = self.permits(u32::try_from(in_queue).unwrap_or(u32::MAX));
        let permits = match tokio::time::timeout(self.limits.wait_max, acquiring).await {
            Ok(Some(permits)) => permits,
            Ok(None) => return all(closed()),
            Err(_) => {
                return all(Error::Unavailable("the queue of commands is full; try again later".into()));
            }
        };
        let (reply, answered) = oneshot::channel();
        let Some(number) = self.enqueue(CommitRequest { commands, options }, reply, permits) else {
            return all(closed());
        };
        self.wait(number, answered).await.unwrap_or_else(all)
    }

    /// Makes the engine do its work that needs no command, and waits until it is done. This is a job without
    /// commands.
    pub async fn nudge(&self) -> Result<(), Error> {
        let full = |_| Error::Unavailable("the queue of commands is full; try again later".into());
        let permits = tokio::time::timeout(self.limits.wait_max, self.permits(1)).await.map_err(full)?;
        let (reply, answered) = oneshot::channel();
        let nothing = CommitRequest { commands: Vec::new(), options: AnswerOptions::default() };
        let number = self.enqueue(nothing, reply, permits.ok_or_else(closed)?).ok_or_else(closed)?;
        // A job without commands has no answers; an answer here is an error.
        self.wait(number, answered).await?.answers.into_iter().try_for_each(|answer| answer.map(|_| ()))
    }

    /// How many commands wait in the queue.
    pub fn waiting(&self) -> u64 {
        self.limits.queue_commands_max.saturating_sub(self.permits.available_permits()) as u64
    }

    async fn permits(&self, count: u32) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).acquire_many_owned(count).await.ok()
    }

    fn enqueue(
        &self,
        job: CommitRequest,
        reply: oneshot::Sender<Answered>,
        permits: OwnedSemaphorePermit,
    ) -> Option<u64> {
        let mut queue = self.shared.queue();
        if queue.closed {
            return None;
        }
        let number = queue.next_number;
        queue.next_number += 1;
        queue.jobs.push_back(Waiting { number, job, reply, permits: Some(permits) });
        if queue.idle {
            self.shared.work.notify_one();
        }
        Some(number)
    }

    /// Waits for the answers. A caller that has waited too long takes its job back, unless it has begun: then
    /// it will end soon.
    async fn wait(&self, number: u64, mut answered: oneshot::Receiver<Answered>) -> Result<Answered, Error> {
        let lost = |_| {
            Error::Unknown("the store's writer thread has ended; repeat the command with the same request id, or check the task".into())
        };
        match tokio::time::timeout(self.limits.wait_max, &mut answered).await {
            Ok(answered) => answered.map_err(lost),
            Err(_) if self.take_back(number) => Err(Error::Unavailable(
                format!(
                    "waited {} s to write to the store; another process may hold its lock: try again later",
                    self.limits.wait_max.as_secs()
                )
                .into(),
            )),
            Err(_) => answered.await.map_err(lost),
        }
    }

    fn take_back(&self, number: u64) -> bool {
        let mut queue = self.shared.queue();
        let before = queue.jobs.len();
        queue.jobs.retain(|waiting| waiting.number != number);
        queue.jobs.len() < before
    }
}

impl Drop for Committer {
    /// Lets the thread finish the waiting jobs. If it waits for the lock of another process, this waits only
    /// a moment and then leaves the thread alone: its jobs have no callers any more.
    fn drop(&mut self) {
        self.shared.queue().closed = true;
        self.shared.work.notify_one();
        let Some(thread) = self.thread.take() else { return };
        for _ in 0..Self::PATIENCE_MILLIS {
            if thread.is_finished() || !self.shared.queue().beginning {
                // The thread catches its panics; one that ended otherwise has nothing left to say.
                let _ = thread.join();
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn closed() -> Error {
    Error::Unavailable("the store is closed".into())
}

fn run(
    shared: &Shared,
    mut engine: impl Engine,
    batch_commands_max: usize,
    counters: &Counters,
    replying: &Replying,
) {
    let _closing = Closing(shared);
    while wait_for_work(shared) {
        let began = Moment::now();
        let begun = engine.begin();
        let (jobs, callers) = take(shared, batch_commands_max);
        let done = match begun {
            Ok(()) => {
                let done = engine.commit(&jobs);
                counters
                    .committed(done.iter().map(|done| done.answers.len()).sum(), Moment::now().since(began));
                done
            }
            // A job without commands is told, too.
            Err(error) => jobs
                .iter()
                .map(|job| Done {
                    answers: vec![Err(error.clone()); job.commands.len().max(1)],
                    next_bytes: None,
                })
                .collect(),
        };
        let (mut not_begun, mut replies) = (Vec::new(), Vec::with_capacity(callers.len()));
        for ((caller, mut job), done) in callers.into_iter().zip(jobs).zip(done) {
            if done.is_not_begun(&job) {
                not_begun.push(Waiting { number: caller.number, job, reply: caller.reply, permits: None });
                continue;
            }
            let Done { answers, next_bytes } = done;
            let rest = job.commands.split_off(job.commands.len().min(answers.len()));
            let answered = Answered { answers, rest, next_bytes };
            replies.push(Reply { to: caller.reply, answered, spent: job });
        }
        begin_with(shared, not_begun);
        replying.reply(replies);
    }
}

/// The answers to a caller, on their way.
struct Reply {
    to: oneshot::Sender<Answered>,
    answered: Answered,
    /// What was executed. To drop it takes time, too.
    spent: CommitRequest,
}

/// Gives answers to callers. To wake many costs about as much as a tenth of their commands, so a thread of its own does it while
/// the next transaction is under way. To wake a few costs less than to wake the thread.
struct Replying {
    replies: Option<mpsc::Sender<Vec<Reply>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Replying {
    /// From how many on the thread gives them.
    const MANY: usize = 8;

    fn start(name: &str) -> std::io::Result<Replying> {
        let (replies, given) = mpsc::channel();
        let run = move || given.into_iter().for_each(give);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(Replying { replies: Some(replies), thread: Some(thread) })
    }

    fn reply(&self, replies: Vec<Reply>) {
        let left = match &self.replies {
            // The thread ends only with the channel. If it did not take them, they are given here.
            Some(to) if replies.len() >= Self::MANY => to.send(replies).err().map(|unsent| unsent.0),
            Some(_) | None => Some(replies),
        };
        left.into_iter().for_each(give);
    }
}

/// A caller that went away gets no answer, but its commands were executed.
fn give(replies: Vec<Reply>) {
    for Reply { to, answered, spent } in replies {
        let _ = to.send(answered);
        drop(spent);
    }
}

impl Drop for Replying {
    /// All that were on their way are given first.
    fn drop(&mut self) {
        self.replies = None;
        // A thread that only gives away has nothing to say of how it ended.
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

/// Commands without room in this transaction come first in the next one. Otherwise they would wait again behind
/// the commands that took the room.
fn begin_with(shared: &Shared, jobs: Vec<Waiting>) {
    let mut queue = shared.queue();
    jobs.into_iter().rev().for_each(|job| queue.jobs.push_front(job));
}

/// However the thread ends, all waiting and all later callers get an error.
struct Closing<'a>(&'a Shared);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.closed = true;
        for waiting in queue.jobs.drain(..) {
            // A caller that went away does not hear it.
            let _ = waiting.reply.send(Answered::all(vec![Err(closed()); waiting.job.commands.len()]));
        }
    }
}

/// False when the queue is closed and empty.
fn wait_for_work(shared: &Shared) -> bool {
    let mut queue = shared.queue();
    while queue.jobs.is_empty() {
        if queue.closed {
            return false;
        }
        queue.idle = true;
        queue = shared.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
        queue.idle = false;
    }
    queue.beginning = true;
    true
}

/// Who waits for a job that was taken.
struct Caller {
    number: u64,
    reply: oneshot::Sender<Answered>,
}

/// Takes waiting jobs up to the batch size, and at least one job, however large it is.
fn take(shared: &Shared, batch_commands_max: usize) -> (Vec<CommitRequest>, Vec<Caller>) {
    let mut queue = shared.queue();
    queue.beginning = false;
    let (mut jobs, mut callers) = (Vec::new(), Vec::new());
    let mut count = 0;
    while let Some(waiting) = queue.jobs.front() {
        count += waiting.job.commands.len();
        if count > batch_commands_max && !jobs.is_empty() {
            break;
        }
        if let Some(Waiting { number, job, reply, permits }) = queue.jobs.pop_front() {
            drop(permits);
            jobs.push(job);
            callers.push(Caller { number, reply });
        }
    }
    (jobs, callers)
}
