//! `tamis check`: what is wrong with recipes, before a weight is read.

use std::io;
use std::path::PathBuf;

use serde_json::json;
use tamis::diagnostic::{self, Diagnostics, Severity};
use tamis::world::Files;

use super::answer::{Answer, Format, Session};
use super::settings::{ConfigArgument, RecipeArguments};
use super::terminal;

/// Check recipes against their model's config and headers; no weights are read
#[derive(Debug, clap::Args)]
pub struct Check {
    #[arg(required = true, value_name = "RECIPE")]
    recipes: Vec<PathBuf>,
    #[command(flatten)]
    arguments: RecipeArguments,
    #[command(flatten)]
    config: ConfigArgument,
    #[arg(long, default_value = "human", value_parser = Format::any_of(["human", "json", "sarif"]))]
    pub format: Format,
}

impl Check {
    pub fn run(&self, session: &mut Session) -> Result<Answer, Diagnostics> {
        let settings = self.arguments.settings(&self.config);
        let files = Files::new(tamis::REGISTRY.families);
        for path in &self.recipes {
            match files.recipe(path, &mut session.sources) {
                Err(unreadable) => session.diagnostics.push(unreadable),
                Ok(recipe) => {
                    let (_, found) = tamis::check(recipe, &settings, &files, &mut session.sources);
                    session.diagnostics.extend(found);
                }
            }
        }
        session.told = true;
        Ok(self.answer(session))
    }

    fn answer(&self, session: &Session) -> Answer {
        match self.format {
            Format::Json => Answer::fields(json!({})),
            Format::Sarif => {
                Answer::Text(format!("{:#}\n", diagnostic::sarif(&session.diagnostics, &session.sources)))
            }
            _ => Answer::Text(self.told(session)),
        }
    }

    fn told(&self, session: &Session) -> String {
        let style = terminal::style(&io::stdout());
        let mut text = diagnostic::human(&session.diagnostics, &session.sources, style);
        let wrong = |severity| session.diagnostics.iter().any(|diagnostic| diagnostic.severity == severity);
        if !wrong(Severity::Error) && !wrong(Severity::Warning) {
            let recipes = self.recipes.len();
            let s = if recipes == 1 { "" } else { "s" };
            text.push_str(&format!("{recipes} recipe{s} checked: nothing is wrong\n"));
        }
        text
    }
}
