//! The table of routes: path, required rights, request body and response. The router, the access rules and the
//! OpenAPI document are made from it, so that no route can be missing from one of them.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::routing::MethodRouter;
use tenure::access::Role;
use tenure::api::body;

use crate::access::{Access, Audience};
use crate::console;
use crate::description::{NoBody, described};
use crate::handlers::{
    claims, commands, events, lists, looks, pages, probes, recovery, retention, search, tasks, tokens, verbs,
};
use crate::pipeline::answer;
use crate::problem::Problem;
use crate::route::{Method, Route};
use crate::shapes as shape;
use crate::state::ServerState;

/// A row; the handler is an async function of [`Asked`].
macro_rules! route {
    ($method:ident $path:literal, $access:expr, $summary:literal, $handler:expr $(, query $query:expr)? $(, takes $takes:ty)? , gives $status:literal $gives:ty) => {
        Route {
            method: Method::$method,
            path: $path,
            access: $access,
            audience: audience($path),
            summary: $summary,
            query: { #[allow(unused_mut, unused_assignments)] let mut query: &[(&str, &str)] = &[]; $(query = $query;)? query },
            described: described::<route!(@takes $($takes)?), $gives>($status),
            handler: |asked| Box::pin($handler(asked)),
        }
    };
    (@takes $takes:ty) => { $takes };
    (@takes) => { NoBody };
}

use Access::{Namespace, Probe, Store, Watch, WholeStore};
use Role::{Admin, Operator, Reader, Worker};

const RETURN: (&str, &str) = (
    "return",
    "`minimal`: the response contains only the fields needed to continue with the task; `representation`: the whole task.",
);
const TASK: &[(&str, &str)] = &[RETURN];
const PAGE: &[(&str, &str)] = &[
    ("cursor", "Where to continue: `next` from the previous page."),
    ("limit", "Maximum number of items: 1 to 1000. Default: 100."),
];
const FILTER: &[(&str, &str)] = &[
    ("state", "Only tasks in this state; may be repeated. `open`: only tasks that have not ended."),
    ("cause", "Only tasks that ended with this cause."),
    ("queue", "Only tasks of this queue."),
    ("owner", "Only tasks held by or reserved for this owner."),
    ("last_owner", "Only tasks whose newest ended attempt was this owner's."),
    ("label", "Only tasks with this label, as `key=value`; may be repeated."),
    ("stale", "`true`: only tasks whose lease or reservation has lapsed."),
    ("open", "`true`: only tasks that have not ended."),
    (
        "ended_badly",
        "`true`: only tasks that did not succeed: failed, quarantined, or compensated but not cancelled.",
    ),
    ("id_prefix", "Only tasks whose id begins with this."),
    ("saga_id", "Only the task with this saga id."),
    ("unattended", "`true`: only ended tasks that nobody retried or dismissed."),
    (
        "since",
        "Only tasks that ended since then, or, if open, changed since then: a duration such as `24h`, or a time.",
    ),
    ("order", "`newest` first or `oldest` first. Default: `newest`."),
    PAGE[0],
    PAGE[1],
];
const HISTORY: &[(&str, &str)] = &[
    ("after", "Only events after this cursor. Default: from the beginning; for a stream, from now on."),
    ("limit", "Maximum number of items: 1 to 1000. Default: 100."),
    ("wait", "How long to wait for an event after `after`, such as `30s`; at most 60s."),
];
const HISTORY_OF_NAMESPACE: &[(&str, &str)] = &[
    HISTORY[0],
    HISTORY[1],
    HISTORY[2],
    ("cursor_name", "Only events after the stored cursor with this name. Reading does not move it."),
];
const HISTORY_OF_ALL: &[(&str, &str)] =
    &[HISTORY[0], HISTORY[1], HISTORY[2], ("task", "Only events of tasks with this id.")];

const SEARCH: &[(&str, &str)] = &[
    ("task", "Only events of this task."),
    ("type", "Only events of this type; may be repeated."),
    ("actor", "Only what this actor did."),
    ("since", "Only what happened since then: a duration such as `24h`, or a time."),
    ("until", "Only what happened before then: a duration such as `24h`, or a time."),
    ("order", "`newest` first or `oldest` first. Default: `newest`."),
    ("looks", "How many events are looked at for one page: 1 to 10000. Default: 10000."),
    PAGE[0],
    PAGE[1],
];

const ANCHORS: &[(&str, &str)] =
    &[("after", "Only anchors with a higher number. Default: from the first."), PAGE[1]];

/// Who a route is for: people look at the API's description, too.
fn audience(path: &str) -> Audience {
    match path {
        "/" | "/docs" | "/openapi.json" => Audience::Person,
        _ => Audience::Program,
    }
}

/// Every route. It is longer than a screen because it is one table.
#[rustfmt::skip]
fn table() -> Vec<Route> {
    vec![
        route!(Get "/livez", Probe, "Whether the process answers", probes::live, gives 200 shape::Live),
        route!(Get "/readyz", Probe, "Whether the server is ready: the store answers, and the server is not stopping", probes::ready, gives 200 shape::Ready),
        route!(Get "/metrics", Watch(Reader), "Metrics for Prometheus", probes::metrics, gives 200 shape::Plain),
        route!(Get "/openapi.json", Store(Reader), "This description", pages::openapi, gives 200 shape::Anything),
        route!(Get "/docs", Store(Reader), "This description, as a page", pages::docs, gives 200 shape::Plain),
        route!(Get "/", Store(Reader), "The console, for people", console::now_page, query &[console::NAMESPACE], gives 200 shape::Plain),

        route!(Post "/v1/{ns}/tasks", Namespace(Worker), "Create a task", tasks::create, query TASK, takes body::CreateBody, gives 201 shape::AnsweredTask),
        route!(Get "/v1/{ns}/tasks", Namespace(Reader), "List tasks, the newest first", lists::tasks, query FILTER, gives 200 shape::Tasks),
        route!(Get "/v1/{ns}/tasks/{id}", Namespace(Reader), "Show a task", tasks::show, gives 200 shape::OneTask),
        route!(Put "/v1/{ns}/tasks/{id}", Namespace(Operator), "Write a whole record", tasks::put, query TASK, takes shape::PutBody, gives 200 shape::AnsweredTask),
        route!(Patch "/v1/{ns}/tasks/{id}", Namespace(Operator), "Change what a JSON merge patch names of a record", tasks::patch, query TASK, takes shape::PatchBody, gives 200 shape::AnsweredTask),
        route!(Get "/v1/{ns}/tasks/{id}/why", Namespace(Reader), "Explain the state of a task", tasks::why_so, gives 200 shape::Why),
        route!(Get "/v1/{ns}/tasks/{id}/events", Namespace(Reader), "The history of a task, as a page or a stream", events::of_task, query HISTORY, gives 200 shape::Events),

        route!(Get "/v1/{ns}/tasks/{id}/verify", Namespace(Reader), "Verify the history of a task", looks::verify_task, gives 200 shape::ReportAnswer),
        route!(Get "/v1/{ns}/tasks/{id}/chain", Namespace(Operator), "The stored history of a task, for clients that verify it themselves", looks::chain, gives 200 shape::OneChain),

        route!(Get "/v1/{ns}/chain", Namespace(Operator), "The stored history of the namespace itself, for clients that verify it themselves", looks::chain_of_namespace, gives 200 shape::OneChain),

        route!(Post "/v1/{ns}/tasks/{id}/acquire", Namespace(Worker), "Take a lease on a task", verbs::acquire, query TASK, takes body::TakeBody, gives 200 shape::AnsweredTask),
        route!(Post "/v1/{ns}/tasks/{id}/heartbeat", Namespace(Worker), "Renew a lease", verbs::heartbeat, query TASK, takes body::HeartbeatBody, gives 200 shape::Renewed),
        route!(Post "/v1/{ns}/tasks/{id}/progress", Namespace(Worker), "Report progress without renewing the lease", verbs::progress, query TASK, takes body::ProgressBody, gives 200 shape::Renewed),
        route!(Post "/v1/{ns}/tasks/{id}/release", Namespace(Worker), "Give a lease back", verbs::release, query TASK, takes body::ReleaseBody, gives 200 shape::AnsweredTask),
        route!(Post "/v1/{ns}/tasks/{id}/dispatch", Namespace(Operator), "Reserve a task for an owner", verbs::dispatch, query TASK, takes body::TakeBody, gives 200 shape::AnsweredTask),
        route!(Post "/v1/{ns}/tasks/{id}/complete", Namespace(Worker), "Complete a task", verbs::complete, query TASK, takes body::CompleteBody, gives 200 shape::AnsweredTask),
        route!(Post "/v1/{ns}/tasks/{id}/fail", Namespace(Worker), "Fail a task, undoing nothing", verbs::fail, query TASK, takes body::FailBody, gives 200 shape::AnsweredTask),
        route!(Post "/v1/{ns}/tasks/{id}/rollback", Namespace(Worker), "Give up the work and have it undone", verbs::roll_back, query TASK, takes body::RollBackBody, gives 200 shape::AnsweredTask),
        route!(Post "/v1/{ns}/tasks/{id}/quarantine", Namespace(Worker), "Park a task for a person", verbs::quarantine, query TASK, takes body::QuarantineBody, gives 200 shape::AnsweredTask),
        route!(Post "/v1/{ns}/tasks/{id}/cancel", Namespace(Operator), "Cancel a task, or ask its holder to stop", verbs::cancel, query TASK, takes body::CancelBody, gives 200 shape::AnsweredTask),
        route!(Post "/v1/{ns}/tasks/{id}/compensate", Namespace(Operator), "Close a task as undone", verbs::compensate, query TASK, takes body::CompensateBody, gives 200 shape::AnsweredTask),
        route!(Post "/v1/{ns}/tasks/{id}/label", Namespace(Worker), "Set and remove labels while the work runs", verbs::label, query TASK, takes body::LabelBody, gives 200 shape::AnsweredTask),
        route!(Post "/v1/{ns}/tasks/{id}/notes", Namespace(Operator), "Add a note, correct the reason for the end, or dismiss it", verbs::note, query TASK, takes body::NoteBody, gives 200 shape::AnsweredTask),
        route!(Post "/v1/{ns}/tasks/{id}/retry", Namespace(Operator), "Retry a task that ended badly, as a new task", verbs::retry, query TASK, takes body::RetryBody, gives 201 shape::AnsweredTask),
        route!(Post "/v1/{ns}/tasks/{id}/compensations", Namespace(Worker), "Register a compensation", verbs::register, query TASK, takes body::RegisterBody, gives 201 shape::AnsweredTask),
        route!(Post "/v1/{ns}/tasks/{id}/compensations/{seq}/settle", Namespace(Worker), "Report that an undo ran or failed, or, by operator, that it was undone by hand", verbs::settle, query TASK, takes body::SettleBody, gives 200 shape::AnsweredTask),
        route!(Post "/v1/{ns}/tasks/{id}/compensations/{seq}/waive", Namespace(Operator), "Waive a compensation", verbs::waive, query TASK, takes body::WaiveBody, gives 200 shape::AnsweredTask),
        route!(Post "/v1/{ns}/tasks/{id}/compensations/adopt", Namespace(Worker), "Adopt what older leases owe", verbs::adopt, query TASK, takes body::AdoptBody, gives 200 shape::AnsweredTask),

        route!(Post "/v1/{ns}/claims", Namespace(Worker), "Take leases on the next due tasks of a queue; waits for work", claims::claim, query TASK, takes body::ClaimBody, gives 200 shape::Granted),
        route!(Get "/v1/{ns}/claimable", Namespace(Reader), "When a claim can next find a task", claims::claimable, query &[("queue", "The queue. Default: `default`."), ("wait", "How long to wait for a due task, such as `30s`; at most 60s.")], gives 200 shape::Claimable),
        route!(Post "/v1/{ns}/heartbeats", Namespace(Worker), "Renew many leases", commands::heartbeats, takes shape::HeartbeatsBody, gives 200 shape::HeartbeatAnswers),
        route!(Post "/v1/{ns}/commands", Namespace(Worker), "Send many commands of any kind; each is decided separately, in order", commands::many, query TASK, takes shape::CommandsBody, gives 200 shape::CommandAnswers),
        route!(Get "/v1/{ns}/requests", Namespace(Reader), "Whether a request id is remembered", looks::request, query &[("id", "The request id.")], gives 200 shape::Remembered),

        route!(Get "/v1/{ns}/events", Namespace(Reader), "The history, as a page or a stream", events::of_namespace, query HISTORY_OF_NAMESPACE, gives 200 shape::Events),
        route!(Get "/v1/{ns}/history", Namespace(Reader), "Search the history, the newest first", search::history, query SEARCH, gives 200 shape::History),
        route!(Get "/v1/{ns}/cursors", Namespace(Reader), "The named cursors of followers, and how far behind they are", retention::cursors, gives 200 shape::CursorList),
        route!(Post "/v1/{ns}/cursors/{id}", Namespace(Operator), "Create a named cursor, or move it forward", retention::move_cursor, takes shape::CursorBody, gives 200 shape::CursorAnswer),
        route!(Delete "/v1/{ns}/cursors/{id}", Namespace(Operator), "Delete a named cursor", retention::forget_cursor, gives 200 shape::CursorAnswer),
        route!(Get "/v1/{ns}/pruned/{id}", Namespace(Reader), "What is left of a pruned task", retention::pruned, gives 200 shape::PrunedAnswer),
        route!(Get "/v1/{ns}/stale", Namespace(Reader), "Tasks whose lease or reservation has lapsed", lists::stale, query PAGE, gives 200 shape::Tasks),
        route!(Get "/v1/{ns}/owners", Namespace(Reader), "Who holds what", looks::owners, gives 200 shape::Owners),
        route!(Get "/v1/{ns}/stats", Namespace(Reader), "A namespace at a glance", looks::stats, gives 200 shape::Stats),
        route!(Get "/v1/{ns}/anchor", Namespace(Reader), "An anchor of the history, to keep elsewhere", looks::anchor, gives 200 shape::AnchorAnswer),
        route!(Get "/v1/{ns}/verify", Namespace(Reader), "Verify the history", looks::verify, gives 200 shape::ReportAnswer),
        route!(Get "/v1/{ns}/recovery", Namespace(Reader), "List the running recovery processes and what they handle", recovery::watchers, gives 200 shape::Watchers),
        route!(Post "/v1/{ns}/recovery", Namespace(Operator), "Run recovery once", recovery::sweep, query &[("plan", "`true`: only show what recovery would do.")], gives 200 shape::Recovered),
        route!(Post "/v1/{ns}/sweeps", Namespace(Operator), "Note in the history of the namespace what a recovery process that runs elsewhere moved there", recovery::note, takes shape::SweepBody, gives 201 shape::SweepNoted),

        route!(Get "/v1/namespaces", Store(Reader), "List the namespaces that have tasks", looks::namespaces, gives 200 shape::Namespaces),
        route!(Get "/v1/now", Store(Reader), "The store's clock, by which every decision is made", looks::now, gives 200 shape::Now),
        route!(Get "/v1/newest", Store(Reader), "The newest cursor of the history", looks::newest, gives 200 shape::Newest),
        route!(Get "/v1/tasks", Store(Reader), "List tasks of every namespace", lists::tasks_of_all, query FILTER, gives 200 shape::Tasks),
        route!(Get "/v1/events", Store(Reader), "The history of every namespace, as a page or a stream", events::of_all, query HISTORY_OF_ALL, gives 200 shape::Events),
        route!(Get "/v1/lapsed", Store(Operator), "The tasks that recovery should handle next", looks::lapsed, query PAGE, gives 200 shape::Lapsed),
        route!(Get "/v1/chains", WholeStore(Operator), "The stored history, for clients that verify it themselves", looks::chains, query PAGE, gives 200 shape::Chains),
        route!(Get "/v1/pruned", WholeStore(Operator), "What is left of pruned tasks, by namespace and id", retention::pruned_tasks, query PAGE, gives 200 shape::PrunedPage),
        route!(Get "/v1/anchors", WholeStore(Operator), "The recorded anchors, the oldest first", retention::anchors, query ANCHORS, gives 200 shape::AnchorRecords),
        route!(Post "/v1/watch", Store(Operator), "Report that a recovery process is running, and what it handles", recovery::watch, takes shape::PresenceBody, gives 200 shape::Watched),

        route!(Get "/v1/tokens", Store(Admin), "List tokens, without their secrets", tokens::list, gives 200 shape::TokenList),
        route!(Post "/v1/tokens", Store(Admin), "Create a token; its secret is only in this response", tokens::create, takes shape::TokenBody, gives 201 shape::NewToken),
        route!(Delete "/v1/tokens", Store(Admin), "Revoke a token; it fails on its next request", tokens::revoke, query &[("name", "The token's name.")], takes shape::TokenName, gives 200 shape::OneToken),
    ]
}

/// Every route.
pub fn routes() -> &'static [Route] {
    static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(table);
    &ROUTES
}

/// The router over all of them.
pub(crate) fn router(served: Arc<ServerState>) -> Router {
    let mut router = Router::new();
    let all = || routes().iter().chain(console::pages());
    let mut paths: Vec<&'static str> = all().map(|route| route.path).collect();
    paths.dedup();
    for path in paths {
        let of_path = all().filter(|route| route.path == path);
        let methods = of_path.fold(MethodRouter::new(), |methods, route| {
            methods.on(
                route.method.filter(),
                move |State(served),
                      parts: Result<RawPathParams, RawPathParamsRejection>,
                      request: Request| { answer(route, served, parts, request) },
            )
        });
        router = router.route(path, methods);
    }
    router
        .fallback(|request: Request| async move {
            let visit = console::Visit::of(&request.into_parts().0);
            console::problem_page(Problem::no_route(), &visit)
        })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed().into_response() })
        .with_state(served)
}
