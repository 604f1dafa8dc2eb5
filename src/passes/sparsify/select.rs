//! Where scores are cut: exactly so many of those that compete go, by rank.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rayon::prelude::*;
use serde_json::json;

use super::rules::Scores;
use super::scores::Tiles;
use crate::diagnostic::{Diagnostic, codes, numbers};
use crate::graph::SiteId;
use crate::pass::{Context, Finding, Work, WorkKind};
use crate::tensor::cut::{at_least, select_global};
use crate::tensor::floor::with_floor;
use crate::tensor::{Cut, TensorError};
use crate::weights::{Reach, Version};

/// Scores that are read at once, where no more have to be.
const PIECE: usize = 1 << 20;

/// Finds the cut of each weight for a share of zeros.
#[derive(Debug, Clone)]
pub struct SelectWeights {
    pub scores: Scores,
    pub share: f64,
    /// Edge of the blocks that compete; 1 for single weights.
    pub size: usize,
    /// What each weight keeps at least, as a share of all that it competes with.
    pub floor: Option<f64>,
    /// Paths of weights that compete with each other.
    pub pools: Vec<Vec<String>>,
}

impl Work for SelectWeights {
    fn kind(&self) -> WorkKind {
        WorkKind::Select
    }

    fn describe(&self) -> String {
        let weights = numbers::things(self.pools.iter().map(Vec::len).sum(), "weight");
        let share = numbers::share(self.share);
        let by = self.scores.0.describe();
        match self.pools.len() {
            1 => format!("{share} of {weights} together by {by}"),
            pools if self.alone() => format!("{share} of each of {pools} weights by {by}"),
            pools => format!("{share} of {weights} in {pools} groups by {by}"),
        }
    }

    fn arguments(&self) -> serde_json::Value {
        json!({
            "cuts by": self.scores.0.describe(),
            "share": self.share,
            "block": self.size,
            "floor": self.floor,
            "pools": self.pools,
        })
    }

    fn reads(&self) -> Vec<String> {
        self.pools.iter().flatten().cloned().collect()
    }

    fn without(&self, gone: &BTreeSet<String>) -> Option<Arc<dyn Work>> {
        let left: Vec<Vec<String>> =
            self.pools.iter().filter(|pool| !gone.contains(&pool[0])).cloned().collect();
        let useful = self.alone() && !left.is_empty();
        useful.then(|| Arc::new(Self { pools: left, ..self.clone() }) as Arc<dyn Work>)
    }

    fn merged(&self, other: &dyn Work) -> Option<Arc<dyn Work>> {
        let with = |pools: &[Vec<String>]| Self { pools: pools.to_vec(), ..self.clone() };
        let new: Vec<Vec<String>> = other.reads().into_iter().map(|path| vec![path]).collect();
        let same = self.alone() && other.arguments() == with(&new).arguments();
        let new = new.into_iter().filter(|pool| !self.pools.contains(pool));
        same.then(|| {
            Arc::new(with(&self.pools.iter().cloned().chain(new).collect::<Vec<_>>())) as Arc<dyn Work>
        })
    }

    fn run(&self, at: &Context<'_>) -> Result<Finding, Diagnostic> {
        let version = at.version;
        let with_seen = Self { scores: self.scores.after(at.found), ..self.clone() };
        let places = version.graph.places();
        let site = |path: &String| places.site(path).expect("the checker and the run agree on paths");
        let cuts = |pool: &Vec<String>| {
            let sites: Vec<SiteId> = pool.iter().map(site).collect();
            Ok(pool.iter().cloned().zip(with_seen.cut(version, &sites)?).collect())
        };
        let cuts: Vec<BTreeMap<String, Cut>> = self.pools.par_iter().map(cuts).collect::<Result<_, _>>()?;
        Ok(Finding::Cuts(cuts.into_iter().flatten().collect()))
    }

    fn remarks(&self, version: &Version, found: &Finding) -> Vec<Diagnostic> {
        let Finding::Cuts(cuts) = found else { return Vec::new() };
        let places = version.graph.places();
        let is_empty = |path: &String| {
            let all = places.site(path).map(|site| self.tiles(version, site).1);
            all.is_some() && cuts.get(path).map(|cut| cut.removed) == all
        };
        let reads = self.reads();
        let empty: Vec<&str> = reads.iter().filter(|path| is_empty(path)).map(String::as_str).collect();
        let [first, others @ ..] = empty.as_slice() else { return Vec::new() };
        let message = match others.len() {
            0 => format!("nothing is left of the weight of `{first}`"),
            more => format!("nothing is left of the weights of `{first}` and {more} more"),
        };
        let warning = Diagnostic::new(&codes::LAYER_COLLAPSE, message);
        vec![warning.help("`by lamp` leaves something of every layer, and so does `with { floor: 0.05% }`")]
    }
}

impl SelectWeights {
    /// Whether each weight is cut by itself.
    fn alone(&self) -> bool {
        self.pools.iter().all(|pool| pool.len() == 1)
    }

    /// The cuts of weights that compete, in their order.
    fn cut(&self, version: &Version, sites: &[SiteId]) -> Result<Vec<Cut>, Diagnostic> {
        let tiles: Vec<(Tiles, usize)> = sites.iter().map(|&site| self.tiles(version, site)).collect();
        let lens: Vec<usize> = tiles.iter().map(|(_, count)| *count).collect();
        let total = lens.iter().sum();
        let count = at_least(total, self.share);
        let cuts = self.lowest(version, sites, &tiles, count)?;
        let Some(floor) = self.floor else { return Ok(cuts) };
        let removed: Vec<usize> = cuts.iter().map(|cut| cut.removed).collect();
        let floor = (total as f64 * floor) as usize;
        let floored = with_floor(&removed, &lens, count, floor);
        let again = |at: usize| match floored.removed[at] {
            same if same == removed[at] => Ok(cuts[at]),
            count => Ok(self.lowest(version, &sites[at..=at], &tiles[at..=at], count)?[0]),
        };
        (0..sites.len()).into_par_iter().map(again).collect()
    }

    /// Cuts the `count` lowest of some weights.
    fn lowest(
        &self,
        version: &Version,
        sites: &[SiteId],
        tiles: &[(Tiles, usize)],
        count: usize,
    ) -> Result<Vec<Cut>, Diagnostic> {
        let scores = self.scores.get();
        let apart =
            scores.reach() == Reach::Inputs(1) && sites.iter().all(|&site| version.has_rows_apart(site));
        let piece = if apart { PIECE } else { usize::MAX };
        let lens: Vec<usize> = tiles.iter().map(|(_, count)| *count).collect();
        let read = |at: usize, first, out: &mut [f32]| {
            tiles[at].0.read(version, sites[at], scores, first, out).map_err(Failed::Reading)
        };
        select_global(&lens, piece, count, read).map_err(|failed| match failed {
            Failed::Reading(wrong) => wrong,
            Failed::Counting(error) => unreachable!("no more go than there are: {error}"),
        })
    }

    /// How a weight is cut into what competes, and how many that are.
    fn tiles(&self, version: &Version, site: SiteId) -> (Tiles, usize) {
        let (outs, ins) = version.graph.site_dims(site);
        let tiles = Tiles { size: self.size, inputs: version.graph.dim_extent(&ins) };
        (tiles, tiles.count(version.graph.dim_extent(&outs)))
    }
}

/// Why a selection ended.
enum Failed {
    Reading(Diagnostic),
    Counting(TensorError),
}

impl From<TensorError> for Failed {
    fn from(error: TensorError) -> Self {
        Self::Counting(error)
    }
}
