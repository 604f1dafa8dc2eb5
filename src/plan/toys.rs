//! A small model and steps over it, for the tests of planning, optimizing and running.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Plan, build};
use crate::check::{
    Branch, ExpectBound, Item, MeasuredAt, Typed, TypedExpect, TypedMeasure, TypedModel, TypedSave, TypedStep,
};
use crate::checkpoint::{Checkpoint, Config, Existing, Family, OutputDir, TensorSpec};
use crate::diagnostic::Diagnostic;
use crate::graph::{Bias, Builder, Cost, Extent, Graph, Role, SiteId, Size, Sparsity};
use crate::measure;
use crate::pass::elements::{Choice, ChooseElements, KeepElements, ScoreElements, Stay};
use crate::pass::{Context, Criterion, Findings, Measure, Rewrite, Stage, UnitScores, Work};
use crate::source::{Source, Sources, Span};
use crate::syntax::ast::Comparison;
use crate::tensor::{DType, convert};
use crate::weights::{MaskRule, MatrixBlock, Reach, Version};

/// Four layers of two matrices each, an embedding, a head.
pub static FAMILY: Family = Family { name: "toy", model_types: &["toy"], doc: "", build: family };

pub const CONFIG: &str = r#"{
  "model_type": "toy",
  "hidden_size": 4,
  "neurons": 8,
  "num_layers": 4,
  "torch_dtype": "float32",
  "note": "kept as it is"
}
"#;

fn family(config: &Config, m: &mut Builder<'_>) -> Result<(), Diagnostic> {
    let ids = m.token_ids(16);
    let hidden = m.axis(Role::Hidden, Size::keyed("hidden_size", config.usize("hidden_size")?));
    let words = m.axis(Role::Vocab, Size::fixed(5));
    let neurons = Size::keyed("neurons", config.usize("neurons")?);
    let (x, _) = m.embedding("embeddings", "embed", ids, words, hidden);
    let layers = m.axis(Role::Layers, Size::keyed("num_layers", config.usize("num_layers")?));
    let x = m.layers(layers, "layers", x, |m, x| {
        m.scope("mlp", |m| {
            let neurons = m.axis(Role::Neurons, neurons.clone());
            let up = m.linear("up", "up", x, neurons, Bias::With);
            let down = m.linear("down", "down", up, hidden, Bias::Without);
            m.add(x, down)
        })
    });
    let logits = m.linear("head", "head", x, words, Bias::Without);
    m.output("logits", logits);
    Ok(())
}

fn of_config(text: &str) -> Graph {
    let config = Config::parse("config.json", text).unwrap();
    let mut builder = Builder::new("toy", None, DType::F32);
    family(&config, &mut builder).unwrap();
    let mut graph = builder.finish().unwrap();
    graph.set_tokens(16);
    graph
}

/// The model on disk, with a tokenizer beside it. Numbers are of all sizes, and of one seed.
pub fn write_model(dir: &Path) {
    write_config(dir, CONFIG);
}

/// Another model of the same family.
pub fn write_small_model(dir: &Path) {
    write_config(dir, &CONFIG.replace("\"neurons\": 8", "\"neurons\": 6"));
}

/// Puts a number that is not finite into a tensor.
pub fn spoil(dir: &Path, tensor: &str) {
    let checkpoint = Checkpoint::open(dir).unwrap();
    let stored = &checkpoint.tensors[tensor];
    let file = std::fs::File::options().write(true).open(dir.join("model.safetensors")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &f32::NAN.to_le_bytes(), stored.offset).unwrap();
}

