//! The criteria: a file each, and the list.

pub mod activation;
pub mod asvd;
pub mod attention_mass;
pub mod bias_compensation;
pub mod block_influence;
pub mod cls_attention;
pub mod energy;
pub mod evolution;
pub mod fisher;
pub mod frequency;
pub mod gate_ratio;
pub mod key_similarity;
pub mod lamp;
pub mod last_query_attention;
pub mod least_squares;
pub mod magnitude;
pub mod mask_tuning;
pub mod optin;
pub mod output_clusters;
pub mod pagerank;
pub mod patch_windows;
pub mod random;
pub mod reap;
pub mod reconstruction;
pub mod routing;
pub mod sparsegpt;
pub mod svd;
pub mod svd_llm;
pub mod taylor;
pub mod text_attention;
pub mod wanda;
pub mod weights;

use crate::pass::CriterionSpec;

/// Every criterion there is, in the order of the manual.
pub static CRITERIA: &[&CriterionSpec] = &[
    &magnitude::SPEC,
    &lamp::SPEC,
    &random::SPEC,
    &wanda::SPEC,
    &sparsegpt::SPEC,
    &fisher::SPEC,
    &optin::SPEC,
    &taylor::SPEC,
    &activation::SPEC,
    &block_influence::SPEC,
    &frequency::SPEC,
    &reap::SPEC,
    &reconstruction::SPEC,
    &evolution::SPEC,
    &routing::SPEC,
    &output_clusters::SPEC,
    &weights::SPEC,
    &gate_ratio::SPEC,
    &key_similarity::SPEC,
    &energy::SPEC,
    &cls_attention::SPEC,
    &attention_mass::SPEC,
    &pagerank::SPEC,
    &last_query_attention::SPEC,
    &text_attention::SPEC,
    &patch_windows::SPEC,
    &svd::SPEC,
    &asvd::SPEC,
    &svd_llm::SPEC,
    &least_squares::SPEC,
    &mask_tuning::SPEC,
    &bias_compensation::SPEC,
];
