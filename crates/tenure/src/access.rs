//! Access tokens: who may do what in which namespaces. Servers check them; a store that is opened by its own URL
//! needs none.
//!
//! This module says what a token is and what it allows. Stores keep only the hash of a token. The reader of a token
//! checks whether it is live, by the store's time.

use std::collections::BTreeSet;
use std::fmt;

use tenure_core::chain::Hash;
use tenure_core::id::{Actor, Namespace};
use tenure_core::refusal::Refusal;
use tenure_core::time::{Span, Time};

use crate::entropy::Entropy;
use crate::error::Error;
use crate::wire::{Word, words};

/// What a token may be used for. Each may also do what those before it may.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// Looks at everything and changes nothing.
    Reader,
    /// Creates tasks, and uses the leases that were granted under its own name.
    Worker,
    /// Everything about tasks, whoever holds them.
    Operator,
    /// Tokens as well.
    Admin,
}

impl Role {
    /// Every role, the least first.
    pub const ALL: [Role; 4] = [Role::Reader, Role::Worker, Role::Operator, Role::Admin];

    /// The word that interfaces use.
    pub fn as_str(self) -> &'static str {
        self.word()
    }

    /// The role of that word.
    pub fn named(word: &str) -> Result<Role, Refusal> {
        let unknown = || Refusal::invalid("role", format_args!("one of {}", words::<Role>()));
        Role::of_word(word).ok_or_else(unknown)
    }

    /// Whether whoever has this role may do what needs that one.
    pub const fn includes(self, needed: Role) -> bool {
        match (self, needed) {
            (Role::Admin, Role::Admin | Role::Operator | Role::Worker | Role::Reader)
            | (Role::Operator, Role::Operator | Role::Worker | Role::Reader)
            | (Role::Worker, Role::Worker | Role::Reader)
            | (Role::Reader, Role::Reader) => true,
            (Role::Operator, Role::Admin)
            | (Role::Worker, Role::Admin | Role::Operator)
            | (Role::Reader, Role::Admin | Role::Operator | Role::Worker) => false,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The namespaces that a token is bound to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NamespaceScope {
    /// Every one, those that come later too.
    All,
    /// These and no other.
    These(BTreeSet<Namespace>),
}

impl NamespaceScope {
    /// How all of them are written. No namespace can be called that.
    pub const ALL: &'static str = "*";
    /// The most that a token may name.
    pub const NAMED_MAX: usize = 100;

    /// Whether that one is among them.
    pub fn contains(&self, namespace: &Namespace) -> bool {
        match self {
            NamespaceScope::All => true,
            NamespaceScope::These(these) => these.contains(namespace),
        }
    }

    /// Whether all of those are among them.
    pub fn covers(&self, others: &NamespaceScope) -> bool {
        match (self, others) {
            (NamespaceScope::All, NamespaceScope::All | NamespaceScope::These(_)) => true,
            (NamespaceScope::These(_), NamespaceScope::All) => false,
            (NamespaceScope::These(these), NamespaceScope::These(others)) => others.is_subset(these),
        }
    }

    /// Reads how they are written: their names, or `*` alone.
    pub fn of_words<W: AsRef<str>>(words: impl IntoIterator<Item = W>) -> Result<NamespaceScope, Refusal> {
        let words: Vec<W> = words.into_iter().collect();
        if words.iter().any(|word| word.as_ref() == NamespaceScope::ALL) {
            return if words.len() == 1 {
                Ok(NamespaceScope::All)
            } else {
                Err(NamespaceScope::out_of_limits())
            };
        }
        let these = words.iter().map(|word| Namespace::named("namespaces", word.as_ref()));
        let rooms = NamespaceScope::These(these.collect::<Result<_, Refusal>>()?);
        rooms.within_limits().map(|()| rooms)
    }

    /// How they are written.
    pub fn words(&self) -> Vec<&str> {
        match self {
            NamespaceScope::All => vec![NamespaceScope::ALL],
            NamespaceScope::These(these) => these.iter().map(Namespace::as_str).collect(),
        }
    }

    /// A token that is bound to no namespace is a mistake, and one that lists very many is read with every look.
    pub(crate) fn within_limits(&self) -> Result<(), Refusal> {
        let count = match self {
            NamespaceScope::All => return Ok(()),
            NamespaceScope::These(these) => these.len(),
        };
        match count {
            1..=NamespaceScope::NAMED_MAX => Ok(()),
            _ => Err(NamespaceScope::out_of_limits()),
        }
    }

    fn out_of_limits() -> Refusal {
        Refusal::invalid("namespaces", "1 to 100 names, or `*` alone for all namespaces")
    }
}

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

/// A token as it is kept. Whoever shows its secret acts under its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    /// The actor of what is done with it.
    pub name: Actor,
    /// What it may be used for.
    pub role: Role,
    /// Where.
    pub rooms: NamespaceScope,
    /// When it was made, by the store's clock.
    pub created_at: Time,
    /// By whom.
    pub created_by: Actor,
    /// From when on it is not live any more; none: it stays.
    pub expires_at: Option<Time>,
    /// When it was revoked; one that had expired counts as revoked then, once its name was given to another.
    pub revoked_at: Option<Time>,
    /// By whom; none where its name was given to another.
    pub revoked_by: Option<Actor>,
}

impl Token {
    /// Whether it counts at that time, which is to be the store's.
    pub fn is_live(&self, now: Time) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|expires_at| now < expires_at)
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
    pub rooms: NamespaceScope,
    /// How long it is live, from when the store makes it; none: until it is revoked.
    pub lifetime: Option<Lifetime>,
    /// Who makes it.
    pub created_by: Actor,
}

