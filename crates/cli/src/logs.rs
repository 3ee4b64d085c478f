//! Logging and tracing of long-running commands: log lines on standard error as text or JSON, and traces to an
//! OpenTelemetry collector.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::error::CliError;

/// Log level and format, and where traces go.
pub(crate) struct Logs {
    level: String,
    form: LogFormat,
    /// The URL of the collector; empty for none.
    #[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "it is empty there"))]
    otlp: String,
}

#[derive(Clone, Copy)]
enum LogFormat {
    Text,
    Json,
}

/// The log levels, from nothing to everything.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Whether the text is an HTTP URL with a host and a valid port.
fn is_url(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")) else {
        return false;
    };
    let place = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (place, None),
    };
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok());
    !host.is_empty() && is_port && !text.contains(char::is_whitespace)
}

/// Sends the remaining traces when dropped.
pub(crate) struct TraceFlush {
    #[cfg(feature = "otlp")]
    traces: Option<opentelemetry_sdk::trace::SdkTracerProvider>,
}

impl Logs {
    pub(crate) fn new(level: &str, form: &str, otlp: &str) -> Result<Logs, CliError> {
        let form = match form {
            "text" => LogFormat::Text,
            "json" => LogFormat::Json,
            other => return Err(CliError::Usage(format!("log_format: `{other}` is not text or json"))),
        };
        if !otlp.is_empty() && !is_url(otlp) {
            return Err(CliError::Usage(format!(
                "otlp: `{otlp}` is not a URL such as http://collector:4318"
            )));
        }
        if cfg!(not(feature = "otlp")) && !otlp.is_empty() {
            let words = "otlp: this program was built without tracing; build it with the feature `otlp`";
            return Err(CliError::Usage(words.into()));
        }
        let logs = Logs { level: level.to_owned(), form, otlp: otlp.to_owned() };
        logs.filter()?;
        Ok(logs)
    }

    fn filter(&self) -> Result<EnvFilter, CliError> {
        let wrong = |why: &str| {
            let levels = LEVELS.join(", ");
            CliError::Usage(format!(
                "log: `{}`: {why}; use {levels}, or levels per module, such as `info,tenure_server=debug`",
                self.level
            ))
        };
        // A word that is not a level would be taken for a module, and everything else would be silent.
        let is_level = |word: &str| {
            LEVELS.iter().any(|level| word.eq_ignore_ascii_case(level))
                || matches!(word.as_bytes(), [b'0'..=b'5'])
        };
        // Span filters in brackets contain commas and equals signs of their own.
        let has_spans = self.level.contains('[');
        let mut words = self.level.split(',').map(str::trim).filter(|word| !word.is_empty() && !has_spans);
        if let Some(word) = words.find(|word| !word.contains('=') && !is_level(word)) {
            return Err(wrong(&format!("`{word}` is not a level")));
        }
        EnvFilter::try_new(&self.level).map_err(|error| wrong(&error.to_string()))
    }

    /// Starts logging, until the returned value is dropped.
    pub(crate) fn listen(&self) -> Result<TraceFlush, CliError> {
        let filter = self.filter()?;
        // The command holds the lock of standard error, and requests are logged by other threads.
        let place = std::io::stderr().as_fd().try_clone_to_owned();
        let place =
            place.map_err(|error| CliError::Failed(format!("can't write to standard error: {error}")))?;
        let place = Arc::new(File::from(place));
        let lines = match self.form {
            LogFormat::Text => fmt::layer().with_ansi(false).with_writer(place).boxed(),
            LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(place).boxed(),
        };
        let registry = tracing_subscriber::registry().with(lines.with_filter(filter));
        #[cfg(feature = "otlp")]
        let (registry, listening) = {
            let traces = self.traces()?;
            let layer = traces.as_ref().map(|traces| {
                use opentelemetry::trace::TracerProvider;
                let layer = tracing_opentelemetry::layer().with_tracer(traces.tracer("tenure"));
                // Spans of the exporter itself would be exported in an endless loop.
                layer.with_filter(EnvFilter::new("off,tenure=info,tenure_server=info,tenure_cli=info"))
            });
            (registry.with(layer), TraceFlush { traces })
        };
        #[cfg(not(feature = "otlp"))]
        let listening = TraceFlush {};
        // In a test a subscriber may be set already, which gets the same events.
        let _ = registry.try_init();
        Ok(listening)
    }

    #[cfg(feature = "otlp")]
    fn traces(&self) -> Result<Option<opentelemetry_sdk::trace::SdkTracerProvider>, CliError> {
        use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
        use opentelemetry_sdk::Resource;
        use opentelemetry_sdk::trace::SdkTracerProvider;

        if self.otlp.is_empty() {
            return Ok(None);
        }
        // As for the environment variable of that name: the base URL of the collector, with a path for each kind of data.
        let endpoint = format!("{}/v1/traces", self.otlp.trim_end_matches('/'));
        let wrong = |error| CliError::Usage(format!("otlp: `{}`: {error}", self.otlp));
        let exporter =
            SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary).with_endpoint(endpoint);
        // The exporter's client needs a default TLS provider of the process; one that is set already is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let exporter = exporter.build().map_err(wrong)?;
        let resource = Resource::builder().with_service_name("tenure").build();
        Ok(Some(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build()))
    }
}

#[cfg(feature = "otlp")]
impl Drop for TraceFlush {
    fn drop(&mut self) {
        if let Some(traces) = &self.traces {
            // A collector that can't be reached must neither block nor fail the exit.
            let _ = traces.shutdown_with_timeout(std::time::Duration::from_secs(3));
        }
    }
}
