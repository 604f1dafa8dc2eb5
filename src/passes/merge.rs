//! `merge experts`: experts of a layer that are alike become one.
//!
//! ```text
//! merge experts of layers[*] by routing(calib) into 4
//! ```

mod mixtures;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use crate::checkpoint::Checkpoint;
use crate::diagnostic::{Diagnostic, codes, numbers};
use crate::graph::{AxisId, Expert, Extent, Graph, SiteId, Weight};
use crate::observe::experts::{GroupExperts, MergeExperts, Scope, merged_name, router_name};
use crate::pass::elements::{refuse_merged, refuse_uneven_groups};
use crate::pass::{
    Choosing, Data, Finding, Findings, Grouping, Lowering, Pass, Quantity, Rewrite, Scorer, Stage, StepScope,
};
use crate::syntax::ast::ClauseKind;
use crate::weights::{Expr, Version};
use crate::{choice, pass};

choice! {
    /// How the neurons of experts are matched before their weights are averaged.
    pub enum Align("a way to align") {
        /// In the order in which they are most like the leader's: the exact assignment with the least sum of squared differences.
        /// An expert's function stays as it is.
        Permutation = "permutation",
        /// As they are.
        None = "none",
    }
}

choice! {
    /// How much members of a group count.
    pub enum Weights("weights of members") {
        /// By how often they are chosen on the data.
        Frequency = "frequency",
        /// All the same.
        Uniform = "uniform",
    }
}

choice! {
    /// Who competes for groups.
    pub enum Groups("a scope of groups") {
        /// As many in each layer.
        Layer = "layer",
        /// As many on average: layers whose tokens go to few experts have fewer.
        Global = "global",
    }
}

choice! {
    /// What becomes of the router.
    pub enum Router("a router") {
        /// It keeps its rows, several of which lead to one expert: tokens are sent as before.
        Mapped = "mapped",
        /// The rows of a group are averaged too. The architecture's own config can say the result, and tokens are sent otherwise.
        Average = "average",
    }
}

pass! {
    /// Makes experts of a layer that are alike into one: their weights are averaged, neuron by neuron.
    ///
    /// The criterion says which are alike: `routing(calib)` those that are chosen for the same tokens (M-SMoE),
    /// `output_clusters(calib)` those that make the same of all tokens (HC-SMoE), `weights` those whose weights are near.
    /// `evolution(calib)` makes no groups but mixtures of all experts (EEP). The member
    /// that is chosen most often leads its group; the neurons of the others are brought into the order of the leader's first. A
    /// group that no token came to is a plain mean.
    ///
    /// The router stays as it is, with a map from its rows to the experts that are left. Where both choices of a token lead to
    /// one expert, it runs once with the sum of the gates. The map is saved in the graph beside the weights.
    ///
    /// ```tamis
    /// data calib = text("calib.txt", tokens: 128, samples: 64)
    /// merge experts of layers[*] by routing(calib) into 2
    /// merge experts of layers[*] by output_clusters(calib) into 50% with { router: average }
    /// ```
    ///
    /// Merge, Then Compress, arXiv:2310.01334; Retraining-Free Merging of Sparse MoE via Hierarchical Clustering, arXiv:2410.08589.
    Merge = "merge" ["experts"]
    {
        /// Which experts are alike.
        By criterion: Scorer,
        /// How many groups a layer has.
        Into into: Quantity,
    }
    with {
        /// How the neurons of experts are matched.
        align: Align = "permutation",
        /// How much members of a group count; `frequency` where the criterion has data, else `uniform`.
        weights: Option<Weights>,
        /// Who competes for groups.
        groups: Groups = "layer",
        /// What becomes of the router.
        router: Router = "mapped",
        /// What experts are counted on where the criterion looks at no data.
        counts: Option<Data>,
    }
}

impl Pass for Merge {
    fn lower(&self, step: &StepScope<'_>) -> Result<Lowering, Diagnostic> {
        refuse_merged(step)?;
        if let Some(lowering) = self.by_mixing(step)? {
            return Ok(lowering);
        }
        let grouping = self.criterion.grouping()?;
        let counted = grouping.data().is_some() || self.counts.is_some();
        let by_frequency = self.by_frequency(step, counted)?;
        let mut into = BTreeMap::new();
        let mut stay = BTreeMap::new();
        for path in step.axes() {
            let axis = step.graph.places().axis(&path).expect("targets are resolved in this graph");
            let count = self.count(step, &path, axis)?;
            alike(step, &path, axis)?;
            let all = step.graph.extent(axis).max;
            let extent = match self.groups {
                Groups::Layer => Extent::exact(count),
                Groups::Global => Extent::between(1, all),
            };
            into.insert(path.clone(), count);
            stay.insert(path, extent);
        }
        if self.groups == Groups::Global && self.router == Router::Average {
            let message = "with an averaged router every layer needs as many groups as are chosen";
            let error = Diagnostic::at(&codes::CONFLICTING_CLAUSES, step.verb, message);
            return Err(error.help("write `groups: layer`"));
        }
        let mut notes = Vec::new();
        let keeps_all = |(path, count): (&String, &usize)| {
            let axis = step.graph.places().axis(path);
            axis.is_some_and(|axis| step.graph.extent(axis).known() == Some(*count))
        };
        if into.iter().all(keeps_all) {
            notes.push(Diagnostic::at(
                &codes::NO_EFFECT,
                step.verb,
                "as many groups as experts: nothing is merged",
            ));
        }
        let stage = self.stage(step.graph, grouping, into, stay, by_frequency);
        Ok(Lowering { stages: vec![stage], notes, ..Lowering::default() })
    }
}

