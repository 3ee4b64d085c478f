//! Commands on their way to a server: waiting commands go together, and each is sent again until its answer is known
//! or its time is over.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use reqwest::Method;
use tenure_api::answer::Answers as SentAnswers;
use tenure_api::command::command_json;
use tenure_api::from_json;
use tenure_core::command::{Action, Command};
use tenure_core::id::{Namespace, RequestId};
use tenure_core::verb::Repeat;
use tenure_store::Answer;
use tenure_store::entropy::Entropy;
use tenure_store::record;
use tenure_store::{Error, Failure, SoFar};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::gathering::{Gathering, JustAnswered, WAIT_MAX};
use super::timeouts::RetryDeadline;
use super::wire::{Asking, RequestError, Wire};

/// The limit of waiting and sent commands, and of their bytes; further callers wait.
const QUEUE_COMMANDS_MAX: usize = 8_192;
const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The limit of one request, unless a single command is larger.
const BATCH_COMMANDS_MAX: usize = 1_024;
/// Many proxies accept at most 1 MiB.
const BATCH_BYTES_MAX: usize = 512 * 1024;
/// Concurrent requests. With only one, the network would be idle while the server works.
pub(super) const UNDER_WAY: usize = 2;
/// With those that are slow there are never more than these.
const UNDER_WAY_MAX: usize = 64;

type Answers = Vec<Result<Answer, Error>>;

/// A command as it is sent.
struct Text {
    text: String,
    /// Whether it can be sent again and is answered as the first time.
    is_named: bool,
}

/// Some commands of one caller in one namespace, which stay together and in their order.
struct Job {
    namespace: Namespace,
    texts: Vec<Text>,
    bytes: usize,
    reply: oneshot::Sender<Answers>,
    /// Its place in the queue, given back when it is answered.
    _permits: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

/// What a caller's commands are cut into: those of one namespace, as many as one request takes.
#[derive(Default)]
struct Part {
    namespace: Option<Namespace>,
    texts: Vec<Text>,
    /// Where the answers belong.
    places: Vec<usize>,
    bytes: usize,
}

impl Part {
    fn takes(&self, namespace: &Namespace, text: &Text) -> bool {
        let fits = self.texts.len() < BATCH_COMMANDS_MAX && self.bytes + text.text.len() <= BATCH_BYTES_MAX;
        self.texts.is_empty() || (fits && self.namespace.as_ref() == Some(namespace))
    }

    fn push(&mut self, place: usize, namespace: Namespace, text: Text) {
        self.namespace = Some(namespace);
        self.bytes += text.text.len();
        self.texts.push(text);
        self.places.push(place);
    }
}

/// The callers' side.
pub(super) struct Sender {
    jobs: mpsc::UnboundedSender<Job>,
    wire: Arc<Wire>,
    commands: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    entropy: Arc<dyn Entropy>,
}

impl Sender {
    pub(super) fn start(wire: Arc<Wire>, entropy: Arc<dyn Entropy>) -> Sender {
        let (jobs, waiting) = mpsc::unbounded_channel();
        // What sends must not keep the line open by itself: it holds it only while it has something to send.
        wire.handle.spawn(send_all(Arc::downgrade(&wire), waiting));
        let semaphore = |count| Arc::new(Semaphore::new(count));
        Sender {
            jobs,
            wire,
            commands: semaphore(QUEUE_COMMANDS_MAX),
            bytes: semaphore(QUEUE_BYTES_MAX),
            entropy,
        }
    }

