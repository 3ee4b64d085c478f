//! Whether the history holds: the newest verdict, a verification that runs in the background of the server, and anchors to keep
//! elsewhere.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::body::Body;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use axum::http::{Response, StatusCode};
use tenure::Ledger;
use tenure::audit::{Anchor, VerifyReport};
use tenure::core::id::{Actor, Namespace};
use tenure::core::refusal::Refusal;
use tenure::core::time::{Span, Time};
use tenure::instant::{print_seconds, rough, rough_left};
use tenure::store::overview::Overview;
use tenure_view::words::{Instant, count};

use super::address::encoded;
use super::asked::{required, to};
use super::audits::{AuditEnd, AuditRun, Audits, KeptAnchor, KeptAudits, Unfinished, Verdict};
use super::form::Form;
use super::layout::{Layout, Place, respond};
use crate::problem::Problem;
use crate::quotas::TokenQuota;
use crate::route::{Answered, Asked};
use crate::state::ServerState;

/// How often those who watch a verification are told that it has come further.
const TOLD_EVERY: Duration = Duration::from_millis(500);

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    layout: Layout,
    namespace: String,
    /// How many tasks there are, or why that is not known.
    tasks: Result<u64, String>,
    running: Option<RunningView>,
    verdict: Option<VerdictView>,
    unfinished: Option<UnfinishedView>,
    anchor: Option<AnchorView>,
}

struct RunningView {
    by: String,
    since: Instant,
    is_anchored: bool,
    is_waiting: bool,
    is_stopping: bool,
    may_stop: bool,
    tasks: u64,
    events: u64,
    /// How many tasks there are, if that is known.
    of: Option<u64>,
    pace: Pace,
}

struct VerdictView {
    by: String,
    at: Instant,
    took: String,
    is_anchored: bool,
    tasks: String,
    events: String,
    newest_event: Option<Instant>,
    findings: Vec<String>,
    more: usize,
    /// How many findings there are in all.
    found: String,
}

struct UnfinishedView {
    by: String,
    at: Instant,
    reason: String,
}

struct AnchorView {
    by: String,
    at: Instant,
    cursor: String,
    root: String,
    tasks: String,
}

#[derive(Template)]
#[template(path = "audit_verify.html")]
struct VerifyForm {
    layout: Layout,
    namespace: String,
    /// What was sent, if it was refused.
    anchor: String,
    error: Option<String>,
}

/// `GET /audit`.
pub(super) async fn page(asked: Asked) -> Answered {
    let namespace = asked.shown_namespace()?;
    let ledger = asked.served.ledger_of(&namespace)?;
    // A record that can't be read is what an audit is for, so it must not prevent this page.
    let look = asked.served.snapshots.look(&ledger, &asked.quota).await;
    let tasks =
        look.map(|seen| tasks_of(&seen.snapshot.overview)).map_err(|problem| problem.detail().to_owned());
    let (kept, now) = (asked.served.audits.of(&namespace), ledger.now().await?);
    let layout = Layout::of(&asked, Place::Audit, "Audit", &namespace, now).await?;
    let KeptAudits { running, verdict, unfinished, anchor, .. } = kept;
    let page = AuditPage {
        layout,
        namespace: namespace.to_string(),
        running: running.map(|run| running_view(&asked, &run, tasks.as_ref().ok().copied(), now)),
        tasks,
        verdict: verdict.map(|verdict| verdict_view(&verdict, now)),
        unfinished: unfinished.map(|one| unfinished_view(&one, now)),
        anchor: anchor.map(|anchor| anchor_view(&anchor, now)),
    };
    Ok(respond(StatusCode::OK, &page))
}

/// How many tasks there are: those that have not ended are counted, and the ends were counted as they happened.
fn tasks_of(overview: &Overview) -> u64 {
    let open = overview.states.iter().filter(|one| one.state.terminal().is_none()).map(|one| one.count);
    open.chain(overview.ends.iter().map(|end| end.all)).sum()
}

/// Who asked for something.
fn named(by: Option<&Actor>) -> String {
    by.map_or_else(|| "a local request without a token".to_owned(), ToString::to_string)
}

