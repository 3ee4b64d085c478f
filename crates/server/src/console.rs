//! The console: pages for people, rendered here. They work without a script; a small one keeps them up to date.
//!
//! A page decides nothing about tasks. What it offers is what the core would allow, asked beforehand, and what is done goes as the
//! same command that the API takes.

mod act;
mod address;
mod asked;
mod assets;
mod audit;
mod audits;
mod bulk;
mod chart;
mod events;
mod form;
mod layout;
mod live;
mod now;
mod owners;
mod problem_page;
mod queues;
mod recover;
mod rows;
mod sign_in;
mod sign_ins;
mod snapshot;
mod task;
mod tasks;
mod token_secrets;
mod tokens;
mod triage;

use std::sync::LazyLock;

use tenure::access::Role::{Admin, Operator, Reader};

use crate::access::Access::{Namespace as InNamespace, Probe, Store};
use crate::access::Audience;
use crate::description::{NoBody, described};
use crate::route::{Method, Route};

pub(crate) use audits::Audits;
pub(crate) use now::page as now_page;
pub(crate) use problem_page::{Visit, response as problem_page};
pub(crate) use sign_ins::{SignIns, check_same_site};
pub(crate) use snapshot::Snapshots;
pub(crate) use token_secrets::TokenSecrets;

/// A row; the handler is an async function of [`Asked`].
macro_rules! page {
    ($method:ident $path:literal, $access:expr, $summary:literal, $handler:expr $(, query $query:expr)?) => {
        Route {
            method: Method::$method,
            path: $path,
            access: $access,
            audience: Audience::Person,
            summary: $summary,
            query: { #[allow(unused_mut, unused_assignments)] let mut query: &[(&str, &str)] = &[]; $(query = $query;)? query },
            described: described::<NoBody, NoBody>(200),
            handler: |asked| Box::pin($handler(asked)),
        }
    };
}

pub(crate) const NAMESPACE: (&str, &str) = ("ns", "The namespace. Default: that of the server.");
const TASKS: &[(&str, &str)] = &[
    NAMESPACE,
    ("state", "Only in this state; may be repeated."),
    ("cause", "Only that ended with this cause."),
    ("queue", "Only of this queue."),
    ("owner", "Only held by this owner."),
    ("last_owner", "Only those whose newest ended attempt was this owner's."),
    ("id_prefix", "Only tasks whose id begins with this."),
    ("saga_id", "Only the task with this saga id."),
    ("label", "Only with this label, as `key=value`; may be repeated."),
    ("stale", "Only stale ones."),
    ("open", "Only those that have not ended."),
    ("ended_badly", "Only those that did not succeed."),
    ("unattended", "Only those that nobody retried or dismissed."),
    ("since", "Only those that ended, or changed, since then."),
    ("order", "`newest` or `oldest` first."),
    ("cursor", "Where to go on."),
    ("searched", "What a search did not find."),
];
const GROUP: &[(&str, &str)] =
    &[NAMESPACE, ("state", "How they ended."), ("cause", "With which cause."), ("kind", "Of which kind.")];
const HISTORY: &[(&str, &str)] = &[
    NAMESPACE,
    ("type", "Only events of this type; may be repeated."),
    ("actor", "Only what this actor did."),
    ("task", "Only events of this task."),
    ("since", "Only what happened since then."),
    ("until", "Only what happened before then."),
    ("before", "The cursor before which the page goes on: older events."),
    ("after", "The cursor after which the page goes on: newer events."),
];
const REVOKE: &[(&str, &str)] = &[NAMESPACE, ("name", "The token.")];
const ACT: &[(&str, &str)] = &[("verb", "What to do."), ("seq", "The number of the compensation.")];

/// Every page but the first one, which is in the table of the API's routes.
#[rustfmt::skip]
fn table() -> Vec<Route> {
    vec![
        page!(Get "/sign-in", Probe, "Sign in", sign_in::page, query &[("next", "Where to go then.")]),
        page!(Post "/sign-in", Probe, "Sign in with a token", sign_in::enter),
        page!(Post "/sign-out", Probe, "Sign out", sign_in::leave),
        page!(Get "/assets/console.css", Probe, "The style of the pages", assets::style, query &[("v", "Which version.")]),
        page!(Get "/assets/console.js", Probe, "The script of the pages", assets::script, query &[("v", "Which version.")]),
        page!(Get "/assets/icon.svg", Probe, "The icon of the pages", assets::icon, query &[("v", "Which version.")]),
        page!(Get "/live", Store(Reader), "Says when something changed", live::stream, query &[NAMESPACE, ("task", "Only about this task."), ("audit", "`true`: also about verifications.")]),
        page!(Get "/tasks", Store(Reader), "Tasks by filters", tasks::page, query TASKS),
        page!(Get "/triage", Store(Reader), "What ended badly, by how", triage::page, query &[NAMESPACE]),
        page!(Get "/triage/act", Store(Operator), "The form for a group of tasks", bulk::form, query GROUP),
        page!(Post "/triage/act", Store(Operator), "Acts on a group of tasks", bulk::done, query GROUP),
        page!(Get "/owners", Store(Reader), "Who holds what", owners::page, query &[NAMESPACE]),
        page!(Get "/audit", Store(Reader), "Whether the history holds", audit::page, query &[NAMESPACE]),
        page!(Get "/audit/verify", Store(Reader), "The form to verify the history against an anchor", audit::form, query &[NAMESPACE]),
        page!(Post "/audit/verify", Store(Reader), "Verifies the history", audit::verify, query &[NAMESPACE]),
        page!(Post "/audit/stop", Store(Reader), "Stops a verification", audit::stop, query &[NAMESPACE]),
        page!(Post "/audit/anchor", Store(Reader), "Makes an anchor of the history", audit::anchor, query &[NAMESPACE]),
        page!(Get "/recover", Store(Operator), "What recovery would do now", recover::page, query &[NAMESPACE]),
        page!(Post "/recover", Store(Operator), "Runs recovery once", recover::done, query &[NAMESPACE]),
        page!(Get "/queues", Store(Reader), "What waits, and who works on it", queues::page, query &[NAMESPACE]),
        page!(Get "/history", Store(Reader), "What happened, by filters", events::page, query HISTORY),
        page!(Get "/access", Store(Admin), "Tokens", tokens::page, query &[NAMESPACE, ("done", "Which token was just revoked.")]),
        page!(Post "/access", Store(Admin), "Creates a token", tokens::create, query &[NAMESPACE]),
        page!(Get "/access/revoke", Store(Admin), "What revoking a token will do", tokens::revoke_form, query REVOKE),
        page!(Post "/access/revoke", Store(Admin), "Revokes a token", tokens::revoke, query REVOKE),
        page!(Get "/search", Store(Reader), "Finds tasks by an id, a saga id, a label or an owner", tasks::search, query &[NAMESPACE, ("q", "What to look for.")]),
        page!(Get "/tasks/{ns}/{id}", InNamespace(Reader), "A task", task::page, query &[("done", "What was just done.")]),
        page!(Get "/tasks/{ns}/{id}/act", InNamespace(Operator), "What an action will do", act::page, query ACT),
        page!(Post "/tasks/{ns}/{id}/act", InNamespace(Operator), "Do it", act::done, query ACT),
    ]
}

/// Every page but the first one.
pub(crate) fn pages() -> &'static [Route] {
    static PAGES: LazyLock<Vec<Route>> = LazyLock::new(table);
    &PAGES
}