    /// Sends the commands in order, those of one namespace together. After a command with an unknown outcome,
    /// or one that could not be sent, the later ones are not sent: they may depend on it.
    pub(super) async fn transact(&self, commands: Vec<Command>) -> Answers {
        let mut answers: Vec<Option<Result<Answer, Error>>> = vec![None; commands.len()];
        let mut part = Part::default();
        let mut stopped = false;
        for (place, command) in commands.into_iter().enumerate() {
            let (namespace, text) = match self.text(command) {
                Ok(sent) => sent,
                Err(error) => {
                    answers[place] = Some(Err(error));
                    continue;
                }
            };
            if !part.takes(&namespace, &text) {
                stopped = !self.submit(std::mem::take(&mut part), &mut answers).await;
            }
            if stopped {
                break;
            }
            part.push(place, namespace, text);
        }
        if !stopped && !part.texts.is_empty() {
            self.submit(part, &mut answers).await;
        }
        let behind = || Err(Error::Unavailable("not sent, because a command before it got no answer".into()));
        answers.into_iter().map(|answer| answer.unwrap_or_else(behind)).collect()
    }

    /// The command as it is sent: with a request id, so that it can be sent again. A heartbeat needs none.
    /// One kind of invalid command can't be written as JSON and is refused here; the server refuses the
    /// others.
    fn text(&self, command: Command) -> Result<(Namespace, Text), Error> {
        if matches!(&command.action, Action::Put(put) if !put.record.compensations.is_empty()) {
            command.action.check()?;
        }
        let is_named = command.action.verb().repeat() == Repeat::Remembered;
        let request = match command.request {
            None if is_named => Some(RequestId::new(self.entropy.new_id())?),
            request => request,
        };
        let command = Command { request, ..command };
        let text = command_json(&command);
        Ok((command.namespace, Text { text, is_named }))
    }

    /// Sends a part and stores its answers. False if some commands were neither done nor refused.
    async fn submit(&self, part: Part, answers: &mut [Option<Result<Answer, Error>>]) -> bool {
        let (places, told) = (part.places.clone(), self.answered(part).await);
        let is_settled = |one: &Result<Answer, Error>| !matches!(one, Err(error) if error.code().is_none());
        let all_settled = told.iter().all(is_settled);
        for (place, told) in places.into_iter().zip(told) {
            answers[place] = Some(told);
        }
        all_settled
    }

