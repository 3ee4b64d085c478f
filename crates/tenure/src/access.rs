//! Access tokens: who may do what in which namespaces. Servers ask for them; a store opened by its own URL asks nobody.
//!
//! Here is what a token is and what follows from it. Stores keep tokens, by their hash alone; whoever asks for one judges
//! whether it is live, by the store's time.

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

/// A token that is to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewToken {
    /// Whose it is: no live token has that name yet.
    pub name: Actor,
    /// What it may be used for.
    pub role: Role,
    /// Where.
    pub namespaces: NamespaceScope,
    /// How long it is live, from when the store makes it; none: until it is revoked.
    pub lifetime: Option<Lifetime>,
    /// Who makes it.
    pub created_by: Actor,
}

/// What proves that somebody may use a token: 256 random bits, as text. It can be shown, and nothing shows it by itself.
pub struct Secret(String);

impl Secret {
    /// A new one, that nobody can guess.
    pub fn draw(entropy: &dyn Entropy) -> Result<Secret, Error> {
        // Hexadecimal digits of a hash are those of any 32 bytes.
        Ok(Secret(format!("tenure_{}", Hash(entropy.secret_bits()?))))
    }

    /// The text itself: to be shown once, to whoever it was made for.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn hash(&self) -> TokenHash {
        TokenHash::of_presented(&self.0)
    }
}

/// A secret must not get into a log or a message by accident.
impl fmt::Debug for Secret {
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
        let drawn = || Secret::draw(&SystemEntropy).expect("the machine has chance");
        let (one, other) = (drawn(), drawn());
        assert_ne!(one.hash(), other.hash());
        let digits = one.reveal().strip_prefix("tenure_").expect("how they begin");
        assert!(digits.len() == 64 && digits.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')), "{digits}");
        assert_eq!(format!("{one:?}"), "Secret(…)");
        assert_eq!(TokenHash::of_presented(one.reveal()), one.hash());
        assert_eq!(TokenHash::from_hex(&one.hash().to_string()), Some(one.hash()));
        let seeded = |seed| Secret::draw(&SeededEntropy::new(seed)).expect("drawn").hash();
        assert!(seeded(7) == seeded(7) && seeded(7) != seeded(8), "tests can freeze it");
    }
}
