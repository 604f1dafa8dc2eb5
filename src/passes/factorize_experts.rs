//! `factorize experts`: each matrix of an expert as two small factors, with some rows of what they leave.
//!
//! ```text
//! factorize experts of layers[*] to rank(32) with { residual: sparse(10%) }
//! ```

use std::sync::Arc;

use serde_json::json;

use crate::checkpoint::Checkpoint;
use crate::diagnostic::{Diagnostic, codes, numbers};
use crate::graph::{Expert, Extent, Graph, SiteId, Weight};
use crate::observe::experts::{CompressExperts, Compression, Piece, compressible};
use crate::pass;
use crate::pass::{
    Argument, Count, Finding, Findings, Lowering, Pass, Ratio, Registry, Rewrite, Stage, StepScope, Type,
    Value, ValueKind, Wrong,
};
use crate::syntax::ast::ClauseKind;
use crate::tensor::convert;
use crate::weights::{Expr, Version};

/// `rank(32)`
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OfRank(usize);

impl Argument for OfRank {
    const TYPE: Type = Type { name: "rank", doc: "a rank, `rank(32)`", choices: &[] };

    fn read(value: &Value, registry: &Registry) -> Result<Self, Wrong> {
        match (called(value, "rank"), &value.kind) {
            (Some(rank), _) => Count::read(rank, registry).map(|Count(rank)| Self(rank)),
            (None, ValueKind::Number { value: number, .. }) => {
                Err(Wrong::kind(value, Self::TYPE.doc).meant(value, &format!("rank({number})")))
            }
            _ => Err(Wrong::kind(value, Self::TYPE.doc)),
        }
    }
}

/// `sparse(10%)`: the share of rows that are kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Residual(f64);

impl Argument for Residual {
    const TYPE: Type =
        Type { name: "residual", doc: "a share of the rows that factors leave, `sparse(10%)`", choices: &[] };

    fn read(value: &Value, registry: &Registry) -> Result<Self, Wrong> {
        let share = called(value, "sparse").ok_or_else(|| Wrong::kind(value, Self::TYPE.doc))?;
        match Ratio::read(share, registry)? {
            Ratio(0.0) => Err(Wrong::range(value, "no rows are left").help("leave `residual` out")),
            Ratio(share) => Ok(Self(share)),
        }
    }
}

/// The one argument of a call of this name.
fn called<'v>(value: &'v Value, wanted: &str) -> Option<&'v Value> {
    let ValueKind::Call { name, args, .. } = &value.kind else { return None };
    match args.as_slice() {
        [only] if name == wanted && only.name.is_none() => Some(&only.value),
        _ => None,
    }
}

pass! {
    /// Writes each matrix [out, in] of the experts as the product of [out, rank] and [rank, in], cut after the largest singular
    /// values, and adds rows of what these leave: `residual: sparse(10%)` keeps the tenth of rows whose weights are largest on
    /// average. What is left out is what nobody misses most, as far as weights alone tell.
    ///
    /// A matrix is taken apart where that saves: rank x (out + in) + rows x in < out x in. It works behind `merge experts` too.
    ///
    /// ```tamis
    /// factorize experts of layers[*] to rank(4) with { residual: sparse(10%) }
    /// ```
    ///
    /// Merge, Then Compress, arXiv:2310.01334, its last stage without the fine-tuning, and with magnitudes in the place of
    /// sensitivities.
    FactorizeExperts = "factorize" ["experts"]
    {
        /// The rank of factors.
        To rank: OfRank,
    }
    with {
        /// What is kept of the rows that factors leave.
        residual: Option<Residual>,
    }
}

impl Pass for FactorizeExperts {
    fn lower(&self, step: &StepScope<'_>) -> Result<Lowering, Diagnostic> {
        let how = Compression { rank: self.rank.0, rest: self.residual.map(|Residual(share)| share) };
        let axes = step.axes();
        let mut some = false;
        for path in &axes {
            refuse(step, path)?;
            some |= !compressible(step.graph, path, how).is_empty();
        }
        if !some {
            let message = format!("factors of rank {} are nowhere smaller than the experts", how.rank);
            let note = step.at(ClauseKind::To, &codes::NO_EFFECT, message);
            return Ok(Lowering { notes: vec![note], ..Lowering::default() });
        }
        let work = CompressExperts { axes: axes.clone(), how };
        let rewrite = Arc::new(FactorExperts { axes, how });
        Ok(Lowering { stages: vec![Stage { work: vec![Arc::new(work)], rewrite }], ..Lowering::default() })
    }
}

