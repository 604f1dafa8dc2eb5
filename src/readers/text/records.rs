//! Records of a text file: objects of JSON lines, rows of CSV, lines of plain text.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::diagnostic::{Diagnostic, codes, list};
use crate::pass::Placed;
use crate::readers::draw::Items;
use crate::readers::lines::{self, Lines};
use crate::readers::source;

/// The field that holds the text where nothing is said.
const TEXT: &str = "text";

/// What a file holds, by its ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Csv { delimiter: u8 },
    Plain,
}

impl Format {
    /// Files of a directory that can be meant.
    pub const ENDINGS: &[&str] = &[".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt"];
    /// Endings of files that hold no text as it stands.
    const PACKED: &[&str] = &[".gz", ".zst", ".zip", ".bz2", ".xz", ".parquet", ".arrow"];

    fn of(path: &Path) -> Result<Self, Diagnostic> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let ends = |endings: &[&str]| endings.iter().any(|ending| source::has_ending(&name, ending));
        if ends(Self::PACKED) {
            let message = format!("`{}` is packed", path.display());
            let help = "unpack it: JSON lines, CSV and plain text are read";
            return Err(Diagnostic::new(&codes::DATA_INVALID, message).path(path).help(help));
        }
        Ok(match () {
            () if ends(&[".jsonl", ".ndjson", ".json"]) => Self::Json,
            () if ends(&[".csv"]) => Self::Csv { delimiter: b',' },
            () if ends(&[".tsv"]) => Self::Csv { delimiter: b'\t' },
            () => Self::Plain,
        })
    }
}

/// The fields of a record that are wanted.
#[derive(Debug, Clone)]
pub struct Columns {
    pub text: Option<Placed<String>>,
    pub label: Option<Placed<String>>,
}

/// One text, and where it stands.
#[derive(Debug, Clone)]
pub struct Record {
    pub text: String,
    pub label: Option<Label>,
    pub place: Place,
    pub line: u64,
    pub path: PathBuf,
}

/// A label as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Label {
    Number(usize),
    Name(String),
}

/// Where a record begins.
#[derive(Debug, Clone)]
pub enum Place {
    Line(lines::Place),
    Row(csv::Position),
}

/// Names of the fields of a file's first record; plain text has none.
///
/// # Errors
/// Where the file cannot be read, or its first record is none.
pub fn fields(path: &Path) -> Result<Vec<String>, Diagnostic> {
    Ok(match Format::of(path)? {
        Format::Plain => Vec::new(),
        Format::Csv { delimiter } => {
            let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(source::open(path)?);
            let names = reader.headers().map_err(|error| bad_row(path, &error))?;
            names.iter().map(str::to_owned).collect()
        }
        Format::Json => {
            let Some(line) = Lines::open(path)?.next()? else { return Ok(Vec::new()) };
            let object: Map<String, Value> = serde_json::from_str(&line)
                .map_err(|error| lines::invalid(path, 1, &format!("is no JSON object: {error}")))?;
            object.keys().cloned().collect()
        }
    })
}

/// The records of a file, in order.
pub struct Records {
    path: PathBuf,
    columns: Columns,
    rows: Rows,
    over: bool,
}

enum Rows {
    Json(Lines),
    Csv { reader: csv::Reader<File>, text: usize, label: Option<usize> },
    Plain(Lines),
}

impl Records {
    /// # Errors
    /// Where the file cannot be opened, or cannot have the fields.
    pub fn open(path: &Path, columns: Columns) -> Result<Self, Diagnostic> {
        let rows = match Format::of(path)? {
            Format::Json => Rows::Json(Lines::open(path)?),
            Format::Csv { delimiter } => columns.rows(path, delimiter)?,
            Format::Plain => {
                if let Some(column) = columns.label.as_ref().or(columns.text.as_ref()) {
                    let message = format!("`{}` is plain text, which has no fields", path.display());
                    return Err(column.wrong(&codes::DATA_FIELD, message).path(path));
                }
                Rows::Plain(Lines::open(path)?)
            }
        };
        Ok(Self { path: path.to_owned(), columns, rows, over: false })
    }

