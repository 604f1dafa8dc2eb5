//! Weights taken apart layer by layer, by what comes through them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use rayon::prelude::*;
use serde_json::json;

use super::inputs::{Statistic, seen};
use super::read_batches;
use super::room::Room;
use crate::checkpoint::TensorSpec;
use crate::diagnostic::{Diagnostic, codes, numbers};
use crate::graph::{Part, SiteId, Weight};
use crate::pass::elements::everything;
use crate::pass::{Context, Data, Factorizing, Finding, Work, WorkKind};
use crate::runtime::op::{Host, tensor};
use crate::runtime::{Batch, Failure, Loaded, Matrix, Model, Value, Values, Walk, Watch};
use crate::tensor::svd::{Factors, factor_whitened};
use crate::tensor::whitening::Whitening;

/// What a weight is multiplied with before it is taken apart.
pub trait Whiten: Debug + Send + Sync {
    /// What has to be seen of its inputs.
    fn statistic(&self) -> Statistic;

    /// The matrix for what was seen; `None` where that is not finite.
    fn whitening(&self, seen: &[f64], inputs: usize) -> Option<Whitening>;

    /// Whether weights are taken apart by what came through the dense layers before them, and outer factors then fitted to what
    /// comes through the factors. Needs products of inputs as its statistic.
    fn refits(&self) -> bool {
        false
    }

    /// All that it depends on beside that.
    fn arguments(&self) -> serde_json::Value;
}

/// Finds factors of weights, layer by layer: each sees what comes through the factors before it.
#[derive(Debug)]
pub struct FactorOnData {
    data: Data,
    whiten: Arc<dyn Whiten>,
    /// By path of the weight.
    ranks: BTreeMap<String, usize>,
    reads: Vec<String>,
}

impl FactorOnData {
    pub fn new(asked: &Factorizing<'_>, data: Data, whiten: Arc<dyn Whiten>) -> Self {
        Self { data, whiten, ranks: asked.ranks.clone(), reads: everything(asked.graph) }
    }
}

/// The name under which one side of a weight's factors is kept.
pub fn factor_name(path: &str, part: Part) -> String {
    match part {
        Part::Left => format!("{path}.left"),
        Part::Right => format!("{path}.right"),
    }
}

impl Work for FactorOnData {
    fn kind(&self) -> WorkKind {
        WorkKind::Observe
    }

    fn describe(&self) -> String {
        let weights = numbers::things(self.ranks.len(), "weight");
        format!("factors of {weights} on {}, layer by layer", self.data.name)
    }

    fn arguments(&self) -> serde_json::Value {
        json!({
            "factor by": self.whiten.arguments(),
            "data": self.data.reader.describe(),
            "ranks": self.ranks,
        })
    }

    fn reads(&self) -> Vec<String> {
        self.reads.clone()
    }

    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn run(&self, at: &Context<'_>) -> Result<Finding, Diagnostic> {
        let (graph, places) = (&at.version.graph, at.version.graph.places());
        let site = |path: &String| places.site(path).expect("the checker and the run agree on paths");
        let sites: BTreeMap<SiteId, (&str, usize)> =
            self.ranks.iter().map(|(path, rank)| (site(path), (path.as_str(), *rank))).collect();
        let specs = sites.iter().flat_map(|(&site, &(path, rank))| {
            let Weight::Dense(view) = &graph.sites[site].weight else {
                unreachable!("the pass refuses factored weights")
            };
            let view = graph.matrix(view, graph.sites[site].transposed);
            let dtype = graph.sites[site].views().map(|view| graph.params[view.param].dtype).next();
            let dtype = dtype.expect("a site has a weight");
            let spec = |part, shape: [usize; 2]| TensorSpec {
                name: factor_name(path, part),
                dtype,
                shape: shape.to_vec(),
            };
            [spec(Part::Left, [view.out, rank]), spec(Part::Right, [rank, view.inputs])]
        });
        let room = Room::new(at.room, specs.collect())?;
        let batches = read_batches(at, &self.data, None)?;
        let taking = TakingApart { sites, whiten: &*self.whiten, room: &room };
        let model = Model::new(at.version);
        taking.run(&model, &batches).map_err(Failure::told)?;
        room.finish(BTreeMap::new())
    }
}

/// Statistics by weight.
type Sums = BTreeMap<SiteId, Vec<f64>>;

/// What was seen of the inputs of a layer's weights.
struct Seen<'a> {
    sites: &'a BTreeMap<SiteId, (&'a str, usize)>,
    statistic: Statistic,
    sums: Sums,
}

