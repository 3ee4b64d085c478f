//! Calls that concern the whole store and not one namespace: tokens, and the list of namespaces.

use std::time::Duration;

use tenure_core::id::{Actor, Namespace};
use tenure_core::refusal::Refusal;
use tenure_store::BoxFuture;
use tenure_store::Error;
use tenure_store::access::{
    Lifetime, NamespaceScope, NewToken, Role, Token, TokenHash, TokenSecret, TokenToRevoke,
};

use crate::ledger::Ledger;

impl Ledger {
    /// Creates a token with that name. By default it is bound to this ledger's namespace, and live until it
    /// is revoked. The answer contains the secret, which is not stored: it can't be shown again.
    pub fn create_token(&self, name: &str, role: Role) -> CreateToken {
        let new = Actor::named("name", name).map_err(Refusal::from).map(|name| NewToken {
            name,
            role,
            namespaces: NamespaceScope::These([self.namespace.clone()].into()),
            lifetime: None,
            created_by: self.own_actor(),
        });
        CreateToken { ledger: self.clone(), new }
    }

    /// All tokens of the store in the order of their creation, including those that are not live any more.
    pub async fn tokens(&self) -> Result<Vec<Token>, Error> {
        let all = self.store.tokens(None).await?.unwrap_or_default();
        Ok(all.tokens.into_iter().map(|listed| listed.token).collect())
    }

    /// Revokes the token with that name, from now on. A token that is already revoked is returned unchanged.
    pub async fn revoke_token(&self, name: &str) -> Result<Token, Error> {
        self.store.revoke_token(Actor::named("name", name)?.into(), self.own_actor()).await
    }

    /// The same, only if the hash of its secret is this one. It is refused with `exists` if the name was given to another token
    /// since: so a person who decided about one token never revokes another.
    pub async fn revoke_token_with_hash(&self, name: &str, hash: TokenHash) -> Result<Token, Error> {
        let which = TokenToRevoke { name: Actor::named("name", name)?, hash: Some(hash) };
        self.store.revoke_token(which, self.own_actor()).await
    }

    /// Every namespace of the store that has a task.
    pub async fn namespaces(&self) -> Result<Vec<Namespace>, Error> {
        self.store.namespaces().await
    }
}

/// A token that is created when it is awaited. Invalid arguments are reported then, too.
#[must_use = "a token is created only when it is awaited"]
pub struct CreateToken {
    ledger: Ledger,
    new: Result<NewToken, Refusal>,
}

impl CreateToken {
    /// Bound to these namespaces and no other.
    pub fn in_namespaces<N: AsRef<str>>(self, names: impl IntoIterator<Item = N>) -> CreateToken {
        let namespaces = NamespaceScope::of_words(names);
        self.change(|new| Ok(NewToken { namespaces: namespaces?, ..new }))
    }

    /// Live for that long.
    pub fn lifetime(self, lifetime: Duration) -> CreateToken {
        self.change(|new| Ok(NewToken { lifetime: Some(Lifetime::new(lifetime.into())?), ..new }))
    }

    /// Creates it for a secret made elsewhere, of which only this hash is given.
    pub async fn with_hash(self, hash: TokenHash) -> Result<Token, Error> {
        self.ledger.store.add_token(hash, self.new?).await
    }

    fn change(self, change: impl FnOnce(NewToken) -> Result<NewToken, Refusal>) -> CreateToken {
        CreateToken { new: self.new.and_then(change), ..self }
    }
}

impl IntoFuture for CreateToken {
    type Output = Result<(TokenSecret, Token), Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let new = self.new?;
            let secret = TokenSecret::draw(self.ledger.entropy())?;
            let token = self.ledger.store.add_token(secret.hash(), new).await?;
            Ok((secret, token))
        })
    }
}