    async fn answered(&self, Part { namespace, texts, bytes, .. }: Part) -> Answers {
        let count = texts.len();
        let all = |error: Error| -> Answers { vec![Err(error); count] };
        let Some(namespace) = namespace else { return Vec::new() };
        let acquiring = async {
            let at_most = |count: usize, max: usize| u32::try_from(count.min(max)).unwrap_or(u32::MAX);
            let commands = Arc::clone(&self.commands).acquire_many_owned(at_most(count, QUEUE_COMMANDS_MAX));
            let commands = commands.await.ok()?;
            let bytes = Arc::clone(&self.bytes).acquire_many_owned(at_most(bytes, QUEUE_BYTES_MAX));
            Some((commands, bytes.await.ok()?))
        };
        let Ok(Some(permits)) = tokio::time::timeout(self.wire.limits.queue_space, acquiring).await else {
            return all(Error::Unavailable(
                "too many commands are waiting to be sent; try again later".into(),
            ));
        };
        let (reply, answers) = oneshot::channel();
        if self.jobs.send(Job { namespace, texts, bytes, reply, _permits: permits }).is_err() {
            return all(Error::Unavailable("the store is closed".into()));
        }
        answers
            .await
            .unwrap_or_else(|_| all(Error::Unknown("the store was closed before the server answered".into())))
    }
}

/// Takes waiting commands as soon as a request slot is free.
async fn send_all(line: Weak<Wire>, mut waiting: mpsc::UnboundedReceiver<Job>) {
    let ways = Arc::new(Semaphore::new(UNDER_WAY));
    let all_ways = Arc::new(Semaphore::new(UNDER_WAY_MAX));
    let mut ahead: VecDeque<Job> = VecDeque::new();
    let mut gathering = Gathering::waiting_up_to(WAIT_MAX);
    loop {
        if ahead.is_empty() {
            let Some(job) = waiting.recv().await else { return };
            ahead.push_back(job);
        }
        let (Ok(way), Ok(last_way)) =
            (Arc::clone(&ways).acquire_owned().await, Arc::clone(&all_ways).acquire_owned().await)
        else {
            return;
        };
        while let Ok(job) = waiting.try_recv() {
            ahead.push_back(job);
        }
        gathering.gather(&mut ahead, &mut waiting).await;
        let batch = take(&mut ahead);
        let Some(wire) = line.upgrade() else { return };
        let answered = gathering.answered();
        tokio::spawn(async move {
            let mut sending = std::pin::pin!(send(&wire, batch, &answered));
            let is_done = tokio::time::timeout(wire.limits.slow, &mut sending).await.is_ok();
            drop(way);
            if !is_done {
                sending.await;
            }
            drop(last_way);
        });
    }
}

/// The jobs of the first one's namespace, up to what one request takes; the others keep their order.
fn take(ahead: &mut VecDeque<Job>) -> Vec<Job> {
    let (mut batch, mut left) = (Vec::<Job>::new(), VecDeque::new());
    let (mut commands, mut bytes) = (0, 0);
    while let Some(job) = ahead.pop_front() {
        let fits = batch.first().is_none_or(|first| {
            first.namespace == job.namespace
                && commands + job.texts.len() <= BATCH_COMMANDS_MAX
                && bytes + job.bytes <= BATCH_BYTES_MAX
        });
        if fits {
            commands += job.texts.len();
            bytes += job.bytes;
            batch.push(job);
        } else {
            left.push_back(job);
        }
    }
    *ahead = left;
    batch
}

/// Sends a batch until each command is answered or its time is over, and tells the callers.
async fn send(wire: &Wire, batch: Vec<Job>, answered: &JustAnswered) {
    let Some(namespace) = batch.first().map(|job| job.namespace.clone()) else { return };
    let texts: Vec<&Text> = batch.iter().flat_map(|job| &job.texts).collect();
    let mut answers = ask(wire, &namespace, &texts).await.into_iter();
    answered.add(batch.len(), WAIT_MAX);
    for job in batch {
        let of_job: Answers = answers.by_ref().take(job.texts.len()).collect();
        // A caller that went away gets no answer, but its commands are still executed.
        let _ = job.reply.send(of_job);
    }
}

/// One answer for each command, whatever happens.
async fn ask(wire: &Wire, namespace: &Namespace, texts: &[&Text]) -> Answers {
    let mut asked = Asked { texts, answers: vec![None; texts.len()], so_far: SoFar::Undone };
    let (mut refused, mut unsure) =
        (RetryDeadline::of(wire.limits.refused), RetryDeadline::of(wire.limits.unsure));
    let path = format!("/v1/{namespace}/commands?return=representation");
    let mut at_once = usize::MAX;
    loop {
        let open = asked.open(at_once);
        if open.is_empty() {
            return asked.answers.into_iter().map(|answer| answer.unwrap_or_else(nothing)).collect();
        }
        let error = match wire.once(&Method::POST, &path, Some(&asked.body(&open)), Asking::Now).await {
            Ok(text) => match read_answers(&text) {
                Ok(told) if told.len() == open.len() => {
                    match none_done(&told).filter(|_| wire.is_patient()) {
                        Some(failure) => Error::Unavailable(failure),
                        None => match asked.keep(open, told) {
                            Some(unknown) => Error::Unknown(unknown),
                            None => continue,
                        },
                    }
                }
                // It was done, or a part of it; this response does not say.
                Ok(_) | Err(_) => {
                    Error::Unknown(format!("{} sent an unexpected response", wire.named()).into())
                }
            },
            Err(RequestError::TooLarge(failure)) => {
                asked.so_far.with(Error::Unknown(failure.clone()));
                match open.as_slice() {
                    [alone] => asked.answers[*alone] = Some(Err(Error::Unknown(failure))),
                    many => at_once = many.len() / 2,
                }
                continue;
            }
            Err(RequestError::NotTaken(error)) => {
                match open.as_slice() {
                    [alone] => asked.answers[*alone] = Some(Err(asked.so_far.at_last(error))),
                    many => at_once = many.len() / 2,
                }
                continue;
            }
            Err(RequestError::Final(error)) => {
                asked.fill(asked.so_far.at_last(error));
                continue;
            }
            Err(RequestError::Undone(failure)) => Error::Unavailable(failure),
            Err(RequestError::Unsure(failure)) => Error::Unknown(failure),
        };
        let error = asked.so_far.with(error);
        let deadline = match asked.so_far {
            SoFar::Undone => &mut refused,
            SoFar::Unsure => &mut unsure,
        };
        if !wire.rests(deadline).await {
            asked.fill(error);
        }
    }
}

fn read_answers(text: &str) -> Result<Answers, String> {
    from_json::<SentAnswers>(text)?.answers.into_iter().map(record::read_answer).collect()
}

/// The error of the first command, if none was done: the server answers, but its database does not.
fn none_done(told: &Answers) -> Option<Failure> {
    match told.first() {
        Some(Err(Error::Unavailable(failure))) if told.iter().all(is_undone) => Some(failure.clone()),
        _ => None,
    }
}

fn is_undone(answer: &Result<Answer, Error>) -> bool {
    matches!(answer, Err(Error::Unavailable(_)))
}

fn nothing() -> Result<Answer, Error> {
    Err(Error::Unknown("the server gave no answer to this command".into()))
}

/// The state of a batch.
struct Asked<'a> {
    texts: &'a [&'a Text],
    answers: Vec<Option<Result<Answer, Error>>>,
    /// Of those that have no answer yet.
    so_far: SoFar,
}