    /// The record at a place that was read before.
    ///
    /// # Errors
    /// Where the file changed.
    pub fn at(&mut self, place: Place) -> Result<Record, Diagnostic> {
        match (&mut self.rows, place) {
            (Rows::Json(lines) | Rows::Plain(lines), Place::Line(place)) => lines.go_to(place)?,
            (Rows::Csv { reader, .. }, Place::Row(place)) => {
                reader.seek(place).map_err(|error| bad_row(&self.path, &error))?;
            }
            _ => unreachable!("the place is one of this file"),
        }
        self.record()?.ok_or_else(|| {
            let message = format!("`{}` changed while it was read", self.path.display());
            Diagnostic::new(&codes::DATA_INVALID, message).path(&self.path)
        })
    }

    /// The text of all records, joined by newlines; plain text as it is.
    ///
    /// # Errors
    /// Where the file cannot be opened.
    pub fn running(self) -> Result<Items<String>, Diagnostic> {
        if let Rows::Plain(_) = self.rows {
            return Ok(Box::new(Running::open(&self.path)?));
        }
        let mut is_first = true;
        Ok(Box::new(self.map(move |record| {
            let text = record?.text;
            Ok(if std::mem::take(&mut is_first) { text } else { format!("\n{text}") })
        })))
    }

    fn record(&mut self) -> Result<Option<Record>, Diagnostic> {
        let path = &self.path;
        Ok(match &mut self.rows {
            Rows::Plain(lines) => lines.next()?.map(|text| {
                let place = lines.place();
                Record { text, label: None, place: Place::Line(place), line: place.line, path: path.clone() }
            }),
            Rows::Json(lines) => match lines.next()? {
                Some(line) => Some(self.columns.of_object(&line, lines.place(), path)?),
                None => None,
            },
            Rows::Csv { reader, text, label } => {
                let (mut row, place) = (csv::StringRecord::new(), reader.position().clone());
                let is_row = reader.read_record(&mut row).map_err(|error| bad_row(path, &error))?;
                let line = row.position().map_or(place.line(), csv::Position::line);
                let field = |at: usize| row.get(at).unwrap_or_default();
                is_row.then(|| Record {
                    text: field(*text).to_owned(),
                    label: label.map(|at| Label::Name(field(at).trim().to_owned())),
                    place: Place::Row(place),
                    line,
                    path: path.clone(),
                })
            }
        })
    }
}

impl Iterator for Records {
    type Item = Result<Record, Diagnostic>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let record = self.record().transpose();
        self.over = !matches!(record, Some(Ok(_)));
        record
    }
}

impl Columns {
    fn name(&self) -> &str {
        self.text.as_ref().map_or(TEXT, |text| text.value.as_str())
    }

    /// A file of CSV with its columns found.
    fn rows(&self, path: &Path, delimiter: u8) -> Result<Rows, Diagnostic> {
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(source::open(path)?);
        let names = reader.headers().map_err(|error| bad_row(path, &error))?.clone();
        let there: Vec<&str> = names.iter().collect();
        let column = |name: &str| there.iter().position(|there| *there == name);
        let text = column(self.name()).ok_or_else(|| self.no_text(path, 1, &there))?;
        let label = match &self.label {
            Some(label) => Some(column(&label.value).ok_or_else(|| no_label(label, path, 1, &there))?),
            None => None,
        };
        Ok(Rows::Csv { reader, text, label })
    }

    fn of_object(&self, line: &str, place: lines::Place, path: &Path) -> Result<Record, Diagnostic> {
        let number = place.line;
        let object: Map<String, Value> = serde_json::from_str(line)
            .map_err(|error| lines::invalid(path, number, &format!("is no JSON object: {error}")))?;
        let there: Vec<&str> = object.keys().map(String::as_str).collect();
        let text = match object.get(self.name()) {
            Some(Value::String(text)) => text.clone(),
            Some(_) => {
                let message =
                    format!("`{}` is no text in line {number} of `{}`", self.name(), path.display());
                return Err(self.at_text(message).path(path));
            }
            None => return Err(self.no_text(path, number, &there)),
        };
        let label = match &self.label {
            Some(label) => match object.get(&label.value) {
                Some(found) => Some(label_of(found).ok_or_else(|| {
                    let message = format!(
                        "`{}` is neither a whole number from 0 nor a name in line {number} of `{}`",
                        label.value,
                        path.display()
                    );
                    label.wrong(&codes::DATA_LABEL, message).path(path)
                })?),
                None => return Err(no_label(label, path, number, &there)),
            },
            None => None,
        };
        Ok(Record { text, label, place: Place::Line(place), line: number, path: path.to_owned() })
    }