fn running_view(asked: &Asked, run: &AuditRun, of: Option<u64>, now: Time) -> RunningView {
    let (tasks, events) = (run.progress.tasks(), run.progress.events());
    let reads_for = run.reads_for();
    RunningView {
        by: named(run.by.as_ref()),
        since: Instant::of(run.asked_at, now),
        is_anchored: run.is_anchored,
        is_waiting: reads_for.is_none(),
        is_stopping: run.stop.is_stopped(),
        may_stop: may_stop(asked, run),
        tasks,
        events,
        // Tasks that were created meanwhile are verified, too.
        of: of.map(|of| of.max(tasks)),
        pace: Pace::of(tasks, of, reads_for.unwrap_or(Span::ZERO)),
    }
}

fn verdict_view(verdict: &Verdict, now: Time) -> VerdictView {
    VerdictView {
        by: named(verdict.by.as_ref()),
        at: Instant::of(verdict.asked_at, now),
        took: rough(verdict.took),
        is_anchored: verdict.is_anchored,
        tasks: count(verdict.tasks, "task"),
        events: count(verdict.events, "event"),
        newest_event: verdict.newest_event_at.map(|at| Instant::of(at, now)),
        findings: verdict.findings.clone(),
        more: verdict.more,
        found: count((verdict.findings.len() + verdict.more) as u64, "finding"),
    }
}

fn unfinished_view(one: &Unfinished, now: Time) -> UnfinishedView {
    UnfinishedView {
        by: named(one.by.as_ref()),
        at: Instant::of(one.asked_at, now),
        reason: one.reason.clone(),
    }
}

fn anchor_view(anchor: &KeptAnchor, now: Time) -> AnchorView {
    AnchorView {
        by: named(anchor.by.as_ref()),
        at: Instant::of(anchor.made_at, now),
        cursor: anchor.cursor.clone(),
        root: anchor.root.to_string(),
        tasks: count(anchor.tasks, "task"),
    }
}

/// How fast it goes.
#[derive(PartialEq, Eq, Debug)]
struct Pace {
    /// Tasks in a second.
    rate: Option<u64>,
    /// About how long it still takes.
    left: Option<String>,
}

impl Pace {
    /// As it was until now, so it goes on. Nothing is said before the first second is over.
    fn of(done: u64, all: Option<u64>, took: Span) -> Pace {
        if done == 0 || took < Span::from_secs(1) {
            return Pace { rate: None, left: None };
        }
        let micros = u128::from(took.as_micros());
        let held = |number: u128| u64::try_from(number).unwrap_or(u64::MAX);
        let left = all.map(|all| u128::from(all.saturating_sub(done)) * micros / u128::from(done));
        Pace {
            rate: Some(held(u128::from(done) * 1_000_000 / micros)),
            left: left.filter(|left| *left > 0).map(|left| rough_left(Span::from_micros(held(left)))),
        }
    }
}

/// `GET /audit/verify`: the form for a verification against an anchor.
pub(super) async fn form(asked: Asked) -> Answered {
    shown(&asked, None, String::new()).await
}

async fn shown(asked: &Asked, error: Option<(StatusCode, String)>, anchor: String) -> Answered {
    let (namespace, now) = (asked.shown_namespace()?, asked.served.ledger.now().await?);
    let (status, error) = error.map_or((StatusCode::OK, None), |(status, words)| (status, Some(words)));
    let layout = Layout::of(asked, Place::Audit, "Verify against an anchor", &namespace, now).await?;
    Ok(respond(status, &VerifyForm { layout, namespace: namespace.to_string(), anchor, error }))
}

/// `POST /audit/verify`. If one runs already, the page shows that one.
pub(super) async fn verify(asked: Asked) -> Answered {
    let form = Form::read(&asked.body.text)?;
    let namespace = asked.shown_namespace()?;
    if !form.is_checked("anchor") {
        start(&asked, &namespace, None).await?;
        return to(&address(&namespace));
    }
    let text = form.said("anchor").unwrap_or_default();
    let refused = match read_anchor(text, &namespace) {
        Err(refusal) => (StatusCode::UNPROCESSABLE_ENTITY, refusal.message.to_string()),
        Ok(anchor) => match start(&asked, &namespace, Some(anchor)).await {
            Ok(true) => return to(&address(&namespace)),
            Ok(false) => {
                let words = "a verification of this namespace runs already; wait for its end or stop it, then send the anchor again";
                (StatusCode::CONFLICT, words.to_owned())
            }
            // What was pasted is not lost.
            Err(problem) if problem.status() == StatusCode::TOO_MANY_REQUESTS => {
                (problem.status(), problem.detail().to_owned())
            }
            Err(problem) => return Err(problem),
        },
    };
    shown(&asked, Some(refused), text.to_owned()).await
}