impl Merge {
    /// With a criterion that mixes experts, rather than putting them into groups.
    fn by_mixing(&self, step: &StepScope<'_>) -> Result<Option<Lowering>, Diagnostic> {
        let mut into = BTreeMap::new();
        // A criterion that groups is asked for groups, whatever the numbers are.
        if self.criterion.criterion.grouping().is_some() {
            return Ok(None);
        }
        for path in step.axes() {
            let axis = step.graph.places().axis(&path).expect("targets are resolved in this graph");
            alike(step, &path, axis)?;
            into.insert(path.clone(), self.count(step, &path, axis)?);
        }
        let work = self.criterion.criterion.mixing(&Choosing { graph: step.graph, keep: &into });
        work.map(|work| self.mixed(step, &into, work)).transpose()
    }

    fn by_frequency(&self, step: &StepScope<'_>, counted: bool) -> Result<bool, Diagnostic> {
        let needs = match (self.weights, self.groups) {
            (Some(Weights::Frequency), _) if !counted => "`weights: frequency`",
            (_, Groups::Global) if !counted => "`groups: global`",
            _ => return Ok(self.weights.map_or(counted, |weights| weights == Weights::Frequency)),
        };
        let message = format!("{needs} counts experts, and `{}` looks at no data", self.criterion.spec.name);
        Err(step.at(ClauseKind::By, &codes::MISSING_ARGUMENT, message).help("say on what: `counts: calib`"))
    }

    /// How many groups the experts of an axis make.
    fn count(&self, step: &StepScope<'_>, path: &str, axis: AxisId) -> Result<usize, Diagnostic> {
        let extent = step.graph.extent(axis);
        let Some(all) = extent.known() else {
            let message =
                format!("how many there are in `{path}` is not known yet: {extent}, as scores decide");
            return Err(Diagnostic::at(&codes::OPEN_EXTENT, step.verb, message));
        };
        let (_, experts) = step.graph.experts_of(axis).expect("experts are of an operation");
        let count = self.into.of(all);
        if count == 0 || count > all {
            let message = format!("{all} experts of `{path}` cannot become {count}");
            return Err(step.at(ClauseKind::Into, &codes::TOO_MANY, message));
        }
        if self.router == Router::Average && count < experts.top_k {
            let message =
                format!("the router of `{path}` chooses {} experts, and {count} are left", experts.top_k);
            let error = step.at(ClauseKind::Into, &codes::TOO_MANY, message);
            return Err(error.help("with `router: mapped` both choices may lead to one expert"));
        }
        if self.router == Router::Average {
            refuse_uneven_groups(step, ClauseKind::Into, axis, count)?;
        }
        Ok(count)
    }

    fn stage(
        &self,
        graph: &Graph,
        grouping: Arc<dyn Grouping>,
        into: BTreeMap<String, usize>,
        stay: BTreeMap<String, Extent>,
        by_frequency: bool,
    ) -> Stage {
        let align = self.align == Align::Permutation;
        let axes: Vec<String> = into.keys().cloned().collect();
        let by = self.criterion.criterion.describe();
        let mut group = GroupExperts::new(graph, grouping, by.clone(), into);
        (group.align, group.by_frequency, group.counts) = (align, by_frequency, self.counts.clone());
        group.scope = match self.groups {
            Groups::Layer => Scope::Layer,
            Groups::Global => Scope::Global,
        };
        let routes = self.router == Router::Mapped;
        let merge = MergeExperts::new(graph, axes, align, !routes);
        Stage {
            work: vec![Arc::new(group), Arc::new(merge)],
            rewrite: Arc::new(ReplaceExperts { into: stay, routes, by }),
        }
    }
}

