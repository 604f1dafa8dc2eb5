//! `tamis run`: a recipe in, compressed models out.

use std::path::PathBuf;

use tamis::check::Settings;
use tamis::checkpoint::Existing;
use tamis::diagnostic::Diagnostics;
use tamis::execute::{Saved, default_cache};
use tamis::optimize::RULES;
use tamis::pass::Bytes;
use tamis::provenance::Provenance;
use tamis::report;

use super::answer::{Answer, Format, Session};
use super::interrupt;
use super::progress::Bars;
use super::settings::RecipeArguments;

/// Compress a model
#[derive(Debug, clap::Args)]
pub struct Run {
    /// A recipe file
    #[arg(value_name = "RECIPE")]
    recipe: PathBuf,
    #[command(flatten)]
    arguments: RecipeArguments,
    /// Write here in place of the recipe's `save`; several go below it, each by its last name
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Bytes of one weight file at most, such as `2GiB`, where the recipe says nothing else
    #[arg(long, value_name = "BYTES")]
    shard_size: Option<Bytes>,
    /// Neither use nor keep what earlier runs found out
    #[arg(long)]
    no_cache: bool,
    /// Replace outputs that tamis wrote before
    #[arg(long)]
    replace: bool,
    /// Do the tasks as the recipe says them; the result is the same
    #[arg(long)]
    no_optimize: bool,
    /// The form of the answer
    #[arg(long, default_value = "human", value_parser = Format::any_of(["human", "json"]))]
    pub format: Format,
}

impl Run {
    pub fn run(&self, session: &mut Session) -> Result<Answer, Diagnostics> {
        let signals = interrupt::hold();
        let settings = self.settings();
        let (recipe, typed) = session.check(&self.recipe, &settings)?;
        let rules = if self.no_optimize { &[] } else { RULES };
        let (plan, _) = tamis::plan(&typed, rules);
        let order = tamis::Order {
            recipe: session.recipe_text(recipe),
            existing: if self.replace { Existing::Replace } else { Existing::Refuse },
            cache: if self.no_cache { None } else { default_cache() },
            license: session.files.license(&typed.model.path),
        };
        session.tell();
        signals.take_back(plan.saves().map(|(_, saving)| saving.path.clone()).collect(), None);
        let outcome = tamis::run(&plan, order, &Bars::default())?;
        session.diagnostics.extend(outcome.remarks);
        session.diagnostics.extend(outcome.unmet);
        Ok(self.answer(&outcome.saved))
    }

    fn settings(&self) -> Settings {
        let RecipeArguments { model, set } = &self.arguments;
        let shard_size = self.shard_size.map(|Bytes(bytes)| bytes);
        Settings { set: set.clone(), model: model.clone(), out: self.out.clone(), shard_size }
    }

    fn answer(&self, saved: &[Saved]) -> Answer {
        let outputs: Vec<(String, &Provenance)> =
            saved.iter().map(|saved| (saved.dir.display().to_string(), &saved.provenance)).collect();
        match self.format {
            Format::Json => Answer::fields(report::json(&outputs)),
            _ => {
                let tables = outputs.iter().map(|(output, provenance)| report::summary(provenance, output));
                Answer::Text(tables.collect::<Vec<_>>().join("\n"))
            }
        }
    }
}