fn address(namespace: &Namespace) -> String {
    format!("/audit?ns={}", encoded(namespace.as_str()))
}

/// The anchor that a form has as the text of its file.
fn read_anchor(text: &str, namespace: &Namespace) -> Result<Anchor, Refusal> {
    if text.is_empty() {
        return Err(required("anchor"));
    }
    let anchor: Anchor = text.parse().map_err(|error| Refusal::invalid("anchor", error))?;
    let is_of_others =
        !anchor.lines.is_empty() && anchor.lines.iter().all(|line| line.namespace != *namespace);
    if is_of_others {
        let words =
            format!("has no line of the namespace {namespace}, so nothing here can be compared with it");
        return Err(Refusal::invalid("anchor", words));
    }
    Ok(anchor)
}

/// Starts a verification in the background; not if one runs already.
async fn start(asked: &Asked, namespace: &Namespace, anchor: Option<Anchor>) -> Result<bool, Problem> {
    let served = &asked.served;
    let (ledger, asked_at) = (served.ledger_of(namespace)?, served.ledger.now().await?);
    let run = AuditRun::new(asked.caller.name.clone(), asked_at, anchor.is_some(), served.stopping.child());
    let Some(run) = served.audits.begin(namespace, run)? else { return Ok(false) };
    tokio::spawn(verify_to_the_end(Arc::clone(served), ledger, Arc::clone(&asked.quota), run, anchor));
    Ok(true)
}

/// Verifies until there is a verdict, or it is stopped, or the server stops.
async fn verify_to_the_end(
    served: Arc<ServerState>,
    ledger: Ledger,
    quota: Arc<TokenQuota>,
    run: Arc<AuditRun>,
    anchor: Option<Anchor>,
) {
    let namespace = ledger.namespace().clone();
    let end = tokio::select! {
        verified = verified(&served, &ledger, &quota, &run, anchor) => match verified {
            Ok(report) => AuditEnd::Verified(report),
            Err(problem) => AuditEnd::Failed(problem),
        },
        () = run.stop.stopped() => AuditEnd::Stopped,
        never = tell_while_it_runs(&served.audits, &namespace) => match never {},
    };
    match &end {
        AuditEnd::Verified(VerifyReport { tasks, events, findings, .. }) if findings.is_empty() => {
            tracing::info!(%namespace, tasks, events, "the history was verified");
        }
        AuditEnd::Verified(VerifyReport { tasks, events, findings, .. }) => {
            let (findings, first) = (findings.len(), findings.first().map(ToString::to_string));
            tracing::error!(%namespace, tasks, events, findings, first, "the history is not what was recorded");
        }
        AuditEnd::Failed(problem) => {
            tracing::warn!(%namespace, reason = problem.detail(), "the history was not verified");
        }
        AuditEnd::Stopped => tracing::info!(%namespace, "a verification was stopped"),
    }
    served.audits.end(&namespace, &run, end);
}

/// Verifies as the API does: in its turn, and on the threads for slow work, so that writers and short reads get through.
async fn verified(
    served: &ServerState,
    ledger: &Ledger,
    quota: &TokenQuota,
    run: &Arc<AuditRun>,
    anchor: Option<Anchor>,
) -> Result<VerifyReport, Problem> {
    let _permit = quota.audit().await?;
    run.begins_to_read();
    let (ledger, run) = (ledger.clone(), Arc::clone(run));
    let reading = async move { ledger.verify_namespace_watched(anchor.as_ref(), &run.progress).await };
    Ok(served.work.on(reading).await??)
}

async fn tell_while_it_runs(audits: &Audits, namespace: &Namespace) -> Infallible {
    loop {
        audits.goes_on(namespace);
        tokio::time::sleep(TOLD_EVERY).await;
    }
}

/// Whether the caller may stop a verification: who asked for it, and who may act on tasks.
fn may_stop(asked: &Asked, run: &AuditRun) -> bool {
    asked.may_act() || asked.caller.name == run.by
}

