//! `prune`: heads, neurons, hidden dims, experts taken out, so that tensors become smaller.
//!
//! ```tamis
//! prune heads, neurons of layers[*] by magnitude to 60% flops
//! ```

mod over;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, codes};
use crate::graph::Extent;
use crate::observe::Shrinking;
use crate::pass::elements::{
    Choice, ChooseElements, KeepElements, Limits, ScoreElements, Stay, cost_with, least, refuse_merged,
};
use crate::pass::{
    Budget, CostBound, Count, Lowering, Pass, Quantity, Scorer, Stage, StepScope, Target, Tuning, Work,
};
use crate::syntax::ast::ClauseKind;
use crate::{choice, pass};

choice! {
    /// Who competes with whom when elements are counted.
    pub enum Scope("a scope") {
        /// The elements of one axis: as many stay in every layer.
        Layer = "layer",
        /// All elements of all nouns.
        Global = "global",
    }
}

choice! {
    /// What the result looks like from layer to layer.
    pub enum Shape("a shape") {
        /// As scores say.
        Free = "free",
        /// The same share in every layer, so that the architecture's config can say it where it can say widths at all.
        Uniform = "uniform",
    }
}

pass! {
    /// Takes heads, neurons, hidden dims or experts out of a model, so that its tensors become smaller.
    ///
    /// An element goes with all that belongs to it: a head with its rows of query, key and value, their biases and its
    /// columns of the output projection; a neuron with its rows of up and gate and its column of down; a hidden dim with its
    /// place in every tensor of the residual stream. Query heads that share a key/value head go together with it.
    ///
    /// `keep` and `remove` count elements of each axis; `to` bounds the cost of the whole model, relative to the recipe's
    /// input or absolute, and spends it where scores say. With numbers, as in `heads[0, 3]`, those go.
    ///
    /// `over` a training, heads and neurons are chosen first; every tensor is trained while a penalty makes the weights small that
    /// will go, and no others; then they go.
    ///
    /// ```tamis
    /// prune heads, neurons of layers[*] by magnitude to 60% flops
    /// prune neurons of layers[*] keep 75%
    /// prune heads[0] of layers[0]
    ///
    /// data train = text("train.jsonl", label: "label")
    /// prune neurons of layers[*] keep 50% over tune(train, epochs: 2) with { flow: mask_sparsity(1e-3) }
    /// ```
    ///
    /// `over` a training: MaskSparsity, arXiv:2110.06776.
    Prune = "prune" ["heads", "kv_heads", "neurons", "hidden", "experts", "vocab"]
    {
        /// How elements are scored.
        By criterion: Scorer = "magnitude",
        /// What the result may cost at most.
        To budget: Option<Budget>,
        /// How many stay, of each axis.
        Keep keep: Option<Quantity>,
        /// How many go, of each axis.
        Remove remove: Option<Quantity>,
        /// A training run at whose end they go, in place of at once: every tensor is trained.
        Over tuning: Option<Tuning>,
    }
    with {
        /// Who competes with whom when elements are counted; a budget is always spent over all.
        scope: Scope = "layer",
        /// What the result looks like from layer to layer, under a budget.
        shape: Shape = "free",
        /// How many elements stay at least on each axis, so that no layer collapses.
        floor: Count = "1",
        /// Axes of 64 elements and more keep a multiple of this many under a share or a budget, as kernels and N:M patterns
        /// like it; an axis that it does not divide, and one that is given a count, keeps any number.
        multiple: Count = "8",
        /// How what will go shrinks `over` a training; where nothing is said `mask_sparsity`.
        flow: Option<Shrinking>,
    }
}

impl Pass for Prune {
    fn lower(&self, step: &StepScope<'_>) -> Result<Lowering, Diagnostic> {
        refuse_merged(step)?;
        let notes = whole_groups(step);
        let how_many = self.how_many(step)?;
        if !matches!(how_many, Some(HowMany::Within(_))) || self.shape == Shape::Uniform {
            refuse_open(step)?;
        }
        let lowering = match (how_many, numbered(step)) {
            (None, true) => self.named(step)?,
            (Some(_), true) => return Err(conflict(step, "numbers and")),
            (Some(HowMany::Of(quantity, goes)), false) => self.counted(step, quantity, goes)?,
            (Some(HowMany::Within(budget)), false) => self.budgeted(step, budget)?,
            (None, false) => return Err(nothing_asked(step)),
        };
        Ok(Lowering { notes: [notes, lowering.notes].concat(), ..lowering })
    }
}