    fn no_text(&self, path: &Path, line: u64, there: &[&str]) -> Diagnostic {
        let message = format!("line {line} of `{}` has no field `{}`", path.display(), self.name());
        let error = self.at_text(message).path(path);
        match &self.text {
            Some(text) => suggest(error, text, there),
            None => error.help(format!("`field` says which holds the text: there is {}", list(there))),
        }
    }

    fn at_text(&self, message: String) -> Diagnostic {
        match &self.text {
            Some(text) => text.wrong(&codes::DATA_FIELD, message),
            None => Diagnostic::new(&codes::DATA_FIELD, message),
        }
    }
}

impl Record {
    /// The diagnostic of a record without text.
    pub fn empty(&self) -> Diagnostic {
        lines::invalid(&self.path, self.line, "has an empty text")
    }
}

fn label_of(value: &Value) -> Option<Label> {
    match value {
        Value::String(name) => Some(Label::Name(name.clone())),
        Value::Number(number) => Some(Label::Number(usize::try_from(number.as_u64()?).ok()?)),
        _ => None,
    }
}

fn no_label(label: &Placed<String>, path: &Path, line: u64, there: &[&str]) -> Diagnostic {
    let message = format!("line {line} of `{}` has no field `{}`", path.display(), label.value);
    suggest(label.wrong(&codes::DATA_LABEL, message).path(path), label, there)
}

/// Names the field that may be meant. The quotes stay where they are.
fn suggest(error: Diagnostic, written: &Placed<String>, there: &[&str]) -> Diagnostic {
    let suggested = error.suggest(&written.value, written.span, there.iter().copied());
    Diagnostic { fix: None, ..suggested }
}

fn bad_row(path: &Path, error: &csv::Error) -> Diagnostic {
    if let csv::ErrorKind::Io(error) = error.kind() {
        return source::unread(path, error);
    }
    let line = error.position().map_or(1, csv::Position::line);
    let why = match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "is not UTF-8".to_owned(),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("has {len} fields, where the first line names {expected_len}")
        }
        _ => format!("is no CSV: {error}"),
    };
    lines::invalid(path, line, &why)
}

/// A plain text in pieces that end anywhere between two characters.
struct Running {
    path: PathBuf,
    file: File,
    /// Bytes of a character that the last piece ended in.
    rest: Vec<u8>,
    line: u64,
    over: bool,
}

impl Running {
    const PIECE: u64 = 1 << 16;

    fn open(path: &Path) -> Result<Self, Diagnostic> {
        Ok(Self { path: path.to_owned(), file: source::open(path)?, rest: Vec::new(), line: 1, over: false })
    }

    fn piece(&mut self) -> Result<Option<String>, Diagnostic> {
        let mut bytes = std::mem::take(&mut self.rest);
        let read = self.file.by_ref().take(Self::PIECE).read_to_end(&mut bytes);
        let read = read.map_err(|error| source::unread(&self.path, &error))?;
        let (valid, invalid) = match std::str::from_utf8(&bytes) {
            Ok(text) => (text.len(), false),
            Err(error) => (error.valid_up_to(), error.error_len().is_some() || read == 0),
        };
        self.line += bytes[..valid].iter().filter(|byte| **byte == b'\n').count() as u64;
        if invalid {
            return Err(lines::invalid(&self.path, self.line, "is not UTF-8"));
        }
        self.rest = bytes.split_off(valid);
        let text = String::from_utf8(bytes).expect("it was just looked at");
        Ok((read > 0).then_some(text))
    }
}

impl Iterator for Running {
    type Item = Result<String, Diagnostic>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let piece = self.piece().transpose();
        self.over = !matches!(piece, Some(Ok(_)));
        piece
    }
}
