//! What was done, in words: numbers of elements, what a step did, values with their unit.

use std::collections::BTreeMap;

use crate::diagnostic::numbers::{bytes, count, digits, share, things};
use crate::graph::Role;
use crate::pass::{Training, Unit};
use crate::provenance::{At, Expectation, Kept, Provenance, Step};

/// `0-3, 5, 7-11`, cut after so many runs.
pub(super) fn ranges(numbers: &[usize], most: usize) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let shown = runs.iter().take(most).map(|(first, last)| match last - first {
        0 => first.to_string(),
        1 => format!("{first}, {last}"),
        _ => format!("{first}-{last}"),
    });
    let text = shown.collect::<Vec<_>>().join(", ");
    if runs.len() > most { format!("{text} and more") } else { text }
}

/// A value as its unit reads.
pub(super) fn value(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Share => share(value),
        Unit::Number => digits(value),
        Unit::Seconds => unit.show(value),
        Unit::Bytes if is_whole(value) => bytes(value as u64),
        // A bound may be a share of a count: from a thousand on nobody reads its decimals.
        Unit::Count if is_whole(value) || value >= 1000.0 => count(value as u64),
        Unit::Bytes | Unit::Count => plain(value),
    }
}

/// What was measured and its bound; in full where both would read the same.
pub(super) fn compared(expectation: &Expectation) -> (String, String) {
    let Expectation { unit, value: measured, bound, .. } = *expectation;
    let (left, right) = (value(unit, measured), value(unit, bound));
    if left == right && measured != bound {
        (exact(unit, measured), exact(unit, bound))
    } else {
        (left, right)
    }
}

/// With as many digits as tell two close values apart.
fn exact(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Share => format!("{:.4} %", value * 100.0),
        Unit::Number => format!("{value:.9}"),
        Unit::Seconds => format!("{:.6} ms", value * 1000.0),
        // A bound may be a share of a count.
        Unit::Bytes | Unit::Count if value >= 1000.0 => format!("{:.0}", value.floor()),
        Unit::Bytes | Unit::Count => plain(value),
    }
}

/// What a step did, a sentence each, without their stops.
pub(super) fn did(step: &Step) -> Vec<String> {
    let mut did = kept(&step.kept);
    if !step.factored.is_empty() {
        let ranks = step.factored.iter().map(|factored| factored.rank);
        let places = things(step.factored.len(), "weight");
        did.push(format!("{places} became two factors of rank {}", between(ranks)));
    }
    did.extend(sparsified(step));
    did.extend(
        step.cast.iter().map(|(dtype, &number)| format!("{} became {dtype}", things(number, "tensor"))),
    );
    did.extend(step.training.as_ref().map(trained));
    if did.is_empty() {
        did.push("shapes and types stayed as they were".to_string());
    }
    did
}

/// How a training went.
fn trained(training: &Training) -> String {
    let (steps, samples) = (things(training.steps, "step"), things(training.samples, "sample"));
    let ended = match training.steps < training.planned {
        true => format!(" of {} that it might have been", training.planned),
        false => String::new(),
    };
    let kept = training.kept.map_or_else(String::new, |step| format!(", weights of step {step} kept"));
    let losses = match training.curve.as_slice() {
        [first, .., last] => format!(": loss {} to {}", digits(first.loss), digits(last.loss)),
        [only] => format!(": loss {}", digits(only.loss)),
        [] => String::new(),
    };
    format!("trained on {} ({samples}) for {steps}{ended}{losses}{kept}", training.on)
}

/// A share of what there was before; none of nothing.
pub(super) fn left(after: u64, before: u64) -> Option<f64> {
    (before > 0).then(|| after as f64 / before as f64)
}

/// The name that people know an output by.
pub(super) fn title(provenance: &Provenance) -> String {
    let recipe = &provenance.recipe;
    let title = recipe.title.as_deref().filter(|title| !title.trim().is_empty());
    let title = title.map_or_else(|| format!("{}, compressed", provenance.input.family), str::to_string);
    match recipe.branch.as_slice() {
        [] => title,
        branch => format!("{title} ({})", branch.join(", ")),
    }
}

