//! `tokens(...)`: token ids as they are.

use std::path::{Path, PathBuf};

use super::draw::{Draw, Items};
use super::lines::{self, Lines};
use super::source;
use crate::checkpoint::Config;
use crate::diagnostic::{Diagnostic, codes};
use crate::pass::{Count, DataKind, For, Input, Placed, Reader, Sample, Samples};
use crate::reader;

reader! {
    /// Token ids from JSON lines, a list a line.
    ///
    /// Each line is a sample, with the special tokens that it holds and no others. Blank lines are passed over.
    ///
    /// ```tamis
    /// data calib = tokens("data/calib.jsonl", samples: 128)
    /// ```
    Tokens = "tokens" of Tokens
    {
        /// The file.
        path: Placed<String>,
        /// How many samples are taken: all where nothing is said.
        samples: Option<Placed<Count>>,
        /// What shuffling starts from.
        seed: u64 = "0",
        /// Whether samples are drawn in random order.
        shuffle: bool = "false",
    }
}

impl Reader for Tokens {
    fn describe(&self) -> String {
        let mut said = source::Said::new("tokens", &self.path.value);
        said.number("samples", self.samples.as_ref().map(|it| it.value.0 as u64));
        said.number("shuffle", self.shuffle.then_some(self.seed));
        said.finish()
    }

    fn kind(&self) -> DataKind {
        SPEC.kind
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.path.value.clone().into()]
    }

    fn look(&self) -> Result<(), Diagnostic> {
        let path = self.file()?;
        let mut lines = Lines::open(&path)?;
        match lines.next()? {
            Some(line) => ids(&line, &path, lines.place().line).map(drop),
            None => {
                let message = format!("`{}` holds no tokens", path.display());
                Err(self.path.wrong(&codes::DATA_TOO_FEW, message))
            }
        }
    }

    fn has_labels(&self) -> bool {
        false
    }

    fn samples(&self, model: &For<'_>) -> Result<Samples, Diagnostic> {
        if model.picture.is_some() {
            return Err(self.path.wrong(&codes::DATA_UNFIT, "the model takes pictures, not tokens"));
        }
        let path = self.file()?;
        let limits = Limits { positions: model.positions, vocabulary: vocabulary(model.dir)? };
        let read = {
            let path = path.clone();
            move |line: &str, number| {
                let ids = ids(line, &path, number)?;
                limits.hold(&ids, &path, number)?;
                Ok(Sample { input: Input::Tokens(ids), label: None })
            }
        };
        let draw = Draw::new(&self.samples, self.seed, self.shuffle);
        let what = "line of tokens";
        let mut lines = Lines::open(&path)?;
        if !self.shuffle {
            let samples =
                move || Some(lines.next().transpose()?.and_then(|line| read(&line, lines.place().line)));
            return draw.of(Box::new(std::iter::from_fn(samples)), what);
        }
        let places = move || Some(lines.next().transpose()?.map(|_| lines.place()));
        let places: Items<lines::Place> = Box::new(std::iter::from_fn(places));
        let mut lines = Lines::open(&path)?;
        Ok(Box::new(draw.of(places, what)?.map(move |place| {
            let place = place?;
            lines.go_to(place)?;
            read(&lines.next()?.unwrap_or_default(), place.line)
        })))
    }
}

impl Tokens {
    fn file(&self) -> Result<PathBuf, Diagnostic> {
        source::file(&self.path, None, &[".jsonl", ".ndjson", ".json"])
    }
}

fn ids(line: &str, path: &Path, number: u64) -> Result<Vec<u32>, Diagnostic> {
    let ids: Vec<u32> = serde_json::from_str(line)
        .map_err(|error| lines::invalid(path, number, &format!("is no list of token ids: {error}")))?;
    if ids.is_empty() {
        return Err(lines::invalid(path, number, "holds no token"));
    }
    Ok(ids)
}

/// What the model can take.
#[derive(Debug)]
struct Limits {
    positions: Option<usize>,
    vocabulary: Option<usize>,
}

impl Limits {
    fn hold(&self, ids: &[u32], path: &Path, line: u64) -> Result<(), Diagnostic> {
        let unfit = |what: String| {
            let message = format!("line {line} of `{}` {what}", path.display());
            Err(Diagnostic::new(&codes::DATA_UNFIT, message).path(path))
        };
        let largest = ids.iter().max().copied().unwrap_or_default();
        match (self.positions, self.vocabulary) {
            (Some(most), _) if ids.len() > most => {
                unfit(format!("holds {} tokens, and the model takes {most} at most", ids.len()))
            }
            (_, Some(size)) if largest as usize >= size => {
                unfit(format!("holds token {largest}, and the model knows {size}, from 0"))
            }
            _ => Ok(()),
        }
    }
}

/// How many tokens the model knows, where its config says it.
fn vocabulary(model: &Path) -> Result<Option<usize>, Diagnostic> {
    let path = model.join("config.json");
    if !path.is_file() {
        return Ok(None);
    }
    let config = Config::read(&path)?;
    Ok(if config.has("vocab_size") { Some(config.usize("vocab_size")?) } else { None })
}