fn write_config(dir: &Path, text: &str) {
    let graph = of_config(text);
    let spec = |(_, param): (_, &crate::graph::Param)| TensorSpec {
        name: param.name.resolve(),
        dtype: param.dtype,
        shape: graph.shape(param),
    };
    let specs: Vec<TensorSpec> = graph.params.iter().map(spec).collect();
    let output = OutputDir::create(dir, Existing::Refuse, &[]).unwrap();
    let tensors = output.tensors(&specs, None).unwrap();
    for (at, spec) in specs.iter().enumerate() {
        let hash =
            |i: usize| ((i + 1) as u32).wrapping_mul(2_654_435_761).wrapping_mul(2 * at as u32 + 1) >> 8;
        let values: Vec<f32> = (0..spec.shape.iter().product()).map(|i| hash(i) as f32 / 1e7 - 0.8).collect();
        let mut bytes = vec![0; values.len() * 4];
        convert::write(DType::F32, &values, &mut bytes).unwrap();
        tensors.write_at(at, 0, &bytes).unwrap();
    }
    output.put("config.json", text.as_bytes()).unwrap();
    output.put("tokenizer.json", b"{}").unwrap();
    output.finish().unwrap();
}

/// Statements of a recipe, each seeing the model as those above left it.
pub struct Body {
    items: Vec<Item>,
    /// The model as the last step left it.
    graph: Arc<Graph>,
}

/// A recipe over the model in a directory.
pub fn recipe(model: &Path, write: impl FnOnce(&mut Body)) -> Typed {
    let graph = Arc::new(of_config(CONFIG));
    let mut body = Body { items: Vec::new(), graph: Arc::clone(&graph) };
    write(&mut body);
    let cost = graph.cost(1);
    Typed {
        title: Some("toy".into()),
        header: Vec::new(),
        model: TypedModel { name: "input".into(), path: model.to_owned(), graph, cost },
        at: MeasuredAt { tokens: 16, batch: 1 },
        params: vec![("budget".into(), "60%".into())],
        body: body.items,
    }
}

/// The plan of a recipe that is not carried out.
pub fn planned(write: impl FnOnce(&mut Body)) -> Plan {
    build(&recipe(Path::new("models/toy"), write))
}

/// What tasks of a kind do, in their order; of all kinds where it is empty.
pub fn texts(plan: &Plan, kind: &str) -> Vec<String> {
    let of_kind = plan.ordered().filter(|(_, task)| kind.is_empty() || task.kind() == kind);
    of_kind.map(|(id, _)| plan.describe(id)).collect()
}

/// As it is said in a recipe that no test reads.
pub fn span() -> Span {
    let mut sources = Sources::new();
    Span::new(sources.add(Source::new("toy.tamis", "")), 0, 0)
}

impl Body {
    pub fn step(&mut self, verb: &'static str, stages: impl FnOnce(&Graph) -> Vec<Stage>) -> &mut Self {
        let stages = stages(&self.graph);
        let mut graph = (*self.graph).clone();
        stages.iter().for_each(|stage| stage.rewrite.effect(&mut graph));
        let graph = Arc::new(graph);
        let cost = graph.cost(1);
        let lowering = crate::pass::Lowering { stages, ..Default::default() };
        let text = format!("{verb} it");
        self.items.push(Item::Step(TypedStep {
            verb,
            text,
            span: span(),
            lowering,
            graph: Arc::clone(&graph),
            cost,
        }));
        self.graph = graph;
        self
    }

    /// Keeps the neurons of most weight in some layers.
    pub fn prune(&mut self, layers: &[usize], keep: usize) -> &mut Self {
        let axes: Vec<String> = layers.iter().map(|layer| neurons(*layer)).collect();
        self.scored(&axes, keep)
    }

    /// Keeps the elements of most weight.
    pub fn scored(&mut self, axes: &[String], keep: usize) -> &mut Self {
        self.step("prune", |graph| {
            let stay = axes.iter().map(|path| (path.clone(), Stay::Some(Extent::exact(keep)))).collect();
            let score = ScoreElements::new(graph, Arc::new(Sum), axes.to_vec());
            let keep = axes.iter().map(|path| (path.clone(), keep)).collect();
            let work: Vec<Arc<dyn Work>> =
                vec![Arc::new(score), Arc::new(ChooseElements { choice: Choice::Each(keep) })];
            vec![Stage { work, rewrite: Arc::new(KeepElements::new(graph, stay)) }]
        })
    }

    /// Keeps the layers of most weight.
    pub fn drop_by_score(&mut self, keep: usize) -> &mut Self {
        self.scored(&["layers".to_string()], keep)
    }