impl Asked<'_> {
    /// The commands without an answer, at most this many.
    fn open(&self, at_once: usize) -> Vec<usize> {
        let open = (0..self.texts.len()).filter(|at| self.answers[*at].is_none());
        open.take(at_once.max(1)).collect()
    }

    fn body(&self, open: &[usize]) -> String {
        let commands: Vec<&str> = open.iter().map(|at| self.texts[*at].text.as_str()).collect();
        format!("{{\"commands\":[{}]}}", commands.join(","))
    }

    /// Stores the known answers. Returns why the others have none.
    fn keep(&mut self, open: Vec<usize>, mut told: Answers) -> Option<Failure> {
        // A server that has answered only some commands had no space for the other answers: these commands go
        // in another request.
        let is_unknown = |one: &Result<Answer, Error>| matches!(one, Err(Error::Unknown(_)));
        let answered = told.iter().take_while(|one| !is_undone(one) && !is_unknown(one)).count();
        if answered > 0 && told[answered..].iter().all(is_undone) {
            told.truncate(answered);
        }
        let mut why_not = None;
        for (at, told) in open.into_iter().zip(told) {
            match (self.so_far, told) {
                // The server says "not done" about this try; an earlier try may have been done.
                (SoFar::Unsure, Err(Error::Unavailable(failure))) | (_, Err(Error::Unknown(failure))) => {
                    why_not = Some(failure);
                }
                // A command without a request id is decided again each time. So a heartbeat that was done may
                // find nothing left to extend.
                (SoFar::Unsure, Err(Error::Refused(refusal))) if !self.texts[at].is_named => {
                    let words =
                        format!("an earlier try may have succeeded; the last one was refused: {refusal}");
                    self.answers[at] = Some(Err(Error::Unknown(words.into())));
                }
                (_, told) => self.answers[at] = Some(told),
            }
        }
        why_not
    }

    fn fill(&mut self, error: Error) {
        for answer in self.answers.iter_mut().filter(|answer| answer.is_none()) {
            *answer = Some(Err(error.clone()));
        }
    }
}
