//! Costs against the published figures and formulas.

use tamis::graph::{Between, Extent, Graph, Role};
use tamis::observe::experts::{Compression, compressible};

use crate::support::published;

fn macs(graph: &Graph) -> u64 {
    graph.cost(1).macs.known().unwrap()
}

/// Layers' operations, of `n` tokens, in multiply-accumulates: projections, scores and values, feed-forward.
fn layer(n: u64, hidden: u64, kv: u64, matrices: u64, neurons: u64) -> u64 {
    n * (2 * hidden * hidden + 2 * hidden * kv) + 2 * n * n * hidden + n * matrices * hidden * neurons
}

#[test]
fn macs_of_vision_transformers_are_the_published_ones() {
    // 196 patches are embedded; the class token is not.
    assert_eq!(macs(&published("deit-small-patch16-224", &[])), 4_598_882_304);
    assert_eq!(macs(&published("deit-base-patch16-224", &[])), 17_563_828_224);
    assert_eq!(macs(&published("vit-base-patch16-224", &[])), 17_563_828_224);
}

#[test]
fn macs_of_text_models_follow_the_published_formulas() {
    let bert = published("bert-base-uncased", &[("architectures", vec!["BertModel"].into())]);
    let pooler = 768 * 768;
    assert_eq!(macs(&bert), 11_173_625_856 + pooler);
    assert_eq!(11_173_625_856, 12 * layer(128, 768, 768, 2, 3072));

    let gpt2 = published("gpt2", &[]);
    assert_eq!(macs(&gpt2), 12 * layer(128, 768, 768, 2, 3072) + 128 * 768 * 50257);

    let llama = published("Llama-2-7b-hf", &[]);
    assert_eq!(macs(&llama), 32 * layer(128, 4096, 4096, 3, 11008) + 128 * 4096 * 32000);

    let mistral = published("Mistral-7B-v0.1", &[]);
    assert_eq!(macs(&mistral), 32 * layer(128, 4096, 1024, 3, 14336) + 128 * 4096 * 32000);

    // Two of eight experts, each of three matrices, and the router.
    let mixtral = published("Mixtral-8x7B-v0.1", &[]);
    let router = 128 * 8 * 4096;
    assert_eq!(macs(&mixtral), 32 * (layer(128, 4096, 1024, 6, 14336) + router) + 128 * 4096 * 32000);
}

#[test]
fn macs_grow_with_the_square_of_the_tokens_and_with_the_batch() {
    let mut llama = published("Llama-2-7b-hf", &[]);
    llama.set_tokens(2048);
    let one = 32 * layer(2048, 4096, 4096, 3, 11008) + 2048 * 4096 * 32000;
    assert_eq!(macs(&llama), one);
    assert_eq!(llama.cost(3).flops().known(), Some(6 * one));
}

#[test]
fn a_table_of_positions_bounds_the_tokens() {
    assert_eq!(published("bert-base-uncased", &[]).most_tokens(), Some(512));
    assert_eq!(published("roberta-base", &[]).most_tokens(), Some(512), "of 514 two are padding's");
    assert_eq!(published("Llama-2-7b-hf", &[]).most_tokens(), None);
    assert_eq!(published("vit-base-patch16-224", &[]).most_tokens(), None);
}

