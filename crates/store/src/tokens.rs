//! The rules for adding and revoking a token, once for every store.
//!
//! A store locks its tokens, reads them, lets this module decide, and writes the result, all in one transaction.

use tenure_core::id::Actor;
use tenure_core::refusal::{Code, Refusal};
use tenure_core::time::Time;

use crate::access::{ListedToken, NewToken, Token, TokenHash, TokenToRevoke};

/// The key of `meta` under which the version of all tokens stands.
pub const VERSION_KEY: &str = "tokens";

/// A requested change of the tokens.
#[derive(Clone, Debug)]
pub enum TokenChange {
    Add(TokenHash, NewToken),
    Revoke {
        which: TokenToRevoke,
        by: Actor,
    },
    /// A token of another store, as it is there.
    Carry(ListedToken),
}

/// The stored tokens that a change concerns.
#[derive(Default)]
pub struct Known {
    /// The newest of that name. Older ones of it are revoked.
    pub namesake: Option<Token>,
    /// The one with that hash.
    pub same_hash: Option<Token>,
}

/// The result of a requested change.
pub struct Decided {
    /// The answer: the token after the change.
    pub token: Token,
    /// When the namesake is revoked, and by whom, if it is.
    pub revoke: Option<(Time, Option<Actor>)>,
    /// The row of the token, if it is added.
    pub add: Option<ListedToken>,
}

impl Decided {
    /// A repeat, answered as it was the first time.
    fn already(token: Token) -> Decided {
        Decided { token, revoke: None, add: None }
    }

    /// The next version. It is never a version that a reader may know already: a store that was restored from
    /// a backup and changed again gets another one, because the time is another.
    pub fn version(&self, before: u64, now: Time) -> u64 {
        match (&self.revoke, &self.add) {
            (None, None) => before,
            (Some(_), _) | (_, Some(_)) => {
                before.saturating_add(1).max(u64::try_from(now.as_micros()).unwrap_or(0))
            }
        }
    }
}

impl TokenChange {
    /// The name of the token that it is about.
    pub fn name(&self) -> &Actor {
        match self {
            TokenChange::Add(_, new) => &new.name,
            TokenChange::Revoke { which, .. } => &which.name,
            TokenChange::Carry(listed) => &listed.token.name,
        }
    }

    /// The hash of the token that the change adds, or that it must find under the name.
    pub fn hash(&self) -> Option<TokenHash> {
        match self {
            TokenChange::Add(hash, _) => Some(*hash),
            TokenChange::Revoke { which, .. } => which.hash,
            TokenChange::Carry(listed) => Some(listed.hash),
        }
    }

    pub fn decide(self, known: Known, now: Time) -> Result<Decided, Refusal> {
        match self {
            TokenChange::Add(hash, new) => add(hash, new, known, now),
            TokenChange::Revoke { which, by } => revoke(&which, by, known, now),
            TokenChange::Carry(listed) => carry(listed, known, now),
        }
    }
}

fn add(hash: TokenHash, new: NewToken, known: Known, now: Time) -> Result<Decided, Refusal> {
    new.namespaces.within_limits()?;
    let exists = |words: String| Err(Refusal::new(Code::Exists, words));
    match known.same_hash {
        // A repeat by a caller that got no answer.
        Some(token) if is_made_of(&token, &new) => return Ok(Decided::already(token)),
        Some(_) => return exists("a token with this secret already exists; use a new secret".to_owned()),
        None => {}
    }
    let revoke = freed_name(known.namesake, now)?;
    let token = Token {
        name: new.name,
        role: new.role,
        namespaces: new.namespaces,
        created_at: now,
        created_by: new.created_by,
        expires_at: new.lifetime.map(|lifetime| now + lifetime.span()),
        revoked_at: None,
        revoked_by: None,
    };
    let add = Some(ListedToken { hash, token: token.clone() });
    Ok(Decided { token, revoke, add })
}

/// When the namesake is revoked so that a token may have its name; refused while it is live.
fn freed_name(namesake: Option<Token>, now: Time) -> Result<Option<(Time, Option<Actor>)>, Refusal> {
    match namesake {
        Some(namesake) if namesake.is_live(now) => {
            let name = &namesake.name;
            let words = format!("a token named {name} already exists; revoke it first, or use another name");
            Err(Refusal::new(Code::Exists, words))
        }
        // An expired token frees its name at that time.
        Some(namesake) if namesake.revoked_at.is_none() => Ok(namesake.expires_at.map(|at| (at, None))),
        Some(_) | None => Ok(None),
    }
}

fn carry(listed: ListedToken, known: Known, now: Time) -> Result<Decided, Refusal> {
    listed.token.namespaces.within_limits()?;
    match known.same_hash {
        Some(token) if token == listed.token => return Ok(Decided::already(token)),
        Some(token) => {
            let words = format!(
                "a token with this secret is here, named {}, with other rights or another end",
                token.name
            );
            return Err(Refusal::new(Code::Exists, words));
        }
        None => {}
    }
    let revoke = freed_name(known.namesake, now)?;
    Ok(Decided { token: listed.token.clone(), revoke, add: Some(listed) })
}

fn is_made_of(token: &Token, new: &NewToken) -> bool {
    let lifetime = token.expires_at.map(|at| at.since(token.created_at));
    token.name == new.name
        && token.role == new.role
        && token.namespaces == new.namespaces
        && token.created_by == new.created_by
        && lifetime == new.lifetime.map(|lifetime| lifetime.span())
}

fn revoke(which: &TokenToRevoke, by: Actor, known: Known, now: Time) -> Result<Decided, Refusal> {
    let (name, Known { namesake, same_hash }) = (&which.name, known);
    // Of one name only the newest token can be valid, so no two tokens are equal in all fields.
    if which.hash.is_some() && namesake.is_some() && namesake != same_hash {
        let words = format!("the name {name} was given to another token since; look at that one first");
        return Err(Refusal::new(Code::Exists, words));
    }
    match namesake {
        None => Err(Refusal::new(Code::NotFound, format!("there is no token named {name}"))),
        Some(token) if token.revoked_at.is_some() => Ok(Decided::already(token)),
        Some(token) => {
            let revoke = Some((now, Some(by.clone())));
            let token = Token { revoked_at: Some(now), revoked_by: Some(by), ..token };
            Ok(Decided { token, revoke, add: None })
        }
    }
}
