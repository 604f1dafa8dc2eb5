//! Masking: the rewrite that lets weights be zero wherever they are read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;

use super::fit::{Fit, refuse_misfits};
use super::rules::{CutRule, PatternRule, RowRule, Scores};
use crate::diagnostic::{Diagnostic, numbers};
use crate::graph::{Graph, SiteId, Sparsity};
use crate::pass::{Finding, Findings, Masking, Rewrite, Statistics};
use crate::tensor::cut::at_least;
use crate::tensor::pattern::Pattern;
use crate::weights::{MaskRule, Version};

/// Zeroes weights of some sites by one rule.
#[derive(Debug, Clone)]
pub struct MaskWeights {
    pub scores: Scores,
    pub how: How,
    /// Paths of the sites.
    pub sites: Vec<String>,
}

/// Which weights go.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum How {
    /// All but `n` of every `m` inputs.
    Pattern(Pattern),
    /// A share of each row of blocks.
    Rows { size: usize, share: f64 },
    /// What lies below the cuts that were found; `share` of each weight, where each is cut by itself.
    Cuts { size: usize, share: Option<f64> },
}

impl How {
    /// What has to divide the matrices.
    pub fn fit(self) -> Fit {
        match self {
            Self::Pattern(pattern) => Fit::Pattern(pattern),
            Self::Rows { size, .. } | Self::Cuts { size, .. } => Fit::Blocks(size),
        }
    }
}

impl MaskWeights {
    /// The same where each weight's mask follows from what was observed of it alone.
    pub fn masking(&self) -> Option<Arc<dyn Masking>> {
        let by_itself = matches!(self.how, How::Pattern(_) | How::Rows { .. });
        by_itself.then(|| Arc::new(Self { sites: Vec::new(), ..self.clone() }) as Arc<dyn Masking>)
    }
}

impl Masking for MaskWeights {
    fn rule(&self, seen: &Statistics) -> Arc<dyn MaskRule> {
        let scores = self.scores.observed(seen);
        match self.how {
            How::Pattern(pattern) => Arc::new(PatternRule { scores, pattern }),
            How::Rows { size, share } => Arc::new(RowRule { scores, size, share }),
            How::Cuts { .. } => unreachable!("cuts follow from all weights that compete"),
        }
    }

    fn arguments(&self) -> serde_json::Value {
        Rewrite::arguments(self)
    }
}

impl Rewrite for MaskWeights {
    fn describe(&self) -> String {
        let weights = numbers::things(self.sites.len(), "weight");
        match self.how {
            How::Pattern(pattern) => format!("{pattern} in {weights} by {}", self.scores.0.describe()),
            How::Rows { share, .. } => {
                format!(
                    "{} zeros in each row of {weights} by {}",
                    numbers::share(share),
                    self.scores.0.describe()
                )
            }
            How::Cuts { share: Some(share), .. } => format!("{} zeros in {weights}", numbers::share(share)),
            How::Cuts { share: None, .. } => format!("zeros in {weights}"),
        }
    }

    fn arguments(&self) -> serde_json::Value {
        let how = match self.how {
            How::Pattern(pattern) => json!({ "pattern": pattern.to_string() }),
            How::Rows { size, share } => json!({ "rows": share, "block": size }),
            How::Cuts { size, .. } => json!({ "cuts": "found", "block": size }),
        };
        json!({ "mask": how, "by": self.scores.0.describe(), "sites": self.sites })
    }

    fn touches(&self) -> Vec<String> {
        self.sites.clone()
    }

    fn without(&self, gone: &BTreeSet<String>) -> Option<Arc<dyn Rewrite>> {
        let sites: Vec<String> = self.sites.iter().filter(|path| !gone.contains(*path)).cloned().collect();
        (!sites.is_empty()).then(|| Arc::new(Self { sites, ..self.clone() }) as Arc<dyn Rewrite>)
    }

    fn effect(&self, graph: &mut Graph) {
        let places = graph.places();
        for site in self.sites.iter().filter_map(|path| places.site(path)) {
            let zeros = match self.how {
                How::Pattern(pattern) => {
                    promise_pattern(graph, site, pattern);
                    continue;
                }
                How::Rows { size, share } => known_zeros(graph, site, |outs, across| {
                    outs / size * at_least(across / size, share) * size * size
                }),
                How::Cuts { size, share: Some(share) } => known_zeros(graph, site, |outs, across| {
                    at_least(outs / size * (across / size), share) * size * size
                }),
                How::Cuts { share: None, .. } => None,
            };
            if let Some(zeros) = zeros {
                promise_zeros(graph, site, zeros);
            }
        }
    }

    fn apply(&self, version: &mut Version, found: Findings<'_>) -> Result<(), Diagnostic> {
        refuse_misfits(&version.graph, &self.sites, self.how.fit())?;
        let places = version.graph.places();
        let none = BTreeMap::new();
        let cuts = found.find(|finding| match finding {
            Finding::Cuts(cuts) => Some(cuts),
            _ => None,
        });
        let (cuts, scores) = (cuts.unwrap_or(&none), self.scores.after(found));
        for path in &self.sites {
            let site = places.site(path).expect("the checker and the run agree on paths");
            let scores = scores.clone();
            let rule: Arc<dyn MaskRule> = match self.how {
                How::Pattern(pattern) => Arc::new(PatternRule { scores, pattern }),
                How::Rows { size, share } => Arc::new(RowRule { scores, size, share }),
                How::Cuts { size, .. } => {
                    let cut = cuts[path];
                    promise_zeros(&mut version.graph, site, cut.removed * size * size);
                    Arc::new(CutRule { scores, size, cut })
                }
            };
            version.mask(site, rule);
        }
        self.effect(&mut version.graph);
        Ok(())
    }
}

fn promise_pattern(graph: &mut Graph, site: SiteId, pattern: Pattern) {
    let before = graph.sites[site].sparsity;
    graph.sites[site].sparsity = Some(Sparsity::and_pattern(before, pattern.keep(), pattern.of()));
}

/// More zeros do not end a pattern.
fn promise_zeros(graph: &mut Graph, site: SiteId, zeros: usize) {
    let before = graph.sites[site].sparsity;
    graph.sites[site].sparsity = Some(Sparsity::and_zeros(before, zeros as u64));
}

/// How many weights become zero, where the extents are known: from outputs and inputs.
fn known_zeros(graph: &Graph, site: SiteId, zeros: impl Fn(usize, usize) -> usize) -> Option<usize> {
    let (outs, ins) = graph.site_dims(site);
    let known = outs.0.iter().chain(&ins.0).all(|&axis| graph.extent(axis).known().is_some());
    known.then(|| zeros(graph.dim_extent(&outs), graph.dim_extent(&ins)))
}
