//! Weights of some operations in memory, as f32 tensors.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{Device, Tensor, Var};
use rayon::prelude::*;

use super::Failure;
use super::op::{self, tensor};
use crate::diagnostic::Diagnostic;
use crate::graph::{Dim, Graph, SiteId, View, Weight};
use crate::weights::Version;

/// The matrix of a site, `[out, in]` whatever its layout in the file.
#[derive(Debug, Clone)]
pub enum Matrix {
    Dense(Tensor),
    /// `left [out, rank]` times `right [rank, in]`, and rows that are added to it.
    Factored {
        left: Tensor,
        right: Tensor,
        rest: Option<Rest>,
    },
}

/// Rows of a matrix beside its factors.
#[derive(Debug, Clone)]
pub struct Rest {
    /// `[rows, in]`
    pub matrix: Tensor,
    /// The output of each.
    pub rows: Tensor,
}

/// What an operation reads.
#[derive(Debug, Clone)]
pub struct SiteWeights {
    pub matrix: Matrix,
    /// `[out]`
    pub bias: Option<Tensor>,
}

/// Weights of sites; those of one block at a time, or of all.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    sites: BTreeMap<SiteId, SiteWeights>,
}

impl Loaded {
    /// Reads the weights of some sites, in parallel. A tensor that two sites share is read once.
    ///
    /// # Errors
    /// Where bytes cannot be read, or are not finite.
    pub fn read(version: &Version, sites: &[SiteId]) -> Result<Self, Failure> {
        Self::with(version, sites, &BTreeSet::new()).map(|(loaded, _)| loaded)
    }

    /// Reads the weights of some sites, and makes variables of the tensors that are among `trained`: what a loss has gradients by.
    /// A tensor that two sites share is one variable.
    ///
    /// # Errors
    /// As [`Loaded::read`].
    pub fn variables(
        version: &Version,
        sites: &[SiteId],
        trained: &BTreeSet<View>,
    ) -> Result<(Self, Vec<Leaf>), Failure> {
        let (loaded, read) = Self::with(version, sites, trained)?;
        let leaf = |(key, tensor): (Key, Tensor)| Leaf {
            view: key.view,
            transposed: key.transposed,
            is_matrix: !key.vector,
            tensor,
        };
        let leaves = read.into_iter().filter(|(key, _)| trained.contains(&key.view)).map(leaf);
        Ok((loaded, leaves.collect()))
    }

    /// The weights of some sites, and what was read for them.
    fn with(
        version: &Version,
        sites: &[SiteId],
        trained: &BTreeSet<View>,
    ) -> Result<(Self, Vec<(Key, Tensor)>), Failure> {
        let graph = &version.graph;
        let mut keys: Vec<Key> = sites.iter().flat_map(|&site| keys(graph, site)).collect();
        keys.sort();
        keys.dedup();
        let read = |key: &Key| -> Result<Tensor, Failure> {
            let values = version.view_matrix(&key.view, key.transposed)?;
            let read = tensor(values, key.shape(graph))?;
            Ok(if trained.contains(&key.view) { Var::from_tensor(&read)?.into_inner() } else { read })
        };
        let tensors: Vec<Tensor> = keys.par_iter().map(read).collect::<Result<_, Failure>>()?;
        let find = |key: &Key| tensors[keys.binary_search(key).expect("its key is among them")].clone();
        let of_site = |&site: &SiteId| Ok((site, of_site(graph, site, &find)?));
        let loaded = Self { sites: sites.iter().map(of_site).collect::<Result<_, Failure>>()? };
        Ok((loaded, keys.into_iter().zip(tensors).collect()))
    }

    /// The same, where some variables are constants: nothing is passed back for their sake. They share what they hold.
    pub fn with_constants(&self, constant: impl Fn(&Tensor) -> bool) -> Self {
        let of = |tensor: &Tensor| if constant(tensor) { tensor.detach() } else { tensor.clone() };
        let site = |(&id, weights): (&SiteId, &SiteWeights)| {
            let matrix = match &weights.matrix {
                Matrix::Dense(matrix) => Matrix::Dense(of(matrix)),
                Matrix::Factored { left, right, rest } => {
                    let rest =
                        rest.as_ref().map(|rest| Rest { matrix: of(&rest.matrix), rows: rest.rows.clone() });
                    Matrix::Factored { left: of(left), right: of(right), rest }
                }
            };
            (id, SiteWeights { matrix, bias: weights.bias.as_ref().map(of) })
        };
        Self { sites: self.sites.iter().map(site).collect() }
    }

    /// The weights of a site.
    ///
    /// # Panics
    /// Where they were not read.
    pub fn get(&self, site: SiteId) -> &SiteWeights {
        &self.sites[&site]
    }

    pub fn get_mut(&mut self, site: SiteId) -> &mut SiteWeights {
        self.sites.get_mut(&site).expect("the site was read")
    }

