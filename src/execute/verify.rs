//! What was written is opened again and compared with what was promised: names, types, extents, ranks, zeros.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use rayon::prelude::*;

use super::record::cost;
use super::write::Written;
use crate::check::MeasuredAt;
use crate::checkpoint::{Checkpoint, Digest, Family, FileId, Passing, Stored, read_graph};
use crate::diagnostic::{Diagnostic, codes};
use crate::graph::{Graph, Sparsity, Weight};
use crate::pass::{CostBound, Progress};
use crate::provenance::{Cost, Step};
use crate::tensor::pattern::{Pattern, count_violations};
use crate::tensor::{DType, MatrixView, convert};
use crate::weights::{MatrixPart, Reach, Version};

/// What was found in an output that is as it should be.
pub struct Verified {
    /// Digests of the weight files, by name.
    pub digests: BTreeMap<PathBuf, Digest>,
    /// What the model costs that is there.
    pub cost: Cost,
}

/// Reads an output once, from end to end.
///
/// # Errors
/// Where the files cannot be read, or are not what the steps promise.
pub fn verify(
    written: &Written,
    families: &[&Family],
    at: MeasuredAt,
    progress: &dyn Progress,
) -> Result<Verified, Diagnostic> {
    let checkpoint = Arc::new(Checkpoint::open(written.output.path())?);
    let mut read = read_graph(families, &checkpoint).map_err(|errors| {
        let first = errors.into_iter().next().map_or(String::new(), |error| error.message);
        broken(format!("the output cannot be read back: {first}"))
    })?;
    same_shape(&written.version.graph, &read)?;
    read.set_tokens(at.tokens);
    read.times.clone_from(&written.version.graph.times);
    let version = Version::open(written.version.graph.clone(), &checkpoint);
    let shares = checkpoint.shares();
    let kept: Vec<_> =
        shares.par_iter().map(|ids| keeps_promises(&version, &checkpoint, ids, progress)).collect();
    // Collected first, so that of several errors always the same one is told.
    let digests: Vec<Vec<Digest>> = kept.into_iter().collect::<Result<_, _>>()?;
    let name = |id: &FileId| checkpoint.file(*id).path.file_name().map_or_else(PathBuf::new, PathBuf::from);
    let names = shares.iter().flatten().map(name);
    Ok(Verified { digests: names.zip(digests.into_iter().flatten()).collect(), cost: cost(&read, at.batch) })
}

/// Compares budgets with what their steps left, and with what is there in the end: `written`, which was read back.
/// A later step that makes the model larger again, as a cast to a wider type does, ends a budget.
///
/// # Errors
/// Where a step left more than it promised to, or the output costs something else than the run reckoned.
pub fn verify_budgets(steps: &[Step], reckoned: &Cost, written: &Cost) -> Result<(), Diagnostic> {
    if reckoned != written {
        let message = format!("the output costs {written:?}, where the steps leave {reckoned:?}");
        return Err(broken(message));
    }
    for (at, Step { number, after, budget, .. }) in steps.iter().enumerate() {
        let Some(CostBound { measure, at_most }) = budget else { continue };
        let mut left: Vec<u64> = steps[at..].iter().map(|step| step.after.of(*measure)).collect();
        left.push(written.of(*measure));
        let grew = left.windows(2).any(|pair| pair[0] < pair[1]);
        let last = if grew { after.of(*measure) } else { written.of(*measure) };
        if let Some(cost) = [left[0], last].into_iter().find(|cost| cost > at_most) {
            return Err(broken(format!("step {number} left {cost} {measure}, where it promised {at_most}")));
        }
    }
    Ok(())
}

/// The axes of both by path, and the tensors by name. Ranks and dropped layers are seen in these.
fn same_shape(promised: &Graph, read: &Graph) -> Result<(), Diagnostic> {
    let tensors = |graph: &Graph| {
        let tensor = |param: &crate::graph::Param| (param.name.resolve(), param.dtype, graph.shape(param));
        let mut tensors: Vec<_> = graph.params.iter().map(|(_, param)| tensor(param)).collect();
        tensors.sort_unstable();
        tensors
    };
    let (promised_tensors, read_tensors) = (tensors(promised), tensors(read));
    if let Some((wanted, _)) = promised_tensors.iter().zip(&read_tensors).find(|(left, right)| left != right)
    {
        return Err(broken(format!("`{}` is not as the steps leave it", wanted.0)));
    }
    if promised_tensors.len() != read_tensors.len() {
        return Err(broken(format!(
            "{} tensors, where the steps leave {}",
            read_tensors.len(),
            promised_tensors.len()
        )));
    }
    Ok(())
}

/// A site whose zeros are promised, while its tensor goes by.
struct Promise {
    place: String,
    sparsity: Sparsity,
    part: MatrixPart,
    violations: usize,
    zeros: u64,
}

