//! The handlers that the `[undo.KIND]` sections of a file with settings make.

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

/// A handler for each section.
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
    let patience = patience(section)?;
    let mut warning = None;
    let added = match (&section.run, &section.post) {
        (Some(run), None) => {
            if section.secret_file.is_some() {
                return Err("secret_file belongs to `post`, and this runs a command".into());
            }
            let allow = section.allow.as_deref().ok_or(
                "`run` needs `allow`, a regular expression that a whole target must match: \
                 who registers a compensation must not choose what is executed on",
            )?;
            let handler = CommandHandler::new(Template::new(run.clone(), allow)?);
            let handler = match &section.folder {
                Some(folder) => handler.folder(config.beside(folder)),
                None => handler,
            };
            handlers.with(kind, patience, handler)
        }
        (None, Some(post)) => {
            for (name, is_there) in [("allow", section.allow.is_some()), ("folder", section.folder.is_some())]
            {
                if is_there {
                    return Err(format!("{name} belongs to `run`, and this posts"));
                }
            }
            let secret =
                section.secret_file.as_ref().ok_or("`post` needs `secret_file`, to be signed with")?;
            let webhook = Webhook::from_secret_file(post, config.beside(secret))?;
            warning = webhook.warning();
            handlers.with(kind, patience, webhook)
        }
        (Some(_), Some(_)) => return Err("give `run` or `post`, not both".into()),
        (None, None) => return Err("give `run`, a command, or `post`, a URL".into()),
    };
    added.map(|handlers| (handlers, warning)).map_err(|refusal| refusal.to_string())
}

fn patience(section: &UndoSection) -> Result<RetryPolicy, String> {
    let length = |name: &'static str, text: &Option<String>, default: Span| {
        let length = span(name, text.as_deref()).map_err(|refusal| refusal.to_string())?;
        Ok::<Span, String>(length.unwrap_or(default))
    };
    let usual = RetryPolicy::default();
    let tries = section.tries.unwrap_or(usual.tries);
    let timeout = Duration::from(length("timeout", &section.timeout, usual.timeout.into())?);
    if tries == 0 || timeout.is_zero() {
        return Err("tries must be 1 or more, and timeout more than nothing".into());
    }
    Ok(RetryPolicy {
        timeout,
        tries,
        backoff: Backoff {
            base: length("backoff", &section.backoff, usual.backoff.base)?,
            cap: length("backoff_cap", &section.backoff_cap, usual.backoff.cap)?,
            ..usual.backoff
        },
    })
}

/// A file of that name in this folder is not used unless it is named: what it says is executed.
fn note_what_is_not_used(context: &mut Context<'_, '_>, config: &Config) {
    if config.path.as_os_str().is_empty() && std::path::Path::new("tenure.toml").exists() {
        context.out.note("there is a tenure.toml here, which is not used; name it with --config tenure.toml");
    }
}
