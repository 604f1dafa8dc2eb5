//! Shortest paths from rows that are free to columns that are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::prices::Prices;
use super::{Costs, Matching, NONE};

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
pub struct Search {
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
    pub fn new(n: usize) -> Self {
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

    pub fn augment(&mut self, start: usize, prices: &mut Prices<'_, impl Costs>, matching: &mut Matching) {
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
