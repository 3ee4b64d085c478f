//! Tokens: who may do what in which namespaces. Administrators create and revoke them, as over the API.

use askama::Template;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use tenure::access::{ListedToken, NamespaceScope, Role, Token, TokenSecret};
use tenure::api::duration::DurationInput;
use tenure::api::token::TokenBody;
use tenure::core::id::RequestId;
use tenure::core::refusal::{Code, Refusal};
use tenure::core::time::{Span, Time};
use tenure_view::words::Instant;

use super::act::told;
use super::address::encoded;
use super::asked::{required, to};
use super::form::Form;
use super::layout::{Layout, Place, respond};
use crate::access::Caller;
use crate::handlers::tokens::{by, named, read_hash, to_create};
use crate::problem::Problem;
use crate::route::{Answered, Asked};

/// How many tokens are shown, those that count first. The page says if there are more.
const TOKENS_SHOWN: usize = 200;
/// How many namespaces of a token are named.
const NAMESPACES_NAMED: usize = 5;
/// How long a form that is sent again is answered with the secret: for a double click, not for somebody who finds the browser later.
const SHOWN_AGAIN: Span = Span::from_secs(60);
/// What the form proposes: a token that nobody revokes should not be valid for ever.
const EXPIRES_USUAL: &str = "90d";

#[derive(Template)]
#[template(path = "tokens.html")]
struct Tokens {
    layout: Layout,
    namespace: String,
    tokens: Vec<TokenRow>,
    /// How many are not shown.
    more: usize,
    /// Whether none was ever created.
    is_first: bool,
    /// The token that was just revoked.
    revoked: Option<String>,
    form: NewForm,
}

/// The form for a new token.
struct NewForm {
    roles: Vec<RoleChoice>,
    /// The request id: the same form sent twice is one token.
    request: String,
    /// Why it was refused, after it was sent.
    error: Option<String>,
    name: String,
    namespaces: String,
    expires: String,
    actor: String,
    /// Whether the form must say who it is, because no token does.
    asks_who: bool,
}

struct RoleChoice {
    word: &'static str,
    words: &'static str,
    is_chosen: bool,
}

/// A token in the list.
struct TokenRow {
    key: usize,
    name: String,
    role: &'static str,
    namespaces: String,
    created: Instant,
    created_by: String,
    expires: Option<Instant>,
    /// How it is: it counts, or why not.
    standing: &'static str,
    is_live: bool,
    revoked: Option<Instant>,
    revoked_by: Option<String>,
    /// Whether the one who looks is signed in with it.
    is_own: bool,
    /// The address of the form that revokes it.
    revoke: String,
}

#[derive(Template)]
#[template(path = "token_created.html")]
struct Created {
    layout: Layout,
    namespace: String,
    name: String,
    role: &'static str,
    namespaces: String,
    expires: Option<Instant>,
    secret: String,
    is_first: bool,
}

#[derive(Template)]
#[template(path = "token_revoke.html")]
struct Revoke {
    layout: Layout,
    namespace: String,
    name: String,
    role: &'static str,
    /// Its hash: the name may be given to another token meanwhile.
    hash: String,
    effects: Vec<&'static str>,
    error: Option<String>,
}

/// `GET /access`.
pub(super) async fn page(asked: Asked) -> Answered {
    let request = asked.served.ledger.entropy().new_id();
    shown(&asked, (request, None), None).await
}

/// The page, with the form as it was sent if it was refused.
async fn shown(
    asked: &Asked,
    (request, problem): (String, Option<Problem>),
    sent: Option<&Form>,
) -> Answered {
    let namespace = asked.shown_namespace()?;
    let listed = asked.served.tokens().await?.tokens;
    let now = asked.served.ledger.now().await?;
    let mut tokens: Vec<TokenRow> = listed
        .tokens
        .iter()
        .enumerate()
        .filter(|(_, listed)| asked.caller.namespaces.covers(&listed.token.namespaces))
        .map(|(key, listed)| token_row(key, &listed.token, (&asked.caller, namespace.as_str()), now))
        .collect();
    // The newest of those that no longer count, behind all that do.
    tokens.reverse();
    tokens.sort_by(|one, other| {
        let order = (!one.is_live).cmp(&!other.is_live);
        if one.is_live && other.is_live { one.name.cmp(&other.name) } else { order }
    });
    let more = tokens.len().saturating_sub(TOKENS_SHOWN);
    tokens.truncate(TOKENS_SHOWN);
    let revoked = asked.query.one("done")?;
    let revoked = revoked.filter(|name| tokens.iter().any(|token| token.name == *name && !token.is_live));
    let page = Tokens {
        layout: Layout::of(asked, Place::Access, "Access", &namespace, now).await?,
        revoked: revoked.map(str::to_owned),
        is_first: listed.tokens.is_empty(),
        form: new_form(asked, namespace.as_str(), (request, problem.as_ref()), sent),
        namespace: namespace.to_string(),
        tokens,
        more,
    };
    Ok(respond(problem.map_or(StatusCode::OK, |problem| problem.status()), &page))
}