/// Factors need a matrix of their own.
fn refuse(step: &StepScope<'_>, path: &str) -> Result<(), Diagnostic> {
    let graph = step.graph;
    let axis = graph.places().axis(path).expect("targets are resolved in this graph");
    let (_, of) = graph.experts_of(axis).expect("experts are of an operation");
    for site in of.experts.iter().flat_map(Expert::sites) {
        let place = || graph.tree.path(graph.sites[site].node);
        if matches!(graph.sites[site].weight, Weight::Factored { .. }) {
            let message = format!("`{}` is two factors already", place());
            return Err(Diagnostic::at(&codes::FACTORED, step.verb, message));
        }
        if !graph.can_factor(site) {
            let message = format!("`{}` is a part of a tensor of all experts", place());
            return Err(Diagnostic::at(&codes::CANNOT_FACTOR, step.verb, message));
        }
    }
    Ok(())
}

/// Puts factors, and rows beside them, in the place of experts' matrices.
#[derive(Debug)]
struct FactorExperts {
    /// Paths of the axes of experts.
    axes: Vec<String>,
    how: Compression,
}

impl FactorExperts {
    fn sites(&self, graph: &Graph) -> Vec<SiteId> {
        self.axes.iter().flat_map(|path| compressible(graph, path, self.how)).collect()
    }
}

impl Rewrite for FactorExperts {
    fn describe(&self) -> String {
        let layers = numbers::things(self.axes.len(), "layer");
        format!("experts of {layers} to rank {}", self.how.rank)
    }

    fn arguments(&self) -> serde_json::Value {
        json!({ "factor experts": self.axes, "rank": self.how.rank, "rest": self.how.rest })
    }

    fn touches(&self) -> Vec<String> {
        self.axes.clone()
    }

    fn effect(&self, graph: &mut Graph) {
        for site in self.sites(graph) {
            let out = graph.dim_extent(&graph.site_dims(site).0);
            graph.factor(site, Extent::exact(self.how.rank));
            if let Some(rows) = self.how.rows(out) {
                // Which they are the run will tell.
                graph.add_rest(site, (0..rows).collect());
            }
        }
    }

    fn apply(&self, version: &mut Version, found: Findings<'_>) -> Result<(), Diagnostic> {
        let dir = found.find(|finding| match finding {
            Finding::Tensors { dir, .. } => Some(dir),
            _ => None,
        });
        let pieces = Arc::new(Checkpoint::open(dir.expect("factors were written"))?);
        let stored = |piece: Piece, path: &str| {
            let stored = pieces.tensors.get(&piece.name(path)).expect("every piece was written").clone();
            Arc::new(Expr::Stored { checkpoint: Arc::clone(&pieces), stored })
        };
        for site in self.sites(&version.graph) {
            let path = version.graph.tree.path(version.graph.sites[site].node);
            let out = version.graph.dim_extent(&version.graph.site_dims(site).0);
            version.factor(site, self.how.rank);
            let Weight::Factored { left, right, .. } = version.graph.sites[site].weight.clone() else {
                continue;
            };
            version.replace(left.param, stored(Piece::Left, &path));
            version.replace(right.param, stored(Piece::Right, &path));
            if self.how.rows(out).is_some() {
                let rows = numbers_of(&stored(Piece::Rows, &path))?;
                version.add_rest(site, rows, stored(Piece::Rest, &path));
            }
        }
        Ok(())
    }
}

/// Numbers that were kept as f32.
fn numbers_of(expr: &Expr) -> Result<Vec<usize>, Diagnostic> {
    let mut bytes = Vec::new();
    expr.read_rows(0..expr.rows(), &mut bytes)?;
    let mut values = vec![0.0f32; expr.len()];
    convert::read_f32(expr.dtype(), &bytes, &mut values).expect("numbers are floats");
    Ok(values.into_iter().map(|value| value as usize).collect())
}
