//! Labels to the numbers of classes.

use std::collections::BTreeMap;
use std::path::Path;

use super::records::{Label, Record};
use crate::diagnostic::{Diagnostic, codes, list};
use crate::pass::Placed;
use crate::readers::classes::classes;

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
        let numbers = if column.is_some() { classes(model)? } else { BTreeMap::new() };
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