/// All tokens of a store, those that are not live any more too: somebody acted under their names.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tokens {
    /// Another one after each change, also after a backup was restored and changed again; 0 if there never was a token.
    pub version: u64,
    /// Each with the hash of its secret, in the order in which they were made.
    pub tokens: Vec<(TokenHash, Token)>,
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

/// The SHA-256 of a secret. Nobody finds the secret from it, since there are 2^256 to try; so it needs no salt, and a slow
/// hash would only cost servers time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TokenHash(pub(crate) Hash);

impl TokenHash {
    /// Of what somebody presents, whatever it is: what is no secret of ours has a hash that no token has. Looking that up
    /// takes a time that tells nothing of the secrets.
    pub fn of_presented(text: &str) -> TokenHash {
        TokenHash(Hash::of(text.as_bytes()))
    }

    /// Reads 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<TokenHash> {
        Hash::from_hex(text).map(TokenHash)
    }
}

/// In hexadecimal digits.
impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::{SeededEntropy, SystemEntropy};

    #[test]
    fn a_role_includes_those_before_it_and_no_other() {
        for (at, role) in Role::ALL.into_iter().enumerate() {
            for (needs, needed) in Role::ALL.into_iter().enumerate() {
                assert_eq!(role.includes(needed), needs <= at, "{role} for what needs {needed}");
            }
            assert_eq!(Role::named(role.as_str()), Ok(role));
        }
        let refusal = Role::named("root").expect_err("no role");
        assert_eq!(refusal.message.as_ref(), "role: one of reader, worker, operator, admin");
    }

    #[test]
    fn namespaces_are_named_or_all_of_them() {
        let named = |name| Namespace::new(name).expect("a name");
        assert_eq!(NamespaceScope::of_words(["*"]), Ok(NamespaceScope::All));
        assert!(NamespaceScope::All.contains(&named("anywhere")));
        let two = NamespaceScope::of_words(["b", "a", "b"]).expect("two names");
        assert_eq!(two.words(), ["a", "b"]);
        assert!(two.contains(&named("a")) && !two.contains(&named("c")));
        let many: Vec<String> = (0..=NamespaceScope::NAMED_MAX).map(|at| format!("n{at}")).collect();
        let fields = [
            NamespaceScope::of_words(["*", "a"]),
            NamespaceScope::of_words::<&str>([]),
            NamespaceScope::of_words(many),
        ]
        .map(|rooms| rooms.expect_err("no such rooms").field);
        assert_eq!(fields, [Some("namespaces"); 3]);
    }

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

    #[test]
    fn a_token_is_live_until_the_instant_at_which_it_expires_or_is_revoked() {
        let at = |secs: i64| Time::from_micros(secs * 1_000_000);
        let actor = |name| Actor::new(name).expect("a name");
        let token = Token {
            name: actor("ci"),
            role: Role::Worker,
            rooms: NamespaceScope::All,
            created_at: at(0),
            created_by: actor("alice"),
            expires_at: Some(at(10)),
            revoked_at: None,
            revoked_by: None,
        };
        assert!(token.is_live(at(9)) && !token.is_live(at(10)));
        assert!(Token { expires_at: None, ..token.clone() }.is_live(Time::MAX));
        // Also for a clock that is behind: who revoked it has said so.
        assert!(!Token { revoked_at: Some(at(5)), ..token }.is_live(at(4)));
    }
}
