//! Whether the architecture's own config can state the extents of a graph, and what it then says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Graph;
use super::axis::{Axis, AxisId};

/// One thing that the architecture's config says about extents.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fact {
    /// A field of `config.json`, dots for nested ones.
    pub key: String,
    pub formula: Formula,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Formula {
    /// The field is the product of these extents: `num_attention_heads = kv_heads group`.
    Product(Vec<AxisId>),
    /// The field is a whole number, and the extent is that many times another's: `mlp_ratio = neurons / hidden`.
    Multiple { of: AxisId, times: AxisId },
    /// The field is not written; the code derives this extent as `numerator / key`, as BERT does its head width.
    Quotient { numerator: String, of: AxisId },
    /// The field lists something for each element of the axis; entries go with their elements.
    Each(AxisId),
    /// The field speaks of elements of the axis by their numbers, and is right only while all of them are there.
    Numbers { of: AxisId, all: usize },
}

impl Formula {
    /// The axes whose disappearance takes the fact along.
    pub(super) fn axes(&self) -> impl Iterator<Item = AxisId> {
        let (product, one) = match self {
            Formula::Product(axes) => (axes.as_slice(), None),
            Formula::Multiple { of, .. } | Formula::Quotient { of, .. } | Formula::Numbers { of, .. } => {
                (&[][..], Some(*of))
            }
            Formula::Each(_) => (&[][..], None),
        };
        product.iter().copied().chain(one)
    }
}

impl Formula {
    pub(super) fn map_axes(&mut self, map: impl Fn(AxisId) -> AxisId) {
        match self {
            Formula::Product(axes) => axes.iter_mut().for_each(|axis| *axis = map(*axis)),
            Formula::Multiple { of, times } => (*of, *times) = (map(*of), map(*times)),
            Formula::Quotient { of, .. } | Formula::Numbers { of, .. } => *of = map(*of),
            Formula::Each(axis) => *axis = map(*axis),
        }
    }
}

/// Why the architecture's own config cannot state a graph.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CannotSay {
    /// The config field that would have to.
    pub key: String,
    pub why: String,
}

impl Graph {
    /// The config fields as this graph needs them, or every reason why they cannot say it.
    pub fn config_fields(&self) -> Result<BTreeMap<String, usize>, Vec<CannotSay>> {
        let mut said: BTreeMap<&str, (usize, String)> = BTreeMap::new();
        let mut cannot = Vec::new();
        for Fact { key, formula } in &self.facts {
            let Some(field) = self.field(formula) else { continue };
            match field {
                Err(why) => cannot.push(CannotSay { key: key.clone(), why }),
                Ok((value, place)) => {
                    let first = said.entry(key).or_insert((value, place.clone()));
                    if first.0 != value {
                        let why = format!("{place} is {value}, {} is {}", first.1, first.0);
                        cannot.push(CannotSay { key: key.clone(), why });
                    }
                }
            }
        }
        let fields: BTreeMap<String, usize> =
            said.into_iter().map(|(key, (extent, _))| (key.to_string(), extent)).collect();
        cannot.extend(self.broken_quotients(&fields));
        cannot.extend(self.renumbered());
        cannot.extend(self.factored());
        cannot.extend(self.rerouted());
        cannot.extend(self.fewer_tokens());
        cannot.extend(self.flowing());
        cannot.sort();
        cannot.dedup_by(|later, first| later.key == first.key);
        if cannot.is_empty() { Ok(fields) } else { Err(cannot) }
    }

    /// What a field that is written has to say, and what it is called here; or why there is no such number.
    fn field(&self, formula: &Formula) -> Option<Result<(usize, String), String>> {
        match formula {
            Formula::Product(axes) => {
                let extent = self.known_product(axes).map_err(|axis| self.not_known(axis));
                Some(extent.map(|extent| (extent, self.product_path(axes))))
            }
            Formula::Multiple { of, times } => {
                let (path, others) = (self.axis_path(*of), self.axes[*times].role);
                Some(match (self.extent(*of).known(), self.extent(*times).known()) {
                    (None, _) => Err(self.not_known(*of)),
                    (_, None) => Err(self.not_known(*times)),
                    (Some(of), Some(times)) if times == 0 || of % times != 0 => {
                        Err(format!("{path} is {of}, no multiple of {times} {others}"))
                    }
                    (Some(of), Some(times)) => Ok((of / times, format!("{path} / {others}"))),
                })
            }
            Formula::Quotient { .. } | Formula::Each(_) | Formula::Numbers { .. } => None,
        }
    }

    /// `layers[3].attention.kv_heads x group`.
    fn product_path(&self, axes: &[AxisId]) -> String {
        let Some((&first, rest)) = axes.split_first() else { return String::new() };
        rest.iter().fold(self.axis_path(first), |path, &axis| format!("{path} x {}", self.axes[axis].role))
    }

    fn not_known(&self, axis: AxisId) -> String {
        let Axis { node, role, extent, .. } = &self.axes[axis];
        match self.tree.above(*node).any(|node| self.tree[node].member.is_some()) {
            true => format!("{role} will differ by layer, by {extent} in `{}`", self.tree.path(*node)),
            false => format!("{role} will be {extent}"),
        }
    }

    fn known_product(&self, axes: &[AxisId]) -> Result<usize, AxisId> {
        axes.iter().try_fold(1, |product, &axis| {
            self.extent(axis).known().map(|extent| usize::saturating_mul(product, extent)).ok_or(axis)
        })
    }

    fn broken_quotients(&self, fields: &BTreeMap<String, usize>) -> Vec<CannotSay> {
        let check = |fact: &Fact| {
            let Formula::Quotient { numerator, of } = &fact.formula else { return None };
            let (over, under) = (fields.get(numerator)?, fields.get(&fact.key)?);
            let is = self.extent(*of).known()?;
            (*under == 0 || *over != is.saturating_mul(*under)).then(|| CannotSay {
                key: fact.key.clone(),
                why: format!(
                    "{role} is {is}, and this architecture takes `{numerator} / {key}` = {over} / {under} for it",
                    role = self.axes[*of].role,
                    key = fact.key,
                ),
            })
        };
        self.facts.iter().filter_map(check).collect()
    }

    fn renumbered(&self) -> Vec<CannotSay> {
        let check = |fact: &Fact| {
            let Formula::Numbers { of, all } = fact.formula else { return None };
            let why = || format!("it numbers {}, and there were {all} of them", self.axes[of].role);
            (self.extent(of).known() != Some(all)).then(|| CannotSay { key: fact.key.clone(), why: why() })
        };
        self.facts.iter().filter_map(check).collect()
    }

    fn factored(&self) -> Option<CannotSay> {
        let is_factored = |site: &super::Site| matches!(site.weight, super::Weight::Factored { .. });
        self.sites.iter().any(|(_, site)| is_factored(site)).then(|| CannotSay {
            key: "architectures".into(),
            why: "factored weights are two tensors where the architecture has one".into(),
        })
    }
}
