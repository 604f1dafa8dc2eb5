//! The rewrite: each site's matrix masked by a rule.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;

use super::rules::{Below, InBlocks, InGroups, InRows};
use crate::diagnostic::Diagnostic;
use crate::graph::{Graph, SiteId, Sparsity};
use crate::pass::{Criterion, Finding, Rewrite};
use crate::tensor::pattern::Pattern;
use crate::weights::{MaskRule, Version};

/// How a matrix is masked.
#[derive(Debug, Clone, PartialEq)]
pub enum Mask {
    Pattern(Pattern),
    /// A share of each row.
    Rows(f64),
    /// A share of square blocks of this size.
    Blocks {
        size: usize,
        share: f64,
    },
    /// What was found: a cut a site, so many weights together.
    Found {
        zeros: u64,
    },
}

/// Zeroes weights of sites.
#[derive(Debug, Clone)]
pub struct MaskSites {
    pub sites: Vec<String>,
    pub mask: Mask,
    pub criterion: Arc<dyn Criterion>,
    /// Where weights compete, for people.
    pub scope: &'static str,
}

impl MaskSites {
    /// What the step makes of a site's weight type.
    fn sparsity(&self, graph: &Graph, site: SiteId) -> Option<Sparsity> {
        let (out, inputs) = matrix_shape(graph, site);
        match &self.mask {
            Mask::Pattern(pattern) => Some(Sparsity::Pattern { keep: pattern.keep(), of: pattern.of() }),
            Mask::Rows(share) => Some(Sparsity::Zeros((out * part(inputs, *share)) as u64)),
            Mask::Blocks { size, share } => {
                let blocks = (out / size) * (inputs / size);
                Some(Sparsity::Zeros((part(blocks, *share) * size * size) as u64))
            }
            // One site may lose more than its share and another less.
            Mask::Found { .. } => None,
        }
    }

    fn rule(&self, graph: &Graph, site: SiteId, path: &str, found: Option<&Finding>) -> Arc<dyn MaskRule> {
        let (out, inputs) = matrix_shape(graph, site);
        let criterion = Arc::clone(&self.criterion);
        match (&self.mask, found) {
            (Mask::Pattern(pattern), _) => Arc::new(InGroups { pattern: *pattern, criterion }),
            (Mask::Rows(share), _) => Arc::new(InRows { remove: part(inputs, *share), criterion }),
            (Mask::Blocks { size, share }, _) => {
                let blocks = (out / size) * (inputs / size);
                Arc::new(InBlocks { size: *size, keep: blocks - part(blocks, *share) })
            }
            (Mask::Found { .. }, Some(Finding::Cuts(cuts))) => Arc::new(Below { cut: cuts[path], criterion }),
            (Mask::Found { .. }, _) => unreachable!("a mask by cuts comes with cuts"),
        }
    }
}

/// Outputs and inputs of a site's matrix; upper bounds while extents are.
pub fn matrix_shape(graph: &Graph, site: SiteId) -> (usize, usize) {
    let (out, inputs) = graph.site_dims(site);
    (graph.dim_extent(&out), graph.dim_extent(&inputs))
}

/// A share of so many, rounded to the nearest, halves to even.
pub fn part(all: usize, share: f64) -> usize {
    (all as f64 * share).round_ties_even() as usize
}

impl Rewrite for MaskSites {
    fn describe(&self) -> String {
        let what = match &self.mask {
            Mask::Pattern(pattern) => format!("{pattern} by {}", self.criterion.describe()),
            Mask::Rows(share) => format!("{} % zeros a row by {}", share * 100.0, self.criterion.describe()),
            Mask::Blocks { size, share } => format!("{} % zeros in {size} x {size} blocks", share * 100.0),
            Mask::Found { zeros } => {
                format!("{zeros} zeros a {} by {}", self.scope, self.criterion.describe())
            }
        };
        format!("{what} in {} weights", self.sites.len())
    }

    fn arguments(&self) -> serde_json::Value {
        let mask = match &self.mask {
            Mask::Pattern(pattern) => json!({ "keep": pattern.keep(), "of": pattern.of() }),
            Mask::Rows(share) => json!({ "rows": share }),
            Mask::Blocks { size, share } => json!({ "blocks": size, "share": share }),
            Mask::Found { zeros } => json!({ "zeros": zeros }),
        };
        json!({ "mask": mask, "criterion": self.criterion.describe(), "sites": self.sites })
    }

    fn touches(&self) -> Vec<String> {
        self.sites.clone()
    }

    fn without(&self, gone: &BTreeSet<String>) -> Option<Arc<dyn Rewrite>> {
        let sites: Vec<String> = self.sites.iter().filter(|site| !gone.contains(*site)).cloned().collect();
        (!sites.is_empty()).then(|| Arc::new(Self { sites, ..self.clone() }) as _)
    }

    fn effect(&self, graph: &mut Graph) {
        let places = graph.places();
        for site in self.sites.iter().filter_map(|path| places.site(path)) {
            let sparsity = self.sparsity(graph, site);
            graph.sites[site].sparsity = sparsity;
        }
    }

    fn apply(&self, version: &mut Version, found: Option<&Finding>) -> Result<(), Diagnostic> {
        let places = version.graph.places();
        for path in &self.sites {
            let site = places.site(path).expect("the checker and the run agree on paths");
            let rule = self.rule(&version.graph, site, path, found);
            version.mask(site, rule);
        }
        self.effect(&mut version.graph);
        if let Some(Finding::Cuts(cuts)) = found {
            let removed: BTreeMap<&String, u64> =
                cuts.iter().map(|(path, cut)| (path, cut.removed as u64)).collect();
            for path in &self.sites {
                let site = places.site(path).expect("the checker and the run agree on paths");
                version.graph.sites[site].sparsity = Some(Sparsity::Zeros(removed[path]));
            }
        }
        Ok(())
    }
}
