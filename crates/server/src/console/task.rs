//! A task: why it is where it is, who has it, what must be undone, what happened, and what may be done now.

use askama::Template;
use axum::http::StatusCode;
use tenure::core::compensation::{Compensation, Status};
use tenure::core::task::Task;
use tenure::core::time::Time;
use tenure::instant::rough;
use tenure::store::size::{event_bytes, task_bytes};
use tenure::store::{Page, PageSize, Recorded};
use tenure::why::{Step, why_watched};
use tenure_view::history::{Attempt, TimelineItem, attempts, newest, timeline};
use tenure_view::offers::{Act, Offer, OwedOffers, about_the_task};
use tenure_view::words::{
    Instant, Left, StateMark, by_hand, failed_tries, last_held, policy_facts, state_mark,
};

use super::address::{encoded, task_path};
use super::layout::{Layout, Place, respond};
use crate::handlers::answers::look;
use crate::route::{Answered, Asked};

/// How much of a history a page reads; it says if there is more.
const EVENTS: PageSize = PageSize { items: 500, bytes: 256 * 1024 };
/// How many compensations are shown; it says if there are more.
const COMPENSATIONS_SHOWN: usize = 200;
/// How much of a document is shown. The rest is a link away.
const SHOWN_BYTES: usize = 4 * 1024;

