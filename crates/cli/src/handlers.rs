//! Builds the undo handlers from the `[undo.KIND]` sections of the settings file.

use std::time::Duration;

use tenure::core::policy::Backoff;
use tenure::core::time::Span;
use tenure::handler::command::CommandHandler;
use tenure::handler::template::Template;
use tenure::handler::webhook::Webhook;
use tenure::handler::{Handlers, RetryPolicy};

use crate::config::{Config, UndoSection};
use crate::context::Context;
use crate::error::CliError;
use crate::values::span;

/// One handler for each section.
pub(crate) fn of(context: &mut Context<'_, '_>, config: &Config) -> Result<Handlers, CliError> {
    let mut handlers = Handlers::new();
    for (kind, section) in &config.undo {
        let place = format!("{}: undo.{kind}", config.path.display());
        let made = with(handlers, config, kind, section);
        let (with_it, warning) =
            made.map_err(|words| CliError::Usage(format!("--config: {place}: {words}")))?;
        if let Some(warning) = warning {
            context.out.note(&format!("{place}: {warning}"));
        }
        handlers = with_it;
    }
    note_what_is_not_used(context, config);
    Ok(handlers)
}

fn with(
    handlers: Handlers,
    config: &Config,
    kind: &str,
    section: &UndoSection,
) -> Result<(Handlers, Option<String>), String> {
    let retries = retries(section)?;
    let mut warning = None;
    let added = match (&section.run, &section.post) {
        (Some(run), None) => {
            if section.secret_file.is_some() {
                return Err("`secret_file` is only for `post`, but this section has `run`".into());
            }
            let allow = section.allow.as_deref().ok_or(
                "`run` needs `allow`, a regular expression that the whole target must match: \
                 a worker that registers a compensation must not be able to choose any target",
            )?;
            let allow_label = section.allow_label.clone().unwrap_or_default();
            let handler = CommandHandler::new(Template::with_labels(run.clone(), allow, &allow_label)?);
            let handler = match &section.folder {
                Some(folder) => handler.folder(config.beside(folder)),
                None => handler,
            };
            handlers.with(kind, retries, handler)
        }
        (None, Some(post)) => {
            let only_for_run = [
                ("allow", section.allow.is_some()),
                ("allow_label", section.allow_label.is_some()),
                ("folder", section.folder.is_some()),
            ];
            for (name, is_there) in only_for_run {
                if is_there {
                    return Err(format!("`{name}` is only for `run`, but this section has `post`"));
                }
            }
            let secret = section
                .secret_file
                .as_ref()
                .ok_or("`post` needs `secret_file`, the secret that signs its requests")?;
            let webhook = Webhook::from_secret_file(post, config.beside(secret))?;
            warning = webhook.warning();
            handlers.with(kind, retries, webhook)
        }
        (Some(_), Some(_)) => return Err("has both `run` and `post`; keep one".into()),
        (None, None) => return Err("needs `run`, a command, or `post`, a URL".into()),
    };
    added.map(|handlers| (handlers, warning)).map_err(|refusal| refusal.to_string())
}

fn retries(section: &UndoSection) -> Result<RetryPolicy, String> {
    let length = |name: &'static str, text: &Option<String>, default: Span| {
        let length = span(name, text.as_deref()).map_err(|refusal| refusal.to_string())?;
        Ok::<Span, String>(length.unwrap_or(default))
    };
    let usual = RetryPolicy::default();
    let tries = section.tries.unwrap_or(usual.tries);
    let timeout = Duration::from(length("timeout", &section.timeout, usual.timeout.into())?);
    if tries == 0 || timeout.is_zero() {
        return Err("`tries` must be at least 1, and `timeout` more than 0s".into());
    }
    let backoff = Backoff {
        base: length("backoff", &section.backoff, usual.backoff.base)?,
        cap: length("backoff_cap", &section.backoff_cap, usual.backoff.cap)?,
        ..usual.backoff
    };
    Ok(usual.with(|policy| {
        policy.timeout = timeout;
        policy.tries = tries;
        policy.backoff = backoff;
    }))
}

/// A tenure.toml in the current directory is used only if it is named, because its commands are executed.
fn note_what_is_not_used(context: &mut Context<'_, '_>, config: &Config) {
    if config.path.as_os_str().is_empty() && std::path::Path::new("tenure.toml").exists() {
        context.out.note("tenure.toml in this directory is not used; pass --config tenure.toml to use it");
    }
}
