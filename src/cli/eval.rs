//! `tamis eval`: measures of any model.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tamis::check::{Measuring, TypedMeasure};
use tamis::diagnostic::numbers::{bytes, count, share};
use tamis::diagnostic::{Diagnostic, Diagnostics, codes};
use tamis::graph::{Between, SiteId};
use tamis::pass::Unit;
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
    /// Data for measures that need some; this build has no such measure
    #[arg(long, value_name = "SPEC")]
    data: Option<String>,
    #[command(flatten)]
    size: InputSize,
    /// The form of the answer
    #[arg(long, default_value = "human", value_parser = Format::any_of(["human", "json"]))]
    pub format: Format,
}

impl Eval {
    pub fn run(&self, session: &mut Session) -> Result<Answer, Diagnostics> {
        if let Some(data) = &self.data {
            let message = format!("no measure of this build reads data, so `--data {data}` has no use");
            let help = "`tamis doc` lists the measures that there are";
            return Err(Diagnostic::new(&codes::DATA_UNSUPPORTED, message).help(help).into());
        }
        let text = format!("measure {}", self.measure.join(", "));
        let recipe = session.sources.add(Source::new("--measure", text));
        let at = self.size.at();
        let (measuring, found) =
            tamis::measures(recipe, &self.model, at, &session.files, &mut session.sources);
        session.diagnostics.extend(found.stop_on_error()?);
        let Some(Measuring { model, measures }) = measuring else { return Err(Diagnostics::new()) };
        self.size.of(&model.graph)?;
        let checkpoint = Arc::new(session.files.checkpoint(&self.model)?);
        let version = checkpoint.has_weights().then(|| Version::open((*model.graph).clone(), &checkpoint));
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
                    measure.measure.measure(version, &model.cost, sites.as_deref())?
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

/// Counts are whole numbers in JSON too.
fn number(unit: Unit, value: f64) -> Value {
    match unit {
        Unit::Share => json!(value),
        _ if value >= 0.0 && value.fract() == 0.0 && value < 2_f64.powi(53) => json!(value as u64),
        _ => json!(value),
    }
}

fn shown(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Count => count(value as u64),
        Unit::Bytes => bytes(value as u64),
        Unit::Share => share(value),
    }
}

fn no_weights(model: &std::path::Path, measure: &TypedMeasure) -> Diagnostic {
    let message = format!("`{}` needs weights, and `{}` is a config alone", measure.text, model.display());
    Diagnostic::new(&codes::WEIGHTS_MISSING, message).path(model)
}