/// Experts become one only where their matrices are equally large, dense, and no biases are beside them.
fn alike(step: &StepScope<'_>, path: &str, axis: AxisId) -> Result<(), Diagnostic> {
    let graph = step.graph;
    let (_, of) = graph.experts_of(axis).expect("experts are of an operation");
    let shape = |expert: &Expert| -> Vec<(usize, usize)> {
        let dims = |site: SiteId| {
            let (out, ins) = graph.site_dims(site);
            (graph.dim_extent(&out), graph.dim_extent(&ins))
        };
        expert.sites().map(dims).collect()
    };
    let sites = || of.experts.iter().flat_map(Expert::sites).map(|site| &graph.sites[site]);
    if let Some(factored) = sites().find(|site| matches!(site.weight, Weight::Factored { .. })) {
        let message =
            format!("`{}` is two factors, and `merge` averages matrices", graph.tree.path(factored.node));
        return Err(Diagnostic::at(&codes::FACTORED, step.verb, message).help("merge before `factorize`"));
    }
    if let Some(biased) = sites().find(|site| site.bias.is_some()) {
        let message = format!("`{}` has a bias, which `merge` does not know", graph.tree.path(biased.node));
        return Err(Diagnostic::at(&codes::UNLIKE_EXPERTS, step.verb, message));
    }
    let differs = of.experts.iter().position(|expert| shape(expert) != shape(&of.experts[0]));
    if let Some(number) = differs {
        let (first, other) = (shape(&of.experts[0]), shape(&of.experts[number]));
        let unlike = first.iter().zip(&other).find(|(first, other)| first != other);
        let unlike = unlike.map(|(first, other)| match first.0 == other.0 {
            true => (first.1, other.1),
            false => (first.0, other.0),
        });
        let (first, other) = unlike.unwrap_or_default();
        let message = format!("experts 0 and {number} of `{path}` are not equally wide");
        return Err(Diagnostic::at(&codes::UNLIKE_EXPERTS, step.verb, message)
            .says(format!("{first} and {other} neurons"))
            .help("merge before neurons are taken out, or take as many out of each"));
    }
    Ok(())
}

/// Puts merged experts in the place of those that they were made of.
#[derive(Debug)]
struct ReplaceExperts {
    /// How many are left of each axis, by path.
    into: BTreeMap<String, Extent>,
    /// Whether routers keep their rows.
    routes: bool,
    /// How groups are found, as written.
    by: String,
}

impl Rewrite for ReplaceExperts {
    fn describe(&self) -> String {
        let least = self.into.values().map(|extent| extent.min).min().unwrap_or(0);
        let most = self.into.values().map(|extent| extent.max).max().unwrap_or(0);
        let layers = numbers::things(self.into.len(), "layer");
        format!("experts of {layers} into {}", Extent::between(least, most))
    }

    fn arguments(&self) -> serde_json::Value {
        let into: BTreeMap<&String, [usize; 2]> =
            self.into.iter().map(|(path, extent)| (path, [extent.min, extent.max])).collect();
        json!({ "merge experts": into, "routes": self.routes, "by": self.by })
    }

    fn touches(&self) -> Vec<String> {
        // All that belongs to the layer's experts, and its router.
        self.into.keys().cloned().collect()
    }

    fn effect(&self, graph: &mut Graph) {
        let places = graph.places();
        for (path, extent) in &self.into {
            let Some(axis) = places.axis(path) else { continue };
            graph.forget_zeros_of_experts(axis);
            match self.routes {
                true => graph.share_some_experts(axis, *extent),
                false => graph.resize(axis, *extent),
            }
        }
    }

    fn apply(&self, version: &mut Version, found: Findings<'_>) -> Result<(), Diagnostic> {
        let dir = found.find(|finding| match finding {
            Finding::Tensors { dir, .. } => Some(dir),
            _ => None,
        });
        let groups = found.find(|finding| match finding {
            Finding::Groups(groups) => Some(groups),
            _ => None,
        });
        let checkpoint = Arc::new(Checkpoint::open(dir.expect("merged experts were written"))?);
        let groups = groups.expect("merged experts come with their groups");
        let stored = |name: String| {
            let stored = checkpoint.tensors.get(&name)?.clone();
            Some(Arc::new(Expr::Stored { checkpoint: Arc::clone(&checkpoint), stored }))
        };
        let places = version.graph.places();
        for path in self.into.keys() {
            let axis = places.axis(path).expect("the checker and the run agree on paths");
            let (_, experts) = version.graph.experts_of(axis).expect("experts are of an operation");
            let of_layer: Vec<_> = experts
                .experts
                .iter()
                .flat_map(Expert::sites)
                .chain([experts.router])
                .flat_map(|site| version.graph.sites[site].views().map(|view| view.param))
                .collect();
            let made = |param| {
                let here = of_layer.contains(&param);
                here.then(|| stored(merged_name(param)).or_else(|| stored(router_name(param)))).flatten()
            };
            version.merge_experts(axis, &groups[path].group_of, self.routes, made);
        }
        Ok(())
    }
}
