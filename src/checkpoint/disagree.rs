//! Where config and tensors disagree, told so that tensor, expected axes, what was found and the config field are named.

use super::Checkpoint;
use super::text::shown;
use crate::diagnostic::{Code, Diagnostic, Diagnostics, codes};
use crate::graph::{BuildError, Member};

/// How many tensors with one trouble are named.
const NAMED: usize = 3;

/// Diagnostics of what building found: one for all missing tensors, one for each config field that shapes belie.
pub fn disagreements(errors: &[BuildError], said: Said<'_>) -> Diagnostics {
    let mut diagnostics = Diagnostics::new();
    diagnostics.extend(errors.iter().filter_map(|error| said.contradiction(error)));
    diagnostics.extend(said.integers(errors));
    diagnostics.extend(said.misshapen(errors));
    diagnostics.extend(said.missing(errors));
    diagnostics.extend(said.unexpected(errors));
    diagnostics
}

/// What the tensors are held against.
pub struct Said<'a> {
    /// `the config`, as messages call it.
    pub by: &'a str,
    pub family: &'a str,
    pub checkpoint: &'a Checkpoint,
}

/// A tensor, what to say of it, and where it belongs.
type Item<'a> = (&'a str, String, Option<&'a Member>);

impl Said<'_> {
    fn contradiction(&self, error: &BuildError) -> Option<Diagnostic> {
        let BuildError::Disagree { at, left, right, keys } = error else { return None };
        let at = if at.is_empty() { "the model" } else { at };
        let message = format!("in {at} {left} meets {right}, and they differ");
        Some(self.at_fields(&codes::CONFIG_DISAGREES, keys, message))
    }

    fn integers(&self, errors: &[BuildError]) -> Option<Diagnostic> {
        let items: Vec<Item<'_>> = errors
            .iter()
            .filter_map(|error| match error {
                BuildError::NotFloat { tensor, dtype } => Some((tensor.as_str(), dtype.to_string(), None)),
                _ => None,
            })
            .collect();
        let message = match items.as_slice() {
            [] => return None,
            [(tensor, dtype, _)] => format!("`{}` is stored as {dtype}; weights are floats", shown(tensor)),
            all => format!("{} weights are stored as integers, and have to be floats", all.len()),
        };
        Some(self.of_all(&codes::UNSUPPORTED_DTYPE, message, &items))
    }

    /// One a set of config fields: the first tensor stands for the others.
    fn misshapen(&self, errors: &[BuildError]) -> Vec<Diagnostic> {
        let mut groups: Vec<(&[String], Vec<&BuildError>)> = Vec::new();
        for error in errors {
            let BuildError::Misshapen { keys, .. } = error else { continue };
            match groups.iter_mut().find(|(of, _)| of == keys) {
                Some((_, group)) => group.push(error),
                None => groups.push((keys, vec![error])),
            }
        }
        groups.iter().filter_map(|(keys, group)| self.misshapen_group(keys, group)).collect()
    }

    fn misshapen_group(&self, keys: &[String], group: &[&BuildError]) -> Option<Diagnostic> {
        let (BuildError::Misshapen { tensor, found, dims, fits, .. }, rest) = group.split_first()? else {
            return None;
        };
        let message = format!("`{}` is {found:?}, but {} says {dims}", shown(tensor), self.by);
        let also = match rest.len() {
            0 => None,
            1 => Some("one more tensor differs likewise".to_string()),
            more => Some(format!("{more} more tensors differ likewise")),
        };
        let diagnostic = self.at_fields(&codes::TENSOR_MISSHAPEN, keys, message);
        let diagnostic = match fits {
            Some((_, extent)) => diagnostic.says(format!("the tensor has {extent}")),
            None => diagnostic,
        };
        Some(also.into_iter().fold(diagnostic, Diagnostic::help))
    }

    fn missing(&self, errors: &[BuildError]) -> Option<Diagnostic> {
        let items: Vec<Item<'_>> = errors
            .iter()
            .filter_map(|error| match error {
                BuildError::Missing { tensor, dims, member } => {
                    Some((tensor.as_str(), dims.clone(), member.as_ref()))
                }
                _ => None,
            })
            .collect();
        let message = match items.as_slice() {
            [] => return None,
            [(tensor, dims, _)] => format!("`{}` is missing: {} asks for {dims}", shown(tensor), self.by),
            all => format!("{} tensors that {} asks for are missing", all.len(), self.by),
        };
        Some(self.of_all(&codes::TENSOR_MISSING, message, &items))
    }

    fn unexpected(&self, errors: &[BuildError]) -> Option<Diagnostic> {
        let items: Vec<Item<'_>> = errors
            .iter()
            .filter_map(|error| match error {
                BuildError::Extra { tensor, shape, member } => {
                    Some((tensor.as_str(), format!("{shape:?}"), member.as_ref()))
                }
                _ => None,
            })
            .collect();
        let family = self.family;
        let message = match items.as_slice() {
            [] => return None,
            [(tensor, shape, _)] => {
                format!("`{}` {shape} has no place in a model of family `{family}`", shown(tensor))
            }
            all => format!("{} tensors have no place in a model of family `{family}`", all.len()),
        };
        Some(self.of_all(&codes::TENSOR_UNEXPECTED, message, &items))
    }

    /// One diagnostic for many tensors; where all are of certain layers, at the field that counts layers.
    fn of_all(&self, code: &'static Code, message: String, items: &[Item<'_>]) -> Diagnostic {
        let diagnostic = match members(items) {
            Some((key, of)) => self.at_fields(code, &[key.to_string()], message).says(of),
            None => Diagnostic::new(code, message).path(&self.checkpoint.dir),
        };
        if items.len() == 1 {
            return diagnostic;
        }
        let named = |(tensor, what, _): &Item<'_>| format!("`{}` {what}", shown(tensor));
        let first: Vec<String> = items.iter().take(NAMED).map(named).collect();
        let more = match items.len() - first.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        diagnostic.help(format!("they are {}{more}", first.join(", ")))
    }

    /// Points at fields of the config, at the first of them first.
    fn at_fields(&self, code: &'static Code, keys: &[String], message: String) -> Diagnostic {
        let config = &self.checkpoint.config;
        let mut spans = keys.iter().filter_map(|key| config.span(key));
        let Some(span) = spans.next() else {
            let fields: Vec<&str> = keys.iter().map(String::as_str).collect();
            let of = if keys.is_empty() { String::new() } else { crate::diagnostic::list(&fields) };
            let message = if of.is_empty() { message } else { format!("{message} (by {of})") };
            return Diagnostic::new(code, message).path(&self.checkpoint.dir);
        };
        let diagnostic = Diagnostic::at(code, span, message).says("says so").path(&self.checkpoint.dir);
        spans.fold(diagnostic, |diagnostic, span| diagnostic.label(span, "and so does this"))
    }
}

/// The field that counts the layers which all of these tensors belong to, and which layers they are; `None` where the
/// first layer is among them, for then it is not the count that is wrong.
fn members<'a>(items: &[Item<'a>]) -> Option<(&'a str, String)> {
    let all: Option<Vec<&Member>> = items.iter().map(|(_, _, member)| *member).collect();
    let all = all?;
    let (role, key) = (all.first()?.role, all.first()?.key.as_deref()?);
    let first = all.iter().map(|member| member.index).min()?;
    let last = all.iter().map(|member| member.index).max()?;
    let of = if first == last { format!("{first}") } else { format!("{first}..{}", last + 1) };
    (first > 0).then(|| (key, format!("all are of `{role}[{of}]`")))
}
