//! `tamis export`: a model in a form that other runtimes read.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use tamis::checkpoint::{Checkpoint, Digest, Existing, OutputFiles};
use tamis::diagnostic::numbers::{bytes, things};
use tamis::diagnostic::{Diagnostic, Diagnostics, codes};
use tamis::execute::Progress;
use tamis::onnx::{self, LARGEST, Lowered, OPSET, Port};
use tamis::weights::Version;

use super::answer::{Answer, Format, Session};
use super::interrupt;
use super::progress::Bars;
use super::table::{Align, table};
use super::verify::STATEMENT;

/// Write a model in a form that other runtimes read
#[derive(Debug, clap::Args)]
pub struct Export {
    /// A directory, or a name in the local Hugging Face cache
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// The form
    #[arg(long, value_enum)]
    to: Form,
    /// The file to write; `model.onnx` in the model's directory where nothing is said
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long)]
    replace: bool,
    /// The form of the answer
    #[arg(long, default_value = "human", value_parser = Format::any_of(["human", "json"]))]
    pub format: Format,
}

/// A form that a model is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// ONNX, opset 17, weights in f32
    Onnx,
}

impl Export {
    pub fn run(&self, session: &mut Session) -> Result<Answer, Diagnostics> {
        let signals = interrupt::hold();
        let Form::Onnx = self.to;
        let (checkpoint, graph) = session.files.graph(&self.model, &mut session.sources)?;
        if !checkpoint.has_weights() {
            let message = format!("`{}` is a config alone, and has nothing to export", self.model.display());
            return Err(Diagnostic::new(&codes::WEIGHTS_MISSING, message).path(&self.model).into());
        }
        let target = self.target()?;
        let lowered = onnx::lower(&graph, &notes(&checkpoint.dir)).map_err(|why| why.told(&self.model))?;
        let existing = if self.replace { Existing::Replace } else { Existing::Refuse };
        signals.take_back(vec![target.clone()], None);
        let output = OutputFiles::create(&target, existing, &[".data"], &inputs(&checkpoint)?)?;
        let version = Version::open(graph, &Arc::new(checkpoint));
        let bars = Bars::default();
        bars.start("writing", Some(lowered.bytes()));
        let written = lowered.write(&version, &output, LARGEST, &|bytes| bars.advance(bytes));
        bars.finish();
        let written = written?;
        let files = output.finish()?;
        Ok(self.answer(&lowered, &files, written))
    }

    /// A model in the cache of others is no place to write to unasked.
    fn target(&self) -> Result<PathBuf, Diagnostic> {
        match &self.output {
            Some(output) => Ok(output.clone()),
            None if self.model.is_dir() => Ok(self.model.join("model.onnx")),
            None => {
                let message =
                    format!("`{}` is a name in the cache, and no place to write to", self.model.display());
                Err(Diagnostic::new(&codes::OUTPUT_NOT_WRITABLE, message)
                    .path(&self.model)
                    .help("say where with `--output FILE`"))
            }
        }
    }

    fn answer(&self, lowered: &Lowered, files: &[PathBuf], written: u64) -> Answer {
        if self.format == Format::Json {
            let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
            let port =
                |Port { name, dtype, shape }: Port| json!({ "name": name, "dtype": dtype, "shape": shape });
            let ports = |ports: &mut dyn Iterator<Item = Port>| ports.map(port).collect::<Vec<Value>>();
            return Answer::fields(json!({
                "files": files,
                "bytes": written,
                "opset": OPSET,
                "nodes": lowered.nodes(),
                "weights": lowered.tensors(),
                "inputs": ports(&mut lowered.inputs()),
                "outputs": ports(&mut lowered.outputs()),
            }));
        }
        let files: Vec<String> = files.iter().rev().map(|file| file.display().to_string()).collect();
        let (nodes, tensors) = (things(lowered.nodes(), "node"), things(lowered.tensors(), "tensor"));
        let size = bytes(written);
        let mut text = format!("{}: ONNX, opset {OPSET}, {nodes}, {tensors}, {size}\n", files.join(", "));
        let row = |side: &str, Port { name, dtype, shape }: Port| {
            [side.to_owned(), name, format!("[{}]", shape.join(", ")), dtype.to_owned()]
        };
        let inputs = lowered.inputs().map(|port| row("in", port));
        let outputs = lowered.outputs().map(|port| row("out", port));
        text.push_str(&table(inputs.chain(outputs), [Align::Left; 4]));
        Answer::Text(text)
    }
}

/// What an output of tamis says of where it comes from; nothing for other models.
fn notes(dir: &Path) -> Vec<(String, String)> {
    let mut notes = Vec::new();
    if let Ok(statement) = fs::read(dir.join(STATEMENT)) {
        notes.push(("tamis.provenance.sha256".to_owned(), Digest::sha256(&statement).to_string()));
    }
    if let Ok(recipe) = fs::read_to_string(dir.join("recipe.tamis")) {
        notes.push(("tamis.recipe".to_owned(), recipe));
    }
    notes
}

/// The files of a model, none of which is written to.
fn inputs(checkpoint: &Checkpoint) -> Result<Vec<PathBuf>, Diagnostic> {
    let dir = &checkpoint.dir;
    let entries = fs::read_dir(dir).map_err(|error| {
        Diagnostic::new(&codes::READ_FAILED, format!("cannot read `{}`: {error}", dir.display())).path(dir)
    })?;
    let is_own = |path: &PathBuf| {
        // What an export before this one wrote is no part of the model.
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        path.is_file() && !name.ends_with(".onnx") && !name.ends_with(".onnx.data")
    };
    Ok(entries.flatten().map(|entry| entry.path()).filter(is_own).collect())
}