    /// Keeps certain elements of an axis.
    pub fn cut(&mut self, axis: &str, keep: &[usize]) -> &mut Self {
        self.step("cut", |graph| {
            let stay = BTreeMap::from([(axis.to_string(), Stay::These(keep.to_vec()))]);
            vec![Stage { work: Vec::new(), rewrite: Arc::new(KeepElements::new(graph, stay)) }]
        })
    }

    /// Zeroes the smaller of each two inputs.
    pub fn halve(&mut self, sites: &[&str]) -> &mut Self {
        let sites = sites.iter().map(|&site| site.to_owned()).collect();
        self.step("halve", |_| vec![Stage { work: Vec::new(), rewrite: Arc::new(Halve { sites }) }])
    }

    /// Factors weights to rank 2.
    pub fn factor(&mut self, sites: &[&str]) -> &mut Self {
        let sites = sites.iter().map(|&site| site.to_owned()).collect();
        self.step("factor", |_| vec![Stage { work: Vec::new(), rewrite: Arc::new(Factor { sites }) }])
    }

    /// How many elements an axis has; none where it is not there.
    pub fn extent(&self, axis: &str) -> usize {
        self.graph.places().axis(axis).map_or(0, |axis| self.graph.extent(axis).min)
    }

    pub fn can_halve(&self, site: &str) -> bool {
        let site = self.graph.places().site(site);
        site.is_some_and(|id| self.graph.dim_extent(&self.graph.site_dims(id).1).is_multiple_of(2))
    }

    pub fn can_factor(&self, site: &str) -> bool {
        let Some(id) = self.graph.places().site(site) else { return false };
        let (outs, ins) = self.graph.site_dims(id);
        let rank = self.graph.dim_extent(&outs).min(self.graph.dim_extent(&ins));
        rank >= 2 && self.graph.can_factor(id)
    }

    pub fn save(&mut self, path: impl Into<PathBuf>) -> &mut Self {
        let loads = self.graph.config_fields();
        let save = TypedSave { path: path.into(), span: span(), shard_size: None, dtype: None, loads };
        self.items.push(Item::Save(save));
        self
    }

    pub fn measure(&mut self) -> &mut Self {
        self.items.push(Item::Measure(zeros()));
        self
    }

    /// `zeros >= SHARE`, or `zeros >= SHARE of input`.
    pub fn expect(&mut self, bound: ExpectBound) -> &mut Self {
        let text = format!("zeros >= {bound:?}");
        let op = Comparison::GreaterOrEqual;
        self.items.push(Item::Expect(TypedExpect { text, measured: zeros(), op, bound, span: span() }));
        self
    }

    pub fn sweep(&mut self, labels: &[&str], write: impl Fn(usize, &mut Body)) -> &mut Self {
        let branch = |(at, label): (usize, &&str)| {
            let mut body = Body { items: Vec::new(), graph: self.graph.clone() };
            write(at, &mut body);
            Branch { label: label.to_string(), body: body.items }
        };
        let branches = labels.iter().enumerate().map(branch).collect();
        self.items.push(Item::Sweep(branches));
        self
    }
}

pub fn neurons(layer: usize) -> String {
    format!("layers[{layer}].mlp.neurons")
}

fn zeros() -> TypedMeasure {
    TypedMeasure {
        text: "zeros".into(),
        span: span(),
        spec: &SPEC,
        measure: Arc::new(ToyZeros {}),
        sites: None,
    }
}

/// Scores an element by the weights that it carries.
#[derive(Debug)]
struct Sum;

impl Criterion for Sum {
    fn describe(&self) -> String {
        "sum".into()
    }

    fn units(&self) -> Option<&dyn UnitScores> {
        Some(self)
    }
}

