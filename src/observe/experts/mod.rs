//! Experts at work: which tokens a router sends where, and what each expert makes of them.

mod compress;
mod evolve;
mod gains;
mod group;
mod judge;
mod look;
mod merge;
mod nulls;
mod ratios;
mod seeing;
mod subsets;
mod weights;

pub use compress::{CompressExperts, Compression, Piece, compressible};
pub use evolve::{Breeding, EvolveMixtures, EvolveSets};
pub use group::{GroupExperts, Scope};
pub use look::{Look, Looked, look};
pub use merge::{MergeExperts, merged_name, router_name, transfer_name};
pub use nulls::{DrawNulls, null_name};
pub use ratios::MedianRatios;
pub use subsets::{ChooseSubset, MOST_SUBSETS, subsets};
