//! Access tokens: who may do what in which namespaces. Servers check them; a store that is opened by its own URL
//! needs none.
//!
//! Here are the limits of a new token and its secret; what a token is and allows is in [`tenure_api::token`]. Stores keep only the hash
//! of a token. The reader of a token
//! checks whether it is live, by the store's time.

use std::fmt;

use tenure_core::chain::Hash;
use tenure_core::id::Actor;
use tenure_core::refusal::Refusal;
use tenure_core::time::Span;

use crate::entropy::Entropy;
use crate::error::Error;

pub use tenure_api::token::{ListedToken, NamespaceScope, Role, Token, TokenHash, Tokens};

/// How long a token is live.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lifetime(Span);

impl Lifetime {
    /// Checks the limits.
    pub fn new(span: Span) -> Result<Lifetime, Refusal> {
        if (Span::from_secs(1)..=Span::from_days(3_650)).contains(&span) {
            Ok(Lifetime(span))
        } else {
            Err(Refusal::invalid("expires", "1 s to 3650 days"))
        }
    }

    /// The length.
    pub fn span(self) -> Span {
        self.0
    }
}

/// A token to create.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewToken {
    /// Its name, which no live token may have.
    pub name: Actor,
    /// Its role.
    pub role: Role,
    /// Its namespaces.
    pub namespaces: NamespaceScope,
    /// How long it is live, from its creation; none: until it is revoked.
    pub lifetime: Option<Lifetime>,
    /// Who creates it.
    pub created_by: Actor,
}

/// Which token to revoke.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenToRevoke {
    /// Its name: the newest token with it is meant.
    pub name: Actor,
    /// The hash of its secret, if the caller knows which token it saw: a name that was freed may have been given to another.
    pub hash: Option<TokenHash>,
}

impl From<Actor> for TokenToRevoke {
    fn from(name: Actor) -> TokenToRevoke {
        TokenToRevoke { name, hash: None }
    }
}

/// The secret of a token: 256 random bits, as text. It can be shown on request, but never appears in debug
/// output.
pub struct TokenSecret(String);

impl TokenSecret {
    /// A new secret that nobody can guess.
    pub fn draw(entropy: &dyn Entropy) -> Result<TokenSecret, Error> {
        Ok(TokenSecret::of_bits(entropy.secret_bits()?))
    }

    /// The secret of bits that nobody can guess.
    #[doc(hidden)]
    pub fn of_bits(bits: [u8; 32]) -> TokenSecret {
        // Hexadecimal digits of a hash are those of any 32 bytes.
        TokenSecret(format!("tenure_{}", Hash(bits)))
    }

    /// The text, to show once to its creator.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The hash, which is stored.
    pub fn hash(&self) -> TokenHash {
        TokenHash::of_presented(&self.0)
    }
}

/// A secret must not appear in a log or a message by accident.
impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::{SeededEntropy, SystemEntropy};

    #[test]
    fn a_secret_is_in_no_words_about_it_and_no_two_are_the_same() {
        let drawn = || TokenSecret::draw(&SystemEntropy).expect("the machine has chance");
        let (one, other) = (drawn(), drawn());
        assert_ne!(one.hash(), other.hash());
        let digits = one.reveal().strip_prefix("tenure_").expect("how they begin");
        assert!(digits.len() == 64 && digits.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')), "{digits}");
        assert_eq!(format!("{one:?}"), "Secret(…)");
        assert_eq!(TokenHash::of_presented(one.reveal()), one.hash());
        assert_eq!(TokenHash::from_hex(&one.hash().to_string()), Some(one.hash()));
        let seeded = |seed| TokenSecret::draw(&SeededEntropy::new(seed)).expect("drawn").hash();
        assert!(seeded(7) == seeded(7) && seeded(7) != seeded(8), "tests can freeze it");
    }
}
