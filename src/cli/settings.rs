//! What the command line says about a recipe: its model and its params.

use std::path::PathBuf;

use tamis::check::Settings;

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
        Settings { set: self.set.clone(), model: self.model.clone().or(config.config.clone()), out: None }
    }
}
