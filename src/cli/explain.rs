//! `tamis explain CODE`: the long form of a diagnostic.

use serde_json::json;
use tamis::diagnostic::{self, Diagnostic, Diagnostics, codes};

use super::answer::{Answer, Format, Session};

/// Tell what a diagnostic means, with an example; without a code, list them all
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// The word in brackets behind `error`: `unknown-verb`
    code: Option<String>,
    /// The form of the answer
    #[arg(long, default_value = "human", value_parser = Format::any_of(["human", "json"]))]
    pub format: Format,
}

impl Explain {
    pub fn run(&self, _: &mut Session) -> Result<Answer, Diagnostics> {
        let Some(code) = &self.code else { return Ok(self.all()) };
        // As copied from a message: `error[unknown-verb]`.
        let name = code.rsplit_once('[').map_or(code.as_str(), |(_, name)| name).trim_end_matches(']');
        let Some(page) = diagnostic::explain(name) else {
            let unknown = Diagnostic::new(&codes::UNKNOWN_CODE, format!("there is no code `{name}`"));
            return Err(match diagnostic::nearest_code(name) {
                Some(near) => unknown.help(format!("did you mean `{near}`?")),
                None => unknown.help("`tamis explain` lists all codes"),
            }
            .into());
        };
        Ok(match self.format {
            Format::Json => Answer::fields(json!({ "code": name, "page": page })),
            _ => Answer::Text(page),
        })
    }

    fn all(&self) -> Answer {
        match self.format {
            Format::Json => {
                let code = |code: &&diagnostic::Code| json!({ "code": code.name, "severity": code.severity.to_string(), "exit_code": code.fault.exit_code() });
                Answer::fields(json!({ "codes": codes::ALL.iter().map(code).collect::<Vec<_>>() }))
            }
            _ => Answer::Text(diagnostic::index()),
        }
    }
}
