//! The OpenAPI 3.1 description of the API, generated from the table of routes.

use std::collections::BTreeMap;

use tenure::api::refusal::HeldBy;
use tenure::api::schema::{CauseWord, StateWord, one_of};
use tenure::core::refusal::Code;
use utoipa::ToSchema;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, PathsBuilder};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{
    ArrayBuilder, ComponentsBuilder, KnownFormat, Object, ObjectBuilder, Schema, SchemaFormat, SchemaType,
    Type,
};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Required};

use crate::access::Access;
use crate::description::{NoBody, Schemas};
use crate::problem::{OTHER_CODES, status_of};
use crate::route::{Method, Route};
use crate::routes::routes;

/// The document, as it is kept and served.
pub(crate) fn document() -> String {
    let text = api().to_pretty_json();
    text.unwrap_or_else(|error| panic!("the API description can always be written as JSON: {error}"))
}

/// The description.
pub(crate) fn api() -> OpenApi {
    let mut paths = PathsBuilder::new();
    let mut schemas = BTreeMap::<String, RefOr<Schema>>::new();
    for route in routes() {
        let mut by_method = utoipa::openapi::path::PathItemBuilder::new();
        by_method = by_method.operation(method(route.method), operation(route));
        paths = paths.path(route.path, by_method.build());
        for shape in [route.described.takes, route.described.gives] {
            schemas.insert((shape.name)().into_owned(), (shape.schema)());
            let mut others = Schemas::new();
            (shape.others)(&mut others);
            schemas.extend(others);
        }
    }
    schemas.remove(NoBody::name().as_ref());
    schemas.insert("Problem".to_owned(), problem());
    let codes = codes().into_iter().map(|(code, _, _)| code);
    schemas.insert("ProblemCode".to_owned(), one_of("Stable error code for programs.", codes));
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
        "A token from `tenure token create`. Until the first token is created, a server on loopback accepts requests without one.",
    ));
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .security_scheme("token", SecurityScheme::Http(bearer.build()))
        .build();
    let info = InfoBuilder::new()
        .title("Tenure")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .build();
    OpenApiBuilder::new().info(info).paths(paths.build()).components(Some(components)).build()
}

const DESCRIPTION: &str = "The durable record of who is working on what, until when, and how to undo it. \
    A command with `owner` and `epoch` in its body is by lease; without them it is by an operator. `Idempotency-Key` is \
    the request id of a command: a repeat within 7 days gets the first response again. Errors are problems as in \
    RFC 9457. 503 means that nothing was done; 504 means that the outcome is unknown: repeat the request with the same key.";

fn method(method: Method) -> HttpMethod {
    match method {
        Method::Get => HttpMethod::Get,
        Method::Post => HttpMethod::Post,
        Method::Put => HttpMethod::Put,
        Method::Patch => HttpMethod::Patch,
        Method::Delete => HttpMethod::Delete,
    }
}

fn operation(route: &Route) -> utoipa::openapi::path::Operation {
    let described = &route.described;
    let mut operation = OperationBuilder::new()
        .summary(Some(route.summary))
        .description(Some(needs(route)))
        .operation_id(Some(id(route)));
    if let Some(tag) = tag(route) {
        operation = operation.tag(tag);
    }
    for part in ["ns", "id", "seq"] {
        if route.path.contains(&format!("{{{part}}}")) {
            let of_path = ParameterBuilder::new().name(part).parameter_in(ParameterIn::Path);
            let schema = if part == "seq" { number(1) } else { name() };
            operation = operation.parameter(of_path.required(Required::True).schema(Some(schema)));
        }
    }
    for (name, words) in route.query {
        let in_query = ParameterBuilder::new().name(*name).parameter_in(ParameterIn::Query);
        let in_query = in_query.required(Required::False).description(Some(*words));
        operation = operation.parameter(in_query.schema(Some(query(name))));
    }
    if (described.takes.name)() != NoBody::name() {
        let content = ContentBuilder::new().schema(Some(described.takes.reference())).build();
        let needed = if takes_nothing_too(route) { Required::False } else { Required::True };
        let body = RequestBodyBuilder::new().content("application/json", content).required(Some(needed));
        operation = operation.request_body(Some(body.build()));
    }
    for (name, words) in headers(route) {
        let header = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Header);
        let header = header.required(Required::False).description(Some(words));
        operation = operation.parameter(header.schema(Some(text())));
    }
    let mut done = ResponseBuilder::new().description("Done");
    for kind in route.kinds() {
        // A stream is lines of text, each event with its id, type and data.
        let schema = if *kind == "text/event-stream" { text() } else { described.gives.reference().into() };
        done = done.content(*kind, ContentBuilder::new().schema(Some(schema)).build());
    }
    operation = operation.response(described.status.to_string(), done.build());
    if described.status == 200 && route.method == Method::Put {
        let made = ContentBuilder::new().schema(Some(described.gives.reference())).build();
        let made = ResponseBuilder::new().description("Created").content("application/json", made).build();
        operation = operation.response("201", made);
    }
    if route.is_tagged() {
        let same = ResponseBuilder::new().description("Not changed since it had that `ETag`");
        operation = operation.response("304", same.build());
    }
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let problem = ResponseBuilder::new().description("Not done; `code` says why");
    operation = operation.response("default", problem.content("application/problem+json", content).build());
    if route.access != Access::Probe {
        operation = operation.security(SecurityRequirement::new("token", Vec::<String>::new()));
    }
    operation.build()
}

