//! Assignments whose least sum is known, and rows that are shown little against rows that are shown all.

use super::*;
use proptest::prelude::*;

/// Costs row after row, and how much lower their floors are.
struct Dense<'a>(&'a [f32], usize, f32);

impl Costs for Dense<'_> {
    fn size(&self) -> usize {
        self.1
    }

    fn floors(&self, row: usize, floors: &mut [f32]) {
        let costs = self.0[row * self.1..].iter().enumerate();
        floors.iter_mut().zip(costs).for_each(|(floor, (at, cost))| {
            *floor = cost - self.2 * ((row * 31 + at * 17) % 8) as f32;
        });
    }

    fn exact(&self, row: usize, column: usize) -> f32 {
        self.0[row * self.1 + column]
    }
}

fn total(costs: &[f32], n: usize, columns: &[usize]) -> f64 {
    columns.iter().enumerate().map(|(row, column)| f64::from(costs[row * n + column])).sum()
}

/// By hand: 1 + 2 + 2 is less than any other sum of three.
#[test]
fn a_worked_case() {
    let costs = [4.0, 1.0, 3.0, 2.0, 0.0, 5.0, 3.0, 2.0, 2.0];
    let columns = assignment(&Dense(&costs, 3, 0.0));
    assert_eq!(columns, [1, 0, 2]);
    assert_eq!(total(&costs, 3, &columns), 5.0);
    assert_eq!(assignment(&Dense(&[], 0, 0.0)), Vec::<usize>::new());
}

/// Every order of the columns.
fn least(costs: &[f32], n: usize, row: usize, free: &mut Vec<usize>) -> f64 {
    if row == n {
        return 0.0;
    }
    let mut best = f64::INFINITY;
    for at in 0..free.len() {
        let column = free.remove(at);
        best = best.min(f64::from(costs[row * n + column]) + least(costs, n, row + 1, free));
        free.insert(at, column);
    }
    best
}

proptest! {
    #[test]
    fn no_other_assignment_costs_less(n in 1usize..7, seed in prop::collection::vec(-50i8..50, 36)) {
        let costs: Vec<f32> = seed[..n * n].iter().map(|&cost| f32::from(cost) / 4.0).collect();
        let columns = assignment(&Dense(&costs, n, 0.0));
        let mut sorted = columns.clone();
        sorted.sort_unstable();
        prop_assert_eq!(sorted, (0..n).collect::<Vec<_>>());
        prop_assert_eq!(total(&costs, n, &columns), least(&costs, n, 0, &mut (0..n).collect()));
    }

    /// Costs of a few whole numbers: sums are exact, and equal ones everywhere. Floors are lower than costs, by more or less.
    #[test]
    fn rows_that_are_shown_little_find_as_much(n in 1usize..50, few in 2usize..6, most in 1u64..200, lower in 0u8..9, seed in any::<u64>()) {
        let stream = crate::tensor::random::Stream::new(seed, "costs");
        let costs: Vec<f32> =
            (0..n * n).map(|at| (stream.uniform(at as u64) * most as f32).floor()).collect();
        let some = solve(&Dense(&costs, n, f32::from(lower)), few);
        let all = solve(&Dense(&costs, n, 0.0), n);
        let mut sorted = some.clone();
        sorted.sort_unstable();
        prop_assert_eq!(sorted, (0..n).collect::<Vec<_>>());
        prop_assert_eq!(total(&costs, n, &some), total(&costs, n, &all));
    }

    /// What is recovered from a large matrix whose best assignment is known.
    #[test]
    fn a_hidden_order_is_found(seed in any::<u64>()) {
        let n = 60;
        let order = shuffled(n, seed);
        let noise = |row: usize, column: usize| (row * 7919 + column * 104_729) % 97;
        let costs: Vec<f32> = (0..n * n)
            .map(|at| (at / n, at % n))
            .map(|(row, column)| if order[row] == column { 0.0 } else { 1.0 + noise(row, column) as f32 })
            .collect();
        prop_assert_eq!(assignment(&Dense(&costs, n, 0.0)), order);
    }
}

fn shuffled(n: usize, seed: u64) -> Vec<usize> {
    let stream = crate::tensor::random::Stream::new(seed, "order");
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| stream.uniform(a as u64).total_cmp(&stream.uniform(b as u64)));
    order
}
