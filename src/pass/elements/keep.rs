//! Elements kept: the rewrite behind every structural pass.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;

use crate::diagnostic::Diagnostic;
use crate::graph::{Extent, Graph};
use crate::pass::{Finding, Findings, Rewrite};
use crate::weights::Version;

/// Which elements of an axis stay, as far as shapes tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stay {
    /// These, ascending.
    These(Vec<usize>),
    /// As many, found by work.
    Some(Extent),
}

/// Keeps some elements of axes in every tensor that carries them.
#[derive(Debug)]
pub struct KeepElements {
    /// By path.
    pub axes: BTreeMap<String, Stay>,
    /// Extents before, by path, for people.
    pub before: BTreeMap<String, usize>,
}

impl KeepElements {
    /// What stays of axes of a graph.
    pub fn new(graph: &Graph, axes: BTreeMap<String, Stay>) -> Self {
        let places = graph.places();
        let extent = |path: &String| places.axis(path).map(|axis| (path.clone(), graph.extent(axis).max));
        let before = axes.keys().filter_map(extent).collect();
        Self { axes, before }
    }
}

impl Rewrite for KeepElements {
    fn describe(&self) -> String {
        let paths: Vec<String> = self.axes.keys().cloned().collect();
        let counts: Vec<Extent> = self.axes.values().map(Stay::extent).collect();
        let least = counts.iter().map(|extent| extent.min).min().unwrap_or(0);
        let most = counts.iter().map(|extent| extent.max).max().unwrap_or(0);
        format!("keep {} in {}", Extent::between(least, most), places(&paths))
    }

    fn arguments(&self) -> serde_json::Value {
        let stay = |stay: &Stay| match stay {
            Stay::These(these) => json!(these),
            Stay::Some(extent) => json!({ "min": extent.min, "max": extent.max }),
        };
        let axes: BTreeMap<&String, serde_json::Value> =
            self.axes.iter().map(|(path, it)| (path, stay(it))).collect();
        json!({ "keep": axes })
    }

    fn touches(&self) -> Vec<String> {
        self.axes.keys().cloned().collect()
    }

    fn removes(&self) -> BTreeMap<String, Vec<usize>> {
        let gone = |(path, stay): (&String, &Stay)| match stay {
            Stay::These(these) => {
                let all = self.before.get(path).copied().unwrap_or(0);
                let gone = (0..all).filter(|index| these.binary_search(index).is_err()).collect();
                Some((path.clone(), gone))
            }
            Stay::Some(_) => None,
        };
        self.axes.iter().filter_map(gone).collect()
    }

    fn without(&self, gone: &BTreeSet<String>) -> Option<Arc<dyn Rewrite>> {
        let mut left = Self { axes: self.axes.clone(), before: self.before.clone() };
        left.axes.retain(|path, _| !gone.contains(path));
        (!left.axes.is_empty()).then(|| Arc::new(left) as Arc<dyn Rewrite>)
    }

    /// Two cuts of one axis at given numbers are one.
    fn followed_by(&self, next: &dyn Rewrite) -> Option<Arc<dyn Rewrite>> {
        let ([(path, Stay::These(first))], later) = (&*Vec::from_iter(&self.axes), next.arguments()) else {
            return None;
        };
        let later = later.get("keep")?.as_object().filter(|axes| axes.len() == 1)?.get(*path)?;
        let later: Vec<usize> = serde_json::from_value(later.clone()).ok()?;
        let both = later.into_iter().map(|index| first.get(index).copied()).collect::<Option<_>>()?;
        let axes = BTreeMap::from([((*path).clone(), Stay::These(both))]);
        Some(Arc::new(Self { axes, before: self.before.clone() }))
    }

    fn effect(&self, graph: &mut Graph) {
        let places = graph.places();
        for (path, stay) in &self.axes {
            let Some(axis) = places.axis(path) else { continue };
            match stay {
                Stay::These(these) => graph.keep(axis, these),
                Stay::Some(extent) => graph.resize(axis, *extent),
            }
        }
    }

    fn apply(&self, version: &mut Version, found: Findings<'_>) -> Result<(), Diagnostic> {
        let places = version.graph.places();
        for (path, stay) in &self.axes {
            let axis = places.axis(path).expect("the checker and the run agree on paths");
            let chosen = || {
                found.find(|finding| match finding {
                    Finding::Kept(kept) => kept.stay.get(path),
                    _ => None,
                })
            };
            let these = match stay {
                Stay::These(these) => these,
                Stay::Some(_) => chosen().expect("elements to be chosen come with a choice"),
            };
            version.keep(axis, these);
        }
        Ok(())
    }
}

impl Stay {
    pub fn extent(&self) -> Extent {
        match self {
            Self::These(these) => Extent::exact(these.len()),
            Self::Some(extent) => *extent,
        }
    }
}

/// `heads of 12 layers`: what paths of axes have in common, for people.
pub(super) fn places(paths: &[String]) -> String {
    let mut roles: Vec<&str> = Vec::new();
    for path in paths {
        let role = path.rsplit('.').next().unwrap_or(path);
        if !roles.contains(&role) {
            roles.push(role);
        }
    }
    let roles = roles.join(", ");
    match paths {
        [one] => one.clone(),
        _ => format!("{roles} ({} axes)", paths.len()),
    }
}
