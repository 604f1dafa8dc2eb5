//! What the command line says about a recipe: its model and its params.

use std::path::PathBuf;

use tamis::check::{DEFAULT_TOKENS, MeasuredAt, Settings};
use tamis::diagnostic::{Diagnostic, codes};
use tamis::graph::Graph;

/// Options of every command that takes a recipe.
#[derive(Debug, clap::Args)]
pub struct RecipeArguments {
    /// Use this model (a directory, or a name in the local Hugging Face cache) in place of the recipe's
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Give a param of the recipe another value
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
}

/// The model as a config alone, for commands that need no weights.
#[derive(Debug, clap::Args)]
pub struct ConfigArgument {
    /// Take shapes from a `config.json` alone, in place of a model
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    pub config: Option<PathBuf>,
}

impl RecipeArguments {
    pub fn settings(&self, config: &ConfigArgument) -> Settings {
        Settings {
            set: self.set.clone(),
            model: self.model.clone().or(config.config.clone()),
            ..Settings::default()
        }
    }
}

/// Options that say for which input costs are stated.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct InputSize {
    /// State costs for texts of so many tokens; 128, or as many as the model reads, where nothing is said
    #[arg(long, value_name = "N", value_parser = count())]
    tokens: Option<u64>,
    /// State costs for so many inputs at once
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = count())]
    batch: u64,
}

/// At least one, and no more than any machine could take.
fn count() -> impl clap::builder::TypedValueParser<Value = u64> {
    clap::value_parser!(u64).range(1..=1 << 32)
}

impl InputSize {
    pub fn at(self) -> MeasuredAt {
        MeasuredAt { tokens: self.tokens.map_or(DEFAULT_TOKENS, |tokens| tokens as usize), batch: self.batch }
    }

    /// The input for a model.
    ///
    /// # Errors
    /// Where more tokens are asked for than it has positions.
    pub fn of(self, graph: &Graph) -> Result<MeasuredAt, Diagnostic> {
        let at = self.at();
        let most = graph.most_tokens().unwrap_or(usize::MAX);
        match self.tokens {
            Some(tokens) if at.tokens > most => {
                let message = format!("{tokens} tokens are more than the {most} positions of this model");
                Err(Diagnostic::new(&codes::TOO_MANY_TOKENS, message))
            }
            _ => Ok(MeasuredAt { tokens: at.tokens.min(most), ..at }),
        }
    }
}
