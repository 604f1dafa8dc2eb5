//! Tensors of two models, block by block on all threads.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::{Change, Model, TensorChange, TensorSide};
use crate::checkpoint::Stored;
use crate::diagnostic::{Diagnostic, codes};
use crate::tensor::{DType, TensorError, convert};

/// Elements that are read at once.
const BLOCK: usize = 1 << 18;

/// A tensor's name and its place in either model.
struct Pair<'a> {
    name: &'a str,
    stored: [Option<&'a Stored>; 2],
}

impl Pair<'_> {
    /// Both are there and of one shape, so that elements stand against elements.
    fn alike(&self) -> bool {
        matches!(self.stored, [Some(a), Some(b)] if a.shape == b.shape)
    }

    /// Elements of the longer one.
    fn elements(&self) -> usize {
        let elements = |stored: &&Stored| (stored.bytes as usize) / stored.dtype.size();
        self.stored.iter().flatten().map(elements).max().unwrap_or(0)
    }
}

/// What is counted in a block, and summed over a tensor.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    zeros: [u64; 2],
    differ: bool,
    /// Squares of `a`, and of the difference.
    norm: f64,
    distance: f64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.zeros = [self.zeros[0] + other.zeros[0], self.zeros[1] + other.zeros[1]];
        self.differ |= other.differ;
        self.norm += other.norm;
        self.distance += other.distance;
    }
}

pub(super) fn compare(a: Model<'_>, b: Model<'_>) -> Result<Vec<TensorChange>, Diagnostic> {
    let pairs = pairs(a, b);
    let blocks: Vec<(usize, usize)> = pairs
        .iter()
        .enumerate()
        .flat_map(|(pair, it)| (0..it.elements().div_ceil(BLOCK)).map(move |block| (pair, block * BLOCK)))
        .collect();
    let counted: Vec<Result<Counts, Diagnostic>> =
        blocks.par_iter().map(|&(pair, at)| count([a, b], &pairs[pair], at)).collect();
    let mut sums = vec![Counts::default(); pairs.len()];
    for (&(pair, _), counts) in blocks.iter().zip(counted) {
        sums[pair] += counts?;
    }
    let axes = [a, b].map(axes);
    Ok(pairs.iter().zip(sums).map(|(pair, sums)| changed(&axes, pair, &sums)).collect())
}

fn pairs<'a>(a: Model<'a>, b: Model<'a>) -> Vec<Pair<'a>> {
    let (a, b) = (&a.checkpoint.tensors, &b.checkpoint.tensors);
    let mut names: Vec<&String> = a.keys().chain(b.keys().filter(|&name| !a.contains_key(name))).collect();
    names.sort_by_cached_key(|name| by_number(name));
    names.into_iter().map(|name| Pair { name, stored: [a.get(name), b.get(name)] }).collect()
}

/// Words and numbers of a name: `layers.2` comes before `layers.10`.
fn by_number(name: &str) -> Vec<(Option<u64>, &str)> {
    name.split('.').map(|part| (part.parse().ok(), part)).collect()
}

