//! Which tensors have gradients under a budget of training FLOPs (GreenTrainer, arXiv:2309.13192).

use std::collections::BTreeMap;

use super::objective::Objective;
use super::student::{Pace, Student};
use crate::graph::{Expert, Graph, Op, OpId, View};
use crate::pass::{Ratio, Told};
use crate::runtime::{Batch, Failure};
use crate::tensor::backward::{Gradient, choose, cost};

/// How much of a training's FLOPs may be spent, and how often it is chosen anew on what.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spending {
    /// Of what training every tensor costs, forward passes among it.
    pub share: f64,
    /// Epochs between choices.
    pub epochs: usize,
}

impl Told for Spending {
    fn told(&self) -> serde_json::Value {
        serde_json::json!({ "share": Ratio(self.share).told(), "epochs": self.epochs })
    }
}

/// FLOPs of gradients, one entry a variable that is a weight, from the last operation backwards; and those of a forward pass.
/// Counted as the paper does, for one sample: `tokens x in x out` for a matrix' own gradient and for what it passes on, `tokens x
/// width` for norms and biases; the products of attention are passed through by the values behind which they lie.
pub struct Costs {
    /// Numbers of variables.
    places: Vec<usize>,
    gradients: Vec<Gradient>,
    forward: f64,
}

impl Costs {
    pub fn new(graph: &Graph, views: &[Option<&View>]) -> Self {
        let schedule = graph.schedule();
        let place_of: BTreeMap<&View, usize> =
            views.iter().enumerate().filter_map(|(at, view)| Some(((*view)?, at))).collect();
        // A table that is a head too has its gradient when the first operation that reads it has.
        let mut first: BTreeMap<usize, OpId> = BTreeMap::new();
        let mut own: BTreeMap<usize, f64> = BTreeMap::new();
        let reads = |op: OpId| {
            let sites = graph.ops[op].op.sites().into_iter();
            sites.flat_map(|site| graph.sites[site].views().collect::<Vec<_>>()).collect::<Vec<&View>>()
        };
        for &op in &schedule {
            for view in reads(op) {
                let Some(&place) = place_of.get(view) else { continue };
                first.entry(place).or_insert(op);
                *own.entry(place).or_default() += tokens(graph, op) * own_size(graph, op, view);
            }
        }
        let mut made = Self { places: Vec::new(), gradients: Vec::new(), forward: 0.0 };
        let mut through = 0.0;
        for &op in schedule.iter().rev() {
            through += passed(graph, op);
            made.forward += passed(graph, op);
            // A bias lies in front of its matrix on the way back.
            for view in reads(op).into_iter().rev() {
                let Some(&place) = place_of.get(view) else { continue };
                if first.get(&place) == Some(&op) {
                    let own = own.remove(&place).unwrap_or_default();
                    made.places.push(place);
                    made.gradients.push(Gradient { own, through: std::mem::take(&mut through), worth: 0.0 });
                }
            }
        }
        made
    }

    /// The share of backward work that leaves so much of all: the forward pass is always there.
    fn backward(&self, share: f64) -> f64 {
        let all: f64 = self.gradients.iter().map(|it| it.own + it.through).sum();
        let forward = if all > 0.0 { self.forward / all } else { 0.0 };
        (share * (1.0 + forward) - forward).max(0.05)
    }
}

/// Tokens of one sample at an operation.
fn tokens(graph: &Graph, op: OpId) -> f64 {
    let dims = &graph.ops[op].value;
    let rows: usize = dims[..dims.len().saturating_sub(1)].iter().map(|dim| graph.dim_extent(dim)).product();
    rows.max(1) as f64
}

/// FLOPs of a tensor's own gradient, a token: a table's row is added, a matrix' gradient is a product.
fn own_size(graph: &Graph, op: OpId, view: &View) -> f64 {
    let width = graph.ops[op].value.last().map_or(1, |dim| graph.dim_extent(dim));
    match graph.ops[op].op {
        Op::Embedding(_) | Op::Positions { .. } | Op::GridPositions { .. } | Op::Types(_) => width as f64,
        _ => graph.view_elements(view) as f64,
    }
}

/// FLOPs of passing a gradient through an operation.
fn passed(graph: &Graph, op: OpId) -> f64 {
    let width = |op: OpId| graph.ops[op].value.last().map_or(1, |dim| graph.dim_extent(dim)) as f64;
    let rows = tokens(graph, op);
    match &graph.ops[op].op {
        Op::Linear(site) => {
            let views = graph.matrix_views(*site);
            rows * views.map(|view| graph.view_elements(view) as f64).sum::<f64>()
        }
        Op::Experts(of) => {
            let sites = of.experts.iter().flat_map(Expert::sites);
            let all: f64 = sites
                .flat_map(|site| graph.matrix_views(site))
                .map(|view| graph.view_elements(view) as f64)
                .sum();
            rows * all * of.top_k as f64 / of.experts.len().max(1) as f64
        }
        Op::Attention(_) if graph.is_flow(op) => {
            let head_dim = graph.ops[op].value.last().and_then(|dim| dim.0.last());
            4.0 * rows * width(op) * head_dim.map_or(1, |&axis| graph.extent(axis).max) as f64
        }
        Op::Attention(_) => 4.0 * rows * rows * width(op),
        Op::LayerNorm { .. } | Op::RmsNorm { .. } | Op::LayerScale(_) => rows * width(op),
        _ => 0.0,
    }
}

/// Chooses what is trained until the next choice: what a step of each tensor is worth is the gradient behind a step times the step,
/// to first order (section 3.2). Weights and moments are as they were afterwards. The share of the backward work that is left.
///
/// # Errors
/// Where a sample does not fit the model.
pub fn select(
    student: &mut Student<'_>,
    objective: &mut Objective<'_>,
    costs: &Costs,
    spending: Spending,
    batch: &Batch,
    pace: Pace,
) -> Result<f64, Failure> {
    let count = student.trained.len();
    student.activate(vec![true; count]);
    let before = student.remember(objective);
    let gradients = |student: &mut Student<'_>, objective: &mut Objective<'_>| -> Result<(), Failure> {
        student.begin(objective, None, pace.step);
        let loss = objective.loss(student, batch)?;
        student.follow(&loss, 1.0, objective)
    };
    gradients(student, objective)?;
    // A gradient that is not finite is told of by the step itself.
    let moved = student.advance(objective, None, pace).is_ok();
    let mut all = costs.gradients.clone();
    if moved {
        let steps: Vec<Vec<f32>> =
            student.trained.iter().zip(&before.values).map(|(one, then)| one.moved_from(then)).collect();
        gradients(student, objective)?;
        for (gradient, &place) in all.iter_mut().zip(&costs.places) {
            let along = student.trained[place].gradient.iter().zip(&steps[place]);
            gradient.worth = -along.map(|(g, step)| f64::from(*g) * f64::from(*step)).sum::<f64>();
        }
    }
    student.recall(objective, before);
    let chosen = choose(&all, costs.backward(spending.share));
    let mut active = vec![!moved; count];
    for (&place, chosen) in costs.places.iter().zip(&chosen) {
        active[place] = *chosen || !moved;
    }
    student.activate(active);
    Ok(cost(&all, &chosen))
}
