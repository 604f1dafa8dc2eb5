//! `tamis check`: what is wrong with recipes, before a weight is read.

use std::io;
use std::path::PathBuf;

use serde_json::{Value, json};
use tamis::diagnostic::numbers::things;
use tamis::diagnostic::{self, Diagnostics, Severity};
use tamis::plan::{self, Plan};

use super::answer::{Answer, Format, Session};
use super::settings::{ConfigArgument, RecipeArguments};
use super::terminal;

/// Check recipes against their model's config and headers; no weights are read
#[derive(Debug, clap::Args)]
pub struct Check {
    /// Recipe files
    #[arg(required = true, value_name = "RECIPE")]
    recipes: Vec<PathBuf>,
    #[command(flatten)]
    arguments: RecipeArguments,
    #[command(flatten)]
    config: ConfigArgument,
    /// Tell what the model costs after each step
    #[arg(long)]
    cost: bool,
    /// The form of the answer
    #[arg(long, default_value = "human", value_parser = Format::any_of(["human", "json", "sarif", "github"]))]
    pub format: Format,
}

impl Check {
    pub fn run(&self, session: &mut Session) -> Result<Answer, Diagnostics> {
        let settings = self.arguments.settings(&self.config);
        let mut plans = Vec::new();
        for path in &self.recipes {
            match session.check(path, &settings) {
                Ok((_, typed)) if self.cost => plans.push((path, tamis::plan(&typed, &[]).0)),
                // Every step has a graph of its own: the process ends sooner than they are taken apart.
                Ok(checked) => std::mem::forget(checked),
                Err(found) => session.diagnostics.extend(found),
            }
        }
        session.told = true;
        Ok(match self.format {
            Format::Json => Answer::fields(self.object(&plans)),
            Format::Sarif => {
                Answer::Text(format!("{:#}\n", diagnostic::sarif(&session.diagnostics, &session.sources)))
            }
            Format::Github => Answer::Text(diagnostic::github(&session.diagnostics, &session.sources)),
            _ => Answer::Text(self.text(session, &plans)),
        })
    }

    fn object(&self, plans: &[(&PathBuf, Plan)]) -> Value {
        let cost = |(path, plan): &(&PathBuf, Plan)| {
            let Value::Object(plan) = plan::json(plan) else { return Value::Null };
            let told =
                plan.into_iter().filter(|(name, _)| ["before", "after", "steps"].contains(&name.as_str()));
            let path = ("path".to_owned(), path.display().to_string().into());
            std::iter::once(path).chain(told).collect()
        };
        if self.cost { json!({ "recipes": plans.iter().map(cost).collect::<Vec<_>>() }) } else { json!({}) }
    }

    fn text(&self, session: &Session, plans: &[(&PathBuf, Plan)]) -> String {
        let style = terminal::style(&io::stdout());
        let mut text = diagnostic::human(&session.diagnostics, &session.sources, style);
        if session.diagnostics.iter().all(|diagnostic| diagnostic.severity == Severity::Note) {
            text.push_str(&format!("{} checked: nothing is wrong\n", things(self.recipes.len(), "recipe")));
        }
        for (path, plan) in plans {
            text.push_str(&format!("\n{}\n{}", path.display(), plan::table(plan)));
        }
        text
    }
}
