//! One step: its pass found, its arguments bound, its targets resolved, its effect run on the graph.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::select::Selected;
use super::{Change, Checker, State, TypedStep};
use crate::diagnostic::{Diagnostic, Diagnostics, codes};
use crate::graph::{Between, Cost, Graph, Site, SiteId, Sparsity};
use crate::pass::{
    Bound, CostBound, CostMeasure, Lowering, Pass, PassSpec, StepScope, Target, Value, ValueKind,
};
use crate::source::Span;
use crate::syntax::ast::{self, ClauseKind, ClauseValue};

impl Checker<'_> {
    /// Checks a step and moves the state past it; `None` after a diagnostic, with the state as it was.
    pub(super) fn step(&mut self, step: &ast::Step, state: &mut State) -> Option<TypedStep> {
        let spec = self.pass(step);
        let selected = self.place(step, &state.graph);
        let clauses = self.clauses(step);
        let (spec, selected) = (spec?, selected);
        let targets = selected.and_then(|selected| self.targets(step, &state.graph, &selected));
        let pass = self.bind(step, spec, clauses?)?;
        let targets = targets?;
        let model = self.model.as_ref()?;
        let (source, input) = (Arc::clone(&model.graph), model.cost);
        let spans = step.clauses.iter().map(|clause| (clause.kind, value_span(clause))).collect();
        let scope = StepScope {
            graph: &state.graph,
            source: &source,
            targets: &targets,
            input: &input,
            batch: self.at?.batch,
            verb: step.verb.span,
            clauses: &spans,
        };
        let lowering = match pass.lower(&scope) {
            Ok(lowering) => lowering,
            Err(diagnostic) => {
                self.report(diagnostic);
                return None;
            }
        };
        self.apply(step, spec, lowering, state)
    }

    /// Runs the effects of a lowering on the state.
    fn apply(
        &mut self,
        step: &ast::Step,
        spec: &'static PassSpec,
        mut lowering: Lowering,
        state: &mut State,
    ) -> Option<TypedStep> {
        for note in std::mem::take(&mut lowering.notes) {
            self.report(note);
        }
        self.refuse_data(step, &lowering, &state.graph)?;
        let mut graph = (*state.graph).clone();
        for stage in &lowering.stages {
            let before = patterns(&graph);
            stage.rewrite.effect(&mut graph);
            if !stage.rewrite.releases() {
                self.refuse_undoing(&before, &graph, step)?;
            }
        }
        self.refuse_loose_rows(&state.graph, &graph, step)?;
        self.remember_changes(&state.graph, &graph, step.span);
        self.remember_patterns(&state.graph, &graph, step.span);
        let of_shapes = match graph.has_shapes_of(&state.graph) {
            true => state.of_shapes,
            false => graph.cost(self.at?.batch),
        };
        // A step that makes the model larger again, as a cast to a wider type does, ends a budget.
        let grew = |measure: CostMeasure| measure.of(&of_shapes).max > measure.of(&state.of_shapes).max;
        state.bounds.retain(|bound| !grew(bound.measure));
        state.bounds.extend(lowering.bound);
        state.graph = Arc::new(graph);
        state.of_shapes = of_shapes;
        state.cost = bounded(of_shapes, &state.bounds);
        Some(TypedStep {
            verb: spec.verb,
            text: one_line(self.sources.text(step.span)),
            span: step.span,
            lowering,
            graph: Arc::clone(&state.graph),
            cost: state.cost,
        })
    }

    /// A model that is not run is shown no data.
    fn refuse_data(&mut self, step: &ast::Step, lowering: &Lowering, graph: &Graph) -> Option<()> {
        let Some(model) = not_shown(graph) else { return Some(()) };
        let works = lowering.stages.iter().flat_map(|stage| &stage.work);
        let data = works.flat_map(|work| work.data()).next();
        let Some(data) = data.or_else(|| lowering.stages.iter().flat_map(|it| it.rewrite.data()).next())
        else {
            return Some(());
        };
        let message = format!("this step shows `{}` to {model}", data.name);
        let by = step.clauses.iter().find(|clause| clause.kind == ClauseKind::By).map(value_span);
        let error = Diagnostic::at(&codes::CANNOT_RUN, by.unwrap_or(step.verb.span), message);
        self.report(
            error.help("criteria that look at weights alone take it: `magnitude`, `weights`, `random`"),
        );
        None
    }

    /// A pattern that an earlier step made has to hold in the result: a step that ends it is an error.
    fn refuse_undoing(
        &mut self,
        before: &[(SiteId, usize, usize)],
        after: &Graph,
        step: &ast::Step,
    ) -> Option<()> {
        let undone = before.iter().find_map(|&(id, keep, of)| {
            let site = after.sites.get(id)?;
            let ended = site.sparsity.and_then(Sparsity::pattern).is_none();
            ended.then(|| (after.tree.path(site.node), keep, of))
        });
        let Some((path, keep, of)) = undone else { return Some(()) };
        let message = format!("this step undoes {keep}:{of} in `{path}`");
        let diagnostic = Diagnostic::at(&codes::UNDOES_STEP, step.verb.span, message);
        let diagnostic = match self.patterns.get(&path) {
            Some(&span) => diagnostic.label(span, "made here"),
            None => diagnostic,
        };
        self.report(diagnostic.help("put this step before the other, or `densify weights` in between"));
        None
    }

    /// Rows beside factors are numbered: none of their numbers may go.
    fn refuse_loose_rows(&mut self, before: &Graph, after: &Graph, step: &ast::Step) -> Option<()> {
        let Some(site) = before.rest_unsettled(after) else { return Some(()) };
        let path = before.tree.path(before.sites[site].node);
        let message = format!("outputs of `{path}` go, and some of its rows are kept beside its factors");
        let error = Diagnostic::at(&codes::FACTORED, step.verb.span, message);
        self.report(error.help("put this step before the one that factors"));
        None
    }

    fn remember_patterns(&mut self, before: &Graph, graph: &Graph, span: Span) {
        for (id, site) in graph.sites.iter() {
            let was = before.sites.get(id).and_then(|site| site.sparsity);
            let pattern = site.sparsity.and_then(Sparsity::pattern);
            if pattern.is_some() && was.and_then(Sparsity::pattern) != pattern {
                self.patterns.entry(graph.tree.path(site.node)).or_insert(span);
            }
        }
    }

    fn remember_changes(&mut self, before: &Graph, after: &Graph, span: Span) {
        for (id, axis) in before.axes.iter() {
            let Some(now) = after.axes.get(id) else { continue };
            if now.extent != axis.extent {
                let change =
                    Change { axis: before.axis_path(id), before: axis.extent, after: now.extent, span };
                self.changes.push(change);
            }
        }
    }

    /// The pass of the verb that acts on the step's nouns.
    fn pass(&mut self, step: &ast::Step) -> Option<&'static PassSpec> {
        let verb = &step.verb;
        let specs: Vec<&'static PassSpec> = self.registry.passes_of(&verb.text).collect();
        if specs.is_empty() {
            let message = format!("there is no verb `{}`", verb.text);
            let mut verbs: Vec<&str> = self.registry.passes.iter().map(|spec| spec.verb).collect();
            verbs.dedup();
            let diagnostic = Diagnostic::at(&codes::UNKNOWN_VERB, verb.span, message);
            self.report(diagnostic.suggest(&verb.text, verb.span, verbs));
            return None;
        }
        let takes = |spec: &&PassSpec, noun: &ast::Noun| spec.nouns.contains(&noun.name.text.as_str());
        let first = step.nouns.first()?;
        let spec = specs.iter().copied().find(|spec| takes(spec, first)).unwrap_or(specs[0]);
        let mut all_known = true;
        for noun in &step.nouns {
            if !takes(&spec, noun) {
                all_known = false;
                let message = format!("`{}` does not act on `{}`", verb.text, noun.name.text);
                let nouns: Vec<&str> = specs.iter().flat_map(|spec| spec.nouns.iter().copied()).collect();
                let diagnostic = Diagnostic::at(&codes::UNKNOWN_NOUN, noun.name.span, message);
                self.report(match nouns.as_slice() {
                    // Of one noun there is no doubt which is meant, unless it stands there already.
                    [only] if step.nouns.len() == 1 => {
                        diagnostic.help(format!("it acts on `{only}`")).fix(noun.name.span, *only)
                    }
                    _ => diagnostic.suggest(&noun.name.text, noun.name.span, nouns),
                });
            }
        }
        all_known.then_some(spec)
    }

    /// What `of` or `at` selects; without either the whole model.
    fn place(&mut self, step: &ast::Step, graph: &Graph) -> Option<Selected> {
        let written = step.clause(ClauseKind::Of).or_else(|| step.clause(ClauseKind::At));
        match written.map(|clause| &clause.value) {
            Some(ClauseValue::Selector(selector)) => self.select(graph, selector),
            _ => Some(Selected::everything(graph, step.verb.span)),
        }
    }

    fn targets(&mut self, step: &ast::Step, graph: &Graph, selected: &Selected) -> Option<Vec<Target>> {
        let targets: Vec<Option<Target>> =
            step.nouns.iter().map(|noun| self.target(graph, noun, selected)).collect();
        targets.into_iter().collect()
    }

    /// The values of the clauses and of `with`; `None` after a diagnostic.
    fn clauses(&mut self, step: &ast::Step) -> Option<Written> {
        let mut written = Written::default();
        let mut failed = false;
        let mut seen: BTreeMap<ClauseKind, Span> = BTreeMap::new();
        for clause in &step.clauses {
            let keyword = clause.kind.keyword();
            if let Some(first) = seen.insert(clause.kind, clause.keyword) {
                let message = format!("a second `{keyword}` clause");
                let diagnostic = Diagnostic::at(&codes::DUPLICATE_CLAUSE, clause.keyword, message);
                self.report(diagnostic.label(first, "the first"));
                failed = true;
                continue;
            }
            match &clause.value {
                ClauseValue::Selector(_) => {}
                ClauseValue::Expr(expr) => match self.evaluate(expr) {
                    Some(value) => written.clauses.push((clause.kind, value)),
                    None => failed = true,
                },
                ClauseValue::Record(record) => {
                    let expr = ast::Expr { kind: ast::ExprKind::Record(record.clone()), span: record.span };
                    match self.evaluate(&expr).map(|value| value.kind) {
                        Some(ValueKind::Record(fields)) => written.fields = fields,
                        _ => failed = true,
                    }
                }
            }
        }
        (!failed).then_some(written)
    }

    fn bind(&mut self, step: &ast::Step, spec: &'static PassSpec, written: Written) -> Option<Box<dyn Pass>> {
        let mut refused = false;
        for clause in &step.clauses {
            let is_place = matches!(clause.kind, ClauseKind::Of | ClauseKind::At | ClauseKind::With);
            if !is_place && !spec.clauses.iter().any(|known| known.kind == clause.kind) {
                refused = true;
                let message = format!("`{}` takes no `{}` clause", spec.verb, clause.kind.keyword());
                let takes: Vec<&str> = spec.clauses.iter().map(|known| known.kind.keyword()).collect();
                let diagnostic = Diagnostic::at(&codes::UNEXPECTED_CLAUSE, clause.keyword, message);
                self.report(diagnostic.help(format!("it takes {}", crate::diagnostic::list(&takes))));
            }
        }
        let mut found = Diagnostics::new();
        let mut bound = Bound {
            owner: spec.verb,
            span: step.verb.span,
            clauses: written.clauses,
            fields: written.fields,
            registry: self.registry,
            diagnostics: &mut found,
        };
        let pass = (spec.bind)(&mut bound);
        refused |= found.has_errors();
        self.adopt(found);
        pass.filter(|_| !refused)
    }
}

