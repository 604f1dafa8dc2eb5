//! Labels to the numbers of classes.

use std::collections::BTreeMap;
use std::path::Path;

use super::records::{Label, Record};
use crate::checkpoint::Config;
use crate::diagnostic::{Diagnostic, codes, list};
use crate::pass::Placed;

/// The classes that a model's config names.
#[derive(Debug)]
pub struct Labels {
    numbers: BTreeMap<String, usize>,
    column: Option<Placed<String>>,
}

impl Labels {
    /// # Errors
    /// Where there is a config that cannot be read.
    pub fn of(model: &Path, column: Option<&Placed<String>>) -> Result<Self, Diagnostic> {
        let path = model.join("config.json");
        let numbers = match column {
            Some(_) if path.is_file() => classes(&Config::read(&path)?),
            _ => BTreeMap::new(),
        };
        Ok(Self { numbers, column: column.cloned() })
    }

    /// The number of a record's class. A name that the config does not know may be a number, as all fields of CSV are texts.
    ///
    /// # Errors
    /// Where it is neither.
    pub fn number(&self, label: &Label, record: &Record) -> Result<usize, Diagnostic> {
        let name = match label {
            Label::Number(number) => return Ok(*number),
            Label::Name(name) => name,
        };
        if let Some(number) = self.numbers.get(name) {
            return Ok(*number);
        }
        name.parse().map_err(|_| {
            let message = format!(
                "`{}` in line {} of `{}` is no label of the model",
                name.escape_debug(),
                record.line,
                record.path.display()
            );
            let known: Vec<&str> = self.numbers.keys().map(String::as_str).collect();
            let help = match known.as_slice() {
                [] => {
                    "a label is a whole number from 0, or a name of `label2id` in the model's `config.json`"
                        .into()
                }
                known => format!("the model's labels are {}", list(known)),
            };
            let error = match &self.column {
                Some(column) => column.wrong(&codes::DATA_LABEL, message),
                None => Diagnostic::new(&codes::DATA_LABEL, message),
            };
            error.path(&record.path).help(help)
        })
    }
}

/// Names of `id2label`, and over them those of `label2id`.
pub fn classes(config: &Config) -> BTreeMap<String, usize> {
    let object = |key: &str| config.get(key).and_then(|value| value.as_object()).into_iter().flatten();
    let named = object("id2label")
        .filter_map(|(number, name)| Some((name.as_str()?.to_owned(), number.parse().ok()?)));
    let numbered = object("label2id")
        .filter_map(|(name, number)| Some((name.clone(), usize::try_from(number.as_u64()?).ok()?)));
    named.chain(numbered).collect()
}
