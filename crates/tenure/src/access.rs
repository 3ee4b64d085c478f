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

/// The role of a token. Each role includes the roles before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// Reads everything and changes nothing.
    Reader,
    /// Creates tasks, and uses the leases that were granted under its own name.
    Worker,
    /// Every command on every task.
    Operator,
    /// Manages tokens, too.
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

    /// Whether this role includes that one.
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
    /// All namespaces, including future ones.
    All,
    /// Only these.
    These(BTreeSet<Namespace>),
}

impl NamespaceScope {
    /// The text for all namespaces. It is not a valid namespace.
    pub const ALL: &'static str = "*";
    /// The maximum number of namespaces of a token.
    pub const NAMED_MAX: usize = 100;

    /// Whether it includes that namespace.
    pub fn contains(&self, namespace: &Namespace) -> bool {
        match self {
            NamespaceScope::All => true,
            NamespaceScope::These(these) => these.contains(namespace),
        }
    }

    /// Whether it includes all of those namespaces.
    pub fn covers(&self, others: &NamespaceScope) -> bool {
        match (self, others) {
            (NamespaceScope::All, NamespaceScope::All | NamespaceScope::These(_)) => true,
            (NamespaceScope::These(_), NamespaceScope::All) => false,
            (NamespaceScope::These(these), NamespaceScope::These(others)) => others.is_subset(these),
        }
    }

    /// Reads them from text: their names, or `*` alone.
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

    /// Their texts.
    pub fn words(&self) -> Vec<&str> {
        match self {
            NamespaceScope::All => vec![NamespaceScope::ALL],
            NamespaceScope::These(these) => these.iter().map(Namespace::as_str).collect(),
        }
    }

    /// A token without namespaces is a mistake, and a token with very many slows every read of the tokens.
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

/// A stored token. A caller with its secret acts under its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    /// Its name, the actor of its commands.
    pub name: Actor,
    /// Its role.
    pub role: Role,
    /// Its namespaces.
    pub rooms: NamespaceScope,
    /// When it was created, by the store's clock.
    pub created_at: Time,
    /// By whom.
    pub created_by: Actor,
    /// When it expires; none: it does not expire.
    pub expires_at: Option<Time>,
    /// When it was revoked. An expired token counts as revoked when its name was given to another one.
    pub revoked_at: Option<Time>,
    /// Who revoked it; none if its name was given to another token.
    pub revoked_by: Option<Actor>,
}

impl Token {
    /// Whether it is live at that time, which must be the store's.
    pub fn is_live(&self, now: Time) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|expires_at| now < expires_at)
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
    pub rooms: NamespaceScope,
    /// How long it is live, from its creation; none: until it is revoked.
    pub lifetime: Option<Lifetime>,
    /// Who creates it.
    pub created_by: Actor,
}

/// All tokens of a store, including those that are not live any more, because actors used their names.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tokens {
    /// It differs after each change, even after a backup was restored and changed again; 0 if there never was
    /// a token.
    pub version: u64,
    /// Each with the hash of its secret, in the order of creation.
    pub tokens: Vec<(TokenHash, Token)>,
}

/// The secret of a token: 256 random bits, as text. It can be shown on request, but never appears in debug
/// output.
pub struct Secret(String);

impl Secret {
    /// A new secret that nobody can guess.
    pub fn draw(entropy: &dyn Entropy) -> Result<Secret, Error> {
        // Hexadecimal digits of a hash are those of any 32 bytes.
        Ok(Secret(format!("tenure_{}", Hash(entropy.secret_bits()?))))
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
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The SHA-256 of a secret. The secret can't be found from it, because there are 2^256 to try. So it needs no
/// salt, and a slow hash would only cost servers time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TokenHash(pub(crate) Hash);

impl TokenHash {
    /// The hash of a presented text. A text that is not one of our secrets has a hash that no token has. The
    /// time of the lookup reveals nothing about the secrets.
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
