//! Tokens as surfaces print them, and as a remote store reads them back.

use serde::{Deserialize, Serialize};
use tenure_core::id::Actor;
use tenure_core::time::Time;

use super::{Of, text};
use crate::access::{NamespaceScope, Role, Secret, Token, TokenHash, Tokens};
use crate::wire::{Held, Wired};

/// A token, without its secret.
#[derive(Serialize)]
pub struct TokenRecord<'a> {
    name: Of<'a, Actor>,
    role: Held<Role>,
    namespaces: Of<'a, NamespaceScope>,
    created_at: Of<'a, Time>,
    created_by: Of<'a, Actor>,
    expires_at: Of<'a, Option<Time>>,
    revoked_at: Of<'a, Option<Time>>,
    revoked_by: Of<'a, Option<Actor>>,
}

impl<'a> TokenRecord<'a> {
    /// The token.
    pub fn of(token: &'a Token) -> TokenRecord<'a> {
        TokenRecord {
            name: Wired(&token.name),
            role: Held(token.role),
            namespaces: Wired(&token.rooms),
            created_at: Wired(&token.created_at),
            created_by: Wired(&token.created_by),
            expires_at: Wired(&token.expires_at),
            revoked_at: Wired(&token.revoked_at),
            revoked_by: Wired(&token.revoked_by),
        }
    }
}

/// A new token with its secret, which is shown only this once.
#[derive(Serialize)]
pub struct NewTokenRecord<'a> {
    token: &'a str,
    #[serde(flatten)]
    record: TokenRecord<'a>,
}

impl<'a> NewTokenRecord<'a> {
    /// The token and its secret.
    pub fn of(secret: &'a Secret, token: &'a Token) -> NewTokenRecord<'a> {
        NewTokenRecord { token: secret.reveal(), record: TokenRecord::of(token) }
    }
}

/// All tokens of a store, and their version.
#[derive(Serialize)]
pub struct TokensRecord<'a> {
    version: u64,
    tokens: Vec<HashedRecord<'a>>,
}

#[derive(Serialize)]
struct HashedRecord<'a> {
    #[serde(serialize_with = "text")]
    hash: TokenHash,
    #[serde(flatten)]
    record: TokenRecord<'a>,
}

impl<'a> TokensRecord<'a> {
    /// The tokens.
    pub fn of(tokens: &'a Tokens) -> TokensRecord<'a> {
        let hashed = |(hash, token): &'a _| HashedRecord { hash: *hash, record: TokenRecord::of(token) };
        TokensRecord { version: tokens.version, tokens: tokens.tokens.iter().map(hashed).collect() }
    }
}

/// Reads what [`TokenRecord`] writes.
pub fn read_token(text: &str) -> Result<Token, String> {
    serde_json::from_str::<ReadToken>(text).map(ReadToken::token).map_err(|error| error.to_string())
}

/// Reads what [`TokensRecord`] writes.
pub fn read_tokens(text: &str) -> Result<Tokens, String> {
    let read: ReadTokens = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let hashed = |read: ReadHashed| {
        let hash = TokenHash::from_hex(&read.hash).ok_or_else(|| format!("{}: no hash", read.hash))?;
        Ok((hash, read.record.token()))
    };
    Ok(Tokens {
        version: read.version,
        tokens: read.tokens.into_iter().map(hashed).collect::<Result<_, String>>()?,
    })
}

#[derive(Deserialize)]
struct ReadTokens {
    version: u64,
    tokens: Vec<ReadHashed>,
}

#[derive(Deserialize)]
struct ReadHashed {
    hash: String,
    #[serde(flatten)]
    record: ReadToken,
}

#[derive(Deserialize)]
struct ReadToken {
    name: Wired<Actor>,
    role: Wired<Role>,
    namespaces: Wired<NamespaceScope>,
    created_at: Wired<Time>,
    created_by: Wired<Actor>,
    expires_at: Wired<Option<Time>>,
    revoked_at: Wired<Option<Time>>,
    revoked_by: Wired<Option<Actor>>,
}

impl ReadToken {
    fn token(self) -> Token {
        Token {
            name: self.name.0,
            role: self.role.0,
            rooms: self.namespaces.0,
            created_at: self.created_at.0,
            created_by: self.created_by.0,
            expires_at: self.expires_at.0,
            revoked_at: self.revoked_at.0,
            revoked_by: self.revoked_by.0,
        }
    }
}
