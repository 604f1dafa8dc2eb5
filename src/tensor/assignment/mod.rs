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
//! Not a library's, because those want the whole matrix, and exactly.

mod prices;
mod search;
#[cfg(test)]
mod tests;

use prices::Prices;
use search::Search;

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
    /// Columns that a row is shown at a time.
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
