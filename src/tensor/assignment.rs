//! The exact linear assignment: each row of a square matrix of costs to a column of its own, for the least sum.
//!
//! Shortest augmenting paths with dual prices (Jonker and Volgenant, Computing 38, 1987) after their reduction of rows, whose
//! steps are bounded here: among floats it need not end. Of a row only its few cheapest columns are looked at, as their
//! LAPMOD does for sparse costs, but with a bound below all others: prices of columns only fall, so what a row was not
//! shown costs it at least that much for ever, and it is shown more of them when a path could go there. The answer is that
//! of the whole matrix. Prices are f64; costs are finite.
//!
//! What a column costs exactly is asked where it may be the cheapest, and nowhere else: of the others it is enough to know
//! what they do not fall below.
//!
//! Not a library's, because those look at the whole matrix: of 7,000 random rows the `lapjv` crate takes 13 times as long for the
//! same sum, SciPy's solver 18 times.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rayon::prelude::*;

/// A square matrix of costs.
pub trait Costs: Sync {
    /// Rows, and columns.
    fn size(&self) -> usize;

    /// For each column of a row what it costs at least. The nearer, the fewer exact costs are asked for.
    fn floors(&self, row: usize, floors: &mut [f32]);

    /// What a column of a row costs.
    fn exact(&self, row: usize, column: usize) -> f32;
}

/// For each row the column that it gets. Of equal sums one, always the same.
pub fn assignment(costs: &impl Costs) -> Vec<usize> {
    /// Columns that a row is shown at first: of random costs the best assignment seldom goes further.
    const FEW: usize = 32;
    solve(costs, FEW)
}

fn solve(costs: &impl Costs, few: usize) -> Vec<usize> {
    let n = costs.size();
    if n < 2 {
        return vec![0; n];
    }
    let mut prices = Prices::new(costs, few);
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
struct Prices<'a, C> {
    costs: &'a C,
    columns: Vec<f64>,
    shown: Vec<Shown>,
    scratch: Scratch,
}

/// Some of the columns of a row. Each other column costs `rest` at least, less its price.
#[derive(Default)]
struct Shown {
    columns: Vec<Column>,
    rest: f64,
}

#[derive(Clone, Copy)]
struct Column {
    number: u32,
    /// What it costs, or where that is not known yet what it costs at least.
    cost: f32,
    is_exact: bool,
}

impl Column {
    fn less_price(&self, prices: &[f64]) -> f64 {
        f64::from(self.cost) - prices[self.number as usize]
    }
}

impl<'a, C: Costs> Prices<'a, C> {
    fn new(costs: &'a C, few: usize) -> Self {
        let n = costs.size();
        // Any prices will do to begin with: these are what a column costs at least.
        let nothing = || vec![f32::INFINITY; n];
        let lower = |least: &mut [f32], other: &[f32]| {
            least.iter_mut().zip(other).for_each(|(least, other)| *least = least.min(*other));
        };
        let rows = (0..n).into_par_iter().fold(
            || (nothing(), nothing()),
            |(mut least, mut floors), row| {
                costs.floors(row, &mut floors);
                lower(&mut least, &floors);
                (least, floors)
            },
        );
        let least = rows.map(|(least, _)| least).reduce(nothing, |mut one, other| {
            lower(&mut one, &other);
            one
        });
        let columns: Vec<f64> = least.into_iter().map(f64::from).collect();
        let few = few.max(2);
        let shown = |scratch: &mut Scratch, row: usize| {
            let mut shown = scratch.cheapest(costs, row, &columns, few);
            shown.two_cheapest(costs, row, &columns, scratch);
            shown
        };
        let shown = (0..n).into_par_iter().map_init(Scratch::default, shown).collect();
        Self { costs, columns, shown, scratch: Scratch::default() }
    }

    /// Shows a row more, where that could be cheapest by now.
    fn show(&mut self, row: usize) {
        self.shown[row].more(self.costs, row, &self.columns, &mut self.scratch);
    }

    /// What a column costs that a row has.
    fn cost(&self, row: usize, column: usize) -> f64 {
        let shown = self.shown[row].columns.iter();
        let known = shown.filter(|shown| shown.is_exact).find(|shown| shown.number as usize == column);
        f64::from(known.map_or_else(|| self.costs.exact(row, column), |known| known.cost))
    }

