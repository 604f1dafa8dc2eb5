//! Axes by where they are: those of the same place in every layer are one entry.

use super::super::Graph;
use super::super::axis::{Axis, AxisId, Role};
use super::super::export::{Fact, Formula};
use super::super::tree::NodeId;

/// Axes of one role at one place of the tree, whatever the layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// `layers[*].attention.heads`
    pub path: String,
    pub min: usize,
    pub max: usize,
    /// How the config says it: `hidden_size / num_attention_heads`.
    pub said: String,
}

/// Every place, in the order of the model. Axes that nobody prunes are left out.
pub fn places(graph: &Graph) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    let silent = [Role::Fixed, Role::Tokens, Role::Height, Role::Width, Role::Qkv, Role::GateUp];
    for (id, axis) in graph.axes.iter().filter(|(_, axis)| !silent.contains(&axis.role)) {
        let Axis { role, extent, node, .. } = axis;
        let path = pattern(graph, *node, *role);
        match places.iter_mut().find(|place| place.path == path) {
            Some(place) => {
                place.min = place.min.min(extent.min);
                place.max = place.max.max(extent.max);
            }
            None => places.push(Place { path, min: extent.min, max: extent.max, said: said(graph, id) }),
        }
    }
    places
}

/// The fields that give an axis its extent, the simplest first.
fn said(graph: &Graph, axis: AxisId) -> String {
    let names = |axes: &[AxisId]| {
        axes.iter().map(|&axis| graph.axes[axis].role.name()).collect::<Vec<_>>().join(" x ")
    };
    let text = |Fact { key, formula }: &Fact| match formula {
        Formula::Product(axes) if *axes == [axis] => Some(key.clone()),
        Formula::Product(axes) if axes.contains(&axis) => Some(format!("{key} = {}", names(axes))),
        Formula::Quotient { numerator, of } if *of == axis => Some(format!("{numerator} / {key}")),
        Formula::Multiple { of, times } if *of == axis => Some(format!("{key} x {}", names(&[*times]))),
        Formula::Product(_)
        | Formula::Multiple { .. }
        | Formula::Quotient { .. }
        | Formula::Each(_)
        | Formula::Numbers { .. } => None,
    };
    let said = graph.facts.iter().filter_map(text).min_by_key(String::len);
    said.or(graph.axes[axis].key.clone()).unwrap_or_default()
}

/// An axis's path for all elements of the lists on it.
fn pattern(graph: &Graph, node: NodeId, role: Role) -> String {
    let mut parts: Vec<String> = vec![role.to_string()];
    for node in graph.tree.above(node).map(|node| &graph.tree[node]) {
        match node.member {
            _ if node.parent.is_none() => {}
            Some(_) => parts.push(format!("{}[*]", node.name)),
            None => parts.push(node.name.clone()),
        }
    }
    parts.reverse();
    parts.join(".")
}
