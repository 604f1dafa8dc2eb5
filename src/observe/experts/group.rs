//! Which experts become one: looked at on data or as weights, put into groups, layer by layer.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::look::{Look, Looked, look};
use super::weights::Neurons;
use crate::diagnostic::{Diagnostic, numbers};
use crate::graph::{Experts, Graph};
use crate::pass::elements::everything;
use crate::pass::{Context, Data, Finding, Grouped, Grouping, Seen, Sight, Work, WorkKind};
use crate::weights::Version;

/// How many groups a layer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// As many in each.
    Layer,
    /// As many on average: layers whose tokens go to few experts have fewer.
    Global,
}

/// Puts the experts of layers into groups.
#[derive(Debug)]
pub struct GroupExperts {
    pub grouping: Arc<dyn Grouping>,
    /// How a grouping was written.
    pub by: String,
    /// How many groups each axis of experts (by path) has, or has on average.
    pub into: BTreeMap<String, usize>,
    pub scope: Scope,
    /// Whether distances between weights are taken of aligned ones.
    pub align: bool,
    /// Whether members count by how often they were chosen, rather than all the same.
    pub by_frequency: bool,
    /// What experts are counted on where the grouping looks at nothing.
    pub counts: Option<Data>,
    reads: Vec<String>,
}

impl GroupExperts {
    pub fn new(
        graph: &Graph,
        grouping: Arc<dyn Grouping>,
        by: String,
        into: BTreeMap<String, usize>,
    ) -> Self {
        let reads = everything(graph);
        let (scope, align, by_frequency) = (Scope::Layer, true, true);
        Self { grouping, by, into, scope, align, by_frequency, counts: None, reads }
    }

    fn shown(&self) -> Option<&Data> {
        self.grouping.data().or(self.counts.as_ref())
    }
}

impl Work for GroupExperts {
    fn kind(&self) -> WorkKind {
        if self.shown().is_some() { WorkKind::Observe } else { WorkKind::Select }
    }

    fn describe(&self) -> String {
        let layers = numbers::things(self.into.len(), "layer");
        format!("groups of experts of {layers} by {}", self.by)
    }

    fn arguments(&self) -> serde_json::Value {
        json!({
            "groups of experts by": self.by,
            "into": self.into,
            "scope": self.scope,
            "align": self.align,
            "frequency": self.by_frequency,
            "counts": self.counts.as_ref().map(|data| data.reader.describe()),
        })
    }

    fn reads(&self) -> Vec<String> {
        self.reads.clone()
    }

    fn data(&self) -> Vec<Data> {
        self.shown().cloned().into_iter().collect()
    }

    fn run(&self, at: &Context<'_>) -> Result<Finding, Diagnostic> {
        let paths: Vec<String> = self.into.keys().cloned().collect();
        let what = Look { norms: false, means: self.grouping.sight() == Sight::Outputs };
        let looked = self.shown().map(|data| look(at, data, &paths, what)).transpose()?;
        let looked = looked.unwrap_or_default();
        let into = match self.scope {
            Scope::Layer => self.into.clone(),
            Scope::Global => shared_out(&self.into, &looked),
        };
        let axes = super::super::axes(&at.version.graph, &paths);
        let mut groups = BTreeMap::new();
        for (path, axis) in axes {
            let (_, experts) = at.version.graph.experts_of(axis).expect("the pass asks for experts' axes");
            let distances = match self.grouping.sight() {
                Sight::Weights => distances(at.version, experts, self.align)?,
                _ => Vec::new(),
            };
            let looked = looked.get(&path);
            let seen = Seen {
                place: &path,
                experts: experts.experts.len(),
                counts: looked.map(|looked| looked.counts.as_slice()),
                logits: looked.map_or(&[], |looked| &looked.logits),
                outputs: looked.map_or(&[], |looked| &looked.means),
                distances: &distances,
            };
            let group_of = in_order(&self.grouping.groups(&seen, into[&path])?);
            groups.insert(path.clone(), grouped(group_of, seen.counts, self.by_frequency));
        }
        Ok(Finding::Groups(groups))
    }
}

/// Numbers of groups in the order of their first members.
fn in_order(group_of: &[usize]) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::new();
    for group in group_of {
        if !order.contains(group) {
            order.push(*group);
        }
    }
    let place = |group: &usize| order.iter().position(|other| other == group).expect("each is in the order");
    group_of.iter().map(place).collect()
}

/// Leaders and shares of groups. Without counts the first member leads, and all count the same; so they do in a group that
/// nobody chose, whose mean would be of nothing.
fn grouped(group_of: Vec<usize>, counts: Option<&[f64]>, by_frequency: bool) -> Grouped {
    let groups = group_of.iter().max().map_or(0, |last| last + 1);
    let count = |expert: usize| counts.map_or(0.0, |counts| counts[expert]);
    let mut shares = vec![0.0; group_of.len()];
    let mut leaders = Vec::with_capacity(groups);
    for group in 0..groups {
        let members: Vec<usize> = (0..group_of.len()).filter(|&expert| group_of[expert] == group).collect();
        let most = members.iter().map(|&expert| count(expert)).fold(0.0, f64::max);
        leaders
            .push(members.iter().copied().find(|&expert| count(expert) >= most).expect("no group is empty"));
        let sum: f64 = members.iter().map(|&expert| count(expert)).sum();
        for &expert in &members {
            let by_count = by_frequency && sum > 0.0;
            shares[expert] = if by_count { count(expert) / sum } else { 1.0 / members.len() as f64 };
        }
    }
    Grouped { group_of, leaders, shares }
}

