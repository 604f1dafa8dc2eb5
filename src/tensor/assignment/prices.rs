//! Prices of columns, and what rows know of their costs.

use rayon::prelude::*;

use super::{Costs, NONE};

/// Dual prices of columns: a row that has one has it at the least of its costs less prices.
pub struct Prices<'a, C> {
    costs: &'a C,
    pub columns: Vec<f64>,
    pub shown: Vec<Shown>,
    scratch: Scratch,
}

/// Some of the columns of a row. Each other column costs `rest` at least, less its price.
#[derive(Default)]
pub struct Shown {
    pub columns: Vec<Column>,
    pub rest: f64,
}

#[derive(Clone, Copy)]
pub struct Column {
    pub number: u32,
    /// What it costs, or where that is not known yet what it costs at least.
    cost: f32,
    pub is_exact: bool,
}

impl Column {
    pub fn less_price(&self, prices: &[f64]) -> f64 {
        f64::from(self.cost) - prices[self.number as usize]
    }
}

impl<'a, C: Costs> Prices<'a, C> {
    pub fn new(costs: &'a C, few: usize) -> Self {
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
    pub fn show(&mut self, row: usize) {
        self.shown[row].more(self.costs, row, &self.columns, &mut self.scratch);
    }

    /// What a column costs that a row has.
    pub fn cost(&self, row: usize, column: usize) -> f64 {
        let shown = self.shown[row].columns.iter();
        let known = shown.filter(|shown| shown.is_exact).find(|shown| shown.number as usize == column);
        f64::from(known.map_or_else(|| self.costs.exact(row, column), |known| known.cost))
    }

    /// The least two of a row's costs less prices, and their columns.
    pub fn two_cheapest(&mut self, row: usize) -> ([f64; 2], [usize; 2]) {
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
