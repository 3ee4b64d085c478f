//! The table of routes: what there is, what it needs, what it takes and gives. Router, matrix of rights and OpenAPI are
//! made from it, so that a route can't be without an entry in any of them.

use std::sync::Arc;
use std::sync::LazyLock;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{Response, StatusCode};
use axum::routing::{MethodFilter, MethodRouter};
use tenure::access::Role;
use tenure::core::id::Namespace;
use tenure::store::BoxFuture;

use crate::access::{Access, Caller};
use crate::body::{Query, Text};
use crate::handlers::{
    claims, commands, events, lists, looks, pages, probes, recovery, tasks, tokens, verbs,
};
use crate::memory::RequestMemory;
use crate::openapi::{Described, NoBody, described};
use crate::pipeline::{ServerState, answer};
use crate::problem::Problem;
use crate::quotas::TokenQuota;

/// The methods that there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// Looks.
    Get,
    /// Does.
    Post,
    /// Writes a whole record.
    Put,
    /// Takes away.
    Delete,
}

impl Method {
    /// The method as HTTP has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        }
    }

    fn filter(self) -> MethodFilter {
        match self {
            Method::Get => MethodFilter::GET,
            Method::Post => MethodFilter::POST,
            Method::Put => MethodFilter::PUT,
            Method::Delete => MethodFilter::DELETE,
        }
    }
}

/// What a handler is given.
pub(crate) struct Asked {
    pub(crate) served: Arc<ServerState>,
    pub(crate) caller: Caller,
    pub(crate) quota: Arc<TokenQuota>,
    pub(crate) path: Path,
    pub(crate) query: Query,
    pub(crate) head: Parts,
    pub(crate) body: Text,
    pub(crate) memory: RequestMemory,
}

/// The parts of a path. The task and the compensation are texts that are still to be checked.
#[derive(Default)]
pub(crate) struct Path {
    /// Routes without one have none.
    pub(crate) namespace: Option<Namespace>,
    pub(crate) id: Option<String>,
    pub(crate) seq: Option<String>,
}

pub(crate) type Answered = Result<Response<Body>, Problem>;
type Handler = fn(Asked) -> BoxFuture<'static, Answered>;

/// One line of the table.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with `{ns}`, `{id}` and `{seq}` for its parts.
    pub path: &'static str,
    /// What it needs.
    pub access: Access,
    /// What it is for, in a line.
    pub summary: &'static str,
    /// The parameters of its query, each with a word on what it says.
    pub(crate) query: &'static [(&'static str, &'static str)],
    /// What it takes and gives.
    pub(crate) described: Described,
    pub(crate) handler: Handler,
}

impl Route {
    /// The forms that its answer may have.
    pub(crate) fn kinds(&self) -> &'static [&'static str] {
        match self.path {
            "/metrics" => &["application/openmetrics-text"],
            "/docs" | "/" => &["text/html"],
            path if path.ends_with("/events") => &["application/json", "text/event-stream"],
            _ => &["application/json"],
        }
    }

    /// Whether it goes through much of the store and answers with much, so that the threads that answer at once don't work on it.
    pub(crate) fn is_long(&self) -> bool {
        const ENDS: [&str; 10] = [
            "/tasks",
            "/events",
            "/stale",
            "/owners",
            "/stats",
            "/anchor",
            "/verify",
            "/chain",
            "/chains",
            "/openapi.json",
        ];
        self.method == Method::Get && ENDS.iter().any(|end| self.path.ends_with(end))
    }

    /// Whether an `Idempotency-Key` names what it asks for. A request of many commands has no name of its own, nor has one
    /// that is no command.
    pub(crate) fn names_its_command(&self) -> bool {
        const OTHERS: [&str; 3] = ["/v1/{ns}/commands", "/v1/{ns}/heartbeats", "/v1/{ns}/recovery"];
        self.method != Method::Get && self.path.starts_with("/v1/{ns}/") && !OTHERS.contains(&self.path)
    }

    /// Whether whoever has what it shows already may ask whether it still holds.
    pub(crate) fn is_tagged(&self) -> bool {
        self.method == Method::Get && self.path == "/v1/{ns}/tasks/{id}"
    }
}

