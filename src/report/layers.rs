//! What is left of each layer, and where the zeros are: tables over the layers of the model.

use std::collections::BTreeMap;

use serde::Serialize;

use super::chart::Bar;
use super::words::left;
use crate::diagnostic::numbers::share;
use crate::provenance::{Layer, Provenance, Tensor, Width};

/// A table with a row a layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Table {
    pub columns: Vec<String>,
    pub rows: Vec<Row>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    pub place: String,
    /// What became of it, where that is not plain: `dropped`, `now layers[2]`.
    pub fate: Option<String>,
    /// `None` where there is nothing of the column.
    pub cells: Vec<Option<Cell>>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Cell {
    pub text: String,
    pub bar: Bar,
}

/// Weights and widths of each layer of the input; of axes those that lost something somewhere, experts taken together.
pub(super) fn widths(provenance: &Provenance) -> Option<Table> {
    if provenance.layers.is_empty() {
        return None;
    }
    let mut axes: Vec<String> = Vec::new();
    for width in provenance.layers.iter().flat_map(standing) {
        if width.before != width.after {
            position(&mut axes, &without_numbers(&width.axis));
        }
    }
    let rows = provenance.layers.iter().map(|layer| row(layer, &axes)).collect();
    let columns = std::iter::once("parameters".to_string()).chain(axes).collect();
    Some(Table { columns, rows })
}

/// Axes that are still there. Those of a dropped layer or expert are gone with it, not narrowed.
fn standing(layer: &Layer) -> impl Iterator<Item = &Width> {
    layer.axes.iter().filter(|width| width.after > 0)
}

fn row(layer: &Layer, axes: &[String]) -> Row {
    let (before, after) = (layer.before.cost.params, layer.after.cost.params);
    let params = left(after, before).map(|part| Cell { text: share(part), bar: Bar::share(after, before) });
    let width = |axis: &String| {
        let of_axis = standing(layer).filter(|width| without_numbers(&width.axis) == *axis);
        let (before, after) = of_axis.fold((0, 0), |(b, a), width| (b + width.before, a + width.after));
        let bar = Bar::share(after as u64, before as u64);
        (before > 0).then(|| Cell { text: format!("{after} of {before}"), bar })
    };
    let fate = match &layer.now {
        None => Some("dropped".to_string()),
        Some(now) if *now != layer.place => Some(format!("now {now}")),
        Some(_) => None,
    };
    let cells = std::iter::once(params).chain(axes.iter().map(width)).collect();
    Row { place: layer.place.clone(), fate, cells }
}

/// Where the zeros are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Zeros {
    /// A row a layer of the output, a column a place in it.
    pub layers: Table,
    /// Places outside of layers.
    pub elsewhere: Vec<Row>,
    /// There are weights with hardly any zeros, which are not listed.
    pub others: bool,
}

/// A share that is worth a table.
const SOME: f64 = 0.005;

/// The share of zeros of each matrix. Nothing where there are hardly any.
pub(super) fn zeros(provenance: &Provenance) -> Option<Zeros> {
    let mut columns: Vec<String> = Vec::new();
    let mut rows: Vec<(&str, BTreeMap<usize, Counts>)> = Vec::new();
    let mut elsewhere: Vec<(&str, Counts)> = Vec::new();
    for tensor in provenance.tensors.iter().filter(|tensor| is_matrix(tensor)) {
        match divided(&tensor.place, &provenance.layers) {
            Some((layer, inner)) => {
                let column = position(&mut columns, &without_numbers(inner));
                entry(&mut rows, layer).entry(column).or_default().add(tensor);
            }
            None => entry(&mut elsewhere, &tensor.place).add(tensor),
        }
    }
    let listed: Vec<usize> = (0..columns.len())
        .filter(|column| rows.iter().any(|(_, counts)| counts.get(column).is_some_and(Counts::has_some)))
        .collect();
    let all = (columns.len(), elsewhere.len());
    elsewhere.retain(|(_, counts)| counts.has_some());
    if listed.is_empty() && elsewhere.is_empty() {
        return None;
    }
    let others = all != (listed.len(), elsewhere.len());
    let row = |place: &str, cells| Row { place: place.to_string(), fate: None, cells };
    let cells = |counts: &BTreeMap<usize, Counts>| {
        listed.iter().map(|column| counts.get(column).map(Counts::cell)).collect()
    };
    let elsewhere = elsewhere.iter().map(|(place, counts)| row(place, vec![Some(counts.cell())])).collect();
    rows.retain(|_| !listed.is_empty());
    let rows = rows.iter().map(|(place, counts)| row(place, cells(counts))).collect();
    let columns = listed.iter().map(|&column| columns[column].clone()).collect();
    Some(Zeros { layers: Table { columns, rows }, elsewhere, others })
}

/// Zeros among elements.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    zeros: u64,
    all: u64,
}

impl Counts {
    fn add(&mut self, tensor: &Tensor) {
        self.zeros += tensor.zeros;
        self.all += tensor.shape.iter().product::<usize>() as u64;
    }

    fn has_some(&self) -> bool {
        left(self.zeros, self.all).is_some_and(|part| part >= SOME)
    }

    /// To a tenth of a percent: more would be noise between neighbours.
    fn cell(&self) -> Cell {
        let part = left(self.zeros, self.all).unwrap_or(0.0);
        Cell { text: share((part * 1000.0).round() / 1000.0), bar: Bar::share(self.zeros, self.all) }
    }
}

/// The entry of a place, made where it is missing; places come in the order of the model.
fn entry<'t, 'p, T: Default>(rows: &'t mut Vec<(&'p str, T)>, place: &'p str) -> &'t mut T {
    let at = rows.iter().position(|(other, _)| *other == place).unwrap_or_else(|| {
        rows.push((place, T::default()));
        rows.len() - 1
    });
    &mut rows[at].1
}

fn is_matrix(tensor: &Tensor) -> bool {
    tensor.shape.len() >= 2 && !tensor.buffer && !tensor.place.is_empty()
}

/// The layer of the output that a place lies in, and the place in it.
fn divided<'a>(place: &'a str, layers: &[Layer]) -> Option<(&'a str, &'a str)> {
    layers.iter().filter_map(|layer| layer.now.as_deref()).find_map(|layer| {
        let inner = place.strip_prefix(layer)?.strip_prefix('.')?;
        Some((&place[..layer.len()], inner))
    })
}

/// `experts[3].up` is `experts[*].up`.
fn without_numbers(place: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for letter in place.chars() {
        match letter {
            '[' => text.push_str("[*"),
            _ if inside && letter != ']' => continue,
            _ => text.push(letter),
        }
        inside = letter == '[';
    }
    text
}

fn position(columns: &mut Vec<String>, name: &str) -> usize {
    columns.iter().position(|column| column == name).unwrap_or_else(|| {
        columns.push(name.to_string());
        columns.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_list_elements_are_left_out() {
        assert_eq!(without_numbers("experts[13].up"), "experts[*].up");
        assert_eq!(without_numbers("mlp.up"), "mlp.up");
    }
}
