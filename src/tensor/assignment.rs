//! The exact linear assignment: each row of a square matrix of costs to a column of its own, for the least sum.
//!
//! Shortest augmenting paths with dual prices (Jonker and Volgenant, Computing 38, 1987) after their reduction of rows, whose
//! steps are bounded here: among floats it need not end. Of a row only its few cheapest columns are looked at, as their
//! LAPMOD does for sparse costs, but with a bound below all others: prices of columns only fall, so what a row was not
//! shown costs it at least that much for ever, and it is shown more of them when a path could go there. The answer is that
//! of the whole matrix. Prices are f64; costs are finite.
//!
//! Not a library's, because those look at the whole matrix: of 7,000 random rows the `lapjv` crate takes 13 times as long for the
//! same sum, SciPy's solver 18 times.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rayon::prelude::*;

/// For each row the column that it gets. Of equal sums one, always the same.
///
/// # Panics
/// Where `costs` is not `n x n`.
pub fn assignment(costs: &[f32], n: usize) -> Vec<usize> {
    /// Columns that a row is shown at first: of random costs the best assignment seldom goes further.
    const FEW: usize = 32;
    solve(costs, n, FEW)
}

fn solve(costs: &[f32], n: usize, few: usize) -> Vec<usize> {
    assert_eq!(costs.len(), n * n, "a square matrix of costs");
    if n < 2 {
        return vec![0; n];
    }
    let mut prices = Prices::new(costs, n, few);
    let mut matching = Matching { row_of: vec![NONE; n], column_of: vec![NONE; n] };
    matching.reduce(&mut prices);
    let mut search = Search::new(n);
    for row in 0..n {
        if matching.column_of[row] == NONE {
            search.augment(row, &mut prices, &mut matching);
        }
    }
    matching.column_of
}

const NONE: usize = usize::MAX;

/// Dual prices of columns: a row that has one has it at the least of its costs less prices.
struct Prices<'a> {
    costs: &'a [f32],
    n: usize,
    few: usize,
    columns: Vec<f64>,
    shown: Vec<Shown>,
    scratch: Vec<(f64, u32)>,
}

/// Some of the columns of a row and their costs. Each other column costs `rest` at least, less its price.
struct Shown {
    columns: Vec<(u32, f32)>,
    rest: f64,
}

impl<'a> Prices<'a> {
    fn new(costs: &'a [f32], n: usize, few: usize) -> Self {
        let mut columns = vec![f64::INFINITY; n];
        for row in costs.chunks_exact(n) {
            columns.iter_mut().zip(row).for_each(|(least, cost)| *least = least.min(f64::from(*cost)));
        }
        let shown = costs
            .par_chunks_exact(n)
            .map_init(Vec::new, |scratch, row| cheapest(row, &columns, few.max(2), scratch))
            .collect();
        Self { costs, n, few: few.max(2), columns, shown, scratch: Vec::new() }
    }

    /// Shows a row the columns that are cheapest by now: more of them if it has seen just these.
    fn show(&mut self, row: usize) {
        let costs = &self.costs[row * self.n..(row + 1) * self.n];
        let before = &self.shown[row];
        let now = cheapest(costs, &self.columns, self.few, &mut self.scratch);
        self.shown[row] = if now.rest > before.rest {
            now
        } else {
            cheapest(costs, &self.columns, before.columns.len() * 2, &mut self.scratch)
        };
    }

    fn cost(&self, row: usize, column: usize) -> f64 {
        f64::from(self.costs[row * self.n + column])
    }

    /// The least two of a row's costs less prices, and their columns.
    fn two_cheapest(&mut self, row: usize) -> ([f64; 2], [usize; 2]) {
        loop {
            let (mut costs, mut columns) = ([f64::INFINITY; 2], [NONE; 2]);
            for &(column, cost) in &self.shown[row].columns {
                let column = column as usize;
                let cost = f64::from(cost) - self.columns[column];
                if cost < costs[1] {
                    if cost < costs[0] {
                        (costs, columns) = ([cost, costs[0]], [column, columns[0]]);
                    } else {
                        (costs[1], columns[1]) = (cost, column);
                    }
                }
            }
            if costs[1] <= self.shown[row].rest {
                return (costs, columns);
            }
            self.show(row);
        }
    }
}

/// The `count` cheapest columns of a row; of equals the first.
fn cheapest(costs: &[f32], prices: &[f64], count: usize, scratch: &mut Vec<(f64, u32)>) -> Shown {
    scratch.clear();
    scratch.extend(
        (0u32..).zip(costs.iter().zip(prices)).map(|(at, (cost, price))| (f64::from(*cost) - price, at)),
    );
    let mut rest = f64::INFINITY;
    if count < scratch.len() {
        let order =
            |one: &(f64, u32), other: &(f64, u32)| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1));
        rest = scratch.select_nth_unstable_by(count, order).1.0;
        scratch.truncate(count);
    }
    Shown { columns: scratch.iter().map(|&(_, column)| (column, costs[column as usize])).collect(), rest }
}

struct Matching {
    row_of: Vec<usize>,
    column_of: Vec<usize>,
}

impl Matching {
    /// Lets free rows take their cheapest column, whose price falls to where the second one is as good; who had it is free then
    /// and looks for another one. Most rows have a column afterwards, and the others are searched for.
    ///
    /// Among floats falls may become so small that this goes on for ever: steps are counted.
    fn reduce(&mut self, prices: &mut Prices<'_>) {
        /// Steps for each row.
        const STEPS: usize = 32;
        let mut waiting: Vec<usize> = (0..prices.n).rev().collect();
        for _ in 0..prices.n * STEPS {
            let Some(row) = waiting.pop() else { break };
            let ([first, second], [column, other]) = prices.two_cheapest(row);
            let falls = first < second;
            let taken = if falls || self.row_of[column] == NONE { column } else { other };
            if falls {
                prices.columns[column] -= second - first;
            }
            let before = std::mem::replace(&mut self.row_of[taken], row);
            self.column_of[row] = taken;
            if before != NONE {
                self.column_of[before] = NONE;
                // Where two columns are equal nobody gains by going round: the row is searched for.
                waiting.extend(falls.then_some(before));
            }
        }
    }
}

