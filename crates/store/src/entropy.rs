//! The source of ids, jitter and secrets. This is the only place that uses randomness.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

pub use tenure_api::command::RandomSource;
use tenure_core::chain::Hash;
use tenure_core::policy::Jitter;

use crate::error::{Error, Failure};

/// A source of random values for a ledger. Nothing is decided by them: an id is only a name, jitter only spreads
/// load, and a secret only proves that its holder was given it. Ids and jitter come from the supertrait [`RandomSource`].
pub trait Entropy: RandomSource {
    /// Random bits for a secret that nobody can guess.
    fn secret_bits(&self) -> Result<[u8; 32], Error>;
}

/// The machine's randomness. Names are UUIDs of version 7, so that they sort by when they were made.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl RandomSource for SystemEntropy {
    fn new_id(&self) -> String {
        uuid::Uuid::now_v7().to_string()
    }

    fn jitter(&self) -> Jitter {
        // Every command draws a jitter, so this does not ask the system each time; a jitter may be guessable.
        let [high, low, ..] = RandomState::new().hash_one(()).to_be_bytes();
        Jitter::from_random(u16::from_be_bytes([high, low]))
    }
}

impl Entropy for SystemEntropy {
    /// All of them random: of a UUID's bits some are fixed.
    fn secret_bits(&self) -> Result<[u8; 32], Error> {
        let mut bits = [0; 32];
        match getrandom::fill(&mut bits) {
            Ok(()) => Ok(bits),
            Err(error) => Err(Error::Unavailable(Failure::new(
                format!("the system's random number generator failed: {error}"),
                error,
            ))),
        }
    }
}

/// Gives the same values for the same seed: for tests and demonstrations with comparable output. The seed reveals
/// the secrets, so never use it for a store that others can reach.
#[derive(Debug)]
pub struct SeededEntropy {
    seed: u64,
    drawn: AtomicU64,
}

impl SeededEntropy {
    /// What is drawn follows from the seed alone.
    pub const fn new(seed: u64) -> SeededEntropy {
        SeededEntropy { seed, drawn: AtomicU64::new(0) }
    }
}

impl RandomSource for SeededEntropy {
    fn new_id(&self) -> String {
        let nth = self.drawn.fetch_add(1, Ordering::SeqCst) + 1;
        format!("seeded-{}-{nth}", self.seed)
    }

    /// The whole backoff, so that times in compared output follow from what was asked for.
    fn jitter(&self) -> Jitter {
        Jitter::NONE
    }
}

impl Entropy for SeededEntropy {
    fn secret_bits(&self) -> Result<[u8; 32], Error> {
        Ok(Hash::of(self.new_id().as_bytes()).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_names_again_and_none_twice() {
        let names = |entropy: &SeededEntropy| [entropy.new_id(), entropy.new_id()];
        let (one, other) = (SeededEntropy::new(7), SeededEntropy::new(7));
        assert_eq!(names(&one), names(&other));
        assert_ne!(one.new_id(), one.new_id());
    }

    #[test]
    fn jitter_of_the_machine_is_not_always_the_same() {
        let hour = tenure_core::time::Span::from_secs(3_600);
        let drawn: std::collections::BTreeSet<_> =
            (0..100).map(|_| SystemEntropy.jitter().part_of(hour)).collect();
        assert!(drawn.len() > 50, "of a hundred: {}", drawn.len());
    }

    #[test]
    fn names_made_by_the_machine_sort_by_when_they_were_made() {
        let mut names: Vec<String> = (0..100).map(|_| SystemEntropy.new_id()).collect();
        let made = names.clone();
        names.sort();
        names.dedup();
        assert_eq!(names, made);
    }
}
