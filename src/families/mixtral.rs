//! Mixtral: a Llama whose feed-forward is a choice of experts, stored one by one or fused.

use super::llama::decoder;
use super::{activation, count, size};
use crate::checkpoint::{Config, Family};
use crate::diagnostic::Diagnostic;
use crate::graph::{AxisId, Bias, Builder, Dim, Expert, Experts, Role, SiteKind, Size, Value, View};

pub static MIXTRAL: Family = Family {
    name: "mixtral",
    model_types: &["mixtral"],
    doc: "Mixtral: decoders with a router and experts in each layer.",
    build,
};

/// Experts of all layers: each is made by itself.
pub(super) const MOST: usize = 1 << 16;

fn build(config: &Config, m: &mut Builder<'_>) -> Result<(), Diagnostic> {
    let experts = count(config, "num_local_experts")?;
    let layers = count(config, "num_hidden_layers")?;
    let top_k = size(config, "num_experts_per_tok")?.extent;
    if experts.extent * layers.extent > MOST {
        return Err(config.field_error("num_local_experts", "more experts than any model has"));
    }
    if top_k > experts.extent {
        let message = format!("a token cannot have {top_k} of {} experts", experts.extent);
        return Err(config.field_error("num_experts_per_tok", message));
    }
    let neurons = size(config, "intermediate_size")?;
    let activation = activation(config, "hidden_act", "silu")?;
    decoder(config, m, |m, _, x| {
        let axis = m.axis(Role::Experts, experts.clone());
        let fused = m.has("mlp.experts.gate_up_proj", false);
        let name = if fused { "mlp.gate" } else { "block_sparse_moe.gate" };
        let router = m.linear_site("router", name, axis.into(), m.features(x), Bias::Without);
        let names = ["w1", "w3", "w2"];
        let experts = match fused {
            true => stacked(m, x, axis, &neurons),
            false => one_by_one(m, x, axis, &neurons, "block_sparse_moe.experts", names),
        };
        m.experts(Experts::new(axis, router, experts, top_k, activation), x)
    })
}

/// Experts in a list, each with its tensors for gate, up and down.
pub(super) fn one_by_one(
    m: &mut Builder<'_>,
    x: Value,
    axis: AxisId,
    neurons: &Size,
    list: &str,
    [gate, up, down]: [&str; 3],
) -> Vec<Expert> {
    let hidden = m.features(x);
    let expert = |m: &mut Builder<'_>| {
        let neurons = Dim::from(m.axis(Role::Neurons, neurons.clone()));
        let gate = m.linear_site("gate", gate, neurons.clone(), hidden.clone(), Bias::Without);
        let up = m.linear_site("up", up, neurons.clone(), hidden.clone(), Bias::Without);
        let down = m.linear_site("down", down, hidden.clone(), neurons, Bias::Without);
        Expert { gate: Some(gate), up, down }
    };
    m.members("experts", list, axis, expert)
}

/// All experts of a layer in two tensors, so that they are equally wide.
pub(super) fn stacked(m: &mut Builder<'_>, x: Value, axis: AxisId, neurons: &Size) -> Vec<Expert> {
    let hidden = m.features(x);
    let neurons = m.axis(Role::Neurons, neurons.clone());
    let half = m.plain_axis(Role::GateUp, 2, None);
    let gate_up =
        m.param("mlp.experts.gate_up_proj", vec![axis.into(), [half, neurons].into(), hidden.clone()]);
    let down = m.param("mlp.experts.down_proj", vec![axis.into(), hidden, neurons.into()]);
    m.fused_members("experts", axis, |m, expert| {
        let mut site = |node: &str, param, half: Option<(AxisId, usize)>| {
            let fixed = std::iter::once((axis, expert)).chain(half).collect();
            m.site(node, SiteKind::Linear, View { param, fixed }, None)
        };
        Expert {
            gate: Some(site("gate", gate_up, Some((half, 0)))),
            up: site("up", gate_up, Some((half, 1))),
            down: site("down", down, None),
        }
    })
}
