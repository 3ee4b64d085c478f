//! Tokens: administrators create, list and revoke them. A secret is shown once, to its creator.

use axum::http::StatusCode;
use tenure::access::{ListedToken, NamespaceScope, Role, TokenHash};
use tenure::api::token::{NewToken, TokenBody, TokenName};
use tenure::core::id::Actor;
use tenure::core::refusal::{Code, Refusal};
use tenure::ledger::{CreateToken, DEFAULT_NAMESPACE};

use crate::body::parse;
use crate::problem::Problem;
use crate::route::{Answered, Asked, json};

/// `GET /v1/tokens`: the tokens whose namespaces the caller's token has, too.
pub(crate) async fn list(asked: Asked) -> Answered {
    let mut tokens = asked.served.ledger.store().tokens(None).await?.unwrap_or_default();
    tokens.tokens.retain(|listed| asked.caller.namespaces.covers(&listed.token.namespaces));
    Ok(json(StatusCode::OK, &tokens))
}

/// `POST /v1/tokens`.
pub(crate) async fn create(asked: Asked) -> Answered {
    let mut making: TokenBody = parse(&asked.body.text)?;
    let hash = making.hash.take();
    let new = to_create(&asked, making)?;
    let Some(hash) = hash else {
        let (secret, token) = new.await?;
        let token = NewToken { token: Some(secret.reveal().to_owned()), record: token };
        return Ok(json(StatusCode::CREATED, &token));
    };
    let token = new.with_hash(read_hash(&hash)?).await?;
    Ok(json(StatusCode::CREATED, &token))
}

/// The hash of a secret that a caller gives.
pub(crate) fn read_hash(text: &str) -> Result<TokenHash, Refusal> {
    let digits = || Refusal::invalid("hash", "the SHA-256 of the secret, as 64 hexadecimal digits");
    TokenHash::from_hex(text).ok_or_else(digits)
}

/// The token that a caller asks for, to be created. A caller can't give a token more namespaces than its own token has.
pub(crate) fn to_create(asked: &Asked, making: TokenBody) -> Result<CreateToken, Problem> {
    let names = making.namespaces.unwrap_or_else(|| vec![DEFAULT_NAMESPACE.to_owned()]);
    let namespaces = NamespaceScope::of_words(&names)?;
    if !asked.caller.namespaces.covers(&namespaces) {
        return Err(Problem::forbidden(
            "a token can't be bound to a namespace that your token is not bound to",
        ));
    }
    let ledger = asked.served.ledger.acting_as(&by(asked, making.by))?;
    let new = ledger.create_token(&making.name, Role::named(&making.role)?).in_namespaces(&names);
    Ok(match making.expires {
        Some(said) => new.lifetime(said.span("expires")?.into()),
        None => new,
    })
}

/// `DELETE /v1/tokens`: by the name in the query, or in the body.
pub(crate) async fn revoke(asked: Asked) -> Answered {
    let naming: TokenName = parse(&asked.body.text)?;
    let in_query = asked.query.one("name")?.map(str::to_owned);
    let name = in_query.or(naming.name).ok_or_else(|| Refusal::invalid("name", "is required"))?;
    named(&asked, &name).await?;
    let ledger = asked.served.ledger.acting_as(&by(&asked, naming.by))?;
    let token = match naming.hash {
        Some(hash) => ledger.revoke_token_with_hash(&name, read_hash(&hash)?).await?,
        None => ledger.revoke_token(&name).await?,
    };
    Ok(json(StatusCode::OK, &token))
}

/// The token of that name that would be revoked, if the caller may know of it. A freed name may have been given to another token since:
/// the newest token with the name is meant.
pub(crate) async fn named(asked: &Asked, name: &str) -> Result<ListedToken, Problem> {
    let mut tokens = asked.served.ledger.store().tokens(None).await?.unwrap_or_default().tokens;
    tokens.retain(|listed| listed.token.name.as_str() == name);
    let newest = tokens.pop().filter(|listed| asked.caller.namespaces.covers(&listed.token.namespaces));
    newest.ok_or_else(|| Refusal::new(Code::NotFound, format!("there is no token named {name}")).into())
}

/// The actor: the caller's token, or the actor that the body names if no token is needed.
pub(crate) fn by(asked: &Asked, said: Option<String>) -> String {
    let token = asked.caller.name.as_ref().map(|name| name.as_str().to_owned());
    token.or(said).unwrap_or_else(|| Actor::ANONYMOUS.to_owned())
}