    /// Puts weights in the place of a site's, or beside those of others.
    pub fn put(&mut self, site: SiteId, weights: SiteWeights) {
        self.sites.insert(site, weights);
    }

    pub fn sites(&self) -> impl Iterator<Item = SiteId> {
        self.sites.keys().copied()
    }
}

/// A variable: a part of a tensor that is trained.
#[derive(Debug, Clone)]
pub struct Leaf {
    pub view: View,
    /// Whether it lies in its tensor with inputs first.
    pub transposed: bool,
    pub is_matrix: bool,
    /// `[out, in]`, or `[out]`; what the operations that share it compute with, as the variable itself.
    pub tensor: Tensor,
}

/// One read of a tensor, or of a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    view: View,
    transposed: bool,
    vector: bool,
}

impl Key {
    fn order(&self) -> (usize, Vec<(usize, usize)>, bool, bool) {
        let fixed = self.view.fixed.iter().map(|&(axis, at)| (axis.index(), at)).collect();
        (self.view.param.index(), fixed, self.transposed, self.vector)
    }

    fn shape(&self, graph: &Graph) -> Vec<usize> {
        if self.vector {
            return vec![graph.view_elements(&self.view)];
        }
        let (out, inputs) = graph.matrix_dims(&self.view, self.transposed);
        let extent = |dim: &Dim| graph.dim_extent(dim);
        vec![extent(&out), extent(&inputs)]
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

fn weight_keys(graph: &Graph, site: SiteId) -> Vec<Key> {
    use crate::graph::SiteKind;
    let of = &graph.sites[site];
    let vector = matches!(of.kind, SiteKind::Norm | SiteKind::Scale | SiteKind::Token);
    match &of.weight {
        Weight::Dense(view) => vec![Key { view: view.clone(), transposed: of.transposed, vector }],
        Weight::Factored { left, right, rest } => {
            let key = |view: &View| Key { view: view.clone(), transposed: false, vector };
            [left, right].into_iter().chain(rest.iter().map(|rest| &rest.view)).map(key).collect()
        }
    }
}

fn bias_key(graph: &Graph, site: SiteId) -> Option<Key> {
    let bias = graph.sites[site].bias.clone()?;
    Some(Key { view: bias, transposed: false, vector: true })
}

fn keys(graph: &Graph, site: SiteId) -> Vec<Key> {
    weight_keys(graph, site).into_iter().chain(bias_key(graph, site)).collect()
}

fn of_site(graph: &Graph, site: SiteId, find: &impl Fn(&Key) -> Tensor) -> Result<SiteWeights, Failure> {
    let bias = bias_key(graph, site).map(|key| find(&key));
    let matrix = match weight_keys(graph, site).as_slice() {
        [left, right, rest @ ..] => {
            let rest = rest.first().map(|rest| Rest::new(graph, site, find(rest))).transpose()?;
            Matrix::Factored { left: find(left), right: find(right), rest }
        }
        [dense] => Matrix::Dense(find(dense)),
        [] => unreachable!("a weight is dense or has two factors"),
    };
    Ok(SiteWeights { matrix, bias })
}

impl Rest {
    fn new(graph: &Graph, site: SiteId, matrix: Tensor) -> Result<Self, Failure> {
        let Weight::Factored { rest: Some(rest), .. } = &graph.sites[site].weight else {
            unreachable!("the site has such rows")
        };
        let rows: Vec<u32> = rest.rows.iter().map(|&row| row as u32).collect();
        Ok(Self { matrix, rows: Tensor::from_slice(&rows, rows.len(), &Device::Cpu)? })
    }
}

impl SiteWeights {
    /// `[rows, in]` to `[rows, out]`.
    ///
    /// # Errors
    /// Where shapes do not agree: an error of ours.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor, Failure> {
        let bias = self.bias.as_ref();
        Ok(match &self.matrix {
            Matrix::Dense(weight) => op::linear(x, weight, bias)?,
            Matrix::Factored { left, right, rest } => {
                let y = op::linear(&op::linear(x, right, None)?, left, bias)?;
                match rest {
                    Some(rest) => y.index_add(&rest.rows, &op::linear(x, &rest.matrix, None)?, 1)?,
                    None => y,
                }
            }
        })
    }

    /// The dense matrix.
    ///
    /// # Errors
    /// Where it is factored, and the factors do not fit: an error of ours.
    pub fn dense(&self) -> Result<Tensor, Failure> {
        match &self.matrix {
            Matrix::Dense(matrix) => Ok(matrix.clone()),
            Matrix::Factored { left, right, rest: None } => Ok(left.matmul(right)?),
            Matrix::Factored { left, right, rest: Some(rest) } => {
                Ok(left.matmul(right)?.index_add(&rest.rows, &rest.matrix, 0)?)
            }
        }
    }
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Told(Box::new(diagnostic))
    }
}
