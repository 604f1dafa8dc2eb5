//! What was written is opened again and compared with what was promised: names, types, extents, ranks, zeros.

use std::sync::Arc;

use rayon::prelude::*;

use super::write::Written;
use crate::checkpoint::{Checkpoint, Family, read_graph};
use crate::diagnostic::{Diagnostic, codes};
use crate::graph::{Graph, SiteId, Sparsity, Weight};
use crate::pass::{CostBound, CostMeasure};
use crate::provenance::Step;
use crate::tensor::convert;
use crate::tensor::pattern::{Pattern, count_violations};
use crate::weights::Version;

/// # Errors
/// Where the files cannot be read, or are not what the steps promise.
pub fn verify(written: &Written, families: &[&Family]) -> Result<(), Diagnostic> {
    let checkpoint = Arc::new(Checkpoint::open(written.output.path())?);
    let read = read_graph(families, &checkpoint).map_err(|errors| {
        let first = errors.into_iter().next().map_or(String::new(), |error| error.message);
        broken(format!("the output cannot be read back: {first}"))
    })?;
    same_shape(&written.version.graph, &read)?;
    let version = Version::open(written.version.graph.clone(), &checkpoint);
    let promised: Vec<(SiteId, Sparsity)> =
        version.graph.sites.iter().filter_map(|(id, site)| Some((id, site.sparsity?))).collect();
    let kept = promised.par_iter().map(|&(id, sparsity)| keeps(&version, id, sparsity).err());
    kept.find_map_first(|error| error).map_or(Ok(()), Err)
}

/// # Errors
/// Where a step left more than it promised to.
pub fn verify_budgets(steps: &[Step]) -> Result<(), Diagnostic> {
    for Step { number, after, budget, .. } in steps {
        let Some(CostBound { measure, at_most }) = budget else { continue };
        let cost = match measure {
            CostMeasure::Flops => after.flops,
            CostMeasure::Macs => after.macs,
            CostMeasure::Params => after.params,
            CostMeasure::Bytes => after.bytes,
        };
        if cost > *at_most {
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

fn keeps(version: &Version, id: SiteId, sparsity: Sparsity) -> Result<(), Diagnostic> {
    let site = &version.graph.sites[id];
    let Weight::Dense(view) = &site.weight else { return Ok(()) };
    let (mut zeros, mut violations) = (0, 0);
    let pattern = match sparsity {
        Sparsity::Pattern { keep, of } => Pattern::new(keep, of).ok(),
        Sparsity::Zeros(_) => None,
    };
    version.for_each_stored(view, site.transposed, |block| match pattern {
        Some(pattern) => {
            let count = count_violations(block.dtype, block.bytes, &block.matrix, pattern);
            violations += count.unwrap_or(1);
        }
        None => zeros += zeros_in(&block),
    })?;
    let place = version.graph.tree.path(site.node);
    match sparsity {
        Sparsity::Pattern { keep, of } if violations > 0 => {
            Err(broken(format!("{violations} groups of `{place}` are not {keep}:{of}")))
        }
        Sparsity::Zeros(promised) if zeros < promised => {
            Err(broken(format!("`{place}` has {zeros} zeros, where {promised} are promised")))
        }
        _ => Ok(()),
    }
}

fn zeros_in(block: &crate::weights::StoredBlock<'_>) -> u64 {
    let mut values = vec![0.0; block.bytes.len() / block.dtype.size()];
    convert::read_f32(block.dtype, block.bytes, &mut values).expect("weights are floats");
    let matrix = &block.matrix;
    let row = |o: usize| (0..matrix.inputs).filter(|&i| values[matrix.index(o, i)] == 0.0).count();
    (0..matrix.out).map(row).sum::<usize>() as u64
}

/// Ours, not the user's: the output is taken back.
fn broken(message: String) -> Diagnostic {
    Diagnostic::new(&codes::POST_CONDITION, message)
        .help("this is an error of tamis; the output was not kept, please report it")
}