impl Watch for Seen<'_> {
    fn input(&mut self, site: SiteId, x: &Value) -> Result<(), Failure> {
        if !self.sites.contains_key(&site) {
            return Ok(());
        }
        let found = seen(self.statistic, x)?;
        match self.sums.get_mut(&site) {
            None => drop(self.sums.insert(site, found)),
            Some(sums) => sums.iter_mut().zip(found).for_each(|(sum, it)| *sum += it),
        }
        Ok(())
    }
}

struct TakingApart<'a> {
    sites: BTreeMap<SiteId, (&'a str, usize)>,
    whiten: &'a dyn Whiten,
    room: &'a Room,
}

impl TakingApart<'_> {
    fn run(&self, model: &Model<'_>, batches: &[Batch]) -> Result<(), Failure> {
        let mut left = self.sites.len();
        let mut now = model.walk(batches);
        let mut dense = self.whiten.refits().then(|| model.walk(batches));
        while let Some(segment) = now.segment().filter(|_| left > 0) {
            let mut weights = now.weights()?;
            let (after, seen) = self.look(&now, &weights)?;
            let of_dense = match &mut dense {
                None => None,
                Some(dense) => {
                    let (after, seen) = self.look(dense, &weights)?;
                    dense.go(after);
                    Some(seen)
                }
            };
            let here: Vec<SiteId> =
                segment.sites.iter().copied().filter(|site| self.sites.contains_key(site)).collect();
            left -= here.len();
            if here.is_empty() {
                now.go(after);
                continue;
            }
            self.take_apart(&here, &mut weights, of_dense.as_ref(), &seen)?;
            now.advance(&weights)?;
        }
        Ok(())
    }

    /// A layer's values behind it, and what was seen in it.
    fn look(&self, at: &Walk<'_>, weights: &Loaded) -> Result<(Vec<Values>, Sums), Failure> {
        let mut seen = Seen { sites: &self.sites, statistic: self.whiten.statistic(), sums: BTreeMap::new() };
        let after = at.look(weights, &mut seen)?;
        Ok((after, seen.sums))
    }

    /// Puts factors in the place of some weights.
    fn take_apart(
        &self,
        here: &[SiteId],
        weights: &mut Loaded,
        of_dense: Option<&Sums>,
        seen: &Sums,
    ) -> Result<(), Failure> {
        let factors = |site: &SiteId| -> Result<Factors, Failure> {
            let white = of_dense.unwrap_or(seen).get(site);
            let mut factors = self.factors(*site, weights, white)?;
            if let (Some(_), Some(now)) = (of_dense, seen.get(site)) {
                let Matrix::Dense(matrix) = &weights.get(*site).matrix else { return Ok(factors) };
                factors.refit(Host::of(matrix)?.values(), now);
            }
            Ok(factors)
        };
        // Each decomposition runs on one thread, so that no bit depends on how many there are.
        let found: Vec<Factors> = here.par_iter().map(factors).collect::<Result<_, Failure>>()?;
        for (&site, Factors { rank, mut left, mut right }) in here.iter().zip(found) {
            let (path, _) = self.sites[&site];
            self.room.write(&factor_name(path, Part::Left), &mut left)?;
            self.room.write(&factor_name(path, Part::Right), &mut right)?;
            let (out, inputs) = (left.len() / rank, right.len() / rank);
            weights.get_mut(site).matrix = Matrix::Factored {
                left: tensor(left, (out, rank))?,
                right: tensor(right, (rank, inputs))?,
                rest: None,
            };
        }
        Ok(())
    }

    fn factors(&self, site: SiteId, weights: &Loaded, seen: Option<&Vec<f64>>) -> Result<Factors, Failure> {
        let (path, rank) = self.sites[&site];
        let Matrix::Dense(matrix) = &weights.get(site).matrix else {
            unreachable!("the pass refuses factored weights")
        };
        let (out, inputs) = matrix.dims2()?;
        let values = Host::of(matrix)?;
        let whitening = match seen {
            Some(seen) => self.whiten.whitening(seen, inputs),
            // An expert that no token was routed to: its weights alone decide.
            None => Some(Whitening::Diagonal(vec![1.0; inputs])),
        };
        let not_finite = |why: String| {
            Diagnostic::new(&codes::ANSWERS_NOT_FINITE, format!("`{path}` cannot be taken apart: {why}"))
        };
        let whitening = whitening.ok_or_else(|| not_finite("its inputs are not finite".into()))?;
        Ok(factor_whitened(values.values(), out, inputs, rank, &whitening)
            .map_err(|error| not_finite(error.to_string()))?)
    }
}
