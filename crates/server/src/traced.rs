//! Connects a request to its trace. It does nothing unless traces are collected.

use axum::http::request::Parts;
use tenure::core::id::Namespace;
use tracing::Span;

use crate::route::{Path, Route};

/// The span of a request, in the right trace.
pub(crate) fn span(route: &'static Route, head: &Parts, path: Option<&Path>) -> Span {
    let (method, pattern) = (route.method.as_str(), route.path);
    let namespace = path.and_then(|path| path.namespace.as_ref());
    let task = path.and_then(|path| path.id.as_deref());
    // The names are those that OpenTelemetry has for a server's spans.
    let span = tracing::info_span!(
        "request",
        otel.name = format_args!("{method} {pattern}"),
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        http.request.method = method,
        http.route = pattern,
        http.response.status_code = tracing::field::Empty,
        tenure.namespace = namespace.map(Namespace::as_str),
        tenure.task = task,
    );
    place(&span, head, namespace.zip(task));
    span
}

/// Sets the span's parent: the sender's span, else the trace of the request's task. The task's trace is always
/// linked, so that one can be found from the other.
#[cfg(feature = "otlp")]
fn place(span: &Span, head: &Parts, about: Option<(&Namespace, &str)>) {
    use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
    use opentelemetry::{Context, KeyValue};
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    let said = head.headers.get("traceparent").and_then(|value| parent(value.to_str().ok()?));
    let of_task = about.and_then(|(namespace, task)| {
        let id = tenure::trace::id_of(namespace, &tenure::core::id::TaskId::new(task).ok()?);
        // A task has no span of its own: the one that is named as its root is made of the same bytes.
        let root = SpanId::from_bytes([id[0] | 1, id[1], id[2], id[3], id[4], id[5], id[6], id[7]]);
        let (trace, state) = (TraceId::from_bytes(id), TraceState::default());
        Some(SpanContext::new(trace, root, TraceFlags::SAMPLED, true, state))
    });
    if let Some(of_task) = &of_task {
        span.add_link_with_attributes(of_task.clone(), vec![KeyValue::new("tenure.link", "task")]);
    }
    if let Some(parent) = said.or(of_task) {
        // The parent of a started span can't change; this one has not started.
        let _ = span.set_parent(Context::new().with_remote_span_context(parent));
    }
}

/// Without the feature, traces are not collected.
#[cfg(not(feature = "otlp"))]
fn place(_span: &Span, _head: &Parts, _about: Option<(&Namespace, &str)>) {}

/// Reads `traceparent` as the W3C has it: a version, the trace, the span, flags.
#[cfg(feature = "otlp")]
fn parent(text: &str) -> Option<opentelemetry::trace::SpanContext> {
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

    let mut parts = text.trim().split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex =
        |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hex(version, 2) || version == "ff" || !is_hex(trace, 32) || !is_hex(span, 16) || !is_hex(flags, 2)
    {
        return None;
    }
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
    let context = SpanContext::new(trace, span, flags, true, TraceState::default());
    context.is_valid().then_some(context)
}

#[cfg(all(test, feature = "otlp"))]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_trace_is_read_and_nothing_else_is_taken_for_one() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(parent(good).map(|place| place.trace_id().to_string()).as_deref(), Some(&good[3..35]));
        for odd in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
        ] {
            assert!(parent(odd).is_none(), "{odd}");
        }
    }
}