fn new_form(
    asked: &Asked,
    namespace: &str,
    (request, problem): (String, Option<&Problem>),
    sent: Option<&Form>,
) -> NewForm {
    let is_first = asked.caller.name.is_none();
    let usual = |usual: &str| if sent.is_some() { String::new() } else { usual.to_owned() };
    let said = |name: &str| sent.and_then(|form| form.said(name)).map(str::to_owned);
    // Nobody could create the second one if the first were not an administrator's.
    let role_usual = if is_first { Role::Admin } else { Role::Reader };
    let role = said("role").unwrap_or_else(|| role_usual.as_str().to_owned());
    let namespaces = if is_first { NamespaceScope::ALL } else { namespace };
    let choice = |one: Role| RoleChoice {
        word: one.as_str(),
        words: role_words(one),
        is_chosen: one.as_str() == role,
    };
    NewForm {
        roles: Role::ALL.map(choice).into(),
        request,
        error: problem.map(|problem| told(problem.detail())),
        name: said("name").unwrap_or_default(),
        namespaces: said("namespaces").unwrap_or_else(|| usual(namespaces)),
        expires: said("expires").unwrap_or_else(|| usual(EXPIRES_USUAL)),
        actor: said("actor").unwrap_or_default(),
        asks_who: is_first,
    }
}

fn role_words(role: Role) -> &'static str {
    match role {
        Role::Reader => "reads everything, changes nothing",
        Role::Worker => "creates tasks, and uses its own leases",
        Role::Operator => "does everything with tasks",
        Role::Admin => "creates and revokes tokens, too",
    }
}

fn token_row(key: usize, token: &Token, (caller, namespace): (&Caller, &str), now: Time) -> TokenRow {
    let is_live = token.is_live(now);
    let standing = match (is_live, token.revoked_at) {
        (true, _) => "valid",
        (false, Some(_)) => "revoked",
        (false, None) => "expired",
    };
    TokenRow {
        key,
        name: token.name.to_string(),
        role: token.role.as_str(),
        namespaces: namespaces_in_words(&token.namespaces),
        created: Instant::of(token.created_at, now),
        created_by: token.created_by.to_string(),
        expires: token.expires_at.map(|at| Instant::of(at, now)),
        standing,
        is_live,
        revoked: token.revoked_at.map(|at| Instant::of(at, now)),
        revoked_by: token.revoked_by.as_ref().map(ToString::to_string),
        is_own: is_live && caller.name.as_ref() == Some(&token.name),
        revoke: format!("/access/revoke?ns={}&name={}", encoded(namespace), encoded(token.name.as_str())),
    }
}

fn namespaces_in_words(namespaces: &NamespaceScope) -> String {
    let words = match namespaces {
        NamespaceScope::All => return "all".to_owned(),
        NamespaceScope::These(_) => namespaces.words(),
    };
    let (named, more) = words.split_at(words.len().min(NAMESPACES_NAMED));
    let named = named.join(", ");
    if more.is_empty() { named } else { format!("{named} and {} more", more.len()) }
}

/// `POST /access`. A form that is sent twice gets the same secret twice, for a short time.
pub(super) async fn create(asked: Asked) -> Answered {
    let form = Form::read(&asked.body.text)?;
    let request = form.said("request").ok_or_else(|| required("request"))?.to_owned();
    match create_by(&asked, &form, &request).await {
        Ok((secret, token)) => created(&asked, &secret, &token).await,
        // It may have been created, or will be: the same form must stay the same command.
        Err(problem)
            if matches!(problem.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT) =>
        {
            shown(&asked, (request, Some(problem)), Some(&form)).await
        }
        Err(problem) if problem.is_refusal() => {
            let next = asked.served.ledger.entropy().new_id();
            shown(&asked, (next, Some(problem)), Some(&form)).await
        }
        Err(problem) => Err(problem),
    }
}

async fn create_by(asked: &Asked, form: &Form, request: &str) -> Result<(TokenSecret, Token), Problem> {
    let request = RequestId::new(request)?;
    let making = body_of(asked, form)?;
    let entropy = asked.served.ledger.entropy();
    let parts = [&*by(asked, making.by.clone()), request.as_str(), &*making.name];
    let secret = asked.served.token_secrets.of(parts, entropy)?;
    let token = to_create(asked, making)?.with_hash(secret.hash()).await?;
    let now = asked.served.ledger.now().await?;
    if token.is_live(now) && now.since(token.created_at) <= SHOWN_AGAIN {
        return Ok((secret, token));
    }
    let words = "this form was sent before, and created the token; its secret was shown then, and is not shown again. If nobody has it, revoke the token and create another";
    Err(Refusal::new(Code::Exists, words).into())
}

