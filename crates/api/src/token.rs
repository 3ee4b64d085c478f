//! Access tokens: who may do what in which namespaces. Nothing of a secret is here but its hash.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tenure_core::chain::Hash;
use tenure_core::id::{Actor, Namespace};
use tenure_core::limit::InvalidField;
use tenure_core::refusal::Refusal;
use tenure_core::time::Time;

use crate::duration::DurationInput;
use crate::wire::{self, Wire, Word, parse_word};
use crate::words_on_wire;

#[cfg(feature = "openapi")]
pub use schemas::RoleWord;

/// The role of a token. Each role includes the roles before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// Reads everything and changes nothing.
    Reader,
    /// Creates tasks, and uses the leases that were granted under its own name.
    Worker,
    /// Everything about tasks, also about those that others hold.
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
        parse_word("role", word)
    }

    /// Whether this role may do what needs that one.
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
    const NAMED_MAX: usize = 100;

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
        let scope = NamespaceScope::These(these.collect::<Result<_, InvalidField>>()?);
        scope.within_limits().map(|()| scope)
    }

    /// Their texts.
    pub fn words(&self) -> Vec<&str> {
        match self {
            NamespaceScope::All => vec![NamespaceScope::ALL],
            NamespaceScope::These(these) => these.iter().map(Namespace::as_str).collect(),
        }
    }

    /// A token without namespaces is a mistake, and a token with very many slows every read of the tokens.
    pub fn within_limits(&self) -> Result<(), Refusal> {
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
        Refusal::invalid(
            "namespaces",
            format_args!("1 to {} names, or `*` alone for all namespaces", NamespaceScope::NAMED_MAX),
        )
    }
}

/// A token as it is stored. A caller that presents its secret acts under its name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = OneToken))]
pub struct Token {
    /// The name of the token: the actor of its commands.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub name: Actor,
    /// The role.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = RoleWord))]
    pub role: Role,
    /// The namespaces.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub namespaces: NamespaceScope,
    /// When it was created.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Time,
    /// Who created it.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub created_by: Actor,
    /// When it expires; null: it is valid until it is revoked.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime, required))]
    pub expires_at: Option<Time>,
    /// When it was revoked; null: it was not. An expired token counts as revoked once its name is given to another.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime, required))]
    pub revoked_at: Option<Time>,
    /// Who revoked it; null where its name was given to another.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub revoked_by: Option<Actor>,
}

impl Token {
    /// Whether it is valid at that time, which must be the store's.
    pub fn is_live(&self, now: Time) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|expires_at| now < expires_at)
    }
}

/// The SHA-256 of a secret. The secret can't be found from it, because there are 2^256 to try. So it needs no
/// salt, and a slow hash would only cost servers time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TokenHash(pub Hash);

impl TokenHash {
    /// Of what somebody presents, whatever it is. A text that is no secret has a hash that no token has; looking that up
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

/// A token that was just created. Its schema is below.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct NewToken {
    /// The secret, to be sent as `Authorization: Bearer …`. It is shown only in this response. Missing if
    /// the client made it itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The token.
    #[serde(flatten)]
    pub record: Token,
}

/// A token in a list. Its schema is below.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ListedToken {
    /// The SHA-256 of its secret, in hexadecimal digits.
    #[serde(with = "wire")]
    pub hash: TokenHash,
    /// The token.
    #[serde(flatten)]
    pub token: Token,
}

/// All tokens of a store. Those that are no longer valid stay, because somebody acted under their names.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = TokenList))]
pub struct Tokens {
    /// Counts the changes of them: the same number, the same tokens. 0 if there never was a token.
    pub version: u64,
    /// The tokens in the order of their creation.
    pub tokens: Vec<ListedToken>,
}

/// A token to create.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenBody {
    /// The name of the token: the actor of its commands.
    pub name: String,
    /// `reader`, `worker`, `operator` or `admin`.
    #[cfg_attr(feature = "openapi", schema(value_type = RoleWord))]
    pub role: String,
    /// Its namespaces, or `*` alone for all. Default: `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<Vec<String>>,
    /// How long it is valid, such as `90d`. Default: until it is revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<DurationInput>,
    /// The SHA-256 of a secret that the client made itself, in hexadecimal digits. The response then
    /// contains no secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Who creates it, while no token exists.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// A token by its name.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenName {
    /// The name; it can also be given in the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The SHA-256 of its secret, as the list of tokens has it: then it is refused if the name was given to another token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Who revokes it, while no token exists.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

words_on_wire! {
    Role {
        Role::Reader => "reader", Role::Worker => "worker", Role::Operator => "operator", Role::Admin => "admin",
    }
}

impl Wire for TokenHash {
    fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.put(serializer)
    }
    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Hash::take(deserializer).map(TokenHash)
    }
}

impl Wire for NamespaceScope {
    fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.words())
    }
    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        NamespaceScope::of_words(Vec::<String>::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Schemas of what is flattened into one object.
#[cfg(feature = "openapi")]
mod schemas {
    use serde_json::{Value, json};
    use utoipa::openapi::RefOr;
    use utoipa::openapi::schema::Schema;
    use utoipa::{PartialSchema, ToSchema};

    use super::{ListedToken, NewToken, Role, Token};
    use crate::schema::{all, word_schemas};

    word_schemas! {
        /// The role of a token.
        RoleWord shown as "Role": all::<Role>();
    }

    /// A token with one field more.
    fn token_with(description: &str, name: &str, field: Value, is_required: bool) -> RefOr<Schema> {
        changed(Token::schema(), |schema| {
            schema["description"] = description.into();
            schema["properties"][name] = field;
            if let Some(required) = schema["required"].as_array_mut().filter(|_| is_required) {
                required.insert(0, name.into());
            }
        })
    }

    fn changed(schema: RefOr<Schema>, change: impl FnOnce(&mut Value)) -> RefOr<Schema> {
        let unchanged = |error| panic!("a schema is JSON: {error}");
        let mut json = serde_json::to_value(schema).unwrap_or_else(unchanged);
        change(&mut json);
        serde_json::from_value(json).unwrap_or_else(|error| panic!("a schema stays one: {error}"))
    }

    impl PartialSchema for ListedToken {
        fn schema() -> RefOr<Schema> {
            let hash = json!({ "type": "string", "description": "The SHA-256 of its secret, in hexadecimal digits." });
            token_with("A token in a list.", "hash", hash, true)
        }
    }

    impl ToSchema for ListedToken {
        fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
            Token::schemas(schemas);
        }
    }

    impl PartialSchema for NewToken {
        fn schema() -> RefOr<Schema> {
            let secret = "The secret, to be sent as `Authorization: Bearer …`. It is shown only in this response. Missing if the \
                client made it itself.";
            token_with(
                "A token that was just created.",
                "token",
                json!({ "type": ["string", "null"], "description": secret }),
                false,
            )
        }
    }

    impl ToSchema for NewToken {
        fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
            Token::schemas(schemas);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        .map(|namespaces| namespaces.expect_err("no such namespaces").field);
        assert_eq!(fields, [Some("namespaces"); 3]);
    }

    #[test]
    fn a_token_is_live_until_the_instant_at_which_it_expires_or_is_revoked() {
        let at = |secs: i64| Time::from_micros(secs * 1_000_000);
        let actor = |name| Actor::new(name).expect("a name");
        let token = Token {
            name: actor("ci"),
            role: Role::Worker,
            namespaces: NamespaceScope::All,
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
