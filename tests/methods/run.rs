//! Steps carried out, as a run does it.

use std::path::Path;
use std::sync::Arc;

use tamis::REGISTRY;
use tamis::check::{Item, OpenedModel, Settings, Typed, World, check};
use tamis::diagnostic::{Diagnostic, Diagnostics, Severity};
use tamis::graph::{Graph, Sparsity};
use tamis::pass::{Context, Finding, Findings, Reader, Work};
use tamis::source::{Source, Sources};
use tamis::weights::Version;

use crate::model::Model;

/// What came of some steps.
pub struct Outcome {
    pub version: Version,
    /// Notes and warnings of the checker.
    pub notes: Vec<Diagnostic>,
    /// Remarks on what was found while running.
    pub remarks: Vec<Diagnostic>,
    /// All that was found.
    pub findings: Vec<Arc<Finding>>,
}

/// The model after some steps of a recipe.
pub fn run(model: &Model, steps: &str) -> Outcome {
    tried(model, steps).unwrap_or_else(|error| panic!("`{steps}`: {error:#?}"))
}

/// The model after some steps, or why one of them failed while it ran.
pub fn tried(model: &Model, steps: &str) -> Result<Outcome, Diagnostic> {
    let (typed, found) = checked(model, steps);
    let typed = typed.unwrap_or_else(|| panic!("`{steps}`: {found:#?}"));
    let input = model.version();
    let (mut version, mut remarks) = (model.version(), Vec::new());
    let rooms = tempfile::tempdir().expect("a directory for findings");
    let (mut numbers, mut all) = (0.., Vec::new());
    for item in &typed.body {
        let Item::Step(step) = item else { continue };
        for stage in &step.lowering.stages {
            let mut findings: Vec<Arc<Finding>> = Vec::new();
            for work in &stage.work {
                let room = rooms.path().join(format!("{}", numbers.next().unwrap_or(0)));
                let at = Context::of(&version, &model.checkpoint.dir);
                let at = Context { input: &input, found: Findings::new(&findings), room: &room, ..at };
                let found = Arc::new(work.run(&at)?);
                remarks.extend(work.remarks(&version, &found));
                findings.push(found);
            }
            all.extend(findings.iter().cloned());
            stage.rewrite.apply(&mut version, Findings::new(&findings)).expect("a rewrite is applied");
        }
        agree(&step.graph, &version.graph);
    }
    Ok(Outcome { version, notes: found.into_iter().collect(), remarks, findings: all })
}

/// The first work of some steps.
pub fn first_work(model: &Model, steps: &str) -> Arc<dyn Work> {
    let (typed, found) = checked(model, steps);
    let typed = typed.unwrap_or_else(|| panic!("`{steps}`: {found:#?}"));
    let steps = typed.body.iter().filter_map(|item| match item {
        Item::Step(step) => Some(step),
        _ => None,
    });
    let mut works = steps.flat_map(|step| step.lowering.stages.iter().flat_map(|stage| stage.work.clone()));
    works.next().expect("a step works")
}

/// The first error of some steps.
pub fn refused(model: &Model, steps: &str) -> Diagnostic {
    let (_, found) = checked(model, steps);
    let error = found.into_iter().find(|diagnostic| diagnostic.severity == Severity::Error);
    error.unwrap_or_else(|| panic!("`{steps}` is not refused"))
}

fn checked(model: &Model, steps: &str) -> (Option<Typed>, Diagnostics) {
    let mut sources = Sources::new();
    let text = format!("model input = \"toy\"\n{steps}\nsave \"out\"\n");
    let recipe = sources.add(Source::new("recipe.tamis", text));
    check(recipe, &Settings::default(), &Only(&model.graph), &REGISTRY, &mut sources)
}

/// What shapes alone said has to hold.
fn agree(expected: &Graph, found: &Graph) {
    for (id, param) in found.params.iter() {
        let name = param.name.resolve();
        // A weight whose rank would not have saved stays dense after all.
        let Some(before) = expected.params.get(id) else { continue };
        assert_eq!(before.dtype, param.dtype, "the type of `{name}`");
        let fits = found.shape(param).iter().zip(expected.shape(before)).all(|(now, most)| *now <= most);
        assert!(fits, "`{name}` is larger than the checker said");
    }
}

struct Only<'a>(&'a Graph);

impl World for Only<'_> {
    fn text(&self, _: &str, _: &str) -> Result<(String, String), String> {
        Err("no other file is there".into())
    }

    fn model(&self, _: &Path, _: &mut Sources) -> Result<OpenedModel, Diagnostics> {
        Ok(OpenedModel { graph: Arc::new(self.0.clone()), key_spans: Default::default() })
    }

    fn data(&self, _: &dyn Reader) -> Result<(), Diagnostic> {
        Ok(())
    }
}

impl Outcome {
    /// The matrix of a site, row after row.
    pub fn matrix(&self, path: &str) -> Vec<f32> {
        let site = self.version.graph.places().site(path).expect("a site of that path");
        self.version.site_matrix(site).expect("a matrix is read")
    }

    /// A tensor by its name.
    pub fn tensor(&self, name: &str) -> Vec<f32> {
        let param = self.version.graph.param_named(name).expect("a tensor of that name");
        self.version.values(param).expect("a tensor is read")
    }

    /// The bytes of a tensor.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        let param = self.version.graph.param_named(name).expect("a tensor of that name");
        let (expr, mut bytes) = (self.version.expr(param), Vec::new());
        expr.read_rows(0..expr.rows(), &mut bytes).expect("a tensor is read");
        bytes
    }

    /// Names of all tensors.
    pub fn names(&self) -> Vec<String> {
        self.version.graph.params.iter().map(|(_, param)| param.name.resolve()).collect()
    }

    pub fn sparsity(&self, path: &str) -> Option<Sparsity> {
        self.version.graph.sites[self.version.graph.places().site(path).expect("a site of that path")]
            .sparsity
    }

    pub fn zeros(&self, path: &str) -> usize {
        self.matrix(path).iter().filter(|value| **value == 0.0).count()
    }

    /// Codes of notes and warnings.
    pub fn notes(&self) -> Vec<&'static str> {
        self.notes.iter().map(|note| note.code.name).collect()
    }
}