/// What the form asks for, as the API takes it.
fn body_of(asked: &Asked, form: &Form) -> Result<TokenBody, Refusal> {
    let said = |name: &'static str| form.said(name).map(str::to_owned).ok_or_else(|| required(name));
    let namespaces = said("namespaces")?;
    let names = namespaces.split([' ', ',', '\n', '\t']).filter(|name| !name.is_empty());
    let by = match &asked.caller.name {
        Some(_) => None,
        None => Some(form.said("actor").ok_or_else(|| required("your name"))?.to_owned()),
    };
    Ok(TokenBody {
        name: said("name")?,
        role: said("role")?,
        namespaces: Some(names.map(str::to_owned).collect()),
        expires: form.said("expires").map(|text| DurationInput::Text(text.to_owned())),
        hash: None,
        by,
    })
}

/// The only page that has the secret.
async fn created(asked: &Asked, secret: &TokenSecret, token: &Token) -> Answered {
    let (namespace, now) = (asked.shown_namespace()?, asked.served.ledger.now().await?);
    let page = Created {
        layout: Layout::of(asked, Place::Access, &format!("Token {}", token.name), &namespace, now).await?,
        namespace: namespace.to_string(),
        name: token.name.to_string(),
        role: token.role.as_str(),
        namespaces: namespaces_in_words(&token.namespaces),
        expires: token.expires_at.map(|at| Instant::of(at, now)),
        secret: secret.reveal().to_owned(),
        is_first: asked.caller.name.is_none(),
    };
    Ok(respond(StatusCode::CREATED, &page))
}

/// `GET /access/revoke`: says what it will do.
pub(super) async fn revoke_form(asked: Asked) -> Answered {
    let name = asked.query.one("name")?.ok_or_else(|| required("name"))?;
    let token = named(&asked, name).await?;
    form_to_revoke(&asked, &token, None).await
}

async fn form_to_revoke(
    asked: &Asked,
    ListedToken { hash, token }: &ListedToken,
    refusal: Option<Refusal>,
) -> Result<Response<Body>, Problem> {
    let (namespace, now) = (asked.shown_namespace()?, asked.served.ledger.now().await?);
    let all = asked.served.tokens().await?.tokens;
    let status = if refusal.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let page = Revoke {
        layout: Layout::of(asked, Place::Access, &format!("Revoke {}", token.name), &namespace, now).await?,
        namespace: namespace.to_string(),
        name: token.name.to_string(),
        role: token.role.as_str(),
        hash: hash.to_string(),
        effects: effects(token, &asked.caller, &all.tokens, now),
        error: refusal.map(|refusal| refusal.message.to_string()),
    };
    Ok(respond(status, &page))
}

/// What revoking it will do; nothing if it no longer counts.
fn effects(token: &Token, caller: &Caller, all: &[ListedToken], now: Time) -> Vec<&'static str> {
    if !token.is_live(now) {
        return Vec::new();
    }
    let mut effects = Vec::new();
    if caller.name.as_ref() == Some(&token.name) {
        effects.push("This is your own token: you are signed out, and need another one to come back.");
    }
    let is_live_admin = |one: &Token| one.role == Role::Admin && one.is_live(now);
    if is_live_admin(token) && all.iter().filter(|listed| is_live_admin(&listed.token)).count() == 1 {
        effects.push(
            "It is the last valid token of an admin: nobody can create or revoke tokens here any more. The server does not open again \
             by that. Then only the command `tenure token create`, on the store itself, creates another.",
        );
    }
    effects.push("Its next request fails, streams that it has open end within seconds, and people who signed in with it are signed out.");
    if token.role.includes(Role::Worker) {
        effects.push("Workers that use it can no longer renew their leases. These lapse, and then recovery handles the tasks.");
    }
    effects.push("It stays in the list, and can't be made valid again. Its name is free for another token.");
    effects
}

/// `POST /access/revoke`. A second time it changes nothing.
pub(super) async fn revoke(asked: Asked) -> Answered {
    let form = Form::read(&asked.body.text)?;
    let name = form.said("name").ok_or_else(|| required("name"))?;
    let token = named(&asked, name).await?;
    let hash = read_hash(form.said("hash").ok_or_else(|| required("hash"))?)?;
    if !form.is_checked("confirm") {
        return form_to_revoke(&asked, &token, Some(required("confirm"))).await;
    }
    let namespace = asked.shown_namespace()?;
    let ledger = asked.served.ledger.acting_as(&by(&asked, None))?;
    ledger.revoke_token_with_hash(name, hash).await?;
    to(&format!("/access?ns={}&done={}", encoded(namespace.as_str()), encoded(name)))
}