/// Sites with an N:M pattern.
fn patterns(graph: &Graph) -> Vec<(SiteId, usize, usize)> {
    let pattern = |(id, site): (SiteId, &Site)| {
        let (keep, of) = site.sparsity?.pattern()?;
        Some((id, keep, of))
    };
    graph.sites.iter().filter_map(pattern).collect()
}

/// Written clauses, evaluated.
#[derive(Debug, Default)]
struct Written {
    clauses: Vec<(ClauseKind, Value)>,
    fields: Vec<(String, Span, Value)>,
}

fn value_span(clause: &ast::Clause) -> Span {
    match &clause.value {
        ClauseValue::Selector(selector) => selector.span,
        ClauseValue::Record(record) => record.span,
        ClauseValue::Expr(expr) => expr.span,
    }
}

/// A cost can not exceed what a step promised, although the extents behind it are bounds only.
fn bounded(mut cost: Cost, bounds: &[CostBound]) -> Cost {
    let cap = |between: &mut Between, most: u64| {
        between.max = between.max.min(most);
        between.min = between.min.min(between.max);
    };
    for bound in bounds {
        match bound.measure {
            CostMeasure::Flops => cap(&mut cost.macs, bound.at_most / 2),
            CostMeasure::Macs => cap(&mut cost.macs, bound.at_most),
            CostMeasure::Params => cap(&mut cost.params, bound.at_most),
            CostMeasure::Bytes => cap(&mut cost.bytes, bound.at_most),
            CostMeasure::Latency => cap(&mut cost.nanoseconds, bound.at_most),
        }
    }
    cost
}

/// The text of a step on one line, without comments.
fn one_line(text: &str) -> String {
    let without_comments = text.lines().map(|line| match line.find('#') {
        // A `#` in a text is not a comment: quotes before it are then open.
        Some(at) if line[..at].matches('"').count().is_multiple_of(2) => &line[..at],
        _ => line,
    });
    without_comments.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}

/// What a model is to a user that no data can be shown to, and why; nothing where some can.
pub(super) fn not_shown(graph: &Graph) -> Option<String> {
    let why = graph.cannot_be_shown()?;
    let model =
        if graph.cannot_run().is_some() { "that tamis does not run" } else { "that no data set fits" };
    Some(format!("a model {model}: {why}"))
}
