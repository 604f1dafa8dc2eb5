//! `tamis new`: a recipe to begin with, for the model at hand.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde_json::json;
use tamis::check::{DEFAULT_TOKENS, Settings};
use tamis::diagnostic::numbers::{bytes, count};
use tamis::diagnostic::{Diagnostic, Diagnostics, codes};
use tamis::graph::{Graph, Role};
use tamis::source::Source;
use tamis::syntax;

use super::answer::{Answer, Format, Session};

/// Write a recipe to begin with, by the model's family and sizes
#[derive(Debug, clap::Args)]
pub struct New {
    /// A directory, a `config.json`, or a name in the local Hugging Face cache
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Write here, in place of standard output; a file that is there is left alone
    #[arg(value_name = "RECIPE")]
    recipe: Option<PathBuf>,
    /// The form of the answer
    #[arg(long, default_value = "human", value_parser = Format::any_of(["human", "json"]))]
    pub format: Format,
}

/// Steps to propose: what each does, and what it says. Each is kept where it can be done to the model.
const STEPS: [(&str, &str); 5] = [
    ("Whole experts go, as many in each layer.", "prune experts of layers[*] keep 75%"),
    (
        "Heads and neurons go where they weigh least, until the model has its budget.",
        "prune heads, neurons of layers[*]\n  by magnitude\n  to budget flops",
    ),
    (
        "Neurons go where they weigh least, until the model has its budget.",
        "prune neurons of layers[*]\n  by magnitude\n  to budget flops",
    ),
    (
        "Two of four consecutive inputs stay: sparse kernels want that.",
        "sparsify weights of layers[*].mlp by magnitude to 2:4",
    ),
    ("Half of the weights become zeros.", "sparsify weights by magnitude to 50% zeros"),
];

impl New {
    pub fn run(&self, session: &mut Session) -> Result<Answer, Diagnostics> {
        let (_, mut graph) = session.files.graph(&self.model, &mut session.sources)?;
        graph.set_tokens(DEFAULT_TOKENS.min(graph.most_tokens().unwrap_or(DEFAULT_TOKENS)));
        let recipe = self.written(&graph, session);
        if let Some(path) = &self.recipe {
            write_new(path, &recipe)?;
        }
        Ok(match (self.format, &self.recipe) {
            (Format::Json, _) => Answer::fields(json!({ "recipe": recipe })),
            (_, Some(path)) => Answer::Text(format!("{} written\n", path.display())),
            _ => Answer::Text(recipe),
        })
    }

    fn written(&self, graph: &Graph, session: &mut Session) -> String {
        let name = name_of(&self.model);
        let model = format!("model input = \"{}\"", self.model.display());
        let mut steps: Vec<(&str, &str)> = Vec::new();
        for step in STEPS {
            let bodies = steps.iter().chain([&step]).map(|(_, step)| *step).collect::<Vec<_>>().join("\n");
            // The wider proposal of two that spend the same budget is enough, and one kind of zeros.
            let again =
                |word: &str| step.1.contains(word) && steps.iter().any(|(_, other)| other.contains(word));
            let text = format!("param budget: ratio = 60%\n{model}\n{bodies}\nsave \"out\"\n");
            if !again("budget") && !again("sparsify") && is_fine(&text, session) {
                steps.push(step);
            }
        }
        let has_budget = steps.iter().any(|(_, step)| step.contains("budget"));
        let mut text = format!("## {name}, smaller.\n##\n## {}\nrecipe \"{name}-small\"\n\n", about(graph));
        if has_budget {
            text.push_str("param budget: ratio = 60%\n\n");
        }
        text.push_str(&format!("{model}\n"));
        if graph.text_tokens().is_some() {
            text.push_str(
                "# Criteria such as `wanda(calib)` look at the model at work; they want samples:\n",
            );
            text.push_str(
                "# data calib = text(\"calib.jsonl\", field: \"text\", samples: 128, tokens: 128)\n",
            );
        }
        for (why, step) in &steps {
            text.push_str(&format!("\n# {why}\n{step}\n"));
        }
        if has_budget {
            text.push_str("\nexpect flops <= budget of input\n");
        }
        text.push_str(&format!("\nsave \"out/{name}-small\"\n"));
        syntax::format(&text).unwrap_or(text)
    }
}

/// Whether a recipe checks, but for names that nothing uses.
fn is_fine(text: &str, session: &mut Session) -> bool {
    let recipe = session.sources.add(Source::new("new", text));
    tamis::check(recipe, &Settings::default(), &session.files, &mut session.sources).0.is_some()
}

/// `bert: 12 layers, 12 heads, …; 22.7 M params, 1.43 G MACs, 90.9 MB.`
fn about(graph: &Graph) -> String {
    let wanted = [
        Role::Layers,
        Role::Heads,
        Role::KvHeads,
        Role::Experts,
        Role::Neurons,
        Role::Channels,
        Role::Hidden,
    ];
    let extent = |role: Role| {
        let (_, axis) = graph.axes.iter().find(|(_, axis)| axis.role == role)?;
        Some(format!("{} {role}", axis.extent))
    };
    let sizes: Vec<String> = wanted.into_iter().filter_map(extent).collect();
    let cost = graph.cost(1);
    let (params, macs) = (count(cost.params.max), count(cost.macs.max));
    format!(
        "{}: {}; {params} params, {macs} MACs, {}.",
        graph.family,
        sizes.join(", "),
        bytes(cost.bytes.max)
    )
}

/// A model's directory or hub name as the name of a recipe.
fn name_of(model: &Path) -> String {
    let is_config = model.extension().is_some_and(|end| end == "json");
    let named = if is_config && model.file_stem().is_some_and(|stem| stem == "config") {
        model.parent()
    } else {
        Some(model)
    };
    let name = named
        .and_then(|path| if is_config { path.file_stem() } else { path.file_name() })
        .unwrap_or_default();
    let plain = |letter: char| if letter.is_alphanumeric() || "-_.".contains(letter) { letter } else { '-' };
    let name: String = name.to_string_lossy().chars().map(plain).collect();
    if name.is_empty() { "model".into() } else { name }
}

/// Writes a file that is not there yet.
pub(super) fn write_new(path: &Path, text: &str) -> Result<(), Diagnostic> {
    let written = File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            let message = format!("`{}` is there already", path.display());
            Diagnostic::new(&codes::OUTPUT_EXISTS, message)
                .path(path)
                .help("name a file that is not there yet")
        }
        _ => {
            let message = format!("cannot write `{}`: {error}", path.display());
            Diagnostic::new(&codes::WRITE_FAILED, message).path(path)
        }
    })
}
