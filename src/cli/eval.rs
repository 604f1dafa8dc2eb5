//! `tamis eval`: measures of any model.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tamis::check::{Measuring, TypedMeasure, World};
use tamis::diagnostic::numbers::{bytes, count, share};
use tamis::diagnostic::{Diagnostic, Diagnostics, codes};
use tamis::graph::{Between, SiteId};
use tamis::pass::{Context, Findings, Silent, Unit};
use tamis::source::Source;
use tamis::weights::Version;

use super::answer::{Answer, Format, Session};
use super::settings::InputSize;
use super::table::{Align, table};

/// Measure a model
#[derive(Debug, clap::Args)]
pub struct Eval {
    /// A directory, a name in the local Hugging Face cache, or a `config.json`
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// What to measure, as in a recipe: `params`, `zeros of layers[*].mlp`
    #[arg(long, required = true, value_name = "MEASURE")]
    measure: Vec<String>,
    /// Data for measures that need some: `test = text("test.jsonl", label: "label")`; without a name it is `data`
    #[arg(long, value_name = "SPEC")]
    data: Vec<String>,
    /// The model that `cosine`, `agreement` and `kl` compare with
    #[arg(long, value_name = "MODEL")]
    against: Option<PathBuf>,
    #[command(flatten)]
    size: InputSize,
    /// The form of the answer
    #[arg(long, default_value = "human", value_parser = Format::any_of(["human", "json"]))]
    pub format: Format,
}

impl Eval {
    pub fn run(&self, session: &mut Session) -> Result<Answer, Diagnostics> {
        let data: String = self.data.iter().map(|spec| format!("data {}\n", named(spec))).collect();
        let text = format!("{data}measure {}", self.measure.join(", "));
        let recipe = session.sources.add(Source::new("--measure", text));
        let at = self.size.at();
        let (measuring, found) =
            tamis::measures(recipe, &self.model, at, &session.files, &mut session.sources);
        session.diagnostics.extend(found.stop_on_error()?);
        let Some(Measuring { model, measures }) = measuring else { return Err(Diagnostics::new()) };
        self.size.of(&model.graph)?;
        let checkpoint = Arc::new(session.files.checkpoint(&self.model)?);
        let version = checkpoint.has_weights().then(|| Version::open((*model.graph).clone(), &checkpoint));
        let input = self.against.as_ref().map(|path| opened(path, session)).transpose()?;
        let places = model.graph.places();
        let mut taken = Vec::new();
        for measure in &measures {
            let known = measure.measure.of_cost(&model.cost).and_then(Between::known);
            let value = match (&version, known) {
                (None, Some(known)) => known as f64,
                (None, None) => return Err(no_weights(&self.model, measure).into()),
                (Some(version), _) => {
                    let sites = measure.sites.as_ref();
                    let sites: Option<Vec<SiteId>> =
                        sites.map(|paths| paths.iter().filter_map(|path| places.site(path)).collect());
                    let at = Context {
                        version,
                        input: input.as_ref().unwrap_or(version),
                        dir: &checkpoint.dir,
                        found: Findings::default(),
                        progress: &Silent,
                    };
                    measure.measure.measure(&at, &model.cost, sites.as_deref())?
                }
            };
            taken.push((measure, value));
        }
        Ok(self.answer(&taken))
    }

    fn answer(&self, taken: &[(&TypedMeasure, f64)]) -> Answer {
        if self.format == Format::Json {
            let measures: Map<String, Value> = taken
                .iter()
                .map(|(measure, value)| (measure.text.clone(), number(measure.spec.unit, *value)))
                .collect();
            return Answer::fields(json!({ "measures": measures }));
        }
        let rows =
            taken.iter().map(|(measure, value)| [measure.text.clone(), shown(measure.spec.unit, *value)]);
        Answer::Text(table(rows, [Align::Left, Align::Right]))
    }
}

/// `text("x.jsonl")` as a definition: `data = text("x.jsonl")`.
fn named(spec: &str) -> String {
    let call = spec.find('(').unwrap_or(spec.len());
    if spec[..call].contains('=') { spec.to_string() } else { format!("data = {spec}") }
}

/// Another model, with weights.
fn opened(path: &Path, session: &mut Session) -> Result<Version, Diagnostics> {
    let opened = session.files.model(path, &mut session.sources)?;
    let checkpoint = Arc::new(session.files.checkpoint(path)?);
    if !checkpoint.has_weights() {
        let message = format!("`{}` is a config alone, and has nothing to compare with", path.display());
        return Err(Diagnostic::new(&codes::WEIGHTS_MISSING, message).path(path).into());
    }
    Ok(Version::open((*opened.graph).clone(), &checkpoint))
}

/// Counts are whole numbers in JSON too.
fn number(unit: Unit, value: f64) -> Value {
    match unit {
        Unit::Share | Unit::Number | Unit::Seconds => json!(value),
        _ if value >= 0.0 && value.fract() == 0.0 && value < 2_f64.powi(53) => json!(value as u64),
        _ => json!(value),
    }
}

fn shown(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Count => count(value as u64),
        Unit::Bytes => bytes(value as u64),
        Unit::Share => share(value),
        Unit::Number | Unit::Seconds => unit.show(value),
    }
}

fn no_weights(model: &Path, measure: &TypedMeasure) -> Diagnostic {
    let message = format!("`{}` needs weights, and `{}` is a config alone", measure.text, model.display());
    Diagnostic::new(&codes::WEIGHTS_MISSING, message).path(model)
}