#[derive(Template)]
#[template(path = "task.html")]
struct TaskPage {
    layout: Layout,
    id: String,
    path: String,
    namespace: String,
    state: StateMark,
    is_stale: bool,
    /// Whether recovery may be run by hand for it.
    may_recover: bool,
    why: String,
    /// What was just done.
    done: Option<&'static str>,
    offers: Vec<Offer>,
    may_retry: bool,
    lease: Option<LeaseView>,
    last_held: Option<LastHeld>,
    facts: Vec<(&'static str, String)>,
    labels: Vec<(String, String)>,
    related: Vec<(&'static str, String, String)>,
    compensations: Vec<CompensationView>,
    /// How many are not shown.
    more_compensations: usize,
    attempts: Vec<Attempt>,
    timeline: Vec<TimelineItem>,
    /// Events that can't be read: the history does not hold.
    unreadable: Vec<String>,
    /// Whether the history is longer than what is shown.
    is_cut: bool,
    documents: Vec<DocumentView>,
}

struct LeaseView {
    owner: String,
    epoch: u64,
    since: Instant,
    heartbeat: Option<Instant>,
    progressed: Option<Instant>,
    progress: Option<String>,
    left: Left,
    told_to_stop: Option<Instant>,
    /// When the lease ends if no progress is reported.
    stalls: Option<Instant>,
}

/// The lease of the newest attempt that has ended.
struct LastHeld {
    words: &'static str,
    owner: String,
    /// The tasks that the owner had last.
    path: String,
    epoch: u64,
    since: Instant,
    until: Instant,
}

struct CompensationView {
    seq: u32,
    kind: String,
    target: String,
    reason: String,
    status: &'static str,
    mark: &'static str,
    /// How many tries failed, in words.
    failed: String,
    receipt: Option<String>,
    /// Who settled it, if a person did by hand.
    by_hand: Option<String>,
    last_error: Option<String>,
    waiver: Option<String>,
    offers: Vec<Offer>,
    /// Whether nobody has undone it yet.
    is_left: bool,
}

struct DocumentView {
    name: &'static str,
    text: String,
    is_cut: bool,
}

/// `GET /tasks/{ns}/{id}`.
pub(super) async fn page(asked: Asked) -> Answered {
    let (task, ledger) = (look(&asked).await?, asked.ledger()?);
    let permit = asked.quota.scan().await?;
    let events = newest(&ledger, &task.id, EVENTS).await?;
    let (watchers, now) = (ledger.watchers().await?, ledger.now().await?);
    drop(permit);
    asked.memory.for_answer(task_bytes(&task) + events.items.iter().map(event_bytes).sum::<usize>()).await?;
    let layout = Layout::of(&asked, Place::Elsewhere, task.id.as_str(), &task.namespace, now).await?;
    let why = why_watched(&task, now, &watchers);
    // A task whose policy is to hold is stale, too, but recovery leaves it.
    let is_recovered_next = task.is_stale(now) && why.next.is_some_and(|next| next.what == Step::Reclaim);
    let done = asked.query.one("done")?.and_then(Act::done);
    let mut page = TaskPage::of(&asked, layout, &task, (why.words, done), &events, now);
    page.may_recover = asked.may_act() && is_recovered_next;
    Ok(respond(StatusCode::OK, &page))
}

impl TaskPage {
    fn of(
        asked: &Asked,
        layout: Layout,
        task: &Task,
        (why, done): (String, Option<&'static str>),
        history: &Page<Recorded>,
        now: Time,
    ) -> TaskPage {
        let random = asked.served.ledger.entropy();
        let may_act = asked.may_act();
        let offers = if may_act { about_the_task(task, now, random) } else { Vec::new() };
        let owed = may_act.then(|| OwedOffers::of(task, now, random));
        // The newest is undone first.
        let compensations = task.compensations.iter().rev().take(COMPENSATIONS_SHOWN);
        let compensations = compensations
            .map(|one| compensation(one, owed.as_ref().map(|owed| owed.about(one)).unwrap_or_default()));
        let is_cut = history.next.is_some();
        TaskPage {
            layout,
            id: task.id.to_string(),
            path: task_path(&task.namespace, &task.id),
            namespace: task.namespace.to_string(),
            state: state_mark(task.state()),
            is_stale: task.is_stale(now),
            may_recover: false,
            why,
            done,
            may_retry: offers.iter().any(|offer| offer.act == Act::Retry),
            offers,
            lease: lease(task, now),
            last_held: held_last(task, now),
            facts: facts(task, now),
            labels: task.labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
            related: related(task),
            compensations: compensations.collect(),
            more_compensations: task.compensations.len().saturating_sub(COMPENSATIONS_SHOWN),
            attempts: attempts(&history.items, task, now),
            timeline: timeline(&history.items, now),
            unreadable: history.unreadable.clone(),
            is_cut,
            documents: documents(task),
        }
    }
}

fn lease(task: &Task, now: Time) -> Option<LeaseView> {
    let left = Left::of(task, now)?;
    let instant = |time| Instant::of(time, now);
    if let Some(lease) = task.lease() {
        return Some(LeaseView {
            owner: lease.owner.to_string(),
            epoch: lease.epoch.0,
            since: instant(lease.acquired_at),
            heartbeat: Some(instant(lease.heartbeat_at)),
            progressed: Some(lease.progressed_at).filter(|at| *at > lease.acquired_at).map(instant),
            progress: lease.progress.as_ref().map(|progress| progress.as_str().to_owned()),
            left,
            told_to_stop: lease.cancel_told.map(|told| instant(told.since)),
            stalls: task.policy.stall_after.map(|stall_after| instant(lease.progressed_at + stall_after)),
        });
    }
    let reservation = task.reservation()?;
    Some(LeaseView {
        owner: reservation.owner.to_string(),
        epoch: 0,
        since: instant(reservation.reserved_at),
        heartbeat: None,
        progressed: None,
        progress: None,
        left,
        told_to_stop: None,
        stalls: None,
    })
}

fn held_last(task: &Task, now: Time) -> Option<LastHeld> {
    let (words, last) = last_held(task)?;
    let (namespace, owner) = (encoded(task.namespace.as_str()), encoded(last.owner.as_str()));
    Some(LastHeld {
        words,
        owner: last.owner.to_string(),
        path: format!("/tasks?ns={namespace}&last_owner={owner}"),
        epoch: last.epoch.0,
        since: Instant::of(last.since, now),
        until: Instant::of(last.until, now),
    })
}

fn facts(task: &Task, now: Time) -> Vec<(&'static str, String)> {
    let ago = |time: Time| format!("{} ago", rough(now.since(time)));
    let mut facts = vec![
        ("Queue", task.queue.to_string()),
        ("Kind", task.kind.to_string()),
        ("Attempt", format!("{} of {}", task.attempts, task.policy.max_attempts)),
        ("Priority", task.priority.to_string()),
        ("Created", ago(task.created_at)),
        ("Saga", task.saga_id.to_string()),
        ("Revision", task.revision.0.to_string()),
    ];
    facts.extend(policy_facts(&task.policy));
    facts
}

/// Tasks that this one comes from or goes on in.
fn related(task: &Task) -> Vec<(&'static str, String, String)> {
    let link = |words, id: &tenure::core::id::TaskId| (words, id.to_string(), task_path(&task.namespace, id));
    let retried_as = task.ending().and_then(|ending| ending.retried_as.as_ref());
    let before = task.retry_of.as_ref().map(|id| link("A retry of", id));
    before.into_iter().chain(retried_as.map(|id| link("Retried as", id))).collect()
}

fn compensation(one: &Compensation, offers: Vec<Offer>) -> CompensationView {
    let text = |text: Option<&str>| text.map(str::to_owned);
    let mark = match one.status {
        Status::Standing => "○",
        Status::Owed => "●",
        Status::Done => "✓",
        Status::Waived | Status::Void => "–",
    };
    CompensationView {
        seq: one.seq.0,
        kind: one.undo.kind.to_string(),
        target: one.undo.target.to_string(),
        reason: one.undo.reason.as_ref().map(ToString::to_string).unwrap_or_default(),
        status: one.status.as_str(),
        mark,
        failed: failed_tries(one.tries),
        receipt: text(one.receipt.as_ref().map(|receipt| receipt.as_str())),
        by_hand: by_hand(one),
        last_error: text(one.last_error.as_ref().map(|error| error.as_str())),
        waiver: text(one.waiver.as_ref().map(|waiver| waiver.as_str())),
        offers,
        is_left: one.is_owed(),
    }
}

fn documents(task: &Task) -> Vec<DocumentView> {
    let result = task.ending().and_then(|ending| ending.result.as_ref());
    let named =
        [("Payload", Some(&task.payload)), ("Checkpoint", task.checkpoint.as_ref()), ("Result", result)];
    let shown = |(name, document): (&'static str, Option<&tenure::core::id::Document>)| {
        let text = document.map(|document| document.as_str()).filter(|text| *text != "null")?;
        // As it is stored, to the letter: numbers may have more digits than a number of a program.
        let mut text = text.to_owned();
        let is_cut = text.len() > SHOWN_BYTES;
        if is_cut {
            let end = (0..=SHOWN_BYTES).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
            text.truncate(end);
        }
        Some(DocumentView { name, text, is_cut })
    };
    named.into_iter().filter_map(shown).collect()
}