/// How many groups each layer gets of all: as many as it has experts above a common share of its tokens (M-SMoE). The expert of a
/// layer that is chosen most always counts.
fn shared_out(into: &BTreeMap<String, usize>, looked: &BTreeMap<String, Looked>) -> BTreeMap<String, usize> {
    let shares: BTreeMap<&String, Vec<f64>> =
        into.keys().map(|path| (path, usage(&looked[path].counts))).collect();
    let mut all: Vec<f64> = shares.values().flatten().copied().collect();
    all.sort_by(|a, b| b.total_cmp(a));
    let threshold = all.get(into.values().sum::<usize>()).copied().unwrap_or(f64::NEG_INFINITY);
    let above = |shares: &Vec<f64>| shares.iter().filter(|share| **share > threshold).count().max(1);
    shares.iter().map(|(path, shares)| ((*path).clone(), above(shares))).collect()
}

/// Shares of a layer's choices, the largest set to 1.
fn usage(counts: &[f64]) -> Vec<f64> {
    let sum = counts.iter().sum::<f64>().max(1.0);
    let most = counts.iter().copied().fold(0.0, f64::max);
    let first = counts.iter().position(|count| *count == most);
    counts.iter().enumerate().map(|(at, count)| if Some(at) == first { 1.0 } else { count / sum }).collect()
}

/// Distances between the weights of each two experts, their neurons in the order that is most like the first expert's.
fn distances(version: &Version, of: &Experts, align: bool) -> Result<Vec<f64>, Diagnostic> {
    let n = of.experts.len();
    let read = |number: usize| Neurons::read(version, &of.experts[number]);
    let first = read(0)?;
    let rounded = align.then(|| first.rounded());
    let order = |number: usize| -> Result<Option<Vec<usize>>, Diagnostic> {
        let rounded = rounded.as_ref().filter(|_| number > 0);
        rounded.map(|rounded| Ok(first.order_of(rounded, &read(number)?))).transpose()
    };
    let orders: Vec<Option<Vec<usize>>> = (0..n).map(order).collect::<Result<_, _>>()?;
    drop((first, rounded));
    let mut distances = vec![0.0; n * n];
    for one in 0..n {
        // Two experts at a time: a layer's may be larger than memory.
        let ours = read(one)?;
        for other in one + 1..n {
            let distance = ours.distance(orders[one].as_deref(), &read(other)?, orders[other].as_deref());
            (distances[one * n + other], distances[other * n + one]) = (distance, distance);
        }
    }
    Ok(distances)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The case of the method card (M-SMoE): members count by how often they were chosen.
    #[test]
    fn shares_are_those_of_the_worked_case() {
        let Grouped { leaders, shares, .. } =
            grouped(vec![0, 1, 1, 0], Some(&[40.0, 10.0, 35.0, 15.0]), true);
        assert_eq!(leaders, [0, 2]);
        let scalars = [1.0, 2.0, 3.0, 5.0];
        let merged = |members: [usize; 2]| members.iter().map(|&at| shares[at] * scalars[at]).sum::<f64>();
        assert!((merged([0, 3]) - 2.090_909_1).abs() < 1e-6);
        assert!((merged([1, 2]) - 2.777_777_8).abs() < 1e-6);
    }

    #[test]
    fn a_group_that_nobody_chose_is_a_plain_mean() {
        let found = grouped(vec![0, 0, 1], Some(&[0.0, 0.0, 7.0]), true);
        assert_eq!((found.leaders, found.shares), (vec![0, 2], vec![0.5, 0.5, 1.0]));
    }

    #[test]
    fn groups_are_numbered_by_their_first_members() {
        assert_eq!(in_order(&[2, 0, 2, 1]), [0, 1, 0, 2]);
    }

    /// Six groups of two layers of four: one sends most tokens to one expert, the other to all alike.
    #[test]
    fn layers_with_few_experts_in_use_get_fewer_groups() {
        let counted = |counts: [f64; 4]| Looked { counts: counts.to_vec(), ..Looked::default() };
        let looked = BTreeMap::from([
            ("a".to_string(), counted([97.0, 1.0, 1.0, 1.0])),
            ("b".to_string(), counted([28.0, 26.0, 24.0, 22.0])),
        ]);
        let into = BTreeMap::from([("a".to_string(), 3), ("b".to_string(), 3)]);
        let found = shared_out(&into, &looked);
        assert_eq!((found["a"], found["b"]), (1, 4));
    }
}
