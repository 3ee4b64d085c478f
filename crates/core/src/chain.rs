//! The hash chain, which shows when somebody changed the history: one chain of events for each task, and one Merkle
//! root over the heads of all chains.

use std::fmt;

use sha2::{Digest, Sha256};

/// The version of the format that is hashed. It is part of every hash.
pub const FORMAT: u8 = 1;

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What the first event of a task is chained to.
    pub const START: Hash = Hash([0; 32]);

    /// The plain hash of some bytes.
    pub fn of(bytes: &[u8]) -> Hash {
        Hash(Sha256::digest(bytes).into())
    }

    /// Reads 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Hash> {
        let mut bytes = [0; 32];
        let length = base16ct::mixed::decode(text, &mut bytes).ok()?.len();
        (length == bytes.len()).then_some(Hash(bytes))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(base16ct::lower::encode_str(&self.0, &mut [0; 64])?)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// Collects the canonical bytes of one thing and hashes them. Each piece goes in behind its length, so that no two
/// different sequences of pieces have the same bytes.
#[derive(Default)]
pub struct Canonical(Vec<u8>);

impl Canonical {
    /// Nothing yet.
    pub fn new() -> Canonical {
        Canonical(Vec::with_capacity(256))
    }

    /// Adds a piece.
    pub fn piece(&mut self, bytes: &[u8]) -> &mut Canonical {
        self.0.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    /// Adds a number.
    pub fn number(&mut self, number: i64) -> &mut Canonical {
        self.piece(&number.to_be_bytes())
    }

    /// The hash of the bytes alone.
    pub fn hash(&self) -> Hash {
        Hash::of(&self.0)
    }

    /// The hash that chains the bytes to what came before.
    pub fn link(&self, previous: Hash) -> Hash {
        let mut hasher = Sha256::new();
        hasher.update([FORMAT]);
        hasher.update(previous.0);
        hasher.update(&self.0);
        Hash(hasher.finalize().into())
    }
}

/// The Merkle root over leaves in their order: leaves and inner nodes are hashed apart, an odd one goes up as it is.
///
/// It takes the leaves one by one and keeps one node for each level, so that a store of any size fits.
#[derive(Clone, Default)]
pub struct Merkle {
    /// The finished subtree of each level, where that level waits for its right half.
    waiting: Vec<Option<Hash>>,
}

impl Merkle {
    /// Adds the next leaf.
    pub fn leaf(&mut self, bytes: &[u8]) {
        let mut node = Hash(Sha256::new_with_prefix([0]).chain_update(bytes).finalize().into());
        for level in &mut self.waiting {
            match level.take() {
                Some(left) => node = inner(left, node),
                None => {
                    *level = Some(node);
                    return;
                }
            }
        }
        self.waiting.push(Some(node));
    }

    /// The root; without leaves it is [`Hash::START`].
    pub fn root(self) -> Hash {
        let right_to_left = self.waiting.into_iter().flatten();
        right_to_left.reduce(|right, left| inner(left, right)).unwrap_or(Hash::START)
    }
}

fn inner(left: Hash, right: Hash) -> Hash {
    Hash(Sha256::new_with_prefix([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_do_not_run_into_one_another() {
        let of = |pieces: &[&str]| {
            let mut canonical = Canonical::new();
            pieces.iter().for_each(|piece| {
                canonical.piece(piece.as_bytes());
            });
            canonical.hash()
        };
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_ne!(of(&["ab"]), of(&["ab", ""]));
    }

    #[test]
    fn a_link_depends_on_what_came_before() {
        let mut canonical = Canonical::new();
        canonical.piece(b"x");
        assert_ne!(canonical.link(Hash::START), canonical.link(Hash([1; 32])));
    }

    #[test]
    fn a_root_depends_on_every_leaf_and_on_their_order() {
        let root = |leaves: &[&str]| {
            let mut merkle = Merkle::default();
            leaves.iter().for_each(|leaf| merkle.leaf(leaf.as_bytes()));
            merkle.root()
        };
        assert_eq!(root(&[]), Hash::START);
        assert_ne!(root(&["a", "b", "c"]), root(&["a", "c", "b"]));
        assert_ne!(root(&["a", "b", "c"]), root(&["a", "b"]));
        assert_ne!(root(&["a", "b", "c"]), root(&["a", "b", "c", "c"]));
        let pair = inner(
            Hash(Sha256::new_with_prefix([0]).chain_update(b"a").finalize().into()),
            Hash(Sha256::new_with_prefix([0]).chain_update(b"b").finalize().into()),
        );
        assert_eq!(root(&["a", "b"]), pair);
    }

    #[test]
    fn a_hash_reads_back_from_what_it_prints() {
        let hash = Canonical::new().link(Hash::START);
        assert_eq!(Hash::from_hex(&hash.to_string()), Some(hash));
        assert_eq!(Hash::from_hex("00"), None);
        assert_eq!(Hash::from_hex(&"+1".repeat(32)), None);
    }
}