impl Promise {
    fn pattern(&self) -> Option<Pattern> {
        self.sparsity.pattern().and_then(|(keep, of)| Pattern::new(keep, of).ok())
    }

    /// Rows of the tensor that can be judged by themselves.
    fn granule(&self) -> usize {
        self.part.granule(Reach::Inputs(self.pattern().map_or(1, Pattern::of)))
    }

    fn see(&mut self, dtype: DType, rows: &Range<usize>, bytes: &[u8]) {
        let matrix = self.part.of_rows(rows);
        if let Some(pattern) = self.pattern() {
            self.violations +=
                count_violations(dtype, bytes, &matrix, pattern).expect("rows of whole groups");
        }
        if self.sparsity.zeros().is_some() {
            self.zeros += zeros_in(dtype, bytes, &matrix);
        }
    }

    fn kept(&self) -> Result<(), Diagnostic> {
        let Self { place, violations, zeros, .. } = self;
        match (self.sparsity.pattern(), self.sparsity.zeros()) {
            (Some((keep, of)), _) if *violations > 0 => {
                Err(broken(format!("{violations} groups of `{place}` are not {keep}:{of}")))
            }
            (_, Some(promised)) if *zeros < promised => {
                Err(broken(format!("`{place}` has {zeros} zeros, where {promised} are promised")))
            }
            _ => Ok(()),
        }
    }
}

/// Reads files through, and looks at every weight in it of which zeros are promised.
fn keeps_promises(
    version: &Version,
    checkpoint: &Checkpoint,
    ids: &[FileId],
    progress: &dyn Progress,
) -> Result<Vec<Digest>, Diagnostic> {
    let mut promises = promises(version, |name| ids.contains(&checkpoint.tensors[name].file));
    let rows = |promises: &BTreeMap<String, Vec<Promise>>, name: &str| {
        let granules = promises.get(name).into_iter().flatten().map(Promise::granule);
        granules.fold(1, common_multiple)
    };
    let row_bytes = |stored: &Stored| stored.shape.last().copied().unwrap_or(1) * stored.dtype.size();
    let granules: BTreeMap<String, usize> =
        promises.keys().map(|name| (name.clone(), rows(&promises, name))).collect();
    let granule =
        |name: &str, stored: &Stored| (granules.get(name).copied().unwrap_or(1) * row_bytes(stored)) as u64;
    let digests = checkpoint.read_through(ids, granule, |Passing { name, stored, offset, bytes }| {
        progress.advance(bytes.len() as u64);
        let row = row_bytes(stored);
        let first = offset as usize / row;
        let rows = first..first + bytes.len() / row;
        for promise in promises.get_mut(name).into_iter().flatten() {
            promise.see(stored.dtype, &rows, bytes);
        }
    })?;
    promises.values().flatten().try_for_each(Promise::kept)?;
    Ok(digests)
}

/// What is promised of some tensors, by name.
fn promises(version: &Version, of: impl Fn(&str) -> bool) -> BTreeMap<String, Vec<Promise>> {
    let graph = &version.graph;
    let mut promises: BTreeMap<String, Vec<Promise>> = BTreeMap::new();
    for (_, site) in graph.sites.iter() {
        let (Some(sparsity), Weight::Dense(view)) = (site.sparsity, &site.weight) else { continue };
        let name = graph.params[view.param].name.resolve();
        if of(&name) {
            let part = version.matrix_part(view, site.transposed);
            let place = graph.tree.path(site.node);
            promises.entry(name).or_default().push(Promise {
                place,
                sparsity,
                part,
                violations: 0,
                zeros: 0,
            });
        }
    }
    promises
}

fn zeros_in(dtype: DType, bytes: &[u8], matrix: &MatrixView) -> u64 {
    if matrix.is_empty() {
        return 0;
    }
    // Rows that hold nothing else are counted where they are.
    if matrix.len() * dtype.size() == bytes.len() {
        return convert::count_zeros(dtype, bytes).expect("weights are floats") as u64;
    }
    let mut values = vec![0.0; bytes.len() / dtype.size()];
    convert::read_f32(dtype, bytes, &mut values).expect("weights are floats");
    let row = |o: usize| (0..matrix.inputs).filter(|&i| values[matrix.index(o, i)] == 0.0).count();
    (0..matrix.out).map(row).sum::<usize>() as u64
}

fn common_multiple(a: usize, b: usize) -> usize {
    let (mut x, mut y) = (a, b);
    while y > 0 {
        (x, y) = (y, x % y);
    }
    (a / x.max(1)).saturating_mul(b)
}

/// Ours, not the user's: the output is taken back.
fn broken(message: String) -> Diagnostic {
    Diagnostic::new(&codes::POST_CONDITION, message)
        .help("this is an error of tamis; the output was not kept, please report it")
}
