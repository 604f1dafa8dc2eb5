//! The work behind shares of zeros: where to cut the scores of each matrix, alone or competing with others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;

use super::mask::part;
use super::rules::elements;
use crate::diagnostic::{Diagnostic, codes};
use crate::graph::SiteId;
use crate::pass::{Criterion, Finding, Work, WorkKind};
use crate::tensor::TensorError;
use crate::tensor::cut::{Cut, select_global};
use crate::tensor::floor::with_floor;
use crate::weights::{Reach, Version};

/// Scores that are held at once of one matrix.
const PIECE: usize = 1 << 20;

/// Finds exact cuts: so many weights go from each group, by rank of their scores.
#[derive(Debug, Clone)]
pub struct FindCuts {
    pub criterion: Arc<dyn Criterion>,
    /// Sites that compete with each other.
    pub groups: Vec<Vec<String>>,
    pub share: f64,
    /// Weights that stay at least in each matrix, as a share of all weights of its group (Global MP, arXiv:2209.14624).
    pub floor: f64,
}

impl Work for FindCuts {
    fn kind(&self) -> WorkKind {
        WorkKind::Select
    }

    fn describe(&self) -> String {
        let sites: usize = self.groups.iter().map(Vec::len).sum();
        format!("{} % of {sites} weights by {}", self.share * 100.0, self.criterion.describe())
    }

    fn arguments(&self) -> serde_json::Value {
        json!({
            "criterion": self.criterion.describe(),
            "groups": self.groups,
            "share": self.share,
            "floor": self.floor,
        })
    }

    fn reads(&self) -> Vec<String> {
        self.groups.iter().flatten().cloned().collect()
    }

    /// A matrix that is alone in its group can be left out without a change to the others.
    fn without(&self, gone: &BTreeSet<String>) -> Option<Arc<dyn Work>> {
        let alone_and_gone = |group: &Vec<String>| matches!(group.as_slice(), [one] if gone.contains(one));
        let groups: Vec<Vec<String>> =
            self.groups.iter().filter(|group| !alone_and_gone(group)).cloned().collect();
        (!groups.is_empty()).then(|| Arc::new(Self { groups, ..self.clone() }) as _)
    }

    fn run(&self, version: &Version, _: Option<&Finding>) -> Result<Finding, Diagnostic> {
        let mut cuts = BTreeMap::new();
        for group in &self.groups {
            for (path, cut) in group.iter().zip(self.cut_group(version, group)?) {
                cuts.insert(path.clone(), cut);
            }
        }
        Ok(Finding::Cuts(cuts))
    }
}

impl FindCuts {
    fn cut_group(&self, version: &Version, group: &[String]) -> Result<Vec<Cut>, Diagnostic> {
        let graph = &version.graph;
        let places = graph.places();
        let sites: Vec<(&str, SiteId)> = group
            .iter()
            .map(|path| (path.as_str(), places.site(path).expect("the checker and the run agree on paths")))
            .collect();
        let sizes: Vec<usize> = sites.iter().map(|&(_, site)| elements_of(version, site)).collect();
        let total: usize = sizes.iter().sum();
        let remove = part(total, self.share);
        let cuts = self.cut(version, &sites, &sizes, remove)?;
        let floor = (total as f64 * self.floor) as usize;
        if floor == 0 {
            return Ok(cuts);
        }
        let removed: Vec<usize> = cuts.iter().map(|cut| cut.removed).collect();
        let floored = with_floor(&removed, &sizes, remove, floor);
        let again = sites.iter().zip(&sizes).zip(&floored.removed).zip(cuts);
        again
            .map(|(((site, size), &remove), cut)| {
                // A matrix whose share is as it was keeps its cut.
                if remove == cut.removed {
                    return Ok(cut);
                }
                Ok(self.cut(version, &[*site], &[*size], remove)?.remove(0))
            })
            .collect()
    }

    fn cut(
        &self,
        version: &Version,
        sites: &[(&str, SiteId)],
        sizes: &[usize],
        remove: usize,
    ) -> Result<Vec<Cut>, Diagnostic> {
        let elements = elements(&self.criterion);
        let piece = if elements.reach() == Reach::Inputs(1) { PIECE } else { usize::MAX };
        let read = |tensor: usize, start: usize, scores: &mut [f32]| -> Result<(), CutFailed> {
            let (path, site) = sites[tensor];
            let mut weights = vec![0.0; scores.len()];
            version.matrix_range(site, start, &mut weights)?;
            elements.score(path, start, &weights, scores);
            Ok(())
        };
        select_global(sizes, piece, remove, read).map_err(|failed| failed.0)
    }
}

fn elements_of(version: &Version, site: SiteId) -> usize {
    version.graph.matrix_views(site).map(|view| version.graph.view_elements(view)).sum()
}

/// A failure to read, or a selection that could not be made.
struct CutFailed(Diagnostic);

impl From<Diagnostic> for CutFailed {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(diagnostic)
    }
}

impl From<TensorError> for CutFailed {
    fn from(error: TensorError) -> Self {
        Self(Diagnostic::new(&codes::WEIGHTS_NOT_FINITE, format!("scores cannot be ranked: {error}")))
    }
}
