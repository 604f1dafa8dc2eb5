//! The exact linear assignment: each row of a square matrix of costs to a column of its own, for the least sum.
//!
//! Shortest augmenting paths with dual prices (Jonker and Volgenant, 1987; in the form of Crouse, IEEE TAES 52(4), 2016), after
//! their reduction of rows, whose steps are bounded here: among floats it need not end. Prices are f64; costs are finite.

/// For each row the column that it gets. Of equal sums one, always the same.
///
/// # Panics
/// Where `costs` is not `n x n`.
pub fn assignment(costs: &[f32], n: usize) -> Vec<usize> {
    assert_eq!(costs.len(), n * n, "a square matrix of costs");
    let mut prices = Prices::new(costs, n);
    let mut matching = Matching { row_of: vec![NONE; n], column_of: vec![NONE; n] };
    matching.take_tight(&mut prices);
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

/// Dual prices: `costs[i, j] - rows[i] - columns[j]` is never below 0, and 0 where a row has its column.
struct Prices<'a> {
    costs: &'a [f32],
    n: usize,
    rows: Vec<f64>,
    columns: Vec<f64>,
}

impl<'a> Prices<'a> {
    fn new(costs: &'a [f32], n: usize) -> Self {
        let mut columns = vec![f64::INFINITY; n];
        for row in costs.chunks_exact(n.max(1)) {
            columns.iter_mut().zip(row).for_each(|(least, cost)| *least = least.min(f64::from(*cost)));
        }
        Self { costs, n, rows: vec![0.0; n], columns }
    }

    /// The least two of a row's costs less prices, and their columns; of equals the first.
    fn two_cheapest(&self, row: usize) -> ([f64; 2], [usize; 2]) {
        let (mut costs, mut columns) = ([f64::INFINITY; 2], [NONE; 2]);
        for (column, (cost, price)) in self.of_row(row).iter().zip(&self.columns).enumerate() {
            let cost = f64::from(*cost) - price;
            if cost < costs[1] {
                if cost < costs[0] {
                    (costs, columns) = ([cost, costs[0]], [column, columns[0]]);
                } else {
                    (costs[1], columns[1]) = (cost, column);
                }
            }
        }
        (costs, columns)
    }

    fn of_row(&self, row: usize) -> &'a [f32] {
        &self.costs[row * self.n..(row + 1) * self.n]
    }
}

struct Matching {
    row_of: Vec<usize>,
    column_of: Vec<usize>,
}

impl Matching {
    /// Prices each row by its cheapest column, which it gets if it is free.
    fn take_tight(&mut self, prices: &mut Prices<'_>) {
        for row in 0..prices.n {
            let reduced =
                prices.of_row(row).iter().zip(&prices.columns).map(|(cost, price)| f64::from(*cost) - price);
            let mut best = (f64::INFINITY, NONE);
            for (column, cost) in reduced.enumerate() {
                if cost < best.0
                    || (cost == best.0 && self.row_of[best.1] != NONE && self.row_of[column] == NONE)
                {
                    best = (cost, column);
                }
            }
            prices.rows[row] = best.0;
            if self.row_of[best.1] == NONE {
                (self.row_of[best.1], self.column_of[row]) = (row, best.1);
            }
        }
    }
}

impl Matching {
    /// Lets free rows take their cheapest column, whose price falls to where the second one is as good; who had it is free then
    /// and looks for another one. Most rows have a column afterwards, and the others are searched for.
    ///
    /// Among floats falls may become so small that this goes on for ever: steps are counted.
    fn reduce(&mut self, prices: &mut Prices<'_>) {
        /// Steps for each row that is free at first.
        const STEPS: usize = 32;
        let free: Vec<usize> = (0..prices.n).filter(|&row| self.column_of[row] == NONE).collect();
        let mut steps = free.len() * STEPS;
        let mut waiting: Vec<usize> = free.into_iter().rev().collect();
        while let Some(row) = waiting.pop() {
            if steps == 0 || prices.n < 2 {
                break;
            }
            steps -= 1;
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
        // Prices fell since: a free row's is that of its cheapest column now.
        for row in 0..prices.n {
            prices.rows[row] = match self.column_of[row] {
                NONE => prices.two_cheapest(row).0[0],
                column => f64::from(prices.of_row(row)[column]) - prices.columns[column],
            };
        }
    }
}

/// A shortest path from a free row to a free column, over tight and cheap edges.
struct Search {
    distance: Vec<f64>,
    /// The row that a column was reached from.
    from: Vec<usize>,
    /// Columns whose distance is not final, in any order.
    open: Vec<usize>,
    /// Columns whose distance is.
    done: Vec<usize>,
}

impl Search {
    fn new(n: usize) -> Self {
        Self {
            distance: vec![0.0; n],
            from: vec![NONE; n],
            open: Vec::with_capacity(n),
            done: Vec::with_capacity(n),
        }
    }

    fn augment(&mut self, start: usize, prices: &mut Prices<'_>, matching: &mut Matching) {
        self.distance.fill(f64::INFINITY);
        self.open.clear();
        self.open.extend(0..prices.n);
        self.done.clear();
        let (mut row, mut least) = (start, 0.0);
        let end = loop {
            let place = self.relax(row, least, prices, matching);
            let column = self.open.swap_remove(place);
            least = self.distance[column];
            self.done.push(column);
            match matching.row_of[column] {
                NONE => break column,
                next => row = next,
            }
        };
        // Prices rise by what is missing to the path's length, so that all of it is tight.
        prices.rows[start] += least;
        for &column in &self.done {
            let more = least - self.distance[column];
            prices.columns[column] -= more;
            if column != end {
                prices.rows[matching.row_of[column]] += more;
            }
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
    }

    /// Distances over a row that was reached at `least`, and the place of the nearest open column; of equals a free one, then
    /// the lowest.
    fn relax(&mut self, row: usize, least: f64, prices: &Prices<'_>, matching: &Matching) -> usize {
        let (costs, base) = (prices.of_row(row), least - prices.rows[row]);
        let mut best = (f64::INFINITY, true, NONE, 0);
        for (place, &column) in self.open.iter().enumerate() {
            let through = base + f64::from(costs[column]) - prices.columns[column];
            if through < self.distance[column] {
                (self.distance[column], self.from[column]) = (through, row);
            }
            let distance = self.distance[column];
            if distance <= best.0 {
                let key = (distance, matching.row_of[column] != NONE, column, place);
                if distance < best.0 || (key.1, key.2) < (best.1, best.2) {
                    best = key;
                }
            }
        }
        best.3
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
