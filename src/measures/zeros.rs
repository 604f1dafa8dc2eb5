//! `zeros`: the share of weights that are zero.

use rayon::prelude::{IntoParallelRefIterator, ParallelIterator};

use crate::diagnostic::Diagnostic;
use crate::graph::{Cost, SiteId};
use crate::measure;
use crate::pass::{Context, Measure};
use crate::tensor::convert;
use crate::weights::Version;

measure! {
    /// The share of zeros among the weights of linear and convolution operations; with `of` among those selected.
    Zeros = "zeros" in Share {}
}

impl Measure for Zeros {
    fn takes_sites(&self) -> bool {
        true
    }

    fn measure(&self, at: &Context<'_>, _: &Cost, sites: Option<&[SiteId]>) -> Result<f64, Diagnostic> {
        let version = at.version;
        let sites = sites.map_or_else(|| version.graph.matrices(), <[SiteId]>::to_vec);
        let counts: Vec<(u64, u64)> =
            sites.par_iter().map(|&site| zeros_of_site(version, site)).collect::<Result<_, _>>()?;
        let (zeros, all) = counts.into_iter().fold((0, 0), |(z, a), (zeros, all)| (z + zeros, a + all));
        Ok(if all == 0 { 0.0 } else { zeros as f64 / all as f64 })
    }
}

/// Zeros and elements of a site's matrices.
fn zeros_of_site(version: &Version, site: SiteId) -> Result<(u64, u64), Diagnostic> {
    let (mut zeros, mut all) = (0, 0);
    let mut values = Vec::new();
    for view in version.graph.matrix_views(site) {
        let transposed = version.graph.sites[site].transposed;
        version.for_each_stored(view, transposed, |block| {
            values.resize(block.bytes.len() / block.dtype.size(), 0.0);
            convert::read_f32(block.dtype, block.bytes, &mut values).expect("weights are floats");
            for o in 0..block.matrix.out {
                zeros += (0..block.matrix.inputs).filter(|&i| values[block.matrix.index(o, i)] == 0.0).count()
                    as u64;
            }
            all += block.matrix.len() as u64;
        })?;
    }
    Ok((zeros, all))
}