    /// The least two of a row's costs less prices, and their columns.
    fn two_cheapest(&mut self, row: usize) -> ([f64; 2], [usize; 2]) {
        self.shown[row].two_cheapest(self.costs, row, &self.columns, &mut self.scratch)
    }
}

impl Shown {
    fn two_cheapest(
        &mut self,
        costs: &impl Costs,
        row: usize,
        prices: &[f64],
        scratch: &mut Scratch,
    ) -> ([f64; 2], [usize; 2]) {
        loop {
            let (mut least, mut columns, mut bound) = ([f64::INFINITY; 2], [NONE; 2], self.rest);
            for column in &self.columns {
                let cost = column.less_price(prices);
                if !column.is_exact {
                    bound = bound.min(cost);
                } else if cost < least[0] {
                    (least, columns) = ([cost, least[0]], [column.number as usize, columns[0]]);
                } else if cost < least[1] {
                    (least[1], columns[1]) = (cost, column.number as usize);
                }
            }
            if least[1] <= bound {
                return (least, columns);
            }
            self.more(costs, row, prices, scratch);
        }
    }

    /// Asks what the column costs that may be cheapest of those whose cost is not known; where that is none that is shown,
    /// shows those that are cheapest by now, twice as many if the row has seen just these.
    fn more(&mut self, costs: &impl Costs, row: usize, prices: &[f64], scratch: &mut Scratch) {
        let rough = self.columns.iter_mut().filter(|column| !column.is_exact);
        let cheapest = rough.min_by(|one, other| one.less_price(prices).total_cmp(&other.less_price(prices)));
        if let Some(column) = cheapest.filter(|column| column.less_price(prices) <= self.rest) {
            (column.cost, column.is_exact) = (costs.exact(row, column.number as usize), true);
            return;
        }
        let few = self.columns.len();
        let mut now = scratch.cheapest(costs, row, prices, few);
        if now.rest <= self.rest {
            now = scratch.cheapest(costs, row, prices, 2 * few);
        }
        for known in self.columns.iter().filter(|column| column.is_exact) {
            now.columns.iter_mut().filter(|it| it.number == known.number).for_each(|it| *it = *known);
        }
        *self = now;
    }
}

/// Room for what is looked at of a row.
#[derive(Default)]
struct Scratch {
    floors: Vec<f32>,
    order: Vec<(f64, u32)>,
}

impl Scratch {
    /// The `count` columns of a row that may be cheapest; of equals the first.
    fn cheapest(&mut self, costs: &impl Costs, row: usize, prices: &[f64], count: usize) -> Shown {
        self.floors.resize(prices.len(), 0.0);
        costs.floors(row, &mut self.floors);
        self.order.clear();
        let less_price = |(floor, price): (&f32, &f64)| f64::from(*floor) - price;
        self.order.extend(self.floors.iter().zip(prices).map(less_price).zip(0u32..));
        let mut rest = f64::INFINITY;
        if count < self.order.len() {
            let order =
                |one: &(f64, u32), other: &(f64, u32)| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1));
            rest = self.order.select_nth_unstable_by(count, order).1.0;
            self.order.truncate(count);
        }
        let column = |&(_, number): &(f64, u32)| {
            let cost = self.floors[number as usize];
            Column { number, cost, is_exact: false }
        };
        Shown { columns: self.order.iter().map(column).collect(), rest }
    }
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
    fn reduce(&mut self, prices: &mut Prices<'_, impl Costs>) {
        /// Steps for each row.
        const STEPS: usize = 32;
        let mut waiting: Vec<usize> = (0..self.row_of.len()).rev().collect();
        for _ in 0..self.row_of.len() * STEPS {
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
    /// Columns whose costs the row does not know.
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

    fn augment(&mut self, start: usize, prices: &mut Prices<'_, impl Costs>, matching: &mut Matching) {
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

    /// Distances over a row: of the columns whose costs are known, and one below which none of the others is.
    fn relax(&mut self, row: usize, prices: &Prices<'_, impl Costs>, matching: &Matching) {
        let (base, shown) = (self.base[row], &prices.shown[row]);
        let mut rest = shown.rest;
        for column in &shown.columns {
            let cost = column.less_price(&prices.columns);
            if !column.is_exact {
                rest = rest.min(cost);
                continue;
            }
            let (column, through) = (column.number as usize, cost - base);
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
        if rest < f64::INFINITY {
            self.next.push(Reverse((Distance(rest - base), Next::Rest(row))));
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
}
