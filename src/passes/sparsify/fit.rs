//! Whether patterns and blocks fit the matrices that they are for.

use std::collections::BTreeSet;

use crate::diagnostic::{Code, Diagnostic, codes};
use crate::graph::{Dim, Graph, SiteId};
use crate::tensor::pattern::Pattern;

/// What has to divide a matrix.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fit {
    /// Its inputs.
    Pattern(Pattern),
    /// Its inputs and outputs.
    Blocks(usize),
}

/// One side of a matrix that is not divided.
struct Misfit<'a> {
    path: &'a str,
    side: &'static str,
    dim: Dim,
}

/// Refuses matrices that something does not fit, naming the first.
///
/// # Errors
/// Without a place: whoever knows the clause adds it.
pub fn refuse_misfits(graph: &Graph, sites: &[String], fit: Fit) -> Result<(), Diagnostic> {
    let places = graph.places();
    let misfits: Vec<Misfit<'_>> =
        sites.iter().filter_map(|path| misfit(graph, path, places.site(path)?, fit)).collect();
    match misfits.split_first() {
        None => Ok(()),
        Some((first, others)) => Err(refusal(graph, first, others, fit)),
    }
}

fn misfit<'a>(graph: &Graph, path: &'a str, site: SiteId, fit: Fit) -> Option<Misfit<'a>> {
    let (outs, ins) = graph.site_dims(site);
    let divides = |by: usize, dim: &Dim| graph.dim_multiple(dim).is_multiple_of(by);
    let (side, dim) = match fit {
        Fit::Pattern(pattern) if !divides(pattern.of(), &ins) => ("inputs", ins),
        Fit::Blocks(size) if !divides(size, &ins) => ("inputs", ins),
        Fit::Blocks(size) if !divides(size, &outs) => ("outputs", outs),
        Fit::Pattern(_) | Fit::Blocks(_) => return None,
    };
    Some(Misfit { path, side, dim })
}

fn refusal(graph: &Graph, first: &Misfit<'_>, others: &[Misfit<'_>], fit: Fit) -> Diagnostic {
    let Misfit { path, side, dim } = first;
    let (by, code): (usize, &'static Code) = match fit {
        Fit::Pattern(pattern) => (pattern.of(), &codes::PATTERN_DOES_NOT_DIVIDE),
        Fit::Blocks(size) => (size, &codes::BLOCK_DOES_NOT_DIVIDE),
    };
    let most = graph.dim_extent(dim);
    let message = match known(graph, dim) {
        true => format!("{by} does not divide the {most} {side} of `{path}`"),
        false => format!("{by} may not divide the up to {most} {side} of `{path}`"),
    };
    let rest = match others.len() {
        0 => String::new(),
        1 => ", nor those of 1 other weight".into(),
        more => format!(", nor those of {more} other weights"),
    };
    let places: BTreeSet<String> =
        std::iter::once(first).chain(others).map(|misfit| anywhere(misfit.path)).collect();
    let except = places.into_iter().collect::<Vec<_>>().join(", ");
    let help = match known(graph, dim) {
        true => format!("leave them out with `except {except}`"),
        false => format!(
            "let the step that chooses them keep a multiple, `with {{ multiple: {by} }}`, or say `except {except}`"
        ),
    };
    Diagnostic::new(code, format!("{message}{rest}")).help(help)
}

fn known(graph: &Graph, dim: &Dim) -> bool {
    dim.0.iter().all(|&axis| graph.extent(axis).known().is_some())
}

/// The path with every number left open: `layers[*].mlp.down`.
pub fn anywhere(path: &str) -> String {
    let mut open = String::new();
    for (at, part) in path.split('[').enumerate() {
        match part.split_once(']') {
            Some((_, rest)) if at > 0 => open.extend(["[*]", rest]),
            _ => open.push_str(part),
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_path_are_left_open() {
        assert_eq!(anywhere("layers[3].experts[12].up"), "layers[*].experts[*].up");
        assert_eq!(anywhere("head"), "head");
    }
}
