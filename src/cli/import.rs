//! `tamis import`: recipes of other tools as recipes of tamis.

mod llm_compressor;
mod mergekit;
mod name;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tamis::diagnostic::{Diagnostic, Diagnostics, codes};
use tamis::graph::{Graph, Role};
use tamis::source::{Source, SourceId, Span};
use tamis::{syntax, yaml};

use super::answer::{Answer, Format, Session};
use super::new::write_new;

/// Turn a recipe of llm-compressor, or a merge of mergekit that leaves layers out, into one of tamis
#[derive(Debug, clap::Args)]
pub struct Import {
    /// The YAML file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The model that it is for: a directory, or a name in the local Hugging Face cache
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Write here, in place of standard output; a file that is there is left alone
    #[arg(long, value_name = "RECIPE")]
    out: Option<PathBuf>,
    /// The form of the answer
    #[arg(long, default_value = "human", value_parser = Format::any_of(["human", "json"]))]
    pub format: Format,
}

/// What an import makes: statements, and what has no place in them.
#[derive(Debug, Default)]
struct Made {
    /// What the recipe does, for its first line.
    about: String,
    model: Option<String>,
    /// Data that a criterion needs and the file does not name.
    needs_data: bool,
    steps: Vec<String>,
    remarks: Diagnostics,
}

/// A YAML file with its places.
struct File<'a> {
    source: SourceId,
    text: &'a str,
    root: Value,
}

impl Import {
    pub fn run(&self, session: &mut Session) -> Result<Answer, Diagnostics> {
        let text = std::fs::read_to_string(&self.file).map_err(|error| {
            let message = format!("cannot read `{}`: {error}", self.file.display());
            Diagnostic::new(&codes::IMPORT_UNREADABLE, message).path(&self.file)
        })?;
        let source = session.sources.add(Source::new(self.file.display().to_string(), text.as_str()));
        let root = yaml::read(&text).map_err(|mistake| no_yaml(source, &text, &mistake))?;
        let file = File { source, text: &text, root };
        let model = self.model.as_deref();
        let made = match (&file.root["slices"], llm_compressor::stages(&file.root)) {
            (Value::Array(slices), _) => {
                let named = model.map(String::from).or_else(|| mergekit::model(slices));
                let layers = named.as_ref().and_then(|model| layers_of(model, session));
                mergekit::import(&file, slices, named, layers)
            }
            (_, stages) if !stages.is_empty() => llm_compressor::import(&file, &stages, model),
            _ => return Err(neither(&file).into()),
        };
        let Made { remarks, .. } = &made;
        session.diagnostics.extend(remarks.iter().cloned());
        let recipe = written(&made, &self.file, session);
        if let Some(out) = &self.out {
            write_new(out, &recipe)?;
        }
        Ok(match (self.format, &self.out) {
            (Format::Json, _) => Answer::fields(json!({ "recipe": recipe })),
            (_, Some(out)) => Answer::Text(format!("{} written\n", out.display())),
            _ => Answer::Text(recipe),
        })
    }
}

/// The recipe's canonical text, with comments for what is missing.
fn written(made: &Made, from: &Path, session: &Session) -> String {
    let mut text = format!("## {}\n##\n## From `{}`.\n\n", made.about, file_name(from));
    match &made.model {
        Some(model) => text.push_str(&format!("model input = \"{model}\"\n")),
        None => text.push_str("model input\n"),
    }
    if made.needs_data {
        text.push_str("# The file names no samples: put yours here.\n");
        text.push_str("data calib = text(\"calib.jsonl\", samples: 512, tokens: 2048)\n");
    }
    text.push('\n');
    for remark in made.remarks.iter() {
        let place = remark.place.as_ref().map(|place| session.sources.text(place.span)).unwrap_or_default();
        text.push_str(&format!("# left out, `{}`: {}\n", one_line(place), remark.message));
    }
    for step in &made.steps {
        text.push_str(&format!("{step}\n"));
    }
    text.push_str(&format!("\nsave \"out/{}\"\n", stem(from)));
    syntax::format(&text).unwrap_or(text)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    stem.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.')).collect()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn no_yaml(source: SourceId, text: &str, mistake: &yaml::Mistake) -> Diagnostic {
    let message = format!("this is no YAML: {}", mistake.message);
    let line = mistake.at.map_or(1, |(line, _)| line);
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let end = start + text[start..].find('\n').unwrap_or(text.len() - start);
    Diagnostic::at(&codes::IMPORT_UNREADABLE, Span::new(source, start, end), message)
}

fn neither(file: &File<'_>) -> Diagnostic {
    let message = "this is neither a recipe of llm-compressor nor a merge by slices";
    let end = file.text.find('\n').unwrap_or(file.text.len());
    let help = "a recipe has stages with `…_modifiers`, or the modifiers themselves; a merge has `slices`";
    Diagnostic::at(&codes::IMPORT_UNKNOWN, Span::new(file.source, 0, end), message).help(help)
}

/// How many layers a model has, where it can be opened.
fn layers_of(model: &str, session: &mut Session) -> Option<usize> {
    let (_, graph): (_, Graph) = session.files.graph(Path::new(model), &mut session.sources).ok()?;
    let (_, layers) = graph.axes.iter().find(|(_, axis)| axis.role == Role::Layers)?;
    layers.extent.known()
}

impl File<'_> {
    /// The first place of a word as a key, behind another; the begin of the file where it is not found.
    fn place(&self, within: &str, key: &str) -> Span {
        let from = self.text.find(&format!("{within}:")).unwrap_or(0);
        let rest = &self.text[from..];
        let found = rest.match_indices(key).find(|(at, _)| {
            let before = rest[..*at].chars().next_back();
            before.is_none_or(|letter| !letter.is_alphanumeric() && letter != '_')
        });
        let start = found.map_or(0, |(at, _)| from + at);
        let end = if found.is_some() { start + key.len() } else { start };
        Span::new(self.source, start, end)
    }

    fn no_equivalent(&self, within: &str, key: &str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(&codes::NO_EQUIVALENT, self.place(within, key), message)
    }
}