impl UnitScores for Sum {
    fn score(&self, at: &Context<'_>, axes: &[String]) -> Result<BTreeMap<String, Vec<f64>>, Diagnostic> {
        let version = at.version;
        let graph = &version.graph;
        let places = graph.places();
        let mut scores = BTreeMap::new();
        for path in axes {
            let axis = places.axis(path).unwrap();
            let mut sums = vec![0.0; graph.extent(axis).max];
            for param in graph.carriers(axis) {
                let factors = graph.factors(&graph.params[param], axis)[0];
                for (at, value) in version.values(param)?.into_iter().enumerate() {
                    sums[at / factors.inner % factors.extent] += f64::from(value.abs());
                }
            }
            scores.insert(path.clone(), sums);
        }
        Ok(scores)
    }
}

#[derive(Debug, Clone)]
struct Halve {
    sites: BTreeSet<String>,
}

#[derive(Debug)]
struct SmallerOfTwo;

impl MaskRule for SmallerOfTwo {
    fn reach(&self) -> Reach {
        Reach::Inputs(2)
    }

    fn apply(&self, block: &mut MatrixBlock<'_>) -> Result<(), Diagnostic> {
        let (dtype, matrix) = (block.dtype, block.matrix);
        let pattern = crate::tensor::pattern::Pattern::new(1, 2).unwrap();
        crate::tensor::pattern::zero_pattern_magnitude(dtype, block.bytes, &matrix, pattern).unwrap();
        Ok(())
    }
}

impl Halve {
    fn mark(&self, graph: &mut Graph) -> Vec<SiteId> {
        let places = graph.places();
        let sites: Vec<SiteId> = self.sites.iter().map(|path| places.site(path).unwrap()).collect();
        for &site in &sites {
            graph.sites[site].sparsity = Some(Sparsity::Pattern { keep: 1, of: 2 });
        }
        sites
    }
}

impl Rewrite for Halve {
    fn describe(&self) -> String {
        format!("halve {}", Vec::from_iter(self.sites.iter().map(String::as_str)).join(", "))
    }

    fn arguments(&self) -> Value {
        json!(self.sites)
    }

    fn touches(&self) -> Vec<String> {
        self.sites.iter().cloned().collect()
    }

    fn without(&self, gone: &BTreeSet<String>) -> Option<Arc<dyn Rewrite>> {
        let sites: BTreeSet<String> = self.sites.difference(gone).cloned().collect();
        (!sites.is_empty()).then(|| Arc::new(Self { sites }) as Arc<dyn Rewrite>)
    }

    fn effect(&self, graph: &mut Graph) {
        self.mark(graph);
    }

    fn apply(&self, version: &mut Version, _: Findings<'_>) -> Result<(), Diagnostic> {
        for site in self.mark(&mut version.graph) {
            version.mask(site, Arc::new(SmallerOfTwo));
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Factor {
    sites: Vec<String>,
}

impl Rewrite for Factor {
    fn describe(&self) -> String {
        format!("factor {}", self.sites.join(", "))
    }

    fn arguments(&self) -> Value {
        json!(self.sites)
    }

    fn touches(&self) -> Vec<String> {
        self.sites.clone()
    }

    fn is_costly(&self) -> bool {
        true
    }

    fn effect(&self, graph: &mut Graph) {
        let places = graph.places();
        for path in &self.sites {
            graph.factor(places.site(path).unwrap(), Extent::exact(2)).unwrap();
        }
    }

    fn apply(&self, version: &mut Version, _: Findings<'_>) -> Result<(), Diagnostic> {
        let places = version.graph.places();
        self.sites.iter().for_each(|path| version.factor(places.site(path).unwrap(), 2));
        Ok(())
    }
}

measure! {
    /// The share of zeros among the weights of matrices.
    ToyZeros = "zeros" in Share {}
}

impl Measure for ToyZeros {
    fn measure(&self, at: &Context<'_>, _: &Cost, _: Option<&[SiteId]>) -> Result<f64, Diagnostic> {
        let version = at.version;
        let (mut zeros, mut all) = (0, 0);
        for site in version.graph.matrices() {
            let values = version.site_matrix(site)?;
            zeros += values.iter().filter(|value| **value == 0.0).count();
            all += values.len();
        }
        Ok(zeros as f64 / all as f64)
    }
}