/// What a step asks for.
enum HowMany {
    /// A quantity, and whether it is what goes instead of what stays.
    Of(Quantity, bool),
    Within(Budget),
}

/// An axis of a step, as counting needs it.
struct Counted<'t> {
    path: &'t str,
    extent: usize,
    floor: usize,
    /// Counts are multiples of this.
    multiple: usize,
    target: &'t Target,
}

/// Axes shorter than this are counted one by one: heads, experts.
const WIDE: usize = 64;

impl Prune {
    fn how_many(&self, step: &StepScope<'_>) -> Result<Option<HowMany>, Diagnostic> {
        match (self.keep, self.remove, self.budget) {
            (None, None, None) => Ok(None),
            (Some(quantity), None, None) => Ok(Some(HowMany::Of(quantity, false))),
            (None, Some(quantity), None) => Ok(Some(HowMany::Of(quantity, true))),
            (None, None, Some(budget)) => Ok(Some(HowMany::Within(budget))),
            _ => Err(conflict(step, "two of")),
        }
    }

    /// `keep` and `remove`.
    fn counted(&self, step: &StepScope<'_>, quantity: Quantity, goes: bool) -> Result<Lowering, Diagnostic> {
        let clause = if goes { ClauseKind::Remove } else { ClauseKind::Keep };
        let axes = self.axes(step);
        let mut keep = BTreeMap::new();
        for axis in &axes {
            keep.insert(axis.path.to_string(), kept(step, clause, axis, quantity, goes)?);
        }
        match self.scope {
            Scope::Layer => self.chosen(step, Choice::Each(keep.clone()), exact(&keep), None),
            Scope::Global => {
                let total = keep.values().sum();
                let stay = axes.iter().map(|axis| (axis.path.to_string(), between(axis))).collect();
                self.chosen(step, Choice::Together { keep: total, limits: limits(&axes) }, stay, None)
            }
        }
    }

    /// `to 60% flops`.
    fn budgeted(&self, step: &StepScope<'_>, budget: Budget) -> Result<Lowering, Diagnostic> {
        let axes = self.axes(step);
        let at_most = step.at_most(budget)?;
        let cost = |count: &dyn Fn(&Counted<'_>) -> usize| {
            let counts = axes.iter().map(|axis| (axis.path, count(axis)));
            cost_with(step.graph, counts, budget.measure, step.batch)
        };
        let least = cost(&|axis| axis.floor);
        let most = cost(&|axis| axis.extent);
        if at_most < least {
            return Err(unreachable_budget(step, budget, at_most, least, most));
        }
        let bound = Some(CostBound { measure: budget.measure, at_most });
        match self.shape {
            Shape::Free => {
                let (measure, batch, limits) = (budget.measure, step.batch, limits(&axes));
                let stay = axes.iter().map(|axis| (axis.path.to_string(), between(axis))).collect();
                self.chosen(step, Choice::Within { measure, at_most, batch, limits }, stay, bound)
            }
            Shape::Uniform => {
                let keep = uniform(&axes, |count| cost(count) <= at_most);
                self.chosen(step, Choice::Each(keep.clone()), exact(&keep), bound)
            }
        }
    }

    /// Score, choose, keep.
    fn chosen(
        &self,
        step: &StepScope<'_>,
        choice: Choice,
        stay: BTreeMap<String, Stay>,
        bound: Option<CostBound>,
    ) -> Result<Lowering, Diagnostic> {
        for target in step.targets {
            self.criterion.units(target.noun.name)?;
        }
        let mut notes = Vec::new();
        let rewrite = KeepElements::new(step.graph, stay.clone());
        if rewrite.axes.iter().all(|(path, stay)| stay.extent() == Extent::exact(rewrite.before[path])) {
            let message = "this keeps everything";
            notes.push(Diagnostic::at(&codes::NO_EFFECT, step.verb, message));
        }
        let criterion = Arc::clone(&self.criterion.criterion);
        let anew = criterion.choose_anew(step.graph, &step.axes());
        let score = ScoreElements::new(step.graph, criterion, step.axes());
        let mut work: Vec<Arc<dyn Work>> = vec![Arc::new(score), Arc::new(ChooseElements { choice })];
        work.extend(anew);
        let stage = self.spread(step, Stage { work, rewrite: Arc::new(rewrite) }, stay)?;
        Ok(Lowering { stages: vec![stage], bound, notes })
    }