/// The OPTIN card's cost of a head and of a neuron of BERT-base at 128 tokens.
#[test]
fn a_head_and_a_neuron_cost_what_the_cards_say() {
    let mut bert = published("bert-base-uncased", &[]);
    let first = |graph: &Graph, role| graph.axes_below(graph.tree.root(), role)[0];
    let before = macs(&bert);
    bert.keep(first(&bert, Role::Heads), &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    let without_head = macs(&bert);
    assert_eq!(before - without_head, 27_262_976);
    bert.keep(first(&bert, Role::Neurons), &(1..3072).collect::<Vec<_>>());
    assert_eq!(without_head - macs(&bert), 196_608);
}

/// Of the experts a token meets as many as are chosen; Qwen2-MoE's shared one it always meets. Counted from the model cards' shapes:
/// all parameters less the experts that are not chosen.
#[test]
fn active_parameters_are_those_of_the_cards() {
    let active = |name: &str| published(name, &[]).active_params().and_then(Between::known);
    assert_eq!(active("Mixtral-8x7B-v0.1"), Some(12_879_925_248));
    // 48 layers of 120 idle experts, each three matrices of 2048 x 768.
    assert_eq!(active("Qwen3-30B-A3B"), Some(30_532_122_624 - 48 * 120 * 3 * 2048 * 768));
    assert_eq!(active("OLMoE-1B-7B-0924"), Some(6_919_161_856 - 16 * 56 * 3 * 2048 * 1024));
    assert_eq!(active("Qwen1.5-MoE-A2.7B"), Some(14_315_784_192 - 24 * 56 * 3 * 2048 * 1408));
    assert_eq!(active("Llama-2-7b-hf"), None);
}

/// The exact counts of the method cards: Mixtral with six and four experts a layer, Qwen3 with 64.
#[test]
fn dropped_experts_leave_what_the_cards_say() {
    let left = |name: &str, key: &str, experts: usize| {
        published(name, &[(key, experts.into())]).cost(1).params.known()
    };
    assert_eq!(left("Mixtral-8x7B-v0.1", "num_local_experts", 6), Some(35_428_241_408));
    assert_eq!(left("Mixtral-8x7B-v0.1", "num_local_experts", 4), Some(24_153_690_112));
    assert_eq!(left("Qwen3-30B-A3B", "num_experts", 64), Some(16_030_316_544));
}

/// Switch runs one expert a token, in every second layer of both stacks, and T5's decoder attends twice. A query of either attention
/// sees all keys, as everywhere here.
#[test]
fn macs_of_switch_are_those_of_its_shapes() {
    let (n, hidden, neurons) = (128, 768, 3072);
    let attention = n * 4 * hidden * hidden + 2 * n * n * hidden;
    let feed_forward = n * 2 * hidden * neurons;
    let routers = 12 * n * 32 * hidden;
    let head = n * hidden * 32128;
    assert_eq!(macs(&published("switch-base-32", &[])), 36 * attention + 24 * feed_forward + routers + head);
}

/// Keys and values of DeepSeek come from 512 numbers a token, their turned part of 64 more; queries of V3 from 1536.
#[test]
fn macs_of_latent_attention_are_those_of_its_shapes() {
    let (n, hidden) = (128, 7168);
    let query = hidden * 1536 + 1536 * 128 * 192;
    let keys = hidden * 576 + 512 * 128 * 256;
    let attention = n * (query + keys + 128 * 128 * hidden) + n * n * 128 * (192 + 128);
    let dense = n * 3 * hidden * 18432;
    // Eight of 256 and the shared one.
    let sparse = n * (9 * 3 * hidden * 2048 + 256 * hidden);
    let head = n * hidden * 129_280;
    let graph = published("DeepSeek-V3", &[]);
    assert_eq!(macs(&graph), 61 * attention + 3 * dense + 58 * sparse + head);
    let idle = 58 * 248 * 3 * hidden * 2048;
    assert_eq!(graph.active_params().and_then(Between::known), Some(671_026_419_200 - idle));
}

/// What MC-SMoE claims of Switch-base-32, "up to 80 % of the memory and 20 % of the FLOPs", by its recipe: the first layer of experts as it
/// is, eight experts on average in the eleven others, each matrix as factors of rank 32 and a tenth of the rows that these leave.
/// The method card has 1,978.5 M, 732.8 M and 380.7 M, the last without whole rows.
#[test]
fn what_mc_smoe_claims_of_switch_is_so() {
    let mut switch = published("switch-base-32", &[]);
    let (params, flops) = (switch.cost(1).params.known().unwrap(), macs(&switch));
    let axes = switch.axes_below(switch.tree.root(), Role::Experts);
    assert_eq!((params, axes.len()), (1_978_514_688, 12));
    let merged: Vec<String> = axes[1..].iter().map(|&axis| switch.axis_path(axis)).collect();
    for &axis in &axes[1..] {
        switch.share_experts(axis, &(0..32).map(|row| row % 8).collect::<Vec<_>>());
    }
    assert_eq!(switch.cost(1).params.known(), Some(732_806_400));
    assert_eq!(macs(&switch), flops, "a token runs one expert as before");
    let how = Compression { rank: 32, rest: Some(0.1) };
    let sites: Vec<_> = merged.iter().flat_map(|path| compressible(&switch, path, how)).collect();
    for site in sites {
        let rows = how.rows(switch.dim_extent(&switch.site_dims(site).0)).unwrap();
        switch.factor(site, Extent::exact(32)).unwrap();
        switch.add_rest(site, (0..rows).collect()).unwrap();
    }
    assert_eq!(switch.validate(), Ok(()));
    // Of 3072 outputs 307 rows, of 768 outputs 77.
    let expert = 2 * 32 * (768 + 3072) + 307 * 768 + 77 * 3072;
    let saved = 2 * 768 * 3072 - expert;
    let left = switch.cost(1).params.known().unwrap();
    assert_eq!(left, 732_806_400 - 88 * saved);
    assert_eq!(left, 380_761_344);
    assert!((0.80..0.81).contains(&(1.0 - left as f64 / params as f64)));
    assert_eq!(flops - macs(&switch), 11 * 128 * saved);
    let share = 1.0 - macs(&switch) as f64 / flops as f64;
    assert!((0.19..0.20).contains(&share), "{share}");
}