/// A row; the handler is an async function of [`Asked`].
macro_rules! route {
    ($method:ident $path:literal, $access:expr, $summary:literal, $handler:expr $(, query $query:expr)? $(, takes $takes:ty)? , gives $status:literal $gives:ty) => {
        Route {
            method: Method::$method,
            path: $path,
            access: $access,
            summary: $summary,
            query: { #[allow(unused_mut, unused_assignments)] let mut query: &[(&str, &str)] = &[]; $(query = $query;)? query },
            described: described::<route!(@takes $($takes)?), $gives>($status),
            handler: |asked| Box::pin($handler(asked)),
        }
    };
    (@takes $takes:ty) => { $takes };
    (@takes) => { NoBody };
}

use Access::{Namespace as Room, Probe, Store, Watch, WholeStore};
use Role::{Admin, Operator, Reader, Worker};

use crate::shapes as shape;
use tenure::api::body;

const RETURN: (&str, &str) = (
    "return",
    "`minimal`: the answer has of the task only what is needed to go on with it; `representation`: all of it.",
);
const TASK: &[(&str, &str)] = &[RETURN];
const PAGE: &[(&str, &str)] = &[
    ("cursor", "Where the list goes on: `next` of the page before."),
    ("limit", "How many at most: 1 to 1000, else 100."),
];
const FILTER: &[(&str, &str)] = &[
    ("state", "Only in this state; may be repeated."),
    ("cause", "Only those that ended with this cause."),
    ("queue", "Only of this queue."),
    ("owner", "Only held by, or reserved for, this owner."),
    ("label", "Only with this label, as `key=value`; may be repeated."),
    ("stale", "`true`: only those whose lease or reservation has lapsed."),
    ("open", "`true`: only those that have not ended."),
    (
        "ended_badly",
        "`true`: only those that did not succeed: failed, quarantined, or compensated and not cancelled.",
    ),
    ("unattended", "`true`: of those that ended, only the ones that nobody retried or dismissed."),
    (
        "since",
        "Only those that ended, or, if open, changed since then: a length such as `24h`, or an instant.",
    ),
    ("order", "`newest` first, which is the default, or `oldest`."),
    PAGE[0],
    PAGE[1],
];
const HISTORY: &[(&str, &str)] = &[
    ("after", "Behind which cursor; else from the beginning, and of a stream from now on."),
    ("limit", "How many at most: 1 to 1000, else 100."),
    ("wait", "How long to wait for something behind `after`, such as `30s`; up to 60s."),
];
const HISTORY_OF_ALL: &[(&str, &str)] =
    &[HISTORY[0], HISTORY[1], HISTORY[2], ("task", "Only of tasks with this id.")];

/// Every route. It is longer than a screen because it is one table.
#[rustfmt::skip]
fn table() -> Vec<Route> {
    vec![
        route!(Get "/livez", Probe, "Whether the process answers", probes::live, gives 200 shape::Live),
        route!(Get "/readyz", Probe, "Whether it can serve: the store answers, and it does not stop", probes::ready, gives 200 shape::Ready),
        route!(Get "/metrics", Watch(Reader), "What is counted, for Prometheus", probes::metrics, gives 200 shape::Plain),
        route!(Get "/openapi.json", Store(Reader), "This description", pages::openapi, gives 200 shape::Anything),
        route!(Get "/docs", Store(Reader), "This description, as a page", pages::docs, gives 200 shape::Plain),
        route!(Get "/", Store(Reader), "A page for people", pages::front, gives 200 shape::Plain),

        route!(Post "/v1/{ns}/tasks", Room(Worker), "Create a task", tasks::create, query TASK, takes body::CreateBody, gives 201 shape::AnsweredTask),
        route!(Get "/v1/{ns}/tasks", Room(Reader), "List tasks, the newest first", lists::tasks, query FILTER, gives 200 shape::Tasks),
        route!(Get "/v1/{ns}/tasks/{id}", Room(Reader), "Show a task", tasks::show, gives 200 shape::OneTask),
        route!(Put "/v1/{ns}/tasks/{id}", Room(Operator), "Write a whole record", tasks::put, query TASK, takes shape::PutBody, gives 200 shape::AnsweredTask),
        route!(Get "/v1/{ns}/tasks/{id}/why", Room(Reader), "Say why a task is where it is", tasks::why_so, gives 200 shape::Why),
        route!(Get "/v1/{ns}/tasks/{id}/events", Room(Reader), "The history of a task, as a page or a stream", events::of_task, query HISTORY, gives 200 shape::Events),

        route!(Get "/v1/{ns}/tasks/{id}/verify", Room(Reader), "Whether the history of a task holds", looks::verify_task, gives 200 shape::ReportAnswer),
        route!(Get "/v1/{ns}/tasks/{id}/chain", Room(Operator), "The history of a task as it is stored, to be verified by those who don't trust this server", looks::chain, gives 200 shape::OneChain),

        route!(Post "/v1/{ns}/tasks/{id}/acquire", Room(Worker), "Take a lease on a task", verbs::acquire, query TASK, takes body::TakeBody, gives 200 shape::AnsweredTask),
        route!(Post "/v1/{ns}/tasks/{id}/heartbeat", Room(Worker), "Renew a lease", verbs::heartbeat, query TASK, takes body::HeartbeatBody, gives 200 shape::Renewed),
        route!(Post "/v1/{ns}/tasks/{id}/progress", Room(Worker), "Report progress without renewing", verbs::progress, query TASK, takes body::ProgressBody, gives 200 shape::Renewed),
        route!(Post "/v1/{ns}/tasks/{id}/release", Room(Worker), "Give a lease back", verbs::release, query TASK, takes body::ReleaseBody, gives 200 shape::AnsweredTask),
        route!(Post "/v1/{ns}/tasks/{id}/dispatch", Room(Operator), "Reserve a task for an owner", verbs::dispatch, query TASK, takes body::TakeBody, gives 200 shape::AnsweredTask),
        route!(Post "/v1/{ns}/tasks/{id}/complete", Room(Worker), "End a task as done", verbs::complete, query TASK, takes body::CompleteBody, gives 200 shape::AnsweredTask),
        route!(Post "/v1/{ns}/tasks/{id}/fail", Room(Worker), "End a task for good, undoing nothing", verbs::fail, query TASK, takes body::FailBody, gives 200 shape::AnsweredTask),
        route!(Post "/v1/{ns}/tasks/{id}/rollback", Room(Worker), "Give the work up and have it undone", verbs::roll_back, query TASK, takes body::RollBackBody, gives 200 shape::AnsweredTask),
        route!(Post "/v1/{ns}/tasks/{id}/quarantine", Room(Worker), "Park a task for a person", verbs::quarantine, query TASK, takes body::QuarantineBody, gives 200 shape::AnsweredTask),
        route!(Post "/v1/{ns}/tasks/{id}/cancel", Room(Operator), "Ask for a task to stop", verbs::cancel, query TASK, takes body::CancelBody, gives 200 shape::AnsweredTask),
        route!(Post "/v1/{ns}/tasks/{id}/compensate", Room(Operator), "Close a task as undone", verbs::compensate, query TASK, takes body::CompensateBody, gives 200 shape::AnsweredTask),
        route!(Post "/v1/{ns}/tasks/{id}/notes", Room(Operator), "Leave a note, or better words for the end", verbs::note, query TASK, takes body::NoteBody, gives 200 shape::AnsweredTask),
        route!(Post "/v1/{ns}/tasks/{id}/retry", Room(Operator), "Make a new task of one that ended badly", verbs::retry, query TASK, takes body::RetryBody, gives 201 shape::AnsweredTask),
        route!(Post "/v1/{ns}/tasks/{id}/compensations", Room(Worker), "Register how to undo something", verbs::register, query TASK, takes body::RegisterBody, gives 201 shape::AnsweredTask),
        route!(Post "/v1/{ns}/tasks/{id}/compensations/{seq}/settle", Room(Worker), "Report that an undo ran, or was tried in vain", verbs::settle, query TASK, takes body::SettleBody, gives 200 shape::AnsweredTask),
        route!(Post "/v1/{ns}/tasks/{id}/compensations/{seq}/waive", Room(Operator), "Say that something need not be undone", verbs::waive, query TASK, takes body::WaiveBody, gives 200 shape::AnsweredTask),
        route!(Post "/v1/{ns}/tasks/{id}/compensations/adopt", Room(Worker), "Answer for what an older lease owes", verbs::adopt, query TASK, takes body::AdoptBody, gives 200 shape::AnsweredTask),

        route!(Post "/v1/{ns}/claims", Room(Worker), "Take leases on the next due tasks of a queue; waits for work", claims::claim, query TASK, takes body::ClaimBody, gives 200 shape::Granted),
        route!(Get "/v1/{ns}/claimable", Room(Reader), "From when on a claim may find something", claims::claimable, query &[("queue", "Which queue; else `default`."), ("wait", "How long to wait until something is due, such as `30s`; up to 60s.")], gives 200 shape::Claimable),
        route!(Post "/v1/{ns}/heartbeats", Room(Worker), "Renew many leases", commands::heartbeats, takes shape::HeartbeatsBody, gives 200 shape::HeartbeatAnswers),
        route!(Post "/v1/{ns}/commands", Room(Worker), "Give many commands of any kind; they are decided in their order, each by itself", commands::many, query TASK, takes shape::CommandsBody, gives 200 shape::CommandAnswers),
        route!(Get "/v1/{ns}/requests", Room(Reader), "Whether a request id is remembered", looks::request, query &[("id", "The request id.")], gives 200 shape::Remembered),

        route!(Get "/v1/{ns}/events", Room(Reader), "The history, as a page or a stream", events::of_namespace, query HISTORY, gives 200 shape::Events),
        route!(Get "/v1/{ns}/stale", Room(Reader), "Tasks whose lease or reservation has lapsed", lists::stale, query PAGE, gives 200 shape::Tasks),
        route!(Get "/v1/{ns}/owners", Room(Reader), "Who holds what", looks::owners, gives 200 shape::Owners),
        route!(Get "/v1/{ns}/stats", Room(Reader), "A namespace at a glance", looks::stats, gives 200 shape::Stats),
        route!(Get "/v1/{ns}/anchor", Room(Reader), "What to remember of the history", looks::anchor, gives 200 shape::AnchorAnswer),
        route!(Get "/v1/{ns}/verify", Room(Reader), "Whether the history holds", looks::verify, gives 200 shape::ReportAnswer),
        route!(Get "/v1/{ns}/recovery", Room(Reader), "Who looks after stale tasks, and what they handle", recovery::watchers, gives 200 shape::Watchers),
        route!(Post "/v1/{ns}/recovery", Room(Operator), "Look after what is stale now", recovery::sweep, query &[("plan", "`true`: only show what would be done.")], gives 200 shape::Recovered),

        route!(Get "/v1/namespaces", Store(Reader), "The namespaces that have tasks", looks::namespaces, gives 200 shape::Namespaces),
        route!(Get "/v1/now", Store(Reader), "The store's time, which decides everything", looks::now, gives 200 shape::Now),
        route!(Get "/v1/newest", Store(Reader), "Where the history is now", looks::newest, gives 200 shape::Newest),
        route!(Get "/v1/tasks", Store(Reader), "List tasks of every namespace", lists::tasks_of_all, query FILTER, gives 200 shape::Tasks),
        route!(Get "/v1/events", Store(Reader), "The history of every namespace, as a page or a stream", events::of_all, query HISTORY_OF_ALL, gives 200 shape::Events),
        route!(Get "/v1/lapsed", Store(Operator), "What recovery should look at next", looks::lapsed, query PAGE, gives 200 shape::Lapsed),
        route!(Get "/v1/chains", WholeStore(Operator), "The history as it is stored, to be verified by whoever does not trust this server", looks::chains, query PAGE, gives 200 shape::Chains),
        route!(Post "/v1/watch", Store(Operator), "Say that somebody looks after the store, and what it handles", recovery::watch, takes shape::PresenceBody, gives 200 shape::Watched),

        route!(Get "/v1/tokens", Store(Admin), "List tokens; never their secrets", tokens::list, gives 200 shape::TokenList),
        route!(Post "/v1/tokens", Store(Admin), "Make a token; its secret is in the answer and nowhere else", tokens::create, takes shape::TokenBody, gives 201 shape::NewToken),
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
    let mut paths: Vec<&'static str> = routes().iter().map(|route| route.path).collect();
    paths.dedup();
    for path in paths {
        let of_path = routes().iter().filter(|route| route.path == path);
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
        .fallback(|| async { Problem::no_route().into_response() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed().into_response() })
        .with_state(served)
}

/// An answer as JSON.
pub(crate) fn json(status: StatusCode, record: &impl serde::Serialize) -> Response<Body> {
    let mut text = tenure::api::to_json(record);
    // It grew by doubling, and may be kept for a slow reader.
    text.shrink_to_fit();
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let kind = axum::http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(axum::http::header::CONTENT_TYPE, kind);
    response
}