    /// `heads[0, 3]`: those go, without scores.
    fn named(&self, step: &StepScope<'_>) -> Result<Lowering, Diagnostic> {
        let stay = named_elements(step)?;
        let rewrite = Arc::new(KeepElements::new(step.graph, stay.clone()));
        let stage = self.spread(step, Stage { work: Vec::new(), rewrite }, stay)?;
        Ok(Lowering { stages: vec![stage], ..Lowering::default() })
    }

    fn axes<'t>(&self, step: &StepScope<'t>) -> Vec<Counted<'t>> {
        let places = step.graph.places();
        let counted = |target: &'t Target, path: &'t String| {
            let axis = places.axis(path).expect("targets are resolved in this graph");
            let bounds = step.graph.extent(axis);
            let extent = bounds.max;
            // What is chosen later has to divide too, and to hold the floor.
            let fits = extent >= WIDE && bounds.multiple.is_multiple_of(self.multiple.0);
            let multiple = if fits { self.multiple.0 } else { 1 };
            let floor = self.floor.0.max(least(step.graph, axis)).next_multiple_of(multiple).min(bounds.min);
            Counted { path, extent, floor, multiple, target }
        };
        step.targets
            .iter()
            .flat_map(|target| target.axes.iter().map(move |path| (target, path)))
            .map(|(target, path)| counted(target, path))
            .collect()
    }
}

/// How many elements of an axis stay.
fn kept(
    step: &StepScope<'_>,
    clause: ClauseKind,
    axis: &Counted<'_>,
    quantity: Quantity,
    goes: bool,
) -> Result<usize, Diagnostic> {
    let (group, noun) = (axis.target.group, axis.target.noun.name);
    let all = axis.extent * group;
    let asked = match quantity {
        Quantity::Count(count) if count % group != 0 => {
            let message =
                format!("{group} query heads share a key/value head: {count} is no multiple of {group}");
            let near = (count / group).max(1) * group;
            let help = format!("say {near} or {}, or count `kv_heads`", near + group);
            return Err(step.at(clause, &codes::INDIVISIBLE, message).help(help));
        }
        Quantity::Count(count) => count / group,
        Quantity::Share(_) => quantity.of(axis.extent / axis.multiple) * axis.multiple,
    };
    if asked > axis.extent {
        let message = format!("there are {all} {noun} in `{}`, not {}", axis.path, asked * group);
        return Err(step.at(clause, &codes::TOO_MANY, message));
    }
    let stays = if goes { axis.extent - asked } else { asked };
    if stays < axis.floor {
        let message =
            format!("at least {} of {all} {noun} have to stay in `{}`", axis.floor * group, axis.path);
        return Err(step.at(clause, &codes::TOO_MANY, message).says(format!("leaves {}", stays * group)));
    }
    Ok(stays)
}