/// What a search comes to next, by distance.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Free(usize),
    /// Columns that the row was not shown.
    Rest(usize),
    Taken(usize),
}

#[derive(Clone, Copy, PartialEq)]
struct Distance(f64);

impl Eq for Distance {}

impl PartialOrd for Distance {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Distance {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// A shortest path from a free row to a free column, over tight and cheap edges.
struct Search {
    distance: Vec<f64>,
    /// The row that a column was reached from.
    from: Vec<usize>,
    is_done: Vec<bool>,
    /// Columns whose distance is not infinite.
    reached: Vec<usize>,
    /// Columns whose distance is final.
    done: Vec<usize>,
    /// Of a row that was reached: what its costs less prices are more than distances.
    base: Vec<f64>,
    next: BinaryHeap<Reverse<(Distance, Next)>>,
}

impl Search {
    fn new(n: usize) -> Self {
        Self {
            distance: vec![f64::INFINITY; n],
            from: vec![NONE; n],
            is_done: vec![false; n],
            reached: Vec::new(),
            done: Vec::new(),
            base: vec![0.0; n],
            next: BinaryHeap::new(),
        }
    }

    fn augment(&mut self, start: usize, prices: &mut Prices<'_>, matching: &mut Matching) {
        self.base[start] = 0.0;
        self.relax(start, prices, matching);
        let end = loop {
            let Reverse((Distance(least), next)) = self.next.pop().expect("a row has a way to every column");
            match next {
                Next::Rest(row) => {
                    prices.show(row);
                    self.relax(row, prices, matching);
                }
                Next::Free(column) => {
                    self.done.push(column);
                    break column;
                }
                Next::Taken(column) => {
                    // It was reached at less since.
                    if std::mem::replace(&mut self.is_done[column], true) {
                        continue;
                    }
                    self.done.push(column);
                    let row = matching.row_of[column];
                    self.base[row] = prices.cost(row, column) - prices.columns[column] - least;
                    self.relax(row, prices, matching);
                }
            }
        };
        // Prices fall by what is missing to the path's length, so that all of it is tight.
        for &column in &self.done {
            prices.columns[column] -= self.distance[end] - self.distance[column];
        }
        let mut column = end;
        loop {
            let row = self.from[column];
            matching.row_of[column] = row;
            std::mem::swap(&mut matching.column_of[row], &mut column);
            if row == start {
                break;
            }
        }
        self.forget();
    }

    /// Distances over a row: of the columns that it is shown, and one below which none of the others is.
    fn relax(&mut self, row: usize, prices: &Prices<'_>, matching: &Matching) {
        let (base, shown) = (self.base[row], &prices.shown[row]);
        for &(column, cost) in &shown.columns {
            let column = column as usize;
            let through = f64::from(cost) - prices.columns[column] - base;
            if through < self.distance[column] && !self.is_done[column] {
                if self.distance[column] == f64::INFINITY {
                    self.reached.push(column);
                }
                (self.distance[column], self.from[column]) = (through, row);
                let next =
                    if matching.row_of[column] == NONE { Next::Free(column) } else { Next::Taken(column) };
                self.next.push(Reverse((Distance(through), next)));
            }
        }
        if shown.rest < f64::INFINITY {
            self.next.push(Reverse((Distance(shown.rest - base), Next::Rest(row))));
        }
    }

    fn forget(&mut self) {
        for column in self.reached.drain(..) {
            (self.distance[column], self.is_done[column]) = (f64::INFINITY, false);
        }
        self.done.clear();
        self.next.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn total(costs: &[f32], n: usize, columns: &[usize]) -> f64 {
        columns.iter().enumerate().map(|(row, column)| f64::from(costs[row * n + column])).sum()
    }

    /// By hand: 1 + 2 + 2 is less than any other sum of three.
    #[test]
    fn a_worked_case() {
        let costs = [4.0, 1.0, 3.0, 2.0, 0.0, 5.0, 3.0, 2.0, 2.0];
        let columns = assignment(&costs, 3);
        assert_eq!(columns, [1, 0, 2]);
        assert_eq!(total(&costs, 3, &columns), 5.0);
        assert_eq!(assignment(&[], 0), Vec::<usize>::new());
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
            let columns = assignment(&costs, n);
            let mut sorted = columns.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..n).collect::<Vec<_>>());
            prop_assert_eq!(total(&costs, n, &columns), least(&costs, n, 0, &mut (0..n).collect()));
        }

        /// Costs of a few whole numbers: sums are exact, and equal ones everywhere.
        #[test]
        fn rows_that_are_shown_little_find_as_much(n in 1usize..50, few in 2usize..6, most in 1u64..200, seed in any::<u64>()) {
            let stream = crate::tensor::random::Stream::new(seed, "costs");
            let costs: Vec<f32> =
                (0..n * n).map(|at| (stream.uniform(at as u64) * most as f32).floor()).collect();
            let (some, all) = (solve(&costs, n, few), solve(&costs, n, n));
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
            prop_assert_eq!(assignment(&costs, n), order);
        }
    }

    fn shuffled(n: usize, seed: u64) -> Vec<usize> {
        let stream = crate::tensor::random::Stream::new(seed, "order");
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| stream.uniform(a as u64).total_cmp(&stream.uniform(b as u64)));
        order
    }
}