/// The headers that a route reads, each with a description.
fn headers(route: &Route) -> Vec<(&'static str, &'static str)> {
    let mut headers = Vec::new();
    if route.names_its_command() {
        let words =
            "The request id of the command; a repeat gets the first response and is not executed again.";
        headers.push(("Idempotency-Key", words));
    }
    if route.query.iter().any(|(name, _)| *name == "return") {
        headers.push(("Prefer", "`return=minimal` or `return=representation`, like the parameter `return`."));
    }
    if matches!(route.method, Method::Put | Method::Patch) {
        let words = "The `ETag` that the task had when you read it. If the task has changed since, 412 `stale_write`.";
        headers.push(("If-Match", words));
    }
    if route.is_tagged() {
        headers.push((
            "If-None-Match",
            "An `ETag`. If the task still has it, the response is 304 without a body.",
        ));
    }
    if route.kinds().contains(&"text/event-stream") {
        headers.push((
            "Last-Event-ID",
            "For streams: the id of the last event that you received, instead of `after`.",
        ));
    }
    headers
}

/// What a route needs, in words.
fn needs(route: &Route) -> String {
    match route.access {
        Access::Probe => "Needs no token.".to_owned(),
        Access::Store(role) => format!("Needs a token with the role {} or higher.", role.as_str()),
        Access::WholeStore(role) | Access::Watch(role) => {
            format!(
                "Needs a token with the role {} or higher that is bound to all namespaces.",
                role.as_str()
            )
        }
        Access::Namespace(role) => {
            let operator = if is_also_an_operators(route) {
                "; without `owner` and `epoch`, the role operator or higher"
            } else {
                ""
            };
            format!(
                "Needs a token with the role {} or higher that is bound to the namespace{operator}.",
                role.as_str()
            )
        }
    }
}

/// What its body may say and must, where that is an object.
fn body_of(route: &Route) -> Option<Object> {
    match (route.described.takes.schema)() {
        RefOr::T(Schema::Object(body)) => Some(body),
        RefOr::T(_) | RefOr::Ref(_) => None,
    }
}

/// Whether all that its body may say may be left out, and the body with it.
fn takes_nothing_too(route: &Route) -> bool {
    body_of(route).is_some_and(|body| body.required.is_empty())
}

/// Whether its body is by lease, but need not be.
fn is_also_an_operators(route: &Route) -> bool {
    let is_optional = |body: Object| {
        body.properties.contains_key("epoch") && !body.required.iter().any(|name| name == "epoch")
    };
    body_of(route).is_some_and(is_optional)
}

fn id(route: &Route) -> String {
    let words = route.path.split('/').filter(|part| !part.is_empty() && *part != "v1");
    let words: Vec<String> =
        words.map(|part| part.replace(['{', '}', '.'], "_").trim_matches('_').to_owned()).collect();
    let words = if words.is_empty() { vec!["front".to_owned()] } else { words };
    format!("{}_{}", route.method.as_str().to_ascii_lowercase(), words.join("_"))
}

fn tag(route: &Route) -> Option<&'static str> {
    let subjects = [
        ("/v1/tokens", "tokens"),
        ("/compensations", "compensations"),
        ("/tasks", "tasks"),
        ("/v1/{ns}/", "namespace"),
        ("/v1/", "store"),
    ];
    subjects.iter().find(|(part, _)| route.path.contains(part)).map(|(_, tag)| *tag)
}

