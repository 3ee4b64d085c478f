//! Draws numbers that follow from a seed alone, so that the same seed gives the same fleet. Nothing secret is made of them.

/// The increment and the factors of SplitMix64.
const INCREMENT: u64 = 0x9e37_79b9_7f4a_7c15;
const FACTORS: [u64; 2] = [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb];

/// A generator of numbers.
#[derive(Clone, Debug)]
pub(super) struct SeededDice(u64);

impl SeededDice {
    /// A generator for one task, so that what is drawn for it does not depend on the tasks before.
    pub(super) fn of(seed: u64, task: u64) -> SeededDice {
        SeededDice(mixed(mixed(seed) ^ task))
    }

    /// A number from zero up to, but not including, that one.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(INCREMENT);
        mixed(self.0) % end.max(1)
    }

    /// A number between these, the first included.
    pub(super) fn between(&mut self, (from, end): (u64, u64)) -> u64 {
        from + self.below(end.saturating_sub(from))
    }

    /// One of a list, which has at least one.
    pub(super) fn one_of<T: Copy>(&mut self, these: &[T]) -> T {
        these[self.index(these.len())]
    }

    /// The list in another order.
    pub(super) fn shuffle<T>(&mut self, these: &mut [T]) {
        for end in (1..these.len()).rev() {
            let other = self.index(end + 1);
            these.swap(end, other);
        }
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or_default()
    }
}

/// The output function of SplitMix64.
fn mixed(number: u64) -> u64 {
    let once = (number ^ (number >> 30)).wrapping_mul(FACTORS[0]);
    let twice = (once ^ (once >> 27)).wrapping_mul(FACTORS[1]);
    twice ^ (twice >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(seed: u64, task: u64) -> Vec<u64> {
        let mut dice = SeededDice::of(seed, task);
        (0..20).map(|_| dice.below(1_000)).collect()
    }

    #[test]
    fn the_same_seed_draws_the_same_and_another_seed_or_task_something_else() {
        assert_eq!(drawn(7, 1), drawn(7, 1));
        assert_ne!(drawn(7, 1), drawn(8, 1));
        assert_ne!(drawn(7, 1), drawn(7, 2));
        assert_ne!(drawn(7, 1)[1..], drawn(7, 2)[..19], "neighbours are not the same sequence, shifted");
    }

    #[test]
    fn what_is_drawn_stays_within_its_bounds_and_reaches_them() {
        let mut dice = SeededDice::of(7, 0);
        let mut seen = [0; 5];
        for _ in 0..1_000 {
            let number = dice.between((3, 8));
            assert!((3..8).contains(&number));
            seen[number as usize - 3] += 1;
        }
        assert!(seen.iter().all(|count| *count > 100), "{seen:?}");
        assert_eq!(dice.between((4, 4)), 4);
    }

    #[test]
    fn a_shuffled_list_has_each_once() {
        let mut list: Vec<u32> = (0..20).collect();
        SeededDice::of(7, 0).shuffle(&mut list);
        assert_ne!(list, (0..20).collect::<Vec<_>>());
        list.sort_unstable();
        assert_eq!(list, (0..20).collect::<Vec<_>>());
    }
}
