//! Random numbers that hang on a seed alone, and picks by weight.

use crate::row_id::scramble;

/// A sequence of numbers; the same seed gives the same sequence on every machine. (splitmix64)
#[derive(Clone)]
pub struct Draw(u64);

impl Draw {
    pub fn new(seed: u64) -> Self {
        Self(scramble(seed))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        scramble(self.0)
    }

    /// Draws from 0 to `count - 1`.
    pub fn below(&mut self, count: u64) -> u64 {
        // The high half of the product: no division, and the bias of a 64-bit draw does not matter here.
        ((u128::from(self.next()) * u128::from(count)) >> 64) as u64
    }

    /// Says yes in `share` of a million cases.
    pub fn chance(&mut self, share: u64) -> bool {
        self.below(1_000_000) < share
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        of.get(self.below(of.len() as u64) as usize).copied()
    }
}

/// Indexes by weight, drawn in one step.
pub struct Weighted {
    slots: Vec<u16>,
}

impl Weighted {
    /// Every index with a weight gets at least one of `slots`.
    pub fn new(weights: &[u64], slots: usize) -> Self {
        let total: u64 = weights.iter().sum::<u64>().max(1);
        let mut filled = Vec::with_capacity(slots + weights.len());
        for (index, weight) in weights.iter().enumerate() {
            let share = (weight * slots as u64 / total).max(u64::from(*weight > 0));
            filled.extend(std::iter::repeat_n(index as u16, share as usize));
        }
        if filled.is_empty() {
            filled.push(0);
        }
        Self { slots: filled }
    }

    pub fn draw(&self, draw: &mut Draw) -> usize {
        usize::from(self.slots[draw.below(self.slots.len() as u64) as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same() {
        let drawn = |seed| {
            let mut draw = Draw::new(seed);
            (draw.next(), draw.below(1_000), draw.chance(500_000))
        };
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7).0, drawn(8).0);
    }

    #[test]
    fn picks_follow_their_weights() {
        let weighted = Weighted::new(&[1, 0, 3], 4_096);
        let mut draw = Draw::new(1);
        let mut counts = [0; 3];
        for _ in 0..40_000 {
            counts[weighted.draw(&mut draw)] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!((9_000..11_000).contains(&counts[0]), "{counts:?}");
    }
}
