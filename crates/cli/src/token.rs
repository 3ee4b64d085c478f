//! `tenure token …`: the tokens that give access to servers on a store.

use clap::{Args, Subcommand};
use clap_complete::ArgValueCompleter;
use tenure::access::{NamespaceScope, Role, Token};
use tenure::api::token::NewToken;
use tenure::core::time::Time;
use tenure::instant::print_seconds;

use crate::complete;
use crate::context::Context;
use crate::error::CliError;
use crate::global::OutputFormat;
use crate::output::{Colour, Output, plain};
use crate::values::{ByOperator, one_of, span};

#[derive(Subcommand)]
pub(crate) enum TokenVerb {
    Create(TokenCreate),
    List(TokenList),
    Revoke(Revoke),
}

impl TokenVerb {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        match self {
            TokenVerb::Create(verb) => verb.run(context).await,
            TokenVerb::List(verb) => verb.run(context).await,
            TokenVerb::Revoke(verb) => verb.run(context).await,
        }
    }
}

/// Create a token and show its secret once
///
/// Use it before other machines can reach a server: after the first token is created, servers require one for every
/// request. What is done with the token is recorded under its name. As JSON it prints the secret and the token's record.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure token create --name ci --role worker --expires 90d\n  \
        tenure token create --name alice --role admin --namespace '*'")]
pub(crate) struct TokenCreate {
    /// Name of the token, recorded as the actor; unique among live tokens
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What the token allows: reader reads; worker also creates tasks and uses its own leases; operator acts on all tasks;
    /// admin also manages tokens
    #[arg(long, value_name = "ROLE", value_parser = one_of(&Role::ALL, Role::as_str))]
    role: Role,
    /// How long the token is live, 1s to 3650d [default: until it is revoked]
    #[arg(long, value_name = "DURATION")]
    expires: Option<String>,
    /// Namespace that the token is bound to, or '*' for all. Can be repeated [default: default] [env: TENURE_NAMESPACE]
    #[arg(long, value_name = "NAME")]
    namespace: Vec<String>,
    #[command(flatten)]
    by: ByOperator,
}

impl TokenCreate {
    async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        if context.has_request_id() {
            let words =
                "--request-id can't be used here: a repeat can't return the secret, which is shown only once";
            return Err(CliError::Usage(words.to_owned()));
        }
        let namespaces = context.namespaces_said(self.namespace)?;
        let lifetime = span("expires", self.expires.as_deref())?;
        let ledger = context.ledger().await?.acting_as(&context.person(&self.by))?;
        context.out.detail(&format!("namespaces of the token: {}", namespaces.join(", ")));
        let before = ledger.tokens().await?;
        let call = ledger.create_token(&self.name, self.role).in_namespaces(namespaces);
        let call = match lifetime {
            Some(lifetime) => call.lifetime(lifetime.into()),
            None => call,
        };
        let (secret, token) = call.await.map_err(CliError::OfToken)?;
        match context.out.form() {
            OutputFormat::Json => context
                .out
                .json(&NewToken { token: Some(secret.reveal().to_owned()), record: token.clone() })?,
            OutputFormat::Table if context.out.is_quiet() => context.out.line(secret.reveal())?,
            OutputFormat::Table => {
                context.out.line(&made(&token))?;
                context.out.line(secret.reveal())?;
                context.out.line(&format!(
                    "The secret is shown only now and is not stored. Anybody who has it acts as {}. Set it as TENURE_TOKEN, \
                     or put it in a file and set TENURE_TOKEN_FILE to its path.",
                    token.name
                ))?;
            }
        }
        if before.is_empty() {
            is_the_first(context.out, token.role);
        }
        Ok(())
    }
}

fn made(token: &Token) -> String {
    let until = token.expires_at.map_or_else(|| "it is revoked".to_owned(), print_seconds);
    format!(
        "created token {}: {} in {}, valid until {until}",
        token.name,
        token.role,
        namespaces(&token.namespaces)
    )
}

fn namespaces(scope: &NamespaceScope) -> String {
    match scope {
        NamespaceScope::All => "all namespaces".to_owned(),
        NamespaceScope::These(_) => scope.words().join(", "),
    }
}

fn is_the_first(out: &mut Output<'_>, role: Role) {
    out.note("this is the first token of the store: from now on its servers require one for every request");
    if role != Role::Admin {
        out.note(
            "no admin token exists, so tokens can't be created through a server; use this command with the store's own URL",
        );
    }
}

/// List the tokens of a store, including revoked and expired ones
///
/// Use it to see who has access to what. Secrets are not shown, because none is stored. As JSON it prints one token per line.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure token list")]
pub(crate) struct TokenList {}

impl TokenList {
    async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let ledger = context.ledger_to_read().await?;
        let (tokens, now) = (ledger.tokens().await?, ledger.now().await?);
        if context.out.form() == OutputFormat::Json {
            return tokens.iter().try_for_each(|token| context.out.json(token));
        }
        if context.out.is_quiet() {
            return tokens.iter().try_for_each(|token| context.out.line(token.name.as_str()));
        }
        if tokens.is_empty() {
            context.out.note("there are no tokens; servers on this store don't require one");
            return Ok(());
        }
        let headings = ["NAME", "ROLE", "NAMESPACES", "CREATED BY", "EXPIRES", "STATE"];
        let mut table = context.out.table(&headings);
        for token in &tokens {
            let (state, colour) = state(token, now);
            Output::row(
                &mut table,
                [
                    plain(&token.name),
                    plain(token.role),
                    plain(token.namespaces.words().join(" ")),
                    plain(&token.created_by),
                    plain(token.expires_at.map_or_else(|| "never".to_owned(), print_seconds)),
                    context.out.cell(&state, colour),
                ],
            );
        }
        context.out.show(&table)
    }
}

/// Whether the token is live, in words.
fn state(token: &Token, now: Time) -> (String, Colour) {
    match (token.revoked_at, &token.revoked_by) {
        (Some(at), Some(by)) => (format!("revoked {} by {by}", print_seconds(at)), Colour::Faint),
        // Its name was given to a newer token.
        (Some(_), None) => ("expired".to_owned(), Colour::Faint),
        (None, _) if token.is_live(now) => ("live".to_owned(), Colour::Good),
        (None, _) => ("expired".to_owned(), Colour::Bad),
    }
}

/// Revoke a token
///
/// Use it when a token may have leaked or is no longer needed. Servers reject it from the next request on. It stays in the
/// list, and its name is free again. Revoking it again has no further effect.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure token revoke ci --as alice")]
pub(crate) struct Revoke {
    /// Name of the token
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::token_names))]
    name: String,
    #[command(flatten)]
    by: ByOperator,
}

impl Revoke {
    async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let ledger = context.ledger().await?.acting_as(&context.person(&self.by))?;
        let token = ledger.revoke_token(&self.name).await.map_err(CliError::OfToken)?;
        match context.out.form() {
            OutputFormat::Json => context.out.json(&token),
            OutputFormat::Table if context.out.is_quiet() => Ok(()),
            OutputFormat::Table => {
                let now = context.moment(&ledger, None).await;
                context.out.line(&format!("{}: {}", token.name, state(&token, now).0))
            }
        }
    }
}