/// Reads one block of each side, as far as the side has it.
fn count(models: [Model<'_>; 2], pair: &Pair<'_>, at: usize) -> Result<Counts, Diagnostic> {
    let mut counts = Counts::default();
    let mut blocks = [Vec::new(), Vec::new()];
    for (side, block) in blocks.iter_mut().enumerate() {
        let Some(stored) = pair.stored[side] else { continue };
        let size = stored.dtype.size();
        let elements = (stored.bytes as usize / size).saturating_sub(at).min(BLOCK);
        if elements == 0 {
            continue;
        }
        block.resize(elements * size, 0);
        models[side].checkpoint.read_at(stored, (at * size) as u64, block)?;
        if stored.dtype.is_float() {
            counts.zeros[side] = convert::count_zeros(stored.dtype, block).map_err(unfit)? as u64;
        }
    }
    if pair.alike() {
        let [Some(a), Some(b)] = pair.stored else { return Ok(counts) };
        counts.differ = a.dtype != b.dtype || blocks[0] != blocks[1];
        if a.dtype.is_float() && b.dtype.is_float() {
            let [a, b] = [floats(a.dtype, &blocks[0])?, floats(b.dtype, &blocks[1])?];
            counts.norm = a.iter().map(|a| a * a).sum();
            counts.distance = a.iter().zip(&b).map(|(a, b)| (a - b) * (a - b)).sum();
        }
    }
    Ok(counts)
}

fn floats(dtype: DType, bytes: &[u8]) -> Result<Vec<f64>, Diagnostic> {
    let mut values = vec![0.0; bytes.len() / dtype.size()];
    convert::read_f64(dtype, bytes, &mut values).map_err(unfit)?;
    Ok(values)
}

/// What the dims of each tensor are, where the architecture is known.
fn axes(model: Model<'_>) -> BTreeMap<String, String> {
    let Some(graph) = model.graph else { return BTreeMap::new() };
    graph.params.iter().map(|(_, param)| (param.name.resolve(), graph.dims_text(&param.dims))).collect()
}

fn changed(axes: &[BTreeMap<String, String>; 2], pair: &Pair<'_>, counts: &Counts) -> TensorChange {
    let side = |side: usize| {
        let stored = pair.stored[side]?;
        Some(TensorSide {
            dtype: stored.dtype,
            shape: stored.shape.clone(),
            axes: axes[side].get(pair.name).cloned(),
            zeros: stored.dtype.is_float().then_some(counts.zeros[side]),
        })
    };
    let change = match pair.stored {
        [Some(_), None] => Change::OnlyInA,
        [None, _] => Change::OnlyInB,
        _ if !pair.alike() => Change::Shape,
        _ if !counts.differ => Change::Same,
        [Some(a), Some(b)] => {
            let relative = (counts.distance / counts.norm).sqrt();
            let told = a.dtype.is_float() && b.dtype.is_float() && relative.is_finite();
            Change::Values { relative: told.then_some(relative) }
        }
    };
    TensorChange { name: pair.name.to_owned(), sides: [side(0), side(1)], change }
}

/// The bytes of a checked checkpoint fit their type, so this does not happen; if it does, it is told as bad input.
fn unfit(error: TensorError) -> Diagnostic {
    Diagnostic::new(&codes::TENSOR_SIZE, error.to_string())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::checkpoint::{Checkpoint, Existing, OutputDir, TensorSpec};

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let mut names = ["x.10.b", "x.2.b", "w", "x.2.a", "x.norm"];
        names.sort_by_key(|name| by_number(name));
        assert_eq!(names, ["w", "x.norm", "x.2.a", "x.2.b", "x.10.b"]);
    }

    /// A checkpoint of f32 tensors.
    fn checkpoint(dir: &Path, tensors: &[(&str, &[usize], Vec<f32>)]) -> Checkpoint {
        let output = OutputDir::create(dir, Existing::Refuse, &[]).unwrap();
        let spec = |(name, shape, _): &(&str, &[usize], Vec<f32>)| TensorSpec {
            name: (*name).into(),
            dtype: DType::F32,
            shape: shape.to_vec(),
        };
        let files = output.tensors(&tensors.iter().map(spec).collect::<Vec<_>>(), None).unwrap();
        for (at, (_, _, values)) in tensors.iter().enumerate() {
            files.write_at(at, 0, bytemuck::cast_slice(values)).unwrap();
        }
        drop(files);
        output.put("config.json", b"{}").unwrap();
        output.finish().unwrap();
        Checkpoint::open(dir).unwrap()
    }

    #[test]
    fn sums_go_over_blocks_and_shapes_may_differ() {
        const LONG: usize = BLOCK + 1000;
        let dir = tempfile::tempdir().unwrap();
        let mut changed = vec![1.0; LONG];
        // In the second block: two ones are gone, another is three.
        changed[LONG - 3..].copy_from_slice(&[0.0, 0.0, 3.0]);
        let a = [
            ("same", &[2][..], vec![1.0, 0.0]),
            ("x", &[LONG][..], vec![1.0; LONG]),
            ("y", &[LONG], vec![0.0; LONG]),
        ];
        let b =
            [("same", &[2][..], vec![1.0, 0.0]), ("x", &[LONG][..], changed), ("y", &[3][..], vec![0.0; 3])];
        let (a, b) = (checkpoint(&dir.path().join("a"), &a), checkpoint(&dir.path().join("b"), &b));
        let model = |checkpoint| Model { checkpoint, graph: None };
        let found = compare(model(&a), model(&b)).unwrap();
        let zeros = |at: usize| found[at].sides.each_ref().map(|side| side.as_ref().unwrap().zeros.unwrap());
        assert_eq!((found[0].change, zeros(0)), (Change::Same, [1, 1]));
        let relative = Some((6.0 / LONG as f64).sqrt());
        assert_eq!((found[1].change, zeros(1)), (Change::Values { relative }, [0, 2]));
        assert_eq!((found[2].change, zeros(2)), (Change::Shape, [LONG as u64, 3]));
    }
}
