//! `params`: how many weights are stored.

use crate::diagnostic::Diagnostic;
use crate::graph::{Between, Cost, SiteId};
use crate::measure;
use crate::pass::{Context, Measure};

measure! {
    /// Stored weights: every element of every tensor, a tied one once, buffers not at all. With `of` those of the matrices
    /// that are selected.
    Params = "params" in Count {}
}

impl Measure for Params {
    fn of_cost(&self, cost: &Cost) -> Option<Between> {
        Some(cost.params)
    }

    fn takes_sites(&self) -> bool {
        true
    }

    fn measure(&self, at: &Context<'_>, cost: &Cost, sites: Option<&[SiteId]>) -> Result<f64, Diagnostic> {
        let Some(sites) = sites else { return Ok(cost.params.max as f64) };
        let graph = &at.version.graph;
        let elements =
            |&site: &SiteId| graph.matrix_views(site).map(|view| graph.view_elements(view)).sum::<usize>();
        Ok(sites.iter().map(elements).sum::<usize>() as f64)
    }
}
