//! What a command leaves: an answer for stdout, diagnostics for stderr, an exit code.

use std::io;
use std::path::Path;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::{Map, Value, json};
use tamis::check::{Settings, Typed};
use tamis::diagnostic::{self, Diagnostics, Severity};
use tamis::execute::RecipeText;
use tamis::source::{SourceId, Sources};
use tamis::syntax;
use tamis::world::Files;

use super::terminal;

/// The version of the JSON that commands print. Fields may be added to it; a change of what there is makes another.
const SCHEMA: &str = "tamis/1";

/// The form of an answer; not every command has each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Human,
    /// One object, with `schema` and `diagnostics` beside the result.
    Json,
    /// The diagnostics as a SARIF 2.1.0 log.
    Sarif,
    /// The diagnostics as annotations of a GitHub workflow.
    Github,
    /// The plan as a graph for Graphviz.
    Dot,
}

impl Format {
    /// A parser of these forms, which are all that a command has.
    pub fn any_of<const N: usize>(names: [&'static str; N]) -> impl TypedValueParser<Value = Format> {
        PossibleValuesParser::new(names)
            .map(|name| <Format as clap::ValueEnum>::from_str(&name, false).expect("only forms are allowed"))
    }
}

/// What goes to stdout.
#[derive(Debug)]
pub enum Answer {
    Text(String),
    /// Fields of the JSON object.
    Fields(Map<String, Value>),
}

impl Answer {
    /// An answer of a JSON object.
    pub fn fields(object: Value) -> Self {
        match object {
            Value::Object(fields) => Self::Fields(fields),
            other => Self::Fields(Map::from_iter([("result".to_owned(), other)])),
        }
    }
}

/// What a command works with, and where it leaves what there is to say.
#[derive(Debug)]
pub struct Session {
    pub sources: Sources,
    pub files: Files,
    /// What was found beside the answer: warnings, failed expectations.
    pub diagnostics: Diagnostics,
    /// The answer tells the diagnostics itself.
    pub told: bool,
    /// How many of the diagnostics were told already.
    shown: usize,
    /// The answer is that something is not as it should be: exit code 1.
    pub wrong: bool,
}

impl Session {
    pub fn new() -> Self {
        Self {
            sources: Sources::new(),
            files: Files::new(tamis::REGISTRY.families),
            diagnostics: Diagnostics::new(),
            told: false,
            shown: 0,
            wrong: false,
        }
    }

    /// Reads and checks a recipe; warnings are noted.
    pub fn check(&mut self, path: &Path, settings: &Settings) -> Result<(SourceId, Typed), Diagnostics> {
        let recipe = self.files.recipe(path, &mut self.sources)?;
        let (typed, found) = tamis::check(recipe, settings, &self.files, &mut self.sources);
        match typed {
            Some(typed) => {
                self.diagnostics.extend(found);
                Ok((recipe, typed))
            }
            None => Err(found),
        }
    }

    /// A recipe that was checked, with all that an output says of it.
    pub fn recipe_text(&self, recipe: SourceId) -> RecipeText {
        let source = self.sources.get(recipe);
        let doc = syntax::parse(recipe, source.text(), &mut Diagnostics::new()).doc;
        let used = self.files.used(Path::new(source.name()));
        RecipeText { text: source.text().to_owned(), doc, used }
    }

    /// Says on standard error what was found since it was last said: before work that takes long, and in the end.
    pub fn tell(&mut self) {
        let mut new = Diagnostics::new();
        new.extend(self.diagnostics.iter().skip(self.shown).cloned());
        self.shown = self.diagnostics.len();
        let style = terminal::style(&io::stderr());
        terminal::write_err(&diagnostic::human(&new, &self.sources, style));
    }

    /// Prints the answer, then what is wrong, and says the exit code.
    pub fn finish(mut self, answered: Result<Answer, Diagnostics>, format: Format) -> u8 {
        let answer = match answered {
            Ok(answer) => Some(answer),
            Err(found) => {
                self.diagnostics.extend(found);
                (format == Format::Json).then(|| Answer::Fields(Map::new()))
            }
        };
        let written = answer.map_or(Ok(()), |answer| terminal::write_out(&self.printed(answer)));
        if !self.told {
            self.tell();
        }
        match written {
            Ok(()) => self.exit_code(),
            Err(error) => {
                terminal::write_err(&format!("error: cannot write to standard output: {error}\n"));
                diagnostic::Fault::Output.exit_code()
            }
        }
    }

    fn printed(&self, answer: Answer) -> String {
        match answer {
            Answer::Text(text) => text,
            Answer::Fields(fields) => {
                let mut object = Map::from_iter([("schema".to_owned(), Value::Null)]);
                object.extend(fields);
                object.insert("schema".into(), SCHEMA.into());
                object.insert("diagnostics".into(), diagnostic::json(&self.diagnostics, &self.sources));
                format!("{:#}\n", json!(object))
            }
        }
    }

    /// Of several errors the one whose fault lies furthest out decides: no output, no input, wrong usage, a wrong recipe.
    fn exit_code(&self) -> u8 {
        let errors = self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
        errors.map(|diagnostic| diagnostic.code.fault.exit_code()).max().unwrap_or(u8::from(self.wrong))
    }
}