/// `128 tokens`, `batch 8, 128 tokens`, `1 picture`: what costs are stated for.
pub(super) fn at(at: At) -> String {
    match (at.batch, at.tokens) {
        (1, None) => "1 picture".to_string(),
        (1, Some(tokens)) => format!("{tokens} tokens"),
        (batch, None) => format!("batch {batch}"),
        (batch, Some(tokens)) => format!("batch {batch}, {tokens} tokens"),
    }
}

fn kept(kept: &[Kept]) -> Vec<String> {
    let mut roles: Vec<Role> = Vec::new();
    for axis in kept {
        if !roles.contains(&axis.role) {
            roles.push(axis.role);
        }
    }
    let sentence = |role: Role| {
        let axes: Vec<&Kept> = kept.iter().filter(|axis| axis.role == role).collect();
        let all: usize = axes.iter().map(|axis| axis.of).sum();
        let stay: usize = axes.iter().map(|axis| axis.kept.len()).sum();
        let each = match axes.len() {
            1 => String::new(),
            places => {
                let stays = between(axes.iter().map(|axis| axis.kept.len()));
                let of = between(axes.iter().map(|axis| axis.of));
                format!(": {stays} of {of} in each of {places} places")
            }
        };
        match axes.iter().any(|axis| axis.merged.is_some()) {
            true => format!("{all} {role} became {stay}{each}"),
            false => format!("{stay} of {all} {role} stay{each}"),
        }
    };
    roles.into_iter().map(sentence).collect()
}

fn sparsified(step: &Step) -> Vec<String> {
    let mut patterns: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    let (mut weights, mut zeros) = (0, 0);
    for sparsified in &step.sparsified {
        if let Some(pattern) = sparsified.sparsity.pattern() {
            *patterns.entry(pattern).or_default() += 1;
        }
        if let Some(number) = sparsified.sparsity.zeros() {
            weights += 1;
            zeros += number;
        }
    }
    let holds = |(&(keep, of), &number): (&(usize, usize), &usize)| {
        format!("{} in the pattern {keep}:{of}", things(number, "weight"))
    };
    let mut sentences: Vec<String> = patterns.iter().map(holds).collect();
    if weights > 0 {
        sentences.push(format!("{} with {} zeros in all", things(weights, "weight"), count(zeros)));
    }
    sentences
}

/// `8`, or `6-10` where numbers differ.
fn between(numbers: impl Iterator<Item = usize> + Clone) -> String {
    let (least, most) = (numbers.clone().min().unwrap_or(0), numbers.max().unwrap_or(0));
    if least == most { most.to_string() } else { format!("{least}-{most}") }
}

/// Whole numbers that a float holds exactly.
fn is_whole(value: f64) -> bool {
    value.fract() == 0.0 && (0.0..9e15).contains(&value)
}

fn plain(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_three_and_more_are_ranges() {
        assert_eq!(ranges(&[0, 1, 2, 3, 5, 7, 8], 9), "0-3, 5, 7, 8");
        assert_eq!(ranges(&[], 9), "");
        assert_eq!(ranges(&[0, 2, 4, 6], 2), "0, 2 and more");
    }

    #[test]
    fn a_failed_bound_never_reads_as_one_that_held() {
        let expectation = |value: f64, bound: f64| Expectation {
            text: String::new(),
            after_step: 1,
            unit: Unit::Count,
            value,
            op: "<=".into(),
            bound,
            held: false,
        };
        assert_eq!(compared(&expectation(2e6, 1e6)), ("2.00 M".into(), "1.00 M".into()));
        assert_eq!(compared(&expectation(1_000_001.0, 1e6)), ("1000001".into(), "1000000".into()));
    }

    #[test]
    fn values_read_as_their_unit() {
        assert_eq!(value(Unit::Share, 0.5), "50 %");
        assert_eq!(value(Unit::Bytes, 90_900_000.0), "90.9 MB");
        assert_eq!(value(Unit::Count, 12.3456), "12.3456");
        assert_eq!(value(Unit::Count, 120_816_230.4), "121 M");
    }
}
