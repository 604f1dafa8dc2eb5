//! `text(...)`: sentences or running text, tokenized by the model's own tokenizer.

mod labels;
mod records;
mod tokenizer;
mod windows;

use std::path::{Path, PathBuf};

use super::draw::{Draw, Items};
use super::source;
use crate::diagnostic::{Diagnostic, codes};
use crate::pass::{Count, DataKind, For, Input, Placed, Reader, Sample, Samples};
use crate::reader;
use labels::Labels;
use records::{Columns, Format, Record, Records};
use tokenizer::Tokenizer;
use windows::Windows;

/// Tokens of a language model's window, where neither the recipe nor the model says fewer.
const WINDOW: usize = 512;

reader! {
    /// Text from JSON lines, CSV or plain files, tokenized by the model's `tokenizer.json`.
    ///
    /// What a file is says its ending: `.jsonl` or `.json` holds an object a line, `.csv` (`.tsv`) records under a line of
    /// names, anything else plain text in UTF-8. Truncation and padding that `tokenizer.json` asks for do not count.
    ///
    /// For a language model the text is tokenized whole, without special tokens, and cut into consecutive windows of `tokens`,
    /// the first `samples` of them. The texts of records are joined by a newline, in their order, empty ones among them. What is
    /// left at the end and fills no window is not used, nor are labels. The text is read in pieces, and no further than needed;
    /// pieces end where a word ends, so that the windows are those of the whole. A tokenizer that may see the text otherwise from
    /// one piece to the next, such as one that puts a space before its start, is given the whole text, which is then in memory.
    ///
    /// For any other model each record is a sample, and so is each line of plain text, blank lines left out. It is tokenized with
    /// special tokens and cut to `tokens`, which keeps these. A record without text is an error, not a sample.
    ///
    /// With `shuffle`, windows or records are drawn from all that there are. Windows have to be held then, as many as are asked for.
    ///
    /// ```tamis
    /// data calib = text("data/sst2.jsonl", field: "sentence", label: "label", samples: 128, seed: 7, shuffle: true)
    /// ```
    Text = "text" of Text
    {
        /// The file, or a directory that `split` picks one of.
        path: Placed<String>,
        /// The field of a record that holds the text: `text` where nothing is said.
        field: Option<Placed<String>>,
        /// The field of a record that holds the label: a whole number, or a name that the model's config knows.
        label: Option<Placed<String>>,
        /// How many samples are taken: all where nothing is said.
        samples: Option<Placed<Count>>,
        /// Tokens of a sample at most; of a language model's windows exactly, then 512 where nothing is said. What the model can
        /// take, if that is less.
        tokens: Option<Placed<Count>>,
        /// The part of the data set: of a directory the file that has this word in its name.
        split: Option<Placed<String>>,
        /// What shuffling starts from.
        seed: u64 = "0",
        /// Whether samples are drawn in random order.
        shuffle: bool = "false",
    }
}

impl Reader for Text {
    fn describe(&self) -> String {
        let mut said = source::Said::new("text", &self.path.value);
        said.text("field", self.field.as_ref());
        said.text("label", self.label.as_ref());
        said.text("split", self.split.as_ref());
        said.number("samples", self.samples.as_ref().map(|it| it.value.0 as u64));
        said.number("tokens", self.tokens.as_ref().map(|it| it.value.0 as u64));
        said.number("shuffle", self.shuffle.then_some(self.seed));
        said.finish()
    }

    fn kind(&self) -> DataKind {
        SPEC.kind
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.file().unwrap_or_else(|_| self.path.value.clone().into())]
    }

    fn look(&self) -> Result<(), Diagnostic> {
        match self.records()?.next() {
            Some(first) => first.map(drop),
            None => {
                let message = format!("`{}` holds no text", self.path.value);
                Err(self.path.wrong(&codes::DATA_TOO_FEW, message))
            }
        }
    }

    fn fields(&self) -> Vec<String> {
        self.file().and_then(|file| records::fields(&file)).unwrap_or_default()
    }

    fn has_labels(&self) -> bool {
        self.label.is_some()
    }

    fn samples(&self, model: &For<'_>) -> Result<Samples, Diagnostic> {
        if model.picture.is_some() {
            let message = "the model takes pictures, not text";
            return Err(self.path.wrong(&codes::DATA_UNFIT, message));
        }
        if let (Some(tokens), Some(most)) = (&self.tokens, model.positions)
            && tokens.value.0 > most
        {
            let message = format!("the model takes {most} tokens at most");
            return Err(tokens.wrong(&codes::DATA_UNFIT, message));
        }
        let tokens = self.tokens.as_ref().map(|tokens| tokens.value.0);
        let tokenizer = Tokenizer::open(model.dir)?;
        if model.causal {
            let window = tokens.unwrap_or(model.positions.map_or(WINDOW, |most| most.min(WINDOW)));
            self.windows(tokenizer, window)
        } else {
            self.sentences(tokenizer, tokens.or(model.positions), model.dir)
        }
    }
}

impl Text {
    fn file(&self) -> Result<PathBuf, Diagnostic> {
        source::file(&self.path, self.split.as_ref(), Format::ENDINGS)
    }

    fn records(&self) -> Result<Records, Diagnostic> {
        let columns = Columns { text: self.field.clone(), label: self.label.clone() };
        Records::open(&self.file()?, columns)
    }

    fn draw(&self) -> Draw {
        Draw::new(&self.samples, self.seed, self.shuffle)
    }

    fn windows(&self, tokenizer: Tokenizer, tokens: usize) -> Result<Samples, Diagnostic> {
        let windows = Windows::new(tokenizer, tokens, self.records()?.running()?);
        let windows = self.draw().of(Box::new(windows), &format!("window of {tokens} tokens"))?;
        let sample = |window| Sample { input: Input::Tokens(window), label: None };
        Ok(Box::new(windows.map(move |window| window.map(sample))))
    }

    fn sentences(
        &self,
        mut tokenizer: Tokenizer,
        most: Option<usize>,
        model: &Path,
    ) -> Result<Samples, Diagnostic> {
        if let Some(most) = most {
            tokenizer.truncate(most)?;
        }
        let labels = Labels::of(model, self.label.as_ref())?;
        let mut records = self.in_order()?;
        let sample = move |record: Record| {
            let label = record.label.as_ref().map(|label| labels.number(label, &record)).transpose()?;
            let tokens = tokenizer.sentence(&record.text)?;
            Ok(Sample { input: Input::Tokens(tokens), label })
        };
        Ok(Box::new(std::iter::from_fn(move || records.next().map(|record| sample(record?)))))
    }

    /// The records to take. Of shuffled ones only the places are held.
    fn in_order(&self) -> Result<Items<Record>, Diagnostic> {
        let what = "text";
        let refuse_empty =
            |record: Record| if record.text.trim().is_empty() { Err(record.empty()) } else { Ok(record) };
        let records = self.records()?.map(move |record| refuse_empty(record?));
        if !self.shuffle {
            return self.draw().of(Box::new(records), what);
        }
        let places = records.map(|record| Ok(record?.place));
        let mut places = self.draw().of(Box::new(places), what)?;
        let mut records = self.records()?;
        Ok(Box::new(std::iter::from_fn(move || Some(places.next()?.and_then(|place| records.at(place))))))
    }
}
