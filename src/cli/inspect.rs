//! `tamis inspect`: a model as the compiler sees it.

use std::path::PathBuf;

use tamis::check::MeasuredAt;
use tamis::diagnostic::Diagnostics;

use super::answer::{Answer, Format, Session};
use super::settings::InputSize;

/// Show a model: its tree with axes, parameters and costs; no weights are read
#[derive(Debug, clap::Args)]
pub struct Inspect {
    /// A directory, or a name in the local Hugging Face cache
    #[arg(value_name = "MODEL", required_unless_present = "config")]
    model: Option<PathBuf>,
    /// Take shapes from a `config.json` alone, in place of a model
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    config: Option<PathBuf>,
    #[command(flatten)]
    size: InputSize,
    /// The form of the answer
    #[arg(long, default_value = "human", value_parser = Format::any_of(["human", "json"]))]
    pub format: Format,
}

impl Inspect {
    pub fn run(&self, session: &mut Session) -> Result<Answer, Diagnostics> {
        let path = self.model.as_ref().or(self.config.as_ref()).expect("one of them is required");
        let (_, mut graph) = session.files.graph(path, &mut session.sources)?;
        let MeasuredAt { tokens, batch } = self.size.of(&graph)?;
        graph.set_tokens(tokens);
        Ok(match self.format {
            Format::Json => Answer::fields(graph.inspect_json(batch)),
            _ => Answer::Text(graph.inspect_text(batch)),
        })
    }
}