/// `POST /audit/stop`. If it has ended meanwhile, the page shows how.
pub(super) async fn stop(asked: Asked) -> Answered {
    let namespace = asked.shown_namespace()?;
    if let Some(run) = asked.served.audits.of(&namespace).running {
        if !may_stop(&asked, &run) {
            let words = "a verification may be stopped by the token that started it, and by one with the role operator";
            return Err(Problem::forbidden(words));
        }
        run.stop_by(asked.caller.name.clone());
    }
    to(&address(&namespace))
}

/// `POST /audit/anchor`: a new anchor, as the file that `tenure audit anchor` writes.
pub(super) async fn anchor(asked: Asked) -> Answered {
    let (namespace, served) = (asked.shown_namespace()?, &asked.served);
    let (ledger, permit) = (served.ledger_of(&namespace)?, asked.quota.audit().await?);
    let made_at = ledger.now().await?;
    let room = asked.memory.while_it_grows();
    let anchor = served.work.on(async move { ledger.anchor_of_namespace_within(&room).await }).await??;
    drop(permit);
    let text = anchor.to_string();
    let Anchor { cursor, root, lines } = anchor;
    let (by, tasks) = (asked.caller.name.clone(), lines.len() as u64);
    served.audits.keep_anchor(&namespace, KeptAnchor { by, made_at, cursor, root, tasks });
    let mut response = Response::new(Body::from(text));
    let disposition = format!("attachment; filename=\"{}\"", file_name(&namespace, made_at));
    let disposition = HeaderValue::from_str(&disposition);
    let disposition = disposition.map_err(|_| Problem::broken("the name of the file is no header"))?;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CONTENT_DISPOSITION, disposition);
    Ok(response)
}

/// Such as `anchor-default-2026-01-31`. What some systems don't have in the names of files becomes a dash.
fn file_name(namespace: &Namespace, made_at: Time) -> String {
    let is_plain = |one: char| one.is_ascii_alphanumeric() || "-_.".contains(one);
    let name: String = namespace.as_str().chars().map(|one| if is_plain(one) { one } else { '-' }).collect();
    let made_at = print_seconds(made_at);
    let day = made_at.split('T').next().unwrap_or_default();
    format!("anchor-{name}-{day}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_until_now_says_how_long_the_rest_takes() {
        let pace = |done, all, took| {
            let Pace { rate, left } = Pace::of(done, all, took);
            (rate, left)
        };
        assert_eq!(pace(500, Some(2_000), Span::from_secs(10)), (Some(50), Some("30s".to_owned())));
        assert_eq!(pace(500, None, Span::from_secs(10)), (Some(50), None), "nobody knows how many there are");
        assert_eq!(pace(0, Some(2_000), Span::from_secs(10)), (None, None));
        assert_eq!(pace(500, Some(2_000), Span::from_millis(10)), (None, None), "it has only begun");
        assert_eq!(pace(2_100, Some(2_000), Span::from_secs(10)), (Some(210), None), "more came meanwhile");
        assert_eq!(pace(1, Some(u64::MAX), Span::from_secs(1 << 40)).0, Some(0));
    }

    #[test]
    fn the_file_of_an_anchor_is_named_after_the_namespace_and_the_day() {
        let namespace = Namespace::new("team:a@b+c").expect("a name");
        assert_eq!(file_name(&namespace, Time::from_micros(0)), "anchor-team-a-b-c-1970-01-01");
    }

    #[test]
    fn an_anchor_is_refused_by_its_line_or_by_its_namespace() {
        let here = Namespace::new("here").expect("a name");
        let refused = |text: &str| read_anchor(text, &here).err().map(|refusal| refusal.message.to_string());
        let (root, hash) = ("00".repeat(32), "11".repeat(32));
        let good = format!("tenure-anchor 1\ncursor e1\nroot {root}\nhere a 1 {hash}\n");
        assert_eq!(refused(&good), None);
        assert_eq!(refused(""), Some("anchor: is required".to_owned()));
        let broken = refused(&format!("{good}here b one {hash}\n")).expect("it is refused");
        assert!(broken.starts_with("anchor: ") && broken.contains("line 5 must be"), "{broken}");
        let foreign = refused(&good.replace("here a", "there a")).expect("it is refused");
        assert!(foreign.contains("no line of the namespace here"), "{foreign}");
    }
}
