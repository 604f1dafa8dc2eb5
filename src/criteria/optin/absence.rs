//! Elements taken out one by one, each with a run of all that lies behind it.

use rayon::prelude::*;

use super::Change;
use super::states::{Seen, Whole};
use crate::graph::{AxisId, Graph};
use crate::runtime::op::tensor;
use crate::runtime::{Failure, Gates, readers};

impl Whole<'_> {
    /// What changes where each element of an axis is out.
    pub(super) fn absences(&self, axis: AxisId) -> Result<Vec<Change>, Failure> {
        let graph = self.graph();
        let sites = readers(graph, axis);
        let first = self.first_compared(self.layer_of(&sites));
        // Nothing before the element's readers knows that it is out.
        let behind = self.behind(&sites);
        let extent = graph.extent(axis).max;
        let run = |element: usize| -> Result<Change, Failure> {
            let mut seen = Seen::new(&self.fed, self.most);
            let gates = without(graph, axis, extent, element)?;
            self.run(&behind, &gates, &mut self.values.clone(), &mut seen)?;
            Ok(self.seen.change(&seen, first))
        };
        (0..extent).into_par_iter().map(run).collect()
    }
}

/// Gates of 1, and of 0 for one element.
fn without(graph: &Graph, axis: AxisId, extent: usize, element: usize) -> Result<Gates, Failure> {
    let factors = (0..extent).map(|at| f32::from(u8::from(at != element))).collect();
    let mut gates = Gates::default();
    gates.put(graph, axis, &tensor(factors, (1, extent))?);
    Ok(gates)
}
