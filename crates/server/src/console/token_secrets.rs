//! The secrets of tokens that people create. Each follows from the form that asked for it, so that a form that is sent twice is one
//! command: a browser shows only the second answer, and a secret drawn for the first one would be lost.

use std::sync::OnceLock;

use tenure::Error;
use tenure::access::TokenSecret;
use tenure::core::chain::Hash;
use tenure::entropy::Entropy;

/// What the secrets of a server's tokens are made from: a key that is drawn when it is first needed, and kept in memory only.
#[derive(Default)]
pub(crate) struct TokenSecrets(OnceLock<[u8; 32]>);

impl TokenSecrets {
    /// The secret for what a form asks for. Who does not know the key learns nothing from the parts.
    pub(super) fn of(&self, parts: [&str; 3], entropy: &dyn Entropy) -> Result<TokenSecret, Error> {
        let key = match self.0.get() {
            Some(key) => key,
            None => {
                let drawn = entropy.secret_bits()?;
                self.0.get_or_init(|| drawn)
            }
        };
        // Names and request ids have no spaces. All that is hashed with the key has one length, so no secret is the beginning of
        // another's making.
        let form = Hash::of(parts.join(" ").as_bytes());
        Ok(TokenSecret::of_bits(Hash::of(&[*key, form.0].concat()).0))
    }
}

#[cfg(test)]
mod tests {
    use tenure::entropy::SystemEntropy;

    use super::*;

    #[test]
    fn a_form_that_is_sent_twice_has_one_secret_and_every_other_form_another() {
        let (one, other) = (TokenSecrets::default(), TokenSecrets::default());
        let hash = |secrets: &TokenSecrets, parts| secrets.of(parts, &SystemEntropy).expect("drawn").hash();
        let form = ["root", "r-1", "ci"];
        assert_eq!(hash(&one, form), hash(&one, form));
        for another in [["root", "r-2", "ci"], ["root", "r-1", "cd"], ["alice", "r-1", "ci"]] {
            assert_ne!(hash(&one, form), hash(&one, another), "{another:?}");
        }
        assert_ne!(hash(&one, form), hash(&other, form), "each server has its own key");
    }
}
