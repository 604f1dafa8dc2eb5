//! The minimum that each layer keeps under a global cut (Global MP, arXiv:2209.14624), against layers that vanish.

/// How many elements each layer loses, once a floor is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Floored {
    pub removed: Vec<usize>,
    /// Layers that lose less than the global cut would take, for they are down to the floor.
    pub clamped: Vec<usize>,
    /// How many of the total cannot be removed because every layer is down to its floor.
    pub short: usize,
}

/// Spreads `total` removals so that each layer keeps at least `floor` elements, or all if it has no more.
///
/// `removed` is what a global cut takes from layers of `sizes`. What the floor saves is taken from the other layers in
/// proportion to `removed`: the fixed point of scaling all and clamping, in integers. Fractions go to the largest
/// remainders, lower layers first. Once every layer that loses anything is at the floor, the rest is spread by room.
pub fn with_floor(removed: &[usize], sizes: &[usize], total: usize, floor: usize) -> Floored {
    let caps: Vec<usize> = sizes.iter().map(|size| size.saturating_sub(floor)).collect();
    let mut counts = spread(total, removed, &caps);
    let room: Vec<usize> = caps.iter().zip(&counts).map(|(cap, count)| cap - count).collect();
    let rest = total - counts.iter().sum::<usize>();
    counts.iter_mut().zip(spread(rest, &room, &room)).for_each(|(count, more)| *count += more);
    let clamped = (0..counts.len()).filter(|layer| counts[*layer] < removed[*layer]).collect();
    let short = total - counts.iter().sum::<usize>();
    Floored { removed: counts, clamped, short }
}

/// Shares `total` in proportion to `weights`, at most `caps` each: all of it, unless the caps of positive weights end.
fn spread(total: usize, weights: &[usize], caps: &[usize]) -> Vec<usize> {
    let mut counts = vec![0; weights.len()];
    let mut open: Vec<usize> = (0..weights.len()).filter(|i| weights[*i] > 0).collect();
    let mut rest = total as u128;
    loop {
        let sum: u128 = open.iter().map(|i| weights[*i] as u128).sum();
        let (full, fits): (Vec<usize>, Vec<usize>) =
            open.iter().partition(|i| rest * weights[**i] as u128 >= caps[**i] as u128 * sum);
        if full.is_empty() {
            share(rest, sum, &fits, weights, &mut counts);
            return counts;
        }
        full.iter().for_each(|i| counts[*i] = caps[*i]);
        // Each takes at most its share, so the rest does not become negative.
        rest -= full.iter().map(|i| caps[*i] as u128).sum::<u128>();
        open = fits;
    }
}

/// Shares by largest remainder. Every share is below its cap, so that one more still fits.
fn share(rest: u128, sum: u128, open: &[usize], weights: &[usize], counts: &mut [usize]) {
    let mut remainders = Vec::new();
    let mut left = rest;
    for i in open {
        let product = rest * weights[*i] as u128;
        let whole = product / sum;
        counts[*i] = whole as usize;
        left -= whole;
        remainders.push((std::cmp::Reverse(product % sum), *i));
    }
    remainders.sort_unstable();
    remainders.iter().take(left as usize).for_each(|(_, i)| counts[*i] += 1);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_worked_case_of_the_method_card() {
        // 90 % of 1000 + 100 + 10 weights, two of each layer stay: layers 2 and 3 are clamped to 98 and 8.
        let floored = with_floor(&[890, 99, 10], &[1000, 100, 10], 999, 2);
        assert_eq!(floored, Floored { removed: vec![893, 98, 8], clamped: vec![1, 2], short: 0 });
    }

    #[test]
    fn a_floor_that_all_keep_changes_nothing() {
        let floored = with_floor(&[5, 0, 3], &[10, 10, 10], 8, 7);
        assert_eq!(floored.removed, [3, 2, 3]);
        assert_eq!(with_floor(&[5, 0, 3], &[10, 10, 10], 8, 5).removed, [5, 0, 3]);
        assert_eq!(with_floor(&[5, 0, 3], &[10, 10, 10], 8, 5).clamped, [0; 0]);
    }

    #[test]
    fn a_layer_smaller_than_the_floor_loses_nothing() {
        assert_eq!(with_floor(&[6, 2], &[10, 2], 8, 2).removed, [8, 0]);
    }

    #[test]
    fn what_no_layer_can_lose_is_reported() {
        let floored = with_floor(&[9, 9], &[10, 10], 18, 4);
        assert_eq!(floored, Floored { removed: vec![6, 6], clamped: vec![0, 1], short: 6 });
        assert_eq!(with_floor(&[], &[], 0, 4), Floored { removed: vec![], clamped: vec![], short: 0 });
    }

    #[test]
    fn fractions_go_to_the_largest_remainders() {
        // 7 is over by 4; shared 2 : 1 : 1 it gives 4.5, 2.25, 2.25 of the 9 that are left to remove.
        assert_eq!(with_floor(&[7, 2, 1, 1], &[8, 9, 9, 9], 11, 5).removed, [3, 4, 2, 2]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_total_is_exact_and_no_layer_falls_below_the_floor(
            layers in prop::collection::vec((0..200_usize, 0..=100_usize), 1..8), floor in 0..60_usize
        ) {
            let sizes: Vec<usize> = layers.iter().map(|(size, _)| *size).collect();
            let removed: Vec<usize> = layers.iter().map(|(size, share)| size * share / 100).collect();
            let total: usize = removed.iter().sum();
            let floored = with_floor(&removed, &sizes, total, floor);
            prop_assert_eq!(floored.removed.iter().sum::<usize>() + floored.short, total);
            for (count, size) in floored.removed.iter().zip(&sizes) {
                prop_assert!(*count <= size.saturating_sub(floor));
            }
            let full = floored.removed.iter().zip(&sizes).all(|(count, size)| *count == size.saturating_sub(floor));
            prop_assert!(floored.short == 0 || full);
            // Layers above their floor stay in proportion, but for one element of rounding each.
            let open: Vec<(usize, usize)> = floored.removed.iter().zip(&removed).zip(&sizes)
                .filter(|((count, _), size)| **count < size.saturating_sub(floor))
                .map(|((count, before), _)| (*count, *before)).collect();
            for (count, before) in &open {
                for (other_count, other_before) in &open {
                    prop_assert!((count * other_before).abs_diff(other_count * before) <= before + other_before);
                }
            }
        }
    }
}