fn text() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).into()
}

fn name() -> RefOr<Schema> {
    let named = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
    named.min_length(Some(1)).max_length(Some(200)).pattern(Some("^[A-Za-z0-9._:@+-]+$")).into()
}

fn number(least: i32) -> RefOr<Schema> {
    let number = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Integer));
    number.minimum(Some(f64::from(least))).into()
}

fn query(name: &str) -> RefOr<Schema> {
    match name {
        "limit" => {
            let limit = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Integer));
            limit.minimum(Some(1.0)).maximum(Some(1_000.0)).into()
        }
        "stale" | "plan" | "open" | "ended_badly" | "unattended" => {
            ObjectBuilder::new().schema_type(SchemaType::Type(Type::Boolean)).into()
        }
        "cause" => Ref::from_schema_name(CauseWord::name()).into(),
        "looks" => {
            let looks = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Integer));
            looks.minimum(Some(1.0)).maximum(Some(10_000.0)).into()
        }
        "order" => one_of("Order by age.", ["newest", "oldest"]),
        "state" => ArrayBuilder::new().items(Ref::from_schema_name(StateWord::name())).into(),
        "label" => {
            let most = tenure::core::task::LABELS_MAX;
            ArrayBuilder::new().items(text()).max_items(Some(most)).into()
        }
        // A text, because events grow with the product.
        "type" => {
            let most = tenure::core::event::EventKind::ALL.len();
            ArrayBuilder::new().items(text()).max_items(Some(most)).into()
        }
        "return" => {
            let forms = ["minimal", "representation"];
            ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).enum_values(Some(forms)).into()
        }
        _ => text(),
    }
}

/// A problem: everything that one may have.
fn problem() -> RefOr<Schema> {
    let retry_at = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
    let retry_at = retry_at.format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
    ObjectBuilder::new()
        .property("type", text())
        .property("title", text())
        .property("status", number(400))
        .property("detail", text())
        .property("code", Ref::from_schema_name("ProblemCode"))
        .property("field", text())
        .property("state", Ref::from_schema_name(StateWord::name()))
        .property("held_by", Ref::from_schema_name(HeldBy::name()))
        .property("retry_at", retry_at)
        .required("type")
        .required("title")
        .required("status")
        .required("detail")
        .required("code")
        .into()
}

/// Every code of a problem, with its status and what it says.
pub(crate) fn codes() -> Vec<(&'static str, u16, &'static str)> {
    let refusals = Code::ALL.iter().map(|code| (code.as_str(), status_of(*code).as_u16(), said(*code)));
    refusals.chain(OTHER_CODES.iter().map(|(code, status, words)| (*code, status.as_u16(), *words))).collect()
}

fn said(code: Code) -> &'static str {
    match code {
        Code::Invalid => "A field is malformed or over its limit; `field` names it.",
        Code::NotFound => {
            "The task, compensation, token or route does not exist, or this token has no access to it."
        }
        Code::Exists => "The task, its saga or the token already exists.",
        Code::RequestReused => "The request id was already used for another command or by another actor.",
        Code::Terminal => "The task has ended and can't be changed.",
        Code::Leased => "The task is already leased; see `held_by`.",
        Code::Reserved => "The task is reserved for another owner.",
        Code::NotDue => "The task is not due yet; see `retry_at`.",
        Code::NoLease => "Nobody holds a lease on the task; a reservation is not a lease.",
        Code::StaleEpoch => "The epoch is not the current one: a newer lease was granted.",
        Code::WrongOwner => "The lease belongs to another owner.",
        Code::LeaseLapsed => "The lease has lapsed.",
        Code::NotExtending => "The heartbeat would not extend the lease.",
        Code::Stalled => "No progress was reported within the policy's `stall_after`.",
        Code::OutOfTime => "The attempt has reached the policy's `time_limit`.",
        Code::Cancelled => "The holder was told to stop, and the policy's `cancel_grace` is over.",
        Code::CompensationRequired => {
            "A failed task needs at least one compensation, if only of kind `none`."
        }
        Code::CompensationOwed => {
            "The task owes compensations; they must be undone, adopted or waived first."
        }
        Code::CompensationSettled => "The compensation is no longer owed.",
        Code::WrongState => "The task's state does not allow this command.",
        Code::StaleWrite => "The record has changed since you read it.",
        Code::Forbidden => "The token does not allow this command.",
        // Of a later version.
        _ => "The command was refused.",
    }
}
