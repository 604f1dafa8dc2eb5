//! `tamis plan`: what a recipe will do, in which order, at what cost.

use std::path::PathBuf;

use serde_json::{Value, json};
use tamis::diagnostic::Diagnostics;
use tamis::optimize::{self, RULES, Trace};
use tamis::plan::{self, Plan};

use super::answer::{Answer, Format, Session};
use super::settings::{ConfigArgument, RecipeArguments};

/// Show what a recipe will do: costs after each step, tasks, what they take; no weights are read
#[derive(Debug, clap::Args)]
pub struct PlanCommand {
    /// A recipe file
    #[arg(value_name = "RECIPE")]
    recipe: PathBuf,
    #[command(flatten)]
    arguments: RecipeArguments,
    #[command(flatten)]
    config: ConfigArgument,
    /// Tell what each rule of the optimizer did
    #[arg(long)]
    explain: bool,
    /// Leave the tasks as the recipe says them
    #[arg(long)]
    no_optimize: bool,
    /// The form of the answer
    #[arg(long, default_value = "human", value_parser = Format::any_of(["human", "json", "dot"]))]
    pub format: Format,
}

impl PlanCommand {
    pub fn run(&self, session: &mut Session) -> Result<Answer, Diagnostics> {
        let settings = self.arguments.settings(&self.config);
        let (_, typed) = session.check(&self.recipe, &settings)?;
        let rules = if self.no_optimize { &[] } else { RULES };
        let (plan, trace) = tamis::plan(&typed, rules);
        Ok(match self.format {
            Format::Json => Answer::fields(object(&plan, &trace)),
            Format::Dot => Answer::Text(plan::dot(&plan)),
            _ => Answer::Text(self.text(&plan, &trace)),
        })
    }

    fn text(&self, plan: &Plan, trace: &Trace) -> String {
        let explained = if self.explain { format!("\n{}", optimize::explain(trace)) } else { String::new() };
        format!("{}\n{}{explained}\n{}", plan::table(plan), plan::text(plan), plan::needs_text(plan))
    }
}

fn object(plan: &Plan, trace: &Trace) -> Value {
    let mut object = plan::json(plan);
    let fired = trace.fired.iter().map(|(rule, fired)| json!({ "rule": rule, "text": fired.text }));
    object["optimizer"] = json!({
        "wanted": trace.wanted,
        "before": trace.before,
        "after": trace.after,
        "fired": fired.collect::<Vec<_>>(),
    });
    object
}