fn limits(axes: &[Counted<'_>]) -> BTreeMap<String, Limits> {
    let limits = |axis: &Counted<'_>| Limits { floor: axis.floor, multiple: axis.multiple };
    axes.iter().map(|axis| (axis.path.to_string(), limits(axis))).collect()
}

fn exact(keep: &BTreeMap<String, usize>) -> BTreeMap<String, Stay> {
    keep.iter().map(|(path, &count)| (path.clone(), Stay::Some(Extent::exact(count)))).collect()
}

fn between(axis: &Counted<'_>) -> Stay {
    Stay::Some(Extent::multiples(axis.multiple, axis.floor, axis.extent))
}

/// The largest common share that fits, in steps of the longest axis.
fn uniform(
    axes: &[Counted<'_>],
    fits: impl Fn(&dyn Fn(&Counted<'_>) -> usize) -> bool,
) -> BTreeMap<String, usize> {
    let longest = axes.iter().map(|axis| axis.extent).max().unwrap_or(1);
    let count = |axis: &Counted<'_>, step: usize| {
        let count = axis.extent * step / longest;
        (count - count % axis.multiple).max(axis.floor)
    };
    let (mut fit, mut exceed) = (0, longest + 1);
    while exceed - fit > 1 {
        let middle = usize::midpoint(fit, exceed);
        if fits(&|axis| count(axis, middle)) { fit = middle } else { exceed = middle }
    }
    axes.iter().map(|axis| (axis.path.to_string(), count(axis, fit))).collect()
}

/// Counts and numbers need to know how many elements there are; after a budget only scores will tell.
fn refuse_open(step: &StepScope<'_>) -> Result<(), Diagnostic> {
    let places = step.graph.places();
    for target in step.targets {
        for path in &target.axes {
            let axis = places.axis(path).expect("targets are resolved in this graph");
            let extent = step.graph.extent(axis);
            if extent.known().is_none() {
                let message =
                    format!("how many there are in `{path}` is not known yet: {extent}, as scores decide");
                return Err(Diagnostic::at(&codes::OPEN_EXTENT, target.span, message)
                    .help("put this step before the one that leaves the number open, or give it a budget, `to … flops`"));
            }
        }
    }
    Ok(())
}

fn numbered(step: &StepScope<'_>) -> bool {
    step.targets.iter().any(|target| target.indices.is_some())
}

/// What stays where those go that have numbers.
fn named_elements(step: &StepScope<'_>) -> Result<BTreeMap<String, Stay>, Diagnostic> {
    let places = step.graph.places();
    let mut stay = BTreeMap::new();
    for target in step.targets {
        let Some(gone) = &target.indices else {
            let message = format!("which {}? The other noun has numbers", target.noun.name);
            return Err(Diagnostic::at(&codes::CONFLICTING_CLAUSES, target.span, message));
        };
        for path in &target.axes {
            let axis = places.axis(path).expect("targets are resolved in this graph");
            let extent = step.graph.extent(axis).max;
            let these: Vec<usize> = (0..extent).filter(|index| gone.binary_search(index).is_err()).collect();
            let least = least(step.graph, axis);
            if these.len() < least {
                let message = format!("at least {least} of {extent} have to stay in `{path}`");
                return Err(Diagnostic::at(&codes::TOO_MANY, target.span, message));
            }
            stay.insert(path.clone(), Stay::These(these));
        }
    }
    Ok(stay)
}

fn conflict(step: &StepScope<'_>, what: &str) -> Diagnostic {
    let message = format!("{what} `keep`, `remove` and `to` say twice how many stay");
    Diagnostic::at(&codes::CONFLICTING_CLAUSES, step.verb, message).help("keep one of them")
}

fn nothing_asked(step: &StepScope<'_>) -> Diagnostic {
    let message = "how many stay?";
    Diagnostic::at(&codes::MISSING_CLAUSE, step.verb, message)
        .help("say `keep 75%`, `remove 2` or `to 60% flops`")
}

fn unreachable_budget(
    step: &StepScope<'_>,
    budget: Budget,
    at_most: u64,
    least: u64,
    most: u64,
) -> Diagnostic {
    let of_input = |cost: u64| 100.0 * cost as f64 / budget.measure.of(step.input).max.max(1) as f64;
    let message = format!("no choice reaches {} {}", budget.measure.show(at_most), budget.measure);
    step.at(ClauseKind::To, &codes::UNREACHABLE_BUDGET, message)
        .says(format!("between {:.1} % and {:.1} % can be reached here", of_input(least), of_input(most)))
        .help(format!(
            "what is selected can bring the model to {} {} at least",
            budget.measure.show(least),
            budget.measure
        ))
}

/// Says that heads are removed in whole groups, where the user spoke of heads.
fn whole_groups(step: &StepScope<'_>) -> Vec<Diagnostic> {
    let grouped = step.targets.iter().filter(|target| target.group > 1);
    grouped
        .map(|target| {
            let message =
                format!("{} heads share a key/value head here and go together with it", target.group);
            Diagnostic::at(&codes::WHOLE_GROUPS, target.span, message)
        })
        .collect()
}
