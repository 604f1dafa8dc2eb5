//! Experts taken apart: two small factors a matrix, and the rows of what they leave that weigh most (MC-SMoE, its last stage).

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde_json::json;

use super::super::room::Room;
use crate::checkpoint::TensorSpec;
use crate::diagnostic::{Diagnostic, codes, numbers};
use crate::graph::{Expert, Graph, SiteId};
use crate::pass::{Context, Finding, Work, WorkKind};
use crate::tensor::DType;
use crate::tensor::residual::heaviest_rows;
use crate::tensor::svd::factor;

/// What a matrix becomes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compression {
    pub rank: usize,
    /// The share of rows that are kept of what factors leave; none without.
    pub rest: Option<f64>,
}

impl Compression {
    /// Rows that are kept of a matrix with so many.
    pub fn rows(self, out: usize) -> Option<usize> {
        self.rest.map(|share| ((share * out as f64).round() as usize).clamp(1, out.max(1)))
    }

    /// Whether what is kept is smaller than the matrix.
    pub fn saves(self, out: usize, inputs: usize) -> bool {
        self.rank * (out + inputs) + self.rows(out).unwrap_or(0) * inputs < out * inputs
    }
}

/// A part of a matrix that was taken apart, and the name under which it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    Left,
    Right,
    /// `[rows, in]`
    Rest,
    /// The numbers of those rows, exact as f32.
    Rows,
}

impl Piece {
    pub fn name(self, path: &str) -> String {
        let piece = match self {
            Self::Left => "left",
            Self::Right => "right",
            Self::Rest => "rest",
            Self::Rows => "rows",
        };
        format!("{path}.{piece}")
    }
}

/// The matrices of all experts of an axis that are smaller when taken apart.
pub fn compressible(graph: &Graph, path: &str, how: Compression) -> Vec<SiteId> {
    let axis = graph.places().axis(path).and_then(|axis| graph.experts_of(axis));
    let sites = axis.into_iter().flat_map(|(_, of)| of.experts.iter().flat_map(Expert::sites));
    sites
        .filter(|&site| {
            let (out, ins) = graph.site_dims(site);
            how.saves(graph.dim_extent(&out), graph.dim_extent(&ins))
        })
        .collect()
}

/// Takes the matrices of experts apart, by themselves.
#[derive(Debug)]
pub struct CompressExperts {
    /// Paths of the axes of experts.
    pub axes: Vec<String>,
    pub how: Compression,
}

impl Work for CompressExperts {
    fn kind(&self) -> WorkKind {
        WorkKind::Select
    }

    fn describe(&self) -> String {
        format!("factors of experts of {}", numbers::things(self.axes.len(), "layer"))
    }

    fn arguments(&self) -> serde_json::Value {
        json!({ "factors of experts": self.axes, "rank": self.how.rank, "rest": self.how.rest })
    }

    fn reads(&self) -> Vec<String> {
        self.axes.clone()
    }

    fn run(&self, at: &Context<'_>) -> Result<Finding, Diagnostic> {
        let graph = &at.version.graph;
        let sites: Vec<SiteId> =
            self.axes.iter().flat_map(|path| compressible(graph, path, self.how)).collect();
        let room = Room::new(at.room, sites.iter().flat_map(|&site| self.specs(graph, site)).collect())?;
        // Each decomposition runs on one thread, so that no bit depends on how many there are.
        sites.par_iter().try_for_each(|&site| self.take_apart(at, &room, site))?;
        room.finish(BTreeMap::new())
    }
}

impl CompressExperts {
    fn shape(graph: &Graph, site: SiteId) -> (usize, usize) {
        let (out, ins) = graph.site_dims(site);
        (graph.dim_extent(&out), graph.dim_extent(&ins))
    }

    fn specs(&self, graph: &Graph, site: SiteId) -> Vec<TensorSpec> {
        let path = graph.tree.path(graph.sites[site].node);
        let ((out, inputs), rank) = (Self::shape(graph, site), self.how.rank);
        let view = graph.sites[site].views().next().expect("a site has a weight");
        let dtype = graph.params[view.param].dtype;
        let spec = |piece: Piece, dtype: DType, shape: Vec<usize>| TensorSpec {
            name: piece.name(&path),
            dtype,
            shape,
        };
        let factors =
            [spec(Piece::Left, dtype, vec![out, rank]), spec(Piece::Right, dtype, vec![rank, inputs])];
        let rest = self.how.rows(out).map(|rows| {
            [spec(Piece::Rest, dtype, vec![rows, inputs]), spec(Piece::Rows, DType::F32, vec![rows])]
        });
        factors.into_iter().chain(rest.into_iter().flatten()).collect()
    }

    fn take_apart(&self, at: &Context<'_>, room: &Room, site: SiteId) -> Result<(), Diagnostic> {
        let graph = &at.version.graph;
        let path = graph.tree.path(graph.sites[site].node);
        let (out, inputs) = Self::shape(graph, site);
        let matrix = at.version.site_matrix(site)?;
        let mut factors = factor(&matrix, out, inputs, self.how.rank).map_err(|error| {
            let message = format!("`{path}` cannot be taken apart: {error}");
            Diagnostic::new(&codes::WEIGHTS_NOT_FINITE, message)
        })?;
        // What is written is rounded; rows make up for that too.
        room.write(&Piece::Left.name(&path), &mut factors.left)?;
        room.write(&Piece::Right.name(&path), &mut factors.right)?;
        if let Some(count) = self.how.rows(out) {
            let mut rows = heaviest_rows(&matrix, &factors, inputs, count);
            room.write(&Piece::Rest.name(&path), &mut rows.values)?;
            let mut at: Vec<f32> = rows.at.iter().map(|&row| row as f32).collect();
            room.write(&Piece::Rows.name(&path), &mut at)?;
        }
        Ok(())
    }
}
